"""A reference as an ONNX file: from standardised inputs to the score, for whoever runs it without this project.

One graph, written with the package `onnx` alone. Input `inputs`, float32 (n, 57) as `offline.inputs.standardised` gives
them; output `score`, float32 (n,), larger = more anomalous. The metadata entry `ad40` is a JSON document: kind, hash of
the model, hash of the object scales. `check` holds the file against the model's own `score`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, spec
from ad40.errors import InputError, MissingTool
from ad40.files import atomic_path
from ad40.objects import N_INPUTS
from offline.inputs import Inputs, standardised
from offline.references.model import InputsModel

INPUT, OUTPUT, METADATA = "inputs", "score", "ad40"
OPSET, IR_VERSION = 17, 8  # what runtimes of 2022 and later read
TOLERANCE = 1e-4  # of a score, or of 1 where it is smaller: sums in float32 are in another order


class Tensor:
    """A tensor of a graph, by its name; Python's arithmetic adds operations to the graph."""

    __array_ufunc__ = None  # numpy leaves `array * tensor` to us

    def __init__(self, graph: Onnx, name: str) -> None:
        self.graph, self.name = graph, name

    def __add__(self, other: Any) -> Tensor:
        return self.graph.add("Add", self, other)

    def __sub__(self, other: Any) -> Tensor:
        return self.graph.add("Sub", self, other)

    def __mul__(self, other: Any) -> Tensor:
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return self.graph.add("Div", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return self.graph.add("Sub", other, self)

    def __neg__(self) -> Tensor:
        return self.graph.add("Neg", self)


class Onnx:
    """`offline.references.ops.Ops` that writes down what is done."""

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingTool("the package 'onnx'", "`pip install 'ad40[offline]'`") from error
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: type[np.generic] = np.float32) -> Tensor:
        """A tensor of fixed numbers."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, kind), name))
        return Tensor(self, name)

    def add(self, kind: str, *inputs: Any, name: str = "", **attributes: Any) -> Tensor:
        """An operation of ONNX; numbers become constants."""
        found = [x if isinstance(x, Tensor) else self.constant(x) for x in inputs]
        name = name or f"t{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, [x.name for x in found], [name], **attributes))
        return Tensor(self, name)

    def dense(self, x: Tensor, layer: Any) -> Tensor:
        kernel, *bias = (w.numpy() for w in layer.weights)
        return self.add("Gemm", x, kernel, *bias)

    def relu(self, x: Tensor) -> Tensor:
        return self.add("Relu", x)

    def leaky(self, x: Tensor, slope: float) -> Tensor:
        return self.add("LeakyRelu", x, alpha=slope)

    def tanh(self, x: Tensor) -> Tensor:
        return self.add("Tanh", x)

    def exp(self, x: Tensor) -> Tensor:
        return self.add("Exp", x)

    def log(self, x: Tensor) -> Tensor:
        return self.add("Log", x)

    def sqrt(self, x: Tensor) -> Tensor:
        return self.add("Sqrt", x)

    def square(self, x: Tensor) -> Tensor:
        return self.add("Mul", x, x)

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        return self.add("Clip", x, low, high)

    def sum(self, x: Tensor) -> Tensor:
        return self.add("ReduceSum", x, self.constant([1], np.int64), keepdims=1)

    def mean(self, x: Tensor) -> Tensor:
        return self.add("ReduceMean", x, axes=[1], keepdims=1)

    def take(self, x: Tensor, columns: NDArray[np.integer]) -> Tensor:
        return self.add("Gather", x, self.constant(columns, np.int64), axis=1)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return self.add("Concat", *parts, axis=1)


def has_graph(model: InputsModel) -> bool:
    """Whether a model is a graph of dense operations, so that it has an ONNX file."""
    return hasattr(model, "graph")


def build(model: InputsModel) -> Any:
    """The `onnx.ModelProto` of a fitted model. Raises `InputError` for a kind that is no network."""
    if not model.fitted:
        raise InputError(model.kind, "model", "not fitted", "fit or load before export")
    if not has_graph(model):
        raise InputError("export", "kind", model.kind, "a network: neither forest nor neighbours")
    ops = Onnx()
    score = model.graph(ops, Tensor(ops, INPUT))  # type: ignore[attr-defined]
    ops.add("Squeeze", score, ops.constant([1], np.int64), name=OUTPUT)
    h, kind = ops.onnx.helper, ops.onnx.TensorProto.FLOAT
    graph = h.make_graph(ops.nodes, model.kind, [h.make_tensor_value_info(INPUT, kind, ["n", N_INPUTS])],
                         [h.make_tensor_value_info(OUTPUT, kind, ["n"])], ops.constants)  # fmt: skip
    found = h.make_model(graph, opset_imports=[h.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                         producer_name="ad40", producer_version=__version__, doc_string=model.about)  # fmt: skip
    about = {"kind": model.kind, "hash": model.hash, "spec_hash": spec.objects().hash}
    h.set_model_props(found, {METADATA: json.dumps(about)})
    ops.onnx.checker.check_model(found, full_check=True)
    return found


def write(model: InputsModel, path: str | Path, events: Inputs | None = None) -> dict[str, Any]:
    """Write the ONNX file of a fitted model, whole or not at all; with events, only when `check` on them is content.

    Returns kind, hash, spec_hash and bytes, and what `check` gives.
    """
    content = build(model).SerializeToString()
    about = {"kind": model.kind, "hash": model.hash, "spec_hash": spec.objects().hash, "bytes": len(content)}
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)
        if events is not None:
            about |= check(model, temporary, events)
    return about


def run(path: str | Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (n,) of standardised inputs (n, 57) by ONNX Runtime in one thread."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingTool("the package 'onnxruntime'", "`pip install 'ad40[offline]'`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run([OUTPUT], {INPUT: np.ascontiguousarray(x, np.float32)})[0]
    return found


def check(model: InputsModel, path: str | Path, inputs: Inputs) -> dict[str, Any]:
    """Hold a file against the model on events. Returns events and the largest difference, of the score or of 1.

    Raises `InputError` when it is above `TOLERANCE`.
    """
    own, other = model.score(inputs), run(path, standardised(inputs.codes))
    worst = float(np.max(np.abs(own - other) / np.maximum(np.abs(own), 1.0), initial=0.0))
    if not worst <= TOLERANCE:
        raise InputError(path, "score", f"off by {worst:.2g}", f"that of the model, within {TOLERANCE:g}")
    return {"events": len(inputs), "largest_difference": worst}
