"""`ad40 verify`: the golden vectors of models with the waist alone, or the whole ladder of executors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40 import defaults, golden, released
from ad40.cli import load
from ad40.errors import CheckError
from ad40.model import read_model

HELP = "hold QKeras, emulator, hls4ml C++, interpreter and RTL against each other, or golden vectors alone"
EPILOG = """\
From the emulator on, outputs and scores must be equal on every event. QKeras computes in float32 and may round
differently; such events are counted and bounded. This needs a checkout with the train, firmware and sim extras.
With --golden, which needs neither, each MODEL (default: all released ones) must have the files it was released with
and give every network input, output, score, seed bit and accept of its golden.npz.
examples: ad40 verify models/ad40_v1 --firmware build/firmware --events 100000 --rtl-events 20000
          ad40 verify --golden"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--golden", action="store_true", help="only the golden vectors")
    defaults.add_models(parser)
    parser.set_defaults(models=[])
    defaults.add_inputs(parser)
    parser.add_argument("--events", type=int, default=100000, metavar="N", help="events for the ladder in software")
    parser.add_argument("--rtl-events", type=int, default=20000, metavar="M", help="events for the RTL")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.golden:
        return verify_golden(args.models or [released.FOLDER / name for name in released.names()])
    args.models = args.models or [defaults.MODEL]
    summary: dict[str, Any] = load("firmware.verify", "firmware").run(args)
    return summary


def verify_golden(folders: list[Path]) -> dict[str, Any]:
    """Run the golden vectors of model folders. Raises `HashMismatch` for files that were changed, `CheckError` for
    answers that differ."""
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    for folder in folders:
        model = read_model(folder)
        network, menu = model.network, model.menu
        release = released.check_content(folder, network.name, network.version, network.hash, menu.hash)
        found = golden.check(model)
        title = f"{network.name} {network.version}"
        if found.wrong:
            faults.append(found.sentence(f"{title}, {folder / golden.FILE}", "emulator"))
        else:
            state = "released" if release else "not released"
            print(f"{title:<20} {found.rows:>6,} golden events equal, {state}, network {network.hash[:16]}")
        rows.append({
            "name": network.name, "version": network.version, "released": release is not None,
            "network_hash": network.hash, "menu_hash": menu.hash, "events": found.rows,
            "mismatches": found.wrong, "first": [one._asdict() for one in found.first],
        })  # fmt: skip
    summary: dict[str, Any] = {"models": rows, "mismatches": sum(row["mismatches"] for row in rows)}
    if faults:
        raise CheckError("\n".join(faults), summary)
    return summary
