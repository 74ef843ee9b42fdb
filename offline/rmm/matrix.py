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


_compiled = numba.njit(cache=True, error_model="numpy", nogil=True)
_ROWS = 9  # of the work space: pt, m^2, mT, r, 1/r, cos(phi), sin(phi), ET, present


@_compiled
def _objects(slots, first, last, met_pt, met_phi, over_s, c, work, out):  # type: ignore[no-untyped-def]
    """Fill the cells of single objects into `out` (W, W), and what pairs need into `work` (_ROWS, W).

    slots: float64 (W - 1, 4); first, last: int (types,) first slot of each type and one after its last, with MET as
    slot 0. Returns (0, 0), or a fault and its slot.
    """
    pt, mass2, mt, r, over_r = work[0], work[1], work[2], work[3], work[4]
    cx, cy, et, present = work[5], work[6], work[7], work[8]
    present[:] = 0.0
    if not (math.isfinite(met_pt) and math.isfinite(met_phi)):
        return 1, 0
    if met_pt < 0:
        return 2, 0
    met_x, met_y = math.cos(met_phi), math.sin(met_phi)
    out[0, 0] = met_pt * over_s
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
            over_e = 1 / e
            ch, sh = 0.5 * (e + over_e), 0.5 * (e - over_e)
            m2 = m * m
            pt[k], mass2[k], mt[k], present[k] = p, m2, math.sqrt(p * p + m2), 1.0
            w = (math.sqrt(p * p * ch * ch + m2) + p * sh) / mt[k]
            root = math.sqrt(w)
            over_root = 1 / root
            r[k], over_r[k] = (root, over_root) if eta >= 0 else (over_root, root)
            cx[k], cy[k] = math.cos(phi), math.sin(phi)
            out[k, 0] = 0.5 * c * (w - 1) * (w - 1) * over_root * over_root
            difference = m2 / (ch * ch)  # ET^2 - pT^2
            et[k] = math.sqrt(p * p + difference)
            out[k, k] = et[k] * over_s if k == first[t] else (et[k - 1] - et[k]) / (et[k - 1] + et[k])
            if met_pt > 0:
                dx, dy = cx[k] - met_x, cy[k] - met_y
                more = difference / (et[k] + p) + 0.5 * p * (dx * dx + dy * dy)  # ET - pT cos(dphi)
                out[0, k] = math.sqrt(difference + 2 * met_pt * more) * over_s
    return 0, 0


@_compiled
def _pairs(over_s, c, work, out):  # type: ignore[no-untyped-def]
    """Fill the cells of pairs of present objects into `out` (W, W), from what `_objects` left in `work`."""
    pt, mass2, mt, r, over_r = work[0], work[1], work[2], work[3], work[4]
    cx, cy, present = work[5], work[6], work[8]
    width = len(out)
    for i in range(1, width):
        if present[i] == 0.0:
            continue
        row = out[i]
        p, p2, m2, mt_i, r_i, over_r_i, cx_i, cy_i = pt[i], pt[i] ** 2, mass2[i], mt[i], r[i], over_r[i], cx[i], cy[i]
        start = 1
        while start < width:
            if present[start] == 0.0:
                start += 1
                continue
            stop = start + 1  # present slots lie side by side in a few runs: no branch inside
            while stop < width and present[stop] != 0.0:
                stop += 1
            # Unsigned indices: no test for negative ones, so that the compiler makes vector instructions of the loops
            for j in range(np.uint64(start), np.uint64(min(stop, i))):
                d = r_i - r[j]
                row[j] = 0.5 * c * d * d * over_r_i * over_r[j]
            for j in range(np.uint64(max(start, i + 1)), np.uint64(stop)):
                d, dx, dy = r_i - r[j], cx_i - cx[j], cy_i - cy[j]
                q = 0.5 * d * d * over_r_i * over_r[j]
                mtt, ptt = mt_i * mt[j], p * pt[j]
                rest = (m2 * (pt[j] * pt[j] + mass2[j]) + mass2[j] * p2) / (mtt + ptt)
                half = 2 * mtt * q * (q + 2) + 0.5 * ptt * (dx * dx + dy * dy) + rest
                row[j] = over_s * math.sqrt(m2 + mass2[j] + 2 * half)
            start = stop


@_compiled
def _fill(slots, met, first, last, s, c, out):  # type: ignore[no-untyped-def]
    """Matrices of events into `out` (n, W, W). Returns (fault, event, slot)."""
    work = np.empty((_ROWS, out.shape[1]))
    for i in range(len(out)):
        out[i] = 0.0
        fault, slot = _objects(slots[i], first, last, met[i, 0], met[i, 1], 1 / s, c, work, out[i])
        if fault:
            return fault, i, slot
        _pairs(1 / s, c, work, out[i])
    return 0, 0, 0


@_compiled
def _fill_sparse(slots, met, first, last, s, c, indptr, indices, values):  # type: ignore[no-untyped-def]
    """As `_fill`, into compressed rows with room for one cell more than there are; indptr (n + 1,) starts with 0."""
    width = slots.shape[1] + 1
    work = np.empty((_ROWS, width))
    out = np.empty((width, width), np.float32)
    flat = out.reshape(-1)
    at = 0
    for i in range(len(slots)):
        out[:] = 0.0
        fault, slot = _objects(slots[i], first, last, met[i, 0], met[i, 1], 1 / s, c, work, out)
        if fault:
            return fault, i, slot
        _pairs(1 / s, c, work, out)
        for k in range(len(flat)):
            # Written always, kept where not 0: a branch would be guessed wrong too often
            indices[at], values[at] = k, flat[k]
            at += flat[k] != 0.0
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
    n, s = len(objects), _checked(sqrt_s)
    indptr, parts = [np.zeros(1, np.int64)], []
    for start in range(0, n, BLOCK):
        slots, met = slots_of(objects, layout, start, min(start + BLOCK, n))
        room = 1 + int(((1 + (slots[..., 0] > 0).sum(axis=1)) ** 2).sum())
        rows, indices, values = np.zeros(len(met) + 1, np.int64), np.empty(room, np.uint16), np.empty(room, np.float32)
        found = _fill_sparse(slots, met, *_bounds(layout), s, C, rows, indices, values)
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
