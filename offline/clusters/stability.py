"""How many clusters the events support: the most whose clusters come out alike from another sample.

For each number, clusters are made of several random halves of the events, and each pair of them sorts the same other
events: the adjusted Rand index (Hubert and Arabie, Journal of Classification 2 (1985) 193) is 1 where they agree on
which events belong together and 0 where they agree as chance would (clustering stability: Ben-Hur, Elisseeff, Guyon,
PSB 2002). It falls with the number; the largest number whose mean is at least `least` is taken.
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
LEAST = 0.5
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


def choose(rows: Sequence[dict[str, Any]], least: float = LEAST) -> int:
    """The largest number of clusters whose mean index is at least `least`; the most stable one if there is none."""
    stable = [row["clusters"] for row in rows if row["mean"] >= least]
    return int(max(stable)) if stable else int(max(rows, key=lambda row: row["mean"])["clusters"])
