"""TriggerRecords of several runs as one: their events one after the other, each with the number of its run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import hdf5, hlt, record
from ad40.errors import HashMismatch, InputError
from ad40.files import sha256_of
from ad40.model import Trigger

_ROWS = 16384  # copied at a time


def merge(parts: Sequence[Path], output: Path, board: Trigger) -> dict[str, Any]:
    """Write one record of records of this board, in the order given, in bounded memory; returns its summary.

    A column that not all parts have is left out. Raises `InputError` when two parts hold the same run, `HashMismatch`
    for a part of another trigger or high-level stage.
    """
    documents = [_document(part, board) for part in parts]
    columns = [_extra_columns(part, board) for part in parts]
    common = {name: kind for name, kind in columns[0].items() if all(name in other for other in columns[1:])}
    kinds = {name: np.result_type(*(other[name] for other in columns)) for name in common}
    sources = [document["source"] for document in documents]
    same = sources[0]["attributes"]
    source = {
        "file": f"{len(parts)} files",
        "sha256": sha256_of([entry["sha256"] for entry in sources]),
        "events": sum(entry["events"] for entry in sources),
        "attributes": same if all(entry["attributes"] == same for entry in sources) else {},
        "files": sources,
    }
    runs: set[int] = set()
    stage = hlt.joined(list(zip(parts, documents, strict=True)))
    with record.Writer(output, board, source, kinds, stage) as writer:
        for part, document in zip(parts, documents, strict=True):
            before, after = ([seed[name] for seed in document["seeds"]] for name in ("before", "after"))
            writer.count(document["events_seen"], np.array(before), np.array(after))
            with hdf5.open_file(part) as file:
                for start in range(0, document["events_kept"], _ROWS):
                    rows = {name: data[start : start + _ROWS] for name, data in file.items()}
                    numbers = set(np.unique(rows["run"]).tolist())
                    if (start == 0 and numbers & runs) or len(numbers) != 1:
                        raise InputError(part, "run", sorted(numbers), "one run that no other part holds")
                    runs |= numbers
                    writer.keep(
                        rows["event"],
                        rows["codes"].astype(np.int32),
                        np.stack([rows[name] for name in record.score_columns(board)], axis=1),
                        rows["seeds_before"],
                        rows["seeds_after"],
                        {name: rows[name] for name in kinds},
                        numbers.pop(),
                    )
        return writer.summary()


def _document(part: Path, board: Trigger) -> dict[str, Any]:
    with hdf5.open_file(part) as file:
        document: dict[str, Any] = json.loads(file.attrs[hdf5.RECORD])
    for name, here, there in (
        ("menu_hash", document["menu_hash"], board.menu.hash),
        ("models", [m["hash"] for m in document["models"]], [n.hash for n in board.networks]),
    ):
        if here != there:
            raise HashMismatch(part, name, here, str(there))
    return document


def _extra_columns(part: Path, board: Trigger) -> dict[str, np.dtype[Any]]:
    own = {*record.COLUMNS, *record.score_columns(board), "codes"}
    with hdf5.open_file(part) as file:
        return {name: data.dtype for name, data in file.items() if name not in own}
