"""CLs by pseudo-experiments, where a spectrum holds too few events for the asymptotic formulae.

The test statistic is the same q~(s). Its distributions are those of pseudo-experiments: counts thrown from the
expectation with the signal s, and with none, each with the nuisance parameters fitted to the data under that
hypothesis; the centres of the constraints are thrown as well. CLs+b and CLb are the parts of either with a q~ not below
that of the data.

Half of the pseudo-experiments is thrown with the signal and half without, and all of them serve both distributions,
weighted with 2 L_s / (L_s + L_0) and 2 L_0 / (L_s + L_0) (the balance heuristic, Veach and Guibas 1995). No weight
exceeds 2, and small tails, such as CLs+b where the background is at -2 sigma, are known better than by counting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, xlogy

from offline.statistics.asymptotic import BANDS, LimitError, Profile
from offline.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]

POINTS = 12
"""Signals at which CLs is found, between the smallest and the largest limit."""

MAX_FAILED = 0.01
"""Part of the pseudo-experiments whose fit may fail; they are left out."""

MAX_STEPS = 20
"""Steps by which the range of signals is widened until it holds all limits."""

EQUAL = 1e-7
"""Values of q~ closer than this are equal: the same counts in the same bins."""


def throw(likelihood: Likelihood, phi: Floats, toys: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Pseudo-experiments of parameters phi (m + 3,): counts (toys, B) and centres of the constraints (toys, m + 3)."""
    expected = np.maximum(likelihood.expected(phi[None])[0], 0.0)
    counts = random.poisson(expected, size=(toys, len(expected))).astype(np.float64)
    centres = np.tile(phi, (toys, 1))
    centres[:, likelihood.constrained] += random.standard_normal((toys, int(likelihood.constrained.sum())))
    return counts, centres


def q_tilde(likelihood: Likelihood, s: float, n: Floats, centres: Floats, start: Floats) -> Floats:
    """q~(s) (T,) of counts (T, B); NaN where a fit failed. start: (m + 3,)."""
    null = likelihood.minimise(n, centres, start, 0.0)
    f_best, fitted, good = null.f.copy(), np.zeros(len(n)), null.converged.copy()
    rows = np.flatnonzero((null.slope < 0) & good)
    free = likelihood.minimise(n[rows], centres[rows], null.phi[rows], None)
    f_best[rows], fitted[rows], good[rows] = np.minimum(free.f, f_best[rows]), free.phi[:, -3], free.converged
    fixed = likelihood.minimise(n, centres, start, s)
    q = np.where(fitted > s, 0.0, np.maximum(2.0 * (fixed.f - f_best), 0.0))
    return np.where(good & (fixed.converged | (fitted > s)), q, np.nan)


def cls(
    likelihood: Likelihood, data: Profile, s: float, toys: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """CLs (6,) for the signal s, and its statistical error (6,): of the data, and expected at each of `BANDS`.

    toys: pseudo-experiments with the signal, and as many without. Raises `LimitError` where more than `MAX_FAILED` of
    the fits fail.
    """
    observed = data(s)
    hypotheses = (likelihood.minimise(data.n, data.centre, data.null, s).phi[0], data.null)
    thrown = [throw(likelihood, phi, toys, random) for phi in hypotheses]
    counts, centres = (np.concatenate(part) for part in zip(*thrown, strict=True))
    q = q_tilde(likelihood, s, counts, centres, hypotheses[0])
    failed = int(np.isnan(q).sum())
    if failed > MAX_FAILED * len(q):
        raise LimitError(f"{failed} of {len(q)} pseudo-experiments with {s:.4g} signal events could not be fitted")
    good = ~np.isnan(q)
    with_signal, without = (_log_probability(likelihood, phi, counts[good], centres[good]) for phi in hypotheses)
    w_signal = 2.0 * expit(with_signal - without)
    order = np.argsort(q[good])
    q, w_signal = q[good][order], w_signal[order]
    w_none = 2.0 - w_signal
    # the larger q~, the more the data look like no signal: the background at -2 sigma has the largest
    levels = ndtr(-np.array(BANDS)) * w_none.sum()
    expected = q[np.minimum(np.searchsorted(np.cumsum(w_none), levels), len(q) - 1)]
    values, errors = np.empty(6), np.empty(6)
    for i, at in enumerate((observed, *expected)):
        first = min(int(np.searchsorted(q, at - EQUAL)), len(q) - 1)
        tail_signal, tail_none = w_signal[first:], w_none[first:]
        values[i] = tail_signal.sum() / tail_none.sum()
        errors[i] = np.sqrt(np.sum((tail_signal - values[i] * tail_none) ** 2)) / tail_none.sum()
    return values, errors


def _log_probability(likelihood: Likelihood, phi: Floats, counts: Floats, centres: Floats) -> Floats:
    """ln of the probability (T,) of pseudo-experiments under parameters phi, up to a constant."""
    expected = np.maximum(likelihood.expected(phi[None])[0], 1e-300)
    pulls = (centres - phi)[:, likelihood.constrained]
    return np.sum(xlogy(counts, expected) - expected, axis=1) - 0.5 * np.sum(pulls**2, axis=1)


@dataclass(frozen=True)
class Toys:
    """observed and expected (5,) limits on s; error: relative statistical error of the observed one."""

    observed: float
    expected: Floats
    error: float


def upper_limit(
    likelihood: Likelihood,
    n: Floats,
    guess: Floats,
    level: float = 0.95,
    toys: int = 1000,
    seed: int = 40,
) -> Toys:
    """Limits of counts n (B,) by `toys` pseudo-experiments of either hypothesis at each of `POINTS` signals.

    guess: (6,) observed and expected limits that are about right, such as the asymptotic ones. ln CLs is a smooth
    function of ln s; a cubic through all signals where CLs is near 1 - level averages their statistical errors.
    """
    centre = np.zeros(likelihood.size)
    data, random = Profile(likelihood, n, centre, centre), np.random.default_rng(seed)
    low, high = 0.7 * float(np.min(guess)), 1.5 * float(np.max(guess))
    found: list[tuple[float, Floats, Floats]] = []

    def measure(s: float) -> Floats:
        values, errors = cls(likelihood, data, s, toys, random)
        found.append((s, values, errors))
        return values

    for _ in range(MAX_STEPS):
        if (measure(high) < 0.4 * (1.0 - level)).all():
            break
        high *= 1.4
    else:
        raise LimitError("no signal is large enough to be excluded")
    for _ in range(MAX_STEPS):
        if (measure(low) > 2.0 * (1.0 - level)).all():
            break
        low /= 1.4
    for s in np.geomspace(low, high, POINTS)[1:-1]:
        measure(float(s))
    found.sort(key=lambda one: one[0])
    signals, values, errors = (np.array(part) for part in zip(*found, strict=True))
    crossed = [_crossing(signals, values[:, i], errors[:, i], level) for i in range(6)]
    return Toys(crossed[0][0], np.array([limit for limit, _ in crossed[1:]]), crossed[0][1])


def _crossing(signals: Floats, values: Floats, errors: Floats, level: float) -> tuple[float, float]:
    """The s with CLs = 1 - level, and its relative error, from CLs (S,) and its errors (S,) at rising signals (S,)."""
    wanted = np.log(1.0 - level)
    use = np.abs(np.log(np.maximum(values, 1e-9)) - wanted) < 1.6
    if use.sum() < 5:
        use = (values > 0.002) & (values < 0.6)
    if use.sum() < 3:
        raise LimitError("CLs falls too steeply to be followed by pseudo-experiments")
    x, y = np.log(signals[use]), np.log(values[use]) - wanted
    relative = np.maximum(errors[use] / values[use], 1e-3)
    middle = float(np.mean(x))
    degree = min(3, int(use.sum()) - 1)
    coefficients, covariance = np.polyfit(x - middle, y, degree, w=1.0 / relative, cov="unscaled")
    slope = np.polyder(coefficients)
    inside = (float(x[0] - middle), float(x[-1] - middle))
    roots = [float(r.real) for r in np.roots(coefficients) if abs(r.imag) < 1e-9 and inside[0] <= r.real <= inside[1]]
    roots = [r for r in roots if np.polyval(slope, r) < 0]
    if not roots:
        raise LimitError("CLs of the pseudo-experiments does not cross; expected more pseudo-experiments")
    root = roots[0]
    powers = root ** np.arange(degree, -1, -1)
    spread = np.sqrt(powers @ covariance @ powers) / abs(np.polyval(slope, root))
    return float(np.exp(middle + root)), float(spread)
