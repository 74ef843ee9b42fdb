"""What is known of a jet as a whole: the high-level features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets.jets import COLUMNS, Jets

DERIVED = ("tau21", "tau32", "constituents")
DEFAULT = ("mass", "tau1", "tau21", "tau32", "constituents")
"""Of the models on high-level features; not pt, which follows the trigger and the mass of the pair."""

CLIP = 6.0  # scaled features beyond this many widths stand there: no single jet decides a training

Floats = NDArray[np.float64]


def features(jets: Jets, names: Sequence[str] = DEFAULT) -> Floats:
    """Features float64 (n, len(names)): columns of the jets file, tau21, tau32, constituents (their number).

    Raises `InputError` on an unknown name, or where a feature is not known (NaN, as in a file without constituents).
    """
    known = (*COLUMNS, *DERIVED)
    columns = []
    for name in names:
        if name not in known:
            raise InputError("features", "name", repr(name), "one of " + ", ".join(known))
        if name == "constituents":
            column = jets.counts.astype(np.float64)
        elif name in DERIVED:
            column = jets.ratio(int(name[3]), int(name[4])).astype(np.float64)
        else:
            column = jets.column(name).astype(np.float64)
        bad = ~np.isfinite(column) if name != "constituents" else column == 0
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError("jets", f"{name} of jet {row}", "not known", "a number; or features without it")
        columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((len(jets), 0))


def scale_of(x: Floats) -> Floats:
    """Middle and width (2, k) of features: median, and half of what holds the central 68 %; 1 for a constant."""
    low, middle, high = np.quantile(x, (0.16, 0.5, 0.84), axis=0)
    width = (high - low) / 2
    return np.stack([middle, np.where(width > 0, width, 1.0)])


def scaled(x: Floats, scale: Floats) -> NDArray[np.float32]:
    """Features in units of their width, within `CLIP`."""
    return np.clip((x - scale[0]) / scale[1], -CLIP, CLIP).astype(np.float32)
