"""`ad40 abcd estimate`: events in the corner of data, beside the background estimated from the other three."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import HashMismatch, InputError
from ad40.files import read_json, writable_folder, write_json
from ad40.schema import Node
from offline.abcd.close_step import SUMMARY as CLOSURE
from offline.abcd.counts import count, region_of, significance
from offline.abcd.scorers import add_models, read_scores, refuse_seen
from offline.inputs import read

HELP = "events in the corner of data, and the background estimated from the other three"
EPILOG = """examples:
  ad40 abcd estimate build/double --closure build/run/abcd --data data.h5 --output build/estimate
  ad40 abcd estimate build/abcd/leptons build/abcd/recoil --closure build/pair --data kept.h5 --prescale 100 \\
      --output build/estimate"""
SUMMARY = "estimate.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    add_models(parser)
    parser.add_argument("--closure", type=Path, required=True, metavar="DIR",
                        help="folder of `ad40 abcd close` or `pair`: cuts and systematic uncertainty")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="TriggerRecord or event file")
    parser.add_argument("--prescale", type=float, default=1.0, metavar="P",
                        help="an event of region D stands for so many: the prescale of ABCD_Rest in the menu of the"
                        " pair (default %(default)g)")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Count, estimate, write estimate.json and return it."""
    if not 1 <= args.prescale < math.inf:
        raise InputError("command line", "--prescale", args.prescale, "at least 1")
    scores = read_scores(args.models)
    refuse_seen(scores, args.data, ())
    path = args.closure / CLOSURE
    closure = read_json(path) if path.is_file() else None
    if closure is None:
        raise InputError(args.closure, CLOSURE, "missing", "a folder of `ad40 abcd close` or `ad40 abcd pair`")
    node = Node(closure, path)
    if node["hash"].text() != scores.hash:
        raise HashMismatch(path, "hash of the scores", node["hash"].value[:12], f"{scores.hash[:12]}, of these models")
    point = node["working_point"]
    one, two = (item.number(-1e9, 1e9) for item in point["cuts"])
    systematic = point["systematic"].number(0.0, 1e9)
    data = read(args.data)
    score = scores.score(data)
    weights = np.where(region_of(score, (one, two)) == 3, args.prescale, 1.0)
    counts = count(score, (one, two), data.parent, weights)
    estimate, error = counts.estimate
    whole = math.hypot(error, systematic * estimate)
    observed = float(counts.n[0])
    summary: dict[str, Any] = scores.document() | {
        "data": args.data.name, "closure": node["hash"].value, "cuts": [one, two], "prescale": args.prescale,
        **counts.document, "observed": observed, "estimate": estimate, "statistical": error,
        "systematic": systematic * estimate, "significance": significance(observed, estimate, whole),
    }  # fmt: skip
    writable_folder(args.output)
    write_json(args.output / SUMMARY, summary)
    print(f"corner: {observed:,.0f} events, background {estimate:,.0f} +- {error:,.0f} (statistical) "
          f"+- {summary['systematic']:,.0f} (closure): {summary['significance']:+.1f} standard deviations")  # fmt: skip
    print(f"written: {args.output / SUMMARY}")
    return summary
