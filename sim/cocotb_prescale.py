"""cocotb test of prescale.sv: random firings, factors and resets against the menu's own counters."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from ad40.menu import Menu, MenuState, ModelRef, Seed


def passes(factor: int, fired: list[bool]) -> list[bool]:
    """What the menu lets pass of `fired`, its counter starting at 0."""
    state = MenuState(Menu((ModelRef("bench", ""),), "", (Seed("seed", "bench", 1, (factor / 100,)),)))
    return state.decide(np.array(fired, np.int32)).seeds_after[:, 0].tolist()


@cocotb.test()
@cocotb.parametrize(factor=(0, 100, 101, 150, 237, 399, 1000, 123456))
async def follows_the_rule(dut: Any, factor: int) -> None:
    """The counter is reset, then some hundred clocks with firings at random; and once more after a second reset."""
    draw = random.Random(factor)
    Clock(dut.clk, 4, "ns").start()
    for length in (400, 57):
        dut.rst.value, dut.fire.value, dut.cfg_factor.value = 1, draw.randrange(2), factor
        for _ in range(3):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        fired = [draw.random() < 0.7 for _ in range(length)]
        found = []
        for fire in fired:
            dut.fire.value = int(fire)
            await Timer(1, "ns")  # pass follows fire in the same clock
            found.append(bool(dut["pass"].value))
            await FallingEdge(dut.clk)
        wanted = passes(factor, fired)
        wrong = [i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b]
        assert not wrong, f"factor {factor}: {len(wrong)}/{length} clocks differ, first at clock {wrong[0]}"
        assert sum(found) == (100 * sum(fired) // factor if factor else 0)
