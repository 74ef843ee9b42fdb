"""Which integer types hold a network: proved before a line of C++ is written.

The proof is interval arithmetic in Python integers. A sum of a bias and of w_k x_k, x_k in [low_k, high_k], and with
it every partial sum in any order, lies between the sum of all negative and the sum of all positive ends. The narrowest
of int16, int32 and int64 that holds this, the rounding and the shift is taken; a network beyond int64 is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ad40 import objects
from ad40.errors import Ad40Error
from ad40.network import Layer, Network

Interval = tuple[int, int]
_BITS = (16, 32, 64)
_INT32 = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True)
class Dense:
    """A layer with weights, biases and sums in one scale: y = quantise(x @ weight + bias), `shift` bits dropped.

    weight: [n_out][n_in]. bits: of the type that holds every sum. outputs: what each output code can be.
    """

    layer: Layer
    weight: list[list[int]]
    bias: list[int]
    shift: int
    bits: int
    outputs: list[Interval]


@dataclass(frozen=True)
class Input:
    """x = clip(((clamp(code, low, high) - offset) >> right) * left). The clamp changes no result; it keeps every
    int32 inside the arithmetic."""

    index: int
    low: int
    high: int
    offset: int
    right: int
    left: int


@dataclass(frozen=True)
class Plan:
    """What a source is written from. scored: inputs of the score; inputs: those that are scored or connected.
    code_bits, total_bits: of the types that hold the normalisation and the score."""

    layers: list[Dense]
    inputs: list[Input]
    scored: list[int]
    code_bits: int
    total_bits: int


def plan(network: Network) -> Plan:
    """Types and constants of a network. Raises `Ad40Error` when 64 bits do not hold it."""
    fmt = network.input.format
    ranges: list[Interval] = [(fmt.min_code, fmt.max_code)] * objects.N_INPUTS
    fraction = fmt.fraction
    layers: list[Dense] = []
    for layer in network.layers:
        layers.append(_dense(layer, ranges, fraction))
        ranges, fraction = layers[-1].outputs, layer.output.fraction
    scored = np.flatnonzero(network.score.mask).tolist()
    connected = np.flatnonzero(network.layers[0].weight.any(axis=1)).tolist()
    inputs = [_input(network, i) for i in sorted({*connected, *scored})]
    return Plan(layers, inputs, scored, _code_bits(network, inputs), _total_bits(network, layers[-1], scored))


def _narrowest(low: int, high: int, what: str) -> int:
    """Bits of the narrowest type for [low, high]."""
    for bits in _BITS:
        if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1):
            return bits
    raise Ad40Error(f"{what} can reach {max(high, -low)}, more than 64 bits hold; use narrower formats")


def _dense(layer: Layer, ranges: list[Interval], fraction: int) -> Dense:
    """The layer on inputs in `ranges` with `fraction` fraction bits: the same sums as in `ad40.emulator`."""
    product = fraction + layer.weight_format.fraction
    common = max(product, layer.bias_format.fraction)
    weight = [[int(w) << (common - product) for w in row] for row in layer.weight.T]
    bias = [int(b) << (common - layer.bias_format.fraction) for b in layer.bias]
    shift = common - layer.output.fraction
    sums: list[Interval] = []
    for row, b in zip(weight, bias, strict=True):
        ends = [(w * low, w * high) for w, (low, high) in zip(row, ranges, strict=True)]
        low, high = sum(min(*e, 0) for e in ends), sum(max(*e, 0) for e in ends)
        sums.append((low + min(b, 0), high + max(b, 0)))
    low, high = min(s[0] for s in sums), max(s[1] for s in sums)
    room = 1 << abs(shift)  # more than any rounding adds; the factor of a left shift
    if shift < 0:
        low, high = low * room, high * room
    if layer.output.overflow == "WRAP":
        room = max(room, 1 << layer.output.width)
    low, high = min(low - room, *(r[0] for r in ranges)), max(high + room, *(r[1] for r in ranges))
    bits = _narrowest(low, high, f"layer '{layer.name}'")
    return Dense(layer, weight, bias, shift, bits, [_output(layer, s, shift) for s in sums])


def _output(layer: Layer, sums: Interval, shift: int) -> Interval:
    """Bounds of an output's codes."""
    fmt = layer.output
    low, high = (max(end, 0) if layer.activation == "relu" else end for end in sums)
    if shift < 0:
        low, high = low << -shift, high << -shift
    else:  # the floor and the ceiling bound every rounding
        low, high = low >> shift, -(-high >> shift)
    if fmt.overflow == "WRAP" and (low < fmt.min_code or high > fmt.max_code):
        return fmt.min_code, fmt.max_code
    return max(min(low, fmt.max_code), fmt.min_code), min(max(high, fmt.min_code), fmt.max_code)


def _input(network: Network, index: int) -> Input:
    fmt, offset, shift = network.input.format, int(network.input.offset[index]), int(network.input.shift[index])
    right, left = max(shift, 0), max(-shift, 0)
    low, high = fmt.min_code << right >> left, -(-(((fmt.max_code + 1) << right) - 1) >> left)
    # codes are int32, so an end beyond int32 limits nothing
    low, high = max(offset + low, _INT32[0]), min(offset + high, _INT32[1])
    return Input(index, low, high, offset, right, 1 << left)


def _code_bits(network: Network, inputs: list[Input]) -> int:
    ends = [network.input.format.min_code, network.input.format.max_code, *_INT32]
    for i in inputs:
        ends += [i.low - i.offset, i.high - i.offset]
        ends += [((end - i.offset) >> i.right) * i.left for end in (i.low, i.high)]
    return _narrowest(min(ends), max(ends), "the normalisation of the inputs")


def _total_bits(network: Network, last: Dense, scored: list[int]) -> int:
    """Bits of the type that holds both sides in units of the score, each distance, and their sum."""
    up_x = network.score_fraction - network.input.format.fraction
    up_y = network.score_fraction - network.layers[-1].output.fraction
    x_low, x_high = network.input.format.min_code << up_x, network.input.format.max_code << up_x
    reach, total = 1 << max(up_x, up_y), 0
    for i in scored:
        y_low, y_high = (end << up_y for end in last.outputs[i])
        distance = max(x_high - y_low, y_high - x_low)
        reach = max(reach, distance, x_high, -x_low, y_high, -y_low)
        total += distance
    return _narrowest(-reach, max(reach, total), "the score")
