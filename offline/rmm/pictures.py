"""Pictures of rapidity-mass matrices: one event with the numbers in its cells, and the average of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.figures.hepdata import Table as Data
from offline.figures.hepdata import Variable
from offline.figures.rmm import Matrix, slots
from offline.figures.style import label, panels
from offline.rmm.layout import Layout
from offline.table import Table

LEGIBLE = 16  # slots up to which each cell has its number
DECADES = 5  # of the colour scale


@dataclass(frozen=True)
class EventPicture:
    """One event: the slots it fills, in GeV where a cell is a mass or an energy, bare where it is a rapidity.

    counts: of the layout; cells: rows of the matrix; title: which event it is.
    """

    title: str
    counts: dict[str, int]
    cells: list[list[float]]
    sqrt_s: float

    def _filled(self) -> tuple[Layout, NDArray[np.float64], list[int]]:
        """The layout, the matrix, and the slots with an object (and MET)."""
        layout, cells = Layout(self.counts), np.array(self.cells)
        filled = (cells != 0).any(axis=0) | (cells != 0).any(axis=1)
        return layout, cells, [k for k in range(layout.width) if k == 0 or filled[k]]

    def table(self) -> Data:
        """One row for each cell between objects of the event, with the value of the matrix."""
        layout, cells, here = self._filled()
        names = [layout.name(i, j) for i in here for j in here]
        values = [float(cells[i, j]) for i in here for j in here]
        return Data([Variable("cell", names)], [Variable("value", values)], {"event": self.title})

    def draw(self) -> Figure:
        """Absolute values on a logarithmic colour scale, numbers in the cells unless there are too many."""
        layout, cells, here = self._filled()
        shown, names = cells[np.ix_(here, here)], [layout.names[k] for k in here]
        figure, (axis,) = panels(size=(8.4, 7.4))
        top = float(np.abs(shown).max()) or 1.0
        norm = LogNorm(top * 10.0**-DECADES, top, clip=True)
        image = axis.imshow(np.where(shown != 0, np.abs(shown), np.nan), norm=norm, cmap="viridis")
        if len(here) <= LEGIBLE:
            size = min(12.0, 100 / len(here))
            for i, j in np.ndindex(shown.shape):
                value = float(shown[i, j])
                if value or (i and j):  # without MET its row is empty
                    dark = value != 0 and float(norm(abs(value))) < 0.6
                    text = self._number(layout.name(here[i], here[j]), value)
                    axis.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if dark else "black")
        slots(axis, names, 14 if len(here) <= LEGIBLE else 9, "white")
        axis.set_xlabel("above the diagonal: masses [GeV]; first row: MET and transverse masses [GeV]\n"
                        r"diagonal: $E_T$ [GeV] of the first of a type, then $(E_T^{n-1}-E_T^{n})/(E_T^{n-1}+E_T^{n})$",
                        fontsize=11, loc="left")  # fmt: skip
        axis.set_ylabel(r"below: $0.15\,(\cosh(\Delta y/2)-1)$; first column: $0.15\,(\cosh\,y-1)$", fontsize=11)
        bar = figure.colorbar(image, ax=axis, pad=0.02, fraction=0.045)
        bar.set_label("|cell of the matrix|", fontsize=12)
        bar.ax.tick_params(labelsize=10)
        label(axis, None, self.sqrt_s, self.title)
        return figure

    def _number(self, cell: str, value: float) -> str:
        if value == 0 or cell.startswith("h"):
            return f"{value:.2g}"
        if cell.startswith("dET"):
            return f"{value:+.2f}"
        return f"{value * self.sqrt_s:.0f}" if value * self.sqrt_s >= 10 else f"{value * self.sqrt_s:.2g}"


def event(table: Table, row: int) -> EventPicture:
    """The picture of one event of a table, by its row."""
    if not 0 <= row < table.n:
        raise InputError(table.path, "event", row, f"a row from 0 to {table.n - 1}")
    cells = table.rmm(row, row + 1).astype(float).reshape(table.layout.width, -1)
    run, number = (int(table.column(name)[row]) for name in ("run", "event"))
    return EventPicture(f"run {run}, event {number}", dict(table.layout.counts), cells.tolist(), table.sqrt_s)


def mean(table: Table, chosen: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.float64], int]:
    """The mean matrix (W, W) of the events of a table, weighted, and their number. chosen: which, bool (n,).

    Cells of absent objects count as 0, so that an object in few events has a small mean. No event: all 0.
    """
    weight = table.column("weight").astype(np.float64)
    weight = weight if chosen is None else np.where(chosen, weight, 0.0)
    n = table.n if chosen is None else int(np.count_nonzero(chosen))
    total = np.zeros(table.layout.width**2)
    for start, stop in table.blocks(65536):
        rows = table.sparse(start, stop)
        each = np.repeat(weight[start:stop], np.diff(rows.indptr))
        total += np.bincount(rows.indices, weights=each * rows.values, minlength=len(total))
    scale = weight.sum()
    if n and scale <= 0:
        raise InputError(table.path, "sum of weights", scale, "above 0, for an average")
    return (total / scale if n else total).reshape(table.layout.width, -1), n


def average(table: Table, sample: str, chosen: NDArray[np.bool_] | None = None, status: str = "") -> Matrix:
    """The picture of the mean matrix of the events of a table; `sample` names them."""
    cells, n = mean(table, chosen)
    layout = table.layout
    blinded = [layout.cell(name) for name in layout.blinded]
    return Matrix(sample, list(layout.names), cells.tolist(), blinded, n, table.sqrt_s, status)
