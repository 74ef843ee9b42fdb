"""Model card -> QKeras model. The only module of this room that imports TensorFlow.

QKeras is built on Keras 2, which TensorFlow delivers as `tf_keras` when TF_USE_LEGACY_KERAS=1 stands in the
environment before TensorFlow is imported; this module sees to that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ad40.errors import InputError, MissingTool
from ad40.fixed import Fixed
from ad40.startup import without_startup_lines
from models.card import Card, read_card

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN reorders sums: results would depend on the machine
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # a network this small is faster on the CPU


try:
    with without_startup_lines():
        import qkeras
        import tensorflow as tf
        import tf_keras

        tf.config.list_logical_devices()  # initialises the runtime, which is what looks for GPUs
except ImportError as error:
    raise MissingTool(f"the package '{error.name}'", "`pip install 'ad40[train]'`") from error

if tf.keras.Model is not tf_keras.Model:
    raise MissingTool(
        "Keras 2 inside TensorFlow (something imported TensorFlow without TF_USE_LEGACY_KERAS=1)",
        "import models.build first or set TF_USE_LEGACY_KERAS=1 in the environment",
    )

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS_FILE, FLOAT_FILE, CARD_FILE = "weights.h5", "float_weights.h5", "model.yaml"


def _bits(fmt: Fixed) -> Any:
    """QKeras quantiser of a format: alpha=1 switches its scale factor off, so that codes stay codes."""
    return qkeras.quantized_bits(fmt.width, fmt.integer, keep_negative=int(fmt.signed), alpha=1)


def build(card: Card, quantised: bool = True) -> Any:
    """A `tf_keras.Model` from inputs float32 (batch, n_inputs) to outputs float32 (batch, units), in units of one:
    those of the last layer, and of a distance a list with those of the earlier layer second.

    Each layer of the card is a QDense `name` followed by a QActivation `name_out`, the pair that
    `ad40.emulator` repeats in integers; between them stands the LeakyReLU `name_leaky` if there is one.
    quantised: False gives the same layers in float32 without any grid or limit, for what quantisation costs.
    """
    x = inputs = tf_keras.layers.Input((card.n_inputs,), name="inputs")
    found = {}
    for i, layer in enumerate(card.layers):
        initial = tf_keras.initializers.GlorotUniform(seed=card.training.seed + i)
        if quantised:
            grids = {"kernel_quantizer": _bits(layer.weight), "bias_quantizer": _bits(layer.bias)}
            x = qkeras.QDense(layer.units, kernel_initializer=initial, name=layer.name, **grids)(x)
        else:
            x = tf_keras.layers.Dense(layer.units, kernel_initializer=initial, name=layer.name)(x)
        out = layer.output
        if layer.activation == "leaky_relu":
            x = tf_keras.layers.LeakyReLU(2.0**-layer.slope_shift, name=f"{layer.name}_leaky")(x)
        if quantised:
            quantiser = qkeras.quantized_relu(out.width, out.integer) if layer.activation == "relu" else _bits(out)
            x = qkeras.QActivation(quantiser, name=f"{layer.name}_out")(x)
        elif layer.activation == "relu":
            x = tf_keras.layers.ReLU(name=f"{layer.name}_out")(x)
        found[layer.name] = x
    outputs = [found[layer.name] for layer in card.observed]
    return tf_keras.Model(inputs, outputs if len(outputs) > 1 else x, name=card.name.replace("-", "_"))


def load(model_dir: str | Path, quantised: bool = True) -> Any:
    """The QKeras model of a model folder (model.yaml and weights.h5), or of a folder of `ad40 train --float` the one in
    float32 (float_weights.h5)."""
    folder = Path(model_dir)
    model = build(read_card(folder / CARD_FILE), quantised)
    weights = folder / (WEIGHTS_FILE if quantised else FLOAT_FILE)
    try:
        model.load_weights(str(weights))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(weights, "weights", str(error).splitlines()[0], "the weights of this model card") from error
    return model


def predict_codes(model: Any, card: Card, inputs: NDArray[np.int64], batch: int = 65536) -> NDArray[np.int64]:
    """Outputs of the QKeras model as codes of their layers' formats, int64 (n, outputs): of the last layer, and after
    them of the earlier layer of a distance.

    inputs: codes (n, n_inputs) of the input format. A code is the nearest one to the float32 output; how far off
    the grid that output may be is the float32 rounding that the verification ladder counts.
    """
    blocks = [np.zeros((0, sum(layer.units for layer in card.observed)), np.int64)]
    for i in range(0, len(inputs), batch):
        values = as_list(model(card.input_format.dequantise(inputs[i : i + batch]).astype(np.float32), training=False))
        codes = [layer.output.quantise(y.numpy()) for layer, y in zip(card.observed, values, strict=True)]
        blocks.append(np.concatenate(codes, axis=1))
    return np.concatenate(blocks)


def as_list(outputs: Any) -> list[Any]:
    """What a model of one or several outputs gives, as a list."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
