"""Score files: one anomaly score for each event of an event table, from whatever made it.

HDF5 with `score` float32 (n,), larger = more anomalous, rows as in the table; `training` bool (n,), the events that
the model was trained on and that no search may use; attribute `scores`, a JSON document: version, model (its name),
hash (of the model), quantity (what the score is, such as "ln loss"), table (SHA-256 of the event table), events.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError

VERSION = 1
ATTRIBUTE = "scores"
LN_LOSS = "ln loss"

Floats = NDArray[np.float32]


class HasRows(Protocol):
    """What of an event table is needed here: `offline.table.Table` has it."""

    @property
    def n(self) -> int: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Scores:
    """A score file. score float32 (n,), training bool (n,), attributes: see the module."""

    score: Floats
    training: NDArray[np.bool_]
    attributes: dict[str, Any]

    @property
    def searched(self) -> NDArray[np.bool_]:
        """Events that a search may use: those that the model was not trained on. bool (n,)."""
        return ~self.training

    @property
    def correction(self) -> float:
        """The part of the events that a search may use: for `offline.regions.by_cross_section`. 1 without events."""
        return float(self.searched.mean()) if len(self.training) else 1.0


def write(
    path: str | Path,
    table: HasRows,
    score: NDArray[np.floating] | Iterable[NDArray[np.floating]],
    training: NDArray[np.bool_] | None = None,
    *,
    model: str,
    hash: str,
    quantity: str = LN_LOSS,
    also: Callable[[h5py.File], None] = lambda file: None,
) -> None:
    """Write a score file, whole or not at all.

    score: (n,), or its pieces in the order of the table, written as they come; training: bool (n,), None = no event;
    also: adds what else the file shall hold.
    Raises `InputError` when there are not as many scores as events, or one is not finite.
    """
    training = np.zeros(table.n, np.bool_) if training is None else np.asarray(training, np.bool_)
    if training.shape != (table.n,):
        raise InputError(path, "training", f"of shape {training.shape}", f"one value for each of {table.n} events")
    about = {"version": VERSION, "model": model, "hash": hash, "quantity": quantity, "table": table.sha256,
             "events": table.n}  # fmt: skip
    with hdf5.create(path) as file:
        file.attrs[ATTRIBUTE] = json.dumps(about)
        file.create_dataset("training", data=training)
        column = file.create_dataset("score", (table.n,), np.float32)
        at = 0
        for piece in [score] if isinstance(score, np.ndarray) else score:
            at = _append(path, column, at, np.asarray(piece, np.float32))
        if at != table.n:
            raise InputError(path, "scores", at, f"one for each of {table.n} events")
        also(file)


def _append(path: str | Path, column: h5py.Dataset, at: int, piece: Floats) -> int:
    if piece.ndim != 1 or at + len(piece) > len(column):
        raise InputError(path, "scores", f"{at} and a piece of shape {piece.shape}", f"{len(column)} in all")
    if not np.isfinite(piece).all():
        row = int(np.flatnonzero(~np.isfinite(piece))[0])
        raise InputError(path, f"score of event {at + row}", piece[row], "a finite number")
    column[at : at + len(piece)] = piece
    return at + len(piece)


def read(path: str | Path, table: HasRows | None = None) -> Scores:
    """Read a score file; with `table`, only the one that was made for it.

    Raises `InputError` for a file that is no score file or has scores that are not finite, and `HashMismatch` for
    the scores of another table.
    """
    with hdf5.open_file(path) as file:
        if ATTRIBUTE not in file.attrs:
            raise InputError(path, f"attribute '{ATTRIBUTE}'", "missing", "a score file (ad40 score)")
        try:
            attributes = json.loads(file.attrs[ATTRIBUTE])
            version, n = attributes["version"], int(attributes["events"])
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(path, f"attribute '{ATTRIBUTE}'", f"malformed ({error})", "a JSON document") from error
        if version != VERSION:
            raise InputError(path, "version", version, f"{VERSION}")
        if table is not None and attributes.get("table") != table.sha256:
            other = str(attributes.get("table"))[:12]
            raise HashMismatch(path, "table", other, f"{table.sha256[:12]}, the event table in use: score it again")
        columns = {}
        for name, kind in (("score", np.float32), ("training", np.bool_)):
            if name not in file or file[name].shape != (n,) or file[name].dtype != kind:
                raise InputError(path, name, "missing or of another shape or type", f"{np.dtype(kind).name} ({n},)")
            columns[name] = file[name][:]
    score = columns["score"]
    if n and not math.isfinite(float(score.min()) + float(score.max())):
        row = int(np.flatnonzero(~np.isfinite(score))[0])
        raise InputError(path, f"score of event {row}", score[row], "a finite number")
    return Scores(score, columns["training"], attributes)
