"""`ad40 jets train`: a model learns from a jets file and is written with its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import InputError
from ad40.files import writable_folder
from offline.jets.events import USED
from offline.jets.jets import SIGNAL, Jets, JetsFile, open_jets
from offline.jets.model import DOCUMENT, MODELS, create, model_class, save
from offline.jets.parts import PARTS, RATIO, mixture, rows_of
from offline.model import explain, parse_settings

HELP = "train an anomaly model on a jets file"
EPILOG = """models: """ + ", ".join(MODELS) + """
examples:
  ad40 jets train egat build/jets.h5 --output build/egat
  ad40 jets train vrnn build/blackbox.h5 --part all --output build/vrnn --set epochs=100 --set learning_rate=1e-5
`--set help=` lists the settings of a model."""  # fmt: skip

JETS = 20_000
"""More learn better, and take longer in proportion: docs/jets.md has the figures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help="its name, see below")
    parser.add_argument("file", type=Path, metavar="JETS.h5", help="jets file (ad40 jets cluster)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the model to write")
    parser.add_argument("--part", choices=PARTS, default="train",
                        help="events to learn from: the half that `compare` leaves alone, the other, or all"
                        " (default %(default)s)")  # fmt: skip
    parser.add_argument("--jets", type=int, default=JETS, metavar="N", help="at most (default %(default)s)")
    parser.add_argument("--mix", type=float, metavar="RATIO",
                        help="background events to a signal event in the sample; needs labels"
                        f" (published figures: {RATIO:g}; default: as in the file)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=40, metavar="N", help="of the choice of jets, and of the model")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a setting of the model; may be repeated")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, save, return the card with the folder."""
    kind = model_class(args.model)
    if any(text.startswith("help") for text in args.settings):
        return {"settings": explain(kind.settings_type)}
    if args.jets < 2:
        raise InputError("command line", "--jets", args.jets, "at least 2")
    settings = parse_settings(kind.settings_type, args.settings)
    model = create(args.model, **({"seed": args.seed} | settings))
    writable_folder(args.output)
    with open_jets(args.file) as file:
        jets = sample(file, args.part, args.jets, args.mix, args.seed)
        data = {"file": file.path.name, "file_sha256": file.sha256, "stand_in": file.attributes["stand_in"],
                "part": args.part, "mix": args.mix}  # fmt: skip
    model.fit(jets)
    data["signal_jets"] = int((jets.label == SIGNAL).sum())
    card = save(model, args.output, data)
    training = card["training"]
    print(f"{args.model}: {card['parameters']:,} numbers learnt from {training['jets']:,} jets of "
          f"{training['events']:,} events in {training['seconds']:.1f} s")  # fmt: skip
    if card["history"]:
        best = min(card["history"], key=lambda row: row["validation_loss"])
        print(f"{len(card['history'])} epochs, lowest validation loss {best['validation_loss']:.5g}")
    print(f"written: {args.output / DOCUMENT}")
    return {"folder": str(args.output)} | card


def sample(file: JetsFile, part: str, most: int, mix: float | None, seed: int) -> Jets:
    """The jets to learn from, leading ones of their events, chosen by the table; others are not kept in memory."""
    table = file.table()
    rows = (rows_of(table.event, part) & (table.which < USED)).nonzero()[0]
    if not len(rows):
        raise InputError(file.path, f"jets of part '{part}'", 0, "some")
    rows = rows[mixture(table.take(rows), most, mix, seed)]
    return read_rows(file, rows)


def read_rows(file: JetsFile, rows: Any) -> Jets:
    """Jets of rising row numbers, in bounded memory beside themselves."""
    parts, start = [], 0
    for block in file.blocks():
        stop = start + len(block)
        low, high = rows.searchsorted(start), rows.searchsorted(stop)
        parts.append(block.take(rows[low:high] - start))
        start = stop
    return Jets.concatenate(parts)
