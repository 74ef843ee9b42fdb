"""The input stage of every model as a property of the generated `algorithm`: from the words of an event to the inputs
of each network, for all words. It is written from objects.yaml and network.json alone, in inequalities, so that it
shares neither tables nor arithmetic with the firmware."""

from __future__ import annotations

from collections.abc import Sequence

from ad40 import objects, spec
from ad40.network import Network

WIDE = 40  # bits that hold every code after offset and shift, and the limits


def _field(low: int, bits: int, signed: bool) -> str:
    """A field of the event bus as a wide signed number."""
    value = f"words_q[{low}+:{bits}]"
    if signed:
        return f"{{{{{WIDE - bits}{{words_q[{low + bits - 1}]}}}}, {value}}}"
    return f"{WIDE}'({value})"


def _number(value: int) -> str:
    return f"{'-' if value < 0 else ''}{WIDE}'sd{abs(value)}"


def _assertions(network: Network, model: int) -> list[str]:
    """One assertion per input of a model."""
    stage, lines, low = network.input, [], 0
    fmt = stage.format
    least, most = fmt.min_code, fmt.max_code
    for slot, kind in enumerate(spec.objects().slots):
        name = spec.objects().slot_names[slot].replace("[", "").replace("]", "")
        pt = f"words_q[{low + kind.pt.low}+:{kind.pt.bits}]"
        codes = (
            _field(low + kind.pt.low, kind.pt.bits, False),
            _field(low + kind.eta.low, kind.eta.bits, True) if kind.eta else f"{WIDE}'sd0",
            _field(low + kind.phi.low, kind.phi.bits, False),
        )
        phi_of_met, per_met = f"met_{model}", kind.phi.steps // spec.objects()["met"].phi.steps
        for feature, code in enumerate(codes):
            i = slot * objects.N_FEATURES + feature
            shift, width = int(stage.shift[i]), fmt.width
            x = f"x_{model}[{i * width}+:{width}]"
            sign = f"x_{model}[{(i + 1) * width - 1}]" if fmt.signed else "1'b0"
            d, y = f"d_{model}_{i}", f"y_{model}_{i}"
            if stage.azimuth == "met" and feature == objects.PHI and kind.name == "met":
                lines.append(f"  wire signed [{WIDE - 1}:0] {phi_of_met} = {code};")
                lines.append(f"  wire {phi_of_met}_here = {pt} != 0;")
            elif stage.azimuth == "met" and feature == objects.PHI:
                a, b = f"a_{model}_{i}", f"b_{model}_{i}"
                lines += [
                    f"  wire signed [{WIDE - 1}:0] {a} = $signed({code}) - {_number(per_met)} * {phi_of_met};",
                    f"  wire signed [{WIDE - 1}:0] {b} = {a} < 0 ? -{a} : {a};",
                ]
                turn = _number(kind.phi.steps)
                code = f"({b} < {turn} - {b} ? {b} : {turn} - {b})"
            lines += [
                f"  wire signed [{WIDE - 1}:0] {d} = $signed({code}) - {_number(int(stage.offset[i]))};",
                f"  wire signed [{WIDE - 1}:0] {y} = $signed({{{{{WIDE - width}{{{sign}}}}}, {x}}});",
            ]
            if shift >= 0:  # y = floor(d / 2^shift) is y 2^shift <= d < (y + 1) 2^shift
                one = 1 << shift
                inside = f"{y} * {_number(one)} <= {d} && {d} < ({y} + {WIDE}'sd1) * {_number(one)}"
                above, below = f"{d} >= {_number(most * one)}", f"{d} < {_number((least + 1) * one)}"
            else:
                inside = f"{y} == {d} * {_number(1 << -shift)}"
                above = f"{d} * {_number(1 << -shift)} >= {_number(most)}"
                below = f"{d} * {_number(1 << -shift)} <= {_number(least)}"
            here = (
                f"{y} == {_number(most)} ? {above} : {y} == {_number(least)} ? {below} : "
                f"({_number(least)} < {y} && {y} < {_number(most)} && {inside})"
            )
            there = f"{pt} != 0" + (f" && {phi_of_met}_here" if stage.angles[i] else "")
            label = f"m{model}_{name}_{spec.FEATURES[feature]}"
            lines.append(f"  always_comb if (filled[STAGES]) {label} : assert ({there} ? ({here}) : {y} == 0);")
        lines += [
            "  always_comb if (filled[STAGES]) begin",
            f"    m{model}_{name}_present : assert (present_{model}[{slot}] == ({pt} != 0));",
            f"    m{model}_{name}_seen : cover ({pt} != 0 && y_{model}_{3 * slot} != 0);",
            "  end",
        ]
        low += kind.word_bits
    return lines


def properties(networks: Sequence[Network], stages: int) -> str:
    """The property module of `algorithm` and its bind statement. stages: clocks from the words to the inputs."""
    bits = sum(kind.word_bits for kind in spec.objects().slots)
    ports, asserts = [], []
    for k, network in enumerate(networks):
        ports.append(f"    input logic [{objects.N_INPUTS * network.input.format.width - 1}:0] x_{k},")
        ports.append(f"    input logic [{objects.N_OBJECTS - 1}:0] present_{k},")
        asserts += _assertions(network, k)
    newline = "\n"
    return f"""module algorithm_properties (
    input logic clk,
{newline.join(ports)}
    input logic [{bits - 1}:0] words
);
  localparam int STAGES = {stages};
  // the words of STAGES clocks ago
  logic [{(stages + 1) * bits - 1}:0] history;
  assign history[{bits - 1}:0] = words;
  always_ff @(posedge clk) history[{(stages + 1) * bits - 1}:{bits}] <= history[{stages * bits - 1}:0];
  wire [{bits - 1}:0] words_q = history[{stages * bits}+:{bits}];
  logic [{stages}:0] filled = {stages + 1}'d1;  // the first event has reached the inputs
  always_ff @(posedge clk) filled <= {{filled[{stages - 1}:0], 1'b1}};
{newline.join(asserts)}
endmodule

bind algorithm algorithm_properties properties (.*);
"""


def without_networks(networks: Sequence[Network]) -> str:
    """Stand-ins for the compiled networks, which this property is not about."""
    return "\n".join(
        f"module network_{k} (input logic clk, input logic [{objects.N_INPUTS * n.input.format.width - 1}:0] x,\n"
        f"    input logic [{objects.N_OBJECTS - 1}:0] present, output logic [{n.score_width - 1}:0] score);\n"
        f"  assign score = '0;\nendmodule\n"
        for k, n in enumerate(networks)
    )
