"""Speed of a model's C++ library on one core: `python -m ad40.library_bench MODEL EVENTS.h5 N` prints JSON.

The library and its bench program are compiled anew, for any machine of this kind or, with --native, for this one; the
scores must be those of the Python emulator, or no figures are given.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import released
from ad40.emulator import Emulator
from ad40.errors import CheckError
from ad40.events import open_events
from ad40.library import build, compiler, write_sources
from ad40.model import read_model
from ad40.objects import pack

REPEATS = 31


def measure(model_dir: Path, sample: Path, n: int, native: bool = False, repeats: int = REPEATS) -> dict[str, Any]:
    """Medians over `repeats` runs on the first n events: events/s of batches of codes and of words on the links, and
    nanoseconds of a single event, through the C interface and through the three calls of the C++ interface."""
    model = read_model(model_dir)
    with open_events(sample) as file:
        codes = np.ascontiguousarray(file.codes(0, n), np.int32)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_sources([model], folder)
        (library,) = build([model], folder, native)
        program, events, words, scores = (folder / name for name in ("bench", "codes", "words", "scores"))
        source = ["-std=c++17", "-O2", f"-I{folder / 'include'}", str(folder / "bench.cpp")]
        subprocess.run([compiler(), *source, "-o", str(program), "-ldl"], check=True)
        codes.tofile(events)
        pack(codes).tofile(words)
        command = [program, library, events, words, scores, str(repeats)]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CheckError(f"the bench of the C++ library failed: {done.stderr.strip()}")
        wrong = int((np.fromfile(scores, np.uint32) != Emulator(model.network).score(codes)).sum())
    if wrong:
        raise CheckError(f"C++ != emulator: {wrong}/{len(codes)}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"native": native, "mismatches": wrong}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="ad40.library_bench")
    parser.add_argument("model", type=released.folder)
    parser.add_argument("events", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--native", action="store_true")
    args = parser.parse_args()
    print(json.dumps(measure(args.model, args.events, args.n, args.native)))
