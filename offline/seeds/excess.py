"""The part of a cluster that is in excess: data less what simulation of known processes puts there.

A cluster that simulation populates, too, consists mostly of known events. What a seed is for is the rest: of a
selection, its share of the excess is (data - simulation) with it over the same without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Excess:
    """Weights of data (n,) and of simulated events (m,) of a cluster, and of both the square of the error."""

    data: Floats
    known: Floats
    data_variance: Floats
    known_variance: Floats

    @classmethod
    def of(cls, data: Floats, known: Floats, copies: Floats | None = None) -> Excess:
        """Data count as Poisson's do: a weight is a number of events. copies (m,): how many simulated events each entry
        of `known` stands for, 1 each by default."""
        return cls(data, known, data, known**2 / (1.0 if copies is None else copies))

    @property
    def total(self) -> float:
        """Data less simulation."""
        return float(self.data.sum() - self.known.sum())

    def share(self, data: Bools, known: Bools) -> float:
        """Share of the excess that a selection keeps: which data (n,) and which simulated events (m,) pass."""
        return float(self.data[data].sum() - self.known[known].sum()) / self.total

    def interval(self, data: Bools, known: Bools) -> list[float]:
        """[low, value, high] of `share`, 68 %: the kept and the lost part fluctuate by themselves."""
        kept = float(self.data[data].sum() - self.known[known].sum())
        lost = self.total - kept
        errors = [float(self.data_variance[d].sum() + self.known_variance[k].sum())
                  for d, k in ((data, known), (~data, ~known))]  # fmt: skip
        error = math.sqrt(lost**2 * errors[0] + kept**2 * errors[1]) / self.total**2
        value = kept / self.total
        return [value - error, value, value + error]
