"""Jets as sequences in one frame of reference, after arXiv 2105.09274 (JINST 16 P08012), algorithm 1.

Each jet is turned to phi = 0 and boosted along the beam to pz = 0; scaled to mass 0.25 and boosted along its momentum
to energy 1; turned about its momentum until the leading constituent (the largest pt in the detector) has eta = 0 and
phi > 0. Constituents with dR >= 1 of the axis are dropped, and all of it is repeated with the rest until none is.
When more than 20 remain, the 20 with the largest pt dR of the axis are kept and brought into the frame likewise.
The sequence starts with the leading constituent; the one with the largest pt dR to the one before follows, and so on.
eta is reflected when that of the second is negative.

A jet that ends with fewer than 3 constituents, or has no mass (collinear constituents), has no such frame: its
sequence is empty (length 0), for a model to say what it scores then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from offline.jets.jets import Jets

MASS, ENERGY = 0.25, 1.0
"""Of every jet in its frame; MASS / ENERGY is what matters."""
MOST, LEAST = 20, 3
"""Constituents of a sequence."""
CONE = 1.0
_MASSLESS = 1e-6  # m / E at pz = 0 below which a mass is rounding: two float32 towers cannot be closer and apart

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _to_frame(px, py, pz, e, count):  # type: ignore[no-untyped-def]
    """Bring the first `count` constituents into the frame, in place, but for the turn about x. False: no mass."""
    sx, sy, sz, se = px[:count].sum(), py[:count].sum(), pz[:count].sum(), e[:count].sum()
    transverse = math.sqrt((se - sz) * (se + sz))
    pt = math.hypot(sx, sy)
    m2 = (transverse - pt) * (transverse + pt)
    if not (m2 > (_MASSLESS * transverse) ** 2 and pt > 0):
        return False
    cos, sin = sx / pt, sy / pt
    gamma, boost = se / transverse, sz / transverse  # along z
    scale = MASS / math.sqrt(m2)
    target_p = math.sqrt(ENERGY * ENERGY - MASS * MASS)
    # along x: from (transverse, pt) * scale to (ENERGY, target_p), both of mass MASS
    e0, p0 = transverse * scale, pt * scale
    along = (e0 * ENERGY - p0 * target_p) / (MASS * MASS)
    shift = (e0 * target_p - p0 * ENERGY) / (MASS * MASS)
    for i in range(count):
        x, y = px[i] * cos + py[i] * sin, py[i] * cos - px[i] * sin
        z = gamma * pz[i] - boost * e[i]
        energy = math.sqrt(x * x + y * y + z * z) * scale  # massless: exact in the frame
        x *= scale
        px[i], py[i], pz[i] = along * x + shift * energy, y * scale, z * scale
        e[i] = math.sqrt(px[i] ** 2 + py[i] ** 2 + pz[i] ** 2)
    return True


@_compiled
def _angles(px, py, pz, count, pt, eta, phi):  # type: ignore[no-untyped-def]
    for i in range(count):
        pt[i] = math.hypot(px[i], py[i])
        eta[i] = math.asinh(pz[i] / pt[i]) if pt[i] > 0 else math.copysign(1e3, pz[i])
        phi[i] = math.atan2(py[i], px[i])


@_compiled
def _jet(constituents, most, least, cone, out):  # type: ignore[no-untyped-def]
    """The sequence of one jet into `out` (most, 3): pt fraction, eta, phi. Returns its length."""
    count = len(constituents)
    if count < least:
        return 0
    px, py, pz, e = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    lab = np.empty(count)  # pt in the detector
    pt, eta, phi, radius = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    for i in range(count):
        p, h, f = constituents[i, 0], constituents[i, 1], constituents[i, 2]
        lab[i], px[i], py[i], pz[i], e[i] = p, p * math.cos(f), p * math.sin(f), p * math.sinh(h), p * math.cosh(h)
    cut = False
    while True:
        if count < least or not _to_frame(px, py, pz, e, count):
            return 0
        leading = int(np.argmax(lab[:count]))
        length = math.hypot(py[leading], pz[leading])
        cos, sin = (py[leading] / length, pz[leading] / length) if length > 0 else (1.0, 0.0)
        for i in range(count):
            py[i], pz[i] = py[i] * cos + pz[i] * sin, pz[i] * cos - py[i] * sin
        pz[leading] = 0.0
        _angles(px, py, pz, count, pt, eta, phi)
        for i in range(count):
            radius[i] = math.hypot(eta[i], phi[i])
        limit = -1.0  # of pt dR
        if radius[:count].max() < cone:
            if cut or count <= most:
                break
            cut = True
            limit = np.sort(pt[:count] * radius[:count])[count - most]
        kept = 0
        for i in range(count):
            if radius[i] < cone and pt[i] * radius[i] >= limit and (limit < 0 or kept < most):
                px[kept], py[kept], pz[kept], e[kept], lab[kept] = px[i], py[i], pz[i], e[i], lab[i]
                kept += 1
        count = kept
    total = math.hypot(px[:count].sum(), py[:count].sum())
    used = np.zeros(count, np.bool_)
    last, sign = leading, 1.0
    for k in range(count):
        if k > 0:
            best, last_one = -1.0, last
            for i in range(count):
                if not used[i]:
                    d_phi = abs(phi[i] - phi[last_one])
                    d_phi = min(d_phi, 2 * math.pi - d_phi)
                    value = pt[i] * math.hypot(eta[i] - eta[last_one], d_phi)
                    if value > best:
                        best, last = value, i
        if k == 1 and eta[last] < 0:
            sign = -1.0
        used[last] = True
        out[k, 0], out[k, 1], out[k, 2] = pt[last] / total, sign * eta[last], phi[last]
    return count


@_compiled
def _all(offsets, constituents, most, least, cone, out, length):  # type: ignore[no-untyped-def]
    for jet in range(len(length)):
        piece = constituents[offsets[jet] : offsets[jet + 1]].astype(np.float64)
        length[jet] = _jet(piece, most, least, cone, out[jet])


@dataclass(frozen=True)
class Sequences:
    """x: float32 (n, most, 3) pt / pt of the jet, eta, phi in the frame, zeros after the end; length: int32 (n,), 0
    for a jet without a frame."""

    x: NDArray[np.float32]
    length: NDArray[np.int32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is a constituent. bool (n, most)."""
        return np.arange(self.x.shape[1]) < self.length[:, None]

    @property
    def fraction(self) -> NDArray[np.float32]:
        """pt of each constituent as part of the sum over its sequence: adds up to 1. float32 (n, most)."""
        pt = self.x[..., 0]
        total = pt.sum(axis=1, keepdims=True)
        return np.divide(pt, total, out=np.zeros_like(pt), where=total > 0)


def sequences(jets: Jets, most: int = MOST, least: int = LEAST, cone: float = CONE) -> Sequences:
    """The sequences of n jets, as the module says, with at most `most` and at least `least` constituents."""
    return sequences_of(jets.offsets, jets.constituents, most, least, cone)


def sequences_of(
    offsets: NDArray[np.int64], constituents: NDArray[np.float32], most: int = MOST, least: int = LEAST,
    cone: float = CONE,
) -> Sequences:  # fmt: skip
    """Those of n lists of constituents (pt, eta, phi), int64 (n + 1,) and float32 (m, 3)."""
    n = len(offsets) - 1
    out, length = np.zeros((n, most, 3), np.float32), np.zeros(n, np.int32)
    _all(offsets, constituents, most, least, cone, out, length)
    out[length == 0] = 0
    return Sequences(out, length)
