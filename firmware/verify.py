"""`ad40 verify`: the ladder QKeras -> emulator -> hls4ml C++ -> interpreter -> RTL on the same events."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, objects, spec
from ad40.emulator import Emulator
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.events import open_events, write_hw_sample
from ad40.files import read_json
from ad40.menu import MenuState
from ad40.model import Model, read_model
from ad40.network import score_codes
from ad40.progress import Progress
from firmware import compile_network
from firmware.compile import MANIFEST, add_inputs, compile_if_missing
from models import build
from models.card import read_card

HELP = "hold QKeras, emulator, hls4ml C++, interpreter and RTL against each other"
EPILOG = """\
From the emulator on, outputs and scores must be equal on every event. QKeras computes in float32 and may round
differently; such events are counted and bounded.
example: ad40 verify models/ad40_v1 --firmware build/firmware --events 100000 --rtl-events 20000"""

CHUNK = 10000
QKERAS_BOUND = 1e-3  # share of events on which float32 rounding may change an output

Integers = NDArray[np.integer]


@dataclass
class Rung:
    """One pair of executors: events compared, events with a different output or score, and the first of them."""

    name: str
    executor: str
    events: int = 0
    mismatches: int = 0
    first: str = ""

    def compare(self, start: int, found: tuple[Integers, Integers], wanted: tuple[Integers, Integers]) -> None:
        """found, wanted: (outputs (n, 57), hw_score (n,)) of events from row `start`."""
        outputs, scores = found[0] != wanted[0], found[1] != wanted[1]
        wrong = outputs.any(axis=1) | scores
        self.events += len(wrong)
        self.mismatches += int(wrong.sum())
        if wrong.any() and not self.first:
            row = int(np.flatnonzero(wrong)[0])
            if outputs[row].any():
                index = int(np.flatnonzero(outputs[row])[0])
                what = f"output {spec.objects().slot_names[index // 3]}.{spec.FEATURES[index % 3]}"
                values = f"{int(found[0][row, index])} vs {int(wanted[0][row, index])}"
            else:
                what, values = "hw_score", f"{int(found[1][row])} vs {int(wanted[1][row])}"
            self.first = f"first at event {start + row}, {what} {values}"

    def sentence(self) -> str:
        if not self.mismatches:
            return f"{self.executor} = emulator"
        return f"{self.executor} != emulator: {self.mismatches}/{self.events}; {self.first}"


@dataclass
class Spread:
    """What keeps a constant network from passing: how far the scores spread, and both decisions."""

    scores: set[int] = field(default_factory=set)
    accepted: int = 0
    events: int = 0

    def check(self) -> list[str]:
        faults = []
        if len(self.scores) < 16:
            faults.append(f"only {len(self.scores)} distinct scores in {self.events} events: nothing is tested")
        if not 0 < self.accepted < self.events:
            faults.append(f"{self.accepted} of {self.events} events accepted: both decisions must occur")
        return faults


def read_manifest(folder: Path, model: Model) -> dict[str, Any]:
    """The manifest of a firmware folder, which must hold this model."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(folder, MANIFEST, "missing", "a folder that `ad40 compile` finished")
    manifest: dict[str, Any] = read_json(path)
    for name, wanted in (("network_hash", model.network.hash), ("menu_hash", model.menu.hash)):
        if manifest.get(name) != wanted:
            raise HashMismatch(path, name, manifest.get(name), f"{wanted}, that of {model.folder}; compile again")
    return manifest


def executors(
    model: Model, firmware: Path, manifest: dict[str, Any]
) -> dict[str, Callable[[Integers, NDArray[np.bool_]], tuple[Integers, Integers]]]:
    """(outputs, scores) of network inputs (n, 57) and present objects (n, 19), for each executor in process."""
    network = model.network
    card, keras = read_card(model.folder / build.CARD_FILE), build.load(model.folder)
    with tempfile.TemporaryDirectory() as scratch:
        graph = compile_network.convert(model.folder, network, spec.latency(), Path(scratch))
    compile_network.load_emulation(graph, firmware / manifest["hls_library"])
    interpreter = compile_network.Interpreter.load(network, firmware / "interpreter")

    def with_score(outputs: Callable[[Integers], Integers]) -> Any:
        def both(inputs: Integers, present: NDArray[np.bool_]) -> tuple[Integers, Integers]:
            y = outputs(inputs)
            return y, score_codes(network, inputs, y, present)

        return both

    return {
        "qkeras": with_score(lambda x: build.predict_codes(keras, card, x)),
        "hls4ml": with_score(lambda x: compile_network.predict_codes(graph, network, x)),
        "interpreter": lambda x, here: (interpreter.output_codes(x, here), interpreter.scores(x, here)),
    }


def climb(model: Model, firmware: Path, codes: NDArray[np.int32]) -> tuple[list[Rung], Spread]:
    """Compare all executors in process on event codes (n, 19, 3)."""
    emulator, menu = Emulator(model.network), MenuState(model.menu)
    run = executors(model, firmware, read_manifest(firmware, model))
    rungs = {
        "qkeras": Rung("qkeras-emulator", "QKeras"),
        "hls4ml": Rung("emulator-hls4ml", "hls4ml C++"),
        "interpreter": Rung("emulator-interpreter", "interpreter"),
    }
    spread = Spread()
    with Progress(len(codes), "verify") as bar:
        for start in range(0, len(codes), CHUNK):
            chunk = codes[start : start + CHUNK]
            inputs, here = emulator.inputs(chunk), objects.present(chunk)
            wanted = (emulator.outputs(inputs), emulator.score(chunk))
            spread.scores.update(np.unique(wanted[1]).tolist())
            spread.accepted += int(menu.decide(wanted[1]).l1a.sum())
            spread.events += len(chunk)
            for name, executor in run.items():
                rungs[name].compare(start, executor(inputs, here), wanted)
            bar.update(len(chunk))
    return list(rungs.values()), spread


def simulate(firmware: Path, codes: NDArray[np.int32]) -> dict[str, Any]:
    """The RTL rung: `ad40 simulate` as a child process, which shares nothing with this one but files.

    When it could not run, its figures are None and `exit_code` is not 0.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sample, summary = Path(scratch) / "events.h5", Path(scratch) / "simulate.json"
        write_hw_sample(sample, codes)
        command = [sys.executable, "-m", "ad40", "simulate", str(firmware), "--events", str(sample)]
        done = subprocess.run([*command, "--n", str(len(codes)), "--json", str(summary)], check=False)
        if summary.exists():
            return {"exit_code": done.returncode} | read_json(summary)
    limits = spec.latency()
    return {
        "exit_code": done.returncode or 1,
        "events": 0,
        "mismatches": None,
        "latency": {"cycles": None, "ns": None, "budget_ns": limits.budget_ns},
        "ii": None,
        "scenarios": [],
        "speed": {},
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults.add_model_folder(parser)
    add_inputs(parser)
    parser.add_argument("--events", type=int, default=100000, metavar="N", help="events for the ladder in software")
    parser.add_argument("--rtl-events", type=int, default=20000, metavar="M", help="events for the RTL")


def run(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("events", "rtl_events"):
        if getattr(args, name) < 1:
            raise InputError("command line", f"--{name.replace('_', '-')}", getattr(args, name), "at least 1")
    model = read_model(args.model)
    compile_if_missing(model, args.firmware)
    read_manifest(args.firmware, model)
    needed = max(args.events, args.rtl_events)
    with open_events(args.sample) as file:
        if file.n < needed:
            raise InputError(args.sample, "events", file.n, f"at least {needed}")
        codes = file.codes(0, needed)
    rungs, spread = climb(model, args.firmware, codes[: args.events])
    rtl = simulate(args.firmware, codes[: args.rtl_events])
    rows = [(r.name, r.events, r.mismatches) for r in rungs]
    rows.append(("emulator-rtl", rtl["events"], rtl["mismatches"]))
    print(f"{'rung':<22}{'events':>12}{'mismatches':>12}")
    for name, events, mismatches in rows:
        print(f"{name:<22}{events:>12,}{'not run' if mismatches is None else format(mismatches, ','):>12}")
    measured = rtl["latency"]
    if measured["cycles"] is not None:
        clocks = f"{measured['cycles']} clocks = {measured['ns']:.2f} ns"
        print(f"latency {clocks} of {measured['budget_ns']:g} ns, II = {rtl['ii']}")
    print(f"{len(spread.scores):,} distinct scores, {spread.accepted:,} of {spread.events:,} events accepted")
    summary = {
        "events": args.events,
        "mismatches": {name: mismatches for name, _, mismatches in rows},
        "qkeras_bound": int(QKERAS_BOUND * args.events),
        "rtl_events": rtl["events"],
        "latency": {name: measured[name] for name in ("cycles", "ns", "budget_ns")},
        "ii": rtl["ii"],
        "distinct_scores": len(spread.scores),
        "accepted": spread.accepted,
        "first_mismatch": {r.name: r.first for r in rungs if r.first},
        "scenarios": rtl["scenarios"],
        "speed": rtl["speed"],
    }
    faults = spread.check()
    faults += [r.sentence() for r in rungs[1:] if r.mismatches]
    if rungs[0].mismatches > QKERAS_BOUND * args.events:
        faults.append(f"{rungs[0].sentence()}; at most {QKERAS_BOUND:g} of the events may round differently")
    if rtl["mismatches"] is None:
        faults.append(f"`ad40 simulate` could not run, exit code {rtl['exit_code']}; see above")
    elif rtl["exit_code"] or rtl["mismatches"]:
        faults.append(f"`ad40 simulate` found {rtl['mismatches']} mismatches, exit code {rtl['exit_code']}; see above")
    if faults:
        raise CheckError("\n".join(faults), summary)
    return summary
