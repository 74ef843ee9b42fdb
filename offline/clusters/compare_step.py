"""`ad40 cluster compare`: triggered data against simulation, cluster by cluster."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.events import open_events
from ad40.files import file_hash, writable_folder
from offline.clusters import arguments, clustering, embedding, expectation, features, result, sample
from offline.clusters.clustering import Clustering
from offline.clusters.embedding import Embedding
from offline.clusters.expectation import Comparison
from offline.clusters.experiment import experiment, pool
from offline.clusters.result import Assigned

HELP = "data against weighted simulation in each cluster: excesses, after trials; clusters that simulation lacks"
EPILOG = """examples:
  ad40 cluster compare kept.h5 --simulation background.h5 --output build/run/cluster
  ad40 cluster compare --simulation training/sample/background.h5 --inject training/sample/Ato4l.h5 --events 200000 \\
      --output build/run/cluster                                    # pseudo-data with a hidden signal
Without --clusters they are made of data and simulation together, not knowing which is which."""

Whole = tuple[Comparison, Clustering, Embedding, Assigned, dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA.h5",
                        help="TriggerRecord or event file; without it pseudo-data of the simulation")  # fmt: skip
    parser.add_argument("--simulation", type=Path, required=True, metavar="FILE", help="events of the known processes")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--inject", type=Path, metavar="FILE", help="signal hidden in pseudo-data")
    parser.add_argument("--clusters", type=Path, metavar="DIR", help="clusters of `ad40 cluster fit` (not of the counts"
                        " that are compared, unless data and simulation were both in them)")  # fmt: skip
    arguments.add_pseudo(parser)
    arguments.add_embedding(parser)
    arguments.add_clusters(parser)
    arguments.add_comparison(parser)
    arguments.add_seed(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare; write cluster.json, assignments.h5, figures and cluster.html; return the summary."""
    from offline.clusters.compare_page import draw, write  # matplotlib: only where figures are drawn

    if args.data is not None and args.inject is not None:
        raise InputError("command line", "--inject", args.inject, "no DATA.h5: signals are hidden in pseudo-data")
    if args.data is None and args.clusters is not None:
        raise InputError("command line", "--clusters", args.clusters, "DATA.h5: pseudo-data get clusters of their own")
    seed = arguments.seed_of(args)
    writable_folder(args.output)
    comparison, clusters, turned, events, about = (_pseudo if args.data is None else _real)(args, seed)
    clustering.save(args.output / "clusters", clusters, turned, about)
    rows = [comparison.row(k) for k in range(len(comparison.local_p))]
    for row, centre in zip(rows, _centres(events, len(rows), len(clusters)), strict=True):
        row["centre"] = centre
        if row["cluster"] == len(clusters):
            row["none"] = True
    best = comparison.best
    summary = {
        **about, "trigger": arguments.trigger_document(seed), "embedding": turned.document,
        "settings": asdict(clusters.settings), "clusters_hash": clusters.hash, "random_seed": args.random_seed,
        "options": asdict(arguments.options_of(args)), "events_in_data": int(comparison.counts.observed.sum()),
        "simulated_events": int(comparison.counts.simulated.sum()),
        "global": {"cluster": best, "p": rows[best]["global_p"], "z": rows[best]["global_z"],
                   "local_z": rows[best]["local_z"], "toys": comparison.toys},
        "unpopulated": [row["cluster"] for row in rows if not row["populated"] and row["observed"]],
        "flagged": comparison.flagged, "clusters": rows,
    }  # fmt: skip
    summary["plots"] = draw(args.output, summary, events)
    summary = result.write(args.output, summary, events)
    page = write(args.output, summary)
    for k in summary["flagged"]:
        row = rows[k]
        expected = f"{row['expected']:,.1f} +- {row['expected_error']:.1f} expected"
        z = f"{row['local_z']:.1f} sigma local, {row['global_z']:.1f} global"
        print(f"cluster {k}: {row['observed']:,} events, {expected}, {z}")
    z = f"{summary['global']['z']:.1f} sigma after trials"
    print(f"{len(clusters)} clusters, {len(summary['flagged'])} flagged; largest excess {z}\nwritten: {page}")
    return {"page": str(page)} | summary


def _real(args: argparse.Namespace, seed: sample.Threshold | None) -> Whole:
    """Data of a file against simulation of another."""
    with open_events(args.data) as file:
        source = file.attributes.get("source", {}).get("sha256") if file.kind == "record" else None
    if file_hash(args.simulation) in (source, file_hash(args.data)):
        raise InputError(
            args.simulation, "events", f"those of {args.data}", "simulated events that are not the data, too"
        )
    data = sample.triggered(args.data, seed)
    simulation = sample.triggered(args.simulation, seed, weighted=not args.unweighted)
    random = np.random.default_rng(args.random_seed)
    if args.clusters is None:
        settings, n = arguments.settings_of(args), len(data) + len(simulation)
        rows = np.sort(random.choice(n, min(n, settings.most_events), replace=False))
        both = sample.joined([data.part(rows[rows < len(data)]), simulation.part(rows[rows >= len(data)] - len(data))])
        turned, points = embedding.learn(arguments.choice_of(args), both.events)
        clusters = clustering.fit(points, settings)
    else:
        clusters, turned = clustering.load(args.clusters)
    found = [clustering.assign(one.events, clusters, turned) for one in (data, simulation)]
    scale = 1.0 if args.absolute else len(data) / simulation.weight.sum()
    cluster = np.concatenate([c for c, _ in found])
    is_data = np.repeat([1, 0], [len(data), len(simulation)])
    weight = np.concatenate([np.zeros(len(data)), simulation.weight * scale])
    counts = expectation.count(cluster, len(clusters), is_data, 1 - is_data, weight)
    comparison = expectation.compare(counts, arguments.options_of(args), random)
    events = result.joined([
        result.assigned(data.events, result.DATA, *found[0]),
        result.assigned(simulation.events, result.SIMULATION, *found[1], weight[len(data) :]),
    ])  # fmt: skip
    about = {"files": {"data": _file(args.data), "simulation": _file(args.simulation)}, "pseudo": None}
    return comparison, clusters, turned, events, about


def _pseudo(args: argparse.Namespace, seed: sample.Threshold | None) -> Whole:
    """Pseudo-data drawn from simulation, with a signal or without."""
    signals = [] if args.inject is None else [args.inject]
    plan = arguments.plan_of(args, arguments.settings_of(args))
    events = pool(args.simulation, signals, seed, arguments.choice_of(args), args.random_seed,
                  weighted=not args.unweighted)  # fmt: skip
    found = experiment(events, plan, len(signals), (args.random_seed, len(signals), 0))
    parts = []
    for source, copies, weight in ((result.DATA, found.drawn.data, np.ones(len(events.sample))),
                                   (result.SIMULATION, found.drawn.simulation, found.drawn.weight)):  # fmt: skip
        here = np.flatnonzero(copies)
        parts.append(result.assigned(events.sample.events.take(here), source, found.cluster[here], found.distance[here],
                                     weight[here], copies[here], events.sample.label[here]))  # fmt: skip
    background = _file(args.simulation) | {"part": "validation, test"}
    pseudo = {
        "events": plan.events, "ratio": plan.ratio, "fraction": plan.fraction if signals else 0.0,
        "replacement": plan.replacement, "independent_events": int((events.sample.label == 0).sum()),
        "signal": _file(args.inject) if signals else None,
    }  # fmt: skip
    about: dict[str, Any] = {"files": {"data": background, "simulation": background}, "labels": events.signals,
                             "pseudo": pseudo}  # fmt: skip
    return found.comparison, found.clusters, events.embedding, result.joined(parts), about


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "sha256": file_hash(path), "part": "all", "limit": None}


def _centres(events: Assigned, number: int, clusters: int) -> list[dict[str, float]]:
    """Mean quantities of the data of each cluster, by name."""
    here = np.flatnonzero(events.source == result.DATA)
    place = np.where(events.cluster[here] < 0, clusters, events.cluster[here])
    total = np.zeros((number, len(features.NAMES)))
    copies: NDArray[np.float64] = events.copies[here].astype(np.float64)
    size = np.bincount(place, copies, minlength=number)
    for start in range(0, len(here), 65536):
        block = slice(start, start + 65536)
        values = features.features(events.codes[here[block]]).astype(np.float64) * copies[block, None]
        np.add.at(total, place[block], values)
    mean = total / np.maximum(size, 1)[:, None]
    return [{name: round(float(x), 4) for name, x in zip(features.NAMES, row, strict=True)} for row in mean]
