"""`ad40 dqm watch`: every lumi section of a file against the reference; alarms with what, where and since when."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import HashMismatch, InputError
from ad40.events import open_events
from ad40.files import file_hash, writable_folder, write_json
from offline.dqm import options
from offline.dqm.lumi import blocks, sections
from offline.dqm.reference import load
from offline.dqm.watching import Watched, watch

HELP = "compare every lumi section of a file with the reference; write the monitoring page"
EPILOG = "example: ad40 dqm watch kept.h5 --reference build/dqm --per-lumi 1425 --output build/run/dqm"
SUMMARY = "dqm.json"
LEAST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="TriggerRecord or event file")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of `ad40 dqm reference`")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of dqm.json and dqm.html")
    options.add_source(parser)
    parser.add_argument("--least", type=int, default=LEAST, metavar="N",
                        help="lumi sections of fewer events are left out (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write dqm.json, the figures and dqm.html; returns the summary."""
    from offline.dqm import watch_page  # matplotlib: only where figures are drawn

    options.check_source(args)
    if args.least < 1:
        raise InputError("command line", "--least", args.least, "at least 1")
    reference = load(args.reference)
    if not reference.thresholds:
        raise InputError(args.reference, "thresholds", "none", "a reference whose thresholds were calibrated")
    with open_events(args.file) as file:
        record = file.kind == "record"
        held = file.attributes["models"][0]["hash"] if record else ""
    known = reference.about["model"]["hash"]
    if record and held != known:
        raise HashMismatch(args.file, "models[0].hash", held, f"{known}, of the reference")
    # a record has its scores: its model need not be here
    model = None if record else options.model_of_reference(reference, args.model, args.reference)
    writable_folder(args.output)
    stream = sections(blocks(args.file, model, args.per_lumi, args.stream), reference.quantities)
    seen = watch(reference, stream, args.least)
    if not seen.names:
        raise InputError(args.file, f"lumi sections of {args.least} events", 0, "at least one; --least, --per-lumi")
    summary = document(args.file, record, reference.about, reference.thresholds, seen)
    page, plots = watch_page.write(args.output, summary, seen, reference)
    summary |= {"plots": plots, "page": str(page)}
    write_json(args.output / SUMMARY, summary)
    print(f"{len(seen.names):,} lumi sections, {sum(seen.events):,} events; {len(seen.episodes)} episodes of alarms")
    for one in summary["episodes"]:
        print(f"  since run {one['since']['run']} lumi {one['since']['lumi']} (raised at {one['raised']['lumi']}, last "
              f"at {one['last']['lumi']}): {one['what']}")  # fmt: skip
    if summary["odd_sizes"]:
        print(f"  note: {summary['odd_sizes']}")
    print(f"written: {page}")
    return summary


def document(
    path: Path, record: bool, about: dict[str, Any], thresholds: dict[str, float], seen: Watched
) -> dict[str, Any]:
    """The summary, without figures."""
    mean, expected = sum(seen.events) / len(seen.events), about["per_lumi"]
    odd = ""
    if not 0.5 < mean / expected < 2:
        odd = (f"lumi sections have {mean:,.0f} events, thresholds were calibrated with {expected:,.0f}: the rate of "
               "false alarms may be another")  # fmt: skip
    return {
        "file": str(path), "sha256": file_hash(path), "record": record, "reference": about, "thresholds": thresholds,
        "sections": len(seen.names), "events": sum(seen.events), "odd_sizes": odd,
        "skipped": [{"run": run, "lumi": lumi, "events": n} for run, lumi, n in seen.skipped],
        "episodes": [episode.document(seen.names) for episode in seen.episodes],
        "trend": {
            "run": [run for run, _ in seen.names], "lumi": [lumi for _, lumi in seen.names], "events": seen.events,
            "values": seen.values, "scales_percent": {n: [list(v) for v in rows] for n, rows in seen.scales.items()},
            "z": seen.z,
        },
    }  # fmt: skip
