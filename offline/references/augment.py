"""Views of events for contrastive learning, after AnomalyCLR (arXiv 2301.04660).

`view`: the same event as a detector could have seen it another time. phi rotation: by any angle; standardised inputs
hold angles to MET, which no rotation changes, so that it is left for events without MET. Jets have their pt smeared by
sqrt(0.052 pt^2 + 1.502 pt), pt in GeV, and eta and phi by `ANGLE` GeV / pt. `anomaly`: an event that is to be told
from background, one of three ways at random: objects of another event on top of its own; the same with the sum of all
pt as it was; or the pt of MET, electrons and photons, muons and jets each multiplied by its own number.

Everything works on standardised inputs (n, 57) and gives such; objects stay sorted in pt within their type.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.objects import N_FEATURES, N_INPUTS, N_OBJECTS

ANGLE = 2.0  # GeV: eta and phi of a jet are smeared by this over its pt, at most by `WIDEST`
WIDEST = 0.1
LARGEST = 5.0  # factor of pt
HIGHEST = 2000.0  # GeV
SHARE = 0.5  # of the objects of another event that join

Floats = NDArray[np.float32]


def events_of(x: Floats) -> Floats:
    """pt [GeV], eta, phi [rad] (n, 19, 3) of standardised inputs (n, 57); phi is what `standardised` made of it."""
    events = x.reshape(-1, N_OBJECTS, N_FEATURES).astype(np.float32) * 2
    events[..., 0] = 20 * np.sinh(events[..., 0])
    return events


def inputs_of(events: Floats) -> Floats:
    """The inverse of `events_of`."""
    x = events / 2
    x[..., 0] = np.arcsinh(np.minimum(events[..., 0], HIGHEST) / 20) / 2
    return np.where(events[..., :1] > 0, x, 0).reshape(-1, N_INPUTS).astype(np.float32)


def view(x: Floats, random: np.random.Generator) -> Floats:
    """Another view of each event."""
    events = events_of(x)
    jets = events[:, _slots("jet")]
    pt = jets[..., 0]
    here = pt > 0
    width = np.minimum(ANGLE / np.maximum(pt, 1), WIDEST)
    noise = random.standard_normal(jets.shape, np.float32)
    smeared = pt + np.sqrt(0.052 * pt**2 + 1.502 * pt) * noise[..., 0]
    jets[..., 0] = np.where(here, np.maximum(smeared, 1.0), 0)
    jets[..., 1:] += width[..., None] * noise[..., 1:]
    without = events[:, 0, 0] == 0
    turn = np.where(without, random.uniform(-np.pi, np.pi, len(events)), 0)[:, None]
    events[..., 2] = _wrapped(events[..., 2] + turn)
    return inputs_of(_sorted(events))


def anomaly(x: Floats, random: np.random.Generator) -> Floats:
    """An anomalous event of each event; needs others in x to take objects from."""
    events = events_of(x)
    how = random.integers(3, size=len(events))
    more = _joined(events, events[random.permutation(len(events))], random)
    before, after = (some[:, 1:, 0].sum(axis=1) for some in (events, more))
    kept = more.copy()
    kept[:, 1:, 0] *= (before / np.maximum(after, 1e-6))[:, None]
    stretched = events.copy()
    for kind in spec.objects().types:
        factor = np.exp(random.uniform(0, np.log(LARGEST), len(events)) * random.integers(2, size=len(events)))
        stretched[:, kind.slots, 0] *= factor[:, None]
    chosen = np.where((how == 0)[:, None, None], more, np.where((how == 1)[:, None, None], kept, stretched))
    return inputs_of(chosen)


def _joined(events: Floats, others: Floats, random: np.random.Generator) -> Floats:
    """Events with some objects of others, the hardest of each type; MET is that of the event."""
    out = events.copy()
    for kind in spec.objects().types[1:]:
        own, new = events[:, kind.slots], others[:, kind.slots].copy()
        new[random.random(new.shape[:2]) >= SHARE] = 0
        both = np.concatenate([own, new], axis=1)
        first = np.argsort(-both[..., 0], axis=1, kind="stable")[:, : own.shape[1]]
        out[:, kind.slots] = np.take_along_axis(both, first[..., None], axis=1)
    return out


def _sorted(events: Floats) -> Floats:
    slots = _slots("jet")
    order = np.argsort(-events[:, slots, 0], axis=1, kind="stable")
    events[:, slots] = np.take_along_axis(events[:, slots], order[..., None], axis=1)
    return events


def _slots(name: str) -> slice:
    return next(kind.slots for kind in spec.objects().types if kind.name == name)


def _wrapped(phi: Floats) -> Floats:
    return (phi + np.pi) % (2 * np.pi) - np.pi
