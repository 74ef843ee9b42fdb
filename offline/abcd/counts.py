"""Events in the four regions of two scores, and the background of the corner from the other three.

    A: both scores reach their cuts    B: only the first    C: only the second    D: none

Of independent scores N_A = N_B N_C / N_D, whatever the efficiencies are. Counts carry a covariance, since events of
one hard process (`parent`) fall into the same or into neighbouring regions together, and weights are not all 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.statistics import onoff

REGIONS = ("A", "B", "C", "D")
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """n: sums of weights in A, B, C, D, float64 (4,). covariance: of them, float64 (4, 4). events: whole numbers."""

    n: Reals
    covariance: Reals
    events: NDArray[np.int64]

    def __add__(self, other: Counts) -> Counts:
        """Both samples together; they are independent."""
        return Counts(self.n + other.n, self.covariance + other.covariance, self.events + other.events)

    @property
    def usable(self) -> bool:
        """Whether B, C and D hold something."""
        return bool((self.n[1:] > 0).all())

    @property
    def efficiencies(self) -> tuple[float, float, float]:
        """Shares of the first cut, of the second cut, and of both."""
        a, b, c, _ = self.n
        total = self.n.sum()
        return float((a + b) / total), float((a + c) / total), float(a / total)

    @property
    def estimate(self) -> tuple[float, float]:
        """N_B N_C / N_D and its statistical uncertainty, of B, C and D alone. Raises `InputError` when one is empty."""
        if not self.usable:
            empty = [r for r, n in zip(REGIONS, self.n, strict=True) if n <= 0 and r != "A"]
            raise InputError("regions", f"events in {', '.join(empty)}", 0, "some, or there is no estimate of A")
        value = float(self.n[1] * self.n[2] / self.n[3])
        slope = np.array([0.0, 1 / self.n[1], 1 / self.n[2], -1 / self.n[3]])
        return value, value * math.sqrt(float(slope @ self.covariance @ slope))

    @property
    def ratio(self) -> tuple[float, float]:
        """Estimate over what is in A, which is 1 where the method closes, and its statistical uncertainty."""
        if self.n[0] <= 0:
            raise InputError("regions", "events in A", 0, "some, or the closure is not known")
        value = self.estimate[0] / float(self.n[0])
        slope = np.array([-1.0, 1.0, 1.0, -1.0]) / self.n
        return value, value * math.sqrt(float(slope @ self.covariance @ slope))

    @property
    def document(self) -> dict[str, object]:
        """For a summary."""
        return {"events": dict(zip(REGIONS, self.events.tolist(), strict=True)),
                "n": dict(zip(REGIONS, [float(v) for v in self.n], strict=True))}  # fmt: skip


def region_of(score: NDArray[np.number], cuts: tuple[float, float]) -> NDArray[np.int8]:
    """0 to 3 for A to D of scores (n, 2): int8 (n,). A score passes when it reaches the cut."""
    one, two = score[:, 0] >= cuts[0], score[:, 1] >= cuts[1]
    return np.where(one, np.where(two, 0, 1), np.where(two, 2, 3)).astype(np.int8)


def count(
    score: NDArray[np.number], cuts: tuple[float, float], parent: NDArray[np.integer] | None = None,
    weights: NDArray[np.floating] | None = None,
) -> Counts:  # fmt: skip
    """Counts of events with scores (n, 2). parent: family of each (n,), None for independent events; weights (n,).

    The number of families is Poisson; the covariance is the sum over families of what each adds to the four regions,
    times itself (compound Poisson; Bohm and Zech, NIM A 748 (2014) 1). Without either it is the counts themselves.
    """
    region = region_of(score, cuts)
    w = np.ones(len(region)) if weights is None else np.asarray(weights, np.float64)
    n = np.bincount(region, weights=w, minlength=4)
    events = np.bincount(region, minlength=4).astype(np.int64)
    if parent is None:
        return Counts(n, np.diag(np.bincount(region, weights=w**2, minlength=4)), events)
    family = np.unique(parent, return_inverse=True)[1]
    families = int(family.max()) + 1 if len(family) else 0
    each = np.bincount(4 * family + region, weights=w, minlength=4 * families).reshape(families, 4)
    return Counts(n, each.T @ each, events)


def significance(observed: float, background: float, error: float) -> float:
    """Standard deviations by which a count exceeds a background that is known to +- error; negative below it
    (`offline.statistics.onoff`). Raises `InputError` without a background."""
    if not (background > 0 and error >= 0 and observed >= 0):
        raise InputError("significance", "background", f"{background} +- {error}", "above 0 with an error from 0 on")
    return onoff.significance(observed, background, error)
