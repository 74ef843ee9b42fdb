"""What the training makes small: a function for each name that a card's `training.loss` may have.

A loss takes the inputs (batch, n_inputs), the outputs of the QKeras model as a list (the last layer, then the earlier
one of a distance) and the loss weights (batch, 57), and gives a scalar. A new loss is a function here and its name in
`models.card.LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ad40.objects import N_INPUTS

Loss = Callable[[Any, list[Any], Any], Any]


def _reconstruction(error: Callable[[Any], Any]) -> Loss:
    """Error of the 57 inputs and outputs, summed over scored features of present objects, mean over events."""

    def loss(inputs: Any, outputs: list[Any], weights: Any) -> Any:
        difference = inputs[:, :N_INPUTS] - outputs[0]
        return tf.reduce_mean(tf.reduce_sum(weights * error(difference), axis=1))

    return loss


LOSSES: dict[str, Loss] = {"l1": _reconstruction(tf.abs), "mse": _reconstruction(tf.square)}
