"""A contrastive autoencoder, after AnomalyCLR (arXiv 2301.04660).

An encoder gives each event a few numbers, its embedding; a head makes a direction z of them. Two views of an event
(`augment`) learn to point the same way, and another way than the event made anomalous, and, with `negatives`, than
other events: the loss of an event z with its view z', its anomaly z* and the others z_j of the batch is

    -[s(z, z') - s(z, z*)] / tau + ln sum_j [exp(s(z, z_j) / tau) + exp(s(z, z'_j) / tau)],   s: cosine

where the sum is left out with `negatives=0` (AnomCLR+ of the paper). An autoencoder of the embedding learns beside it,
and does not change the encoder. Score: ln of its mean squared error. `embed` gives the embedding, for whoever wants to
know which events are alike. The paper's encoder is a transformer over the objects; this one is dense.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ad40.errors import InputError
from ad40.objects import N_INPUTS
from offline.inputs import Inputs
from offline.network import BLOCK, Batch, Ints, Layers
from offline.references.augment import anomaly, view
from offline.references.network import DenseModel, DenseSettings, Floats, chain, through
from offline.references.ops import Ops, TensorFlow


@dataclass(frozen=True)
class ContrastiveSettings(DenseSettings):
    """Of the contrastive autoencoder."""

    hidden: int = field(default=128, metadata={"help": "neurons of the two hidden layers of the encoder", "least": 2})
    dimensions: int = field(default=16, metadata={"help": "of the embedding", "least": 2})
    latent: int = field(default=4, metadata={"help": "neurons in the middle of the autoencoder", "least": 1})
    temperature: float = field(default=0.2, metadata={"help": "tau of the loss", "least": 0, "above": True})
    negatives: int = field(default=1, metadata={"help": "1: other events point other ways; 0: only anomalies do",
                                                "choices": (0, 1)})  # fmt: skip


class ContrastiveAutoencoder(DenseModel):
    """Encoder and autoencoder, loss and score: see the module."""

    kind, about = "contrastive", "contrastive embedding of the 57 inputs, and the error of an autoencoder of it"
    settings_type = ContrastiveSettings
    settings: ContrastiveSettings

    def build(self, seeds: Iterator[int]) -> Any:
        net, own = Layers(), self.settings
        self._encoder = chain(net, [N_INPUTS, own.hidden, own.hidden, own.dimensions], seeds)
        self._head = chain(net, [own.dimensions, own.dimensions, own.dimensions], seeds)
        sizes = [own.dimensions, 2 * own.dimensions, own.latent]
        self._inner, self._outer = chain(net, sizes, seeds), chain(net, sizes[::-1], seeds)
        return net

    def batch(self, inputs: Floats, rows: Ints, random: np.random.Generator | None) -> Batch:
        x = inputs[rows]
        return [x, x, x] if random is None else [x, view(x, random), anomaly(x, random)]

    def signature(self) -> list[Any]:
        return super().signature() * 3

    def _embedding(self, ops: Ops, x: Any) -> Any:
        return through(ops, self.scaled(ops, x), self._encoder)

    def _direction(self, ops: Ops, x: Any) -> Any:
        z = through(ops, ops.relu(x), self._head)
        return z / ops.sqrt(ops.sum(ops.square(z)) + 1e-12)

    def _error(self, ops: Ops, x: Any) -> Any:
        y = through(ops, ops.relu(through(ops, x, self._inner)), self._outer)
        return ops.mean(ops.square(y - x))

    def loss(self, ops: Ops, *batch: Any) -> Any:
        import tensorflow as tf

        embedded = [self._embedding(ops, x) for x in batch]
        z, other, bad = (self._direction(ops, x) for x in embedded)
        tau = self.settings.temperature
        found = (tf.reduce_sum(z * bad, axis=1) - tf.reduce_sum(z * other, axis=1)) / tau
        if self.settings.negatives:
            own = tf.eye(tf.shape(z)[0]) * -1e9  # not the event itself
            found += tf.reduce_logsumexp(tf.concat([z @ tf.transpose(z) / tau + own,
                                                    z @ tf.transpose(other) / tau + own], axis=1), axis=1)  # fmt: skip
        x = tf.stop_gradient(embedded[0])
        return found + self._error(ops, x)[:, 0] / (tf.reduce_mean(tf.math.reduce_variance(x, axis=0)) + 1e-9)

    def graph(self, ops: Ops, x: Any) -> Any:
        return ops.log(self._error(ops, self._embedding(ops, x)) + 1e-9)

    def embed(self, inputs: Inputs) -> Floats:
        """The embedding float32 (n, dimensions) of events. Raises `InputError` before `fit`."""
        if not self.fitted:
            raise InputError(self.kind, "model", "not fitted", "fit or load before embed")
        ops, pieces = TensorFlow(), [np.zeros((0, self.settings.dimensions), np.float32)]
        for start in range(0, len(inputs), BLOCK):
            x = self.prepare(inputs.take(slice(start, start + BLOCK)))
            pieces.append(self._embedding(ops, x).numpy())
        return np.concatenate(pieces)
