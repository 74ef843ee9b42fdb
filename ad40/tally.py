"""Counts that rates are made of: what fires, beside the standard menu, by lumi section, pileup, process and score.

Everything is an integer and sums are sums of integers, so that counts of files may be added in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import patterns, ugt
from ad40.events import open_events
from ad40.files import file_hash
from ad40.model import Trigger
from ad40.objects import unpack
from ad40.patterns import Pattern
from ad40.stream import Scored, scored

HDF5, PARQUET = (".h5", ".hdf5"), ".parquet"
# axis: the columns of the file that make its key
AXES = {"all": (), "lumi": ("run", "lumi"), "pileup": ("nPV_True",), "process": ("process",), "label": ("label",),
        "bx": ("bx",)}  # fmt: skip
STANDARD = "L1bit"  # the column with the decision of the standard menu


@dataclass(frozen=True, eq=False)
class Counts:
    """Integer keys int64 (k,), rising, and what was counted at each, int64 (k, columns)."""

    keys: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.integer], rows: NDArray[Any]) -> Counts:
        """Sums of rows (n, columns) with equal keys (n,)."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order].astype(np.int64)
        starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1)) if len(ordered) else np.zeros(0, np.intp)
        if not len(starts):
            return cls(ordered[:0], np.zeros((0, rows.shape[1]), np.int64))
        return cls(ordered[starts], np.add.reduceat(rows[order], starts, axis=0, dtype=np.int64))

    def __add__(self, other: Counts) -> Counts:
        return Counts.of(np.concatenate([self.keys, other.keys]), np.concatenate([self.values, other.values]))


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of `Counts` for a menu: events, those of the standard menu, each seed and any seed, and each seed and
    any together with the standard menu. "Any": an enabled seed fires and no veto."""

    seeds: int

    events: int = field(default=0, init=False)
    standard: int = field(default=1, init=False)

    def fired(self, seed: int) -> int:
        """Of a seed; of any seed for `seed` = number of seeds."""
        return 2 + seed

    def both(self, seed: int) -> int:
        return 3 + self.seeds + seed

    @property
    def n(self) -> int:
        return 4 + 2 * self.seeds


@dataclass(frozen=True, eq=False)
class Tally:
    """What one file, or several of a sample, hold. kind: of `ad40.events`, or "patterns". dropped: rows left out.
    counts: by axis; `score:<model>` by score. standard: whether the files tell the decision of the standard menu."""

    sample: str
    kind: str
    files: tuple[dict[str, Any], ...]
    attributes: dict[str, Any]
    standard: bool
    counts: dict[str, Counts]

    def __add__(self, other: Tally) -> Tally:
        """Both together; axes and processes that only one of them knows are left out."""
        processes = self.attributes == other.attributes
        return Tally(
            self.sample,
            self.kind,
            self.files + other.files,
            self.attributes if processes else {},
            self.standard and other.standard,
            {axis: counts + other.counts[axis] for axis, counts in self.counts.items() if axis in other.counts},
        )


def tally(file: Path, output: Path | None = None, *, board: Trigger, threads: int | None = None) -> Tally:
    """Count a file in bounded memory. output: not used; the signature is that of work on files."""
    with _open(file) as source:
        known = set(source.columns)
        axes = {axis: names for axis, names in AXES.items() if known.issuperset(names)}
        standard = STANDARD in known
        wanted = {name for names in axes.values() for name in names} | ({STANDARD} if standard else set())
        nothing = Counts(np.zeros(0, np.int64), np.zeros((0, Columns(len(board.menu.seeds)).n), np.int64))
        counts = dict.fromkeys([*axes, *(f"score:{network.name}" for network in board.networks)], nothing)
        for block in scored(source, board, sorted(wanted), threads):
            for axis, more in _block(block, board, axes).items():
                counts[axis] += more
        held = source.attributes if source.kind != "record" else {}
        name = str(held.get("sample") or file.name.removesuffix(".gz").rsplit(".", 1)[0])
        attributes = {"processes": held["processes"]} if "processes" in held else {}
        row = {"file": str(file), "sha256": file_hash(file), "events": source.n,
               "dropped": getattr(source, "dropped", 0)}  # fmt: skip
        return Tally(name, source.kind, (row,), attributes, standard, counts)


def _block(block: Scored, board: Trigger, axes: dict[str, tuple[str, ...]]) -> dict[str, Counts]:
    values, menu = block.columns, board.menu
    fired = menu.fired(block.score, values.get("bx"))
    veto = np.array([seed.veto for seed in menu.seeds])
    asking = np.array([seed.enabled for seed in menu.seeds]) & ~veto
    asks = np.any(fired[:, asking], axis=1) & ~np.any(fired[:, veto], axis=1)
    fired = np.concatenate([fired, asks[:, None]], axis=1)
    n = len(fired)
    standard: NDArray[np.bool_] = np.zeros((n, 1), np.bool_)
    if STANDARD in values:
        standard[:, 0] = values[STANDARD]
    rows = np.concatenate([np.ones((n, 1), np.bool_), standard, fired, fired & standard], axis=1)
    result: dict[str, Counts] = {}
    for axis, names in axes.items():
        key = np.zeros(n, np.int64)
        for name in names:
            key = (key << 32) + np.rint(values[name]).astype(np.int64)
        result[axis] = Counts.of(key, rows)
    for network, score in zip(board.networks, block.score.T, strict=True):
        result[f"score:{network.name}"] = Counts.of(score, rows)
    return result


class PatternEvents:
    """A pattern file as events: a bunch crossing each. Those with a fault on the links are dropped and counted."""

    kind = "patterns"
    columns = ("bx",)

    def __init__(self, path: Path) -> None:
        given = patterns.read(path)
        if isinstance(given, Pattern):
            received = patterns.receive(given, str(path))
            self._words, bad = received.words, received.bad
        else:
            self._words = ugt.to_words(given)
            bad = np.zeros(len(self._words), np.bool_)
        self._rows = np.flatnonzero(~bad)
        self.n, self.dropped = len(self._rows), int(bad.sum())
        self.saturated: dict[str, int] = {}
        self.attributes: dict[str, Any] = {}

    def blocks(self, size: int = 65536, columns: Any = ()) -> Any:
        """(first, words, columns), as the readers of events."""
        for start in range(0, self.n, size):
            rows = self._rows[start : start + size]
            yield start, self._words[rows], dict.fromkeys(columns, rows)

    def decode(self, raw: NDArray[np.uint64], first: int = 0) -> NDArray[np.int32]:
        """Codes of words."""
        return unpack(raw)

    def __enter__(self) -> PatternEvents:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _open(file: Path) -> Any:
    """Events of HDF5 and parquet files by their endings, of pattern files else."""
    return open_events(file) if file.suffix in (*HDF5, PARQUET) else PatternEvents(file)
