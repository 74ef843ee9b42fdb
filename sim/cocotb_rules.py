"""cocotb test of rules.sv against the rule itself: at most i accepts in any n consecutive slots; and, where the
windows stand still, against the menu's own rules."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from ad40.menu import Menu, MenuState, ModelRef, Rule, Seed
from sim.bench import GAPS, PARAMETERS, draw, edge, gaps, join, settle, start

N_RULES, WINDOW_BITS = PARAMETERS["N_RULES"], PARAMETERS["WINDOW_BITS"]
LARGEST = (1 << WINDOW_BITS) - 1


def refusing(accepts: list[int], slot: int, windows: list[int]) -> list[int]:
    """Rules that one more accept in this slot would break, counted in the window that ends with the slot."""
    return [
        i for i, window in enumerate(windows) if window and sum(slot - window < a for a in accepts) + 1 > i + 1
    ]  # fmt: skip


def draw_windows(rng: random.Random) -> list[int]:
    """Windows of all kinds: off, useless, usual, the largest."""
    return [rng.choice((0, i, i + 1, i + 2, rng.randint(1, LARGEST), LARGEST)) for i in range(N_RULES)]


@cocotb.test()
@cocotb.parametrize(kind=GAPS)
async def never_too_many(dut: Any, kind: str) -> None:
    rng = draw("rules", kind)
    await start(dut, {"slot": 0, "accept": 0, "cfg_window": 0})
    idle = gaps(kind, rng)
    for trial in range(12):
        windows = draw_windows(rng) if trial else [0] * N_RULES
        dut.cfg_window.value = join(windows, WINDOW_BITS)
        dut.rst.value, dut.slot.value, dut.accept.value = 1, 0, 0
        await edge(dut)
        dut.rst.value = 0
        await edge(dut)
        accepts: list[int] = []
        wishes: list[bool] = []
        share = rng.choice((0.05, 0.5, 1.0))
        refused = 0
        for clock in range(30 + 4 * LARGEST):
            slot, wish = not next(idle), rng.random() < share
            dut.slot.value = int(slot)
            dut.accept.value = 0
            await settle()
            now = len(wishes)
            allowed = bool(dut.allow.value)
            broken = refusing(accepts, now, windows)
            assert allowed == (not broken), (
                f"{kind}, windows {windows}, clock {clock}, slot {now}: allow {allowed}, last accepts {accepts[-5:]}"
            )
            dut.accept.value = int(slot and wish and allowed)
            refused += slot and wish and not allowed
            if slot:
                wishes.append(wish)
                if wish and allowed:
                    accepts.append(now)
            await edge(dut)
        rules = tuple(Rule(i + 1, window) for i, window in enumerate(windows) if window)
        menu = Menu((ModelRef("bench", ""),), "", (Seed("seed", "bench", 1),), rules=rules)
        l1a = MenuState(menu).decide(np.array(wishes, np.int32)).l1a
        assert np.flatnonzero(l1a).tolist() == accepts, "the menu decides otherwise"
        if share == 1.0 and any(window > i + 1 for i, window in enumerate(windows)) and len(wishes) > 2 * N_RULES:
            assert refused, f"windows {windows} refused nothing"


@cocotb.test()
async def windows_change_at_work(dut: Any) -> None:
    """A window set between two slots counts from the slot in the clock after the change."""
    rng = draw("rules", "change")
    windows = [0] * N_RULES
    await start(dut, {"slot": 0, "accept": 0, "cfg_window": 0})
    accepts: list[int] = []
    slot = 0
    for _ in range(1500):
        if rng.random() < 0.05:
            windows = draw_windows(rng)
            dut.cfg_window.value = join(windows, WINDOW_BITS)
            dut.slot.value = 0
            dut.accept.value = 0
            await edge(dut)
        busy = rng.random() < 0.8
        dut.slot.value, dut.accept.value = int(busy), 0
        await settle()
        allowed = bool(dut.allow.value)
        assert allowed == (not refusing(accepts, slot, windows)), f"slot {slot}, windows {windows}"
        take = busy and allowed and rng.random() < 0.6
        dut.accept.value = int(take)
        if take:
            accepts.append(slot)
        slot += busy
        await edge(dut)
