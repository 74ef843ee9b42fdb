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
KEY = {RELU: 0, MUX: 2}  # the operand whose sign decides
LUT_INPUTS, CARRY_BITS = 6, 4  # of a LUT; of a CARRY4
MUX_BITS = 2  # inputs that the multiplexers F7 and F8 behind the LUTs add
INPUT_LEVELS = (3, 2)  # LUTs one behind the other in `normalise` up to an input, and up to the presence of an object


def _bits(interval: Any) -> int:
    """Bits that tell the values of an interval apart; 0 for a constant."""
    return math.ceil(math.log2((interval.max - interval.min) / interval.step + 1))


def _fan_out(users: int) -> float:
    """Delay of a net with so many sinks, ns."""
    d = delays()
    return d["net"] + d["net_fanout"] * math.log2(max(users, 1))


def operation_delays(ops: Sequence[Any], merged: bool = False) -> list[float]:
    """Delay of each operation in ns, the net in front of it included. Operations that are wiring take none. merged: the
    inputs come through the logic of the input stage, without a register behind it."""
    d = delays()
    users = Counter(a for op in ops for a in op.addr)
    found = []
    for op in ops:
        width = _bits(op.qint)
        lut = d["lut"] + max((_fan_out(users[a]) for a in op.addr), default=0.0)
        adder = lut + d["carry_in"] + d["carry_step"] * max(0, math.ceil(width / CARRY_BITS) - 1) + d["carry_out"]
        if op.opcode == INPUT and merged:
            found.append(INPUT_LEVELS[op.data[0] >= objects.N_INPUTS] * (d["lut"] + d["net"]))
        elif op.opcode in (INPUT, QUANTISE, CONSTANT):
            found.append(0.0)
        elif op.opcode in (ADD, SUBTRACT, ADD_CONSTANT):
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

    def __init__(self, ops: Sequence[Any], cost: Sequence[float], clock_ns: float) -> None:
        self.ops, self.clock_ns = ops, clock_ns
        self.users = Counter(a for op in ops for a in op.addr)
        self.stage, self.arrival = [0] * len(ops), list(cost)
        self.cone: list[dict[tuple[int, int], int]] = [{} for _ in ops]
        for i, op in enumerate(ops):
            if op.addr:
                self.stage[i] = max(self.stage[a] for a in op.addr)
                self.arrival[i] = self._arrival(i, op, cost[i])
                if self.arrival[i] > clock_ns:
                    self.stage[i], self.arrival[i] = self.stage[i] + 1, 0.0
                    self.arrival[i] = self._arrival(i, op, cost[i])

    def _at(self, a: int, stage: int) -> float:
        return self.arrival[a] if self.stage[a] == stage else 0.0

    def _operand(self, i: int, a: int, use: int) -> dict[tuple[int, int], int]:
        """The bits that one bit of operand `a` of operation i depends on."""
        return self.cone[a] if self.cone[a] and self.stage[a] == self.stage[i] else {(a, use): 1}

    def _arrival(self, i: int, op: Any, cost: float) -> float:
        bits = op.opcode in (RELU, MUX, BINARY_BITS, UNARY_BITS)
        wires = op.opcode == QUANTISE or (op.opcode == NEGATE and cost == 0)
        if wires:
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
        return cost + max(self._at(a, self.stage[i]) for a in op.addr)


def total_ns(logic: Any) -> float:
    """Longest way through the logic without registers, ns."""
    return max(_Stages(logic.ops, operation_delays(logic.ops), math.inf).arrival)


def _overhead_ns() -> float:
    """What a clock loses to its registers, ns."""
    d = delays()
    return d["flip_flop"] + d["setup"] + d["uncertainty"]


def fewest_stages(logic: Any, clock_ns: float, merged: bool = False) -> int | None:
    """Stages that the logic needs when none may be longer than a clock; None: one operation alone is longer."""
    cost, within = operation_delays(logic.ops, merged), clock_ns - _overhead_ns()
    return None if max(cost) > within else max(_Stages(logic.ops, cost, within).stage) + 1


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
        low, high = (low, middle) if max(_Stages(ops, cost, middle).stage) < stages else (middle, high)
    spread = _Stages(ops, cost, high)
    pairs = zip(ops, spread.stage, spread.arrival, strict=True)
    rewritten = [op._replace(latency=s + min(a / high, 1.0)) for op, s, a in pairs]
    for index in logic.out_idxs:
        rewritten[index] = rewritten[index]._replace(latency=float(stages))
    return logic._replace(ops=rewritten), max(spread.arrival) + _overhead_ns()
