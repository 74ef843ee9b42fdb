"""The second score made independent of the first where a training has left something: conditional p-values.

In bins of the first score, of equal share in the bulk and ever finer towards its tail, the survival function of the
second is known from the sample of the training; the score becomes -log10 of it, interpolated between bins. On that
sample the two are then independent but for what happens inside a bin. A map of this kind for a score and a mass is
`offline.jets.decorrelate.flat_in_mass`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError

KNOTS = 200  # of a survival function, evenly in its logarithm
LEAST = 200  # events of a bin
FINEST = 2e-3  # share of the events in the last bin, at least

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Flat:
    """centre: of the bins in the first score, float32 (bins,), rising. knots: second score at survival probabilities
    `probabilities`, float32 (bins, KNOTS), rising."""

    centre: Floats
    knots: Floats

    @property
    def exponents(self) -> Floats:
        """-log10 of the survival probability of each knot, float32 (KNOTS,)."""
        return exponents(self.knots.shape[1])

    def __call__(self, score: Floats) -> Floats:
        """Scores (n, 2) with the second replaced: float32 (n, 2). Beyond the last knot it goes on with a slope of 1."""
        first, second = score[:, 0], score[:, 1]
        place = np.interp(first, self.centre, np.arange(len(self.centre)))
        low = np.minimum(place.astype(int), max(len(self.centre) - 2, 0))
        found = np.zeros(len(score), np.float64)
        for bin_ in range(len(self.centre)):
            share = np.clip(1 - np.abs(place - bin_), 0, None)
            rows = np.flatnonzero((share > 0) & (np.abs(low - bin_) <= 1))
            if len(rows):
                found[rows] += share[rows] * self._of_bin(bin_, second[rows])
        return np.stack([first, found.astype(np.float32)], axis=1)

    def _of_bin(self, bin_: int, second: Floats) -> NDArray[np.float64]:
        knots = self.knots[bin_]
        beyond = np.maximum(second - knots[-1], 0) - np.maximum(knots[0] - second, 0)
        return np.asarray(np.interp(second, knots, self.exponents) + beyond, np.float64)


def exponents(n: int) -> Floats:
    """-log10 of the survival probabilities of n knots: from 1 down to 1e-3."""
    return np.linspace(0, 3, n, dtype=np.float32)


def flat(score: Floats, bins: int, weights: NDArray[np.floating] | None = None) -> Flat:
    """The map for events with scores (n, 2) and weights (n,), of at most so many bins, each of `LEAST` events or more.

    Raises `InputError` with fewer than 2 `LEAST` events.
    """
    n = len(score)
    if n < 2 * LEAST:
        raise InputError("double autoencoder", "events for the map of the second score", n, f"at least {2 * LEAST}")
    w = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(score[:, 0], kind="stable")
    below = np.cumsum(w[order]) / w.sum()
    centre, knots = [], []
    for rows in _bins(order, below, bins):
        second = np.argsort(score[rows, 1], kind="stable")
        ordered, mass = score[rows[second], 1], w[rows[second]]
        above = 1 - (np.cumsum(mass) - mass / 2) / mass.sum()  # falls as the score rises
        wanted = 10.0 ** -exponents(KNOTS).astype(np.float64)
        value = np.interp(-wanted, -above, ordered)
        centre.append(np.median(score[rows, 0]))
        knots.append(np.maximum.accumulate(value))
    return Flat(np.asarray(np.maximum.accumulate(centre), np.float32), np.asarray(knots, np.float32))


def _bins(order: NDArray[np.integer], below: NDArray[np.float64], bins: int) -> list[NDArray[np.integer]]:
    """Rows of each bin: `order` cut where the share `below` leaves a geometric series down to `FINEST`; what would be
    fewer than `LEAST` events joins the bin before."""
    cuts = np.searchsorted(below, 1 - np.geomspace(1, FINEST, max(bins, 2))[1:])
    kept = [len(order)]
    for cut in cuts[::-1].tolist():
        if kept[-1] - cut >= LEAST and cut >= LEAST:
            kept.append(cut)
    return [order[low:high] for low, high in pairwise([0, *kept[::-1]])]
