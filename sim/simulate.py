"""`ad40 simulate`: the compiled firmware in Verilator, driven by cocotb, held against the emulator."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, objects, spec
from ad40.emulator import Emulator
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.events import open_events
from ad40.files import file_hash, read_json, write_json
from ad40.model import Model, read_model
from ad40.schema import Node
from sim import runner, vectors
from sim.vectors import Stimulus, edge_codes, expect, noise_bits, steady

HELP = "run the compiled firmware on events in Verilator and hold every decision against the emulator"
EPILOG = """\
Scenarios: the pins driven clock by clock; directed edges; thresholds -1, 0, +1 and prescales; gaps and resets; one
LHC orbit at one event per bunch crossing; the events of the file back to back, one per clock.
example: ad40 simulate build/run/firmware --events training/sample/background.h5 --n 20000"""

MANIFEST = "firmware.json"
DEPTH = 32768  # lines of the playback memory, see ad40_bench.sv
TOP = "ad40_bench"


@dataclass(frozen=True, eq=False)
class Firmware:
    """A compiled design on disk: its manifest, its sources in order of compilation and the model it holds."""

    folder: Path
    manifest: dict[str, Any]
    sources: tuple[Path, ...]
    model: Model

    @property
    def latency(self) -> int:
        """Clocks from input to decision that the design promises."""
        return int(self.manifest["constants"]["latency"])


def read_firmware(folder: Path) -> Firmware:
    """Read what `ad40 compile` left. Refuses a folder that is incomplete, was changed since, or was made with other
    scales or another latency.yaml."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(folder, MANIFEST, "missing", "a folder that `ad40 compile` finished")
    node = Node(read_json(path), path)
    model = read_model(folder)
    for name, here in (
        ("network_hash", model.network.hash),
        ("menu_hash", model.menu.hash),
        ("spec_hash", spec.objects().hash),
        ("latency_hash", spec.latency().hash),
    ):
        if node[name].text() != here:
            raise HashMismatch(path, name, node[name].text(), f"{here}; run `ad40 compile` again")
    sources = []
    for name, wanted in node["sources"].items():
        source = folder / name
        if not source.exists() or file_hash(source) != wanted.text():
            raise HashMismatch(source, "content", "changed or missing", "that of firmware.json; compile again")
        sources.append(source)
    return Firmware(folder, dict(node.value), tuple(sources), model)


def scenarios(firmware: Firmware, codes: NDArray[np.int32], seed: int = 40) -> list[tuple[Stimulus, bool]]:
    """(stimulus, by pins) of every scenario on the event codes (n, 19, 3)."""
    latency = spec.latency()
    rng = np.random.default_rng(seed)
    emulator, menu = Emulator(firmware.model.network), firmware.model.menu
    words = noise_bits(objects.pack(codes), rng)
    raw = rng.integers(0, 1 << 64, (1024, objects.N_OBJECTS), dtype=np.uint64)
    raw[:, [kind.word_bits == 32 for kind in spec.objects().slots]] &= np.uint64(0xFFFFFFFF)
    edges = np.concatenate([noise_bits(objects.pack(edge_codes(emulator)), rng), raw])
    some = words[: min(len(words), 2000)]
    found = [
        (steady("pins", np.concatenate([some[:64], raw[:64]]), menu), True),
        (steady("edges", edges, menu), False),
        *((run, False) for run in vectors.threshold_runs(some, emulator, menu)),
        (vectors.bursts(some, menu, firmware.latency, rng), False),
    ]
    orbit = words[np.arange(latency.orbit_bx) % len(words)]
    found.append((steady("orbit, one event per BX", orbit, menu, latency.clocks_per_bx), False))
    found.append((steady("back to back", words, menu), False))
    return found


def _write(folder: Path, number: int, stimulus: Stimulus, by_pins: bool, firmware: Firmware) -> dict[str, Any]:
    """Write playback, expectation and taps of one scenario; its entry in the plan."""
    emulator = Emulator(firmware.model.network)
    expected = expect(stimulus, emulator, firmware.latency, spec.latency().stages["decision"])
    np.savez(
        folder / f"expected{number}.npz",
        line=expected.line, score=expected.score, before=expected.before, after=expected.after, l1a=expected.l1a,
        rejected=expected.rejected,
    )  # fmt: skip
    parts = []
    for start in range(0, len(stimulus.words), DEPTH):
        stop = min(start + DEPTH, len(stimulus.words))
        parts.append([f"playback{number}_{start}.mem", stop - start])
        vectors.write_playback(folder / parts[-1][0], stimulus, start, stop)
    taps = ""
    if not (stimulus.has_resets or by_pins):
        taps = f"taps{number}.npz"
        last = len(stimulus.words) - parts[-1][1]
        codes = objects.unpack(stimulus.words[last:])
        np.savez(folder / taps, codes=codes.reshape(len(codes), -1), inputs=emulator.inputs(codes))
    return {
        "name": stimulus.name,
        "spacing": stimulus.spacing,
        "thresholds": [s.threshold for s in stimulus.menu.seeds],
        "prescales": [s.factor for s in stimulus.menu.seeds],
        "direct": by_pins,
        "parts": parts,
        "expected": f"expected{number}.npz",
        "taps": taps,
        "result": f"result{number}.json",
        "place": "BX" if stimulus.spacing > 1 else "event",
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def simulate(firmware: Firmware, codes: NDArray[np.int32], scratch: Path) -> dict[str, Any]:
    """Build the bench if its sources changed, run all scenarios, and return the summary."""
    constants = firmware.manifest["constants"]
    _say("Verilator: building the bench, or taking the one that is there (a minute or two)")
    bench = runner.build([*firmware.sources, Path(__file__).parent / "ad40_bench.sv"], TOP, scratch / "verilator")
    folder = scratch / "scenarios"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("result*.json"):
        stale.unlink()
    chosen = scenarios(firmware, codes)
    plan = {
        "period_ps": 2 * round(spec.latency().cycle_ns * 500),
        "latency": firmware.latency,
        "network_hash": firmware.model.network.hash,
        "spec_hash": spec.objects().hash,
        "x_signed": firmware.model.network.input.format.signed,
        "scenarios": [_write(folder, i, s, pins, firmware) for i, (s, pins) in enumerate(chosen)],
    } | {name: constants[name] for name in ("threshold_bits", "prescale_bits", "code_bits", "x_bits")}
    (folder / "plan.json").write_text(json.dumps(plan))
    files = [f"+{name}={folder.resolve() / name}.mem" for name in ("playback", "record", "accepted", "codes", "inputs")]
    _say(f"cocotb: {len(chosen)} scenarios, {sum(len(s.words) for s, _ in chosen):,} playback lines")
    runner.run(
        bench,
        TOP,
        "sim.cocotb_top",
        folder,
        plusargs=[*files, "+verilator+rand+reset+2", "+verilator+seed+40"],
        environment={"AD40_PLAN": str((folder / "plan.json").resolve())},
    )
    results = []
    for entry in plan["scenarios"]:
        path = folder / entry["result"]
        if not path.exists():
            raise CheckError(f"scenario '{entry['name']}' did not finish; see {folder / 'simulation.log'}")
        results.append(json.loads(path.read_text()))
    return _summary(results)


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    latency = spec.latency()
    delays = [d for r in results for d in r["latency"] if d >= 0]
    cycles = max(delays, default=0)
    orbit, stream = results[-2], results[-1]
    per_bx = orbit["clocks"] / max(orbit["seconds"], 1e-9)
    return {
        "events": stream["events"],
        "mismatches": sum(r["mismatches"] for r in results),
        "differing_inside": [f"{r['name']}: {r['where']}" for r in results if r["where"]],
        "scenarios": results,
        "latency": {
            "cycles": cycles,
            "ns": cycles * latency.cycle_ns,
            "budget_ns": latency.budget_ns,
            "constant": min(delays, default=0) == cycles,
        },
        "ii": stream["interval"],
        "speed": {
            "bx_per_s_back_to_back": stream["clocks"] / max(stream["seconds"], 1e-9),
            "bx_per_s_one_event_per_bx": per_bx / latency.clocks_per_bx,
            "clocks_per_s": stream["clocks"] / max(stream["seconds"], 1e-9),
        },
        "simulator": "Verilator with cocotb",
    }


def check(summary: dict[str, Any], promised: int) -> None:
    """Raise `CheckError` on any mismatch, a latency that is not the promised one, or one over the budget."""
    faults = [f"{r['name']}: {r['first']}" for r in summary["scenarios"] if r["first"]]
    faults += summary["differing_inside"]
    measured = summary["latency"]
    if not measured["constant"] or measured["cycles"] != promised:
        faults.append(f"latency {measured['cycles']} clocks measured, {promised} promised, and it must not vary")
    if measured["ns"] > measured["budget_ns"] * (1 + 1e-9):
        faults.append(f"latency {measured['ns']:.2f} ns is over the budget of {measured['budget_ns']:g} ns")
    if summary["ii"] != 1:
        faults.append(f"a decision every {summary['ii']} clocks with an event at every clock: II must be 1")
    stream = summary["scenarios"][-1]
    if not 0 < stream["accepted_by_trigger"] < stream["events"]:
        accepted = f"{stream['accepted_by_trigger']} of {stream['events']} events accepted"
        faults.append(f"{accepted}: both decisions must occur")
    if faults:
        raise CheckError("\n".join(faults), summary)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "firmware",
        type=Path,
        nargs="?",
        default=defaults.FIRMWARE,
        metavar="FW_DIR",
        help="folder written by `ad40 compile` (default %(default)s)",
    )
    parser.add_argument(
        "--events", type=Path, default=defaults.BACKGROUND, metavar="FILE", help="event file (default %(default)s)"
    )
    parser.add_argument("--n", type=int, default=20000, metavar="N", help="events back to back (default 20000)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.n < 1:
        raise InputError("command line", "--n", args.n, "at least 1 event")
    firmware = read_firmware(args.firmware)
    with open_events(args.events) as file:
        if file.n < args.n:
            raise InputError(args.events, "events", file.n, f"at least --n {args.n}")
        codes = file.codes(0, args.n)
    summary = simulate(firmware, codes, args.firmware / "simulation")
    write_json(args.firmware / "simulation" / "simulate.json", summary)
    for row in summary["scenarios"]:
        state = "equal" if not row["first"] else row["first"]
        print(f"  {row['name']:<26} {row['events']:>8,} events  {row['accepted_by_trigger']:>7,} accepted  {state}")
    measured = summary["latency"]
    clocks = f"{measured['cycles']} clocks = {measured['ns']:.2f} ns"
    print(f"latency {clocks} of {measured['budget_ns']:g} ns, II = {summary['ii']}")
    print(f"{summary['speed']['bx_per_s_back_to_back']:,.0f} BX/s back to back in Verilator under cocotb")
    check(summary, firmware.latency)
    return summary
