"""`ad40 jets cluster`: files of events to a jets file."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import HashMismatch, InputError
from ad40.events import EventFile
from ad40.files import file_hash
from ad40.progress import Progress
from offline.jets import jets as jets_file
from offline.jets import lhco
from offline.jets.cluster import Clustering, cluster, require
from offline.jets.events_step import PARTICLES
from offline.jets.jets import BACKGROUND, SIGNAL, UNKNOWN, Jets
from offline.jets.substructure import Grooming

HELP = "events of the LHC Olympics (or of `ad40 generate lhco`) to large-radius jets with substructure"
EPILOG = """examples:
  ad40 jets cluster events_anomalydetection.h5 --output build/jets.h5
  ad40 jets cluster lhco.h5 --record build/kept.h5 --output build/kept_jets.h5
  ad40 jets cluster lhco_2prong_signal_100.h5 --label signal --output build/two.h5

Reads events of particles (with or without labels), the features file (jets without constituents), and the clustered
jets published with arXiv 2105.09274. Events without particles have no jets; they are counted in the summary."""

_BLOCK = 2000  # events at a time
_LABELS = {"signal": SIGNAL, "background": BACKGROUND}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    clustering = Clustering()
    grooming = clustering.grooming
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files of events, in this order")
    parser.add_argument("--output", type=Path, required=True, metavar="JETS.h5", help="jets file to write")
    parser.add_argument("--events", type=int, metavar="N", help="the first N events of each file (default: all)")
    parser.add_argument("--radius", type=float, default=grooming.radius, help="anti-kt R (default %(default)s)")
    parser.add_argument("--pt-min", type=float, default=clustering.pt_min, help="of a jet, GeV (default %(default)s)")
    parser.add_argument("--eta-max", type=float, default=clustering.eta_max, help="of its axis (default %(default)s)")
    parser.add_argument("--jets", type=int, default=clustering.jets, help="of an event, at most (default %(default)s)")
    parser.add_argument("--soft-drop", nargs=2, type=float, metavar=("Z_CUT", "BETA"),
                        default=(grooming.z_cut, grooming.beta), help="default %(default)s")  # fmt: skip
    parser.add_argument("--trim", nargs=2, type=float, metavar=("RADIUS", "FRACTION"),
                        default=(grooming.trim_radius, grooming.trim_fraction), help="default %(default)s")  # fmt: skip
    parser.add_argument("--label", choices=_LABELS, help="of all events of clustered files, which have none")
    parser.add_argument("--need-labels", action="store_true", help="refuse files without labels")
    parser.add_argument("--record", type=Path, metavar="RECORD.h5", help="only the events that the trigger kept of the"
                        " one file (ad40 jets events, ad40 trigger)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the jets file, return the summary. Raises `InputError`, `OutputError`, `MissingTool`."""
    for name, value in (("events", args.events), ("jobs", args.jobs)):
        if value is not None and not 1 <= value < 1 << 40:
            raise InputError("command line", f"--{name}", value, "at least 1")
    (z_cut, beta), (trim_radius, trim_fraction) = args.soft_drop, args.trim
    grooming = Grooming(args.radius, z_cut, beta, trim_radius, trim_fraction)
    clustering = Clustering(args.pt_min, args.eta_max, args.jets, grooming)
    begun = time.monotonic()
    with ExitStack() as stack:
        sources = []
        for path in args.files:
            if path.resolve() == args.output.resolve():
                raise InputError("command line", "--output", path, "a file that is not one of the inputs")
            label = _LABELS[args.label] if args.label and lhco.kind_of(path) == "clustered" else UNKNOWN
            sources.append(stack.enter_context(lhco.open_source(path, label)))
            if args.need_labels:
                sources[-1].need_labels()
        kept = triggered(args.record, sources) if args.record else None
        if any(source.kind == "events" for source in sources):
            require()
        numbers = [min(source.n, args.events or source.n) for source in sources]
        made_here = {source.stand_in for source in sources}
        about = {
            "events": sum(numbers),
            "stand_in": made_here.pop() if len(made_here) == 1 else None,
            "sources": [source.attributes for source in sources],
            "clustering": clustering.document,
            "record": {"file": args.record.name, "sha256": file_hash(args.record)} if args.record else None,
        }
        tally = {"background": 0, "signal": 0, "unknown": 0, "events_with_jets": 0, "events_with_two_jets": 0}
        with Progress(sum(numbers), "jets") as progress:
            blocks = _counted(_blocks(sources, numbers, clustering, args.jobs, progress, kept), tally, args)
            document = jets_file.write(args.output, blocks, about)
    two = tally["events_with_two_jets"]
    print(f"{args.output}: {document['jets']:,} jets of {sum(numbers):,} events, {two:,} with two jets")
    return {"output": str(args.output), **document, **tally, "seconds": time.monotonic() - begun}


def _counted(blocks: Iterator[Jets], tally: dict[str, int], args: argparse.Namespace) -> Iterator[Jets]:
    """The blocks as they are; counts jets by label and events. No event lies in two of them. Refuses files without
    any jet."""
    for block in blocks:
        for name, label in (("background", BACKGROUND), ("signal", SIGNAL), ("unknown", UNKNOWN)):
            tally[name] += int((block.label == label).sum())
        tally["events_with_jets"] += int((block.which == 0).sum())
        tally["events_with_two_jets"] += int((block.which == 1).sum())
        yield block
    if not tally["events_with_jets"]:
        raise InputError(args.files[0], "jets", "none in all events", f"some above {args.pt_min:g} GeV")


def _blocks(
    sources: list[Any], numbers: list[int], clustering: Clustering, jobs: int, progress: Progress,
    kept: NDArray[np.int64] | None = None,
) -> Iterator[Jets]:  # fmt: skip
    """Jets of all files; events are numbered on from one file to the next. kept: only those of these events."""
    before = 0
    for source, n in zip(sources, numbers, strict=True):
        ranges = [(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
        if source.kind == "events":
            made = _clustered(source, ranges, clustering, jobs)
        elif source.kind == "clustered":
            made = (source.read(start, stop, clustering.grooming) for start, stop in ranges)
        else:
            made = (source.read(start, stop) for start, stop in ranges)
        for (start, stop), block in zip(ranges, made, strict=True):
            block = _selected(block if kept is None else block.take(np.isin(block.event, kept)), clustering)
            yield replace(block, event=block.event + before)
            progress.update(stop - start)
        before += n


def triggered(path: Path, sources: list[Any]) -> NDArray[np.int64]:
    """Numbers of the events that a TriggerRecord kept of the one file of particles. Raises `InputError`,
    `HashMismatch` when it was triggered from other events."""
    if len(sources) != 1:
        raise InputError("command line", "--record", f"with {len(sources)} files", "the one file it was triggered from")
    with EventFile(path) as record:
        if record.kind != "record":
            raise InputError(path, "kind", record.kind, "a TriggerRecord (ad40 trigger)")
        particles = record.attributes["source"].get("attributes", {}).get(PARTICLES)
        if particles is None:
            raise InputError(path, "source", "no events of particles", "a record of a file made by ad40 jets events")
        about = sources[0].attributes
        if particles["sha256"] != about["sha256"]:
            place = f"{str(about['sha256'])[:12]}, of {sources[0].path}"
            raise HashMismatch(path, "sha256 of the particles", str(particles["sha256"])[:12], place)
        return np.asarray(record.column("event"), np.int64)


def _selected(block: Jets, clustering: Clustering) -> Jets:
    """Jets within the cuts, ranked anew; of clustered events all are."""
    chosen = (block.column("pt") >= clustering.pt_min) & (np.abs(block.column("eta")) < clustering.eta_max)
    block = block if chosen.all() else block.take(chosen)
    which = np.arange(len(block)) - np.searchsorted(block.event, block.event, side="left")
    block = replace(block, which=which.astype(np.int8))
    return block if (which < clustering.jets).all() else block.take(which < clustering.jets)


def _clustered(
    source: lhco.EventsFile, ranges: list[tuple[int, int]], clustering: Clustering, jobs: int
) -> Iterator[Jets]:
    """Jets of ranges of events in order, on several processes if asked for; a few ranges are under way at once."""
    if jobs == 1 or len(ranges) < 2:
        for start, stop in ranges:
            yield cluster(source.read(start, stop), clustering)
        return
    context = multiprocessing.get_context("spawn")  # FastJet objects must not be forked
    pool = ProcessPoolExecutor(min(jobs, len(ranges)), mp_context=context)
    waiting: deque[Future[Jets]] = deque()
    try:
        for start, stop in ranges:
            waiting.append(pool.submit(_work, source.path, start, stop, clustering))
            if len(waiting) > jobs + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work(path: Path, start: int, stop: int, clustering: Clustering) -> Jets:
    with lhco.EventsFile(path) as source:
        return cluster(source.read(start, stop), clustering)
