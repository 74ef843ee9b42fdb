"""What is proven of the firmware, block by block, and the faults that each proof must refute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ad40.model import Trigger
from ad40.spec import LatencySpec
from sim import input_stage


@dataclass(frozen=True)
class Fault:
    """A planted fault: in `file`, `fault` for what stands `here`. A proof that still passes proves nothing."""

    file: str
    here: str
    fault: str


@dataclass(frozen=True)
class Proof:
    """One problem for the solver.

    sources: files of the firmware, without suffix. properties: files of sim/formal, or `text` with generated ones;
    extra: sources that are generated beside them. parameters: of the top. induction: clocks of the hypothesis; 0:
    the proof is bounded to `depth` clocks. depth: clocks of the bounded check, also the base of the induction.
    small, small_package: parameters, and constants of ad40_pkg, with which covers and planted faults are reached within
    `reach` clocks. cut: wires that take
    any value at any time, in place of logic that the property is not about; more behaviours than the block has.
    stubs: source -> what stands for the body of its module; outputs that it does not drive take any value.
    """

    name: str
    claim: str
    top: str
    sources: tuple[str, ...]
    faults: tuple[Fault, ...]
    properties: tuple[str, ...] = ()
    text: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)
    small: Mapping[str, int] | None = None
    small_package: Mapping[str, int] = field(default_factory=dict)
    depth: int = 4
    induction: int = 2
    reach: int = 10
    cut: str = ""
    stubs: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "induction" if self.induction else "bounded"


def _fields(*values: int, width: int = 32) -> int:
    return sum(value << (width * i) for i, value in enumerate(values))


# An event of two objects in three words, as the packetiser takes it
_SMALL_EVENT = {
    "N_OBJECTS": 2,
    "EVENT_WORDS": 3,
    "PT_LOW": _fields(0, 34),
    "PT_BITS": _fields(4, 3),
    "WORD_OBJECT": _fields(0, 1, 1),
    "N_MODELS": 1,
    "SCORE_BITS": 4,
    "N_SEEDS": 2,
    "BX_BITS": 3,
    "ORBIT_BITS": 4,
}
# Two lanes of three clocks, two BX in an orbit
_SMALL_LINKS = {
    "N_LANES": 2, "PAYLOAD_WORDS": 2, "CLOCKS_PER_BX": 3, "ORBIT_BX": 2, "EVENT_WORDS": 2, "WORD_LANE": _fields(0, 1),
    "WORD_INDEX": _fields(0, 1), "ORBIT_BITS": 4,
}  # fmt: skip

# What ad40_core promises about time
_CORE = """\
  logic [ad40_pkg::LATENCY-1:0] valid;
  always_ff @(posedge clk) valid <= rst ? '0 : {valid[ad40_pkg::LATENCY-2:0], s_valid};
  assign m_valid = valid[ad40_pkg::LATENCY-1];
"""

HAND_WRITTEN: tuple[Proof, ...] = (
    Proof(
        "prescale counts",
        "after k firings exactly floor(100 k / factor) have passed; the counter is below the factor",
        "prescale",
        ("prescale",),
        (
            Fault("prescale", "reached = !balance[FACTOR_BITS]", "reached = !balance[FACTOR_BITS] && balance != '0"),
            Fault("prescale", "if (rst || !enabled) balance <= start;", "if (!enabled) balance <= start;"),
            Fault("prescale", "assign pass = fire && reached && enabled;", "assign pass = fire && enabled;"),
        ),
        ("prescale",),
        induction=1,
    ),
    Proof(
        "threshold monotone",
        "a tighter seed never fires without the looser of its model; a higher score never takes a firing away",
        "threshold_pair",
        ("ad40_pkg", "threshold"),
        (
            Fault("threshold", "score >= cfg_threshold", "score > cfg_threshold"),
            Fault("threshold", "+:SCORE_BITS]);", "+:SCORE_BITS-1]);"),
        ),
        ("threshold",),
        depth=2,
        induction=1,
        reach=2,
    ),
    Proof(
        "trigger rules",
        "at most i L1A in any n consecutive slots, for all windows; a refusal only where a rule would be broken",
        "rules",
        ("rules",),
        (
            Fault("rules", "if_accepted[i] = newer_next >=", "if_accepted[i] = age_next >="),
            Fault("rules", "newer == FAR ? FAR : newer_next", "newer == FAR ? '0 : newer_next"),
            Fault("rules", "if_rejected[i] = age_next >=", "if_rejected[i] = {1'b0, age} >="),
        ),
        ("rules",),
        small={"WINDOW_BITS": 3},
        induction=1,
        reach=14,
    ),
    Proof(
        "FIFO order",
        "the k-th word in is the k-th word out; never over, never from nothing, valid and data stay until ready",
        "fifo",
        ("memory", "fifo"),
        (
            Fault("fifo", "count != COUNT_BITS'(DEPTH);", "1'b1;"),
            Fault("fifo", "&& (!m_valid || m_ready);", "&& (!m_valid || m_ready || count == COUNT_BITS'(DEPTH));"),
            Fault("fifo", "m_valid <= fetch || (m_valid && !m_ready);", "m_valid <= fetch;"),
            Fault("memory", "if (read) read_data <=", "read_data <="),
        ),
        ("memory", "fifo"),
        parameters={"WIDTH": 8, "DEPTH": 16},
        small={"WIDTH": 4, "DEPTH": 4},
        reach=10,
    ),
    Proof(
        "BX counter",
        "BX and orbit of every event are those of the clocks since the alignment: below ORBIT_BX, one event per BX",
        "links",
        ("ad40_pkg", "counter", "links"),
        (
            Fault("links", "bx <= bx_now == LAST_BX ? '0 : bx_now + 1'b1;", "bx <= bx_now + 1'b1;"),
            Fault("links", "word_now = restart ? '0 : word;", "word_now = word;"),
            Fault("links", "orbit <= bx_now == LAST_BX ? orbit_now + 1'b1 : orbit_now;", "orbit <= orbit_now;"),
        ),
        ("links",),
        small=_SMALL_LINKS,
        reach=16,
    ),
    Proof(
        "faulty frames",
        "a frame with an error or a hole is never delivered and its event is flagged, for every lane",
        "links",
        ("ad40_pkg", "counter", "links"),
        (
            Fault("links", "gap_now  = (gap && !first_word) ||", "gap_now  ="),
            Fault("links", "&& lane_valid[l] && !lane_error[l]", "&& lane_valid[l]"),
        ),
        ("links_lane",),
        parameters={"ORBIT_BX": 3},
        depth=12,
        induction=11,  # more than the clocks of a BX
        reach=20,
    ),
    Proof(
        "AXI4-Lite",
        "handshakes of the registers: answers stay, one for each request and none without, within four clocks",
        "registers",
        ("ad40_pkg", "registers"),
        (
            Fault("registers", "else if (s_axi_bready) s_axi_bvalid <= 1'b0;", "else s_axi_bvalid <= 1'b0;"),
            Fault("registers", "if (read_step[1]) begin\n      s_axi_rdata", "if (1'b1) begin\n      s_axi_rdata"),
            Fault("registers", "write_decode <= aw_held && w_held;", "write_decode <= aw_held;"),
        ),
        ("axi_lite",),
        depth=8,
        induction=6,
        reach=10,
        cut="w:row_*",
    ),
    Proof(
        "packets",
        "every packet has the length that its event asks for, last on its CRC only, whatever the receiver does",
        "packetiser",
        ("ad40_pkg", "crc32", "packetiser"),
        (
            Fault("packetiser", "assign step = !m_axis_tvalid || m_axis_tready;", "assign step = 1'b1;"),
            Fault("packetiser", "if (s_ready) complete <= 1'b0;", "if (step) complete <= 1'b0;"),
            Fault("packetiser", "assign choose = s_valid && !complete;", "assign choose = s_valid;"),
        ),
        ("packetiser",),
        parameters=_SMALL_EVENT,
        depth=6,
        reach=17,
        cut="w:crc",
    ),
    Proof(
        "AXI4-Stream",
        "output of the readout: valid stays until ready, with steady data and last",
        "readout",
        ("ad40_pkg", "counter", "crc32", "memory", "fifo", "packetiser", "readout"),
        (
            Fault("packetiser", "assign step = !m_axis_tvalid || m_axis_tready;", "assign step = 1'b1;"),
            Fault("packetiser", "    if (step) begin\n      chosen_data", "    begin\n      chosen_data"),
        ),
        ("axi_stream",),
        small=_SMALL_EVENT | {"L1A_LATENCY_BX": 1, "RING_DEPTH": 2, "SLOTS_IN_FLIGHT": 1, "DERANDOMISER_DEPTH": 2},
        depth=3,
        reach=12,
    ),
    Proof(
        "stream credits",
        "an event is taken only when its decision has a place in the output FIFO; valid stays until ready",
        "ad40_stream",
        ("ad40_pkg", "counter", "delay", "widen", "memory", "fifo", "registers", "ad40_core", "ad40_stream"),
        (
            Fault("ad40_stream", "places + COUNT_BITS'(s_valid) < COUNT_BITS'(FIFO_DEPTH)",
                  "places < COUNT_BITS'(FIFO_DEPTH)"),
            Fault("ad40_stream", "places + COUNT_BITS'(s_valid) - COUNT_BITS'(leaves);",
                  "places + COUNT_BITS'(s_valid) - COUNT_BITS'(m_axis_tready && places != '0);"),
        ),
        ("memory", "fifo", "stream"),
        depth=3,
        small={"FIFO_DEPTH": 4},
        small_package={"LATENCY": 3},
        reach=12,
        stubs={"registers": "", "ad40_core": _CORE},
    ),
)  # fmt: skip


def input_stages(trigger: Trigger, timing: LatencySpec) -> Proof:
    """The generated input stages of all models of a design."""
    stages = timing.stages["normalise"]
    from_met = (
        Fault("angle", "assign negated = sign ^ beyond;", "assign negated = sign;"),
        Fault("angle", "TURN + 1 - OFFSET", "TURN - OFFSET"),
        Fault("normalise", "present[i/3] && present[MET] ? clipped", "present[i/3] ? clipped"),
    )
    angles = any(network.input.angles.any() for network in trigger.networks)
    return Proof(
        "input stages",
        "unpack and normalise of every model equal their integer definition, for all words and every input",
        "algorithm",
        ("ad40_pkg", "delay", "unpack", "angle", "normalise", "algorithm"),
        (
            Fault("normalise", "centred >>> INPUT_SHIFT", "centred >>> (INPUT_SHIFT + 1)"),
            Fault("normalise", "assign sign = shifted", "assign sign = !shifted"),
            Fault("normalise", "present[i/3] ? clipped", "1'b1 ? clipped"),
            Fault("ad40_pkg", "OFFSET = {32'h", "OFFSET = {32'h1"),
            Fault("ad40_pkg", "PHI_BITS = {32'h8", "PHI_BITS = {32'h7"),
            *(from_met if angles else ()),
        ),
        text=input_stage.properties(trigger.networks, stages),
        extra={"networks.sv": input_stage.without_networks(trigger.networks)},
        depth=stages + 2,
        induction=stages + 1,
        reach=stages + 2,
    )


def proofs(trigger: Trigger, timing: LatencySpec) -> list[Proof]:
    """Everything that is proven of a design."""
    return [*HAND_WRITTEN, input_stages(trigger, timing)]
