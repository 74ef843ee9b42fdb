"""Generic corruptions of background events: what a model is selected on, instead of the benchmark signals.

A trigger that is tuned on the signals it is later judged by is no anomaly trigger. These corruptions break the
background in ways that no particular model of new physics asks for. They work on hardware codes (n, 19, 3) and
keep them valid: pt saturates, objects of a type stay ordered in pt and without holes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ad40 import spec

Codes = NDArray[np.int32]
Number = TypeVar("Number", np.int32, np.float32)


def _scaled(codes: Codes, slots: slice, factor: float | NDArray[np.float64]) -> Codes:
    """Codes with the pt of some slots multiplied by a factor, scalar or (n, 1); absent objects stay absent."""
    kinds = spec.objects().slots[slots]
    offset = np.array([kind.pt.offset for kind in kinds])
    top = np.array([kind.pt.max_code for kind in kinds])
    pt = codes[:, slots, 0]
    scaled = np.clip(np.rint((pt - offset) * factor) + offset, 1, top)
    result = codes.copy()
    result[:, slots, 0] = np.where(pt > 0, scaled, 0)
    return result


def with_added(events: NDArray[Number], others: NDArray[Number], names: tuple[str, ...]) -> NDArray[Number]:
    """Events with the objects of `others` of the named types added; the hardest of each type remain.

    Both (n, 19, 3), pt first: hardware codes, or physical values (`training.teach.families`).
    """
    result = events.copy()
    for name in names:
        slots = spec.objects()[name].slots
        both = np.concatenate([events[:, slots], others[:, slots]], axis=1)
        order = np.argsort(-both[..., 0], axis=1, kind="stable")[:, : spec.objects()[name].count]
        result[:, slots] = np.take_along_axis(both, order[..., None], axis=1)
    return result


def _shuffled(codes: Codes, rng: np.random.Generator) -> Codes:
    return codes[rng.permutation(len(codes))]


def extra_leptons(codes: Codes, rng: np.random.Generator) -> Codes:
    """Leptons of two other events added, their pt scaled by 0.3 to 1: a higher multiplicity."""
    for _ in range(2):
        donors = _scaled(_shuffled(codes, rng), slice(1, 9), rng.uniform(0.3, 1.0, (len(codes), 1)))
        codes = with_added(codes, donors, ("egamma", "muon"))
    return codes


def extra_jets(codes: Codes, rng: np.random.Generator) -> Codes:
    """Jets of another event added."""
    return with_added(codes, _shuffled(codes, rng), ("jet",))


def swapped_objects(codes: Codes, rng: np.random.Generator) -> Codes:
    """MET and jets replaced by those of two other events: the objects no longer belong together."""
    result = codes.copy()
    result[:, spec.objects()["met"].slots] = _shuffled(codes, rng)[:, spec.objects()["met"].slots]
    result[:, spec.objects()["jet"].slots] = _shuffled(codes, rng)[:, spec.objects()["jet"].slots]
    return result


def scaled_met(codes: Codes, rng: np.random.Generator) -> Codes:
    """MET doubled."""
    return _scaled(codes, spec.objects()["met"].slots, 2.0)


def scaled_pt(codes: Codes, rng: np.random.Generator) -> Codes:
    """Every pt multiplied by 1.5: a harder event of the same shape."""
    return _scaled(codes, slice(0, 19), 1.5)


def double_event(codes: Codes, rng: np.random.Generator) -> Codes:
    """All leptons and jets of another event added: two collisions in one."""
    return with_added(codes, _shuffled(codes, rng), ("egamma", "muon", "jet"))


CORRUPTIONS: dict[str, Callable[[Codes, np.random.Generator], Codes]] = {
    "extra leptons": extra_leptons,
    "extra jets": extra_jets,
    "swapped objects": swapped_objects,
    "MET x 2": scaled_met,
    "pT x 1.5": scaled_pt,
    "double event": double_event,
}


def corrupt(codes: Codes, name: str, seed: int = 0) -> Codes:
    """Corrupted copies int32 (n, 19, 3) of background events; the same seed gives the same events."""
    return CORRUPTIONS[name](codes.astype(np.int32), np.random.default_rng(seed))
