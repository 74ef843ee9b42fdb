"""The command line of the waist: verbs as processes, exit codes, outputs whole or absent."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import record
from ad40.cli import VERBS, main
from ad40.events import write_adc2021, write_hw_sample
from tests.conftest import random_events


@pytest.fixture
def events(tmp_path: Path) -> Path:
    write_adc2021(tmp_path / "events.h5", random_events(3000))
    return tmp_path / "events.h5"


def ad40(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ad40", *map(str, args)], capture_output=True, text=True, check=False, timeout=120
    )


def test_trigger_emulate_info(events: Path, model_dir: Path, tmp_path: Path) -> None:
    kept, scores, summary = tmp_path / "kept.h5", tmp_path / "scores.h5", tmp_path / "s.json"
    done = ad40("trigger", events, "--model", model_dir, "--output", kept, "--json", summary)
    assert done.returncode == 0, done.stderr
    document = json.loads(summary.read_text())
    assert document["events_seen"] == 3000 and 0 < document["events_kept"] < 3000
    assert "events kept in" in done.stdout and "events/s" in done.stderr

    assert ad40("emulate", events, "--model", model_dir, "--output", scores).returncode == 0
    with h5py.File(scores) as file:
        rows = np.flatnonzero(file["seeds_after"][()])
        assert np.array_equal(rows, record.read(kept).columns["event"])
        assert np.array_equal(file["hw_score"][()][rows], record.read(kept).columns["hw_score"])

    for path, words in ((kept, "TriggerRecord"), (events, "event file, adc2021"), (model_dir, "model test 0")):
        shown = ad40("info", path)
        assert shown.returncode == 0 and words in shown.stdout


def test_help_of_every_verb_and_version() -> None:
    assert "exit codes" in ad40("--help").stdout
    for verb in VERBS:
        shown = ad40(verb, "--help")
        assert shown.returncode == 0, shown.stderr
        assert f"usage: ad40 {verb}" in shown.stdout and "--json" in shown.stdout


def test_the_waist_runs_without_the_rooms_packages(events: Path, model_dir: Path, tmp_path: Path) -> None:
    """numpy, h5py and pyyaml are enough for emulate, trigger and info."""
    script = (
        "import sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Deny(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'tensorflow', 'qkeras', 'hls4ml', 'scipy', 'matplotlib', 'models', 'training', "
        "'firmware', 'sim', 'offline', 'alkaid', 'cocotb', 'sklearn'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Deny())\n"
        "from ad40.cli import main\n"
        f"sys.exit(main(['trigger', {str(events)!r}, '--model', {str(model_dir)!r}, '--output', {str(tmp_path / 'k.h5')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["trigger", "emulate"])
def test_bad_input_leaves_nothing(verb: str, events: Path, model_dir: Path, tmp_path: Path) -> None:
    with h5py.File(events, "a") as file:
        file["Particles"][2999, 3, 0] = np.nan
    out = tmp_path / "out" / "kept.h5"
    done = ad40(verb, events, "--model", model_dir, "--output", out)
    assert done.returncode == 2
    assert f"{events}: event 2999, egamma[2].pt is nan; expected a finite number" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(out.parent.iterdir()) == []


def test_unwritable_output(events: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["trigger", str(events), "--model", str(model_dir), "--output", str(tmp_path / "file" / "k.h5")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["trigger", str(events), "--model", str(model_dir), "--output", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err


def test_full_disk(events: Path, model_dir: Path, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the same error reaches the writer."""
    out = tmp_path / "out" / "kept.h5"
    command = (
        f"ulimit -f 8; trap '' XFSZ; exec {sys.executable} -m ad40 trigger {events} --model {model_dir} --output {out}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert str(out) in done.stderr and "cannot be written" in done.stderr
    assert list(out.parent.iterdir()) == []


def test_a_menu_for_another_model(events: Path, model_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.json").write_bytes((model_dir / "network.json").read_bytes())
    text = (model_dir / "menu.yaml").read_text()
    found = text.split("network_hash: ")[1].split("\n")[0]
    (other / "menu.yaml").write_text(text.replace(found, "f" * 64))
    done = ad40("trigger", events, "--model", other, "--output", tmp_path / "k.h5")
    assert done.returncode == 2
    assert "network_hash is ffff" in done.stderr and found in done.stderr
    assert not (tmp_path / "k.h5").exists()


def test_empty_file(model_dir: Path, tmp_path: Path) -> None:
    write_hw_sample(tmp_path / "none.h5", np.zeros((0, 19, 3), np.int32))
    done = ad40("trigger", tmp_path / "none.h5", "--model", model_dir, "--output", tmp_path / "k.h5")
    assert done.returncode == 0, done.stderr
    assert len(record.read(tmp_path / "k.h5")) == 0
    assert ad40("info", tmp_path / "k.h5").returncode == 0
    assert ad40("emulate", tmp_path / "none.h5", "--model", model_dir, "--output", tmp_path / "s.h5").returncode == 0


def test_usage_errors() -> None:
    assert ad40("emulator").returncode == 2
    assert ad40().returncode == 2
    assert ad40("trigger").returncode == 2
