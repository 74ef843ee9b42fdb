"""`ad40 abcd train`: a double autoencoder learns from background, or from data that is mostly background."""

from __future__ import annotations

import argparse
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import file_hash, writable_folder
from ad40.split import TRAIN, VALIDATION, part_of
from offline.abcd.double import DOCUMENT, DoubleAutoencoder, DoubleSettings, save
from offline.abcd.scorers import add_weights, weights_of
from offline.inputs import ALL, read, standardised
from offline.model import parse_settings

HELP = "train two autoencoders whose errors are independent of each other"
EPILOG = """examples:
  ad40 abcd train training/benchmark/background.h5 --output build/double
  ad40 abcd train training/benchmark/background.h5 --output build/published --set hidden=256,128,64,32,5 \\
      --set closure=0 --set batch=10000 --set learning_rate=1e-4 --set angles=1 --set flat=0
settings and defaults: """ + ", ".join(
    f"{f.name}={','.join(map(str, f.default)) if isinstance(f.default, tuple) else f.default}"
    for f in fields(DoubleSettings) if f.name != "seed"
)  # fmt: skip

HELD = 0.1  # of events without parts, that say when to stop
APART = 0.3  # of the events to learn from: the networks do not see them, the map of `offline.abcd.flat` is made of them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="event file or TriggerRecord")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the model to write")
    parser.add_argument("--part", choices=(TRAIN, ALL), default=TRAIN,
                        help="events to learn from: the train part, or all (default %(default)s); when to stop is said"
                        " by the validation part, or by a tenth of all")  # fmt: skip
    parser.add_argument("--events", type=int, metavar="N", help="read only the first so many")
    parser.add_argument("--seed", type=int, default=40, metavar="N", help="of all random numbers (default %(default)s)")
    add_weights(parser)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a setting of the training; may be repeated")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, save, return the card with the folder."""
    if args.events is not None and args.events < 100:
        raise InputError("command line", "--events", args.events, "at least 100")
    settings = parse_settings(DoubleSettings, args.settings, without=("seed",))
    model = DoubleAutoencoder(DoubleSettings(**settings, seed=args.seed))
    events = read(args.file, ALL, args.events)
    weights = weights_of(events, args.weights)
    if args.part == TRAIN:
        learnt, held = (part_of(events.parent, part) for part in (TRAIN, VALIDATION))
    else:
        learnt, held = _divided(np.arange(len(events)), events.parent, HELD, args.seed)
    learnt, apart = _divided(learnt, events.parent, APART if model.settings.flat else 0.0, args.seed)
    writable_folder(args.output)

    def given(rows: NDArray[np.integer]) -> NDArray[np.float32] | None:
        return None if weights is None else weights[rows].astype(np.float32)

    model.fit(*(standardised(events.codes[rows]) for rows in (learnt, held)), *map(given, (learnt, held)))
    if len(apart):
        model.flatten(standardised(events.codes[apart]), given(apart))
    data = {"file": args.file.name, "file_sha256": file_hash(args.file), "part": args.part, "weights": args.weights}
    card = save(model, args.output, data)
    best = min(card["history"], key=lambda row: row["validation_loss"])
    print(f"{len(learnt):,} events ({len(apart):,} for the map), {len(card['history'])} epochs, "
          f"{card['training']['seconds']:.0f} s; on the validation sample MSE1 + MSE2 = {best['error']:.3f}, "
          f"dCorr^2 = {best['distance_correlation_2']:.4f}, closure term {best['closure']:.1e}")  # fmt: skip
    print(f"written: {args.output / DOCUMENT}")
    return {"folder": str(args.output)} | card


def _divided(
    rows: NDArray[np.integer], parent: NDArray[np.integer], share: float, seed: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Rows without and with a share of their families, drawn at random."""
    families, of = np.unique(parent[rows], return_inverse=True)
    chosen = np.zeros(len(families), bool)
    chosen[np.random.default_rng([seed, 1]).permutation(len(families))[: math.ceil(share * len(families))]] = True
    return rows[~chosen[of]], rows[chosen[of]]
