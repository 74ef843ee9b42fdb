"""Clusters of triggered events: data against expectation, and what pseudo-experiments say of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable, bins
from offline.figures.style import COLOURS, FIT, GREY, INK, intervals, label, note, panels


@dataclass(frozen=True)
class Occupancy:
    """Data and expectation of each cluster. names: of clusters; observed, expected, error; local_z: of the excess,
    negative for a deficit; flagged: names of those marked."""

    names: list[str]
    observed: list[int]
    expected: list[float]
    error: list[float]
    local_z: list[float]
    flagged: list[str]
    status: str = ""

    def table(self) -> Table:
        """One row for each cluster."""
        return Table(
            [Variable("cluster", self.names)],
            [
                Variable("data", self.observed),
                Variable("expected", self.expected, errors={"statistics of simulation": self.error}),
                Variable("local significance", self.local_z),
                Variable("flagged", ["yes" if name in self.flagged else "no" for name in self.names]),
            ],
        )

    def draw(self) -> Figure:
        """Counts above, relative difference in the middle, significance below."""
        figure, (top, middle, bottom) = panels((2, 1, 1), size=(10.5, 7.6))
        x = np.arange(len(self.names))
        observed, expected, error = (np.array(v, float) for v in (self.observed, self.expected, self.error))
        low, high = intervals(observed)
        safe = np.maximum(expected, 1e-9)
        edges = np.arange(len(x) + 1) - 0.5
        top.stairs(expected, edges, fill=True, color="#d6d6d6", label="simulation")
        top.bar(x, 2 * error, 1, expected - error, color="none", edgecolor=GREY, hatch="////", lw=0)
        top.errorbar(x, observed, yerr=[low, high], fmt="o", color=INK, ms=4, lw=1, label="data")
        known = expected > 0
        middle.bar(x[known], 2 * (error / safe)[known], 1, (1 - error / safe)[known], color="#d6d6d6")
        middle.errorbar(x[known], (observed / safe)[known], yerr=[(low / safe)[known], (high / safe)[known]], fmt="o",
                        color=INK, ms=4, lw=1)  # fmt: skip
        middle.axhline(1, color=GREY, lw=0.8)
        marked = np.array([name in self.flagged for name in self.names], bool)
        z = np.array(self.local_z)
        bottom.bar(x[~marked], z[~marked], 0.8, color=COLOURS[0])
        bottom.bar(x[marked], z[marked], 0.8, color=FIT)
        for i in x[marked]:
            top.text(i, observed[i] + high[i], "*", color=FIT, ha="center", fontsize=20)
        top.set_yscale("log")
        top.set_ylim(max(0.3, float(np.min(observed, initial=1e9)) / 3), float(max(observed.max(), expected.max())) * 8)
        top.set_ylabel("events")
        middle.set_ylabel("data / sim.", loc="center", fontsize=12)
        bottom.set_ylabel(r"local [$\sigma$]", loc="center", fontsize=12)
        bottom.axhline(0, color=INK, lw=0.6)
        bottom.set_xlabel("cluster")
        bottom.set_xlim(-0.6, len(x) - 0.4)
        step = -(-len(x) // 25)
        bottom.set_xticks(x[::step], self.names[::step], fontsize=9)
        bottom.tick_params(axis="x", which="minor", bottom=False, top=False)
        label(top, None, None, self.status)
        top.legend(loc="upper right", ncols=2)
        figure.align_ylabels()
        return figure


@dataclass(frozen=True)
class Uniformity:
    """p-values of pseudo-experiments without a signal, and the p-value of the Kolmogorov-Smirnov test."""

    p: list[float]
    ks_p: float

    def table(self) -> Table:
        """Counts in 20 bins."""
        counts, edges = np.histogram(self.p, 20, (0, 1))
        return Table([Variable("global p", bins(edges.tolist()))], [Variable("pseudo-experiments", counts.tolist())],
                     {"Kolmogorov-Smirnov p": self.ks_p})  # fmt: skip

    def draw(self) -> Figure:
        """Histogram with what a uniform distribution expects."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        counts, edges = np.histogram(self.p, 20, (0, 1))
        mean = len(self.p) / 20
        axis.axhspan(mean - np.sqrt(mean), mean + np.sqrt(mean), color="#e6e6e6", lw=0)
        axis.axhline(mean, color=GREY, lw=1)
        centre = (edges[1:] + edges[:-1]) / 2
        low, high = intervals(counts.astype(float))
        axis.errorbar(centre, counts, yerr=[low, high], fmt="o", color=INK, ms=5, lw=1.2)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, float(counts.max() + high.max()) * 1.3)
        axis.set_xlabel("global p-value, no signal")
        axis.set_ylabel("pseudo-experiments")
        note(axis, [f"{len(self.p)} pseudo-experiments", f"Kolmogorov-Smirnov p = {self.ks_p:.2f}"], x=0.05, y=0.95)
        label(axis, None, None)
        return figure


@dataclass(frozen=True)
class Power:
    """Global significances of pseudo-experiments with each hidden signal. z: name -> one for each."""

    z: dict[str, list[float]]
    fraction: float
    events: float

    def table(self) -> Table:
        """Quantiles of each signal."""
        quantiles = {name: np.quantile(v, [0.16, 0.5, 0.84]).tolist() for name, v in self.z.items()}
        return Table(
            [Variable("signal", list(self.z))],
            [Variable(text, [q[i] for q in quantiles.values()])
             for i, text in enumerate(("16 % quantile", "median", "84 % quantile"))],
            {"signal fraction": self.fraction, "events": self.events},
        )  # fmt: skip

    def draw(self) -> Figure:
        """A point for each pseudo-experiment, a line at the median."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        for i, (name, values) in enumerate(self.z.items()):
            spread = np.linspace(-0.25, 0.25, len(values))
            axis.plot(i + spread, np.sort(values), "o", color=COLOURS[i % len(COLOURS)], ms=4, label=name)
            axis.hlines(np.median(values), i - 0.32, i + 0.32, color=INK, lw=1.6)
        axis.axhline(3, color=FIT, lw=1, ls="--")
        axis.set_xticks(range(len(self.z)), list(self.z))
        axis.tick_params(axis="x", which="minor", bottom=False, top=False)
        axis.set_xlim(-0.6, len(self.z) - 0.4)
        axis.set_ylabel(r"global significance [$\sigma$]")
        note(axis, [f"{self.fraction:.1%} of {self.events:,.0f} triggered events"], x=0.96, y=0.95)
        label(axis, None, None)
        return figure
