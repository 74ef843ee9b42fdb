"""cocotb test of menu.sv: slots at every clock and with gaps, settings that change at lumi sections, at orbits and at
once, resets of prescales and counters, BX mask rows written at work, busy. Everything is recorded clock by clock and
then held against `sim.reference`, slot by slot. The orbit of the stimulus is short; counters are too, and wrap."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np

from sim.bench import GAPS, PACKAGE, PARAMETERS, draw, edge, gaps, hit, join, save_coverage, settle, split, start
from sim.reference import Live, counts, decide

NUMBERS = PACKAGE | PARAMETERS
SEEDS, MODELS, RULES, BITS = NUMBERS["N_SEEDS"], NUMBERS["N_MODELS"], NUMBERS["N_RULES"], NUMBERS["COUNTER_BITS"]
SCORE_BITS, THRESHOLD_BITS, RULE_BITS = NUMBERS["SCORE_BITS"], NUMBERS["THRESHOLD_BITS"], NUMBERS["RULE_BITS"]
PRESCALE_BITS, SEED_MODEL = NUMBERS["PRESCALE_BITS"], split(NUMBERS["SEED_MODEL"], 32, SEEDS)
BX, LUMI_LOG2 = 20, 2  # BX of an orbit of the stimulus, orbits of a lumi section
SCORE_AT, BUSY_AT, OUT_AT = 3, 4, 5  # clocks after the header of a slot
TOP = (1 << SCORE_BITS) - 1
COUNTERS = ("before", "after", "accepted", "slots", "errors", "requests", "l1a", "lost_rules", "lost_busy", "dead")


@dataclass
class Settings:
    """One set of live values."""

    thresholds: list[int]
    factors: list[int]
    mask: int
    veto: int
    windows: list[int]

    def drive(self, dut: Any) -> None:
        dut.cfg_threshold.value = join(self.thresholds, THRESHOLD_BITS)
        dut.cfg_prescale.value = join(self.factors, PRESCALE_BITS)
        dut.cfg_mask.value, dut.cfg_veto.value = self.mask, self.veto
        dut.cfg_rule_window.value = join(self.windows, RULE_BITS)

    def live(self, rows: np.ndarray) -> Live:
        bits = [np.array([value >> s & 1 for s in range(SEEDS)], bool) for value in (self.mask, self.veto)]
        return Live(np.array(self.thresholds), np.array(self.factors), *bits, tuple(self.windows), rows)


def of_the_package() -> Settings:
    return Settings(
        split(NUMBERS["DEFAULT_THRESHOLD"], THRESHOLD_BITS, SEEDS),
        split(NUMBERS["DEFAULT_PRESCALE"], PRESCALE_BITS, SEEDS),
        NUMBERS["DEFAULT_MASK"],
        NUMBERS["DEFAULT_VETO"],
        split(NUMBERS["DEFAULT_RULE_WINDOW"], RULE_BITS, RULES),
    )


def draw_settings(rng: random.Random) -> Settings:
    return Settings(
        [rng.choice((0, TOP // 4, TOP // 2, TOP, TOP + 1)) for _ in range(SEEDS)],
        [rng.choice((0, 100, 101, 150, 237, 1000)) for _ in range(SEEDS)],
        rng.getrandbits(SEEDS),
        rng.getrandbits(SEEDS) & rng.getrandbits(SEEDS) & rng.getrandbits(SEEDS),
        [rng.choice((0, i + 2, rng.randint(0, 12))) for i in range(RULES)],
    )


@dataclass
class Slot:
    clock: int  # of its header
    bx: int
    orbit: int
    error: int
    scores: list[int]
    row: int  # of the BX mask


@dataclass
class Record:
    """What was driven, and what came out: outputs by clock, counters and status now and then."""

    slots: list[Slot] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    live: list[tuple[int, Settings]] = field(default_factory=list)  # (first slot, values)
    restarts: list[int] = field(default_factory=list)
    clears: list[int] = field(default_factory=list)  # clocks of counter_rst
    applied: list[tuple[int, int]] = field(default_factory=list)  # (clock from which it shows, orbit)
    outputs: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    readings: list[tuple[int, dict[str, list[int]]]] = field(default_factory=list)
    how: dict[str, int] = field(default_factory=dict)  # updates taken over, by way


OUTPUTS = ("m_error", "m_bx", "m_orbit", "m_scores", "m_seeds_before", "m_seeds_after", "m_request", "m_l1a", "m_busy",
           "lumi_start")  # fmt: skip
STROBES = ("update", "update_now", "prescale_rst", "counter_rst")


async def play(dut: Any, rng: random.Random, kind: str, clocks: int, rows: list[int]) -> Record:
    """Drive so many clocks; rows: contents of the BX mask, kept current."""
    record, idle = Record(live=[(0, of_the_package())]), gaps(kind, rng)
    bx, orbit = rng.randrange(BX), rng.randrange(1 << LUMI_LOG2)
    pending = prescale_pending = False
    mode, shadow, free_at = 0, record.live[0][1], 0
    shadow.drive(dut)
    dut.cfg_lumi_log2.value = LUMI_LOG2
    busy_share = rng.choice((0.0, 0.2))
    for clock in range(clocks):
        strobes = dict.fromkeys(STROBES, 0)
        settled = not pending and clock >= free_at
        if settled and rng.random() < 0.03 and clock > 4:
            shadow, mode, busy_share = draw_settings(rng), rng.randrange(2), rng.choice((0.0, 0.1, 0.6))
            shadow.drive(dut)
            dut.cfg_update_mode.value = mode
            strobes["update_now" if rng.random() < 0.3 else "update"] = 1
        strobes["prescale_rst"] = int(rng.random() < 0.01)
        strobes["counter_rst"] = int(rng.random() < 0.004)
        write = rng.random() < 0.05
        address, data = rng.randrange(BX), rng.getrandbits(SEEDS) | rng.getrandbits(SEEDS)
        dut.bx_mask_we.value, dut.bx_mask_addr.value, dut.bx_mask_data.value = int(write), address, data
        if write:
            rows[address] = data  # also for a header in this clock
        here = not next(idle)
        if here:
            bx = bx + 1 if bx + 1 < BX else 0
            orbit += bx == 0
            scores = [rng.choice((0, TOP, TOP // 2, TOP // 2 - 1, rng.randint(0, TOP))) for _ in range(MODELS)]
            record.slots.append(Slot(clock, bx, orbit, int(rng.random() < 0.05), scores, rows[bx]))
        slot = record.slots[-1] if here else None
        # what takes effect with which slot
        number = len(record.slots) - 1
        pending, prescale_pending = (
            pending or bool(strobes["update"]),
            prescale_pending or bool(strobes["prescale_rst"]),
        )
        if slot is not None and bx == 0:
            if prescale_pending:
                record.restarts.append(number)
                prescale_pending = False
            if pending and (mode or orbit % (1 << LUMI_LOG2) == 0):
                record.live.append((number, shadow))
                record.restarts.append(number)
                record.applied.append((clock + 2, orbit))
                record.how["orbit" if mode else "lumi"] = record.how.get("orbit" if mode else "lumi", 0) + 1
                pending, free_at = False, clock + 4
        if strobes["update_now"]:
            first = next((i for i, s in enumerate(record.slots) if s.clock >= clock - 1), len(record.slots))
            record.live.append((first, shadow))
            record.restarts.append(first)
            before = [s.orbit for s in record.slots if s.clock < clock]
            record.applied.append((clock + 1, before[-1] if before else 0))
            record.how["now"] = record.how.get("now", 0) + 1
            free_at = clock + 4
        if strobes["counter_rst"]:
            record.clears.append(clock)
        record.busy.append(int(rng.random() < busy_share))
        dut.s_valid.value, dut.busy.value = int(here), record.busy[-1]
        dut.s_bx.value, dut.s_orbit.value = (bx, orbit) if slot else (rng.randrange(BX), rng.getrandbits(8))
        dut.s_error.value = slot.error if slot else rng.randrange(2)
        now = next((s for s in reversed(record.slots[-5:]) if s.clock == clock - SCORE_AT), None)
        dut.scores.value = join(now.scores if now else [rng.randint(0, TOP) for _ in range(MODELS)], SCORE_BITS)
        for name, value in strobes.items():
            dut[name].value = value
        await settle()
        if dut.m_valid.value:
            record.outputs[clock] = tuple(int(dut[name].value) for name in OUTPUTS)
        if rng.random() < 0.05:
            reading = {
                f"cnt_{n}": split(dut[f"cnt_{n}"].value, BITS, SEEDS if n in COUNTERS[:3] else 1) for n in COUNTERS
            }
            reading["sts_applied_orbit"] = [int(dut.sts_applied_orbit.value)]
            record.readings.append((clock, reading))
        await edge(dut)
    return record


def judge(record: Record, clocks: int) -> dict[str, list[int]]:
    """Hold a record against the reference; returns how often each counter wrapped."""
    slots = [s for s in record.slots if s.clock + OUT_AT < clocks]
    n = len(slots)
    rows = np.array([[s.row >> seed & 1 for seed in range(SEEDS)] for s in slots], bool)
    live = [(first, settings.live(rows)) for first, settings in record.live if first < n]
    # two sets taken over before the same slot: the later one counts
    live = [pair for i, pair in enumerate(live) if i + 1 == len(live) or live[i + 1][0] != pair[0]]
    bad = np.array([s.error for s in slots], bool)
    busy = np.array([record.busy[s.clock + BUSY_AT] for s in slots], bool)
    scores = np.array([s.scores for s in slots])
    decided = decide(scores, SEED_MODEL, np.arange(n), bad, busy, live, [r for r in record.restarts if r < n])
    weights = 1 << np.arange(SEEDS)
    before, after = (decided.before * weights).sum(axis=1), (decided.after * weights).sum(axis=1)
    assert sorted(record.outputs) == [s.clock + OUT_AT for s in slots], "slots come out five clocks after their header"
    for i, s in enumerate(slots):
        lumi = s.bx == 0 and s.orbit % (1 << LUMI_LOG2) == 0
        wanted = (s.error, s.bx, s.orbit, join(s.scores, SCORE_BITS), int(before[i]), int(after[i]),
                  int(decided.request[i]), int(decided.l1a[i]), int(busy[i]), int(lumi))  # fmt: skip
        found = record.outputs[s.clock + OUT_AT]
        wrong = [f"{name} {a} vs {b}" for name, a, b in zip(OUTPUTS, found, wanted, strict=True) if a != b]
        assert not wrong, f"slot {i}, clock {s.clock}, BX {s.bx}, orbit {s.orbit}: {', '.join(wrong)}"
    mask = np.zeros((n, SEEDS), bool)
    for first, values in live:
        mask[first:] = values.mask
    totals = {name: np.atleast_2d(v.T).T for name, v in counts(decided, mask, bad, busy).items()}
    shown = np.array([s.clock + OUT_AT for s in slots])  # counted at the end of this clock
    most = {name: [0] * v.shape[1] for name, v in totals.items()}
    for clock, reading in record.readings:
        cleared = max((c for c in record.clears if c < clock), default=-1)
        done, base = int((shown < clock).sum()), int((shown < cleared).sum())
        for name, total in totals.items():
            full = [int(v) for v in (total[done - 1] if done else 0 * total[0]) - (total[base - 1] if base else 0)]
            assert reading[name] == [v % (1 << BITS) for v in full], (
                f"clock {clock}: {name} {reading[name]}, not {full}"
            )
            most[name] = [max(a, b) for a, b in zip(most[name], full, strict=True)]
        orbit = next((o for at, o in reversed(record.applied) if at <= clock), 0)
        assert reading["sts_applied_orbit"] == [orbit], f"clock {clock}: sts_applied_orbit"
    for name, flags in {"accepted": decided.l1a, "not accepted": ~decided.l1a, "busy": busy, "bad event": bad,
                        "vetoed": decided.vetoed, "lost to a rule": decided.request & decided.refused.any(axis=1),
                        "two in a row": decided.l1a[1:] & decided.l1a[:-1]}.items():  # fmt: skip
        hit("decision", name, int(flags.sum()))
    return {name: [v >> BITS for v in values] for name, values in most.items()}


PINS = dict.fromkeys(
    ("s_valid", "s_error", "s_bx", "s_orbit", "scores", "busy", "cfg_threshold", "cfg_prescale", "cfg_mask", "cfg_veto",
     "cfg_rule_window", "cfg_lumi_log2", "cfg_update_mode", *STROBES, "bx_mask_we", "bx_mask_addr", "bx_mask_data"), 0,
)  # fmt: skip


async def fill(dut: Any, rng: random.Random) -> list[int]:
    """Write the rows of the BX mask that the stimulus uses, before any slot."""
    rows = [rng.getrandbits(SEEDS) | rng.getrandbits(SEEDS) for _ in range(BX)]
    for address, row in enumerate(rows):
        dut.bx_mask_we.value, dut.bx_mask_addr.value, dut.bx_mask_data.value = 1, address, row
        await edge(dut)
    dut.bx_mask_we.value = 0
    await edge(dut)
    return rows


@cocotb.test()
@cocotb.parametrize(kind=GAPS)
async def decides_as_the_reference(dut: Any, kind: str) -> None:
    """Two runs, a reset with slots in flight between them: the second starts with the settings of the package."""
    rng = draw("menu", kind)
    await start(dut, PINS)
    rows = await fill(dut, rng)
    how: dict[str, int] = {}
    for clocks in (1500, 1000):
        record = await play(dut, rng, kind, clocks, rows)
        judge(record, clocks)
        how |= record.how
        dut.rst.value, dut.bx_mask_we.value = 1, 0
        await edge(dut)
        await edge(dut)
        dut.rst.value = 0
    if kind != "mostly":
        assert set(how) == {"lumi", "orbit", "now"}, f"settings taken over: {how}"
    save_coverage()


@cocotb.test()
async def every_counter_wraps(dut: Any) -> None:
    rng = draw("menu", "wrap")
    await start(dut, PINS)
    rows = await fill(dut, rng)
    wrapped: dict[str, list[int]] = {}
    for _ in range(6):
        record = await play(dut, rng, "rare", 1500, rows)
        for name, values in judge(record, 1500).items():
            wrapped[name] = [a + b for a, b in zip(wrapped.get(name, [0] * len(values)), values, strict=True)]
        dut.rst.value, dut.bx_mask_we.value = 1, 0
        await edge(dut)
        dut.rst.value = 0
    missing = [f"{name}[{i}]" for name, values in wrapped.items() for i, v in enumerate(values) if not v]
    assert not missing, f"did not wrap: {missing}"
    save_coverage()
