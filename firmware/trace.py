"""Layers and score -> logic -> pipelined Verilog. The only module that imports alkaid.

The layers come as steps: from hls4ml's graph when a model is compiled (`firmware.compile_network`), or from the frozen
network when only its cost is asked for (`firmware.cost`). The first are held against the second, so both are the same
logic.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import CheckError, MissingTool
from ad40.fixed import Fixed
from ad40.network import Network
from ad40.spec import LatencySpec
from firmware.layer_logic import activation, dense, quantise_all
from firmware.placement import place, total_ns
from firmware.score_logic import score_logic

try:
    import alkaid.codegen
    import alkaid.trace
    import alkaid.types
    from alkaid.trace.ops import quantize
except ImportError as error:
    raise MissingTool(f"{error.name}", "install the firmware extra: pip install 'ad40[firmware]'") from error

COMPILED = "ad40_network"  # name of the Verilog module that alkaid writes, before the number of the model
SCORE_FILE, OUTPUTS_FILE = "score.alir.json.gz", "outputs.alir.json.gz"
DEPTHS = (-1, 0, 1, 2)
RTL = Path(__file__).parent / "rtl"


@dataclass(frozen=True, eq=False)
class Step:
    """One operation on all values of a layer and the format it rounds to (None: all bits are kept).

    Either a matrix product with weight (n_in, n_out) and bias (n_out,), real numbers, or an activation: relu, linear,
    or leaky_relu with its slope.
    """

    result: Fixed | None
    weight: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None
    activation: str = "linear"
    slope: float = 0.0


def steps_of(network: Network) -> list[Step]:
    """The steps of a frozen network."""
    found = []
    for layer in network.layers:
        weight, bias = layer.weight_format.dequantise(layer.weight), layer.bias_format.dequantise(layer.bias)
        if layer.activation == "linear":
            found.append(Step(layer.output, weight, bias))
        else:
            slope = 2.0**-layer.slope_shift if layer.activation == "leaky_relu" else 0.0
            found += [Step(None, weight, bias), Step(layer.output, activation=layer.activation, slope=slope)]
    return found


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
        return to_codes(value, self.network.score_fraction)

    def output_codes(self, inputs: NDArray[np.integer], present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Output codes (n, outputs) of their layers' formats."""
        values = self.outputs.predict(self._ports(inputs, present), n_threads=1)
        return to_codes(values.reshape(len(inputs), -1), self.network.output_fractions)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.score.save(folder / SCORE_FILE)
        self.outputs.save(folder / OUTPUTS_FILE)

    @classmethod
    def load(cls, network: Network, folder: Path) -> Interpreter:
        logic = [alkaid.types.CombLogic.load(folder / name) for name in (SCORE_FILE, OUTPUTS_FILE)]
        return cls(network, *logic)


def to_codes(values: NDArray[np.float64], fraction: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer codes of values that must lie on the grid of 2^-fraction."""
    scaled = values * 2.0 ** np.asarray(fraction, np.float64)
    codes = np.rint(scaled)
    if not np.array_equal(codes, scaled):
        raise CheckError(f"values off the grid of 2^-{np.max(fraction)}: a precision was lost between the tools")
    return codes.astype(np.int64)


def trace_steps(steps: Sequence[Step], network: Network, depth: int) -> tuple[Any, Any]:
    """Score and outputs as alkaid logic. depth: adder levels that a matrix product may take above the minimum
    (alkaid's hard_dc; -1: any)."""
    options = {"hard_dc": depth} if depth >= 0 else {}
    ports = alkaid.trace.FVArrayInput((objects.N_INPUTS + objects.N_OBJECTS,), solver_options=options)
    fmt = network.input.format
    inputs = quantize(ports[: objects.N_INPUTS], int(fmt.signed), fmt.integer, fmt.fraction)
    present = quantize(ports[objects.N_INPUTS :], 0, 1, 0)
    x = np.concatenate([inputs, present]) if network.input.present else inputs
    results: list[Any] = []  # of the layers
    for step in steps:
        product = step.weight is not None
        if step.weight is None or step.bias is None:
            x = activation(x, step.activation, step.slope, step.result)
        else:
            x = dense(x, step.weight, step.bias)
        from_least = network.score.kind == "output" and step is steps[-1]
        x = x if step.result is None else quantise_all(x, step.result, from_least)
        results = [*results, x] if product else [*results[:-1], x]
    observed = [results[i] for i in network.observed]
    score = score_logic(network, inputs, present, observed[0], observed[-1])
    return alkaid.trace.trace(ports, [score]), alkaid.trace.trace(ports, np.concatenate(observed))


def trace(steps: Sequence[Step], network: Network, latency: LatencySpec) -> Interpreter:
    """Trace network and score into alkaid's logic.

    Sharing partial sums saves LUTs and costs time. Of a few depths, the smallest logic that fits the clock is
    taken; when none fits, the fastest, and `write_verilog` says so.
    """
    found = []
    for depth in DEPTHS:
        score, outputs = trace_steps(steps, network, depth)
        stage_ns = place(score, latency.network_stages_max, latency.merged)[1]
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
    placed, stage_ns = place(logic, stages, latency.merged)
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
    shutil.copyfile(RTL / "shift_adder.v", folder / "src" / "static" / "shift_adder.v")
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


def register_bits(logic: Any, stages: int) -> int:
    """Bits of the pipeline registers of the logic cut into `stages`."""
    fsm = alkaid.trace.to_pipeline(place(logic, stages)[0], n_stages=stages, reg_inp=False, reg_out=True, verbose=False)
    return int(alkaid.codegen.RTLModel(fsm, Path("unused"), prj_name=COMPILED).reg_bits)


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
