"""A flagged cluster of a result of `ad40 cluster`: its events in data, those of other clusters, and the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.split import hashed
from offline.clusters.result import Result, read_result

LEARN, CHOOSE, TEST = "learn", "choose", "test"
TENTHS = {LEARN: range(0, 5), CHOOSE: range(5, 7), TEST: range(7, 10)}
_SALT = 1 << 40  # so that these parts have nothing to do with those of the sample

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Events:
    """Some events. codes int16 (n, 19, 3); weight (n,): how many events each stands for; independent of each other are
    those of different parents. distance (n,): to the centre of their cluster. label (n,): 0, or a signal where known."""

    codes: NDArray[np.int16]
    weight: Floats
    parent: NDArray[np.int64]
    distance: Floats
    label: NDArray[np.integer]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Events:
        """The events of these rows."""
        return Events(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def part(self, name: str) -> Events:
        """The events to learn from, to choose by, or to be judged on: `TENTHS`, by a hash of their parent."""
        tenths = TENTHS[name]
        tenth = hashed(self.parent + _SALT + (self.label.astype(np.int64) << 41)) % np.uint64(10)
        return self.take((tenth >= tenths.start) & (tenth < tenths.stop))


@dataclass(frozen=True, eq=False)
class Group:
    """A cluster: its events in data, its simulated events, and the data of all other clusters. entry: what the result
    says of it; document: what it says of everything."""

    number: int
    data: Events
    simulation: Events
    others: Events
    entry: dict[str, Any]
    document: dict[str, Any]

    @property
    def labels(self) -> dict[int, str]:
        """Names of the labels, where the truth is known."""
        return {int(k): str(v) for k, v in self.document.get("labels", {}).items()}


def read_groups(folder: str | Path, numbers: list[int] | None) -> list[Group]:
    """The clusters of these numbers, or all that are flagged. Raises `InputError` when there is no such cluster, or
    none is flagged."""
    result = read_result(folder)
    entries = {int(one["cluster"]): one for one in result.document["clusters"]}
    wanted = [int(k) for k in result.document["flagged"]] if numbers is None else numbers
    if not wanted:
        raise InputError(folder, "flagged", "no cluster", "--cluster N for one that is not flagged")
    for number in wanted:
        if number not in entries:
            raise InputError("command line", "--cluster", number, "one of " + ", ".join(map(str, sorted(entries))))
    return [_group(result, number, entries[number]) for number in wanted]


def _group(result: Result, number: int, entry: dict[str, Any]) -> Group:
    data, here = result.source == 0, result.cluster == number
    found = [_events(result, rows) for rows in (data & here, ~data & here, data & ~here)]
    if len(found[0]) < 2 or not len(found[2]):
        raise InputError("command line", "--cluster", number, "a cluster with events in data, and others outside of it")
    return Group(number, *found, entry, result.document)


def _events(result: Result, rows: NDArray[np.bool_]) -> Events:
    weight = result.weight[rows].astype(np.float64) * result.copies[rows]
    return Events(result.codes[rows], weight, result.parent[rows], result.distance[rows].astype(np.float64),
                  result.label[rows], result.row[rows])  # fmt: skip
