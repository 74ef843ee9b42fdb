"""The binned likelihood of a signal on a smooth background, and its minimum: one compiled Newton fit.

    n_b ~ Poisson(mu_b),   mu_b = B_b exp(sum_j V_bj theta_j) + t g_b,   t = s exp(k beta) + d alpha

s is the number of signal events, g the part of them expected in each bin (it sums to less than one where signal
falls outside). B and V are the background fitted without signal and the directions in which its parameters can move,
in units of their errors (`offline.statistics.limits.Background`). alpha and beta are nuisance parameters with a
normal constraint: a spurious signal of d events, and a log-normal error of the signal's scale (luminosity times
efficiency) with k = ln(1 + relative error). Constraints are (parameter - centre)^2 / 2; theta is free, or has the
weight `prior` as well.

F = -ln(L / L_saturated) is minimised. It is convex in theta where there is no signal; with one, its second
derivative need not be positive, and the expected (Fisher) information takes its place in such a step.
Parameters are in one vector: theta (k), then s, alpha, beta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAX_STEPS = 80
HALVINGS = 50
TOLERANCE = 1e-11
"""The fit ends when a Newton step promises less than this in F."""

ROUNDING = 1e-7
"""A promised gain of less than this that does not come is rounding, in spectra of very many entries."""

LOG_LIMIT = 230.0
"""The background of a bin stays between exp(-LOG_LIMIT) and exp(LOG_LIMIT): a function that falls steeply after the
last entry would underflow to 0."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _value(
    n: Floats,
    log_nominal: Floats,
    directions: Floats,
    signal: Floats,
    prior: Floats,
    d: float,
    k: float,
    centre: Floats,
    phi: Floats,
    background: Floats,
    expected: Floats,
) -> float:
    """F at phi; fills the background (B,) and the expected counts (B,). Infinite where an expected count is not > 0."""
    bins, m = directions.shape
    s, alpha, beta = phi[m], phi[m + 1], phi[m + 2]
    total = s * math.exp(min(k * beta, LOG_LIMIT)) + d * alpha
    result = 0.5 * ((alpha - centre[m + 1]) ** 2 + (beta - centre[m + 2]) ** 2)
    for j in range(m):
        result += 0.5 * prior[j] * (phi[j] - centre[j]) ** 2
    for b in range(bins):
        log = log_nominal[b]
        for j in range(m):
            log += directions[b, j] * phi[j]
        if not log < LOG_LIMIT:
            return np.inf
        background[b] = math.exp(max(log, -LOG_LIMIT))
        mu = background[b] + total * signal[b]
        expected[b] = mu
        if not mu > 0.0:
            if mu == 0.0 and n[b] == 0.0:
                continue
            return np.inf
        if n[b] > 0.0:
            # mu - n + n ln(n / mu) without the difference of large numbers where mu is near n
            x = (mu - n[b]) / n[b]
            result += n[b] * (x - (math.log1p(x) if x > -0.5 else math.log(mu / n[b])))
        else:
            result += mu
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _derivatives(
    n: Floats,
    directions: Floats,
    signal: Floats,
    prior: Floats,
    d: float,
    k: float,
    centre: Floats,
    phi: Floats,
    background: Floats,
    expected: Floats,
    fisher: bool,
    gradient: Floats,
    hessian: Floats,
) -> None:
    """Gradient (m + 3,) and second derivatives (m + 3, m + 3) of F at phi, or the Fisher information in their place."""
    bins, m = directions.shape
    gradient[:] = 0.0
    hessian[:, :] = 0.0
    slope, curve = 0.0, 0.0  # first and second derivative with respect to t
    for b in range(bins):
        mu = expected[b]
        if mu <= 0.0:
            slope += signal[b]
            continue
        back, g = background[b], signal[b]
        part, ratio = back / mu, n[b] / mu  # mu * mu may underflow
        rest = 1.0 - ratio
        if fisher:
            ratio = 1.0
        weight = back * (part * ratio + (0.0 if fisher else rest))
        for i in range(m):
            v = directions[b, i]
            gradient[i] += rest * back * v
            for j in range(i + 1):
                hessian[i, j] += weight * v * directions[b, j]
        if g != 0.0:
            slope += rest * g
            curve += ratio * g * (g / mu)
            for i in range(m):
                hessian[m, i] += ratio * part * g * directions[b, i]
    # dt/ds, dt/d(alpha), dt/d(beta)
    scale = math.exp(min(k * phi[m + 2], LOG_LIMIT))
    steps = (scale, d, k * phi[m] * scale)
    for i in range(m):
        gradient[i] += prior[i] * (phi[i] - centre[i])
        hessian[i, i] += prior[i]
        mixed = hessian[m, i]
        for a in range(3):
            hessian[m + a, i] = mixed * steps[a]
    for a in range(3):
        gradient[m + a] = slope * steps[a]
        for c in range(a + 1):
            hessian[m + a, m + c] = curve * steps[a] * steps[c]
    if not fisher:
        hessian[m + 2, m] += slope * k * scale
        hessian[m + 2, m + 2] += slope * k * k * phi[m] * scale
    for a in range(1, 3):
        gradient[m + a] += phi[m + a] - centre[m + a]
        hessian[m + a, m + a] += 1.0
    for i in range(m + 3):
        for j in range(i):
            hessian[j, i] = hessian[i, j]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _solve(hessian: Floats, gradient: Floats, free: Flags, ridge: float, step: Floats) -> bool:
    """step = hessian^-1 gradient over the free parameters by Cholesky; False where hessian is not positive."""
    size = len(gradient)
    index = np.empty(size, dtype=np.int64)
    count = 0
    for i in range(size):
        step[i] = 0.0
        if free[i]:
            index[count] = i
            count += 1
    factor, x = np.empty((count, count)), np.empty(count)
    for i in range(count):
        for j in range(i + 1):
            total = hessian[index[i], index[j]]
            if i == j:
                total += ridge * (1.0 + abs(total))
            for c in range(j):
                total -= factor[i, c] * factor[j, c]
            if i == j:
                if not total > 1e-13 * abs(hessian[index[i], index[i]]):
                    return False
                factor[i, i] = math.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(count):
        x[i] = gradient[index[i]]
        for c in range(i):
            x[i] -= factor[i, c] * x[c]
        x[i] /= factor[i, i]
    for i in range(count - 1, -1, -1):
        for c in range(i + 1, count):
            x[i] -= factor[c, i] * x[c]
        x[i] /= factor[i, i]
        step[index[i]] = x[i]
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def minimise(
    n: Floats,
    log_nominal: Floats,
    directions: Floats,
    signal: Floats,
    prior: Floats,
    d: float,
    k: float,
    centre: Floats,
    phi: Floats,
    fit_signal: bool,
    least: float,
    f: Floats,
    slope: Floats,
    converged: Flags,
) -> None:
    """Minimise F for histograms n (T, B), from phi (T, m + 3), which becomes the minimum.

    log_nominal: (B,) ln B; directions (B, m), signal (B,), prior (m,), d, k: as above. centre: (T, m + 3), or
    (1, m + 3) for all.
    fit_signal: s moves too, and stays >= least; else it keeps its value. Fills f (T,), slope (T,) = dF/ds there, and
    converged (T,).
    """
    bins, m = directions.shape
    size = m + 3
    free = np.ones(size, dtype=np.bool_)
    free[m] = fit_signal
    free[m + 1] = d > 0.0
    free[m + 2] = k > 0.0
    background, expected = np.empty(bins), np.empty(bins)
    gradient, step, trial = np.empty(size), np.empty(size), np.empty(size)
    hessian = np.empty((size, size))
    for t in range(len(n)):
        c = centre[t if len(centre) > 1 else 0]
        now, gain, done = np.inf, 0.0, False
        step[:] = 0.0
        for _ in range(MAX_STEPS):
            # the first pass has no step yet and evaluates the start
            length, accepted = 1.0, False
            for _half in range(HALVINGS):
                for i in range(size):
                    trial[i] = phi[t, i] - length * step[i]
                if trial[m] >= least:
                    new = _value(n[t], log_nominal, directions, signal, prior, d, k, c, trial, background, expected)
                    if new < np.inf and new <= now - 1e-4 * length * gain + 1e-13 * (1.0 + abs(new)):
                        accepted = True
                        break
                length *= 0.5
            if not accepted:
                done = 0.0 < gain < ROUNDING
                break
            now = new
            phi[t] = trial
            solved = False
            for fisher in range(2):
                _derivatives(
                    n[t],
                    directions,
                    signal,
                    prior,
                    d,
                    k,
                    c,
                    trial,
                    background,
                    expected,
                    fisher == 1,
                    gradient,
                    hessian,
                )
                solved = _solve(hessian, gradient, free, 1e-10 * fisher, step)
                if solved:
                    break
            gain = 0.0
            for i in range(size):
                gain += gradient[i] * step[i]
            if not (solved and gain >= 0.0):
                break
            # a step that had to be cut although it promised next to nothing: rounding
            if gain < TOLERANCE or (gain < ROUNDING and length < 1.0):
                done = True
                break
        f[t], converged[t] = now, done
        slope[t] = 0.0
        for b in range(bins):
            if signal[b] != 0.0:
                slope[t] += signal[b] * (1.0 - n[t, b] / expected[b]) if expected[b] > 0.0 else signal[b]
        slope[t] *= math.exp(min(k * phi[t, m + 2], LOG_LIMIT))


@dataclass(frozen=True)
class Minimum:
    """Result of `Likelihood.minimise`, of T histograms: f (T,), slope (T,) = dF/ds, phi (T, m + 3), converged (T,)."""

    f: Floats
    slope: Floats
    phi: Floats
    converged: Flags


@dataclass(frozen=True)
class Likelihood:
    """Everything but the counts: nominal (B,), directions (B, m), signal (B,), prior (m,), d, k of the module."""

    nominal: Floats
    directions: Floats
    signal: Floats
    prior: Floats
    d: float = 0.0
    k: float = 0.0

    @property
    def size(self) -> int:
        """Parameters in phi: m + 3."""
        return self.directions.shape[1] + 3

    @cached_property
    def _log_nominal(self) -> Floats:
        return np.log(np.maximum(self.nominal, 1e-300))

    @property
    def constrained(self) -> Flags:
        """(m + 3,) true for parameters with a constraint."""
        return np.concatenate([self.prior > 0, [False, self.d > 0, self.k > 0]])

    def minimise(self, n: Floats, centre: Floats, start: Floats, s: float | None, least: float = 0.0) -> Minimum:
        """Fit histograms n (T, B) or (B,) with the signal s, or with s fitted (>= least) where s is None.

        centre: of the constraints, (T, m + 3) or (m + 3,). start: (T, m + 3) or (m + 3,), unchanged.
        """
        n = np.atleast_2d(n)
        phi = np.array(np.broadcast_to(start, (len(n), self.size)), order="C")
        if s is not None:
            phi[:, -3] = s
        f, slope, converged = np.empty(len(n)), np.empty(len(n)), np.empty(len(n), dtype=np.bool_)
        arrays = (self._log_nominal, self.directions, self.signal, self.prior, self.d, self.k)
        minimise(n, *arrays, np.atleast_2d(centre), phi, s is None, least, f, slope, converged)
        return Minimum(f, slope, phi, converged)

    def expected(self, phi: Floats) -> Floats:
        """Expected counts (T, B) of parameters phi (T, m + 3)."""
        theta, s, alpha, beta = phi[:, :-3], phi[:, -3], phi[:, -2], phi[:, -1]
        total = s * np.exp(self.k * beta) + self.d * alpha
        return self.nominal * np.exp(theta @ self.directions.T) + total[:, None] * self.signal
