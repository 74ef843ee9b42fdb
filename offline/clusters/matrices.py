"""Rapidity-mass matrices (arXiv:1805.11650) of what the trigger saw: jets, muons and e/gamma, 19 x 19 cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from offline.inputs import physical
from offline.objects.collection import COLUMNS, ELECTRON_MASS, MUON_MASS, Objects
from offline.objects.source import SQRT_S
from offline.rmm.layout import Layout
from offline.rmm.matrix import matrices as of_objects

KINDS = {"jet": ("jet", 0.0), "muon": ("muon", MUON_MASS), "egamma": ("electron", ELECTRON_MASS)}
"""Type of the trigger: type of the matrix, and its mass [GeV]. The trigger knows no mass of a jet."""


def layout() -> Layout:
    """Slots of the matrix: as many of each type as the trigger has."""
    counts = {one.name: one.slots.stop - one.slots.start for one in spec.objects().types}
    return Layout({KINDS[name][0]: count for name, count in counts.items() if name in KINDS})


def objects(codes: NDArray[np.integer]) -> Objects:
    """Objects of events, codes (n, 19, 3), as the matrix reads them."""
    events = physical(codes)
    n = len(events)
    lists = {kind: np.zeros((n, 0, 4), np.float32) for kind in ("jet", "bjet", "muon", "electron", "photon")}
    met = np.zeros((n, 2), np.float32)
    for one in spec.objects().types:
        if one.name not in KINDS:
            met[:] = events[:, one.slots.start][:, [0, 2]]
            continue
        kind, mass = KINDS[one.name]
        found = events[:, one.slots]
        order = np.argsort(-found[..., 0], axis=1, kind="stable")
        found = np.take_along_axis(found, order[..., None], axis=1)
        lists[kind] = np.concatenate([found, mass * (found[..., :1] > 0)], axis=2).astype(np.float32)
    return Objects(**lists, met=met, columns={name: np.zeros(n, kind) for name, kind in COLUMNS.items()})


def matrices(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Cells of events, codes (n, 19, 3): float32 (n, 361)."""
    return of_objects(objects(codes), layout(), SQRT_S).reshape(len(codes), -1)
