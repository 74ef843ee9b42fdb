"""`ad40 jets score`: a trained model on a jets file, and its event score as the anomaly axis of `ad40 search`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError
from ad40.files import writable_folder
from offline import table as event_table
from offline.jets.events import HOW
from offline.jets.jets import open_jets
from offline.jets.model import load
from offline.jets.scorefile import for_table, score_file

HELP = "anomaly scores of jets and of their events"
EPILOG = """examples:
  ad40 jets score build/egat build/jets.h5 --output build/egat_scores.h5
  ad40 jets score build/egat build/kept_jets.h5 --output build/s.h5 --table build/kept.h5 --search-scores build/axis.h5
The second file goes into an analysis document, under score: files: {data: build/axis.h5}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="folder of a model (ad40 jets train)")
    parser.add_argument("file", type=Path, metavar="JETS.h5", help="jets file (ad40 jets cluster)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="score file to write")
    parser.add_argument("--event-score", choices=HOW, default="mean",
                        help="of the two leading jets' scores (default %(default)s)")  # fmt: skip
    parser.add_argument("--table", type=Path, metavar="TABLE.h5", help="event table (ad40 rmm) of the same events")
    parser.add_argument("--search-scores", type=Path, metavar="FILE.h5",
                        help="with --table: write the event scores for `ad40 search` here")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, write, return the figures."""
    if (args.table is None) != (args.search_scores is None):
        raise InputError("command line", "--table and --search-scores", "one of them", "both, or none")
    for path in (args.output, args.search_scores):
        if path is not None and path.resolve() in (args.file.resolve(), args.table and args.table.resolve()):
            raise InputError("command line", "output", path, "a file that is not one of the inputs")
    model = load(args.model)
    writable_folder(args.output.parent)
    summary: dict[str, Any] = {"model": model.kind, "hash": model.hash, "file": str(args.output)}
    with open_jets(args.file) as file:
        if not file.n:
            raise InputError(args.file, "jets", 0, "jets to score")
        found = score_file(model, file, args.output, args.event_score)
    low, middle, high = (float(q) for q in np.quantile(found.jet, (0.1, 0.5, 0.9)))
    summary |= {"jets": len(found.jet), "events": len(found.event), "jet_score_quantiles": [low, middle, high]}
    print(f"{len(found.jet):,} jets of {len(found.event):,} events; scores {low:.4g}, {middle:.4g}, {high:.4g} "
          f"(10, 50, 90 %)\nwritten: {args.output}")  # fmt: skip
    if args.table is not None:
        with event_table.open_table(args.table) as table:
            summary["table"] = for_table(args.search_scores, found, table)
        counts = summary["table"]
        print(f"{counts['scored']:,} events of the table scored, {counts['without_jets']:,} without jets\n"
              f"written: {args.search_scores}")  # fmt: skip
    return summary
