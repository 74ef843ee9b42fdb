"""Stimulus: playback lines, directed edge vectors, and what the emulator expects to come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.emulator import Emulator
from ad40.menu import Menu, MenuState, seed_bits

_HEX = np.array([list(f"{value:02x}".encode()) for value in range(256)], np.uint8)
VALID, RESET, PRESCALE_RESET = 1, 2, 4  # flags of a playback line


@dataclass(frozen=True, eq=False)
class Stimulus:
    """Playback lines: words uint64 (n, 19) and flags uint8 (n,) (VALID, RESET, PRESCALE_RESET). A line takes
    `spacing` clocks; resets are used with spacing 1 only."""

    name: str
    words: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    menu: Menu
    spacing: int = 1

    @property
    def has_resets(self) -> bool:
        return bool((self.flags & (RESET | PRESCALE_RESET)).any())


@dataclass(frozen=True, eq=False)
class Expected:
    """Decisions in the order in which they must come out. line (m,): playback line of each. rejected: events that a
    reset must drop."""

    line: NDArray[np.int64]
    score: NDArray[np.int64]
    before: NDArray[np.uint32]
    after: NDArray[np.uint32]
    l1a: NDArray[np.bool_]
    rejected: int


def steady(name: str, words: NDArray[np.uint64], menu: Menu, spacing: int = 1) -> Stimulus:
    """One event per line, without gap or reset."""
    return Stimulus(name, words, np.full(len(words), VALID, np.uint8), menu, spacing)


def expect(stimulus: Stimulus, emulator: Emulator, latency: int, decision_stages: int) -> Expected:
    """The emulator's decisions, and the events that resets take from it.

    Times are edges of the clock: an event sampled at edge c is decided at edge c + latency - decision_stages and
    leaves at edge c + latency; a reset at an edge in between drops it. Prescale counters start at 0 after either
    kind of reset.
    """
    flags = stimulus.flags
    accepted = np.flatnonzero((flags & VALID != 0) & (flags & RESET == 0))
    resets = np.flatnonzero(flags & RESET)
    if len(resets):
        after = np.searchsorted(resets, accepted, side="right")
        next_reset = np.append(resets, np.iinfo(np.int64).max)[after]
        alive = accepted[next_reset > accepted + latency - 1]
    else:
        alive = accepted
    codes = objects.unpack(stimulus.words[alive])
    score = emulator.score(codes)
    # decisions up to and including the edge of a reset still see the old counters
    starts = np.flatnonzero(flags & (RESET | PRESCALE_RESET))
    run = np.searchsorted(starts, alive + latency - decision_stages, side="left")
    before, passed, l1a = [], [], []
    for number in np.unique(run):
        decision = MenuState(stimulus.menu).decide(score[run == number])
        before.append(seed_bits(decision.seeds_before))
        passed.append(seed_bits(decision.seeds_after))
        l1a.append(decision.l1a)
    none = np.zeros(0, np.uint32)
    return Expected(
        alive,
        score.astype(np.int64),
        np.concatenate([none, *before]),
        np.concatenate([none, *passed]),
        np.concatenate([np.zeros(0, bool), *l1a]),
        len(accepted) - len(alive),
    )


def write_playback(path: Path, stimulus: Stimulus, start: int, stop: int) -> None:
    """Write lines [start, stop) for $readmemh: the flags in the first hexadecimal digit, then all words."""
    words = stimulus.words[start:stop]
    parts = [
        words[:, i].astype("<u8").view(np.uint8).reshape(len(words), 8)[:, : kind.word_bits // 8]
        for i, kind in enumerate(spec.objects().slots)
    ]
    data = np.concatenate(parts, axis=1)[:, ::-1]  # object 0 in the lowest bits: last in the text
    text = np.empty((len(words), 2 * data.shape[1] + 2), np.uint8)
    text[:, 0] = ord("0") + stimulus.flags[start:stop]
    text[:, 1:-1] = _HEX[data].reshape(len(words), -1)
    text[:, -1] = ord("\n")
    path.write_bytes(text.tobytes())


def noise_bits(words: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint64]:
    """The same words with random bits outside pt, eta and phi, as quality and isolation are in the real ones."""
    used = objects.pack(np.full((1, objects.N_OBJECTS, objects.N_FEATURES), -1, np.int32))
    bits = np.array([kind.word_bits for kind in spec.objects().slots], np.uint64)
    inside = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - bits)
    noise = rng.integers(0, 1 << 64, words.shape, dtype=np.uint64)
    return words | (noise & ~used & inside)


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
    fmt, stage = emulator.network.input.format, emulator.network.input
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
            for value in sorted(v for v in values if first <= v <= last):
                event = middle.copy()
                event[slot, feature] = value
                events.append(event)
    return np.stack(events).astype(np.int32)


def bursts(words: NDArray[np.uint64], menu: Menu, latency: int, rng: np.random.Generator) -> Stimulus:
    """Random gaps, and resets in the middle of the stream: of one clock and of many, some with valid held high, and
    resets of the prescale counters alone."""
    n = 2 * len(words)
    flags = np.where(rng.random(n) < 0.6, VALID, 0).astype(np.uint8)
    flags[: 4 * latency] = VALID  # back to back first
    for start in rng.integers(2 * latency, n - latency, 12):
        flags[start : start + rng.integers(1, 2 * latency)] |= RESET
    flags[rng.integers(2 * latency, n - latency, 12)] |= PRESCALE_RESET
    return Stimulus("gaps and resets", words[np.arange(n) % len(words)], flags, menu)


def threshold_runs(words: NDArray[np.uint64], emulator: Emulator, menu: Menu) -> list[Stimulus]:
    """For each seed a threshold one below, at and one above the score of one event; prescales of one. Then a run
    with mixed fractional prescales, a silenced seed and one that is switched off."""
    score = emulator.score(objects.unpack(words))
    positive = np.unique(score[score > 0])
    picks = positive[np.linspace(0, len(positive) - 1, len(menu.seeds)).astype(int)]
    runs = []
    for name, delta in (("threshold - 1", -1), ("threshold", 0), ("threshold + 1", 1)):
        seeds = tuple(
            replace(seed, threshold=int(pick) + delta, prescale=1.0)
            for seed, pick in zip(menu.seeds, picks, strict=True)
        )
        runs.append(steady(name, words, replace(menu, seeds=seeds)))
    factors = (1.01, 2.37, 7.0, 1.5, 3.99)
    seeds = tuple(
        replace(seed, threshold=int(picks[0]), prescale=factors[i % len(factors)]) for i, seed in enumerate(menu.seeds)
    )
    silent = replace(seeds[-1], threshold=emulator.network.score_max + 1)
    off = replace(seeds[-2], prescale=0.0) if len(seeds) > 1 else seeds[-1]
    runs.append(steady("prescales", words, replace(menu, seeds=(*seeds[:-2], off, silent)[-len(seeds) :])))
    return runs
