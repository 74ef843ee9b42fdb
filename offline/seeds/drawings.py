"""Figures of a group of events and of a seed for it, each with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable, bins
from offline.figures.style import COLOURS, GREY, INK, MARKERS, intervals, label, note, panels


@dataclass(frozen=True)
class Shares:
    """One quantity in bins: shares of the group and of other samples. lines: name -> share of each bin."""

    quantity: str
    units: str
    edges: list[float]
    lines: dict[str, list[float]]
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        return Table([Variable(self.quantity, bins(self.edges), self.units)],
                     [Variable(f"share of {name}", values) for name, values in self.lines.items()])  # fmt: skip

    def draw(self) -> Figure:
        figure, (axis,) = panels(size=(6.2, 5.0))
        for k, (name, values) in enumerate(self.lines.items()):
            first = k == 0
            axis.stairs(values, self.edges, color=COLOURS[2 if first else k - 1], label=name, fill=first, lw=1.8,
                        alpha=0.3 if first else 1.0)  # fmt: skip
        axis.set_xlim(self.edges[0], self.edges[-1])
        axis.set_ylim(0, 1.35 * max(max(v) for v in self.lines.values()))
        axis.set_xlabel(self.quantity + (f" [{self.units}]" if self.units else ""))
        axis.set_ylabel("share of the events")
        axis.legend(fontsize=11)
        label(axis, None, self.sqrt_s, self.status)
        return figure


@dataclass(frozen=True)
class Masses:
    """A mass spectrum of the group: events, and what simulation expects in it with its statistical error."""

    mass: str
    edges: list[float]
    events: list[float]
    expected: list[float]
    error: list[float]
    lines: list[str]
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        low, high = intervals(np.array(self.events))
        return Table([Variable(self.mass, bins(self.edges), "GeV")],
                     [Variable("events", self.events, errors={"stat": list(zip(low, high, strict=True))}),
                      Variable("expected", self.expected, errors={"simulation": self.error})])  # fmt: skip

    def draw(self) -> Figure:
        figure, (axis,) = panels(size=(6.2, 5.0))
        edges, events = np.array(self.edges), np.array(self.events)
        expected, error = np.array(self.expected), np.array(self.error)
        axis.stairs(expected, edges, fill=True, color=COLOURS[0], alpha=0.35, label="known processes, simulated")
        axis.stairs(expected + error, edges, baseline=np.maximum(expected - error, 0), fill=True, color=GREY, alpha=0.6)
        axis.errorbar((edges[1:] + edges[:-1]) / 2, events, intervals(events), fmt="o", color=INK, ms=4, lw=1,
                      label="events of the group")  # fmt: skip
        axis.set_xlim(edges[0], edges[-1])
        axis.set_ylim(0, 1.45 * max(float((events + np.sqrt(events)).max()), float(expected.max()), 1.0))
        axis.set_xlabel(f"{self.mass} [GeV]")
        axis.set_ylabel("events")
        axis.legend(fontsize=11, loc="upper right")
        note(axis, self.lines, 0.04, 0.96)
        label(axis, None, self.sqrt_s, self.status)
        return figure


@dataclass(frozen=True)
class Tradeoff:
    """Share of the excess that is kept against the rate. lines: name -> (rates [Hz], shares); points: name -> (interval
    of the rate, of the share), each [low, value, high]."""

    lines: dict[str, tuple[list[float], list[float]]]
    points: dict[str, tuple[list[float], list[float]]]
    target_hz: float
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        rows = [(name, r, e) for name, (hz, kept) in self.lines.items() for r, e in zip(hz, kept, strict=True)]
        rows += [(name, r[1], e[1]) for name, (r, e) in self.points.items()]
        names, hz, kept = (list(column) for column in zip(*rows, strict=True))
        return Table([Variable("seed", names), Variable("rate", hz, "Hz")], [Variable("share of the excess", kept)],
                     {"target rate [Hz]": self.target_hz})  # fmt: skip

    def draw(self) -> Figure:
        figure, (axis,) = panels(size=(7.6, 5.8))
        for k, (name, (hz, kept)) in enumerate(self.lines.items()):
            axis.plot(hz, kept, color=COLOURS[k % len(COLOURS)], lw=1.6, marker="." if len(hz) < 12 else "", label=name)
        for k, (name, (hz, kept)) in enumerate(self.points.items()):
            errors = [[[v[1] - v[0]], [v[2] - v[1]]] for v in (hz, kept)]
            axis.errorbar(hz[1], kept[1], errors[1], errors[0], fmt=MARKERS[k % len(MARKERS)], ms=8, color=INK,
                          mfc="none" if k else INK, label=name)  # fmt: skip
        axis.axvline(self.target_hz, color=GREY, ls=":", lw=1.5)
        axis.set_xscale("log")
        axis.set_ylim(0, 1.25)
        axis.set_xlabel("rate [Hz]")
        axis.set_ylabel("share of the excess that is kept")
        axis.legend(fontsize=10, loc="best")
        label(axis, None, self.sqrt_s, self.status)
        return figure
