"""cocotb test of unpack.sv against `ad40.objects.unpack`: random words, single bits, empty objects."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from ad40 import links, objects
from sim.bench import PACKAGE, draw, join, settle, split

CODE_BITS = PACKAGE["CODE_BITS"]


@cocotb.test()
async def equals_the_spec(dut: Any) -> None:
    rng = np.random.default_rng(draw("unpack").getrandbits(32))
    parts = rng.integers(0, 1 << 32, (200, links.EVENT_WORDS), dtype=np.uint32)
    parts[rng.random(parts.shape) < 0.2] = 0
    single = np.zeros((32 * links.EVENT_WORDS, links.EVENT_WORDS), np.uint32)
    for bit in range(len(single)):
        single[bit, bit // 32] = 1 << (bit % 32)
    parts = np.concatenate([parts, single, ~single, np.zeros((1, links.EVENT_WORDS), np.uint32)])
    words = links.join_words(parts)
    codes = objects.unpack(words).reshape(len(words), -1)
    present = objects.present(objects.unpack(words))
    assert (codes < 0).any() and present.any(axis=0).all() and not present.all()
    for event in range(len(words)):
        dut.words.value = join(parts[event].tolist(), 32)
        await settle()
        found = split(dut.codes.value, CODE_BITS, objects.N_INPUTS, signed=True)
        assert found == codes[event].tolist(), f"event {event}"
        assert split(dut.present.value, 1, objects.N_OBJECTS) == present[event].astype(int).tolist(), f"event {event}"
