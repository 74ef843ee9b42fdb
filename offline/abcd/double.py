"""The double autoencoder: two reconstructions of the 57 inputs whose errors know nothing of each other.

Decorrelated autoencoders of Mikuni, Nachman, Shih, PRD 105 (2022) 055006 (arXiv 2111.06417): two autoencoders are
trained at once on background-dominated events, with the loss

    mean MSE1 + mean MSE2 + alpha dCorr^2(MSE1, MSE2)

so that events with a large error in both are estimated from those with a large error in one (`offline.abcd.regions`).
dCorr is the distance correlation (Szekely, Rizzo, Bakirov, Ann. Statist. 35 (2007) 2769; as a loss: Kasieczka, Shih,
PRL 125 (2020) 122001), with event weights. It is small where the bulk of the events is independent and sees little of
the corner of both tails, the one that counts here. A second term asks for that: with s_f(x) a smooth step at the
background efficiency f of a score,

    closure x mean over (f, g) of (<s_f s_g> - <s_f><s_g>)^2 / (<s_f><s_g>)^1.5

over the efficiencies `EFFICIENCIES` of both scores, which is what ABCD asks for and nothing else (the term for the
closure itself of ABCDisCoTEC, arXiv 2506.08826, in another form). With `closure=0` the training is the published one.

A map made of events that were not trained on takes out what is left (`offline.abcd.flat`).

Scores are ln MSE. Both terms depend on the order of the errors, or nearly: dCorr is taken of ln MSE as well, since the
few largest errors would otherwise be all that it sees of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5
from ad40.errors import Ad40Error, HashMismatch, InputError
from ad40.files import read_yaml, sha256_of, writable_folder, write_yaml
from ad40.objects import N_INPUTS
from ad40.progress import Progress
from ad40.schema import Node
from offline.abcd.flat import Flat, flat
from offline.autoencoder.networks import keras
from offline.model import plain

VERSION = 1
KIND = "double autoencoder"
DOCUMENT, WEIGHTS = "double.yaml", "weights.h5"
EFFICIENCIES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Of the steps whose joint efficiency is asked to be the product of both."""

CORRELATED = 1024
"""Events of a batch, at most, whose distance correlation is taken: its cost is their square."""

LEAST_SCALE = 0.05
"""Of an input, which are of order one: those of a slot that is nearly always empty would count for too much."""

POWER = 1.5
"""Of the product in the closure term: with 2 it is the relative deviation that counts, with 1 its significance."""

STEP = 0.05  # width of a smooth step, over the standard deviation of the score
FLOOR = 1e-12  # of an error whose logarithm is taken
SCORED = 16_384  # events in the networks at a time
SLOPE = 0.1  # of LeakyReLU below zero

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DoubleSettings:
    """How to build and train it. hidden: units of the encoder, mirrored in the decoder. angles: weight of the squared
    error of eta and phi, of which little can be known, over that of pt. Published: hidden 256-128-64-32-5, alpha 10,
    batches of 10,000, learning rate 1e-4, closure 0, angles 1, flat 0. flat: bins of `offline.abcd.flat`, or 0."""

    hidden: tuple[int, ...] = (128, 64, 32, 10)
    alpha: float = 10.0
    closure: float = 2_000.0
    angles: float = 0.1
    batch: int = 8192
    learning_rate: float = 2e-3
    epochs: int = 25
    patience: int = 8
    flat: int = 30
    seed: int = 40

    def __post_init__(self) -> None:
        least = {"alpha": 0, "closure": 0, "angles": 0, "batch": 16, "epochs": 1, "patience": 1, "flat": 0, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e9:
                raise InputError("settings", name, value, f"a number of at least {low}")
        if not 0 < self.learning_rate <= 1:
            raise InputError("settings", "learning_rate", self.learning_rate, "above 0, at most 1")
        if not self.hidden or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in self.hidden):
            raise InputError("settings", "hidden", list(self.hidden), "units of each layer, at least one layer")


@dataclass(eq=False)
class DoubleAutoencoder:
    """Two autoencoders with one life. scale (57,): of the inputs, learnt. history: a row for each epoch; training: what
    it was trained on."""

    settings: DoubleSettings = field(default_factory=DoubleSettings)
    history: list[dict[str, float]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    nets: list[Any] = field(default_factory=list)
    scale: Floats = field(default_factory=lambda: np.ones(N_INPUTS, np.float32))
    flat: Flat | None = None
    fitted: bool = False
    _scorer: Callable[..., Any] | None = None

    def build(self) -> None:
        """The layers, with the initial weights of the seed."""
        k = keras()
        encoder = self.settings.hidden
        units = (*encoder, *reversed(encoder[:-1]), N_INPUTS)
        seeds = iter(np.random.SeedSequence([self.settings.seed, 2]).generate_state(2 * len(units)).tolist())
        self.nets = []
        for _ in range(2):
            layers: list[Any] = [k.Input((N_INPUTS,))]
            for i, n in enumerate(units):
                layers.append(k.layers.Dense(n, kernel_initializer=k.initializers.GlorotUniform(next(seeds))))
                if i < len(units) - 1:
                    layers.append(k.layers.LeakyReLU(negative_slope=SLOPE))
            self.nets.append(k.Sequential(layers))
        self._scorer = None

    def scores(self, x: Any) -> Any:
        """ln MSE of inputs (b, 57): (b, 2)."""
        import tensorflow as tf

        x = x / self.scale
        errors = [tf.linalg.matvec(tf.square(net(x) - x), self._weights()) for net in self.nets]
        return tf.math.log(tf.stack(errors, axis=1) + FLOOR)

    def _weights(self) -> Any:
        """Of the 57 squared errors, float32 (57,), of sum 1."""
        w = np.tile([1.0, self.settings.angles, self.settings.angles], N_INPUTS // 3)
        return (w / w.sum()).astype(np.float32)

    def losses(self, x: Any, weights: Any) -> tuple[Any, Any, Any]:
        """MSE1 + MSE2, dCorr^2 and the closure term of a batch (b, 57) with weights (b,) of mean 1."""
        import tensorflow as tf

        score = self.scores(x)
        error = tf.reduce_mean(weights[:, None] * tf.exp(score), axis=0)
        some = score[:CORRELATED]
        correlation = distance_correlation(some[:, 0], some[:, 1], weights[:CORRELATED])
        return tf.reduce_sum(error), correlation, joint_efficiencies(score, weights)

    def objective(self, parts: Sequence[Any]) -> Any:
        """What the training makes small."""
        return parts[0] + self.settings.alpha * parts[1] + self.settings.closure * parts[2]

    def fit(self, inputs: Floats, validation: Floats, weights: Floats | None = None,
            validation_weights: Floats | None = None) -> None:  # fmt: skip
        """Learn from inputs (n, 57), until those of the validation (m, 57) say to stop; weights (n,), (m,) or all 1.

        Raises `InputError` with fewer events than a batch and on weights that are negative or all zero.
        """
        import tensorflow as tf

        start, own = time.perf_counter(), self.settings
        size = min(own.batch, len(inputs))
        if min(len(inputs), len(validation)) < 16:
            raise InputError("double autoencoder", "events", min(len(inputs), len(validation)), "at least 16")
        w, v = (_normalised(given, len(x)) for given, x in ((weights, inputs), (validation_weights, validation)))
        keras().utils.set_random_seed(own.seed % 2**32)
        self.build()
        spread = np.sqrt(np.average(np.square(inputs - np.average(inputs, 0, w)), 0, w))
        self.scale = np.where(spread > 0, np.maximum(spread, LEAST_SCALE), 1.0).astype(np.float32)
        variables = [variable for net in self.nets for variable in net.trainable_variables]
        steps = max(len(inputs) // size, 1)
        rate = keras().optimizers.schedules.CosineDecay(own.learning_rate, own.epochs * steps, alpha=0.01)
        optimizer = keras().optimizers.Adam(rate)
        optimizer.build(variables)
        kinds = [tf.TensorSpec([None, N_INPUTS], tf.float32), tf.TensorSpec([None], tf.float32)]

        @tf.function(input_signature=kinds)
        def step(x: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = self.objective(self.losses(x, weight))
            gradients = tape.gradient(loss, variables)
            gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        parts = tf.function(self.losses, input_signature=kinds)
        best, best_epoch, kept = np.inf, 0, [net.get_weights() for net in self.nets]
        random = np.random.default_rng([own.seed, 3])
        self.history, self.fitted, self.flat = [], False, None
        with Progress(own.epochs * steps, "fit double autoencoder", "batches") as progress:
            while len(self.history) < own.epochs and len(self.history) - best_epoch < own.patience:
                total, order = 0.0, random.permutation(len(inputs))
                for i in range(steps):
                    rows = order[i * size : (i + 1) * size]
                    total += float(step(inputs[rows], w[rows]))
                    progress.update()
                found = np.mean([[float(p) for p in parts(validation[at], v[at])]
                                 for at in _batches(len(validation), size)], axis=0)  # fmt: skip
                loss = float(self.objective(found))
                row = {"training_loss": total / steps, "validation_loss": loss, "error": float(found[0]),
                       "distance_correlation_2": float(found[1]), "closure": float(found[2])}  # fmt: skip
                self.history.append(row)
                if loss < best:
                    best, best_epoch, kept = loss, len(self.history), [net.get_weights() for net in self.nets]
        if not np.isfinite(best):
            raise Ad40Error("the training of the double autoencoder has no finite loss; use a smaller learning rate")
        for net, numbers in zip(self.nets, kept, strict=True):
            net.set_weights(numbers)
        self.fitted = True
        self.training = {"events": len(inputs), "validation_events": len(validation), "best_epoch": best_epoch,
                         "seconds": round(time.perf_counter() - start, 1)}  # fmt: skip

    def flatten(self, inputs: Floats, weights: Floats | None = None) -> None:
        """Learn the map of `offline.abcd.flat` from inputs (n, 57) that the networks have not seen: what they have
        learnt by heart is more independent there than elsewhere. Raises `InputError` with too few events."""
        self.flat = None
        self.flat = flat(self.score(inputs), self.settings.flat, weights) if self.settings.flat else None
        self.training["flat_events"] = len(inputs)

    def score(self, inputs: Floats) -> Floats:
        """ln MSE of both of inputs (n, 57), of the second -log10 of its p-value among events of like first score where
        that was learnt: float32 (n, 2), larger is more anomalous. Raises `InputError` before a fit, and where a score
        is not finite."""
        import tensorflow as tf

        if not self.fitted:
            raise InputError("double autoencoder", "model", "not fitted", "fit or load before score")
        if self._scorer is None:
            self._scorer = tf.function(self.scores, input_signature=[tf.TensorSpec([None, N_INPUTS], tf.float32)])
        pieces = [self._scorer(inputs[at]).numpy() for at in _batches(len(inputs), SCORED, rest=True)]
        found: Floats = np.concatenate([np.zeros((0, 2), np.float32), *pieces])
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise InputError("double autoencoder", f"scores of event {row}", found[row].tolist(), "finite numbers")
        return found if self.flat is None else self.flat(found)

    def state(self) -> dict[str, Floats]:
        """All numbers learnt, by name."""
        found = {f"autoencoder{n + 1}.{i}": array for n, net in enumerate(self.nets)
                 for i, array in enumerate(net.get_weights())}  # fmt: skip
        curves = {} if self.flat is None else {"flat.centre": self.flat.centre, "flat.knots": self.flat.knots}
        return found | {"scale": self.scale} | curves

    @property
    def hash(self) -> str:
        """Of settings and numbers, 64 hex digits."""
        numbers = {name: array.tobytes().hex() for name, array in self.state().items()}
        return sha256_of([KIND, plain(asdict(self.settings)), numbers])


def distance_correlation(x: Any, y: Any, weights: Any) -> Any:
    """Squared distance correlation of tensors (b,) with weights (b,), a scalar from 0 to 1; its cost is b^2.

    0 only for independence. Of a weighted sample means over events become weighted means (arXiv 2001.05310, eq. 8).
    """
    import tensorflow as tf

    w = weights / tf.reduce_sum(weights)

    def centred(v: Any) -> Any:
        distance = tf.abs(v[:, None] - v[None, :])
        row = tf.linalg.matvec(distance, w)
        return distance - row[:, None] - row[None, :] + tf.reduce_sum(w * row)

    def mean(product: Any) -> Any:
        return tf.reduce_sum(w * tf.linalg.matvec(product, w))

    a, b = centred(x), centred(y)
    return mean(a * b) / (tf.sqrt(mean(a * a) * mean(b * b)) + FLOOR)


def joint_efficiencies(score: Any, weights: Any) -> Any:
    """How far joint efficiencies of both scores (b, 2) are from products, a scalar: see the module."""
    import tensorflow as tf

    w = weights / tf.reduce_sum(weights)
    places = [max(round(f * 1000), 1) for f in EFFICIENCIES]
    passed = []
    for column in range(2):
        s = score[:, column]
        n = tf.shape(s)[0]
        ordered = tf.sort(tf.stop_gradient(s), direction="DESCENDING")
        edges = tf.gather(ordered, [place * n // 1000 for place in places])
        width = STEP * tf.math.reduce_std(tf.stop_gradient(s)) + FLOOR
        passed.append(tf.sigmoid((s[:, None] - edges) / width))
    one, two = (tf.linalg.matvec(p, w, transpose_a=True) for p in passed)
    product = one[:, None] * two[None, :]
    both = tf.matmul(passed[0] * w[:, None], passed[1], transpose_a=True)
    return tf.reduce_mean(tf.square(both - product) / (product**POWER + FLOOR))


def save(model: DoubleAutoencoder, folder: str | Path, about: dict[str, Any] | None = None) -> dict[str, Any]:
    """Write the folder of a fitted model; returns its card. about: what else to say of its sample."""
    if not model.fitted:
        raise InputError(folder, "model", "not fitted", "a model that has learnt")
    folder = Path(folder)
    writable_folder(folder)
    card = {"version": VERSION, "kind": KIND, "hash": model.hash, "settings": plain(asdict(model.settings)),
            "training": model.training | (about or {}), "history": model.history,
            "software": {"ad40": __version__} | {name: version(name) for name in ("keras", "tensorflow", "numpy")},
            }  # fmt: skip
    with hdf5.create(folder / WEIGHTS) as file:
        for name, array in model.state().items():
            file.create_dataset(name, data=array)
    write_yaml(folder / DOCUMENT, card)
    return card


def load(folder: str | Path) -> DoubleAutoencoder:
    """The model of a folder. Raises `HashMismatch` when its numbers or settings are not those of its card."""
    folder = Path(folder)
    path = folder / DOCUMENT
    if not path.is_file():
        raise InputError(folder, DOCUMENT, "missing", "a folder written by `ad40 abcd train`")
    node = Node(read_yaml(path), path)
    node.keys({"version", "kind", "hash", "settings", "training", "history", "software"})
    node["version"].integer(VERSION, VERSION)
    node["kind"].choice((KIND,))
    node["settings"].keys(set(asdict(DoubleSettings())))
    settings = dict(node["settings"].value)
    model = DoubleAutoencoder(DoubleSettings(**settings | {"hidden": tuple(settings["hidden"])}))
    model.build()
    with hdf5.open_file(folder / WEIGHTS) as file:
        state = {name: np.asarray(file[name]) for name in file}
    try:
        for n, net in enumerate(model.nets):
            net.set_weights([state.pop(f"autoencoder{n + 1}.{i}") for i in range(len(net.get_weights()))])
        model.scale = state.pop("scale").reshape(N_INPUTS)
        if "flat.knots" in state:
            model.flat = Flat(state.pop("flat.centre"), state.pop("flat.knots"))
    except (KeyError, ValueError) as error:
        expected = "those of the settings in its card"
        raise InputError(folder / WEIGHTS, "weights", f"of other names or shapes ({error})", expected) from error
    model.history, model.training, model.fitted = node["history"].value, node["training"].value, True
    if state or model.hash != node["hash"].value:
        raise HashMismatch(folder / WEIGHTS, "hash", model.hash[:12], f"{node['hash'].value[:12]}, as the card says")
    return model


def _normalised(weights: Floats | None, n: int) -> Floats:
    """Weights of mean 1."""
    w = np.ones(n, np.float32) if weights is None else np.asarray(weights, np.float32)
    if w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise InputError("double autoencoder", "weights", f"of shape {w.shape}", f"{n} that are not negative")
    return (w / w.mean()).astype(np.float32)


def _batches(n: int, size: int, rest: bool = False) -> list[slice]:
    """Rows in pieces of `size`; a smaller last piece only with `rest`, or when there is no other."""
    stop = n if rest or n < size else n - n % size
    return [slice(at, min(at + size, n)) for at in range(0, stop, size)]
