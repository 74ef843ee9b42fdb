"""cocotb test of normalise.sv with tables drawn at random against the emulator's input stage."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from ad40.emulator import Emulator
from ad40.fixed import Fixed
from ad40.network import InputStage, Layer, Network, Score
from sim.bench import PARAMETERS, draw, edge, join, settle, split, start

N_INPUTS, CODE_BITS, X_BITS = 3 * PARAMETERS["N_OBJECTS"], PARAMETERS["CODE_BITS"], PARAMETERS["X_BITS"]
STAGES, SIGNED = PARAMETERS["STAGES"], bool(PARAMETERS["X_SIGNED"])
X = Fixed(SIGNED, 2, X_BITS - 2 - SIGNED)


def table(name: str) -> np.ndarray:
    """A parameter of 32 bits per input."""
    return np.array(split(PARAMETERS[name], 32, N_INPUTS, signed=True), np.int64)


def emulator() -> Emulator:
    """A network of which only the input stage matters."""
    fmt = Fixed(True, 1, 2)
    zero = np.zeros(N_INPUTS, np.int64)
    layer = Layer("none", np.zeros((N_INPUTS, N_INPUTS), np.int64), fmt, zero, fmt, "linear", X)
    stage = InputStage(table("OFFSET"), table("SHIFT"), X)
    return Emulator(Network("bench", "0", "", stage, (layer,), Score("masked_l1", zero == 0)))


@cocotb.test()
async def equals_the_input_stage(dut: Any) -> None:
    """A new event at every clock; codes at random, at the ends, and around each step of their shift."""
    rng = np.random.default_rng(draw("normalise").getrandbits(32))
    n, half = 300, 1 << (CODE_BITS - 1)
    codes = rng.integers(-half, half, (n, N_INPUTS))
    offset, shift = table("OFFSET"), table("SHIFT")
    edges = offset + (rng.integers(X.min_code - 2, X.max_code + 3, codes.shape) * 2.0**shift)
    near = rng.random(codes.shape) < 0.6
    codes = np.where(near, np.floor(edges) + rng.integers(-1, 2, codes.shape), codes)
    codes = np.clip(codes, -half, half - 1).astype(np.int32)
    codes[0], codes[1], codes[2] = -half, half - 1, 0
    codes[:, ::3] *= rng.random((n, N_INPUTS // 3)) < 0.8  # an object is there when its pt is not 0
    wanted = emulator().inputs(codes.reshape(n, -1, 3))
    present = codes[:, ::3] != 0
    assert (wanted == X.max_code).any() and (wanted == X.min_code).any()
    await start(dut, {"codes": 0, "present": 0})
    for clock in range(n + STAGES):
        if clock < n:
            dut.codes.value = join(codes[clock].tolist(), CODE_BITS)
            dut.present.value = join(present[clock].astype(int).tolist(), 1)
        await settle()
        event = clock - STAGES
        if event >= 0:
            found = split(dut.x.value, X_BITS, N_INPUTS, signed=SIGNED)
            wrong = [i for i in range(N_INPUTS) if found[i] != wanted[event, i]]
            assert not wrong, (
                f"event {event}, input {wrong[0]}: code {codes[event, wrong[0]]} gives {found[wrong[0]]}, "
                f"not {wanted[event, wrong[0]]}"
            )
            assert split(dut.present_q.value, 1, N_INPUTS // 3) == present[event].astype(int).tolist()
        await edge(dut)
