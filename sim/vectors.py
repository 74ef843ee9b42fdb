"""Stimulus of the core, one event per clock: directed edge vectors, runs of events with settings and strobes, and the
files that the bench plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import links, objects, spec
from ad40.emulator import Emulator
from ad40.menu import Menu, Rule
from ad40.model import Trigger
from sim.expect import FLAGS, HEADER, Run, steady
from sim.reference import Bools, scores_of

Integers = NDArray[np.integer]
LINE_BITS = 32 * links.EVENT_WORDS + 32 + 16 + 16  # words, orbit, bx, flags


def write_run(path: Path, run: Run, with_mask: bool = True) -> None:
    """The playback file of a bench: the BX mask, one row per clock, then the lines. For each clock {flags 16, bx
    16, orbit 32, words}, object 0 in the lowest bits, most significant byte first."""
    mask = run.menu.bx_mask
    rows = np.zeros((len(mask), links.EVENT_WORDS), np.uint32)
    rows[:, 0] = (mask * (1 << np.arange(mask.shape[1], dtype=np.int64))).sum(axis=1)
    with path.open("wb") as file:
        if with_mask:
            every = np.ones(len(mask), np.bool_)
            file.write(_lines(rows, np.arange(len(mask)), np.zeros(len(mask), np.int64), {"bx_mask_we": every}))
        for start in range(0, len(run.words), 1 << 15):
            part = slice(start, start + (1 << 15))
            flags = {name: flag[part] for name, flag in run.flags.items()}
            file.write(_lines(links.event_words(run.words[part]), run.bx[part], run.orbit[part], flags))


def preamble(run: Run) -> int:
    """Lines in the file before line 0 of the run."""
    return len(run.menu.bx_mask)


def _lines(words: NDArray[np.uint32], bx: Integers, orbit: Integers, flags: Mapping[str, Bools]) -> bytes:
    bits = np.zeros(len(words), np.uint32)
    for name, flag in flags.items():
        bits |= flag.astype(np.uint32) << np.uint32(FLAGS.index(name))
    tail = (bits << np.uint32(16)) | np.asarray(bx).astype(np.uint32)
    line = np.concatenate([words, np.asarray(orbit).astype(np.uint32)[:, None], tail[:, None]], axis=1)
    return line[:, ::-1].astype(">u4").tobytes()


def edge_codes(emulator: Emulator) -> NDArray[np.int32]:
    """Directed events, int32 (n, 19, 3).

    Empty; full with everything smallest, largest, middle; each object alone; then each field of each object on its
    own: every bit set and every bit but one, its ends, both sides of the phi wrap, and both sides of each step and
    clip that the input stage of the network makes there.
    """
    slots = spec.objects().slots
    low = np.array([[1, -(s.eta.max_code + 1) if s.eta else 0, 0] for s in slots], np.int64)
    high = np.array([[s.pt.max_code, s.eta.max_code if s.eta else 0, (1 << s.phi.bits) - 1] for s in slots], np.int64)
    middle = np.array([[40, 0, s.phi.steps // 2] for s in slots], np.int64)
    events = [np.zeros_like(low), low, high, middle]
    for slot in range(len(slots)):
        for corner in (low, middle, high):
            alone = np.zeros_like(low)
            alone[slot] = corner[slot]
            events.append(alone)
    fmt, stage, scale = emulator.network.input.format, emulator.network.input, objects.azimuth()
    for slot, kind in enumerate(slots):
        for feature in range(objects.N_FEATURES):
            index = slot * objects.N_FEATURES + feature
            first, last = int(low[slot, feature]), int(high[slot, feature])
            bits = (last - first).bit_length()
            values = {first, last, 0, kind.phi.steps - 1, kind.phi.steps, last // 2}
            values |= {v for b in range(bits) for v in (1 << b, ~(1 << b), last ^ (1 << b))}
            shift, offset = int(stage.shift[index]), int(stage.offset[index])
            for x in (fmt.min_code, fmt.min_code + 1, -1, 0, 1, fmt.max_code, fmt.max_code + 1):
                edge = offset + (x << shift if shift >= 0 else x >> -shift)
                values |= {edge - 1, edge, edge + 1}
            if stage.angles[index]:  # those steps, seen from MET, on both sides of it
                centre = int(scale.per_met[slot] * middle[scale.met, objects.PHI])
                values |= {(centre + sign * v) % kind.phi.steps for v in values for sign in (-1, 1)}
            for value in sorted(v for v in values if first <= v <= last):
                event = middle.copy()
                event[slot, feature] = value
                events.append(event)
    return np.stack(events).astype(np.int32)


def picks_of(scores: NDArray[np.int32], menu: Menu) -> list[int]:
    """For each seed the score of an event, spread over the events of its model."""
    picks = []
    for i, model in enumerate(menu.seed_models):
        positive = np.unique(scores[scores[:, model] > 0, model])
        picks.append(int(positive[np.linspace(0, len(positive) - 1, len(menu.seeds)).astype(int)[i]]))
    return picks


def with_thresholds(menu: Menu, thresholds: Sequence[int], prescales: Sequence[float] | None = None) -> Menu:
    """The menu with other thresholds, and the same prescale in all columns (1 if not given)."""
    factors = prescales or [1.0] * len(menu.seeds)
    return replace(
        menu,
        seeds=tuple(
            replace(seed, threshold=int(t), prescales=(float(p),) * len(menu.columns))
            for seed, t, p in zip(menu.seeds, thresholds, factors, strict=True)
        ),
    )


def busier(menu: Menu, masked: Sequence[int], veto: int) -> Menu:
    """The menu with some seeds masked out, one a veto, each barred from some BX, and all four rules."""
    seeds = []
    for i, seed in enumerate(menu.seeds):
        first = 100 * i + 10
        ranges = ((0, first), (first + 50, spec.latency().orbit_bx - 1))
        seeds.append(replace(seed, enabled=i not in masked, veto=i == veto, bx=ranges))
    return replace(menu, seeds=tuple(seeds), rules=(Rule(1, 3), Rule(2, 11), Rule(3, 25), Rule(4, 60)))


@dataclass
class Draw:
    """Random choices of one run."""

    rng: np.random.Generator
    share: float = 0.02

    def some(self, n: int, share: float | None = None) -> Bools:
        flags: Bools = self.rng.random(n) < (self.share if share is None else share)
        return flags


def core_runs(words: NDArray[np.uint64], pool: NDArray[np.uint64], edges: NDArray[np.uint64], trigger: Trigger,
              latency: int, rng: np.random.Generator) -> list[Run]:  # fmt: skip
    """Every run of the core: directed ones on the events of a pool (m, 19), edge vectors (k, 19), and last the event
    words (n, 19) back to back."""
    menu, orbit_bx, draw = trigger.menu, spec.latency().orbit_bx, Draw(rng)
    some = pool[:1500]
    picks = picks_of(scores_of(trigger, some), menu)
    level = {delta: with_thresholds(menu, [p + delta for p in picks]) for delta in (-1, 0, 1)}
    twice = np.concatenate([some, some])
    boundary = orbit_bx - len(some)  # BX of the first event, so that the second half begins with BX 0
    runs = [steady("edges", edges, menu)]
    for name, before, after, orbit, mode in (
        ("thresholds -1, then 0", -1, 0, 4, 1),  # orbit 5 is no start of a lumi section
        ("thresholds 0, then +1", 0, 1, 7, 0),
    ):
        run = steady(name, twice, level[before], boundary, orbit, shadow=level[after], lumi_log2=2, update_mode=mode)
        at = len(some) - 1 if mode else 7
        run.flags["update"] = np.arange(len(twice)) == at  # the latest request that BX 0 still sees, and an early one
        runs.append(run)
    # the request comes with the header of BX 0 (the last clock for it), and one clock later: a whole section too late
    for shift in (0, 1):
        name, first = f"update {shift} clocks after the header of BX 0", orbit_bx - latency - 30
        run = steady(name, twice[: 2 * latency + 60], level[0], first, 3, shadow=level[1], lumi_log2=0)
        run.flags["update"] = np.arange(len(run.words)) == latency + 30 + latency - HEADER + shift
        runs.append(run)
    factors = (1.01, 2.37, 7.0, 1.5, 3.99)
    mixed = with_thresholds(menu, [picks[0]] * len(picks), [factors[i % 5] for i in range(len(picks))])
    silent = [*mixed.seeds[:-1], replace(mixed.seeds[-1], threshold=max(n.score_max for n in trigger.networks) + 1)]
    off = [replace(seed, prescales=(0.0,) * len(menu.columns)) for seed in mixed.seeds]
    run = steady("prescales", twice, mixed, boundary, 0, shadow=replace(menu, seeds=tuple(silent)), lumi_log2=0)
    run.flags["update"] = np.arange(len(twice)) == 5
    runs.append(run)
    run = steady("prescales off and on", twice, replace(menu, seeds=tuple(off)), boundary, 1, shadow=mixed, lumi_log2=1)
    run.flags.update({"update": np.arange(len(twice)) == 9, "prescale_rst": np.arange(len(twice)) == 70})
    runs.append(run)
    low = with_thresholds(menu, [max(1, p // 2) for p in picks], [factors[i % 5] for i in range(len(picks))])
    open_ = with_thresholds(menu, [1] * len(picks))
    open_ = replace(open_, rules=(), seeds=tuple(replace(s, enabled=True, veto=False, bx=()) for s in open_.seeds))
    runs.append(steady("every seed open", some, open_))
    # each seed is masked once and the veto once; half of the seeds or more stay in the OR
    n_seeds = len(picks)
    for half in (range(0, n_seeds, 2), range(1, n_seeds, 2)):
        run = steady("masks, rules, busy", np.resize(pool, (max(4000, orbit_bx + 500), 19)), busier(low, half, -1))
        busy = np.repeat(draw.some(len(run.words) // 5 + 1, 0.5), 5)[: len(run.words)]
        run.flags.update({"error": draw.some(len(run.words), 0.1), "busy": busy})
        runs.append(run)
    for veto in range(n_seeds):
        runs.append(steady(f"veto of {menu.seeds[veto].name}", pool[:600], busier(low, (), veto)))
    runs.append(
        bursts(
            np.resize(pool, (8000, 19)),
            replace(low, rules=(Rule(1, 2),)),
            busier(low, (0,), n_seeds - 1),
            latency,
            draw,
        )
    )
    runs.append(steady("stream", words, menu))
    return runs


def bursts(words: NDArray[np.uint64], menu: Menu, shadow: Menu, latency: int, draw: Draw) -> Run:
    """Random gaps, errors, busy and strobes, and resets in the middle of the stream: of one clock and of many, some
    with valid held high. BX run fast and jump, so that orbits and lumi sections start often."""
    n, rng = len(words), draw.rng
    valid = draw.some(n, 0.6)
    valid[: 4 * latency] = True  # back to back first
    slot = np.cumsum(valid) - 1
    bx = np.where(slot % 37 == 0, 0, 1 + slot % 3000)
    run = Run("gaps, strobes and resets", words, bx, slot // 37, {"valid": valid}, menu, replace(shadow, seeds=tuple(
        replace(seed, bx=menu.seeds[i].bx) for i, seed in enumerate(shadow.seeds))), lumi_log2=2)  # fmt: skip
    rst = np.zeros(n, np.bool_)
    for start in rng.integers(2 * latency, n - latency, 12):
        rst[start : start + rng.integers(1, 2 * latency)] = True
    shares = {"error": 0.05, "busy": 0.1, "update": 0.005, "update_now": 0.003, "prescale_rst": 0.01}
    run.flags.update({name: draw.some(n, share) for name, share in shares.items()})
    run.flags["rst"] = rst
    run.flags["counter_rst"] = np.arange(n) == n // 5
    return run
