"""Speed of the waist on one core: `python -m ad40.bench MODEL_DIR EVENTS.h5 N` prints JSON.

A process of its own, because the threads of a numerical library are fixed when it is loaded: `ad40 bench` starts it
with one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ad40.emulator import Emulator
from ad40.events import open_events
from ad40.menu import MenuState
from ad40.model import read_model
from ad40.objects import encode, pack

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
REPEATS = 30


def rate(work: Callable[[], object], n: int, repeats: int = REPEATS) -> float:
    """Events per second of the fastest of a few repetitions of `work` on n events: the one least disturbed."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return n / best


def measure(model_dir: Path, sample: Path, n: int) -> dict[str, float]:
    """Events per second of emulator (codes to score), emulator and menu, encode + pack, on the first n events."""
    model = read_model(model_dir)
    emulator = Emulator(model.network)
    with open_events(sample) as file:
        codes, events = file.codes(0, n), file.events(0, n)
    n = len(codes)
    return {
        "events": n,
        "emulator": rate(lambda: emulator.score(codes), n),
        "emulator_and_menu": rate(lambda: MenuState(model.menu).decide(emulator.score(codes)), n),
        "encode_pack": rate(lambda: pack(encode(events).codes), n),
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
