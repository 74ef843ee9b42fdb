"""Files in the layout of the public CMS Level-1 data set, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40 import spec
from ad40.l1data import OBJECTS

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra l1)")


def jagged(rows: list[np.ndarray]) -> Any:
    """A column of lists."""
    return arrow.array([row.tolist() for row in rows], type=arrow.large_list(arrow.int16()))


def write(path: Path, codes: np.ndarray, rng: np.random.Generator, group: int = 97, **changes: Any) -> np.ndarray:
    """Write codes as the published files hold them, `changes` in place of columns (None: without it); returns the rows
    that are to be kept."""
    import pyarrow.parquet

    n, columns = len(codes), {}
    for kind in spec.objects().types:
        part = codes[:, kind.slots]
        rows = [part[i][part[i, :, 0] > 0] for i in range(n)]
        if kind.name == "muon":
            rows = [row[rng.permutation(len(row))] for row in rows]
        if kind.name == "met":
            rows = list(part)
        for feature, name in enumerate(OBJECTS[kind.name]):
            if name is not None:
                columns[name] = jagged([row[:, feature] for row in rows])
    order = np.where(rng.random(n) < 0.1, -1, np.arange(n))
    columns |= {
        "run": arrow.array(np.full(n, 398183, np.uint32)), "lumi": arrow.array((np.arange(n) // 50).astype(np.uint32)),
        "nPV_True": arrow.array(rng.integers(3, 99, n, dtype=np.int32)), "label": arrow.array(np.zeros(n, np.int32)),
        "L1bit": arrow.array(rng.random(n) < 0.01), "order": arrow.array(order),
    }  # fmt: skip
    columns |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(
        arrow.table({name: column for name, column in columns.items() if column is not None}),
        path,
        row_group_size=group,
    )
    return np.flatnonzero(order != -1) if "order" not in changes else np.arange(n)
