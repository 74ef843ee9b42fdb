"""Turn generated events into the sample that ships with the project: hardware integers, small columns.

    python -m training.sample build/generate training/sample

reads background.h5, one file per signal and resonance.h5 (ADC2021 layout, with the attributes of `ad40 generate`)
and writes files of the same names that hold integer codes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ad40.errors import InputError
from ad40.events import open_events, write_hw_sample

FILES = ("background", "Ato4l", "leptoquark", "hToTauTau", "hChToTauNu", "resonance")


def dense_parents(parent: np.ndarray) -> np.ndarray:
    """Parent numbers (n,) renumbered 0, 1, 2 ... in order of first appearance: the same groups, far smaller files.

    >>> dense_parents(np.array([70, 5, 70, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(parent, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def convert(source: Path, target: Path) -> int:
    """Encode one file; returns its number of events. Counts of saturated fields join the attributes."""
    with open_events(source) as events:
        for name in ("process", "parent"):
            if name not in events.columns:
                raise InputError(source, "columns", events.columns, f"a column '{name}', as `ad40 generate` writes")
        codes = np.concatenate([codes for _, codes in events.chunks()])
        columns = {"process": events.column("process"), "parent": dense_parents(events.column("parent"))}
        write_hw_sample(target, codes, columns, {**events.attributes, "saturated": events.saturated})
    return len(codes)


def main() -> None:
    """Convert every file of a folder, whole sample or error."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for name in FILES:
        n = convert(source / f"{name}.h5", target / f"{name}.h5")
        print(f"{name:<12} {n:>8,} events {(target / f'{name}.h5').stat().st_size / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()
