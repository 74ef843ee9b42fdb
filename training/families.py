"""Families of corrupted events that a teacher learns to tell from background (`training.teacher`).

Each is an operation on the momenta of background events that no particular model of new physics asks for: more leptons,
momentum that goes to something invisible, a harder recoil, a jet that is a lepton, two collisions at once. Events stay
what a detector could deliver: MET follows from what was added or lost, objects below the acceptance of the event recipe
vanish, those of a type stay ordered in pt, and an event without a lepton above the recipe's filter is dropped.

Events are float32 (n, 19, 3): pt [GeV], eta, phi [rad]; absent objects are zeros. Operations leave their argument as it
is and draw from the generator they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.objects import ETA, PHI, PT
from training import tables
from training.corruptions import with_added

Events = NDArray[np.float32]
Generator = np.random.Generator

RECOIL_PT = (20.0, 400.0)  # GeV, of the jet of `recoil`: from the first value on as pt^-3, the second at most
LOST = (0.3, 1.0)  # share of its momentum that an object loses in `hidden_decay`
KEPT = (0.1, 1.0)  # share of a jet's momentum that the lepton of `jet_to_lepton` has
SOFTER = (0.2, 1.0)  # factor on the pt of the leptons of `extra_leptons`


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


def extra_leptons(events: Events, rng: Generator) -> Events:
    """The leptons of two other events added, the pt of each event's scaled by a factor in `SOFTER`."""
    for _ in range(2):
        others = events[rng.permutation(len(events))]
        others[:, _leptons(), PT] *= rng.uniform(*SOFTER, (len(events), 1)).astype(np.float32)
        events = with_added(events, _accepted(others), ("egamma", "muon"))
    return events


def hidden_decay(events: Events, rng: Generator) -> Events:
    """One visible object gives a share in `LOST` of its momentum to something invisible."""
    events, rows = events.copy(), np.arange(len(events))
    chosen, there = _chosen(events, np.arange(1, events.shape[1]), rng)
    share = (rng.uniform(*LOST, len(events)) * there).astype(np.float32)
    px, py = _momenta(events)
    _with_met(events, px[:, 0] + share * px[rows, chosen], py[:, 0] + share * py[rows, chosen])
    events[rows, chosen, PT] *= 1 - share
    return _accepted(events)


def recoil(events: Events, rng: Generator) -> Events:
    """A hard jet against everything else: the other objects and MET share its recoil in proportion to their pt."""
    n, here = len(events), events[..., PT] > 0
    here[:, 0] = True
    pt = np.minimum(RECOIL_PT[0] / np.sqrt(1 - rng.random(n)), RECOIL_PT[1])
    phi, reach = rng.uniform(-np.pi, np.pi, n), min(2.5, float(_acceptance()[1][_slots("jet")][0]))
    share = events[..., PT] / events[..., PT].sum(axis=1, keepdims=True)
    px, py = _momenta(events)
    px, py = px - share * (pt * np.cos(phi))[:, None], py - share * (pt * np.sin(phi))[:, None]
    pushed = events.copy()
    pushed[..., PT], pushed[..., PHI] = np.where(here, np.hypot(px, py), 0), np.where(here, np.arctan2(py, px), 0)
    jet = np.zeros_like(events)
    jet[:, _slots("jet").start] = np.stack([pt, rng.uniform(-reach, reach, n), phi], axis=1)
    return with_added(_accepted(pushed), jet, ("jet",))


def jet_to_lepton(events: Events, rng: Generator) -> Events:
    """A jet is an electron or a muon with a share in `KEPT` of its momentum; the rest is invisible."""
    events, rows = events.copy(), np.arange(len(events))
    chosen, there = _chosen(events, np.r_[_slots("jet")], rng)
    kept = np.where(there, rng.uniform(*KEPT, len(events)), 1).astype(np.float32)
    px, py = _momenta(events)
    lost_x, lost_y = (1 - kept) * px[rows, chosen], (1 - kept) * py[rows, chosen]
    lepton = np.zeros_like(events)
    kind = np.where(rng.random(len(events)) < 0.5, _slots("egamma").start, _slots("muon").start)
    lepton[rows, kind] = events[rows, chosen] * there[:, None]
    lepton[rows, kind, PT] *= kept
    events[rows[there], chosen[there]] = 0
    _with_met(events, px[:, 0] + lost_x, py[:, 0] + lost_y)
    return with_added(_accepted(events), _accepted(lepton), ("egamma", "muon"))


def two_events(events: Events, rng: Generator) -> Events:
    """Another event on top: all its objects, and the sum of the two MET vectors."""
    others = events[rng.permutation(len(events))]
    result = with_added(events, others, ("egamma", "muon", "jet"))
    (px, py), (qx, qy) = _momenta(events[:, :1]), _momenta(others[:, :1])
    return _with_met(result, (px + qx)[:, 0], (py + qy)[:, 0])


FAMILIES: dict[str, tuple[Callable[[Events, Generator], Events], ...]] = {  # operations, one after the other
    "extra leptons": (extra_leptons,),
    "recoil and hidden decay": (recoil, hidden_decay),
    "jet to lepton": (jet_to_lepton,),
    "hidden decay and second event": (hidden_decay, two_events),
}


def corrupted(codes: NDArray[np.integer], name: str, seed: int) -> NDArray[np.int16]:
    """Events of a family made of background codes (n, 19, 3): codes (m, 19, 3), m <= n, in the order of the background.

    An event whose leptons all lie below the filter is left out. The same seed gives the same events.
    """
    rng = np.random.default_rng(seed)
    events = objects.decode(codes)
    for operation in FAMILIES[name]:
        events = operation(events, rng)
    events = events[(events[:, _leptons(), PT] > _acceptance()[2]).any(axis=1)]
    return objects.encode(events).codes.astype(np.int16)
