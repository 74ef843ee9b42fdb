"""Networks with any formats, and the score by its definition in Python integers: for tests of exactness."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ad40 import objects, spec
from ad40.fixed import OVERFLOW, ROUNDING, Fixed
from ad40.library_proof import plan
from ad40.menu import Menu, ModelRef, Seed
from ad40.model import Model
from ad40.network import InputStage, Layer, Network
from ad40.score import Factor, Score


def any_network(
    seed: int,
    name: str = "any",
    bits: int = 8,
    kind: str = "masked_l1",
    present: bool = False,
    azimuth: str = "absolute",
) -> Network:
    """Three layers with random formats of up to `bits` fraction bits, roundings, overflows, activations, input shifts
    both ways, and a score of a kind with some of what it may use."""
    rng = np.random.default_rng(seed)

    def any_format(signed: bool, integer: int = 5) -> Fixed:
        return Fixed(signed, int(rng.integers(0, integer)), int(rng.integers(1, bits + 1)), *_modes(rng))

    n_inputs = objects.N_INPUTS + (objects.N_OBJECTS if present else 0)
    last = {"masked_l1": objects.N_INPUTS, "masked_l2": objects.N_INPUTS, "output": 1}.get(kind, 3)
    sizes = (3, 4, 3) if kind == "distance" else (4, last)
    layers, n_in = [], n_inputs
    for i, n_out in enumerate(sizes):
        w, b = any_format(True), any_format(True)
        weight = rng.integers(w.min_code, w.max_code + 1, (n_in, n_out)) * (rng.random((n_in, n_out)) < 0.3)
        bias = rng.integers(b.min_code, b.max_code + 1, n_out)
        activation = ("linear", "relu", "leaky_relu")[rng.integers(2 if kind == "masked_l1" else 3)]
        slope_shift = int(rng.integers(1, 4)) if activation == "leaky_relu" else 0
        # a last layer of few bits: a score must fit in 31
        output = any_format(bool(rng.integers(2))) if i < len(sizes) - 1 else Fixed(True, 2, 4, *_modes(rng))
        if kind == "distance" and i == 0:
            output = Fixed(bool(rng.integers(2)), 2, int(rng.integers(3, 7)), *_modes(rng))
        layers.append(Layer(f"l{i}", weight, w, bias, b, activation, output, slope_shift))
        n_in = n_out
    stage = InputStage(
        rng.integers(-50, 100, objects.N_INPUTS),
        rng.integers(-3, 5, objects.N_INPUTS),
        Fixed(bool(rng.integers(2)), 2, int(rng.integers(2, 7))),
        present,
        azimuth,
    )
    return Network(name, str(seed), spec.objects().hash, stage, tuple(layers), any_score(rng, kind, last))


def spreading_network(kind: str, bits: int, present: bool, azimuth: str = "absolute") -> Network:
    """The first random network of a kind whose scores of some edge codes are not all the same."""
    for seed in range(300, 400):
        network = any_network(seed, bits=bits, kind=kind, present=present, azimuth=azimuth)
        if len(set(score_by_definition(network, edge_codes(network)[:20]))) > 3:
            return network
    raise AssertionError(f"no score of {kind} spreads")


def any_score(rng: np.random.Generator, kind: str, outputs: int) -> Score:
    """A score over a last layer of `outputs` units with codes of 7 bits."""
    shift = 0 if kind == "masked_l1" else int(rng.integers(0, 4))
    if kind == "tables":
        factors = [Factor(int(rng.integers(outputs)), rng.integers(0, 1 << 9, 1 << 7)) for _ in range(6)]
        terms = ((factors[0],), (factors[1], factors[2]), (factors[3],), (factors[4], factors[5]))
        return Score.of_tables(outputs, terms, int(rng.integers(-2, 8)), shift)
    mask = np.ones(1, np.bool_) if kind == "output" else rng.random(outputs) < 0.5
    mask[rng.integers(outputs)] = True
    return Score(kind, mask, shift, "l0" if kind == "distance" else "")


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
    x = codes.astype(object)
    if network.input.azimuth == "met":
        x = angles_by_definition(x)
    x = x.reshape(len(codes), -1) - network.input.offset.astype(object)
    shift = network.input.shift
    x = np.array(
        [[v >> int(s) if s >= 0 else v << -int(s) for v, s in zip(row, shift, strict=True)] for row in x], object
    )
    x = np.minimum(np.maximum(x, fmt.min_code), fmt.max_code)
    here = np.repeat(objects.present(codes), objects.N_FEATURES, axis=1)
    x = np.where(here, x, 0)
    if network.input.azimuth == "met":  # no angles to a MET that is not there
        x[codes[:, 0, objects.PT] == 0, 5::3] = 0
    y, fraction = x, fmt.fraction
    if network.input.present:
        y = np.concatenate([x, objects.present(codes).astype(object) * 2**fraction], axis=1)
    codes_of = {}
    for layer in network.layers:
        product = fraction + layer.weight_format.fraction
        common = max(product, layer.bias_format.fraction)
        y = (y @ layer.weight.astype(object)) * 2 ** (common - product)
        y = y + layer.bias.astype(object) * 2 ** (common - layer.bias_format.fraction)
        if layer.activation == "relu":
            y = np.maximum(y, 0)
        if layer.activation == "leaky_relu":  # in units of the slope
            y, common = np.where(y < 0, y, y * 2**layer.slope_shift), common + layer.slope_shift
        y = np.array([[_quantise(int(v), common, layer.output) for v in row] for row in y], object)
        fraction = layer.output.fraction
        codes_of[layer.name] = (y, fraction)
    score = network.score
    if score.kind == "output":
        terms = y - network.layers[-1].output.min_code
    elif score.kind == "tables":
        low = network.layers[-1].output.min_code
        rows = [[[int(f.table[v[f.output] - low]) for f in term] for term in score.terms] for v in y]
        terms = np.array([[math.prod(term) for term in row] for row in rows], object)
    else:
        other, other_fraction = {"sum_squares": (0 * y, fraction), "distance": codes_of.get(score.layer)}.get(
            score.kind, (x, fmt.fraction)
        )
        fine = max(fraction, other_fraction)
        difference = (y * 2 ** (fine - fraction) - other * 2 ** (fine - other_fraction)) * score.mask
        if score.kind in ("masked_l1", "masked_l2"):
            difference = difference * here
        terms = np.abs(difference) if score.kind == "masked_l1" else difference**2
    return [int(v) // 2**score.shift for v in terms.sum(axis=1)]


def angles_by_definition(codes: np.ndarray) -> np.ndarray:
    """The azimuth "met" for codes (n, 19, 3) of Python integers. Codes beyond any word count as the largest one."""
    types, result = spec.objects(), codes.copy()
    for event in result:
        limited = [min(max(phi, -objects.MAX_CODE), objects.MAX_CODE) for phi in event[:, objects.PHI]]
        for slot, kind in enumerate(types.slots):
            if kind.name != "met":
                d = abs(limited[slot] - kind.phi.steps // types["met"].phi.steps * limited[0])
                event[slot, objects.PHI] = min(d, kind.phi.steps - d)
    return result


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
