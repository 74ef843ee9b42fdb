"""Ratios of figures of several scores on the same events: a bootstrap that draws families, and all scores alike.

Two scores are judged by the same background and the same signal events, so that the error of their ratio is smaller
than their errors apart would give. Every replicate gives each family of background events and each signal event a
weight from a Poisson distribution of mean 1 (the bootstrap of Chamandy et al., Google technical report 36911, 2012),
places the threshold of every score anew and takes the TPR of all with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.metrics import Interval, threshold_at_fpr
from ad40.progress import Progress

Floats = NDArray[np.float64]
_ENDS = (15.8655, 84.1345)  # percent: the central 68 %
_MARGIN, _LEAST = 3, 300  # how much of the tail is kept: so many times the events of the loosest FPR, at least so many


@dataclass(frozen=True)
class Scores:
    """What a score says. background (n,); signals: name -> (m,); rows: name -> (m,) which of the signal's events those
    are, None for all of them."""

    background: NDArray[Any]
    signals: Mapping[str, NDArray[Any]]
    rows: Mapping[str, NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class _Tail:
    """The highest background scores in descending order: their rows, the distinct values and where each ends."""

    rows: NDArray[np.int64]
    values: NDArray[Any]
    ends: NDArray[np.int64]

    @staticmethod
    def of(background: NDArray[Any], keep: int) -> _Tail:
        rows = np.argpartition(-background, keep - 1)[:keep] if keep < len(background) else np.arange(len(background))
        rows = rows[np.argsort(-background[rows], kind="stable")]
        ordered = background[rows]
        last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
        return _Tail(rows, ordered[last], last)

    def threshold(self, weights: Floats, allowed: float) -> float:
        """The lowest score that keeps no more than a weight `allowed`; just above all when none does."""
        kept = np.cumsum(weights[self.rows])[self.ends]
        place = int(np.searchsorted(kept, allowed, side="right")) - 1
        return float(self.values[place]) if place >= 0 else float(np.nextafter(float(self.values[0]), np.inf))


def smoothed(passed: float, total: float) -> float:
    """(passed + 1/2) / (total + 1): an efficiency that is not zero, for ratios and geometric means.

    It is the posterior mean under the prior of Jeffreys; with thousands of events only an empty numerator feels it.
    """
    return (passed + 0.5) / (total + 1.0)


class Replicates:
    """TPRs of every score in every replicate: `tpr[name][fpr][signal]` is float64 (replicates,); `value[name][fpr]
    [signal]` the one of the events as they are. Both are `smoothed`."""

    def __init__(
        self, scores: Mapping[str, Scores], parent: NDArray[np.int64], fprs: Mapping[str, float], n: int, seed: int
    ) -> None:
        """parent: (n,) family of each background event; fprs: name -> FPR; n: replicates."""
        family = np.unique(parent, return_inverse=True)[1]
        keep = max(int(_MARGIN * max(fprs.values()) * len(parent)), _LEAST)
        tails = {name: _Tail.of(one.background, min(keep, len(parent))) for name, one in scores.items()}
        signals: dict[str, int] = {}
        for one in scores.values():
            for name, signal in one.signals.items():
                size = len(signal) if one.rows is None else int(one.rows[name].max(initial=-1)) + 1
                signals[name] = max(signals.get(name, 0), size)
        self.value = {
            name: {label: {s: smoothed(int((x >= cut).sum()), len(x)) for s, x in one.signals.items()}
                   for label, cut in ((label, threshold_at_fpr(one.background, fpr)) for label, fpr in fprs.items())}
            for name, one in scores.items()
        }  # fmt: skip
        self.tpr = {name: {label: {s: np.zeros(n) for s in one.signals} for label in fprs}
                    for name, one in scores.items()}  # fmt: skip
        rng = np.random.default_rng(seed)
        with Progress(n, "intervals of ratios", "replicates") as progress:
            for i in range(n):
                background = rng.poisson(1.0, int(family.max()) + 1).astype(np.float64)[family]
                drawn = {s: rng.poisson(1.0, m).astype(np.float64) for s, m in signals.items()}
                for name, one in scores.items():
                    for label, fpr in fprs.items():
                        cut = tails[name].threshold(background, fpr * background.sum() + 1e-9)
                        for s, x in one.signals.items():
                            w = drawn[s] if one.rows is None else drawn[s][one.rows[s]]
                            self.tpr[name][label][s][i] = smoothed(float(w[x >= cut].sum()), float(w.sum()))
                progress.update()

    def ratio(self, name: str, other: str, fpr: str, signal: str) -> Interval:
        """TPR of one score over that of another: (low, value, high), 68 %."""
        value = self.value[name][fpr][signal] / self.value[other][fpr][signal]
        return _interval(value, self.tpr[name][fpr][signal] / self.tpr[other][fpr][signal])

    def mean(self, name: str, fpr: str) -> float:
        """Geometric mean of the TPRs over the signals."""
        return float(np.exp(np.mean(np.log(list(self.value[name][fpr].values())))))

    def mean_ratio(self, name: str, other: str, fpr: str) -> Interval:
        """Geometric mean over the signals of the ratio of the TPRs: (low, value, high), 68 %."""
        logs = [np.log(x / self.tpr[other][fpr][s]) for s, x in self.tpr[name][fpr].items()]
        return _interval(self.mean(name, fpr) / self.mean(other, fpr), np.exp(np.mean(logs, axis=0)))


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.percentile(drawn, _ENDS)
    return min(float(low), value), float(value), max(float(high), value)
