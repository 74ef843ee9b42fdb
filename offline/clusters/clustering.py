"""Clusters of points: made once from a sample, reproducible from a seed, saved; further events are only assigned.

    kmeans    nearest of K centres (Lloyd; scikit-learn's mini-batches, Sculley, WWW 2010)
    mixture   most probable of K Gaussians with full covariance (expectation maximisation, scikit-learn)
    hdbscan   what is dense at the leaves of the tree of densities (Campello, Moulavi, Sander, PAKDD 2013), made of a
              part of the events: another event belongs to the cluster of its nearest one among these, when it lies no
              farther from it than `REACH` of the cluster's own events from their neighbours; else to none, -1

Nothing looks at whether an event is data or simulation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ad40 import __version__, hdf5
from ad40.errors import HashMismatch, InputError
from ad40.files import read_yaml, sha256_of, write_yaml
from offline.clusters.embedding import Choice, Embedding
from offline.inputs import Inputs
from offline.model import Settings

METHODS = ("kmeans", "mixture", "hdbscan")
CARD, NUMBERS = "clusters.yaml", "clusters.h5"
VERSION = 1
REACH = 0.95
BLOCK = 16384

Floats = NDArray[np.float32]
Integers = NDArray[np.int16]


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """How clusters are made. clusters: of kmeans and mixture; hdbscan finds how many there are."""

    method: str = field(default="kmeans", metadata={"help": "kmeans, mixture or hdbscan", "choices": METHODS})
    clusters: int = field(default=75, metadata={"help": "how many", "least": 2, "most": 1000})
    fit_events: int = field(default=100_000, metadata={"help": "events to make clusters of, at most", "least": 100})
    dense_events: int = field(default=10_000, metadata={"help": "the same for hdbscan", "least": 100, "most": 50_000})
    min_size: int = field(default=50, metadata={"help": "events of a cluster of hdbscan at least", "least": 2})

    @property
    def most_events(self) -> int:
        """Events that clusters are made of, at most."""
        return self.dense_events if self.method == "hdbscan" else self.fit_events


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters, numbered from the largest. centres float32 (K, d).

    arrays, by method: mixture: weights (K,), whitening (K, d, d), log_det (K,); hdbscan: points (m, d), labels (m,),
    reach (K,).
    """

    settings: ClusterSettings
    centres: Floats
    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.centres)

    def assign(self, points: Floats) -> tuple[Integers, Floats]:
        """Cluster int16 (n,), -1 for none, and distance to its centre float32 (n,) of points (n, d); of a mixture in
        standard deviations; where there is no cluster the distance to the nearest centre."""
        if points.ndim != 2 or points.shape[1] != self.centres.shape[1]:
            raise InputError("clusters", "points", points.shape, f"(n, {self.centres.shape[1]})")
        cluster, distance = np.empty(len(points), np.int16), np.empty(len(points), np.float32)
        with threadpool_limits(1):
            found = {"kmeans": self._nearest, "mixture": self._probable, "hdbscan": self._dense}[self.settings.method]
            for start in range(0, len(points), BLOCK):
                block = slice(start, start + BLOCK)
                cluster[block], distance[block] = found(points[block].astype(np.float64))
        return cluster, distance

    def _squares(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        centres = self.centres.astype(np.float64)
        found: NDArray[np.float64] = (x**2).sum(axis=1)[:, None] - 2 * x @ centres.T + (centres**2).sum(axis=1)
        return np.maximum(found, 0)

    def _nearest(self, x: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        squares = self._squares(x)
        cluster = squares.argmin(axis=1)
        return cluster, np.sqrt(np.take_along_axis(squares, cluster[:, None], axis=1)[:, 0])

    def _probable(self, x: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        squares = np.empty((len(x), len(self)))
        for k, (centre, whiten) in enumerate(zip(self.centres, self.arrays["whitening"], strict=True)):
            squares[:, k] = (((x - centre) @ whiten) ** 2).sum(axis=1)
        log = np.log(self.arrays["weights"]) + self.arrays["log_det"] - squares / 2
        cluster = log.argmax(axis=1)
        return cluster, np.sqrt(np.take_along_axis(squares, cluster[:, None], axis=1)[:, 0])

    def _dense(self, x: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        from sklearn.neighbors import KDTree

        squares = self._squares(x)
        distance, nearest = KDTree(self.arrays["points"]).query(x, k=1)
        label = self.arrays["labels"][nearest[:, 0]]
        inside = (label >= 0) & (distance[:, 0] <= self.arrays["reach"][label])
        cluster = np.where(inside, label, -1)
        own = np.where(inside, cluster, squares.argmin(axis=1))
        return cluster, np.sqrt(np.take_along_axis(squares, own[:, None], axis=1)[:, 0])

    @property
    def hash(self) -> str:
        """Of settings and numbers."""
        numbers = {name: np.ascontiguousarray(a).tobytes().hex() for name, a in sorted(self._all.items())}
        return sha256_of([asdict(self.settings), numbers])

    @property
    def _all(self) -> dict[str, NDArray[Any]]:
        return {"centres": self.centres, **self.arrays}


def fit(points: Floats, settings: ClusterSettings) -> Clustering:
    """Clusters of points (n, d). The same points and settings give the same clusters, on any number of threads.

    Raises `InputError` with fewer points than clusters, or where hdbscan finds no cluster.
    """
    random = np.random.default_rng(settings.seed)
    if len(points) > settings.most_events:
        points = points[np.sort(random.choice(len(points), settings.most_events, replace=False))]
    if len(points) <= settings.clusters and settings.method != "hdbscan":
        raise InputError("clusters", "events", len(points), f"more than the {settings.clusters} clusters")
    make = {"kmeans": _kmeans, "mixture": _mixture, "hdbscan": _hdbscan}[settings.method]
    with threadpool_limits(1):
        return make(points, settings)


def _kmeans(points: Floats, settings: ClusterSettings) -> Clustering:
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(settings.clusters, random_state=settings.seed, n_init=3, batch_size=4096, max_iter=50)
    label = found.fit_predict(points.astype(np.float64))
    order = _largest_first(label, settings.clusters)
    return Clustering(settings, found.cluster_centers_[order].astype(np.float32), {})


def _mixture(points: Floats, settings: ClusterSettings) -> Clustering:
    from sklearn.mixture import GaussianMixture

    found = GaussianMixture(settings.clusters, random_state=settings.seed, reg_covar=1e-3, max_iter=100, tol=1e-3)
    order = _largest_first(found.fit_predict(points.astype(np.float64)), settings.clusters)
    whitening = found.precisions_cholesky_[order]
    log_det = np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
    arrays = {"weights": found.weights_[order], "whitening": whitening, "log_det": log_det}
    return Clustering(settings, found.means_[order].astype(np.float32), arrays)


def _hdbscan(points: Floats, settings: ClusterSettings) -> Clustering:
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import KDTree

    found = HDBSCAN(min_cluster_size=settings.min_size, min_samples=5, cluster_selection_method="leaf", copy=True)
    label = found.fit_predict(points.astype(np.float64))
    number = int(label.max()) + 1
    if number < 1:
        raise InputError("clusters", "min_size", settings.min_size, "fewer: no group of so many events is dense")
    order = _largest_first(label[label >= 0], number)
    place = np.empty(number, np.int64)
    place[order] = np.arange(number)
    label = np.where(label >= 0, place[label], -1).astype(np.int16)
    centres = np.stack([points[label == k].mean(axis=0) for k in range(number)])
    apart = KDTree(points).query(points, k=2)[0][:, 1]
    reach = np.array([np.quantile(apart[label == k], REACH) for k in range(number)])
    return Clustering(settings, centres, {"points": points, "labels": label, "reach": reach})


def _largest_first(label: NDArray[np.integer], number: int) -> NDArray[np.intp]:
    return np.argsort(-np.bincount(label, minlength=number), kind="stable")


def save(folder: Path, clustering: Clustering, embedding: Embedding, training: dict[str, Any]) -> None:
    """Write clusters.yaml and clusters.h5. training: what the clusters were made of, for the card."""
    arrays = clustering._all | {f"embedding_{k}": getattr(embedding, k) for k in ("mean", "scale", "axes")}
    with hdf5.create(folder / NUMBERS) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    card = {"version": VERSION, "ad40": __version__, "clusters": len(clustering),
            "settings": asdict(clustering.settings), "embedding": embedding.document, "training": training,
            "hash": clustering.hash}  # fmt: skip
    write_yaml(folder / CARD, card)


def load(folder: Path) -> tuple[Clustering, Embedding]:
    """Read what `save` wrote. Raises `InputError` on a folder of something else, `HashMismatch` on changed numbers."""
    card = read_yaml(folder / CARD)
    if not isinstance(card, dict) or card.get("version") != VERSION:
        found = card.get("version") if isinstance(card, dict) else type(card).__name__
        raise InputError(folder / CARD, "version", found, f"{VERSION}, clusters of `ad40 cluster fit`")
    with hdf5.open_file(folder / NUMBERS) as file:
        arrays = {name: file[name][:] for name in file}
    try:
        numbers = {k: arrays.pop(f"embedding_{k}") for k in ("mean", "scale", "axes")}
        about = card["embedding"]
        embedding = Embedding(Choice(about["kind"], about["model"]), **numbers, model_hash=about["model_hash"])
        clustering = Clustering(ClusterSettings(**card["settings"]), arrays.pop("centres"), arrays)
    except (KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(folder, "clusters", reason, "as `ad40 cluster fit` writes") from error
    for what, found, wanted in (
        ("clusters", clustering.hash, card["hash"]),
        ("embedding", embedding.hash, about["hash"]),
    ):
        if found != wanted:
            raise HashMismatch(folder / NUMBERS, f"hash of the {what}", found[:12], f"{str(wanted)[:12]}, of {CARD}")
    return clustering, embedding


def assign(events: Inputs, clustering: Clustering, embedding: Embedding) -> tuple[Integers, Floats]:
    """Cluster and distance of events: see `Clustering.assign`."""
    return clustering.assign(embedding(events))
