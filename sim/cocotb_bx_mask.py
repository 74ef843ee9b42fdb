"""cocotb test of bx_mask.sv: the contents at power-up, then reads and writes at random against a Python list."""

from __future__ import annotations

from typing import Any

import cocotb

from sim.bench import PARAMETERS, draw, edge, settle, split, start

N_SEEDS, ORBIT_BX, N_RUNS = PARAMETERS["N_SEEDS"], PARAMETERS["ORBIT_BX"], PARAMETERS["N_RUNS"]


@cocotb.test()
async def reads_what_was_written(dut: Any) -> None:
    rng = draw("bx_mask")
    first, last = (split(PARAMETERS[name], 32, N_RUNS) for name in ("FIRST", "LAST"))
    rows = [0] * ORBIT_BX
    for run, row in enumerate(split(PARAMETERS["ROW"], N_SEEDS, N_RUNS)):
        rows[first[run] : last[run] + 1] = [row] * (last[run] + 1 - first[run])
    assert len(set(rows)) > 2
    await start(dut, {"we": 0, "addr": 0, "data": 0, "bx": 0}, reset_clocks=2)
    asked: list[int] = []
    found_written = 0
    for clock in range(6 * ORBIT_BX):
        write = clock > 2 * ORBIT_BX and rng.random() < 0.3
        bx = clock % ORBIT_BX
        addr, data = (bx + rng.randrange(-3, 3)) % ORBIT_BX, rng.getrandbits(N_SEEDS)
        dut.we.value, dut.addr.value, dut.data.value, dut.bx.value = int(write), addr, data, bx
        await settle()
        if clock >= 2:
            assert int(dut.row.value) == asked[-1], f"clock {clock}"
        # the row of the BX before this one is read at the edge that comes, and sees writes of the clocks before
        if clock >= 1:
            asked.append(rows[(clock - 1) % ORBIT_BX])
        if write:
            rows[addr] = data
            found_written += 1
        await edge(dut)
    assert found_written > 10
