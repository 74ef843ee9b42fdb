"""QKeras -> hls4ml's graph, its C++ emulation, and the steps that become logic. The only module that imports hls4ml.

The Verilog is traced (`firmware.trace`) from hls4ml's graph, after all of its optimiser passes, and not from QKeras: so
there is one opinion about every precision, and the C++ emulation, the interpreter and the RTL share it. The trace adds
the score (`firmware.score_logic`), which hls4ml does not know.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError, MissingTool
from ad40.fixed import OVERFLOW, ROUNDING, Fixed
from ad40.network import Network
from ad40.spec import LatencySpec
from firmware.trace import Step, to_codes
from models import build  # sets TF_USE_LEGACY_KERAS before TensorFlow is imported

try:
    from hls4ml.converters.keras_v2_to_hls import keras_v2_to_hls
    from hls4ml.utils.config import create_config
except ImportError as error:
    raise MissingTool(f"{error.name}", "install the firmware extra: pip install 'ad40[firmware]'") from error

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph

PROJECT = "ad40_hls"  # name of the hls4ml project and of its top function
ACTIVATIONS = ("Activation", "ParametrizedActivation")  # of hls4ml; the second is LeakyReLU


def _hls_type(fmt: Fixed) -> str:
    return f"{'' if fmt.signed else 'u'}fixed<{fmt.width},{fmt.integer + fmt.signed},{fmt.rounding},{fmt.overflow}>"


def _quantiser_format(quantiser: Any) -> Fixed:
    """The format of a QKeras quantiser: quantized_relu is unsigned; both round half to even and saturate."""
    bits, integer = int(quantiser.bits), int(quantiser.integer)
    signed = type(quantiser).__name__ == "quantized_bits" and bool(quantiser.keep_negative)
    return Fixed(signed, integer, bits - integer - signed)


def hls_config(model: Any, network: Network, latency: LatencySpec, folder: Path) -> dict[str, Any]:
    """Configuration of hls4ml, granularity "name".

    Accumulators and results are `auto`, which hls4ml makes exact. A linear QActivation is the exception: hls4ml
    drops it when the dense layer before it is `auto`, quantiser and all, so that layer gets the type itself.
    """
    layers = list(model.layers)
    names: dict[str, Any] = {
        layers[0].name: {"Precision": {"result": _hls_type(network.input.format).replace("RND_CONV,SAT", "TRN,WRAP")}}
    }
    dense = leaky = ""
    for layer in layers[1:]:
        kind = type(layer).__name__
        if kind == "QDense":
            dense = layer.name
            precision = dict.fromkeys(("weight", "bias", "accum", "result"), "auto")
            names[dense] = {"Precision": precision, "Strategy": "Latency", "ReuseFactor": 1}
        elif kind == "LeakyReLU":
            leaky = layer.name
        elif kind == "QActivation":
            result = _hls_type(_quantiser_format(layer.quantizer))
            names[layer.name] = {"Precision": {"result": result}}
            if leaky:
                names[leaky] = {"Precision": {"param": "auto", "result": result}}
            elif type(layer.quantizer).__name__ == "quantized_bits":
                names[dense]["Precision"]["result"] = result
                names[f"{dense}_linear"] = names[layer.name]  # hls4ml's own activation between the two
            leaky = ""
        else:
            raise CheckError(f"layer {layer.name} is a {kind}; the compiler knows QDense, LeakyReLU and QActivation")
    config: dict[str, Any] = create_config(
        output_dir=str(folder),
        project_name=PROJECT,
        backend="Vitis",
        part=latency.part,
        clock_period=round(latency.cycle_ns, 3),
        io_type="io_parallel",
        namespace=f"model_{network.hash[:12]}",  # several models live in one process, each with weights of its own
    )
    config["KerasModel"] = model
    config["HLSConfig"] = {
        "Model": {"Precision": {"default": _hls_type(network.input.format)}, "ReuseFactor": 1, "Strategy": "Latency"},
        "LayerName": names,
    }
    return config


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """hls4ml and its compiler talk on stdout; that goes to a log. Keras warns of QKeras's constraints."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def convert(model_dir: Path, network: Network, latency: LatencySpec, folder: Path) -> ModelGraph:
    """hls4ml's graph of the QKeras model, after its optimiser passes, held against the frozen integers."""
    model = build.load(model_dir)
    with _quiet(folder / "hls4ml.log"):
        graph = keras_v2_to_hls(hls_config(model, network, latency, folder))
    _check_graph(graph, network)
    return graph


def compile_emulation(graph: ModelGraph, folder: Path) -> Path:
    """Write the Vitis project and compile its C++ emulation with g++; the path of the library."""
    for stale in (folder / "firmware").glob(f"{PROJECT}-*.so"):  # each compilation has a name of its own
        stale.unlink()
    with _quiet(folder / "hls4ml.log"):
        try:
            graph.compile()
        except Exception as error:  # hls4ml raises bare exceptions
            raise CheckError(f"the C++ of hls4ml did not compile ({error}); see {folder / 'hls4ml.log'}") from error
    return Path(graph._top_function_lib._name)


def load_emulation(graph: ModelGraph, library: Path) -> None:
    """Attach a library that `compile_emulation` made to a freshly converted graph, which spares the compilation."""
    graph._top_function_lib = ctypes.cdll.LoadLibrary(str(library.resolve()))


def predict_codes(graph: ModelGraph, network: Network, inputs: NDArray[np.integer]) -> NDArray[np.int64]:
    """Output codes (n, outputs) of hls4ml's C++ emulation, by its own `predict`."""
    values = network.input.format.dequantise(inputs).astype(np.float32)
    outputs = [y.reshape(len(inputs), -1) for y in build.as_list(graph.predict(np.ascontiguousarray(values)))]
    return to_codes(np.concatenate(outputs, axis=1).astype(np.float64), network.output_fractions)


def _graph_format(node: Any) -> Fixed:
    """The result format of a node of the graph."""
    p = node.get_output_variable().type.precision
    rounding = getattr(p.rounding_mode, "name", "TRN")
    overflow = getattr(p.saturation_mode, "name", "WRAP")
    if rounding not in ROUNDING or overflow not in OVERFLOW:
        raise CheckError(f"{node.name}: hls4ml chose {p}; expected a mode among {', '.join(ROUNDING + OVERFLOW)}")
    return Fixed(bool(p.signed), p.integer - int(p.signed), p.width - p.integer, rounding, overflow)


def _nodes(graph: ModelGraph) -> list[Any]:
    nodes = list(graph.get_layers())
    kinds = [node.class_name for node in nodes]
    if kinds[0] not in ("Input", "InputLayer") or set(kinds[1:]) - {"Dense", *ACTIVATIONS}:
        raise CheckError(f"hls4ml made the layers {kinds}; the compiler knows Input, Dense, {', '.join(ACTIVATIONS)}")
    return nodes


def _check_graph(graph: ModelGraph, network: Network) -> None:
    """The graph must hold the frozen weights and output formats, or the ladder would test another network."""
    dense = [node for node in _nodes(graph) if node.class_name == "Dense"]
    if len(dense) != len(network.layers):
        raise CheckError(f"hls4ml has {len(dense)} dense layers, network.json {len(network.layers)}")
    ends = [node for node in _nodes(graph) if node.class_name in ACTIVATIONS or node.get_attr("n_out")]
    for node, layer in zip(dense, network.layers, strict=True):
        for name, frozen, fmt in (
            ("weight", layer.weight, layer.weight_format),
            ("bias", layer.bias, layer.bias_format),
        ):
            found = np.asarray(node.weights[name].data, np.float64).reshape(frozen.shape) * 2.0**fmt.fraction
            if not np.array_equal(found, frozen):
                raise CheckError(
                    f"{layer.name}.{name}: {int((found != frozen).sum())} of {frozen.size} values of hls4ml differ "
                    "from network.json; freeze the model again"
                )
        index = ends.index(node)
        after = ends[index + 1] if index + 1 < len(ends) and ends[index + 1].class_name in ACTIVATIONS else node
        found_format = _graph_format(after)
        if found_format != layer.output:
            raise CheckError(f"{layer.name}: hls4ml quantises to {found_format}, network.json to {layer.output}")
        slope = after.get_attr("activ_param") if after.class_name == "ParametrizedActivation" else None
        if slope != (2.0**-layer.slope_shift if layer.activation == "leaky_relu" else None):
            raise CheckError(f"{layer.name}: hls4ml has the slope {slope}, network.json {layer.activation}")


def steps(graph: ModelGraph) -> list[Step]:
    """The graph as steps to be traced."""
    found = []
    for node in _nodes(graph)[1:]:
        if node.class_name == "Dense":
            weight, bias = (np.asarray(node.weights[name].data, np.float64) for name in ("weight", "bias"))
            found.append(Step(_graph_format(node), weight, bias))
        else:
            leaky = node.get_attr("activation") == "LeakyReLU"
            slope = float(node.get_attr("activ_param")) if leaky else 0.0
            kind = "leaky_relu" if leaky else node.get_attr("activation")
            found.append(Step(_graph_format(node), activation=kind, slope=slope))
    return found


def describe(graph: ModelGraph) -> list[dict[str, Any]]:
    """The layers of the graph with their types, for the manifest and the report."""
    rows = []
    for node in _nodes(graph):
        row = {"name": node.name, "kind": node.class_name, "result": str(node.get_output_variable().type.precision)}
        row |= {name: str(w.type.precision) for name, w in node.weights.items()}
        accumulator = node.get_attr("accum_t")
        rows.append(row | ({"accumulator": str(accumulator.precision)} if accumulator else {}))
    return json.loads(json.dumps(rows))
