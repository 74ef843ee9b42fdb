"""Bump hunting: the least likely excess over a background, in windows of several widths (BumpHunter, arXiv:1101.0390).

In a window with N events observed and b expected, the local p-value is P(Poisson(b) >= N) = gammainc(N, b). The test
statistic is t = -ln of the smallest local p. Its distribution without a signal comes from pseudo-experiments
(`offline.statistics.pseudo`), and a global p-value is (S + 1) / (n + 1) with S of n pseudo-experiments at least as
extreme: the measurement itself is one more outcome of the null hypothesis, so that p is never 0 and never too small
on average.

t is computed on its logarithmic scale, so that an excess of a hundred sigma is as exact as one of two. Most windows
need no sum at all: with D = N ln(N / b) - (N - b) and the normal tail Q,

    Q(sqrt(2 D)) < P(Poisson(b) >= N)      (Short, ISRN Probability and Statistics 2013, 412958, theorem 2)

so that only windows whose D could still win are summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri_exp
from scipy.stats import norm

from offline.statistics.poisson import divergence, minus_log_p, minus_log_tail, normal_tail_at

Floats = NDArray[np.float64]

WIDTHS = (2, 3, 4, 6, 8)
"""Window widths in bins. A bin is one mass resolution wide: a narrow resonance fills 3 or 4 bins, a broad one more."""

FLANK = 3
"""Bins on each side of the best window that may hold the tails of the same bump."""

SMALLEST_P = 1e-300
"""A local p-value is not given smaller than this; t and z go on."""

LOWEST_Z = -40.0
"""Given for p = 1, whose significance is no number that a file could hold."""


@dataclass(frozen=True)
class Scan:
    """Best window of each histogram (..): its first bin, the bin after its last, its counts, and t = -ln(local p).

    t is 0 where no window has an excess, infinite where there are events and nothing is expected.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    observed: Floats
    expected: Floats
    t: Floats

    @property
    def local_p(self) -> Floats:
        """Local p-value (..) of the window, at least `SMALLEST_P`; 1 where no window has an excess."""
        return np.maximum(np.exp(-self.t), SMALLEST_P)

    @property
    def z(self) -> Floats:
        """One-sided Gaussian significance (..) of the local p-value, right also below `SMALLEST_P`."""
        return z_of(self.t)


def windows(n_bins: int, widths: tuple[int, ...] = WIDTHS) -> NDArray[np.int64]:
    """All windows (W, 2) as [first bin, bin after the last); at least half of the bins stay outside of each."""
    usable = [width for width in widths if width >= 1 and 2 * width <= n_bins]
    return np.array([(low, low + w) for w in usable for low in range(n_bins - w + 1)], dtype=np.int64).reshape(-1, 2)


def local_p(observed: ArrayLike, expected: ArrayLike) -> Floats:
    """P(Poisson(expected) >= observed) where observed exceeds expected; 1 for a deficit, which is no bump."""
    return np.maximum(np.exp(-minus_log_p(np.float64(observed), np.float64(expected))), SMALLEST_P)


def scan(counts: ArrayLike, expected: ArrayLike, widths: tuple[int, ...] = WIDTHS) -> Scan:
    """Find the window with the smallest local p of histograms (.., B) over expected counts (.., B) or (B,)."""
    n, b = np.asarray(counts, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    b = np.broadcast_to(b, n.shape)
    shape, n_bins = n.shape[:-1], n.shape[-1]
    bounds = windows(n_bins, widths)
    size = int(np.prod(shape))
    best, t = np.zeros(size, dtype=np.int64), np.zeros(size)
    if len(bounds):
        _scan(n.reshape(size, n_bins), b.reshape(size, n_bins), bounds, best, t)
    else:
        bounds = np.zeros((1, 2), dtype=np.int64)  # too few bins for a window: no excess
    best = best.reshape(shape)
    low, high = bounds[best, 0], bounds[best, 1]

    def inside(values: Floats) -> Floats:
        total = np.concatenate([np.zeros((*shape, 1)), np.cumsum(values, axis=-1)], axis=-1)
        first, last = (np.take_along_axis(total, place[..., None], axis=-1)[..., 0] for place in (low, high))
        return last - first

    return Scan(low, high, inside(n), inside(b), t.reshape(shape))


@numba.njit(nogil=True, cache=True)
def _scan(counts: Floats, expected: Floats, bounds: NDArray[np.int64], best: NDArray[np.int64], t: Floats) -> None:
    """Index of the best window and its t, for each histogram of (T, B)."""
    n_bins, n_windows = counts.shape[1], len(bounds)
    n_before, b_before = np.zeros(n_bins + 1), np.zeros(n_bins + 1)
    found = np.empty(n_windows)  # D of each window; 0 where it is surely not the best
    for h in range(counts.shape[0]):
        for k in range(n_bins):
            n_before[k + 1] = n_before[k] + counts[h, k]
            b_before[k + 1] = b_before[k] + expected[h, k]
        largest, start = 0.0, -1
        for w in range(n_windows):
            found[w] = 0.0
            n = n_before[bounds[w, 1]] - n_before[bounds[w, 0]]
            b = b_before[bounds[w, 1]] - b_before[bounds[w, 0]]
            if n <= b:
                continue
            if b <= 0.0:
                found[w] = np.inf
            else:
                found[w] = divergence(n, b)
            if found[w] > largest:
                largest, start = found[w], w
        best[h], t[h] = 0, 0.0
        if start < 0:
            continue
        n = n_before[bounds[start, 1]] - n_before[bounds[start, 0]]
        b = b_before[bounds[start, 1]] - b_before[bounds[start, 0]]
        reached = minus_log_tail(n, b)
        cut = 0.0
        if reached == np.inf:
            cut = np.inf
        elif reached > 0.7:
            z = normal_tail_at(reached) - 1e-9
            cut = 0.5 * z * z if z > 0.0 else 0.0
        for w in range(n_windows):
            if found[w] > 0.0 and (w == start or found[w] >= cut):
                n = n_before[bounds[w, 1]] - n_before[bounds[w, 0]]
                b = b_before[bounds[w, 1]] - b_before[bounds[w, 0]]
                value = minus_log_tail(n, b)
                if value > t[h]:
                    best[h], t[h] = w, value


def outside(found: Scan, n_bins: int) -> NDArray[np.bool_]:
    """Bins away from the best window, bool (.., B): its width, at least `FLANK` bins, is left out on both sides."""
    flank = np.maximum(np.asarray(found.high) - np.asarray(found.low), FLANK)
    k = np.arange(n_bins)
    return (k < (found.low - flank)[..., None]) | (k >= (found.high + flank)[..., None])


def global_p(observed: float, pseudo: ArrayLike) -> float:
    """(S + 1) / (n + 1): how often `pseudo` statistics (n,) reach the observed one."""
    values = np.asarray(pseudo)
    return float((np.count_nonzero(values >= observed) + 1) / (values.size + 1))


def significance(p: float) -> float:
    """One-sided Gaussian significance Z of a p-value; negative for p > 0.5, `LOWEST_Z` at least."""
    return max(float(norm.isf(p)), LOWEST_Z)


def z_of(t: ArrayLike) -> Floats:
    """One-sided Gaussian significance of p = exp(-t); `LOWEST_Z` at least, which stands for p = 1."""
    return np.maximum(-ndtri_exp(-np.asarray(t, dtype=np.float64)), LOWEST_Z)
