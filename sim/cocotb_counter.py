"""cocotb test of counter.sv: a short counter wraps many times, with clears at random."""

from __future__ import annotations

from typing import Any

import cocotb

from sim.bench import GAPS, PARAMETERS, draw, edge, gaps, settle, start

BITS = PARAMETERS["BITS"]


@cocotb.test()
@cocotb.parametrize(kind=GAPS)
async def counts_and_wraps(dut: Any, kind: str) -> None:
    rng = draw("counter", kind)
    await start(dut, {"inc": 0})
    idle = gaps(kind, rng)
    count = wraps = clears = 0
    for clock in range(600):
        inc, clear = not next(idle), clock > 400 and rng.random() < 0.1
        dut.inc.value, dut.rst.value = int(inc), int(clear)
        await settle()
        assert int(dut.count.value) == count, f"clock {clock}"
        wraps += count + inc == 1 << BITS
        clears += clear
        count = ((0 if clear else count) + inc) % (1 << BITS)
        await edge(dut)
    assert wraps and clears
