"""Losses against values worked out by hand, views of events, and the score of a network in float32."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.emulator import Emulator
from ad40.errors import SpecError
from ad40.files import read_yaml
from ad40.model import read_model
from ad40.objects import check_codes, encode, present
from models.card import parse_card, read_card
from tests.conftest import random_events
from tests.small_model import KINDS, write_small_model
from training import views

if importlib.util.find_spec("qkeras") is None:  # importing it here would choose the wrong Keras
    pytest.skip("QKeras is not installed (training extra)", allow_module_level=True)
from models import build
from training import losses
from training.compare.float_twin import real_score

CARDS = Path(__file__).parents[2] / "models" / "baselines"
tf = build.tf


def test_divergence_of_gaussians():
    found = losses.kl_divergence(tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[0.0, np.log(2.0)], [0.0, 0.0]]))
    assert found.numpy() == pytest.approx([0.5 + (4 + 2 - np.log(2) - 1) / 2, 0], rel=1e-6)


def test_vicreg_of_two_small_embeddings():
    a, b = np.float32([[0, 0], [1, 1], [2, 2]]), np.float32([[0, 0], [0, 1], [0, 2]])
    # differences 0, 1, 2 in one of two dimensions: 5 of 6 entries; variances 1 and 1 with covariance 1, then 0, 1 and 0
    invariance, collapsed = 5 / 6, (1 - 0.01) / 2
    hinge = 0.0  # sqrt(1 + 1e-4) is above 1
    expected = 25 * invariance + 25 * (hinge + collapsed) + (1 + 1) / 2
    assert float(losses.vicreg(tf.constant(a), tf.constant(b))) == pytest.approx(expected, rel=1e-5)


def test_collapse_costs_most():
    rng = np.random.default_rng(1)
    z = tf.constant(rng.standard_normal((500, 6), np.float32))
    point = tf.zeros_like(z)
    assert float(losses.vicreg(point, point)) == pytest.approx(2 * 25 * 0.99)
    assert float(losses.vicreg(z, z)) < 2


def variational(score: dict, beta: float):
    document = copy.deepcopy(read_yaml(CARDS / "dnn_vae_kl.yaml"))
    document["training"]["beta"] = beta
    document["layers"] = [document["layers"][1] | {"units": 5}, document["layers"][2] | {"units": 4}]
    card = parse_card(document | {"score": score}, "card.yaml")
    model = build.build(card)
    return card, model, losses.LOSSES["variational"](card, model)


@pytest.mark.parametrize(
    "score",
    [
        {"kind": "kl", "mean": [2, 0], "log_variance": [1, 3], "fraction": 4, "bits": 12},
        {"kind": "sum_squares", "outputs": [0, 3]},
    ],
    ids=lambda score: score["kind"],
)
def test_variational_loss_is_error_and_divergence(score):
    rng = np.random.default_rng(3)
    inputs, target = (rng.standard_normal((7, n)).astype(np.float32) for n in (57, 19))
    weights = (rng.random((7, 19)) < 0.5).astype(np.float32)
    batch, seed = tuple(tf.constant(a) for a in (inputs, target, weights)), tf.constant([1, 2])
    found = {}
    for beta in (0.0, 1.0, 0.25):
        card, model, loss = variational(score, beta)
        found[beta] = float(loss(batch, seed, True))
    assert found[0.25] == pytest.approx(0.75 * found[0.0] + 0.25 * found[1.0], rel=1e-5)
    y = model(inputs).numpy()
    mean = y[:, list(loss.mean)]
    dense = {layer.name: layer.get_weights() for layer in loss.extra.layers if layer.get_weights()}
    if score["kind"] == "kl":
        log_variance = y[:, score["log_variance"]]
        assert set(dense) == {f"decoder_{card.layers[0].name}", "decoder"}
    else:
        hidden = tf.keras.Model(model.input, model.get_layer(card.layers[-1].name).input)(inputs).numpy()
        log_variance = hidden @ dense["log_variance"][0] + dense["log_variance"][1]
    divergence = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1) / 2
    assert found[1.0] == pytest.approx(divergence.mean(), rel=1e-5)
    noise = tf.random.stateless_normal(mean.shape, seed).numpy()
    first, last = dense[f"decoder_{card.layers[0].name}"], dense["decoder"]
    hidden = (mean + np.exp(log_variance / 2) * noise) @ first[0] + first[1]
    decoded = np.where(hidden > 0, hidden, 0.25 * hidden) @ last[0] + last[1]
    assert found[0.0] == pytest.approx((weights * (target - decoded) ** 2).sum(axis=1).mean(), rel=1e-5)


def test_embedding_is_trained_before_its_autoencoder():
    card = read_card(CARDS / "axol1tl_v5.yaml")
    model = build.build(card)
    loss = losses.LOSSES["embedding"](card, model)
    assert loss.first_stage == card.training.embedding_epochs > 0
    assert loss.layers(False) == ("hidden", "embedding")
    assert loss.layers(False) + loss.layers(True) == tuple(layer.name for layer in card.layers)
    rng = np.random.default_rng(3)
    inputs, a, b = (tf.constant(rng.standard_normal((20, 57)).astype(np.float32)) for _ in range(3))
    reconstruction, embedding = (y.numpy() for y in model(inputs))
    distance = ((reconstruction - embedding) ** 2).sum(axis=1).mean()
    assert float(loss((inputs, a, b), None, True)) == pytest.approx(distance, rel=1e-6)
    assert float(loss((inputs, a, b), None, False)) == pytest.approx(float(losses.vicreg(model(a)[1], model(b)[1])))


def test_an_embedding_needs_epochs_for_its_autoencoder():
    document = read_yaml(CARDS / "axol1tl_v5.yaml")
    document["training"]["embedding_epochs"] = document["training"]["epochs"]
    with pytest.raises(SpecError, match=r"training.embedding_epochs is .*; expected fewer than the"):
        parse_card(document, "card.yaml")


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_baseline_cards_are_read(path):
    from models.card import LOSSES

    card = read_card(path)
    assert card.name == path.stem
    assert card.score.kind in LOSSES[card.training.loss]


def test_views_are_valid_and_differ():
    codes = encode(random_events(500)).codes
    first = views.view(codes, 1)
    check_codes(first.astype(np.int32))
    assert np.array_equal(first, views.view(codes, 1)) and not np.array_equal(first, views.view(codes, 2))
    here, seen = present(codes), present(first)
    assert np.array_equal(here[:, 0], seen[:, 0]), "MET stays"
    lost = 1 - seen[:, 1:].sum() / here[:, 1:].sum()
    assert abs(lost - views.DROPPED) < 0.02


def test_views_rotate_an_event_as_a_whole(monkeypatch):
    monkeypatch.setattr(views, "DROPPED", 0.0)
    monkeypatch.setattr(views, "LEPTONS", 0.0)
    monkeypatch.setattr(views, "_hadronic", np.zeros_like)
    codes = encode(random_events(300)).codes
    changed, here = views.view(codes, 5), present(codes)
    assert np.array_equal(changed[..., :2], codes[..., :2])
    steps = np.array([kind.phi.steps for kind in spec.objects().slots])
    turn = np.where(here, (changed[..., 2] - codes[..., 2]) % steps * (576 // steps), -1)
    for event in turn:
        assert len(set(event[event >= 0])) <= 1, "one angle for all objects"
    assert len(set(turn.max(axis=1))) > 100, "and another for each event"


@pytest.mark.parametrize("kind", [kind for kind in ("", *KINDS) if kind not in ("kl", "rz")], ids=str)
def test_score_in_real_numbers_is_that_of_the_integers(kind, tmp_path):
    folder = write_small_model(tmp_path / "model", kind=kind, present=kind == "distance")
    network, card = read_model(folder).network, read_card(folder / "model.yaml")
    codes = encode(random_events(2000, seed=4)).codes
    emulator = Emulator(network)
    inputs = card.input_format.dequantise(emulator.inputs(codes)).astype(np.float32)
    outputs = [y.numpy() for y in build.as_list(build.load(folder)(inputs))]
    found = real_score(card, inputs, outputs, present(codes))
    integers = emulator.score(codes) * 2.0**-network.score_fraction
    if kind == "output":
        found -= card.layers[-1].output.min_code * card.layers[-1].output.lsb
    dropped = 2.0**-network.score_fraction  # by a shift
    assert ((found - integers >= 0) & (found - integers < dropped)).all()
    assert len(np.unique(integers)) > 50


@pytest.mark.parametrize("kind", ["kl", "rz"])
def test_score_in_real_numbers_is_that_of_the_tables(kind, tmp_path):
    folder = write_small_model(tmp_path / "model", kind=kind)
    network, card = read_model(folder).network, read_card(folder / "model.yaml")
    last = card.layers[-1].output
    codes = np.random.default_rng(1).integers(-2 << last.fraction, 2 << last.fraction, (500, 4))  # no table saturates
    y = last.dequantise(codes)
    found = real_score(card, np.zeros((500, 57), np.float32), [y.astype(np.float32)], np.ones((500, 19), np.bool_))
    mean2, inverse, half = y[:, card.score.mean] ** 2, np.exp(-y[:, card.score.log_variance]), 1 / 32  # half an LSB
    rounded = half * (mean2 + inverse + half).sum(axis=1) if kind == "rz" else 4 * half
    off = found - network.scoring(codes, None, None) * 2.0**-network.score_fraction
    assert ((off >= -rounded) & (off < rounded + 2.0**-network.score_fraction)).all()
    assert np.ptp(found) > 4
