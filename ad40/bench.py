"""Speed of the waist: `python -m ad40.bench MODEL EVENTS.h5 N` prints JSON.

A process of its own, because the threads of a numerical library are fixed when it is loaded: `ad40 bench` starts it
with one. Every figure is the median of several repetitions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ad40.emulator import Emulator
from ad40.events import open_events
from ad40.menu import MenuState
from ad40.model import read_model
from ad40.objects import encode, pack
from ad40.roofline import roofline, seconds
from ad40.stream import BLOCK, cores

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
REPEATS = 31
BLOCKS = 8  # of `ad40.stream`, for each core, where all cores are measured


def rate(work: Callable[[], object], n: int, repeats: int = REPEATS) -> float:
    """Events per second of the median of a few repetitions of `work` on n events."""
    return n / seconds(work, repeats)


def measure(model_dir: Path | str, sample: Path, n: int) -> dict[str, Any]:
    """Events per second of emulator (codes to score), emulator and menu, encode + pack, on the first n events and one
    core; of the emulator on all cores, the events over and over; and the roofline."""
    model = read_model(model_dir)
    emulator = Emulator(model.network)
    with open_events(sample) as file:
        codes, events = file.codes(0, n), file.events(0, n)
    n, threads = len(codes), cores()
    many = codes[np.arange(BLOCKS * BLOCK * threads) % n]
    blocks = [many[i : i + BLOCK] for i in range(0, len(many), BLOCK)]
    with ThreadPoolExecutor(threads) as pool:
        everywhere = rate(lambda: list(pool.map(emulator.score, blocks)), len(many))
    return {
        "events": n,
        "emulator": rate(lambda: emulator.score(codes), n),
        "emulator_and_menu": rate(lambda: MenuState(model.menu).decide(emulator.score(codes)), n),
        "encode_pack": rate(lambda: pack(encode(events).codes), n),
        "cores": threads,
        "emulator_all_cores": everywhere,
        "roofline": roofline(model.network, codes, REPEATS),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
