"""What sets a group of events apart from others: quantities in order of how well each tells them apart alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.seeds.quantities import Quantity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """One quantity. mean: of the group and of the others, in `units`; difference: of the means in standard deviations,
    sqrt((variance + variance of the others) / 2); auc: share of pairs in which the event of the group has more, equal
    ones counted half, with its 68 % interval."""

    quantity: Quantity
    mean: tuple[float, float]
    difference: float
    auc: tuple[float, float, float]

    @property
    def power(self) -> float:
        """How far the AUC is from 1/2, either way."""
        return abs(self.auc[1] - 0.5)


def separations(
    group: NDArray[np.integer], weight: Floats, others: NDArray[np.integer], other_weight: Floats,
    names: Sequence[Quantity],
) -> list[Separation]:  # fmt: skip
    """All quantities of the tables (n, quantities) of group and others, which has most power first."""
    found = []
    for k, quantity in enumerate(names):
        x, y = group[:, k].astype(np.float64), others[:, k].astype(np.float64)
        (mean, variance), (other, other_variance) = _moments(x, weight), _moments(y, other_weight)
        spread = math.sqrt((variance + other_variance) / 2)
        found.append(Separation(quantity, (mean * quantity.lsb, other * quantity.lsb),
                                (mean - other) / spread if spread else 0.0,
                                weighted_auc(y, other_weight, x, weight)))  # fmt: skip
    return sorted(found, key=lambda s: -s.power)


def _moments(x: Floats, weight: Floats) -> tuple[float, float]:
    mean = float(np.average(x, weights=weight))
    return mean, float(np.average((x - mean) ** 2, weights=weight))


def weighted_auc(low: Floats, low_weight: Floats, high: Floats, high_weight: Floats) -> tuple[float, float, float]:
    """P(high > low) + P(equal) / 2 of weighted samples, with the interval of DeLong et al. (Biometrics 44 (1988) 837),
    in which the weights of a sample count for sum(w)^2 / sum(w^2) events of its placements."""
    placed_high, placed_low = _placed(high, low, low_weight), 1 - _placed(low, high, high_weight)
    area = float(np.average(placed_high, weights=high_weight))
    variance = 0.0
    for placed, weight in ((placed_high, high_weight), (placed_low, low_weight)):
        share = weight / weight.sum()
        variance += float((share**2 * (placed - area) ** 2).sum())
    error = math.sqrt(variance)
    return max(area - error, 0.0), area, min(area + error, 1.0)


def _placed(values: Floats, others: Floats, weight: Floats) -> Floats:
    """Share of the others below each value, equal ones counted half."""
    order = np.argsort(others, kind="stable")
    ordered, total = others[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    both = total[np.searchsorted(ordered, values, "left")] + total[np.searchsorted(ordered, values, "right")]
    share: Floats = both / (2 * total[-1])
    return share
