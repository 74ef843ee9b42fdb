"""`ad40 explore`: the models around a card that are best per LUT and per nanosecond, found by many trials.

Three objectives (Pareto): the selection figure on corrupted background as large, LUTs and ns of the whole chain as
small as possible. Trials are drawn by optuna's tree-structured Parzen estimator for several objectives (Ozaki et al.,
GECCO 2020) in generations: a trial depends on its number, the seed and the results of earlier generations only. So it
is the same for any number of jobs, and after any interruption.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from ad40 import defaults, spec
from ad40.errors import CheckError, HashMismatch, InputError, MissingTool
from ad40.files import atomic_path, read_json, writable_folder, write_json
from ad40.progress import Progress
from models.card import parse_card
from training import page
from training.datasets import load_background
from training.explore import front as explore_front
from training.explore.space import Space, parse_space, read_space
from training.explore.trial import (
    CARD,
    Processes,
    Result,
    Settings,
    Task,
    folder_of,
    load_result,
    one_thread,
    run_trial,
    take_cost,
    training_command,
)
from training.teach.selection import selection, unseen

HELP = "search the models around a card: selection figure against LUTs and latency, as a Pareto front"
EPILOG = """\
FOLDER keeps everything; the same command goes on after an interruption, and a larger --trials continues a search that
is done. It writes front.html (open it in a browser), front.csv, front.json and front.png.
example: ad40 explore build/explore --trials 32 --events 20000 --epochs 10 --jobs 2
         ad40 explore build/explore --take 17 --output build/m17; ad40 compile build/m17"""
SPACE = Path(__file__).parent / "explore.yaml"
SETTINGS, STORAGE, LOCK = "settings.json", "study.db", "lock"
FORMAT_VERSION = 1
DIRECTIONS = ("maximize", "minimize", "minimize")  # of `Result.objectives`
TRIALS = 32  # of a new exploration
STARTUP = 10  # trials drawn at random before the sampler learns from them

Evaluate = Callable[[Task, Result | None], Result]


def open_study(folder: Path, space: Space) -> optuna.Study:
    """The study of a folder, made with the base card as trial 0 when there is none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / STORAGE}", study_name="ad40", directions=DIRECTIONS, load_if_exists=True
    )
    if not study.trials:
        study.enqueue_trial(space.base_numbers())
    return study


def _sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        return optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=own)


def draw_generation(study: optuna.Study, space: Space, seed: int) -> None:
    """Draw trials until the generation is full; all of them before any of them is run."""
    distributions = {p.name: optuna.distributions.IntDistribution(0, len(p.labels) - 1) if p.numbers
                     else optuna.distributions.CategoricalDistribution(range(len(p.labels)))
                     for p in space.parameters}  # fmt: skip
    while True:
        drawn = sum(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
        study.sampler = _sampler(seed, drawn)
        study.ask(fixed_distributions=distributions)
        if (drawn + 1) % space.generation == 0:
            return


def tell(study: optuna.Study, result: Result) -> None:
    """Put a result into the study. An infeasible one has no values but breaks a constraint: the sampler avoids it."""
    frozen = study.get_trials(deepcopy=False)[result.number]
    if result.feasible:
        study.tell(result.number, result.objectives)
    else:
        optuna.trial.Trial(study, frozen._trial_id).set_constraint("infeasible", 1.0)
        study.tell(result.number, state=TrialState.PRUNED)


def _tasks(study: optuna.Study, space: Space) -> list[Task]:
    """The trials that are drawn and not done."""
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        card, firmware = space.card(trial.params, trial.number)
        found.append(Task(trial.number, space.labels(trial.params), card, firmware))
    return found


class Exploration:
    """The trials of a folder: draws them, runs them side by side and keeps their results by number."""

    def __init__(self, folder: Path, space: Space, seed: int) -> None:
        self.folder, self.space, self.seed = folder, space, seed
        self.study = open_study(folder, space)
        self.results: dict[int, Result] = {}
        for trial in self.study.get_trials(deepcopy=False):
            result = load_result(folder, trial.number)
            if result is not None:
                self.results[trial.number] = result
                if trial.state == TrialState.RUNNING:  # interrupted between the file and the study
                    tell(self.study, result)
            elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                raise InputError(folder_of(folder, trial.number), "result.json", "missing",
                                 "the result of a finished trial; to begin anew take another folder")  # fmt: skip

    def run(self, trials: int, jobs: int, evaluate: Evaluate, finished: Callable[[Result], None],
            processes: Processes) -> None:  # fmt: skip
        """Run until so many trials are done; `finished` hears of each."""
        while sum(number < trials for number in self.results) < trials:
            waiting = [t for t in _tasks(self.study, self.space) if t.number < trials]
            waiting = waiting if 0 in self.results else waiting[:1]  # the base card alone
            if not waiting:
                draw_generation(self.study, self.space, self.seed)
                continue
            # of trials of one card the first is trained, the others take its model
            seen = {result.card_hash for result in self.results.values()}
            first, later = [], []
            for task in waiting:
                (later if task.card_hash in seen else first).append(task)
                seen.add(task.card_hash)
            for tasks in (first, later):
                calls = [partial(evaluate, task, self.earlier(task)) for task in tasks]
                for result in processes.side_by_side(calls, jobs):
                    self.results[result.number] = result
                    tell(self.study, result)
                    finished(result)

    def earlier(self, task: Task) -> Result | None:
        """The result that tells most of a trial: the same in everything, else the first of the same card."""
        same = [r for r in self.ordered() if r.card_hash == task.card_hash and r.number < task.number]
        return next((r for r in same if r.parameters == task.parameters), same[0] if same else None)

    def ordered(self) -> list[Result]:
        return [self.results[number] for number in sorted(self.results)]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder; its descriptor. Raises `InputError` when another exploration is at work there."""
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(folder, "folder", "in use", "no other `ad40 explore` (or a trial of one) there") from error
        yield file.fileno()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 explore`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the exploration, new or begun")
    parser.add_argument("--space", type=Path, metavar="FILE.yaml",
                        help="what may change (training/explore/explore.yaml)")  # fmt: skip
    parser.add_argument("--sample", type=Path, help=f"sample folder ({defaults.SAMPLE})")
    parser.add_argument("--trials", type=int, default=0, metavar="N", help="trials in all (those there are, or 32)")
    parser.add_argument("--events", type=int, help="train on the first so many background events (all)")
    parser.add_argument("--epochs", type=int, help="train at most so many epochs instead of the card's number")
    parser.add_argument("--seed", type=int, help="seed of the drawing (0); that of the training is in the card")
    jobs = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=int, default=jobs, help="trials side by side, a core each (%(default)s)")
    text = "seconds for one training or compilation before the trial counts as infeasible (%(default)s)"
    parser.add_argument("--timeout", type=int, default=7200, metavar="S", help=text)
    parser.add_argument("--synth", action="store_true", help="map the trials of the front with yosys (minutes each)")
    text = "train trial N in full, on all events and with the card's epochs, and freeze it into --output"
    parser.add_argument("--take", type=int, metavar="N", help=text)
    parser.add_argument("--output", type=Path, metavar="MODEL_DIR", help="model folder that --take writes")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the front into its section of the page")


def settle(args: argparse.Namespace) -> tuple[dict[str, Any], Space]:
    """Settings of a new exploration, or those of the folder, which the options must not contradict."""
    path = args.folder / SETTINGS
    for name, low in (("events", 100), ("epochs", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < low:
            raise InputError("command line", f"--{name}", value, f"an integer of at least {low}")
    if not path.is_file():
        if args.take is not None:
            raise InputError(args.folder, "settings.json", "missing", "the folder of an exploration to take from")
        space = read_space(args.space or SPACE)
        return {
            "format_version": FORMAT_VERSION, "sample": str((args.sample or defaults.SAMPLE).resolve()),
            "fingerprint": "", "spec_hash": spec.objects().hash, "events": args.events, "epochs": args.epochs,
            "seed": args.seed or 0, "space_file": str(args.space or ""), "space_hash": space.hash,
            "space": space.document, "base": space.base,
        }, space  # fmt: skip
    kept = read_json(path)
    if kept.get("format_version") != FORMAT_VERSION or kept["spec_hash"] != spec.objects().hash:
        raise HashMismatch(path, "format and scales", "others than today's", "a new folder: objects.yaml has changed")
    given = {"events": args.events, "epochs": args.epochs, "seed": args.seed,
             "sample": args.sample and str(args.sample.resolve()),
             "space_hash": args.space and read_space(args.space).hash}  # fmt: skip
    for name, value in given.items():
        if value is not None and value != kept[name]:
            raise InputError("command line", f"--{name.removesuffix('_hash')}", value,
                             f"{kept[name]}, with which {args.folder} was begun, or another folder")  # fmt: skip
    return kept, parse_space(kept["space"], path, kept["base"], f"{path} (base)")


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is started."""
    for name in ("jobs", "timeout"):
        if getattr(args, name) < 1:
            raise InputError("command line", f"--{name}", getattr(args, name), "at least 1")
    if args.trials < 0:
        raise InputError("command line", "--trials", args.trials, "at least 1")
    if (args.take is None) != (args.output is None):
        raise InputError("command line", "--take, --output", "one alone", "both: a trial and the folder of its model")
    if args.page:
        page.check_section(args.page, explore_front.VERB)
    for package, extra in (("qkeras", "train"), ("alkaid", "firmware")):
        if importlib.util.find_spec(package) is None:
            raise MissingTool(f"the package '{package}'", f"`pip install 'ad40[{extra}]'`")


def synthesise(exploration: Exploration, settings: Settings, processes: Processes, jobs: int) -> None:
    """Add the LUTs of open synthesis to the trials of the front that lack them."""
    drawn = exploration.study.get_trials(deepcopy=False)

    def one(result: Result) -> Result:
        firmware = exploration.space.card(drawn[result.number].params, result.number)[1]
        take_cost(result, firmware, settings, processes, synth=True)
        if result.reason:
            raise CheckError(f"trial {result.number}: {result.reason}")
        result.save(settings.folder)
        return result

    front = explore_front.front(exploration.ordered())
    todo = [partial(one, replace(result)) for result in front if "lut_synth" not in result.cost]
    with Progress(len(todo), "synthesis of the front", "trials") as progress:
        for result in processes.side_by_side(todo, jobs):
            exploration.results[result.number] = result
            progress.update()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run trials up to --trials and write the front, or take one of them; returns the summary of `--json`."""
    _check(args)
    kept, space = settle(args)
    sample = load_background(kept["sample"])
    kept["fingerprint"] = kept["fingerprint"] or sample.fingerprint
    if kept["fingerprint"] != sample.fingerprint:
        raise HashMismatch(sample.file, "fingerprint", sample.fingerprint, f"{kept['fingerprint']}, of {args.folder}")
    writable_folder(args.folder)
    processes = Processes()
    with _locked(args.folder) as lock:
        write_json(args.folder / SETTINGS, kept)
        kept["judged_on"] = len(unseen(sample, kept["events"]))
        families = parse_card(kept["base"], args.folder).training.families
        # made when the first trial needs it
        judge = lru_cache(lambda: selection(space.figure, sample, families, kept["events"]))
        settings = Settings(
            args.folder, Path(kept["sample"]), judge, kept["events"], kept["epochs"], args.timeout, lock
        )
        exploration = Exploration(args.folder, space, kept["seed"])
        if args.take is not None:
            return take(args, exploration, settings.sample)
        evaluate = partial(run_trial, settings=settings, processes=processes)
        explore(exploration, args.trials or len(exploration.results) or TRIALS, args.jobs, evaluate, kept, processes)
        if args.synth:
            synthesise(exploration, settings, processes, args.jobs)
        summary = explore_front.write(args.folder, exploration.ordered(), space, kept)
    print(explore_front.text_table(exploration.ordered()))
    print(f"front of {len(summary['front'])} of {len(summary['trials'])} trials: {args.folder / explore_front.HTML}")
    if args.page:
        picture = Path(args.page.stem) / "explore.png"
        with atomic_path(args.page.parent / picture) as temporary:
            shutil.copyfile(args.folder / explore_front.PNG, temporary)
        text = explore_front.section(summary, command(args.folder, summary), picture.as_posix())
        page.write_section(args.page, explore_front.VERB, text)
    if not summary["front"]:
        raise CheckError(f"no trial fits; the first: {exploration.ordered()[0].reason}", summary)
    return summary


def command(folder: Path, summary: dict[str, Any]) -> str:
    """The command that makes this exploration again."""
    settings = summary["settings"]
    given = {"space": summary["space_file"], "events": settings["events"], "epochs": settings["epochs"]}
    given |= {"sample": summary["sample"]} if summary["sample"] != defaults.SAMPLE.as_posix() else {}
    words = "".join(f" --{name} {value}" for name, value in given.items() if value)
    return f"ad40 explore {folder} --trials {len(summary['trials'])} --seed {settings['seed']}{words}"


def explore(exploration: Exploration, trials: int, jobs: int, evaluate: Evaluate, kept: dict[str, Any],
            processes: Processes) -> None:  # fmt: skip
    """Run the trials with a progress bar that carries the front, and write the front after each generation."""
    done = len([number for number in exploration.results if number < trials])
    with Progress(trials, "explore", "trials") as progress:
        progress.update(done)

        def finished(result: Result) -> None:
            best = explore_front.front(exploration.ordered())
            progress.label = f"explore, {explore_front.in_short(best)}"
            progress.line(explore_front.sentence(result, result in best))
            progress.update()
            if len(exploration.results) % exploration.space.generation == 0:
                explore_front.write(exploration.folder, exploration.ordered(), exploration.space, kept)

        exploration.run(trials, jobs, evaluate, finished, processes)


def take(args: argparse.Namespace, exploration: Exploration, sample: Path) -> dict[str, Any]:
    """Train a trial in full and freeze it into a model folder."""
    result = exploration.results.get(args.take)
    if result is None:
        last = max(exploration.results, default=0)
        raise InputError("command line", "--take", args.take, f"a finished trial of {args.folder}, 0 to {last}")
    command = training_command(folder_of(args.folder, args.take) / CARD, args.output, sample, None, None)
    print(f"python -m {' '.join(command)}", flush=True)
    code = subprocess.call([sys.executable, "-m", *command], env=one_thread())
    if code:
        raise CheckError(f"trial {args.take}: `ad40 train` ended with exit code {code}")
    clock = result.cost.get("configuration")
    following = f"ad40 compile {args.output}" + (f" --clock {clock}" if clock else "")
    print(f"trial {args.take} is {args.output}; {following}")
    return {"trial": args.take, "model": str(args.output), "command": command, "compile": following}
