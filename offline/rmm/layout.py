"""Which slot and which cell of a rapidity-mass matrix means what, by name.

Rows and columns are the same slots: MET, then the objects of each type in pt order. The name of a slot is "MET" or
the short name of the type and the rank from 1: "j1", "b2", "mu1", "e5", "gamma1". The names of the cells:

    MET             missing transverse energy
    mT(j1)          first row: transverse mass of the object and MET
    hL(j1)          first column: how far forward the object is
    ET(j1)          diagonal, first object of a type: transverse energy
    dET(j2)         diagonal, further objects: imbalance of the transverse energies of j1 and j2
    m(j1,mu1)       above the diagonal: mass of the pair
    h(j1,mu1)       below the diagonal: rapidity difference of the pair

`offline.rmm.matrix` has the formulas. Source of the matrix: arXiv:1805.11650; of the default slots and of the nine
blinded masses: PRL 132 (2024) 081801.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import COUNTS, SHORT, checked_counts

MAX_SLOTS = 256  # so that a flat cell index is a uint16

_BLINDED = (
    *("m(j1,j2)", "m(j1,b1)", "m(j1,mu1)", "m(j1,e1)", "m(j1,gamma1)"),
    *("m(b1,b2)", "m(b1,mu1)", "m(b1,e1)", "m(b1,gamma1)"),
)


@dataclass(frozen=True)
class Layout:
    """The slots of a matrix of any configuration of objects.

    counts: how many objects of each type, {"jet": 10, ...}; a type that is left out has none.
    Raises `InputError` for an unknown type, a count that is no whole number, no object at all, or over 255 of them.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: dict(COUNTS))

    def __post_init__(self) -> None:
        counts = checked_counts(self.counts)
        if not 1 <= sum(counts.values()) < MAX_SLOTS:
            raise InputError("counts", "sum", sum(counts.values()), f"1 to {MAX_SLOTS - 1} objects in all")
        object.__setattr__(self, "counts", counts)

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout of "jet=10,bjet=5"; a type that is not named keeps its default count."""
        counts = dict(COUNTS)
        for part in filter(None, text.replace(" ", "").split(",")):
            name, _, value = part.partition("=")
            if name not in SHORT or not value.isdecimal():
                expected = f"TYPE=NUMBER,... with types {', '.join(SHORT)}"
                raise InputError("command line", "--counts", repr(part), expected)
            counts[name] = int(value)
        return cls(counts)

    def __hash__(self) -> int:
        return hash(tuple(self.counts.items()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The slots: ("MET", "j1", ..., "gamma5")."""
        return ("MET", *(f"{SHORT[name]}{i + 1}" for name, count in self.counts.items() for i in range(count)))

    @property
    def width(self) -> int:
        """Number of slots: the matrix is width x width."""
        return len(self.names)

    @cached_property
    def starts(self) -> dict[str, int]:
        """The slot of the first object of each type."""
        starts, at = {}, 1
        for name, count in self.counts.items():
            starts[name] = at
            at += count
        return starts

    @cached_property
    def _cells(self) -> dict[str, tuple[int, int]]:
        return {self.name(row, column): (row, column) for row, column in np.ndindex(self.width, self.width)}

    def cell(self, name: str) -> tuple[int, int]:
        """(row, column) of a cell. The two objects of m(...) and h(...) may stand in either order.

        Raises `InputError` for a name that this layout does not have.
        """
        plain = name.replace(" ", "")
        other = re.sub(r"\((.*),(.*)\)", r"(\2,\1)", plain)
        for known in (plain, other):
            if known in self._cells:
                return self._cells[known]
        slots = ", ".join(f"{SHORT[name]}1 to {SHORT[name]}{count}" for name, count in self.counts.items() if count)
        expected = f"MET, mT(a), hL(a), ET(first of a type), dET(further ones), m(a,b) or h(a,b) with slots {slots}"
        raise InputError("layout", "cell", repr(name), expected)

    def name(self, row: int, column: int) -> str:
        """The name of a cell: `cell` the other way round."""
        if not (0 <= row < self.width and 0 <= column < self.width):
            raise InputError("layout", "cell", (row, column), f"row and column from 0 to {self.width - 1}")
        low, high = self.names[min(row, column)], self.names[max(row, column)]
        if row == column:
            return "MET" if row == 0 else f"{'ET' if row in self.starts.values() else 'dET'}({low})"
        if row < column:
            return f"mT({high})" if row == 0 else f"m({low},{high})"
        return f"hL({high})" if column == 0 else f"h({low},{high})"

    def flat(self, name: str) -> int:
        """The index of a cell in a flattened matrix: row * width + column."""
        row, column = self.cell(name)
        return row * self.width + column

    @cached_property
    def blinded(self) -> tuple[str, ...]:
        """The mass cells that a network must not see, because they are searched: those of the nine that exist."""
        return tuple(name for name in _BLINDED if name in self._cells)

    @cached_property
    def inputs(self) -> NDArray[np.int64]:
        """Flat indices, rising, of the cells that a network sees: all but the blinded ones (1,287 of 1,296)."""
        seen = np.ones(self.width**2, dtype=bool)
        seen[[self.flat(name) for name in self.blinded]] = False
        return np.flatnonzero(seen)
