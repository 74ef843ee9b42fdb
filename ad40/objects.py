"""Events <-> HwEvents <-> words on the links, by spec/objects.yaml alone.

Events are float32 (n, 19, 3): pt [GeV], eta, phi [rad]; an absent object is three zeros. HwEvents are int32
(n, 19, 3) codes of the same features. Words are uint64 (n, 19), one per object; 32-bit objects use the low half.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40 import spec
from ad40.errors import InputError, SpecError

N_OBJECTS, N_FEATURES = 19, 3
N_INPUTS = N_OBJECTS * N_FEATURES
PT, ETA, PHI = range(N_FEATURES)
MAX_CODE = 1 << 16  # bound on any code: fields have 16 bits at most
MAX_PHI = 1e4  # rad; float32 wraps it exactly, and what is beyond is no angle
_BLOCK = 512  # events per pass: the temporaries of a block stay in the processor's cache

Codes = NDArray[np.int32]


@dataclass
class HwEvents:
    """Hardware events: `codes` int32 (n, 19, 3), and how many fields of each kind saturated on the way."""

    codes: Codes
    saturated: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tables:
    """The scales laid out per field, arrays of shape (19, 3)."""

    lsb: NDArray[np.float64]  # GeV, 1, rad; eta of MET 0
    inverse_lsb: NDArray[np.float32]
    offset: NDArray[np.int32]  # subtracted when decoding
    steps: NDArray[np.int32]  # of phi; 0 elsewhere
    low: NDArray[np.int32]  # smallest and largest code that a word holds
    high: NDArray[np.int32]
    shift: NDArray[np.uint64]  # low bit of the field
    mask: NDArray[np.uint64]  # field mask after the shift
    sign: NDArray[np.int32]  # sign bit of the field, 0 where unsigned


@lru_cache
def _tables() -> _Tables:
    rows: dict[str, list[list[float]]] = {
        name: [] for name in ("lsb", "offset", "steps", "low", "high", "shift", "mask", "sign")
    }
    for kind in spec.objects().slots:
        pt, phi = kind.pt, kind.phi
        # MET has no eta: a field of no bits, whose code is always 0
        eta = kind.eta or spec.EtaScale(lsb=0.0, bits=0, low=0)
        top = eta.max_code if kind.eta else 0
        rows["lsb"].append([pt.lsb, eta.lsb, phi.lsb])
        rows["offset"].append([pt.offset, 0, 0])
        rows["steps"].append([0, 0, phi.steps])
        rows["low"].append([0, -top - 1 if top else 0, 0])
        rows["high"].append([pt.max_code, top, phi.steps - 1])
        rows["shift"].append([pt.low, eta.low, phi.low])
        rows["mask"].append([pt.max_code, (1 << eta.bits) - 1, (1 << phi.bits) - 1])
        rows["sign"].append([0, top + 1 if top else 0, 0])
    lsb = np.array(rows["lsb"], np.float64)
    return _Tables(
        lsb=lsb,
        inverse_lsb=np.divide(1.0, lsb, out=np.zeros_like(lsb), where=lsb > 0).astype(np.float32),
        offset=np.array(rows["offset"], np.int32),
        steps=np.array(rows["steps"], np.int32),
        low=np.array(rows["low"], np.int32),
        high=np.array(rows["high"], np.int32),
        shift=np.array(rows["shift"], np.uint64),
        mask=np.array(rows["mask"], np.uint64),
        sign=np.array(rows["sign"], np.int32),
    )


@lru_cache
def _encoder_tables() -> tuple[NDArray[np.float32], ...]:
    """Scale, wrap and limits of `encode`, float32, repeated for a block of events: (block * 57,) each.

    Flat operands of one length keep numpy in its vector loops, three times faster than broadcasting (19, 3).
    """
    t = _tables()
    inverse_steps = np.divide(1.0, t.steps, out=np.zeros(t.steps.shape), where=t.steps > 0)
    low = t.low.copy()
    low[:, PT] = t.offset[:, PT] + 1  # a present object never takes the code of an absent one, nor decodes to 0 GeV
    columns = (t.inverse_lsb, inverse_steps, t.steps, t.offset, low, t.high)
    return tuple(np.tile(c.ravel(), _BLOCK).astype(np.float32) for c in columns)


@dataclass(frozen=True)
class Azimuth:
    """Units of phi. met: the slot of MET. Of each slot, int64 (19,): turn, phi codes of a whole turn; per_met, how many
    of them one phi code of MET is (4 for muons, else 1)."""

    met: int
    turn: NDArray[np.int64]
    per_met: NDArray[np.int64]


@lru_cache
def azimuth() -> Azimuth:
    """Units of phi by spec/objects.yaml. Raises `SpecError` where a code of MET is not a whole number of codes."""
    types = spec.objects()
    met = types["met"]
    for kind in types.types:
        if kind.phi.steps % met.phi.steps:
            expected = f"a multiple of the {met.phi.steps} of met: angles to MET are counted in codes of the object"
            raise SpecError(spec.FOLDER / "objects.yaml", f"{kind.name}.phi.steps", kind.phi.steps, expected)
    turn = np.array([kind.phi.steps for kind in types.slots], np.int64)
    return Azimuth(met.first_slot, turn, turn // met.phi.steps)


def angles_to_met(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Codes int64 (n, 19, 3) whose phi, of all objects but MET, is the angle to MET, 0 to half a turn.

    d = abs(phi - per_met * phi of MET), then the smaller of d and turn - d, in codes of phi of the object. It says
    nothing where one of the two is absent: inputs are 0 there.
    """
    scale, result = azimuth(), codes.astype(np.int64)
    met = result[:, scale.met, PHI]
    distance = np.abs(result[..., PHI] - met[:, None] * scale.per_met)
    distance = np.minimum(distance, scale.turn - distance)
    distance[:, scale.met] = met
    result[..., PHI] = distance
    return result


def check_events(events: NDArray[np.floating], file: str = "events", first: int = 0) -> None:
    """Refuse what no detector delivers: wrong shape, NaN, infinities, negative pt, angles of thousands of turns.

    `first` is the row in `file` of the first event, for the message. Raises `InputError`.
    """
    if events.ndim != 3 or events.shape[1:] != (N_OBJECTS, N_FEATURES):
        raise InputError(file, "shape", events.shape, "(events, 19, 3)")
    # The ends decide (NaN fails every comparison); places are looked for only when there may be something to report
    if events.size == 0 or (events.min() >= -MAX_PHI and events.max() <= MAX_PHI and events[..., PT].min() >= 0):
        return
    names = spec.objects().slot_names
    finite = np.isfinite(events)
    checks = (
        (~finite, 0, "a finite number"),
        (events[..., PT : PT + 1] < 0, PT, "pt >= 0 GeV"),
        (np.abs(events[..., PHI:]) > MAX_PHI, PHI, f"an angle of at most {MAX_PHI:g} rad"),
    )
    for bad, first_feature, expected in checks:
        if bad.any():
            row, slot, feature = (int(i) for i in np.argwhere(bad)[0])
            feature += first_feature
            where = f"event {first + row}, {names[slot]}.{spec.FEATURES[feature]}"
            raise InputError(file, where, events[row, slot, feature], f"{expected} ({int(bad.sum())} such values)")


def encode(events: ArrayLike) -> HwEvents:
    """Hardware codes of physical events.

    events: float (n, 19, 3), pt [GeV] >= 0, eta, phi [rad] any angle up to `MAX_PHI`. Returns int32 codes
    (n, 19, 3) and counts of saturated pt and eta per object type. pt and eta saturate, phi wraps, nearest code with
    ties to even; a present object (pt > 0) never gets the pt code of an absent one, nor one that decodes to 0 GeV.
    Raises `InputError` on NaN, infinities, negative pt, an angle beyond that or a wrong shape.
    """
    x = np.ascontiguousarray(events, dtype=np.float32)
    check_events(x)
    codes = np.empty(x.shape, np.int32)
    outside = np.zeros((N_OBJECTS, N_FEATURES), np.int64)
    scaled = np.empty(_BLOCK * N_INPUTS, np.float32)
    turns = np.empty_like(scaled)
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        n = block.size
        inverse_lsb, inverse_steps, steps, offset, low, high = (table[:n] for table in _encoder_tables())
        s, w = scaled[:n], turns[:n]
        np.multiply(block.reshape(-1), inverse_lsb, out=s)
        np.rint(s, out=s)
        np.multiply(s, inverse_steps, out=w)  # whole turns of phi, 0 elsewhere; exact for |code| < 2^20
        np.floor(w, out=w)
        w *= steps
        s -= w
        s += offset
        # absent objects are zeros whatever the scales made of them
        here = np.repeat(block[..., PT].reshape(-1) > 0, N_FEATURES)
        s *= here
        np.minimum(s, high, out=w)
        np.maximum(w, low, out=w)
        w *= here
        codes[start : start + _BLOCK].reshape(-1)[:] = w
        # A field that differs from its limited self was outside. A small pt lifted to the first code does not count.
        if (s != w).any():
            s3, w3 = s.reshape(block.shape), w.reshape(block.shape)
            moved = s3 != w3
            moved[..., PT] &= s3[..., PT] > w3[..., PT]
            outside += moved.sum(axis=0)
    counts = {
        f"{kind.name}.{name}": int(outside[kind.slots, f].sum())
        for kind in spec.objects().types
        for f, name in enumerate(spec.FEATURES[:PHI])
        if not (f == ETA and kind.eta is None)
    }
    return HwEvents(codes, counts)


def decode(codes: ArrayLike) -> NDArray[np.float32]:
    """Physical events of hardware codes: float32 (n, 19, 3), phi in [-pi, pi); absent objects are zeros."""
    c = np.asarray(codes, dtype=np.int32)
    t = _tables()
    here = present(c)
    c = c - t.offset
    steps = t.steps[:, PHI]
    c[..., PHI] = (c[..., PHI] + steps // 2) % steps - steps // 2
    return (c * t.lsb * here[..., None]).astype(np.float32)


def present(codes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which objects are there: bool (n, 19)."""
    here: NDArray[np.bool_] = codes[..., PT] != 0
    return here


def pack(codes: Codes) -> NDArray[np.uint64]:
    """Words on the links: uint64 (n, 19) of codes int32 (n, 19, 3). Bits outside pt, eta, phi are zero.

    The codes must be inside their fields, as `encode` and `unpack` make them; `check_codes` tells.
    """
    t = _tables()
    words = np.empty(codes.shape[:2], np.uint64)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK].astype(np.uint64)
        block &= t.mask
        block <<= t.shift
        words[start : start + _BLOCK] = block[..., PT] | block[..., ETA] | block[..., PHI]
    return words


def unpack(words: NDArray[np.uint64]) -> Codes:
    """Codes int32 (n, 19, 3) of words uint64 (n, 19). Fields other than pt, eta and phi are ignored."""
    t = _tables()
    codes = ((words[..., None] >> t.shift) & t.mask).astype(np.int32)
    return (codes ^ t.sign) - t.sign


def codes_hash(codes: NDArray[np.integer]) -> str:
    """SHA-256 of codes (n, 19, 3), whatever integer type and file they are in. 64 hex digits."""
    return sha256(np.ascontiguousarray(codes, "<i2").tobytes()).hexdigest()


def check_codes(codes: NDArray[np.integer], file: str = "codes", first: int = 0) -> None:
    """Refuse codes that no word can hold. `first`: row in `file` of the first event. Raises `InputError`."""
    if codes.ndim != 3 or codes.shape[1:] != (N_OBJECTS, N_FEATURES):
        raise InputError(file, "shape", codes.shape, "(events, 19, 3)")
    t = _tables()
    low, high = t.low, t.high
    if len(codes) == 0 or bool(((codes.min(axis=0) >= low) & (codes.max(axis=0) <= high)).all()):
        return
    row, slot, feature = (int(i) for i in np.argwhere((codes < low) | (codes > high))[0])
    raise InputError(
        file,
        f"event {first + row}, {spec.objects().slot_names[slot]}.hw_{spec.FEATURES[feature]}",
        int(codes[row, slot, feature]),
        f"{int(low[slot, feature])} to {int(high[slot, feature])}",
    )
