"""Rules that a dedicated seed can follow: cuts, and sums of small trees, on whole numbers.

A rule gives each event a whole score, never negative: the number of cuts it passes, or the sum of the leaves that it
ends in. `offline.seeds.wired` makes the same of a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.seeds.quantities import Quantity

MAX_DEPTH = 4
Integers = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Cut:
    """quantity >= least, or quantity < least where `below`. column: of the quantity in the table."""

    column: int
    least: int
    below: bool = False

    def __call__(self, table: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which events (n,) of a table (n, quantities) pass."""
        passed: NDArray[np.bool_] = (table[:, self.column] < self.least) == self.below
        return passed

    @property
    def other(self) -> Cut:
        """The cut that passes what this one does not."""
        return Cut(self.column, self.least, not self.below)

    def text(self, names: Sequence[Quantity]) -> str:
        """The cut for people: integers first, as the hardware compares them."""
        one = names[self.column]
        sign, count = ("<=", self.least - 1) if self.below else (">=", self.least)
        return f"{one.name} {sign} {count}" + (f" ({one.text(count)})" if one.units else "")


@dataclass(frozen=True)
class Cuts:
    """All of some cuts; the score is the number of those passed."""

    cuts: tuple[Cut, ...]

    def score(self, table: NDArray[np.integer]) -> Integers:
        """int64 (n,), 0 to the number of cuts."""
        total: Integers = np.sum([cut(table) for cut in self.cuts], axis=0, dtype=np.int64)
        return total

    @property
    def highest(self) -> int:
        """The score of an event that passes everything."""
        return len(self.cuts)

    def text(self, names: Sequence[Quantity]) -> list[str]:
        """A line for each cut."""
        return [cut.text(names) for cut in self.cuts]


@dataclass(frozen=True)
class Node:
    """A node of a tree: a leaf with a whole value, or a cut with what follows where it passes and where it fails."""

    value: int = 0
    cut: Cut | None = None
    passed: Node | None = None
    failed: Node | None = None

    def leaves(self, path: tuple[Cut, ...] = ()) -> Iterator[tuple[tuple[Cut, ...], int]]:
        """The cuts that lead to each leaf, and its value."""
        if self.cut is None or self.passed is None or self.failed is None:
            yield _tightest(path), self.value
        else:
            yield from self.passed.leaves((*path, self.cut))
            yield from self.failed.leaves((*path, self.cut.other))

    def values(self, table: NDArray[np.integer]) -> Integers:
        """Values int64 (n,) of the leaves that events end in, walking the tree."""
        out = np.full(len(table), self.value, np.int64)
        if self.cut is not None and self.passed is not None and self.failed is not None:
            here = self.cut(table)
            out[here], out[~here] = self.passed.values(table[here]), self.failed.values(table[~here])
        return out


def _tightest(path: Sequence[Cut]) -> tuple[Cut, ...]:
    """The cuts of a path without those that another one of the same quantity implies."""
    found: dict[tuple[int, bool], Cut] = {}
    for cut in path:
        key = cut.column, cut.below
        last = found.get(key)
        if last is None or (cut.least < last.least) == cut.below:
            found[key] = cut
    return tuple(found.values())


@dataclass(frozen=True)
class Trees:
    """Trees whose leaf values, none below 0, are added."""

    trees: tuple[Node, ...]

    def score(self, table: NDArray[np.integer]) -> Integers:
        """int64 (n,)."""
        total: Integers = np.sum([tree.values(table) for tree in self.trees], axis=0, dtype=np.int64)
        return total

    @property
    def highest(self) -> int:
        """No event has more."""
        return sum(max(value for _, value in tree.leaves()) for tree in self.trees)

    def text(self, names: Sequence[Quantity]) -> list[str]:
        """A line for each leaf that counts: the cuts that lead to it, and its value."""
        lines = []
        for k, tree in enumerate(self.trees):
            where = f"tree {k + 1}: " if len(self.trees) > 1 else ""
            for path, value in sorted(tree.leaves(), key=lambda leaf: -leaf[1]):
                if value:
                    lines.append(f"{where}{' and '.join(cut.text(names) for cut in path) or 'always'}: {value}")
        return lines


Rule = Cuts | Trees
