"""Figures of merit with intervals: AUC, TPR at FPR, trigger rates. All intervals are central 68 %.

Background events may come in families that share a hard process (`parent` of `ad40 generate`); where a function
takes `parent`, its interval counts what the families really tell.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float, float]  # low, value, high


def correlation(parent: NDArray[np.integer]) -> float:
    """Events per independent event, >= 1: the variance of a number of events, divided by that number.

    parent: (n,), the family of each event. A family of k events counts k times or not at all, so that a number of
    events made of families of n_i has the variance sum n_i^2 (compound Poisson; Bohm and Zech, NIM A 748 (2014) 1).

    >>> correlation(np.array([1, 2, 3])), correlation(np.array([7, 7, 7, 7]))
    (1.0, 4.0)
    """
    if len(parent) == 0:
        return 1.0
    sizes = np.unique(parent, return_counts=True)[1].astype(np.float64)
    return float((sizes**2).sum() / sizes.sum())


def _families(values: NDArray[np.floating[Any]], parent: NDArray[np.integer] | None) -> NDArray[np.float64]:
    """Sum of the values (n,) in each family."""
    total = values.astype(np.float64)
    if parent is not None:
        total = np.bincount(np.unique(parent, return_inverse=True)[1], weights=total).astype(np.float64)
    return total


def _placement(values: NDArray[np.number], others: NDArray[np.number]) -> NDArray[np.float64]:
    """Share of the others below each value, equal ones counted half."""
    ordered = np.sort(others)
    both = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return (both / (2 * len(others))).astype(np.float64)


def auc(
    background: NDArray[np.number], signal: NDArray[np.number], parent: NDArray[np.integer] | None = None
) -> Interval:
    """Area under the ROC curve, P(signal > background) + P(equal) / 2, of scores (n,) and (m,).

    parent: families of the background events (n,), None for independent ones. Interval from the variance of the
    placements of one class among the other (DeLong et al., Biometrics 44 (1988) 837), those of a family summed
    (Obuchowski, Biometrics 53 (1997) 567).
    """
    n, m = len(background), len(signal)
    placed = _placement(signal, background)
    area = float(placed.mean())
    residual = _families(1 - _placement(background, signal) - area, parent)
    families = len(residual)
    variance = float(((placed - area) ** 2).sum()) / (m * max(m - 1, 1))
    variance += float((residual**2).sum()) / n**2 * families / max(families - 1, 1)
    error = math.sqrt(variance)
    return max(area - error, 0.0), area, min(area + error, 1.0)


def wilson(passed: float, total: float) -> Interval:
    """Efficiency with the score interval of Wilson, JASA 22 (1927) 209."""
    if total == 0:
        return 0.0, 0.0, 1.0
    p = passed / total
    centre = (p + 0.5 / total) / (1 + 1 / total)
    half = math.sqrt(p * (1 - p) / total + 0.25 / total**2) / (1 + 1 / total)
    return min(max(centre - half, 0.0), p), p, max(min(centre + half, 1.0), p)


def efficiency(passed: NDArray[np.bool_], parent: NDArray[np.integer] | None = None) -> Interval:
    """Share of events (n,) that pass. Events of one family pass or fail together: they widen the interval.

    The interval is Wilson's for as many independent events as give the variance seen between families; with none
    or all passing, for as many as the sizes of the families say.
    """
    n, k = len(passed), int(np.count_nonzero(passed))
    if parent is None or n == 0:
        return wilson(k, n)
    p = k / n
    if 0 < k < n:
        between = float((_families(passed - p, parent) ** 2).sum())
        each = max(between / (n * p * (1 - p)), 1.0)
    else:
        each = correlation(parent)
    low, _, high = wilson(k / each, n / each)
    return low, p, high


def threshold_at_fpr(background: NDArray[np.number], fpr: float) -> float:
    """The lowest score at which at most `fpr` of the background is kept by score >= threshold.

    With ties (integer scores) the next score above is taken, so that the rate is never exceeded.
    """
    allowed = int(fpr * len(background) + 1e-9)
    if allowed >= len(background):
        return float(background.min())
    first_rejected = _from_above(background, allowed)
    above = background[background > first_rejected]
    return float(above.min()) if len(above) else float(np.nextafter(first_rejected, np.inf))


def _from_above(values: NDArray[np.number], rank: int) -> float:
    """The value that stands at a rank, 0 for the largest, without sorting the rest."""
    at = len(values) - 1 - rank
    return float(np.partition(values, at)[at])


def _poisson_interval(mean: float) -> tuple[int, int]:
    """The central 68 % of the counts of a Poisson distribution: from the first whose cumulative reaches 0.16."""
    counts = np.arange(int(mean + 10 * math.sqrt(mean) + 20))
    logs = np.concatenate([[0.0], np.cumsum(np.log(mean / counts[1:]))]) - mean
    cumulative = np.cumsum(np.exp(logs))
    one_sigma = 0.158655
    low, high = np.searchsorted(cumulative, [one_sigma, 1 - one_sigma])
    return int(low), int(high)


_TAIL = 100  # events that measure how the families of the tail cluster, at least


def threshold_interval(
    background: NDArray[np.number], fpr: float, parent: NDArray[np.integer] | None = None
) -> Interval:
    """The threshold of `threshold_at_fpr` between the lowest and highest that the finite background allows.

    Between them, with 68 %, lies the threshold that keeps `fpr` of an unlimited background: the number of events
    above that one is Poisson of mean fpr x n (scaled by `correlation` where events come in families), which bounds
    it by order statistics. The highest is infinite where none above it is probable: fpr x n below 1.84.
    Raises ValueError unless 0 < fpr <= 1.
    """
    if not 0 < fpr <= 1:
        raise ValueError(f"fpr {fpr}: above 0, at most 1")
    n = len(background)
    expected, each = fpr * n, 1.0
    if parent is not None:
        tail = min(max(math.ceil(2 * expected), _TAIL), n)
        each = correlation(parent[np.argpartition(background, n - tail)[n - tail :]])
    few, many = _poisson_interval(expected / each)
    few, many = math.floor(few * each), math.ceil(many * each)
    highest = _from_above(background, few - 1) if few else math.inf
    # at most `many` are above: the threshold is higher than the next event
    lowest = float(np.nextafter(_from_above(background, many), np.inf)) if many < n else -math.inf
    value = threshold_at_fpr(background, fpr)
    return min(lowest, value), value, max(highest, value)


def tpr_at_fpr(
    background: NDArray[np.number],
    signal: NDArray[np.number],
    fpr: float,
    parent: NDArray[np.integer] | None = None,
) -> Interval:
    """Signal efficiency at a background efficiency, of scores (n,) and (m,).

    parent: families of the background events (n,), None for independent ones. The interval joins the binomial
    error of the efficiency (Wilson) with that of the threshold (`threshold_interval`), which at 1e-5 of a million
    events is 32 %. With no background event to place it, the value is that of a threshold above all background.
    Coverage in simulation: 70 % with 400 events expected above the threshold, 78 % with 4, where counts are whole
    numbers, up to 88 % with 4 that come in families (tests/unit/test_metrics.py).
    """
    loosest, threshold, tightest = threshold_interval(background, fpr, parent)

    def kept(cut: float) -> int:
        return int(np.count_nonzero(signal >= cut))

    low, value, high = wilson(kept(threshold), len(signal))
    down, up = kept(tightest) / len(signal), kept(loosest) / len(signal)
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
