"""The parts of a sample: what is learnt from, what says when to stop, what is judged on. By a hash of the parent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = "train", "validation", "test"
TENTHS = {TRAIN: range(0, 5), VALIDATION: range(5, 6), TEST: range(6, 10)}  # 50, 10, 40 percent


def hashed(numbers: NDArray[np.integer]) -> NDArray[np.uint64]:
    """64 random bits of each number, always the same: uint64, same shape.

    The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): neighbouring numbers are independent.
    """
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def tenth_of(parent: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Tenth 0..9 of each parent, a hash of its number: uint8, same shape. It never depends on how many events the file
    holds."""
    return (hashed(parent) % np.uint64(10)).astype(np.uint8)


def part_of(parent: NDArray[np.int64], part: str) -> NDArray[np.int64]:
    """Positions of the parents (n,) that fall into a part of the split. Signal events have their row as parent."""
    return rows_of(tenth_of(parent), part)


def rows_of(tenth: NDArray[np.uint8], part: str) -> NDArray[np.int64]:
    """Positions of the tenths (n,) that belong to a part."""
    tenths = TENTHS[part]
    return np.flatnonzero((tenth >= tenths.start) & (tenth < tenths.stop))
