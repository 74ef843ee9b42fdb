"""Where the pipeline registers of a compiled network go: delays of alkaid's operations, and their spread over clocks.

alkaid counts no time for additions of constants, negations and comparisons with zero, so that cutting by its own
latencies makes stages of very different length. The delays here are those of firmware/synth/delays.yaml, with which
`ad40 synth` judges the mapped netlist: one model of time for both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ad40 import objects
from firmware.synth.netlist import delays

# alkaid's operations (docs/alir.md of its sources)
NEGATE, INPUT, ADD, SUBTRACT, RELU, QUANTISE, ADD_CONSTANT, CONSTANT, MUX, LOOKUP, UNARY_BITS, BINARY_BITS = (
    *range(-2, 7),
    *(8, 9, 10),
)
ADDERS = (ADD, SUBTRACT, ADD_CONSTANT)
KEY = {RELU: 0, MUX: 2}  # the operand whose sign decides
LUT_INPUTS, CARRY_BITS = 6, 4  # of a LUT; of a CARRY4
MUX_BITS = 2  # inputs that the multiplexers F7 and F8 behind the LUTs add
# Without a register behind the input stage. In `normalise`: LUTs one behind the other up to an input, up to phi as an
# angle to MET (a chain counts as a LUT), up to the presence of an object; sinks of each. In `links`: the
# same from the flags of a lane to the gate of its words.
INPUT_LEVELS, ANGLE_LEVELS, PRESENT_LEVELS, INPUT_SINKS = 4, 6, 2, 4
GATE_LEVELS, GATE_SINKS = 2, 128
SHIFT_CLOCKS = 3  # registers one behind the other that become a shift register


def _bits(interval: Any) -> int:
    """Bits that tell the values of an interval apart; 0 for a constant."""
    return math.ceil(math.log2((interval.max - interval.min) / interval.step + 1))


def _least(ops: Sequence[Any], op: Any) -> list[float]:
    """Weight of the last bit of each operand of an adder."""
    if op.opcode == ADD_CONSTANT:
        value, fraction = op.data
        return [ops[op.addr[0]].qint.step, (value & -value) * 2.0**-fraction]
    return [ops[op.addr[0]].qint.step, ops[op.addr[1]].qint.step * 2.0 ** op.data[0]]


def _whole(ops: Sequence[Any], op: Any) -> bool:
    """Does the chain of carries of an adder make all of its bits? Others are wired past it: see rtl/shift_adder.v."""
    first, second = _least(ops, op)
    return second <= first if op.opcode == SUBTRACT else first == second


def _fan_out(users: int) -> float:
    """Delay of a net with so many sinks, ns."""
    d = delays()
    return d["net"] + d["net_fanout"] * math.log2(max(users, 1))


def _input_ns(op: Any) -> float:
    """Delay from the words on the links to an input that has no register in front of it."""
    d = delays()
    gate = (GATE_LEVELS - 1) * (d["lut"] + d["net"]) + d["lut"] + _fan_out(GATE_SINKS)
    index = op.data[0]
    # who reads phi reads angles: as it is, azimuth says nothing
    levels = ANGLE_LEVELS if index % objects.N_FEATURES == objects.PHI else INPUT_LEVELS
    return gate + (levels if index < objects.N_INPUTS else PRESENT_LEVELS) * (d["lut"] + _fan_out(INPUT_SINKS))


def operation_delays(ops: Sequence[Any], merged: bool = False) -> list[float]:
    """Delay of each operation in ns, the net in front of it included. Operations that are wiring take none. merged: the
    inputs come through the logic of the input stage, without a register behind it."""
    d = delays()
    users = Counter(a for op in ops for a in op.addr)
    found = []
    for op in ops:
        width = _bits(op.qint)
        lut = d["lut"] + max((_fan_out(users[a]) for a in op.addr), default=0.0)
        # each bit goes to the LUT in front of the chain and to the chain
        adder = d["lut"] + max((_fan_out(2 * users[a]) for a in op.addr), default=0.0)
        cells = math.ceil(width / CARRY_BITS)
        adder += d["carry_in"] + (d["carry_step"] * (cells - 2) + d["carry_out"] if cells > 1 else 0.0)
        if op.opcode == INPUT and merged:
            found.append(_input_ns(op))
        elif op.opcode in (INPUT, QUANTISE, CONSTANT):
            found.append(0.0)
        elif op.opcode in ADDERS:
            found.append(adder)
        elif op.opcode == NEGATE:
            found.append(adder if width > 3 else lut if width > 1 else 0.0)
        elif op.opcode in (RELU, MUX, BINARY_BITS):
            found.append(lut)
        elif op.opcode == UNARY_BITS:  # all or any of the bits of its operand
            inputs = max(2, _bits(ops[op.addr[0]].qint))
            found.append(lut * math.ceil(math.log(inputs, LUT_INPUTS)))
        elif op.opcode == LOOKUP:
            bits = _bits(ops[op.addr[0]].qint)
            muxes = min(max(bits - LUT_INPUTS, 0), MUX_BITS)
            more = math.ceil(max(bits - LUT_INPUTS - MUX_BITS, 0) / MUX_BITS)  # a LUT chooses among four
            found.append(lut + muxes * d["mux"] + more * (d["net"] + d["lut"]))
        else:  # multiplications, which `score_logic` does not make: as alkaid estimates them
            found.append(op.latency - max((ops[a].latency for a in op.addr), default=op.latency))
    return found


class _Stages:
    """The operations spread over clocks of a given length, each in the earliest in which it finishes.

    Bitwise operations one behind the other are one LUT while an output bit depends on six bits at most. cone: those
    bits, as (operation, use of it) -> bits, where the operation is a source: an adder, a table or a register.
    """

    def __init__(self, ops: Sequence[Any], cost: Sequence[float], clock_ns: float, merged: bool = False) -> None:
        self.ops, self.clock_ns = ops, clock_ns
        self.late = delays()["shift_register"] - delays()["flip_flop"]
        # The stage at whose end the value of an operation is first in a register; that of an input may be before all
        self.kept = [-1 if op.opcode == INPUT and not merged else 0 for op in ops]
        self.users = Counter(a for op in ops for a in op.addr)
        self.stage, self.arrival = [0] * len(ops), list(cost)
        self.cone: list[dict[tuple[int, int], int]] = [{} for _ in ops]
        self.terms: list[list[int]] = [[] for _ in ops]  # of a sum: the operations that yosys adds up in it
        for i, op in enumerate(ops):
            if op.addr:
                self.stage[i] = max(self.stage[a] for a in op.addr)
                self.arrival[i] = self._arrival(i, op, cost[i])
                if self.arrival[i] > clock_ns:
                    self.stage[i], self.arrival[i] = self.stage[i] + 1, 0.0
                    self.arrival[i] = self._arrival(i, op, cost[i])
                self.kept[i] = self.kept[op.addr[0]] if self._wires(op, cost[i]) else self.stage[i]

    @staticmethod
    def _wires(op: Any, cost: float) -> bool:
        return op.opcode == QUANTISE or (op.opcode == NEGATE and cost == 0)

    def _at(self, a: int, stage: int) -> float:
        if self.stage[a] == stage:
            return self.arrival[a]
        return self.late if stage - self.kept[a] >= SHIFT_CLOCKS else 0.0

    def _operand(self, i: int, a: int, use: int) -> dict[tuple[int, int], int]:
        """The bits that one bit of operand `a` of operation i depends on."""
        return self.cone[a] if self.cone[a] and self.stage[a] == self.stage[i] else {(a, use): 1}

    def _arrival(self, i: int, op: Any, cost: float) -> float:
        bits = op.opcode in (RELU, MUX, BINARY_BITS, UNARY_BITS)
        if self._wires(op, cost):
            self.cone[i] = self._operand(i, op.addr[0], i)
        if bits:
            cone: dict[tuple[int, int], int] = {}
            for place, a in enumerate(op.addr):
                for (source, use), n in self._operand(i, a, 0).items():
                    # a sign, or what is counted over all bits, is another input than the bit beside it
                    apart = -1 - i if op.opcode == UNARY_BITS or place == KEY.get(op.opcode) else use
                    n *= _bits(self.ops[a].qint) if op.opcode == UNARY_BITS else 1
                    cone[source, apart] = max(n, cone.get((source, apart), 0))
            if op.opcode == RELU:
                cone |= self._operand(i, op.addr[0], 0)
            self.cone[i] = cone if sum(cone.values()) <= LUT_INPUTS else {}
            if self.cone[i]:
                nets = [self._at(a, self.stage[i]) + _fan_out(self.users[a]) for a, _ in self.cone[i]]
                return delays()["lut"] + max(nets)
        if op.opcode in ADDERS:
            return self._sum(i, op, cost)
        return cost + max(self._at(a, self.stage[i]) for a in op.addr)

    def _sum(self, i: int, op: Any, cost: float) -> float:
        """Arrival of a sum. Yosys takes an adder that nobody else uses, and whose sum enters another one as it is, for
        part of that one: numbers are added three to two by LUTs until two are left for a chain of carries."""
        least = _least(self.ops, op)
        found = self.terms[i] = []
        for a, own, other in zip(op.addr, least, least[::-1], strict=False):
            alone = self.ops[a].opcode in ADDERS and self.users[a] == 1 and self.stage[a] == self.stage[i]
            enters = own >= other if op.opcode != SUBTRACT else own == other or a == op.addr[1]
            found += self.terms[a] if alone and enters and _whole(self.ops, self.ops[a]) else [a]
        left, levels = len(found), 0
        while left > 2:
            left, levels = left - left // 3, levels + 1
        longer = levels * (delays()["lut"] + delays()["net"]) + max(self._at(a, self.stage[i]) for a in found)
        return cost + max(longer, *(self._at(a, self.stage[i]) for a in op.addr))


def total_ns(logic: Any) -> float:
    """Longest way through the logic without registers, ns."""
    return max(_Stages(logic.ops, operation_delays(logic.ops), math.inf).arrival)


def _overhead_ns() -> float:
    """What a clock loses to its registers, and to what mapping may add, ns."""
    d = delays()
    return d["flip_flop"] + d["setup"] + d["uncertainty"] + d["mapping"]


def fewest_stages(logic: Any, clock_ns: float, merged: bool = False) -> int | None:
    """Stages that the logic needs when none may be longer than a clock; None: one operation alone is longer."""
    cost, within = operation_delays(logic.ops, merged), clock_ns - _overhead_ns()
    return None if max(cost) > within else max(_Stages(logic.ops, cost, within, merged).stage) + 1


def place(logic: Any, stages: int, merged: bool = False) -> tuple[Any, float]:
    """Spread the operations over `stages` clocks so that the slowest stage is as short as possible.

    The shortest clock for which no more than `stages` are needed is found by bisection. Returns the logic with its
    latencies rewritten to whole clocks (which is where alkaid then cuts) and the delay of the slowest stage in ns, from
    register to register. merged: the first stage holds the arithmetic of the input stage, too.
    """
    ops = logic.ops
    cost = operation_delays(ops, merged)
    low, high = max(cost), total_ns(logic) + 2.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if max(_Stages(ops, cost, middle, merged).stage) < stages else (middle, high)
    spread = _Stages(ops, cost, high, merged)
    pairs = zip(ops, spread.stage, spread.arrival, strict=True)
    rewritten = [op._replace(latency=s + min(a / high, 1.0)) for op, s, a in pairs]
    for index in logic.out_idxs:
        rewritten[index] = rewritten[index]._replace(latency=float(stages))
    return logic._replace(ops=rewritten), max(spread.arrival) + _overhead_ns()
