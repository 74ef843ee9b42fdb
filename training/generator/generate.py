"""`ad40 generate`: Delphes-like, lepton-filtered events from Pythia 8 and a parameterised detector.

Work is cut into chunks with their own seeds (`training.generator.chunks`). Finished chunks are kept in the work folder
and reused, so a run can be interrupted, go on, or ask for more events later. The result depends on the seed and the
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

from ad40.errors import CheckError, InputError, OutputError
from ad40.events import write_adc2021
from ad40.files import writable_folder
from ad40.progress import Progress
from training.generator import chunks, lhco
from training.generator.chunks import Job
from training.generator.content import join, merge
from training.generator.heavyflavour import HEAVY, LIBRARY_DECAYS
from training.generator.pythia import make_pythia, read_command_file, require
from training.generator.tables import processes

HELP = "Make Delphes-like, lepton-filtered collision events in the ADC2021 layout."
EPILOG = """examples:
  ad40 generate W --events 1000 --output w.h5                 a thousand W -> l nu (seconds, once the pool exists)
  ad40 generate background --events 200000 --output bkg.h5    the published mix of W, QCD, Z and ttbar
  ad40 generate my.cmnd --events 5000 --output mine.h5        any process, from a Pythia command file
  ad40 generate search --events 50000 --offline --filter streams --output data.h5
                                                              background of the searches, in natural proportions
  ad40 generate lhco --events 105000 --signal 2prong:5000 --output lhco.h5
                                                              jets, in the layout of the LHC Olympics 2020

Every event has an electron or muon above 23 GeV, isolated, after the detector, and pileup of mean 20. With
--filter streams it passes one of the streams of the searches instead (training/generator/processes.yaml).
Chunks of work are kept in --work: the same command goes on where it was interrupted, and a larger --events reuses
what is there. The first run makes a pool of minimum-bias events (about a minute on two cores).
processes: """
_OWN = [name for name in processes()["processes"] if name not in ("minimum_bias", "user")]
_KNOWN = ("background", "search", lhco.SAMPLE, *_OWN)
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
        "--offline",
        action="store_true",
        help="also write the group `offline`: full-resolution jets, b-jets, leptons and photons of the same events",
    )
    parser.add_argument(
        "--filter",
        choices=("lepton", "streams"),
        default="lepton",
        help="which events to keep: with an isolated lepton (default), or of one of the streams of the searches",
    )
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
        "--signal",
        action="append",
        metavar="NAME:N",
        help="lhco: so many of the events are signal, " + " or ".join(lhco.SIGNALS) + " (may be given for both)",
    )
    parser.add_argument("--unlabelled", action="store_true", help="lhco: without the label, as a black box")
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
    if args.filter == "streams" and not args.offline:
        raise InputError("command line", "--filter", "streams", "--offline, too: the streams need offline objects")
    if args.process == lhco.SAMPLE:
        return _generate_lhco(args)
    if args.signal or args.unlabelled:
        raise InputError("command line", "--signal and --unlabelled", f"given for {args.process}", "only with lhco")
    require()
    jobs = make_jobs(args)
    parts = {}
    try:
        with _workers(args.jobs) as submit:
            prepare([job for job, _ in jobs], submit)
            if args.process == "search":
                parts = collect([job for job, _ in jobs], args.events, args.jobs, submit)
            else:
                for job, wanted in jobs:
                    parts |= collect([job], wanted, args.jobs, submit)
    except BrokenProcessPool as error:
        raise CheckError("a worker process died (out of memory?); finished chunks are kept, a rerun goes on") from error
    content = merge([job for job, _ in jobs], parts, args)
    write_adc2021(args.output, content.events, content.columns, content.attributes, content.write_offline)
    print(f"{args.output}: {len(content.events):,} events")
    for name, figures in content.attributes["processes"].items():
        print(
            f"  {name:<11} {figures['events']:>8,} events   cross-section {figures['cross_section_pb']:.4g} pb"
            f"   filter efficiency {figures['filter_efficiency']:.3g}"
        )
    return {"output": str(args.output), "events": len(content.events), **content.attributes}


def _generate_lhco(args: argparse.Namespace) -> dict[str, object]:
    """The sample in the layout of the LHC Olympics."""
    pileup = processes()["pileup"]
    usual = {"offline": False, "filter": "lepton", "full_mpi": False, "pileup": pileup["mean"]}
    usual["pool_events"] = pileup["pool_events"]
    for name, value in usual.items():
        if getattr(args, name) != value:
            option = "--" + name.replace("_", "-")
            raise InputError("command line", option, getattr(args, name), "no such option with lhco, as in that set")
    jobs = lhco.make_jobs(args)
    require()
    try:
        with _workers(args.jobs) as submit:
            for job, wanted in jobs:
                make([job], wanted, args.jobs, submit, lhco)
    except BrokenProcessPool as error:
        raise CheckError("a worker process died (out of memory?); finished chunks are kept, a rerun goes on") from error
    document = lhco.write(args.output, jobs, args.seed, not args.unlabelled)
    print(f"{args.output}: {args.events:,} events")
    for name, figures in document["processes"].items():
        print(
            f"  {name:<11} {figures['events']:>8,} events   cross-section {figures['cross_section_pb']:.4g} pb"
            f"   trigger efficiency {figures['filter_efficiency']:.3g}"
        )
    return {"output": str(args.output), "labelled": not args.unlabelled, **document}


def _check_output(path: Path) -> None:
    """Refuse an output that cannot be written before hours of work."""
    if path.is_dir():
        raise OutputError(path, "it is a folder")
    writable_folder(path.parent)


def make_jobs(args: argparse.Namespace) -> list[tuple[Job, int]]:
    """Which processes to make and how many events of each (0 in `search`, where the cross-sections decide). Refuses
    unknown names, bad command files, and processes whose early requirements do not suit the filter."""
    cards = processes()["processes"]
    common: dict[str, Any] = {
        "seed": args.seed,
        "full_mpi": args.full_mpi,
        "pileup": args.pileup,
        "pool_events": args.pool_events,
        "work": args.work,
        "offline": args.offline,
        "streams": args.filter == "streams",
    }
    if args.process == "background":
        mix = processes()["mix"]
        counts = {name: round(args.events * share) for name, share in mix.items()}
        counts[next(iter(mix))] += args.events - sum(counts.values())
        counts = {name: n for name, n in counts.items() if n > 0}
    elif args.process == "search":
        counts = dict.fromkeys(processes()["search"], 0)
    elif args.process in _KNOWN:
        counts = {args.process: args.events}
    elif Path(args.process).suffix == ".cmnd" or Path(args.process).exists():
        lines = tuple(read_command_file(args.process))
        make_pythia(list(lines), 1, source=args.process)  # refuses settings that Pythia cannot start with
        return [(Job("user", settings=lines, source=str(args.process), **common), args.events)]
    else:
        raise InputError("command line", "PROCESS", repr(args.process), ", ".join(_KNOWN) + " or a .cmnd file")
    for name in counts:
        if args.filter == "lepton" and name in processes()["search"]:
            raise InputError("command line", "--filter", "lepton", f"streams: {name} is made for the streams only")
        if args.filter == "streams" and any("heavy_pt" in part for part in cards[name].get("slices", [])):
            raise InputError("command line", "--filter", "streams", f"lepton: {name} is made for leptons only")
    return [
        (Job(name, settings=tuple(cards[name]["settings"]), source="processes.yaml", **common), n)
        for name, n in counts.items()
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


def prepare(jobs: list[Job], submit: Submit) -> None:
    """Make the pileup pool and, for QCD, the decay library, as far as they are missing."""
    job = jobs[0]
    missing = [i for i, file in enumerate(job.pool_files) if not file.exists()]
    if missing:
        with Progress(sum(job.pool_file_events(i) for i in missing), "minimum-bias pool") as progress:
            for future in _as_completed([submit(chunks.make_pool_file, job, i) for i in missing]):
                progress.update(future.result())
    if any(j.process == "QCD" for j in jobs) and not job.library_file.exists():
        with Progress(LIBRARY_DECAYS * len(HEAVY), "heavy-flavour decays", "decays") as progress:
            progress.update(submit(chunks.make_library_file, job).result())


def _as_completed(futures: list[Future[int]]) -> Iterator[Future[int]]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from done


def collect(jobs: list[Job], wanted: int, workers: int, submit: Submit) -> dict[str, dict[str, Any]]:
    """Make chunks as `make` says; what the chunks hold, by process."""
    make(jobs, wanted, workers, submit, chunks)
    return join(jobs, wanted)


def make(jobs: list[Any], wanted: int, workers: int, submit: Submit, maker: Any) -> None:
    """Make chunks 0, 1, 2 ... of all jobs together until they hold `wanted` events.

    maker: module with make_chunk and read_chunk. A chunk counts when every job has made it, so that several jobs
    stand at the same luminosity.
    """
    name = jobs[0].process if len(jobs) == 1 else "all processes"
    scales = processes()["chunk_scales"]
    done: dict[int, list[int]] = {}  # events of the finished jobs of a chunk
    running: dict[Future[int], int] = {}

    def events(numbers: Iterable[int]) -> int:
        return sum(sum(done[i]) for i in numbers)

    def work(numbers: Iterable[int]) -> float:
        """Size of chunks in units of a full one."""
        return float(sum(scales[min(i, len(scales) - 1)] for i in numbers))

    def whole() -> list[int]:
        return [i for i, found in done.items() if len(found) == len(jobs)]

    while events(done) < wanted:
        existing = [maker.read_chunk(job, len(done)) for job in jobs]
        if any(found is None for found in existing):
            break
        done[len(done)] = [len(found["events"]) for found in existing if found]
    reused, following = events(done), len(done)
    if reused:
        print(f"{name}: {reused:,} events of {following} finished chunks are reused", file=sys.stderr)
    if reused >= wanted:
        return
    with Progress(wanted - reused, name) as progress:
        while events(whole()) < wanted or running:
            each = events(whole()) / work(whole()) if whole() else 0.0
            pending = [i for i in range(following) if i not in whole()]
            while len(running) < workers and events(whole()) + each * work(pending) < wanted:
                running |= {submit(maker.make_chunk, job, following): following for job in jobs}
                pending.append(following)
                following += 1
            for future in wait(running, return_when=FIRST_COMPLETED)[0]:
                made = future.result()
                done.setdefault(running.pop(future), []).append(made)
                progress.update(made)
            if work(whole()) > _GIVE_UP_AFTER and not events(whole()):
                raise InputError(jobs[0].source, "filter", f"passed by no event of {len(done)} chunks", "such events")
