"""How many clusters the events support: as many as come out alike from another sample.

For each number, clusters are made of several random halves of the events, and each pair of them sorts the same other
events: the adjusted Rand index (Hubert and Arabie, Journal of Classification 2 (1985) 193) is 1 where they agree on
which events belong together and 0 where they agree as chance would (clustering stability: Ben-Hur, Elisseeff, Guyon,
PSB 2002). Of the numbers whose mean index is at least `SHARE` of the best one's the largest is taken: events without
gaps between them have no number of their own, and more clusters resolve more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.progress import Progress
from offline.clusters.clustering import ClusterSettings, fit

CANDIDATES = (10, 20, 30, 50, 75, 100)
SHARE = 0.8
RESAMPLES, JUDGED = 4, 10_000


def stability(
    points: NDArray[np.float32], settings: ClusterSettings, candidates: Sequence[int] = CANDIDATES,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:  # fmt: skip
    """Mean, least and largest adjusted Rand index between resamples, of each number of clusters of points (n, d).

    hdbscan has no number to choose: its row says how stable it is, and how many clusters it found.
    """
    from sklearn.metrics import adjusted_rand_score

    if settings.method == "hdbscan":
        candidates = (0,)
    if not candidates or resamples < 2:
        raise InputError("stability", "candidates and resamples", (list(candidates), resamples), "some, and at least 2")
    random = np.random.default_rng(settings.seed)
    order = random.permutation(len(points))
    judged = points[order[: min(JUDGED, len(points) // 5)]]
    rest = order[len(judged) :]
    rows = []
    with Progress(len(candidates) * resamples, "stability", "fits") as progress:
        for number in candidates:
            found, sizes = [], []
            for i in range(resamples):
                half = random.choice(rest, len(rest) // 2, replace=False)
                options = replace(settings, seed=settings.seed + i)
                clusters = fit(points[half], replace(options, clusters=number) if number else options)
                found.append(clusters.assign(judged)[0])
                sizes.append(len(clusters))
                progress.update()
            index = [float(adjusted_rand_score(a, b)) for a, b in combinations(found, 2)]
            rows.append({"clusters": number or int(np.median(sizes)), "mean": float(np.mean(index)),
                         "least": min(index), "largest": max(index)})  # fmt: skip
    return rows


def choose(rows: Sequence[dict[str, Any]]) -> int:
    """The largest number of clusters that is about as stable as the most stable one."""
    best = max(row["mean"] for row in rows)
    return int(max(row["clusters"] for row in rows if row["mean"] >= SHARE * best))
