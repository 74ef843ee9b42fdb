"""Figures of merit with intervals: AUC, TPR at FPR, trigger rates. All intervals are central 68 %."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float, float]  # low, value, high


def auc(background: NDArray[np.number], signal: NDArray[np.number]) -> Interval:
    """Area under the ROC curve, P(signal > background) + P(equal) / 2, of scores (n,) and (m,).

    Interval by Hanley and McNeil, Radiology 143 (1982) 29, equation 1.
    """
    n, m = len(background), len(signal)
    ordered = np.sort(background)
    below = np.searchsorted(ordered, signal, side="left")
    through = np.searchsorted(ordered, signal, side="right")
    area = float((below + through).mean() / (2 * n))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    error = math.sqrt(max(variance, 0.0))
    return max(area - error, 0.0), area, min(area + error, 1.0)


def wilson(passed: float, total: float) -> Interval:
    """Efficiency with the score interval of Wilson, JASA 22 (1927) 209."""
    if total == 0:
        return 0.0, 0.0, 1.0
    p = passed / total
    centre = (p + 0.5 / total) / (1 + 1 / total)
    half = math.sqrt(p * (1 - p) / total + 0.25 / total**2) / (1 + 1 / total)
    return min(max(centre - half, 0.0), p), p, max(min(centre + half, 1.0), p)


def threshold_at_fpr(background: NDArray[np.number], fpr: float) -> float:
    """The lowest score at which at most `fpr` of the background is kept by score >= threshold.

    With ties (integer scores) the next score above is taken, so that the rate is never exceeded.
    """
    allowed = int(fpr * len(background) + 1e-9)
    ordered = np.sort(background)[::-1]
    if allowed >= len(ordered):
        return float(ordered[-1])
    first_rejected = ordered[allowed]
    above = ordered[ordered > first_rejected]
    return float(above[-1]) if len(above) else float(np.nextafter(float(first_rejected), np.inf))


def tpr_at_fpr(background: NDArray[np.number], signal: NDArray[np.number], fpr: float) -> Interval:
    """Signal efficiency at a background efficiency.

    The interval joins the binomial error of the efficiency (Wilson) with that of the threshold: k background
    events above it fluctuate by sqrt(k), which at 1e-5 of a million events is 32 %. With no background event
    to place it, the value is that of a threshold above all background and the interval's upper end takes one.
    """
    n = len(background)
    expected = fpr * n

    def kept(rate: float) -> int:
        return int((signal >= threshold_at_fpr(background, rate)).sum())

    low, value, high = wilson(kept(fpr), len(signal))
    spread = max(math.sqrt(expected), 1.0)
    down = kept(max(expected - spread, 0.0) / n) / len(signal)
    up = kept(min((expected + spread) / n, 1.0)) / len(signal)
    return (
        max(value - math.hypot(value - low, value - down), 0.0),
        value,
        min(value + math.hypot(high - value, up - value), 1.0),
    )


def roc(background: NDArray[np.number], signal: NDArray[np.number]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(FPR, TPR) at every distinct background score, from the tightest threshold to the loosest."""
    cuts = np.unique(background)[::-1]
    b, s = np.sort(background), np.sort(signal)
    fpr = 1 - np.searchsorted(b, cuts, side="left") / len(b)
    tpr = 1 - np.searchsorted(s, cuts, side="left") / len(s)
    return fpr, tpr


def rate_hz(cross_section_pb: float, efficiency: float, luminosity_cm2s: float) -> float:
    """Rate of a process in Hz: cross-section times total efficiency (filter and trigger) times luminosity.

    1 pb = 1e-36 cm^2: at 2e34 cm^-2 s^-1 one pb is 0.02 Hz.
    """
    return cross_section_pb * 1e-36 * luminosity_cm2s * efficiency
