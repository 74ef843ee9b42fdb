"""The operations that a score is written in, so that it is written once: as TensorFlow runs it, and as ONNX holds it.

Both give the same few functions on tensors of events (n, k); sums, differences, products and quotients are those of
Python. What a model's `graph` does with them is trained, scored and exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Ops(Protocol):
    """Functions on tensors (n, k). dense: x W + b of a Keras layer without an activation of its own."""

    def dense(self, x: Any, layer: Any) -> Any: ...
    def relu(self, x: Any) -> Any: ...
    def leaky(self, x: Any, slope: float) -> Any: ...
    def tanh(self, x: Any) -> Any: ...
    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def sqrt(self, x: Any) -> Any: ...
    def square(self, x: Any) -> Any: ...
    def clip(self, x: Any, low: float, high: float) -> Any: ...

    def sum(self, x: Any) -> Any:
        """Sum of each event, (n, 1)."""

    def mean(self, x: Any) -> Any:
        """Mean of each event, (n, 1)."""

    def take(self, x: Any, columns: NDArray[np.integer]) -> Any:
        """Some columns, in this order."""

    def join(self, parts: Sequence[Any]) -> Any:
        """Columns of all parts."""


class TensorFlow:
    """As TensorFlow computes them."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.tf = tf
        self.relu, self.tanh, self.exp = tf.nn.relu, tf.tanh, tf.exp
        self.log, self.sqrt, self.square = tf.math.log, tf.sqrt, tf.square

    def dense(self, x: Any, layer: Any) -> Any:
        return layer(x)

    def leaky(self, x: Any, slope: float) -> Any:
        return self.tf.nn.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return self.tf.clip_by_value(x, low, high)

    def sum(self, x: Any) -> Any:
        return self.tf.reduce_sum(x, axis=1, keepdims=True)

    def mean(self, x: Any) -> Any:
        return self.tf.reduce_mean(x, axis=1, keepdims=True)

    def take(self, x: Any, columns: NDArray[np.integer]) -> Any:
        return self.tf.gather(x, np.asarray(columns, np.int32), axis=1)

    def join(self, parts: Sequence[Any]) -> Any:
        return self.tf.concat(list(parts), axis=1)
