"""First rung of the ladder: QKeras (float32) against the integer emulator, output by output.

Below 2^24 every float32 sum of these integers is exact, so that narrow networks must agree on every output. A
network with wide weights leaves that range; there QKeras may be one LSB off, in a counted few outputs.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.files import read_yaml
from ad40.model import read_model
from ad40.network import score_codes
from ad40.objects import encode, present
from models.card import LOSSES as LOSS_NAMES
from models.card import parse_card, read_card
from tests.conftest import random_events
from training.freeze import edge_events, freeze_network

if importlib.util.find_spec("qkeras") is None:  # importing it here would choose the wrong Keras
    pytest.skip("QKeras is not installed (training extra)", allow_module_level=True)
from models import build

RELEASED = Path(__file__).parents[2] / "models" / "ad40_v1"


def hardware_events(n: int) -> np.ndarray:
    edges = edge_events(spec.objects(), np.random.default_rng(3))
    return np.concatenate([edges, encode(random_events(n, seed=11)).codes])


def model_with_random_weights(card, seed: int):
    """A QKeras model whose weights are random codes of the card's formats, half of them zero."""
    model, rng = build.build(card), np.random.default_rng(seed)
    for layer in card.layers:
        dense = model.get_layer(layer.name)
        drawn = []
        for fmt, array in zip((layer.weight, layer.bias), dense.get_weights(), strict=True):
            codes = rng.integers(fmt.min_code, fmt.max_code + 1, array.shape)
            drawn.append(fmt.dequantise(codes * (rng.random(array.shape) < 0.5)))
        dense.set_weights(drawn)
    return model


@pytest.mark.parametrize("seed", [1, 2])
def test_narrow_networks_agree_on_every_output(seed):
    card = parse_card(read_yaml(RELEASED / "model.yaml"), "model.yaml")
    model = model_with_random_weights(card, seed)
    emulator = Emulator(freeze_network(model, card))
    inputs = emulator.inputs(hardware_events(3000))
    own, qkeras = emulator.outputs(inputs), build.predict_codes(model, card, inputs)
    assert len(np.unique(own)) > 10, "outputs spread"
    assert int((own != qkeras).sum()) == 0


def test_wide_networks_differ_by_float32_rounding_only():
    document = copy.deepcopy(read_yaml(RELEASED / "model.yaml"))
    for layer in document["layers"]:
        layer["weight"] = layer["bias"] = {"signed": True, "integer": 0, "fraction": 15}
        layer["output"] |= {"integer": 6, "fraction": 12}
    card = parse_card(document, "model.yaml")
    model = model_with_random_weights(card, 3)
    emulator = Emulator(freeze_network(model, card))
    inputs = emulator.inputs(hardware_events(2000))
    own, qkeras = emulator.outputs(inputs), build.predict_codes(model, card, inputs)
    # one LSB in a hidden layer becomes at most the sum of a row of weights of the next: a few dozen LSBs
    off = np.abs(own - qkeras)
    assert off.max() * card.layers[-1].output.lsb < 0.05
    assert (off > 0).mean() < 0.5
    assert len(np.unique(own)) > 1000


def test_the_losses_are_those_that_cards_may_name():
    from training.losses import LOSSES  # imports TensorFlow, which models.build has chosen the Keras of
    from training.prepare import PREPARE

    assert tuple(LOSSES) == tuple(PREPARE) == tuple(LOSS_NAMES)


def test_released_weights_are_the_frozen_integers():
    released, card = read_model(RELEASED), read_card(RELEASED / "model.yaml")
    model = build.load(RELEASED)
    assert freeze_network(model, card).hash == released.network.hash
    codes = hardware_events(3000)
    emulator = Emulator(released.network)
    inputs = emulator.inputs(codes)
    outputs = build.predict_codes(model, card, inputs)
    assert int((outputs != emulator.outputs(inputs)).sum()) == 0
    assert np.array_equal(score_codes(released.network, inputs, outputs, present(codes)), emulator.score(codes))


def test_weights_of_another_card_are_refused(tmp_path):
    document = copy.deepcopy(read_yaml(RELEASED / "model.yaml"))
    document["layers"][0]["units"] += 1
    (tmp_path / "weights.h5").write_bytes((RELEASED / "weights.h5").read_bytes())
    from ad40.files import write_yaml

    write_yaml(tmp_path / "model.yaml", document)
    with pytest.raises(InputError, match=r"weights.h5: weights is .*; expected the weights of this model card"):
        build.load(tmp_path)


def test_missing_weights_are_refused(tmp_path):
    (tmp_path / "model.yaml").write_bytes((RELEASED / "model.yaml").read_bytes())
    with pytest.raises(InputError, match=r"weights.h5"):
        build.load(tmp_path)


def test_tensorflow_imported_without_the_switch_is_named():
    import subprocess
    import sys

    script = "import os; os.environ.pop('TF_USE_LEGACY_KERAS', None)\n"
    use = "import tensorflow as tf; tf.keras.Model\nimport models.build"
    done = subprocess.run([sys.executable, "-c", script + use], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "TF_USE_LEGACY_KERAS=1" in done.stderr.splitlines()[-1]
    done = subprocess.run([sys.executable, "-c", f"{script}import offline\n{use}"], capture_output=True, check=False)
    assert done.returncode == 0, "a room that is imported first sets it"
