"""Many files: the same work on each, in this process or on a Dask cluster, with one answer.

Every file is a job of its own that starts from nothing: a run with its own orbit 0, its own prescale counters and its
own output. Jobs are ordered by the names of their files, results come back in that order, and what joins them
(`ad40.merge`, sums of counts in `ad40.rates`) uses it; so neither the number of workers, nor the order in which files
are given or finish, nor a worker that dies and whose job runs again changes a bit.

Dask is needed for a cluster only. On a cluster of several machines all of them must see the same files.
"""

from __future__ import annotations

import argparse
import glob
import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.errors import Ad40Error, CheckError, InputError, MissingTool
from ad40.progress import Progress, silenced
from ad40.stream import cores

LOCAL, NONE = "local", "none"
CONNECT = "10s"  # time for a scheduler to answer


@dataclass(frozen=True)
class Job:
    """`work(file, output, **options)`: a function of a module, and arguments that can be pickled. It must leave either
    the whole `output` or nothing, and return what is small."""

    work: Callable[..., Any]
    file: Path
    output: Path | None
    options: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """A file without a result, and why."""

    file: Path
    reason: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """--cluster, --workers, --retries."""
    parser.add_argument("--cluster", metavar="WHERE",
                        help="address of a Dask scheduler; 'local': worker processes on this machine, the default for"
                        " several files; 'none': one file after the other in this process")  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes of a local cluster (default: cores)")
    parser.add_argument("--retries", type=int, default=2, metavar="N",
                        help="tries more for a file when the machine fails (default %(default)s)")  # fmt: skip


def ordered(files: Sequence[Path]) -> list[Path]:
    """The files in the order of their names, which no order of arguments changes. Raises `InputError` on a file given
    twice and on two files that `output_of` cannot tell apart."""
    result = sorted(files, key=_label)
    for one, other in pairwise(result):
        if _label(one)[:2] == _label(other)[:2]:
            raise InputError("command line", "files", f"{one} and {other}", "files of different folders or names")
    return result


def _label(file: Path) -> tuple[str, str, str]:
    file = file.absolute()
    name = file.with_suffix("") if file.suffix == ".gz" else file
    return file.parent.name, name.stem, str(file)


def output_of(file: Path, folder: Path) -> Path:
    """The output that belongs to an input: its folder and its name, below `folder`."""
    parent, stem, _ = _label(file)
    return folder / parent / f"{stem}.h5"


def run_all(
    jobs: Sequence[Job], where: str | None, workers: int | None = None, retries: int = 2, unit: str = "files"
) -> tuple[list[tuple[Path, Any]], list[Failure]]:
    """Run all jobs. Returns the results and the failures, both in the order of `jobs`. unit: what progress counts."""
    if retries < 0:
        raise InputError("command line", "--retries", retries, "0 or more")
    if workers is not None and workers < 1:
        raise InputError("command line", "--workers", workers, "1 or more")
    where = where or (LOCAL if len(jobs) > 1 else NONE)
    outcome: dict[int, Any] = {}
    finished: Iterable[tuple[int, Any]]
    with ExitStack() as stack:
        if where == NONE:
            here = copy_context()
            finished = ((i, here.run(guarded, job, retries, __version__)) for i, job in enumerate(jobs))
        else:
            stack.callback(_sweep, jobs)
            finished = stack.enter_context(_on_dask(jobs, where, min(workers or cores(), len(jobs)), retries))
        bar = stack.enter_context(Progress(len(jobs), unit, unit))
        for i, result in finished:
            outcome[i] = result
            bar.update()
    files = [job.file for job in jobs]
    results = [(file, r) for i, file in enumerate(files) if not isinstance(r := outcome[i], Failure)]
    return results, [r for _, r in sorted(outcome.items()) if isinstance(r, Failure)]


def guarded(job: Job, retries: int, version: str) -> Any | Failure:
    """One job: its result, or why there is none. Faults that may pass (of the machine, not of the file) are retried."""
    if version != __version__:
        return Failure(job.file, f"the worker has ad40 {__version__}, this is {version}")
    silenced.set(True)  # the files are counted, not the events of each
    for left in range(retries, -1, -1):
        try:
            return job.work(job.file, job.output, **job.options)
        except Exception as error:  # one file must not end the work on the others
            passing = isinstance(error.__cause__, OSError) or not isinstance(error, Ad40Error)
            if not left or not passing:
                text = str(error) if isinstance(error, Ad40Error) else f"{job.file}: {type(error).__name__}: {error}"
                return Failure(job.file, text)
    raise AssertionError("unreachable")


@contextmanager
def _on_dask(
    jobs: Sequence[Job], where: str, workers: int, retries: int
) -> Generator[Iterable[tuple[int, Any]], None, None]:
    """(index, outcome) of the jobs on a cluster, as they finish."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise MissingTool(
            "the package 'distributed'", "`pip install 'ad40[cluster]'`, or use --cluster none"
        ) from error
    with ExitStack() as stack:
        if where == LOCAL:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ad40-"))
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": retries}))
            where = stack.enter_context(
                distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0", local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                )
            )  # fmt: skip
        try:
            client = distributed.Client(where, set_as_default=False, timeout=CONNECT)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise InputError("command line", "--cluster", where, f"a scheduler that answers ({error})") from error
        stack.enter_context(client)

        def submit(i: int) -> Any:
            return client.submit(guarded, jobs[i], retries, __version__, pure=False)

        def finished() -> Iterator[tuple[int, Any]]:
            lost: list[int] = []
            futures = {submit(i): i for i in range(len(jobs))}
            for future in distributed.as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
                if future.status == "finished":
                    yield futures[future], future.result()
                else:
                    lost.append(futures[future])
            # Dask blames a worker's death on all the jobs that it held; alone, only the guilty one fails again
            for i in sorted(lost):
                future = submit(i)
                error = future.exception()
                yield i, future.result() if error is None else _lost(jobs[i], error)

        yield finished()


def _lost(job: Job, error: BaseException) -> Failure:
    """A job that the cluster gave up: the worker that ran it died each time."""
    return Failure(job.file, f"{job.file}: the cluster gave it up: {type(error).__name__}: {error}")


def _sweep(jobs: Sequence[Job]) -> None:
    """Remove what killed workers left of their outputs."""
    for job in jobs:
        if job.output is not None:
            for part in job.output.parent.glob(f".{glob.escape(job.output.name)}.*.part"):
                part.unlink(missing_ok=True)


def conclude(summary: dict[str, Any], failures: Sequence[Failure]) -> dict[str, Any]:
    """The summary with the failures in it; `CheckError` (exit code 1) when there are any."""
    summary["failed"] = [{"file": str(failure.file), "reason": failure.reason} for failure in failures]
    if failures:
        names = "\n".join(f"  {failure.reason}" for failure in failures)
        raise CheckError(f"{len(failures)} files failed; what is finished is kept:\n{names}", summary)
    return summary
