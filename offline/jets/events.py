"""From the scores of jets to the score of their event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets.jets import UNKNOWN, Jets

HOW = ("mean", "max", "leading")
"""mean of the two leading jets' scores, as published; the larger of them; that of the leading jet."""

USED = 2  # jets of an event that count


@dataclass(frozen=True)
class EventScores:
    """event int64 (k,) rising, score float32 (k,), label int8 (k,), first int64 (k,): row of the leading jet."""

    event: NDArray[np.int64]
    score: NDArray[np.float32]
    label: NDArray[np.int8]
    first: NDArray[np.int64]


def event_scores(jets: Jets, score: NDArray[np.floating], how: str = "mean") -> EventScores:
    """The scores of events from those of their jets (n,), of which the two leading ones count.

    An event with one jet has the score of that jet. Events without jets do not appear. Raises `InputError` on a way
    that does not exist, a wrong number of scores, and events whose jets have different labels.
    """
    if how not in HOW:
        raise InputError("event score", "how", repr(how), "one of " + ", ".join(HOW))
    if score.shape != (len(jets),):
        raise InputError("event score", "scores", f"of shape {score.shape}", f"one for each of {len(jets)} jets")
    rows = np.flatnonzero(jets.which < (1 if how == "leading" else USED))
    rows = rows[np.lexsort((jets.which[rows], jets.event[rows]))]
    event, first, counts = np.unique(jets.event[rows], return_index=True, return_counts=True)
    values = score[rows].astype(np.float64)
    if not len(event):
        none = np.zeros(0, np.int64)
        return EventScores(none, np.zeros(0, np.float32), np.zeros(0, np.int8), none)
    together = np.maximum.reduceat(values, first) if how == "max" else np.add.reduceat(values, first) / counts
    labels = jets.label[rows]
    if (np.maximum.reduceat(labels, first) != np.minimum.reduceat(labels, first)).any():
        raise InputError("jets", "label", "different for jets of one event", "one label for each event")
    return EventScores(event, together.astype(np.float32), labels[first], rows[first])


def need_labels(label: NDArray[np.int8], what: str) -> None:
    """Raise `InputError` unless every label is known and both kinds occur."""
    if (label == UNKNOWN).any() or not len(label):
        raise InputError(what, "label", f"not known for {int((label == UNKNOWN).sum())} of {len(label)}",
                         "labelled jets (this is a file without labels, such as a black box)")  # fmt: skip
    if len(np.unique(label)) < 2:
        raise InputError(what, "label", f"{label[0]} everywhere", "background (0) and signal (1)")
