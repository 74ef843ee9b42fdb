"""Cards of the published designs: they train, freeze and, in float32, train beside; both stages of an embedding resume."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ad40.cli import main
from ad40.emulator import Emulator
from ad40.files import read_yaml, write_yaml
from ad40.metrics import auc
from ad40.model import read_model
from tests.e2e.test_train_cli import PROCESSES, interrupted_in_epoch, softened

if importlib.util.find_spec("qkeras") is None:  # importing it here would choose the wrong Keras
    pytest.skip("QKeras is not installed (training extra)", allow_module_level=True)
CARDS = sorted((Path(__file__).parents[2] / "models" / "baselines").glob("*.yaml"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 background events."""
    from ad40.events import write_hw_sample

    folder = tmp_path_factory.mktemp("sample")
    extra = {"process": np.resize([1, 4], 2000).astype(np.uint8), "parent": np.arange(2000)}
    write_hw_sample(folder / "background.h5", softened(2000, 1, 0.1), extra, {"processes": PROCESSES})
    return folder


def short(card: Path, folder: Path) -> Path:
    """The card with small batches, early pruning and one epoch before the autoencoder of an embedding."""
    document = read_yaml(card)
    document["training"] |= {"batch": 50, "pruned_at": 1}
    if document["training"]["loss"] == "embedding":
        document["training"]["embedding_epochs"] = 1
    write_yaml(folder / card.name, document)
    return folder / card.name


def train(card: Path, sample: Path, output: Path, *options: object) -> int:
    return main([str(a) for a in ("train", card, "--output", output, "--sample", sample, *options)])


@pytest.mark.long
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_baseline_trains_and_freezes(card, sample, tmp_path):
    assert train(short(card, tmp_path), sample, tmp_path / "model", "--epochs", 2) == 0
    network = read_model(tmp_path / "model").network
    assert network.name == card.stem
    kernels = [np.asarray(layer.weight) for layer in network.layers]
    assert 0.3 < sum(np.count_nonzero(k) for k in kernels) / sum(k.size for k in kernels) < 0.6, "half of it is pruned"
    harder = softened(1000, 3, 0.5)
    scores = [Emulator(network).score(codes) for codes in (softened(1000, 2, 0.1), harder)]
    assert auc(*scores)[0] > 0.55, "harder events are more anomalous"
    assert main(["verify", "--golden", str(tmp_path / "model")]) == 0


def test_float_training_and_its_scores(sample, tmp_path, capsys):
    from training.compare.float_twin import float_scores

    document = short(next(c for c in CARDS if c.stem == "axol1tl_v4"), tmp_path)
    folder = tmp_path / "float"
    assert train(document, sample, folder, "--epochs", 3, "--float", "--json", tmp_path / "train.json") == 0
    assert "in float32" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"model.yaml", "float_weights.h5", "history.json", "plots"}
    assert json.loads((tmp_path / "train.json").read_text())["quantised"] is False
    codes = softened(500, 2, 0.1)
    scores = float_scores(folder, codes)
    assert scores.shape == (500,) and scores.dtype == np.float64 and len(np.unique(scores)) > 400
    assert auc(scores, float_scores(folder, softened(500, 3, 0.5)))[0] > 0.55, "harder events are more anomalous"
    assert np.allclose(scores[:7], float_scores(folder, codes[:7]), rtol=1e-5)


def test_interrupted_embedding_goes_on_to_the_same_weights(sample, tmp_path, monkeypatch, capsys):
    from training.compare.float_twin import float_scores

    card = short(next(c for c in CARDS if c.stem == "axol1tl_v5"), tmp_path)
    assert train(card, sample, tmp_path / "whole", "--epochs", 3, "--float") == 0
    rows = json.loads((tmp_path / "whole" / "history.json").read_text())["history"]
    assert rows[1]["loss"] < rows[0]["loss"], "the second stage has its own loss"
    with interrupted_in_epoch(3, monkeypatch):
        assert train(card, sample, tmp_path / "parts", "--epochs", 3, "--float") != 0
    capsys.readouterr()
    assert train(card, sample, tmp_path / "parts", "--epochs", 3, "--float") == 0
    assert "continuing after epoch 2" in capsys.readouterr().out
    codes = softened(300, 2, 0.1)
    assert np.array_equal(float_scores(tmp_path / "whole", codes), float_scores(tmp_path / "parts", codes))


def test_an_embedding_needs_more_epochs(sample, tmp_path, capsys):
    card = short(next(c for c in CARDS if c.stem == "axol1tl_v5"), tmp_path)
    assert train(card, sample, tmp_path / "model", "--epochs", 1) == 2
    assert "training.embedding_epochs is 1; expected fewer than the 1 epochs" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
