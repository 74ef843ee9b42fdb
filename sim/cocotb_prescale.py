"""cocotb test of prescale.sv: random firings, factors and resets against the menu's own counters."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from ad40.menu import Menu, MenuState, ModelRef, Seed
from sim.bench import GAPS, draw, edge, gaps, settle, start

FACTORS = (0, 100, 101, 150, 237, 399, 1000, 123456)


def passes(factor: int, fired: list[bool]) -> list[bool]:
    """What the menu lets pass of `fired`, its counter starting at 0."""
    state = MenuState(Menu((ModelRef("bench", ""),), "", (Seed("seed", "bench", 1, (factor / 100,)),)))
    return state.decide(np.array(fired, np.int32)).seeds_after[:, 0].tolist()


async def count(dut: Any, factor: int, fired: list[bool]) -> None:
    """Fire, one clock after the other, and hold every pass against the menu."""
    found = []
    for fire in fired:
        dut.fire.value = int(fire)
        await settle()  # pass follows fire in the same clock
        found.append(bool(dut["pass"].value))
        await edge(dut)
    wanted = passes(factor, fired)
    wrong = [i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b]
    assert not wrong, f"factor {factor}: {len(wrong)}/{len(fired)} clocks differ, first at clock {wrong[0]}"
    assert sum(found) == (100 * sum(fired) // factor if factor else 0)


@cocotb.test()
@cocotb.parametrize(factor=FACTORS)
async def follows_the_rule(dut: Any, factor: int) -> None:
    """Some hundred clocks with every kind of gap between firings; a reset before each, with fire high."""
    rng = draw("prescale", factor)
    await start(dut, {"fire": rng.randrange(2), "cfg_factor": factor})
    for kind in GAPS:
        idle = gaps(kind, rng)
        await count(dut, factor, [not next(idle) for _ in range(rng.randint(50, 200))])
        dut.fire.value, dut.rst.value = 1, 1
        await edge(dut)
        dut.rst.value = 0


@cocotb.test()
async def factor_changes_with_a_reset(dut: Any) -> None:
    """A new factor that comes with rst counts from the next clock on; switching off and on needs no reset."""
    rng = draw("prescale", "change")
    await start(dut, {"fire": 0, "cfg_factor": 100})
    for factor in (150, 100, 987, 123, *(rng.randint(100, 1000) for _ in range(10))):
        dut.rst.value, dut.cfg_factor.value, dut.fire.value = 1, factor, rng.randrange(2)
        await edge(dut)
        dut.rst.value = 0
        await count(dut, factor, [rng.random() < 0.7 for _ in range(60)])
        dut.cfg_factor.value, dut.fire.value = 0, 0
        await edge(dut)
        await count(dut, 0, [rng.random() < 0.7 for _ in range(20)])
        dut.cfg_factor.value, dut.fire.value = factor, 0
        await edge(dut)
        await count(dut, factor, [rng.random() < 0.7 for _ in range(60)])
