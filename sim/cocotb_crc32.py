"""cocotb test of crc32.sv against zlib.crc32."""

from __future__ import annotations

import zlib
from typing import Any

import cocotb

from sim.bench import GAPS, draw, edge, gaps, settle, start


@cocotb.test()
@cocotb.parametrize(kind=GAPS)
async def equals_zlib(dut: Any, kind: str) -> None:
    """Packets of 0 to 40 words with idle clocks between them; after each word the CRC of all before it."""
    rng = draw("crc32", kind)
    await start(dut, {"clear": 1, "valid": 0, "data": 0})
    idle = gaps(kind, rng)
    for length in (0, 1, 2, 40, *(rng.randint(1, 12) for _ in range(8))):
        dut.clear.value, dut.valid.value = 1, rng.randrange(2)  # clear wins over valid
        dut.data.value = rng.getrandbits(32)
        await edge(dut)
        dut.clear.value = 0
        sent = b""
        while True:
            pause = next(idle)
            word = rng.choice((0, 0xFFFFFFFF, 1 << rng.randrange(32), rng.getrandbits(32)))
            dut.valid.value, dut.data.value = int(not pause), word
            await settle()
            assert int(dut.crc.value) == zlib.crc32(sent), f"after {len(sent) // 4} words"
            if len(sent) == 4 * length:
                break
            await edge(dut)
            sent += b"" if pause else word.to_bytes(4, "little")
