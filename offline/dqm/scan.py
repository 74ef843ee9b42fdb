"""Where a map of objects differs from the reference: a scan of windows in eta and phi for what is too hot or too cold.

Each window compares two Poisson counts, o of the section and r of the reference, given the totals of both maps. With
rho the share that the section has of all objects and m = o + r, twice the logarithm of their likelihood ratio is

    2 (o ln(o / (m rho)) + r ln(r / (m (1 - rho))))

so that cells that the reference never filled and its own fluctuation need no special care. The largest of all windows
is the test; what it is worth after so many windows is calibrated (`offline.dqm.pseudo`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.dqm.quantities import Map, Quantities

Floats = NDArray[np.float64]
MARGIN = 2  # rows beyond those that the reference fills


@dataclass(frozen=True)
class Found:
    """A window. value: twice the log likelihood ratio; observed, expected: objects in it; hot: more than expected."""

    value: float
    kind: str
    row: int
    column: int
    height: int
    width: int
    observed: int
    expected: float

    @property
    def hot(self) -> bool:
        """More objects than expected."""
        return self.observed > self.expected


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of one size of a map. They begin at every so many rows and columns; `reference`: objects r in each;
    `entropy`: r ln r."""

    height: int
    width: int
    rows: slice
    columns: slice
    reference: Floats
    entropy: Floats

    def sums(self, integral: NDArray[np.int64]) -> NDArray[np.int64]:
        """Objects in each window, of the integral of a map."""
        top, low = _moved(self.rows, self.height), _moved(self.columns, self.width)
        return integral[top, low] - integral[self.rows, low] - integral[top, self.columns] + integral[
            self.rows, self.columns
        ]  # fmt: skip


def _moved(at: slice, by: int) -> slice:
    return slice(at.start + by, at.stop + by, at.step)


class Scan:
    """The windows of all maps with what a reference, counts (cells,), has in them. Rows of eta far from where the
    reference has any objects are left out."""

    def __init__(self, quantities: Quantities, reference: NDArray[np.integer]) -> None:
        self._maps = [(one, self._windows(one, reference, quantities)) for one in quantities.maps]
        self._totals = [float(reference[one.start : one.stop].sum()) for one in quantities.maps]

    @staticmethod
    def _windows(one: Map, reference: NDArray[np.integer], quantities: Quantities) -> list[_Windows]:
        integral, found = _integral(one, reference), []
        filled = np.flatnonzero(reference[one.start : one.stop].reshape(one.eta, one.phi).any(axis=1))
        first, last = (max(filled[0] - MARGIN, 0), min(filled[-1] + MARGIN + 1, one.eta)) if len(filled) else (0, 0)
        for height, width in quantities.settings.scan.windows:
            h = {0: last - first, -1: (last - first) // 2}.get(height, height)
            w = width or one.phi
            if h > last - first or h == 0:
                continue
            step = last - first - h if height == -1 else max(h // 3, 1)
            rows = slice(int(first), int(last - h + 1), max(int(step), 1))
            columns = slice(0, one.phi, max(w // 3, 1)) if width else slice(0, 1, 1)
            there = _Windows(h, w, rows, columns, np.zeros(0), np.zeros(0)).sums(integral).astype(np.float64)
            found.append(_Windows(h, w, rows, columns, there, there * np.log(np.maximum(there, 1.0))))
        return found

    def __call__(self, cells: NDArray[np.integer]) -> Found:
        """The window of counts (cells,) that differs most."""
        best = Found(0.0, self._maps[0][0].kind, 0, 0, 1, 1, 0, 0.0)
        for (one, windows), total in zip(self._maps, self._totals, strict=True):
            mine = float(cells[one.start : one.stop].sum())
            if mine == 0 or total == 0:
                continue  # the numbers of objects are compared elsewhere
            integral, share = _integral(one, cells), mine / (mine + total)
            for size in windows:
                seen = size.sums(integral)
                value, at = _largest(seen.ravel(), size.reference.ravel(), size.entropy.ravel(), share)
                if value > best.value:
                    i, j = (int(v) for v in np.unravel_index(at, seen.shape))
                    best = Found(value, one.kind, size.rows.start + i * size.rows.step,
                                 size.columns.start + j * size.columns.step, size.height, size.width, int(seen[i, j]),
                                 float(size.reference[i, j] * mine / total))  # fmt: skip
        return best

    def again(self, found: Found, cells: NDArray[np.integer]) -> float:
        """The value of a window on other counts."""
        for (one, windows), total in zip(self._maps, self._totals, strict=True):
            mine = float(cells[one.start : one.stop].sum())
            if one.kind != found.kind or mine == 0:
                continue
            for size in windows:
                i, j = found.row - size.rows.start, found.column - size.columns.start
                if (size.height, size.width) == (found.height, found.width):
                    at = (i // size.rows.step, j // size.columns.step)
                    three = (size.sums(_integral(one, cells))[at], size.reference[at], size.entropy[at])
                    return _largest(*(np.array([v]) for v in three), mine / (mine + total))[0]
        return 0.0


def _integral(one: Map, cells: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sums over all rows and columns before each, int64 (eta + 1, 2 phi + 1): phi goes around once."""
    grid = cells[one.start : one.stop].reshape(one.eta, one.phi)
    result = np.zeros((one.eta + 1, 2 * one.phi + 1), np.int64)
    result[1:, 1:] = np.concatenate([grid, grid], axis=1).cumsum(axis=0).cumsum(axis=1)
    return result


def _largest(seen: NDArray[np.int64], reference: Floats, entropy: Floats, share: float) -> tuple[float, int]:
    """The largest of twice the log likelihood ratios of windows (n,), and where it is.

    o ln o + r ln r - m ln m - o ln rho - r ln(1 - rho): windows where nothing was seen have the last term only.
    """
    filled = seen > 0
    here = np.flatnonzero(filled)
    o, r = seen[here].astype(np.float64), reference[here]
    m = o + r
    value = o * np.log(o / share) + entropy[here] - m * np.log(m) - r * np.log1p(-share)
    best, at = (float(value.max()), int(here[np.argmax(value)])) if len(here) else (0.0, 0)
    if len(here) < len(seen):
        nothing = np.where(filled, 0.0, reference)
        cold = int(np.argmax(nothing))
        if -np.log1p(-share) * nothing[cold] > best:
            best, at = float(-np.log1p(-share) * nothing[cold]), cold
    return 2 * best, at
