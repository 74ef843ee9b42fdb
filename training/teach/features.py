"""Physics quantities of hardware events: what a person would look at before a network does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec

NAMES = ("MET", "HT", "sum lepton pT", "leading lepton pT", "second lepton pT", "leading jet pT",
         "electrons", "muons", "leptons", "jets", "mT", "m(leptons)", "m(l1, l2)", "m(l1, l3)", "m(l1, j1)",
         "m(visible)", "vector sum pT", "l1 along MET", "l2 along MET", "j1 along MET")  # fmt: skip


def _mass(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invariant mass of four-vectors (n, 4), E first."""
    return np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0))


def features(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """float32 (n, len(NAMES) + 36) of codes (n, 19, 3): the quantities of `NAMES` in GeV or counts, then the azimuth of
    every lepton and jet relative to MET and to the leading lepton, in [0, pi]; -1 where an object is absent.

    "leptons" are e/gamma objects and muons; masses take every object as massless; mT is that of the leading lepton and
    MET; "along MET" is the component of an object's pt in the direction of MET.
    """
    event = objects.decode(codes).astype(np.float64)
    pt, eta, phi = event[..., 0], event[..., 1], event[..., 2]
    kinds = spec.objects()
    lepton = np.r_[kinds["egamma"].slots, kinds["muon"].slots]
    jet, rows = np.r_[kinds["jet"].slots], np.arange(len(event))
    four = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    order = lepton[np.argsort(-pt[:, lepton], axis=1, kind="stable")]
    first, second, third, hardest = *order[:, :3].T, jet[0]
    l1, l2, l3, j1 = (four[rows, one] for one in (first, second, third, hardest))
    met = pt[:, 0]
    along = four[..., 1] * np.cos(phi[:, :1]) + four[..., 2] * np.sin(phi[:, :1])
    here = pt > 0
    visible = four[:, 1:].sum(axis=1)
    columns = [
        met, pt[:, jet].sum(axis=1), pt[:, lepton].sum(axis=1), pt[rows, first], pt[rows, second], pt[:, hardest],
        here[:, kinds["egamma"].slots].sum(axis=1), here[:, kinds["muon"].slots].sum(axis=1),
        here[:, lepton].sum(axis=1), here[:, jet].sum(axis=1),
        np.sqrt(2 * met * np.maximum(pt[rows, first] - along[rows, first], 0.0)),
        _mass(four[:, lepton].sum(axis=1)), np.where(here[rows, second], _mass(l1 + l2), 0.0),
        np.where(here[rows, third], _mass(l1 + l3), 0.0),
        np.where(here[:, hardest], _mass(l1 + j1), 0.0), _mass(visible),
        np.hypot(visible[:, 1] + four[:, 0, 1], visible[:, 2] + four[:, 0, 2]),
        along[rows, first], along[rows, second], along[:, hardest],
    ]  # fmt: skip
    angles = []
    for reference in (phi[:, 0], phi[rows, first]):
        turned = np.abs(phi[:, 1:] - reference[:, None])
        angles.append(np.where(here[:, 1:], np.minimum(turned, 2 * np.pi - turned), -1.0))
    return np.concatenate([np.stack(columns, axis=1), *angles], axis=1).astype(np.float32)
