"""A second score beside that of a frozen model: what its training has to know of the first (`training.losses`).

Two scores that are independent on background give the background of their common tail from the other three corners
(arXiv 2111.06417; `ad40 abcd`). The first model is frozen, so that the second may lean on it as it is: on its integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40.model import read_model
from ad40.split import TRAIN
from training.datasets import Background

EFFICIENCIES = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02, 0.015, 0.01)
"""Background efficiencies of the cuts on either score whose joint efficiency is to be the product: many, since integer
scores come in steps."""

POWER = 1.5  # of the product under the squared difference: 2 would count relative differences, 1 their significance
NO_BACKGROUND = 2.0  # share of an event that is none


def shares(model: str, sample: Background, part: str, n: int) -> NDArray[np.float32]:
    """For each background event of a part of the sample the share, 0 to 1, of the training background that the model
    scores as high; behind them `NO_BACKGROUND` up to n entries. float32 (n,)."""
    trigger = read_model(model).trigger

    def score(of: str) -> NDArray[np.int32]:
        return trigger.score(sample.codes[sample.rows(of)].astype(np.int32))[:, 0]

    ordered = np.sort(score(TRAIN))
    found = 1 - np.searchsorted(ordered, score(part), side="left") / len(ordered)
    result = np.full(n, NO_BACKGROUND, np.float32)
    result[: len(found)] = np.clip(found, 0.0, 1.0)
    return result


def hash_of(model: str) -> str:
    """Hash of the network of the first model."""
    return read_model(model).network.hash
