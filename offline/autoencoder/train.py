"""`ad40 autoencoder`: train a network on a small part of an event table, from many initialisations.

The network whose validation loss is the median of all initialisations is kept: neither luck nor misfortune of one
start decides the search. Every initialisation that has ended is kept in the folder; the same command goes on after an
interruption, and a larger --initialisations adds to what is there. What comes out depends on the seed, the settings
and the events, not on their order, the number of jobs or interruptions.

The folder: `autoencoder.yaml`, the document of the training with all settings, hashes and the losses of every
initialisation; `weights.h5`; `initialisations/`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ad40 import __version__
from ad40.errors import InputError
from ad40.files import atomic_path, sha256_of, writable_folder, write_yaml
from offline import table as event_table
from offline.autoencoder import networks
from offline.autoencoder.initialisations import FOLDER, Settings, Start, Work, ended, median, train_all, train_one
from offline.autoencoder.model import DOCUMENT, INPUTS, VERSION, WEIGHTS, Trained, model_hash, read
from offline.autoencoder.sample import TRAINING_SHARE, identity_columns, read_sample

if TYPE_CHECKING:
    from offline.table import Table

HELP = "train the autoencoder of the RMM search on a part of an event table"
EPILOG = "example: ad40 autoencoder build/data.h5 --output build/autoencoder --initialisations 50 --jobs 2"


def train(table: Table, folder: Path, settings: Settings, name: str = "autoencoder", jobs: int = 1) -> Trained:
    """Train on a part of a table, write the folder, return what was trained.

    What the folder holds of this very training is taken as it is. Raises `InputError` when the sample is too small.
    """
    if jobs < 1:
        raise InputError("autoencoder", "jobs", jobs, "a whole number from 1")
    sample = read_sample(table, settings.fraction, settings.seed)
    inputs = {"cells": sample.inputs} | {key: table.attributes[key] for key in INPUTS}
    shared = {k: v for k, v in asdict(settings).items() if k != "initialisations"}
    key = sha256_of([shared, inputs, sample.digest, version("keras"), version("tensorflow")])
    writable_folder(folder / FOLDER)
    work = Work(settings, sample, table.layout, folder, key)
    numbers = range(settings.initialisations)
    starts = {n: start for n in numbers if (start := ended(work, n))}
    if starts:
        print(f"{len(starts)} of {len(numbers)} initialisations had ended before")
    for start in train_all(work, [n for n in numbers if n not in starts], jobs):
        starts[start.number] = start
        print(f"initialisation {start.number}: ln of the validation loss {np.log(start.validation_loss):.3f}, "
              f"best epoch {start.best_epoch} of {start.epochs}", flush=True)  # fmt: skip
    kept = median([starts[n] for n in numbers])
    if not work.weights(kept.number).is_file():  # removed when a training with another number of them was complete
        train_one(work, kept.number)
    _finish(work, table, name, inputs, [starts[n] for n in numbers], kept)
    return read(folder)


def _finish(work: Work, table: Table, name: str, inputs: dict[str, Any], starts: Sequence[Start], kept: Start) -> None:
    """Write the document and the weights kept; remove the weights of the others."""
    model = networks.build(work.settings.network, work.layout)
    networks.load_weights(work.weights(kept.number), model)
    network, weights = networks.describe(work.settings.network, model), networks.weights_hash(model)
    sample = work.sample
    document = {
        "version": VERSION,
        "name": name,
        "hash": model_hash(network, inputs, weights),
        "network": network,
        "inputs": inputs,
        "settings": asdict(work.settings),
        "sample": {
            "table": table.sha256,
            "sources": [{key: source[key] for key in ("file", "sha256")} for source in table.attributes["sources"]],
            "identity": list(identity_columns(table)),
            "events_of_table": table.n,
            "training": sample.training,
            "validation": sample.n - sample.training,
            "training_share": TRAINING_SHARE,
            "sha256": sample.digest,
        },
        "initialisations": [{k: v for k, v in asdict(start).items() if k != "history"} for start in starts],
        "kept": {
            "initialisation": kept.number,
            "validation_loss": kept.validation_loss,
            "ln_validation_loss": float(np.log(kept.validation_loss)),
        },
        "weights": weights,
        "software": {"ad40": __version__} | {package: version(package) for package in ("keras", "tensorflow", "numpy")},
    }
    with atomic_path(work.folder / WEIGHTS) as temporary:
        shutil.copyfile(work.weights(kept.number), temporary)
    write_yaml(work.folder / DOCUMENT, document)
    for old in (work.folder / FOLDER).glob("*.h5"):
        if old != work.weights(kept.number):
            old.unlink()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("table", type=Path, metavar="TABLE.h5", help="event table (ad40 rmm)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the model to write")
    for f in fields(Settings):
        kind = type(f.default)
        text = f"{f.metadata['help']} (default %(default)s)"
        metavar = {str: "NAME", int: "N", float: "X"}[kind]
        parser.add_argument("--" + f.name.replace("_", "-"), type=kind, default=f.default, help=text, metavar=metavar)
    parser.add_argument("--name", default="autoencoder", help="what to call the model (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that train (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, print what was kept, return the summary."""
    settings = Settings(**{f.name: getattr(args, f.name) for f in fields(Settings)})
    with event_table.open_table(args.table) as table:
        trained = train(table, args.output, settings, args.name, args.jobs)
    return summarise(trained)


def summarise(trained: Trained) -> dict[str, Any]:
    """Print the result; the figures for JSON."""
    document = trained.document
    ln_losses = np.log([start["validation_loss"] for start in document["initialisations"]])
    network, kept, sample = document["network"], document["kept"], document["sample"]
    print(f"network {network['name']}, {network['parameters']:,} parameters, trained on {sample['training']:,} events, "
          f"{sample['validation']:,} for validation")  # fmt: skip
    print(f"ln of the validation loss of {len(ln_losses)} initialisations: {ln_losses.min():.3f} to "
          f"{ln_losses.max():.3f}; kept number {kept['initialisation']}, the median: "
          f"{kept['ln_validation_loss']:.3f}")  # fmt: skip
    print(f"written: {trained.folder / DOCUMENT}")
    return {
        "folder": str(trained.folder),
        "hash": trained.hash,
        "network": network,
        "settings": document["settings"],
        "sample": sample,
        "kept": kept,
        "ln_validation_losses": ln_losses.tolist(),
    }
