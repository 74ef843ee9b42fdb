"""`ad40 cluster assign`: which cluster each event belongs to, without making clusters anew."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from ad40.files import file_hash
from offline.clusters import arguments, clustering, result, sample

HELP = "assign events to clusters that were made before"
EPILOG = "example: ad40 cluster assign kept.h5 --clusters build/clusters --trigger-seed none --output build/assigned.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("events", type=Path, metavar="FILE", help="TriggerRecord or event file")
    parser.add_argument("--clusters", type=Path, required=True, metavar="DIR", help="folder of `ad40 cluster fit`")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="file to write")
    arguments.add_seed(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the assignments; return how many events each cluster has."""
    start = time.monotonic()
    clusters, turned = clustering.load(args.clusters)
    seed = arguments.seed_of(args)
    found = sample.triggered(args.events, seed)
    cluster, distance = clustering.assign(found.events, clusters, turned)
    result.write_events(args.output, result.assigned(found.events, result.DATA, cluster, distance))
    number = np.bincount(cluster[cluster >= 0], minlength=len(clusters))
    seconds = time.monotonic() - start
    print(f"{len(found):,} events in {len(clusters)} clusters, {int((cluster < 0).sum()):,} in none: {args.output}")
    return {"file": str(args.events), "sha256": file_hash(args.events), "clusters_hash": clusters.hash,
            "events": len(found), "in_clusters": number.tolist(), "in_none": int((cluster < 0).sum()),
            "seconds": round(seconds, 2), "output": str(args.output),
            "trigger": arguments.trigger_document(seed)}  # fmt: skip
