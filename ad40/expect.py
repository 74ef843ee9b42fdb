"""What is expected of the emulator, from a file: scores of events, or a pattern file. Every bit is compared.

The differences are named as a reader of the menu would: orbit, BX, link and word, then seed, score or accept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5, record, spec, ugt
from ad40.differences import Column, Differences, Field, seed_fields
from ad40.errors import HashMismatch, InputError
from ad40.frames import HEAD_FIELDS, Pattern
from ad40.model import Trigger

_FLAGS = ("valid", "start_of_orbit", "start_of_packet", "end_of_packet", "error")
_SEEDS = ("seeds_before", "seeds_after")


class Scores:
    """An open file of expected scores, as `ad40 emulate` writes it, and what differs from it so far."""

    def __init__(self, path: Path, file: h5py.File, board: Trigger) -> None:
        self._file, self.differences = file, Differences()
        fields = seed_fields([seed.name for seed in board.menu.seeds])
        self._columns = [Column(name) for name in record.score_columns(board)]
        self._columns += [Column(name, fields) for name in _SEEDS]

    def compare(self, start: int, wanted: dict[str, NDArray[np.integer]]) -> None:
        """Compare the columns of the events from row `start` on."""
        stop = start + len(wanted["seeds_after"])
        names = [column.name for column in self._columns]
        found = np.stack([self._file[name][start:stop].astype(np.int64) for name in names], axis=1)
        table = np.stack([wanted[name].astype(np.int64) for name in names], axis=1)
        self.differences.compare(start, self._columns, found, table)


@contextmanager
def open_scores(path: Path, board: Trigger, n: int) -> Iterator[Scores]:
    """Open the scores expected of n events. Raises `InputError` where the file is none of these models and events."""
    wanted = score_kinds(board)
    with hdf5.open_file(path) as file:
        if set(file) != set(wanted):
            raise InputError(path, "datasets", ", ".join(sorted(file)) or "none", ", ".join(sorted(wanted)))
        for name, kind in wanted.items():
            data = file[name]
            found = f"{data.dtype} {data.shape}" if isinstance(data, h5py.Dataset) else "a group"
            if found != f"{np.dtype(kind)} {(n,)}":
                raise InputError(path, name, found, f"{np.dtype(kind)} {(n,)}, a row for each event")
        for name, value in score_attributes(board).items():
            here = file.attrs.get(name)
            if np.asarray(here).tolist() != value:
                raise HashMismatch(path, name, np.asarray(here).tolist(), f"{value}, of the models and menu named")
        yield Scores(path, file, board)


def score_kinds(board: Trigger) -> dict[str, type[np.generic]]:
    """The datasets of a file of scores, one value for each event, and their types."""
    return dict.fromkeys(record.score_columns(board), np.int32) | dict.fromkeys(_SEEDS, np.uint32)


def score_attributes(board: Trigger) -> dict[str, object]:
    """The attributes of a file of scores: which models and menu gave them."""
    return {
        "spec_hash": board.menu.spec_hash,
        "menu_hash": board.menu.hash,
        "model_hashes": [network.hash for network in board.networks],
        "score_fractions": [network.score_fraction for network in board.networks],
        "seeds": [seed.name for seed in board.menu.seeds],
    }


def compare_patterns(
    path: Path, found: Pattern | ugt.Vectors, wanted: Pattern | ugt.Vectors, board: Trigger, clocks_per_bx: int
) -> Differences:
    """Compare an expected pattern file, `found`, with what the emulator answers, of the same kind.

    clocks_per_bx: of lanes. Raises `InputError` where the two hold other links, clocks or names.
    """
    orbit = spec.latency().orbit_bx
    differences = Differences(lambda row: f"orbit {row // orbit} BX {row % orbit}", "bunch crossings")
    if isinstance(found, ugt.Vectors) and isinstance(wanted, ugt.Vectors):
        differences.compare(0, _vector_columns(board), _vector_table(found), _vector_table(wanted))
    elif isinstance(found, Pattern) and isinstance(wanted, Pattern):
        if found.strobe is not None:
            raise InputError(path, "strobe", "in the file", "none: the output lane has a new word in every clock")
        for name, here, there in (
            ("ID", found.board, wanted.board),
            ("links", found.links, wanted.links),
            ("clocks", len(found), len(wanted)),
        ):
            if here != there:
                raise InputError(path, name, here, f"{there}, as for the inputs")
        columns = [c for link in found.links for c in _lane_columns(board, link, clocks_per_bx)]
        tables = (_lane_table(pattern, clocks_per_bx) for pattern in (found, wanted))
        differences.compare(0, columns, *tables)
    else:
        raise TypeError("patterns of two kinds")
    return differences


def _lane_columns(board: Trigger, link: int, clocks_per_bx: int) -> list[Column]:
    """Word and flags of each clock of a frame of the output lane (`ad40.frames.from_decisions`)."""
    idle = clocks_per_bx - spec.links().payload_words
    seeds = [seed.name for seed in board.menu.seeds]
    payload = [tuple(Field(name, low, width) for name, (low, width) in HEAD_FIELDS.items())]
    payload += [seed_fields([f"{name} {when} prescale" for name in seeds]) for when in ("before", "after")]
    payload += [(Field(f"hw_score of {network.name}", 0, 32),) for network in board.networks]
    columns = []
    for clock in range(clocks_per_bx):
        name = f"link {link} word {clock - idle}" if clock >= idle else f"link {link} idle word {clock}"
        columns.append(Column(name, payload[clock - idle] if 0 <= clock - idle < len(payload) else ()))
        columns += [Column(f"{name}: {flag}") for flag in _FLAGS]
    return columns


def _lane_table(pattern: Pattern, clocks_per_bx: int) -> NDArray[np.uint64]:
    """Words and flags uint64 (bunch crossings, links x clocks x (1 + flags))."""
    planes = [pattern.data, *(getattr(pattern, flag).astype(np.uint64) for flag in _FLAGS)]
    stacked = np.stack(planes, axis=-1).reshape(-1, clocks_per_bx, len(pattern.links), len(planes))
    return stacked.transpose(0, 2, 1, 3).reshape(len(stacked), -1)


def _vector_columns(board: Trigger) -> list[Column]:
    """The words of the vectors of the global trigger: objects, 64 external conditions or algorithms each, final OR."""
    seeds = [seed.name for seed in board.menu.seeds]
    columns = []
    for name, count in ugt.OBJECTS.items():
        columns += [Column(f"{name[:-1]}[{i}]", _object_fields(name, i)) for i in range(count)]
    for name, count in (("external condition", ugt.N_EXTERNAL), ("algorithm", ugt.N_ALGORITHMS)):
        titles = [f"{name} {i}" for i in range(count)]
        if name == "algorithm":
            titles[: len(seeds)] = [f"algorithm {i}, seed {seed}" for i, seed in enumerate(seeds)]
        for low in range(0, count, 64):
            word = tuple(Field(title, bit) for bit, title in enumerate(titles[low : low + 64]))
            columns.append(Column(f"{name}s {low} to {low + 63}", word))
    return [*columns, Column("final OR")]


def _object_fields(name: str, index: int) -> tuple[Field, ...]:
    """The fields of an object word that ad40 reads; none of another."""
    for kind in spec.objects().types:
        source, first = ugt.SOURCE[kind.name]
        if source == name and first <= index < first + kind.count:
            return tuple(Field(f"hw_{field}", low, width) for field, low, width in spec.word_fields(kind))
    return ()


def _vector_table(vectors: ugt.Vectors) -> NDArray[np.uint64]:
    parts = [getattr(vectors, name) for name in ugt.OBJECTS]
    for bits in (vectors.external, vectors.algorithms):
        parts.append(np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64))
    return np.concatenate([*parts, vectors.final_or[:, None].astype(np.uint64)], axis=1)
