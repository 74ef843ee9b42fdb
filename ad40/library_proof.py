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
    int32 inside the arithmetic. Of an angle to MET, code is `objects.angles_to_met`, and turn is not 0."""

    index: int
    low: int
    high: int
    offset: int
    right: int
    left: int
    turn: int
    per_met: int


@dataclass(frozen=True)
class Plan:
    """What a source is written from. kept: an earlier layer that the score reads; inputs: those that are scored or
    connected; present: objects whose presence is connected; scored: outputs of the last layer that enter the score.
    code_bits, total_bits: of the types that hold the normalisation and the score."""

    layers: list[Dense]
    kept: tuple[int, ...]
    inputs: list[Input]
    present: list[int]
    scored: list[int]
    code_bits: int
    total_bits: int


def plan(network: Network) -> Plan:
    """Types and constants of a network. Raises `Ad40Error` when 64 bits do not hold it."""
    fmt = network.input.format
    ranges: list[Interval] = [(fmt.min_code, fmt.max_code)] * objects.N_INPUTS
    ranges += [(0, network.input.one)] * (network.n_inputs - objects.N_INPUTS)
    fraction = fmt.fraction
    layers: list[Dense] = []
    for layer in network.layers:
        layers.append(_dense(layer, ranges, fraction))
        ranges, fraction = layers[-1].outputs, layer.output.fraction
    scored = np.flatnonzero(network.score.mask).tolist()
    used = np.flatnonzero(network.used_inputs).tolist()
    inputs = [_input(network, i) for i in used if i < objects.N_INPUTS]
    present = [i - objects.N_INPUTS for i in used if i >= objects.N_INPUTS]
    bits = _code_bits(network, inputs), _total_bits(network, layers, scored)
    return Plan(layers, network.observed[1:], inputs, present, scored, *bits)


def _narrowest(low: int, high: int, what: str) -> int:
    """Bits of the narrowest type for [low, high]."""
    for bits in _BITS:
        if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1):
            return bits
    raise Ad40Error(f"{what} can reach {max(high, -low)}, more than 64 bits hold; use narrower formats")


def _dense(layer: Layer, ranges: list[Interval], fraction: int) -> Dense:
    """The layer on inputs in `ranges` with `fraction` fraction bits: the same sums as in `ad40.emulator`."""
    product = fraction + layer.weight_format.fraction
    common = max(product, layer.bias_format.fraction) + layer.slope_shift
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
    low, high = (end >> layer.slope_shift if end < 0 else end for end in (low, high))
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
    turn = per_met = 0
    if network.input.angles[index]:
        scale, slot = objects.azimuth(), index // objects.N_FEATURES
        turn, per_met = int(scale.turn[slot]), int(scale.per_met[slot])
    return Input(index, low, high, offset, right, 1 << left, turn, per_met)


def _code_bits(network: Network, inputs: list[Input]) -> int:
    ends = [network.input.format.min_code, network.input.format.max_code, *_INT32]
    for i in inputs:
        ends += [i.low - i.offset, i.high - i.offset]
        ends += [((end - i.offset) >> i.right) * i.left for end in (i.low, i.high)]
        reach = objects.MAX_CODE * (1 + i.per_met)  # of the difference to MET, both limited to codes
        ends += [reach, i.turn - reach]
    return _narrowest(min(ends), max(ends), "the normalisation of the inputs")


def _total_bits(network: Network, layers: list[Dense], scored: list[int]) -> int:
    """Bits of the type that holds both sides in units of the score, each term, and their sum."""
    scoring, last = network.scoring, layers[-1]
    codes = [last.outputs[i] for i in scored]
    if network.score.kind in ("tables", "output"):
        low, high = scoring.last.min_code, scoring.last.max_code  # an index is a code less the least one
        return _narrowest(low, max(high - low, scoring.sum_max), "the score")
    up_other, up = scoring.aligned
    others: list[Interval] = [(0, 0)] * len(scored)
    if network.score.kind == "distance":
        others = [layers[network.observed[1]].outputs[i] for i in scored]
    elif scoring.other:
        others = [(scoring.other.min_code, scoring.other.max_code)] * len(scored)
    reach, total = 1 << max(up_other, up), 0
    for (low, high), (other_low, other_high) in zip(codes, others, strict=True):
        y, x = (low << up, high << up), (other_low << up_other, other_high << up_other)
        distance = max(x[1] - y[0], y[1] - x[0])
        term = distance if network.score.kind == "masked_l1" else distance**2
        reach = max(reach, term, x[1], -x[0], y[1], -y[0])
        total += term
    return _narrowest(-reach, max(reach, total), "the score")
