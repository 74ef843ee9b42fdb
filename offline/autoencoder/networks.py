"""The networks: from the cells of a rapidity-mass matrix that a network may see back to the same cells.

Keras 3 with TensorFlow. Keras is imported when the first network is built, so that the names are known without it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError, MissingTool
from ad40.startup import without_startup_lines
from offline.rmm.layout import Layout

SLOPE = 0.3
"""Of LeakyReLU below zero: the default of Keras."""

FLOOR = 1e-30
"""Smallest mean squared error that a logarithm is taken of."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Dense:
    """Fully connected layers with LeakyReLU; the last one, back to the inputs, is linear.

    hidden: neurons of each. epsilon: of Adam, see `EPSILON`.
    """

    hidden: tuple[int, ...]
    epsilon: float = 1e-7


@dataclass(frozen=True)
class Convolutional:
    """Convolutions of the whole matrix as an image, its blinded cells zero, 3 x 3 with stride 2 and LeakyReLU; a dense
    latent layer; transposed convolutions back.

    filters: of each convolution. latent: neurons in the middle. epsilon: of Adam, see `EPSILON`.
    """

    filters: tuple[int, ...]
    latent: int
    epsilon: float = 1e-7


EPSILON = 1e-9
"""Of Adam, for our networks. The mean squared error of 1,287 cells, most of them zero, is 1e-5 and less, with gradients
of 1e-8: the default of Keras, 1e-7, damps every step. The published deep networks need that damping at a learning rate
of 1e-3; shallow ones end lower and sooner without it."""

NETWORKS: dict[str, Dense | Convolutional] = {
    "wide": Dense((800, 400, 200, 400, 800)),
    "run23": Dense((800, 400, 100, 400, 800)),
    "small": Dense((200, 100, 200), EPSILON),
    "convolutional": Convolutional((16, 32), 100, EPSILON),
}
"""wide: PRL 132 (2024) 081801; run23: the search on the data of Run 2 and 3. The others are ours."""


def network(name: str) -> Dense | Convolutional:
    """The network of a name. Raises `InputError` when there is none."""
    if name not in NETWORKS:
        raise InputError("network", "name", repr(name), "one of " + ", ".join(NETWORKS))
    return NETWORKS[name]


@functools.cache
def keras() -> Any:
    """The module `keras`, set up: TensorFlow backend, results that a second run repeats.

    oneDNN reorders sums, so that results would depend on the machine; it is off unless TF_ENABLE_ONEDNN_OPTS says
    otherwise. Operations run in one thread each (sums of several threads may differ in the last digit); parallel work
    is over networks or over blocks of events.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        with without_startup_lines():
            import keras as module
            import tensorflow as tf

            with suppress(RuntimeError):  # TensorFlow is at work in this process already: it keeps its threads
                tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.experimental.enable_op_determinism()
            tf.config.list_logical_devices()  # initialises the runtime, which is what looks for GPUs
    except ImportError as error:
        raise MissingTool(f"the package '{error.name}'", "`pip install 'ad40[offline]'`") from error
    if module.backend.backend() != "tensorflow":
        raise MissingTool("the TensorFlow backend of Keras", f"KERAS_BACKEND is {module.backend.backend()}; unset it")
    return module


def build(name: str, layout: Layout, seed: int = 0) -> Any:
    """A `keras.Model` of a network: cells (batch, inputs) -> the same, for a matrix of this layout.

    The weights follow from the seed alone, whatever else the process has drawn.
    """
    k = keras()
    spec = network(name)
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())
    inputs = k.Input((len(layout.inputs),), name="cells")

    def start() -> Any:
        return k.initializers.GlorotUniform(seed=next(seeds))

    if isinstance(spec, Dense):
        x = inputs
        for i, units in enumerate(spec.hidden):
            x = k.layers.Dense(units, kernel_initializer=start(), name=f"dense{i}")(x)
            x = k.layers.LeakyReLU(SLOPE, name=f"leaky{i}")(x)
        outputs = k.layers.Dense(len(layout.inputs), kernel_initializer=start(), name="reconstruction")(x)
    else:
        outputs = _convolutional(k, spec, layout, inputs, start)
    return k.Model(inputs, outputs, name=name)


def _convolutional(k: Any, spec: Convolutional, layout: Layout, inputs: Any, start: Any) -> Any:
    width, steps = layout.width, 2 ** len(spec.filters)
    side = -(-width // steps) * steps  # the image is padded to a multiple of the strides
    cells = layout.inputs // width * side + layout.inputs % width  # of each input in the padded image
    place = np.full(side * side, len(cells))  # a column of zeros stands for what is no input
    place[cells] = np.arange(len(cells))
    x = k.ops.take(k.ops.pad(inputs, [[0, 0], [0, 1]]), place, axis=1)
    x = k.layers.Reshape((side, side, 1), name="image")(x)
    for i, filters in enumerate(spec.filters):
        x = k.layers.Conv2D(filters, 3, 2, padding="same", kernel_initializer=start(), name=f"down{i}")(x)
        x = k.layers.LeakyReLU(SLOPE)(x)
    shape = x.shape[1:]
    x = k.layers.Dense(spec.latent, kernel_initializer=start(), name="latent")(k.layers.Flatten()(x))
    x = k.layers.LeakyReLU(SLOPE)(x)
    x = k.layers.Dense(int(np.prod(shape)), kernel_initializer=start(), name="expand")(x)
    x = k.layers.Reshape(shape)(k.layers.LeakyReLU(SLOPE)(x))
    for i, filters in enumerate((*spec.filters[-2::-1], 1)):
        x = k.layers.Conv2DTranspose(filters, 3, 2, padding="same", kernel_initializer=start(), name=f"up{i}")(x)
        if filters > 1:
            x = k.layers.LeakyReLU(SLOPE)(x)
    return k.ops.take(k.layers.Reshape((side * side,))(x), cells, axis=1)


def describe(name: str, model: Any) -> dict[str, Any]:
    """The network in the document of a training."""
    spec = network(name)
    kind = {"kind": type(spec).__name__.lower()} | {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()
    }
    return {"name": name, **kind, "activation": f"LeakyReLU({SLOPE})", "parameters": int(model.count_params())}


class Scorer:
    """ln of the mean squared error of the reconstruction of events, by a network."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        def loss(x: Any) -> Any:
            return tf.reduce_mean(tf.square(model(x, training=False) - x), axis=1)

        signature = [tf.TensorSpec([None, model.input_shape[1]], tf.float32)]
        self._loss = tf.function(loss, input_signature=signature)  # one trace for blocks of any size

    def loss(self, cells: Floats) -> Floats:
        """Mean squared error (m,) of events, cells float32 (m, inputs)."""
        return np.asarray(self._loss(cells))

    def score(self, cells: Floats) -> Floats:
        """ln(loss) (m,): the score, larger = more anomalous."""
        return np.log(np.maximum(self.loss(cells), np.float32(FLOOR)))


def training_step(model: Any, learning_rate: float) -> Callable[[Floats], float]:
    """A function that takes a step of Adam towards the lowest mean squared error of a batch, cells float32
    (batch, inputs), and returns that error before the step. A third faster than `train_on_batch` of a small model."""
    import tensorflow as tf

    optimizer = keras().optimizers.Adam(learning_rate, epsilon=network(model.name).epsilon)
    optimizer.build(model.trainable_variables)

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - x))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    compiled = tf.function(step, input_signature=[tf.TensorSpec([None, model.input_shape[1]], tf.float32)])
    return lambda x: float(compiled(x))


def weights_hash(model: Any) -> str:
    """SHA-256 of shapes and values of all weights, in their order. 64 hex digits."""
    digest = sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode() + np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def save_weights(path: Path, model: Any) -> str:
    """Write the weights as datasets "0", "1", ... float32 in the order of Keras. Returns their hash."""
    digest = weights_hash(model)
    with hdf5.create(path) as file:
        file.attrs["sha256"] = digest
        for i, weight in enumerate(model.get_weights()):
            file.create_dataset(str(i), data=np.asarray(weight, np.float32))
    return digest


def load_weights(path: Path, model: Any, expected: str | None = None) -> None:
    """Read weights into a model of the same shape. `InputError` when they do not fit, `HashMismatch` when they are not
    those with the hash `expected`, or were changed."""
    shapes = [weight.shape for weight in model.get_weights()]
    with hdf5.open_file(path) as file:
        if "sha256" not in file.attrs or [file[str(i)].shape for i in range(len(file))] != shapes:
            raise InputError(path, "weights", "of other shapes, or none", f"{len(shapes)} arrays of this network")
        model.set_weights([file[str(i)][:] for i in range(len(file))])
        wanted = expected or str(file.attrs["sha256"])
    if weights_hash(model) != wanted:
        raise HashMismatch(path, "weights", weights_hash(model)[:12], f"{wanted[:12]}: the file is another or damaged")
