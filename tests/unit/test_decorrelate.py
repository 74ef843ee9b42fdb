"""A card trained to be independent of a frozen model: what it reads, its loss, and that it helps."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest

from ad40 import cli, defaults
from ad40.errors import InputError, SpecError
from ad40.files import read_json, read_yaml, write_yaml
from ad40.model import read_model
from ad40.split import TRAIN, VALIDATION
from models.card import Decorrelated, parse_card, read_card
from training.datasets import load_background
from training.prepare import prepare
from training.teach import decorrelate, distil

if importlib.util.find_spec("qkeras") is None:  # importing it here would choose the wrong Keras
    pytest.skip("QKeras is not installed (training extra)", allow_module_level=True)
MODELS = defaults.SAMPLE.parents[1] / "models"
CARD = MODELS / "ad40_small" / "model.yaml"
FIRST = "ad40_v1"


@pytest.fixture(scope="module")
def sample():
    return load_background(defaults.SAMPLE, 12_000)


@dataclass(frozen=True)
class ByMomentum:
    """Stands for the teacher: the more pt an event has, the less ordinary it is. No trees to grow."""

    knots = np.full(9, 4.0)

    def score(self, codes):
        return np.log(codes[..., 0].astype(float).sum(axis=1) + 1)

    def significance(self, score):
        return np.clip(1.5 * (score - 5), 0, None)

    def score_at(self, significance):
        return significance / 1.5 + 5


def document(weight=None, **training):
    found = copy.deepcopy(read_yaml(CARD))
    found["training"] |= {"batch": 2048, "sparsity": 0.0, "families": ["extra leptons"]} | training
    if weight is not None:
        found["training"]["decorrelate"] = {"from": FIRST, "weight": weight}
    return found


def test_card_says_from_what():
    assert parse_card(document(), CARD).training.decorrelate is None
    assert parse_card(document(3), CARD).training.decorrelate == Decorrelated(FIRST, 3)
    for wrong in ({"from": FIRST}, {"from": FIRST, "weight": -1}, {"from": 1, "weight": 1}, {"weight": 1}, 5):
        with pytest.raises(SpecError, match=r"training\.decorrelate"):
            parse_card(document(decorrelate=wrong), CARD)
    other = copy.deepcopy(read_yaml(MODELS / FIRST / "model.yaml"))
    other["training"]["decorrelate"] = {"from": FIRST, "weight": 1}
    with pytest.raises(SpecError, match=r"training\.loss"):
        parse_card(other, CARD)
    pair = MODELS / "pairs"
    first, second = (read_card(pair / name) for name in ("leptons.yaml", "recoil.yaml"))
    assert first.training.decorrelate is None
    assert second.training.decorrelate is not None and second.training.decorrelate.model.endswith("leptons")


def test_shares_are_those_of_the_training_background(sample):
    n = len(sample.rows(TRAIN))
    found = decorrelate.shares(FIRST, sample, TRAIN, n + 5)
    assert found.dtype == np.float32 and found.shape == (n + 5,)
    assert (found[n:] == decorrelate.NO_BACKGROUND).all()
    for f in (0.5, 0.1):
        assert (found[:n] <= f).mean() == pytest.approx(f, rel=0.05)
    score = read_model(FIRST).trigger.score(sample.codes[sample.rows(TRAIN)].astype(np.int32))[:, 0]
    assert found[int(np.argmax(score))] == found[:n].min() and found[:n].max() == 1
    with pytest.raises(InputError):
        decorrelate.shares("nowhere", sample, TRAIN, n)


def test_term_against_numpy():
    from models.build import tf
    from training.losses import STEP, joint_efficiencies

    rng = np.random.default_rng(1)
    score, share = rng.exponential(1.0, 500).astype(np.float32), rng.random(500).astype(np.float32)
    share[400:] = decorrelate.NO_BACKGROUND
    clean, own = score[:400].astype(float), share[:400]
    edges = np.sort(clean)[::-1][(400 * np.float32(decorrelate.EFFICIENCIES)).astype(int)]
    smooth = 1 / (1 + np.exp(-(clean[:, None] - edges) / (STEP * clean.std() + 1e-6)))
    sharp = own[:, None] <= np.float32(decorrelate.EFFICIENCIES)
    product = np.outer(smooth.mean(axis=0), sharp.mean(axis=0))
    expected = np.mean((smooth.T @ sharp / 400 - product) ** 2 / (product**decorrelate.POWER + 1e-9))
    assert float(joint_efficiencies(tf.constant(score), tf.constant(share))) == pytest.approx(expected, rel=1e-3)
    linked = np.where(share <= 1, np.argsort(np.argsort(-score)) / 500, share).astype(np.float32)
    assert float(joint_efficiencies(tf.constant(score), tf.constant(linked))) > 10 * expected


def test_second_score_learns_to_be_independent(sample, monkeypatch):
    from models.build import tf
    from training.losses import joint_efficiencies
    from training.trainer import State, Trainer, fit

    monkeypatch.setattr(distil, "teacher", lambda *_: ByMomentum())
    found = {}
    for weight in (None, 300.0):
        card = parse_card(document(weight, epochs=8, pruned_at=1), CARD)
        arrays = [prepare(card, sample, part) for part in (TRAIN, VALIDATION)]
        assert len(arrays[0]) == (3 if weight is None else 4)
        trainer = Trainer(card, *arrays)
        trainer.finish(fit(trainer, State()).best_weights)
        inputs = arrays[1][0]
        share = decorrelate.shares(FIRST, sample, VALIDATION, len(inputs))
        score = trainer.model(inputs, training=False)[:, 0]
        found[weight] = float(joint_efficiencies(score, tf.constant(share)))
        assert np.unique(score).size > 20, "a constant score is independent of everything"
    assert found[300.0] < 0.5 * found[None]


def test_verb_trains_and_says_from_what(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(distil, "teacher", lambda *_: ByMomentum())
    write_yaml(tmp_path / "card.yaml", document(10.0, pruned_at=1) | {"name": "second"})
    arguments = ["train", str(tmp_path / "card.yaml"), "--output", str(tmp_path / "second"), "--events", "3000"]
    assert cli.main([*arguments, "--epochs", "2", "--json", str(tmp_path / "train.json")]) == 0
    expected = {"model": FIRST, "network_hash": read_model(FIRST).network.hash}
    for name in ("train.json", "second/history.json"):
        assert read_json(tmp_path / name)["decorrelated_from"] == expected
    assert read_card(tmp_path / "second" / "model.yaml").training.decorrelate == Decorrelated(FIRST, 10.0)
