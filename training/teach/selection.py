"""The figure that selects among models: from background and corruptions of it, never from a signal.

`families`: what the teacher's families of corrupted events are for (`training.teach.families`, `teacher`). Each is
worth what trees that were grown on it alone keep of it; a model counts as much as the least fraction of that which it
keeps of any family, so that no family can be given up for another. `corruptions`: mean efficiency over the corruptions
that `ad40 evaluate` prints (`training.teach.corruptions`); it needs no teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.metrics import tpr_at_fpr
from ad40.split import TRAIN, VALIDATION
from training.datasets import Background
from training.teach.corruptions import CORRUPTIONS, corrupt
from training.teach.families import DEFAULT, corrupted

FPR = 1e-3
MOST = 200_000  # events: more would cost time and tell little
FAMILIES, MEAN = "families", "corruptions"
WORDS = {
    FAMILIES: "least fraction, over the families of corrupted background, of the TPR that trees of that family alone "
              f"reach, at an FPR of {FPR:g}",
    MEAN: f"mean over corruptions of background of the TPR at an FPR of {FPR:g}",
}  # fmt: skip
SHORT = {FAMILIES: "least fraction of a family's own limit [%]", MEAN: "mean TPR on corrupted background [%]"}

Score = Callable[[NDArray[np.int32]], NDArray[np.integer]]


@dataclass(frozen=True)
class Selection:
    """Events that a model is judged on. clean: codes (n, 19, 3) of background with their families of correlated events
    (n,); changed: codes of the corrupted events by name; limits: TPR of each one's own trees, 1 without."""

    kind: str
    clean: NDArray[np.int16]
    parent: NDArray[np.int64]
    changed: dict[str, NDArray[np.int16]]
    limits: dict[str, float]

    def efficiencies(self, score: Score) -> dict[str, list[float]]:
        """TPR at `FPR` of each corruption, [low, value, high]. score: of events int32 (n, 19, 3), (n,)."""
        background = score(self.clean.astype(np.int32))
        return {name: [round(v, 7) for v in tpr_at_fpr(background, score(codes.astype(np.int32)), FPR, self.parent)]
                for name, codes in self.changed.items()}  # fmt: skip

    def figure(self, efficiencies: dict[str, list[float]]) -> float:
        """The figure of efficiencies: the larger the better."""
        fractions = [row[1] / self.limits[name] for name, row in efficiencies.items()]
        return round(float(min(fractions) if self.kind == FAMILIES else np.mean(fractions)), 6)


def unseen(sample: Background, trained: int | None) -> NDArray[np.int64]:
    """Rows that a training on the first `trained` events of the sample (None: on all) leaves for the selection: those
    of the validation part, and those of the training part that it has not read; at most `MOST`. Never the test part."""
    rows = sample.rows(VALIDATION)
    if trained is not None:
        spare = sample.rows(TRAIN)
        rows = np.concatenate([rows, spare[spare >= trained]])
    return np.sort(rows[:MOST])


def selection(kind: str, sample: Background, families: tuple[str, ...] = (), trained: int | None = None) -> Selection:
    """Events for the selection. families: those of the teacher, () for `DEFAULT`; for the kind `families` it is taken
    from its cache or grown now, which takes minutes. trained: as in `unseen`."""
    rows = unseen(sample, trained)
    clean, parent = sample.codes[rows], sample.parent[rows]
    if kind == MEAN:
        changed = {name: corrupt(clean, name).astype(np.int16) for name in CORRUPTIONS}
        return Selection(kind, clean, parent, changed, dict.fromkeys(changed, 1.0))
    from training.teach.distil import TEACHER_SEED
    from training.teach.teacher import teacher

    found = teacher(sample, families or DEFAULT, TEACHER_SEED)
    changed = {name: corrupted(clean, name, TEACHER_SEED + 1) for name in found.families}
    limits = {name: float(limit) for name, limit in zip(found.families, found.limits, strict=True)}
    return Selection(kind, clean, parent, changed, limits)
