"""A normalising flow: the density of the 57 inputs, by affine coupling layers (RealNVP, arXiv 1605.08803).

Each layer shuffles the inputs, leaves one half and moves and stretches the other half by what a small network says of
the first. Score: -ln of the density. Inputs that take one value when an object is absent have no density: in training
each input, in units of its width, is moved by normal noise, so that what is learnt is the density of the sum, which
is finite and changes where objects come and go; the score is that of the events as they are. (arXiv 2110.08508 puts a
flow behind the encoder of a variational autoencoder; here it has the inputs for itself, which needs no decoder.)
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

REACH = 2.0  # of the logarithm of a stretch in one layer, either side of 0


@dataclass(frozen=True)
class FlowSettings(DenseSettings):
    """Of the flow."""

    couplings: int = field(default=8, metadata={"help": "coupling layers", "least": 2})
    hidden: int = field(default=96, metadata={"help": "neurons of the two hidden layers of each", "least": 1})
    noise: float = field(default=0.1, metadata={"help": "added to each input in training, in units of its width",
                                                "least": 0, "above": True})  # fmt: skip


class Flow(DenseModel):
    """The layers, and the density: see the module."""

    kind, about = "flow", "normalising flow on the 57 inputs, -ln of the density"
    settings_type = FlowSettings
    settings: FlowSettings

    def build(self, seeds: Iterator[int]) -> Any:
        net, own, left = Layers(), self.settings, N_INPUTS // 2
        random = np.random.default_rng([own.seed, 4])
        self._orders, self._nets = [], []
        for i in range(own.couplings):
            # a random half, then the other one: every input is moved by every second layer
            order = random.permutation(N_INPUTS) if i % 2 == 0 else self._orders[-1][::-1]
            self._orders.append(order)
            layers = chain(net, [left, own.hidden, own.hidden, 2 * (N_INPUTS - left)], seeds)
            layers[-1].kernel.assign(layers[-1].kernel * 0.01)  # starts near the identity
            self._nets.append(layers)
        return net

    def batch(self, inputs: Floats, rows: Ints, random: np.random.Generator | None) -> Batch:
        x = inputs[rows]
        return [x, np.zeros_like(x) if random is None else random.standard_normal(x.shape, np.float32)]

    def signature(self) -> list[Any]:
        return super().signature() * 2

    def normal(self, ops: Ops, x: Any) -> tuple[Any, Any]:
        """Where inputs in units of their width go, (n, 57), and ln of the stretch of space there, (n, 1)."""
        left, total = N_INPUTS // 2, None
        half = np.arange(N_INPUTS - left)
        place = np.arange(N_INPUTS)  # column of each input
        for order, layers in zip(self._orders, self._nets, strict=True):
            kept, moved = ops.take(x, place[order[:left]]), ops.take(x, place[order[left:]])
            both = through(ops, kept, layers)
            stretch = ops.tanh(ops.take(both, half) / REACH) * REACH
            x = ops.join([kept, moved * ops.exp(stretch) + ops.take(both, half + len(half))])
            place = np.empty_like(place)
            place[order] = np.arange(N_INPUTS)
            total = ops.sum(stretch) if total is None else total + ops.sum(stretch)
        return x, total

    def _surprise(self, ops: Ops, x: Any) -> Any:
        """-ln of the density (n, 1) of inputs in units of their width, less a constant."""
        z, stretch = self.normal(ops, x)
        return ops.sum(ops.square(z)) * 0.5 - stretch

    def loss(self, ops: Ops, *batch: Any) -> Any:
        x, noise = batch
        return self._surprise(ops, self.scaled(ops, x) + noise * self.settings.noise)[:, 0]

    def graph(self, ops: Ops, x: Any) -> Any:
        return self._surprise(ops, self.scaled(ops, x))
