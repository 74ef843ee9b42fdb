"""A dense autoencoder of the 57 inputs: the baseline of the references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ad40.objects import N_INPUTS
from offline.network import Layers
from offline.references.network import DenseModel, DenseSettings, chain, through
from offline.references.ops import Ops


@dataclass(frozen=True)
class AutoencoderSettings(DenseSettings):
    """Of the autoencoder."""

    hidden: int = field(default=128, metadata={"help": "neurons of the outer layers, half of it inside", "least": 2})
    latent: int = field(default=8, metadata={"help": "neurons in the middle", "least": 1})


class Autoencoder(DenseModel):
    """57 -> hidden -> hidden / 2 -> latent -> hidden / 2 -> hidden -> 57, ReLU. Score: ln of the mean squared error of
    the inputs in units of their width."""

    kind, about = "autoencoder", "dense autoencoder of the 57 inputs, ln of the mean squared error"
    settings_type = AutoencoderSettings
    settings: AutoencoderSettings

    def build(self, seeds: Iterator[int]) -> Any:
        net, outer, inner = Layers(), self.settings.hidden, max(self.settings.hidden // 2, 1)
        sizes = [N_INPUTS, outer, inner, self.settings.latent]
        self._encoder, self._decoder = chain(net, sizes, seeds), chain(net, sizes[::-1], seeds)
        return net

    def _error(self, ops: Ops, x: Any) -> Any:
        x = self.scaled(ops, x)
        y = through(ops, ops.relu(through(ops, x, self._encoder)), self._decoder)
        return ops.mean(ops.square(y - x))

    def loss(self, ops: Ops, *batch: Any) -> Any:
        return self._error(ops, batch[0])[:, 0]

    def graph(self, ops: Ops, x: Any) -> Any:
        return ops.log(self._error(ops, x) + 1e-9)
