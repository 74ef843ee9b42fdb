"""Bump hunting: the least likely excess over a background, in windows of several widths (BumpHunter, arXiv:1101.0390).

In a window with N events observed and b expected, the local p-value is P(Poisson(b) >= N) = gammainc(N, b). The test
statistic is t = -ln of the smallest local p. Its distribution without a signal comes from pseudo-experiments
(`offline.pseudo`), and a global p-value is (S + 1) / (n + 1) with S of n pseudo-experiments at least as extreme: the
measurement itself is one more outcome of the null hypothesis, so that p is never 0 and never too small on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc
from scipy.stats import norm

Floats = NDArray[np.float64]

WIDTHS = (2, 3, 4, 6, 8)
"""Window widths in bins. A bin is one mass resolution wide: a narrow resonance fills 3 or 4 bins, a broad one more."""

FLANK = 3
"""Bins on each side of the best window that may hold the tails of the same bump."""

SMALLEST_P = 1e-300


@dataclass(frozen=True)
class Scan:
    """Best window of each histogram (..): its first bin, the bin after its last, its counts and local p."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    observed: Floats
    expected: Floats
    local_p: Floats

    @property
    def t(self) -> Floats:
        """Test statistic -ln(local p) (..)."""
        return -np.log(self.local_p)


def windows(n_bins: int, widths: tuple[int, ...] = WIDTHS) -> NDArray[np.int64]:
    """All windows (W, 2) as [first bin, bin after the last); at least half of the bins stay outside of each."""
    usable = [width for width in widths if 2 * width <= n_bins]
    return np.array([(low, low + w) for w in usable for low in range(n_bins - w + 1)], dtype=np.int64).reshape(-1, 2)


def local_p(observed: ArrayLike, expected: ArrayLike) -> Floats:
    """P(Poisson(expected) >= observed) where observed exceeds expected; 1 for a deficit, which is no bump."""
    n, b = np.asarray(observed, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    p = gammainc(np.maximum(n, 1.0), b)
    return np.where(n > b, np.maximum(p, SMALLEST_P), 1.0)


def scan(counts: ArrayLike, expected: ArrayLike, widths: tuple[int, ...] = WIDTHS) -> Scan:
    """Find the window with the smallest local p of histograms (.., B) over expected counts (.., B)."""
    n, b = np.asarray(counts, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    bounds = windows(n.shape[-1], widths)
    n_in, b_in = _window_sums(n, bounds), _window_sums(b, bounds)
    p = local_p(n_in, b_in)
    best = np.argmin(p, axis=-1)

    def take(values: Floats) -> Floats:
        return np.take_along_axis(values, best[..., None], axis=-1)[..., 0]

    return Scan(bounds[best, 0], bounds[best, 1], take(n_in), take(b_in), take(p))


def _window_sums(values: Floats, bounds: NDArray[np.int64]) -> Floats:
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    return total[..., bounds[:, 1]] - total[..., bounds[:, 0]]


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
    """One-sided Gaussian significance Z of a p-value; negative for p > 0.5."""
    return float(norm.isf(p))
