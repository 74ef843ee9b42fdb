"""Background functions of mass spectra. The logarithm of each is linear in its parameters.

    ln f(x) = ln p1 + p2 t2(x) + p3 t3(x) + ...,    x = m / sqrt(s)

so that the binned Poisson likelihood is convex and has one minimum (`offline.statistics.fit`). A function that is
not of this form, such as a sum of two, does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error

Floats = NDArray[np.float64]
Term = Callable[[Floats], Floats]

SQRT_S = 13000.0
"""Centre-of-mass energy [GeV] where nothing else is said: LHC Run 2."""


@dataclass(frozen=True)
class Function:
    """One family of curves. `formula` is as in the publication, `source` names it; `terms` are t2, t3, ... ."""

    name: str
    formula: str
    source: str
    terms: tuple[Term, ...]

    def contains(self, other: Function) -> bool:
        """Whether every curve of `other` is one of this function too (its terms are among these)."""
        return set(other.terms) <= set(self.terms)

    @property
    def n_parameters(self) -> int:
        """Parameters: ln p1 and one for each term."""
        return 1 + len(self.terms)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the fitted parameters: ("ln p1", "p2", ..)."""
        return ("ln p1", *(f"p{i}" for i in range(2, self.n_parameters + 1)))

    def design(self, x: ArrayLike) -> Floats:
        """(.., k) for x (..), 0 < x < 1: ln f = design @ parameters."""
        x = np.asarray(x, dtype=np.float64)
        return np.stack([np.ones_like(x), *(term(x) for term in self.terms)], axis=-1)


def _falling(x: Floats) -> Floats:
    return np.log1p(-x)


def _root_falling(x: Floats) -> Floats:
    return np.log1p(-np.cbrt(x))


def _log_over_root(x: Floats) -> Floats:
    return np.log(x) / np.sqrt(x)


def _log_power(power: int) -> Term:
    def term(x: Floats) -> Floats:
        return np.log(x) ** power

    return term


def _power(power: int) -> Term:
    def term(x: Floats) -> Floats:
        return x**power

    return term


_LOGS = tuple(_log_power(power) for power in (1, 2, 3, 4))
_POWERS = tuple(_power(power) for power in (1, 2, 3))

_DIJET = (
    "searches for dijet resonances, such as CMS arXiv:1911.03947 and ATLAS arXiv:1910.08447 (the four-parameter form)"
)
_JETX = "jet + X search, ATLAS PRL 132 (2024) 081801"
_DIPHOTON = "search for diphoton resonances, ATLAS arXiv:1606.03833"
_HIGGS = "searches for narrow peaks on photon and muon pairs"

_ALL = (
    Function("p2", "p1 (1-x)^p2", _DIJET, (_falling,)),
    Function("p3", "p1 (1-x)^p2 x^p3", _DIJET, (_falling, *_LOGS[:1])),
    Function("p4", "p1 (1-x)^p2 x^(p3 + p4 ln x)", _DIJET, (_falling, *_LOGS[:2])),
    Function("p5", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5 ln^2 x)", _JETX, (_falling, *_LOGS[:3])),
    Function("p6", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5 ln^2 x + p6 ln^3 x)", _DIJET, (_falling, *_LOGS)),
    Function("p5sqrt", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5/sqrt(x))", _JETX, (_falling, *_LOGS[:2], _log_over_root)),
    Function("ua2", "p1 x^p2 e^(p3 x + p4 x^2)", "UA2's dijet search; arXiv:2607.19750", (*_LOGS[:1], *_POWERS[:2])),
    Function("diphoton3", "p1 (1-x^(1/3))^p2 x^p3", _DIPHOTON, (_root_falling, *_LOGS[:1])),
    Function("diphoton4", "p1 (1-x^(1/3))^p2 x^(p3 + p4 ln x)", _DIPHOTON, (_root_falling, *_LOGS[:2])),
    Function("power2", "p1 x^p2", _HIGGS, _LOGS[:1]),
    Function("power3", "p1 x^(p2 + p3 ln x)", "searches for diphoton resonances by CMS", _LOGS[:2]),
    Function("power4", "p1 x^(p2 + p3 ln x + p4 ln^2 x)", "one term more than power3", _LOGS[:3]),
    Function("exp2", "p1 e^(p2 x)", _HIGGS, _POWERS[:1]),
    Function("exp3", "p1 e^(p2 x + p3 x^2)", _HIGGS, _POWERS[:2]),
    Function("exp4", "p1 e^(p2 x + p3 x^2 + p4 x^3)", _HIGGS, _POWERS),
    Function("multijet3", "p1 (1-x)^p2 e^(p3 x^2)", "searches in multijet events", (_falling, _POWERS[1])),
)

FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}
"""Every function by its name. The number in a name is that of its parameters."""

LADDERS: dict[str, tuple[str, ...]] = {
    "dijet": ("p2", "p3", "p4", "p5", "p6"),
    "diphoton": ("diphoton3", "diphoton4"),
    "power": ("power2", "power3", "power4"),
    "exponential": ("exp2", "exp3", "exp4"),
}
"""Each function contains the one before it: on a ladder an order can be chosen (`offline.statistics.order`)."""


def function(name: str) -> Function:
    """A function by name. Raises `Ad40Error` that lists the names there are."""
    if name not in FUNCTIONS:
        raise Ad40Error(f"there is no background function {name!r}; expected one of {', '.join(FUNCTIONS)}")
    return FUNCTIONS[name]
