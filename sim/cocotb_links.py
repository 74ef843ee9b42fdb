"""cocotb test of links.sv, clock by clock, against a Python model of its rules: good lanes, faults of every kind at
every rate, lanes that slip, new alignments, lanes that are switched on and off, resets."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge

from sim.bench import PACKAGE, PARAMETERS, draw, hit, join, save_coverage, settle, split, start

NUMBERS = PACKAGE | PARAMETERS
LANES, PAYLOAD, CLOCKS = NUMBERS["N_LANES"], NUMBERS["PAYLOAD_WORDS"], NUMBERS["CLOCKS_PER_BX"]
ORBIT_BX, EVENT_WORDS, BITS = NUMBERS["ORBIT_BX"], NUMBERS["EVENT_WORDS"], NUMBERS["COUNTER_BITS"]
PLACES = list(
    zip(split(NUMBERS["WORD_LANE"], 32, EVENT_WORDS), split(NUMBERS["WORD_INDEX"], 32, EVENT_WORDS), strict=True)
)
CLASSES = ("corrupted", "late", "missing")


@dataclass
class Pins:
    """One clock of all lanes; lists of `LANES`."""

    data: list[int]
    valid: list[bool]
    soo: list[bool]
    sof: list[bool]
    error: list[bool]
    enable: list[bool]
    rst: bool = False


@dataclass
class Lane:
    """in_step: marks were where they belong since the last orbit start. words: of the frame so far, as (valid, error,
    data)."""

    in_step: bool = False
    words: list[tuple[bool, bool, int]] = field(default_factory=list)


@dataclass
class Model:
    """The rules of the receiver. `step` takes the pins of a clock and returns the event of that clock, if one ends."""

    aligned: bool = False
    word: int = 0
    bx: int = 0
    orbit: int = 0
    lanes: list[Lane] = field(default_factory=lambda: [Lane() for _ in range(LANES)])
    counts: dict[str, list[int]] = field(default_factory=lambda: {name: [0] * LANES for name in CLASSES})
    resyncs: int = 0

    def step(self, pins: Pins) -> dict[str, Any] | None:
        believed = [v and not e for v, e in zip(pins.valid, pins.error, strict=True)]
        enabled = [lane for lane in range(LANES) if pins.enable[lane]]
        common = bool(enabled) and all(believed[lane] and pins.soo[lane] for lane in enabled)
        if common and not (self.aligned and self.word == 0 and self.bx == 0):
            self.resyncs += self.aligned
            self.orbit = self.orbit + 1 if self.aligned else 0
            self.aligned, self.word, self.bx = True, 0, 0
        event = None
        for number, lane in enumerate(self.lanes):
            if self.word == 0:
                lane.words = []
            lane.words.append((pins.valid[number], pins.error[number], pins.data[number]))
            first = self.word == 0
            if not self.aligned or not pins.enable[number]:
                lane.in_step = False
            elif believed[number]:
                right = pins.sof[number] == first and pins.soo[number] == (first and self.bx == 0)
                lane.in_step = right and (lane.in_step or (first and self.bx == 0))
        if self.aligned and self.word == CLOCKS - 1:
            event = self._event(pins)
        if self.aligned:
            self.word += 1
            if self.word == CLOCKS:
                self.word, self.bx = 0, self.bx + 1
            if self.bx == ORBIT_BX:
                self.bx, self.orbit = 0, self.orbit + 1
        return event

    def _event(self, pins: Pins) -> dict[str, Any]:
        good, found = [], []
        for number, lane in enumerate(self.lanes):
            kind = ""
            if any(error for _, error, _ in lane.words):
                kind = "corrupted"
            elif not lane.in_step:
                kind = "late"
            elif not all(valid for valid, _, _ in lane.words):
                kind = "missing"
            good.append(pins.enable[number] and not kind)
            found.append(kind if pins.enable[number] else "")
            if kind and pins.enable[number]:
                self.counts[kind][number] += 1
        words = [self.lanes[lane].words[CLOCKS - PAYLOAD + index][2] if good[lane] else 0 for lane, index in PLACES]
        return {"bx": self.bx, "orbit": self.orbit, "error": any(found), "words": join(words, 32), "classes": found}


class Sender:
    """Lanes of an orbit after the other, with faults. Each lane may slip behind the others for a while."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self.rng, self.rate = rng, rate
        self.clock = -rng.randrange(1, 40)
        self.behind = [0] * LANES
        self.silent = [0] * LANES
        self.enable = [True] * LANES

    def next(self) -> Pins:
        rng, rate = self.rng, self.rate
        if rng.random() < rate / 40:  # all lanes begin a new orbit, anywhere
            self.clock = 0
            self.behind = [0] * LANES
        if rng.random() < rate / 40:
            self.enable = [rng.random() < 0.8 for _ in range(LANES)] if rng.random() < 0.6 else [True] * LANES
        pins = Pins(
            [rng.getrandbits(32) for _ in range(LANES)], *([False] * LANES for _ in range(4)), list(self.enable)
        )
        for lane in range(LANES):
            if rng.random() < rate / 60:
                self.behind[lane] = rng.choice((0, 0, 1, CLOCKS, rng.randrange(CLOCKS * ORBIT_BX)))
            if rng.random() < rate / 20:
                self.silent[lane] = rng.choice((1, CLOCKS, 2 * CLOCKS))
            place = self.clock - self.behind[lane]
            quiet = place < 0 or self.silent[lane] > 0
            self.silent[lane] = max(self.silent[lane] - 1, 0)
            pins.valid[lane] = not quiet
            pins.sof[lane] = not quiet and place % CLOCKS == 0
            pins.soo[lane] = not quiet and place % (CLOCKS * ORBIT_BX) == 0
            pins.error[lane] = rng.random() < rate / 20
            for flags in (pins.valid, pins.sof, pins.soo):
                if rng.random() < rate / 30:
                    flags[lane] = not flags[lane]
        self.clock += 1
        return pins


async def follow(dut: Any, rng: random.Random, sender: Sender, clocks: int, resets: bool) -> Model:
    """Drive so many clocks and hold everything that comes out against the model."""
    model, after_reset, events = Model(), Model(), 0
    lane_bits = [1 << lane for lane in range(LANES)]
    for clock in range(clocks):
        pins = sender.next()
        pins.rst = resets and clock > 100 and rng.random() < 0.003
        dut.rst.value = int(pins.rst)
        dut.lane_data.value = join(pins.data, 32)
        for name in ("valid", "soo", "sof", "error"):
            dut[f"lane_{name}"].value = sum(b for b, on in zip(lane_bits, getattr(pins, name), strict=True) if on)
        dut.cfg_lane_enable.value = sum(b for b, on in zip(lane_bits, pins.enable, strict=True) if on)
        await settle()
        where = f"clock {clock}"
        if model.aligned and model.word == 0:  # what was counted shows one clock after the last word
            for name in CLASSES:
                found = split(dut[f"cnt_{name}"].value, BITS, LANES)
                assert found == [n % (1 << BITS) for n in model.counts[name]], f"{where}: cnt_{name}"
            assert int(dut.cnt_resync.value) == model.resyncs % (1 << BITS), f"{where}: cnt_resync"
            in_step = sum(b for b, lane in zip(lane_bits, model.lanes, strict=True) if lane.in_step)
            assert int(dut.sts_lane_aligned.value) == in_step, f"{where}: sts_lane_aligned"
        assert bool(dut.sts_aligned.value) == model.aligned, f"{where}: sts_aligned"
        resyncs, was_aligned = model.resyncs, model.aligned
        event = model.step(pins)
        if pins.rst:  # what the pins show in this clock has no meaning for the counters
            model, after_reset = after_reset, Model()
            await FallingEdge(dut.clk)
            continue
        assert bool(dut.m_valid.value) == (event is not None), f"{where}: m_valid"
        if event is not None:
            events += 1
            assert (int(dut.m_bx.value), int(dut.m_orbit.value)) == (event["bx"], event["orbit"]), f"{where}: position"
            assert bool(dut.m_error.value) == event["error"], f"{where}: m_error, {event['classes']}"
            assert int(dut.m_words.value) == event["words"], f"{where}: m_words, {event['classes']}"
            if all(event["classes"]):
                hit("links", "all lanes bad")
        if model.resyncs != resyncs:
            hit("links", "resync in the middle of a frame")
        if model.aligned and not was_aligned:
            hit("links", "first alignment")
        await FallingEdge(dut.clk)
    assert events
    save_coverage()
    return model


PINS = dict.fromkeys(("lane_data", "lane_valid", "lane_soo", "lane_sof", "lane_error", "cfg_lane_enable"), 0)


@cocotb.test()
@cocotb.parametrize(rate=(0.0, 0.02, 0.3, 3.0))
async def faults_at_every_rate(dut: Any, rate: float) -> None:
    rng = draw("links", rate)
    await start(dut, PINS)
    model = await follow(dut, rng, Sender(rng, rate), 3000, resets=rate > 0.1)
    if rate == 0.0:
        assert model.orbit > 3 and not any(map(any, model.counts.values())), "good lanes, one orbit after the other"


@cocotb.test()
async def every_counter_wraps(dut: Any) -> None:
    """No reset for long: each class is counted on each lane more often than its counter can hold."""
    rng = draw("links", "wrap")
    await start(dut, PINS)
    model = await follow(dut, rng, Sender(rng, 0.25), 12000, resets=False)
    for name in CLASSES:
        assert min(model.counts[name]) >> BITS, f"cnt_{name} {model.counts[name]} did not wrap"
    assert model.resyncs >> BITS, f"cnt_resync {model.resyncs} did not wrap"
