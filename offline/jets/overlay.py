"""Jets with several hard cores, made of ordinary ones: examples of what is not ordinary, without a label or a signal.

A network that only learns to describe ordinary jets calls anomalous whatever it describes badly, most of all wide
jets of many constituents. Shown outliers as well, it learns what to look at (outlier exposure, arXiv 1812.04606; for
one-class networks arXiv 2006.00339; anomalies made by augmentation of jets: arXiv 2301.04660). Ours know of signals
only that they may have two or three cores: the constituents around the hardest one of a jet and those of another jet,
laid side by side at the distance that gives a mass drawn evenly in its logarithm between those of ordinary jets, the
pt shared at random, among the soft constituents that the first jet has around its core. Angles inside a core are not
changed, so that the granularity of the detector gives nothing away, and an overlaid jet has no more constituents than
the first of the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.jets.jets import starts_of
from offline.jets.nodes import Nodes, relative_mass

SHARES = (0.2, 0.8)  # of the pt that the first core gets: below, there is hardly a second
CORES = (0.3, 1.0)  # radius of a core over the distance of the two
DISTANCES = (0.05, 1.6)  # of two cores: those that a jet of R = 1 can resolve, and hold
SOFT = 0.01  # pt fraction of constituents of the first jet that stay where they are, outside of its core
THREE = 1 / 3  # part of the overlaid jets that get a third core
MASSES = (0.02, 0.98)  # quantiles of the masses over pt of the training jets between which masses are drawn
LEAST_MASS = 1e-3

Floats = NDArray[np.float64]


def masses_of(jets: Nodes) -> Floats:
    """Lowest and highest mass over pt to draw, float64 (2,)."""
    return np.maximum(np.quantile(relative_mass(jets), MASSES), LEAST_MASS)


def drawn(masses: Floats, n: int, random: np.random.Generator) -> Floats:
    """Masses over pt float64 (n,), evenly in their logarithm."""
    return np.asarray(np.exp(random.uniform(*np.log(masses), n)))


def overlaid(first: Nodes, other: Nodes, masses: Floats, random: np.random.Generator) -> Nodes:
    """n jets, each the core of one of `first` beside that of one of `other`. masses: over pt, float64 (n,)."""
    n = len(first)
    share = random.uniform(*SHARES, n)
    distance = np.clip(masses / np.sqrt(share * (1 - share)), *DISTANCES)
    direction = random.uniform(0, 2 * np.pi, n)
    values, owners = [], []
    for jets, part, side in ((first, share, 1 - share), (other, 1 - share, -share)):
        owner, z = jets.owner, jets.values[:, 0].astype(np.float64)
        hardest = jets.offsets[:-1][owner]
        eta, phi = (jets.values[:, c].astype(np.float64) - jets.values[hardest, c] for c in (1, 2))
        inside = np.hypot(eta, phi) < (random.uniform(*CORES, n) * distance)[owner]
        angle = random.uniform(0, 2 * np.pi, n)[owner]
        place = side * distance
        turned = (
            z * (part / np.bincount(owner, z * inside, n))[owner],
            eta * np.cos(angle) - phi * np.sin(angle) + (place * np.cos(direction))[owner],
            eta * np.sin(angle) + phi * np.cos(angle) + (place * np.sin(direction))[owner],
        )
        values.append(np.stack(turned, axis=1)[inside])
        owners.append(owner[inside])
        if jets is first:
            around = ~inside & (z < SOFT)
            values.append(np.stack([z, eta, phi], axis=1)[around])
            owners.append(owner[around])
    was = np.bincount(first.owner, first.values[:, 0].astype(np.float64), n)
    return _gathered(np.concatenate(values), np.concatenate(owners), first.counts, was)


def _gathered(values: Floats, owner: NDArray[np.int64], most: NDArray[np.int64], total: Floats) -> Nodes:
    """Jets of unordered constituents: the `most` (n,) hardest of each, the sum of pt as told, and centred."""
    n = len(most)
    order = np.lexsort((-values[:, 0], owner))
    values, owner = values[order], owner[order]
    counts = np.bincount(owner, minlength=n)
    rank = np.arange(len(owner)) - np.repeat(starts_of(counts)[:-1], counts)
    kept = rank < np.maximum(most, 2)[owner]
    values, owner = values[kept], owner[kept]
    values[:, 0] *= (total / np.bincount(owner, values[:, 0], n))[owner]
    for c in (1, 2):
        values[:, c] -= (np.bincount(owner, values[:, 0] * values[:, c], n) / total)[owner]
    return Nodes(starts_of(np.bincount(owner, minlength=n)), values.astype(np.float32))


def outliers(jets: Nodes, n: int, masses: Floats, random: np.random.Generator) -> Nodes:
    """n overlaid jets of some jets, a part of them of three cores. masses: lowest and highest, as of `masses_of`."""

    def some(k: int) -> Nodes:
        return jets.take(random.integers(0, len(jets), k))

    two = overlaid(some(n), some(n), drawn(masses, n, random), random)
    k = round(THREE * n)
    if not k:
        return two
    three = overlaid(some(k), two.take(np.arange(k)), drawn(masses, k, random), random)
    return joined(three, two.take(np.arange(k, n)))


def joined(one: Nodes, other: Nodes) -> Nodes:
    """The jets of both."""
    return Nodes(np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]]),
                 np.concatenate([one.values, other.values]))  # fmt: skip


def exposed(
    jets: Nodes, given: Nodes, share: float, masses: Floats, random: np.random.Generator | None
) -> tuple[Nodes, NDArray[np.float32]]:
    """Jets with outliers made of `given` behind them, `share` as many; and which are: float32, 1 for an outlier.

    random None: none are added, as for scores.
    """
    n = round(share * len(given)) if random is not None else 0
    made = np.concatenate([np.zeros(len(jets), np.float32), np.ones(n, np.float32)])
    if random is None or not n:
        return jets, made
    return joined(jets, outliers(given, n, masses, random)), made


def loss(distance: Any, made: Any) -> Any:
    """Small for ordinary jets close by and for outliers far away: h = distance of the one, -ln(1 - exp(-h)) of the
    other (the hypersphere classifier, arXiv 2006.00339). Tensors (n,), distance from 0."""
    import tensorflow as tf

    return (1.0 - made) * distance - made * tf.math.log(1.0 - tf.exp(-distance) + 1e-6)
