"""CLs upper limits by the asymptotic formulae, for the likelihood of `offline.statistics.likelihood`.

Equation numbers are those of Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727. The test statistic is

    q~(s) = 2 F(s) - 2 F(max(s^, 0)) for s^ <= s, and 0 for s^ > s                                  (16)

with F minimised over all nuisance parameters and s^ the fitted signal. Its distributions under s and under no signal
follow from its value q_A on the Asimov data set, the counts expected without signal (29); the constraint centres of
that data set are the nuisance parameters fitted to the data without signal. With r = sqrt(q~) and a = sqrt(q_A),

    CLs+b = 1 - Phi(r),                 CLb = 1 - Phi(r - a)                  for r <= a            (65), (66)
    CLs+b = 1 - Phi((r^2 + a^2) / 2a),  CLb = 1 - Phi((r^2 - a^2) / 2a)       for r > a

and CLs = CLs+b / CLb (A. L. Read, J. Phys. G 28 (2002) 2693). The limit is the s with CLs = 1 - confidence level. The
limit expected when the background fluctuates by N standard deviations is the s with (89, with CLs)

    1 - Phi(a - N) = (1 - confidence level) Phi(N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from ad40.errors import Ad40Error
from offline.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]

BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Standard deviations of the background that the five expected limits stand for."""

PRECISION = 1e-8
"""Relative precision of a limit."""

LARGE = 0.05
"""Signals of more than this part of the entries of a spectrum are fitted from two starts."""

MAX_EVALUATIONS = 200


class LimitError(Ad40Error):
    """No limit can be given for this spectrum and signal; the message says why."""


@dataclass(frozen=True)
class Asymptotic:
    """observed and expected (5,) limits on s; fitted s >= 0 and q0 = 2 F(0) - 2 F(s^) (12); phi (m + 3,) of the fit
    without signal."""

    observed: float
    expected: Floats
    fitted: float
    q0: float
    null: Floats


def log_cls(q: float, q_asimov: float) -> float:
    """ln CLs of q~ and its value on the Asimov data set, by (65) and (66)."""
    a = np.sqrt(q_asimov)
    if q <= q_asimov:
        r = np.sqrt(q)
        return float(log_ndtr(-r) - log_ndtr(a - r))
    return float(log_ndtr(-(q + q_asimov) / (2 * a)) - log_ndtr((q_asimov - q) / (2 * a)))


class Profile:
    """q~(s) of one data set: fits start where the last one ended, and from the fit without signal."""

    def __init__(
        self, likelihood: Likelihood, n: Floats, centre: Floats, start: Floats, what: str = "the data"
    ) -> None:
        """n: (B,); centre: (m + 3,); start: (m + 3,). Raises `LimitError` where a fit does not converge."""
        self.likelihood, self.n, self.centre, self.what = likelihood, n, centre, what
        null = likelihood.minimise(n, centre, start, 0.0)
        self.null = null.phi[0]
        self._check(null.converged[0], "without signal")
        self.f_null = self.f_best = float(null.f[0])
        self.fitted, self._entries = 0.0, float(np.sum(n))
        self._last = self.null
        if null.slope[0] < 0:
            best = likelihood.minimise(n, centre, self.null, None)
            self._check(best.converged[0], "with the signal free")
            if best.f[0] < self.f_null:
                self.fitted, self.f_best = float(best.phi[0, -3]), float(best.f[0])
                self._last = best.phi[0]

    def __call__(self, s: float) -> float:
        """q~(s)."""
        return self.with_slope(s)[0]

    def with_slope(self, s: float) -> tuple[float, float]:
        """q~(s) and its derivative."""
        if s < self.fitted:
            return 0.0, 0.0
        # F may have two minima where the signal can take the place of the background: the lower one counts
        starts = [self._last, self.null] if s > LARGE * self._entries else [self._last]
        fit = self.likelihood.minimise(np.stack([self.n] * len(starts)), self.centre, np.stack(starts), s)
        self._check(fit.converged.any(), f"with a signal of {s:.4g} events")
        lower = int(np.argmin(np.where(fit.converged, fit.f, np.inf)))
        self._last = fit.phi[lower]
        return max(2.0 * (float(fit.f[lower]) - self.f_best), 0.0), 2.0 * float(fit.slope[lower])

    def _check(self, converged: bool, which: str) -> None:
        if not converged:
            raise LimitError(f"the fit of {self.what} {which} did not converge")


def upper_limit(likelihood: Likelihood, n: Floats, centre: Floats | None = None, level: float = 0.95) -> Asymptotic:
    """Observed and expected upper limits of counts n (B,) at confidence level `level`.

    centre: (m + 3,) of the constraints, default 0. Raises `LimitError` where a fit does not converge or no signal is
    large enough to be excluded.
    """
    centre = np.zeros(likelihood.size) if centre is None else centre
    data = Profile(likelihood, n, centre, centre)
    counts = likelihood.expected(data.null[None])[0]
    asimov = Profile(likelihood, counts, data.null, data.null, "the Asimov data set")
    bands = np.array(BANDS)
    targets = bands - ndtri((1.0 - level) * ndtr(bands))
    use = likelihood.signal > 0
    s = 1.0 / np.sqrt(np.sum(likelihood.signal[use] ** 2 / np.maximum(counts[use], 1.0)))  # a first guess
    expected = np.empty(len(bands))
    for band in (2, 1, 0, 3, 4):
        start = s if band == 2 else expected[2] * targets[band] / targets[2]
        expected[band] = _crossing(asimov, targets[band], start)

    @cache  # where it is near 0, a fit from another start could change the sign
    def excess(s: float) -> float:
        return log_cls(data(s), asimov(s)) - np.log(1.0 - level)

    # CLs is near to 1 at the fitted signal; where nothing is fitted, the median is a guess from which to go either way
    low, high = (data.fitted, data.fitted + expected[2]) if data.fitted > 0 else (expected[2] / 2, expected[2])
    low, high = _bracket(excess, low, high)
    return Asymptotic(
        float(brentq(excess, low, high, xtol=PRECISION * high, rtol=1e-14)),
        expected,
        data.fitted,
        2.0 * (data.f_null - data.f_best),
        data.null,
    )


def _bracket(excess: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Move low down and high up until the falling function changes its sign between them."""
    for _ in range(MAX_EVALUATIONS):
        if excess(high) < 0:
            break
        low, high = high, 2.0 * high
    else:
        raise LimitError("no signal is large enough to be excluded")
    for _ in range(MAX_EVALUATIONS):
        if excess(low) >= 0:
            return low, high
        low, high = low / 2.0, low
    raise LimitError("every signal, however small, is excluded")


def _crossing(asimov: Profile, target: float, s: float) -> float:
    """The s with sqrt(q~(s)) = target, by Newton's method inside a bracket."""
    low, high = 0.0, np.inf
    for _ in range(MAX_EVALUATIONS):
        q, slope = asimov.with_slope(s)
        root = np.sqrt(q)
        low, high = (s, high) if root < target else (low, s)
        # d sqrt(q) / ds = slope / (2 sqrt(q))
        move = 2.0 * root * (target - root) / slope if slope > 0 else np.inf
        if abs(move) < PRECISION * s or high - low < PRECISION * s:
            return float(s + move) if abs(move) < PRECISION * s else float(s)
        new = min(s + move, 10.0 * s)
        s = new if low < new < high else (low + high) / 2.0 if high < np.inf else 4.0 * s
        if s > 1e15:
            break
    raise LimitError("no signal is large enough to be excluded")
