"""Quantities of events that are the same however a collision is turned around the beam."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from offline.inputs import physical

NAMES = (
    "met", "ht", "electrons", "muons", "jets", "lepton1_pt", "lepton2_pt", "lepton3_pt", "jet1_pt", "jet2_pt",
    "mt_lepton1", "mt_lepton2", "m_leptons", "m_lepton_jet", "m_jets", "dphi_lepton1_met", "dphi_jet1_met",
    "dphi_leptons",
)  # fmt: skip
"""Of `features`, in their order. Leptons are e/gamma and muons together in order of pt."""

SCALE = 10.0
"""GeV: momenta and masses are taken as ln(1 + x / SCALE)."""

Floats = NDArray[np.float32]


def features(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """The quantities of events, codes (n, 19, 3): float32 (n, len(NAMES)); 0 where an object is missing.

    met, ht (scalar sum of the jets), pt, mt (with MET) and invariant masses: ln(1 + x / 10 GeV); how many objects there
    are; differences of azimuth [rad], 0 to pi.
    """
    events = physical(codes).astype(np.float64)
    slots = {one.name: one.slots for one in spec.objects().types}
    met, met_phi = events[:, slots["met"].start, 0], events[:, slots["met"].start, 2]
    electrons, muons, jets = (events[:, slots[name]] for name in ("egamma", "muon", "jet"))
    leptons = np.concatenate([electrons, muons], axis=1)
    order = np.argsort(-leptons[..., 0], axis=1, kind="stable")[:, :3]
    leptons = np.take_along_axis(leptons, order[..., None], axis=1)
    l1, l2, l3 = (leptons[:, i] for i in range(3))
    j1, j2 = jets[:, 0], jets[:, 1]
    columns = (
        _log(met), _log(jets[..., 0].sum(axis=1)), _number(electrons), _number(muons), _number(jets),
        _log(l1[:, 0]), _log(l2[:, 0]), _log(l3[:, 0]), _log(j1[:, 0]), _log(j2[:, 0]),
        _log(_transverse(l1, met, met_phi)), _log(_transverse(l2, met, met_phi)),
        _log(_mass(l1, l2)), _log(_mass(l1, j1)), _log(_mass(j1, j2)),
        _angle(l1[:, 2] - met_phi) * (l1[:, 0] > 0), _angle(j1[:, 2] - met_phi) * (j1[:, 0] > 0),
        _angle(l1[:, 2] - l2[:, 2]) * (l2[:, 0] > 0),
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log1p(x / SCALE)
    return found


def _number(objects: NDArray[np.float64]) -> NDArray[np.int64]:
    return (objects[..., 0] > 0).sum(axis=1)


def _angle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs((x + np.pi) % (2 * np.pi) - np.pi)
    return found


def _transverse(
    one: NDArray[np.float64], met: NDArray[np.float64], met_phi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Transverse mass [GeV] of a light object and MET; 0 where it is missing."""
    found: NDArray[np.float64] = np.sqrt(np.maximum(2 * one[:, 0] * met * (1 - np.cos(one[:, 2] - met_phi)), 0))
    return found


def _mass(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invariant mass [GeV] of two light objects; 0 where one is missing."""
    found: NDArray[np.float64] = np.sqrt(
        np.maximum(2 * a[:, 0] * b[:, 0] * (np.cosh(a[:, 1] - b[:, 1]) - np.cos(a[:, 2] - b[:, 2])), 0)
    )
    return found
