"""cocotb test of readout.sv with its rings, derandomiser and packetiser: short rings and counters, every kind of
back-pressure, own and external accepts, a menu that obeys busy and one that does not. The packets must be those that
`ad40.packets` writes for the same events, word for word."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np

from ad40 import links
from ad40.packets import FLAGS, Packets, encode_packets
from sim.bench import GAPS, PACKAGE, PARAMETERS, Stream, draw, edge, gaps, hit, join, save_coverage, settle, start

NUMBERS = PACKAGE | PARAMETERS
LATENCY_BX, DEPTH, BITS = NUMBERS["L1A_LATENCY_BX"], NUMBERS["DERANDOMISER_DEPTH"], NUMBERS["COUNTER_BITS"]
MODELS, SEEDS, SCORE_BITS = NUMBERS["N_MODELS"], NUMBERS["N_SEEDS"], NUMBERS["SCORE_BITS"]
BX_BITS, ORBIT_BITS, OBJECTS = NUMBERS["BX_BITS"], NUMBERS["ORBIT_BITS"], NUMBERS["N_OBJECTS"]
DECISION_AFTER = NUMBERS["SLOTS_IN_FLIGHT"] * 6  # clocks from words to decision, slots being 6 or more apart
D_PINS = ("d_valid", "d_error", "d_bx", "d_orbit", "d_scores", "d_seeds_before", "d_seeds_after", "d_l1a")


@dataclass
class Slot:
    """One event: its words and its decision."""

    parts: list[int]
    error: int
    bx: int
    orbit: int
    scores: list[int]
    before: int
    after: int
    l1a: int = 0


def draw_slot(rng: random.Random) -> Slot:
    here = rng.choice((0.0, 0.3, 1.0))
    parts = np.array([[rng.getrandbits(32) for _ in range(links.EVENT_WORDS)]], np.uint32)
    words = links.join_words(parts)
    words[0, [i for i in range(OBJECTS) if rng.random() >= here]] = 0
    return Slot(
        links.event_words(words)[0].tolist(), int(rng.random() < 0.1), rng.choice((0, 3563, rng.randrange(3564))),
        rng.getrandbits(ORBIT_BITS), [rng.getrandbits(SCORE_BITS) for _ in range(MODELS)], rng.getrandbits(SEEDS),
        rng.getrandbits(SEEDS),
    )  # fmt: skip


@dataclass
class Model:
    """What is held and what was sent, clock by clock."""

    slots: list[Slot] = field(default_factory=list)
    leaving: Slot | None = None  # left the rings in the clock before
    asked: bool = False  # and was asked for, from outside or by its own decision
    number: int = 1
    lost_before: bool = False
    lost: int = 0
    in_ring: int = 0
    occupancy: int = 0
    sent: int = 0
    events: list[tuple[Slot, int, int]] = field(default_factory=list)  # taken: (slot, number, flags)

    def step(self, slot: Slot | None, external: bool, asked_outside: bool, ended: bool) -> None:
        """One clock: a decision or none, and whether the last word of a packet is taken."""
        taken = False
        if self.leaving is not None:
            if self.asked:
                taken = self.occupancy < DEPTH
                if taken:
                    flags = self.lost_before * FLAGS["overflow"] | self.leaving.error * FLAGS["link_error"]
                    self.events.append((self.leaving, self.number, flags | self.external * FLAGS["external"]))
                self.lost += not taken
                self.lost_before = not taken
                self.number += 1
            self.in_ring -= self.leaving.l1a
        self.leaving = None
        if slot is not None:
            self.slots.append(slot)
            self.in_ring += slot.l1a
            if len(self.slots) > LATENCY_BX:
                self.leaving = self.slots[-1 - LATENCY_BX]
                self.external = external
                self.asked = asked_outside if external else bool(self.leaving.l1a)
        self.occupancy += taken - ended
        self.sent += ended


def expected(events: list[tuple[Slot, int, int]]) -> list[int]:
    """The words of all packets."""
    if not events:
        return []
    parts = np.array([slot.parts for slot, _, _ in events], np.uint32)
    columns = [np.array([(s.bx, flags, s.orbit, n, s.before, s.after) for s, n, flags in events], np.int64)]
    bx, flags, orbit, number, before, after = columns[0].T
    packets = Packets(
        bx=bx.astype(np.uint16), flags=flags.astype(np.uint16), orbit=orbit.astype(np.uint32),
        l1a=number.astype(np.uint32), seeds_before=before.astype(np.uint32), seeds_after=after.astype(np.uint32),
        words=links.join_words(parts), hw_score=np.array([slot.scores for slot, _, _ in events], np.int32),
    )  # fmt: skip
    return np.frombuffer(encode_packets(packets, NUMBERS["DESIGN_ID"]), "<u4").tolist()


async def read_out(
    dut: Any, rng: random.Random, slots: int, drain: str, external: bool, obey: bool, level: int = DEPTH
) -> Model:
    """Some hundred slots, then silence until all is sent; holds status, counters and every word."""
    model, stream, hold = Model(), Stream(dut), gaps(drain, rng)
    dut.cfg_l1a_source.value, dut.cfg_ignore_busy.value = int(external), int(not obey)
    dut.cfg_busy_level.value = level
    pending: list[tuple[int, Slot]] = []  # (clock of the decision, slot)
    wait, clock, outstanding, share = 0, 0, 0, 0.2
    while slots or pending or model.occupancy or model.leaving is not None:
        words = draw_slot(rng) if wait == 0 and slots else None
        if words is not None:
            pending.append((clock + DECISION_AFTER, words))
            slots, wait = slots - 1, rng.choice((6, 6, 6, 7, 11))
            share = rng.choice((0.0, 0.05, 0.5, 1.0)) if slots % 25 == 0 else share
        slot = pending.pop(0)[1] if pending and pending[0][0] == clock else None
        busy = bool(dut.busy.value) if clock else False
        if slot is not None:
            slot.l1a = int(rng.random() < share and not (obey and busy))
        asked = rng.random() < share
        ready = not next(hold) if slots else True
        dut.w_valid.value, dut.w_words.value = int(words is not None), join(words.parts if words else [0], 32)
        values = (
            (1, slot.error, slot.bx, slot.orbit, join(slot.scores, SCORE_BITS), slot.before, slot.after, slot.l1a)
            if slot
            else (0, *(rng.getrandbits(1) for _ in range(7)))
        )
        for name, value in zip(D_PINS, values, strict=True):
            dut[name].value = value
        dut.l1a_in.value, dut.m_axis_tready.value = int(asked), int(ready)
        await settle()
        stream.sample()
        where = f"clock {clock}"
        if clock > 2:
            assert busy == (obey and outstanding >= level), f"{where}: busy {busy}, {outstanding} outstanding"
        outstanding = model.occupancy + (0 if external else model.in_ring)
        assert int(dut.sts_occupancy.value) == model.occupancy, f"{where}: sts_occupancy"
        assert int(dut.sts_outstanding.value) == outstanding, f"{where}: sts_outstanding"
        assert int(dut.cnt_overflow.value) == model.lost % (1 << BITS), f"{where}: cnt_overflow"
        assert int(dut.cnt_packets.value) == model.sent % (1 << BITS), f"{where}: cnt_packets"
        if model.occupancy == DEPTH and model.asked and model.leaving is not None:
            hit("readout", "derandomiser full")
        ended = bool(dut.m_axis_tvalid.value) and ready and bool(dut.m_axis_tlast.value)
        model.step(slot, external, asked, ended)
        wait = max(wait - 1, 0)
        clock += 1
        await edge(dut)
    assert stream.open == 0, "a packet did not end"
    found = [word for packet in stream.packets for word in packet]
    wanted = expected(model.events)
    wrong = [i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b]
    assert found == wanted, (
        f"{len(stream.packets)} packets of {len(model.events)}; first wrong word {wrong[0] if wrong else len(wanted)}"
    )
    assert len(stream.packets) == len(model.events) == model.sent
    hit("readout", "output held back", stream.held_back)
    hit("readout", "packet", len(model.events))
    for name in FLAGS:
        bins = {"overflow": "flag: overflow", "link_error": "flag: link error", "external": "flag: external L1A"}
        hit("readout", bins[name], sum(bool(flags & FLAGS[name]) for _, _, flags in model.events))
    save_coverage()
    return model


PINS = dict.fromkeys(
    (*D_PINS, "w_valid", "w_words", "l1a_in", "m_axis_tready", "cfg_l1a_source", "cfg_ignore_busy", "cfg_busy_level"), 0
)


@cocotb.test()
@cocotb.parametrize(drain=GAPS, external=(False, True))
async def packets_of_all_accepts(dut: Any, drain: str, external: bool) -> None:
    """Nobody obeys busy: what does not fit is lost, counted and flagged."""
    rng = draw("readout", drain, external)
    await start(dut, PINS)
    model = await read_out(dut, rng, 120, drain, external, obey=False)
    assert model.events
    if drain == "mostly":
        assert model.lost, "the derandomiser never ran over"


@cocotb.test()
@cocotb.parametrize(level=(1, DEPTH))
async def nothing_lost_with_credits(dut: Any, level: int) -> None:
    """A menu that obeys busy loses nothing, whatever the receiver does."""
    rng = draw("readout", "credits", level)
    await start(dut, PINS)
    model = await read_out(dut, rng, 250, "mostly", external=False, obey=True, level=level)
    assert model.events and not model.lost


@cocotb.test()
async def starts_again_after_a_reset(dut: Any) -> None:
    """A reset in the middle of packets: then everything is as at the start. Both counters wrap."""
    rng = draw("readout", "reset")
    await start(dut, PINS)
    dut.cfg_ignore_busy.value = 1
    for _ in range(40 * LATENCY_BX):
        dut.w_valid.value = dut.d_valid.value = int(rng.random() < 0.2)
        dut.d_l1a.value, dut.m_axis_tready.value = 1, rng.randrange(2)
        await edge(dut)
    dut.rst.value, dut.w_valid.value, dut.d_valid.value = 1, 0, 0
    await edge(dut)
    dut.rst.value = 0
    model = await read_out(dut, rng, 300, "half", external=True, obey=False)
    assert model.sent >> BITS and model.lost >> BITS, f"{model.sent} sent, {model.lost} lost: a counter did not wrap"
    hit("counter wrapped", "cnt_packets")
    hit("counter wrapped", "cnt_overflow")
