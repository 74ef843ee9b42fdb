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

from firmware.synth.netlist import delays

# alkaid's operations (docs/alir.md of its sources)
NEGATE, INPUT, ADD, SUBTRACT, RELU, QUANTISE, ADD_CONSTANT, CONSTANT, MUX, LOOKUP, UNARY_BITS, BINARY_BITS = (
    *range(-2, 7),
    *(8, 9, 10),
)
LUT_INPUTS, CARRY_BITS = 6, 4  # of a LUT; of a CARRY4
MUX_BITS = 2  # inputs that the multiplexers F7 and F8 behind the LUTs add


def _bits(interval: Any) -> int:
    """Bits that tell the values of an interval apart; 0 for a constant."""
    return math.ceil(math.log2((interval.max - interval.min) / interval.step + 1))


def operation_delays(ops: Sequence[Any]) -> list[float]:
    """Delay of each operation in ns, the net in front of it included. Operations that are wiring take none."""
    d = delays()
    users = Counter(a for op in ops for a in op.addr)
    found = []
    for op in ops:
        width = _bits(op.qint)
        lut = d["lut"] + max((d["net"] + d["net_fanout"] * math.log2(users[a]) for a in op.addr), default=0.0)
        adder = lut + d["carry_in"] + d["carry_step"] * max(0, math.ceil(width / CARRY_BITS) - 1) + d["carry_out"]
        if op.opcode in (INPUT, QUANTISE, CONSTANT):
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


def total_ns(logic: Any) -> float:
    """Longest way through the logic without registers, ns."""
    arrival: list[float] = []
    for op, delay in zip(logic.ops, operation_delays(logic.ops), strict=True):
        arrival.append(delay + max((arrival[a] for a in op.addr), default=0.0))
    return max(arrival)


def _overhead_ns() -> float:
    """What a clock loses to its registers, ns."""
    d = delays()
    return d["flip_flop"] + d["setup"] + d["uncertainty"]


def _schedule(ops: Sequence[Any], cost: Sequence[float], clock_ns: float) -> tuple[list[int], list[float]]:
    """Stage and arrival time in it of each operation, each in the earliest stage in which it finishes."""
    stage, arrival = [0] * len(ops), [0.0] * len(ops)
    for i, op in enumerate(ops):
        if op.addr:
            stage[i] = max(stage[a] for a in op.addr)
            arrival[i] = cost[i] + max(arrival[a] for a in op.addr if stage[a] == stage[i])
            if arrival[i] > clock_ns:
                stage[i], arrival[i] = stage[i] + 1, cost[i]
    return stage, arrival


def fewest_stages(logic: Any, clock_ns: float) -> int | None:
    """Stages that the logic needs when none may be longer than a clock; None: one operation alone is longer."""
    cost, within = operation_delays(logic.ops), clock_ns - _overhead_ns()
    return None if max(cost) > within else max(_schedule(logic.ops, cost, within)[0]) + 1


def place(logic: Any, stages: int) -> tuple[Any, float]:
    """Spread the operations over `stages` clocks so that the slowest stage is as short as possible.

    The shortest clock for which `_schedule` needs no more than `stages` is found by bisection. Returns the logic with
    its latencies rewritten to whole clocks (which is where alkaid then cuts) and the delay of the slowest stage in ns,
    from register to register.
    """
    ops = logic.ops
    cost = operation_delays(ops)
    low, high = max(cost), total_ns(logic) + 1.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if max(_schedule(ops, cost, middle)[0]) < stages else (middle, high)
    stage, arrival = _schedule(ops, cost, high)
    rewritten = [op._replace(latency=s + min(a / high, 1.0)) for op, s, a in zip(ops, stage, arrival, strict=True)]
    for index in logic.out_idxs:
        rewritten[index] = rewritten[index]._replace(latency=float(stages))
    return logic._replace(ops=rewritten), max(arrival) + _overhead_ns()
