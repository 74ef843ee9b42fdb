"""What is inside a jet: groomed masses and N-subjettiness, jet by jet in compiled loops.

Sequential recombination as in FastJet (arXiv 1111.6097), for single jets of at most some hundred massless
constituents, where calls of the library would cost more than the work:

* soft drop (arXiv 1402.2657): Cambridge/Aachen tree, declustered until min(pt) / sum(pt) > z_cut (dR / R)^beta;
* trimming (arXiv 0912.1342): kt subjets of a smaller radius, kept above a fraction of the jet's pt;
* tau_N = sum pt_i min_k dR_ik / sum pt_i R (arXiv 1011.2268, beta = 1), the N axes from exclusive kt clustering with
  the winner-takes-all scheme (arXiv 1401.2158), without minimisation.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError

_compiled = numba.njit(cache=True, nogil=True)
_PX, _PY, _PZ, _E, _PT, _Y, _PHI = range(7)  # rows of the work space, of each particle and of what they combine to
_KT, _CAMBRIDGE = 1, 0
_FAR = 1e9


@dataclass(frozen=True)
class Grooming:
    """Settings. radius: of the jets, for soft drop and tau. Raises `InputError` on values out of range."""

    radius: float = 1.0
    z_cut: float = 0.1
    beta: float = 0.0
    trim_radius: float = 0.2
    trim_fraction: float = 0.05

    def __post_init__(self) -> None:
        limits = {"radius": 3.0, "z_cut": 0.5, "beta": 10.0, "trim_radius": self.radius, "trim_fraction": 1.0}
        for name, high in limits.items():
            low = 0.0 if name in ("beta", "z_cut", "trim_fraction") else 1e-3
            if not low <= getattr(self, name) <= high:
                raise InputError("grooming", name, getattr(self, name), f"{low:g} to {high:g}")

    @property
    def document(self) -> dict[str, float]:
        """As written to files."""
        return asdict(self)


@_compiled
def _finish(w, k):  # type: ignore[no-untyped-def]
    """pt, rapidity and phi of entry k from its momentum; the rapidity as in FastJet, without cancellation."""
    w[_PT, k] = math.hypot(w[_PX, k], w[_PY, k])
    m2 = max((w[_E, k] + w[_PZ, k]) * (w[_E, k] - w[_PZ, k]) - w[_PT, k] ** 2, 0.0)
    y = 0.5 * math.log((w[_PT, k] ** 2 + m2) / (w[_E, k] + abs(w[_PZ, k])) ** 2)
    w[_Y, k] = y if w[_PZ, k] < 0 else -y
    w[_PHI, k] = math.atan2(w[_PY, k], w[_PX, k])


@_compiled
def _distance2(w, i, j):  # type: ignore[no-untyped-def]
    d_phi = abs(w[_PHI, i] - w[_PHI, j])
    d_phi = min(d_phi, 2 * math.pi - d_phi)
    return (w[_Y, i] - w[_Y, j]) ** 2 + d_phi * d_phi


@_compiled
def _merge(w, a, b, k, winner):  # type: ignore[no-untyped-def]
    """Entry k from a and b: the sum of their momenta, or (winner) the direction of the harder, massless."""
    if winner:
        hard, other = (a, b) if w[_PT, a] >= w[_PT, b] else (b, a)
        scale = (w[_PT, hard] + w[_PT, other]) / w[_PT, hard]
        for row in range(4):
            w[row, k] = w[row, hard] * scale
        w[_PT, k], w[_Y, k], w[_PHI, k] = w[_PT, hard] * scale, w[_Y, hard], w[_PHI, hard]
    else:
        for row in range(4):
            w[row, k] = w[row, a] + w[row, b]
        _finish(w, k)


@_compiled
def _nearest(w, active, count, s, power, limit2, near, cost):  # type: ignore[no-untyped-def]
    """Neighbour of the entry at place s and what it costs to combine with it, or (-1) to be a jet of its own."""
    i = active[s]
    best, place = limit2, -1
    for t in range(count):
        if t != s:
            d2 = _distance2(w, i, active[t])
            if d2 < best:
                best, place = d2, t
    near[s] = place
    weight = 1.0
    if power:
        weight = w[_PT, i] ** 2
        if place >= 0:
            weight = min(weight, w[_PT, active[place]] ** 2)
    cost[s] = weight * best


@_compiled
def _combine(w, n, power, limit2, winner, stop, parents, ends):  # type: ignore[no-untyped-def]
    """Combine the first n entries of w until `stop` are left; new entries follow from n on.

    power: 1 kt, 0 Cambridge/Aachen. limit2: squared radius; an entry with no neighbour within becomes a final one
    when its turn comes. parents (2 n, 2): the two that an entry was made of. Final entries into `ends`; returns their
    number. The pair with the smallest min(pt^2p) dR^2 consists of geometric nearest neighbours (hep-ph/0512210).
    """
    active, near, cost = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    count, k, final = n, n, 0
    for s in range(n):
        active[s] = s
    for s in range(n):
        _nearest(w, active, count, s, power, limit2, near, cost)
    while count > 0 and count + final > stop:
        s = int(np.argmin(cost[:count]))
        t = near[s]
        if t < 0:
            ends[final] = active[s]
            final += 1
            gone, kept = s, -1
        else:
            _merge(w, active[s], active[t], k, winner)
            parents[k, 0], parents[k, 1] = active[s], active[t]
            kept, gone = min(s, t), max(s, t)
            active[kept] = k
            k += 1
        count -= 1
        active[gone], near[gone], cost[gone] = active[count], near[count], cost[count]
        for u in range(count):
            # those whose neighbour is gone or moved look again; the new one may be nearer to the others
            if u == kept or near[u] == gone or near[u] == kept:
                _nearest(w, active, count, u, power, limit2, near, cost)
            else:
                if near[u] == count:
                    near[u] = gone
                if kept >= 0:
                    mine = near[u]
                    old = _distance2(w, active[u], active[mine]) if mine >= 0 else limit2
                    new = _distance2(w, active[u], active[kept])
                    if new < old:
                        weight = min(w[_PT, active[u]], w[_PT, active[kept]]) ** 2 if power else 1.0
                        near[u], cost[u] = kept, weight * new
    for s in range(count):
        ends[final] = active[s]
        final += 1
    return final


@_compiled
def _mass(w, k):  # type: ignore[no-untyped-def]
    m2 = (w[_E, k] + w[_PZ, k]) * (w[_E, k] - w[_PZ, k]) - w[_PX, k] ** 2 - w[_PY, k] ** 2
    return math.sqrt(max(m2, 0.0))


@_compiled
def _soft_drop(w, parents, root, n, z_cut, beta, radius):  # type: ignore[no-untyped-def]
    """Entry of the tree that soft drop leaves."""
    k = root
    while k >= n:
        a, b = parents[k, 0], parents[k, 1]
        soft, hard = (a, b) if w[_PT, a] < w[_PT, b] else (b, a)
        z = w[_PT, soft] / (w[_PT, a] + w[_PT, b])
        if z > z_cut * (_distance2(w, a, b) / radius**2) ** (beta / 2):
            return k
        k = hard
    return k


@_compiled
def _jet(x, settings, w, parents, ends, out):  # type: ignore[no-untyped-def]
    """tau1, tau2, tau3, soft-drop mass, trimmed mass of one jet into out (5,)."""
    radius, z_cut, beta, trim_radius, trim_fraction = settings
    n = len(x)
    out[:] = 0.0
    if n < 2:
        return  # one massless particle lies on every axis
    total = 0.0
    for i in range(n):
        pt, eta, phi = x[i, 0], x[i, 1], x[i, 2]
        w[_PX, i], w[_PY, i] = pt * math.cos(phi), pt * math.sin(phi)
        w[_PZ, i], w[_E, i] = pt * math.sinh(eta), pt * math.cosh(eta)
        w[_PT, i], w[_Y, i], w[_PHI, i] = pt, eta, phi
        total += pt
    for axes in range(1, min(n, 4)):
        left = _combine(w, n, _KT, _FAR, True, axes, parents, ends)
        tau = 0.0
        for i in range(n):
            best = _FAR
            for a in range(left):
                best = min(best, _distance2(w, i, ends[a]))
            tau += w[_PT, i] * math.sqrt(best)
        out[axes - 1] = tau / (total * radius)
    _combine(w, n, _CAMBRIDGE, _FAR, False, 1, parents, ends)
    out[3] = _mass(w, _soft_drop(w, parents, ends[0], n, z_cut, beta, radius))
    left = _combine(w, n, _KT, trim_radius**2, False, 0, parents, ends)
    sums = np.zeros(4)
    jet = np.zeros(2)
    for i in range(n):
        jet[0] += w[_PX, i]
        jet[1] += w[_PY, i]
    for a in range(left):
        if w[_PT, ends[a]] >= trim_fraction * math.hypot(jet[0], jet[1]):
            for row in range(4):
                sums[row] += w[row, ends[a]]
    m2 = (sums[_E] + sums[_PZ]) * (sums[_E] - sums[_PZ]) - sums[_PX] ** 2 - sums[_PY] ** 2
    out[4] = math.sqrt(max(m2, 0.0))


@_compiled
def _all(offsets, constituents, settings, out):  # type: ignore[no-untyped-def]
    largest = 1
    for jet in range(len(out)):
        largest = max(largest, offsets[jet + 1] - offsets[jet])
    w = np.empty((7, 2 * largest))
    parents, ends = np.empty((2 * largest, 2), np.int64), np.empty(largest, np.int64)
    for jet in range(len(out)):
        _jet(constituents[offsets[jet] : offsets[jet + 1]], settings, w, parents, ends, out[jet])


def substructure(
    offsets: NDArray[np.int64], constituents: NDArray[np.floating], grooming: Grooming | None = None
) -> NDArray[np.float64]:
    """tau1, tau2, tau3, soft-drop mass and trimmed mass [GeV] of n jets. float64 (n, 5).

    constituents: (m, 3) pt [GeV], eta, phi, massless. A jet of one constituent has zeros; tau_N of a jet of N or fewer
    is 0.
    """
    settings = tuple((grooming or Grooming()).document.values())
    out = np.empty((len(offsets) - 1, 5))
    _all(offsets, np.ascontiguousarray(constituents, np.float64), settings, out)
    return out
