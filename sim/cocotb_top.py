"""cocotb tests of ad40_top, run inside the simulator by `ad40 simulate`. The scenarios are those of the plan file
named in AD40_PLAN; each leaves its result beside its expectation, and fails when the device and the emulator part."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge

from sim.scoreboard import Observed, compare, first_difference, read_fields, read_words

PLAN = json.loads(Path(os.environ["AD40_PLAN"]).read_text())
FOLDER = Path(os.environ["AD40_PLAN"]).parent
RECORD_DIGITS = (8, 8, 8, 8, 1)


def _join(values: list[int], width: int) -> int:
    """Packed port of values, index 0 in the lowest bits."""
    return sum(value << (width * i) for i, value in enumerate(values))


async def start(dut: Any, scenario: dict[str, Any]) -> None:
    """Clock, configuration and a reset through the pins."""
    Clock(dut.clk, PLAN["period_ps"], "ps", impl="gpi").start()
    for name in ("play", "load", "dump", "dump_taps", "direct_valid", "direct_words", "n_lines"):
        getattr(dut, name).value = 0
    dut.spacing.value = scenario["spacing"]
    dut.cfg_threshold.value = _join(scenario["thresholds"], PLAN["threshold_bits"])
    dut.cfg_prescale.value = _join(scenario["prescales"], PLAN["prescale_bits"])
    dut.direct.value = 1
    dut.direct_rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.direct_rst.value = 0
    dut.direct.value = int(scenario["direct"])
    await ClockCycles(dut.clk, 2)
    assert int(dut.id_spec.value) == int(PLAN["spec_hash"][:8], 16), "the device was built for other scales"
    assert int(dut.id_network.value) == int(PLAN["network_hash"][:8], 16), "the device holds another network"


async def pulse(dut: Any, name: str) -> None:
    getattr(dut, name).value = 1
    await ClockCycles(dut.clk, 1)
    getattr(dut, name).value = 0
    await ClockCycles(dut.clk, 1)


async def play(dut: Any, scenario: dict[str, Any]) -> tuple[Observed, float, int]:
    """Play all parts of a scenario; what came out, wall seconds and clocks of the playing alone."""
    records, accepted, seconds, clocks = [], [], 0.0, 0
    for part, lines in scenario["parts"]:
        (FOLDER / part).replace(FOLDER / "playback.mem")
        dut.n_lines.value = lines
        await pulse(dut, "load")
        dut.play.value = 1
        began = time.perf_counter()
        await RisingEdge(dut.done)
        seconds += time.perf_counter() - began
        clocks += lines * scenario["spacing"]
        await FallingEdge(dut.clk)
        for file in ("record.mem", "accepted.mem"):
            (FOLDER / file).write_text("")
        if int(dut.n_accepted.value):
            await pulse(dut, "dump")
        if int(dut.n_records.value):
            records.append(read_words(FOLDER / "record.mem", RECORD_DIGITS))
        accepted.append(read_words(FOLDER / "accepted.mem", (8,))[:, 0])
        if part == scenario["parts"][-1][0]:
            await pulse(dut, "dump_taps")
        dut.play.value = 0
        await ClockCycles(dut.clk, 2)
    columns = np.concatenate(records).T if records else np.zeros((5, 0), np.int64)
    return Observed(*columns, accepted=np.concatenate(accepted)), seconds, clocks


async def drive(dut: Any, scenario: dict[str, Any], words: list[int]) -> Observed:
    """Take the pins: one event at each clock, sampled as a register behind the device would."""
    rows: list[tuple[int, ...]] = []
    accepted: list[int] = []
    for clock in range(len(words) + PLAN["latency"] + 4):
        dut.direct_valid.value = int(clock < len(words))
        dut.direct_words.value = words[clock] if clock < len(words) else 0
        await FallingEdge(dut.clk)
        await ReadOnly()
        if clock < len(words):
            accepted.append(clock)  # the rising edge that follows samples it
        if dut.m_valid.value:
            ports = (dut.m_score, dut.m_seeds_before, dut.m_seeds_after, dut.m_l1a)
            rows.append((clock, *(int(port.value) for port in ports)))
        await RisingEdge(dut.clk)
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    return Observed(*columns, accepted=np.array(accepted, np.int64))


def localise(scenario: dict[str, Any]) -> str:
    """Where the last part of a run without resets first differs: at the codes or at the network inputs."""
    wanted = np.load(FOLDER / scenario["taps"])
    for file, width, signed, key, label in (
        ("codes.mem", PLAN["code_bits"], True, "codes", "{slot}.hw_{feature}"),
        ("inputs.mem", PLAN["x_bits"], PLAN["x_signed"], "inputs", "input {slot}.{feature}"),
    ):
        found = read_fields(FOLDER / file, width, 57, signed)
        if len(found) != len(wanted[key]):
            return f"{len(found)} events in {file}, {len(wanted[key])} expected"
        count, text = first_difference(found, wanted[key], label)
        if count:
            return f"{count}/{len(found)} events differ at the {key}; first at {text}"
    return ""


@cocotb.test()
@cocotb.parametrize(scenario=range(len(PLAN["scenarios"])))
async def top(dut: Any, scenario: int) -> None:
    chosen = PLAN["scenarios"][scenario]
    expected = SimpleNamespace(**np.load(FOLDER / chosen["expected"]))
    expected.rejected = int(expected.rejected)
    await start(dut, chosen)
    seconds, clocks = 0.0, 0
    if chosen["direct"]:
        words = [int(line[1:], 16) for line in (FOLDER / chosen["parts"][0][0]).read_text().split()]
        observed = await drive(dut, chosen, words)
    else:
        observed, seconds, clocks = await play(dut, chosen)
    result = compare(chosen["name"], expected, observed, PLAN["latency"], chosen["place"])
    summary = result.to_dict() | {"seconds": seconds, "clocks": clocks, "where": ""}
    if chosen["taps"]:
        summary["where"] = localise(chosen)
    Path(FOLDER / chosen["result"]).write_text(json.dumps(summary))
    assert result.ok, result.first
    assert not summary["where"], summary["where"]
