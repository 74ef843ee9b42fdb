"""Score files of jets: what a model says of every jet of a file, and of every event.

HDF5 with `jet` float32 (n,), rows as in the jets file; `event` int64 (k,) and `event_score` float32 (k,) of the events
that have jets; attribute `jet_scores`, a JSON document: version, model (kind and hash), how (event score), jets
(SHA-256 of the jets file), training (SHA-256 of the file that the model learnt from, and which part of it).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError
from ad40.progress import Progress, silenced
from offline import scores
from offline.jets.events import event_scores
from offline.jets.jets import JetsFile
from offline.jets.model import JetModel
from offline.jets.parts import rows_of
from offline.table import Table

VERSION = 1
ATTRIBUTE = "jet_scores"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class JetScores:
    """A score file: see the module."""

    jet: Floats
    event: NDArray[np.int64]
    event_score: Floats
    attributes: dict[str, Any]


def score_file(model: JetModel, file: JetsFile, path: Path, how: str = "mean") -> JetScores:
    """Score every jet of a file, block by block, and write the score file, whole or not at all."""
    pieces = []
    with Progress(file.n, f"score {model.kind}", "jets") as progress:
        token = silenced.set(True)  # one bar for the file, not one for each block
        try:
            for block in file.blocks():
                pieces.append(model.score(block))
                progress.update(len(block))
        finally:
            silenced.reset(token)
    jet = np.concatenate([np.zeros(0, np.float32), *pieces])
    events = event_scores(file.table(), jet, how)
    training = model.training
    about = {"version": VERSION, "model": model.kind, "hash": model.hash, "how": how, "jets": file.sha256,
             "training": {k: training.get(k) for k in ("file_sha256", "part", "jets_sha256")}}  # fmt: skip
    with hdf5.create(path) as out:
        out.attrs[ATTRIBUTE] = json.dumps(about)
        out.create_dataset("jet", data=jet)
        out.create_dataset("event", data=events.event)
        out.create_dataset("event_score", data=events.score)
    return JetScores(jet, events.event, events.score, about)


def read(path: str | Path, file: JetsFile | None = None) -> JetScores:
    """Read a score file; with `file`, only the one of this jets file. Raises `InputError`, `HashMismatch`."""
    with hdf5.open_file(path) as found:
        if ATTRIBUTE not in found.attrs:
            raise InputError(path, f"attribute '{ATTRIBUTE}'", "missing", "a score file (ad40 jets score)")
        about = json.loads(found.attrs[ATTRIBUTE])
        if about.get("version") != VERSION:
            raise InputError(path, "version", about.get("version"), f"{VERSION}")
        columns = {}
        for name, kind in (("jet", np.float32), ("event", np.int64), ("event_score", np.float32)):
            if name not in found or found[name].dtype != kind or found[name].ndim != 1:
                raise InputError(path, name, "missing or of another type", f"{np.dtype(kind).name}, one dimension")
            columns[name] = found[name][:]
    if file is not None and about["jets"] != file.sha256:
        raise HashMismatch(path, "jets", str(about["jets"])[:12], f"{file.sha256[:12]}, of {file.path}")
    if file is not None and len(columns["jet"]) != file.n:
        raise InputError(path, "jet", f"{len(columns['jet'])} scores", f"one for each of {file.n} jets")
    return JetScores(columns["jet"], columns["event"], columns["event_score"], about)


def for_table(path: Path, found: JetScores, table: Table, training: bool = True) -> dict[str, int]:
    """Write the scores of events as a score file of an event table: the anomaly axis of `ad40 search`.

    Events are the same where the number of the event in the jets file is that of the column `event` of the table.
    An event of the table without jets gets the lowest score: nothing in it is anomalous to this model. training: mark
    the events of the part that the model learnt from when it learnt from this very jets file, so that no search uses
    them. Returns how many events had a score, and how many had none.
    Raises `InputError` when numbers of events occur twice in the table, or none of them is in the jets file.
    """
    number = table.column("event").astype(np.int64)
    if len(np.unique(number)) != len(number):
        expected = "every number once: score a table of one file whose events are numbered"
        raise InputError(table.path, "column event", "not unique", expected)
    place = np.minimum(np.searchsorted(found.event, number), max(len(found.event) - 1, 0))
    known = found.event[place] == number if len(found.event) else np.zeros(len(number), bool)
    if not known.any():
        raise InputError(table.path, "column event", "of no event in the jets file", "the events that the jets are of")
    score = np.where(known, found.event_score[place], found.event_score.min()).astype(np.float32)
    about = found.attributes
    learnt = np.zeros(len(number), bool)
    if training and about["training"].get("file_sha256") == about["jets"]:
        learnt = rows_of(number, about["training"].get("part") or "all")
    scores.write(path, table, score, learnt, model=about["model"], hash=about["hash"], quantity="jet anomaly score")
    return {"scored": int(known.sum()), "without_jets": int((~known).sum()), "training": int(learnt.sum())}
