"""Constituents as networks read them: relative to their jet, the hardest ones, lists of any length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.jets.jets import Jets, starts_of
from offline.jets.model import with_constituents

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Nodes:
    """Constituents of n jets. offsets int64 (n + 1,); values float32 (m, 3): pt as a part of the jet's (the sum of
    all its constituents), eta and phi relative to the pt-weighted mean of the constituents; pt falls in each jet."""

    offsets: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Ints:
        return np.diff(self.offsets)

    @property
    def owner(self) -> Ints:
        """The jet of each constituent. int64 (m,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, rows: NDArray[np.integer[Any]]) -> Nodes:
        """Those of some jets, in that order."""
        counts = self.counts[rows]
        offsets = starts_of(counts)
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts)
        return Nodes(offsets, self.values[at])

    def padded(self, length: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Values (n, length, 3), zero where there is none, and mask (n, length), True where there is one."""
        out, mask = np.zeros((len(self), length, 3), np.float32), np.zeros((len(self), length), bool)
        place = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.counts)
        inside = place < length
        out[self.owner[inside], place[inside]] = self.values[inside]
        mask[self.owner[inside], place[inside]] = True
        return out, mask


def nodes(jets: Jets, most: int, turn: bool = False) -> Nodes:
    """The `most` hardest constituents of each jet.

    turn: rotate each jet so that the longest axis of its pt lies along eta, and mirror it so that more pt times
    distance is at positive eta and at positive phi: jets that differ by a rotation about their axis look alike.
    The axis is that of all constituents, also of those that are left out. Raises `InputError` on a jet without any.
    """
    with_constituents(jets)
    owner, starts, n = jets.owner, jets.offsets[:-1], len(jets)
    pt, eta, phi = jets.constituents.astype(np.float64).T
    total = np.bincount(owner, pt, n)
    z = pt / total[owner]
    dphi = np.remainder(phi - phi[starts][owner] + np.pi, 2 * np.pi) - np.pi  # from the hardest: no jet is that wide
    eta = eta - np.bincount(owner, z * eta, n)[owner]
    dphi = dphi - np.bincount(owner, z * dphi, n)[owner]
    if turn:
        eta, dphi = _turned(z, eta, dphi, owner, n)
    # pt falls already in a jets file; a stable sort makes it sure
    order = np.lexsort((-pt, owner))
    rank = np.arange(len(owner)) - np.repeat(starts, jets.counts)
    kept = order[rank < most]
    values = np.stack([z, eta, dphi], axis=1)[kept].astype(np.float32)
    return Nodes(starts_of(np.minimum(jets.counts, most)), values)


def _turned(z: Any, eta: Any, phi: Any, owner: Ints, n: int) -> tuple[Any, Any]:
    a, b, c = (np.bincount(owner, z * q, n) for q in (eta * eta, phi * phi, eta * phi))
    angle = 0.5 * np.arctan2(2 * c, a - b)[owner]
    eta, phi = eta * np.cos(angle) + phi * np.sin(angle), phi * np.cos(angle) - eta * np.sin(angle)
    signs = []
    for x in (eta, phi):  # the third moment tells the two sides apart: the first is zero by construction
        signs.append(np.where(np.bincount(owner, z * x**3, n) < 0, -1.0, 1.0)[owner])
    return eta * signs[0], phi * signs[1]


def dilated(given: Nodes, factor: NDArray[np.floating]) -> Nodes:
    """Every jet with its constituents moved away from the axis by a factor (n,). Its mass grows by about that factor
    (exactly for narrow jets: m^2 = sum_ij pt_i pt_j dR_ij^2 / 2), what is at which fraction of its width stays."""
    values = given.values.copy()
    values[:, 1:] *= np.repeat(factor, given.counts)[:, None].astype(np.float32)
    return Nodes(given.offsets, values)


def relative_mass(given: Nodes) -> NDArray[np.float64]:
    """Mass over pt of the constituents for small angles: sqrt(sum z dR^2 - ...) about the pt-weighted mean. (n,)."""
    z, eta, phi = given.values.astype(np.float64).T
    owner, n = given.owner, len(given)
    kept = np.bincount(owner, z, n)
    means = [np.bincount(owner, z * x, n) / kept for x in (eta, phi)]
    spread = np.bincount(owner, z * ((eta - means[0][owner]) ** 2 + (phi - means[1][owner]) ** 2), n)
    return np.sqrt(np.maximum(spread * kept, 0.0))
