"""Arguments that several steps of `ad40 cluster` share, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40 import released
from ad40.model import read_model
from offline.clusters import sample
from offline.clusters.clustering import METHODS, ClusterSettings
from offline.clusters.embedding import KINDS, Choice
from offline.clusters.expectation import Options
from offline.clusters.experiment import Plan
from offline.clusters.sample import Threshold

MODEL = "ad40_balanced"
NO_SEED = "none"


def add_seed(parser: argparse.ArgumentParser) -> None:
    """What triggered, and the seed of random numbers."""
    text = "model folder or name of a released model that triggers (default %(default)s)"
    parser.add_argument("--model", default=MODEL, metavar="MODEL", help=text)
    parser.add_argument("--trigger-seed", metavar="NAME", help="seed of its menu that events fire, before prescale; "
                        f"'{NO_SEED}' for events as the files have them (default: the loosest)")  # fmt: skip
    parser.add_argument("--random-seed", type=int, default=40, metavar="N", help="of all random numbers")


def add_embedding(parser: argparse.ArgumentParser) -> None:
    """Where clusters are made."""
    parser.add_argument("--embedding", choices=KINDS, default="features", help="quantities of the event, layers of the"
                        " trigger's model, rapidity-mass matrix, a reference model (default %(default)s)")  # fmt: skip
    parser.add_argument("--reference", type=Path, metavar="DIR", help="folder of `ad40 reference train contrastive`")


def add_clusters(parser: argparse.ArgumentParser, fit_events: int | None = None) -> None:
    """How clusters are made."""
    of = ClusterSettings()
    parser.add_argument("--method", choices=METHODS, default=of.method, help="default %(default)s")
    parser.add_argument("--number", type=int, default=of.clusters, metavar="K",
                        help="clusters of kmeans and mixture (default %(default)s)")  # fmt: skip
    parser.add_argument("--fit-events", type=int, default=fit_events or 50_000, metavar="N",
                        help="events to make clusters of, at most (default %(default)s)")  # fmt: skip


def add_comparison(parser: argparse.ArgumentParser, toys: int = Options().toys) -> None:
    """How counts are compared."""
    parser.add_argument("--systematic", type=float, default=0.0, metavar="X",
                        help="relative uncertainty of each expectation beside statistics (default 0)")  # fmt: skip
    parser.add_argument("--unweighted", action="store_true", help="every simulated event counts 1, in the composition"
                        " that the file has; else by the cross-section of its process")  # fmt: skip
    parser.add_argument("--absolute", action="store_true", help="take the expectation as its weights say, else it is"
                        " normalised to the data of the other clusters")  # fmt: skip
    parser.add_argument("--toys", type=int, default=toys, metavar="N",
                        help="pseudo-experiments of a global p-value (default %(default)s)")  # fmt: skip


def add_pseudo(parser: argparse.ArgumentParser) -> None:
    """What pseudo-data are."""
    of = Plan()
    parser.add_argument("--events", type=float, default=of.events, metavar="N",
                        help="triggered events expected in pseudo-data (default 1,000,000)")  # fmt: skip
    parser.add_argument("--ratio", type=float, default=of.ratio, metavar="X",
                        help="simulated events for each of these (default %(default)s)")  # fmt: skip
    parser.add_argument("--fraction", type=float, default=of.fraction, metavar="X",
                        help="of pseudo-data that is signal, where there is one (default %(default)s)")  # fmt: skip
    parser.add_argument("--split", action="store_true", help="use no event twice: data and simulation share the events"
                        " of the file; --events and --ratio do not count")  # fmt: skip


def seed_of(args: argparse.Namespace) -> Threshold | None:
    """The seed that events fire, None for files of triggered events."""
    model = read_model(released.folder(args.model))
    return None if args.trigger_seed == NO_SEED else sample.threshold(model, args.trigger_seed)


def trigger_document(seed: Threshold | None) -> dict[str, Any] | None:
    """For JSON."""
    if seed is None:
        return None
    network = seed.model.network
    return {"model": network.name, "version": network.version, "hash": network.hash, "seed": seed.name,
            "threshold": seed.value}  # fmt: skip


def choice_of(args: argparse.Namespace) -> Choice:
    """The embedding."""
    model = {"latent": args.model, "reference": str(args.reference or "")}.get(args.embedding, "")
    if args.reference and args.embedding != "reference":
        model = str(args.reference)  # refused by Choice
    return Choice(args.embedding, model)


def settings_of(args: argparse.Namespace) -> ClusterSettings:
    """How clusters are made."""
    dense = min(args.fit_events, ClusterSettings().dense_events)
    return ClusterSettings(seed=args.random_seed, method=args.method, clusters=args.number, fit_events=args.fit_events,
                           dense_events=dense)  # fmt: skip


def options_of(args: argparse.Namespace) -> Options:
    """How counts are compared."""
    return Options(not args.absolute, args.systematic, args.toys)


def plan_of(args: argparse.Namespace, settings: ClusterSettings) -> Plan:
    """What pseudo-data are."""
    return Plan(args.events, args.ratio, args.fraction, not args.split, settings, options_of(args))
