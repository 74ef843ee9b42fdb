"""What an imperfect detector does to hardware events: scales, dead regions, noise; settings in robustness.yaml.

Effects work on physical values and come back as codes, so that an effect smaller than an LSB still moves what lies near
an edge. Objects stay ordered in pt; MET takes up what other objects gain or lose, as energy flow makes it. Events and
objects below the thresholds of the sample cannot come in, which makes upward changes a little too small.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.schema import Node

Events = NDArray[np.float32]  # (n, 19, 3): pt [GeV], eta, phi [rad]
Effect = Callable[[Events, np.random.Generator], Events]
JET_RADIUS = 0.4  # of the jets of the sample (docs/events.md)
KINDS = ("met", "egamma", "muon", "jet")


def read_effects(node: Node) -> dict[str, Effect]:
    """The effects of robustness.yaml by name. Raises `SpecError` where one is malformed."""
    return {name: _effect(child) for name, child in node.items()}


def _effect(node: Node) -> Effect:
    keys = {"scale": {"factor", "kinds"}, "dead": {"kinds", "eta", "phi"}, "smear": {"lsb", "kinds"},
            "add": {"kind", "mean", "pt", "eta"}}  # fmt: skip
    what = node["do"].choice(tuple(keys)) if "do" in node else ""
    node.keys({"do"} | keys.get(what, set()))
    kinds = tuple(child.choice(KINDS) for child in node["kinds"]) if "kinds" in node else ()
    if what == "scale":
        factor = node["factor"].number(0.0, 10.0)
        return lambda events, rng: scaled(events, kinds, factor)
    if what == "dead":
        eta, phi = _pair(node["eta"], 10.0), _pair(node["phi"], 3.2)
        return lambda events, rng: dead(events, kinds, eta, phi)
    if what == "smear":
        lsb = node["lsb"].number(0.0, 100.0)
        return lambda events, rng: smeared(events, kinds, lsb, rng)
    kind, mean, pt = node["kind"].choice(KINDS[1:]), node["mean"].number(0.0, 20.0), _pair(node["pt"], 1e4)
    reach = node["eta"].number(0.0, 10.0)
    return lambda events, rng: added(events, kind, mean, pt, reach, rng)


def _pair(node: Node, limit: float) -> tuple[float, float]:
    values = [child.number(-limit, limit) for child in node]
    if len(values) != 2 or values[0] > values[1]:
        raise node.fault("[low, high]")
    return values[0], values[1]


def disturb(codes: NDArray[np.integer], name: str, effect: Effect, seed: int) -> NDArray[np.int32]:
    """Codes int32 (n, 19, 3) of the same events under an effect; the same seed gives the same events."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return objects.encode(effect(objects.decode(codes), rng)).codes


def _slots(kinds: tuple[str, ...]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(19)[spec.objects()[kind].slots] for kind in kinds])


def _ordered(events: Events) -> Events:
    """Objects of each type in descending pt, absent ones last and all zero."""
    events[events[..., 0] <= 0] = 0
    for kind in spec.objects().types:
        block = events[:, kind.slots]
        order = np.argsort(-block[..., 0], axis=1, kind="stable")
        events[:, kind.slots] = np.take_along_axis(block, order[..., None], axis=1)
    return events


def _with_met(before: Events, after: Events, gained: NDArray[np.float64] | None = None) -> Events:
    """After with MET changed by minus what the other objects gained: (n, 2) GeV along x and y, or as they differ."""
    if gained is None:
        gained = (_vectors(after[:, 1:]) - _vectors(before[:, 1:])).sum(axis=1)
    met = _vectors(before[:, :1])[:, 0] - gained
    after[:, 0, 0], after[:, 0, 2] = np.hypot(met[:, 0], met[:, 1]), np.arctan2(met[:, 1], met[:, 0])
    return after


def _vectors(events: Events) -> NDArray[np.float64]:
    """Transverse momentum (n, k, 2) [GeV] of objects (n, k, 3)."""
    pt, phi = events[..., 0].astype(np.float64), events[..., 2].astype(np.float64)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=-1)


def scaled(events: Events, kinds: tuple[str, ...], factor: float) -> Events:
    """The pt of all objects of some kinds times a factor. MET is scaled if it is one of them, else it follows."""
    after = events.copy()
    after[:, _slots(kinds), 0] *= np.float32(factor)
    return after if "met" in kinds else _with_met(events, after)


def dead(events: Events, kinds: tuple[str, ...], eta: tuple[float, float], phi: tuple[float, float]) -> Events:
    """No objects of some kinds in a range of eta and phi; their pt is missing.

    Jets of these events contain the leptons. Where muons are seen, what is left of a lost jet are its muons.
    """
    after, slots = events.copy(), _slots(kinds)
    block = after[:, slots]
    lost = (block[..., 1] >= eta[0]) & (block[..., 1] < eta[1]) & (block[..., 2] >= phi[0]) & (block[..., 2] < phi[1])
    if "muon" not in kinds:
        left = np.minimum(_muon_pt(events, slots), block[..., 0])
        block[lost, 0] = np.where(_is_jet(slots), left, 0)[lost]
        lost &= block[..., 0] <= 0
    block[lost] = 0
    after[:, slots] = block
    return _ordered(_with_met(events, after))


def _is_jet(slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(slots, _slots(("jet",)))


def _muon_pt(events: Events, slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sum of the pt of the muons within a jet radius of each object in the slots: (n, len(slots)) GeV."""
    total = np.zeros((len(events), len(slots)), np.float32)
    for muon in _slots(("muon",)):
        turned = np.abs(events[:, slots, 2] - events[:, muon, None, 2])
        apart = np.hypot(events[:, slots, 1] - events[:, muon, None, 1], np.minimum(turned, 2 * np.pi - turned))
        total += np.where(apart < JET_RADIUS, events[:, muon, None, 0], 0)
    return total


def smeared(events: Events, kinds: tuple[str, ...], lsb: float, rng: np.random.Generator) -> Events:
    """The pt of every present object of some kinds with Gaussian noise of so many LSBs, down to one LSB at least."""
    after = events.copy()
    steps = np.array([kind.pt.lsb for kind in spec.objects().slots], np.float32)[_slots(kinds)]
    pt = after[:, _slots(kinds), 0]
    noisy = np.maximum(pt + rng.normal(0.0, lsb, pt.shape).astype(np.float32) * steps, steps)
    after[:, _slots(kinds), 0] = np.where(pt > 0, noisy, 0)
    return _ordered(after)


def added(
    events: Events, kind: str, mean: float, pt: tuple[float, float], eta: float, rng: np.random.Generator
) -> Events:
    """Poisson(mean) objects of a kind in each event, flat in pt, eta within +-eta and phi; the hardest remain."""
    own, n = spec.objects()[kind], len(events)
    count = np.minimum(rng.poisson(mean, n), own.count)
    new = np.stack([rng.uniform(*pt, (n, own.count)), rng.uniform(-eta, eta, (n, own.count)),
                    rng.uniform(-np.pi, np.pi, (n, own.count))], axis=-1).astype(np.float32)  # fmt: skip
    new[np.arange(own.count) >= count[:, None]] = 0
    after = events.copy()
    both = np.concatenate([after[:, own.slots], new], axis=1)
    order = np.argsort(-both[..., 0], axis=1, kind="stable")[:, : own.count]
    after[:, own.slots] = np.take_along_axis(both, order[..., None], axis=1)
    return _ordered(_with_met(events, after, _vectors(new).sum(axis=1)))
