"""`ad40 cluster labels`: how well clusters find the classes of events whose truth is known."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from offline.clusters import arguments, clustering, embedding, sample
from offline.clusters.labels import figures

HELP = "accuracy, NMI and AMI of clusters against the true classes, seen and unseen"
EPILOG = """example: ad40 cluster labels training/sample/*.h5 --unseen Ato4l leptoquark --output build/labels
Classes are the processes of a file that names them, else files. Unseen ones take no part in learning the embedding;
clusters are made of all events, without labels."""
SUMMARY = "labels.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("events", type=Path, nargs="+", metavar="FILE", help="event files")
    parser.add_argument("--unseen", nargs="*", default=[], metavar="CLASS", help="classes that nothing is learnt from")
    parser.add_argument("--per-class", type=int, default=2000, metavar="N",
                        help="events of each class at most (default %(default)s)")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    arguments.add_embedding(parser)
    arguments.add_clusters(parser)
    arguments.add_seed(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write labels.json: figures with as many clusters as classes, and with --number of them."""
    if args.per_class < 20:
        raise InputError("command line", "--per-class", args.per_class, "20 or more")
    seed, choice, settings = arguments.seed_of(args), arguments.choice_of(args), arguments.settings_of(args)
    writable_folder(args.output)
    random = np.random.default_rng(args.random_seed)
    found: dict[str, sample.Sample] = {}
    for path in args.events:
        one = sample.triggered(path, seed)
        several = len(one.events.processes) > 1
        for code in np.unique(one.events.process) if several else [None]:
            rows = np.arange(len(one)) if code is None else np.flatnonzero(one.events.process == code)
            name = path.stem if code is None else str(one.events.processes[int(code)]["name"])
            if name in found:
                raise InputError(path, "class", name, "a class that no other file has")
            rows = np.sort(random.permutation(rows)[: args.per_class])
            found[name] = one.part(rows)
    names = list(found)
    for name in args.unseen:
        if name not in names:
            raise InputError("command line", "--unseen", name, "one of " + ", ".join(names))
    if len(names) - len(args.unseen) < 1 or len(names) < 2:
        raise InputError("command line", "classes", ", ".join(names), "at least two, at least one of them seen")
    label = np.repeat(np.arange(len(names)), [len(one) for one in found.values()])
    turned, _ = embedding.learn(choice, sample.joined([found[n] for n in names if n not in args.unseen]).events)
    points = turned(sample.joined(list(found.values())).events)
    unseen = [names.index(name) for name in args.unseen]
    results = {}
    for number in dict.fromkeys((len(names), settings.clusters)):
        clusters = clustering.fit(points, replace(settings, clusters=max(number, 2)))
        results[str(len(clusters))] = figures(clusters.assign(points)[0], label, unseen)
    summary = {"classes": {n: len(one) for n, one in found.items()}, "unseen": list(args.unseen),
               "embedding": turned.document, "settings": asdict(settings),
               "trigger": arguments.trigger_document(seed), "clusters": results}  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    for number, parts in results.items():
        for part, row in parts.items():
            numbers = ", ".join(f"{key} {row[key]:.3f}" for key in ("accuracy", "purity", "nmi", "ami"))
            print(f"{number:>4} clusters, {part:<6} ({row['classes']} classes, {row['events']:,} events): {numbers}")
    return summary
