"""Families of corrupted events that a teacher learns to tell from background (`training.teach.teacher`).

Each is a chain of operations on the momenta of background events that no particular model of new physics asks for: more
leptons, a lepton's momentum that goes to something invisible, a harder recoil, two collisions at once. Events stay what
a detector could deliver: a lepton deposits energy in a jet as well, which comes and fades with it; MET follows from
what was added or lost, objects below the acceptance of the event recipe vanish, those of a type stay ordered in pt, and
an event without a lepton above the recipe's filter is dropped.

Events are float32 (n, 19, 3): pt [GeV], eta, phi [rad]; absent objects are zeros. Operations leave their argument as it
is and draw from the generator they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.errors import Ad40Error
from ad40.objects import ETA, PHI, PT
from training.generator import tables
from training.teach.corruptions import with_added

Events = NDArray[np.float32]
Generator = np.random.Generator

RECOIL_PT = (20.0, 600.0)  # GeV, of the jet of `recoil`: each octave as likely, so that no scale is preferred
LOST = (0.3, 1.0)  # share of its momentum that the lepton of `lepton_decay` loses
SOFTER = (0.2, 1.0)  # factor on the pt of the leptons of `extra_leptons`
REACH = 0.4  # radius of the jets: the nearest within it holds a lepton's energy (94 to 100 % have one above 20 GeV)


@lru_cache
def _acceptance() -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Least pt [GeV] and largest |eta|, as integers round it, of the 19 objects; the pt of the lepton filter."""
    detector, found = tables.detector_settings(), spec.objects()
    kinds = {"egamma": detector["electron"], "muon": detector["muon"], "jet": detector["jet"]}
    low, reach = np.zeros(len(found.slots), np.float32), np.full(len(found.slots), np.inf, np.float32)
    for name, kind in kinds.items():
        eta = found[name].eta
        assert eta is not None
        low[found[name].slots], reach[found[name].slots] = kind["pt_min"], kind["abs_eta_max"] + eta.lsb / 2
    return low, reach, float(tables.processes()["filter"]["pt_min"])


def _slots(name: str) -> slice:
    return spec.objects()[name].slots


def _leptons() -> NDArray[np.intp]:
    return np.r_[_slots("egamma"), _slots("muon")]


def _momenta(events: Events) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Components (n, 19) of the transverse momenta."""
    return events[..., PT] * np.cos(events[..., PHI]), events[..., PT] * np.sin(events[..., PHI])


def _with_met(events: Events, px: NDArray[np.float32], py: NDArray[np.float32]) -> Events:
    """Set the missing momentum of events in place, components (n,); returns them."""
    events[:, 0, PT], events[:, 0, PHI] = np.hypot(px, py), np.arctan2(py, px)
    return events


def _accepted(events: Events) -> Events:
    """Remove in place what lies outside the acceptance and order each type in pt; returns the events."""
    low, reach, _ = _acceptance()
    events[(events[..., PT] < low) | (np.abs(events[..., ETA]) > reach)] = 0
    for kind in spec.objects().types:
        mine = events[:, kind.slots]
        order = np.argsort(-mine[..., PT], axis=1, kind="stable")
        events[:, kind.slots] = np.take_along_axis(mine, order[..., None], axis=1)
    return events


def _chosen(events: Events, slots: NDArray[np.intp], rng: Generator) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """One of the present objects among `slots` of each event, each as likely, and whether there is any: (n,)."""
    lots = (events[:, slots, PT] > 0) * rng.random((len(events), len(slots)))
    return slots[lots.argmax(axis=1)], lots.max(axis=1) > 0


def _holders(events: Events) -> NDArray[np.intp]:
    """Slot of the jet that holds the energy of each object, (n, 19): a lepton's nearest within `REACH`, 0 for none."""
    jets, leptons = events[:, None, _slots("jet")], events[:, _leptons(), None]
    turned = np.abs(jets[..., PHI] - leptons[..., PHI])
    apart = np.hypot(jets[..., ETA] - leptons[..., ETA], np.minimum(turned, 2 * np.pi - turned))
    apart[(jets[..., PT] == 0) | (leptons[..., PT] == 0)] = np.inf
    holders = np.zeros(events.shape[:2], np.intp)
    holders[:, _leptons()] = np.where(apart.min(axis=2) < REACH, apart.argmin(axis=2) + _slots("jet").start, 0)
    return holders


def _holds(events: Events) -> NDArray[np.bool_]:
    """Which objects are jets that hold a lepton, (n, 19)."""
    holds = np.zeros(events.shape[:2], np.bool_)
    np.put_along_axis(holds, _holders(events), True, axis=1)
    holds[:, 0] = False
    return holds


def extra_leptons(events: Events, rng: Generator) -> Events:
    """The leptons of another event and their jets added, the pt of each event's scaled by a factor in `SOFTER`, and in
    half of the events those of one more."""
    for share in (1.0, 0.5):
        others = events[rng.permutation(len(events))]
        others[:, _slots("jet")] *= _holds(others)[:, _slots("jet"), None]
        others[..., PT] *= rng.uniform(*SOFTER, (len(events), 1)).astype(np.float32)
        others[rng.random(len(events)) >= share] = 0
        events = with_added(events, _accepted(others), ("egamma", "muon", "jet"))
    return events


def lepton_decay(events: Events, rng: Generator) -> Events:
    """One lepton, and its jet, give a share in `LOST` of the lepton's momentum to something invisible."""
    events, rows, holders = events.copy(), np.arange(len(events)), _holders(events)
    chosen, there = _chosen(events, _leptons(), rng)
    share = (rng.uniform(*LOST, len(events)) * there).astype(np.float32)
    held = holders[rows, chosen] > 0
    source = np.where(held, holders[rows, chosen], chosen)  # where the momentum is counted
    lost = np.minimum(share * events[rows, chosen, PT], events[rows, source, PT])
    (px, py), phi = _momenta(events[:, :1]), events[rows, source, PHI]
    _with_met(events, px[:, 0] + lost * np.cos(phi), py[:, 0] + lost * np.sin(phi))
    events[rows, source, PT] -= lost
    events[rows[held], chosen[held], PT] *= 1 - share[held]
    return _accepted(events)


def recoil(events: Events, rng: Generator) -> Events:
    """A hard jet against everything else: the other objects and MET share its recoil in proportion to their pt."""
    n, here, holders = len(events), events[..., PT] > 0, _holders(events)
    here[:, 0] = True
    counted = events[..., PT] * (holders == 0)  # the momentum of the others is their jets'
    pt = RECOIL_PT[0] * (RECOIL_PT[1] / RECOIL_PT[0]) ** rng.random(n)
    phi, reach = rng.uniform(-np.pi, np.pi, n), min(2.5, float(_acceptance()[1][_slots("jet")][0]))
    share = events[..., PT] / counted.sum(axis=1, keepdims=True)
    px, py = _momenta(events)
    px, py = px - share * (pt * np.cos(phi))[:, None], py - share * (pt * np.sin(phi))[:, None]
    pushed = events.copy()
    pushed[..., PT], pushed[..., PHI] = np.where(here, np.hypot(px, py), 0), np.where(here, np.arctan2(py, px), 0)
    jet = np.zeros_like(events)
    jet[:, _slots("jet").start] = np.stack([pt, rng.uniform(-reach, reach, n), phi], axis=1)
    return with_added(_accepted(pushed), jet, ("jet",))


def two_events(events: Events, rng: Generator) -> Events:
    """Another event on top: all its objects, and the sum of the two MET vectors."""
    others = events[rng.permutation(len(events))]
    result = with_added(events, others, ("egamma", "muon", "jet"))
    (px, py), (qx, qy) = _momenta(events[:, :1]), _momenta(others[:, :1])
    return _with_met(result, (px + qx)[:, 0], (py + qy)[:, 0])


FAMILIES: dict[str, tuple[Callable[[Events, Generator], Events], ...]] = {  # operations, one after the other
    "extra leptons": (extra_leptons,),
    "lepton decay, second event": (lepton_decay, two_events),
    "recoil, lepton decay": (recoil, lepton_decay),
    "recoil, lepton decay, second event": (recoil, lepton_decay, two_events),
}
DEFAULT = ("extra leptons", "lepton decay, second event", "recoil, lepton decay")  # of a card that names none


def corrupted(codes: NDArray[np.integer], name: str, seed: int, wanted: int = 0) -> NDArray[np.int16]:
    """Events of a family made of background codes (n, 19, 3): codes (m, 19, 3), in the order of the background.

    An event whose leptons all lie below the filter is left out. wanted: the background is used again, with other
    random numbers, until there are so many, and no more are returned; 0: it is used once, m <= n. The same seed gives
    the same events. Raises `Ad40Error` where nothing passes.
    """
    rng, found, n = np.random.default_rng(seed), [], 0
    while True:
        events = objects.decode(codes)
        for operation in FAMILIES[name]:
            events = operation(events, rng)
        events = events[(events[:, _leptons(), PT] > _acceptance()[2]).any(axis=1)]
        found.append(objects.encode(events).codes.astype(np.int16))
        n += len(events)
        if n >= wanted:
            return np.concatenate(found)[: wanted or None]
        if not n:
            raise Ad40Error(f"corruption '{name}': of {len(codes):,} background events none has a lepton that passes")
