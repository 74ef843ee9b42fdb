"""What the lanes carry clock by clock, and the way from there to events and back.

A frame is one bunch crossing of one lane: idle words first where the clock has room for them, then the payload of
spec/links.yaml, 32 bits a word. The rules by which a frame is good are those of the firmware (links.sv).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import links, spec
from ad40.errors import InputError
from ad40.menu import Decision, seed_bits

MAX_LINK = 999
GOOD, CORRUPTED, LATE, MISSING = range(4)  # classes of a frame
FAULTS = {"corrupted": CORRUPTED, "late": LATE, "missing": MISSING}
# of the first payload word of the output lane: lowest bit and width
HEAD_FIELDS = {"BX": (0, 12), "request": (29, 1), "fault on the links": (30, 1), "L1A": (31, 1)}
_FIRST_SCORE = 3  # payload word of the output lane that holds the score of the first model

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pattern:
    """Words and flags of some links over some clocks; all arrays are (clocks, links).

    data: uint64. valid: the word is part of a frame. start_of_orbit: first word of the frame of BX 0.
    start_of_packet, end_of_packet: first and last word of a frame. error: the link saw a transmission error here.
    strobe: the word is new in this clock; None where every one is. links: numbers, each used once.
    board: the name that EMP files carry. Raises `InputError` on arrays that do not fit together.
    """

    data: NDArray[np.uint64]
    valid: Flags
    start_of_orbit: Flags
    start_of_packet: Flags
    end_of_packet: Flags
    error: Flags
    links: tuple[int, ...]
    board: str = ""
    strobe: Flags | None = None

    def __post_init__(self) -> None:
        shape = (len(self.data), len(self.links))
        if 0 in shape or self.data.dtype != np.uint64:
            raise InputError("pattern", "data", f"{self.data.dtype} {shape}", "uint64, at least one clock and link")
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, np.ndarray) and array.shape != shape:
                raise InputError("pattern", field.name, array.shape, f"{shape}: clocks, links")
        if len(set(self.links)) < len(self.links) or not all(0 <= link <= MAX_LINK for link in self.links):
            raise InputError("pattern", "links", self.links, f"different numbers from 0 to {MAX_LINK}")
        if not re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", self.board):
            raise InputError("pattern", "board", repr(self.board), "printable ASCII characters")

    def __len__(self) -> int:
        """Clocks."""
        return len(self.data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    def at(self, clocks: slice | Flags) -> Pattern:
        """Some of the clocks, in order."""
        arrays: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value[clocks]
        return replace(self, **arrays)


def from_frames(frames: NDArray[np.unsignedinteger], latency: spec.LatencySpec, board: str = "ad40") -> Pattern:
    """Good frames (n, lanes, payload words) of n bunch crossings from BX 0 on, one link for each lane."""
    n, lanes, payload = frames.shape
    words = latency.clocks_per_bx
    if words < payload:
        raise InputError(f"latency configuration {latency.name}", "clocks_per_bx", words, f"{payload} or more")
    data = np.zeros((n, words, lanes), np.uint64)
    data[:, -payload:] = frames.transpose(0, 2, 1)
    clock = np.arange(n * words)

    def everywhere(flag: Flags) -> Flags:
        return np.repeat(flag[:, None], lanes, axis=1)

    return Pattern(
        data=data.reshape(n * words, lanes),
        valid=np.ones((n * words, lanes), np.bool_),
        start_of_orbit=everywhere(clock % (words * latency.orbit_bx) == 0),
        start_of_packet=everywhere(clock % words == 0),
        end_of_packet=everywhere(clock % words == words - 1),
        error=np.zeros((n * words, lanes), np.bool_),
        links=tuple(range(lanes)),
        board=board,
    )


def from_words(words: NDArray[np.uint64], latency: spec.LatencySpec, board: str = "ad40") -> Pattern:
    """The input lanes of spec/links.yaml for events uint64 (n, 19), one for each BX from BX 0 of orbit 0."""
    return from_frames(links.to_frames(words), latency, board)


def from_decisions(
    decision: Decision,
    hw_score: NDArray[np.integer],
    latency: spec.LatencySpec,
    bad: Flags | None = None,
    board: str = "ad40",
) -> Pattern:
    """The output lane of the firmware (link_out.sv) for the decisions on n bunch crossings from BX 0 of orbit 0.

    Payload: 0: accept (bit 31), fault on the input links (30), request (29), BX (11..0); 1 and 2: seed bits before
    and after prescale; 3, 4, 5: scores. hw_score (n, models), bad (n,): slots with a fault on the links.
    """
    n, models = hw_score.shape
    payload = spec.links().payload_words
    if models > payload - _FIRST_SCORE:
        raise InputError("output lane", "models", models, f"at most {payload - _FIRST_SCORE}, one word each")
    head = np.arange(n, dtype=np.uint32) % latency.orbit_bx
    for name, flag in (("L1A", decision.l1a), ("fault on the links", bad), ("request", decision.request)):
        if flag is not None:
            head |= flag.astype(np.uint32) << np.uint32(HEAD_FIELDS[name][0])
    frames = np.zeros((n, 1, payload), np.uint32)
    frames[:, 0, 0] = head
    frames[:, 0, 1] = seed_bits(decision.seeds_before)
    frames[:, 0, 2] = seed_bits(decision.seeds_after)
    frames[:, 0, _FIRST_SCORE : _FIRST_SCORE + models] = hw_score
    return from_frames(frames, latency, board)


@dataclass(frozen=True, eq=False)
class Received:
    """What the firmware receives from a pattern, one row per BX from BX 0 of orbit 0 on.

    words: uint64 (n, 19), the objects of bad lanes absent. faults: uint8 (n, lanes): GOOD, CORRUPTED, LATE, MISSING.
    clocks_per_bx: words in a frame, idle ones included.
    """

    words: NDArray[np.uint64]
    faults: NDArray[np.uint8]
    clocks_per_bx: int

    @property
    def bad(self) -> Flags:
        """Slots in which a lane had a fault, bool (n,)."""
        flags: Flags = (self.faults != GOOD).any(axis=1)
        return flags


def receive(pattern: Pattern, file: str = "pattern") -> Received:
    """Align the lanes and cut their frames as the firmware does.

    BX 0 of orbit 0 is where all lanes show a start of orbit in the same clock; what comes before is dropped. The
    length of a frame is the usual distance of its starts. Raises `InputError`, with the clock and the link, for
    another number of links than lanes, no alignment, frames cut at the end, words above 32 bits and a start of orbit
    of all lanes in the middle of an orbit: the numbers of later bunch crossings would depend on when it was sent.
    """
    lanes, payload = spec.links().lanes, spec.links().payload_words
    if len(pattern.links) != len(lanes):
        names = ", ".join(lane.name for lane in lanes)
        raise InputError(file, "links", len(pattern.links), f"{len(lanes)}: lanes {names}")
    pattern = _strobed(pattern, file)
    starts = np.flatnonzero((pattern.start_of_orbit & _believed(pattern)).all(axis=1))
    if not len(starts):
        raise InputError(file, "start of orbit", "at no clock in all links", "one, where all lanes are aligned")
    first = int(starts[0])
    pattern = pattern.at(slice(first, None))
    size, per_bx = len(pattern), _clocks_per_bx(pattern)
    if size < payload or per_bx < payload:
        words = f"{min(size, per_bx)} words"
        raise InputError(file, f"frame at clock {first}", words, f"{payload} or more: the payload of a lane")
    if size % per_bx:
        whole = f"{size // per_bx} whole frames of {per_bx} and {size % per_bx} words more"
        raise InputError(file, "clocks after the start of orbit", whole, "whole frames")
    orbit = per_bx * spec.latency().orbit_bx
    moved = (starts - first)[(starts - first) % orbit != 0]
    if len(moved):
        raise InputError(file, f"start of orbit at clock {first + int(moved[0])}", f"after {moved[0]} clocks",
                         f"a multiple of {orbit}, one orbit")  # fmt: skip
    wide = np.argwhere(pattern.data >> np.uint64(32) != 0)
    if len(wide):
        clock, column = (int(i) for i in wide[0])
        raise InputError(file, f"clock {first + clock}, link {pattern.links[column]}",
                         f"{pattern.data[clock, column]:#018x}", "a word of 32 bits")  # fmt: skip
    faults = _faults(pattern, per_bx)
    frames = pattern.data.reshape(-1, per_bx, len(lanes))[:, -payload:].transpose(0, 2, 1).astype(np.uint32)
    frames[faults != GOOD] = 0
    return Received(links.from_frames(frames), faults, per_bx)


def _strobed(pattern: Pattern, file: str) -> Pattern:
    """Without the clocks that repeat the words before."""
    if pattern.strobe is None:
        return pattern
    mixed = np.flatnonzero((pattern.strobe != pattern.strobe[:, :1]).any(axis=1))
    if len(mixed):
        raise InputError(file, f"strobe at clock {mixed[0]}", "different from link to link", "one for all links")
    new = pattern.strobe[:, 0]
    if not new.any():
        raise InputError(file, "strobe", "0 at every clock", "1 where words are new")
    return replace(pattern.at(new), strobe=None)


def _clocks_per_bx(pattern: Pattern) -> int:
    """The most frequent distance of frame starts in a lane; all clocks where no lane has two."""
    begins = pattern.start_of_packet & _believed(pattern)
    gaps = np.concatenate([np.diff(np.flatnonzero(begins[:, lane])) for lane in range(begins.shape[1])])
    return int(np.bincount(gaps).argmax()) if len(gaps) else len(pattern)


def _believed(pattern: Pattern) -> Flags:
    """Words whose flags count: a broken word says nothing about alignment."""
    believed: Flags = pattern.valid & ~pattern.error
    return believed


def _faults(pattern: Pattern, per_bx: int) -> NDArray[np.uint8]:
    """The class of each frame, uint8 (n, lanes), of an aligned pattern of whole frames.

    Corrupted: an error flag in any word. Late: a start at a wrong place or none, and every frame after it up to the
    next good start of orbit. Missing: words that are not valid. The first that applies.
    """
    shape = (-1, per_bx, len(pattern.links))
    flags = (pattern.valid, pattern.error, pattern.start_of_orbit, pattern.start_of_packet, _believed(pattern))
    valid, error, orbit, packet, believed = (flag.reshape(shape) for flag in flags)
    number = np.arange(len(valid))[:, None]
    bx0 = number % spec.latency().orbit_bx == 0
    wrong = believed[:, 0] & (~packet[:, 0] | (orbit[:, 0] != bx0))
    wrong |= ((packet | orbit) & believed)[:, 1:].any(axis=1)
    aligning = believed[:, 0] & bx0 & ~wrong
    last_wrong = np.maximum.accumulate(np.where(wrong, number, -1), axis=0)
    last_aligning = np.maximum.accumulate(np.where(aligning, number, -1), axis=0)
    classes = np.full(wrong.shape, GOOD, np.uint8)
    classes[~valid.all(axis=1)] = MISSING
    classes[last_wrong > last_aligning] = LATE
    classes[error.any(axis=1)] = CORRUPTED
    return classes
