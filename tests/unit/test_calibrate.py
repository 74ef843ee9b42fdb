"""`ad40 calibrate`: p-values of background-only data sets are uniform, injected signals are found where they are."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ad40.cli import main
from offline.statistics import calibrate
from offline.statistics.world import World


def test_the_command_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "calibrate",
            "--sets",
            "12",
            "--toys",
            "39",
            "--events",
            "3000",
            "--jobs",
            "2",
            "--json",
            str(tmp_path / "c.json"),
        ]
    )
    summary = json.loads((tmp_path / "c.json").read_text())
    assert set(summary["coverage"]) == set(calibrate.KINDS)
    bad = [row for row in summary["coverage"].values() if row["ks_p"] < calibrate.LEAST_KS]
    assert code == (1 if bad or summary["power"]["found"][1] < calibrate.LEAST_FOUND else 0)
    assert summary["power"]["found"][1] > 0.7 and 4 < summary["power"]["median_local_z"] < 6
    assert "background-only data sets" in capsys.readouterr().out
    assert main(["calibrate", "--sets", "1"]) == 2
    assert "--sets is 1" in capsys.readouterr().err


def test_a_data_set_gives_the_same_p_values_in_any_process() -> None:
    work = partial(calibrate.p_values, World(events=3000), 39, 5)
    assert calibrate.measure(work, 3, 2, "coverage") == [work(i) for i in range(3)]


def test_uniformity_notices_what_is_not_uniform() -> None:
    p = np.random.default_rng(1).random(400)
    assert calibrate.uniformity(p)["ks_p"] > 0.05 > calibrate.uniformity(p**1.3)["ks_p"]
    assert calibrate.uniformity(p)["rates"]["0.1"][0] == np.mean(p <= 0.1)


def test_the_source_throws_what_it_says() -> None:
    world = World(events=200_000)
    shared = world.throw(np.random.default_rng(2))
    counts = shared.counts(0, 0, 3, len(world.edges) - 1)
    assert np.abs((counts[0] - world.expected()) / np.sqrt(world.expected() + 1)).max() < 5
    np.testing.assert_allclose(counts.sum(axis=1) / counts[0].sum(), world.keep, rtol=0.02)
    both = shared.bins[(shared.bins >= 0).all(axis=1)]
    assert stats.spearmanr(both[:, 0], both[:, 1])[0] == pytest.approx(6 / np.pi * np.arcsin(0.25), abs=0.02)


def test_a_signal_of_five_sigma_is_five_sigma() -> None:
    world = World()
    events = calibrate.events_for(world, 1200.0, 30.0, 5.0)
    found = [calibrate.search(world.with_signal(events, 1200.0, 30.0), 3, i) for i in range(40)]
    assert np.median([f.z for f in found]) == pytest.approx(5, abs=0.5)
    assert np.mean([f.found for f in found]) > 0.9


def test_global_p_of_background_is_uniform() -> None:
    """A short form of the calibration; `test_calibration_in_full` is the whole."""
    p = np.array([calibrate.p_values(World(events=2000), 59, 7, i) for i in range(50)])
    for k in range(p.shape[1]):
        assert stats.kstest(p[:, k], "uniform").pvalue > 0.003, calibrate.KINDS[k]


@pytest.mark.long
@pytest.mark.parametrize("events", [10_000, 1500])
def test_calibration_in_full(events: int, tmp_path: Path) -> None:
    """1,000 data sets, of which the smaller ones have spectra of a few hundred entries with empty tails."""
    code = main(["calibrate", "--events", str(events), "--json", str(tmp_path / "c.json")])
    summary = json.loads((tmp_path / "c.json").read_text())
    for name, row in summary["coverage"].items():
        assert row["ks_p"] > 0.05, name
        for level, (rate, error) in row["rates"].items():
            assert abs(rate - float(level)) < 4 * error + 1 / summary["toys"], (name, level)
    assert summary["power"]["found"][1] >= 0.95
    assert code == 0
