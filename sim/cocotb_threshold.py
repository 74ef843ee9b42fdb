"""cocotb test of threshold.sv: scores at, below and above thresholds against the menu's own comparison."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from ad40.menu import Menu, MenuState, ModelRef, Seed
from sim.bench import PARAMETERS, draw, join, settle

N_SEEDS, N_MODELS = PARAMETERS["N_SEEDS"], PARAMETERS["N_MODELS"]
SCORE_BITS, THRESHOLD_BITS = PARAMETERS["SCORE_BITS"], PARAMETERS["THRESHOLD_BITS"]
SEED_MODEL = [PARAMETERS["SEED_MODEL"] >> (32 * s) & 0xFFFFFFFF for s in range(N_SEEDS)]
TOP = (1 << SCORE_BITS) - 1


@cocotb.test()
async def fires_at_its_threshold(dut: Any) -> None:
    """Each seed follows the score of its own model; a threshold above every score silences it."""
    rng = draw("threshold")
    fired = np.zeros(N_SEEDS, int)
    for trial in range(400):
        scores = [rng.choice((0, 1, TOP - 1, TOP, rng.randint(0, TOP))) for _ in range(N_MODELS)]
        thresholds = [
            TOP + 1 if rng.random() < 0.05 else max(scores[m] + rng.choice((-1, 0, 1, rng.randint(-TOP, TOP))), 0)
            for m in SEED_MODEL
        ]
        thresholds = [min(t, (1 << THRESHOLD_BITS) - 1) for t in thresholds]
        dut.scores.value = join(scores, SCORE_BITS)
        dut.cfg_threshold.value = join(thresholds, THRESHOLD_BITS)
        await settle()
        models = tuple(ModelRef(f"m{m}", "") for m in range(N_MODELS))
        seeds = tuple(Seed(f"s{s}", f"m{SEED_MODEL[s]}", thresholds[s]) for s in range(N_SEEDS))
        wanted = MenuState(Menu(models, "", seeds)).decide(np.array([scores])).seeds_before[0]
        found = [bool(int(dut.fires.value) >> s & 1) for s in range(N_SEEDS)]
        assert found == wanted.tolist(), f"trial {trial}: scores {scores}, thresholds {thresholds}"
        fired += wanted
    assert (fired > 0).all() and (fired < 400).all(), "every seed must fire and not fire"
