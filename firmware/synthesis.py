"""`ad40 synth`: what a compiled design takes, block by block, and how fast it is; each figure with its tool."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ad40 import defaults, spec
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.files import read_json
from ad40.spec import LatencySpec
from firmware.synth import blocks, ecp5, equivalence, page, reports, resources, tools, write_scripts, yosys
from firmware.synth.blocks import Block
from firmware.synth.resources import Row

HELP = "LUTs, depth and clock of a compiled design, with open tools and from reports of Vivado and Vitis"
EPILOG = """\
Yosys maps every block and the whole for UltraScale+; --place lets nextpnr place and route each block on an ECP5;
--check simulates the mapped netlists beside the source. Results are kept below FW_DIR/synth/open and used again while
neither block nor tool changes. Exit code 1 when a budget of ad40/spec/latency.yaml (resources, clock) is blown.
example: ad40 synth build/firmware --place --check 20000
With Vivado: cd build/firmware/synth && vivado -mode batch -source vivado.tcl
             ad40 synth build/firmware --reports build/firmware/synth/vivado_xcvu9p-flga2104-2L-e"""

MANIFEST = "firmware.json"
BX_INPUTS = ("s_bx", "bx_mask_addr", "bx")  # inputs of blocks that are BX numbers: below the length of the orbit
WHOLE = ("ad40_top", "ad40_core", "ad40_stream")


def read_firmware(folder: Path) -> tuple[dict[str, Any], LatencySpec]:
    """Manifest of a firmware folder and its latency configuration. Refuses another latency.yaml and changed sources."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(folder, MANIFEST, "missing", "a folder that `ad40 compile` finished")
    manifest: dict[str, Any] = read_json(path)
    for name in ("models", "sources", "top", "latency", "latency_hash"):
        if name not in manifest:
            raise InputError(path, name, "missing", "a manifest of this version of `ad40 compile`; compile again")
    latency = spec.latency(manifest["latency"])
    latency = latency.within(manifest.get("budget_ns", latency.budget_ns))
    if manifest["latency_hash"] != latency.hash:
        raise HashMismatch(path, "latency_hash", manifest["latency_hash"], f"{latency.hash}; compile again")
    blocks.check_sources(folder, manifest["sources"])
    return manifest, latency


def choose(design: Sequence[Block], names: Sequence[str] | None, whole_only: bool) -> list[Block]:
    """The blocks to measure: all, the whole design only, or those named by instance path or module."""
    if whole_only:
        return [design[0]]
    if not names:
        return list(design)
    found = [block for block in design if {block.name, block.kind} & set(names)]
    missing = sorted(set(names) - {block.name for block in design} - {block.kind for block in design})
    if missing:
        known = ", ".join(block.name for block in design)
        raise InputError("command line", "--blocks", missing[0], f"one of {known}")
    return found


def compiler_rows(manifest: Mapping[str, Any]) -> list[Row]:
    """What the compiler of the networks estimated."""
    return [
        Row(
            f"network of {model['name']}",
            str(model["pipeline"]["tool"]),
            lut=round(model["pipeline"]["luts"]),
            ff=model["pipeline"]["register_bits"],
            path_ns=model["pipeline"]["stage_ns"],
            note=f"{model['pipeline']['stages']} stages",
        )
        for model in manifest["models"]
    ]


def _limit(figures: Mapping[str, Any]) -> str:
    """The path that limits a placed block, or why there is none."""
    if figures["fmax_mhz"] is None:
        return str(figures["note"])
    path = figures["critical"]
    return f"{path['ns']} ns from {path['start']} to {path['end']}"


def report_rows(found: Mapping[str, Any], top: str) -> list[Row]:
    """Rows of what Vivado and Vitis reported; the instances of the hierarchy down to the blocks of the core."""
    rows = []
    for name, figures in found.get("hierarchy", {}).items():
        if name.count(".") <= 2:
            rows.append(Row.of(name or top, figures, tool="Vivado report_utilization -hierarchical"))
    if "utilization" in found:
        rows.append(Row.of(top, found["utilization"]))
    if "timing" in found:
        f = found["timing"]
        note = f"WNS {f['wns_ns']} ns, {f['failing_setup']} of {f['endpoints']} endpoints fail; WHS {f['whs_ns']} ns"
        rows.append(Row.of(top, {"tool": f["tool"], "fmax_mhz": f.get("fmax_mhz"), "note": note}))
    for f in found.get("csynth", []):
        note = f"{f['latency_clocks']} clocks of {f['clock_ns']} ns, network without score"
        rows.append(Row.of(str(f.get("top", "network")), f, note=note))
    return rows


def measure(
    args: argparse.Namespace, manifest: Mapping[str, Any], latency: LatencySpec, design: Sequence[Block]
) -> dict[str, Any]:
    """Run the open tools; figures by tool and block."""
    folder: Path = args.firmware
    chosen = choose(design, args.blocks, args.whole_only)
    found: dict[str, Any] = {"yosys": yosys.synthesise_all(folder, chosen, args.timeout, args.jobs)}
    # what contains the algorithm and more takes long to place and to simulate: only when it is asked for by name
    named = args.blocks or args.whole_only
    parts = [block for block in chosen if named or block.kind not in WHOLE]
    parts.sort(key=lambda block: -len(block.text))
    if args.place:
        clocked = [block for block in parts if "clk" in block.inputs]
        place = {b.name: partial(ecp5.place, folder, b, latency.clock_mhz, args.timeout) for b in clocked}
        found["ecp5"] = tools.parallel("place and route with nextpnr", args.jobs, place)
    if args.check:
        mapped = [b for b in parts if found["yosys"][b.name]["lut"] is not None]
        sources = list(manifest["sources"])
        limits = dict.fromkeys(BX_INPUTS, latency.orbit_bx)
        check = {
            b.name: partial(equivalence.check, folder, b, sources, args.check, args.timeout, limits) for b in mapped
        }
        found["check"] = tools.parallel("netlists beside the source", args.jobs, check)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "folder written by `ad40 compile` (default %(default)s)"
    parser.add_argument("firmware", type=Path, nargs="?", default=defaults.FIRMWARE, metavar="FW_DIR", help=text)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--blocks", nargs="+", metavar="NAME", help="only these, by instance path or module")
    group.add_argument("--whole-only", action="store_true", help="only the whole design, not its blocks")
    text = "place and route the blocks on an ECP5, too (the core and the whole when --blocks names them)"
    parser.add_argument("--place", action="store_true", help=text)
    text = "simulate the mapped netlists of the same blocks beside their source for so many clocks (0: do not)"
    parser.add_argument("--check", type=int, default=0, metavar="CLOCKS", help=text)
    parser.add_argument("--reports", type=Path, metavar="DIR", help="read reports of Vivado and Vitis below DIR")
    parser.add_argument("--reports-only", action="store_true", help="with --reports: leave the open tools out")
    text = "part for the scripts of Vivado and Vitis (default: that of the latency configuration)"
    parser.add_argument("--part", metavar="PART", help=text)
    text = "seconds for one tool on one block (default %(default)s)"
    parser.add_argument("--timeout", type=int, default=1800, metavar="S", help=text)
    text = "tools at the same time (default %(default)s)"
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help=text)
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the figures as a page of the documentation")


def run(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("timeout", "jobs"):
        if getattr(args, name) < 1:
            raise InputError("command line", f"--{name}", getattr(args, name), "at least 1")
    if args.check < 0:
        raise InputError("command line", "--check", args.check, "0 or more clocks")
    if args.reports_only and not args.reports:
        raise InputError("command line", "--reports-only", "without --reports", "a folder of reports")
    manifest, latency = read_firmware(args.firmware)
    read = reports.read_folder(args.reports) if args.reports else {}
    write_scripts(args.firmware, [Path(name) for name in manifest["sources"]], latency, manifest["top"], args.part)
    rows = compiler_rows(manifest)
    found: dict[str, Any] = {"yosys": {}}
    design: list[Block] = []
    path = "core" if args.reports_only else ""
    if not args.reports_only:
        design = blocks.elaborate(args.firmware, list(manifest["sources"]), manifest["top"], args.timeout)
        path = resources.algorithm_path(design).name
        found = measure(args, manifest, latency, design)
        rows += [Row.of(name, figures) for name, figures in found["yosys"].items()]
        rows += [Row.of(name, figures, note=_limit(figures)) for name, figures in found.get("ecp5", {}).items()]
    rows += report_rows(read, manifest["top"])
    budgets = resources.open_budgets(design, found["yosys"], latency) if design else []
    budgets += resources.report_budgets(read, path, manifest["top"], latency)
    print(f"{', '.join(model['name'] for model in manifest['models'])}: {latency.name}, {latency.clock_mhz:g} MHz, "
          f"part of the scripts {args.part or latency.part}")  # fmt: skip
    print(resources.text_table(rows))
    for name, figures in found.get("check", {}).items():
        print(f"  {name}: {equivalence.sentence(figures)}")
    print("\nbudgets")
    for budget in budgets:
        print(f"  {'ok   ' if budget.ok else 'BLOWN'} {budget.sentence()}")
    whole = found["yosys"].get(manifest["top"]) or read.get("utilization") or {}
    summary = {
        "models": [{key: model[key] for key in ("name", "version", "network_hash")} for model in manifest["models"]],
        "resources": {key: whole.get(key) for key in ("lut", "ff", "dsp", "bram", "tool")},
        "stages": manifest["models"][0]["pipeline"]["stages"],
        "estimate_ns": manifest["constants"]["latency"] * latency.cycle_ns,
        "stage_ns": whole.get("path_ns"),
        "latency": latency.name,
        "clock_mhz": latency.clock_mhz,
        "part": args.part or latency.part,
        "table": [asdict(row) for row in rows],
        "paths": found["yosys"].get(manifest["top"], {}).get("paths", []),
        "place": found.get("ecp5", {}),
        "check": found.get("check", {}),
        "reports": read,
        "budgets": [asdict(budget) for budget in budgets],
        "beside": resources.PEERS,
        "firmware": str(args.firmware),
    }
    if args.page:
        page.write(args.page, manifest, latency, rows, found, budgets)
    wrong = [budget.sentence() for budget in budgets if not budget.ok]
    wrong += [f"{name}: {equivalence.sentence(f)}" for name, f in found.get("check", {}).items() if f.get("wrong")]
    if wrong:
        raise CheckError("\n".join(wrong), summary)
    return summary
