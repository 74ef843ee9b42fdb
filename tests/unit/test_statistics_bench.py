"""The bench of the statistics measures what it says; how fast this machine is decides nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from offline.statistics import bench, fit


def test_the_figures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--toys", "40", "--threads", "2", "--json", str(tmp_path / "bench.json")]) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]
    assert all(set(row) == {"name", "value", "unit", "beside"} for row in rows)
    names = capsys.readouterr().out
    assert "40 pseudo-experiments of 60 bins: thrown, refitted, scanned, 2 threads" in names
    assert next(r["value"] for r in rows if "did not converge" in r["name"]) == 0
    assert next(r["value"] for r in rows if "newton and iminuit" in r["name"]) < bench.AGREEMENT


def test_its_pseudo_experiments_are_of_the_background_and_repeat() -> None:
    model = fit.Model.on(bench.EDGES, "p5")
    t, failed = bench.pseudo_experiments(model, 300, 2, seed=7)
    assert t.shape == (300,) and failed == 0
    assert 2 < np.median(t) < 8  # the largest excess of many windows, none of them a signal
    again, _ = bench.pseudo_experiments(model, 300, 2, seed=7)
    np.testing.assert_array_equal(again, t)


def test_a_disagreement_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "AGREEMENT", 0.0)
    assert bench.main(["--toys", "20", "--threads", "1"]) == 1
    assert "newton and iminuit differ" in capsys.readouterr().err
