"""What the compiler makes of frozen networks: the traced logic is exact, its stages fit, and its cost is told."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.emulator import Emulator
from ad40.errors import SpecError
from ad40.fixed import Fixed
from ad40.network import InputStage, Layer, Network, write_network
from ad40.objects import encode, present
from ad40.score import Score
from tests.conftest import random_events

if importlib.util.find_spec("alkaid") is None:
    pytest.skip("the firmware extra is not installed", allow_module_level=True)
from firmware import cost, trace
from firmware.placement import fewest_stages, place, total_ns


def student(units: int, seed: int = 1, hidden: str = "relu", keep: float = 0.3) -> Network:
    """57 + 19 inputs -> units -> 1, of random weights; some neurons lie on ties, some without weights."""
    rng = np.random.default_rng(seed)
    weight, bias = Fixed(True, 0, 4), Fixed(True, 2, 4)
    first = rng.integers(-16, 16, (76, units)) * (rng.random((76, units)) < keep)
    first[:, 0] = 0
    second = rng.integers(1, 16, (units, 1))
    between = Fixed(hidden == "linear", 3, 3)
    layers = (
        Layer("hidden", first, weight, rng.integers(-31, 32, units), bias, hidden, between),
        Layer("score", second, weight, rng.integers(-31, 32, 1), bias, "linear", Fixed(True, 4, 3)),
    )
    stage = InputStage(np.tile([0, -128, 0], 19), np.tile([2, 2, 2], 19), Fixed(False, 2, 4), True)
    return Network(f"student{units}", "1", spec.objects().hash, stage, layers, Score("output", np.ones(1, np.bool_)))


@pytest.mark.parametrize("hidden", ["relu", "linear"])
@pytest.mark.parametrize("depth", [-1, 0])
def test_the_logic_is_the_network(hidden: str, depth: int) -> None:
    network, codes = student(5, 3, hidden), encode(random_events(3000, seed=4)).codes
    emulator, steps = Emulator(network), trace.steps_of(network)
    logic = trace.Interpreter(network, *trace.trace_steps(steps, network, depth))
    inputs, here = emulator.inputs(codes), present(codes)
    wanted = emulator.score(codes)
    assert len(np.unique(wanted)) > 20
    assert np.array_equal(logic.scores(inputs, here), wanted)


def test_no_stage_is_longer_than_a_clock_and_none_is_too_many() -> None:
    network = student(8)
    logic = trace.trace_steps(trace.steps_of(network), network, 0)[0]
    for merged in (False, True):
        for clock in (25 / 6, 25 / 9):
            stages = fewest_stages(logic, clock, merged)
            assert stages is not None and place(logic, stages, merged)[1] <= clock + 2e-3
            assert stages == 1 or place(logic, stages - 1, merged)[1] > clock
    assert place(logic, 1)[1] == pytest.approx(total_ns(logic) + 0.114, abs=1e-2)
    assert place(logic, 1, merged=True)[1] > place(logic, 1)[1], "the input stage takes time of the first clock"
    assert fewest_stages(logic, 0.5) is None


def test_the_cost_of_small_and_large_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = student(4), student(12, keep=0.9)
    for network in (small, large):
        (tmp_path / network.name).mkdir()
        write_network(tmp_path / network.name / "network.json", network)
    folders = [str(tmp_path / network.name) for network in (small, large)]
    assert cost.main([*folders, "--clock", "ugt240_bx", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["student4", "student12"] and rows[0]["lut"] < rows[1]["lut"]
    for row in rows:
        assert row["dsp"] == 0 and row["lut_synth"] is None and row["ff"] > 0
        assert row["latency_cycles"] == row["stages"] + 2 and row["fits"] == (row["latency_ns"] <= 25.001)
        assert bool(row["reason"]) != row["fits"] and row["fastest"]["stages"] <= row["stages"]
    assert rows[0]["fits"] and rows[0]["stage_ns"] <= rows[0]["clock_ns"]
    assert cost.main([folders[1], "--clock", "ugt240_bx", "--budget", "13", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert not row["fits"] and "stages of 4.17 ns, and 13 ns leave 1" in row["reason"]
    assert cost.main([str(tmp_path / "absent")]) == 2 and "absent" in capsys.readouterr().err


def test_a_smaller_budget() -> None:
    latency = spec.latency("ugt240")
    smaller = latency.within(33.4)
    assert (smaller.network_stages_max, smaller.budget_cycles) == (5, 8) and smaller.hash != latency.hash
    assert latency.within(50.0) is latency
    for budget in (50.1, 16.6):
        with pytest.raises(SpecError, match=r"budget is .* expected 16\.67 to 50 ns in the configuration ugt240"):
            latency.within(budget)
