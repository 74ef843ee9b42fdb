"""Pages of models: made of what their folders hold, and refused when that is of other integers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ad40 import released
from ad40.model import read_model
from models import page

RELEASED = released.FOLDER / "ad40_v1"
COSTS = {"lut": 1788, "lut_synth": 2100, "ff": 1500, "stages": 6, "stage_ns": 3.9, "clock_ns": 4.1667, "dsp": 0,
         "latency_cycles": 9, "latency_ns": 37.5, "path_ns_synth": 4.0, "fits": True, "reason": "", "budget_ns": 50.0,
         "configuration": "ugt240", "date": "2026-11-22", "synth_tool": "a tool"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the released model, with a resources.json."""
    for name in ("network.json", "menu.yaml", "model.yaml", "metrics.json", "golden.npz"):
        (tmp_path / "m").mkdir(exist_ok=True)
        shutil.copyfile(RELEASED / name, tmp_path / "m" / name)
    row = COSTS | {"network_hash": read_model(RELEASED).network.hash}
    (tmp_path / "m" / "resources.json").write_text(json.dumps(row))
    return tmp_path / "m"


def test_the_page_holds_what_the_folder_does(folder: Path) -> None:
    text, model = page.page(folder), read_model(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert text.startswith("# ad40_v1 1.0\n") and model.network.hash in text and model.menu.hash in text
    for name, signal in metrics["signals"].items():
        assert f"| {name} | {signal['auc'][1]:.3f} (" in text
    assert "| LUT of input stage, network and score, mapped | 2,100 |" in text and "37.5" in text
    assert all(f"| {seed.name} | {seed.threshold} |" in text for seed in model.menu.seeds)
    used = sum(int((layer.weight != 0).sum()) for layer in model.network.layers)
    shown = [line.split("|")[5].split(" of ")[0] for line in text.splitlines() if line.startswith("| `")][:3]
    assert sum(int(cell.replace(",", "")) for cell in shown) == used


def test_what_is_missing_is_said(folder: Path) -> None:
    (folder / "resources.json").unlink()
    (folder / "metrics.json").unlink()
    text = page.page(folder)
    assert "No resources.json" in text and "No metrics.json" in text


def test_files_of_other_integers_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "resources.json").write_text(json.dumps(COSTS | {"network_hash": "0" * 64}))
    target = folder / "pages"
    assert page.main([str(folder), "--output", str(target)]) == 2 and not target.exists()
    assert "network_hash" in capsys.readouterr().err


def test_all_pages_and_their_list(folder: Path) -> None:
    target = folder / "pages"
    assert page.main([str(folder), "--output", str(target)]) == 0
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "ad40_v1.md"]
    line = (target / "README.md").read_text().splitlines()[-1]
    assert line.startswith("| [ad40_v1](ad40_v1.md) |") and line.endswith("| 1,788 | 2,100 | 37.5 |")


@pytest.mark.parametrize(("code", "digits"), [(0, 0), (1, 1), (3, 2), (7, 2), (-5, 2), (11, 3), (-16, 1)])
def test_signed_digits(code: int, digits: int) -> None:
    import numpy as np

    assert page._digits(np.array([[code]])) == str(digits)
