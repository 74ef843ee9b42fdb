"""A small autoencoder as an ONNX file, and the same in numpy: for tests of what runs such files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (57, 16, 4, 16, 57)


def weights(seed: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight, bias) of each layer, float32."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, a**-0.5, (a, b)).astype(np.float32), rng.normal(0, 0.1, b).astype(np.float32))
        for a, b in pairwise(SIZES)
    ]


def reference(inputs: np.ndarray, seed: int = 3) -> np.ndarray:
    """Scores in float64: the mean squared error of the reconstruction."""
    x = inputs.astype(np.float64)
    layers = weights(seed)
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if i < len(layers) - 1:
            x = np.maximum(x, 0)
    return ((x - inputs) ** 2).mean(axis=1)


def write_onnx(
    path: Path,
    about: dict[str, Any] | None = None,
    shape: Sequence[Any] = ("n", 57),
    outputs: int = 1,
    bad: bool = False,
    seed: int = 3,
) -> Path:
    """Write it. about: metadata; shape: of the input; outputs: how many; bad: scores are NaN."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes, initial, x = [], [], "inputs"
    layers = weights(seed)
    for i, (weight, bias) in enumerate(layers):
        if shape[-1] != 57:
            weight = weight[: shape[-1]] if i == 0 else weight
        initial += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"g{i}"]))
        x = f"g{i}"
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [x], [f"r{i}"]))
            x = f"r{i}"
    initial.append(numpy_helper.from_array(np.array([1]), "axes"))
    against = "inputs" if shape[-1] == 57 else x
    nodes += [helper.make_node("Sub", [against, x], ["off"]), helper.make_node("Mul", ["off", "off"], ["square"])]
    if bad:
        nodes += [helper.make_node("Div", ["off", "off"], ["one"]), helper.make_node("Sub", ["one", "one"], ["zero"]),
                  helper.make_node("Div", ["zero", "zero"], ["nan"])]  # fmt: skip
    nodes.append(helper.make_node("ReduceMean", ["nan" if bad else "square", "axes"], ["score"], keepdims=0))
    found = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])]
    if outputs == 2:
        found.append(helper.make_tensor_value_info("square", TensorProto.FLOAT, ["n", 57]))
    graph = helper.make_graph(
        nodes, "score", [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, list(shape))], found, initial
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if about is not None:
        helper.set_model_props(model, {"ad40": json.dumps(about)})
    checker.check_model(model)
    save(model, path)
    return path
