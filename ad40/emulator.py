"""The emulator: from hardware codes to the integer score, exactly as the firmware computes it. numpy only.

Method. Every value on the way is an integer, so a floating-point matrix product is exact as long as no partial
sum reaches the mantissa: 2^24 for float32, 2^53 for float64. The largest sum a layer can form is known from its
weights and formats, so each layer takes the narrowest type that is provably exact, and BLAS does the work.
Rounding half to even on integers scaled by a power of two is `rint`, which is exact too. `score` leaves out the inputs
that reach no weight and no score, and the outputs that are not scored: they change nothing. `ad40.roofline` measures
this against other exact methods and against what the machine can do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import Ad40Error
from ad40.network import Layer, Network

_BLOCK = 4096  # events per pass: the activations of a block stay in the processor's cache

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
        return self.finish(y)

    def finish(self, y: Floats) -> Floats:
        """Activation, rounding and overflow of accumulators (n, outputs), in place."""
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


class _Inputs:
    """The input stage for some of the 57 inputs, `columns` (k,), as operands of one length for a block of events."""

    def __init__(self, network: Network, columns: NDArray[np.intp]) -> None:
        stage = network.input
        self.columns, self._low, self._high = columns, stage.format.min_code, stage.format.max_code
        self._pt = columns - columns % objects.N_FEATURES + objects.PT  # of the object that an input belongs to
        self._all = len(columns) == objects.N_INPUTS
        self._offset, self._scale = _repeated(stage.offset[columns]), _repeated(2.0 ** -stage.shift[columns])
        # (code - offset) << -shift, before it is clipped, must be exact too
        widest = np.abs(stage.offset).max() + objects.MAX_CODE
        if _exact_type(int(widest * max(2.0 ** -stage.shift.min(), 1))) is not np.float32:
            raise Ad40Error(f"input shifts down to {stage.shift.min()} exceed the emulator's exact range")

    def __call__(self, codes: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inputs (n, k) of codes (n, 19, 3) as integer-valued floats, and 1 where the object is present, else 0."""
        flat = codes.reshape(-1, objects.N_INPUTS)
        raw = flat if self._all else flat.take(self.columns, axis=1)
        pt = raw if np.array_equal(self.columns, self._pt) else flat.take(self._pt, axis=1)
        here = (pt.reshape(-1) != 0).astype(np.float32)
        x = raw.reshape(-1).astype(np.float32)
        x -= self._offset[: x.size]
        x *= self._scale[: x.size]
        np.floor(x, out=x)
        np.clip(x, self._low, self._high, out=x)
        x *= here
        return x.reshape(raw.shape), here.reshape(raw.shape)


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
        self._inputs = _Inputs(network, np.arange(objects.N_INPUTS))
        # For the score: inputs that reach it, through a weight or by themselves, and outputs that are scored
        scored = np.flatnonzero(network.score.mask)
        needed = np.flatnonzero(network.score.mask | network.layers[0].weight.any(axis=1))
        self._needed, self._scored_layers = _Inputs(network, needed), list(self._layers)
        self._scored_layers[0] = _rows(self._scored_layers[0], needed)
        self._scored_layers[-1] = _columns(self._scored_layers[-1], scored)
        self._scored = np.searchsorted(needed, scored)  # where they are among the inputs that are needed
        self._up_x = float(2.0 ** (network.score_fraction - fmt.fraction))
        self._up_y = float(2.0 ** (network.score_fraction - last.output.fraction))
        self._score_type = _exact_type(network.score_max)

    def inputs(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Network input codes int32 (n, 57) of hardware codes (n, 19, 3)."""
        x = np.empty((len(codes), objects.N_INPUTS), np.int32)
        for start in range(0, len(codes), _BLOCK):
            x[start : start + _BLOCK] = self._inputs(codes[start : start + _BLOCK])[0]
        return x

    def outputs(self, inputs: NDArray[np.integer]) -> NDArray[np.int64]:
        """Output codes int64 (n, 57) of the last layer, of network input codes (n, 57)."""
        y = np.empty((len(inputs), objects.N_INPUTS), np.int64)
        for start in range(0, len(inputs), _BLOCK):
            y[start : start + _BLOCK] = _run(self._layers, inputs[start : start + _BLOCK].astype(np.float32))
        return y

    def score(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """hw_score int32 (n,) of hardware codes (n, 19, 3)."""
        scores = np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _BLOCK):
            x, here = self._needed(codes[start : start + _BLOCK])
            y = _run(self._scored_layers, x).astype(self._score_type, copy=False)
            if len(self._scored) < x.shape[1]:
                x, here = x.take(self._scored, axis=1), here.take(self._scored, axis=1)
            if self._up_x != 1:
                x *= np.float32(self._up_x)
            if self._up_y != 1:
                y *= y.dtype.type(self._up_y)
            y -= x
            np.abs(y, out=y)
            scores[start : start + _BLOCK] = np.einsum("ij,ij->i", y, here)
        return scores


def _run(layers: list[_Dense], x: Floats) -> Floats:
    for layer in layers:
        x = layer(x)
    return x


def _rows(layer: _Dense, rows: NDArray[np.intp]) -> _Dense:
    """The layer of these inputs alone."""
    return replace(layer, weight=np.ascontiguousarray(layer.weight[rows]))


def _columns(layer: _Dense, columns: NDArray[np.intp]) -> _Dense:
    """The layer with these outputs alone."""
    return replace(layer, weight=np.ascontiguousarray(layer.weight[:, columns]), bias=layer.bias[columns])


def _repeated(row: NDArray[np.number]) -> NDArray[np.float32]:
    """A row repeated for a block of events: flat operands of one length keep numpy in its vector loops."""
    return np.tile(row.astype(np.float32), _BLOCK)
