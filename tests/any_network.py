"""Networks with any formats, and the score by its definition in Python integers: for tests of exactness."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ad40 import objects, spec
from ad40.fixed import OVERFLOW, ROUNDING, Fixed
from ad40.library_proof import plan
from ad40.menu import Menu, ModelRef, Seed
from ad40.model import Model
from ad40.network import InputStage, Layer, Network, Score


def any_network(seed: int, name: str = "any", bits: int = 8) -> Network:
    """Two layers 57-4-57 with random formats of up to `bits` fraction bits, roundings, overflows, activations, input
    shifts both ways, and a third of the inputs scored."""
    rng = np.random.default_rng(seed)

    def any_format(signed: bool, integer: int = 5) -> Fixed:
        return Fixed(
            signed,
            int(rng.integers(0, integer)),
            int(rng.integers(1, bits + 1)),
            ROUNDING[rng.integers(3)],
            OVERFLOW[rng.integers(2)],
        )

    layers, n_in = [], objects.N_INPUTS
    for i, n_out in enumerate((4, objects.N_INPUTS)):
        w, b = any_format(True), any_format(True)
        weight = rng.integers(w.min_code, w.max_code + 1, (n_in, n_out)) * (rng.random((n_in, n_out)) < 0.3)
        bias = rng.integers(b.min_code, b.max_code + 1, n_out)
        activation = ("linear", "relu")[rng.integers(2)]
        # a last layer of few bits: a score must fit in 31
        output = any_format(bool(rng.integers(2))) if i == 0 else Fixed(True, 2, 4, *_modes(rng))
        layers.append(Layer(f"l{i}", weight, w, bias, b, activation, output))
        n_in = n_out
    mask = rng.random(objects.N_INPUTS) < 0.35
    mask[rng.integers(objects.N_INPUTS)] = True
    stage = InputStage(
        rng.integers(-50, 100, objects.N_INPUTS),
        rng.integers(-3, 5, objects.N_INPUTS),
        Fixed(bool(rng.integers(2)), 2, int(rng.integers(2, 7))),
    )
    return Network(name, str(seed), spec.objects().hash, stage, tuple(layers), Score("masked_l1", mask))


def network_reaching(top: int) -> Network:
    """One output with weights; its sum before rounding, and what the rounding needs, reach exactly `top`."""
    w, rest = divmod(top - 8, 63)  # an output drops 3 bits; inputs reach 63
    weight = np.zeros((objects.N_INPUTS, objects.N_INPUTS), np.int64)
    weight[3:6, 0] = w // 3, w - w // 3 - w // 5, w // 5
    bias = np.zeros(objects.N_INPUTS, np.int64)
    bias[0] = rest
    layer = Layer("only", weight, Fixed(True, 12, 4), bias, Fixed(True, 1, 8), "linear", Fixed(True, 6, 5))
    flat = np.zeros(objects.N_INPUTS, np.int64)
    stage = InputStage(flat, flat, Fixed(False, 2, 4))
    mask = np.arange(objects.N_INPUTS) == 0
    return Network("reaching", str(top), spec.objects().hash, stage, (layer,), Score("masked_l1", mask))


def _modes(rng: np.random.Generator) -> tuple[str, str]:
    return ROUNDING[rng.integers(3)], OVERFLOW[rng.integers(2)]


def any_model(network: Network) -> Model:
    """With a menu of one seed in all bunch crossings and one in two ranges."""
    cut = max(1, network.score_max // 8)
    seeds = (Seed("Everywhere", network.name, cut), Seed("Trains", network.name, 2 * cut, bx=((0, 9), (3000, 3563))))
    return Model(Path("any"), network, Menu((ModelRef(network.name, network.hash),), network.spec_hash, seeds))


def score_by_definition(network: Network, codes: np.ndarray) -> list[int]:
    """hw_score of codes int32 (n, 19, 3) of any size, in Python integers without bound."""
    fmt = network.input.format
    x = codes.reshape(len(codes), -1).astype(object) - network.input.offset.astype(object)
    shift = network.input.shift
    x = np.array(
        [[v >> int(s) if s >= 0 else v << -int(s) for v, s in zip(row, shift, strict=True)] for row in x], object
    )
    x = np.minimum(np.maximum(x, fmt.min_code), fmt.max_code)
    here = np.repeat(objects.present(codes), objects.N_FEATURES, axis=1)
    x = np.where(here, x, 0)
    y, fraction = x, fmt.fraction
    for layer in network.layers:
        product = fraction + layer.weight_format.fraction
        common = max(product, layer.bias_format.fraction)
        y = (y @ layer.weight.astype(object)) * 2 ** (common - product)
        y = y + layer.bias.astype(object) * 2 ** (common - layer.bias_format.fraction)
        if layer.activation == "relu":
            y = np.maximum(y, 0)
        y = np.array([[_quantise(int(v), common, layer.output) for v in row] for row in y], object)
        fraction = layer.output.fraction
    up_x, up_y = network.score_fraction - fmt.fraction, network.score_fraction - fraction
    distance = np.abs(x * 2**up_x - y * 2**up_y) * (here & network.score.mask)
    return [int(v) for v in distance.sum(axis=1)]


def _quantise(value: int, fraction: int, to: Fixed) -> int:
    """One value with `fraction` fraction bits to the format `to`, by the words of UG1399."""
    drop = fraction - to.fraction
    if drop <= 0:
        value <<= -drop
    else:
        unit = 1 << drop
        low, rest = divmod(value, unit)
        up = 2 * rest >= unit if to.rounding == "RND" else 2 * rest > unit or (2 * rest == unit and low % 2 == 1)
        value = low + (to.rounding != "TRN" and up)
    if to.overflow == "SAT":
        return min(max(value, to.min_code), to.max_code)
    value %= 1 << to.width
    return value - (1 << to.width) if value > to.max_code else value


def edge_codes(network: Network, seed: int = 3) -> np.ndarray:
    """Events int32 (n, 19, 3) at the ends of every field, of every input's range and of int32: one input after the
    other beside a full and an empty event, then all inputs at random ends."""
    rng = np.random.default_rng(seed)
    field = objects._tables()
    ends = {i: {0, 1, -1, -(1 << 31), (1 << 31) - 1} for i in range(objects.N_INPUTS)}
    for i in range(objects.N_INPUTS):
        ends[i] |= {int(field.low.flat[i]), int(field.high.flat[i])}
    for stage in plan(network).inputs:
        ends[stage.index] |= {end + d for end in (stage.low, stage.high) for d in (-1, 0, 1)}
    values = [np.array([v for v in sorted(e) if -(1 << 31) <= v < 1 << 31]) for e in ends.values()]
    events = [np.array([rng.choice(v) for v in values]) for _ in range(200)]
    for i, v in enumerate(values):
        for value in v:
            for rest in (field.high.ravel(), np.zeros(objects.N_INPUTS, np.int64)):
                events.append(np.array(rest, np.int64))
                events[-1][i] = value
    return np.array(events).astype(np.int32).reshape(-1, objects.N_OBJECTS, objects.N_FEATURES)
