"""Scores of any kind on one scale: -log10 of the background's p-value, so that models can be averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError

P_VALUES = (0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
LEAST = 10  # background events above the last knot
KNOTS = 5  # at least
TAIL = 2  # knots whose slope goes on beyond the last one

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Significance:
    """knots (k,): the background's scores at the p-values 10^-exponents (k,)."""

    knots: Reals
    exponents: Reals

    def __call__(self, score: NDArray[np.floating]) -> Reals:
        """-log10 p of scores (n,): a line between the knots, and beyond the last ones."""
        score = np.asarray(score, np.float64)
        step = (self.exponents[-1] - self.exponents[-1 - TAIL]) / (self.knots[-1] - self.knots[-1 - TAIL])
        first = (self.exponents[1] - self.exponents[0]) / (self.knots[1] - self.knots[0])
        found = np.interp(score, self.knots, self.exponents)
        found = np.where(score > self.knots[-1], self.exponents[-1] + (score - self.knots[-1]) * step, found)
        return np.where(score < self.knots[0], self.exponents[0] + (score - self.knots[0]) * first, found)


def learn(background: NDArray[np.floating], where: str = "background") -> Significance:
    """The scale of a score, from its values for background (n,). Raises `InputError` where it takes few values or n is
    below 100."""
    usable = [p for p in P_VALUES if p * len(background) >= LEAST]
    knots = np.quantile(np.asarray(background, np.float64), 1 - np.array(usable)) if usable else np.zeros(0)
    if len(usable) < KNOTS or (np.diff(knots) <= 0).any():
        raise InputError(where, "scores", f"{len(background)} of {len(np.unique(background))} values",
                         "at least 100 that differ: the scale of a score is learnt from background")  # fmt: skip
    return Significance(knots, -np.log10(usable))


def together(scores: Mapping[str, NDArray[np.floating]], scales: Mapping[str, Significance]) -> Reals:
    """The ensemble's score (n,): mean of -log10 p over the models, each on its own scale."""
    rows: Sequence[Reals] = [scales[name](score) for name, score in scores.items()]
    return np.asarray(np.mean(rows, axis=0), np.float64)
