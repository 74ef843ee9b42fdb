"""The event sample as training and evaluation use it: hardware codes, split by parent, with its cross-sections.

A sample is a folder with `background.h5` and one file per signal. Background events that share a hard process
carry the same `parent`; all of them fall into the same part of the split, so that no test event has a sibling
in the training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.events import EventFile, open_events
from ad40.files import sha256_of
from ad40.l1data import L1File
from ad40.objects import N_INPUTS, N_OBJECTS
from ad40.schema import Node
from ad40.split import TENTHS, rows_of, tenth_of

BACKGROUND = "background"
SIGNALS = ("Ato4l", "leptoquark", "hToTauTau", "hChToTauNu")


@dataclass(frozen=True)
class Process:
    """One process of the background mix. cross_section in pb before the filter, filter_efficiency in (0, 1]."""

    name: str
    code: int
    cross_section_pb: float
    filter_efficiency: float

    @property
    def filtered_pb(self) -> float:
        """Cross-section of events that pass the lepton filter, pb."""
        return self.cross_section_pb * self.filter_efficiency


@dataclass(frozen=True)
class Background:
    """The background: codes int16 (n, 19, 3), process uint8 (n,), parent int64 (n,), part uint8 (n,) in tenths."""

    codes: NDArray[np.int16]
    process: NDArray[np.uint8]
    parent: NDArray[np.int64]
    tenth: NDArray[np.uint8]
    processes: tuple[Process, ...]
    file: Path
    fingerprint: str

    def rows(self, part: str) -> NDArray[np.int64]:
        """Row numbers of a part of the split: train, validation or test."""
        return rows_of(self.tenth, part)


def _processes(attributes: dict[str, Any], path: Path) -> tuple[Process, ...]:
    if "processes" not in attributes:
        raise InputError(path, "attribute processes", "missing", "cross-section and filter efficiency per process")
    found = []
    for position, (name, node) in enumerate(Node(attributes["processes"], path, "processes").items()):
        for key in ("cross_section_pb", "filter_efficiency"):
            if not isinstance(node.value, dict) or key not in node:
                raise InputError(path, f"attribute processes.{name}.{key}", "missing", "a number")
        code = node["code"].integer(0, 255) if "code" in node else position
        found.append(
            Process(
                name,
                code,
                node["cross_section_pb"].number(1e-30, 1e15),
                node["filter_efficiency"].number(1e-15, 1.0),
            )
        )
    return tuple(found)


def load_background(folder: str | Path, limit: int | None = None) -> Background:
    """Read `background.h5` of a sample folder, at most its first `limit` events; see `read_background`."""
    return read_background(_file(folder, BACKGROUND), limit)


def read_background(path: Path, limit: int | None = None) -> Background:
    """Read a file of background events as `ad40 generate` or `training.sample` writes it, at most the first `limit`.

    Raises `InputError` when a column or attribute is missing, or when a process number has no description.
    """
    with open_events(path) as events:
        n = events.n if limit is None else min(events.n, limit)
        for column in ("process", "parent"):
            if column not in events.columns:
                raise InputError(path, f"column {column}", "missing", "one entry per event")
        codes = _codes(events, n)
        process = events.column("process", 0, n).astype(np.uint8)
        parent = events.column("parent", 0, n).astype(np.int64)
        processes = _processes(events.attributes, path)
    known = [p.code for p in processes]
    if not np.isin(process, known).all():
        raise InputError(path, "column process", int(process[~np.isin(process, known)][0]), f"one of {known}")
    tenth = tenth_of(parent)
    for part, tenths in TENTHS.items():
        if not np.isin(tenth, list(tenths)).any():
            raise InputError(path, "events", n, f"enough events that the {part} part of the split is not empty")
    digest = sha256_of([n, int(codes.sum(dtype=np.int64)), int(parent.sum()), _checksum(codes)])
    return Background(codes, process, parent, tenth, processes, path, digest)


def load_signal(folder: str | Path, name: str, limit: int | None = None) -> NDArray[np.int16]:
    """Codes int16 (n, 19, 3) of one signal of a sample folder."""
    path = _file(folder, name)
    with open_events(path) as events:
        n = events.n if limit is None else min(events.n, limit)
        if n == 0:
            raise InputError(path, "events", 0, "at least one event")
        return _codes(events, n)


def signal_names(folder: str | Path) -> tuple[str, ...]:
    """The benchmark signals that a sample folder holds, in their usual order; at least one."""
    names = tuple(name for name in SIGNALS if (Path(folder) / f"{name}.h5").is_file())
    if not names:
        raise InputError(folder, "signals", "none", "at least one of " + ", ".join(f"{n}.h5" for n in SIGNALS))
    return names


def _file(folder: str | Path, name: str) -> Path:
    path = Path(folder) / f"{name}.h5"
    if not path.is_file():
        raise InputError(path, "file", "missing", "a sample folder made by `ad40 generate` (see training/sample)")
    return path


def _codes(events: EventFile | L1File, n: int) -> NDArray[np.int16]:
    """The first n events, read in blocks: a million take little more memory than their result."""
    codes = np.empty((n, N_OBJECTS, 3), np.int16)
    for start, block in events.chunks(stop=n):
        codes[start : start + len(block)] = block
    return codes


def _checksum(codes: NDArray[np.int16], size: int = 65536) -> int:
    """Order-dependent sum over all codes: tells a sample that was changed from one that was not."""
    total = 0
    for start in range(0, len(codes), size):
        flat = codes[start : start + size].reshape(-1, N_INPUTS).astype(np.int64)
        columns = flat * np.arange(1, N_INPUTS + 1)
        total += int((columns.sum(axis=1) * ((start + np.arange(len(flat))) % 65521 + 1)).sum())
    return total
