"""The emulator: from hardware codes to the integer score, exactly as the firmware computes it. numpy only.

Method. Every value on the way is an integer, so a floating-point matrix product is exact as long as no partial
sum reaches the mantissa: 2^24 for float32, 2^53 for float64. The largest sum a layer can form is known from its
weights and formats, so each layer takes the narrowest type that is provably exact, and BLAS does the work.
Rounding half to even on integers scaled by a power of two is `rint`, which is exact too. `score` leaves out the inputs
that reach no weight and no score, and the outputs that are not scored: they change nothing. `ad40.roofline` measures
this against other exact methods and against what the machine can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import Ad40Error
from ad40.network import Layer, Network
from ad40.score import MASKED

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
    slope: float | None  # of what is negative: 0 for relu, 1/2, 1/4, ... for leaky_relu, None for linear

    def __call__(self, x: Floats) -> Floats:
        y = x.astype(self.weight.dtype, copy=False) @ self.weight
        y += self.bias
        return self.finish(y)

    def finish(self, y: Floats) -> Floats:
        """Activation, rounding and overflow of accumulators (n, outputs), in place."""
        if self.slope is not None:
            np.maximum(y, y * y.dtype.type(self.slope) if self.slope else 0, out=y)
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
    weight, bias, accumulator = layer.scaled(x_fraction)
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
        slope={"linear": None, "relu": 0.0, "leaky_relu": 2.0**-layer.slope_shift}[layer.activation],
    )


class _Inputs:
    """The input stage for some inputs of the first layer, `columns` (k,), as operands of one length for a block of
    events. The presence of an object, inputs 57 to 75, comes from its pt code."""

    def __init__(self, network: Network, columns: NDArray[np.intp]) -> None:
        stage, here = network.input, columns[columns >= objects.N_INPUTS]
        columns = columns[columns < objects.N_INPUTS]
        self.columns, self._low, self._high = columns, stage.format.min_code, stage.format.max_code
        self._pt = columns - columns % objects.N_FEATURES + objects.PT  # of the object that an input belongs to
        self._all = len(columns) == objects.N_INPUTS
        self._offset, self._scale = _repeated(stage.offset[columns]), _repeated(2.0 ** -stage.shift[columns])
        self._present = (here - objects.N_INPUTS) * objects.N_FEATURES + objects.PT
        self._one = np.float32(stage.one) if stage.present else None
        self._angles = _Angles(columns) if stage.angles[columns].any() else None
        # (code - offset) << -shift, before it is clipped, must be exact too
        widest = np.abs(stage.offset).max() + (self._angles.reach if self._angles else objects.MAX_CODE)
        if _exact_type(int(widest * max(2.0 ** -stage.shift.min(), 1))) is not np.float32:
            raise Ad40Error(f"input shifts down to {stage.shift.min()} exceed the emulator's exact range")

    def __call__(self, codes: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inputs (n, k) of codes (n, 19, 3) as integer-valued floats, and 1 where the object of one of the 57 is
        present, else 0."""
        flat = codes.reshape(-1, objects.N_INPUTS)
        raw = flat if self._all else flat.take(self.columns, axis=1)
        pt = raw if np.array_equal(self.columns, self._pt) else flat.take(self._pt, axis=1)
        here = (pt.reshape(-1) != 0).astype(np.float32)
        x = raw.reshape(-1).astype(np.float32)
        if self._angles is not None:
            self._angles(x, flat)
        x -= self._offset[: x.size]
        x *= self._scale[: x.size]
        np.floor(x, out=x)
        np.clip(x, self._low, self._high, out=x)
        x *= here
        if self._angles is not None:
            x *= self._angles.known(flat)
        inputs, mask = x.reshape(raw.shape), here.reshape(raw.shape)
        if self._one is None:
            return inputs, mask
        return np.concatenate([inputs, (flat.take(self._present, axis=1) != 0) * self._one], axis=1), mask


class _Angles:
    """phi of objects relative to MET, `objects.angles_to_met`, for the inputs `columns` (k,) of an input stage. All
    inputs go through the same passes, which leave alone those that are no angles: faster than to pick the angles out.
    """

    def __init__(self, columns: NDArray[np.intp]) -> None:
        scale, slots = objects.azimuth(), columns // objects.N_FEATURES
        angle = (columns % objects.N_FEATURES == objects.PHI) & (slots != scale.met)
        self._per_met = _repeated(np.where(angle, scale.per_met[slots], 0))
        self._sign = _repeated(np.where(angle, -1, 1))
        self._turn = _repeated(np.where(angle, scale.turn[slots], np.inf))
        self._free = ~angle
        self._met, self._k = scale.met * objects.N_FEATURES, len(columns)
        self.reach = objects.MAX_CODE * (1 + int(scale.per_met.max()))  # of an angle, for any words

    def __call__(self, x: NDArray[np.float32], flat: NDArray[np.integer]) -> None:
        """Replace phi in inputs x (n * k,) of codes flat (n, 57)."""
        other = np.repeat(flat[:, self._met + objects.PHI].astype(np.float32), self._k)
        other *= self._per_met[: x.size]
        x -= other
        np.multiply(x, self._sign[: x.size], out=other)
        np.maximum(x, other, out=x)
        np.subtract(self._turn[: x.size], x, out=other)
        np.minimum(x, other, out=x)

    def known(self, flat: NDArray[np.integer]) -> NDArray[np.bool_]:
        """False for the angles of events without MET, bool (n * k,)."""
        known: NDArray[np.bool_] = (flat[:, self._met + objects.PT, None] != 0) | self._free
        return known.reshape(-1)


class Emulator:
    """Runs a frozen network on hardware codes.

    >>> Emulator(network).score(codes)  # doctest: +SKIP
    array([1893,  411, ...], dtype=int32)
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        fmt = network.input.format
        self._layers: list[_Dense] = []
        low, high, fraction = fmt.min_code, fmt.max_code, fmt.fraction
        for layer in network.layers:
            self._layers.append(_dense(layer, low, high, fraction))
            low, high, fraction = layer.output.min_code, layer.output.max_code, layer.output.fraction
        self._inputs = _Inputs(network, np.arange(network.n_inputs))
        # For the score: inputs that reach it, through a weight or by themselves, and outputs that are scored
        scored, needed = np.flatnonzero(network.score.mask), np.flatnonzero(network.used_inputs)
        self._needed, self._scored_layers = _Inputs(network, needed), list(self._layers)
        self._scored_layers[0] = _rows(self._scored_layers[0], needed)
        self._scored_layers[-1] = _columns(self._scored_layers[-1], scored)
        self._scored = np.searchsorted(needed, scored)  # where they are among the inputs that are needed
        self._score = _SCORES.get(network.score.kind, _distance)(network)

    def inputs(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Network input codes int64 (n, n_inputs) of hardware codes (n, 19, 3)."""
        x = np.empty((len(codes), self.network.n_inputs), np.int64)
        for start in range(0, len(codes), _BLOCK):
            x[start : start + _BLOCK] = self._inputs(codes[start : start + _BLOCK])[0]
        return x

    def outputs(self, inputs: NDArray[np.integer]) -> NDArray[np.int64]:
        """Output codes int64 (n, outputs) of network input codes (n, n_inputs): of the last layer, and after them of
        the earlier layer of a distance."""
        y = np.empty((len(inputs), len(self.network.output_fractions)), np.int64)
        for start in range(0, len(inputs), _BLOCK):
            parts = _run(self._layers, inputs[start : start + _BLOCK].astype(np.float32), self.network.observed)
            y[start : start + _BLOCK] = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return y

    def activations(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Output codes of every layer one after another, float32 (n, sum of the outputs), of codes (n, 19, 3)."""
        found = np.empty((len(codes), sum(layer.weight.shape[1] for layer in self._layers)), np.float32)
        every = tuple(range(len(self._layers)))
        for start in range(0, len(codes), _BLOCK):
            x = self._inputs(codes[start : start + _BLOCK])[0]
            found[start : start + _BLOCK] = np.concatenate(_run(self._layers, x, every), axis=1)
        return found

    def score(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """hw_score int32 (n,) of hardware codes (n, 19, 3)."""
        scores = np.empty(len(codes), np.int32)
        masked, drop = self.network.score.kind in MASKED, 2.0**-self.network.score.shift
        for start in range(0, len(codes), _BLOCK):
            x, here = self._needed(codes[start : start + _BLOCK])
            y, *inner = _run(self._scored_layers, x, self.network.observed)
            if masked:
                if len(self._scored) < x.shape[1]:
                    x, here = x.take(self._scored, axis=1), here.take(self._scored, axis=1)
                total = self._score(y, x, here)
            else:
                total = self._score(y, inner[0].compress(self.network.score.mask, axis=1) if inner else None, None)
            scores[start : start + _BLOCK] = total if drop == 1.0 else np.floor(total * drop)
        return scores


Scorer = Callable[[Floats, Floats | None, Floats | None], Floats]


def _distance(network: Network) -> Scorer:
    """Sums of absolute or squared differences: (y, other, here) -> (n,), the scored columns alone."""
    kind, up_other, up = _exact_type(network.scoring.sum_max), *(1 << shift for shift in network.scoring.aligned)
    square = network.score.kind != "masked_l1"

    def score(y: Floats, other: Floats | None, here: Floats | None) -> Floats:
        y = y.astype(kind, copy=False)
        if up != 1:
            y *= kind(up)
        if other is not None:
            y -= other * other.dtype.type(up_other) if up_other != 1 else other
        if square and here is not None:
            y *= here
        elif not square:
            np.abs(y, out=y)
        total: Floats = np.einsum("ij,ij->i", y, y if square or here is None else here)
        return total

    return score


def _tables(network: Network) -> Scorer:
    """Entries of tables, products of two of them, summed."""
    low, kind = network.scoring.last.min_code, _exact_type(network.scoring.sum_max)
    column = np.cumsum(network.score.mask) - 1  # of an output among those that are scored
    terms = [[(column[f.output], f.table.astype(kind)) for f in term] for term in network.score.terms]

    def score(y: Floats, other: Floats | None, here: Floats | None) -> Floats:
        index, total = (y - low).astype(np.intp), np.zeros(len(y), kind)
        for (i, table), *second in terms:
            entry = table.take(index[:, i])
            for j, factor in second:
                entry *= factor.take(index[:, j])
            total += entry
        return total

    return score


def _output(network: Network) -> Scorer:
    """The code of the only output above the least of its format."""
    low = network.scoring.last.min_code
    return lambda y, other, here: y[:, 0] - low


_SCORES: dict[str, Callable[[Network], Scorer]] = {"tables": _tables, "output": _output}


def _run(layers: list[_Dense], x: Floats, keep: tuple[int, ...]) -> list[Floats]:
    """Outputs of the layers named in `keep`."""
    found = {}
    for i, layer in enumerate(layers):
        x = layer(x)
        if i in keep:
            found[i] = x
    return [found[i] for i in keep]


def _rows(layer: _Dense, rows: NDArray[np.intp]) -> _Dense:
    """The layer of these inputs alone."""
    return replace(layer, weight=np.ascontiguousarray(layer.weight[rows]))


def _columns(layer: _Dense, columns: NDArray[np.intp]) -> _Dense:
    """The layer with these outputs alone."""
    return replace(layer, weight=np.ascontiguousarray(layer.weight[:, columns]), bias=layer.bias[columns])


def _repeated(row: NDArray[np.number]) -> NDArray[np.float32]:
    """A row repeated for a block of events: flat operands of one length keep numpy in its vector loops."""
    return np.tile(row.astype(np.float32), _BLOCK)
