"""`ad40 train`: model card + sample -> QKeras weights, frozen integers, menu and golden vectors.

`training.prepare` makes the arrays of a card's loss, `training.losses` the loss, `training.trainer` runs the epochs.
A reconstruction covers the features that enter the score and counts present objects only (Nature Mach. Intell. 4,
154 (2022), arXiv 2108.03986, which limits the outputs to the physical range with eta_max * tanh; here the saturating
output quantiser plays that role). Every epoch is checkpointed; the same command continues an interrupted run.

With --float the same layers are trained in float32 without quantisers, on the same inputs: what
`training.compare.float_twin` gives then, held against the frozen model, is what quantisation costs. Such a folder
holds no integers.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ad40 import defaults, spec
from ad40.errors import InputError
from ad40.files import atomic_path, file_hash, sha256_of, writable_folder, write_json, write_yaml
from ad40.split import TRAIN, VALIDATION
from models.card import LOSSES, Card, parse_card, read_card
from training import freeze
from training.datasets import load_background
from training.prepare import prepare
from training.teach import decorrelate
from training.trainer import State, Trainer, fit, load_state

HELP = "train a model card on the sample and freeze it"
EPILOG = "example: ad40 train models/ad40_v1/model.yaml --output build/run/model --epochs 20"
CHECKPOINT = "checkpoint.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 train`."""
    parser.add_argument("card", type=Path, help="model card (YAML)")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL_DIR", help="model folder to write")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--epochs", type=int, help="train at most so many epochs instead of the card's number")
    parser.add_argument("--events", type=int, help="read only the first so many background events")
    parser.add_argument("--seed", type=int, help="another seed than the card's")
    parser.add_argument("--float", action="store_true", help="train in float32, without quantisers; nothing is frozen")


def _with_overrides(card: Card, args: argparse.Namespace) -> Card:
    """The card with the options of the command line; they are recorded in the card that is written."""
    changes = {n: v for n, v in (("epochs", args.epochs), ("seed", args.seed)) if v is not None}
    for name, low in (("epochs", 1), ("seed", 0)):
        if name in changes and changes[name] < low:
            raise InputError("command line", f"--{name}", changes[name], f"an integer of at least {low}")
    if args.events is not None and args.events < 100:
        raise InputError("command line", "--events", args.events, "an integer of at least 100")
    document = {**card.document, "training": {**card.document["training"], **changes}}
    return parse_card(document, args.card)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, freeze and write the model folder; returns the summary of `--json`."""
    start = time.monotonic()
    card = _with_overrides(read_card(args.card), args)
    if card.score.kind not in LOSSES[card.training.loss]:
        expected = f"a loss for the score {card.score.kind}: this one is for {' or '.join(LOSSES[card.training.loss])}"
        raise InputError(args.card, "training.loss", card.training.loss, expected)
    sample = load_background(args.sample, args.events)
    from models.build import CARD_FILE, FLOAT_FILE, WEIGHTS_FILE
    from training import plots  # TensorFlow and matplotlib only after the inputs are known to be good

    writable_folder(args.output)
    trainer = Trainer(card, prepare(card, sample, TRAIN), prepare(card, sample, VALIDATION), quantised=not args.float)
    other = card.training.decorrelate
    first = [] if other is None else [decorrelate.hash_of(other.model)]
    kind = ["float"] if args.float else []
    taught = [file_hash(card.training.teacher)] if card.training.teacher else []
    key = sha256_of([card.document, sample.fingerprint, spec.objects().hash, *kind, *first, *taught])
    checkpoint = args.output / CHECKPOINT
    state = load_state(checkpoint, key)
    if state is not None:
        print(f"continuing after epoch {state.epoch} of {checkpoint}")
    state = fit(trainer, state or State(), checkpoint, key)
    trainer.finish(state.best_weights)
    with atomic_path(args.output / (FLOAT_FILE if args.float else WEIGHTS_FILE)) as temporary:
        trainer.model.save_weights(str(temporary), save_format="h5")
    write_yaml(args.output / CARD_FILE, card.document)
    summary: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "quantised": not args.float,
        "events": {name: len(sample.rows(name)) for name in (TRAIN, VALIDATION)},
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "best_validation_loss": state.best,
        "weights": trainer.size,
        "nonzero_weights": trainer.nonzero(),
        **({"decorrelated_from": {"model": other.model, "network_hash": first[0]}} if other else {}),
        "sample": {"file": args.sample.name + "/" + sample.file.name, "fingerprint": sample.fingerprint},
    }
    write_json(args.output / "history.json", {**summary, "training": asdict(card.training), "history": state.history})
    if not args.float:
        summary.update(freeze.freeze(args.output, trainer.model, card, sample))
    summary["plots"] = [plots.training_curve(state.history, args.output / "plots" / "training.png")]
    checkpoint.unlink(missing_ok=True)
    summary["seconds"] = round(time.monotonic() - start, 1)
    print(
        f"{card.name} {card.version}: best epoch {state.best_epoch} of {state.epoch}, "
        f"validation loss {state.best:.4f}, "
        f"{summary['nonzero_weights']} of {summary['weights']} weights not zero, "
        + ("in float32" if args.float else f"network {summary['network_hash'][:12]}")
    )
    return summary
