"""Pseudo-experiments of several spectra at once that keep their correlations.

One event enters several spectra, so a fluctuation in one comes with one in others, and spectra thrown independently
would overstate how many places there were to look. Here the events themselves are resampled: event e occurs
Poisson(u_e) times. The weights u_e come from iterative proportional fitting (raking; Deming and Stephan 1940): they
are scaled until the weights in each bin of each spectrum add up to the fitted background of that bin. What cannot be
reached (a bin without events, or two spectra that ask different things of one lonely event) is thrown apart.

Every bin is then exactly Poisson(background), and two bins of different spectra are correlated as far as they share
events: their covariance is the sum of u_e over the events in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]

RAKE_STEPS = 200
RAKE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Sampler:
    """Draws background-only histograms of all spectra. Build it with `rake`.

    weights: (E,) expected occurrences of each event. membership: sparse (E, sum of bins), 1 where an event is in a
    bin. rest: (sum of bins,) expected counts thrown independently. sizes: bins of each spectrum.
    """

    weights: Floats
    membership: sparse.csr_matrix
    rest: Floats
    sizes: tuple[int, ...]

    @property
    def shared(self) -> float:
        """Part of the expected counts that comes from resampled events (the rest is thrown independently)."""
        total = float((self.membership.T @ self.weights).sum() + self.rest.sum())
        return 1.0 - float(self.rest.sum()) / total if total else 1.0

    def draw(self, n: int, random: np.random.Generator) -> list[Floats]:
        """n pseudo-experiments: for each spectrum the counts (n, bins)."""
        times = random.poisson(self.weights, size=(n, len(self.weights))).astype(np.float64)
        counts = np.rint(times @ self.membership) + random.poisson(self.rest, size=(n, len(self.rest)))
        return np.split(counts, np.cumsum(self.sizes)[:-1], axis=1)


def rake(bins: NDArray[np.int64], expected: list[Floats]) -> Sampler:
    """Event weights whose histograms are the expected ones.

    bins: (E, S) bin of each event in each of S spectra, -1 where it is in none; expected: S arrays (B_s,), > 0.
    """
    bins = np.asarray(bins)[(np.asarray(bins) >= 0).any(axis=1)]  # an event in no spectrum changes nothing
    sizes = tuple(len(b) for b in expected)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    weights = np.ones(len(bins))
    inside = [bins[:, s] >= 0 for s in range(len(sizes))]

    def filled(s: int) -> Floats:
        return np.bincount(bins[inside[s], s], weights=weights[inside[s]], minlength=sizes[s])

    def scale(s: int, factor: Floats) -> None:
        weights[inside[s]] *= factor[bins[inside[s], s]]

    for _ in range(RAKE_STEPS):
        worst = 0.0
        for s, target in enumerate(expected):
            now = filled(s)
            factor = np.divide(target, now, out=np.ones(sizes[s]), where=now > 0)
            worst = max(worst, float(np.max(np.abs(factor[now > 0] - 1), initial=0.0)))
            scale(s, factor)
        if worst < RAKE_TOLERANCE:
            break
    # only downwards now, so that no bin is above its target and what is missing can be added
    for s, target in enumerate(expected):
        now = filled(s)
        scale(s, np.minimum(1.0, np.divide(target, now, out=np.ones(sizes[s]), where=now > 0)))
    rest = np.concatenate([np.maximum(target - filled(s), 0.0) for s, target in enumerate(expected)])
    rows, spectra = np.nonzero(bins >= 0)
    columns = starts[spectra] + bins[rows, spectra]
    membership = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(bins), int(starts[-1])))
    return Sampler(weights, membership, rest, sizes)
