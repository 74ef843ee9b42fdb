"""A mass spectrum: data, fitted background, pulls, and the window of the largest excess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable, bins
from offline.figures.style import COLOURS, FIT, GREY, INK, WINDOW, Floats, intervals, label, mass_axis, note, panels

BEYOND = 1.2
"""A picture ends at this times the end of the last filled bin."""


@dataclass(frozen=True)
class Spectrum:
    """One fitted spectrum.

    edges, counts: all bins [GeV]; first: place of the first fitted bin among them; expected: background of the fitted
    bins; pulls: of the same; window: (low, high) [GeV] of the least likely window, None when none was looked for.
    """

    mass: str
    edges: list[float]
    counts: list[float]
    first: int
    expected: list[float]
    pulls: list[float]
    window: tuple[float, float] | None
    local_z: float
    function: str
    lines: list[str]
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """Columns over all bins; the fit and the pulls only where the fit was done."""
        n = np.asarray(self.counts, float)
        low, high = intervals(n)
        stop = self.first + len(self.expected)
        empty = len(n) - stop

        def padded(values: list[float]) -> list[float | None]:
            return [*[None] * self.first, *values, *[None] * empty]

        named = {"background function": self.function}
        if self.window:
            named |= {
                "window low [GeV]": self.window[0],
                "window high [GeV]": self.window[1],
                "local significance": self.local_z,
            }
        return Table(
            [Variable(self.mass, bins(self.edges), "GeV")],
            [
                Variable("events", list(n), errors={"stat": list(zip(low, high, strict=True))}),
                Variable("background", padded(self.expected)),
                Variable("pull", padded(self.pulls)),
            ],
            named,
        )

    def draw(self) -> Figure:
        """Events for each GeV above, pulls below."""
        figure, (top, bottom) = panels((3, 1), fixed=True)
        edges, n = np.asarray(self.edges), np.asarray(self.counts, float)
        stop = self.first + len(self.expected)
        fitted = np.zeros(len(n), bool)
        fitted[self.first : stop] = True
        range_edges = edges[self.first : stop + 1]
        if self.window:
            for axis in (top, bottom):
                axis.axvspan(*self.window, color=WINDOW, lw=0, zorder=0)
        _points(top, edges, np.where(fitted, np.nan, n), GREY, "outside of the fit")
        _points(top, edges, np.where(fitted, n, np.nan), INK, "data")
        widths = np.diff(range_edges)
        expected = np.asarray(self.expected)
        name = self.function
        top.plot((range_edges[1:] + range_edges[:-1]) / 2, expected / widths, color=FIT, lw=1.8, label=f"{name} fit")
        if self.window:
            low, high = self.window
            text = rf"{low:.0f} to {high:.0f} GeV, {self.local_z:.1f}$\sigma$ local"
            top.plot([], [], color=WINDOW, lw=8, label=text)
        top.set_yscale("log")
        top.set_ylabel("events / GeV")
        _reach(top, edges, n, expected / widths)
        label(top, self.luminosity_fb, self.sqrt_s, self.status)
        note(top, self.lines)
        handles, labels = top.get_legend_handles_labels()
        top.legend(handles, labels, loc="upper right")
        bottom.bar(range_edges[:-1], self.pulls, widths, align="edge", color=COLOURS[0], lw=0)
        bottom.axhline(0, color=INK, lw=0.8)
        reach = max(3.5, float(np.max(np.abs(self.pulls), initial=0)) * 1.15)
        bottom.set_ylim(-reach, reach)
        bottom.set_ylabel(r"pull [$\sigma$]", loc="center")
        filled = np.flatnonzero(n)
        # a fit may go on far beyond the last event: the picture does not
        high = min(float(range_edges[-1]), BEYOND * float(edges[filled[-1] + 1]))
        high = max(high, self.window[1] if self.window else 0.0)
        mass_axis(bottom, float(edges[min(filled[0], self.first)]) * 0.95, high * 1.05, f"{self.mass} [GeV]")
        figure.align_ylabels()
        return figure


@dataclass(frozen=True)
class Shaping:
    """The same spectrum with and without a cut: does the cut shape the background?

    Each of the two: counts over all bins, first fitted bin, expected counts there, p of the goodness of fit.
    """

    mass: str
    edges: list[float]
    without: tuple[list[float], int, list[float], float]
    cut: tuple[list[float], int, list[float], float]
    cut_name: str
    function: str
    lines: list[str]
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """Columns over all bins."""
        columns = []
        for name, (counts, first, expected, p) in (("all", self.without), (self.cut_name, self.cut)):
            low, high = intervals(np.asarray(counts))
            rest = len(counts) - first - len(expected)
            with_fit = {"region": name, "fit p": p}
            columns += [
                Variable("events", counts, errors={"stat": list(zip(low, high, strict=True))}, qualifiers=with_fit),
                Variable("background", [*[None] * first, *expected, *[None] * rest], qualifiers=with_fit),
            ]
        return Table([Variable(self.mass, bins(self.edges), "GeV")], columns, {"background function": self.function})

    def draw(self) -> Figure:
        """Both spectra above; below, the part that the cut keeps in each bin."""
        figure, (top, bottom) = panels((2.4, 1), fixed=True)
        edges = np.asarray(self.edges)
        both = [np.asarray(self.without[0], float), np.asarray(self.cut[0], float)]
        lowest = []
        for n, part, colour, name in zip(
            both, (self.without, self.cut), (INK, COLOURS[0]), ("all", self.cut_name), strict=True
        ):
            _, first, expected, p = part
            _points(top, edges, n, colour, f"{name}, fit p = {p:.2g}")
            inside = edges[first : first + len(expected) + 1]
            line = np.asarray(expected) / np.diff(inside)
            top.plot((inside[1:] + inside[:-1]) / 2, line, color=FIT, lw=1.6, ls="-" if colour == INK else "--")
            lowest.append(line)
        top.set_yscale("log")
        top.set_ylabel("events / GeV")
        _reach(top, edges, both[1], np.concatenate(lowest))
        _, high = top.get_ylim()
        top.set_ylim(top=max(high, float(np.max(both[0] / np.diff(edges))) * 12))
        label(top, self.luminosity_fb, self.sqrt_s, self.status)
        note(top, self.lines)
        top.legend(loc="upper right")
        centres = (edges[1:] + edges[:-1]) / 2
        kept = np.divide(both[1], both[0], out=np.full(len(both[0]), np.nan), where=both[0] > 0)
        error = np.sqrt(np.maximum(kept * (1 - kept), 0) / np.maximum(both[0], 1))
        shown = kept > 0
        bottom.errorbar(centres[shown], kept[shown], error[shown], fmt="o", color=COLOURS[0], ms=3, lw=1)
        bottom.set_yscale("log")
        bottom.set_ylabel("kept", loc="center")
        filled = np.flatnonzero(both[0])
        mass_axis(bottom, float(edges[filled[0]]) * 0.95, float(edges[filled[-1] + 1]) * 1.05, f"{self.mass} [GeV]")
        figure.align_ylabels()
        return figure


def _points(axis: Axes, edges: Floats, n: Floats, colour: str, name: str) -> None:
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    shown = np.nan_to_num(n) > 0
    if shown.any():
        axis.errorbar(centres[shown], (n / widths)[shown], intervals(n[shown]) / widths[shown], fmt="o", ms=3.2, lw=1,
                      color=colour, label=name)  # fmt: skip


def _reach(axis: Axes, edges: Floats, n: Floats, line: Floats) -> None:
    density = n / np.diff(edges)
    low = float(np.min(density[n > 0], initial=np.inf))  # the line may end far below what one event shows
    high = max(float(np.max(density)), float(np.max(line)))
    axis.set_ylim(0.02 * low, 12 * high)  # room for the text below and the legend above
