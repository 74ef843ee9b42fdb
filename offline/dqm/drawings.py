"""Figures of data quality: trends, histograms beside the reference, maps, tails and times to detection."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable
from offline.figures.style import COLOURS, FIT, GREY, INK, MARKERS, WINDOW, label, panels

POINTS = 2000  # drawn at most of a trend; its data have all
FAR = 25.0  # pulls beyond are cut off


@dataclass(frozen=True)
class Trend:
    """Lines along lumi sections. series: name -> values, None where there is none; errors: the same, or none; spans:
    first and last index of alarms; level: a line across."""

    lumi: list[str]
    series: dict[str, list[float | None]]
    errors: dict[str, list[float]]
    spans: list[tuple[int, int]]
    y: str
    level: float | None
    status: str = ""

    def table(self) -> Table:
        """All values."""
        return Table([Variable("run:lumi section", self.lumi)],
                     [Variable(name, values, errors={"stat": self.errors[name]} if name in self.errors else {})
                      for name, values in self.series.items()])  # fmt: skip

    def draw(self) -> Figure:
        """Points, joined where they are few."""
        figure, (axis,) = panels(size=(9.6, 5.0))
        step = -(-len(self.lumi) // POINTS)
        x = np.arange(len(self.lumi))[::step]
        for first, last in self.spans:
            axis.axvspan(first - 0.5, last + 0.5, color=WINDOW, lw=0)
        for i, (name, values) in enumerate(self.series.items()):
            y = np.array([np.nan if v is None else v for v in values], float)[::step]
            if name in self.errors:
                axis.errorbar(x, y, np.array(self.errors[name])[::step], fmt=MARKERS[i % len(MARKERS)], ms=4, lw=1.0,
                              color=COLOURS[i % len(COLOURS)], label=name)  # fmt: skip
            else:
                axis.plot(x, y, lw=1.0, marker=MARKERS[i % len(MARKERS)], ms=3, color=COLOURS[i % len(COLOURS)],
                          label=name)  # fmt: skip
        if self.level is not None:
            axis.axhline(self.level, color=FIT, lw=1.2, ls="--")
        at = np.unique(np.linspace(0, len(self.lumi) - 1, 7).astype(int))
        axis.set_xticks(at, [self.lumi[i] for i in at])
        axis.set_xlabel("run : lumi section")
        axis.set_ylabel(self.y)
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.3 * (high - low))
        label(axis, None, None, self.status)
        axis.legend(ncols=3, fontsize=10, loc="upper left")
        return figure


@dataclass(frozen=True)
class Overlay:
    """A histogram beside the reference, as shares of the events. sigma: of each bin, of sections and reference
    together."""

    name: str
    edges: list[float]
    ticks: list[str]
    observed: list[float]
    expected: list[float]
    sigma: list[float]
    status: str = ""

    def table(self) -> Table:
        """Both, and the uncertainty of the difference."""
        where = [(a, b) for a, b in pairwise(self.edges)] if not self.ticks else self.ticks
        return Table([Variable(self.name, where)],
                     [Variable("observed per event", self.observed, errors={"stat": self.sigma}),
                      Variable("reference per event", self.expected)])  # fmt: skip

    def draw(self) -> Figure:
        """Bins of equal width: edges are far from equal; pulls below."""
        figure, (axis, pulls) = panels((3, 1), size=(6.6, 5.4))
        n = len(self.observed)
        x = np.arange(n) + 0.5
        axis.stairs(self.expected, np.arange(n + 1), color="#dddddd", fill=True, label="reference")
        axis.errorbar(x, self.observed, self.sigma, fmt="o", color=INK, ms=4, lw=1.2, label="observed")
        top = max(max(self.observed), max(self.expected), 1e-9)
        if self.name == "score":
            axis.set_yscale("log")
            axis.set_ylim(min(v for v in (*self.expected, top) if v > 0) / 3, 5 * top)
        else:
            axis.set_ylim(0, 1.35 * top)
        axis.set_ylabel("per event")
        axis.legend(fontsize=11)
        label(axis, None, None, self.status)
        pull = np.divide(np.subtract(self.observed, self.expected), self.sigma, out=np.zeros(n),
                         where=np.array(self.sigma) > 0)  # fmt: skip
        pulls.bar(x, pull, 0.8, color=[FIT if abs(v) > 3 else GREY for v in pull])
        reach = min(max(3.5, float(np.abs(pull).max()) * 1.1), FAR)
        pulls.set_ylim(-reach, reach)
        pulls.axhline(0, color=INK, lw=0.7)
        pulls.set_ylabel("pull")
        pulls.set_xlim(0, n)
        if self.ticks:
            pulls.set_xticks(x, self.ticks, rotation=90 if n > 9 else 0, fontsize=9 if n > 9 else 12)
        else:
            pulls.set_xticks(np.arange(n + 1), [_edge(v) for v in self.edges], rotation=60, fontsize=10)
        pulls.minorticks_off()
        pulls.set_xlabel(self.name)
        return figure


def _edge(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else ("" if value < 0 else "∞")


@dataclass(frozen=True)
class EtaPhi:
    """Map of one kind of object: objects seen and expected in rows of eta and columns of phi."""

    kind: str
    eta: list[float]
    phi: list[float]
    observed: list[list[int]]
    expected: list[list[float]]
    status: str = ""

    def table(self) -> Table:
        """One row for each cell."""
        rows = [(a, b) for a in pairwise(self.eta) for b in pairwise(self.phi)]
        return Table([Variable("eta", [r[0] for r in rows]), Variable("phi", [r[1] for r in rows], "rad")],
                     [Variable("observed", [v for row in self.observed for v in row]),
                      Variable("expected", [round(v, 4) for row in self.expected for v in row])])  # fmt: skip

    def draw(self) -> Figure:
        """Signed square root of the likelihood ratio of each cell, as many standard deviations."""
        figure, (axis,) = panels(size=(7.6, 5.6))
        o, e = np.array(self.observed, float), np.maximum(np.array(self.expected), 1e-6)
        ratio = 2 * (np.where(o > 0, o * np.log(np.maximum(o, 1e-9) / e), 0) - (o - e))
        z = np.sign(o - e) * np.sqrt(np.maximum(ratio, 0))
        reach = max(5.0, float(np.abs(z).max()))
        mesh = axis.pcolormesh(self.phi, self.eta, z, cmap="RdBu_r", vmin=-reach, vmax=reach)
        figure.colorbar(mesh, ax=axis, label="observed over expected [standard deviations]")
        axis.set_xlabel(r"$\phi$ [rad]")
        axis.set_ylabel(r"$\eta$")
        label(axis, None, None, f"{self.kind} {self.status}".strip())
        return figure


@dataclass(frozen=True)
class Tails:
    """Share of fault-free sections beyond a value over the threshold, of each test."""

    curves: dict[str, tuple[list[float], list[float]]]  # value / threshold, share
    share: float
    status: str = ""

    def table(self) -> Table:
        """Points of all tests, one below the other."""
        names = [name for name, (x, _) in self.curves.items() for _ in x]
        x, y = ([v for curve in self.curves.values() for v in curve[i]] for i in (0, 1))
        return Table([Variable("test", names), Variable("value over threshold", x)], [Variable("share of sections", y)])

    def draw(self) -> Figure:
        """On a logarithmic axis; the line is the share aimed at for each test."""
        figure, (axis,) = panels()
        for i, (name, (x, y)) in enumerate(self.curves.items()):
            axis.plot(x, y, marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.2, color=COLOURS[i % len(COLOURS)], label=name)
        axis.plot([1], [self.share], "*", color=FIT, ms=14, label="aimed at")
        axis.set_yscale("log")
        axis.set_xlabel("value of the test over its threshold")
        axis.set_ylabel("share of fault-free lumi sections above")
        label(axis, None, None, self.status)
        axis.legend(fontsize=11)
        return figure


@dataclass(frozen=True)
class Times:
    """Share of trials found, of each fault, within so many lumi sections."""

    found: dict[str, list[int]]
    longest: int
    status: str = ""

    def _share(self, times: list[int]) -> list[float]:
        t = np.array(times)
        return [float((t <= k).mean()) for k in range(1, self.longest + 1)]

    def table(self) -> Table:
        """One column for each fault."""
        return Table([Variable("lumi sections", list(range(1, self.longest + 1)))],
                     [Variable(f"share found, {name}", self._share(t)) for name, t in self.found.items()])  # fmt: skip

    def draw(self) -> Figure:
        """Steps."""
        figure, (axis,) = panels()
        for i, (name, times) in enumerate(self.found.items()):
            axis.plot(range(1, self.longest + 1), self._share(times), lw=1.5, marker=MARKERS[i % len(MARKERS)],
                      color=COLOURS[i % len(COLOURS)], label=name)  # fmt: skip
        axis.axvline(5, color=GREY, lw=1, ls="--")
        axis.set_ylim(0, 1.05)
        axis.set_xlabel("lumi sections with the fault")
        axis.set_ylabel("share of trials found")
        label(axis, None, None, self.status)
        axis.legend(fontsize=11, loc="lower right")
        return figure


@dataclass(frozen=True)
class Sizes:
    """Median time to detection against the size of a fault, and the times within which 10 and 90 % are found."""

    name: str
    unit: str
    size: list[float]
    low: list[float]
    median: list[float]
    high: list[float]
    longest: int
    status: str = ""

    def table(self) -> Table:
        """One row for each size."""
        return Table([Variable(f"size of {self.name}", self.size, self.unit)],
                     [Variable("10 %", self.low), Variable("median", self.median),
                      Variable("90 %", self.high)])  # fmt: skip

    def draw(self) -> Figure:
        """Both axes logarithmic; what was not found lies at the top."""
        figure, (axis,) = panels(size=(6.6, 5.0))
        axis.fill_between(self.size, self.low, self.high, color="#dddddd", label="10 to 90 % of the trials")
        axis.plot(self.size, self.median, "o-", color=INK, label="median")
        axis.axhline(5, color=GREY, lw=1, ls="--")
        axis.set_xscale("log")
        axis.set_yscale("log")
        ticks = [t for t in (1, 2, 5, 10, 20) if t <= self.longest] + [self.longest + 1]
        axis.set_yticks(ticks, [*(str(t) for t in ticks[:-1]), f">{self.longest}"])
        axis.set_xticks(self.size, [f"{s:g}" for s in self.size])
        axis.minorticks_off()
        axis.set_ylim(0.9, self.longest + 4)
        axis.set_xlabel(f"{self.name} [{self.unit}]")
        axis.set_ylabel("lumi sections to detection")
        label(axis, None, None, self.status)
        axis.legend(fontsize=11)
        return figure
