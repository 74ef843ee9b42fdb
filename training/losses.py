"""What the training makes small: a class for each name that a card's `training.loss` may have.

A loss is made for a card and its Keras model, may bring layers of its own that only the training needs, and gives a
scalar for a batch of the arrays of `training.prepare`. A training may have two stages: before epoch `first_stage` has
ended other layers are trained than after it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ad40.objects import N_INPUTS
from models.build import as_list
from models.card import Card


class Loss:
    """Base of all losses. extra: a Keras model of layers that only the training has, or None. first_stage: epochs
    before the last stage."""

    extra: Any = None
    first_stage = 0

    def __init__(self, card: Card, model: Any) -> None:
        self.card, self.model = card, model

    def layers(self, last: bool) -> tuple[str, ...]:
        """Names of the card's layers that are trained in the last stage, or in the one before."""
        return tuple(layer.name for layer in self.card.layers)

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        """A scalar. batch: arrays of `training.prepare`, as tensors; seed: int32 (2,), for what is drawn."""
        raise NotImplementedError

    def outputs(self, inputs: Any) -> list[Any]:
        """Outputs of the model as a list: of the last layer, then of the earlier one of a distance."""
        return as_list(self.model(inputs, training=True))


class Reconstruction(Loss):
    """Error of the 57 inputs and outputs, summed over scored features of present objects, mean over events."""

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, weights = batch
        error = tf.abs if self.card.training.loss == "l1" else tf.square
        return tf.reduce_mean(tf.reduce_sum(weights * error(inputs[:, :N_INPUTS] - self.outputs(inputs)[0]), axis=1))


class Distillation(Loss):
    """Squared error of the only output and the teacher's answer, weighted, mean over events."""

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, targets, weights = batch
        return tf.reduce_mean(weights * tf.square(self.outputs(inputs)[0][:, 0] - targets))


LOSSES: dict[str, type[Loss]] = {"l1": Reconstruction, "mse": Reconstruction, "distil": Distillation}
