"""`ad40 train`: model card + sample -> QKeras weights, frozen integers, menu and golden vectors.

The training sees what the hardware sees: integer object codes through the model's own input stage. The loss
covers the features that enter the score and counts present objects only (Nature Mach. Intell. 4, 154 (2022),
arXiv 2108.03986, which limits the outputs to the physical range with eta_max * tanh; here the saturating
output quantiser plays that role). Every epoch is checkpointed; the same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, spec
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError
from ad40.files import atomic_path, sha256_of, writable_folder, write_json, write_yaml
from ad40.objects import present
from ad40.progress import Progress
from ad40.score import MASKED
from models.card import FEATURES, RECONSTRUCTION, Card, TrainingCard, read_card
from training import freeze
from training.datasets import TRAIN, VALIDATION, load_background

HELP = "train a model card on the sample and freeze it"
EPILOG = "example: ad40 train models/ad40_v1/model.yaml --output build/run/model --epochs 20"
CHECKPOINT = "checkpoint.npz"

Floats = NDArray[np.float32]


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


def network_inputs(card: Card, codes: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Inputs float32 (n, n_inputs) and loss weights float32 (n, 57) of events.

    codes: (n, 19, 3). Inputs are the values of the model's own input stage (one definition, `ad40.emulator`).
    A loss weight is 1 for a scored feature of a present object, `absent_weight` for one of an absent object
    and 0 for a feature that is not scored.
    """
    objects = spec.objects()
    widths = [card.n_inputs, *(layer.units for layer in card.layers)]
    blank = {
        layer.name: (np.zeros((n_in, layer.units)), np.zeros(layer.units))
        for n_in, layer in zip(widths, card.layers, strict=False)
    }
    x = Emulator(freeze.integer_network(card, blank)).inputs(codes)  # the input stage needs no weights
    here = np.repeat(present(codes), len(FEATURES), axis=1)
    weight = np.where(here, 1.0, card.training.absent_weight) * card.scored_inputs(objects)
    return card.input_format.dequantise(x).astype(np.float32), weight.astype(np.float32)


def sparsity_at(epoch: int, training: TrainingCard) -> float:
    """Share of zero weights asked for in an epoch (from 1): a cubic ramp (Zhu, Gupta, arXiv 1710.01878)."""
    done = min(epoch / training.pruned_at, 1.0)
    return training.sparsity * (1.0 - (1.0 - done) ** 3)


class Trainer:
    """One QKeras model, its optimizer and its pruning masks; runs epochs on arrays held in memory."""

    def __init__(self, card: Card, train: tuple[Floats, Floats], validation: tuple[Floats, Floats]) -> None:
        import tensorflow as tf
        import tf_keras

        from models import build  # imports TensorFlow

        tf_keras.utils.set_random_seed(card.training.seed)
        tf.config.experimental.enable_op_determinism()
        self.card, self.settings = card, card.training
        self.model = build.build(card)
        self.kernels = [self.model.get_layer(layer.name).kernel for layer in card.layers]
        objects = spec.objects()
        # weights that may be other than zero: of connected inputs and, of a reconstruction, towards scored outputs
        self.live = [np.ones(kernel.shape, bool) for kernel in self.kernels]
        self.live[0] &= card.input_mask(objects)[:, None]
        if card.training.loss in RECONSTRUCTION:
            self.live[-1] &= card.scored_inputs(objects)
        self.masks = [tf.Variable(tf.ones_like(kernel), trainable=False) for kernel in self.kernels]
        self.optimizer = tf_keras.optimizers.Adam(self.settings.learning_rate, amsgrad=True)
        self.optimizer.build(self.model.trainable_variables)
        self.rows, self.batch = len(train[0]), min(self.settings.batch, len(train[0]))
        self._compile(tf, *(tf.constant(a) for a in train), *(tf.constant(a) for a in validation))

    def _compile(self, tf: Any, x: Any, w: Any, x_validation: Any, w_validation: Any) -> None:
        from models.build import as_list
        from training.losses import LOSSES

        def loss_of(inputs: Any, weights: Any) -> Any:
            return LOSSES[self.settings.loss](inputs, as_list(self.model(inputs, training=True)), weights)

        @tf.function
        def run_epoch(order: Any) -> Any:  # order: int32 (steps, batch), rows of each batch
            total = tf.constant(0.0)
            for i in tf.range(tf.shape(order)[0]):
                rows = order[i]
                with tf.GradientTape() as tape:
                    loss = loss_of(tf.gather(x, rows), tf.gather(w, rows))
                    penalty = tf.add_n([tf.reduce_sum(tf.abs(kernel)) for kernel in self.kernels])
                    objective = loss + self.settings.l1 * penalty
                gradients = tape.gradient(objective, self.model.trainable_variables)
                self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
                for kernel, mask in zip(self.kernels, self.masks, strict=True):
                    kernel.assign(kernel * mask)
                total += loss
            return total / tf.cast(tf.shape(order)[0], tf.float32)

        self.run_epoch = run_epoch
        self.validate = tf.function(lambda: loss_of(x_validation, w_validation))

    def prune(self, epoch: int) -> None:
        """Set the masks of an epoch: in each layer the smallest weights are held at zero."""
        share = sparsity_at(epoch, self.settings)
        for kernel, mask, live in zip(self.kernels, self.masks, self.live, strict=True):
            size = np.abs(kernel.numpy())
            cut = np.quantile(size[live], share) if share > 0 else -1.0
            mask.assign(((size > cut) & live).astype(np.float32))

    def epoch(self, number: int) -> tuple[float, float]:
        """Run epoch `number` (from 1); returns training and validation loss. Depends on nothing but the state."""
        if number <= self.settings.pruned_at:
            self.prune(number)
        order = np.random.default_rng([self.settings.seed, number]).permutation(self.rows)
        steps = self.rows // self.batch
        loss = self.run_epoch(order[: steps * self.batch].reshape(steps, self.batch).astype(np.int32))
        return float(loss), float(self.validate())

    def restore(self, state: State) -> None:
        """Continue from a state. Weights at zero are the pruned ones."""
        self.model.set_weights(state.weights)
        for variable, value in zip(self.optimizer.variables, state.optimizer, strict=True):
            variable.assign(value)
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            mask.assign((kernel.numpy() != 0).astype(np.float32))

    def snap(self, weights: list[Floats]) -> None:
        """Put weights on their grids, so that the saved floats are the integers that `freeze` reads."""
        self.model.set_weights(weights)
        for layer in self.card.layers:
            dense = self.model.get_layer(layer.name)
            dense.set_weights(
                [
                    fmt.dequantise(fmt.quantise(value))
                    for fmt, value in zip((layer.weight, layer.bias), dense.get_weights(), strict=True)
                ]
            )

    def nonzero(self) -> int:
        """How many kernel weights are not zero on their grids."""
        return sum(
            int(np.count_nonzero(layer.weight.quantise(kernel.numpy() * mask.numpy())))
            for layer, kernel, mask in zip(self.card.layers, self.kernels, self.masks, strict=True)
        )

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
            pruned = number >= min(settings.pruned_at, settings.epochs)
            if pruned and (validation < state.best or not state.best_weights):
                state.best, state.best_epoch = validation, number
                state.best_weights = trainer.model.get_weights()
            since = number - max(state.best_epoch, state.last_drop)
            if state.best_weights and since >= settings.patience:
                state.rate, state.last_drop = state.rate * settings.plateau_factor, number
                trainer.model.set_weights(state.best_weights)  # smaller steps start from the best point so far
            done = bool(state.best_weights) and number - state.best_epoch >= settings.stop_after
            state.weights = trainer.model.get_weights()
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 train`."""
    parser.add_argument("card", type=Path, help="model card (YAML)")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL_DIR", help="model folder to write")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--epochs", type=int, help="train at most so many epochs instead of the card's number")
    parser.add_argument("--events", type=int, help="read only the first so many background events")
    parser.add_argument("--seed", type=int, help="another seed than the card's")


def _with_overrides(card: Card, args: argparse.Namespace) -> Card:
    """The card with the options of the command line; they are recorded in the card that is written."""
    changes = {n: v for n, v in (("epochs", args.epochs), ("seed", args.seed)) if v is not None}
    for name, low in (("epochs", 1), ("seed", 0)):
        if name in changes and changes[name] < low:
            raise InputError("command line", f"--{name}", changes[name], f"an integer of at least {low}")
    if args.events is not None and args.events < 100:
        raise InputError("command line", "--events", args.events, "an integer of at least 100")
    document = {**card.document, "training": {**card.document["training"], **changes}}
    return replace(card, training=replace(card.training, **changes), document=document)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, freeze and write the model folder; returns the summary of `--json`."""
    start = time.monotonic()
    card = _with_overrides(read_card(args.card), args)
    if card.training.loss in RECONSTRUCTION and card.score.kind not in MASKED:
        expected = f"a loss for the score {card.score.kind}: {card.training.loss} trains 57 outputs to be the inputs"
        raise InputError(args.card, "training.loss", card.training.loss, expected)
    sample = load_background(args.sample, args.events)
    from models.build import CARD_FILE, WEIGHTS_FILE
    from training import plots  # TensorFlow and matplotlib only after the inputs are known to be good

    writable_folder(args.output)
    parts = {name: sample.rows(name) for name in (TRAIN, VALIDATION)}
    trainer = Trainer(
        card,
        network_inputs(card, sample.codes[parts[TRAIN]]),
        network_inputs(card, sample.codes[parts[VALIDATION]]),
    )
    key = sha256_of([card.document, sample.fingerprint, spec.objects().hash])
    checkpoint = args.output / CHECKPOINT
    state = load_state(checkpoint, key)
    if state is not None:
        print(f"continuing after epoch {state.epoch} of {checkpoint}")
    state = fit(trainer, state or State(), checkpoint, key)
    trainer.snap(state.best_weights)
    with atomic_path(args.output / WEIGHTS_FILE) as temporary:
        trainer.model.save_weights(str(temporary), save_format="h5")
    write_yaml(args.output / CARD_FILE, card.document)
    summary: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "events": {name: len(rows) for name, rows in parts.items()},
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "best_validation_loss": state.best,
        "weights": trainer.size,
        "nonzero_weights": trainer.nonzero(),
        "sample": {"file": args.sample.name + "/" + sample.file.name, "fingerprint": sample.fingerprint},
    }
    write_json(args.output / "history.json", {**summary, "training": vars(card.training), "history": state.history})
    summary.update(freeze.freeze(args.output, trainer.model, card, sample))
    summary["plots"] = [plots.training_curve(state.history, args.output / "plots" / "training.png")]
    checkpoint.unlink(missing_ok=True)
    summary["seconds"] = round(time.monotonic() - start, 1)
    print(
        f"{card.name} {card.version}: best epoch {state.best_epoch} of {state.epoch}, "
        f"validation loss {state.best:.4f}, "
        f"{summary['nonzero_weights']} of {summary['weights']} weights not zero, "
        f"network {summary['network_hash'][:12]}"
    )
    return summary
