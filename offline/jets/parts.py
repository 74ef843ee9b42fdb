"""Which events of a jets file are learnt from, and which are kept to judge what was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.split import hashed
from offline.jets.events import need_labels
from offline.jets.jets import SIGNAL, Jets

PARTS = ("train", "test", "all")
RATIO = 20.0
"""Background to signal in the training of the comparison: that of the published figures."""


def part_of(event: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Whether events (n,) are for training: half of them, by a hash of their number, whatever else is in the file."""
    return (hashed(event) & np.uint64(1)).astype(bool)


def rows_of(event: NDArray[np.integer[Any]], part: str) -> NDArray[np.bool_]:
    """The rows (n,) of a part: "train", "test" or "all". Raises `InputError` on another name."""
    if part not in PARTS:
        raise InputError("jets", "part", repr(part), "one of " + ", ".join(PARTS))
    if part == "all":
        return np.ones(len(event), bool)
    return part_of(event) == (part == "train")


def mixture(
    jets: Jets, most: int | None = None, ratio: float | None = None, seed: int = 40
) -> NDArray[np.int64]:  # fmt: skip
    """Rows of a training sample: at most `most` jets, of whole events; with `ratio`, so many background events to a
    signal event, as many of both as there are. Labels are needed for the ratio alone: nothing else looks at them.

    Raises `InputError` when labels are needed and not there.
    """
    events, first, of = np.unique(jets.event, return_index=True, return_inverse=True)
    order = np.random.default_rng([seed, 4]).permutation(len(events))
    if ratio is not None:
        if not ratio > 0:
            raise InputError("mixture", "ratio", ratio, "a number above 0, of background to signal")
        need_labels(jets.label, "mixture")
        signal = jets.label[first][order] == SIGNAL
        n_signal, n_background = int(signal.sum()), int((~signal).sum())
        take = min(n_signal, int(n_background / ratio))
        if most is not None:  # fewer signal events when jets are few: the ratio holds in what is taken
            take = min(take, max(int(most / (len(jets) / len(events)) / (1 + ratio)), 1))
        rank = np.cumsum(signal) - 1
        background = np.cumsum(~signal) - 1
        order = order[np.where(signal, rank < take, background < round(take * ratio))]
    chosen = np.zeros(len(events), bool)
    if most is None:
        chosen[order] = True
    else:
        sizes = np.bincount(of, minlength=len(events))[order]
        chosen[order[np.cumsum(sizes) <= most]] = True
    return np.flatnonzero(chosen[of])
