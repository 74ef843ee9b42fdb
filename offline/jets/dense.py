"""A dense autoencoder of the high-level features of a jet: the baseline of the networks that read constituents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.autoencoder.networks import SLOPE
from offline.jets.features import DEFAULT, features, scale_of, scaled
from offline.jets.jets import Jets
from offline.jets.model import Arrays
from offline.jets.network import Batch, Ints, Layers, NetworkModel, NetworkSettings


@dataclass(frozen=True)
class DenseSettings(NetworkSettings):
    """Of the dense autoencoder."""

    features: tuple[str, ...] = field(default=DEFAULT, metadata={"help": "names of the features"})
    hidden: int = field(default=32, metadata={"help": "neurons of the outer layers, half of it inside", "least": 2})
    latent: int = field(default=2, metadata={"help": "neurons in the middle", "least": 1})


class DenseAutoencoder(NetworkModel):
    """features -> hidden -> hidden / 2 -> latent -> hidden / 2 -> hidden -> features, LeakyReLU; features are scaled
    by median and width of the training sample. Score: ln of the mean squared error."""

    kind, about = "dense", "dense autoencoder of high-level features, ln of the mean squared error"
    settings_type = DenseSettings
    settings: DenseSettings
    scale: NDArray[np.float64]

    def build(self, seeds: Iterator[int]) -> Any:
        net, own, n = Layers(), self.settings, len(self.settings.features)
        sizes = [own.hidden, max(own.hidden // 2, 1), own.latent, max(own.hidden // 2, 1), own.hidden, n]
        self._dense = [net.dense(a, b, next(seeds)) for a, b in zip([n, *sizes[:-1]], sizes, strict=True)]
        return net

    def _before(self, jets: Jets, rows: Ints) -> None:
        self.scale = scale_of(features(jets, self.settings.features)[rows])

    def prepare(self, jets: Jets) -> NDArray[np.float32]:
        return scaled(features(jets, self.settings.features), self.scale)

    def batch(self, inputs: Any, rows: Ints, random: np.random.Generator | None) -> Batch:
        return [inputs[rows]]

    def signature(self) -> list[Any]:
        import tensorflow as tf

        return [tf.TensorSpec([None, len(self.settings.features)], tf.float32)]

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        (x,) = batch
        y = x
        for layer in self._dense[:-1]:
            y = tf.nn.leaky_relu(layer(y), SLOPE)
        loss = tf.reduce_mean(tf.square(self._dense[-1](y) - x), axis=1)
        return loss, tf.math.log(loss + 1e-12)

    def state(self) -> Arrays:
        return super().state() | {"scale": self.scale}

    def restore(self, state: Arrays) -> None:
        self.scale = np.asarray(state["scale"], np.float64)
        if self.scale.shape != (2, len(self.settings.features)):
            raise ValueError(f"scale of shape {self.scale.shape}")
        super().restore(state)
