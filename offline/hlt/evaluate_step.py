"""`ad40 hlt evaluate`: how fast the stage is, the rate that it keeps, and what it does to signals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from offline.hlt import accepted
from offline.hlt.evaluate import background, curves, signal
from offline.hlt.menu_step import add_rates
from offline.hlt.speed import latency, throughput
from offline.hlt.stage import read
from offline.inputs import ALL

HELP = "measure a stage: latency event by event, throughput, rates, efficiency for signals behind the trigger"
EPILOG = """KEPT.h5 is background that the trigger accepted and that neither the model nor its threshold has seen; a
signal is a TriggerRecord of the same trigger, named after its file or as NAME=FILE.
example: ad40 hlt evaluate build/stage build/kept.h5 --part test --signal Ato4l=build/Ato4l.h5 --output build/hlt"""
SUMMARY = "hlt.json"
EVENTS = 100_000
LEAST = 1000  # events that a 99.9 % quantile needs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("stage", type=Path, metavar="STAGE_DIR", help="folder of the stage (ad40 hlt menu)")
    parser.add_argument("record", type=Path, metavar="KEPT.h5", help="TriggerRecord of background")
    parser.add_argument("--signal", nargs="+", default=[], metavar="[NAME=]FILE.h5", help="TriggerRecords of signals")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")
    parser.add_argument("--part", choices=accepted.PARTS, default="all",
                        help="background events to judge on (default %(default)s)")  # fmt: skip
    add_rates(parser)
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N",
                        help="events to time, the record over again if need be (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; write hlt.json, the figures and hlt.html; return the summary."""
    from offline.hlt import page  # matplotlib: only where figures are drawn

    if args.events < LEAST:
        raise InputError("command line", "--events", args.events, f"at least {LEAST}")
    if not args.l1_rate > 0:
        raise InputError("command line", "--l1-rate", args.l1_rate, "above 0")
    stage = read(args.stage)
    sample = accepted.read(args.record, args.part)
    signals = {name: accepted.read(path) for name, path in _named(args.signal).items()}
    for one in (sample, *signals.values()):
        stage.check(one.path, one.attributes)
    used = stage.menu.calibration
    same = used.get("sha256") == sample.sha256
    if same and (args.part == used["part"] or ALL in (args.part, used["part"])):
        raise InputError(args.record, f"events of part '{args.part}'", "those that the threshold was set with",
                         f"another part than '{used['part']}', or another file")  # fmt: skip
    writable_folder(args.output)
    score = stage.scorer.score(sample.codes)
    scores = {name: stage.scorer.score(one.codes) for name, one in signals.items()}
    hw_scores = {name: one.hw_score for name, one in signals.items()}
    summary: dict[str, Any] = {
        "stage": str(args.stage), **stage.menu.about(),
        "calibration": used, "l1_rate_khz": args.l1_rate,
        "background": background(stage, sample, score, args.l1_rate),
        "signals": {name: signal(stage, one, scores[name], sample, score) for name, one in signals.items()},
        "curves": {"stage": curves(score, scores, args.l1_rate),
                   "trigger": curves(sample.hw_score, hw_scores, args.l1_rate)},
        "latency": latency(stage, sample, args.events),
        "throughput": throughput(stage, sample, args.events),
    }  # fmt: skip
    summary["plots"] = page.draw(args.output, summary, score, scores)
    write_json(args.output / SUMMARY, summary)
    path = page.write(args.output, summary)
    print("\n".join(_lines(summary)) + f"\nwritten: {path}")
    return {"page": str(path)} | summary


def _named(entries: list[str]) -> dict[str, Path]:
    """Name -> file of entries such as NAME=FILE or FILE."""
    found: dict[str, Path] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        file = Path(path if equals else entry)
        name = name if equals else file.stem
        if not name or name in found:
            raise InputError("command line", "--signal", entry, "a name for each, once")
        found[name] = file
    return found


def _lines(summary: dict[str, Any]) -> list[str]:
    """The figures that a person would quote."""
    whole, own, back = summary["latency"]["whole"], summary["latency"]["processor"], summary["background"]
    low, value, high = back["kept_khz"]
    best = max(summary["throughput"], key=lambda row: row["events_per_s"])
    lines = [
        f"event by event: median {whole['median_us']:.0f} us, 99.9 % {whole['p99_9_us']:.0f} us, "
        f"largest {whole['max_us']:.0f} us of {summary['latency']['events']:,} (time of the processor: "
        f"{own['median_us']:.0f}, {own['p99_9_us']:.0f}, {own['max_us']:.0f} us)",
        f"in batches of {best['batch']}: {best['events_per_s']:,.0f} events/s",
        f"{summary['l1_rate_khz']:g} kHz in, {value:.3g} kHz kept ({low:.3g} to {high:.3g})",
    ]
    for name, one in summary["signals"].items():
        low, value, high = one["efficiency"]
        l1_only = f"; by the trigger's score alone {one['l1_only'][1]:.3f}" if one["l1_only"] else ""
        lines.append(f"  {name:<14} {value:.3f} ({low:.3f} to {high:.3f}) of what the trigger accepts{l1_only}")
    return lines
