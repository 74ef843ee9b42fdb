"""What the block benches share, inside the simulator: recorded seeds, clock and reset, one step per clock, generators
of idle clocks and back-pressure, coverage bins, and the AXI4-Stream driver and monitor."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

SEED = int(os.environ.get("AD40_SEED", "40"))
PARAMETERS: dict[str, int] = json.loads(os.environ.get("AD40_PARAMETERS", "{}"))
PACKAGE: dict[str, Any] = json.loads(os.environ.get("AD40_PACKAGE", "{}"))  # constants of ad40_pkg.sv
COVERAGE = Path(os.environ.get("AD40_COVERAGE", "coverage.json"))
_bins: dict[str, dict[str, int]] = {}


def draw(*name: object) -> random.Random:
    """Random numbers of one test: the same seed of the run and the same name give the same stimulus."""
    return random.Random(f"{SEED} {name}")


def hit(group: str, name: str, count: int = 1) -> None:
    """Count a coverage bin (see sim/coverage.py). The file is kept current: a bench that is cut off leaves what it
    reached."""
    bins = _bins.setdefault(group, {})
    new = name not in bins
    bins[name] = bins.get(name, 0) + int(count)
    if new:
        save_coverage()


def save_coverage() -> None:
    """Write the bins reached so far."""
    COVERAGE.write_text(json.dumps(_bins))


def join(values: list[int], width: int) -> int:
    """Packed port of values, index 0 in the lowest bits; negative values in two's complement."""
    mask = (1 << width) - 1
    return sum((value & mask) << (width * i) for i, value in enumerate(values))


def split(value: Any, width: int, count: int, signed: bool = False) -> list[int]:
    """Values of a packed port, index 0 from the lowest bits."""
    mask, half = (1 << width) - 1, 1 << (width - 1)
    fields = [int(value) >> (width * i) & mask for i in range(count)]
    return [f - (1 << width) if signed and f & half else f for f in fields]


async def start(dut: Any, pins: Mapping[str, int], reset_clocks: int = 3) -> None:
    """Start the clock with the pins at these values, and hold rst if the block has one. Returns at a falling edge."""
    for name, value in pins.items():
        dut[name].value = value
    Clock(dut.clk, 4, "ns").start()
    if hasattr(dut, "rst"):
        dut.rst.value = 1
    for _ in range(reset_clocks):
        await FallingEdge(dut.clk)
    if hasattr(dut, "rst"):
        dut.rst.value = 0


async def settle() -> None:
    """Pins set at the falling edge have reached the outputs: what is read now, the next rising edge samples."""
    await Timer(1, "ns")


async def edge(dut: Any) -> None:
    """Over the rising edge, to the next falling one: time to set pins again."""
    await FallingEdge(dut.clk)


GAPS = ("never", "rare", "half", "mostly", "bursts")


def gaps(kind: str, rng: random.Random) -> Iterator[bool]:
    """Without end: true in clocks in which to be idle, or to hold back. `bursts`: runs of each, of random length."""
    share = {"never": 0.0, "rare": 0.1, "half": 0.5, "mostly": 0.9}
    if kind in share:
        while True:
            yield rng.random() < share[kind]
    idle = False
    while True:
        yield from [idle] * rng.randint(1, 40)
        idle = not idle


class Stream:
    """Checks an AXI4-Stream at every clock and collects its packets: valid never drops and the payload never changes
    before ready. `packets` holds lists of words; a packet ends with last."""

    def __init__(self, dut: Any, prefix: str = "m_axis_") -> None:
        self.valid, self.ready = dut[f"{prefix}tvalid"], dut[f"{prefix}tready"]
        self.data, self.last = dut[f"{prefix}tdata"], dut[f"{prefix}tlast"]
        self.packets: list[list[int]] = []
        self.held_back = self.idle = 0
        self._words: list[int] = []
        self._waiting: tuple[int, int] | None = None

    def sample(self) -> None:
        """Call once a clock, after `settle`."""
        valid, ready = bool(self.valid.value), bool(self.ready.value)
        if self._waiting is not None:
            assert valid, "tvalid dropped before tready"
            now = (int(self.data.value), int(self.last.value))
            assert now == self._waiting, f"payload {now} was {self._waiting} and not taken"
        self._waiting = None
        self.idle += not valid
        self.held_back += valid and not ready
        if valid and not ready:
            self._waiting = (int(self.data.value), int(self.last.value))
        elif valid:
            self._words.append(int(self.data.value))
            if self.last.value:
                self.packets.append(self._words)
                self._words = []

    @property
    def open(self) -> int:
        """Words of a packet that has not ended."""
        return len(self._words)
