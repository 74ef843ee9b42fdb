"""The Poisson fit of one log-linear function to many histograms: Newton's method as one compiled loop.

The expected count of bin b is mu_b = exp(offset_b + sum_i c_i basis_bi). Half the Poisson deviance,
D/2 = sum(mu - n + n ln(n / mu)), is convex in c, with gradient basis^T (mu - n) and curvature basis^T diag(mu) basis:
Newton's method on it is the iteratively reweighted least squares of generalised linear models (McCullagh and Nelder,
Generalized Linear Models, 2nd ed., section 2.5), and reaches the only minimum from any start if its steps are kept
short enough. A step that changes ln mu of a bin by d changes D/2 by -gain + sum(mu (exp(d) - 1 - d)), which is
computed without a difference of large numbers: the fit is as exact with 1e12 entries as with 10.

One histogram after another, all of it in the cache of one core; the interpreter lock is released, so threads may
share the histograms. `offline.statistics.fit.newton` is the way to call it.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG_LIMIT = 700.0  # exp of more than this overflows
FLOOR = 0.25  # entries taken for an empty bin by the first guess
RIDGE = 1e-12  # of the curvature: keeps directions solvable that no entry measures
HALVINGS = 60
SLOPE = 0.1  # part of the gain promised by the slope that a step must bring (Armijo)

_SUMS = {"reassoc", "contract"}  # lets sums use vector instructions; infinities and NaN keep their meaning


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _factor(h: Floats, ridge: float) -> None:
    """Cholesky factor of h (k, k) in its lower triangle, with `ridge` of each diagonal element added to it."""
    k = h.shape[0]
    for i in range(k):
        floor = ridge * h[i, i] + 1e-300
        for j in range(i + 1):
            value = h[i, j]
            for m in range(j):
                value -= h[i, m] * h[j, m]
            if i == j:
                h[i, i] = np.sqrt(max(value + floor, floor))
            else:
                h[i, j] = value / h[j, j]


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _curvature(q: Floats, weight: Floats, h: Floats, work: Floats) -> None:
    """Lower triangle of q diag(weight) q^T, with q (k, B)."""
    k, n_bins = q.shape
    for i in range(k):
        for b in range(n_bins):
            work[b] = weight[b] * q[i, b]
        for j in range(i + 1):
            total = 0.0
            for b in range(n_bins):
                total += work[b] * q[j, b]
            h[i, j] = total


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _solve(factor: Floats, right: Floats) -> None:
    """Overwrite right (k,) with the solution of factor factor^T s = right."""
    k = len(right)
    for i in range(k):
        for j in range(i):
            right[i] -= factor[i, j] * right[j]
        right[i] /= factor[i, i]
    for i in range(k - 1, -1, -1):
        for j in range(i + 1, k):
            right[i] -= factor[j, i] * right[j]
        right[i] /= factor[i, i]


@numba.njit(cache=True, nogil=True)
def _change(mu: Floats, d: Floats, length: float, gain: float) -> float:
    """Change of half the deviance when ln mu changes by length * d and the slope is -gain."""
    total = -length * gain
    for b in range(len(mu)):
        if mu[b] > 0.0:
            x = length * d[b]
            total += mu[b] * (np.expm1(x) - x)
    return total


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _combine(q: Floats, theta: Floats, offset: Floats, out: Floats) -> None:
    """out (B,) = offset + theta q."""
    out[:] = offset
    for i in range(len(theta)):
        for b in range(len(out)):
            out[b] += theta[i] * q[i, b]


@numba.njit(cache=True, nogil=True)
def _exp(eta: float) -> float:
    return np.exp(min(max(eta, -LOG_LIMIT), LOG_LIMIT))


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _orthonormal(basis: Floats, weight: Floats, factor: Floats, q: Floats, work: Floats) -> None:
    """q (k, B) spans what `basis` spans, q diag(weight) q^T is the identity and basis = factor q."""
    _curvature(basis, weight, factor, work)
    _factor(factor, RIDGE)
    for i in range(len(q)):
        q[i] = basis[i]
        for j in range(i):
            for b in range(q.shape[1]):
                q[i, b] -= factor[i, j] * q[j, b]
        for b in range(q.shape[1]):
            q[i, b] /= factor[i, i]


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _minimise(
    q: Floats,
    offset: Floats,
    n: Floats,
    use: NDArray[np.bool_],
    theta: Floats,
    max_steps: int,
    tolerance: float,
    vectors: Floats,
    matrix: Floats,
    small: Floats,
) -> bool:
    """Newton steps on theta (k,) until one promises less than `tolerance`; vectors (5, B), small (2, k): scratch."""
    mu, eta, d, work, zero = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    zero[:] = 0.0
    gradient, step = small[0], small[1]
    for _ in range(max_steps):
        _combine(q, theta, offset, eta)
        for b in range(len(mu)):
            mu[b] = _exp(eta[b]) if use[b] else 0.0
            work[b] = mu[b] - n[b] if use[b] else 0.0
        for i in range(len(theta)):
            total = 0.0
            for b in range(len(mu)):
                total += work[b] * q[i, b]
            gradient[i] = total
            step[i] = -total
        _curvature(q, mu, matrix, work)
        _factor(matrix, RIDGE)
        _solve(matrix, step)
        gain, rise = 0.0, 0.0
        for i in range(len(theta)):
            gain -= step[i] * gradient[i]
        if not gain >= 0.0:  # not a number: beyond what numbers can hold
            return False
        _combine(q, step, zero, d)
        for b in range(len(mu)):
            if use[b]:
                rise = max(rise, d[b])
        length = 1.0
        if rise > 1.0:  # exp(d) - 1 - d < 0.72 d^2 for d <= 1: a whole step is then always good
            for _half in range(HALVINGS):
                if _change(mu, d, length, gain) <= -SLOPE * length * gain:
                    break
                length /= 2
        for i in range(len(theta)):
            theta[i] += length * step[i]
        if gain < tolerance:
            return True
    return False


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def solve(
    basis: Floats,
    offset: Floats,
    counts: Floats,
    used: NDArray[np.bool_],
    start: Floats,
    max_steps: int,
    tolerance: float,
    coefficients: Floats,
    expected: Floats,
    converged: NDArray[np.bool_],
) -> None:
    """Fit histograms counts (T, B); write coefficients (T, k), expected (T, B) and converged (T,).

    basis: (k, B). offset: (B,). used: (T, B), or (1, B) for all histograms alike; other bins do not count.
    start: (T, k) or (1, k) first guess, or (0, k) to make one from the counts.
    converged: the gain in the deviance that the last step promised was below `tolerance`, within `max_steps` steps,
    and as many bins as parameters were used.
    """
    k, n_bins = basis.shape
    q, factor, matrix = np.empty((k, n_bins)), np.empty((k, k)), np.empty((k, k))
    theta, small = np.empty(k), np.empty((2, k))
    weight, vectors = np.empty(n_bins), np.empty((5, n_bins))
    eta, work = vectors[1], vectors[3]
    for t in range(counts.shape[0]):
        n, use = counts[t], used[t if used.shape[0] > 1 else 0]
        n_used = 0
        for b in range(n_bins):
            n_used += use[b]
            weight[b] = max(n[b], FLOOR) if use[b] else 0.0
        # work in the basis q that is orthonormal under these counts: they span many decades, and the curvature in
        # any fixed basis would lose the digits of the directions that only small bins measure
        _orthonormal(basis, weight, factor, q, work)
        if start.shape[0]:  # theta = factor^T start
            first = start[t if start.shape[0] > 1 else 0]
            for i in range(k):
                theta[i] = 0.0
                for j in range(i, k):
                    theta[i] += factor[j, i] * first[j]
        else:  # least squares to the logarithms of the counts
            for b in range(n_bins):
                work[b] = weight[b] * (np.log(weight[b]) - offset[b]) if use[b] else 0.0
            for i in range(k):
                theta[i] = 0.0
                for b in range(n_bins):
                    theta[i] += work[b] * q[i, b]
        done = _minimise(q, offset, n, use, theta, max_steps, tolerance, vectors, matrix, small)
        _combine(q, theta, offset, eta)
        for b in range(n_bins):
            expected[t, b] = _exp(eta[b])
            done = done and np.isfinite(eta[b])
        for i in range(k - 1, -1, -1):  # coefficients = factor^-T theta
            value = theta[i]
            for j in range(i + 1, k):
                value -= factor[j, i] * coefficients[t, j]
            coefficients[t, i] = value / factor[i, i]
        converged[t] = done and n_used >= k
