"""cocotb test of ad40_top, run inside the simulator by sim/top.py: plays the runs of the plan file named in AD40_PLAN.

The lanes are played and everything that comes out is recorded by the bench; Python is woken by alarms only, and then
does what the host software of a board does, with the same code (`ad40.device`) over AXI4-Lite."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from ad40.access import Registers
from ad40.device import Device
from sim.firmware import read_firmware

PLAN = json.loads(Path(os.environ["AD40_PLAN"]).read_text())
FOLDER = Path(os.environ["AD40_PLAN"]).parent
NEVER = 0xFFFFFFFE


class AxiTransport:
    """Words over AXI4-Lite, for code that blocks."""

    def __init__(self, dut: Any) -> None:
        logging.getLogger("cocotb.ad40_top_bench.s_axil").setLevel(logging.WARNING)
        self._axi = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)

    def read(self, address: int) -> int:
        answer = resume(self._read)(address)
        if answer.resp != AxiResp.OKAY:
            raise OSError(f"read of {address:#x}: {answer.resp.name}")
        return int.from_bytes(answer.data, "little")

    def write(self, address: int, value: int) -> None:
        answer = resume(self._write)(address, value.to_bytes(4, "little"))
        if answer.resp != AxiResp.OKAY:
            raise OSError(f"write of {address:#x}: {answer.resp.name}")

    async def _read(self, address: int) -> Any:
        return await self._axi.read(address, 4)

    async def _write(self, address: int, data: bytes) -> Any:
        return await self._axi.write(address, data)


class Host:
    """What a host does with a board, one action of the plan after the other."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        firmware = read_firmware(Path(PLAN["firmware"]))
        self.device = Device(AxiTransport(dut), firmware.trigger, poll_s=0, name="simulated board")
        self.registers: Registers = self.device.registers

    def do(self, action: str, argument: Any) -> Any:
        """`settings`: registers by name; `update`, `update_now`, ...: a command; `load`, `switch`, `counters`,
        `status`: of the host software."""
        if action == "settings":
            for name, value in argument.items():
                for i, entry in enumerate(value if isinstance(value, list) else [value]):
                    self.registers.write(name, entry, i)
            return None
        if action == "bx_mask":
            for bx, row in argument:
                self.registers.write("bx_mask_addr", bx)
                self.registers.write("bx_mask_data", row)
            return None
        if action == "command":
            return self.registers.strobe(argument)
        if action == "load":
            return self.device.load(argument, now=True)
        if action == "switch":
            return self.device.switch_column(argument)
        if action == "counters":
            return self.device.counters()
        if action == "status":
            names = ("sts_aligned", "sts_lane_aligned", "sts_pending", "sts_applied_orbit", "sts_outstanding")
            return {name: self.registers.read(name) for name in names}
        raise ValueError(action)


async def act(dut: Any, host: Host, action: str, argument: Any) -> dict[str, Any]:
    began = int(dut.line.value)
    if action == "ready":
        dut.ready_level.value = argument
        return {"action": action, "began": began, "ended": began, "result": None}
    result = await bridge(host.do)(action, argument)
    return {"action": action, "began": began, "ended": int(dut.line.value), "result": result}


@cocotb.test()
@cocotb.parametrize(number=range(len(PLAN["runs"])))
async def top(dut: Any, number: int) -> None:
    # a board that does not answer must not keep the simulation from ending
    await with_timeout(play(dut, number), PLAN["runs"][number]["limit_ns"], "ns")


async def play(dut: Any, number: int) -> None:
    """One run of the plan."""
    run = PLAN["runs"][number]
    dut.play.value, dut.rst.value, dut.scenario.value, dut.preset.value = 0, 1, number, 0
    dut.alarm_line.value, dut.ready_level.value = NEVER, run["ready"]
    Clock(dut.clk, PLAN["period_ps"], "ps", impl="gpi").start()
    await ClockCycles(dut.clk, 4)
    host = Host(dut)
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    done = [await act(dut, host, action, argument) for action, argument in run["before"]]
    if run["preset"]:
        dut.preset.value = 1
        await ClockCycles(dut.clk, 2)
        dut.preset.value = 0
        await ClockCycles(dut.clk, 2)
    began = time.perf_counter()
    dut.play.value = 1
    for line, action, argument in run["actions"]:
        dut.alarm_line.value = line
        if int(dut.line.value) < line or int(dut.line.value) > 1 << 31:
            await RisingEdge(dut.alarm)
        done.append(await act(dut, host, action, argument))
        dut.alarm_line.value = NEVER
        await ClockCycles(dut.clk, 2)
    if not dut.done.value:
        await RisingEdge(dut.done)
    await FallingEdge(dut.clk)
    seconds = time.perf_counter() - began
    lines, faults = int(dut.line.value), int(dut.axis_faults.value)
    dut.play.value = 0
    await ClockCycles(dut.clk, 2)
    left = {"seconds": seconds, "lines": lines, "axis_faults": faults, "actions": done}
    (FOLDER / f"top{number}.json").write_text(json.dumps(left))
