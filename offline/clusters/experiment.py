"""Pseudo-experiments: the whole comparison, from drawing events over making clusters to the global p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.progress import silenced
from offline.clusters import clustering, embedding, expectation, sample
from offline.clusters.clustering import Clustering, ClusterSettings
from offline.clusters.embedding import Choice, Embedding
from offline.clusters.expectation import Comparison, Options
from offline.clusters.sample import Drawn, Sample, Threshold

FIT_PARTS, DATA_PARTS = ("train",), ("validation", "test")
"""Parts of a sample: embeddings are learnt from the first, pseudo-experiments are drawn from the others: those events
the trigger's models have not seen either."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What a pseudo-experiment is. events: expected in data; ratio: of simulation to data; fraction: of the data that
    is signal; replacement: drawn with replacement, else events are split, half of the heaviest for data."""

    events: float = 1_000_000
    ratio: float = 2.0
    fraction: float = 0.005
    replacement: bool = True
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        for name, value, low, high in (("events", self.events, 100, 1e9), ("ratio", self.ratio, 0.01, 1000),
                                       ("fraction", self.fraction, 0, 0.5)):  # fmt: skip
            if not low <= value <= high:
                raise InputError("command line", name, value, f"from {low:g} to {high:g}")


@dataclass(frozen=True, eq=False)
class Pool:
    """Triggered events that pseudo-experiments are drawn from, background first, and their points float32 (n, d)."""

    sample: Sample
    points: NDArray[np.float32]
    embedding: Embedding
    signals: dict[int, str]
    files: dict[str, Path]


def pool(background: Path, signals: Sequence[Path], seed: Threshold | None, choice: Choice, random_seed: int = 40,
         fit_events: int = 50_000, weighted: bool = True) -> Pool:  # fmt: skip
    """Read background and signals, learn the embedding from the train part of the background."""
    names = [path.stem for path in signals]
    if len(set(names)) != len(names):
        raise InputError("command line", "signals", ", ".join(names), "files of different names")
    learn = sample.parts(background, seed, FIT_PARTS).events
    random = np.random.default_rng(random_seed)
    if len(learn) > fit_events:
        learn = learn.take(np.sort(random.choice(len(learn), fit_events, replace=False)))
    turned, _ = embedding.learn(choice, learn)
    found = [sample.parts(background, seed, DATA_PARTS, weighted)]
    for number, path in enumerate(signals, 1):
        one = sample.triggered(path, seed)
        found.append(replace(one, label=np.full(len(one), number, np.uint8)))
    whole = sample.joined(found)
    files = dict(zip(["background", *names], [background, *signals], strict=True))
    return Pool(whole, turned(whole.events), turned, dict(enumerate(names, 1)), files)


@dataclass(frozen=True, eq=False)
class Experiment:
    """One pseudo-experiment: what was drawn, the clusters made of it, cluster and distance of each event of the pool,
    and the comparison."""

    drawn: Drawn
    clusters: Clustering
    cluster: NDArray[np.int16]
    distance: NDArray[np.float32]
    comparison: Comparison


def experiment(pool: Pool, plan: Plan, signal: int, seeds: Sequence[int]) -> Experiment:
    """The pseudo-experiment of a number, such as (40, 7), with the signal of this label, 0 for none.

    Clusters are made of the events drawn, data and simulation together, without knowing which is which.
    """
    random = np.random.default_rng([*seeds])
    if plan.replacement:
        share = plan.fraction if signal else 0.0
        copies = sample.injected(pool.sample, signal, plan.events * share, random) if signal else None
        drawn = sample.draw(pool.sample, plan.events * (1 - share), plan.ratio, random, copies)
    else:
        drawn = sample.split(pool.sample, 0.5, random)
        if signal:
            wanted = plan.fraction / (1 - plan.fraction) * drawn.data.sum()
            copies = sample.injected(pool.sample, signal, wanted, random)
            drawn = replace(drawn, data=drawn.data + copies)
    settings = replace(plan.settings, seed=int(random.integers(1 << 31)))
    both = drawn.data + drawn.simulation
    clusters = clustering.fit(chosen(pool.points, both, settings.most_events, random), settings)
    token = silenced.set(True)
    try:
        cluster, distance = clusters.assign(pool.points)
    finally:
        silenced.reset(token)
    counts = expectation.count(cluster, len(clusters), drawn.data, drawn.simulation, drawn.weight)
    return Experiment(drawn, clusters, cluster, distance, expectation.compare(counts, plan.options, random))


def chosen(
    points: NDArray[np.float32], copies: NDArray[np.integer], most: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Points of at most `most` of the copies (n,) of events, with points (n, d), in random order."""
    rows = np.repeat(np.arange(len(points)), copies)
    return points[random.permutation(rows) if len(rows) <= most else random.choice(rows, most, replace=False)]


def describe(found: Experiment, pool: Pool, signal: int) -> dict[str, Any]:
    """The figures of a pseudo-experiment for JSON: where the signal is beside what was found."""
    best, counts = found.comparison.best, found.comparison.counts
    summary: dict[str, Any] = {
        "p": float(found.comparison.global_p[best]), "z": expectation.sigma(found.comparison.global_p[best]),
        "local_z": expectation.sigma(found.comparison.local_p[best]), "cluster": best,
        "observed": int(counts.observed[best]), "expected": float(found.comparison.mean[best]),
    }  # fmt: skip
    if signal:
        copies = np.where(pool.sample.label == signal, found.drawn.data, 0)
        inside = copies[np.where(found.cluster < 0, len(found.clusters), found.cluster) == best].sum()
        summary |= {"signal": int(copies.sum()), "signal_in_cluster": int(inside)}
    return summary
