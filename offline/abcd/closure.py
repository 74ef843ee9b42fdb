"""Does the estimate hold? Closure over cuts on both scores, its systematic uncertainty, and what a signal does to it.

Cuts and the systematic uncertainty come from one sample (validation), the closure from another (test). A background
efficiency eps_B is that of the corner A where it says so, and that of each cut in the grid of cuts.

Systematic uncertainty of a pair of cuts: how far estimate and corner differ on the validation sample, or the
statistical uncertainty of that difference where it is larger: less cannot be known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.metrics import efficiency, threshold_at_fpr
from offline.abcd.counts import Counts, count, region_of, significance

CORNERS = (0.005, 0.01, 0.02, 0.03, 0.05)
"""Background efficiencies of the corner."""

TILTS = (1.0, 2.0, 0.5)  # efficiency of the first cut over that of the second
CUTS = (0.005, 0.01, 0.02, 0.03, 0.05)
"""Background efficiencies of each cut, in the grid."""

INJECTED = (0.0005, 0.001, 0.002, 0.005)  # signal events, over those of the background
GOAL = 0.10  # closure within
Scores = NDArray[np.number]


@dataclass(frozen=True, eq=False)
class Sample:
    """Events with both scores (n, 2), their families (n,), weights (n,) or None, and processes (n,)."""

    score: Scores
    parent: NDArray[np.integer] | None = None
    weights: NDArray[np.floating] | None = None
    process: NDArray[np.integer] | None = None

    def __len__(self) -> int:
        return len(self.score)

    def counts(self, cuts: tuple[float, float]) -> Counts:
        return count(self.score, cuts, self.parent, self.weights)


@dataclass(frozen=True)
class Row:
    """A pair of cuts. wanted: eps_B asked for; efficiencies: of both cuts and of the corner, on the test sample;
    ratio: estimate over corner and its statistical uncertainty; systematic: relative, from the validation sample;
    pull: corner minus estimate in units of all uncertainties; within: |ratio - 1| <= `GOAL`."""

    wanted: float
    tilt: float
    cuts: tuple[float, float]
    efficiencies: tuple[float, float, float]
    observed: float
    estimate: tuple[float, float]
    ratio: tuple[float, float]
    systematic: float
    pull: float
    within: bool
    counts: dict[str, Any]


def cut_at(score: NDArray[np.number], share: float) -> float:
    """The lowest score that at most this share of the events (n,) reaches."""
    return threshold_at_fpr(score, share)


def cuts_of_corner(score: Scores, share: float, tilt: float) -> tuple[float, float]:
    """Cuts whose corner keeps a share of events with scores (n, 2), the first cut `tilt` times as many as the second:
    the tightest that keep no less. Raises `InputError` when there are none."""
    low, high = 0.0, 1.0 / max(tilt, 1.0)
    columns = [np.sort(score[:, i]) for i in range(2)]
    n = len(score)

    def cuts(second: float) -> tuple[float, float]:
        one, two = (float(columns[i][n - max(min(round(f * n), n), 1)]) for i, f in enumerate((tilt * second, second)))
        return one, two

    def kept(second: float) -> float:
        one, two = cuts(second)
        return float(np.mean((score[:, 0] >= one) & (score[:, 1] >= two)))

    if kept(high) < share:
        raise InputError("corner", "eps_B", share, f"at most {kept(high):.2g}, with efficiencies of ratio {tilt:g}")
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if kept(middle) >= share else (middle, high)
    return cuts(high)


def systematic_of(counts: Counts) -> float:
    """Relative uncertainty of the estimate that this sample gives: see the module."""
    ratio, error = counts.ratio
    return max(abs(1 / ratio - 1), error / ratio**2)


def row_of(wanted: float, tilt: float, cuts: tuple[float, float], test: Sample, validation: Sample) -> Row | None:
    """Closure of a pair of cuts; None where a region is empty in one of the samples."""
    here, there = test.counts(cuts), validation.counts(cuts)
    if not (here.usable and there.usable and here.n[0] > 0 and there.n[0] > 0):
        return None
    value, error = here.estimate
    ratio, ratio_error = here.ratio
    systematic = systematic_of(there)
    spread = math.hypot(ratio_error * float(here.n[0]), systematic * value)
    return Row(wanted, tilt, (float(cuts[0]), float(cuts[1])), here.efficiencies, float(here.n[0]), (value, error),
               (ratio, ratio_error), systematic, (float(here.n[0]) - value) / spread, abs(ratio - 1) <= GOAL,
               here.document)  # fmt: skip


def corner_table(test: Sample, validation: Sample, shares: Sequence[float] = CORNERS) -> list[Row]:
    """Closure at background efficiencies of the corner, with equal cuts and with tilted ones."""
    rows = [row_of(share, tilt, cuts_of_corner(validation.score, share, tilt), test, validation)
            for share in shares for tilt in TILTS]  # fmt: skip
    return [row for row in rows if row is not None]


def cut_grid(test: Sample, validation: Sample, shares: Sequence[float] = CUTS) -> list[Row]:
    """Closure at all pairs of background efficiencies of the two cuts. `wanted`: of the first; tilt: first / second."""
    rows = []
    for first in shares:
        for second in shares:
            cuts = cut_at(validation.score[:, 0], first), cut_at(validation.score[:, 1], second)
            rows.append(row_of(first, first / second, cuts, test, validation))
    return [row for row in rows if row is not None]


def verdict(rows: Sequence[Row]) -> dict[str, Any]:
    """How the closure of several rows stands to `GOAL`.

    worst: largest |ratio - 1|; compatible: rows no further from `GOAL` than their statistical uncertainty; chi2: of the
    pulls, which are correlated: cuts share events.
    """
    if not rows:
        return {"rows": 0, "within": 0, "compatible": 0, "worst": None, "largest_pull": None}
    off = [abs(row.ratio[0] - 1) for row in rows]
    return {"rows": len(rows), "within": sum(row.within for row in rows),
            "compatible": sum(o - row.ratio[1] <= GOAL for o, row in zip(off, rows, strict=True)),
            "worst": max(off), "largest_pull": max(abs(row.pull) for row in rows)}  # fmt: skip


def by_process(test: Sample, cuts: tuple[float, float], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Where each process lies and whether it closes by itself, which the sum needs not to."""
    assert test.process is not None
    found = []
    for code in np.unique(test.process).tolist():
        chosen = test.process == code
        part = Sample(test.score[chosen], None if test.parent is None else test.parent[chosen],
                      None if test.weights is None else test.weights[chosen])  # fmt: skip
        counts = part.counts(cuts)
        known = counts.usable and counts.n[0] > 0
        found.append({"process": names.get(code, str(code)), "efficiencies": counts.efficiencies,
                      "ratio": counts.ratio if known else None} | counts.document)  # fmt: skip
    return found


def contamination(
    test: Sample, signals: Mapping[str, Scores], cuts: tuple[float, float], systematic: float,
    injected: Sequence[float] = INJECTED,
) -> list[dict[str, Any]]:  # fmt: skip
    """What a signal does: its events stand in all four regions and raise the estimate.

    For each signal and each amount (share of the background sample) the expected counts, the bias of the estimate in
    units of the signal in the corner, and the expected significance with and without the systematic uncertainty. The
    background of the corner is the estimate, so that what does not close is not taken for signal.
    """
    found = test.counts(cuts)
    background = Counts(np.array([found.estimate[0], *found.n[1:]]), found.covariance, found.events)
    rows = []
    for name, score in signals.items():
        regions = np.bincount(region_of(score, cuts), minlength=4) / len(score)
        passed = region_of(score, cuts) == 0
        for share in injected:
            amount = share * float(background.n.sum())
            more = amount * regions
            both = Counts(background.n + more, background.covariance + np.diag(more), background.events)
            estimate, error = both.estimate
            corner = float(both.n[0])
            rows.append({
                "signal": name, "injected": share, "events": amount, "shares": [float(v) for v in regions],
                "corner_efficiency": efficiency(passed), "in_corner": float(more[0]), "observed": corner,
                "estimate": [estimate, error],
                "bias_in_signal": (estimate - background.estimate[0]) / float(more[0]) if more[0] > 0 else None,
                "statistical": significance(corner, estimate, error),
                "significance": significance(corner, estimate, math.hypot(error, systematic * estimate)),
            })  # fmt: skip
    return rows


def documents(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows for a summary."""
    return [asdict(row) for row in rows]
