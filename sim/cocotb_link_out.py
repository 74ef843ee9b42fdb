"""cocotb test of link_out.sv: frames of random decisions, spaced as decisions are, cut short, and reset."""

from __future__ import annotations

from typing import Any

import cocotb

from sim.bench import PACKAGE, PARAMETERS, draw, edge, join, settle, start

NUMBERS = PACKAGE | PARAMETERS
CLOCKS, MODELS, SEEDS = NUMBERS["CLOCKS_PER_BX"], NUMBERS["N_MODELS"], NUMBERS["N_SEEDS"]
SCORE_BITS, BX_BITS = NUMBERS["SCORE_BITS"], NUMBERS["BX_BITS"]
PINS = ("s_valid", "s_error", "s_bx", "s_scores", "s_seeds_before", "s_seeds_after", "s_request", "s_l1a")


@cocotb.test()
@cocotb.parametrize(spacing=("next BX", "pauses", "cut short"))
async def frames_follow_decisions(dut: Any, spacing: str) -> None:
    rng = draw("link_out", spacing)
    await start(dut, dict.fromkeys(PINS, 0))
    frame: list[tuple[int, int, int, int]] = []  # (data, valid, sof, soo) of the clocks to come
    wait = 3
    for clock in range(1500):
        reset = spacing == "cut short" and rng.random() < 0.01
        send = wait == 0
        error, request, l1a = (rng.randrange(2) for _ in range(3))
        bx = rng.choice((0, 1, (1 << BX_BITS) - 1, rng.getrandbits(BX_BITS)))
        scores = [rng.getrandbits(SCORE_BITS) for _ in range(MODELS)]
        before, after = rng.getrandbits(SEEDS), rng.getrandbits(SEEDS)
        values = (int(send), error, bx, join(scores, SCORE_BITS), before, after, request, l1a)
        for name, value in zip(PINS, values, strict=True):
            dut[name].value = value
        dut.rst.value = int(reset)
        await settle()
        wanted = frame.pop(0) if frame else (0, 0, 0, 0)
        found = tuple(int(dut[name].value) for name in ("out_data", "out_valid", "out_sof", "out_soo"))
        assert found == wanted, f"clock {clock}: {found}, not {wanted}"
        if send:
            payload = [l1a << 31 | error << 30 | request << 29 | bx, before, after, *scores, *([0] * (3 - MODELS))]
            data = [0] * (CLOCKS - len(payload)) + payload
            frame = [(word, 1, int(i == 0), int(i == 0 and bx == 0)) for i, word in enumerate(data)]
            gap = {"next BX": CLOCKS, "pauses": CLOCKS + rng.randrange(20), "cut short": rng.randint(1, 2 * CLOCKS)}
            wait = gap[spacing]
        if reset:
            frame = []
        wait -= 1
        await edge(dut)
