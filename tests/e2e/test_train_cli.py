"""`ad40 train` and `ad40 evaluate` on a tiny sample: outputs, reproducibility, resuming, refusals."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ad40 import golden, spec
from ad40.cli import main
from ad40.emulator import Emulator
from ad40.events import write_hw_sample
from ad40.files import read_yaml, write_yaml
from ad40.model import read_model
from ad40.objects import encode, present
from tests.conftest import random_events

if importlib.util.find_spec("qkeras") is None:  # importing it here would choose the wrong Keras
    pytest.skip("QKeras is not installed (training extra)", allow_module_level=True)
CARD = Path(__file__).parents[2] / "models" / "ad40_v1" / "model.yaml"
PROCESSES = {
    "W": {"code": 1, "cross_section_pb": 6.0e4, "filter_efficiency": 0.2},
    "QCD": {"code": 4, "cross_section_pb": 1.0e8, "filter_efficiency": 1.0e-5},
}


def softened(n: int, seed: int, factor: float) -> np.ndarray:
    events = random_events(n, seed)
    events[..., 0] *= factor
    return encode(events).codes


@contextmanager
def interrupted_in_epoch(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, a training ends with an interruption when this epoch begins."""
    from training.trainer import Trainer

    epoch = Trainer.epoch

    def interrupted(self: Trainer, current: int) -> object:
        if current == number:
            raise KeyboardInterrupt
        return epoch(self, current)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", interrupted)
        yield


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 background events and two "signals" that are four times harder."""
    folder = tmp_path_factory.mktemp("sample")
    rng = np.random.default_rng(2)
    extra = {"process": rng.choice([1, 4], 3000).astype(np.uint8), "parent": np.arange(3000) // 3}
    write_hw_sample(folder / "background.h5", softened(3000, 1, 0.1), extra, {"processes": PROCESSES})
    for seed, name in enumerate(("Ato4l", "hToTauTau"), 5):
        write_hw_sample(folder / f"{name}.h5", softened(400, seed, 0.4))
    return folder


def train(sample: Path, output: Path, *options: object) -> int:
    arguments = ["train", CARD, "--output", output, "--sample", sample, "--epochs", 4, *options]
    return main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def model(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    assert train(sample, folder, "--json", folder.parent / "train.json") == 0
    return folder


def test_training_on_angles_to_met(sample: Path, tmp_path: Path) -> None:
    """Eight units that see the angles of leptons and jets to MET: trained, frozen, and blind to a rotation."""
    document = read_yaml(CARD)
    hidden, last = document["layers"][0] | {"units": 8}, document["layers"][-1]
    document |= {"name": "angles", "layers": [hidden, last]}
    document["input"] |= {"azimuth": "met", "connected": ["met.pt", "egamma.phi", "muon.phi", "jet.phi", "jet.pt"]}
    for kind, shift in (("egamma", 2), ("muon", 4), ("jet", 2)):
        document["input"]["features"][kind]["phi"] = {"offset": 0, "shift": shift, "range": [0, 3.14]}
    document["score"]["features"] = ["met.pt", "egamma.phi", "jet.pt"]
    card, folder = tmp_path / "card.yaml", tmp_path / "angles"
    write_yaml(card, document)
    arguments = ["train", card, "--output", folder, "--sample", sample, "--epochs", 2]
    assert main([str(a) for a in arguments]) == 0
    trained = read_model(folder)
    assert trained.network.input.azimuth == "met" and golden.check(trained).wrong == 0
    assert trained.network.used_inputs[5::3].any() and not trained.network.used_inputs[2]
    codes = softened(500, 9, 0.4)
    turned = codes.copy()
    for kind in spec.objects().types:
        phi = turned[:, kind.slots, 2]
        phi[:] = (phi + kind.phi.steps // 4) % kind.phi.steps
    turned[~present(turned)] = 0
    scores = Emulator(trained.network).score(codes)
    assert np.array_equal(Emulator(trained.network).score(turned), scores) and len(np.unique(scores)) > 20


def test_training_writes_a_complete_model_folder(model):
    names = {path.name for path in model.iterdir()}
    files = {"model.yaml", "weights.h5", "network.json", "menu.yaml", "history.json", "golden.npz"}
    assert names == files | {"plots"}
    assert (model / "plots" / "training.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((model.parent / "train.json").read_text())
    frozen = read_model(model)
    assert (summary["network_hash"], summary["menu_hash"]) == (frozen.network.hash, frozen.menu.hash)
    assert summary["epochs"] == 4
    history = json.loads((model / "history.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["validation_loss"] < history[0]["validation_loss"], "it learns"
    assert read_yaml(model / "model.yaml")["training"]["epochs"] == 4, "the card records what was used"


def test_menu_keeps_what_the_ladder_declares(model, sample):
    from ad40.split import VALIDATION
    from training.datasets import load_background

    frozen, background = read_model(model), load_background(sample)
    score = Emulator(frozen.network).score(background.codes[background.rows(VALIDATION)])
    shares = [(score >= seed.threshold).mean() for seed in frozen.menu.seeds]
    assert 0 < shares[0] <= 0.1
    assert shares == sorted(shares, reverse=True)


def test_same_seed_same_network_and_another_seed_another(model, sample, tmp_path):
    assert train(sample, tmp_path / "again") == 0
    assert read_model(tmp_path / "again").network.hash == read_model(model).network.hash
    assert train(sample, tmp_path / "other", "--seed", 7) == 0
    assert read_model(tmp_path / "other").network.hash != read_model(model).network.hash


def test_squared_error_leaky_slopes_and_presence_train_and_freeze(sample, tmp_path):
    document = read_yaml(CARD)
    document["name"] = "other"
    document["input"]["connected"] += ["jet.present", "muon.present"]
    document["layers"][0] |= {"activation": "leaky_relu", "slope": 0.125}
    document["score"] |= {"kind": "masked_l2", "shift": 2}
    document["training"] |= {"loss": "mse", "epochs": 3, "sparsity": 0.3}
    write_yaml(tmp_path / "card.yaml", document)
    arguments = ["train", tmp_path / "card.yaml", "--output", tmp_path / "model", "--sample", sample]
    assert main([str(a) for a in arguments]) == 0
    network = read_model(tmp_path / "model").network
    assert (network.format_version, network.n_inputs, network.layers[0].slope_shift) == (2, 76, 3)
    unconnected = [57, *range(58, 62)]  # the presence of MET and e/gamma
    assert not network.layers[0].weight[unconnected].any() and network.layers[0].weight[62:].any()
    assert main(["verify", "--golden", str(tmp_path / "model")]) == 0


def test_a_loss_that_does_not_suit_the_score_is_refused(sample, tmp_path, capsys):
    document = read_yaml(CARD)
    document["layers"][-1]["units"] = 1
    document["score"] = {"kind": "output"}
    write_yaml(tmp_path / "card.yaml", document)
    arguments = ["train", tmp_path / "card.yaml", "--output", tmp_path / "model", "--sample", sample]
    assert main([str(a) for a in arguments]) == 2
    assert "training.loss is l1; expected a loss for the score output" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_interrupted_training_goes_on_to_the_same_network(model, sample, tmp_path, monkeypatch, capsys):
    with interrupted_in_epoch(3, monkeypatch):
        assert train(sample, tmp_path / "model") != 0
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["checkpoint.npz"]
    capsys.readouterr()
    assert train(sample, tmp_path / "model") == 0
    assert "continuing after epoch 2" in capsys.readouterr().out
    assert read_model(tmp_path / "model").network.hash == read_model(model).network.hash
    assert not (tmp_path / "model" / "checkpoint.npz").exists()


def test_evaluate(model, sample, tmp_path, capsys):
    done = main(
        ["evaluate", str(model), "--sample", str(sample), "--plots", str(tmp_path), "--json", str(tmp_path / "e.json")]
    )
    assert done == 0
    summary = json.loads((tmp_path / "e.json").read_text())
    assert json.loads((model / "metrics.json").read_text()).items() <= summary.items()
    assert set(summary["signals"]) == {"Ato4l", "hToTauTau"}
    for figures in summary["signals"].values():
        low, value, high = figures["auc"]
        assert 0.5 < low < value < high <= 1, "harder events are more anomalous"
        assert set(figures["tpr"]) == {"1e-3", "1e-4", "1e-5"}
        assert all(lo <= v <= hi for lo, v, hi in figures["tpr"].values())
    assert set(summary["baselines"]) == {"HT", "MET", "sum lepton pT", "leading lepton pT"}
    for name in ("roc.png", "score.png", "rate.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert "background events" in capsys.readouterr().out


def test_rates_are_sums_over_processes(model, sample, tmp_path):
    assert main(["evaluate", str(model), "--sample", str(sample), "--plots", str(tmp_path)]) == 0
    summary = json.loads((model / "metrics.json").read_text())
    # 2e34 cm^-2 s^-1 is 0.02 events per second and pb
    filtered_hz = (6.0e4 * 0.2 + 1.0e8 * 1.0e-5) * 0.02
    assert summary["lepton_filtered_rate_khz"] == pytest.approx(filtered_hz / 1000)
    loosest = summary["seeds"][0]
    expected = sum(
        PROCESSES[name]["cross_section_pb"] * PROCESSES[name]["filter_efficiency"] * 0.02 * p["efficiency"][1]
        for name, p in loosest["processes"].items()
    )
    assert loosest["rate_khz"][1] == pytest.approx(expected / 1000)
    assert loosest["rate_khz"][0] < loosest["rate_khz"][1] < loosest["rate_khz"][2]
    assert loosest["rate_khz"][1] < summary["lepton_filtered_rate_khz"]


def refused(capsys, arguments: list[object], *words: str) -> None:
    assert main([str(a) for a in arguments]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message


def test_bad_card_is_refused_before_any_work(sample, tmp_path, capsys):
    document = read_yaml(CARD)
    document["layers"][0]["widht"] = 3
    write_yaml(tmp_path / "card.yaml", document)
    output = tmp_path / "model"
    refused(capsys, ["train", tmp_path / "card.yaml", "--output", output, "--sample", sample], "layers[0].widht")
    assert not output.exists()


def test_missing_sample_is_refused(tmp_path, capsys):
    output = tmp_path / "model"
    refused(capsys, ["train", CARD, "--output", output, "--sample", tmp_path], "background.h5", "missing")
    assert not output.exists()


def test_nonsense_options_are_refused(sample, tmp_path, capsys):
    start = ["train", CARD, "--output", tmp_path / "model", "--sample", sample]
    refused(capsys, [*start, "--epochs", 0], "--epochs is 0")
    refused(capsys, [*start, "--events", 3], "--events is 3")
    refused(capsys, [*start, "--seed", -1], "--seed is -1")


def test_unwritable_output_is_refused(sample, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    refused(
        capsys, ["train", CARD, "--output", tmp_path / "file", "--sample", sample, "--epochs", 1], "cannot be written"
    )


def test_diverged_training_is_a_failed_check(sample, tmp_path, monkeypatch, capsys):
    from training.train import Trainer

    monkeypatch.setattr(Trainer, "epoch", lambda self, number: (float("nan"), float("nan")))
    assert train(sample, tmp_path / "model") == 1
    assert "diverged in epoch 1" in capsys.readouterr().err
    assert not list((tmp_path / "model").iterdir())


def test_foreign_checkpoint_is_refused(sample, tmp_path, capsys):
    (tmp_path / "checkpoint.npz").write_bytes(b"no archive")
    refused(
        capsys, ["train", CARD, "--output", tmp_path, "--sample", sample, "--epochs", 1], "checkpoint.npz", "delete it"
    )


def test_menu_of_another_model_is_refused(model, sample, tmp_path, capsys):
    for name in ("network.json", "menu.yaml"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    menu = read_yaml(tmp_path / "menu.yaml")
    write_yaml(tmp_path / "menu.yaml", menu | {"network_hash": "0" * 64})
    refused(capsys, ["evaluate", tmp_path, "--sample", sample], "menu.yaml", "network_hash")
    assert not (tmp_path / "metrics.json").exists()
