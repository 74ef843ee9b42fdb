"""A count over a background that is known with an error.

The profile likelihood of a Poisson count whose background another Poisson measurement of the same relative error knows:
n_off = (b / sigma)^2 events there for n_off / b times the exposure (the on-off problem: Cousins, Linnemann, Tucker, NIM
A 595 (2008) 480; Cowan, Cranmer, Gross, Vitells, EPJC 71 (2011) 1554, in the form of ATL-PHYS-PUB-2020-025).
"""

from __future__ import annotations

import math

from scipy.special import xlogy


def significance(observed: float, expected: float, error: float) -> float:
    """Z of a count where expected +- error events are; negative for a deficit.

    >>> round(significance(150, 100, 0), 2), round(significance(150, 100, 20), 2)
    (4.65, 1.97)
    """
    if not expected > 0:
        return 0.0 if observed <= 0 else math.inf
    n, b, v = float(observed), float(expected), float(error) ** 2
    if v < 1e-12 * b * b:
        half = xlogy(n, n / b) - (n - b)
    else:
        half = xlogy(n, n * (b + v) / (b * b + n * v)) - b * b / v * math.log1p(v * (n - b) / (b * (b + v)))
    return math.copysign(math.sqrt(2 * max(float(half), 0.0)), n - b)
