"""Where two answers differ: all rows counted, the first differences named bit field by bit field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SHOWN = 20  # differences that are named


class Field(NamedTuple):
    """Some bits of a column: its name, lowest bit and width."""

    name: str
    low: int
    width: int = 1


class Column(NamedTuple):
    """A value of each row. With `fields` it is a word, unsigned, whose differences are named by field, and by number
    where a bit belongs to none."""

    name: str
    fields: tuple[Field, ...] | None = None


class Difference(NamedTuple):
    """One value that differs: its row, where that is, what differs, and the value on either side."""

    row: int
    place: str
    field: str
    found: int
    wanted: int

    def __str__(self) -> str:
        return f"{self.place}, {self.field} {self.found} vs {self.wanted}"


class Differences:
    """Differences of two tables that are compared piece by piece.

    rows: compared. wrong: rows with a difference. first: the first `SHOWN` differences. place: row -> where it is.
    """

    def __init__(self, place: Callable[[int], str] = "event {}".format, rows: str = "events") -> None:
        self._place, self._unit = place, rows
        self.rows = self.wrong = 0
        self.first: list[Difference] = []

    def compare(
        self,
        start: int,
        columns: Sequence[Column],
        found: NDArray[np.integer],
        wanted: NDArray[np.integer],
    ) -> None:
        """Compare rows from `start` on, found and wanted (n, columns)."""
        unequal = found != wanted
        wrong = np.flatnonzero(unequal.any(axis=1))
        self.rows += len(unequal)
        self.wrong += len(wrong)
        for row in wrong[: SHOWN - len(self.first)].tolist():
            for index in np.flatnonzero(unequal[row]).tolist():
                for field, one, other in _named(columns[index], int(found[row, index]), int(wanted[row, index])):
                    if len(self.first) < SHOWN:
                        self.first.append(Difference(start + row, self._place(start + row), field, one, other))

    def sentence(self, found: object, wanted: str) -> str:
        """Both sides by name, how many rows differ, and the first differences, one to a line."""
        head = f"{found} != {wanted}: {self.wrong}/{self.rows} {self._unit}; first at {self.first[0]}"
        more = [f"  {difference}" for difference in self.first[1:]]
        return "\n".join([head, *more, *(["  ..."] if len(self.first) == SHOWN else [])])

    def summary(self) -> dict[str, Any]:
        """The same for other programs."""
        return {"rows": self.rows, "mismatches": self.wrong, "first": [one._asdict() for one in self.first]}


def _named(column: Column, found: int, wanted: int) -> Iterator[tuple[str, int, int]]:
    """(field, found, wanted) of each field that differs."""
    if column.fields is None:
        yield column.name, found, wanted
        return
    left = found ^ wanted
    for field in column.fields:
        mask = ((1 << field.width) - 1) << field.low
        if left & mask:
            yield f"{column.name}: {field.name}", (found & mask) >> field.low, (wanted & mask) >> field.low
            left &= ~mask
    while left:
        bit = left & -left
        yield f"{column.name}: bit {bit.bit_length() - 1}", int(bool(found & bit)), int(bool(wanted & bit))
        left &= left - 1


def seed_fields(names: Sequence[str]) -> tuple[Field, ...]:
    """The fields of a mask of seeds."""
    return tuple(Field(f"seed {name}", bit) for bit, name in enumerate(names))
