"""The anomaly score: its distribution, what the regions keep of data and signals, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable, bins
from offline.figures.style import COLOURS, GREY, INK, MARKERS, label, panels

Interval = tuple[float, float, float]  # low, value, high


@dataclass(frozen=True)
class Scores:
    """Distribution of the score. samples: name -> share of the events in each bin; the first is the data."""

    score: str
    edges: list[float]
    samples: dict[str, list[float]]
    thresholds: dict[str, float]
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """Columns over bins of the score."""
        columns = [Variable("share of the events", v, qualifiers={"sample": k}) for k, v in self.samples.items()]
        return Table(
            [Variable(self.score, bins(self.edges))],
            columns,
            {f"threshold {name}": value for name, value in self.thresholds.items()},
        )

    def draw(self) -> Figure:
        """Data filled, signals as lines, thresholds dashed."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        lowest = 1.0
        for k, (name, share) in enumerate(self.samples.items()):
            values = np.array(share, float)
            lowest = min(lowest, float(np.min(values[values > 0], initial=1.0)))
            if k == 0:
                axis.stairs(values, self.edges, fill=True, color="#d6d6d6", label=name)
            else:
                axis.stairs(values, self.edges, color=COLOURS[(k - 1) % len(COLOURS)], lw=1.6, label=name,
                            ls=("-", "--")[(k - 1) // len(COLOURS) % 2])  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(lowest / 2, 30)
        for name, value in self.thresholds.items():
            if self.edges[0] < value < self.edges[-1]:
                axis.axvline(value, color=INK, lw=1, ls=":")
                axis.text(value, lowest, f" {name}", rotation=90, fontsize=11, va="bottom", ha="right")
        axis.set_xlim(self.edges[0], self.edges[-1])
        axis.set_xlabel(self.score)
        axis.set_ylabel("share of the events")
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        axis.legend(loc="upper right", ncols=2, fontsize=11)
        return figure


@dataclass(frozen=True)
class Points:
    """One value with an interval for each sample and region: acceptance, or improvement.

    values: sample -> one (low, value, high) for each region, None where there is none.
    """

    quantity: str
    units: str
    regions: list[str]
    values: dict[str, list[Interval | None]]
    log: bool
    line: float | None
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """One row for each sample and region."""
        rows = [(s, r, v) for s, values in self.values.items() for r, v in zip(self.regions, values, strict=True)]
        errors = [None if v is None else (v[1] - v[0], v[2] - v[1]) for *_, v in rows]
        return Table(
            [Variable("sample", [r[0] for r in rows]), Variable("region", [r[1] for r in rows])],
            [Variable(self.quantity, [None if r[2] is None else r[2][1] for r in rows], self.units, {"68 %": errors})],
        )

    def draw(self) -> Figure:
        """Samples below each other, regions as markers: readable for many names."""
        names = list(self.values)
        figure, (axis,) = panels(size=(7.6, 1.6 + 0.42 * max(len(names), 3)))
        step = 0.6 / max(len(self.regions), 1)
        lowest = np.inf
        for k, region in enumerate(self.regions):
            points = [(i, v[k]) for i, v in enumerate(self.values.values()) if v[k] is not None]
            if not points:
                continue
            y = np.array([i for i, _ in points]) + (k - (len(self.regions) - 1) / 2) * step
            low, value, high = np.array([v for _, v in points], float).T
            lowest = min(lowest, float(np.min(value[value > 0], initial=np.inf)))
            axis.errorbar(value, y, xerr=np.stack([value - low, high - value]).clip(0), fmt=MARKERS[k % len(MARKERS)],
                          color=COLOURS[k % len(COLOURS)], ms=5, lw=1.2, label=region)  # fmt: skip
        if self.log and np.isfinite(lowest):
            axis.set_xscale("log")
            axis.set_xlim(left=lowest / 3)
        if self.line is not None:
            axis.axvline(self.line, color=INK, lw=0.8, ls=":")
        for i in range(1, len(names)):
            axis.axhline(i - 0.5, color=GREY, lw=0.4)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", which="both", length=0)
        axis.tick_params(axis="y", which="minor", left=False, right=False)
        axis.set_xlabel(f"{self.quantity} [{self.units}]" if self.units else self.quantity)
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=11, handletextpad=0.2)
        return figure
