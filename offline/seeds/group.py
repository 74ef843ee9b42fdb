"""A flagged cluster of a result of `ad40 cluster`: its events in data, those of other clusters, and the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.split import hashed
from offline.clusters.result import DATA, Assigned, Result, read_result
from offline.seeds.excess import Excess

LEARN, CHOOSE, TEST = "learn", "choose", "test"
TENTHS = {LEARN: range(0, 5), CHOOSE: range(5, 7), TEST: range(7, 10)}
_SALT = 1 << 40  # so that these parts have nothing to do with those of the sample

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Events:
    """Some events. codes int16 (n, 19, 3); weight (n,): how many events each stands for; those of different parents are
    independent. distance (n,): to the centre of their cluster. label (n,): 0, or a signal where that is known. row
    (n,): in their file. copies (n,): how often each was drawn, 1 unless they are pseudo-data."""

    codes: NDArray[np.int16]
    weight: Floats
    parent: NDArray[np.int64]
    distance: Floats
    label: NDArray[np.integer]
    row: NDArray[np.int64]
    copies: Floats

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


def excess_of(data: Events, simulation: Events) -> Excess:
    """The excess of data over simulation, of the same part of a cluster."""
    return Excess.of(data.weight, simulation.weight, simulation.copies)


@dataclass(frozen=True, eq=False)
class Group:
    """A cluster, or several as one: their events in data, their simulated events, and the data of all other clusters.
    entry: what the result says of the first; document: what it says of everything."""

    numbers: tuple[int, ...]
    data: Events
    simulation: Events
    others: Events
    entry: dict[str, Any]
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """Such as "7", or "7_12" of two clusters."""
        return "_".join(map(str, self.numbers))

    @property
    def labels(self) -> dict[int, str]:
        """Names of the labels, where the truth is known."""
        return {int(k): str(v) for k, v in self.document.get("labels", {}).items()}


def read_groups(folder: str | Path, numbers: list[int] | None, together: bool = False) -> list[Group]:
    """The clusters of these numbers, or all that are flagged; together: as one group. Raises `InputError` when there is
    no such cluster, or none is flagged."""
    result = read_result(folder)
    entries = {int(one["cluster"]): one for one in result.document["clusters"]}
    wanted = [int(k) for k in result.document["flagged"]] if numbers is None else list(dict.fromkeys(numbers))
    if not wanted:
        raise InputError(folder, "flagged", "no cluster", "--cluster N for one that is not flagged")
    for number in wanted:
        if number not in entries:
            raise InputError("command line", "--cluster", number, "one of " + ", ".join(map(str, sorted(entries))))
    parts = [tuple(wanted)] if together else [(number,) for number in wanted]
    return [_group(result, part, [entries[number] for number in part]) for part in parts]


def _group(result: Result, numbers: tuple[int, ...], entries: list[dict[str, Any]]) -> Group:
    data, here = result.events.source == DATA, np.isin(result.events.cluster, numbers)
    inside, simulation, others = (
        _events(result.events.take(rows)) for rows in (data & here, ~data & here, data & ~here)
    )
    if len(inside) < 2 or not len(others):
        raise InputError("command line", "--cluster", numbers[0], "a cluster with events in data, and others outside")
    cluster = result.events.cluster[~data & here]
    for number, entry in zip(numbers, entries, strict=True):  # the comparison normalises them to the other clusters
        own = cluster == number
        if own.any():
            simulation.weight[own] *= float(entry["expected"]) / simulation.weight[own].sum()
    return Group(numbers, inside, simulation, others, entries[0], result.document)


def _events(found: Assigned) -> Events:
    copies = found.copies.astype(np.float64)
    weight = found.weight.astype(np.float64) * copies
    return Events(found.codes, weight, found.parent, found.distance.astype(np.float64), found.label, found.row, copies)
