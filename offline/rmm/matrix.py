"""Rapidity-mass matrices of events (arXiv:1805.11650), dense and sparse.

With s the centre-of-mass energy, y the rapidity (of a massive object, not its pseudorapidity), ET = E pT/|p|,
C = 0.15, and objects in pt order within their type:

    (0, 0)           MET / s
    (0, k)           mT / s with mT^2 = (ET + MET)^2 - (px + METx)^2 - (py + METy)^2; 0 where MET is 0
    (k, 0)           C (cosh y - 1)
    (k, k)           ET / s for the first of its type, else (ET' - ET) / (ET' + ET) with ET' of the one before
    (i, j), i < j    m(i, j) / s
    (i, j), i > j    C (cosh((y_i - y_j) / 2) - 1)

The cells of an absent object are 0. An imbalance is negative where the softer object has the larger ET, and cells that
depend on rapidity exceed 1 for objects far forward.

No cell below needs a logarithm, and no pair an exponential: with w = exp(y) and r = sqrt(w) of each object,
q = cosh(dy/2) - 1 = (r_i - r_j)^2 / (2 r_i r_j), cosh(dy) - 1 = 2 q (q + 2), and

    m^2 = m_i^2 + m_j^2 + 2 [mT_i mT_j (cosh dy - 1) + pT_i pT_j (1 - cos dphi) + (mT_i mT_j - pT_i pT_j)],

where the last bracket is (m_i^2 pT_j^2 + m_j^2 pT_i^2 + m_i^2 m_j^2) / (mT_i mT_j + pT_i pT_j). All terms are positive,
so that a collinear pair loses no digits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import MAX_ETA, Objects
from offline.rmm.layout import Layout

C = 0.15
"""Scale of the rapidity cells: brings them to the size of the mass cells."""

BLOCK = 4096  # events whose inputs are in memory as float64 at a time

_FAULTS = {
    1: "finite numbers",
    2: "pt from 0, in falling order within a type, absent objects (pt 0) last",
    3: "a mass from 0",
    4: f"eta from -{MAX_ETA:.0f} to {MAX_ETA:.0f}",
}


class Sparse(NamedTuple):
    """Matrices of n events by their cells that are not 0 (compressed rows).

    Event i has the cells indices[indptr[i]:indptr[i+1]] (row * width + column, rising) with these values.
    indptr: int64 (n + 1,); indices: uint16; values: float32.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint16]
    values: NDArray[np.float32]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _differences(work, i, low, high, c, out):  # type: ignore[no-untyped-def]
    """Rapidity differences of slot i and the slots low to high - 1 into out (high - low,)."""
    mine, scale = work[3, i], 0.5 * c * work[4, i]
    r, over_r = work[3, low:high], work[4, low:high]
    for j in range(len(out)):
        d = mine - r[j]
        out[j] = scale * d * d * over_r[j]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _masses(work, i, low, high, over_s, out):  # type: ignore[no-untyped-def]
    """Masses of slot i and each of the slots low to high - 1 into out (high - low,)."""
    pt, mass2, mt, r, over_r, cx, cy = (
        work[0, i],
        work[1, i],
        work[2, i],
        work[3, i],
        work[4, i],
        work[5, i],
        work[6, i],
    )
    pt2 = pt * pt
    pts, mass2s, mts, rs = work[0, low:high], work[1, low:high], work[2, low:high], work[3, low:high]
    over_rs, cxs, cys = work[4, low:high], work[5, low:high], work[6, low:high]
    for j in range(len(out)):
        d, dx, dy = r - rs[j], cx - cxs[j], cy - cys[j]
        q = 0.5 * d * d * over_r * over_rs[j]
        mtt, ptt = mt * mts[j], pt * pts[j]
        rest = (mass2 * (pts[j] * pts[j] + mass2s[j]) + mass2s[j] * pt2) / (mtt + ptt)
        half = 2 * mtt * q * (q + 2) + 0.5 * ptt * (dx * dx + dy * dy) + rest
        out[j] = over_s * math.sqrt(mass2 + mass2s[j] + 2 * half)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _event(slots, first, last, met_pt, met_phi, s, c, work, out):  # type: ignore[no-untyped-def]
    """Fill the cells of one event into `out` (W, W), which holds zeros. Returns (0, 0), or a fault and its slot.

    slots: float64 (W - 1, 4); first, last: int (types,) first slot of each type and one after its last, with MET as
    slot 0; work: float64 (9, W), whose last row tells the present slots by a number that is not 0.
    """
    pt, mass2, mt, r, over_r = work[0], work[1], work[2], work[3], work[4]
    cx, cy, et, here = work[5], work[6], work[7], work[8]
    here[:] = 0.0
    if not (math.isfinite(met_pt) and math.isfinite(met_phi)):
        return 1, 0
    if met_pt < 0:
        return 2, 0
    met_x, met_y = math.cos(met_phi), math.sin(met_phi)
    width = len(out)
    for t in range(len(first)):
        before = math.inf
        for k in range(first[t], last[t]):
            p, eta, phi, m = slots[k - 1]
            if not (math.isfinite(p) and math.isfinite(eta) and math.isfinite(phi) and math.isfinite(m)):
                return 1, k
            if p < 0 or p > before:
                return 2, k
            if m < 0:
                return 3, k
            if abs(eta) > MAX_ETA:
                return 4, k
            before = p
            if p == 0:
                continue
            e = math.exp(abs(eta))
            ch, sh = 0.5 * (e + 1 / e), 0.5 * (e - 1 / e)
            m2 = m * m
            mt2 = p * p + m2
            mt_k = math.sqrt(mt2)
            w = (math.sqrt(p * p * ch * ch + m2) + p * sh) / mt_k
            hl = c * (w - 1) * (w - 1) / (2 * w)
            root = math.sqrt(w)
            m_over = m2 / (ch * ch)  # ET^2 - pT^2
            here[k] = 1.0
            pt[k], mass2[k], mt[k] = p, m2, mt_k
            et[k] = math.sqrt(p * p + m_over)
            cx[k], cy[k] = math.cos(phi), math.sin(phi)
            r[k], over_r[k] = (root, 1 / root) if eta >= 0 else (1 / root, root)
            out[k, 0] = hl
            if k == first[t]:
                out[k, k] = et[k] / s
            else:
                out[k, k] = (et[k - 1] - et[k]) / (et[k - 1] + et[k])
            if met_pt > 0:
                dx, dy = cx[k] - met_x, cy[k] - met_y
                more = m_over / (et[k] + p) + 0.5 * p * (dx * dx + dy * dy)  # ET - pT cos(dphi)
                out[0, k] = math.sqrt(m_over + 2 * met_pt * more) / s
    out[0, 0] = met_pt / s
    # Present slots lie side by side in a few runs, in which the loops below have no branch
    i = 1
    while i < width:
        if here[i] == 0.0:
            i += 1
            continue
        start = 1
        while start < width:
            if here[start] == 0.0:
                start += 1
                continue
            stop = start + 1
            while stop < width and here[stop] != 0.0:
                stop += 1
            below, above = min(stop, i), max(start, i + 1)
            if start < below:
                _differences(work, i, start, below, c, out[i, start:below])
            if above < stop:
                _masses(work, i, above, stop, 1 / s, out[i, above:stop])
            start = stop
        i += 1
    return 0, 0


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill(slots, met, first, last, s, c, out):  # type: ignore[no-untyped-def]
    """Matrices of events into `out` (n, W, W). Returns (fault, event, slot)."""
    work = np.empty((9, out.shape[1]))
    for i in range(len(out)):
        out[i] = 0.0
        fault, slot = _event(slots[i], first, last, met[i, 0], met[i, 1], s, c, work, out[i])
        if fault:
            return fault, i, slot
    return 0, 0, 0


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill_sparse(slots, met, first, last, s, c, width, indptr, indices, values):  # type: ignore[no-untyped-def]
    """As `_fill`, into compressed rows that are large enough; indptr (n + 1,) starts with 0."""
    work = np.empty((9, width))
    out = np.empty((width, width), np.float32)
    flat = out.reshape(-1)
    at = 0
    for i in range(len(slots)):
        out[:] = 0.0
        fault, slot = _event(slots[i], first, last, met[i, 0], met[i, 1], s, c, work, out)
        if fault:
            return fault, i, slot
        for k in range(len(flat)):
            if flat[k] != 0.0:
                indices[at], values[at] = k, flat[k]
                at += 1
        indptr[i + 1] = at
    return 0, 0, 0


def slots_of(objects: Objects, layout: Layout, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Objects of some events in the slots of a layout: float64 (m, W - 1, 4), without MET, and MET float64 (m, 2).

    Objects beyond the slots of a type are ignored; raises `InputError` when the objects have fewer than the layout.
    """
    met = np.asarray(objects.met[start:stop], dtype=np.float64)
    slots = np.empty((len(met), layout.width - 1, 4))
    for name, count in layout.counts.items():
        kept = objects[name]
        if kept.shape[1] < count:
            raise InputError("objects", f"slots of type {name}", kept.shape[1], f"at least the {count} of the layout")
        first = layout.starts[name] - 1
        slots[:, first : first + count] = kept[start:stop, :count]
    return slots, met


def _bounds(layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = np.array(list(layout.starts.values()))
    return first, first + np.array(list(layout.counts.values()))


def _checked(s: float) -> float:
    if not (math.isfinite(s) and s > 0):
        raise InputError("matrix", "sqrt_s", s, "a centre-of-mass energy above 0 [GeV]")
    return float(s)


def _check(
    found: tuple[int, int, int], slots: NDArray[np.float64], met: NDArray[np.float64], layout: Layout, start: int
) -> None:
    """Raise what the compiled code found in a block of events that begins with event `start`."""
    fault, event, slot = found
    if fault:
        numbers = ", ".join(f"{x:g}" for x in (met[event] if slot == 0 else slots[event, slot - 1]))
        raise InputError("objects", f"event {start + event}, {layout.names[slot]}", f"({numbers})", _FAULTS[fault])


def matrices(objects: Objects, layout: Layout, sqrt_s: float) -> NDArray[np.float32]:
    """Matrices float32 (n, W, W) of n events, [row, column]. sqrt_s [GeV].

    Raises `InputError` for values that are not finite, a negative pt or mass, or objects out of pt order.
    """
    n, width, s = len(objects), layout.width, _checked(sqrt_s)
    out = np.empty((n, width, width), np.float32)
    for start in range(0, n, BLOCK):
        slots, met = slots_of(objects, layout, start, min(start + BLOCK, n))
        found = _fill(slots, met, *_bounds(layout), s, C, out[start : start + BLOCK])
        _check(found, slots, met, layout, start)
    return out


def sparse(objects: Objects, layout: Layout, sqrt_s: float) -> Sparse:
    """The same cells as `matrices`, only those that are not 0."""
    n, width, s = len(objects), layout.width, _checked(sqrt_s)
    indptr, parts = [np.zeros(1, np.int64)], []
    for start in range(0, n, BLOCK):
        slots, met = slots_of(objects, layout, start, min(start + BLOCK, n))
        room = int(((1 + (slots[..., 0] > 0).sum(axis=1)) ** 2).sum())
        rows, indices, values = np.zeros(len(met) + 1, np.int64), np.empty(room, np.uint16), np.empty(room, np.float32)
        found = _fill_sparse(slots, met, *_bounds(layout), s, C, width, rows, indices, values)
        _check(found, slots, met, layout, start)
        parts.append((indices[: rows[-1]].copy(), values[: rows[-1]].copy()))
        indptr.append(rows[1:] + indptr[-1][-1])
    empty = (np.empty(0, np.uint16), np.empty(0, np.float32))
    indices, values = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return Sparse(np.concatenate(indptr), indices, values)


def dense(rows: Sparse, layout: Layout, cells: NDArray[np.integer[Any]] | None = None) -> NDArray[np.float32]:
    """Rows float32 (n, cells) of sparse matrices: all W * W cells, or the flat indices given, in their order."""
    n, total = len(rows.indptr) - 1, layout.width**2
    event = np.repeat(np.arange(n), np.diff(rows.indptr))
    if cells is None:
        out = np.zeros((n, total), np.float32)
        out[event, rows.indices] = rows.values
        return out
    cells = np.asarray(cells)
    if cells.ndim != 1 or cells.dtype.kind not in "iu" or ((cells < 0) | (cells >= total)).any():
        raise InputError("matrix", "cells", cells.tolist()[:10], f"flat indices from 0 to {total - 1}")
    place = np.full(total, -1)
    place[cells] = np.arange(len(cells))
    if (place >= 0).sum() != len(cells):
        raise InputError("matrix", "cells", "a list with repetitions", "each cell once")
    column = place[rows.indices]
    kept = column >= 0
    out = np.zeros((n, len(cells)), np.float32)
    out[event[kept], column[kept]] = rows.values[kept]
    return out
