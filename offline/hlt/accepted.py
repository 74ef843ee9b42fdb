"""Events that the trigger accepted, as the stage is calibrated and judged on: a part of a TriggerRecord in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hlt
from ad40.errors import InputError
from ad40.events import EventFile, open_events
from ad40.files import file_hash
from ad40.split import TENTHS
from offline import inputs

PARTS = (inputs.ALL, *TENTHS)


@dataclass(frozen=True, eq=False)
class Accepted:
    """n events. codes int16 (n, 19, 3); parent int64, run uint32, event int64, hw_score int32 (n,)."""

    path: Path
    sha256: str
    part: str
    codes: NDArray[np.int16]
    parent: NDArray[np.int64]
    run: NDArray[np.uint32]
    event: NDArray[np.int64]
    hw_score: NDArray[np.int32]
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.codes)


def open_record(path: Path) -> EventFile:
    """Open a TriggerRecord that no high-level stage has read. Raises `InputError` on another file."""
    file = open_events(path)
    if not isinstance(file, EventFile) or file.kind != "record":
        file.__exit__(None, None, None)
        raise InputError(path, "kind", file.kind, "a TriggerRecord (ad40 trigger)")
    if hlt.KEY in file.attributes:
        file.__exit__(None, None, None)
        raise InputError(path, hlt.KEY, "there already", "a record that no high-level stage has read")
    return file


def read(path: Path, part: str = inputs.ALL) -> Accepted:
    """The events of a record, or those of a part of it. Raises `InputError`; a part needs the column `parent`."""
    with open_record(path) as file:
        if part != inputs.ALL and "parent" not in file.columns:
            columns = ", ".join(file.columns)
            raise InputError(path, "columns", columns, f"'parent', which says what is in the part '{part}'")
        columns = {name: file.column(name) for name in ("run", "event", "hw_score")}
        attributes = file.attributes
    found = inputs.read(path, part)
    taken = {name: column[found.row] for name, column in columns.items()}
    return Accepted(path, file_hash(path), part, found.codes, found.parent, attributes=attributes, **taken)
