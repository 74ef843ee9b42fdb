"""`ad40 mutate`: plant faults into a copy of the compiled sources, one at a time, and see that a bench notices each."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import defaults, objects
from ad40.errors import CheckError, InputError
from ad40.events import open_events
from ad40.files import read_yaml, write_json
from ad40.progress import Progress
from ad40.schema import Node
from sim import blocks, core, stream, top
from sim.cover import bins
from sim.firmware import Firmware, read_firmware
from sim.judge import judge
from sim.runner import BuildError
from sim.simulate import random_words

HELP = "plant faults into the firmware and see that the benches notice every one"
EPILOG = """\
The faults are those of sim/faults.yaml. Each bench first runs on the firmware as it is, and must pass.
example: ad40 mutate build/firmware --quick"""

FAULTS = Path(__file__).parent / "faults.yaml"
SYSTEM = ("core", "stream", "top")
EVENTS = 1500


@dataclass(frozen=True)
class Fault:
    """Text `find` of rtl/`file` becomes `replace`, and `bench` must notice. also: a second replacement that the first
    needs."""

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    bench: str
    quick: bool


def read_faults(path: Path = FAULTS) -> list[Fault]:
    """The list of faults; refuses one that names no bench or has the name of another."""
    node = Node(read_yaml(path), path)
    node.keys({"version", "faults"})
    node["version"].integer(1, 1)
    faults: list[Fault] = []
    for child in node["faults"]:
        child.keys({"name", "file", "find", "replace", "bench"}, optional={"quick", "also"})
        edits = [(child["find"].text(), str(child["replace"].value))]
        if "also" in child:
            edits.append((child["also"]["find"].text(), str(child["also"]["replace"].value)))
        bench = child["bench"].choice((*SYSTEM, *blocks.BLOCKS))
        quick = child["quick"].boolean() if "quick" in child else False
        fault = Fault(child["name"].text(), child["file"].text(), tuple(edits), bench, quick)
        if any(fault.name == other.name for other in faults):
            raise child["name"].fault("a name used once")
        faults.append(fault)
    return faults


def plant(firmware: Firmware, fault: Fault | None, folder: Path) -> Firmware:
    """The firmware with its sources copied to `folder`/rtl, and the fault in them. Raises `InputError` when a text does
    not stand in its file exactly once."""
    rtl = folder / "rtl"
    shutil.rmtree(folder, ignore_errors=True)
    rtl.mkdir(parents=True)
    copies = []
    for source in firmware.sources:
        copies.append(rtl / source.name)
        shutil.copyfile(source, copies[-1])
    if fault is not None:
        target = rtl / fault.file
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        for find, new in fault.edits:
            if text.count(find) != 1:
                raise InputError(FAULTS, f"'{fault.name}', find", f"{text.count(find)} times in {fault.file}", "once")
            text = text.replace(find, new)
        target.write_text(text, encoding="utf-8")
    return replace(firmware, sources=tuple(copies))


class Benches:
    """Runs one bench on one set of sources and says what it noticed."""

    def __init__(self, firmware: Firmware, seed: int) -> None:
        self.firmware, self.seed = firmware, seed
        with open_events(defaults.BACKGROUND) as file:
            self.codes = file.codes(0, min(file.n, EVENTS))
        rng = np.random.default_rng(seed)
        self.pool = np.concatenate([objects.pack(self.codes), random_words(EVENTS, rng)])

    def notice(self, bench: str, planted: Firmware, scratch: Path) -> str:
        """What the bench says about these sources; empty when it notices nothing. A build that fails is no notice:
        `BuildError`. scratch: folder for what is built."""
        try:
            faults = self._run(bench, planted, scratch)
        except BuildError:
            raise
        except CheckError as error:
            return str(error).splitlines()[0]
        return faults[0] if faults else ""

    def _run(self, bench: str, planted: Firmware, scratch: Path) -> list[str]:
        rng, coverage = np.random.default_rng(self.seed), bins(self.firmware)
        if bench in blocks.BLOCKS:
            simulators = blocks.BLOCKS[bench].simulators
            simulator = "icarus" if "icarus" in simulators and shutil.which("iverilog") else "verilator"
            report = blocks.run_block(bench, planted.sources[0].parent, simulator, scratch, self.seed)
            return [f"{report['failures']} of {report['tests']} tests of {bench} fail"] if report["failures"] else []
        if bench == "core":
            chosen = core.runs(self.firmware, self.codes[:200], self.pool, rng)
            results = core.simulate(planted, chosen, scratch, self.seed, coverage)
        elif bench == "stream":
            streams = stream.runs(self.firmware, self.pool[:500], self.pool, rng)
            results = stream.simulate(planted, streams, scratch, self.seed, coverage)
        else:
            runs = top.Builder(self.firmware, self.pool, rng).runs(1, self.pool[:300], load=False)
            folder = top.simulate(planted, runs, scratch, self.seed)
            results = [judge(planted, run, number, folder).result for number, run in enumerate(runs)]
        return [fault for r in results for fault in (r.first, r.where, *r.faults) if fault]


def mutate(firmware: Firmware, faults: Sequence[Fault], scratch: Path, seed: int) -> list[dict[str, Any]]:
    """One row per fault: the bench, and how it noticed. Raises `CheckError` when a bench fails without a fault."""
    benches = Benches(firmware, seed)
    intact = plant(firmware, None, scratch / "intact")
    rows: list[dict[str, Any]] = []
    names = list(dict.fromkeys(fault.bench for fault in faults))
    with Progress(len(names) + len(faults), "mutate", "runs") as bar:
        for bench in names:
            noticed = benches.notice(bench, intact, firmware.folder / "simulation")
            if noticed:
                raise CheckError(f"bench {bench} fails on the firmware as it is: {noticed}")
            bar.update(1)
        for fault in faults:
            began = time.monotonic()
            noticed = benches.notice(fault.bench, plant(firmware, fault, scratch / "planted"), scratch / "builds")
            rows.append({"name": fault.name, "file": fault.file, "bench": fault.bench, "caught": bool(noticed),
                         "how": noticed, "seconds": round(time.monotonic() - began, 1)})  # fmt: skip
            bar.update(1)
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "firmware", type=Path, nargs="?", default=defaults.FIRMWARE, metavar="FW_DIR",
        help="folder written by `ad40 compile` (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="only the faults marked quick")
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="only faults whose name, file or bench holds one of these"
    )
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    parser.add_argument("--seed", type=int, default=40, metavar="S", help="of all stimulus (default 40)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    faults = [f for f in read_faults() if f.quick or not args.quick]
    if args.only:
        faults = [f for f in faults if any(text in f"{f.name} {f.file} {f.bench}" for text in args.only)]
    if not faults:
        raise InputError("command line", "--only", args.only, "part of the name, file or bench of a fault; see --list")
    if args.list:
        for fault in faults:
            print(f"  {fault.name:<58} {fault.file:<16} {fault.bench}")
        return {"planted": 0, "faults": [fault.name for fault in faults]}
    firmware = read_firmware(args.firmware)
    scratch = args.firmware / "mutation"
    rows = mutate(firmware, faults, scratch, args.seed)
    caught = sum(row["caught"] for row in rows)
    for row in rows:
        print(f"  {row['name']:<58} {row['bench']:<10} {row['how'][:100] if row['caught'] else 'NOT NOTICED'}")
    print(f"{caught}/{len(rows)} planted faults caught; seed {args.seed}", file=sys.stdout)
    summary = {"planted": len(rows), "caught": caught, "seed": args.seed, "faults": rows}
    write_json(scratch / "mutate.json", summary)
    if caught < len(rows):
        missed = ", ".join(row["name"] for row in rows if not row["caught"])
        raise CheckError(f"{len(rows) - caught} planted faults were not noticed: {missed}", summary)
    return summary
