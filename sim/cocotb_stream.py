"""cocotb test of ad40_stream, run inside the simulator by sim/stream.py: plays the runs of the plan in AD40_PLAN."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge

PLAN = json.loads(Path(os.environ["AD40_PLAN"]).read_text())
FOLDER = Path(os.environ["AD40_PLAN"]).parent


@cocotb.test()
@cocotb.parametrize(number=range(len(PLAN["runs"])))
async def stream(dut: Any, number: int) -> None:
    run = PLAN["runs"][number]
    dut.play.value, dut.rst.value, dut.scenario.value = 0, 1, number
    for name in ("valid_level", "ready_level", "closed_until", "n_events"):
        getattr(dut, name).value = run[name]
    Clock(dut.clk, PLAN["period_ps"], "ps", impl="gpi").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 4)
    began = time.perf_counter()
    dut.play.value = 1
    # twice what the slowest of both sides needs: decisions that are lost must not keep the run from ending
    slowest = min(run["valid_level"], run["ready_level"])
    patience = run["closed_until"] + 1000 + run["n_events"] * 512 // slowest
    await First(RisingEdge(dut.done), ClockCycles(dut.clk, patience))
    await ClockCycles(dut.clk, 40)  # and more than were asked for must have time to come out
    await FallingEdge(dut.clk)
    seconds = time.perf_counter() - began
    left = {name: int(getattr(dut, name).value) for name in ("clocks", "held_full", "axis_faults")}
    dut.play.value = 0
    await ClockCycles(dut.clk, 2)
    (FOLDER / f"stream{number}.json").write_text(json.dumps(left | {"seconds": seconds}))
