"""Specifications, networks and menu -> SystemVerilog: `ad40_pkg.sv` (every constant of the design), `network_<k>.sv`
(the ports of a compiled network) and `algorithm.sv` (all networks side by side). Nothing in the hand-written sources
repeats a number that stands here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ad40 import menu as menus
from ad40 import objects, spec
from ad40.errors import CheckError
from ad40.menu import Menu
from ad40.model import Trigger
from ad40.network import Network
from ad40.spec import LatencySpec, ObjectsSpec

Kif = tuple[int, int, int]  # (signed, integer bits without sign, fraction bits)

MENU_LEAD = 3  # clocks by which menu.sv wants the header of a slot before its scores
BX_BITS, ORBIT_BITS, RULE_BITS = 12, 32, 12


@dataclass(frozen=True)
class Constant:
    """One constant of the package: a number, or a table with entry 0 in the lowest bits. width: bits of an entry;
    0: a plain `int`."""

    name: str
    value: int | tuple[int, ...]
    comment: str
    width: int = 0

    def text(self) -> str:
        """The declaration."""
        if isinstance(self.value, int):
            kind = f"logic [{self.width - 1}:0]" if self.width else "int"
            value = f"{self.width}'h{self.value:x}" if self.width else str(self.value)
            return f"  localparam {kind} {self.name} = {value};  // {self.comment}"
        width = self.width or 32
        entries = ", ".join(f"{width}'h{value & ((1 << width) - 1):x}" for value in reversed(self.value))
        head = f"localparam logic [{width * len(self.value) - 1}:0] {self.name}"
        return f"  // {self.comment}\n  {head} = {{{entries}}};"


def code_bits(types: ObjectsSpec) -> int:
    """Bits of a signed code that holds every field of every object."""
    return max(max(t.pt.bits + 1, t.phi.bits + 1, t.eta.bits if t.eta else 1) for t in types.types)


def threshold_bits(networks: Sequence[Network]) -> int:
    """Bits of a threshold: one more than the widest score, so that a seed can be silenced."""
    return max(network.score_width for network in networks) + 1


def work_bits(network: Network, bits: int) -> int:
    """Signed width that holds every code of `bits` bits after offset and shift, and the limits of the input."""
    x = network.input
    # sign + the larger of code and offset + carry + room of a left shift, and never narrower than the clip limits
    widest = max(bits, int(np.abs(x.offset).max()).bit_length() + 1)
    return max(widest + 1 + max(0, int(-x.shift.min())), x.format.width + 2)


def constants(trigger: Trigger, latency: LatencySpec, network_stages: int) -> list[Constant]:
    """Every number of the design whose networks take `network_stages` clocks. Raises `CheckError` over the budget."""
    networks, menu, types, links = trigger.networks, trigger.menu, spec.objects(), spec.links()
    total = network_stages + sum(latency.stages.values())
    if total > latency.budget_cycles:
        raise CheckError(
            f"the design takes {total} clocks = {total * latency.cycle_ns:.1f} ns; the budget is "
            f"{latency.budget_ns:g} ns = {latency.budget_cycles} clocks at {latency.clock_mhz:g} MHz"
        )
    bits = code_bits(types)
    score_bits = threshold_bits(networks) - 1
    names = ", ".join(network.name for network in networks)
    stages = latency.stages
    return [
        Constant("N_MODELS", len(networks), f"networks side by side: {names}"),
        Constant("N_SEEDS", len(menu.seeds), "seeds of the menu: " + ", ".join(s.name for s in menu.seeds)),
        Constant("N_RULES", menus.MAX_RULES, "trigger rules; rule i (from 1): at most i accepts in a window"),
        # objects and words
        Constant(
            "N_OBJECTS",
            objects.N_OBJECTS,
            "objects of an event: " + ", ".join(f"{t.count} {t.name}" for t in types.types),
        ),
        Constant("N_INPUTS", objects.N_INPUTS, "object * 3 + feature (pt, eta, phi)"),
        Constant("WORDS_BITS", sum(t.word_bits * t.count for t in types.types), "all object words of an event"),
        Constant("CODE_BITS", bits, "signed width that holds every code"),
        *_fields(types),
        # links
        Constant("N_LANES", len(links.lanes), "input lanes: " + ", ".join(lane.name for lane in links.lanes)),
        Constant("PAYLOAD_WORDS", links.payload_words, "32-bit words of each lane and BX that carry objects"),
        Constant("EVENT_WORDS", len(links.positions), "32-bit words of an event"),
        Constant("WORD_LANE", tuple(lane for lane, _ in links.positions), "lane of each word of an event"),
        Constant("WORD_INDEX", tuple(word for _, word in links.positions), "payload word of each word of an event"),
        Constant(
            "WORD_OBJECT",
            tuple(i for i, kind in enumerate(types.slots) for _ in range(kind.word_bits // 32)),
            "object of each word of an event",
        ),
        Constant("BX_BITS", BX_BITS, "width of a bunch crossing number"),
        Constant("ORBIT_BITS", ORBIT_BITS, "width of an orbit number"),
        Constant("ORBIT_BX", latency.orbit_bx, "bunch crossings of an orbit"),
        Constant("LUMI_ORBITS_LOG2", latency.lumi_orbits_log2, "orbits of a lumi section, as a power of two"),
        # clocks
        Constant("CLOCK_KHZ", round(latency.clock_mhz * 1000), f"kHz, configuration {latency.name}"),
        Constant("CLOCKS_PER_BX", latency.clocks_per_bx, "clocks of a bunch crossing"),
        Constant("NORMALISE_STAGES", stages["normalise"], "clocks, latency.yaml"),
        Constant("NETWORK_STAGES", network_stages, "clocks of every network, chosen by the compiler"),
        Constant("ALGORITHM_LATENCY", stages["normalise"] + network_stages, "clocks from words to scores"),
        Constant("MENU_LEAD", MENU_LEAD, "clocks by which `menu` wants the header of a slot before its scores"),
        Constant("DECISION_STAGES", stages["decision"], "clocks from scores to the decision"),
        Constant("LATENCY", total, f"clocks from s_valid to m_valid: {total * latency.cycle_ns:.2f} ns"),
        # networks, one entry each
        Constant("X_BITS", tuple(n.input.format.width for n in networks), "width of a network input, per model"),
        Constant(
            "X_SIGNED",
            _bits([n.input.format.signed for n in networks]),
            "bit k: inputs of model k are two's complement",
            len(networks),
        ),
        Constant(
            "WORK_BITS",
            tuple(work_bits(n, bits) for n in networks),
            "signed width that holds every code after offset and shift, per model",
        ),
        Constant(
            "OFFSET",
            tuple(int(v) for n in networks for v in n.input.offset),
            "subtracted from the code, per model and input",
        ),
        Constant(
            "SHIFT",
            tuple(int(v) for n in networks for v in n.input.shift),
            "then shifted right; negative: left, per model and input",
        ),
        Constant("SCORE_BITS", score_bits, "width of an unsigned score, the widest of the models"),
        Constant(
            "SCORE_FRACTION",
            tuple(n.score_fraction for n in networks),
            "fraction bits of a score, per model: value = score * 2^-SCORE_FRACTION",
        ),
        # menu
        Constant("THRESHOLD_BITS", score_bits + 1, "one more than the score, so that a seed can be silenced"),
        Constant("PRESCALE_BITS", menus.PRESCALE_BITS, "width of a prescale factor x 100"),
        Constant("PRESCALE_UNIT", menus.PRESCALE_UNIT, "a prescale factor of one"),
        Constant("RULE_BITS", RULE_BITS, "width of the window of a trigger rule"),
        Constant("SEED_MODEL", menu.seed_models, "model of each seed"),
        *_defaults(menu, score_bits + 1),
        # readout
        Constant("L1A_LATENCY_BX", latency.readout["latency_bx"], "BX from a decision to the arrival of its accept"),
        Constant("RING_DEPTH", latency.readout["ring"], "BX held meanwhile"),
        Constant("DERANDOMISER_DEPTH", latency.readout["derandomiser"], "accepted events that wait for the output"),
        # which design this is
        Constant("SPEC_HASH", int(menu.spec_hash, 16), "SHA-256 of objects.yaml", 256),
        Constant("MENU_HASH", int(menu.hash, 16), "SHA-256 of the menu", 256),
        Constant("NETWORK_HASH", tuple(int(n.hash, 16) for n in networks), "SHA-256 of each network", 256),
        Constant("DESIGN_ID", trigger.design_id, "first bits of the hash of all of these", 32),
    ]


def _fields(types: ObjectsSpec) -> list[Constant]:
    """Where the fields of each object are on the bus of all words."""
    slots = types.slots
    lows = [sum(kind.word_bits for kind in slots[:i]) for i in range(len(slots))]
    words = list(zip(lows, slots, strict=True))
    eta_low = tuple(low + (k.eta.low if k.eta else 0) for low, k in words)
    eta_bits = tuple(k.eta.bits if k.eta else 0 for k in slots)
    return [
        Constant("PT_LOW", tuple(low + k.pt.low for low, k in words), "lowest bit of pt, per object"),
        Constant("PT_BITS", tuple(k.pt.bits for k in slots), "bits of pt, unsigned"),
        Constant("ETA_LOW", eta_low, "lowest bit of eta"),
        Constant("ETA_BITS", eta_bits, "bits of eta, two's complement; 0: none"),
        Constant("PHI_LOW", tuple(low + k.phi.low for low, k in words), "lowest bit of phi"),
        Constant("PHI_BITS", tuple(k.phi.bits for k in slots), "bits of phi, unsigned"),
    ]


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def _defaults(menu: Menu, threshold_bits: int) -> list[Constant]:
    """Settings of the menu with its first prescale column: what a reset brings."""
    seeds, mask = menu.seeds, menu.bx_mask
    first = [0, *(np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1).tolist()]
    last = [*(bx - 1 for bx in first[1:]), len(mask) - 1]
    rows = tuple(_bits(mask[bx].tolist()) for bx in first)
    return [
        Constant("DEFAULT_THRESHOLD", tuple(s.threshold for s in seeds), "of the menu, per seed", threshold_bits),
        Constant(
            "DEFAULT_PRESCALE",
            tuple(s.factors[0] for s in seeds),
            f"of the menu, x 100, per seed; column {menu.columns[0]}",
            menus.PRESCALE_BITS,
        ),
        Constant("DEFAULT_MASK", _bits([s.enabled for s in seeds]), "seeds that enter the OR", len(seeds)),
        Constant("DEFAULT_VETO", _bits([s.veto for s in seeds]), "seeds that kill the event", len(seeds)),
        Constant("DEFAULT_RULE_WINDOW", menu.rule_windows, "windows of the trigger rules in BX; 0: off", RULE_BITS),
        Constant("N_BX_RUNS", len(first), "runs of BX with the same row of the BX mask"),
        Constant("BX_RUN_FIRST", tuple(first), "first BX of each run"),
        Constant("BX_RUN_LAST", tuple(last), "last BX of each run"),
        Constant("BX_RUN_ROW", rows, "seeds that may fire in it", len(seeds)),
    ]


def describe(numbers: Sequence[Constant]) -> dict[str, Any]:
    """The constants for the manifest: name in lower case -> number or list; hashes stand there by themselves."""
    return {c.name.lower(): c.value if isinstance(c.value, int) else list(c.value) for c in numbers if c.width < 64}


def package(trigger: Trigger, latency: LatencySpec, network_stages: int) -> str:
    """The text of `ad40_pkg.sv`."""
    networks = ", ".join(f"{n.name} {n.version} {n.hash[:12]}" for n in trigger.networks)
    lines = [
        "// Generated by `ad40 compile`. Do not edit: the sources are ad40/spec/*.yaml and the model folders.",
        f"// objects {trigger.menu.spec_hash[:12]}, links {spec.links().hash[:12]}, "
        f"latency {latency.name} {latency.hash[:12]}",
        f"// networks {networks}, menu {trigger.menu.hash[:12]}",
        "package ad40_pkg;",
        *(constant.text() for constant in constants(trigger, latency, network_stages)),
        "endpackage",
    ]
    return "\n".join(lines) + "\n"


def network_module(network: Network, inputs: Sequence[Kif], score: Kif, stages: int, index: int = 0) -> str:
    """The text of `network_<index>.sv`: the 57 inputs and 19 present bits on the packed ports of the compiled module
    `ad40_network_<index>`.

    inputs: (signed, integer, fraction) of the 76 ports of the compiled module, width 0 where it does not read
    one. score: the same of its output.
    """
    x_bits, fmt = network.input.format.width, network.input.format
    wires = []
    for i, (signed, integer, fraction) in enumerate(inputs):
        width = signed + integer + fraction
        if width <= 0:
            continue
        if i < objects.N_INPUTS:
            low = (fmt.fraction - fraction) + i * x_bits
            wires.append((f"x[{low} +: {width}]", width))
        else:
            wires.append((f"present[{i - objects.N_INPUTS}]", 1))
    names = [wire for wire, _ in reversed(wires)]
    ports = ",\n      ".join(", ".join(names[i : i + 8]) for i in range(0, len(names), 8))
    total = sum(width for _, width in wires)
    signed, integer, fraction = score
    if signed or fraction > network.score_fraction:
        raise CheckError(
            f"the compiler made a score of format {score}; expected unsigned, {network.score_fraction} "
            "fraction bits at most"
        )
    width = integer + fraction
    zeros = network.score_fraction - fraction
    aligned = f"{{compiled_out, {zeros}'d0}}" if zeros else "compiled_out"
    return f"""// Generated by `ad40 compile`. Do not edit.
// network {network.name} {network.version} {network.hash[:12]}
module network_{index} (
    input  logic                             clk,
    // network inputs, {x_bits} bits each, and which objects are there; index 0 in the lowest bits
    input  logic [{objects.N_INPUTS * x_bits - 1}:0] x,
    input  logic [{objects.N_OBJECTS - 1}:0] present,
    // unsigned score, {network.score_fraction} fraction bits, {stages} clocks later
    output logic [{network.score_width - 1}:0] score
);
  logic [{total - 1}:0] compiled_in;
  logic [{width - 1}:0] compiled_out;
  assign compiled_in = {{
      {ports}
  }};
  ad40_network_{index} compiled (
      .clk      (clk),
      .model_inp(compiled_in),
      .model_out(compiled_out)
  );
  assign score = {network.score_width}'({aligned});  // the maximum fits: no bit that is cut is ever set
endmodule
"""


def algorithm(networks: Sequence[Network], stages: int) -> str:
    """The text of `algorithm.sv`: unpack once, then normalise and network of each model, all `stages` clocks deep."""
    table = objects.N_INPUTS * 32
    blocks = []
    for k, network in enumerate(networks):
        blocks.append(f"""
  // {network.name} {network.version} {network.hash[:12]}
  logic [{objects.N_INPUTS * network.input.format.width - 1}:0] x_{k};
  logic [{objects.N_OBJECTS - 1}:0] present_{k};
  logic [{network.score_width - 1}:0] score_{k};
  normalise #(
      .N_OBJECTS(ad40_pkg::N_OBJECTS),
      .CODE_BITS(ad40_pkg::CODE_BITS),
      .X_BITS   (ad40_pkg::X_BITS[{32 * k}+:32]),
      .X_SIGNED (ad40_pkg::X_SIGNED[{k}]),
      .WORK_BITS(ad40_pkg::WORK_BITS[{32 * k}+:32]),
      .STAGES   (ad40_pkg::NORMALISE_STAGES),
      .OFFSET   (ad40_pkg::OFFSET[{table * k}+:{table}]),
      .SHIFT    (ad40_pkg::SHIFT[{table * k}+:{table}])
  ) normalise_{k}_i (
      .clk      (clk),
      .codes    (codes),
      .present  (present),
      .x        (x_{k}),
      .present_q(present_{k})
  );
  network_{k} network_{k}_i (  // the compiled network and its score, {stages} clocks
      .clk    (clk),
      .x      (x_{k}),
      .present(present_{k}),
      .score  (score_{k})
  );
  assign scores[{k}*ad40_pkg::SCORE_BITS+:ad40_pkg::SCORE_BITS] = ad40_pkg::SCORE_BITS'(score_{k});
""")
    return f"""// Generated by `ad40 compile`. Do not edit.
// Object words of an event -> the score of every model. One event per clock, ad40_pkg::ALGORITHM_LATENCY clocks.
module algorithm (
    input  logic                                               clk,
    input  logic [                   ad40_pkg::WORDS_BITS-1:0] words,  // see `unpack`
    // Unsigned, model 0 in the lowest bits, ALGORITHM_LATENCY clocks later; LSB of model k:
    // 2^-SCORE_FRACTION[32*k+:32].
    output logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] scores
);
  logic [ad40_pkg::N_INPUTS*ad40_pkg::CODE_BITS-1:0] codes;
  logic [ad40_pkg::N_OBJECTS-1:0] present;
  unpack unpack_i (
      .words  (words),
      .codes  (codes),
      .present(present)
  );
{"".join(blocks)}endmodule
"""
