"""The bench of ad40_stream: every event comes out once, in order, as the emulator has it; one per clock when nothing
holds it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from sim import runner, vectors
from sim.coverage import Coverage
from sim.expect import Run, expect, steady
from sim.firmware import Firmware
from sim.scoreboard import Observed, Result, compare, read_hex

TOP, MODULE = "ad40_stream_bench", "sim.cocotb_stream"
ALWAYS = 256  # of 256 clocks


@dataclass(frozen=True, eq=False)
class StreamRun:
    """Events, and in how many of 256 clocks they are offered and decisions are taken."""

    run: Run
    valid: int = ALWAYS
    ready: int = ALWAYS
    closed_until: int = 0

    @property
    def name(self) -> str:
        return self.run.name


def runs(
    firmware: Firmware, words: NDArray[np.uint64], pool: NDArray[np.uint64], rng: np.random.Generator
) -> list[StreamRun]:
    """Back-pressure, gaps, both, a closed sink; some events with faults, some that end their orbit, from a pool
    (m, 19); and last event words (n, 19) back to back."""
    menu, chosen = firmware.trigger.menu, []
    for name, valid, ready, closed in (
        ("stream: held back", ALWAYS, 90, 0),
        ("stream: gaps", 90, ALWAYS, 0),
        ("stream: gaps, held back", 160, 140, 0),
        ("stream: closed, then open", ALWAYS, ALWAYS, 300),
    ):
        some = pool[rng.integers(0, len(pool), 1200)]
        last = rng.random(len(some)) < 0.01
        orbit = np.concatenate([[0], np.cumsum(last)[:-1]])
        starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1 if last[-1] else np.flatnonzero(last) + 1])
        bx = np.arange(len(some)) - starts[orbit]
        run = Run(name, some, bx, orbit, {"valid": np.ones(len(some), np.bool_), "last": last}, menu)
        run.flags["error"] = rng.random(len(some)) < 0.02
        chosen.append(StreamRun(run, valid, ready, closed))
    chosen.append(StreamRun(steady("stream: back to back", words, menu)))
    return chosen


def simulate(
    firmware: Firmware, chosen: Sequence[StreamRun], scratch: Path, seed: int, coverage: Coverage
) -> list[Result]:
    """Build the bench if its sources changed, play all runs, and compare."""
    bench = runner.build([*firmware.sources, Path(__file__).parent / "ad40_stream_bench.sv"], TOP, scratch / "stream",
                         runtime=scratch / "runtime")  # fmt: skip
    folder = scratch / "stream_runs"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    plan: dict[str, Any] = {"period_ps": firmware.period_ps, "runs": []}
    for number, one in enumerate(chosen):
        vectors.write_run(folder / f"stream{number}.bin", one.run, with_mask=False)
        plan["runs"].append({"valid_level": one.valid, "ready_level": one.ready, "closed_until": one.closed_until,
                             "n_events": len(one.run.words)})  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    runner.run(
        bench, TOP, MODULE, folder,
        plusargs=[f"+folder={folder.resolve()}", "+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**31 + 1}"],
        environment={"AD40_PLAN": str((folder / "plan.json").resolve())},
    )  # fmt: skip
    results = []
    for number, one in enumerate(chosen):
        if not (folder / f"stream{number}.json").exists():
            raise CheckError(f"run '{one.name}' did not finish; see {folder / 'simulation.log'}")
        results.append(judge(firmware, one, number, folder, coverage))
    return results


def judge(firmware: Firmware, one: StreamRun, number: int, folder: Path, coverage: Coverage) -> Result:
    """Every decision of one run."""
    models = len(firmware.trigger.networks)
    expected = expect(one.run, firmware.trigger, firmware.latency)
    left = json.loads((folder / f"stream{number}.json").read_text())
    table = read_hex(folder / f"stream{number}.hex", 6 + models)
    words = table[:, :1:-1]  # word 0 first
    head = words[:, 0]
    columns = {
        "m_l1a": head >> 31, "m_error": head >> 30 & 1, "m_request": head >> 29 & 1, "m_bx": head & 0x1FFFFFFF,
        "m_orbit": words[:, 1], "m_seeds_before": words[:, 2], "m_seeds_after": words[:, 3], "m_scores": words[:, 4:],
    }  # fmt: skip
    columns["m_busy"] = np.zeros(len(table), np.int64)
    # when a decision is taken is up to the sink; its order is what counts
    n = min(len(table), len(expected.line))
    line = np.append(expected.line[:n] + firmware.latency, np.zeros(len(table) - n, np.int64))
    result = compare(one.name, expected, Observed(line, columns), firmware.latency)
    result.latency = (-1, -1)
    result.interval = int(np.median(np.diff(table[:, 0]))) if len(table) > 1 else 0
    result.seconds, result.clocks = left["seconds"], left["clocks"]
    if left["axis_faults"]:
        result.faults.append(f"AXI4-Stream: tvalid dropped or data changed before tready, {left['axis_faults']} times")
    if len(table) == len(expected.line) and (table[:, 1] != one.run.flag("last")).any():
        result.faults.append("AXI4-Stream: tlast does not travel with its event")
    free = one.valid == ALWAYS and one.ready == ALWAYS and not one.closed_until
    if free and len(table) and int(table[-1, 0] - table[0, 0]) != len(table) - 1:
        result.faults.append(f"{len(table)} decisions took {int(table[-1, 0] - table[0, 0]) + 1} clocks: II must be 1")
    coverage.hit("stream", "back to back", len(table) if free else 0)
    coverage.hit("stream", "gaps", len(table) if one.valid < ALWAYS else 0)
    coverage.hit("stream", "held back", len(table) if one.ready < ALWAYS else 0)
    coverage.hit("stream", "held back with the pipeline full", left["held_full"])
    return result
