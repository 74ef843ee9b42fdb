"""`ad40 dqm calibrate`: false alarms and times to detection of injected faults, on events that made no reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import CheckError, InputError
from ad40.files import file_hash, read_json, writable_folder, write_json
from ad40.progress import Progress
from offline.dqm import faults, options, pseudo
from offline.dqm.reference import load

HELP = "measure the rate of false alarms, and the time to detection of injected faults"
EPILOG = """\
Exits with 1 when false alarms may be more than 1 in 1,000 lumi sections (95 % limit), or when the median trial of a
fault is not found within 5 lumi sections.
example: ad40 dqm calibrate training/benchmark/background.h5 --part test --reference build/dqm --output build/dqm"""
SUMMARY = "calibrate.json"
ALLOWED, WITHIN = 1e-3, 5
GRID = {"hot tower": (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2), "dead sector": (1.25, 2.5, 5.0, 10.0, 20.0),
        "dead muon sector": (2.5, 5.0, 10.0, 20.0), "energy scale": (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="file without faults, of other events")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of `ad40 dqm reference`")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of calibrate.json")
    parser.add_argument("--part", choices=options.PARTS, default="all", help="of the events (default %(default)s)")
    options.add_source(parser)
    parser.add_argument("--sections", type=int, default=20_000, metavar="N",
                        help="lumi sections without a fault (default %(default)s)")  # fmt: skip
    parser.add_argument("--trials", type=int, default=200, metavar="N", help="of each fault (default %(default)s)")
    parser.add_argument("--sizes", type=int, default=0, metavar="N",
                        help="trials for each of several sizes of the faults (default: none)")  # fmt: skip
    parser.add_argument("--events", type=int, default=options.EVENTS, metavar="N", help="at most (default %(default)s)")
    parser.add_argument("--seed", type=int, default=41, help="of all random numbers (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; write calibrate.json, the figures and calibrate.html; fail where the marks are missed."""
    from offline.dqm import calibrate_page  # matplotlib: only where figures are drawn

    options.check_source(args)
    for name, least in (("sections", 1), ("trials", 1), ("sizes", 0), ("events", 100), ("seed", 0)):
        if getattr(args, name) < least:
            raise InputError("command line", f"--{name}", getattr(args, name), f"at least {least}")
    reference = load(args.reference)
    about, sha256 = reference.about, file_hash(args.file)
    if not reference.thresholds:
        raise InputError(args.reference, "thresholds", "none", "a reference whose thresholds were calibrated")
    if sha256 == about["file_sha256"] and (args.part == about["part"] or "all" in (args.part, about["part"])):
        raise InputError(args.file, f"events of part '{args.part}'", "those of the reference",
                         f"another part than '{about['part']}', or another file")  # fmt: skip
    model = options.model_of_reference(reference, args.model, args.reference)
    writable_folder(args.output)
    per_lumi = args.per_lumi or round(about["per_lumi"])
    loaded = options.load_events(args.file, model, args.part, per_lumi, args.stream, args.events)
    pool = pseudo.Pool(loaded.codes, loaded.score, reference.quantities)
    alarms = pseudo.false_alarms(reference, pool, per_lumi, args.sections, args.seed)
    plan = [(name, None, args.trials) for name in faults.NAMES]
    grid = [(name, size, args.sizes) for name, sizes in GRID.items() for size in sizes] if args.sizes else []
    found = []
    with Progress(len(plan) + len(grid), "faults", "faults") as progress:
        for name, size, count in (*plan, *grid):
            found.append(pseudo.trials(reference, pool, per_lumi, name, size, count, model, args.seed))
            progress.update()
    tails = args.reference / "reference.json"
    summary: dict[str, Any] = {
        "file": str(args.file), "sha256": sha256, "part": args.part, "pool_events": len(loaded.codes),
        "per_lumi": per_lumi, "seed": args.seed, "reference": about, "thresholds": reference.thresholds,
        "false_alarms": alarms, "faults": found[: len(plan)], "sizes": found[len(plan) :],
        "warm_sections": pseudo.WARM, "longest": pseudo.LONGEST,
    }  # fmt: skip
    page, plots = calibrate_page.write(args.output, summary, read_json(tails)["tails"] if tails.is_file() else {})
    summary |= {"plots": plots, "page": str(page)}
    write_json(args.output / SUMMARY, summary)
    low, value, high = alarms["rate"]
    print(f"false alarms: {alarms['alarms']} in {alarms['sections']:,} lumi sections of {per_lumi:,} events, "
          f"{1000 * value:.2f} [{1000 * low:.2f}, {1000 * high:.2f}] in 1,000; below {1000 * alarms['upper_95']:.2f} "
          "at 95 %")  # fmt: skip
    for row in summary["faults"]:
        a, b, c = row["within_5"]
        print(f"  {row['fault']:<17} median {row['median']:g}, 90 % {row['ninety_percent']:g}, largest "
              f"{row['largest']} lumi sections; within 5: {b:.1%} [{a:.1%}, {c:.1%}] of {row['trials']}")  # fmt: skip
    print(f"written: {page}")
    missed = [row["fault"] for row in summary["faults"] if row["median"] > WITHIN]
    if alarms["upper_95"] >= ALLOWED or missed:
        raise CheckError(f"data quality: {alarms['alarms']} false alarms in {alarms['sections']:,} lumi sections, at "
                         f"most {ALLOWED:g} wanted; found late: {', '.join(missed) or 'none'}", summary)  # fmt: skip
    return summary
