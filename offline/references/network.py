"""References that are dense networks: their inputs, their scales, and a score that is written once (`ops`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.objects import N_INPUTS
from offline.inputs import Inputs, standardised
from offline.model import Arrays
from offline.network import Batch, Ints, Layers, NetworkModel, NetworkSettings
from offline.references.model import InputsModel
from offline.references.ops import Ops, TensorFlow

CLIP = 10.0  # inputs beyond this many widths stand there: no single event decides a training

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DenseSettings(NetworkSettings):
    """Of all of them."""

    epochs: int = field(default=20, metadata={"help": "at most", "least": 1})
    patience: int = field(default=4, metadata={"help": "epochs without a lower validation loss until it stops",
                                               "least": 1})  # fmt: skip
    batch: int = field(default=512, metadata={"help": "events in a step", "least": 2})
    validation: float = field(default=0.1, metadata={"help": "part of the events that decides when to stop",
                                                     "least": 0, "above": True, "most": 0.9})  # fmt: skip
    narrowest: float = field(default=0.1, metadata={"help": "inputs are divided by their width, or by this where it is "
                                                    "smaller", "least": 0, "above": True})  # fmt: skip


class DenseModel(NetworkModel[Inputs], InputsModel):
    """A network on the 57 standardised inputs, each less its mean and divided by its width in the training sample."""

    settings_type = DenseSettings
    settings: DenseSettings
    scale: Floats  # (2, 57): mean and width

    @abstractmethod
    def graph(self, ops: Ops, x: Any) -> Any:
        """The score (n, 1) of standardised inputs (n, 57)."""

    @abstractmethod
    def loss(self, ops: Ops, *batch: Any) -> Any:
        """The loss (n,) of the arrays of `batch`."""

    def scaled(self, ops: Ops, x: Any) -> Any:
        """Inputs in units of their width."""
        return ops.clip((x - self.scale[0]) / self.scale[1], -CLIP, CLIP)

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        ops = TensorFlow()
        return self.loss(ops, *batch), self.graph(ops, batch[0])[:, 0]

    def split(self, data: Inputs) -> tuple[Ints, Ints]:
        """Events of one hard process are on one side."""
        parents, of = np.unique(data.parent, return_inverse=True)
        order = np.random.default_rng([self.settings.seed, 1]).permutation(len(parents))
        held = np.zeros(len(parents), bool)
        held[order[: max(round(self.settings.validation * len(parents)), 1)]] = True
        if held.all():
            expected = "at least 2: some to learn from, some to know when to stop"
            raise InputError(data.source, "hard processes", len(parents), expected)
        return np.flatnonzero(~held[of]), np.flatnonzero(held[of])

    def block(self, data: Inputs, rows: slice) -> Inputs:
        return data.take(rows)

    def prepare(self, data: Inputs) -> Floats:
        return standardised(data.codes)

    def batch(self, inputs: Floats, rows: Ints, random: np.random.Generator | None) -> Batch:
        return [inputs[rows]]

    def signature(self) -> list[Any]:
        import tensorflow as tf

        return [tf.TensorSpec([None, N_INPUTS], tf.float32)]

    def _before(self, data: Inputs, rows: Ints) -> None:
        x = standardised(data.codes[rows]).astype(np.float64)
        self.scale = np.stack([x.mean(axis=0), np.maximum(x.std(axis=0), self.settings.narrowest)]).astype(np.float32)

    def state(self) -> Arrays:
        return super().state() | {"scale": self.scale}

    def restore(self, state: Arrays) -> None:
        self.scale = np.asarray(state["scale"], np.float32)
        if self.scale.shape != (2, N_INPUTS):
            raise ValueError(f"scale of shape {self.scale.shape}")
        super().restore(state)


def chain(net: Layers, sizes: Sequence[int], seeds: Iterator[int]) -> list[Any]:
    """Dense layers from the first size to the last, without activations."""
    return [net.dense(a, b, next(seeds)) for a, b in pairwise(sizes)]


def through(ops: Ops, x: Any, layers: Sequence[Any]) -> Any:
    """Through dense layers with ReLU between them."""
    for layer in layers[:-1]:
        x = ops.relu(ops.dense(x, layer))
    return ops.dense(x, layers[-1])
