"""The ready workflows of docs/ci/: their own shell steps, run in a clean environment as a stranger's CI would.

What stands in for the hosted parts: the wheel of this checkout for the released package (`AD40`), no index, and a
folder with the two pattern files for the checked-out repository.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from ad40 import patterns, ugt
from ad40.cli import main
from ad40.events import write_hw_sample
from tests.clean import ROOT, Environment

CI = ROOT / "docs" / "ci"


def github() -> tuple[dict[str, str], list[str]]:
    """Variables and shell steps of the job."""
    workflow = yaml.safe_load((CI / "github.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert all({"uses", "run"} & set(step) for step in job["steps"])
    return workflow["env"], [step["run"] for step in job["steps"] if "run" in step]


def gitlab() -> tuple[dict[str, str], list[str]]:
    (job,) = yaml.safe_load((CI / "gitlab.yml").read_text()).values()
    return job["variables"], job["script"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, codes: np.ndarray) -> Path:
    """A repository with pattern files in the places that the workflows name."""
    folder = tmp_path_factory.mktemp("repository")
    write_hw_sample(folder / "events.h5", codes[:3564])
    variables, _ = github()
    inputs, expected = folder / variables["INPUTS"], folder / variables["EXPECTED"]
    assert main(["emulate", str(folder / "events.h5"), "--output", str(folder / "s.h5"), "--inputs", str(inputs)]) == 0
    assert main(["emulate", "--patterns", str(inputs), "--output", str(expected)]) == 0
    return folder


def run_job(steps: list[str], environment: Environment, cwd: Path, **variables: str) -> tuple[int, str]:
    """The steps one after the other, each as the runners start it, up to the first that fails."""
    text = ""
    for step in steps:
        done = environment.run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step, cwd=cwd, **variables)
        text += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, text
    return 0, text


def test_both_say_the_same() -> None:
    """So that one of them needs to be run."""
    assert github() == gitlab()


def test_the_job(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From an empty environment to green; then one bit of the expected file is another and it is red."""
    variables, steps = github()
    environment = Environment(tmp_path_factory.mktemp("runner") / "venv")
    variables = {name: str(value) for name, value in variables.items()} | {"AD40": str(wheel)}
    code, text = run_job(steps, environment, repository, **variables)
    assert code == 0, text
    assert "Successfully installed ad40" in text and "golden events equal" in text and "every bit as in" in text
    assert json.loads((repository / "emulate.json").read_text())["mismatches"] == 0

    lane = patterns.read(repository / variables["EXPECTED"])
    assert isinstance(lane, patterns.Pattern)
    lane.data[6 * 1234 + 3, 0] ^= np.uint64(1)
    patterns.write(repository / "other.txt.gz", lane)
    code, text = run_job(steps[1:], environment, repository, **variables | {"EXPECTED": "other.txt.gz"})
    assert code == 1
    assert re.search(
        r"1/3564 bunch crossings; first at orbit 0 BX 1234, link 0 word 3: hw_score of ad40_v1 \d+ vs \d+", text
    )
    assert json.loads((repository / "emulate.json").read_text())["first"][0]["row"] == 1234


def test_a_model_folder_with_one_bit_changed(installed: Environment, repository: Path, tmp_path: Path) -> None:
    """The model may be a folder of the repository; then its golden vectors and hashes guard it."""
    variables, steps = github()
    folder = repository / "trigger" / "ad40_v1"
    folder.mkdir(parents=True)
    for name in ("network.json", "menu.yaml", "golden.npz"):
        (folder / name).write_bytes((ROOT / "models" / "ad40_v1" / name).read_bytes())
    variables |= {"MODEL": "trigger/ad40_v1"}
    code, text = run_job(steps[1:], installed, repository, **variables)
    assert code == 0, text
    menu = (folder / "menu.yaml").read_text()
    (folder / "menu.yaml").write_text(menu.replace("threshold: 102", "threshold: 103"))
    code, text = run_job(steps[1:], installed, repository, **variables)
    assert code == 2 and "trigger/ad40_v1/menu.yaml: hash of the content is " in text


@pytest.mark.parametrize("form", patterns.FORMATS)
def test_formats_of_expected_files(
    form: str, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The expected file may be of any format, whatever that of the inputs; --output writes what came out beside it."""
    inputs, expected, out = repository / github()[0]["INPUTS"], tmp_path / "expected", tmp_path / "out"
    command = ["emulate", "--patterns", str(inputs)]
    assert main([*command, "--output", str(expected), "--format", form]) == 0
    assert main([*command, "--expect", str(expected)]) == 0
    given = patterns.read(expected)
    if isinstance(given, ugt.Vectors):
        given.algorithms[77, 2] ^= True
        wanted = "orbit 0 BX 77, algorithms 0 to 63: algorithm 2, seed AD40_Medium "
    else:
        given.data[6 * 77 + 1, 0] ^= np.uint64(4)
        wanted = "orbit 0 BX 77, link 0 word 1: seed AD40_Medium before prescale "
    patterns.write(expected, given, form)
    capsys.readouterr()
    assert main([*command, "--expect", str(expected), "--output", str(out)]) == 1
    assert f"1/3564 bunch crossings; first at {wanted}" in capsys.readouterr().err
    assert main([*command, "--expect", str(out)]) == 0


def test_scores_of_events(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    events, expected, out = str(repository / "events.h5"), tmp_path / "scores.h5", tmp_path / "out.h5"
    assert main(["emulate", events, "--output", str(expected)]) == 0
    assert main(["emulate", events, "--expect", str(expected)]) == 0
    with h5py.File(expected, "a") as file:
        file["hw_score"][2000] ^= 1
        file["seeds_after"][3000] ^= 8
    capsys.readouterr()
    summary = tmp_path / "s.json"
    assert main(["emulate", events, "--expect", str(expected), "--output", str(out), "--json", str(summary)]) == 1
    message = capsys.readouterr().err
    assert "2/3564 events; first at event 2000, hw_score " in message
    assert "event 3000, seeds_after: seed AD40_Tight " in message
    assert [row["row"] for row in json.loads(summary.read_text())["first"]] == [2000, 3000]
    assert main(["emulate", events, "--expect", str(out)]) == 0, "what came out was written all the same"
    write_hw_sample(tmp_path / "fewer.h5", np.zeros((7, 19, 3), np.int32))
    assert main(["emulate", str(tmp_path / "fewer.h5"), "--expect", str(expected)]) == 2
    assert "expected int32 (7,), a row for each event" in capsys.readouterr().err
    assert main(["emulate", events]) == 2
    assert "--output and --expect is neither; expected at least one of the two" in capsys.readouterr().err
