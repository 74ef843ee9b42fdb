"""Two classifiers of weighted events: boosted trees, and a small network. Both stop by a validation sample."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.autoencoder.networks import keras
from offline.jets.features import scale_of, scaled
from offline.jets.supervised import boosted
from offline.trees import of_boosted

KINDS = ("trees", "network")
EPOCHS, PATIENCE, BATCH, RATE = 60, 8, 512, 2e-3  # of the network
HIDDEN = (64, 64)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Classifier(Protocol):
    """x float64 (n, k) -> a number (n,) that rises with the odds of the first class."""

    def __call__(self, x: Floats) -> Floats: ...


def train(
    kind: str, x: Floats, y: Flags, weight: Floats, x_val: Floats, y_val: Flags, weight_val: Floats, seed: int
) -> Classifier:
    """Train on events x (n, k), classes y (n,), weights (n,); `_val`: those that decide when to stop.

    Raises `InputError` on another kind than `KINDS`.
    """
    if kind not in KINDS:
        raise InputError("classifier", "kind", repr(kind), "one of " + ", ".join(KINDS))
    if kind == "network":
        return _network(x, y, weight, x_val, y_val, weight_val, seed)
    found = boosted(200, 10, 0.1, 15, seed)
    found.fit(x, y, sample_weight=weight, X_val=x_val, y_val=y_val, sample_weight_val=weight_val)
    return of_boosted(found).sum


def _network(
    x: Floats, y: Flags, weight: Floats, x_val: Floats, y_val: Flags, weight_val: Floats, seed: int
) -> Classifier:
    import tensorflow as tf

    k, random = keras(), np.random.default_rng([seed, 5])
    seeds = iter(np.random.SeedSequence([seed, 6]).generate_state(8).tolist())
    scale = scale_of(x)
    layers, before = [], x.shape[1]
    for size in (*HIDDEN, 1):
        layer = k.layers.Dense(size, kernel_initializer=k.initializers.GlorotUniform(next(seeds)))
        layer.build((None, before))
        layers.append(layer)
        before = size
    variables = [v for layer in layers for v in layer.trainable_variables]
    optimizer = k.optimizers.Adam(RATE)
    optimizer.build(variables)
    spec = [tf.TensorSpec([None, x.shape[1]], tf.float32), tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([None], tf.float32)]  # fmt: skip

    def logit(x: Any) -> Any:
        for layer in layers[:-1]:
            x = tf.nn.leaky_relu(layer(x), 0.1)
        return layers[-1](x)[:, 0]

    def loss(x: Any, y: Any, w: Any) -> Any:
        return tf.reduce_sum(w * tf.nn.sigmoid_cross_entropy_with_logits(y, logit(x))) / tf.reduce_sum(w)

    @tf.function(input_signature=spec)
    def step(x: Any, y: Any, w: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(x, y, w)
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    measure, answer = tf.function(loss, input_signature=spec), tf.function(logit, input_signature=spec[:1])
    a, b, c = scaled(x, scale), y.astype(np.float32), weight.astype(np.float32)
    held = scaled(x_val, scale), y_val.astype(np.float32), weight_val.astype(np.float32)
    best, kept, since = np.inf, [v.numpy().copy() for v in variables], 0
    for _ in range(EPOCHS):
        order = random.permutation(len(a))
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            step(a[rows], b[rows], c[rows])
        value = float(measure(*held))
        since += 1
        if value < best:
            best, kept, since = value, [v.numpy().copy() for v in variables], 0
        if since >= PATIENCE:
            break
    for v, array in zip(variables, kept, strict=True):
        v.assign(array)
    return lambda x: np.asarray(answer(scaled(x, scale)), np.float64)
