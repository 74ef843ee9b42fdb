"""Event displays: the objects of one event in the plane of eta and phi, and across the beam."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ad40 import spec
from offline.figures.hepdata import Table, Variable
from offline.figures.style import GREY, INK, label
from offline.inputs import physical
from offline.seeds.quantities import SHORT

MAX_ETA = 5.2
LOOK = {"met": (INK, "s"), "egamma": ("#5790fc", "o"), "muon": ("#e42536", "^"), "jet": ("#f89c20", "D")}
"""Colour and marker of each type."""
SYMBOL = {"met": r"$p_T^{miss}$", "egamma": r"e/$\gamma$", "muon": r"$\mu$", "jet": "jet"}
LABELLED = 3  # jets with their name beside them

Row = tuple[str, str, float, float, float]  # type, name, pt [GeV], eta, phi [rad]


def rows_of(codes: NDArray[np.integer]) -> list[Row]:
    """The objects of one event, codes (19, 3), that are there."""
    event = physical(codes[None])[0]
    found: list[Row] = []
    for kind in spec.objects().types:
        for rank, (pt, eta, phi) in enumerate(event[kind.slots].tolist()):
            if pt > 0:
                angle = (phi + np.pi) % (2 * np.pi) - np.pi
                found.append((kind.name, SHORT[kind.name] + (str(rank + 1) if kind.count > 1 else ""), pt, eta, angle))
    return found


@dataclass(frozen=True)
class EventDisplay:
    """One event. rows: its objects (type, name, pt [GeV], eta, phi [rad]); title: which event it is."""

    title: str
    rows: list[Row]
    sqrt_s: float

    def table(self) -> Table:
        """One row for each object; MET has no eta."""
        _, names, pt, eta, phi = (list(column) for column in zip(*self.rows, strict=True))
        shown = [None if row[0] == "met" else value for row, value in zip(self.rows, eta, strict=True)]
        return Table([Variable("object", names)],
                     [Variable("pt", pt, "GeV"), Variable("eta", shown), Variable("phi", phi, "rad")],
                     {"event": self.title})  # fmt: skip

    def draw(self) -> Figure:
        """Left: eta and phi, areas as pt, MET a line. Right: across the beam, lengths as the square root of pt."""
        figure = plt.figure(figsize=(10.4, 5.2), layout="constrained")
        plane = figure.add_subplot(1, 2, 1)
        across = figure.add_subplot(1, 2, 2, projection="polar")
        top = max(1.0, *(row[2] for row in self.rows))
        for kind, name, pt, eta, phi in reversed(self.rows):  # leptons above jets
            colour, marker = LOOK[kind]
            named = kind != "jet" or int(name[1:]) <= LABELLED
            if kind == "met":
                plane.axhline(phi, color=colour, lw=1.5, ls="--")
            else:
                plane.scatter(eta, phi, s=30 + 600 * pt / top, color=colour, marker=marker, alpha=0.65, lw=0)
            if named:
                place = -MAX_ETA + 0.1 if kind == "met" else eta
                side = (5, -11) if kind == "jet" else (5, 5)
                plane.annotate(f"{name} {pt:.0f}", (place, phi), side, textcoords="offset points", fontsize=10)
            style = {"lw": 1.6, "ls": "--"} if kind == "met" else {"lw": 5 if kind == "jet" else 2.5}
            across.plot([phi, phi], [0, np.sqrt(pt)], color=colour, solid_capstyle="butt", **style)
            if named:
                beyond = 0.11 if kind == "jet" else 0.04  # a lepton is often a jet, too
                across.annotate(name, (phi, np.sqrt(pt) + beyond * np.sqrt(top)), fontsize=10, ha="center",
                                va="center")  # fmt: skip
        plane.set_xlim(-MAX_ETA, MAX_ETA)
        plane.set_ylim(-np.pi, np.pi)
        plane.set_yticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], [r"$-\pi$", r"$-\pi/2$", "0", r"$\pi/2$", r"$\pi$"])
        plane.set_xlabel(r"$\eta$")
        plane.set_ylabel(r"$\phi$ [rad]")
        plane.grid(color=GREY, lw=0.4, alpha=0.6)
        kinds = [kind for kind in LOOK if any(row[0] == kind for row in self.rows)]
        handles = [Line2D([], [], color=LOOK[kind][0], marker="" if kind == "met" else LOOK[kind][1],
                          ls="--" if kind == "met" else "", ms=8) for kind in kinds]  # fmt: skip
        figure.legend(handles, [SYMBOL[kind] for kind in kinds], loc="outside lower left", fontsize=11, ncols=4)
        ticks = [t for t in (5, 20, 50, 100, 200, 500, 1000, 2000) if 0.02 * top < t < 1.1 * top]
        across.set_yticks(np.sqrt(ticks), [f"{t}" for t in ticks], fontsize=9)
        across.set_ylim(0, 1.2 * np.sqrt(top))
        across.set_xticks([0, np.pi / 2, np.pi, 3 * np.pi / 2], ["0", r"$\pi/2$", r"$\pi$", r"$-\pi/2$"], fontsize=11)
        across.grid(color=GREY, lw=0.4, alpha=0.6)
        across.set_xlabel("across the beam; circles: pt [GeV]", fontsize=11, loc="center")
        label(plane, None, self.sqrt_s, self.title)
        return figure


def display(codes: NDArray[np.integer], title: str, sqrt_s: float) -> EventDisplay:
    """The display of one event, codes (19, 3); of one without any object it says so by MET of 0."""
    return EventDisplay(title, rows_of(codes) or [("met", SHORT["met"], 0.0, 0.0, 0.0)], sqrt_s)
