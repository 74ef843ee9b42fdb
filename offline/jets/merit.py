"""Figures of merit of a score against labels, with intervals that know that two jets of an event belong together.

Intervals are central 68 %, from a bootstrap over events: each event counts Poisson(1) times, with all of its jets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError

REPLICAS = 200
RATES = (0.1, 0.01, 0.001)
"""Background efficiencies at which the signal efficiency is given."""

LEAST_BACKGROUND = 10
"""Background entries that pass the tightest cut a maximum of the SIC is looked for at: fewer make it of luck."""

POINTS = 200  # of a curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """fpr, tpr (k,) rising."""

    fpr: Floats
    tpr: Floats

    @property
    def sic(self) -> Floats:
        """Significance improvement tpr / sqrt(fpr) (k,); 0 where nothing passes."""
        return np.divide(self.tpr, np.sqrt(self.fpr), out=np.zeros_like(self.tpr), where=self.fpr > 0)


@dataclass(frozen=True)
class Merit:
    """[low, value, high] of the area under the ROC curve, of the largest SIC, and of the TPR at `RATES`; the FPR at
    the largest SIC; how many entries of each kind; and the curve."""

    auc: tuple[float, float, float]
    max_sic: tuple[float, float, float]
    sic_fpr: float
    tpr: dict[str, tuple[float, float, float]]
    background: int
    signal: int
    curve: Curve

    def document(self) -> dict[str, Any]:
        """For JSON, without the curve."""
        return {"auc": list(self.auc), "max_sic": list(self.max_sic), "sic_fpr": self.sic_fpr,
                "tpr": {k: list(v) for k, v in self.tpr.items()}, "background": self.background,
                "signal": self.signal}  # fmt: skip


def merit(
    score: NDArray[np.floating],
    signal: NDArray[np.bool_],
    event: NDArray[np.integer] | None = None,
    replicas: int = REPLICAS,
    seed: int = 40,
) -> Merit:
    """Figures of n scores (n,), larger = more signal-like; signal bool (n,); event (n,): entries of equal number are
    drawn together, None: each by itself. Raises `InputError` without both kinds."""
    x, s = np.asarray(score, np.float64), np.asarray(signal, bool)
    if x.shape != s.shape or not s.any() or s.all():
        raise InputError("merit", "signal", f"{int(s.sum())} of {len(s)}", "signal and background, one flag per score")
    order = np.argsort(-x, kind="stable")
    last = np.flatnonzero(np.append(np.diff(x[order]) != 0, True))  # ends of runs of equal scores
    s = s[order]
    groups = np.arange(len(x)) if event is None else np.unique(event, return_inverse=True)[1]
    groups = groups[order]
    curve = _curve(s, np.ones(len(x)), last)
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(replicas):
        weight = random.poisson(1.0, int(groups.max()) + 1)[groups].astype(np.float64)
        if (weight[s].sum() > 0) and (weight[~s].sum() > 0):
            drawn.append(_numbers(_curve(s, weight, last), int((~s).sum())))
    value = _numbers(curve, int((~s).sum()))
    spread = np.array(drawn) if drawn else value[None]
    low, high = np.quantile(spread, (0.158655, 0.841345), axis=0)

    def interval(i: int) -> tuple[float, float, float]:
        return float(min(low[i], value[i])), float(value[i]), float(max(high[i], value[i]))

    n = int((~s).sum())
    at = int(np.argmax(np.where(curve.fpr * n >= LEAST_BACKGROUND - 0.5, curve.sic, 0)))
    tpr = {f"{rate:g}": interval(2 + i) for i, rate in enumerate(RATES)}
    return Merit(interval(0), interval(1), float(curve.fpr[at]), tpr, n, int(s.sum()), _thinned(curve))


def _curve(s: NDArray[np.bool_], weight: Floats, last: NDArray[np.int64]) -> Curve:
    passed_s, passed_b = np.cumsum(weight * s), np.cumsum(weight * ~s)
    return Curve(passed_b[last] / passed_b[-1], passed_s[last] / passed_s[-1])


def _numbers(curve: Curve, background: int) -> Floats:
    """AUC, largest SIC, TPR at `RATES`."""
    fpr, tpr = np.append(0.0, curve.fpr), np.append(0.0, curve.tpr)
    area = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    enough = curve.fpr * background >= LEAST_BACKGROUND - 0.5
    best = float(curve.sic[enough].max(initial=0.0))
    return np.array([area, best, *(tpr[np.searchsorted(fpr, rate + 1e-12, side="right") - 1] for rate in RATES)])


def _thinned(curve: Curve) -> Curve:
    """At most `POINTS` points, even in the logarithm of the FPR: what a figure needs."""
    if len(curve.fpr) <= POINTS:
        return curve
    least = max(float(curve.fpr[curve.fpr > 0].min()), 1e-9)
    wanted = np.append(np.geomspace(least, 1.0, POINTS), 0.0)
    keep = np.unique(np.clip(np.searchsorted(curve.fpr, wanted, side="right") - 1, 0, len(curve.fpr) - 1))
    return Curve(curve.fpr[keep], curve.tpr[keep])
