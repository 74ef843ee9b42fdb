"""`ad40 bench`: speeds, memory and agreement on this machine, beside those of other tools in the same run."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import defaults, objects
from ad40.bench import ONE_THREAD, rate
from ad40.bench_files import end_to_end, scaling
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError
from ad40.events import open_events
from ad40.model import Model, read_model
from firmware import verify
from firmware.compile import compile_if_missing
from firmware.design import read_design

HELP = "measure speeds, memory and agreement on this machine"
EPILOG = """\
Speeds are medians of several repetitions; the RTL counts bunch crossings at II = 1, one per clock, from the start of
the playback to the last decision. The roofline puts the work of the emulator for an event beside what this machine can
do at most, measured in the same run. Nothing here fails because a machine is slow; a disagreement does.
example: ad40 bench --model models/ad40_v1 --firmware build/firmware --json build/bench.json"""

MB = 1e6
SPEED_EVENTS = 20000  # per repetition: long against the clock's grain, short against what disturbs it
END_TO_END = 5_000_000  # events
SCALING = 1_000_000  # events of each file


def _row(name: str, value: float, unit: str, beside: dict[str, Any] | None = None, target: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "beside": beside or {}, "target": target}


def child(module: str, *arguments: object) -> dict[str, Any]:
    """A measuring module of the waist in a process with one thread."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckError(f"`{' '.join(command[1:])}` failed: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, Any] = json.loads(done.stdout)
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


def cpp(model: Model, sample: Path) -> list[dict[str, Any]]:
    """Rows of the C++ library, compiled for this machine; none without a compiler."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        print("  no C++ compiler here: the C++ library is not measured")
        return []
    found = child("ad40.library_bench", model.folder, sample, SPEED_EVENTS, "--native")
    return [
        _row("C++ library, codes to score in batches, one core", found["batch_events_per_s"], "events/s",
             target="at least 1,000,000"),
        _row("C++ library, a single event", found["single_ns"], "ns", target="under 2,000"),
    ]  # fmt: skip


def matrices() -> list[dict[str, Any]]:
    """Rows of the offline search's rapidity-mass matrices; none without its packages."""
    if any(find_spec(name) is None for name in ("numba", "offline")):
        print("  the packages of ad40[offline] are not here: rapidity-mass matrices are not measured")
        return []
    found = child("offline.rmm.bench")
    return [
        _row("rapidity-mass matrices 36 x 36, all slots full, one core", found["dense_36"], "events/s",
             {"of typical events": found["typical_36"], "51 x 51, all slots full": found["dense_51"]},
             "at least 100,000"),
        _row("51 x 51 over the published C++ library", found["dense_51_over_published"], "times"),
        _row("event table, typical events, one core", found["table"], "events/s"),
        _row("its peak memory", max(found["table_peak_bytes"].values()) / MB, "MB",
             {f"{n} events, MB": value / MB for n, value in found["table_peak_bytes"].items()}),
    ]  # fmt: skip


def roofline(found: dict[str, Any]) -> dict[str, Any]:
    """One row: ns an event of the emulator, beside the bounds of this machine and the other methods."""
    work, top = found["per_event"], found["peaks"]
    most = [f"{top[name] / 1e9:.0f}" for name in ("float32_flops", "float64_flops", "passes", "bytes")]
    print(f"  an event is {work['flops']} floating-point operations in products, {work['passes']} element operations in"
          f" passes and {work['bytes']} bytes;\n  this core does at most {most[0]} (float64: {most[1]}), {most[2]} and"
          f" {most[3]} of these a ns")  # fmt: skip
    (chosen, ns), *others = found["methods_ns"].items()
    bounds = {f"bound of {name.removesuffix('_ns')}, ns": value for name, value in found["bounds"].items()}
    return _row(f"roofline: {chosen}", ns, "ns", bounds | {f"{name}, ns": value for name, value in others})


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
    one = child("ad40.bench", model.folder, args.sample, SPEED_EVENTS)
    other = peers(model, args.firmware, codes[:5000])
    rtl = verify.simulate(args.firmware, codes[:rtl_events])
    if rtl["mismatches"] is None:
        raise CheckError(f"`ad40 simulate` could not run, exit code {rtl['exit_code']}; see above")
    whole = end_to_end(model.folder, args.sample, END_TO_END // 10 if args.quick else END_TO_END)
    scaled = scaling(model.trigger, args.sample, SCALING // 4 if args.quick else SCALING)
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
        _row(
            f"emulator, codes to score, {one['cores']} cores",
            one["emulator_all_cores"],
            "events/s",
            target="at least 2,000,000",
        ),
        roofline(one["roofline"]),
        _row("emulator over hls4ml predict", one["emulator"] / other["hls4ml"], "times", target="at least 100"),
        _row("emulator over alkaid interpreter", one["emulator"] / other["interpreter"], "times", target="at least 2"),
        *cpp(model, args.sample),
        *matrices(),
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
            f"ad40 trigger, HDF5 to TriggerRecord, {whole['events']:,} events",
            whole["events_per_s"],
            "events/s",
            target="at least 500,000",
        ),
        _row("its peak memory", whole["peak_bytes"] / MB, "MB", target="under 1,000"),
        _row(
            "ad40 trigger over eight files, two workers over one",
            scaled[2] / scaled[1],
            "times",
            {f"{n} workers, events/s": value for n, value in scaled.items()},
            "at least 1.8",
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
        value = f"{row['value']:,.2f}" if row["unit"] == "times" else f"{row['value']:,.0f}"
        print(f"  {row['name']:<62}{value:>14} {row['unit']}{target}{'  beside: ' + beside if beside else ''}")
    summary = {"benchmarks": rows, "machine": {"cores": one["cores"], "load": os.getloadavg()[0]}}
    wrong = [rung.sentence() for rung in rungs[1:] if rung.mismatches]
    if rtl["mismatches"] or rtl["exit_code"]:
        wrong.append(f"RTL != emulator: {rtl['mismatches']} mismatches, exit code {rtl['exit_code']}")
    if wrong:
        raise CheckError("\n".join(wrong), summary)
    return summary
