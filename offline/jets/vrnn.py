"""Variational recurrent network on the sequence of a jet's constituents (arXiv 2105.09274; PRD 108 (2023) 052009).

At step t, with the constituent x_t = (pt fraction, eta, phi) of `offline.jets.preprocess` and the memory h of the
steps before, a prior p(z | h) is compared with what the constituent says, q(z | x_t, h), and the constituent is
rebuilt from z and h; a GRU goes on. Loss of a jet: mean over its steps of

    |y_t - x_t|^2 + kl_weight * f_t * KL(q || p)        f_t: the constituent's part of the sequence's pt

Score: 1 - exp(-mean KL), as the published code does, or ln of the mean |y_t - x_t|^2, as one of the papers says.
A score of the first kind above 0.5 is a published anomaly region. Latent values are sampled in training, and are their
means in scores. A jet without a sequence (fewer than 3 constituents, or no mass) does not take part in training; its
mean KL over no step is 0, and so is its score: it is not called anomalous. By MSE it has the smallest score there is.

Outliers: as many jets with several cores as there are jets, made of the training jets themselves
(`offline.jets.overlay`), are to have a score near 1: they add -kl_weight ln(1 - exp(-mean KL)) to the loss and not
their error, and jets add kl_weight * mean KL besides what is written above. That is needed: in the frame of the jet
those of two cores are more regular than others, and the network as published (`exposure=0`) finds them less
anomalous. With the other score (`quantity=mse`) there are no outliers.

Published: Adam at 1e-5, batches of 256, 100 epochs, kl_weight 0.1. The default takes larger
steps, fewer epochs, and 1, with which the outliers count as much as the error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ad40.errors import InputError
from offline.autoencoder.networks import keras
from offline.jets.jets import Jets
from offline.jets.model import with_constituents
from offline.jets.network import Batch, Ints, Layers, NetworkModel, NetworkSettings
from offline.jets.nodes import nodes
from offline.jets.overlay import loss as exposed_loss
from offline.jets.overlay import masses_of, outliers
from offline.jets.preprocess import MOST, Sequences, sequences, sequences_of

WIDTH = 16  # of every hidden layer and of the memory
LEAST_SIGMA = 1e-3  # of prior and encoder: KL stays finite
FLOOR = 1e-12
HARDEST = 100  # constituents of a jet that outliers are made of
POOL = 50_000  # outliers, at most: a training meets them again and again
UNIT = 1000.0  # GeV, pt of an outlier: its frame does not depend on it


@dataclass(frozen=True)
class VRNNSettings(NetworkSettings):
    """Of the VRNN."""

    epochs: int = field(default=9, metadata={"help": "at most", "least": 1})
    batch: int = field(default=64, metadata={"help": "jets in a step", "least": 1})
    learning_rate: float = field(default=3e-3, metadata={"help": "of Adam", "least": 0, "above": True, "most": 1})
    latent: int = field(default=2, metadata={"help": "dimensions of z", "least": 1})
    kl_weight: float = field(default=1.0, metadata={"help": "of the KL term in the loss", "least": 0})
    exposure: float = field(default=1.0, metadata={"help": "outliers made of training jets, for each jet", "least": 0,
                                                   "most": 10})  # fmt: skip
    quantity: str = field(default="kl", metadata={"help": "the score: kl or mse", "choices": ("kl", "mse")})


class VRNN(NetworkModel):
    """The network, its loss and its scores: see the module."""

    kind, about = "vrnn", "variational recurrent network on constituents in the frame of the jet"
    settings_type = VRNNSettings
    settings: VRNNSettings
    made: Sequences | None = None  # outliers, in training

    def build(self, seeds: Iterator[int]) -> Any:
        k, net, latent = keras(), Layers(), self.settings.latent

        def dense(inputs: int, units: int, activation: str | None) -> Any:
            return net.dense(inputs, units, next(seeds), activation)

        def two(inputs: int) -> list[Any]:
            return [dense(inputs, WIDTH, "relu"), dense(WIDTH, WIDTH, "relu")]

        self._of_x, self._of_z = two(3), two(latent)
        self._encoder, self._decoder, self._prior = two(2 * WIDTH), two(2 * WIDTH), [dense(WIDTH, WIDTH, "relu")]
        self._heads = {name: dense(WIDTH, latent, None) for name in ("q mean", "q sigma", "p mean", "p sigma")}
        self._rebuilt = dense(WIDTH, 3, None)
        self._memory = net.add(k.layers.GRUCell(
            WIDTH, kernel_initializer=k.initializers.GlorotUniform(next(seeds)),
            recurrent_initializer=k.initializers.Orthogonal(seed=next(seeds)),
        ))  # fmt: skip
        self._memory.build((None, 2 * WIDTH))
        return net

    def _before(self, jets: Jets, rows: Ints) -> None:
        if not (sequences(with_constituents(jets)).length > 0).any():
            raise InputError(self.kind, "jets", f"{len(jets)} without a frame", "jets of 3 or more constituents")
        self.made = None
        if self.settings.exposure and self.settings.quantity == "kl":
            given = nodes(jets.take(rows), HARDEST)
            random = np.random.default_rng([self.settings.seed, 6])
            found = outliers(given, min(len(rows), POOL), masses_of(given), random)
            self.made = sequences_of(found.offsets, found.values * np.float32([UNIT, 1, 1]))

    def prepare(self, jets: Jets) -> Sequences:
        return sequences(with_constituents(jets))

    def batch(self, inputs: Sequences, rows: Ints, random: np.random.Generator | None) -> Batch:
        some = Sequences(inputs.x[rows], inputs.length[rows])
        n = 0
        if random is not None and self.made is not None:
            n = round(self.settings.exposure * len(rows))
            more = random.integers(0, len(self.made.length), n)
            some = Sequences(np.concatenate([some.x, self.made.x[more]]),
                             np.concatenate([some.length, self.made.length[more]]))  # fmt: skip
        shape = (len(rows) + n, MOST, self.settings.latent)
        noise = np.zeros(shape, np.float32) if random is None else random.standard_normal(shape, np.float32)
        made = np.repeat(np.float32([0, 1]), [len(rows), n])
        return [some.x, some.fraction, some.mask.astype(np.float32), noise, made]

    def signature(self) -> list[Any]:
        import tensorflow as tf

        shapes = [(3,), (), (), (self.settings.latent,)]
        specs = [tf.TensorSpec([None, MOST, *shape], tf.float32) for shape in shapes]
        return [*specs, tf.TensorSpec([None], tf.float32)]

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        x, fraction, mask, noise, made = batch  # (b, 20, 3), (b, 20), (b, 20), (b, 20, latent), (b,)
        h = tf.zeros([tf.shape(x)[0], WIDTH])
        errors, divergences = [], []
        for t in range(MOST):
            seen = _through(self._of_x, x[:, t])  # (b, 16)
            prior, encoded = _through(self._prior, h), _through(self._encoder, tf.concat([seen, h], 1))
            mean, sigma = self._gauss("q", encoded)  # (b, latent)
            mean0, sigma0 = self._gauss("p", prior)
            z = _through(self._of_z, mean + sigma * noise[:, t])
            y = self._rebuilt(_through(self._decoder, tf.concat([z, h], 1)))
            errors.append(tf.reduce_sum(tf.square(y - x[:, t]), axis=1))
            divergences.append(kl(mean, sigma, mean0, sigma0))
            h = self._memory(tf.concat([seen, z], 1), [h])[0]
        error, divergence = tf.stack(errors, 1) * mask, tf.stack(divergences, 1) * mask
        steps = tf.maximum(tf.reduce_sum(mask, 1), 1.0)
        loss = tf.reduce_sum(error + self.settings.kl_weight * fraction * divergence, 1) / steps
        if self.settings.quantity == "kl":
            mean_kl = tf.reduce_sum(divergence, 1) / steps
            if self.settings.exposure:
                loss = (1.0 - made) * loss + self.settings.kl_weight * exposed_loss(mean_kl, made)
            return loss, 1.0 - tf.exp(-mean_kl)
        return loss, tf.math.log(tf.reduce_sum(error, 1) / steps + FLOOR)

    def _gauss(self, which: str, x: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        return self._heads[f"{which} mean"](x), tf.nn.softplus(self._heads[f"{which} sigma"](x)) + LEAST_SIGMA


def _through(layers: list[Any], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def kl(mean: Any, sigma: Any, mean0: Any, sigma0: Any) -> Any:
    """KL divergence (b,) of normal distributions (b, k) with independent components: of (mean, sigma) from
    (mean0, sigma0)."""
    import tensorflow as tf

    ratio = tf.square(sigma / sigma0)
    away = tf.square((mean - mean0) / sigma0)
    return 0.5 * tf.reduce_sum(ratio + away - 1.0 - tf.math.log(ratio), axis=1)
