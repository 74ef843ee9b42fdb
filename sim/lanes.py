"""Stimulus of the lanes: events laid on links, and the faults that links really have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import links, objects, spec
from sim.reference import Lines

FLAGS = ("valid", "soo", "sof", "error")


def noise_bits(words: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint64]:
    """The same words with random bits outside pt, eta and phi, as quality and isolation are in the real ones."""
    used = objects.pack(np.full((1, objects.N_OBJECTS, objects.N_FEATURES), -1, np.int32))
    bits = np.array([kind.word_bits for kind in spec.objects().slots], np.uint64)
    inside = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - bits)
    noise = rng.integers(0, 1 << 64, words.shape, dtype=np.uint64)
    return words | (noise & ~used & inside)


def lay(words: NDArray[np.uint64], clocks_per_bx: int, orbit_bx: int, rng: np.random.Generator) -> Lines:
    """Events uint64 (n, 19), one per BX from BX 0 of an orbit on, as good frames. Words that carry nothing, and the
    idle words of faster links, are random."""
    frames = links.to_frames(words)
    n, lanes, payload = frames.shape
    data = rng.integers(0, 1 << 32, (n, clocks_per_bx, lanes), dtype=np.uint32)
    carried = np.zeros((lanes, payload), np.bool_)
    for lane, index in spec.links().positions:
        carried[lane, index] = True
    data[:, -payload:] = np.where(carried.T, frames.transpose(0, 2, 1), data[:, -payload:])
    flags = {name: np.zeros((n, clocks_per_bx, lanes), np.bool_) for name in FLAGS}
    flags["valid"][:] = True
    flags["sof"][:, 0] = True
    flags["soo"][::orbit_bx, 0] = True
    flat = {name: flag.reshape(-1, lanes) for name, flag in flags.items()}
    return Lines(data.reshape(-1, lanes), **flat, l1a=np.zeros(n * clocks_per_bx, np.bool_))


def join(parts: Sequence[Lines]) -> Lines:
    """One after the other."""
    return Lines(*(np.concatenate([getattr(p, name) for p in parts]) for name in Lines.__dataclass_fields__))


def silence(clocks: int, lanes: int, rng: np.random.Generator) -> Lines:
    """Lanes that carry nothing valid, with anything on their data and orbit starts of one lane at a time."""
    flags = {name: np.zeros((clocks, lanes), np.bool_) for name in FLAGS}
    data = rng.integers(0, 1 << 32, (clocks, lanes), dtype=np.uint32)
    for clock in range(0, clocks - 1, 3):
        for name in ("valid", "soo", "sof"):
            flags[name][clock, (clock // 3) % lanes] = True
    return Lines(data, **flags, l1a=np.zeros(clocks, np.bool_))


TRANSIENT = ("error", "gone", "hole", "all gone")
UNALIGNING = ("no sof", "extra sof", "early soo", "no soo", "late")


def hurt(lines: Lines, lane: int, frame: int, kind: str, clocks_per_bx: int, orbit_bx: int,
         rng: np.random.Generator) -> None:  # fmt: skip
    """One fault, in place, in lines that begin with BX 0: an error flag, a frame or a word that is missing, all lanes
    silent; a mark that is missing or at a wrong word, a lane that runs late up to the next orbit start or shorter."""
    start = frame * clocks_per_bx
    stop, inside = start + clocks_per_bx, start + int(rng.integers(1, clocks_per_bx))
    if kind == "error":
        word = start + int(rng.integers(clocks_per_bx))
        lines.error[word, lane] = True
        lines.data[word, lane] = rng.integers(1 << 32)
    elif kind in ("gone", "all gone"):
        for name in FLAGS[:-1]:
            getattr(lines, name)[start:stop, lane if kind == "gone" else slice(None)] = False
    elif kind == "hole":
        lines.valid[inside, lane] = False
    elif kind == "no sof":
        lines.sof[start, lane] = False
    elif kind == "extra sof":
        lines.sof[inside, lane] = True
    elif kind == "early soo":
        lines.soo[inside, lane] = True
    elif kind == "no soo":
        lines.soo[frame // orbit_bx * orbit_bx * clocks_per_bx, lane] = False
    else:
        delay = int(rng.integers(1, clocks_per_bx))
        stop = min((frame // orbit_bx + 1) * orbit_bx * clocks_per_bx, len(lines))
        if rng.random() < 0.5:
            stop = min(stop, start + int(rng.integers(2, 40)) * clocks_per_bx)
        for name in ("data", *FLAGS):
            part = getattr(lines, name)
            part[start + delay : stop, lane] = part[start : stop - delay, lane].copy()
            if name != "data":
                part[start : start + delay, lane] = False


def injure(
    lines: Lines, clocks_per_bx: int, orbit_bx: int, rng: np.random.Generator, rate: float, first: int = 0
) -> Lines:
    """Faults at random, one frame in 1/rate per lane, one in thirty of a kind that takes the lane out of step.
    Frames before `first` stay good."""
    out = replace(lines, **{name: getattr(lines, name).copy() for name in ("data", *FLAGS)})
    for lane in range(lines.data.shape[1]):
        for frame in np.flatnonzero(rng.random(len(lines) // clocks_per_bx) < rate).tolist():
            kinds = UNALIGNING if rng.random() < 1 / 30 else TRANSIENT
            kind = kinds[rng.integers(len(kinds))]
            if frame >= first and (kind != "no soo" or frame // orbit_bx * orbit_bx >= first):
                hurt(out, lane, frame, kind, clocks_per_bx, orbit_bx, rng)
    return out


def tour(lines: Lines, clocks_per_bx: int, orbit_bx: int, rng: np.random.Generator) -> Lines:
    """Every kind of fault on every lane, one after the other: the transient ones from BX 50 on, the others near the
    end of the first orbit (or at the start of the second), so that the lanes come back at the next orbit start."""
    out = replace(lines, **{name: getattr(lines, name).copy() for name in ("data", *FLAGS)})
    frame = 50
    for lane in range(lines.data.shape[1]):
        for kind in TRANSIENT:
            hurt(out, lane, frame, kind, clocks_per_bx, orbit_bx, rng)
            frame += int(rng.integers(2, 20))
    for i, kind in enumerate(UNALIGNING):
        for lane in range(lines.data.shape[1]):
            last = (lane + i) % 2  # orbit in which it happens
            where = orbit_bx * last + orbit_bx - 200 + int(rng.integers(0, 190))
            hurt(out, lane, where if kind != "no soo" else orbit_bx * 2, kind, clocks_per_bx, orbit_bx, rng)
    return out


def realign(lines: Lines, clocks_per_bx: int, orbit_bx: int, cuts: Sequence[tuple[int, int]]) -> Lines:
    """Cut all lanes: at frame f of each (f, clocks) the rest begins a new orbit after so many clocks of the frame."""
    parts, begin = [], 0
    for frame, clocks in cuts:
        stop = frame * clocks_per_bx + clocks
        parts.append(lines.part(begin, stop))
        begin = -(-stop // (clocks_per_bx * orbit_bx)) * clocks_per_bx * orbit_bx  # the next orbit start
    parts.append(lines.part(begin, len(lines)))
    return join(parts)


def line_bytes(lanes: int) -> int:
    """Bytes of a line of the playback file: data, four flags a lane, and eight control bits."""
    return (36 * lanes + 8 + 7) // 8


def write(path: Path, lines: Lines) -> None:
    """The playback file of the bench: for each clock {zeros, control, error, sof, soo, valid, data}, lane 0 in the
    lowest bits, most significant byte first. control bit 0: the external Level-1 accept."""
    lanes = lines.data.shape[1]
    size = line_bytes(lanes)
    with path.open("wb") as file:
        for start in range(0, len(lines), 1 << 16):
            part = lines.part(start, start + (1 << 16))
            bits = np.zeros((len(part), 8 * size - 32 * lanes), np.bool_)
            for i, name in enumerate(FLAGS):
                bits[:, i * lanes : (i + 1) * lanes] = getattr(part, name)
            bits[:, 4 * lanes] = part.l1a
            low = part.data.astype("<u4").view(np.uint8).reshape(len(part), 4 * lanes)
            high = np.packbits(bits, axis=1, bitorder="little")
            file.write(np.concatenate([low, high], axis=1)[:, ::-1].tobytes())
