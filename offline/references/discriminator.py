"""A classifier of events against anomalous ones made of them: self-supervised, for it is never shown a signal.

The anomalous events are those of the contrastive autoencoder (`augment.anomaly`, after arXiv 2301.04660), new ones in
every epoch. Score: the log-odds, up to a constant the logarithm of the ratio of the two densities; no other score keeps
more of these anomalies at a given background (Neyman and Pearson, Phil. Trans. R. Soc. A 231 (1933) 289), which says
nothing of others: it finds what resembles them. Of all references the one that the trigger's own models are closest to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ad40.objects import N_INPUTS
from offline.network import Batch, Ints, Layers
from offline.references.augment import anomaly
from offline.references.network import DenseModel, DenseSettings, Floats, chain, through
from offline.references.ops import Ops


@dataclass(frozen=True)
class DiscriminatorSettings(DenseSettings):
    """Of the discriminator."""

    hidden: int = field(default=256, metadata={"help": "neurons of the first layer; half and a quarter in the next two",
                                               "least": 4})  # fmt: skip


class Discriminator(DenseModel):
    """57 -> hidden -> hidden / 2 -> hidden / 4 -> 1, ReLU; binary cross-entropy, one anomaly to an event."""

    kind, about = "discriminator", "classifier of events against anomalous ones made of them, log-odds"
    settings_type = DiscriminatorSettings
    settings: DiscriminatorSettings

    def build(self, seeds: Iterator[int]) -> Any:
        net, first = Layers(), self.settings.hidden
        self._layers = chain(net, [N_INPUTS, first, first // 2, first // 4, 1], seeds)
        return net

    def batch(self, inputs: Floats, rows: Ints, random: np.random.Generator | None) -> Batch:
        x = inputs[rows]
        return [x, x if random is None else anomaly(x, random)]

    def signature(self) -> list[Any]:
        return super().signature() * 2

    def loss(self, ops: Ops, *batch: Any) -> Any:
        import tensorflow as tf

        clean, bad = (self.graph(ops, x)[:, 0] for x in batch)
        return tf.nn.softplus(clean) + tf.nn.softplus(-bad)

    def graph(self, ops: Ops, x: Any) -> Any:
        return through(ops, self.scaled(ops, x), self._layers)
