"""Models that are Keras networks: one loop of training, early stopping and scoring for all of them.

A network gives its inputs of all entries once (`prepare`, numpy), the inputs of a batch (`batch`), and for a batch the
loss and the score of each entry (`evaluate`, a TensorFlow graph). Entries may be of any length: a batch holds similar
ones where a network pads, and lists of all lengths where it does not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error
from ad40.progress import Progress
from offline.autoencoder.networks import keras
from offline.model import Arrays, Data, Floats, Model, Settings

SCORED = 1024  # entries in the network at a time
BLOCK = 20_000  # entries that are prepared at a time to be scored
BUCKET = 32  # batches whose entries are sorted by length among themselves

Ints = NDArray[np.int64]
Batch = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """How to train a network."""

    epochs: int = field(default=30, metadata={"help": "at most", "least": 1})
    patience: int = field(default=5, metadata={"help": "epochs without a lower validation loss until it stops",
                                               "least": 1})  # fmt: skip
    batch: int = field(default=256, metadata={"help": "entries in a step", "least": 1})
    learning_rate: float = field(default=1e-3, metadata={"help": "of Adam", "least": 0, "above": True, "most": 1})
    validation: float = field(default=0.2, metadata={"help": "part of the events that decides when to stop",
                                                     "least": 0, "above": True, "most": 0.9})  # fmt: skip


class NetworkModel(Model[Data]):
    """A network with its training. `net`: holds all weights, in a fixed order, as `net.weights`."""

    settings_type = NetworkSettings
    settings: NetworkSettings

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.net: Any = None
        self._scorer: Callable[..., Any] | None = None

    @abstractmethod
    def split(self, data: Data) -> tuple[Ints, Ints]:
        """Rows for training and for validation, `settings.validation` of the events, none of them on both sides."""

    @abstractmethod
    def block(self, data: Data, rows: slice) -> Data:
        """Some entries."""

    @abstractmethod
    def build(self, seeds: Iterator[int]) -> Any:
        """The layers, built. The weights follow from `seeds` alone."""

    @abstractmethod
    def prepare(self, data: Data) -> Any:
        """Inputs of all entries, as `batch` takes them."""

    @abstractmethod
    def batch(self, inputs: Any, rows: Ints, random: np.random.Generator | None) -> Batch:
        """Arrays of some entries. random: given in training, None where the answer must not vary."""

    @abstractmethod
    def signature(self) -> list[Any]:
        """`tf.TensorSpec` of the arrays of `batch`."""

    @abstractmethod
    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        """Loss and score of the entries of a batch, as tensors: (b,), of outliers that `batch` adds in training too."""

    def begin(self, inputs: Any, rows: Ints) -> None:
        """Called once before training, with the rows of the training sample. Most networks need nothing."""
        return

    def penalty(self) -> Any:
        """Added to the mean loss of a batch in training."""
        return 0.0

    def watch(self, inputs: Any, rows: Ints) -> dict[str, float]:
        """What else to write into the history after an epoch; may raise to stop a training that went wrong."""
        return {}

    def lengths(self, inputs: Any) -> Ints | None:
        """Lengths (n,) of entries, where a batch should hold similar ones."""
        return None

    def seeds(self) -> Iterator[int]:
        """Seeds of the layers."""
        return iter(np.random.SeedSequence([self.settings.seed, 2]).generate_state(256).tolist())

    def _fit(self, data: Data) -> None:
        settings = self.settings
        training, validation = self.split(data)
        self._before(data, training)
        inputs = self.prepare(data)
        keras().utils.set_random_seed(settings.seed % 2**32)  # of what TensorFlow itself draws
        self.net = self.build(self.seeds())
        self._scorer = None
        self.begin(inputs, training)
        step, random = self._step(), np.random.default_rng([settings.seed, 3])
        best, best_epoch, kept = np.inf, 0, self._numbers()
        with Progress(settings.epochs * len(training), f"fit {self.kind}", f"{self.entry}s") as progress:
            while len(self.history) < settings.epochs and len(self.history) - best_epoch < settings.patience:
                total = 0.0
                for rows in batches(training, settings.batch, self.lengths(inputs), random):
                    total += float(step(*self.batch(inputs, rows, random))) * len(rows)
                    progress.update(len(rows))
                loss = self._validation(inputs, validation)
                row = {"training_loss": total / len(training), "validation_loss": loss}
                self.history.append(row | self.watch(inputs, validation))
                if loss < best:
                    best, best_epoch, kept = loss, len(self.history), self._numbers()
        if not np.isfinite(best):
            raise Ad40Error(f"the training of {self.kind} has no finite loss; use a smaller learning rate")
        self._set_numbers(kept)

    def _validation(self, inputs: Any, rows: Ints) -> float:
        """Mean loss of entries, of the same random numbers each time."""
        random, total, n = np.random.default_rng([self.settings.seed, 5]), 0.0, 0
        for at in range(0, len(rows), SCORED):
            loss = self._evaluator()(*self.batch(inputs, rows[at : at + SCORED], random))[0].numpy()
            total, n = total + float(np.sum(loss, dtype=np.float64)), n + len(loss)
        return total / n

    def _before(self, data: Data, rows: Ints) -> None:
        """Learn scales and the like from the training sample, before `prepare`."""

    def _step(self) -> Callable[..., Any]:
        import tensorflow as tf

        optimizer = keras().optimizers.Adam(self.settings.learning_rate)
        variables = self.net.trainable_variables
        optimizer.build(variables)

        def step(*batch: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.evaluate(*batch, training=True)[0]) + self.penalty()
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
            gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        return tf.function(step, input_signature=self.signature())

    def _run(self, inputs: Any, rows: Ints) -> Floats:
        """Score (n,) of some entries."""
        lengths = self.lengths(inputs)
        order = np.arange(len(rows)) if lengths is None else np.argsort(lengths[rows], kind="stable")
        score = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), SCORED):
            some = order[at : at + SCORED]
            score[some] = self._evaluator()(*self.batch(inputs, rows[some], None))[1].numpy()
        return score

    def _evaluator(self) -> Callable[..., Any]:
        import tensorflow as tf

        if self._scorer is None:
            self._scorer = tf.function(lambda *b: self.evaluate(*b, training=False), input_signature=self.signature())
        return self._scorer

    def _score(self, data: Data) -> Floats:
        pieces = []
        with Progress(len(data), f"score {self.kind}", f"{self.entry}s") as progress:
            for start in range(0, len(data), BLOCK):
                block = self.block(data, slice(start, start + BLOCK))
                pieces.append(self._run(self.prepare(block), np.arange(len(block))))
                progress.update(len(block))
        return np.concatenate(pieces)

    def state(self) -> Arrays:
        return {f"weights.{i}": array for i, array in enumerate(self._numbers())}

    def restore(self, state: Arrays) -> None:
        self.net = self.build(self.seeds())
        self._scorer = None
        shapes = [array.shape for array in self._numbers()]
        arrays = [state[f"weights.{i}"] for i in range(len(shapes))]
        if [a.shape for a in arrays] != shapes or len(state) != len(self.state()):
            raise ValueError("other shapes or numbers of arrays")
        self._set_numbers(arrays)

    def _numbers(self) -> list[NDArray[Any]]:
        return [weight.numpy().copy() for weight in self.net.weights]

    def _set_numbers(self, arrays: Sequence[NDArray[Any]]) -> None:
        for weight, array in zip(self.net.weights, arrays, strict=True):
            weight.assign(array)

    def software(self) -> dict[str, str]:
        return {name: version(name) for name in ("keras", "tensorflow")}


def batches(rows: Ints, size: int, lengths: Ints | None, random: np.random.Generator) -> Iterator[Ints]:
    """All rows once in a random order, in batches of at most `size`; with lengths, of similar length in a batch."""
    order = random.permutation(rows)
    if lengths is None:
        yield from (order[at : at + size] for at in range(0, len(order), size))
        return
    pieces = []
    for at in range(0, len(order), size * BUCKET):
        bucket = order[at : at + size * BUCKET]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        pieces += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    yield from (pieces[i] for i in random.permutation(len(pieces)))


class Layers:
    """Keras layers kept in the order in which they were added. `weights`, `trainable_variables`: of all of them."""

    def __init__(self) -> None:
        self._layers: list[Any] = []

    def add(self, layer: Any) -> Any:
        self._layers.append(layer)
        return layer

    def dense(self, inputs: int, units: int, seed: int, activation: str | None = None, bias: bool = True) -> Any:
        """Add a dense layer with the initial weights of a seed."""
        k = keras()
        start = k.initializers.GlorotUniform(seed)
        layer = self.add(k.layers.Dense(units, activation, use_bias=bias, kernel_initializer=start))
        layer.build((None, inputs))
        return layer

    @property
    def weights(self) -> list[Any]:
        # the state of a random number generator (dropout) is no result of the training
        return [w for layer in self._layers for w in layer.weights if "seed_generator" not in w.path]

    @property
    def trainable_variables(self) -> list[Any]:
        return [w for layer in self._layers for w in layer.trainable_variables]
