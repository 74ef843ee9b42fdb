"""Two networks compiled into one design: the software rungs of the ladder on each, and what the folder promises."""

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
from ad40.events import open_events
from ad40.files import file_hash
from ad40.fixed import Fixed
from ad40.model import Trigger
from tests.contract.conftest import EVENTS

if any(importlib.util.find_spec(name) is None for name in ("qkeras", "hls4ml", "alkaid")):
    pytest.skip("the train and firmware extras are not installed", allow_module_level=True)
from alkaid import trace as alkaid_trace

from firmware import generate, trace
from firmware.compile import HAND_WRITTEN, RTL
from firmware.design import Design, read_design
from firmware.layer_logic import quantise
from firmware.verify import climb, read_manifest


@pytest.fixture(scope="module")
def design(compiled: Path) -> Design:
    return read_design([compiled / "loose", compiled / "tight"], compiled / "menu.yaml")


@pytest.fixture(scope="module")
def codes(compiled: Path) -> np.ndarray:
    with open_events(compiled / "events.h5") as file:
        return file.codes()


def another_network(design: Design, index: int) -> Design:
    """The design with one weight of one network changed, under the old hash: what a stale file would be."""
    networks = list(design.trigger.networks)
    network = networks[index]
    weight = network.layers[0].weight.copy()
    weight[np.nonzero(weight)[0][0], np.nonzero(weight)[1][0]] *= -1
    networks[index] = replace(network, layers=(replace(network.layers[0], weight=weight), *network.layers[1:]))
    networks[index].__dict__["hash"] = network.hash
    return replace(design, trigger=Trigger(tuple(networks), design.trigger.menu))


def test_summary(compiled: Path) -> None:
    summary = json.loads((compiled / "compile.json").read_text())
    assert set(summary["resources"]) >= {"lut", "ff", "dsp", "bram", "tool"}
    assert summary["resources"]["dsp"] == 0 and summary["resources"]["lut"] > 200
    latency = spec.latency()
    assert summary["stages"] == latency.network_stages_max
    assert [model["name"] for model in summary["models"]] == ["loose", "tight"]
    assert all(model["pipeline"]["stages"] == summary["stages"] for model in summary["models"])
    assert summary["estimate_ns"] <= latency.budget_ns * (1 + 1e-9)
    assert summary["stage_ns"] <= latency.cycle_ns


def test_the_software_rungs_hold_for_both_networks(compiled: Path, design: Design, codes: np.ndarray) -> None:
    ladders = climb(design, compiled / "firmware", codes)
    assert [ladder.name for ladder in ladders] == ["loose", "tight"]
    for ladder in ladders:
        assert ladder.faults() == []
        assert {rung.name: (rung.events, rung.mismatches) for rung in ladder.rungs.values()} == dict.fromkeys(
            ("qkeras-emulator", "emulator-hls4ml", "emulator-interpreter"), (EVENTS, 0)
        )
        assert len(ladder.spread.scores) > 50 and 0 < ladder.spread.fired < EVENTS
    assert ladders[0].spread.scores != ladders[1].spread.scores


@pytest.mark.parametrize("index", [0, 1])
def test_a_wrong_weight_is_noticed(compiled: Path, design: Design, codes: np.ndarray, index: int) -> None:
    with pytest.raises(CheckError, match=r"encoder\.weight: 1 of \d+ values of hls4ml differ"):
        climb(another_network(design, index), compiled / "firmware", codes[:100])


def test_the_networks_in_the_wrong_order_are_refused(compiled: Path) -> None:
    turned = read_design([compiled / "tight"])
    with pytest.raises(HashMismatch, match="models is 2 networks; expected 1"):
        read_manifest(compiled / "firmware", turned.trigger)
    with pytest.raises(InputError, match=r"menu\.yaml: models is .* expected the models tight, loose"):
        read_design([compiled / "tight", compiled / "loose"], compiled / "menu.yaml")


def test_generated_sources_are_current(compiled: Path, design: Design) -> None:
    rtl, hint = compiled / "firmware" / "rtl", "not up to date: run `ad40 compile`"
    stages = design.latency.network_stages_max
    assert (rtl / "ad40_pkg.sv").read_text() == generate.package(design.trigger, design.latency, stages), hint
    assert (rtl / "algorithm.sv").read_text() == generate.algorithm(design.trigger.networks, stages), hint
    for name in HAND_WRITTEN:
        assert (rtl / f"{name}.sv").read_text() == (RTL / f"{name}.sv").read_text(), hint


def test_the_manifest_lists_what_is_there(compiled: Path, design: Design) -> None:
    firmware = compiled / "firmware"
    manifest = read_manifest(firmware, design.trigger)
    sources = list(manifest["sources"])
    assert sources[0] == "rtl/ad40_pkg.sv" and sources[-1] == "rtl/ad40_top.sv" and "rtl/registers.sv" in sources
    assert len({Path(source).name for source in sources}) == len(sources), "each file name once"
    for source, digest in manifest["sources"].items():
        assert file_hash(firmware / source) == digest
    for model in manifest["models"]:
        assert all((firmware / model[key]).exists() for key in ("network", "interpreter", "hls", "hls_library"))
    assert manifest["latency"] == spec.latency().name and manifest["design_id"] == design.trigger.design_id
    assert (firmware / "software" / "ad40_registers.h").exists()


def test_compiling_again_gives_the_same_sources_and_forgets_the_other_model(
    compiled: Path, tmp_path: Path, design: Design
) -> None:
    one = read_design([compiled / "loose"])
    target = tmp_path / "firmware"
    shutil.copytree(compiled / "firmware", target, ignore=shutil.ignore_patterns("simulation", "*.so"))
    assert main(["compile", str(compiled / "loose"), "--output", str(target)]) == 0
    again = read_manifest(target, one.trigger)
    assert not list(target.glob("*/tight*")) and [model["name"] for model in again["models"]] == ["loose"]
    before = read_manifest(compiled / "firmware", design.trigger)["sources"]
    own = [name for name in before if name.startswith("network/loose")]
    assert len(own) > 10 and all(again["sources"][name] == before[name] for name in own)


def test_a_design_that_does_not_fit_is_refused(compiled: Path, design: Design, tmp_path: Path) -> None:
    network = design.trigger.networks[0]
    score = trace.Interpreter.load(network, compiled / "firmware" / "interpreter" / "loose").score
    with pytest.raises(CheckError, match=r"the slowest of 1 pipeline stages takes .* a clock has 4\.17 ns"):
        trace.write_verilog(score, replace(spec.latency(), budget_ns=16.7), tmp_path)
    assert not list(tmp_path.iterdir())


def test_refusals_on_the_command_line(compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loose, tight, target = str(compiled / "loose"), str(compiled / "tight"), tmp_path / "new"
    for arguments, message in (
        ([loose, loose], "'loose' twice"),
        ([loose, tight], "seeds is 'AD40_VLoose' twice; expected names used once; write a menu for these models"),
        ([loose, "--clock", "ugt500"], "latency configuration is ugt500; expected one of"),
        ([loose, "--menu", str(compiled / "menu.yaml")], "expected the models loose"),
        ([str(compiled)], "network.json"),
    ):
        assert main(["compile", *arguments, "--output", str(target)]) == 2
        assert message in capsys.readouterr().err
        assert not target.exists(), "refused before any work"
    arguments = ["--firmware", str(compiled / "firmware"), "--sample", str(compiled / "events.h5")]
    assert main(["verify", tight, *arguments]) == 2
    assert "models is 2 networks" in capsys.readouterr().err


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
        out = quantise(np.asarray(value)[0], target)
        logic = alkaid_trace.trace(port, [out])
        wanted = target.dequantise(target.quantise(grid * sign * step + bias))
        found = logic.predict(grid[:, None].astype(np.float64), n_threads=1).ravel()
        assert np.array_equal(found, wanted), f"step {sign * step}, bias {bias}"
