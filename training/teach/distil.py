"""Distillation: what a network of a few units learns of the teacher (`training.teach.teacher`).

The student's only output is -log10 of the background p-value that the teacher gives the event. What counts is not how
well the number is met but who passes: at each of the `WORKING_POINTS` (an FPR, so an `EDGES` of the output) the loss is
the cross-entropy of "above the edge" between teacher and student, soft on the scale of one unit of the output
(Hinton et al., arXiv 1503.02531). An event of corrupted background weighs 1; one with the likelihood ratio r weighs
1 + R/r at an edge of ratio R, so that background counts as much as the mixture where the two are to be told apart, and
a student that cannot resolve two events gives them the ratio of their sums, as a classifier trained directly would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40.split import TRAIN, VALIDATION
from models.card import Card
from training.datasets import Background
from training.teach.families import DEFAULT, corrupted
from training.teach.teacher import P_VALUES, Teacher, teacher

WORKING_POINTS = (0.5, 0.2, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
EDGES = tuple(float(edge) for edge in -np.log10(WORKING_POINTS))
SHARE = 0.5  # events of each family, over those of the background
TEACHER_SEED = 1  # one teacher, and the same events, for students of all seeds: their losses can be compared
EVENT_SEEDS = {TRAIN: 1000, VALIDATION: 2000}  # other events than the teacher has seen
TOP = 7.0  # of the target: what is more significant is not told apart

Arrays = tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]


def families_of(card: Card) -> tuple[str, ...]:
    """The families of corrupted events that a card names, or the usual ones."""
    return card.training.families or DEFAULT


def events(card: Card, sample: Background, part: str) -> NDArray[np.int16]:
    """Background of a part of the sample, and behind it corrupted events of each family, `SHARE` as many."""
    clean = sample.codes[sample.rows(part)]
    seed = EVENT_SEEDS[part]
    found = [clean]
    for name in families_of(card):
        seed += 1
        rows = np.random.default_rng(seed).permutation(len(clean))[: max(int(SHARE * len(clean)), 1)]
        found.append(corrupted(clean[rows], name, seed, len(rows)))
    return np.concatenate(found)


def weights(score: NDArray[np.float64], found: Teacher) -> NDArray[np.float32]:
    """Loss weights (n, edges) of events with the teacher's scores (n,); their mean is 1 at each edge."""
    median = found.knots[P_VALUES.index(0.5)]  # what lies below weighs no more than what lies there
    raw = 1 + np.exp(found.score_at(np.array(EDGES)) - np.maximum(score, median)[:, None])
    return (raw / raw.mean(axis=0)).astype(np.float32)


def targets(card: Card, sample: Background, part: str) -> Arrays:
    """Events of a part of the sample, codes (n, 19, 3), what the student is to say of them (n,) and the loss weights
    (n, edges). The teacher is taken from the cache or trained first."""
    chosen = teacher(sample, families_of(card), TEACHER_SEED)
    codes = events(card, sample, part)
    score = chosen.score(codes)
    return codes, np.clip(chosen.significance(score), 0.0, TOP).astype(np.float32), weights(score, chosen)
