"""The ladder of `ad40 verify`: QKeras -> emulator -> hls4ml C++ -> interpreter -> RTL on the same events."""

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

from ad40 import objects, spec
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.events import open_events, write_hw_sample
from ad40.files import read_json
from ad40.menu import MenuState
from ad40.model import Trigger
from ad40.network import Network, score_codes
from ad40.progress import Progress
from firmware import compile_network
from firmware.compile import FORMAT_VERSION, MANIFEST, compile_if_missing
from firmware.design import Design, read_design
from firmware.trace import Interpreter
from models import build
from models.card import read_card

CHUNK = 10000
QKERAS_BOUND = 1e-3  # share of events on which float32 rounding may change an output

Integers = NDArray[np.integer]


@dataclass
class Rung:
    """One pair of executors: events compared, events with a different output or score, and the first of them. outputs:
    their names."""

    name: str
    executor: str
    outputs: list[str]
    events: int = 0
    mismatches: int = 0
    first: str = ""

    def compare(self, start: int, found: tuple[Integers, Integers], wanted: tuple[Integers, Integers]) -> None:
        """found, wanted: (outputs (n, outputs), hw_score (n,)) of events from row `start`."""
        outputs, scores = found[0] != wanted[0], found[1] != wanted[1]
        wrong = outputs.any(axis=1) | scores
        self.events += len(wrong)
        self.mismatches += int(wrong.sum())
        if wrong.any() and not self.first:
            row = int(np.flatnonzero(wrong)[0])
            if outputs[row].any():
                index = int(np.flatnonzero(outputs[row])[0])
                what = f"output {self.outputs[index]}"
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
    """What keeps a constant network from passing: how far its scores spread, and both decisions of its seeds.
    possible: scores that its formats allow, few of a network that counts cuts. fired: events with a seed of this
    network; None: the menu has none."""

    possible: int
    scores: set[int] = field(default_factory=set)
    fired: int | None = 0
    events: int = 0

    def add(self, scores: Integers, fired: NDArray[np.bool_] | None) -> None:
        self.scores.update(np.unique(scores).tolist())
        self.fired = None if fired is None or self.fired is None else self.fired + int(fired.sum())
        self.events += len(scores)

    def check(self) -> list[str]:
        faults = []
        if len(self.scores) < min(16, max(2, self.possible // 2)):
            faults.append(f"only {len(self.scores)} distinct scores in {self.events} events: nothing is tested")
        if self.fired is not None and not 0 < self.fired < self.events:
            faults.append(f"a seed fires in {self.fired} of {self.events} events: both decisions must occur")
        return faults


@dataclass
class Ladder:
    """The rungs of one network."""

    name: str
    rungs: dict[str, Rung]
    spread: Spread

    def faults(self) -> list[str]:
        """A sentence for each rung that does not hold, and for events that test nothing."""
        qkeras, *exact = self.rungs.values()
        faults = self.spread.check() + [rung.sentence() for rung in exact if rung.mismatches]
        if qkeras.mismatches > QKERAS_BOUND * qkeras.events:
            faults.append(f"{qkeras.sentence()}; at most {QKERAS_BOUND:g} of the events may round differently")
        return [f"{self.name}: {fault}" for fault in faults]


def read_manifest(folder: Path, trigger: Trigger) -> dict[str, Any]:
    """The manifest of a firmware folder, which must hold these networks, this menu and the scales in use."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(folder, MANIFEST, "missing", "a folder that `ad40 compile` finished")
    manifest: dict[str, Any] = read_json(path)
    if manifest.get("format_version") != FORMAT_VERSION:
        raise InputError(path, "format_version", manifest.get("format_version"), f"{FORMAT_VERSION}; compile again")
    found = [model["network_hash"] for model in manifest["models"]]
    wanted = [network.hash for network in trigger.networks]
    if len(found) != len(wanted):
        raise HashMismatch(path, "models", f"{len(found)} networks", f"{len(wanted)}, those named; compile again")
    rows = [(f"models[{k}].network_hash", *pair) for k, pair in enumerate(zip(found, wanted, strict=True))]
    rows.append(("menu_hash", manifest["menu_hash"], trigger.menu.hash))
    rows.append(("spec_hash", manifest["spec_hash"], trigger.menu.spec_hash))
    for name, there, here in rows:
        if there != here:
            raise HashMismatch(path, name, there, f"{here}, that of the models named; compile again")
    return manifest


def executors(
    network: Network, model_folder: Path, firmware: Path, entry: dict[str, Any]
) -> dict[str, Callable[[Integers, NDArray[np.bool_]], tuple[Integers, Integers]]]:
    """(outputs, scores) of network inputs (n, n_inputs) and present objects (n, 19), for each executor in process.
    entry: the model in the manifest."""
    card, keras = read_card(model_folder / build.CARD_FILE), build.load(model_folder)
    with tempfile.TemporaryDirectory() as scratch:
        graph = compile_network.convert(model_folder, network, spec.latency(), Path(scratch))
    compile_network.load_emulation(graph, firmware / entry["hls_library"])
    interpreter = Interpreter.load(network, firmware / entry["interpreter"])

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


RUNGS = {"qkeras": "QKeras", "hls4ml": "hls4ml C++", "interpreter": "interpreter"}  # in process
PAIRS = {"qkeras": "qkeras-emulator", "hls4ml": "emulator-hls4ml", "interpreter": "emulator-interpreter"}


def new_rungs(network: Network) -> dict[str, Rung]:
    """The rungs in process, nothing compared yet."""
    return {key: Rung(PAIRS[key], executor, network.output_names) for key, executor in RUNGS.items()}


def climb(design: Design, firmware: Path, codes: NDArray[np.int32]) -> list[Ladder]:
    """Compare all executors in process on event codes (n, 19, 3), network by network, all loaded at once."""
    trigger = design.trigger
    manifest = read_manifest(firmware, trigger)
    menu = MenuState(trigger.menu)
    ladders = [Ladder(network.name, new_rungs(network), Spread(network.score_max + 1)) for network in trigger.networks]
    run = [
        executors(network, folder, firmware, entry)
        for network, folder, entry in zip(trigger.networks, design.folders, manifest["models"], strict=True)
    ]
    with Progress(len(codes), "verify") as bar:
        for start in range(0, len(codes), CHUNK):
            chunk = codes[start : start + CHUNK]
            here, scores = objects.present(chunk), trigger.score(chunk)
            seeds = menu.decide(scores).seeds_before
            for k, (ladder, emulator) in enumerate(zip(ladders, trigger.emulators, strict=True)):
                inputs = emulator.inputs(chunk)
                wanted = (emulator.outputs(inputs), scores[:, k])
                own = seeds[:, np.equal(trigger.menu.seed_models, k)]
                ladder.spread.add(scores[:, k], np.any(own, axis=1) if own.shape[1] else None)
                for name, executor in run[k].items():
                    ladder.rungs[name].compare(start, executor(inputs, here), wanted)
            bar.update(len(chunk))
    return ladders


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


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The ladder, with the arguments of `ad40.verify`."""
    for name in ("events", "rtl_events"):
        if getattr(args, name) < 1:
            raise InputError("command line", f"--{name.replace('_', '-')}", getattr(args, name), "at least 1")
    design = read_design(args.models, args.menu)
    compile_if_missing(design, args.firmware)
    read_manifest(args.firmware, design.trigger)
    needed = max(args.events, args.rtl_events)
    with open_events(args.sample) as file:
        if file.n < needed:
            raise InputError(args.sample, "events", file.n, f"at least {needed}")
        codes = file.codes(0, needed)
    ladders = climb(design, args.firmware, codes[: args.events])
    rtl = simulate(args.firmware, codes[: args.rtl_events])
    several = len(ladders) > 1
    print(f"{'rung':<44}{'events':>12}{'mismatches':>12}")
    for ladder in ladders:
        for rung in ladder.rungs.values():
            name = f"{ladder.name}: {rung.name}" if several else rung.name
            print(f"{name:<44}{rung.events:>12,}{rung.mismatches:>12,}")
    state = "not run" if rtl["mismatches"] is None else format(rtl["mismatches"], ",")
    print(f"{'emulator-rtl':<44}{rtl['events']:>12,}{state:>12}")
    measured = rtl["latency"]
    if measured["cycles"] is not None:
        clocks = f"{measured['cycles']} clocks = {measured['ns']:.2f} ns"
        print(f"latency {clocks} of {measured['budget_ns']:g} ns, II = {rtl['ii']}")
    for ladder in ladders:
        spread, fired = ladder.spread, ladder.spread.fired
        seeds = "" if fired is None else f", a seed fires in {fired:,} of {spread.events:,} events"
        print(f"{ladder.name}: {len(spread.scores):,} distinct scores{seeds}")
    totals = {name: sum(ladder.rungs[key].mismatches for ladder in ladders) for key, name in PAIRS.items()}
    summary = {
        "events": args.events,
        "mismatches": totals | {"emulator-rtl": rtl["mismatches"]},
        "qkeras_bound": int(QKERAS_BOUND * args.events),
        "rtl_events": rtl["events"],
        "latency": {name: measured[name] for name in ("cycles", "ns", "budget_ns")},
        "ii": rtl["ii"],
        "models": {
            ladder.name: {
                "mismatches": {rung.name: rung.mismatches for rung in ladder.rungs.values()},
                "first_mismatch": {rung.name: rung.first for rung in ladder.rungs.values() if rung.first},
                "distinct_scores": len(ladder.spread.scores),
                "fired": ladder.spread.fired,
            }
            for ladder in ladders
        },
        "scenarios": rtl["scenarios"],
        "speed": rtl["speed"],
    }
    faults = [fault for ladder in ladders for fault in ladder.faults()]
    if rtl["mismatches"] is None:
        faults.append(f"`ad40 simulate` could not run, exit code {rtl['exit_code']}; see above")
    elif rtl["exit_code"] or rtl["mismatches"]:
        faults.append(f"`ad40 simulate` found {rtl['mismatches']} mismatches, exit code {rtl['exit_code']}; see above")
    if faults:
        raise CheckError("\n".join(faults), summary)
    return summary
