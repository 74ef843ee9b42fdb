"""cocotb test of fifo.sv: every mix of idle input and held output against a Python deque."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb

from sim.bench import GAPS, PARAMETERS, draw, edge, gaps, settle, start

WIDTH, DEPTH = PARAMETERS["WIDTH"], PARAMETERS["DEPTH"]


@cocotb.test()
@cocotb.parametrize(feed=GAPS, drain=GAPS)
async def keeps_order(dut: Any, feed: str, drain: str) -> None:
    rng = draw("fifo", feed, drain)
    await start(dut, {"s_valid": 0, "m_ready": 0, "s_data": 0})
    idle, hold = gaps(feed, rng), gaps(drain, rng)
    held: deque[tuple[int, int]] = deque()  # (word, clock at which it was taken)
    waiting: int | None = None
    taken = left = full = empty = resets = 0
    for clock in range(500):
        reset = clock in (250, 251, 300)
        dut.rst.value, dut.s_valid.value, dut.m_ready.value = int(reset), int(not next(idle)), int(not next(hold))
        dut.s_data.value = rng.getrandbits(WIDTH)
        await settle()
        push = bool(dut.s_valid.value) and bool(dut.s_ready.value)
        pop = bool(dut.m_valid.value) and bool(dut.m_ready.value)
        where = f"clock {clock}"
        assert bool(dut.s_ready.value) == (len(held) < DEPTH), f"{where}: s_ready with {len(held)} words"
        assert int(dut.count.value) == len(held), where
        offered = bool(held) and held[0][1] <= clock - 2
        assert bool(dut.m_valid.value) == offered, f"{where}: m_valid, {len(held)} words held"
        assert offered or waiting is None, f"{where}: m_valid dropped"
        if offered:
            assert int(dut.m_data.value) == held[0][0], f"{where}: wrong word"
        waiting = int(dut.m_data.value) if dut.m_valid.value and not pop else None
        full += len(held) == DEPTH
        empty += not held
        if pop:
            held.popleft()
            left += 1
        if push:
            held.append((int(dut.s_data.value), clock))
            taken += 1
        if reset:
            held.clear()
            waiting = None
            resets += 1
        await edge(dut)
    assert resets == 3 and taken and left
    if feed == "never" and drain == "mostly":
        assert full
    if feed == "mostly" and drain == "never":
        assert empty
