"""Model cards: what is read, and one refusal per mistake."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.errors import SpecError
from ad40.files import read_yaml, write_yaml
from ad40.score import Scoring
from models.card import parse_card, read_card

RELEASED = Path(__file__).parents[2] / "models" / "ad40_v1" / "model.yaml"


@pytest.fixture
def document():
    return copy.deepcopy(read_yaml(RELEASED))


def refused(document, path: str, expected: str):
    with pytest.raises(SpecError) as caught:
        parse_card(document, "card.yaml")
    assert (caught.value.file, caught.value.field) == ("card.yaml", path)
    assert expected in caught.value.expected
    assert str(caught.value.value) in str(caught.value)


def test_released_card_is_read():
    card = read_card(RELEASED)
    assert card.layers[-1].units == 57
    assert card.name == RELEASED.parent.name, "the folder of a released model carries its name"


def test_card_survives_writing(tmp_path, document):
    write_yaml(tmp_path / "card.yaml", document)
    assert read_card(tmp_path / "card.yaml") == parse_card(document, "card.yaml")


def test_input_stage_follows_the_slots(document):
    document["input"]["features"]["muon"]["pt"] = {"offset": 1, "shift": 3, "range": [0, 100]}
    card = parse_card(document, "card.yaml")
    stage = card.input_stage(spec.objects())
    assert stage.offset.shape == stage.shift.shape == (57,)
    assert stage.shift[3 * 5 :: 3][:4].tolist() == [3] * 4, "muons are slots 5 to 8"
    assert (stage.offset[1], stage.shift[1]) == (0, 0), "MET has no eta"


def test_score_mask(document):
    document["score"]["features"] = ["met.pt", "muon.eta"]
    mask = parse_card(document, "card.yaml").scored_inputs(spec.objects())
    assert np.flatnonzero(mask).tolist() == [0, 16, 19, 22, 25]


def test_connected_defaults_to_everything(document):
    document["input"].pop("connected", None)
    mask = parse_card(document, "card.yaml").input_mask(spec.objects())
    assert np.flatnonzero(~mask).tolist() == [1], "all but the eta that MET does not have"


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ((), "colour"),
        (("input",), "input.colour"),
        (("input", "features"), "input.features.colour"),
        (("input", "features", "jet", "pt"), "input.features.jet.pt.colour"),
        (("input", "format"), "input.format.colour"),
        (("layers", 1), "layers[1].colour"),
        (("layers", 0, "weight"), "layers[0].weight.colour"),
        (("score",), "score.colour"),
        (("training",), "training.colour"),
    ],
)
def test_unknown_key_is_refused(document, where, path):
    node = document
    for key in where:
        node = node[key]
    node["colour"] = "blue"
    refused(document, path, "one of")


def test_missing_key_is_refused(document):
    del document["layers"][0]["bias"]
    refused(document, "layers[0].bias", "a value")


def test_bits_that_cannot_hold_the_range_are_refused(document):
    document["input"]["features"]["jet"]["pt"] = {"offset": 0, "shift": 0, "range": [0, 900]}
    refused(document, "input.features.jet.pt.range[1]", "a range that the input format holds: 900 becomes 1800")


def test_bits_that_cannot_hold_the_lower_end_are_refused(document):
    document["input"]["features"]["jet"]["eta"] = {"offset": 0, "shift": -3, "range": [-4.0, 0.1]}
    refused(document, "input.features.jet.eta.range[0]", "a range that the input format holds")


def test_range_beyond_the_scale_is_refused(document):
    document["input"]["features"]["egamma"]["pt"] = {"offset": 0, "shift": 4, "range": [0, 600]}
    refused(document, "input.features.egamma.pt.range[1]", "a pt that the egamma scale reaches")


def test_reversed_range_is_refused(document):
    document["input"]["features"]["met"]["pt"]["range"] = [100, 0]
    refused(document, "input.features.met.pt.range", "low < high")


def test_wrong_number_of_outputs_is_refused(document):
    document["layers"][-1]["units"] = 56
    refused(document, "layers", "57")


def test_signed_output_after_relu_is_refused(document):
    document["layers"][0]["activation"] = "relu"
    document["layers"][0]["output"]["signed"] = True
    refused(document, "layers[0].output", "an unsigned format after relu")


def test_rounding_that_qkeras_lacks_is_refused(document):
    document["layers"][0]["weight"]["rounding"] = "TRN"
    refused(document, "layers[0].weight", "RND_CONV and SAT")


def test_unknown_feature_is_refused(document):
    document["score"]["features"] = ["met.eta"]
    refused(document, "score.features[0]", "met.pt")


def test_feature_given_twice_is_refused(document):
    document["score"]["features"] = ["met.pt", "met.pt"]
    refused(document, "score.features", "none of them twice")


def test_unknown_activation_is_refused(document):
    document["layers"][0]["activation"] = "tanh"
    refused(document, "layers[0].activation", "relu")


def test_layer_name_used_twice_is_refused(document):
    document["layers"][1]["name"] = document["layers"][0]["name"]
    refused(document, "layers", "a different name")


def test_name_that_is_no_name_is_refused(document):
    document["name"] = "../elsewhere"
    refused(document, "name", "letters, digits")


OUTPUT = {"signed": True, "integer": 2, "fraction": 4}
SCORES = {
    "masked_l2": {"features": ["met.pt", "jet.pt"], "shift": 4},
    "sum_squares": {"outputs": [0, 2]},
    "distance": {"layer": "latent", "shift": 2},
    "kl": {"mean": [0, 1], "log_variance": [2, 3], "fraction": 4, "bits": 10},
    "rz": {"mean": [0, 1], "log_variance": [3, 2], "fraction": 5, "bits": 12, "shift": 3},
    "output": {},
}
UNITS = {"masked_l2": 57, "output": 1, "distance": 3}


def with_score(document, kind: str, **changes):
    """The released card with another score, and as many units in the last layer as it wants."""
    document["score"] = {"kind": kind, **SCORES[kind], **changes}
    document["layers"][-1] |= {"units": UNITS.get(kind, 4), "output": OUTPUT}
    return document


@pytest.mark.parametrize("kind", SCORES)
def test_every_score_is_read_and_frozen(document, kind):
    card = parse_card(with_score(document, kind), "card.yaml")
    frozen = card.frozen_score(spec.objects())
    assert frozen.kind == {"kl": "tables", "rz": "tables"}.get(kind, kind)
    assert frozen.mask.shape == (card.layers[-1].units,) and frozen.shift == SCORES[kind].get("shift", 0)
    assert [layer.name for layer in card.observed] == ["reconstruction"] + ["latent"] * (kind == "distance")


@pytest.mark.parametrize("kind", ["kl", "rz"])
def test_tables_follow_their_definition(document, kind):
    """Every code of a mean and a log variance against the formula in real numbers: half an entry off at most."""
    card = parse_card(with_score(document, kind, bits=24, shift=0), "card.yaml")
    frozen, last = card.frozen_score(spec.objects()), card.layers[-1].output
    codes = np.arange(last.min_code, last.max_code + 1)
    pairs = np.stack(np.meshgrid(codes, codes), -1).reshape(-1, 2)
    outputs = np.zeros((len(pairs), 4), np.int64)
    mean, log_variance = SCORES[kind]["mean"][0], SCORES[kind]["log_variance"][0]
    outputs[:, mean], outputs[:, log_variance] = pairs.T
    m, v = last.dequantise(pairs).T
    value = Scoring(frozen, None, last)(outputs, None, None) * 2.0**-frozen.term_fraction
    half = 0.5 * 2.0 ** -SCORES[kind]["fraction"]
    if kind == "kl":  # an output at 0 adds nothing: its mean is 0, its variance 1
        assert np.abs(value - (m**2 + np.exp(v) - v - 1) / 2).max() <= 2 * half
    else:
        assert (np.abs(value - m**2 * np.exp(-v)) <= half * (m**2 + np.exp(-v) + half)).all()


def test_a_table_saturates(document):
    card = parse_card(with_score(document, "rz", bits=6), "card.yaml")
    tables = [factor.table for term in card.frozen_score(spec.objects()).terms for factor in term]
    assert max(int(table.max()) for table in tables) == 63


def test_presence_is_an_input(document):
    document["input"]["connected"] = ["muon.pt", "jet.present"]
    card = parse_card(document, "card.yaml")
    assert card.n_inputs == 76 and card.input_stage(spec.objects()).present
    assert np.flatnonzero(card.input_mask(spec.objects())).tolist() == [15, 18, 21, 24, *range(57 + 9, 57 + 19)]


def test_presence_needs_a_bit_for_one(document):
    document["input"]["connected"] = ["muon.pt", "jet.present"]
    document["input"]["format"] = {"signed": False, "integer": 0, "fraction": 8}
    refused(document, "input.format", "a format that holds 1")


def test_phi_may_be_measured_from_met(document):
    absolute = parse_card(document, "card.yaml")
    document["input"]["azimuth"] = "absolute"
    assert parse_card(document, "card.yaml").input_stage(spec.objects()).azimuth == absolute.azimuth == "absolute"
    document["input"]["azimuth"] = "met"
    refused(document, "input.features.egamma.phi.range[1]", "an angle of egamma to MET, 0 to pi rad")
    for name in ("egamma", "muon", "jet"):
        document["input"]["features"][name]["phi"] = {
            "offset": 0,
            "shift": 3 + 2 * (name == "muon"),
            "range": [0, 3.14159],
        }
    stage = parse_card(document, "card.yaml").input_stage(spec.objects())
    assert stage.azimuth == "met" and np.flatnonzero(stage.angles).tolist() == list(range(5, 57, 3))
    document["input"]["features"]["jet"]["phi"]["range"] = [-0.1, 3]
    refused(document, "input.features.jet.phi.range[0]", "an angle of jet to MET, 0 to pi rad")
    document["input"]["azimuth"] = "jet"
    refused(document, "input.azimuth", "one of absolute, met")


def test_a_leaky_slope_is_a_power_of_two(document):
    document["layers"][0] |= {"activation": "leaky_relu", "slope": 0.125}
    assert parse_card(document, "card.yaml").layers[0].slope_shift == 3
    document["layers"][0]["slope"] = 0.1
    refused(document, "layers[0].slope", "a power of two")
    document["layers"][0]["activation"] = "linear"
    refused(document, "layers[0].slope", "one of")


@pytest.mark.parametrize(
    ("kind", "changes", "path", "expected"),
    [
        ("masked_l2", {"outputs": [0]}, "score.outputs", "one of"),
        ("sum_squares", {"outputs": [4]}, "score.outputs[0]", "an integer from 0 to 3"),
        ("sum_squares", {"outputs": [1, 1]}, "score.outputs", "none of them twice"),
        ("sum_squares", {"shift": 21}, "score.shift", "an integer from 0 to 20"),
        ("sum_squares", {"shift": 20}, "score", "a smaller shift"),
        ("distance", {"layer": "decoder"}, "score.layer", "a layer of 3 units"),
        ("distance", {"layer": "reconstruction"}, "score.layer", "one of latent, decoder"),
        ("kl", {"log_variance": [2]}, "score.log_variance", "as many outputs"),
        ("kl", {"log_variance": [1, 2]}, "score.log_variance", "and others"),
        ("rz", {"fraction": 13}, "score.fraction", "an integer from 0 to 12"),
        ("rz", {"bits": 24, "fraction": 20, "shift": 0}, "score", "a larger shift"),
    ],
)
def test_mistakes_in_a_score_are_named(document, kind, changes, path, expected):
    refused(with_score(document, kind, **changes), path, expected)


def test_a_score_with_the_wrong_number_of_outputs_is_refused(document):
    document["score"] = {"kind": "output"}
    refused(document, "layers", "1 for the score output")
