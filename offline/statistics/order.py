"""How many parameters a background needs: a function is taken if larger ones do not describe the data better.

The candidates are nested (each contains the one before), so that the larger always has the smaller deviance; the
question is whether by more than chance. For a function with k1 and a larger one with k2 parameters and deviances
D1 >= D2:

* `F`: F = [(D1 - D2) / (k2 - k1)] / [D2 / (n - k2)], compared with Fisher's distribution of (k2 - k1, n - k2) degrees
  of freedom. It forgives a misfit that both share. n counts the bins in which at least half an entry is expected: in
  the empty tail a bin adds less than 1 to the deviance on average, and would only dilute it.
* `likelihood`: D1 - D2, minus twice the logarithm of the likelihood ratio, compared with the chi-square distribution
  of k2 - k1 degrees of freedom (Wilks).
* `pseudo`: D1 - D2 compared with pseudo-experiments thrown from the smaller function and fitted with both: no
  assumption about the entries per bin. p = (S + 1) / (n + 1).

Rule: the first function on the list that neither of the next two improves on with p < level / 2 (p < level, if there
is only one). The next but one is looked at because a term that does not help alone may be needed together with the
one after it. The division keeps the chance to take too large a function below `level`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.fit import Mask, Model, NewtonFit
from offline.statistics.functions import LADDERS, SQRT_S, function

Floats = NDArray[np.float64]

TESTS = ("F", "likelihood", "pseudo")
LEVEL = 0.05
AHEAD = 2  # larger functions that are looked at
EXPECTED = 0.5  # entries below which a bin does not count in the F-test


@dataclass(frozen=True)
class Comparison:
    """Two functions: their deviances, the test statistic, and p of so large an improvement if the smaller is true."""

    smaller: str
    larger: str
    deviance_smaller: float
    deviance_larger: float
    statistic: float
    p: float


@dataclass(frozen=True)
class Choice:
    """The function chosen; the comparisons made, in order; and why other candidates could not be fitted."""

    name: str
    comparisons: tuple[Comparison, ...]
    left_out: dict[str, str]


def choose(
    edges: ArrayLike,
    counts: ArrayLike,
    functions: Sequence[str] = LADDERS["dijet"],
    *,
    test: str = "F",
    level: float = LEVEL,
    sqrt_s: float = SQRT_S,
    mask: Mask | None = None,
    pseudo_experiments: int = 1000,
    random: np.random.Generator | None = None,
) -> Choice:
    """Choose among nested `functions`, small to large, for one histogram (B,) with edges (B + 1,) [GeV].

    A candidate whose fit does not converge, or that has too many parameters for the bins, is left out with the
    reason. pseudo_experiments and random are for `pseudo`. Raises `Ad40Error` on functions that are not nested, and
    where none can be fitted.
    """
    if test not in TESTS:
        raise Ad40Error(f"there is no test {test!r} of the order; expected one of {', '.join(TESTS)}")
    if test == "pseudo" and random is None:
        raise Ad40Error("pseudo-experiments need a random number generator")
    _check_nested(functions)
    n = np.asarray(counts, dtype=np.float64)
    fits: dict[str, tuple[Model, NewtonFit]] = {}
    left_out: dict[str, str] = {}
    for name in functions:
        try:
            model = Model.on(edges, name, sqrt_s)
            reason = fit.problem(model, n if mask is None else np.where(mask, n, 0.0))
            fitted = None if reason else fit.newton(model, n, mask)
        except Ad40Error as error:
            reason, fitted = str(error), None
        if fitted is not None and fitted.converged:
            fits[name] = model, fitted
        else:
            left_out[name] = reason or "the fit did not converge"
    if not fits:
        raise Ad40Error("no background function can be fitted: " + "; ".join(f"{k}: {v}" for k, v in left_out.items()))
    names, comparisons = list(fits), []
    chosen = names[-1]
    for place, smaller in enumerate(names):
        larger = names[place + 1 : place + 1 + AHEAD]
        tried = [_compare(*fits[smaller], *fits[name], n, mask, test, pseudo_experiments, random) for name in larger]
        comparisons += tried
        if not any(comparison.p < level / len(larger) for comparison in tried):
            chosen = smaller
            break
    return Choice(chosen, tuple(comparisons), left_out)


def _check_nested(functions: Sequence[str]) -> None:
    known = [function(name) for name in functions]
    if not known:
        raise Ad40Error("no background function to choose from")
    for small, large in pairwise(known):
        if not large.contains(small) or large.n_parameters == small.n_parameters:
            raise Ad40Error(f"{large.name} does not contain {small.name}: an order cannot be chosen among them")


def _compare(
    small: Model,
    small_fit: NewtonFit,
    large: Model,
    large_fit: NewtonFit,
    n: Floats,
    mask: Mask | None,
    test: str,
    pseudo_experiments: int,
    random: np.random.Generator | None,
) -> Comparison:
    d1 = float(fit.deviance(n, small_fit.expected, mask))
    d2 = float(fit.deviance(n, large_fit.expected, mask))
    more, gain = large.n_parameters - small.n_parameters, max(d1 - d2, 0.0)
    if test == "F":
        counted = large_fit.expected >= EXPECTED if mask is None else (large_fit.expected >= EXPECTED) & mask
        ndf = int(np.count_nonzero(counted)) - large.n_parameters
        statistic = gain / more / (d2 / ndf) if ndf > 0 and d2 > 0 else 0.0
        p = float(fisher.sf(statistic, more, ndf)) if ndf > 0 else 1.0
    elif test == "likelihood":
        statistic, p = gain, float(chi2.sf(gain, more))
    else:
        assert random is not None
        toys = random.poisson(small_fit.expected, size=(pseudo_experiments, len(n))).astype(np.float64)
        first, second = fit.newton(small, toys, mask), fit.newton(large, toys, mask)
        gains = fit.deviance(toys, first.expected, mask) - fit.deviance(toys, second.expected, mask)
        more_than_data = (gains >= gain) | ~first.converged | ~second.converged
        statistic, p = gain, float((np.count_nonzero(more_than_data) + 1) / (pseudo_experiments + 1))
    return Comparison(small.function.name, large.function.name, d1, d2, statistic, p)
