"""Test vectors of the CMS global trigger: one orbit of objects, external conditions and algorithm bits, as text.

One line per BX with 60 columns: BX (decimal), 8 muons of 64 bits, 12 e/gamma, 12 tau, 12 jets and 12 sums of 32
bits, 256 external conditions, 512 algorithm bits, final OR. All but the first and last are hexadecimal, the most
significant bit first. Sums in order: ET, HT, MET, MHT, MET-HF, MHT-HF, then towers and asymmetries.

ad40 takes the first 4 muons, 4 e/gamma and 10 jets, and MET. Its seed s is algorithm s before prescale, as the
conditions stage of the board gives it; the final OR is the request: any seed after prescale and masks, no veto,
before the trigger rules, which belong to the trigger control system and not to the board.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.columns import Column, Text, hex_digits
from ad40.errors import InputError
from ad40.menu import Decision

N_ALGORITHMS = 512
N_EXTERNAL = 256
OBJECTS = {"muons": 8, "egammas": 12, "taus": 12, "jets": 12, "sums": 12}
_WORD_BITS = {"muons": 64, "egammas": 32, "taus": 32, "jets": 32, "sums": 32}
_MET = 2  # index among the sums
# type of objects -> where the vectors hold it, and its first object there
SOURCE = {"met": ("sums", _MET), "egamma": ("egammas", 0), "muon": ("muons", 0), "jet": ("jets", 0)}


@dataclass(frozen=True, eq=False)
class Vectors:
    """One orbit; row = BX. muons (n, 8), egammas, taus, jets, sums (n, 12): uint64. external bool (n, 256),
    algorithms bool (n, 512), index = number; final_or bool (n,). newline: how the lines of the text end."""

    muons: NDArray[np.uint64]
    egammas: NDArray[np.uint64]
    taus: NDArray[np.uint64]
    jets: NDArray[np.uint64]
    sums: NDArray[np.uint64]
    external: NDArray[np.bool_]
    algorithms: NDArray[np.bool_]
    final_or: NDArray[np.bool_]
    newline: str = "\n"

    def __len__(self) -> int:
        """Bunch crossings."""
        return len(self.final_or)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vectors):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]


def _columns() -> list[Column]:
    columns = [Column("BX", r"\d{4}", "four decimal digits")]
    for name, count in OBJECTS.items():
        digits = _WORD_BITS[name] // 4
        form, expected = f"[0-9A-Fa-f]{{{digits}}}", f"{digits} hexadecimal digits"
        columns += [Column(f"{name[:-1]} {i}", form, expected) for i in range(count)]
    for name, bits in (("external conditions", N_EXTERNAL), ("algorithm bits", N_ALGORITHMS)):
        columns.append(Column(name, f"[0-9A-Fa-f]{{{bits // 4}}}", f"{bits // 4} hexadecimal digits"))
    return [*columns, Column("final OR", "[01]", "0 or 1")]


def parse(text: Text) -> Vectors:
    """Vectors of a text. Raises `InputError` with the line of the first fault; the orbit must be whole."""
    numbers, rows = text.rows(_columns())
    orbit = spec.latency().orbit_bx
    found = np.array([int(row[0]) for row in rows])
    wrong = np.flatnonzero(found != np.arange(len(found)))
    if len(wrong):
        raise text.fault(numbers[wrong[0]], "BX", int(found[wrong[0]]), f"{wrong[0]}: every BX in order, from 0")
    if len(rows) != orbit:
        raise text.fault(numbers[-1], "BX", f"{len(rows) - 1}, the last one", f"{orbit - 1}: one whole orbit")
    kind = [(name, f">u{_WORD_BITS[name] // 8}", (count,)) for name, count in OBJECTS.items()]
    kind += [("external", "u1", (N_EXTERNAL // 8,)), ("algorithms", "u1", (N_ALGORITHMS // 8,))]
    table = np.frombuffer(bytes.fromhex(b"".join(b"".join(row[1:-1]) for row in rows).decode()), np.dtype(kind))
    return Vectors(
        **{name: table[name].astype(np.uint64) for name in OBJECTS},
        external=_bits(table["external"]),
        algorithms=_bits(table["algorithms"]),
        final_or=np.array([row[-1] == b"1" for row in rows]),
        newline=text.newline,
    )


def _bits(octets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.ascontiguousarray(np.unpackbits(octets, axis=1)[:, ::-1]).astype(np.bool_)


def text(vectors: Vectors) -> bytes:
    """The text of vectors."""
    n = len(vectors)
    blank = np.full((n, 1), ord(" "), np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for name in OBJECTS:
        digits = hex_digits(getattr(vectors, name), _WORD_BITS[name] // 4)
        spaced = np.concatenate([np.broadcast_to(blank[:, None], (*digits.shape[:2], 1)), digits], axis=2)
        parts.append(spaced.reshape(n, -1))
    for bits in (vectors.external, vectors.algorithms):
        octets = np.packbits(bits[:, ::-1], axis=1)
        parts += [blank, np.frombuffer(octets.tobytes().hex().encode(), np.uint8).reshape(n, -1)]
    parts += [blank, vectors.final_or[:, None].astype(np.uint8) + ord("0")]
    body, end = np.concatenate(parts, axis=1), vectors.newline.encode()
    return b"".join(b"%04d%s%s" % (bx, row.tobytes(), end) for bx, row in enumerate(body))


def to_words(vectors: Vectors) -> NDArray[np.uint64]:
    """Object words uint64 (n, 19) of vectors: every bit as it stands."""
    words = np.empty((len(vectors), objects.N_OBJECTS), np.uint64)
    for kind in spec.objects().types:
        name, first = SOURCE[kind.name]
        words[:, kind.slots] = getattr(vectors, name)[:, first : first + kind.count]
    return words


def from_words(words: NDArray[np.uint64]) -> Vectors:
    """Vectors of object words uint64 (n, 19) of one orbit; what ad40 does not read is zero."""
    orbit = spec.latency().orbit_bx
    if len(words) != orbit:
        raise InputError("words", "bunch crossings", len(words), f"{orbit}: one orbit")
    arrays: dict[str, Any] = {name: np.zeros((orbit, count), np.uint64) for name, count in OBJECTS.items()}
    for kind in spec.objects().types:
        name, first = SOURCE[kind.name]
        arrays[name][:, first : first + kind.count] = words[:, kind.slots]
    external, algorithms = (np.zeros((orbit, bits), np.bool_) for bits in (N_EXTERNAL, N_ALGORITHMS))
    return Vectors(**arrays, external=external, algorithms=algorithms, final_or=np.zeros(orbit, np.bool_))


def with_decision(vectors: Vectors, decision: Decision) -> Vectors:
    """The same vectors with algorithm bits and final OR of a decision; algorithms without a seed are 0."""
    seeds = decision.seeds_before.shape[1]
    algorithms = np.zeros((len(vectors), N_ALGORITHMS), np.bool_)
    algorithms[:, :seeds] = decision.seeds_before
    return replace(vectors, algorithms=algorithms, final_or=decision.request)
