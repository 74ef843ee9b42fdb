"""What can go wrong, done to the codes of events: towers that fire, dead sectors, scales, swapped links.

Every fault takes codes int32 (n, 19, 3) and gives codes of the same events, objects in descending pt. MET takes up
what other objects gain or lose, as energy flow makes it. What a fault takes away from a lepton below the threshold of
the sample takes the event away (`in_stream`); events below it cannot come in, which makes an upward shift of the scale
a little harder to find than it is in a detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import links, objects, spec
from ad40.errors import InputError

Codes = NDArray[np.int32]
CALORIMETER = ("egamma", "jet")


def hot_tower(codes: Codes, rng: np.random.Generator, rate: float, eta: float, phi: float, pt: float = 25.0) -> Codes:
    """A tower at (eta, phi) that fires in a share `rate` of the events: a jet there, of 15 GeV and an exponential tail
    of mean `pt` - 15 GeV. The last of ten jets makes place for it."""
    events = objects.decode(codes)
    fires = np.flatnonzero(rng.random(len(events)) < rate)
    jets = spec.objects()["jet"].slots
    hot = np.zeros((len(fires), 1, 3), np.float32)
    hot[:, 0, 0] = 15.0 + rng.exponential(max(pt - 15.0, 1e-3), len(fires))
    hot[:, 0, 1], hot[:, 0, 2] = eta, phi
    after = events[fires]
    block = np.concatenate([after[:, jets], hot], axis=1)
    order = np.argsort(-block[..., 0], axis=1, kind="stable")[:, : block.shape[1] - 1]
    after[:, jets] = np.take_along_axis(block, order[..., None], axis=1)
    result = codes.copy()
    result[fires] = objects.encode(_balanced(after, -_vectors(hot).sum(axis=1))).codes
    return result


def dead_sector(codes: Codes, kinds: Sequence[str], phi: float, width: float) -> Codes:
    """No objects of some kinds where phi [rad] is in a range that begins at `phi`."""
    result = codes.copy()
    lost = np.zeros((len(codes), 2))
    events = objects.decode(codes)
    for name in kinds:
        slots = spec.objects()[name].slots
        block, seen = result[:, slots], events[:, slots]
        gone = (block[..., 0] > 0) & ((seen[..., 2] - phi) % (2 * np.pi) < width)
        lost += np.where(gone[..., None], _vectors(seen), 0).sum(axis=1)
        block[gone] = 0
        order = np.argsort(block[..., 0] == 0, axis=1, kind="stable")
        result[:, slots] = np.take_along_axis(block, order[..., None], axis=1)
    # muons leave little in a calorimeter, of which MET is made
    changed = np.flatnonzero((lost != 0).any(axis=1)) if "muon" not in kinds else np.zeros(0, np.int64)
    if len(changed):
        met = objects.encode(_balanced(events[changed], lost[changed])).codes[:, 0]
        result[changed, 0] = met
    return result


def energy_scale(
    codes: Codes, rng: np.random.Generator, factor: float, kinds: Sequence[str] = ("met", *CALORIMETER)
) -> Codes:
    """The pt of all objects of some kinds times a factor; by default all that a calorimeter measures.

    A code stands for a range of pt, in which a place is drawn before the scale is applied, so that a change of less
    than a code does what it does in a detector. Jets below the least pt in `codes` are gone, as below a threshold.
    """
    result = codes.copy()
    for name in kinds:
        kind = spec.objects()[name]
        block = result[:, kind.slots, objects.PT]
        here = block > 0
        lsb = kind.pt.offset
        raw = block - lsb + rng.random(block.shape) - 0.5
        scaled = np.clip(np.rint(raw * factor).astype(np.int64) + lsb, lsb + 1, kind.pt.max_code)
        least = int(block[here].min()) if name == "jet" and here.any() else 0
        scaled[here & (scaled < least)] = 0
        block[here] = scaled[here]
        order = np.argsort(-block, axis=1, kind="stable")
        whole = result[:, kind.slots]
        whole[..., objects.PT] = block
        whole[whole[..., objects.PT] == 0] = 0
        result[:, kind.slots] = np.take_along_axis(whole, order[..., None], axis=1)
    return result


def swapped_links(codes: Codes, first: str, second: str) -> Codes:
    """Two lanes of spec/links.yaml exchanged: words arrive where others are expected and are read as those.

    An azimuth beyond a turn, which no object has, is wrapped as decoding does: such a code would be found by itself.
    """
    names = [lane.name for lane in spec.links().lanes]
    for name in (first, second):
        if name not in names:
            raise InputError("fault", "lane", name, "one of " + ", ".join(names))
    a, b = names.index(first), names.index(second)
    frames = links.to_frames(objects.pack(codes))
    frames[:, [a, b]] = frames[:, [b, a]]
    result = objects.unpack(links.from_frames(frames))
    result[..., objects.PHI] %= np.array([kind.phi.steps for kind in spec.objects().slots])
    return result


def in_stream(codes: Codes, lepton_pt: float | None) -> NDArray[np.bool_]:
    """Which events (n,) still have an electron or muon of so many GeV; all, where None."""
    if lepton_pt is None:
        return np.ones(len(codes), np.bool_)
    types = spec.objects()
    found = np.zeros(len(codes), np.bool_)
    for name in ("egamma", "muon"):
        kind = types[name]
        found |= (codes[:, kind.slots, objects.PT] - kind.pt.offset >= round(lepton_pt / kind.pt.lsb)).any(axis=1)
    return found


def _vectors(events: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Transverse momentum (n, k, 2) [GeV] of objects (n, k, 3)."""
    pt, phi = events[..., 0].astype(np.float64), events[..., 2].astype(np.float64)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=-1)


def _balanced(events: NDArray[np.float32], more: NDArray[np.float64]) -> NDArray[np.float32]:
    """Events with a vector (n, 2) added to MET."""
    met = _vectors(events[:, :1])[:, 0] + more
    after = events.copy()
    after[:, 0, 0], after[:, 0, 2] = np.hypot(met[:, 0], met[:, 1]), np.arctan2(met[:, 1], met[:, 0])
    return after


@dataclass(frozen=True)
class Fault:
    """A fault with its numbers: `apply` does it to codes. about: in words."""

    name: str
    about: dict[str, Any]
    apply: Callable[[Codes, np.random.Generator], Codes]


NAMES = ("hot tower", "dead sector", "dead muon sector", "energy scale", "swapped links")
SIZES = {"hot tower": 0.01, "dead sector": 20.0, "dead muon sector": 20.0, "energy scale": 3.0, "swapped links": 0.0}
UNITS = {"hot tower": "of the events", "dead sector": "degrees", "dead muon sector": "degrees",
         "energy scale": "%", "swapped links": ""}  # fmt: skip
LIMITS = {"hot tower": (1e-6, 1.0), "dead sector": (0.1, 360.0), "dead muon sector": (0.1, 360.0),
          "energy scale": (-50.0, 100.0), "swapped links": (0.0, 0.0)}  # fmt: skip


def make(name: str, rng: np.random.Generator, size: float | None = None, **chosen: Any) -> Fault:
    """A fault of a size, by default that of `SIZES`; what is not chosen (place, sign, lanes) is drawn.

    size: hot tower: share of the events; sectors: width [degrees]; energy scale: change [%], of either sign when it is
    drawn. chosen: eta, phi [rad] of a tower, phi of a sector, lanes (two names). Raises `InputError`.
    """
    if name not in NAMES:
        raise InputError("fault", "name", name, "one of " + ", ".join(NAMES))
    given, size = size, SIZES[name] if size is None else size
    low, high = LIMITS[name]
    if not low <= size <= high:
        raise InputError("fault", f"size of {name}", size, f"{low:g} to {high:g} {UNITS[name]}".rstrip())
    phi = float(chosen.get("phi", rng.uniform(-np.pi, np.pi)))
    if name == "hot tower":
        eta = float(chosen.get("eta", rng.uniform(-3, 3)))
        return Fault(name, {"rate": size, "eta": eta, "phi": phi},
                     lambda codes, r: hot_tower(codes, r, size, eta, phi))  # fmt: skip
    if name in ("dead sector", "dead muon sector"):
        kinds, width = (CALORIMETER if name == "dead sector" else ("muon",)), float(np.radians(size))
        return Fault(name, {"kinds": list(kinds), "phi": phi, "width": width},
                     lambda codes, r: dead_sector(codes, kinds, phi, width))  # fmt: skip
    if name == "energy scale":
        percent = size if given is not None else size * float(rng.choice((-1, 1)))
        return Fault(name, {"percent": percent}, lambda codes, r: energy_scale(codes, r, 1 + percent / 100))
    lanes = chosen.get("lanes")
    if lanes is None:
        lanes = rng.choice([lane.name for lane in spec.links().lanes], 2, replace=False).tolist()
    if len(lanes) != 2 or lanes[0] == lanes[1]:
        raise InputError("fault", "lanes", ", ".join(lanes), "two that differ")
    swapped_links(np.zeros((0, objects.N_OBJECTS, objects.N_FEATURES), np.int32), *lanes)  # refuses unknown names
    return Fault(name, {"lanes": list(lanes)}, lambda codes, r: swapped_links(codes, *lanes))
