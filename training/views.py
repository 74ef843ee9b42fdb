"""Views of an event: changes that leave its physics as it is, for embeddings that must not notice them.

They work on hardware codes (n, 19, 3) and keep them valid. Rotation, and the smearing of jets and MET, are those of
AnomalyCLR (arXiv 2301.04660); objects are dropped because a trigger sees them with an efficiency below one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ad40 import spec

LEPTONS = 0.05  # relative smearing of the pt of electrons, photons and muons
DROPPED = 0.1  # share of leptons and jets

Codes = NDArray[np.integer]


def _hadronic(pt: NDArray[np.float32]) -> NDArray[np.float32]:
    """Width of the smearing of jets in GeV, pt in GeV: sqrt(0.052 pt^2 + 1.502 pt) of arXiv 2301.04660."""
    return np.sqrt(0.052 * pt**2 + 1.502 * np.maximum(pt, 0))


def view(codes: Codes, seed: int) -> NDArray[np.int16]:
    """One view int16 (n, 19, 3) of each event: rotated in phi, pt smeared, some leptons and jets dropped. The same seed
    gives the same views."""
    rng, objects = np.random.default_rng([seed, 7]), spec.objects()
    result = codes.astype(np.int16)
    turns = math.gcd(*(kind.phi.steps for kind in objects.types))
    turn = rng.integers(turns, size=(len(codes), 1))
    for kind in objects.types:
        block = result[:, kind.slots]
        kept = block[..., 0] > 0
        if kind.count > 1:
            kept &= rng.random(kept.shape) >= DROPPED
        pt = (block[..., 0] - kind.pt.offset).astype(np.float32)
        width = LEPTONS * pt if kind.name in ("egamma", "muon") else _hadronic(pt * kind.pt.lsb) / kind.pt.lsb
        pt = np.rint(pt + width * rng.standard_normal(pt.shape, np.float32))
        block[..., 0] = np.clip(pt + kind.pt.offset, 1, kind.pt.max_code)
        block[..., 2] = (block[..., 2] + turn * (kind.phi.steps // turns)) % kind.phi.steps
        block[~kept] = 0
        order = np.argsort(-block[..., 0], axis=1, kind="stable")
        result[:, kind.slots] = np.take_along_axis(block, order[..., None], axis=1)
    return result
