"""`ad40 generate`: Delphes-like, lepton-filtered events from Pythia 8 and a parameterised detector.

Work is cut into chunks with their own seeds (`training.chunks`). Finished chunks are kept in the work folder and
reused, so a run can be interrupted, go on, or ask for more events later. The result depends on the seed and the
settings, not on the number of workers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import CheckError, InputError, OutputError
from ad40.events import write_adc2021
from ad40.files import writable_folder
from ad40.progress import Progress
from training import chunks
from training.chunks import Job
from training.heavyflavour import HEAVY, LIBRARY_DECAYS
from training.pythia import make_pythia, read_command_file, require, versions
from training.tables import processes

HELP = "Make Delphes-like, lepton-filtered collision events in the ADC2021 layout."
EPILOG = """examples:
  ad40 generate W --events 1000 --output w.h5                 a thousand W -> l nu (seconds, once the pool exists)
  ad40 generate background --events 200000 --output bkg.h5    the published mix of W, QCD, Z and ttbar
  ad40 generate my.cmnd --events 5000 --output mine.h5        any process, from a Pythia command file

Every event has an electron or muon above 23 GeV, isolated, after the detector, and pileup of mean 20.
Chunks of work are kept in --work: the same command goes on where it was interrupted, and a larger --events reuses
what is there. The first run makes a pool of minimum-bias events (about a minute on two cores).
processes: """
_KNOWN = ("background", *[name for name in processes()["processes"] if name not in ("minimum_bias", "user")])
EPILOG += ", ".join(_KNOWN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    pileup = processes()["pileup"]
    parser.add_argument("process", metavar="PROCESS", help="a process named below, or a Pythia command file (.cmnd)")
    parser.add_argument("--events", type=int, required=True, metavar="N", help="events that pass the filter")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="HDF5 file to write")
    parser.add_argument("--seed", type=int, default=40, help="of all random numbers (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes (default: all cores)")
    parser.add_argument("--pileup", type=float, default=pileup["mean"], help="mean collisions overlaid (%(default)s)")
    parser.add_argument(
        "--full-mpi",
        action="store_true",
        help="multiparton interactions in every event, 4 times "
        "slower; by default minimum-bias events at the primary vertex stand for them",
    )
    parser.add_argument(
        "--pool-events",
        type=int,
        default=pileup["pool_events"],
        metavar="N",
        help="minimum-bias events to draw pileup from (default %(default)s)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/generate"),
        metavar="DIR",
        help="folder of finished chunks (default %(default)s)",
    )


def run(args: argparse.Namespace) -> dict[str, object]:
    """Generate, write the file, return the summary.

    Raises:
        InputError: an argument or the command file is not usable; found before any work.
        OutputError: the output cannot be written.
        MissingTool: Pythia or FastJet is not installed.
    """
    for name, low in (("events", 1), ("jobs", 1), ("seed", 0), ("pileup", 0), ("pool_events", 100)):
        if not low <= getattr(args, name) < 1 << 40:
            raise InputError("command line", "--" + name.replace("_", "-"), getattr(args, name), f"at least {low}")
    _check_output(args.output)
    require()
    jobs = make_jobs(args)
    parts = {}
    try:
        with _workers(args.jobs) as submit:
            prepare(jobs, submit)
            for job, wanted in jobs:
                parts[job.process] = collect(job, wanted, args.jobs, submit)
    except BrokenProcessPool as error:
        raise CheckError("a worker process died (out of memory?); finished chunks are kept, a rerun goes on") from error
    events, columns, attributes = merge(jobs, parts, args)
    write_adc2021(args.output, events, columns, attributes)
    print(f"{args.output}: {len(events):,} events")
    for name, figures in attributes["processes"].items():
        print(
            f"  {name:<11} {figures['events']:>8,} events   cross-section {figures['cross_section_pb']:.4g} pb"
            f"   filter efficiency {figures['filter_efficiency']:.3g}"
        )
    return {"output": str(args.output), "events": len(events), **attributes}


def _check_output(path: Path) -> None:
    """Refuse an output that cannot be written before hours of work."""
    if path.is_dir():
        raise OutputError(path, "it is a folder")
    writable_folder(path.parent)


def make_jobs(args: argparse.Namespace) -> list[tuple[Job, int]]:
    """Which processes to make and how many events of each. Refuses unknown names and bad command files."""
    cards = processes()["processes"]
    common: dict[str, Any] = {
        "seed": args.seed,
        "full_mpi": args.full_mpi,
        "pileup": args.pileup,
        "pool_events": args.pool_events,
        "work": args.work,
    }
    if args.process == "background":
        mix = processes()["mix"]
        counts = {name: round(args.events * share) for name, share in mix.items()}
        counts[next(iter(mix))] += args.events - sum(counts.values())
    elif args.process in _KNOWN:
        counts = {args.process: args.events}
    elif Path(args.process).suffix == ".cmnd" or Path(args.process).exists():
        lines = tuple(read_command_file(args.process))
        make_pythia(list(lines), 1, source=args.process)  # refuses settings that Pythia cannot start with
        return [(Job("user", settings=lines, source=str(args.process), **common), args.events)]
    else:
        raise InputError("command line", "PROCESS", repr(args.process), ", ".join(_KNOWN) + " or a .cmnd file")
    return [
        (Job(name, settings=tuple(cards[name]["settings"]), source="processes.yaml", **common), n)
        for name, n in counts.items()
        if n > 0
    ]


_GIVE_UP_AFTER = 3.0  # full chunks without an event

Submit = Callable[..., "Future[int]"]


class _workers:
    """Context: worker processes; gives the submit function. Leaving early drops what has not started."""

    def __init__(self, jobs: int) -> None:
        context = multiprocessing.get_context("spawn")  # Pythia and FastJet objects must not be forked
        self._executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)

    def __enter__(self) -> Submit:
        return self._executor.submit

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Banners of the C++ libraries do not belong on the terminal; an interrupt ends a worker without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare(jobs: list[tuple[Job, int]], submit: Submit) -> None:
    """Make the pileup pool and, for QCD, the decay library, as far as they are missing."""
    job = jobs[0][0]
    missing = [i for i, file in enumerate(job.pool_files) if not file.exists()]
    if missing:
        with Progress(sum(job.pool_file_events(i) for i in missing), "minimum-bias pool") as progress:
            for future in _as_completed([submit(chunks.make_pool_file, job, i) for i in missing]):
                progress.update(future.result())
    if any(j.process == "QCD" for j, _ in jobs) and not job.library_file.exists():
        with Progress(LIBRARY_DECAYS * len(HEAVY), "heavy-flavour decays", "decays") as progress:
            progress.update(submit(chunks.make_library_file, job).result())


def _as_completed(futures: list[Future[int]]) -> Iterator[Future[int]]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from done


def collect(job: Job, wanted: int, workers: int, submit: Submit) -> dict[str, Any]:
    """Make chunks 0, 1, 2 ... until they hold `wanted` events; returns their first `wanted` and summed counts."""
    scales = processes()["chunk_scales"]
    done: dict[int, int] = {}
    running: dict[Future[int], int] = {}

    def work(numbers: Iterable[int]) -> float:
        """Size of chunks in units of a full one."""
        return float(sum(scales[min(i, len(scales) - 1)] for i in numbers))

    while sum(done.values()) < wanted and (existing := chunks.read_chunk(job, len(done))) is not None:
        done[len(done)] = len(existing["events"])
    reused, following = sum(done.values()), len(done)
    if reused:
        print(f"{job.process}: {reused:,} events of {following} finished chunks are reused", file=sys.stderr)
    if reused >= wanted:
        return _join(job, wanted)
    with Progress(wanted - reused, job.process) as progress:
        while sum(done.values()) < wanted or running:
            each = sum(done.values()) / work(done) if done else 0.0
            while len(running) < workers and sum(done.values()) + each * work(running.values()) < wanted:
                running[submit(chunks.make_chunk, job, following)] = following
                following += 1
            for future in wait(running, return_when=FIRST_COMPLETED)[0]:
                chunk = running.pop(future)
                done[chunk] = future.result()
                progress.update(done[chunk])
            if work(done) > _GIVE_UP_AFTER and not any(done.values()):
                raise InputError(job.source, "filter", f"passed by no event of {len(done)} chunks", "leptons")
    return _join(job, wanted)


def _join(job: Job, wanted: int) -> dict[str, Any]:
    """The first chunks that together hold `wanted` events."""
    events, parent, parts, chunk, have = [], [], [], 0, 0
    while have < wanted:
        data = chunks.read_chunk(job, chunk)
        if data is None:
            raise InputError(job.chunk_file(chunk), "chunk", "missing or unreadable", "a chunk finished by this run")
        events.append(data["events"])
        parent.append(data["parent"])
        parts.append(data["parts"])
        have += len(data["events"])
        chunk += 1
    return {
        "events": np.concatenate(events)[:wanted],
        "parent": np.concatenate(parent)[:wanted],
        "figures": _figures(parts),
    }


def _figures(parts: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Cross-section, filter efficiency and counts from the counts of all chunks; slices are added up.

    A slice with cross-section s of which p of t x oversampling passed contributes s p / (t x oversampling).
    """
    total, filtered, slices = 0.0, 0.0, []
    for index in range(len(parts[0])):
        rows = [chunk[index] for chunk in parts]
        tries = sum(row["tries"] for row in rows)
        sigma = sum(row["tries"] * row["cross_section_pb"] for row in rows) / max(tries, 1)
        passed, copies = sum(row["passed"] for row in rows), rows[0]["oversampling"]
        total += sigma
        filtered += sigma * passed / max(tries * copies, 1)
        slices.append(
            {
                "tries": tries,
                "oversampling": copies,
                "generated": sum(r["generated"] for r in rows),
                "leptons": sum(r["leptons"] for r in rows),
                "passed": passed,
                "cross_section_pb": sigma,
            }
        )
    return {
        "cross_section_pb": total,
        "filter_efficiency": filtered / total if total else 0.0,
        "filtered_cross_section_pb": filtered,
        "tries": sum(s["tries"] for s in slices),
        "slices": slices,
    }


def merge(
    jobs: list[tuple[Job, int]], parts: dict[str, dict[str, Any]], args: argparse.Namespace
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Put the processes together in an order drawn from the seed.

    Returns events float32 (n, 19, 3), columns `process` (uint8) and `parent` (int64), and the attributes.
    """
    codes = {name: card["code"] for name, card in processes()["processes"].items()}
    figures: dict[str, Any] = {}
    for job, n in jobs:
        part = parts[job.process]
        filtered = part["figures"]["filtered_cross_section_pb"]
        figures[job.process] = {
            "code": codes[job.process],
            "events": n,
            "fraction": n / sum(count for _, count in jobs),
            **part["figures"],
            # each event of the file stands for this cross-section; times a luminosity it is the event's weight
            "event_cross_section_pb": filtered / n,
            "settings": job.document["settings"],
            "settings_hash": job.hash,
        }
    events = np.concatenate([parts[job.process]["events"] for job, _ in jobs])
    process = np.concatenate([np.full(n, codes[job.process], np.uint8) for job, n in jobs])
    parent = np.concatenate([parts[job.process]["parent"] for job, _ in jobs])
    order = np.random.default_rng([args.seed, 0]).permutation(len(events))
    attributes = {
        "sample": str(args.process),
        "seed": args.seed,
        "pileup_mean": args.pileup,
        "full_mpi": args.full_mpi,
        "filter": processes()["filter"],
        "process_codes": {job.process: codes[job.process] for job, _ in jobs},
        "processes": figures,
        "generators": versions(),
        "note": "split training and test by parent: QCD events with one parent are correlated",
    }
    return events[order], {"process": process[order], "parent": parent[order]}, attributes
