"""`ad40 reference score`: what references say of every event of a file: one model, or the mean of several."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ad40.errors import InputError
from ad40.files import file_hash, sha256_of, writable_folder
from ad40.objects import codes_hash
from ad40.split import VALIDATION
from offline import scores
from offline.inputs import read
from offline.references.compare import learnt_from
from offline.references.model import content_hash, load
from offline.references.significance import learn, together
from offline.references.train_step import PARTS

HELP = "anomaly scores of events by references, as a score file"
EPILOG = """examples:
  ad40 reference score build/flow kept.h5 --output build/flow_scores.h5
  ad40 reference score build/flow build/vae events.h5 --background training/sample/background.h5 --output mean.h5
Several models: the score is the mean of -log10 of the p-value that each gives the event among the background.
A card with `training: {teacher: FILE.h5}` learns from such scores: docs/references.md."""
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class _Events:
    """What `offline.scores` wants to know of the file that the scores are of."""

    n: int
    sha256: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="folders (ad40 reference train)")
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="event file, or a TriggerRecord")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="score file to write")
    parser.add_argument("--background", type=Path, metavar="BACKGROUND.h5",
                        help="with several models: where the p-values come from")  # fmt: skip
    parser.add_argument("--background-part", choices=PARTS, default=VALIDATION, metavar="PART",
                        help="of its events (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, write, return the figures."""
    several = len(args.models) > 1
    if several != (args.background is not None):
        raise InputError("command line", "--background", args.background, "a file with several models, none with one")
    for path in (args.file, args.background):
        if path is not None and path.resolve() == args.output.resolve():
            raise InputError("command line", "--output", path, "a file that is not one of the inputs")
    models = {folder.name: load(folder) for folder in args.models}
    if len(models) != len(args.models):
        raise InputError("command line", "MODEL_DIR", ", ".join(map(str, args.models)), "folders of different names")
    writable_folder(args.output.parent)
    inputs, sha256 = read(args.file), file_hash(args.file)
    columns = {name: model.score(inputs) for name, model in models.items()}
    hashes = {name: model.hash for name, model in models.items()}
    if several:
        background = read(args.background, args.background_part)
        scales = {name: learn(model.score(background), name) for name, model in models.items()}
        score = together(columns, scales).astype(np.float32)
        kind, digest, quantity = ENSEMBLE, sha256_of([hashes, content_hash(background)]), "mean -log10 p"
    else:
        (model,) = models.values()
        (score,), kind, digest, quantity = columns.values(), model.kind, model.hash, model.about
    training = np.zeros(len(inputs), bool)
    for model in models.values():
        training[learnt_from(model, inputs, sha256)] = True

    def also(file: h5py.File) -> None:
        """The scores of each model, and what tells the events from others wherever they are stored."""
        file.attrs["models"] = json.dumps(hashes)
        file.attrs["codes_sha256"] = codes_hash(inputs.codes)
        for name, column in columns.items():
            file.create_dataset(f"models/{name}", data=column)

    scores.write(args.output, _Events(len(inputs), sha256), score, training, model=kind, hash=digest,
                 quantity=quantity, also=also)  # fmt: skip
    low, middle, high = (float(q) for q in np.quantile(score, (0.1, 0.5, 0.9)))
    print(f"{len(inputs):,} events, {int(training.sum()):,} of them learnt from; scores {low:.4g}, {middle:.4g}, "
          f"{high:.4g} (10, 50, 90 %)\nwritten: {args.output}")  # fmt: skip
    return {"file": str(args.output), "model": kind, "hash": digest, "models": hashes, "events": len(inputs),
            "training": int(training.sum()), "quantiles": [low, middle, high]}  # fmt: skip
