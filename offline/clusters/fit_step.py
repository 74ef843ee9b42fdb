"""`ad40 cluster fit`: make clusters of triggered events."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError
from ad40.files import file_hash, writable_folder, write_json
from offline.clusters import arguments, clustering, embedding, sample
from offline.clusters.stability import CANDIDATES, choose, stability

HELP = "make clusters of triggered events, without labels; save them"
EPILOG = """examples:
  ad40 cluster fit training/sample/background.h5 --output build/clusters
  ad40 cluster fit kept.h5 --trigger-seed none --embedding latent --method mixture --number 20 --output build/mixture
  ad40 cluster fit kept.h5 --number 0 --output build/clusters      # as many as are stable"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("events", type=Path, nargs="+", metavar="FILE", help="TriggerRecords or event files")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    arguments.add_embedding(parser)
    arguments.add_clusters(parser, fit_events=100_000)
    parser.add_argument("--candidates", type=int, nargs="+", default=list(CANDIDATES), metavar="K",
                        help="numbers to choose from, with --number 0 (default %(default)s)")  # fmt: skip
    arguments.add_seed(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Make and write clusters.yaml and clusters.h5; return what is in the card, with the stability."""
    seed, choice = arguments.seed_of(args), arguments.choice_of(args)
    chosen = args.number == 0
    if chosen:
        args.number = min(args.candidates)
    settings = arguments.settings_of(args)
    writable_folder(args.output)
    random = np.random.default_rng(args.random_seed)
    events = sample.joined([sample.triggered(path, seed) for path in args.events]).events
    total = len(events)
    if total > args.fit_events:
        events = events.take(np.sort(random.choice(total, args.fit_events, replace=False)))
    turned, points = embedding.learn(choice, events)
    rows = []
    if chosen:
        rows = stability(points, settings, args.candidates)
        if settings.method != "hdbscan":
            settings = replace(settings, clusters=choose(rows))
    found = clustering.fit(points, settings)
    if len(found) < 2:
        raise InputError("clusters", "number", len(found), "at least 2: other settings")
    files = [{"file": path.name, "sha256": file_hash(path)} for path in args.events]
    about = {"files": files, "events": total, "fitted": len(events), "trigger": arguments.trigger_document(seed)}
    clustering.save(args.output, found, turned, about)
    for row in rows:
        spread = f"({row['least']:.3f} to {row['largest']:.3f})"
        print(f"{row['clusters']:>5} clusters: adjusted Rand index {row['mean']:.3f} {spread}")
    print(f"{len(found)} clusters of {len(events):,} events, {choice.kind}, {settings.method}: {args.output}")
    summary = {"clusters": len(found), "hash": found.hash, "embedding": turned.document, "method": settings.method,
               "stability": rows, "folder": str(args.output), **about}  # fmt: skip
    write_json(args.output / "fit.json", summary)
    return summary
