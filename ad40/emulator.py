"""The emulator: from hardware codes to the integer score, exactly as the firmware computes it. numpy only.

Method. Every value on the way is an integer, so a floating-point matrix product is exact as long as no partial
sum reaches the mantissa: 2^24 for float32, 2^53 for float64. The largest sum a layer can form is known from its
weights and formats, so each layer takes the narrowest type that is provably exact, and BLAS does the work.
Rounding half to even on integers scaled by a power of two is `rint`, which is exact too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import Ad40Error
from ad40.network import Layer, Network

_BLOCK = 1024  # events per pass: the activations of a block stay in the processor's cache

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class _Dense:
    """A layer ready to run: y = clip(round((x @ weight + bias) * scale)) on integer-valued floats."""

    weight: Floats
    bias: Floats
    scale: float
    rounding: str
    overflow: str
    low: float
    high: float
    relu: bool

    def __call__(self, x: Floats) -> Floats:
        y = x.astype(self.weight.dtype, copy=False) @ self.weight
        y += self.bias
        if self.relu:
            np.maximum(y, 0, out=y)
        if self.scale != 1.0:
            y *= y.dtype.type(self.scale)
            if self.rounding == "RND_CONV":
                np.rint(y, out=y)
            else:
                if self.rounding == "RND":
                    y += y.dtype.type(0.5)
                np.floor(y, out=y)
        if self.overflow == "SAT":
            np.clip(y, self.low, self.high, out=y)
        else:
            span = self.high - self.low + 1
            y -= np.floor((y - self.low) / span) * span
        return y


def _exact_type(largest: int) -> type[np.floating]:
    """The narrowest float type in which integers up to `largest`, and halves of them, are exact."""
    for kind, mantissa in ((np.float32, 23), (np.float64, 52)):
        if largest < 1 << mantissa:
            return kind
    raise Ad40Error(f"a layer can reach {largest}, more than double precision holds exactly; use narrower formats")


def _dense(layer: Layer, x_low: int, x_high: int, x_fraction: int) -> _Dense:
    """Prepare a layer for inputs with codes in [x_low, x_high] and `x_fraction` fraction bits."""
    product = x_fraction + layer.weight_format.fraction
    accumulator = max(product, layer.bias_format.fraction)  # fraction bits of the sum
    weight = layer.weight << (accumulator - product)
    bias = layer.bias << (accumulator - layer.bias_format.fraction)
    reach = np.abs(weight).sum(axis=0) * max(abs(x_low), abs(x_high)) + np.abs(bias)
    shift = accumulator - layer.output.fraction
    # scaled up, the codes grow; WRAP divides by the span, which needs one more bit
    largest = int(reach.max()) * (1 << max(-shift, 0)) + (1 << layer.output.width)
    kind = _exact_type(largest)
    return _Dense(
        weight=np.ascontiguousarray(weight, dtype=kind),
        bias=bias.astype(kind),
        scale=2.0**-shift,
        rounding=layer.output.rounding,
        overflow=layer.output.overflow,
        low=layer.output.min_code,
        high=layer.output.max_code,
        relu=layer.activation == "relu",
    )


class Emulator:
    """Runs a frozen network on hardware codes.

    >>> Emulator(network).score(codes)  # doctest: +SKIP
    array([1893,  411, ...], dtype=int32)
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        fmt, last = network.input.format, network.layers[-1]
        self._layers: list[_Dense] = []
        low, high, fraction = fmt.min_code, fmt.max_code, fmt.fraction
        for layer in network.layers:
            self._layers.append(_dense(layer, low, high, fraction))
            low, high, fraction = layer.output.min_code, layer.output.max_code, layer.output.fraction
        self._offset, scale = _repeated(network.input.offset), 2.0**-network.input.shift
        self._scale = _repeated(scale)
        # In units of the score; an input that is not scored counts zero on both sides
        self._up_x = _repeated(network.score.mask * 2.0 ** (network.score_fraction - fmt.fraction))
        self._up_y = _repeated(network.score.mask * 2.0 ** (network.score_fraction - last.output.fraction))
        self._score_type = _exact_type(network.score_max)
        # (code - offset) << -shift, before it is clipped, must be exact too
        widest = np.abs(network.input.offset).max() + objects.MAX_CODE
        if _exact_type(int(widest * max(scale.max(), 1))) is not np.float32:
            raise Ad40Error(f"input shifts down to {network.input.shift.min()} exceed the emulator's exact range")

    def inputs(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Network input codes int32 (n, 57) of hardware codes (n, 19, 3)."""
        x = np.empty((len(codes), objects.N_INPUTS), np.int32)
        for start in range(0, len(codes), _BLOCK):
            x[start : start + _BLOCK] = self._normalise(codes[start : start + _BLOCK])[0]
        return x

    def outputs(self, inputs: NDArray[np.integer]) -> NDArray[np.int64]:
        """Output codes int64 (n, 57) of the last layer, of network input codes (n, 57)."""
        y = np.empty((len(inputs), objects.N_INPUTS), np.int64)
        for start in range(0, len(inputs), _BLOCK):
            y[start : start + _BLOCK] = self._network(inputs[start : start + _BLOCK].astype(np.float32))
        return y

    def score(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """hw_score int32 (n,) of hardware codes (n, 19, 3)."""
        scores = np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _BLOCK):
            x, here = self._normalise(codes[start : start + _BLOCK])
            y = self._network(x).astype(self._score_type, copy=False)
            flat_x, flat_y = x.reshape(-1), y.reshape(-1)
            flat_x *= self._up_x[: x.size]
            flat_y *= self._up_y[: y.size]
            flat_y -= flat_x
            np.abs(flat_y, out=flat_y)
            scores[start : start + _BLOCK] = np.einsum("ij,ij->i", y, here)
        return scores

    def _normalise(self, codes: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inputs (n, 57) as integer-valued floats, and 1 where the object is present, 0 elsewhere, (n, 57)."""
        x = codes.reshape(-1).astype(np.float32)
        x -= self._offset[: x.size]
        x *= self._scale[: x.size]
        np.floor(x, out=x)
        fmt = self.network.input.format
        np.clip(x, fmt.min_code, fmt.max_code, out=x)
        here = np.repeat(objects.present(codes).reshape(-1).astype(np.float32), objects.N_FEATURES)
        x *= here
        return x.reshape(-1, objects.N_INPUTS), here.reshape(-1, objects.N_INPUTS)

    def _network(self, x: Floats) -> Floats:
        for layer in self._layers:
            x = layer(x)
        return x


def _repeated(row: NDArray[np.number]) -> NDArray[np.float32]:
    """A row of 57 repeated for a block of events: flat operands of one length keep numpy in its vector loops."""
    return np.tile(row.astype(np.float32), _BLOCK)
