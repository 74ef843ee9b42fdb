"""What a dedicated seed may cut on: sums of network inputs with whole weights, as hardware computes them.

The inputs are those of any network of this project, with a shift of 0, so that no bit is lost: pt of each object in
its LSB, the angle of each object to MET in steps of phi, and 1 for each object that is there. An absent object, and an
angle in an event without MET, is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.fixed import Fixed
from ad40.network import AZIMUTHS, InputStage

SHORT = {"met": "MET", "egamma": "e", "muon": "mu", "jet": "j"}
ANGLES = {"egamma": 1, "muon": 1, "jet": 2}
"""How many objects of each type have their angle to MET among the quantities."""

_BLOCK = 65536  # events at a time
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Quantity:
    """A sum of inputs. weights: (input 0..75, whole number) of each that enters; lsb: what a count is in `units`."""

    name: str
    weights: tuple[tuple[int, int], ...]
    lsb: float
    units: str

    def __call__(self, inputs: NDArray[np.integer]) -> Integers:
        """The quantity int64 (n,) of input codes (n, 76)."""
        columns, weights = zip(*self.weights, strict=True)
        values: Integers = inputs[:, columns].astype(np.int64) @ np.array(weights, np.int64)
        return values

    def text(self, count: int) -> str:
        """A value of the quantity for people."""
        return f"{count}" if not self.units else f"{count * self.lsb:.4g} {self.units}"


@lru_cache
def largest() -> NDArray[np.int64]:
    """The largest value of each input, for any words on the links: int64 (76,)."""
    turn = objects.azimuth().turn
    found = np.zeros((objects.N_OBJECTS, objects.N_FEATURES), np.int64)
    for slot, kind in enumerate(spec.objects().slots):
        eta = 2 * kind.eta.max_code + 2 if kind.eta else 0
        found[slot] = kind.pt.max_code - kind.pt.offset, eta, turn[slot] // 2
    met = objects.azimuth().met
    found[met, objects.PHI] = (1 << spec.objects().slots[met].phi.bits) - 1
    return np.concatenate([found.ravel(), np.ones(objects.N_OBJECTS, np.int64)])


def input_stage(used: NDArray[np.bool_] | None = None) -> InputStage:
    """The input stage of a dedicated seed: codes as they are, pt counted from 0, eta so that 1 and above are an object
    that is there, angles to MET, presence; in the fewest bits that hold the inputs `used`, bool (76,)."""
    offset = np.zeros((objects.N_OBJECTS, objects.N_FEATURES), np.int64)
    for slot, kind in enumerate(spec.objects().slots):
        offset[slot, objects.PT] = kind.pt.offset
        offset[slot, objects.ETA] = -kind.eta.max_code - 2 if kind.eta else 0
    bits = int(largest()[slice(None) if used is None else used].max()).bit_length()
    return InputStage(offset.ravel(), np.zeros(objects.N_INPUTS, np.int64), Fixed(False, bits, 0), True, AZIMUTHS[1])


def inputs_of(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    """Input codes int32 (n, 76) of hardware codes (n, 19, 3), as the module says."""
    stage, scale = input_stage(), objects.azimuth()
    here = np.asarray(codes)[..., objects.PT] != 0
    known = np.repeat(here[..., None], objects.N_FEATURES, axis=2)
    known[..., objects.PHI] &= here[:, [scale.met]]
    raw = objects.angles_to_met(codes) - stage.offset.reshape(objects.N_OBJECTS, objects.N_FEATURES)
    values = np.where(known, np.clip(raw, stage.format.min_code, stage.format.max_code), 0)
    return np.concatenate([values.reshape(len(values), -1), here], axis=1).astype(np.int32)


@lru_cache
def quantities() -> tuple[Quantity, ...]:
    """All quantities: pt of each object, numbers of objects, scalar sums of pt, angles to MET."""
    types = spec.objects()
    found: list[Quantity] = []
    pts: dict[str, list[int]] = {}
    lsb = {kind.name: kind.pt.lsb for kind in types.types}
    for kind in types.types:
        pts[kind.name] = [objects.N_FEATURES * slot + objects.PT for slot in range(kind.slots.start, kind.slots.stop)]
        for rank, column in enumerate(pts[kind.name]):
            name = SHORT[kind.name] + (str(rank + 1) if kind.count > 1 else "")
            found.append(Quantity(f"pt({name})" if kind.count > 1 else name, ((column, 1),), lsb[kind.name], "GeV"))
    for label, names in (("N(e)", ("egamma",)), ("N(mu)", ("muon",)), ("N(lepton)", ("egamma", "muon")),
                         ("N(jet)", ("jet",))):  # fmt: skip
        slots = [slot for name in names for slot in range(types[name].slots.start, types[name].slots.stop)]
        found.append(Quantity(label, tuple((objects.N_INPUTS + slot, 1) for slot in slots), 1.0, ""))
    sums: dict[str, tuple[str, ...]] = {
        "LT": ("egamma", "muon"), "HT": ("jet",), "ST": ("met", "egamma", "muon", "jet"),
    }  # fmt: skip
    for label, summed in sums.items():
        fine = min(lsb[name] for name in summed)
        terms = tuple((column, round(lsb[name] / fine)) for name in summed for column in pts[name])
        found.append(Quantity(label, terms, fine, "GeV"))
    for name, count in ANGLES.items():
        kind = types[name]
        for rank in range(count):
            column = objects.N_FEATURES * (kind.slots.start + rank) + objects.PHI
            found.append(Quantity(f"dphi({SHORT[name]}{rank + 1},MET)", ((column, 1),), 2 * math.pi / kind.phi.steps,
                                  "rad"))  # fmt: skip
    return tuple(found)


def table(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    """All quantities int32 (n, quantities) of hardware codes (n, 19, 3)."""
    names = quantities()
    out = np.empty((len(codes), len(names)), np.int32)
    for start in range(0, len(codes), _BLOCK):
        x = inputs_of(codes[start : start + _BLOCK])
        for k, one in enumerate(names):
            out[start : start + _BLOCK, k] = one(x)
    return out
