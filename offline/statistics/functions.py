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


def _log_power(power: int) -> Term:
    def term(x: Floats) -> Floats:
        return np.log(x) ** power

    return term


def _log_over_root(x: Floats) -> Floats:
    return np.log(x) / np.sqrt(x)


_DIJET = "dijet searches of ATLAS and CMS"

_ALL = (
    Function("p2", "p1 (1-x)^p2", _DIJET, (_falling,)),
    Function("p3", "p1 (1-x)^p2 x^p3", _DIJET, (_falling, np.log)),
    Function("p4", "p1 (1-x)^p2 x^(p3 + p4 ln x)", _DIJET, (_falling, np.log, _log_power(2))),
    Function("p5", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5 ln^2 x)", _DIJET, (_falling, *map(_log_power, (1, 2, 3)))),
    Function(
        "p5sqrt", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5/sqrt(x))", _DIJET, (_falling, np.log, _log_power(2), _log_over_root)
    ),
    Function(
        "p6", "p1 (1-x)^p2 x^(p3 + p4 ln x + p5 ln^2 x + p6 ln^3 x)", _DIJET, (_falling, *map(_log_power, (1, 2, 3, 4)))
    ),
)

FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}
"""Every function by its name."""

NESTED = ("p2", "p3", "p4", "p5", "p6")
"""Each contains the one before it: the ladder on which an order is chosen (`offline.statistics.order`)."""


def function(name: str) -> Function:
    """A function by name. Raises `Ad40Error` that lists the names there are."""
    if name not in FUNCTIONS:
        raise Ad40Error(f"there is no background function {name!r}; expected one of {', '.join(FUNCTIONS)}")
    return FUNCTIONS[name]
