"""Figures of a closure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table as Data
from offline.figures.hepdata import Variable, bins
from offline.figures.style import COLOURS, GREEN, GREY, INK, MARKERS, label, note, panels

PLANE = 60  # bins of each score in the plane


@dataclass(frozen=True)
class Ratios:
    """Estimate over corner against the background efficiency of the corner. rows: of the summary's `corner`."""

    rows: list[dict[str, Any]]
    goal: float

    def table(self) -> Data:
        """A row for each pair of cuts."""
        return Data(
            [Variable("background efficiency of the corner", [r["efficiencies"][2] for r in self.rows]),
             Variable("efficiency of the first cut", [r["efficiencies"][0] for r in self.rows]),
             Variable("efficiency of the second cut", [r["efficiencies"][1] for r in self.rows])],
            [Variable("estimate / observed", [r["ratio"][0] for r in self.rows],
                      errors={"stat": [r["ratio"][1] for r in self.rows],
                              "closure": [r["systematic"] * r["ratio"][0] for r in self.rows]})],
        )  # fmt: skip

    def draw(self) -> Figure:
        """One colour for each tilt of the cuts; inner bars statistical, outer with the systematic uncertainty."""
        figure, (axis,) = panels()
        axis.axhspan(1 - self.goal, 1 + self.goal, color=GREEN, alpha=0.15, lw=0)
        axis.axhline(1, color=INK, lw=0.8)
        tilts = list(dict.fromkeys(r["tilt"] for r in self.rows))
        for i, tilt in enumerate(tilts):
            some = [r for r in self.rows if r["tilt"] == tilt]
            x = np.array([100 * r["efficiencies"][2] for r in some]) * (1 + 0.02 * (i - 1))
            y = np.array([r["ratio"][0] for r in some])
            stat = np.array([r["ratio"][1] for r in some])
            whole = np.hypot(stat, y * np.array([r["systematic"] for r in some]))
            colour = COLOURS[i % len(COLOURS)]
            text = "equal cuts" if tilt == 1 else f"first cut keeps {tilt:g} times as many as the second"
            axis.errorbar(x, y, whole, fmt="none", ecolor=colour, elinewidth=0.8)
            axis.errorbar(x, y, stat, fmt=MARKERS[i], color=colour, elinewidth=2, ms=6, label=text)
        axis.set_xscale("log")
        axis.set_xlabel("background efficiency of the corner [%]")
        axis.set_ylabel("estimate / observed")
        away = max([0.2, *(1.3 * abs(r["ratio"][0] - 1) + r["ratio"][1] for r in self.rows)])
        axis.set_ylim(1 - away, 1 + 1.4 * away)
        label(axis, None, None, "simulation")
        axis.legend(loc="upper right")
        return figure


@dataclass(frozen=True)
class Grid:
    """Estimate over corner for pairs of cuts. rows: of the summary's `grid`."""

    rows: list[dict[str, Any]]
    goal: float

    def table(self) -> Data:
        """A row for each pair."""
        return Data(
            [Variable("eps_B of the first cut", [r["wanted"] for r in self.rows]),
             Variable("eps_B of the second cut", [r["wanted"] / r["tilt"] for r in self.rows])],
            [Variable("estimate / observed", [r["ratio"][0] for r in self.rows],
                      errors={"stat": [r["ratio"][1] for r in self.rows]}),
             Variable("events observed", [r["observed"] for r in self.rows])],
        )  # fmt: skip

    def draw(self) -> Figure:
        """A map, with the numbers in it."""
        figure, (axis,) = panels()
        first = sorted({round(r["wanted"], 9) for r in self.rows})
        second = sorted({round(r["wanted"] / r["tilt"], 9) for r in self.rows})
        values = np.full((len(second), len(first)), np.nan)
        for r in self.rows:
            i, j = first.index(round(r["wanted"], 9)), second.index(round(r["wanted"] / r["tilt"], 9))
            values[j, i] = r["ratio"][0] - 1
            text = f"{r['ratio'][0]:.2f}\n$\\pm${r['ratio'][1]:.2f}"
            axis.text(i, j, text, ha="center", va="center", fontsize=11, color=INK)
        scale = {"vmin": -3 * self.goal, "vmax": 3 * self.goal}
        axis.imshow(values, origin="lower", aspect="auto", cmap="RdBu", alpha=0.7, **scale)
        axis.set_xticks(range(len(first)), [f"{100 * f:g}" for f in first])
        axis.set_yticks(range(len(second)), [f"{100 * f:g}" for f in second])
        axis.minorticks_off()
        axis.set_xlabel("background efficiency of the first cut [%]")
        axis.set_ylabel("of the second cut [%]")
        label(axis, None, None, "simulation: estimate / observed")
        return figure


@dataclass(frozen=True)
class Plane:
    """Background in the plane of both scores. counts: bins of the first score, then of the second."""

    names: tuple[str, str]
    edges: tuple[list[float], list[float]]
    counts: list[list[float]]
    cuts: tuple[float, float]

    def table(self) -> Data:
        """A row for each bin."""
        one, two = bins(self.edges[0]), bins(self.edges[1])
        return Data(
            [Variable(self.names[0], [a for a in one for _ in two]),
             Variable(self.names[1], [b for _ in one for b in two])],
            [Variable("events", [n for row in self.counts for n in row])],
        )  # fmt: skip

    def draw(self) -> Figure:
        """A map on a logarithmic scale, the cuts, and the names of the regions."""
        from matplotlib.colors import LogNorm

        figure, (axis,) = panels()
        counts = np.array(self.counts).T
        shown = np.where(counts > 0, counts, np.nan)
        mesh = axis.pcolormesh(*self.edges, shown, cmap="Blues", norm=LogNorm(1, max(float(counts.max()), 2)))
        figure.colorbar(mesh, ax=axis, label="background events")
        axis.axvline(self.cuts[0], color=INK, lw=1.2)
        axis.axhline(self.cuts[1], color=INK, lw=1.2)
        for text, x, y in (("A", 0.96, 0.96), ("B", 0.96, 0.04), ("C", 0.04, 0.96), ("D", 0.04, 0.04)):
            note(axis, [text], x, y)
        axis.set_xlabel(self.names[0])
        axis.set_ylabel(self.names[1])
        label(axis, None, None, "simulation")
        return figure


@dataclass(frozen=True)
class Injected:
    """Expected significance against the amount of signal. rows: of the summary's `contamination`."""

    rows: list[dict[str, Any]]

    def table(self) -> Data:
        """A row for each signal and amount."""
        return Data(
            [Variable("signal", [r["signal"] for r in self.rows]),
             Variable("signal events / background events", [r["injected"] for r in self.rows])],
            [Variable("significance, all uncertainties", [r["significance"] for r in self.rows]),
             Variable("significance, statistical", [r["statistical"] for r in self.rows])],
        )  # fmt: skip

    def draw(self) -> Figure:
        """One colour for each signal; dashed: statistical uncertainty only."""
        figure, (axis,) = panels()
        for i, name in enumerate(dict.fromkeys(r["signal"] for r in self.rows)):
            some = [r for r in self.rows if r["signal"] == name]
            x = [100 * r["injected"] for r in some]
            axis.plot(x, [r["significance"] for r in some], MARKERS[i], ls="-", color=COLOURS[i], label=name)
            axis.plot(x, [r["statistical"] for r in some], ls="--", lw=1, color=COLOURS[i])
        axis.axhline(3, color=GREY, lw=0.8, ls=":")
        axis.set_xscale("log")
        axis.set_xlabel("signal events over background events [%]")
        axis.set_ylabel("expected significance [standard deviations]")
        label(axis, None, None, "simulation")
        axis.legend(loc="upper left")
        return figure
