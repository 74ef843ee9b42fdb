"""Poisson probabilities as compiled functions: tails on a logarithmic scale, and numbers from a counter.

`minus_log_tail` is exact also where the probability itself is too small for a number of eight bytes.
`uniform` makes random numbers from a key and a counter (SplitMix64: Steele, Lea, Flood 2014) and has no state: number
c of toy k is the same in whatever order, thread, process or machine it is asked for.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_LOG_2PI = 0.9189385332046727
_ONE_OVER_2_53 = 1.0 / 9007199254740992.0


@numba.njit(nogil=True, cache=True)
def divergence(n: float, b: float) -> float:
    """n ln(n / b) - (n - b), half the deviance of n observed where b > 0 are expected, without loss of digits."""
    if n == 0.0:
        return b
    x = (b - n) / n
    return n * (x - math.log1p(x))


@numba.njit(nogil=True, cache=True)
def log_probability(n: float, b: float) -> float:
    """ln P(Poisson(b) = n) for b > 0."""
    if n < 16.0:
        return n * math.log(b) - b - math.lgamma(n + 1.0)
    m = n * n
    stirling = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * m)) / m) / m) / n
    return -divergence(n, b) - HALF_LOG_2PI - 0.5 * math.log(n) - stirling


@numba.njit(nogil=True, cache=True)
def minus_log_tail(n: float, b: float) -> float:
    """-ln P(Poisson(b) >= n) for whole n > b: the first term of the sum over n, n + 1, .. times a series of ratios.

    0 for n <= b, which is no excess; infinite for b = 0.
    """
    if n <= b:
        return 0.0
    if b <= 0.0:
        return np.inf
    term, total, k = 1.0, 1.0, n
    while term > 1e-17 * total:
        k += 1.0
        term *= b / k
        total += term
    return max(-log_probability(n, b) - math.log(total), 0.0)


@numba.vectorize(["float64(float64, float64)"], cache=True)
def minus_log_p(observed: float, expected: float) -> float:
    """`minus_log_tail` for arrays."""
    return minus_log_tail(observed, expected)


@numba.njit(nogil=True, cache=True)
def log_normal_tail(z: float) -> float:
    """ln P(N(0, 1) >= z)."""
    if z < 25.0:
        return math.log(0.5 * math.erfc(z / math.sqrt(2.0)))
    m = z * z
    return -0.5 * m - math.log(z) - HALF_LOG_2PI + math.log1p((-1.0 + (3.0 - 15.0 / m) / m) / m)


@numba.njit(nogil=True, cache=True)
def normal_tail_at(t: float) -> float:
    """z with -ln P(N(0, 1) >= z) = t, for t >= ln 2, by Newton's method from above."""
    z = math.sqrt(2.0 * t)  # P(z) < exp(-z^2 / 2) / 2: too far out
    for _ in range(30):
        log = log_normal_tail(z)
        step = (-log - t) / math.exp(-0.5 * z * z - HALF_LOG_2PI - log)
        z -= step
        if abs(step) < 1e-10:
            break
    return max(z, 0.0)


@numba.njit(nogil=True, cache=True, inline="always")
def mix(value: np.uint64) -> np.uint64:
    """The output function of SplitMix64: all bits of the result depend on all bits of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def key_of(seed: int, purpose: int, toy: int) -> np.uint64:
    """The key of one purpose in one toy."""
    step = np.uint64(0x9E3779B97F4A7C15)
    key = mix(np.uint64(seed) + step)
    key = mix(key + np.uint64(purpose) * step)
    return mix(key + np.uint64(toy) * step + step)


@numba.njit(nogil=True, cache=True, inline="always")
def subkey(key: np.uint64, one: int, other: int) -> np.uint64:
    """A key of its own for two numbers, of which any may be negative."""
    step = np.uint64(0x9E3779B97F4A7C15)
    return mix(mix(key + np.uint64(one) * step) + np.uint64(other) * step)


@numba.njit(nogil=True, cache=True, inline="always")
def uniform(key: np.uint64, counter: int) -> float:
    """Random number `counter` of a key: uniform in (0, 1), never 0 or 1."""
    bits = mix(key + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15))
    return (np.float64(bits >> np.uint64(11)) + 0.5) * _ONE_OVER_2_53


@numba.njit(nogil=True, cache=True)
def table(b: float) -> tuple[int, Floats]:
    """First number k and P(Poisson(b) <= k), P(.. <= k + 1), ..: all numbers with a chance above 1e-17, b >= 0."""
    if b <= 0.0:
        return 0, np.ones(1)
    spread = 9.0 * math.sqrt(b) + 12.0
    first, last = int(max(0.0, b - spread)), int(b + spread + 12.0)
    result = np.empty(last - first + 1)
    chance = math.exp(log_probability(float(first), b))
    total = 0.0
    for k in range(first, last + 1):
        total += chance
        result[k - first] = total
        chance *= b / (k + 1.0)
    result /= total  # what is left out, below 1e-16, and rounding
    return first, result


@numba.njit(nogil=True, cache=True)
def quantile(u: float, first: int, cumulative: Floats) -> int:
    """Smallest number k of a `table` with P(<= k) >= u."""
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] >= u:
            high = middle
        else:
            low = middle + 1
    return first + low
