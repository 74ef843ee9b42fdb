"""A variational autoencoder of the 57 inputs, after arXiv 2108.03986.

The encoder gives mean and logarithm of the variance of each latent number; in training one value is drawn of them.
Loss: half the squared error, summed over the inputs in units of their width, plus beta times the divergence from a
standard normal distribution. Score, as chosen: that sum without a draw (`elbo`), the divergence alone (`kl`), or the
sum over the latent numbers of mean^2 / variance (`rz`): the cheap ones that the paper proposes for an FPGA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ad40.objects import N_INPUTS
from offline.network import Batch, Ints, Layers
from offline.references.network import DenseModel, DenseSettings, Floats, chain, through
from offline.references.ops import Ops

SCORES = ("elbo", "kl", "rz")
REACH = 8.0  # of the logarithm of a variance, either side of 0


@dataclass(frozen=True)
class VariationalSettings(DenseSettings):
    """Of the variational autoencoder."""

    hidden: int = field(default=128, metadata={"help": "neurons of the outer layers, half of it inside", "least": 2})
    latent: int = field(default=8, metadata={"help": "latent numbers", "least": 1})
    beta: float = field(default=1.0, metadata={"help": "weight of the divergence", "least": 0, "above": True})
    score: str = field(default="elbo", metadata={"help": "elbo, kl or rz", "choices": SCORES})


class VariationalAutoencoder(DenseModel):
    """The network, its loss and its score: see the module."""

    kind, about = "vae", "variational autoencoder of the 57 inputs"
    settings_type = VariationalSettings
    settings: VariationalSettings

    def build(self, seeds: Iterator[int]) -> Any:
        net, own = Layers(), self.settings
        outer, inner, self._half = own.hidden, max(own.hidden // 2, 1), np.arange(own.latent)
        self._encoder = chain(net, [N_INPUTS, outer, inner, 2 * own.latent], seeds)
        self._decoder = chain(net, [own.latent, inner, outer, N_INPUTS], seeds)
        return net

    def batch(self, inputs: Floats, rows: Ints, random: np.random.Generator | None) -> Batch:
        shape = (len(rows), self.settings.latent)
        noise = np.zeros(shape, np.float32) if random is None else random.standard_normal(shape, np.float32)
        return [inputs[rows], noise]

    def signature(self) -> list[Any]:
        import tensorflow as tf

        return [*super().signature(), tf.TensorSpec([None, self.settings.latent], tf.float32)]

    def _latent(self, ops: Ops, x: Any) -> tuple[Any, Any, Any]:
        """Mean and logarithm of the variance (n, latent), and the divergence (n, 1)."""
        both = through(ops, x, self._encoder)
        mean = ops.take(both, self._half)
        log_variance = ops.clip(ops.take(both, self._half + len(self._half)), -REACH, REACH)
        return mean, log_variance, ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0) * 0.5

    def _error(self, ops: Ops, x: Any, z: Any) -> Any:
        return ops.sum(ops.square(through(ops, z, self._decoder) - x)) * 0.5

    def loss(self, ops: Ops, *batch: Any) -> Any:
        x, noise = self.scaled(ops, batch[0]), batch[1]
        mean, log_variance, divergence = self._latent(ops, x)
        z = mean + noise * ops.exp(log_variance * 0.5)
        return (self._error(ops, x, z) + divergence * self.settings.beta)[:, 0]

    def graph(self, ops: Ops, x: Any) -> Any:
        x = self.scaled(ops, x)
        mean, log_variance, divergence = self._latent(ops, x)
        if self.settings.score == "kl":
            return divergence
        if self.settings.score == "rz":
            return ops.sum(ops.square(mean) * ops.exp(-log_variance))
        return self._error(ops, x, mean) + divergence * self.settings.beta
