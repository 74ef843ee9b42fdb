"""Events as models of the 57 inputs read them: hardware codes, and the same standardised.

Whatever reads triggered events here reads `Inputs`: of an event file of `ad40 generate`, of a published one, or of a
TriggerRecord. The codes are what the trigger saw, so that nothing found in them asks for more than it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.errors import InputError
from ad40.events import open_events
from ad40.split import part_of

ALL = "all"


@dataclass(frozen=True, eq=False)
class Inputs:
    """n events. codes int16 (n, 19, 3); row int64 (n,): where in the file; parent int64 (n,): events that share a hard
    process share it, others have their row; process uint8 (n,): number in `processes`, 0 where the file has none.

    processes: name, cross-section [pb] and filter efficiency of each number, as the file says; empty where it does not.
    """

    codes: NDArray[np.int16]
    row: NDArray[np.int64]
    parent: NDArray[np.int64]
    process: NDArray[np.uint8]
    processes: dict[int, dict[str, float | str]]
    source: Path

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Inputs:
        """The events of these rows."""
        arrays = (a[rows] for a in (self.codes, self.row, self.parent, self.process))
        return Inputs(*arrays, self.processes, self.source)

    def one_of_each_parent(self) -> Inputs:
        """The first event of each parent: independent events, whose counts fluctuate as Poisson's do."""
        return self.take(np.sort(np.unique(self.parent, return_index=True)[1]))


def read(path: str | Path, part: str = ALL, limit: int | None = None) -> Inputs:
    """Events of a file of any kind, at most its first `limit`; of them the train, validation or test part, or all.

    Raises `InputError` on an unreadable file, and when nothing is left.
    """
    path = Path(path)
    with open_events(path) as file:
        n = file.n if limit is None else min(file.n, limit)
        codes = np.empty((n, objects.N_OBJECTS, objects.N_FEATURES), np.int16)
        for start, block in file.chunks(stop=n):
            codes[start : start + len(block)] = block
        row = np.arange(n)
        parent = file.column("parent", 0, n).astype(np.int64) if "parent" in file.columns else row
        process = file.column("process", 0, n).astype(np.uint8) if "process" in file.columns else np.zeros(n, np.uint8)
        described = file.attributes.get("processes", {})
    processes = {int(p.get("code", i)): {"name": name, **p} for i, (name, p) in enumerate(described.items())}
    found = Inputs(codes, row, parent, process, processes, path)
    if part != ALL:
        found = found.take(part_of(parent, part))
    if not len(found):
        raise InputError(path, f"events of the part '{part}'", 0, "at least one")
    return found


def physical(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """pt [GeV], eta, phi [rad] of the objects of codes (n, 19, 3): float32 (n, 19, 3); 0 where there is none."""
    return objects.decode(codes)


def standardised(codes: NDArray[np.integer], rotated: bool = True) -> NDArray[np.float32]:
    """The 57 inputs of codes (n, 19, 3) for a network: float32 (n, 57), all 0 where there is no object.

    asinh(pt / 20 GeV) / 2, eta / 2, and phi / 2, so that all are of order one with no number learnt from a sample; with
    `rotated` phi is the angle to MET, wrapped to -pi..pi: nothing in a collision prefers a direction around the beam.
    MET's own phi is 0 then, and events without MET keep theirs.
    """
    events = physical(codes)
    here = events[..., 0] > 0
    phi = events[..., 2]
    if rotated:
        phi = np.where(here[:, [0]], (phi - phi[:, [0]] + np.pi) % (2 * np.pi) - np.pi, phi)
    columns = np.stack([np.arcsinh(events[..., 0] / 20) / 2, events[..., 1] / 2, phi / 2], axis=-1)
    return np.where(here[..., None], columns, 0).reshape(len(events), -1).astype(np.float32)


def names() -> Sequence[str]:
    """Names of the 57 inputs, `jet1_pt` and so on, in their order."""
    found = []
    for kind in spec.objects().types:
        count = kind.slots.stop - kind.slots.start
        for i in range(count):
            label = kind.name if count == 1 else f"{kind.name}{i + 1}"
            found += [f"{label}_{feature}" for feature in ("pt", "eta", "phi")]
    return found
