"""QKeras -> hls4ml -> pipelined Verilog. The only module that imports hls4ml and alkaid.

The Verilog is traced from hls4ml's graph, after all of its optimiser passes, and not from QKeras: so there is one
opinion about every precision, and the C++ emulation, the interpreter and the RTL share it. The trace adds the score
(`firmware.score_logic`), which hls4ml does not know.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import CheckError, MissingTool
from ad40.fixed import OVERFLOW, ROUNDING, Fixed
from ad40.network import Network
from ad40.spec import LatencySpec
from firmware.layer_logic import activation, dense, quantise_all
from firmware.placement import place, total_ns
from firmware.score_logic import score_logic
from models import build  # sets TF_USE_LEGACY_KERAS before TensorFlow is imported

try:
    import alkaid.codegen
    import alkaid.trace
    import alkaid.types
    from alkaid.trace.ops import quantize
    from hls4ml.converters.keras_v2_to_hls import keras_v2_to_hls
    from hls4ml.utils.config import create_config
except ImportError as error:
    raise MissingTool(f"{error.name}", "install the firmware extra: pip install 'ad40[firmware]'") from error

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph

PROJECT = "ad40_hls"  # name of the hls4ml project and of its top function
COMPILED = "ad40_network"  # name of the Verilog module that alkaid writes, before the number of the model
SCORE_FILE, OUTPUTS_FILE = "score.alir.json.gz", "outputs.alir.json.gz"
DEPTHS = (-1, 0, 1, 2)
ACTIVATIONS = ("Activation", "ParametrizedActivation")  # of hls4ml; the second is LeakyReLU


@dataclass(frozen=True, eq=False)
class Interpreter:
    """alkaid's integer interpreters of the traced logic.

    score: exactly the logic that becomes Verilog, 57 inputs and 19 present bits -> hw_score. outputs: the same trace
    with the network outputs kept, of the last layer and of the earlier one of a distance.
    """

    network: Network
    score: Any
    outputs: Any

    def _ports(self, inputs: NDArray[np.integer], present: NDArray[np.bool_]) -> NDArray[np.float64]:
        values = self.network.input.format.dequantise(inputs[:, : objects.N_INPUTS])
        return np.ascontiguousarray(np.concatenate([values, present.astype(np.float64)], axis=1))

    def scores(self, inputs: NDArray[np.integer], present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """hw_score (n,) of input codes (n, n_inputs) and present objects (n, 19)."""
        value = self.score.predict(self._ports(inputs, present), n_threads=1).reshape(-1)
        return _to_codes(value, self.network.score_fraction)

    def output_codes(self, inputs: NDArray[np.integer], present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Output codes (n, outputs) of their layers' formats."""
        values = self.outputs.predict(self._ports(inputs, present), n_threads=1)
        return _to_codes(values.reshape(len(inputs), -1), self.network.output_fractions)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.score.save(folder / SCORE_FILE)
        self.outputs.save(folder / OUTPUTS_FILE)

    @classmethod
    def load(cls, network: Network, folder: Path) -> Interpreter:
        logic = [alkaid.types.CombLogic.load(folder / name) for name in (SCORE_FILE, OUTPUTS_FILE)]
        return cls(network, *logic)


def _to_codes(values: NDArray[np.float64], fraction: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer codes of values that must lie on the grid of 2^-fraction."""
    scaled = values * 2.0 ** np.asarray(fraction, np.float64)
    codes = np.rint(scaled)
    if not np.array_equal(codes, scaled):
        raise CheckError(f"values off the grid of 2^-{np.max(fraction)}: a precision was lost between the tools")
    return codes.astype(np.int64)


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
    return _to_codes(np.concatenate(outputs, axis=1).astype(np.float64), network.output_fractions)


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


def _trace(graph: ModelGraph, network: Network, depth: int) -> tuple[Any, Any]:
    """Score and outputs as alkaid logic. depth: adder levels that a matrix product may take above the minimum
    (alkaid's hard_dc; -1: any)."""
    options = {"hard_dc": depth} if depth >= 0 else {}
    ports = alkaid.trace.FVArrayInput((objects.N_INPUTS + objects.N_OBJECTS,), solver_options=options)
    fmt = network.input.format
    inputs = quantize(ports[: objects.N_INPUTS], int(fmt.signed), fmt.integer, fmt.fraction)
    present = quantize(ports[objects.N_INPUTS :], 0, 1, 0)
    x = np.concatenate([inputs, present]) if network.input.present else inputs
    results = []  # of the layers
    for node in _nodes(graph)[1:]:
        if node.class_name == "Dense":
            x = dense(x, *(np.asarray(node.weights[name].data, np.float64) for name in ("weight", "bias")))
        else:
            x = activation(x, node)
        x = quantise_all(x, _graph_format(node))
        results = [*results, x] if node.class_name == "Dense" else [*results[:-1], x]
    observed = [results[i] for i in network.observed]
    score = score_logic(network, inputs, present, observed[0], observed[-1])
    return alkaid.trace.trace(ports, [score]), alkaid.trace.trace(ports, np.concatenate(observed))


def trace(graph: ModelGraph, network: Network, latency: LatencySpec) -> Interpreter:
    """Trace network and score from hls4ml's graph into alkaid's logic.

    Sharing partial sums saves LUTs and costs time. Of a few depths, the smallest logic that fits the clock is
    taken; when none fits, the fastest, and `write_verilog` says so.
    """
    found = []
    for depth in DEPTHS:
        score, outputs = _trace(graph, network, depth)
        stage_ns = place(score, latency.network_stages_max)[1]
        found.append((stage_ns > latency.cycle_ns, stage_ns if stage_ns > latency.cycle_ns else score.cost, depth))
        if found[-1] == min(found):
            best = Interpreter(network, score, outputs)
    return best


@dataclass(frozen=True)
class Pipeline:
    """What the compiler reports: pipeline stages in clocks, delay of the slowest stage and of all logic in ns as
    `placement` estimates them, register bits and LUTs as alkaid does. inputs, score: (signed, integer, fraction) of
    the module's ports. sources: Verilog files."""

    stages: int
    stage_ns: float
    logic_ns: float
    register_bits: int
    luts: float
    inputs: tuple[tuple[int, int, int], ...]
    score: tuple[int, int, int]
    sources: tuple[Path, ...]

    def describe(self) -> dict[str, Any]:
        """The figures, for the manifest."""
        names = ("stages", "stage_ns", "logic_ns", "register_bits", "luts")
        return {name: getattr(self, name) for name in names} | {"tool": "estimate of the compiler"}


def write_verilog(logic: Any, latency: LatencySpec, folder: Path, index: int = 0) -> Pipeline:
    """Cut the logic into the stages that the budget leaves and write them as Verilog, top `ad40_network_<index>`.

    All of the stages are used: so the networks of a design are equally deep, and more and shorter stages leave the
    place and route tools more room. Raises `CheckError` when a stage is estimated longer than a clock.
    """
    stages = latency.network_stages_max
    placed, stage_ns = place(logic, stages)
    if stage_ns > latency.cycle_ns:
        raise CheckError(
            f"network and score: the slowest of {stages} pipeline stages takes {stage_ns:.2f} ns (estimate) "
            f"and a clock has {latency.cycle_ns:.2f} ns; the budget of {latency.budget_ns:g} ns leaves no more stages. "
            f"All of the logic takes {total_ns(logic):.1f} ns: use fewer or narrower layers, or prune more weights"
        )
    name = f"{COMPILED}_{index}"
    for stale in (folder / "src").glob("*.v"):  # of an earlier compilation with more stages
        stale.unlink()
    fsm = alkaid.trace.to_pipeline(placed, n_stages=stages, reg_inp=False, reg_out=True, verbose=False)
    model = alkaid.codegen.RTLModel(
        fsm,
        folder,
        prj_name=name,
        ternary_fuse=False,  # three-input adders would save LUTs and lengthen the stages
        part_name=latency.part,
        clock_period=round(latency.cycle_ns, 3),
    )
    model.write()
    _name_stages(folder / "src", name)
    sources = [*sorted((folder / "src" / "static").glob("*.v")), *sorted((folder / "src").glob("*.v"))]
    return Pipeline(
        stages=stages,
        stage_ns=stage_ns,
        logic_ns=total_ns(logic),
        register_bits=int(model.reg_bits),
        luts=float(logic.cost),
        inputs=tuple(_kif(p) for p in fsm.inp_signals[0].precisions),
        score=_kif(fsm.out_signals[0].precisions[0]),
        sources=tuple(s for s in sources if s.stem != f"{name}_wrapper"),
    )


def _name_stages(folder: Path, name: str) -> None:
    """alkaid names the modules of the stages logic0, logic1, ... in every network, and those of tables after their
    content: give them the network's name."""
    stages = {path.stem for path in folder.glob("logic*.v")}
    pattern = re.compile(r"\b(" + "|".join([*sorted(stages, key=len, reverse=True), r"table_\w+"]) + r")\b")
    for path in sorted(folder.glob("*.v")):
        text = pattern.sub(rf"{name}_\1", path.read_text(encoding="utf-8"))
        if path.stem in stages:
            path.unlink()
            path = path.with_stem(f"{name}_{path.stem}")
        path.write_text(text, encoding="utf-8")


def _kif(precision: Any) -> tuple[int, int, int]:
    signed, integer, fraction = precision
    return int(signed), int(integer), int(fraction)


def describe(graph: ModelGraph) -> list[dict[str, Any]]:
    """The layers of the graph with their types, for the manifest and the report."""
    rows = []
    for node in _nodes(graph):
        row = {"name": node.name, "kind": node.class_name, "result": str(node.get_output_variable().type.precision)}
        row |= {name: str(w.type.precision) for name, w in node.weights.items()}
        accumulator = node.get_attr("accum_t")
        rows.append(row | ({"accumulator": str(accumulator.precision)} if accumulator else {}))
    return json.loads(json.dumps(rows))
