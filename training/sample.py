"""Turn generated events into a sample that ships with the project: hardware integers, small columns.

    python -m training.sample build/generate training/sample
    python -m training.sample build/generate training/benchmark --prefix big_ --after build/generate/background.h5

reads background.h5, one file per signal and, where it is there, resonance.h5 (ADC2021 layout, with the attributes of
`ad40 generate`) and writes files of the same names, without the prefix, that hold integer codes. Parents are numbered
anew; with --after those of that file keep the numbers which the sample made of it has, so that an event that both
samples hold falls into the same part of the split: a model trained on one may be tested on the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.events import open_events, write_hw_sample
from ad40.progress import Progress
from training.datasets import BACKGROUND, SIGNALS

FILES = (BACKGROUND, *SIGNALS)
OPTIONAL = ("resonance",)


def dense_parents(parent: NDArray[np.int64], known: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Parent numbers (n,) renumbered 0, 1, 2 ... in order of first appearance: the same groups, far smaller files.

    known: parents (m,) of another file, which come first: theirs get the numbers that `dense_parents(known)` gives.

    >>> dense_parents(np.array([70, 5, 70, 9])).tolist()
    [0, 1, 0, 2]
    >>> dense_parents(np.array([9, 70, 8]), known=np.array([70, 5, 70, 9])).tolist()
    [2, 0, 3]
    """
    first_come = parent if known is None else np.concatenate([known, parent])
    _, first, inverse = np.unique(first_come, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse[len(first_come) - len(parent) :]]


def parents_of(path: Path) -> NDArray[np.int64]:
    """The column `parent` of a generated file."""
    with open_events(path) as events:
        return events.column("parent").astype(np.int64)


def convert(source: Path, target: Path, known: NDArray[np.int64] | None = None) -> int:
    """Encode one file; returns its number of events. Counts of saturated fields join the attributes."""
    with open_events(source) as events:
        for name in ("process", "parent"):
            if name not in events.columns:
                raise InputError(source, "columns", events.columns, f"a column '{name}', as `ad40 generate` writes")
        codes = np.empty((events.n, 19, 3), np.int16)
        with Progress(events.n, source.stem) as progress:
            for start, block in events.chunks():
                codes[start : start + len(block)] = block
                progress.update(len(block))
        parent = dense_parents(events.column("parent"), known).astype(np.int32)
        columns: dict[str, NDArray[Any]] = {"process": events.column("process"), "parent": parent}
        write_hw_sample(target, codes, columns, {**events.attributes, "saturated": events.saturated})
    return len(codes)


def main(arguments: list[str] | None = None) -> None:
    """Convert every file of a folder, whole sample or error."""
    parser = argparse.ArgumentParser("python -m training.sample", description="generated events -> sample of integers")
    parser.add_argument("source", type=Path, help="folder of generated files")
    parser.add_argument("target", type=Path, help="sample folder to write")
    parser.add_argument("--prefix", default="", help="of the generated files' names")
    parser.add_argument("--after", type=Path, metavar="FILE", help="generated background of an earlier sample")
    args = parser.parse_args(arguments)
    sources = {name: args.source / f"{args.prefix}{name}.h5" for name in (*FILES, *OPTIONAL)}
    for name in FILES:
        if not sources[name].is_file():
            raise InputError(sources[name], "file", "missing", "events of `ad40 generate`")
    known = None if args.after is None else parents_of(args.after)
    args.target.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        if source.is_file():
            n = convert(source, args.target / f"{name}.h5", known if name == BACKGROUND else None)
            print(f"{name:<12} {n:>9,} events {(args.target / f'{name}.h5').stat().st_size / 1e6:6.2f} MB", flush=True)


if __name__ == "__main__":
    main()
