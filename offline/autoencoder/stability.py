"""Is the score the same in all runs and at all pileup? The median of ln(loss) in groups of events, and a chi2 of
constancy.

The error of a group's median is 1 / (2 f sqrt(n)), its asymptotic standard deviation, with the density f at the median
taken from all events together: if the score is constant, that is the density of each group, and it is far better known
than from the group alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from offline.figures.hepdata import Table

SMALLEST = 100  # events of a group: below, the median is not yet normally distributed
MOST = 40  # groups
WINDOW = 0.1  # of probability on both sides of the median, where the density is taken

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stability:
    """The median score in groups of events of neighbouring values of a quantity (run, lumi section, pileup).

    low, high: first and last value in each group; events; median and its error; reference: the mean of the medians,
    weighted with their errors; chi2 of all medians being the reference, with `degrees` degrees of freedom, and p.
    unknown: events without a value, left out. reason: why there is nothing to compare, else None.
    """

    quantity: str
    low: list[float]
    high: list[float]
    events: list[int]
    median: list[float]
    error: list[float]
    reference: float
    chi2: float
    degrees: int
    p: float
    unknown: int
    reason: str | None

    @property
    def summary(self) -> dict[str, Any]:
        """For JSON; what cannot be said is None."""
        known = self.reason is None
        groups = zip(self.low, self.high, self.events, self.median, self.error, strict=True)
        return {
            "quantity": self.quantity,
            "reason": self.reason,
            "unknown": self.unknown,
            "reference": self.reference if known else None,
            "chi2": self.chi2 if known else None,
            "degrees": self.degrees,
            "p": self.p if known else None,
            "groups": [dict(zip(("low", "high", "events", "median", "error"), row, strict=True)) for row in groups],
        }


def group_starts(value: Floats, most: int = MOST, smallest: int = SMALLEST) -> NDArray[np.intp]:
    """Where groups start in values that are sorted: equal values stay together, each group has at least `smallest`
    events and an equal share of them as far as that goes, the last one takes what is left over."""
    n = len(value)
    wanted = max(smallest, -(-n // most))
    first = np.flatnonzero(np.diff(value, prepend=-np.inf))
    starts = [0]
    for at in first[1:]:
        if at - starts[-1] >= wanted and n - at >= smallest:
            starts.append(int(at))
    return np.array(starts if n else [], np.intp)


def stability(
    score: NDArray[np.number], value: NDArray[np.number], quantity: str, most: int = MOST, smallest: int = SMALLEST
) -> Stability:
    """The median of scores (n,) against a quantity (n,), NaN where it is not known. Integer scores may be ties: their
    step is added to the width that the density is taken from."""
    known = ~np.isnan(value.astype(np.float64))
    unknown = int((~known).sum())
    x, y = value[known].astype(np.float64), score[known].astype(np.float64)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    starts = group_starts(x, most, smallest)
    pieces = np.split(y, starts[1:]) if len(starts) else []
    events = [len(piece) for piece in pieces]
    medians = np.array([np.median(piece) for piece in pieces])
    low = [float(x[start]) for start in starts]
    high = [float(x[start + n - 1]) for start, n in zip(starts, events, strict=True)]
    found = (quantity, low, high, events, medians.tolist())
    if len(pieces) < 2 or min(events) < smallest:
        reason = f"one group only: {len(y):,} events, {len(np.unique(x)):,} values, {smallest} events in a group"
        return Stability(*found, [0.0] * len(pieces), 0.0, 0.0, 0, 1.0, unknown, reason)
    step = 1.0 if np.issubdtype(score.dtype, np.integer) else 0.0
    inverse_density = _inverse_density(y, step)
    if inverse_density <= 0:
        reason = "the scores around the median are all the same"
        return Stability(*found, [0.0] * len(pieces), 0.0, 0.0, 0, 1.0, unknown, reason)
    error = inverse_density / (2 * np.sqrt(np.array(events)))
    reference = float(np.average(medians, weights=error**-2))
    chi2 = float((((medians - reference) / error) ** 2).sum())
    degrees = len(pieces) - 1
    p = float(chi2_distribution.sf(chi2, degrees))
    return Stability(*found, error.tolist(), reference, chi2, degrees, p, unknown, None)


def _inverse_density(y: Floats, step: float) -> float:
    """1 / f at the median: from two windows, combined so that a density that bends there makes no difference."""

    def width(window: float) -> float:
        return (float(np.subtract(*np.quantile(y, (0.5 + window, 0.5 - window)))) + step) / (2 * window)

    return (4 * width(WINDOW) - width(2 * WINDOW)) / 3


@dataclass(frozen=True)
class StabilityFigure:
    """The picture of it, for `offline.figures.book`. score: name of the score with its axis label."""

    result: Stability
    score: str
    axis: str
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """One row for each group."""
        from offline.figures.hepdata import Table, Variable

        r = self.result
        groups = list(zip(r.low, r.high, strict=True))
        return Table(
            [Variable(self.axis, groups)],
            [Variable(f"median of {self.score}", r.median, errors={"68 %": r.error}), Variable("events", r.events)],
            {"chi2": r.chi2, "degrees of freedom": r.degrees, "p-value": r.p},
        )

    def draw(self) -> Figure:
        """Medians with errors, and the value that they are compared with."""
        from offline.figures.style import COLOURS, INK, label, note, panels

        r = self.result
        figure, (axis,) = panels(size=(7.6, 4.4))
        centre = (np.array(r.low) + np.array(r.high)) / 2
        across = (np.array(r.high) - np.array(r.low)) / 2
        axis.errorbar(centre, r.median, yerr=r.error, xerr=across, fmt="o", color=COLOURS[0], ms=4, lw=1.2)
        if r.reason is None:
            axis.axhline(r.reference, color=INK, lw=1, ls="--")
            note(axis, [f"$\\chi^2$ = {r.chi2:.1f} / {r.degrees}, p = {r.p:.2g}"], y=0.94)
        spread = np.ptp(r.median) + 2 * max(r.error, default=0.0) if r.median else 0.0
        middle = float(np.mean(r.median)) if r.median else 0.0
        half = max(1.2 * spread, 0.02)
        axis.set_ylim(middle - half, middle + half)
        axis.set_xlabel(self.axis)
        axis.set_ylabel(f"median of {self.score}")
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        return figure
