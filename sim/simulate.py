"""`ad40 simulate`: the compiled firmware in Verilator, driven by cocotb, held against the emulator."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, objects, spec
from ad40.errors import CheckError, InputError
from ad40.events import open_events
from ad40.files import write_json
from sim import core, replay, stream, top
from sim.cover import bins, cover_counters, cover_top
from sim.coverage import Coverage
from sim.firmware import Firmware, read_firmware
from sim.judge import counters_at, judge
from sim.scoreboard import Result

__all__ = ["check", "read_firmware", "simulate"]
HELP = "run the compiled firmware in Verilator and hold every decision against the emulator"
EPILOG = """\
Three benches: the core with one event per clock (edges, thresholds -1, 0, +1, prescales, masks, resets, counters that
wrap), the stream variant with back-pressure, and the whole block with orbits on the lanes, faults of the links, packets
and a host on AXI4-Lite. A table of functional coverage follows; a bin that nothing reached is a failure.
With --patterns a file of EMPv2, APx or global trigger vectors is played into the whole block instead.
examples: ad40 simulate build/firmware --events training/sample/background.h5 --n 20000 --orbits 100 --seed 7
          ad40 simulate build/firmware --patterns lanes.txt --output captured.txt"""

POOL = 4000  # events of the file from which the directed runs draw
RANDOM = 1000  # random events beside them


def random_words(n: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Events uint64 (n, 19) with every field uniform over its codes, each object there or not."""
    codes = np.zeros((n, objects.N_OBJECTS, objects.N_FEATURES), np.int32)
    for slot, kind in enumerate(spec.objects().slots):
        codes[:, slot, objects.PT] = rng.integers(1, kind.pt.max_code + 1, n)
        if kind.eta:
            codes[:, slot, objects.ETA] = rng.integers(-kind.eta.max_code - 1, kind.eta.max_code + 1, n)
        codes[:, slot, objects.PHI] = rng.integers(0, kind.phi.steps, n)
    full = rng.random((n, 1)) < 0.1
    codes[~(full | (rng.random(codes.shape[:2]) < 0.6))] = 0
    return objects.pack(codes)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def simulate(
    firmware: Firmware, codes: NDArray[np.int32], scratch: Path, orbits: int = 3, seed: int = 40, load: bool = False
) -> dict[str, Any]:
    """Run the three benches on event codes (n, 19, 3) and return the summary.

    seed: of all stimulus. load: let the host software write the whole menu once, BX mask included.
    """
    streams = np.random.SeedSequence(seed).spawn(4)
    rngs = [np.random.default_rng(s) for s in streams]
    coverage = bins(firmware)
    pool = np.concatenate([objects.pack(codes[:POOL]), random_words(RANDOM, rngs[3])])
    _say("Verilator builds each bench, or takes the one that is there; a minute or two each")
    began = time.monotonic()
    results: list[Result] = []
    results += core.simulate(firmware, core.runs(firmware, codes, pool, rngs[0]), scratch, seed, coverage)
    _say(f"core: {len(results)} runs, {time.monotonic() - began:.0f} s")
    chosen = stream.runs(firmware, objects.pack(codes), pool, rngs[1])
    results += stream.simulate(firmware, chosen, scratch, seed, coverage)
    _say(f"stream: {len(chosen)} runs, {time.monotonic() - began:.0f} s")
    builder = top.Builder(firmware, pool, rngs[2])
    on_lanes = builder.runs(orbits, objects.pack(codes[: firmware.timing.orbit_bx]), load)
    _say(f"top: {len(on_lanes)} runs, {sum(len(r.lines) for r in on_lanes):,} clocks")
    folder = top.simulate(firmware, on_lanes, scratch, seed)
    for number, run in enumerate(on_lanes):
        judged = judge(firmware, run, number, folder)
        results.append(judged.result)
        cover_top(judged, firmware, coverage)
        latched = [a for a in judged.recorded.actions if a["action"] == "counters"]
        if latched:
            cover_counters(counters_at(judged, firmware, judged.recorded.lines), 32, firmware, coverage)
        top.remove(folder, number)
    _say(f"top: {len(on_lanes)} runs, {time.monotonic() - began:.0f} s")
    return _summary(firmware, results, coverage, seed, orbits)


def _summary(firmware: Firmware, results: list[Result], coverage: Coverage, seed: int, orbits: int) -> dict[str, Any]:
    timing = firmware.timing
    tops = [r for r in results if r.latency[0] >= 0]
    low, high = (pick(r.latency[i] for r in tops) for i, pick in enumerate((min, max)))
    back_to_back = next(r for r in reversed(results) if r.name == "stream: back to back")
    lanes_run = results[-1]
    rate = lanes_run.clocks / max(lanes_run.seconds, 1e-9)
    clocks_per_s = back_to_back.clocks / max(back_to_back.seconds, 1e-9)
    return {
        "events": back_to_back.events,
        "seed": seed,
        "orbits": orbits,
        "orbit_bx": lanes_run.decisions,
        "mismatches": sum(r.mismatches for r in results),
        "differing_inside": [f"{r.name}: {r.where}" for r in results if r.where],
        "scenarios": [r.to_dict() for r in results],
        "latency": {
            "cycles": high,
            "ns": high * timing.cycle_ns,
            "budget_ns": timing.budget_ns,
            "constant": low == high,
            "configuration": timing.name,
        },
        "ii": back_to_back.interval,
        "coverage": coverage.to_dict(),
        "coverage_at_zero": coverage.missing(),
        "coverage_table": coverage.table(),
        "speed": {
            "bx_per_s_back_to_back": clocks_per_s,
            "bx_per_s_one_event_per_bx": rate / timing.clocks_per_bx,
            "clocks_per_s": clocks_per_s,
        },
        "simulator": "Verilator with cocotb",
    }


def check(summary: dict[str, Any], promised: int) -> None:
    """Raise `CheckError` on any mismatch or fault, a latency that is not the promised one or over the budget, II above
    1, a sample on which the trigger does not decide, and a coverage bin at zero."""
    faults = [f"{r['name']}: {r['first']}" for r in summary["scenarios"] if r["first"]]
    faults += [f"{r['name']}: {fault}" for r in summary["scenarios"] for fault in r["faults"]]
    faults += summary["differing_inside"]
    measured = summary["latency"]
    if not measured["constant"] or measured["cycles"] != promised:
        faults.append(f"latency {measured['cycles']} clocks measured, {promised} promised, and it must not vary")
    if measured["ns"] > measured["budget_ns"] * (1 + 1e-9):
        faults.append(f"latency {measured['ns']:.2f} ns is over the budget of {measured['budget_ns']:g} ns")
    if summary["ii"] != 1:
        faults.append(f"a decision every {summary['ii']} clocks with an event at every clock: II must be 1")
    accepted, decisions = (sum(r[key] for r in summary["scenarios"]) for key in ("accepted_by_trigger", "decisions"))
    if not 0 < accepted < decisions:
        faults.append(f"{accepted} of {decisions} events accepted: both decisions must occur")
    if summary["coverage_at_zero"]:
        shown = "; ".join(summary["coverage_at_zero"][:5])
        faults.append(f"coverage: {len(summary['coverage_at_zero'])} bins at zero: {shown}")
    if faults:
        raise CheckError("\n".join(faults), summary)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "firmware", type=Path, nargs="?", default=defaults.FIRMWARE, metavar="FW_DIR",
        help="folder written by `ad40 compile` (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--events", type=Path, default=defaults.BACKGROUND, metavar="FILE", help="event file (default %(default)s)"
    )
    parser.add_argument("--n", type=int, default=20000, metavar="N", help="events, one per clock (default 20000)")
    text = "orbits of events on the lanes, with faults and back-pressure (default 3)"
    parser.add_argument("--orbits", type=int, default=3, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=40, metavar="S", help="of all stimulus (default 40)")
    text = "let the host software write the whole menu over AXI4-Lite, BX mask included (8,000 accesses)"
    parser.add_argument("--load", action="store_true", help=text)
    parser.add_argument("--patterns", type=Path, metavar="FILE", help="play this pattern file instead")
    text = "with --patterns: the captured output lane, in the same format"
    parser.add_argument("--output", type=Path, metavar="FILE", help=text)
    parser.add_argument("--packets", type=Path, metavar="FILE", help="with --patterns: the packets of accepted events")
    text = "with --patterns: the counters of the board, as `ad40 readout` reads them"
    parser.add_argument("--counters", type=Path, metavar="FILE", help=text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("n", "orbits"):
        if getattr(args, name) < 1:
            raise InputError("command line", f"--{name}", getattr(args, name), "at least 1")
    if args.seed < 0:
        raise InputError("command line", "--seed", args.seed, "0 or more")
    for name in ("output", "packets", "counters"):
        if getattr(args, name) and not args.patterns:
            raise InputError("command line", f"--{name}", getattr(args, name), "--patterns with it")
    firmware = read_firmware(args.firmware)
    if args.patterns:
        return replay.run(firmware, args)
    with open_events(args.events) as file:
        if file.n < args.n:
            raise InputError(args.events, "events", file.n, f"at least --n {args.n}")
        codes = file.codes(0, args.n)
    summary = simulate(firmware, codes, args.firmware / "simulation", args.orbits, args.seed, args.load)
    write_json(args.firmware / "simulation" / "simulate.json", summary)
    for row in summary["scenarios"]:
        state = row["first"] or "; ".join(row["faults"][:1]) or "equal"
        print(
            f"  {row['name']:<52} {row['decisions']:>8,} decisions  {row['accepted_by_trigger']:>7,} accepted  {state}"
        )
    print(summary["coverage_table"])
    measured = summary["latency"]
    clocks = f"{measured['cycles']} clocks = {measured['ns']:.2f} ns"
    print(f"latency {clocks} of {measured['budget_ns']:g} ns ({measured['configuration']}), II = {summary['ii']}")
    print(f"{summary['speed']['clocks_per_s']:,.0f} clocks/s in Verilator under cocotb; seed {summary['seed']}")
    check(summary, firmware.latency)
    return summary
