"""One trial of `ad40 explore`: a card is trained, its cost taken from the compiler, its figure from corruptions.

Training and cost run as processes of one thread each, so that a trial comes out the same whatever runs beside it, and
so that nothing a trial does (memory, a crash) harms the exploration. What a trial found is its `result.json`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ad40.emulator import Emulator
from ad40.errors import CheckError
from ad40.files import atomic_path, read_json, sha256_of, write_json, write_yaml
from ad40.network import read_network
from training.explore.space import FASTEST, ROOT, refusal
from training.teach.selection import Selection

RESULT, CARD, MODEL, LOG = "result.json", "card.yaml", "model", "log.txt"
COSTS = ("lut", "lut_synth", "ff", "dsp", "stages", "clock_ns", "latency_cycles", "latency_ns", "configuration")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass
class Result:
    """What a trial found. parameters: label of each choice. reason: why it is infeasible, empty if it is not; what was
    measured before that stays. figure, efficiencies: of `training.teach.selection`; [low, value, high] of each
    corruption. cost: keys of COSTS. trained: the trial whose trained model this one is about. same_as: an earlier trial
    that is the same in everything."""

    number: int
    parameters: dict[str, Any]
    card_hash: str
    trained: int
    same_as: int | None = None
    reason: str = ""
    figure: float | None = None
    efficiencies: dict[str, list[float]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    nonzero_weights: int | None = None
    epochs: int | None = None
    network_hash: str = ""

    @property
    def feasible(self) -> bool:
        return not self.reason

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Selection figure (the more the better), LUT and ns of the whole chain (the fewer the better)."""
        assert self.figure is not None
        return self.figure, float(self.cost["lut"]), float(self.cost["latency_ns"])

    def save(self, folder: Path) -> None:
        write_json(folder_of(folder, self.number) / RESULT, asdict(self))


def load_result(folder: Path, number: int) -> Result | None:
    """The result of a trial, None where there is none yet."""
    path = folder_of(folder, number) / RESULT
    return Result(**read_json(path)) if path.is_file() else None


@dataclass(frozen=True)
class Task:
    """A trial to run. card: its document; firmware: how its cost is taken, clock and cut (`explore_space`)."""

    number: int
    parameters: dict[str, Any]
    card: dict[str, Any]
    firmware: dict[str, Any]

    @property
    def card_hash(self) -> str:
        """Of what the network and its training depend on: not of the name, which holds the number of the trial."""
        return sha256_of({k: v for k, v in self.card.items() if k not in ("name", "description")})


@dataclass(frozen=True)
class Settings:
    """What all trials of an exploration have in common. selection: makes the events that they are judged on. events,
    epochs: limits of the training, None for none. timeout_s: of one process. lock: descriptor of the lock on the
    folder, which the processes hold as well, so that no second exploration meets those of one that died.
    """

    folder: Path
    sample: Path
    selection: Callable[[], Selection]
    events: int | None
    epochs: int | None
    timeout_s: int
    lock: int


def one_thread() -> dict[str, str]:
    """The environment of a process that finds this checkout and computes with one thread: sums in one order."""
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    return os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)}


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and to those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class Stopped(Exception):
    """The exploration ends before this trial has: nothing is recorded, a rerun takes it up again."""


class Processes:
    """The processes that run, so that an interruption ends them."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self, command: list[str], log: Path, settings: Settings, output: Path | None = None) -> str:
        """Run `python -m COMMAND`; why it failed in a sentence, empty when it did not. What it says is added to a log,
        or its standard output goes to a file. Raises `Stopped`."""
        name = " ".join(command[:2]) if command[0] == "ad40" else command[0]
        with log.open("ab") as stream, (output or log).open("wb" if output else "ab") as answer:
            stream.write(f"$ python -m {' '.join(command)}\n".encode())
            stream.flush()
            start = stream.tell()
            with self._guard:
                if self._stopped:
                    raise Stopped
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=answer, stderr=stream,
                    env=one_thread(), pass_fds=(settings.lock,), start_new_session=True,
                )  # fmt: skip
                self._running.add(process)
            try:
                code = process.wait(settings.timeout_s)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
                return f"{name} took more than {settings.timeout_s} s"
            finally:
                self._running.discard(process)
        if self._stopped:
            raise Stopped
        if code < 0:
            return f"{name} was ended by signal {-code}"
        said = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
        return (said[-1].strip() if said else f"{name} failed with exit code {code}") if code else ""

    def side_by_side(self, calls: Sequence[Callable[[], Result]], jobs: int) -> Iterator[Result]:
        """Call each, so many at a time, and give the results as they come. An exception ends all of the processes."""
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            for future in concurrent.futures.as_completed([pool.submit(call) for call in calls]):
                yield future.result()
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """End what runs and start nothing more."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                _signal(process, signal.SIGTERM)


def training_command(card: Path, output: Path, sample: Path, events: int | None, epochs: int | None) -> list[str]:
    """`ad40 train` of a card, as arguments of `python -m`."""
    limits = [(f"--{name}", str(value)) for name, value in (("events", events), ("epochs", epochs)) if value]
    command = ["ad40", "train", str(card), "--output", str(output), "--sample", str(sample)]
    return [*command, *(word for limit in limits for word in limit)]


def folder_of(folder: Path, number: int) -> Path:
    """Where a trial works."""
    return folder / "trials" / f"{number:04d}"


def run_trial(task: Task, earlier: Result | None, settings: Settings, processes: Processes) -> Result:
    """Train a card, take its figure and its cost; the result, which is also written into the folder of the trial.

    earlier: a finished trial of the same card, whose model is taken. A trial that cannot be trained or does not fit is
    a result with a reason. Raises `Stopped`, and `CheckError` when trial 0, the base card, cannot be trained: what is
    wrong with it is wrong with all of them.
    """
    folder = folder_of(settings.folder, task.number)
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / CARD, task.card)
    if earlier is not None:
        same = earlier.number if earlier.parameters == task.parameters else None
        result = replace(earlier, number=task.number, parameters=task.parameters, same_as=same)
        if same is None and earlier.figure is not None:  # it was trained
            take_cost(result, task.firmware, settings, processes)
    else:
        result = Result(task.number, task.parameters, task.card_hash, trained=task.number)
        result.reason = refusal(task.card, "the card")
        if not result.reason:
            command = training_command(folder / CARD, folder / MODEL, settings.sample, settings.events, settings.epochs)
            result.reason = processes.run(command, folder / LOG, settings)
        if not result.reason:
            measure(result, settings)
            take_cost(result, task.firmware, settings, processes)
    if task.number == 0 and (result.figure is None or not result.cost):
        raise CheckError(f"the base card (trial 0) has no figure or no cost: {result.reason}; see {folder / LOG}")
    result.save(settings.folder)
    return result


def measure(result: Result, settings: Settings) -> None:
    """Fill in how well a trained trial tells corrupted background from background."""
    model = folder_of(settings.folder, result.number) / MODEL
    history, network = read_json(model / "history.json"), read_network(model / "network.json")
    result.nonzero_weights, result.epochs = history["nonzero_weights"], history["epochs"]
    result.network_hash = network.hash
    judged = settings.selection()
    result.efficiencies = judged.efficiencies(Emulator(network).score)
    result.figure = judged.figure(result.efficiencies)


def take_cost(
    result: Result, firmware: dict[str, Any], settings: Settings, processes: Processes, synth: bool = False
) -> None:
    """Fill in what the compiler says of a trained trial, with `synth` the LUTs of open synthesis as well."""
    folder = folder_of(settings.folder, result.number)
    command = ["firmware.cost", str(folder_of(settings.folder, result.trained) / MODEL), "--json"]
    command += ["--clock", firmware["clock"]] if firmware.get("clock") else []
    command += ["--synth", "--timeout", str(settings.timeout_s)] if synth else []
    with atomic_path(folder / "cost.json") as answer:
        result.reason = processes.run(command, folder / LOG, settings, answer)
        if result.reason:
            return
    (found,) = read_json(folder / "cost.json")
    if firmware.get("cut") == FASTEST and found["fastest"]["stages"] != found["stages"]:
        found |= found["fastest"] | dict.fromkeys(("ff", "lut_synth"))  # those are of the other cut
    result.cost = {key: found[key] for key in COSTS if found.get(key) is not None}
    result.reason = "" if found["fits"] else found["reason"]
