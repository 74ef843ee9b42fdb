"""`ad40 dqm reference`: what good lumi sections look like, and from where on a test is an alarm."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError
from ad40.files import file_hash, writable_folder, write_json
from ad40.model import read_model
from ad40.split import hashed
from offline.dqm import options, pseudo
from offline.dqm.monitor import Monitor
from offline.dqm.reference import build, save

HELP = "make the reference of good events, and calibrate the thresholds of alarms on events left out of it"
EPILOG = """\
Two thirds of the events make the reference; lumi sections for the thresholds are drawn from the last third.
example: ad40 dqm reference training/benchmark/background.h5 --part train --model ad40_balanced --per-lumi 1425 \\
           --output build/dqm"""
SUMMARY = "reference.json"
RATE, SECTIONS = 5e-4, 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="GOOD.h5", help="TriggerRecord or event file without faults")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of reference.h5")
    parser.add_argument("--part", choices=options.PARTS, default="all", help="of the events (default %(default)s)")
    options.add_source(parser)
    parser.add_argument("--rate", type=float, default=RATE, metavar="R",
                        help="false alarms per lumi section that are aimed at (default %(default)s)")  # fmt: skip
    parser.add_argument("--sections", type=int, default=SECTIONS, metavar="N",
                        help="lumi sections to calibrate with (default %(default)s)")  # fmt: skip
    parser.add_argument("--events", type=int, default=options.EVENTS, metavar="N", help="at most (default %(default)s)")
    parser.add_argument("--seed", type=int, default=40, help="of all random numbers (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write reference.h5 and reference.json; returns the latter."""
    options.check_source(args)
    if not 0 < args.rate <= 0.1:
        raise InputError("command line", "--rate", args.rate, "above 0, at most 0.1")
    for name, least in (("sections", 200), ("events", 100), ("seed", 0)):
        if getattr(args, name) < least:
            raise InputError("command line", f"--{name}", getattr(args, name), f"at least {least}")
    model = read_model(args.model or options.model_of_file(args.file))
    writable_folder(args.output)
    loaded = options.load_events(args.file, model, args.part, args.per_lumi, args.stream, args.events)
    families = loaded.parent if loaded.parent is not None else np.arange(len(loaded.codes))
    third = hashed(hashed(families) ^ np.uint64(args.seed)) % np.uint64(3)  # independent of the parts of a sample
    own, rest = loaded.take(np.flatnonzero(third != 0)), loaded.take(np.flatnonzero(third == 0))
    rng = np.random.default_rng([args.seed, 0])
    reference = build(own.codes, own.score, own.parent, model, rng, loaded.lepton_pt)
    pool = pseudo.Pool(rest.codes, rest.score, reference.quantities)
    found = pseudo.values(reference, pool, loaded.per_lumi, args.sections, args.seed)
    reference = replace(reference, thresholds=pseudo.thresholds(found, args.rate), about={
        **reference.about, "file": args.file.name, "file_sha256": file_hash(args.file), "part": args.part,
        "stream": args.stream, "per_lumi": loaded.per_lumi, "rate": args.rate, "sections": args.sections,
        "seed": args.seed,
    })  # fmt: skip
    path = save(args.output, reference)
    scales = Monitor(reference).step(pool.section(rng, loaded.per_lumi)).scales
    summary = {
        "reference": str(path), **reference.about, "events": reference.events, "calibration_events": len(rest.codes),
        "pairs": reference.pairs, "thresholds": reference.thresholds, "tails": _tails(found),
        "scale_uncertainty_percent": {name: sigma for name, (_, sigma) in scales.items()},
    }  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    print(f"{reference.events:,} events; thresholds for {args.rate:g} false alarms per lumi section of "
          f"{loaded.per_lumi:,.0f} events:")  # fmt: skip
    for name, threshold in reference.thresholds.items():
        print(f"  {name:<13} {threshold:6.2f}  median without faults {np.median(found[name]):.2f}")
    print(f"written: {path}")
    return summary


def _tails(found: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """Of each test the values that shares of the sections exceed."""
    shares = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4]
    result = {}
    for name, values in found.items():
        used = [share for share in shares if share * len(values) >= 1]
        result[name] = {"share": used, "value": [float(np.quantile(values, 1 - s, method="higher")) for s in used]}
    return result
