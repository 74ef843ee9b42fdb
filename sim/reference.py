"""What the block must do, in Python and independent of the RTL: receiving of the lanes and the decision of each slot.

Written clock by clock and slot by slot from the rules, not from the emulator: `ad40.menu` is held against it too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40 import links, objects, spec

GOOD, CORRUPTED, LATE, MISSING = range(4)  # classes of a lane's frame

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lines:
    """What lies on the lanes at each clock: data uint32 (clocks, lanes), flags bool (clocks, lanes); l1a bool
    (clocks,): the external Level-1 accept."""

    data: NDArray[np.uint32]
    valid: Bools
    soo: Bools
    sof: Bools
    error: Bools
    l1a: Bools

    def __len__(self) -> int:
        return len(self.data)

    def part(self, start: int, stop: int) -> Lines:
        return Lines(*(getattr(self, name)[start:stop] for name in self.__dataclass_fields__))

    def padded(self, clocks: int) -> Lines:
        """And so many clocks of zeros."""
        columns = (getattr(self, name) for name in self.__dataclass_fields__)
        return Lines(*(np.concatenate([c, np.zeros((clocks, *c.shape[1:]), c.dtype)]) for c in columns))


@dataclass(frozen=True, eq=False)
class Received:
    """One row per slot, from the first alignment on. clock: when its last word is on the pins; frame uint8
    (n, lanes): class of each lane's frame; words uint64 (n, 19) with the objects of bad lanes zeroed.
    resyncs: clocks at which an unexpected orbit start moved the alignment."""

    clock: NDArray[np.int64]
    bx: NDArray[np.int64]
    orbit: NDArray[np.int64]
    frame: NDArray[np.uint8]
    words: NDArray[np.uint64]
    resyncs: tuple[int, ...]

    @property
    def bad(self) -> Bools:
        flags: Bools = (self.frame != GOOD).any(axis=1)
        return flags

    def part(self, rows: Bools) -> Received:
        """Some of the slots."""
        columns = (getattr(self, name)[rows] for name in ("clock", "bx", "orbit", "frame", "words"))
        return Received(*columns, self.resyncs)


def _classes(valid: Bools, soo: Bools, sof: Bools, error: Bools, bx: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Class of each frame of one lane between two alignments; flags (frames, clocks per BX), bx (frames,).

    Marks count in words that are valid and without error. A lane is in step from a start of orbit at the right word
    on, until a mark is missing or stands at a wrong word.
    """
    believed = valid & ~error
    first = bx == 0
    wrong_0 = believed[:, 0] & (~sof[:, 0] | (soo[:, 0] != first))
    wrong = wrong_0 | ((sof | soo) & believed)[:, 1:].any(axis=1)
    starts = np.flatnonzero(first & believed[:, 0] & ~wrong)
    in_step = np.zeros(len(bx), np.bool_)
    in_step[starts[0] if len(starts) else len(bx) :] = True
    frame = 0
    for fault in np.flatnonzero(wrong):
        if fault < frame:
            continue
        after = int(np.searchsorted(starts, fault, side="right"))
        frame = int(starts[after]) if after < len(starts) else len(bx)
        in_step[fault:frame] = False
    classes = np.full(len(bx), GOOD, np.uint8)
    classes[~valid.all(axis=1)] = MISSING
    classes[~in_step] = LATE
    classes[error.any(axis=1)] = CORRUPTED
    return classes


def receive(lines: Lines, enable: Sequence[bool], clocks_per_bx: int, orbit_bx: int, silent: int = 0) -> Received:
    """The events that must come out of the lanes, followed by `silent` clocks in which nothing is valid.

    Alignment: all enabled lanes show an orbit start in the same clock; at an unexpected place that is a resync, the
    frame that it cuts is not delivered, and the orbit number goes on by one.
    """
    if silent:
        lines = lines.padded(silent)
    enabled = np.flatnonzero(enable)
    believed = lines.valid & ~lines.error
    starts = np.flatnonzero((lines.soo & believed)[:, enabled].all(axis=1)) if len(enabled) else []
    orbit_clocks = clocks_per_bx * orbit_bx
    cuts: list[tuple[int, int]] = []  # (clock, orbit number) of each alignment
    for start in (int(s) for s in starts):
        if not cuts:
            cuts.append((start, 0))
        elif (start - cuts[-1][0]) % orbit_clocks:
            cuts.append((start, cuts[-1][1] + (start - 1 - cuts[-1][0]) // orbit_clocks + 1))
    ends = [*(clock for clock, _ in cuts[1:]), len(lines)][: len(cuts)]
    payload = spec.links().payload_words
    columns: list[tuple[NDArray[np.integer], ...]] = []
    for (start, orbit), end in zip(cuts, ends, strict=True):
        n = (end - start) // clocks_per_bx
        number = np.arange(n)
        bx = number % orbit_bx
        stop = start + n * clocks_per_bx
        frames = np.zeros((n, lines.data.shape[1]), np.uint8)
        shape = (n, clocks_per_bx, lines.data.shape[1])
        data = lines.data[start:stop].reshape(shape)[:, -payload:].transpose(0, 2, 1).copy()
        for lane in range(frames.shape[1]):
            if lane in enabled:
                flags = (getattr(lines, name)[start:stop, lane] for name in ("valid", "soo", "sof", "error"))
                frames[:, lane] = _classes(*(f.reshape(n, clocks_per_bx) for f in flags), bx)
                data[frames[:, lane] != GOOD, lane] = 0
            else:
                data[:, lane] = 0
        clock = start + (number + 1) * clocks_per_bx - 1
        columns.append((clock, bx, orbit + number // orbit_bx, frames, links.from_frames(data)))
    if not columns:
        none = np.zeros(0, np.int64)
        columns = [(none, none, none, np.zeros((0, lines.data.shape[1]), np.uint8), np.zeros((0, 19), np.uint64))]
    clock, bx, orbits, frames, words = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return Received(clock, bx, orbits, frames, words.astype(np.uint64), tuple(clock for clock, _ in cuts[1:]))


@dataclass(frozen=True, eq=False)
class Live:
    """Values of the menu in force. thresholds, factors (x 100) int (S,); mask, veto bool (S,); windows (4,) BX, 0 =
    off; bx_mask bool (orbit_bx, S)."""

    thresholds: NDArray[np.int64]
    factors: NDArray[np.int64]
    mask: Bools
    veto: Bools
    windows: tuple[int, ...]
    bx_mask: Bools


@dataclass(frozen=True, eq=False)
class Decided:
    """One row per slot. before, after bool (n, S); the others bool (n,). refused (n, 4): which rules said no."""

    before: Bools
    after: Bools
    vetoed: Bools
    request: Bools
    refused: Bools
    l1a: Bools


def decide(
    scores: NDArray[np.integer],
    seed_models: Sequence[int],
    bx: NDArray[np.integer],
    bad: Bools,
    busy: Bools,
    live: Sequence[tuple[int, Live]],
    restarts: Sequence[int] = (),
) -> Decided:
    """Decide slot after slot. scores (n, models); live: (first slot, values), the first at slot 0; restarts: slots
    before which the prescale counters go to 0."""
    n, seeds = len(scores), len(seed_models)
    before, after = np.zeros((n, seeds), np.bool_), np.zeros((n, seeds), np.bool_)
    request, vetoed = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    refused, l1a = np.zeros((n, 4), np.bool_), np.zeros(n, np.bool_)
    limits = [*(start for start, _ in live), n]
    counters, again = [0] * seeds, sorted(restarts)
    accepted: deque[int] = deque(maxlen=4)  # slots of the last accepts, newest first
    for (start, now), stop in zip(live, limits[1:], strict=True):
        part = slice(start, stop)
        fires = scores[part][:, list(seed_models)] >= now.thresholds
        before[part] = fires & now.bx_mask[bx[part]] & ~bad[part, None]
        for slot in (start + np.flatnonzero(before[part].any(axis=1))).tolist():
            while again and again[0] <= slot:
                again.pop(0)
                counters = [0] * seeds
            for seed in np.flatnonzero(before[slot]).tolist():
                factor = int(now.factors[seed])
                if factor:
                    counters[seed] += 100
                    if counters[seed] >= factor:
                        counters[seed] -= factor
                        after[slot, seed] = True
            vetoed[slot] = bool((after[slot] & now.veto).any())
            request[slot] = bool((after[slot] & now.mask).any()) and not vetoed[slot]
            if request[slot]:
                for rule, window in enumerate(now.windows):
                    refused[slot, rule] = rule < len(accepted) and window > 0 and slot - accepted[rule] < window
                if not refused[slot].any() and not busy[slot]:
                    l1a[slot] = True
                    accepted.appendleft(slot)
    return Decided(before, after, vetoed, request, refused, l1a)


def counts(decided: Decided, mask: Bools, bad: Bools, busy: Bools) -> dict[str, NDArray[np.int64]]:
    """Every counter of the menu after each slot, int64 (n,) or (n, S), not wrapped. mask bool (n, S): the mask in
    force in each slot."""
    rules = decided.refused.any(axis=1)
    steps = {
        "cnt_before": decided.before,
        "cnt_after": decided.after,
        "cnt_accepted": decided.after & mask & decided.l1a[:, None],
        "cnt_slots": np.ones(len(bad), np.bool_),
        "cnt_errors": bad,
        "cnt_requests": decided.request,
        "cnt_l1a": decided.l1a,
        "cnt_lost_rules": decided.request & rules,
        "cnt_lost_busy": decided.request & ~rules & busy,
        "cnt_dead": busy,
    }
    return {name: np.cumsum(flags, axis=0, dtype=np.int64) for name, flags in steps.items()}


def scores_of(trigger: object, words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Scores int32 (n, models) of words uint64 (n, 19); an event that repeats is scored once."""
    unique, index = np.unique(words, axis=0, return_inverse=True)
    scores: NDArray[np.int32] = trigger.score(objects.unpack(unique))  # type: ignore[attr-defined]
    return scores[index.ravel()]
