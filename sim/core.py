"""The bench of the core: one event per clock, every setting and strobe, counters short enough to wrap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.emulator import Emulator
from ad40.errors import CheckError
from sim import runner, vectors
from sim.cover import cover_counters, cover_decisions
from sim.coverage import Coverage
from sim.expect import Expected, Run, expect, menu_settings
from sim.firmware import Firmware
from sim.lanes import noise_bits
from sim.reference import counts
from sim.scoreboard import Result, compare, compare_counters, first_difference, read_decisions, read_fields

TOP, MODULE, COUNTER_BITS = "ad40_bench", "sim.cocotb_core", 8
TAPS = ("edges", "stream")  # runs without gaps in which the inside of the algorithm is compared, too


def runs(firmware: Firmware, codes: NDArray[np.int32], pool: NDArray[np.uint64], rng: np.random.Generator) -> list[Run]:
    """The runs on event codes (n, 19, 3) back to back, on the events of a pool (m, 19), and on edge vectors of every
    network."""
    words = noise_bits(objects.pack(codes), rng)
    pool = noise_bits(pool[rng.permutation(len(pool))], rng)
    raw = rng.integers(0, 1 << 64, (1024, objects.N_OBJECTS), dtype=np.uint64)
    raw[:, [kind.word_bits == 32 for kind in spec.objects().slots]] &= np.uint64(0xFFFFFFFF)
    edges = [noise_bits(objects.pack(vectors.edge_codes(Emulator(n))), rng) for n in firmware.trigger.networks]
    return vectors.core_runs(words, pool, np.concatenate([*edges, raw]), firmware.trigger, firmware.latency, rng)


def simulate(firmware: Firmware, chosen: Sequence[Run], scratch: Path, seed: int, coverage: Coverage) -> list[Result]:
    """Build the bench if its sources changed, play all runs, and compare."""
    bench = runner.build(
        [*firmware.sources, Path(__file__).parent / "ad40_bench.sv"],
        TOP, scratch / "core", parameters={"COUNTER_BITS": COUNTER_BITS}, runtime=scratch / "runtime",
    )  # fmt: skip
    folder = scratch / "core_runs"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("run*"):
        stale.unlink()
    n_seeds = len(firmware.trigger.menu.seeds)
    wide = ("cnt_before", "cnt_after", "cnt_accepted")
    narrow = ("cnt_slots", "cnt_errors", "cnt_requests", "cnt_l1a", "cnt_lost_rules", "cnt_lost_busy", "cnt_dead")
    plan = {
        "period_ps": firmware.period_ps,
        "counter_bits": COUNTER_BITS,
        "counters": dict.fromkeys(wide, n_seeds) | dict.fromkeys(narrow, 1),
        "runs": [],
    } | {name: firmware.constants[name] for name in ("threshold_bits", "prescale_bits", "rule_bits")}
    for number, run in enumerate(chosen):
        vectors.write_run(folder / f"run{number}.bin", run)
        extra = {"lumi_log2": run.lumi_log2, "update_mode": run.update_mode}
        plan["runs"].append({
            "number": number,
            "preamble": vectors.preamble(run),
            "taps": run.name in TAPS,
            "settings": menu_settings(run.menu, run.columns[0]) | extra,
            "shadow": menu_settings(run.shadow or run.menu, run.columns[1]) | extra,
        })  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    runner.run(
        bench, TOP, MODULE, folder,
        plusargs=[f"+folder={folder.resolve()}", "+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**31 + 1}"],
        environment={"AD40_PLAN": str((folder / "plan.json").resolve())},
    )  # fmt: skip
    results = []
    for number, run in enumerate(chosen):
        if not (folder / f"run{number}.json").exists():
            raise CheckError(f"run '{run.name}' did not finish; see {folder / 'simulation.log'}")
        results.append(judge(firmware, run, number, folder, coverage))
        for big in (f"run{number}.bin", f"run{number}.hex", f"codes{number}.hex", f"inputs{number}.hex"):
            (folder / big).unlink()
    return results


def judge(firmware: Firmware, run: Run, number: int, folder: Path, coverage: Coverage) -> Result:
    """Decisions, counters and the inside of the algorithm of one run."""
    expected = expect(run, firmware.trigger, firmware.latency)
    observed = read_decisions(folder / f"run{number}.hex", len(firmware.trigger.networks))
    result = compare(run.name, expected, observed, firmware.latency)
    left = json.loads((folder / f"run{number}.json").read_text())
    result.seconds, result.clocks = left["seconds"], len(run.words) + vectors.preamble(run)
    wanted = final_counts(run, expected, firmware.latency)
    result.faults += compare_counters(left["counters"], wanted, COUNTER_BITS)
    if run.name in TAPS:
        result.where = localise(firmware, run, number, folder)
    cover_counters(wanted, COUNTER_BITS, firmware, coverage)
    cover(run, expected, firmware, coverage)
    return result


def final_counts(run: Run, expected: Expected, latency: int) -> dict[str, list[int]]:
    """Every counter after the run: decisions from the last clearing on."""
    # a slot whose decision meets a reset is dropped; one that meets counter_rst is the first that counts again
    begin = max([*(run.lines_with("rst") + 1), *run.lines_with("counter_rst"), -1])
    first = int(np.searchsorted(expected.line + latency, begin, side="left"))
    totals = {}
    for name, series in counts(expected.decided, expected.mask(), expected.bad, expected.busy).items():
        before = series[first - 1] if first else np.zeros_like(series[0])
        totals[name] = np.atleast_1d(series[-1] - before).tolist()
    return totals


def localise(firmware: Firmware, run: Run, number: int, folder: Path) -> str:
    """Where a run without gaps first differs: at the codes or at the inputs of the first network."""
    network, constants = firmware.trigger.networks[0], firmware.constants
    codes = objects.unpack(run.words)
    x, inputs = network.input.format, Emulator(network).inputs(codes)[:, : objects.N_INPUTS]
    for file, width, signed, wanted, kind, label in (
        ("codes", constants["code_bits"], True, codes.reshape(-1, 57), "codes", "{slot}.hw_{feature}"),
        ("inputs", x.width, x.signed, inputs, "inputs", "input {slot}.{feature}"),
    ):
        found = read_fields(folder / f"{file}{number}.hex", width, 57, signed)
        if len(found) != len(wanted):
            return f"{len(found)} events at the {kind}, {len(wanted)} expected"
        if kind == "codes":  # codes of absent objects are nobody's business
            absent = ~objects.present(codes).repeat(3, axis=1)
            found = np.where(absent, wanted, found)
        count, text = first_difference(found, wanted, label)
        if count:
            return f"{count}/{len(found)} events differ at the {kind}; first at {text}"
    return ""


def cover(run: Run, expected: Expected, firmware: Firmware, coverage: Coverage) -> None:
    """Count the bins that the expectation of a run reached."""
    cover_decisions(expected, firmware, coverage)
    for strobe, name in (("update_now", "update taken at once"), ("prescale_rst", "prescale reset")):
        coverage.hit("decision", name, int(run.flag(strobe).sum()))
    if run.name.startswith("update 0 clocks"):
        coverage.hit("decision", "update request at the last BX of an orbit", len(expected.live) - 1)
    if run.update_mode == 1:
        coverage.hit("decision", "update taken at an orbit start", len(expected.live) - 1)
