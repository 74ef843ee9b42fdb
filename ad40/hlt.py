"""The high-level stage in a TriggerRecord: a score in full precision and what it decided, for each event.

Columns: hlt_score float32, hlt_accept bool (the score reaches the threshold), hlt_pass_through bool (one of so many
events, taken whatever their score, so that what the stage rejects stays known). The key `hlt` of the record's document
says which stage it was (hashes of its menu and model, threshold) and what it saw and kept. Such a record is of format
version 3; all that version 2 has is in it unchanged, and `events_kept` counts the events in the file, as ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError
from ad40.events import EventFile

VERSION = 3  # of a TriggerRecord with such a stage
KEY = "hlt"
COLUMNS: dict[str, type[np.generic]] = {"hlt_score": np.float32, "hlt_accept": np.bool_, "hlt_pass_through": np.bool_}
COUNTS = ("events_in", "accepted", "passed_through", "kept")
"""Events that the stage read; with a score that reaches the threshold; drawn for the pass-through; either of both."""
ABOUT = ("name", "menu_hash", "model", "threshold", "pass_through", "seed", "rejected_too")
"""What the rest of the document says. pass_through: one of so many, 0 for none; rejected_too: the file holds all events
that the stage read, not only those that it kept."""


class Writer:
    """Events of a record with the decisions of a stage; the file appears under its name when the context ends well."""

    def __init__(self, path: str | Path, source: EventFile, stage: Mapping[str, Any], rejected_too: bool) -> None:
        """source: the record that the stage reads; stage: all of `ABOUT` but rejected_too. Raises `InputError` when
        there is a stage in the record already."""
        if KEY in source.attributes or set(COLUMNS) & set(source.columns):
            raise InputError(source.path, KEY, "there already", "a record that no high-level stage has read")
        self._source, self._stage, self._all = source, dict(stage), rejected_too
        self._counts = dict.fromkeys(COUNTS, 0)
        self._rows = 0
        self._target = hdf5.create(path)

    def __enter__(self) -> Writer:
        file = self._target.__enter__()
        self._file, options = file, {"compression": "gzip", "shuffle": True}
        kinds = {name: self._source.column(name, 0, 0).dtype for name in self._source.columns}
        self._data = {
            name: file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(16384,), **options)
            for name, kind in (kinds | {name: np.dtype(kind) for name, kind in COLUMNS.items()}).items()
        }
        shape = self._source.codes(0, 0).shape[1:]
        self._data["codes"] = file.create_dataset(
            "codes", (0, *shape), np.int16, maxshape=(None, *shape), chunks=(4096, *shape), **options
        )
        return self

    def append(
        self,
        start: int,
        codes: NDArray[np.integer],
        score: NDArray[np.float32],
        accept: NDArray[np.bool_],
        pass_through: NDArray[np.bool_],
    ) -> None:
        """Add the next events of the source, from row `start` on; codes (n, 19, 3), the others (n,)."""
        kept = accept | pass_through
        for name, count in zip(COUNTS, (len(kept), accept.sum(), pass_through.sum(), kept.sum()), strict=True):
            self._counts[name] += int(count)
        rows: Any = slice(None) if self._all else np.flatnonzero(kept)
        values: dict[str, NDArray[Any]] = {
            **{name: self._source.column(name, start, start + len(kept))[rows] for name in self._source.columns},
            **dict(zip(COLUMNS, (score[rows], accept[rows], pass_through[rows]), strict=True)),
            "codes": codes[rows],
        }
        end = self._rows + len(values["codes"])
        for name, value in values.items():
            self._data[name].resize(end, axis=0)
            self._data[name][self._rows :] = value
        self._rows = end

    def summary(self) -> dict[str, Any]:
        """The document that goes into the file."""
        stage = {**self._stage, "rejected_too": self._all, **self._counts}
        return {**self._source.attributes, "format_version": VERSION, "events_kept": self._rows, KEY: stage}

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.attrs[hdf5.RECORD] = json.dumps(self.summary())
        self._target.__exit__(kind, value, trace)


def check(path: str | Path, attributes: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Refuse a record that says half of what a high-level stage says. Raises `InputError`."""
    version = attributes.get("format_version")
    if version not in (2, VERSION):
        raise InputError(path, "format_version", version, f"2, or {VERSION} with a high-level stage")
    lacking = [name for name in COLUMNS if name not in columns]
    lacking += [name for name in (*ABOUT, *COUNTS) if name not in attributes.get(KEY, {})]
    if version == VERSION and lacking:
        raise InputError(path, "high-level stage", f"without {', '.join(lacking)}", "all that `ad40 hlt run` writes")
    if version != VERSION and KEY in attributes:
        raise InputError(path, "format_version", version, f"{VERSION}, of a record with a high-level stage")


def joined(parts: Sequence[tuple[Path, Mapping[str, Any]]]) -> dict[str, Any] | None:
    """The stage of records that are put together: (file, document) of each. None when no record has one.

    Raises `HashMismatch` when it was not the same stage everywhere.
    """
    stages = [document.get(KEY) for _, document in parts]
    first = stages[0] or {}
    for (path, _), stage in zip(parts, stages, strict=True):
        for name in ABOUT:
            here, there = (stage or {}).get(name, "none"), first.get(name, "none")
            if here != there:
                raise HashMismatch(path, f"{name} of the high-level stage", here, f"{there}, as in {parts[0][0]}")
    if not first:
        return None
    return {**first, **{name: sum(stage[name] for stage in stages if stage) for name in COUNTS}}
