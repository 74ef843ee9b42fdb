"""The average rapidity-mass matrix of a sample, and how it differs from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable
from offline.figures.style import GREY, label, panels


@dataclass(frozen=True)
class Matrix:
    """Mean of each cell over the events of a sample. names: the slots; mean: rows of a square matrix; blinded: cells
    (row, column) that the network does not see."""

    sample: str
    names: list[str]
    mean: list[list[float]]
    blinded: list[tuple[int, int]]
    events: int
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """One row for each cell that is not empty."""
        rows = [
            (a, b, self.mean[i][j])
            for i, a in enumerate(self.names)
            for j, b in enumerate(self.names)
            if self.mean[i][j] != 0
        ]
        return Table(
            [Variable("row", [r[0] for r in rows]), Variable("column", [r[1] for r in rows])],
            [Variable("mean of the cell", [r[2] for r in rows])],
            {"sample": self.sample, "events": self.events},
        )

    def draw(self) -> Figure:
        """Absolute means on a logarithmic colour scale."""
        figure, (axis,) = panels(size=(7.6, 6.6))
        mean = np.abs(np.array(self.mean))
        top = float(mean.max()) or 1.0
        image = axis.imshow(np.where(mean > 0, mean, np.nan), norm=LogNorm(top * 1e-5, top), cmap="viridis",
                            interpolation="none")  # fmt: skip
        for row, column in self.blinded:
            axis.plot(column, row, marker="x", color="white", ms=5, mew=1.2)
        slots(axis, self.names, 9, GREY)
        bar = figure.colorbar(image, ax=axis, pad=0.02, fraction=0.045)
        bar.set_label("|mean of the cell|", fontsize=12)
        bar.ax.tick_params(labelsize=10)
        label(axis, None, self.sqrt_s, self.status)
        blinded = r";  $\times$ blinded" if self.blinded else ""
        axis.set_xlabel(f"{self.sample}: {self.events:,} events{blinded}", fontsize=12)
        return figure


def slots(axis: Axes, names: list[str], size: float, line: str) -> None:
    """Label both axes of a matrix with its slots in letters of a size, and draw a line between types of objects."""
    places = range(len(names))
    symbols = [_symbol(name) for name in names]
    axis.set_xticks(places, symbols, rotation=90 if len(names) > 16 else 0, fontsize=size)
    axis.set_yticks(places, symbols, fontsize=size)
    axis.minorticks_off()
    axis.tick_params(which="both", length=0)
    for k in range(1, len(names)):
        if _kind(names[k]) != _kind(names[k - 1]):
            axis.axhline(k - 0.5, color=line, lw=0.8)
            axis.axvline(k - 0.5, color=line, lw=0.8)


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def _symbol(name: str) -> str:
    kind = _kind(name)
    return {"mu": r"$\mu$", "gamma": r"$\gamma$"}.get(kind, kind) + name[len(kind) :]
