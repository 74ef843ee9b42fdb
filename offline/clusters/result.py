"""What a comparison leaves: cluster.json, and assignments.h5 with a row for each event.

assignments.h5: `source` uint8 (0 data, 1 simulation), `row` and `parent` int64 (in the file of that source), `process`
uint8, `codes` int16 (n, 19, 3), `cluster` int16 (-1: none), `distance` float32 to its centre, `weight` float32 (1 in
data; as normalised to data in simulation), `copies` uint16 (1, but of pseudo-data drawn with replacement: how often the
event was drawn), `label` uint8 (0, or of pseudo-data the number of the injected signal).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash, read_json, write_json
from offline.inputs import Inputs

SUMMARY, EVENTS = "cluster.json", "assignments.h5"
DATA, SIMULATION = 0, 1
VERSION = 1

COLUMNS: dict[str, type[np.generic]] = {
    "row": np.int64, "parent": np.int64, "process": np.uint8, "source": np.uint8, "cluster": np.int16,
    "distance": np.float32, "weight": np.float32, "copies": np.uint16, "label": np.uint8, "codes": np.int16,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Assigned:
    """Events with their clusters: see the module. Arrays (n,), codes (n, 19, 3)."""

    row: NDArray[np.int64]
    parent: NDArray[np.int64]
    process: NDArray[np.uint8]
    source: NDArray[np.uint8]
    cluster: NDArray[np.int16]
    distance: NDArray[np.float32]
    weight: NDArray[np.float32]
    copies: NDArray[np.uint16]
    label: NDArray[np.uint8]
    codes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: NDArray[Any]) -> Assigned:
        """The events of these rows."""
        return Assigned(**{name: getattr(self, name)[rows] for name in COLUMNS})


def assigned(
    events: Inputs, source: int, cluster: NDArray[np.integer], distance: NDArray[np.floating],
    weight: NDArray[np.floating] | None = None, copies: NDArray[np.integer] | None = None,
    label: NDArray[np.integer] | None = None,
) -> Assigned:  # fmt: skip
    """Rows of events of one source; without weight, copies and label real data."""
    n = len(events)
    values = {
        "row": events.row, "parent": events.parent, "process": events.process, "codes": events.codes,
        "source": np.full(n, source), "cluster": cluster, "distance": distance,
        "weight": np.ones(n) if weight is None else weight, "copies": np.ones(n) if copies is None else copies,
        "label": np.zeros(n) if label is None else label,
    }  # fmt: skip
    return Assigned(**{name: np.asarray(values[name]).astype(kind) for name, kind in COLUMNS.items()})


def joined(parts: list[Assigned]) -> Assigned:
    """One after another."""
    return Assigned(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS})


@dataclass(frozen=True, eq=False)
class Result:
    """A result folder."""

    folder: Path
    document: dict[str, Any]
    events: Assigned

    def inside(self, cluster: int) -> Assigned:
        """Data of a cluster, the closest to its centre first."""
        here = np.flatnonzero((self.events.source == DATA) & (self.events.cluster == cluster))
        return self.events.take(here[np.argsort(self.events.distance[here], kind="stable")])


def write_events(path: Path, events: Assigned) -> None:
    """Write assignments.h5, whole or not at all."""
    with hdf5.create(path) as file:
        for name in COLUMNS:
            data = getattr(events, name)
            chunks = (min(len(data), 16384) or 1, *data.shape[1:])
            options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            file.create_dataset(name, data=data, chunks=chunks, **options)


def write(folder: Path, document: dict[str, Any], events: Assigned) -> dict[str, Any]:
    """Write both files; returns the document as written, with the hash of the events."""
    write_events(folder / EVENTS, events)
    document = {"version": VERSION, **document, "assignments": EVENTS, "assignments_sha256": file_hash(folder / EVENTS)}
    write_json(folder / SUMMARY, document)
    return document


def read_events(path: Path) -> Assigned:
    """Read assignments.h5. Raises `InputError` on a file of something else."""
    with hdf5.open_file(path) as file:
        found = {}
        for name, kind in COLUMNS.items():
            if name not in file or file[name].dtype != kind or len(file[name]) != len(file["row"]):
                expected = f"{np.dtype(kind).name} as `ad40 cluster` writes"
                raise InputError(path, name, "missing, of another type or length", expected)
            found[name] = file[name][:]
    return Assigned(**found)


def read_result(folder: str | Path) -> Result:
    """Read a result folder. Raises `InputError` on another one, `HashMismatch` when the events were changed."""
    folder = Path(folder)
    document = read_json(folder / SUMMARY)
    if not isinstance(document, dict) or document.get("version") != VERSION or "clusters" not in document:
        raise InputError(folder / SUMMARY, "summary", "something else", "of `ad40 cluster compare`")
    found, wanted = file_hash(folder / EVENTS), str(document["assignments_sha256"])
    if found != wanted:
        raise HashMismatch(folder / EVENTS, "SHA-256", found[:12], f"{wanted[:12]}, of {SUMMARY}")
    return Result(folder, document, read_events(folder / EVENTS))
