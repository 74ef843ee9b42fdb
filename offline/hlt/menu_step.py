"""`ad40 hlt menu`: the threshold of a model for a rate, from events that the trigger accepted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40 import spec
from ad40.errors import InputError
from ad40.files import writable_folder
from offline.hlt import accepted
from offline.hlt.model import load
from offline.hlt.stage import HltMenu, calibrate, share, write

HELP = "make the folder of a stage: a model, and its threshold for a rate"
EPILOG = """Of the events that the trigger sends (--l1-rate) the stage keeps --rate: those with the largest scores, and
one of --pass-through whatever its score. KEPT.h5 is what the trigger kept of background, or of data.
example: ad40 hlt menu build/flow.onnx build/kept.h5 --part validation --output build/stage"""
L1_RATE, RATE, PASS_THROUGH = 100.0, 1.0, 10_000


def add_rates(parser: argparse.ArgumentParser) -> None:
    """The rate that the trigger sends."""
    parser.add_argument("--l1-rate", type=float, default=L1_RATE, metavar="KHZ",
                        help="what the trigger sends [kHz] (default %(default)g)")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="model (ad40 reference export)")
    parser.add_argument("record", type=Path, metavar="KEPT.h5", help="TriggerRecord to set the threshold with")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the stage to write")
    parser.add_argument("--name", default="hlt", help="name of the stage (default %(default)s)")
    parser.add_argument("--part", choices=accepted.PARTS, default="all",
                        help="events of the sample to use (default %(default)s)")  # fmt: skip
    add_rates(parser)
    parser.add_argument("--rate", type=float, default=RATE, metavar="KHZ",
                        help="what the stage keeps [kHz] (default %(default)g)")  # fmt: skip
    parser.add_argument("--pass-through", type=int, default=PASS_THROUGH, metavar="N",
                        help="keep one of N whatever its score; 0 for none (default %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=40, help="of the draw of these (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score the sample, set the threshold, write the folder; returns the menu."""
    if not 0 <= args.seed < 1 << 32:
        raise InputError("command line", "--seed", args.seed, "0 to 4294967295")
    if not args.name:
        raise InputError("command line", "--name", repr(args.name), "a name")
    share(args.rate, args.l1_rate, args.pass_through)
    scorer = load(args.model)
    sample = accepted.read(args.record, args.part)
    writable_folder(args.output)
    score = scorer.score(sample.codes)
    threshold, found = calibrate(score, sample.parent, args.l1_rate, args.rate, args.pass_through)
    source = {"file": args.record.name, "sha256": sample.sha256, "part": args.part}
    menu = HltMenu(
        args.name, {"name": scorer.name, "sha256": scorer.sha256},
        {"menu_hash": sample.attributes["menu_hash"],
         "models": [model["hash"] for model in sample.attributes["models"]]},
        threshold, args.pass_through, args.seed, spec.objects().hash, source | found,
    )  # fmt: skip
    write(args.output, menu, scorer)
    low, value, high = found["expected_rate_khz"]
    lowest, _, highest = found["threshold"]
    between = " to ".join("unknown" if bound is None else f"{bound:.6g}" for bound in (lowest, highest))
    print(f"{found['passed']:,} of {found['events']:,} events reach {threshold:.6g} (68 %: {between})")
    print(f"{args.l1_rate:g} kHz in, {value:.4g} kHz kept ({low:.4g} to {high:.4g})\nwritten: {args.output}")
    return {"folder": str(args.output), "hash": menu.hash} | menu.to_dict()
