"""The training itself: epochs on arrays held in memory, pruning, early stopping, checkpoints.

Every epoch depends on nothing but the state before it, so that an interrupted training goes on to the same network.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import spec
from ad40.errors import CheckError, InputError
from ad40.files import atomic_path
from ad40.progress import Progress
from ad40.score import MASKED
from models.card import Card, TrainingCard
from training.prepare import Arrays, Floats


@dataclass
class State:
    """Where a training stands: everything a resumed run needs. Arrays as Keras orders them."""

    epoch: int = 0
    rate: float = 0.0
    best: float = float("inf")
    best_epoch: int = 0
    last_drop: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    weights: list[Floats] = field(default_factory=list)
    best_weights: list[Floats] = field(default_factory=list)
    optimizer: list[Floats] = field(default_factory=list)


def sparsity_at(epoch: int, training: TrainingCard) -> float:
    """Share of zero weights asked for in an epoch of a stage (from 1): a cubic ramp (Zhu, Gupta, arXiv 1710.01878)."""
    done = min(epoch / training.pruned_at, 1.0)
    return training.sparsity * (1.0 - (1.0 - done) ** 3)


class Trainer:
    """One QKeras model, its loss, optimizer and pruning masks; runs epochs on arrays held in memory.

    quantised: False trains the same layers in float32, without grids.
    """

    def __init__(self, card: Card, train: Arrays, validation: Arrays, quantised: bool = True) -> None:
        import tensorflow as tf
        import tf_keras

        from models import build  # imports TensorFlow
        from training.losses import LOSSES

        tf_keras.utils.set_random_seed(card.training.seed)
        tf.config.experimental.enable_op_determinism()
        self.card, self.settings, self.quantised = card, card.training, quantised
        self.model = build.build(card, quantised)
        self.loss = LOSSES[card.training.loss](card, self.model)
        self.kernels = [self.model.get_layer(layer.name).kernel for layer in card.layers]
        objects = spec.objects()
        # weights that may be other than zero: of connected inputs and, of a reconstruction, towards scored outputs
        self.live = [np.ones(kernel.shape, bool) for kernel in self.kernels]
        self.live[0] &= card.input_mask(objects)[:, None]
        if card.score.kind in MASKED:
            self.live[-1] &= card.scored_inputs(objects)
        self.masks = [tf.Variable(tf.ones_like(kernel), trainable=False) for kernel in self.kernels]
        self.optimizer = tf_keras.optimizers.Adam(self.settings.learning_rate, amsgrad=True)
        extra = self.loss.extra.trainable_variables if self.loss.extra else []
        self.optimizer.build([*self.model.trainable_variables, *extra])
        self.rows, self.batch = len(train[0]), min(self.settings.batch, len(train[0]))
        self._compile(tf, tuple(tf.constant(a) for a in train), tuple(tf.constant(a) for a in validation))

    def _compile(self, tf: Any, train: tuple[Any, ...], validation: tuple[Any, ...]) -> None:
        def trained(last: bool) -> list[Any]:
            layers = [self.model.get_layer(name) for name in self.loss.layers(last)]
            return [v for part in (*layers, self.loss.extra) if part for v in part.trainable_variables]

        @tf.function
        def run_epoch(order: Any, number: Any, last: bool) -> Any:  # order: int32 (steps, batch), rows of each batch
            total, variables = tf.constant(0.0), trained(last)
            for i in tf.range(tf.shape(order)[0]):
                rows = order[i]
                seed = tf.random.experimental.stateless_fold_in(tf.stack([self.settings.seed, number]), i)
                with tf.GradientTape() as tape:
                    loss = self.loss(tuple(tf.gather(a, rows) for a in train), seed, last)
                    penalty = tf.add_n([tf.reduce_sum(tf.abs(kernel)) for kernel in self.kernels])
                    objective = loss + self.settings.l1 * penalty
                gradients = tape.gradient(objective, variables)
                self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
                for kernel, mask in zip(self.kernels, self.masks, strict=True):
                    kernel.assign(kernel * mask)
                total += loss
            return total / tf.cast(tf.shape(order)[0], tf.float32)

        self.run_epoch = run_epoch
        self.validate = tf.function(lambda last: self.loss(validation, tf.constant([self.settings.seed, 0]), last))

    def of_stage(self, epoch: int) -> tuple[bool, int]:
        """Whether an epoch (from 1) lies in the last stage of the training, and its number within its stage."""
        last = epoch > self.loss.first_stage
        return last, epoch - self.loss.first_stage if last else epoch

    def prune(self, epoch: int) -> None:
        """Set the masks of an epoch: in each layer of its stage the smallest weights are held at zero."""
        last, number = self.of_stage(epoch)
        share, names = sparsity_at(number, self.settings), self.loss.layers(last)
        for layer, kernel, mask, live in zip(self.card.layers, self.kernels, self.masks, self.live, strict=True):
            if layer.name in names:
                size = np.abs(kernel.numpy())
                cut = np.quantile(size[live], share) if share > 0 else -1.0
                mask.assign(((size > cut) & live).astype(np.float32))

    def epoch(self, number: int) -> tuple[float, float]:
        """Run epoch `number` (from 1); returns training and validation loss. Depends on nothing but the state."""
        last, within = self.of_stage(number)
        if within == 1:
            self.optimizer.iterations.assign(0)  # a stage trains variables that the optimizer has not seen yet
        if within <= self.settings.pruned_at:
            self.prune(number)
        order = np.random.default_rng([self.settings.seed, number]).permutation(self.rows)
        steps = self.rows // self.batch
        batches = order[: steps * self.batch].reshape(steps, self.batch).astype(np.int32)
        loss = self.run_epoch(batches, np.int32(number), last)
        return float(loss), float(self.validate(last))

    def weights(self) -> list[Floats]:
        """All weights: of the model, and after them of the layers that only the training has."""
        return [*self.model.get_weights(), *(self.loss.extra.get_weights() if self.loss.extra else [])]

    def set_weights(self, weights: list[Floats]) -> None:
        """The inverse of `weights`."""
        own = len(self.model.get_weights())
        self.model.set_weights(weights[:own])
        if self.loss.extra:
            self.loss.extra.set_weights(weights[own:])

    def restore(self, state: State) -> None:
        """Continue from a state. Weights at zero are the pruned ones."""
        self.set_weights(state.weights)
        for variable, value in zip(self.optimizer.variables, state.optimizer, strict=True):
            variable.assign(value)
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            mask.assign((kernel.numpy() != 0).astype(np.float32))

    def finish(self, weights: list[Floats]) -> None:
        """Take the best weights; quantised ones are put on their grids, so that the saved floats are the integers that
        `freeze` reads."""
        self.set_weights(weights)
        for layer in self.card.layers if self.quantised else ():
            dense = self.model.get_layer(layer.name)
            dense.set_weights(
                [
                    fmt.dequantise(fmt.quantise(value))
                    for fmt, value in zip((layer.weight, layer.bias), dense.get_weights(), strict=True)
                ]
            )

    def nonzero(self) -> int:
        """How many kernel weights are not zero, on their grids if they have some."""
        kernels = [kernel.numpy() * mask.numpy() for kernel, mask in zip(self.kernels, self.masks, strict=True)]
        if self.quantised:
            kernels = [layer.weight.quantise(k) for layer, k in zip(self.card.layers, kernels, strict=True)]
        return sum(int(np.count_nonzero(kernel)) for kernel in kernels)

    @property
    def size(self) -> int:
        """How many kernel weights may be other than zero."""
        return sum(int(live.sum()) for live in self.live)


def fit(trainer: Trainer, state: State, checkpoint: Path | None = None, key: str = "") -> State:
    """Train until the epochs are used up or the validation loss stops improving; the best weights are kept.

    Epochs before pruning is complete are never the best: their network is larger than the one to build.
    """
    settings = trainer.settings
    if state.epoch:
        trainer.restore(state)
    else:
        state.rate = settings.learning_rate
    done = False
    with Progress(settings.epochs, "train", "epochs") as progress:
        progress.update(state.epoch)
        while state.epoch < settings.epochs and not done:
            number, start = state.epoch + 1, time.monotonic()
            trainer.optimizer.learning_rate.assign(state.rate)
            loss, validation = trainer.epoch(number)
            if not np.isfinite([loss, validation]).all():
                raise CheckError(f"training diverged in epoch {number}: loss {loss}; lower training.learning_rate")
            state.epoch = number
            state.history.append(
                {
                    "epoch": number,
                    "loss": round(loss, 6),
                    "validation_loss": round(validation, 6),
                    "learning_rate": round(state.rate, 8),
                    "nonzero_weights": round(trainer.nonzero() / trainer.size, 4),
                    "seconds": round(time.monotonic() - start, 2),
                }
            )
            last, within = trainer.of_stage(number)
            pruned = last and within >= min(settings.pruned_at, settings.epochs - trainer.loss.first_stage)
            if pruned and (validation < state.best or not state.best_weights):
                state.best, state.best_epoch = validation, number
                state.best_weights = trainer.weights()
            since = number - max(state.best_epoch, state.last_drop)
            if state.best_weights and since >= settings.patience:
                state.rate, state.last_drop = state.rate * settings.plateau_factor, number
                trainer.set_weights(state.best_weights)  # smaller steps start from the best point so far
            done = bool(state.best_weights) and number - state.best_epoch >= settings.stop_after
            state.weights = trainer.weights()
            state.optimizer = [variable.numpy() for variable in trainer.optimizer.variables]
            if checkpoint is not None:
                save_state(checkpoint, state, key)
            progress.update()
    return state


def save_state(path: Path, state: State, key: str) -> None:
    """Write a checkpoint, whole or not at all. `key`: hash of card and sample; a checkpoint serves only them."""
    scalars = {n: getattr(state, n) for n in ("epoch", "rate", "best", "best_epoch", "last_drop", "history")}
    if scalars["best"] == float("inf"):
        scalars["best"] = None
    groups = {"weights": state.weights, "best": state.best_weights, "optimizer": state.optimizer}
    arrays: dict[str, Any] = {f"{group}_{i}": a for group, values in groups.items() for i, a in enumerate(values)}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, scalars=json.dumps(scalars), key=key, **arrays)


def load_state(path: Path, key: str) -> State | None:
    """The state of a checkpoint, or None when there is none or it belongs to another card or sample."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return None
            scalars = json.loads(str(stored["scalars"]))
            groups = [
                [stored[f"{group}_{i}"] for i in range(sum(n.startswith(f"{group}_") for n in stored.files))]
                for group in ("weights", "best", "optimizer")
            ]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            path, "checkpoint", str(error), "a checkpoint of `ad40 train`; delete it to start again"
        ) from error
    scalars["best"] = float("inf") if scalars["best"] is None else scalars["best"]
    return State(**scalars, weights=groups[0], best_weights=groups[1], optimizer=groups[2])
