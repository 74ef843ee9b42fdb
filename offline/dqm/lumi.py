"""Lumi sections of a file, one after the other in bounded memory: the counts of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import HashMismatch, InputError
from ad40.events import open_events
from ad40.model import Model
from ad40.split import tenth_of
from offline.dqm.quantities import OUTSIDE, Cells, Quantities, Vectors

BLOCK = 32768  # events read at a time


@dataclass(frozen=True, eq=False)
class Counts:
    """Sums over the events of one or several lumi sections. vector int64 (width,), cells int64 (cells,).

    pairs: ordered pairs of two events that share a parent, by which a sum fluctuates more than that of independent
    events.
    """

    events: int
    pairs: int
    vector: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.events + other.events, self.pairs + other.pairs, self.vector + other.vector,
                      self.cells + other.cells)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Events:
    """Consecutive events of a file. codes int32 (n, 19, 3), score int64 (n,), run, lumi, parent int64 (n,) or None."""

    codes: NDArray[np.int32]
    score: NDArray[np.int64]
    run: NDArray[np.int64]
    lumi: NDArray[np.int64]
    parent: NDArray[np.int64] | None


def count(vectors: Vectors, occupancy: Cells, cells: int, parent: NDArray[np.integer] | None = None) -> Counts:
    """The sums of events, whose vectors are (n, width) and cells (n, objects)."""
    inside = occupancy[occupancy != OUTSIDE]
    return Counts(len(vectors), _pairs(parent), vectors.sum(axis=0, dtype=np.int64),
                  np.bincount(inside, minlength=cells).astype(np.int64))  # fmt: skip


def _pairs(parent: NDArray[np.integer] | None) -> int:
    if parent is None or not len(parent):
        return 0
    sizes = np.unique(parent, return_counts=True)[1]
    return int((sizes * (sizes - 1)).sum())


def blocks(
    path: Path, model: Model | None, per_lumi: int | None = None, seed: str | None = None,
    tenths: range | None = None,
) -> Iterator[Events]:  # fmt: skip
    """The events of a file of any kind, block by block.

    model: what computes the score where the file is no TriggerRecord; of a record, the model that it must be of.
    per_lumi: so many consecutive events are a lumi section; None: the columns run and lumi say. seed: only events of
    a record that passed this seed. tenths: only these tenths of the parents (`ad40.split`).

    Raises `InputError` where a column or the seed is not there, `HashMismatch` on a record of another model.
    """
    with open_events(path) as file:
        record = file.kind == "record"
        bit = _bit(path, file.attributes, seed) if seed else 0
        if seed and not record:
            raise InputError(path, "file", file.kind, f"a TriggerRecord, to choose the events of seed {seed}")
        if record and model is not None:
            held = file.attributes["models"][0]["hash"]
            if held != model.network.hash:
                raise HashMismatch(path, "models[0].hash", held, f"{model.network.hash}, of {model.folder}")
        if not record and model is None:
            raise InputError(path, "file", file.kind, "a TriggerRecord, or a --model that computes the score")
        if per_lumi is None and "lumi" not in file.columns:
            raise InputError(path, "columns", ", ".join(file.columns) or "none", "'lumi', or --per-lumi")
        wanted = [name for name in ("run", "lumi", "parent") if name in file.columns]
        wanted += ["hw_score", "seeds_after"] if record else []
        taken = 0
        for first, raw, columns in file.blocks(BLOCK, wanted):
            codes = file.decode(raw, first)
            chosen = np.ones(len(codes), np.bool_)
            if seed:
                chosen &= (columns["seeds_after"] >> np.uint32(bit)) & 1 == 1
            if tenths is not None:
                parent = columns.get("parent", first + np.arange(len(codes)))
                chosen &= np.isin(tenth_of(parent.astype(np.int64)), tenths)
            codes = codes[chosen]
            if record:
                score = columns["hw_score"][chosen].astype(np.int64)
            else:
                assert model is not None
                score = model.trigger.score(codes)[:, 0].astype(np.int64)
            run = columns["run"][chosen].astype(np.int64) if "run" in columns else np.ones(len(codes), np.int64)
            if per_lumi is None:
                lumi = columns["lumi"][chosen].astype(np.int64)
            else:
                lumi = (taken + np.arange(len(codes))) // per_lumi + 1
                run = np.ones(len(codes), np.int64)
            taken += len(codes)
            yield Events(codes, score, run, lumi, columns["parent"][chosen] if "parent" in columns else None)


def _bit(path: Path, attributes: dict[str, Any], seed: str) -> int:
    names = [row["name"] for row in attributes.get("seeds", [])]
    if seed not in names:
        raise InputError(path, "seed", seed, "one of " + (", ".join(names) or "a TriggerRecord's"))
    return names.index(seed)


def sections(stream: Iterator[Events], quantities: Quantities) -> Iterator[tuple[int, int, Counts]]:
    """(run, lumi, counts) of each lumi section, in the order of the file. Neighbouring events of one number are one.

    In memory are a block and the parents of a section, never its events.
    """
    where: tuple[int, int] | None = None
    total: Counts | None = None
    parents: list[NDArray[np.int64]] = []
    for events in stream:
        if not len(events.codes):
            continue
        vectors, occupancy = quantities.vectors(events.codes, events.score), quantities.occupancy(events.codes)
        key = np.stack([events.run, events.lumi])
        starts = np.flatnonzero(np.r_[True, (np.diff(key, axis=1) != 0).any(axis=0)])
        for start, stop in zip(starts, [*starts[1:], len(events.codes)], strict=True):
            here = (int(events.run[start]), int(events.lumi[start]))
            part = count(vectors[start:stop], occupancy[start:stop], quantities.cells)
            if here != where and total is not None and where is not None:
                yield (*where, _with_pairs(total, parents))
                total, parents = None, []
            where, total = here, part if total is None else total + part
            if events.parent is not None:
                parents.append(events.parent[start:stop])
    if total is not None and where is not None:
        yield (*where, _with_pairs(total, parents))


def _with_pairs(total: Counts, parents: list[NDArray[np.int64]]) -> Counts:
    pairs = _pairs(np.concatenate(parents)) if parents else 0
    return Counts(total.events, pairs, total.vector, total.cells)
