"""`ad40 emulate`: the integer score of every event of a file, as the board would compute it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import defaults, hdf5
from ad40.emulator import Emulator
from ad40.events import open_events
from ad40.menu import MenuState, seed_bits
from ad40.model import read_model
from ad40.progress import Progress
from ad40.trigger import CHUNK

HELP = "write the integer score and the seed bits of every event"
EPILOG = "example: ad40 emulate events.h5 --model models/ad40 --output scores.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", type=Path, metavar="EVENTS.h5", help="event file, ADC2021 or hardware sample")
    defaults.add_model_option(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="SCORES.h5",
                        help="HDF5 with hw_score (int32), seeds_before, seeds_after (bit masks) per event")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    model = read_model(args.model)
    emulator, state = Emulator(model.network), MenuState(model.menu)
    with open_events(args.events) as source:
        with hdf5.create(args.output) as file, Progress(source.n, "emulate") as bar:
            columns = {"hw_score": np.int32, "seeds_before": np.uint32, "seeds_after": np.uint32}
            for name, kind in columns.items():
                file.create_dataset(name, (source.n,), kind)
            low, high = np.iinfo(np.int32).max, 0
            for start, codes in source.chunks(CHUNK):
                rows = slice(start, start + len(codes))
                score = emulator.score(codes)
                decision = state.decide(score)
                file["hw_score"][rows] = score
                file["seeds_before"][rows] = seed_bits(decision.seeds_before)
                file["seeds_after"][rows] = seed_bits(decision.seeds_after)
                low, high = min(low, int(score.min())), max(high, int(score.max()))
                bar.update(len(codes))
            file.attrs.update(
                spec_hash=model.network.spec_hash, model_hash=model.network.hash, menu_hash=model.menu.hash,
                score_fraction=model.network.score_fraction, seeds=[seed.name for seed in model.menu.seeds],
            )  # fmt: skip
        n = source.n
    span = [low, high] if n else None
    print(f"{n:,} scores in {args.output}" + (f", from {low} to {high}" if n else ""))
    return {"events": n, "hw_score_range": span, "model_hash": model.network.hash, "output": str(args.output)}
