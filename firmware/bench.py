"""`ad40 bench`: speeds, memory and agreement on this machine, beside those of other tools in the same run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import defaults, objects
from ad40.bench import ONE_THREAD, rate
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError
from ad40.events import open_events, write_hw_sample
from ad40.model import Model, read_model
from firmware import verify
from firmware.compile import compile_if_missing
from firmware.design import read_design

HELP = "measure speeds, memory and agreement on this machine"
EPILOG = """\
Speeds are the fastest of several repetitions on one core; the RTL counts bunch crossings at II = 1, one per clock, from
the start of the playback to the last decision. Nothing here fails because a machine is slow; a disagreement does.
example: ad40 bench --model models/ad40_v1 --firmware build/firmware --json build/bench.json"""

MB = 1e6
SPEED_EVENTS = 20000  # per repetition: long against the clock's grain, short against what disturbs it
_PEAK = """\
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)"""


def _row(name: str, value: float, unit: str, beside: dict[str, Any] | None = None, target: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "beside": beside or {}, "target": target}


def waist(model: Model, sample: Path, n: int) -> dict[str, float]:
    """`ad40.bench` in a child process with one thread."""
    command = [sys.executable, "-m", "ad40.bench", str(model.folder), str(sample), str(n)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckError(f"`{' '.join(command[1:])}` failed: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def peers(model: Model, firmware: Path, codes: np.ndarray) -> dict[str, float]:
    """Events/s of hls4ml's own predict and of alkaid's interpreter (one thread), from network inputs."""
    entry = verify.read_manifest(firmware, model.trigger)["models"][0]
    run = verify.executors(model.network, model.folder, firmware, entry)
    emulator = Emulator(model.network)
    inputs, here = emulator.inputs(codes), objects.present(codes)
    return {
        name: rate(lambda name=name: run[name](inputs, here), len(codes), repeats=5)  # type: ignore[misc]
        for name in ("hls4ml", "interpreter")
    }


def trigger_memory(model: Model, sample: Path, n: int) -> tuple[float, float, int]:
    """Peak memory in MB, events/s and events of `ad40 trigger` over at least n events (0: those of the
    sample), a child process."""
    with tempfile.TemporaryDirectory() as scratch:
        events = sample
        with open_events(sample) as file:
            n = n or file.n
            if n > file.n:  # the sample over and over
                events = Path(scratch) / "events.h5"
                write_hw_sample(events, file.codes()[np.arange(n) % file.n])
            else:
                n = file.n
        trigger = [sys.executable, "-m", "ad40", "trigger", str(events), "--model", str(model.folder)]
        summary = Path(scratch) / "trigger.json"
        # A process starts with the peak memory of the one that forked it, so a small one stands between
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, *trigger, "--output", str(Path(scratch) / "kept.h5"), "--json", str(summary)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CheckError(f"`ad40 trigger` failed: {done.stderr.strip().splitlines()[-1:]}")
        peak_kib = int(done.stdout.split()[-1])
        seconds = json.loads(summary.read_text())["seconds"]
    return peak_kib * 1024 / MB, n / seconds, n


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults.add_model_option(parser)
    defaults.add_inputs(parser)
    parser.add_argument("--quick", action="store_true", help="fewer events where the figure does not depend on it")


def run(args: argparse.Namespace) -> dict[str, Any]:
    model = read_model(args.model)
    design = read_design([args.model])
    compile_if_missing(design, args.firmware)
    verify.read_manifest(args.firmware, design.trigger)
    ladder, rtl_events = 20000 if args.quick else 100000, 20000
    with open_events(args.sample) as file:
        if file.n < max(ladder, rtl_events):
            raise InputError(args.sample, "events", file.n, f"at least {max(ladder, rtl_events)}")
        codes = file.codes(0, max(ladder, rtl_events))
    one = waist(model, args.sample, SPEED_EVENTS)
    other = peers(model, args.firmware, codes[:5000])
    rtl = verify.simulate(args.firmware, codes[:rtl_events])
    if rtl["mismatches"] is None:
        raise CheckError(f"`ad40 simulate` could not run, exit code {rtl['exit_code']}; see above")
    megabytes, trigger_rate, trigger_events = trigger_memory(model, args.sample, 0 if args.quick else 1_000_000)
    rungs = list(verify.climb(design, args.firmware, codes[:ladder])[0].rungs.values())
    speeds = rtl["speed"]
    rows = [
        _row(
            "emulator, codes to score, one core",
            one["emulator"],
            "events/s",
            {"hls4ml predict, events/s": other["hls4ml"], "alkaid interpreter, events/s": other["interpreter"]},
            "at least 500,000",
        ),
        _row("emulator over hls4ml predict", one["emulator"] / other["hls4ml"], "times", target="at least 50"),
        _row("encode and pack to words, one core", one["encode_pack"], "events/s", target="at least 1,000,000"),
        _row(
            "RTL in Verilator under cocotb, back to back",
            speeds["bx_per_s_back_to_back"],
            "BX/s",
            {
                "clocks/s": speeds["clocks_per_s"],
                "one event per BX, BX/s": speeds["bx_per_s_one_event_per_bx"],
            },
            "at least 10,000",
        ),
        _row(
            f"ad40 trigger over {trigger_events:,} events, peak memory",
            megabytes,
            "MB",
            {"events/s": trigger_rate},
            "under 1,000",
        ),
        *(
            _row(f"{rung.executor} and emulator differ, of {rung.events:,} events", rung.mismatches, "events")
            for rung in rungs
        ),
        _row(f"RTL and emulator differ, of {rtl['events']:,} events and all edges", rtl["mismatches"], "events"),
    ]
    for row in rows:
        beside = ", ".join(f"{name} {value:,.0f}" for name, value in row["beside"].items())
        target = f"  ({row['target']})" if row["target"] else ""
        print(
            f"  {row['name']:<58}{row['value']:>14,.0f} {row['unit']}{target}{'  beside: ' + beside if beside else ''}"
        )
    summary = {"benchmarks": rows, "machine": {"cores": os.cpu_count()}}
    wrong = [rung.sentence() for rung in rungs[1:] if rung.mismatches]
    if rtl["mismatches"] or rtl["exit_code"]:
        wrong.append(f"RTL != emulator: {rtl['mismatches']} mismatches, exit code {rtl['exit_code']}")
    if wrong:
        raise CheckError("\n".join(wrong), summary)
    return summary
