"""From an event to a point whose distances mean something: what clusters are made in.

    features    quantities of the event (`offline.clusters.features`)
    latent      outputs of every layer of a trigger model, as its integer emulator computes them
    rmm         the rapidity-mass matrix of the event (arXiv:1805.11650)
    reference   the embedding of a reference model on the 57 inputs, such as the contrastive one (2301.04660)

Columns are then standardised and turned to uncorrelated axes of unit variance (principal components, those that hold
`KEPT` of the variance, at most `MOST`), so that no unit or repeated column decides what is near. The turning is learnt
from the events that clusters are made of, without their labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import sha256_of
from ad40.model import read_model
from ad40.progress import Progress
from offline.clusters import features
from offline.inputs import Inputs

KINDS = ("features", "latent", "rmm", "reference")
KEPT, MOST = 0.99, 20
BLOCK = 16384  # events at a time

Floats = NDArray[np.float32]
Raw = Callable[[Inputs], Floats]


@dataclass(frozen=True)
class Choice:
    """Which embedding. model: of the trigger, for `latent`; a folder of `ad40 reference train`, for `reference`."""

    kind: str = "features"
    model: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("command line", "embedding", self.kind, "one of " + ", ".join(KINDS))
        if (self.kind in ("latent", "reference")) != bool(self.model):
            expected = "a model" if not self.model else f"no model: {self.kind} has none"
            raise InputError("command line", f"model of the embedding {self.kind}", self.model or "missing", expected)

    def source(self) -> tuple[Raw, str]:
        """What computes the columns of events, and the hash of the model behind it ("" if there is none)."""
        if self.kind == "features":
            return lambda events: features.features(events.codes), ""
        if self.kind == "rmm":
            return _rmm, ""
        if self.kind == "latent":
            model = read_model(self.model)
            emulator = model.trigger.emulators[0]
            return lambda events: emulator.activations(events.codes), model.network.hash
        from offline.references.model import load  # Keras: only where it is used

        reference = load(Path(self.model))
        if not hasattr(reference, "embed"):
            raise InputError(self.model, "kind", reference.kind, "a model with an embedding: contrastive")
        return lambda events: np.asarray(reference.embed(events), np.float32), reference.hash


@dataclass(frozen=True, eq=False)
class Embedding:
    """A learnt embedding. mean, scale float64 (c,) of the columns; axes float64 (c, d): principal components, divided
    by their standard deviation. model_hash: of the model behind it, "" if there is none."""

    choice: Choice
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    model_hash: str

    def __call__(self, events: Inputs) -> Floats:
        """Points of events, float32 (n, d). Raises `InputError` where the model is another than the one learnt with."""
        source, found = self.choice.source()
        if found != self.model_hash:
            raise InputError(self.choice.model, "hash of the model", found[:12], f"{self.model_hash[:12]}, of the fit")
        points = np.empty((len(events), self.axes.shape[1]), np.float32)
        with Progress(len(events), "embed") as progress:
            for start in range(0, len(events), BLOCK):
                block = source(events.take(slice(start, start + BLOCK)))
                points[start : start + BLOCK] = self.turned(block)
                progress.update(len(block))
        return points

    def turned(self, columns: NDArray[np.floating]) -> Floats:
        """Points float32 (n, d) of columns (n, c)."""
        found: Floats = (((columns - self.mean) / self.scale) @ self.axes).astype(np.float32)
        return found

    @property
    def document(self) -> dict[str, Any]:
        """For JSON and cards."""
        return {"kind": self.choice.kind, "model": self.choice.model, "model_hash": self.model_hash,
                "columns": len(self.mean), "axes": self.axes.shape[1], "hash": self.hash}  # fmt: skip

    @property
    def hash(self) -> str:
        """Of the kind, the model and the numbers."""
        numbers = [np.ascontiguousarray(a).tobytes().hex() for a in (self.mean, self.scale, self.axes)]
        return sha256_of([self.choice.kind, self.model_hash, *numbers])


def learn(choice: Choice, events: Inputs) -> tuple[Embedding, Floats]:
    """The embedding learnt from events, and their points. Raises `InputError` when all events are alike."""
    source, model_hash = choice.source()
    columns = np.concatenate([source(events.take(slice(i, i + BLOCK))) for i in range(0, len(events), BLOCK)])
    mean, scale, axes = whitening(columns)
    found = Embedding(choice, mean, scale, axes, model_hash)
    return found, found.turned(columns)


def whitening(columns: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """mean (c,), scale (c,) and axes (c, d) of columns (n, c): see `Embedding`. Columns that never change are left
    out."""
    mean = columns.mean(axis=0, dtype=np.float64)
    scale = columns.std(axis=0, dtype=np.float64)
    alive = scale > 1e-6
    if not alive.any():
        raise InputError("embedding", "columns", "the same for all events", "events that differ")
    scale = np.where(alive, scale, 1.0)
    standard = (columns - mean) / scale
    covariance = standard.T @ standard / len(columns)
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1], vectors[:, ::-1]
    share = np.cumsum(variance) / variance.sum()
    d = min(int(np.searchsorted(share, KEPT)) + 1, MOST, int((variance > 1e-8).sum()))
    vectors = vectors[:, :d] * np.sign(vectors[np.abs(vectors[:, :d]).argmax(axis=0), np.arange(d)])
    return mean, scale, vectors / np.sqrt(variance[:d])


def _rmm(events: Inputs) -> Floats:
    from offline.clusters.matrices import matrices  # numba: only where it is used

    return matrices(events.codes)
