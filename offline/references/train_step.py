"""`ad40 reference train`: a reference learns from background events and is written with its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import InputError
from ad40.files import file_hash, writable_folder
from ad40.split import TENTHS, TRAIN
from offline.inputs import ALL, read
from offline.model import explain, parse_settings
from offline.references.model import DOCUMENT, MODELS, create, model_class, save

HELP = "train a reference on a file of background events"
EPILOG = """models: """ + ", ".join(MODELS) + """
examples:
  ad40 reference train flow training/sample/background.h5 --output build/flow
  ad40 reference train vae kept.h5 --part all --output build/vae --set latent=4 --set score=kl
`--set help=` lists the settings of a model."""  # fmt: skip

EVENTS = 200_000
PARTS = (*TENTHS, ALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help="its name, see below")
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="event file, or a TriggerRecord")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the model to write")
    parser.add_argument("--part", choices=PARTS, default=TRAIN,
                        help="of the events, to learn from; `compare` judges on the test part"
                        " (default %(default)s)")  # fmt: skip
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N",
                        help="the first so many of them (default %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=40, metavar="N", help="of all random numbers")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a setting of the model; may be repeated")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, save, return the card with the folder."""
    kind = model_class(args.model)
    if any(text.startswith("help") for text in args.settings):
        return {"settings": explain(kind.settings_type)}
    if args.events < 2:
        raise InputError("command line", "--events", args.events, "at least 2")
    model = create(args.model, **({"seed": args.seed} | parse_settings(kind.settings_type, args.settings)))
    writable_folder(args.output)
    inputs = read(args.file, args.part).take(slice(0, args.events))
    model.fit(inputs)
    card = save(model, args.output, {"file": args.file.name, "file_sha256": file_hash(args.file), "part": args.part})
    training = card["training"]
    print(f"{args.model}: {card['parameters']:,} numbers learnt from {training['events']:,} events of "
          f"{training['parents']:,} hard processes in {training['seconds']:.1f} s")  # fmt: skip
    if card["history"]:
        best = min(card["history"], key=lambda row: row["validation_loss"])
        print(f"{len(card['history'])} epochs, lowest validation loss {best['validation_loss']:.5g}")
    print(f"written: {args.output / DOCUMENT}")
    return {"folder": str(args.output)} | card
