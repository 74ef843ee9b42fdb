"""cocotb test of ad40_core, run inside the simulator by sim/core.py: plays the runs of the plan file named in
AD40_PLAN. The recorders of the bench write what came out; the parent process holds it against the emulator."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from sim.bench import join, split

PLAN = json.loads(Path(os.environ["AD40_PLAN"]).read_text())
FOLDER = Path(os.environ["AD40_PLAN"]).parent
SETTINGS = {"threshold": "threshold_bits", "prescale": "prescale_bits", "rule_window": "rule_bits"}


def configure(dut: Any, settings: dict[str, Any]) -> None:
    """Put the settings of a menu on the cfg_* pins."""
    for name, value in settings.items():
        packed = join(value, PLAN[SETTINGS[name]]) if isinstance(value, list) else value
        getattr(dut, f"cfg_{name}").value = packed


async def play(dut: Any, run: dict[str, Any]) -> None:
    """Reset, take the first settings over at once, then play the file with the shadow settings on the pins."""
    dut.play.value, dut.direct.value, dut.direct_update_now.value, dut.direct_rst.value = 0, 1, 0, 1
    dut.scenario.value, dut.preamble.value, dut.taps.value = run["number"], run["preamble"], int(run["taps"])
    configure(dut, run["settings"])
    await ClockCycles(dut.clk, 4)
    dut.direct_rst.value = 0
    await ClockCycles(dut.clk, 2)
    dut.direct_update_now.value = 1
    await ClockCycles(dut.clk, 1)
    dut.direct_update_now.value = 0
    await ClockCycles(dut.clk, 4)
    configure(dut, run["shadow"])
    dut.direct.value = 0
    dut.play.value = 1
    await RisingEdge(dut.done)
    await FallingEdge(dut.clk)


@cocotb.test()
@cocotb.parametrize(number=range(len(PLAN["runs"])))
async def core(dut: Any, number: int) -> None:
    run = PLAN["runs"][number]
    Clock(dut.clk, PLAN["period_ps"], "ps", impl="gpi").start()
    began = time.perf_counter()
    await play(dut, run)
    seconds = time.perf_counter() - began
    counters = {}
    for name, count in PLAN["counters"].items():
        counters[name] = split(getattr(dut, name).value, PLAN["counter_bits"], count)
    dut.play.value = 0
    await ClockCycles(dut.clk, 2)
    (FOLDER / f"run{number}.json").write_text(json.dumps({"seconds": seconds, "counters": counters}))
