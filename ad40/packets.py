"""Readout packets: what the board sends of an accepted event.

32-bit words, each sent as four bytes, the lowest first:

    0     marker 0xAD40 (31..16), version (15..12), number of models (11..8), flags (7..0)
    1     design: 32 bits of the hash of scales, menu and networks
    2     number of the Level-1 accept, from 1; accepts that were dropped count, so a gap shows
    3     orbit
    4     BX (31..20), mask of present objects (18..0)
    5, 6  seed bits before and after prescale
    7 ..  score of each model, then the words of the present objects: object 0 first, lower half of a muon first
    last  CRC-32 (IEEE 802.3, as zlib) over the bytes of all words before

An object is present when its pt field is not zero. Flags: see `FLAGS`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import links, objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.model import Trigger

MARKER = 0xAD40
VERSION = 1
HEADER_WORDS = 7
MAX_MODELS = 15
FLAGS = {"overflow": 1, "link_error": 2, "external": 4}  # events lost before; fault on the links; accepted from outside
_KNOWN_FLAGS = sum(FLAGS.values())
_BX_SHIFT, _BX_BITS = 20, 12
_WORD = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Packets:
    """Accepted events in the order of the file. n packets of m models.

    bx, flags: uint16 (n,). orbit, l1a (number of the accept), seeds_before, seeds_after (bit masks): uint32 (n,).
    words: uint64 (n, 19), absent objects zero. hw_score: int32 (n, m).
    """

    bx: NDArray[np.uint16]
    orbit: NDArray[np.uint32]
    l1a: NDArray[np.uint32]
    flags: NDArray[np.uint16]
    words: NDArray[np.uint64]
    hw_score: NDArray[np.int32]
    seeds_before: NDArray[np.uint32]
    seeds_after: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.bx)

    def at(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Packets:
        """Some of the packets."""
        return Packets(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def flagged(self, name: str) -> NDArray[np.bool_]:
        """Packets with a flag of `FLAGS`, bool (n,)."""
        set_: NDArray[np.bool_] = (self.flags & FLAGS[name]) != 0
        return set_


def _object_of_word() -> NDArray[np.intp]:
    """For each 32-bit word of an event the object that it belongs to."""
    return np.repeat(np.arange(objects.N_OBJECTS), [kind.word_bits // 32 for kind in spec.objects().slots])


def _present(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return objects.present(objects.unpack(words))


def encode_packets(packets: Packets, design_id: int) -> bytes:
    """The bytes that the firmware sends for these events. Absent objects (pt field 0) are left out."""
    n, models = packets.hw_score.shape
    if not 1 <= models <= MAX_MODELS:
        raise InputError("packets", "models", models, f"1 to {MAX_MODELS}")
    if n and int(packets.bx.max()) >> _BX_BITS:
        raise InputError("packets", "bx", int(packets.bx.max()), f"a number of {_BX_BITS} bits")
    here = _present(packets.words)
    mask = (here * (1 << np.arange(objects.N_OBJECTS))).sum(axis=1)
    head = MARKER << 16 | VERSION << 12 | models << 8
    columns = [packets.flags.astype(np.uint32) | head, np.full(n, design_id), packets.l1a, packets.orbit]
    columns += [packets.bx.astype(np.uint32) << _BX_SHIFT | mask, packets.seeds_before, packets.seeds_after]
    matrix = np.zeros((n, HEADER_WORDS + models + links.EVENT_WORDS + 1), "<u4")
    matrix[:, :HEADER_WORDS] = np.stack(columns, axis=1)
    matrix[:, HEADER_WORDS : HEADER_WORDS + models] = packets.hw_score
    matrix[:, HEADER_WORDS + models : -1] = links.event_words(packets.words)
    sent = np.ones(matrix.shape, np.bool_)
    sent[:, HEADER_WORDS + models : -1] = here[:, _object_of_word()]
    stream = matrix[sent]
    ends = np.cumsum(sent.sum(axis=1))  # in words
    octets, start = memoryview(stream.tobytes()), 0
    for end in ends.tolist():
        stream[end - 1] = zlib.crc32(octets[4 * start : 4 * end - 4])
        start = end
    return stream.tobytes()


def read_packets(source: str | Path | bytes, trigger: Trigger) -> Packets:
    """Read a file, or the bytes, of packets that a board with this trigger sent.

    Raises `InputError` with the number of the packet (from 0) and its byte offset for another marker, version, flag
    or number of models, a wrong CRC, a packet cut short, a BX beyond the orbit and an object without pt;
    `HashMismatch` for the packets of another design.
    """
    data, file = (source, "packets") if isinstance(source, bytes) else (_read_bytes(source), str(source))
    models = len(trigger.networks)
    starts, ends = _split(data, file, models, trigger.design_id)
    stream = np.frombuffer(data, "<u4")
    head = stream[starts[:, None] + np.arange(HEADER_WORDS + models)]
    mask = head[:, 4] & ((1 << objects.N_OBJECTS) - 1)
    here = (mask[:, None] >> np.arange(objects.N_OBJECTS, dtype=np.uint32) & 1).astype(np.bool_)
    parts = np.zeros((len(starts), links.EVENT_WORDS), np.uint32)
    payload = np.ones(len(stream), np.bool_)
    payload[(starts[:, None] + np.arange(HEADER_WORDS + models)).ravel()] = False
    payload[ends - 1] = False
    parts[here[:, _object_of_word()]] = stream[payload]
    packets = Packets(
        bx=(head[:, 4] >> _BX_SHIFT).astype(np.uint16),
        orbit=head[:, 3].astype(np.uint32),
        l1a=head[:, 2].astype(np.uint32),
        flags=(head[:, 0] & 0xFF).astype(np.uint16),
        words=links.join_words(parts),
        hw_score=head[:, HEADER_WORDS:].astype(np.int32),
        seeds_before=head[:, 5].astype(np.uint32),
        seeds_after=head[:, 6].astype(np.uint32),
    )
    _check(packets, here, len(trigger.menu.seeds), starts, file)
    return packets


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(path, "file", error.strerror or str(error), "a readable file") from error


def _place(number: int, word: int) -> str:
    return f"packet {number} at byte {4 * word}"


def _split(data: bytes, file: str, models: int, design_id: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First word of each packet and of what follows it, in words from the start of `data`."""
    octets = memoryview(data)
    all_objects = (1 << objects.N_OBJECTS) - 1
    doubled = sum(1 << i for i, kind in enumerate(spec.objects().slots) if kind.word_bits == 64)
    expected_head = MARKER << 16 | VERSION << 12 | models << 8
    fixed = HEADER_WORDS + models + 1
    starts: list[int] = []
    start, total = 0, len(data) // 4
    while start < total:
        place, left = _place(len(starts), start), len(data) - 4 * start
        (head,) = _WORD.unpack_from(data, 4 * start)
        if head & ~_KNOWN_FLAGS != expected_head:
            raise _head_fault(file, place, head, models)
        if total - start < fixed:
            raise InputError(file, place, f"{left} bytes", f"at least {4 * fixed}: it is cut short")
        (design,) = _WORD.unpack_from(data, 4 * start + 4)
        if design != design_id:
            raise HashMismatch(file, f"{place}, design", f"{design:#010x}", f"{design_id:#010x}")
        mask = _WORD.unpack_from(data, 4 * start + 16)[0] & all_objects
        end = start + fixed + mask.bit_count() + (mask & doubled).bit_count()
        if end > total:
            raise InputError(file, place, f"{left} bytes", f"{4 * (end - start)}: it is cut short")
        crc, (sent,) = zlib.crc32(octets[4 * start : 4 * end - 4]), _WORD.unpack_from(data, 4 * end - 4)
        if crc != sent:
            raise InputError(file, f"{place}, CRC", f"{sent:#010x}", f"{crc:#010x}, that of the content")
        starts.append(start)
        start = end
    if len(data) % 4:
        raise InputError(file, _place(len(starts), start), f"{len(data) % 4} bytes", "whole words of 4 bytes")
    first = np.array(starts, np.intp)
    return first, np.append(first[1:], start) if starts else first


def _head_fault(file: str, place: str, head: int, models: int) -> InputError:
    marker, version, count, flags = head >> 16, head >> 12 & 0xF, head >> 8 & 0xF, head & 0xFF
    if marker != MARKER:
        return InputError(file, f"{place}, marker", f"{marker:#06x}", f"{MARKER:#06x}")
    if version != VERSION:
        return InputError(file, f"{place}, version", version, str(VERSION))
    if count != models:
        return InputError(file, f"{place}, models", count, f"{models}, those of the trigger")
    return InputError(file, f"{place}, flags", f"{flags:#04x}", f"bits of {_KNOWN_FLAGS:#04x} only")


def _check(packets: Packets, here: NDArray[np.bool_], seeds: int, starts: NDArray[np.intp], file: str) -> None:
    """Refuse what no firmware of this version sends, though the CRC is right."""
    orbit_bx = spec.latency().orbit_bx
    steps = np.array([kind.phi.steps for kind in spec.objects().slots])
    codes = objects.unpack(packets.words)
    checks = (
        (packets.bx >= orbit_bx, "BX", f"beyond {orbit_bx - 1}", f"0 to {orbit_bx - 1}"),
        ((packets.hw_score < 0).any(axis=1), "score", "beyond 31 bits", "an integer below 2^31"),
        (
            (packets.seeds_before | packets.seeds_after).astype(np.uint64) >> np.uint64(seeds) != 0,
            "seeds",
            "a bit beyond the menu",
            f"{seeds} seeds",
        ),
        ((objects.present(codes) != here).any(axis=1), "object", "present with pt 0", "a pt above 0"),
        ((codes[..., objects.PHI] >= steps).any(axis=1), "object", "phi beyond its steps", "an angle of its scale"),
    )
    for wrong, field, found, expected in checks:
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise InputError(file, f"{_place(at, int(starts[at]))}, {field}", found, expected)
