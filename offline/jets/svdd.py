"""Deep SVDD on the graph of a jet's constituents: jets far from where the network puts ordinary jets are anomalous.

Deep Support Vector Data Description (Ruff et al., ICML 2018): the network is trained to put all jets close to a fixed
centre c, loss = mean |f(jet) - c|^2; the score is that distance. A network that could give c for any input would
reach zero loss and know nothing: the collapse. Against it, as published: no bias terms, no bounded activations, c
fixed by the untrained network and no coordinate of it near 0. For jets that is not enough: with the pt fractions
among the node features a *sum* over the nodes is a bias in disguise, for sum(z) = 1 in every jet. The nodes are
therefore averaged (the mean of z is 1 / number of nodes). What is left is watched: a training in which the spread of
the outputs falls below `COLLAPSED` of what it was before is stopped with an error.

Mass decorrelation: in training, part of the jets are seen dilated (`offline.jets.nodes.dilated`) to a mass over pt
drawn from the masses of all training jets evenly in its logarithm, whatever their substructure: being heavy is then
no longer rare.

Outliers: half as many jets with several cores as there are jets, made of the training jets themselves
(`offline.jets.overlay`), are kept away from the centre. The distance that enters the loss is then the pseudo-Huber
sqrt(1 + d^2) - 1, as in arXiv 2006.00339. With `exposure=0` nothing is shown but jets: Deep SVDD as published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error
from offline.jets.egat import EdgeAttention, segment_mean
from offline.jets.graphs import RADIUS, radius_graph
from offline.jets.jets import Jets
from offline.jets.model import Arrays
from offline.jets.network import Batch, Ints, Layers, NetworkModel, NetworkSettings
from offline.jets.nodes import Nodes, dilated, nodes, relative_mass
from offline.jets.overlay import drawn, exposed, masses_of
from offline.jets.overlay import loss as exposed_loss

COLLAPSED = 1e-4
"""Spread of the outputs over that of the untrained network, below which a training is taken as collapsed."""

LEAST_CENTRE = 0.1  # no coordinate of the centre is closer to 0, as published: a zero weight could reach 0
CLOSEST = 0.01  # dR below which 1 / dR does not grow
SCALE = np.array([10.0, 5.0, 5.0], np.float32)  # of pt fraction, eta, phi: numbers of order one; no shift, see above
FACTORS = (0.2, 5.0)  # a jet is not dilated by less or more


@dataclass(frozen=True)
class SVDDSettings(NetworkSettings):
    """Of the graph network."""

    epochs: int = field(default=6, metadata={"help": "at most", "least": 1})
    patience: int = field(default=3, metadata={"help": "epochs without a lower validation loss", "least": 1})
    batch: int = field(default=64, metadata={"help": "jets in a step", "least": 1})
    learning_rate: float = field(default=3e-3, metadata={"help": "of Adam", "least": 0, "above": True, "most": 1})
    constituents: int = field(default=20, metadata={"help": "of a jet, the hardest, at most", "least": 2})
    layers: int = field(default=2, metadata={"help": "of edge-featured attention", "least": 1})
    heads: int = field(default=2, metadata={"help": "of each layer", "least": 1})
    width: int = field(default=8, metadata={"help": "features of each head", "least": 1})
    outputs: int = field(default=8, metadata={"help": "dimensions of the space of the centre", "least": 1})
    augment: float = field(default=0.5, metadata={"help": "part of the jets seen dilated in training", "least": 0,
                                                  "most": 1})  # fmt: skip
    exposure: float = field(default=0.5, metadata={"help": "outliers made of training jets, for each jet", "least": 0,
                                                   "most": 10})  # fmt: skip
    decay: float = field(default=1e-4, metadata={"help": "weight decay: times the mean square of the weights",
                                                 "least": 0})  # fmt: skip


class EgatSVDD(NetworkModel):
    """Edge-featured attention on the radius graph, mean over the nodes, a linear map, distance to the centre."""

    kind, about = "egat", "graph attention with edge features, Deep SVDD: ln of the squared distance to the centre"
    settings_type = SVDDSettings
    settings: SVDDSettings
    centre: NDArray[np.float32]
    masses: NDArray[np.float64]

    def build(self, seeds: Iterator[int]) -> Any:
        own, net = self.settings, Layers()
        width = own.heads * own.width
        self._attention = [
            net.add(EdgeAttention(3 if i == 0 else width, 1 if i == 0 else width, own.heads, own.width, seeds))
            for i in range(own.layers)
        ]
        self._last = net.dense(width, own.outputs, next(seeds), bias=False)
        return net

    def embed(self, values: Any, graph: Any, inverse: Any, source: Any, to: Any, made: Any) -> Any:
        """Outputs (n, outputs) of n graphs: node values (N, 3), their graph (N,), 1/dR (E, 1), ends of edges (E,)."""
        import tensorflow as tf

        h, e = values, inverse
        for layer in self._attention:
            h, e = layer(h, e, source, to)
        return self._last(segment_mean(h, graph, tf.size(made)))

    def prepare(self, jets: Jets) -> Nodes:
        return nodes(jets, self.settings.constituents)

    def batch(self, inputs: Nodes, rows: Ints, random: np.random.Generator | None) -> Batch:
        some = given = inputs.take(rows)
        if random is not None and self.settings.augment > 0:
            some = dilated(given, self._factors(given, random))
        some, made = exposed(some, given, self.settings.exposure, self.masses, random)
        source, to, distance = radius_graph(some.offsets, some.values[:, 1], some.values[:, 2], RADIUS)
        inverse = np.float32(0.1 * RADIUS) / np.maximum(distance, np.float32(CLOSEST))  # 0.1 to 2
        return [some.values * SCALE, some.owner.astype(np.int32), inverse[:, None].astype(np.float32),
                source.astype(np.int32), to.astype(np.int32), made]  # fmt: skip

    def _factors(self, some: Nodes, random: np.random.Generator) -> NDArray[np.float64]:
        wanted = drawn(self.masses, len(some), random)
        chosen = random.random(len(some)) < self.settings.augment
        factor = np.clip(wanted / np.maximum(relative_mass(some), 1e-6), *FACTORS)
        return np.where(chosen, factor, 1.0)

    def signature(self) -> list[Any]:
        import tensorflow as tf

        shapes = [([None, 3], tf.float32), ([None], tf.int32), ([None, 1], tf.float32), ([None], tf.int32),
                  ([None], tf.int32), ([None], tf.float32)]  # fmt: skip
        return [tf.TensorSpec(shape, kind) for shape, kind in shapes]

    def begin(self, inputs: Nodes, rows: Ints) -> None:
        self.masses = masses_of(inputs.take(rows))
        outputs = self.outputs(inputs, rows[:5000])
        centre = outputs.mean(axis=0)
        away = np.where(centre < 0, -LEAST_CENTRE, LEAST_CENTRE)
        self.centre = np.where(np.abs(centre) < LEAST_CENTRE, away, centre).astype(np.float32)
        self.first_spread = _spread(outputs)

    def outputs(self, inputs: Nodes, rows: Ints) -> NDArray[np.float32]:
        """Where the network puts jets. float32 (n, outputs)."""
        pieces = [np.asarray(self.embed(*self.batch(inputs, rows[i : i + 1024], None)))
                  for i in range(0, len(rows), 1024)]  # fmt: skip
        return np.concatenate(pieces)

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        import tensorflow as tf

        distance = tf.reduce_sum(tf.square(self.embed(*batch) - self.centre), axis=1)
        score = tf.math.log(distance + 1e-12)
        if not self.settings.exposure:
            return distance, score
        return exposed_loss(tf.sqrt(1.0 + distance) - 1.0, batch[-1]), score

    def penalty(self) -> Any:
        import tensorflow as tf

        return self.settings.decay * sum(tf.reduce_sum(tf.square(w)) for w in self.net.trainable_variables)

    def watch(self, inputs: Nodes, rows: Ints) -> dict[str, float]:
        spread = _spread(self.outputs(inputs, rows[:5000])) / max(self.first_spread, 1e-30)
        if not spread > COLLAPSED:
            raise Ad40Error(f"the training of {self.kind} collapsed: its outputs differ {spread:.1e} times as much as "
                            f"before it; use fewer epochs, a smaller learning rate or another seed")  # fmt: skip
        return {"spread": spread}

    def state(self) -> Arrays:
        return super().state() | {"centre": self.centre, "masses": self.masses}

    def restore(self, state: Arrays) -> None:
        self.centre, self.masses = state["centre"], state["masses"]
        if self.centre.shape != (self.settings.outputs,) or self.masses.shape != (2,):
            raise ValueError("a centre of another shape")
        super().restore(state)


def _spread(outputs: NDArray[np.float32]) -> float:
    """Mean squared distance of outputs (n, k) to their own mean, in units of their squared length: no scale of the
    weights changes it."""
    x = outputs.astype(np.float64)
    return float(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1)) / max(np.sum(x.mean(axis=0) ** 2), 1e-30))
