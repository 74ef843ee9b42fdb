"""Jets as graphs: constituents are nodes, joined where they are close. Ragged, nothing padded.

Node: pt / pt of the jet, and eta, phi from the axis of the jet. Two constituents of a jet with dR < 0.2 have an edge
in each direction, with 1 / dR as its feature (arXiv 2101.07671 for networks that use it). All jets of a set make one
large graph of separate pieces: the nodes are the flat constituents, and the edges are in the order of the node that
they point at, so that sums over what arrives at a node are segment sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets.jets import Jets

RADIUS = 0.2
CLOSEST = 1e-3
"""dR below which 1 / dR grows no more: towers and tracks are not measured more finely."""

Floats = NDArray[np.float32]
_compiled = numba.njit(cache=True, nogil=True)


@dataclass(frozen=True)
class Graphs:
    """n jets as graphs of m nodes and k edges in all.

    offsets: int64 (n + 1,), jet i has the nodes offsets[i] to offsets[i + 1] - 1. node: float32 (m, 3) pt fraction,
    eta and phi from the jet axis. source, target: int32 (k,) nodes of each edge, target never falling. edge: float32
    (k, 1), 1 / dR. edge_offsets: int64 (m + 1,), edges that point at each node.
    """

    offsets: NDArray[np.int64]
    node: Floats
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    edge: Floats
    edge_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@_compiled
def _count(offsets, eta, phi, radius2, out):  # type: ignore[no-untyped-def]
    """Neighbours of each constituent into `out` (m,)."""
    for jet in range(len(offsets) - 1):
        for i in range(offsets[jet], offsets[jet + 1]):
            for j in range(i + 1, offsets[jet + 1]):
                d_eta = eta[i] - eta[j]
                d_phi = abs(phi[i] - phi[j])
                d_phi = min(d_phi, 2 * math.pi - d_phi)
                if d_eta * d_eta + d_phi * d_phi < radius2:
                    out[i] += 1
                    out[j] += 1


@_compiled
def _fill(offsets, eta, phi, radius2, source, target, distance):  # type: ignore[no-untyped-def]
    """Edges in the order of their target, then source."""
    at = 0
    for jet in range(len(offsets) - 1):
        for i in range(offsets[jet], offsets[jet + 1]):
            for j in range(offsets[jet], offsets[jet + 1]):
                d_eta = eta[i] - eta[j]
                d_phi = abs(phi[i] - phi[j])
                d_phi = min(d_phi, 2 * math.pi - d_phi)
                d2 = d_eta * d_eta + d_phi * d_phi
                if i != j and d2 < radius2:
                    source[at], target[at], distance[at] = j, i, math.sqrt(d2)
                    at += 1


def radius_graph(
    offsets: NDArray[np.int64], eta: NDArray[np.floating], phi: NDArray[np.floating], radius: float = RADIUS
) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Edges between the constituents of each jet with dR < radius, in both directions, none from a node to itself.

    offsets: (n + 1,); eta, phi [rad, within one turn]: (m,). Returns source, target int32 (k,), indices into the m
    constituents in the order of target, then source; and dR float32 (k,).
    """
    source, target, distance, _ = _edges(offsets, eta, phi, radius)
    return source, target, distance


def _edges(
    offsets: NDArray[np.int64], eta: NDArray[np.floating], phi: NDArray[np.floating], radius: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats, NDArray[np.int64]]:
    if not 0 < radius < math.pi:
        raise InputError("graphs", "radius", radius, "a number between 0 and pi")
    if len(eta) >= 1 << 31:
        raise InputError("graphs", "constituents", len(eta), f"fewer than {1 << 31} at a time: take fewer jets")
    # both passes see the same float64 numbers, so that they agree on every pair
    eta, phi = np.ascontiguousarray(eta, np.float64), np.ascontiguousarray(phi, np.float64)
    number = np.zeros(len(eta), np.int64)
    _count(offsets, eta, phi, radius * radius, number)
    starts = np.concatenate([[0], np.cumsum(number)]).astype(np.int64)
    k = int(starts[-1])
    source, target, distance = np.empty(k, np.int32), np.empty(k, np.int32), np.empty(k, np.float32)
    _fill(offsets, eta, phi, radius * radius, source, target, distance)
    return source, target, distance, starts


def graphs(jets: Jets, radius: float = RADIUS) -> Graphs:
    """The graphs of n jets. A jet with one constituent is a node without edges; one without any has no node."""
    owner = jets.owner
    axis = jets.jet[owner]
    x = jets.constituents.astype(np.float64)
    eta = x[:, 1] - axis[:, 1]
    phi = (x[:, 2] - axis[:, 2] + math.pi) % (2 * math.pi) - math.pi
    source, target, distance, starts = _edges(jets.offsets, eta, phi, radius)
    node = np.stack([x[:, 0] / axis[:, 0], eta, phi], axis=1).astype(np.float32)
    edge = (1 / np.maximum(distance, CLOSEST)).astype(np.float32)[:, None]
    return Graphs(jets.offsets, node, source, target, edge, starts)
