"""`ad40 cluster calibrate`: are the global p-values of the comparison right, and what would it find?"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kstest

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from ad40.progress import Progress
from offline.clusters import arguments, expectation
from offline.clusters.experiment import Experiment, Plan, Pool, describe, experiment, pool

HELP = "pseudo-experiments: is the global p-value uniform without a signal, is a hidden signal found"
EPILOG = """examples:
  ad40 cluster calibrate training/sample/background.h5 --experiments 100 --events 20000 --output build/calibrate
  ad40 cluster calibrate BACKGROUND.h5 --signals Ato4l.h5 leptoquark.h5 --injections 20 --output build/calibrate"""
SUMMARY = "calibrate.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("background", type=Path, metavar="BACKGROUND.h5", help="events of the known processes")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")
    parser.add_argument("--experiments", type=int, default=500, metavar="N",
                        help="pseudo-experiments without a signal (default %(default)s)")  # fmt: skip
    parser.add_argument("--signals", type=Path, nargs="*", default=[], metavar="FILE", help="signals to hide in others")
    parser.add_argument("--injections", type=int, default=20, metavar="N",
                        help="pseudo-experiments with each signal (default %(default)s)")  # fmt: skip
    arguments.add_pseudo(parser)
    arguments.add_embedding(parser)
    arguments.add_clusters(parser)
    arguments.add_comparison(parser, toys=2000)
    arguments.add_seed(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Throw the pseudo-experiments; write calibrate.json, figures and a page; return the summary."""
    from offline.clusters.calibrate_page import write  # matplotlib: only where figures are drawn

    for name, value, least in (("--experiments", args.experiments, 0), ("--injections", args.injections, 0)):
        if value < least:
            raise InputError("command line", name, value, f"{least} or more")
    seed, choice, settings = arguments.seed_of(args), arguments.choice_of(args), arguments.settings_of(args)
    plan = arguments.plan_of(args, settings)
    writable_folder(args.output)
    events = pool(args.background, args.signals, seed, choice, args.random_seed, weighted=not args.unweighted)
    nothing = throw(events, plan, 0, args.experiments, args.random_seed)
    p = np.array([one["p"] for one in nothing])
    summary: dict[str, Any] = {
        "background": str(args.background), "trigger": arguments.trigger_document(seed),
        "embedding": events.embedding.document, "settings": asdict(settings), "plan": plan_document(plan),
        "independent_events": int((events.sample.label == 0).sum()), "random_seed": args.random_seed,
        "background_only": {"experiments": len(p), "p": p.tolist(), **uniformity(p)},
        "signals": {},
    }  # fmt: skip
    deep = replace(plan, options=replace(plan.options, toys=expectation.TOYS))
    for number, name in events.signals.items():
        found = throw(events, deep, number, args.injections, args.random_seed)
        if found:
            summary["signals"][name] = power(found) | {
                "triggered_events": int((events.sample.label == number).sum()), "experiments": found,
            }  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    page = write(args.output, summary)
    ks = summary["background_only"]
    if ks["ks_p"] is not None:
        print(f"{len(p)} background-only pseudo-experiments: KS p of a uniform global p-value {ks['ks_p']:.3f}")
    for name, one in summary["signals"].items():
        low, median, high = one["z"]
        flagged = f"flagged in {one['flagged']} of {one['injections']}"
        print(f"{name}: {median:.1f} sigma global ({low:.1f} to {high:.1f}), {flagged}")
    print(f"written: {page}")
    return {"page": str(page)} | summary


def plan_document(plan: Plan) -> dict[str, Any]:
    """For JSON."""
    return {"events": plan.events, "ratio": plan.ratio, "fraction": plan.fraction, "replacement": plan.replacement,
            "options": asdict(plan.options)}  # fmt: skip


def throw(pool: Pool, plan: Plan, signal: int, number: int, seed: int) -> list[dict[str, Any]]:
    """Figures of pseudo-experiments 0 to number - 1 of this signal."""
    found = []
    name = pool.signals.get(signal, "background only")
    with Progress(number, f"calibrate, {name}", "experiments") as progress:
        for i in range(number):
            one: Experiment = experiment(pool, plan, signal, (seed, signal, i))
            found.append(describe(one, pool, signal))
            progress.update()
    return found


def uniformity(p: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    """Whether p-values are uniform: the Kolmogorov-Smirnov test, and how often they are below 5 % and 1 %."""
    if len(p) < 2:
        return {"ks_p": None, "ks_distance": None, "below_5_percent": None, "below_1_percent": None}
    found = kstest(p, "uniform")
    return {"ks_p": float(found.pvalue), "ks_distance": float(found.statistic),
            "below_5_percent": float((p < 0.05).mean()), "below_1_percent": float((p < 0.01).mean())}  # fmt: skip


def power(found: list[dict[str, Any]]) -> dict[str, Any]:
    """z: 16, 50 and 84 % quantiles of the global significance; flagged: in how many it is above 3."""
    z = np.array([one["z"] for one in found])
    return {"injections": len(z), "z": np.quantile(z, [0.16, 0.5, 0.84]).tolist(), "flagged": int((z > 3).sum()),
            "range": [float(z.min()), float(z.max())]}  # fmt: skip
