"""Transformer autoencoder of the constituents of a jet, trained with the mean squared error (after arXiv 1903.02032 and
the use of transformers for jets at EuCAIFCon 2025).

Encoder: each constituent a token, self-attention among the tokens of the jet, then their mean squeezed into a few
numbers. Decoder: the same number of tokens, each from those few numbers and its rank in pt, self-attention, and back
to (pt fraction, eta, phi). Without the squeeze, attention would copy its input and nothing were anomalous. The error
is averaged over the constituents that exist, weighted by pt. Jets are turned to their longest axis first. The squared
length of the few numbers is added, which keeps ordinary jets near 0 (a regularised autoencoder, arXiv 1903.12436).
Score: ln of the sum. With `weighted=0`, `code=0` and `exposure=0` it is the plain mean squared error.

Outliers: half as many jets with several cores, made of the training jets themselves (`offline.jets.overlay`), are to
have a large error. With `exposure=0` nothing is shown but jets.

Batches hold jets of similar length and are padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.autoencoder.networks import keras
from offline.jets.jets import Jets
from offline.jets.model import Arrays
from offline.jets.network import Batch, Ints, Layers, NetworkModel, NetworkSettings
from offline.jets.nodes import Nodes, nodes
from offline.jets.overlay import exposed, masses_of
from offline.jets.overlay import loss as exposed_loss

SCALE = np.array([10.0, 5.0, 5.0], np.float32)  # of pt fraction, eta, phi: numbers of order one


@dataclass(frozen=True)
class TransformerSettings(NetworkSettings):
    """Of the transformer."""

    epochs: int = field(default=16, metadata={"help": "at most", "least": 1})
    batch: int = field(default=64, metadata={"help": "jets in a step", "least": 1})
    learning_rate: float = field(default=1e-3, metadata={"help": "of Adam", "least": 0, "above": True, "most": 1})
    constituents: int = field(default=20, metadata={"help": "of a jet, the hardest, at most", "least": 2})
    width: int = field(default=32, metadata={"help": "numbers of a token; a multiple of the heads", "least": 2})
    heads: int = field(default=4, metadata={"help": "of each attention", "least": 1})
    layers: int = field(default=1, metadata={"help": "of the encoder, and of the decoder", "least": 1})
    latent: int = field(default=12, metadata={"help": "numbers between encoder and decoder", "least": 1})
    weighted: int = field(default=1, metadata={"help": "1: the mean over constituents is weighted by pt; 0: plain",
                                               "choices": (0, 1)})  # fmt: skip
    code: float = field(default=0.3, metadata={"help": "of the squared length of the numbers in the middle, in the "
                                               "loss and in the score", "least": 0})  # fmt: skip
    exposure: float = field(default=1.0, metadata={"help": "outliers made of training jets, for each jet", "least": 0,
                                                   "most": 10})  # fmt: skip


class TransformerAutoencoder(NetworkModel):
    """The network, its loss and its score: see the module."""

    kind, about = "transformer", "transformer autoencoder of the constituents, ln of the mean squared error"
    settings_type = TransformerSettings
    settings: TransformerSettings
    masses: NDArray[np.float64]

    def build(self, seeds: Iterator[int]) -> Any:
        k, net, own = keras(), Layers(), self.settings
        width = own.width

        def dense(inputs: int, units: int, activation: str | None = None) -> Any:
            return net.dense(inputs, units, next(seeds), activation)

        def block() -> dict[str, Any]:
            # with a seed of its own Keras would start query, key and value alike: it takes the global one, set by fit
            attention = net.add(k.layers.MultiHeadAttention(own.heads, max(width // own.heads, 1)))
            attention.build((None, None, width), (None, None, width))
            norms = [net.add(k.layers.LayerNormalization(epsilon=1e-5)) for _ in range(2)]
            for norm in norms:
                norm.build((None, None, width))
            return {"attention": attention, "norms": norms,
                    "dense": [dense(width, 2 * width, "gelu"), dense(2 * width, width)]}  # fmt: skip

        self._token, self._encoder = dense(3, width), [block() for _ in range(own.layers)]
        self._squeeze, self._expand = dense(width, own.latent), dense(own.latent, width)
        start = k.initializers.RandomNormal(0, 0.5, next(seeds))
        self._rank = net.add(k.layers.Embedding(own.constituents, width, embeddings_initializer=start))
        self._rank.build((None,))
        self._decoder, self._rebuilt = [block() for _ in range(own.layers)], dense(width, 3)
        return net

    def prepare(self, jets: Jets) -> Nodes:
        return nodes(jets, self.settings.constituents, turn=True)

    def begin(self, inputs: Nodes, rows: Ints) -> None:
        self.masses = masses_of(inputs.take(rows))

    def lengths(self, inputs: Nodes) -> Ints:
        return inputs.counts

    def batch(self, inputs: Nodes, rows: Ints, random: np.random.Generator | None) -> Batch:
        some = inputs.take(rows)
        some, made = exposed(some, some, self.settings.exposure, self.masses, random)
        values, mask = some.padded(int(some.counts.max()))
        return [values * SCALE, mask, made]

    def signature(self) -> list[Any]:
        import tensorflow as tf

        return [tf.TensorSpec([None, None, 3], tf.float32), tf.TensorSpec([None, None], tf.bool),
                tf.TensorSpec([None], tf.float32)]  # fmt: skip

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        x, mask, made = batch  # (b, l, 3), (b, l), (b,)
        weight = tf.cast(mask, tf.float32)
        count = tf.reduce_sum(weight, axis=1, keepdims=True)  # (b, 1), at least 1
        tokens = self._through(self._encoder, self._token(x), mask)  # (b, l, width)
        pooled = tf.reduce_sum(tokens * weight[..., None], axis=1) / count
        latent = self._squeeze(pooled)  # (b, latent)
        ranks = self._rank(tf.range(tf.shape(x)[1]))  # (l, width)
        y = self._through(self._decoder, self._expand(latent)[:, None] + ranks[None], mask)
        weight = weight * x[..., 0] if self.settings.weighted else weight
        error = tf.reduce_mean(tf.square(self._rebuilt(y) - x), axis=2) * weight  # (b, l)
        loss = tf.reduce_sum(error, axis=1) / tf.reduce_sum(weight, axis=1)
        loss = loss + self.settings.code * tf.reduce_sum(tf.square(latent), axis=1)
        return exposed_loss(loss, made) if self.settings.exposure else loss, tf.math.log(loss + 1e-12)

    def _through(self, blocks: list[dict[str, Any]], x: Any, mask: Any) -> Any:
        """Pre-norm transformer blocks; a constituent attends to those that exist."""
        attended = mask[:, None, :]
        for block in blocks:
            first, second = block["norms"]
            y = first(x)
            x = x + block["attention"](y, y, attention_mask=attended)
            x = x + block["dense"][1](block["dense"][0](second(x)))
        return x

    def state(self) -> Arrays:
        return super().state() | {"masses": self.masses}

    def restore(self, state: Arrays) -> None:
        self.masses = state["masses"]
        if self.masses.shape != (2,):
            raise ValueError("masses of another shape")
        super().restore(state)
