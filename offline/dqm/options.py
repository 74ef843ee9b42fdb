"""Arguments that the steps of `ad40 dqm` share, and what they stand for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, released, spec
from ad40.errors import HashMismatch, InputError
from ad40.events import open_events
from ad40.model import Model, read_model
from ad40.progress import Progress
from ad40.split import TENTHS
from offline.dqm.lumi import blocks
from offline.dqm.reference import Reference

PARTS = ("all", *TENTHS)
EVENTS = 1_000_000  # held in memory for a reference or to draw sections from: about 0.5 GB


def add_source(parser: argparse.ArgumentParser, model: bool = True) -> None:
    """How the events of a file are read: lumi sections, seed, and model."""
    text = "so many consecutive events are a lumi section (default: columns run and lumi)"
    parser.add_argument("--per-lumi", type=int, metavar="N", help=text)
    parser.add_argument("--stream", metavar="SEED", help="of a TriggerRecord, only events that passed this seed")
    if model:
        text = "model that scores an event file, folder or name (default: that of the reference or record)"
        parser.add_argument("--model", type=released.folder, metavar="MODEL", help=text)


def check_source(args: argparse.Namespace) -> None:
    """Raises `InputError` on a number of events that makes no section."""
    if args.per_lumi is not None and args.per_lumi < 1:
        raise InputError("command line", "--per-lumi", args.per_lumi, "at least 1")


def model_of_reference(reference: Reference, chosen: Path | None, path: Path) -> Model:
    """The model whose score the reference is of: the one chosen, or the released one of its name.

    Raises `HashMismatch` where it is another.
    """
    about = reference.about["model"]
    model = read_model(chosen if chosen is not None else about["name"])
    if model.network.hash != about["hash"]:
        raise HashMismatch(path, "hash of the model", about["hash"], f"{model.network.hash}, of {model.folder}")
    return model


def model_of_file(path: Path) -> str | Path:
    """The name of the model of a TriggerRecord; the default model for other files."""
    with open_events(path) as file:
        return str(file.attributes["models"][0]["name"]) if file.kind == "record" else defaults.MODEL


@dataclass(frozen=True, eq=False)
class Loaded:
    """Events in memory: codes int32 (n, 19, 3), score, parent int64 (n,) (parent None where the file has none).

    per_lumi: mean number of events of a lumi section. lepton_pt: least pt [GeV] of a lepton, where the sample is
    filtered.
    """

    codes: NDArray[np.int32]
    score: NDArray[np.int64]
    parent: NDArray[np.int64] | None
    per_lumi: float
    lepton_pt: float | None

    def take(self, rows: NDArray[np.int64]) -> Loaded:
        """The events of these rows."""
        parent = None if self.parent is None else self.parent[rows]
        return Loaded(self.codes[rows], self.score[rows], parent, self.per_lumi, self.lepton_pt)


def load_events(path: Path, model: Model, part: str, per_lumi: int | None, stream: str | None, most: int) -> Loaded:
    """At most so many events of a file, of one part. Raises `InputError` when there are fewer than two sections."""
    with open_events(path) as file:
        total, lepton_pt = file.n, lepton_pt_of(file.attributes)
    codes: list[NDArray[np.int32]] = []
    scores: list[NDArray[np.int64]] = []
    parents: list[NDArray[np.int64]] = []
    taken, keys = 0, set()
    with Progress(total, "events", "events") as progress:
        for events in blocks(path, model, per_lumi, stream, TENTHS.get(part)):
            room = most - taken
            codes.append(events.codes[:room])
            scores.append(events.score[:room])
            if events.parent is not None:
                parents.append(events.parent[:room].astype(np.int64))
            keys.update(np.unique(events.run[:room] << 32 | events.lumi[:room]).tolist())
            taken += len(codes[-1])
            progress.update(len(codes[-1]))
            if taken >= most:
                break
    mean = float(per_lumi) if per_lumi else taken / max(len(keys), 1)
    if taken < 2 * mean or taken < 2:
        raise InputError(path, f"events of the part '{part}'", taken, f"two lumi sections of {mean:.0f} at least")
    parent = np.concatenate(parents) if parents else None
    return Loaded(np.concatenate(codes), np.concatenate(scores), parent, mean, lepton_pt)


def lepton_pt_of(attributes: dict[str, Any]) -> float | None:
    """Least pt of the lepton filter of a sample, also of the sample that a record was made from."""
    attributes = attributes.get("source", {}).get("attributes", attributes)
    value = attributes.get("filter", {}).get("pt_min")
    if value is None:
        return None
    lsb = spec.objects()["egamma"].pt.lsb
    return float(round(float(value) / lsb) * lsb)
