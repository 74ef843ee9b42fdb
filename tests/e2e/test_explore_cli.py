"""`ad40 explore` as a command: refusals, resuming, the page; and, long, real trials from the card to the front."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ad40.cli import main
from ad40.files import read_yaml, write_yaml
from ad40.model import read_model
from tests.e2e.test_train_cli import sample  # noqa: F401  (3,000 background events)

for package in ("optuna", "plotly", "qkeras", "alkaid"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)
SPACE = {
    "base": "models/ad40_v1/model.yaml",
    "figure": "corruptions",
    "generation": 2,
    "keys": {
        "hidden": {"set": "layers[decoder].units", "choices": [4, 16]},
        "bits": {"set": ["layers[latent].weight.fraction", "layers[decoder].weight.fraction"], "choices": [2, 4]},
        "cut": {"set": "firmware.cut", "choices": ["smallest", "fastest"]},
    },
}


@pytest.fixture
def space(tmp_path: Path) -> Path:
    write_yaml(tmp_path / "space.yaml", SPACE)
    return tmp_path / "space.yaml"


def ad40(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_wrong_use_is_refused_before_anything_is_written(sample, space, tmp_path, capsys):  # noqa: F811
    folder, page = tmp_path / "e", tmp_path / "page.md"
    page.write_text("no markers\n")
    for words, *options in (
        ("--jobs is 0", "--jobs", 0),
        ("--epochs is 0", "--epochs", 0),
        ("--take, --output is one alone", "--take", 3),
        ("settings.json is missing", "--take", 3, "--output", tmp_path / "m"),
        ("begin: ad40 explore --> is there 0 times", "--page", page),
        ("no/sample/background.h5", "--sample", "no/sample"),
    ):
        assert ad40("explore", folder, "--space", space, "--sample", sample, *options) == 2
        assert words in capsys.readouterr().err
        assert not folder.exists()


def test_a_folder_goes_on_as_it_was_begun_and_writes_its_page(sample, space, tmp_path, capsys, monkeypatch):  # noqa: F811
    from tests.unit.test_explore import fake
    from training.explore import run as explore

    folder, page = tmp_path / "e", tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- begin: ad40 explore -->\nstale words\n<!-- end: ad40 explore -->\nafter\n")
    write_yaml(space, SPACE | {"keys": SPACE["keys"] | {"inputs": {"choices": {
        "pt": {"input.connected": ["egamma.pt", "muon.pt", "jet.pt"]},
        "MET": {"input.connected": ["egamma.pt", "muon.pt", "jet.pt", "met.pt"]}}}}})  # fmt: skip
    monkeypatch.setattr(explore, "run_trial", lambda task, earlier, settings, processes: fake(folder)(task, earlier))
    begun = ("explore", folder, "--space", space, "--sample", sample, "--seed", 5, "--epochs", 2)
    assert ad40(*begun, "--trials", 3, "--json", tmp_path / "a.json") == 0
    assert len(json.loads((tmp_path / "a.json").read_text())["trials"]) == 3
    assert "trial 2: figure" in capsys.readouterr().out
    assert ad40("explore", folder, "--trials", 6, "--page", page) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "stale words" not in text
    assert f"--trials 6 --seed 5 --space {space} --epochs 2 --sample" in text and "6 trials around `ad40_v1`" in text
    assert (tmp_path / "docs" / "page" / "explore.png").is_file() and "(page/explore.png)" in text
    for words, *options in (
        ("--seed is 6; expected 5", "--seed", 6),
        ("--sample is", "--sample", tmp_path),
        ("--space is", "--space", explore.SPACE),
        ("--take is 6; expected a finished trial", "--take", 6, "--output", tmp_path / "m"),
    ):
        capsys.readouterr()
        assert ad40("explore", folder, *options) == 2
        assert words in capsys.readouterr().err
    with explore._locked(folder):
        assert ad40("explore", folder) == 2
        assert "in use" in capsys.readouterr().err


@pytest.mark.long
def test_real_trials_end_on_a_front_whose_points_become_models(sample, space, tmp_path):  # noqa: F811
    folders = [tmp_path / "e", tmp_path / "again"]
    for folder, jobs in zip(folders, (2, 1), strict=True):
        assert ad40("explore", folder, "--space", space, "--sample", sample, "--trials", 4, "--epochs", 1,
                    "--jobs", jobs, "--synth") == 0  # fmt: skip
    one, other = (json.loads((folder / "front.json").read_text()) for folder in folders)
    assert [{**t, "command": ""} for t in one["trials"]] == [{**t, "command": ""} for t in other["trials"]]
    assert one["front"] and one["trials"][0]["hidden"] == 16
    for trial in one["trials"]:
        assert trial["lut"] > 100 and trial["stages"] >= 1 and 0 <= trial["figure"] <= 1 and trial["feasible"]
        if trial["trial"] in one["front"] and trial["cut"] == "smallest":
            assert trial["lut_synth"] > 100
    number = one["front"][0]
    assert ad40("explore", folders[0], "--take", number, "--output", tmp_path / "m") == 0
    model = read_model(tmp_path / "m")
    assert model.network.name == f"ad40_v1_t{number}"
    assert read_yaml(tmp_path / "m" / "model.yaml")["training"] == read_yaml(
        Path(__file__).parents[2] / SPACE["base"]
    )["training"], "in full: the epochs of the base card"  # fmt: skip


@pytest.mark.long
def test_a_base_card_that_does_not_train_ends_the_exploration(sample, space, tmp_path, capsys):  # noqa: F811
    shutil.copytree(sample, tmp_path / "s")
    assert ad40("explore", tmp_path / "e", "--space", space, "--sample", tmp_path / "s", "--timeout", 1) == 1
    assert "ad40 train took more than 1 s" in capsys.readouterr().err
    assert not list((tmp_path / "e" / "trials").rglob("result.json"))
    shown = subprocess.run(["pgrep", "-f", str(tmp_path / "e")], capture_output=True, text=True, check=False)
    assert not shown.stdout, "no process is left"
