"""The emulator against the definition in exact Python integers, and against itself cut in pieces."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import objects, spec
from ad40.emulator import Emulator
from ad40.errors import Ad40Error
from ad40.fixed import OVERFLOW, ROUNDING, Fixed
from ad40.network import AZIMUTHS, InputStage, Layer, Network, Score, output_codes, score_codes
from ad40.score import KINDS
from tests.any_network import any_network, score_by_definition
from tests.conftest import make_network


def reference_outputs(network: Network, inputs: np.ndarray) -> np.ndarray:
    """The network by its definition: accumulators as Python integers of any size."""
    x, fraction = inputs.astype(object), network.input.format.fraction
    for layer in network.layers:
        product = fraction + layer.weight_format.fraction
        common = max(product, layer.bias_format.fraction)
        acc = (x @ layer.weight.astype(object)) * 2 ** (common - product)
        acc = acc + layer.bias.astype(object) * 2 ** (common - layer.bias_format.fraction)
        if layer.activation == "relu":
            acc = np.maximum(acc, 0)
        x = layer.output.quantise_codes(acc.astype(np.int64), common).astype(object)
        fraction = layer.output.fraction
    return x.astype(np.int64)


def test_outputs_follow_the_definition(network: Network, codes: np.ndarray) -> None:
    emulator = Emulator(network)
    x = emulator.inputs(codes)
    y = emulator.outputs(x)
    assert np.array_equal(y, reference_outputs(network, x))
    assert np.array_equal(emulator.score(codes), score_codes(network, x, y, objects.present(codes)))
    assert len(np.unique(emulator.score(codes))) > 100


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_formats(data: st.DataObject, codes: np.ndarray) -> None:
    """Random formats, roundings and overflows in every layer, biases finer than products, left shifts."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def draw_format(signed: bool) -> Fixed:
        return Fixed(
            signed,
            data.draw(st.integers(0, 5)),
            data.draw(st.integers(1, 8)),
            data.draw(st.sampled_from(ROUNDING)),
            data.draw(st.sampled_from(OVERFLOW)),
        )

    layers, n_in = [], 57
    for i, n_out in enumerate((5, 57)):
        w, b = draw_format(True), draw_format(True)
        layers.append(
            Layer(
                f"l{i}",
                rng.integers(w.min_code, w.max_code + 1, (n_in, n_out)),
                w,
                rng.integers(b.min_code, b.max_code + 1, n_out),
                b,
                data.draw(st.sampled_from(("linear", "relu"))),
                draw_format(data.draw(st.booleans())),
            )
        )
        n_in = n_out
    mask = rng.random(57) < 0.7
    mask[0] = True
    stage = InputStage(
        rng.integers(-50, 100, 57), rng.integers(-2, 4, 57), Fixed(True, 2, data.draw(st.integers(3, 6)))
    )
    network = Network("any", "0", "0" * 64, stage, tuple(layers), Score("masked_l1", mask))
    emulator = Emulator(network)
    x = emulator.inputs(codes[:200])
    y = emulator.outputs(x)
    assert np.array_equal(y, reference_outputs(network, x))
    scores = emulator.score(codes[:200])
    assert np.array_equal(scores, score_codes(network, x, y, objects.present(codes[:200])))
    assert scores.max() <= network.score_max


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), present=st.booleans(), azimuth=st.sampled_from(AZIMUTHS)
)
def test_every_score_follows_its_definition(
    seed: int, kind: str, present: bool, azimuth: str, codes: np.ndarray
) -> None:
    network = any_network(seed, kind=kind, present=present, azimuth=azimuth)
    some = codes[:120]
    emulator = Emulator(network)
    x = emulator.inputs(some)
    y = emulator.outputs(x)
    scores = emulator.score(some)
    assert scores.tolist() == score_by_definition(network, some)
    assert np.array_equal(y, output_codes(network, x))
    assert np.array_equal(scores, score_codes(network, x, y, objects.present(some)))
    assert scores.min() >= 0 and scores.max() <= network.score_max


def test_the_scores_of_that_test_spread(codes: np.ndarray) -> None:
    for kind in KINDS:
        spread = [len(np.unique(Emulator(any_network(seed, kind=kind)).score(codes[:500]))) for seed in range(12)]
        assert sum(n > 5 for n in spread) >= 6, f"{kind}: {spread}"


def test_inputs_follow_the_definition(network: Network, codes: np.ndarray) -> None:
    flat = codes.reshape(len(codes), 57).astype(np.int64)
    fmt = network.input.format
    expected = np.clip((flat - network.input.offset) >> network.input.shift, fmt.min_code, fmt.max_code)
    expected[~np.repeat(objects.present(codes), 3, axis=1)] = 0
    assert np.array_equal(Emulator(network).inputs(codes), expected)


def test_angles_to_met_over_all_pairs_of_codes() -> None:
    """Every phi of MET with every phi of an object of each type, as angles on the circle."""
    types = spec.objects()
    met = types["met"].phi.steps
    for kind in types.types[1:]:
        turn, slot = kind.phi.steps, kind.first_slot
        codes = np.zeros((met * turn, 19, 3), np.int16)
        codes[:, [0, slot], objects.PT] = 7
        codes[:, 0, objects.PHI], codes[:, slot, objects.PHI] = (v.ravel() for v in np.mgrid[:met, :turn])
        found = objects.angles_to_met(codes)
        difference = 2 * np.pi * (codes[:, slot, objects.PHI] / turn - codes[:, 0, objects.PHI] / met)
        angle = np.abs(np.angle(np.exp(1j * difference)))
        assert np.array_equal(found[:, slot, objects.PHI], np.rint(angle / kind.phi.lsb)), kind.name
        assert np.array_equal(found[:, slot, : objects.PHI], codes[:, slot, : objects.PHI])
        assert np.array_equal(found[:, 0], codes[:, 0]), "phi of MET stays as it is"
        assert set(found[:, slot, objects.PHI]) == set(range(turn // 2 + 1))


def test_a_rotated_event_has_the_same_inputs(network: Network, codes: np.ndarray) -> None:
    stage = replace(network.input, azimuth="met")
    used = np.arange(57) != objects.PHI  # phi of MET, which turns
    emulator = Emulator(replace(network, input=stage))
    turned = codes.copy()
    for kind in spec.objects().types:
        phi = turned[:, kind.slots, objects.PHI]
        phi[:] = (phi + 17 * kind.phi.steps // 144) % kind.phi.steps
    turned[~objects.present(turned)] = 0
    some, before = objects.present(codes)[:, 0], emulator.inputs(codes)
    assert np.array_equal(before[:, used], emulator.inputs(turned)[:, used])
    assert 0 < some.sum() < len(codes) and before[some, 5::3].any() and not before[~some, 5::3].any()
    turned[~some, 0, objects.PHI] = 99  # of an absent MET: a word may hold anything
    assert np.array_equal(before[:, used], emulator.inputs(turned)[:, used])


def test_the_empty_event_scores_zero(network: Network) -> None:
    assert Emulator(network).score(np.zeros((1, 19, 3), np.int32)).tolist() == [0]


def test_batches_do_not_matter(network: Network, codes: np.ndarray) -> None:
    emulator = Emulator(network)
    whole = emulator.score(codes)
    assert np.array_equal(np.concatenate([emulator.score(part) for part in np.array_split(codes, 17)]), whole)
    assert emulator.score(codes[:0]).shape == (0,)


def test_a_network_that_floats_cannot_hold_exactly_is_refused() -> None:
    network = make_network(sizes=(57, 57))
    wide = Fixed(True, 0, 50)
    layer = network.layers[0]
    heavy = Layer("wide", np.full((57, 57), wide.max_code), wide, layer.bias, layer.bias_format, "linear", layer.output)
    with pytest.raises(Ad40Error, match="more than double precision holds exactly"):
        Emulator(Network("wide", "0", "0" * 64, network.input, (heavy,), network.score))
