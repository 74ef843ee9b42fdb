"""Rates of weighted events in families, their changes on the same or on other events, and thresholds for a rate.

Weights are in Hz: what an event of a process stands for at the luminosity of the menu. All intervals are central 68 %
and count families of events that share a hard process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.metrics import Interval, rate_hz
from training.datasets import Background

Floats = NDArray[np.float64]
_NONE_SEEN = 1.14  # 68 % upper limit on the mean of a Poisson distribution that gave 0: -log(0.32)


@dataclass(frozen=True)
class Rated:
    """Events with their rate. weight: float64 (n,) Hz each; family: int (n,) in 0 ... families - 1."""

    weight: Floats
    family: NDArray[np.int64]

    @staticmethod
    def of(sample: Background, rows: NDArray[np.int64]) -> Rated:
        """Rows of a sample: the cross-section of a process is spread evenly over its events among them."""
        luminosity, process = spec.ladder().luminosity_cm2s, sample.process[rows]
        weight = np.zeros(len(rows))
        for one in sample.processes:
            mine = process == one.code
            if mine.any():
                weight[mine] = rate_hz(one.filtered_pb, 1.0, luminosity) / int(mine.sum())
        return Rated(weight, np.unique(sample.parent[rows], return_inverse=True)[1].astype(np.int64))

    def _families(self, passed: Floats) -> Floats:
        return np.bincount(self.family, weights=self.weight * passed, minlength=1)

    def rate(self, passed: NDArray[np.bool_]) -> Interval:
        """Rate in Hz of the events that pass (n,)."""
        each = self._families(passed.astype(np.float64))
        error = math.sqrt(float((each**2).sum()))
        if not passed.any():
            return 0.0, 0.0, _NONE_SEEN * float(self.weight.mean())
        total = float(each.sum())
        return max(total - error, 0.0), total, total + error

    def change(self, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Interval | None:
        """Rate after over rate before, of the same events (n,): only events that differ add to the error.

        It is the comparison of paired counts (McNemar, Psychometrika 12 (1947) 153) with weights and with the
        differences summed in each family. None when nothing passed before.
        """
        first, second = self._families(before.astype(np.float64)), self._families(after.astype(np.float64))
        total = float(first.sum())
        if total == 0:
            return None
        ratio = float(second.sum()) / total
        error = math.sqrt(float(((second - ratio * first) ** 2).sum())) / total
        if not (before != after).any():
            error = _NONE_SEEN * float(self.weight[before].mean()) / total
        return max(ratio - error, 0.0), ratio, ratio + error

    def threshold(self, score: NDArray[np.integer], rate: float) -> tuple[int, int, int]:
        """The lowest integer threshold with at most this rate in Hz, between those that the finite sample allows.

        Low and high are where the rate less and plus its error fall below it. Above every score where none does.
        """
        values, place = np.unique(score, return_inverse=True)
        order = np.argsort(-place, kind="stable")
        weight = self.weight[order]
        # error of the rate above each value: families summed; a family enters with the square of what it has above
        above = np.cumsum(weight)
        squared = _family_squares(self.family[order], weight)
        last = np.searchsorted(-place[order], -np.arange(len(values)), side="right") - 1
        kept, error = above[last], np.sqrt(squared[last])
        found = []
        for curve in (kept - error, kept, kept + error):
            good = np.flatnonzero(curve <= rate)
            found.append(int(values[good[0]]) if len(good) else int(values[-1]) + 1)
        return found[0], found[1], found[2]


def _family_squares(family: NDArray[np.int64], weight: Floats) -> Floats:
    """Running sum over events in order of the squares of the family sums so far: (n,)."""
    order = np.argsort(family, kind="stable")
    running = np.cumsum(weight[order])
    start = np.flatnonzero(np.r_[True, np.diff(family[order]) != 0])
    base = np.repeat(np.r_[0.0, running[start[1:] - 1]], np.diff(np.r_[start, len(order)]))
    within = np.empty(len(order))
    within[order] = running - base  # what the family of each event has up to this event
    return np.cumsum(within**2 - (within - weight) ** 2)


def independent(before: Interval, after: Interval) -> Interval | None:
    """Ratio of two rates of other events. None when the first is zero."""
    if before[1] == 0:
        return None
    ratio = after[1] / before[1]
    up = math.hypot((after[2] - after[1]) / before[1], ratio * (before[1] - before[0]) / before[1])
    down = math.hypot((after[1] - after[0]) / before[1], ratio * (before[2] - before[1]) / before[1])
    return max(ratio - down, 0.0), ratio, ratio + up
