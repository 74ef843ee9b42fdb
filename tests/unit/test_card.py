"""Model cards: what is read, and one refusal per mistake."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.errors import SpecError
from ad40.files import read_yaml, write_yaml
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
    mask = parse_card(document, "card.yaml").score_mask(spec.objects())
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
