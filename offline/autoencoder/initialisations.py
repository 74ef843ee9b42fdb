"""Training one network after the other from different random weights, and what is kept of each on disk."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error, InputError
from ad40.files import read_json, write_json
from ad40.progress import Progress
from offline.autoencoder import networks
from offline.autoencoder.sample import Sample
from offline.rmm.layout import Layout

FOLDER = "initialisations"
_EVALUATED = 1024  # validation events at a time


@dataclass(frozen=True)
class Settings:
    """How to train. Defaults: the published ones where there are any (batch, learning rate, fraction, 50 starts)."""

    network: str = field(default="small", metadata={"help": "one of " + ", ".join(networks.NETWORKS)})
    fraction: float = field(default=0.01, metadata={"help": "part of the events to train on"})
    initialisations: int = field(default=50, metadata={"help": "networks to train from different random weights"})
    epochs: int = field(default=200, metadata={"help": "at most, for each"})
    patience: int = field(default=10, metadata={"help": "epochs without a lower validation loss until it stops"})
    batch: int = field(default=100, metadata={"help": "events in a step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "of Adam"})
    seed: int = field(default=40, metadata={"help": "of the choice of events and of all random numbers"})

    def __post_init__(self) -> None:
        networks.network(self.network)
        for name, low in (("initialisations", 1), ("epochs", 1), ("patience", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**63:
                raise InputError("autoencoder", name, value, f"a whole number from {low}")
        for name in ("fraction", "learning_rate"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise InputError("autoencoder", name, value, "a number above 0, at most 1")


@dataclass(frozen=True)
class Start:
    """One initialisation that has ended: losses of its best epoch, and of every epoch [training, validation]."""

    number: int
    epochs: int
    best_epoch: int
    training_loss: float
    validation_loss: float
    history: list[list[float]]


@dataclass(frozen=True)
class Work:
    """What all initialisations share. key: hash of all that their results depend on."""

    settings: Settings
    sample: Sample
    layout: Layout
    folder: Path
    key: str

    def result(self, number: int) -> Path:
        return self.folder / FOLDER / f"{number:04d}.json"

    def weights(self, number: int) -> Path:
        return self.folder / FOLDER / f"{number:04d}.h5"


def train_one(work: Work, number: int, tick: Callable[[], None] = lambda: None) -> Start:
    """Train one initialisation to the end and leave its weights and its result in the folder.

    Each epoch goes once through the training events in a new order, in whole batches; what is left over (fewer than a
    batch) waits for another epoch. The weights of the lowest validation loss are kept. `tick` is called every epoch.
    """
    settings, sample = work.settings, work.sample
    of_weights, of_order = np.random.SeedSequence([settings.seed, number]).spawn(2)
    random = np.random.default_rng(of_order)
    model = networks.build(settings.network, work.layout, int(of_weights.generate_state(1)[0]))
    step, scorer = networks.training_step(model, settings.learning_rate), networks.Scorer(model)
    batch, validation = min(settings.batch, sample.training), np.arange(sample.training, sample.n)
    history: list[list[float]] = []
    best, best_epoch, kept = np.inf, 0, model.get_weights()
    while len(history) < settings.epochs and len(history) - best_epoch < settings.patience:
        order = random.permutation(sample.training)
        starts = range(0, len(order) - batch + 1, batch)
        losses = [step(sample.dense(order[at : at + batch])) for at in starts]
        history.append([float(np.mean(losses)), mean_loss(scorer, sample, validation)])
        if history[-1][1] < best:
            best, best_epoch, kept = history[-1][1], len(history), model.get_weights()
        tick()
    if not np.isfinite(best):
        raise Ad40Error(f"initialisation {number} has no finite loss; use a smaller learning rate")
    model.set_weights(kept)
    networks.save_weights(work.weights(number), model)
    start = Start(number, len(history), best_epoch, history[best_epoch - 1][0], best, history)
    write_json(work.result(number), {"key": work.key, **asdict(start)})  # says that this initialisation has ended
    return start


def mean_loss(scorer: networks.Scorer, sample: Sample, rows: NDArray[np.integer]) -> float:
    """Mean over events of the mean squared error."""
    pieces = [rows[i : i + _EVALUATED] for i in range(0, len(rows), _EVALUATED)]
    return sum(float(scorer.loss(sample.dense(piece)).sum(dtype=np.float64)) for piece in pieces) / len(rows)


def ended(work: Work, number: int) -> Start | None:
    """The result of an initialisation, None when it has not ended or belongs to another training."""
    if not work.result(number).is_file():
        return None
    stored = read_json(work.result(number))
    if not isinstance(stored, dict) or stored.pop("key", None) != work.key:
        return None
    if set(stored) != {f.name for f in fields(Start)}:
        raise InputError(work.result(number), "keys", sorted(stored), "a result of `ad40 autoencoder`; delete it")
    return Start(**stored)


def train_all(work: Work, wanted: Sequence[int], jobs: int) -> Iterator[Start]:
    """Train initialisations, in this process or in several; each is yielded when it has ended."""
    with Progress(len(wanted), "training", "initialisations") as progress:
        if jobs == 1 or len(wanted) <= 1:
            for number in wanted:
                yield train_one(work, number, lambda: progress.update(0))
                progress.update()
            return
        pool = ProcessPoolExecutor(min(jobs, len(wanted)), get_context("spawn"), _take_work, (work,))
        try:
            for future in as_completed([pool.submit(_train, number) for number in wanted]):
                yield future.result()
                progress.update()
        except BrokenProcessPool as error:
            reason = "a training process died; what has ended is kept: try again with fewer --jobs"
            raise Ad40Error(reason) from error
        finally:
            pool.shutdown(cancel_futures=True)


_work: list[Work] = []  # of a training process


def _take_work(work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends a training process without a traceback
    _work[:] = [work]


def _train(number: int) -> Start:
    return train_one(_work[0], number)


def median(starts: Sequence[Start]) -> Start:
    """The initialisation of median validation loss; of an even number, the lower one of the two in the middle."""
    return sorted(starts, key=lambda s: (s.validation_loss, s.number))[(len(starts) - 1) // 2]
