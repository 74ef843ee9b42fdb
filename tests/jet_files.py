"""Files of particles and jets for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ad40 import dataframe, hdf5
from offline.jets.jets import COLUMNS, Jets, starts_of


def random_jets(n: int, seed: int = 1, largest: int = 60) -> Jets:
    """Valid jets with 1 to `largest` constituents around their axes; two in each event. Not of any physics."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, largest + 1, n)
    offsets = starts_of(counts)
    owner = np.repeat(np.arange(n), counts)
    axis = np.stack([np.zeros(n), rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)], axis=1)[owner]
    pt = rng.exponential(30, len(owner)) + 0.5
    pt = pt[np.lexsort((-pt, owner))]
    x = axis + np.stack([pt, *rng.normal(0, 0.3, (2, len(owner)))], axis=1)
    x[:, 2] = (x[:, 2] + np.pi) % (2 * np.pi) - np.pi
    px, py, pz = x[:, 0] * np.cos(x[:, 2]), x[:, 0] * np.sin(x[:, 2]), x[:, 0] * np.sinh(x[:, 1])
    px, py, pz, e = (np.add.reduceat(c, offsets[:-1]) for c in (px, py, pz, x[:, 0] * np.cosh(x[:, 1])))
    table = np.zeros((n, len(COLUMNS)), np.float32)
    jet_pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(e**2 - jet_pt**2 - pz**2, 0))
    table[:, :4] = np.stack([jet_pt, np.arcsinh(pz / jet_pt), np.arctan2(py, px), mass], axis=1)
    table[:, 4:] = rng.random((n, len(COLUMNS) - 4))
    event, which = np.arange(n) // 2, (np.arange(n) % 2).astype(np.int8)
    return Jets(offsets, x.astype(np.float32), table, event, which, (event % 2).astype(np.int8))


def event_rows(jets: Jets, events: int, label: bool = True) -> np.ndarray:
    """Rows of an events file (events, 2100 or 2101) with the constituents of the jets as particles."""
    rows = np.zeros((events, 2100 + label))
    slots = np.zeros((events, 700, 3))
    event = jets.event[jets.owner]
    order = np.lexsort((-jets.constituents[:, 0], event))
    rank = np.arange(len(event)) - np.searchsorted(event[order], event[order])
    slots[event[order], rank] = jets.constituents[order]
    rows[:, :2100] = slots.reshape(events, 2100)
    if label:
        rows[jets.event, -1] = np.maximum(jets.label, 0)
    return rows


def write_frame(path: Path, rows: np.ndarray, columns: Any = None, dtype: Any = np.float64) -> Path:
    """A data frame of these rows."""
    with hdf5.create(path) as file:
        columns = range(rows.shape[1]) if columns is None else columns
        writer = dataframe.Writer(file, columns, len(rows), dtype)
        writer.add(rows)
        writer.finish()
    return path
