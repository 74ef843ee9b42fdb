"""Score and mass: how much a score knows of the mass, how a cut on it shapes the spectrum, and how to take it out.

A search for a bump in the mass of a jet needs a score that does not make one: one that follows the mass carves the
background into a peak wherever the cut bites.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.metrics import threshold_at_fpr

KEPT = (0.1, 0.01)
"""Parts of the background whose spectrum is compared with that of all."""

BINS = 40  # of the spectrum
EDGES = (0.001, 0.999)  # quantiles between which the bins lie; what is outside counts in the outer ones
MOST = 2000  # jets of a distance correlation: its cost is their square
SELECTIONS = 200  # random ones, for what a divergence is without any sculpting
NEIGHBOURS = 200  # jets of similar mass that a rank is taken among, at least

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Of score and mass: Pearson's and Spearman's coefficients, and the distance correlation, which is 0 only for
    independence (Szekely, Rizzo, Bakirov, Ann. Statist. 35 (2007) 2769)."""

    pearson: float
    spearman: float
    distance: float


@dataclass(frozen=True)
class Sculpting:
    """kept: the part of the background that passes; divergence: Jensen-Shannon divergence of its mass spectrum from
    that of all [bits, 0 to 1]; floor: its mean for as many events chosen at random, which are not sculpted at all."""

    kept: float
    events: int
    divergence: float
    floor: float


def correlation(score: NDArray[np.floating], mass: NDArray[np.floating], seed: int = 40) -> Correlation:
    """Correlations of n scores and masses; a constant has none with anything. n from 3."""
    x, y = _two(score, mass)
    chosen = np.random.default_rng(seed).permutation(len(x))[:MOST]
    return Correlation(_pearson(x, y), _pearson(_ranks(x), _ranks(y)), distance_correlation(x[chosen], y[chosen]))


def _two(score: NDArray[np.floating], mass: NDArray[np.floating]) -> tuple[Floats, Floats]:
    x, y = np.asarray(score, np.float64), np.asarray(mass, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise InputError("correlation", "scores and masses", f"of shapes {x.shape}, {y.shape}", "as many, 3 or more")
    return x, y


def _pearson(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def _ranks(x: Floats) -> Floats:
    """Ranks, of equal values their mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def distance_correlation(x: Floats, y: Floats) -> float:
    """0 to 1, of n pairs; its cost is n^2."""

    def centred(v: Floats) -> Floats:
        d = np.abs(v[:, None] - v[None])
        return np.asarray(d - d.mean(axis=0) - d.mean(axis=1)[:, None] + d.mean())

    a, b = centred(x), centred(y)
    size = np.sqrt(np.mean(a * a) * np.mean(b * b))
    return float(np.sqrt(max(np.mean(a * b), 0.0) / size)) if size > 0 else 0.0


def sculpting(
    score: NDArray[np.floating], mass: NDArray[np.floating], kept: float, seed: int = 40
) -> Sculpting:  # fmt: skip
    """How a cut that keeps a part of these background jets or events changes their mass spectrum."""
    x, y = _two(score, mass)
    if not 0 < kept < 1:
        raise InputError("sculpting", "kept", kept, "a part between 0 and 1")
    passed = x >= threshold_at_fpr(x, kept)
    n = int(passed.sum())
    edges = np.unique(np.quantile(y, np.linspace(*EDGES, BINS + 1)))
    if n == 0 or len(edges) < 3:
        return Sculpting(kept, n, float("nan") if n == 0 else 0.0, 0.0)
    place = np.clip(np.searchsorted(edges, y, side="right") - 1, 0, len(edges) - 2)
    every = np.bincount(place, minlength=len(edges) - 1)
    random = np.random.default_rng(seed)
    floor = np.mean([jensen_shannon(random.multivariate_hypergeometric(every, n), every) for _ in range(SELECTIONS)])
    return Sculpting(kept, n, jensen_shannon(np.bincount(place[passed], minlength=len(every)), every), float(floor))


def jensen_shannon(one: NDArray[np.number], other: NDArray[np.number]) -> float:
    """Jensen-Shannon divergence of two histograms [bits]: 0 for equal shapes, 1 for no bin in common."""
    p, q = one / np.sum(one), other / np.sum(other)
    middle = (p + q) / 2

    def divergence(a: Floats) -> float:
        some = a > 0
        return float(np.sum(a[some] * np.log2(a[some] / middle[some])))

    return max((divergence(p) + divergence(q)) / 2, 0.0)


def flat_in_mass(
    score: NDArray[np.floating], mass: NDArray[np.floating], fold: NDArray[np.integer], neighbours: int = NEIGHBOURS
) -> NDArray[np.float32]:
    """A score that the mass says nothing about: -ln(1 - rank) of each score among those of similar mass. float32 (n,).

    The ranks are taken, without labels, among the jets of other folds, so that no jet decides on itself. fold: (n,),
    two values or more; give both jets of an event the same. First the trend is taken out: the median of the score,
    and its width, change linearly from one group of masses to the next, and beyond the outer ones. Then the rest is
    ranked in the groups, interpolated between neighbouring ones. A rank is not resolved beyond 1 / neighbours, where
    the excess over the highest of the group, in units of the group's spread, goes on.
    """
    x, y = _two(score, mass)
    out = np.empty(len(x), np.float32)
    values = np.unique(fold)
    if len(values) < 2:
        raise InputError("decorrelation", "folds", len(values), "2 or more")
    for value in values:
        mine = fold == value
        out[mine] = _ranked(x[mine], y[mine], x[~mine], y[~mine], neighbours)
    return out


def _ranked(x: Floats, y: Floats, x0: Floats, y0: Floats, neighbours: int) -> Floats:
    groups = max(len(x0) // neighbours, 1)
    order = np.argsort(y0, kind="stable")
    parts = np.array_split(order, groups)
    centres = np.array([np.median(y0[part]) for part in parts])
    quantiles = np.array([np.quantile(x0[part], (0.16, 0.5, 0.84)) for part in parts])  # (groups, 3)
    middles, widths = quantiles[:, 1], (quantiles[:, 2] - quantiles[:, 0]) / 2

    def between(y: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """The groups below and above, and how far from the one to the other: below 0 or above 1 outside of all."""
        low = np.clip(np.searchsorted(centres, y, side="right") - 1, 0, max(groups - 2, 0))
        high = np.minimum(low + 1, groups - 1)
        return low, high, (y - centres[low]) / np.maximum(centres[high] - centres[low], 1e-12) * (high > low)

    def rest(x: Floats, y: Floats) -> Floats:
        low, high, way = between(y)
        middle = middles[low] + way * (middles[high] - middles[low])
        width = widths[low] + way * (widths[high] - widths[low])
        return np.asarray((x - middle) / np.maximum(width, max(float(widths.min()) / 2, 1e-12)))

    r, r0 = rest(x, y), rest(x0, y0)
    low, high, way = between(y)
    weight = np.clip(way, 0.0, 1.0)
    out = np.zeros(len(x))
    for g, part in enumerate(parts):
        tail = _Tail.of(np.sort(r0[part]))
        for index, share in ((low, 1 - weight), (high, weight)):
            here = (index == g) & (share > 0)
            out[here] += share[here] * tail(r[here])
    return out


@dataclass(frozen=True)
class _Tail:
    """-ln of the part of a group's scores that are at least as large."""

    ordered: Floats
    spread: float

    @classmethod
    def of(cls, ordered: Floats) -> _Tail:
        low, high = np.quantile(ordered, (0.16, 0.84))
        return cls(ordered, float(high - low) / 2 or 1.0)

    def __call__(self, x: Floats) -> Floats:
        n = len(self.ordered)
        above = n - np.searchsorted(self.ordered, x, side="left")
        beyond = np.maximum(x - self.ordered[-1], 0.0) / self.spread
        return np.asarray(-np.log((above + 1) / (n + 1)) + np.log1p(beyond))


def summary(score: NDArray[np.floating], mass: NDArray[np.floating]) -> dict[str, object]:
    """Correlations and sculpting of background, for a document."""
    return {"correlation": asdict(correlation(score, mass)),
            "sculpting": [asdict(sculpting(score, mass, kept)) for kept in KEPT]}  # fmt: skip
