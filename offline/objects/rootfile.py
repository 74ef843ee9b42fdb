"""Branches of ROOT trees, by uproot, as numpy arrays."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError, MissingTool
from offline.objects.collection import pad
from offline.objects.source import Source, unreadable


@dataclass(frozen=True)
class Ragged:
    """A list per event: number (n,) values of each, values (sum of number,) one event after the other."""

    name: str
    number: NDArray[np.int64]
    values: NDArray[Any]


def open_root(path: Path) -> Any:
    """An open ROOT file; `InputError` when it is none, `MissingTool` without uproot."""
    try:
        import uproot
    except ImportError as error:
        raise MissingTool("the package 'uproot'", "`pip install 'ad40[offline]'` reads ROOT files") from error
    if not path.exists():
        raise InputError(path, "file", "missing", "a ROOT file")
    with unreadable(path, "file", RootSource.errors, "a complete ROOT file"):
        return uproot.open(path)


class RootSource(Source):
    """A tree of a ROOT file, read in ranges of entries. Subclasses name the tree and its branches."""

    tree_name = ""
    errors = (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, NotImplementedError, struct.error,
              zlib.error)  # fmt: skip
    """What uproot raises on files that are damaged or hold something else."""

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(path, counts)
        self._root = self._open.enter_context(open_root(self.path))
        with self.closed_on_error(), unreadable(self.path, "file", self.errors, "a complete ROOT file"):
            if self.tree_name not in self._root:
                names = ", ".join(self._root.keys(cycle=False)[:8]) or "nothing"
                raise InputError(self.path, "content", names, f"a tree '{self.tree_name}'")
            self._tree = self._root[self.tree_name]
            self.branches = {branch.name: branch for branch in self._tree.branches}
            self.n = int(self._tree.num_entries)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the file when the body fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def require(self, names: Iterable[str], of: str) -> None:
        """`InputError` naming the branches that are missing."""
        missing = [name for name in names if name not in self.branches]
        if missing:
            raise InputError(self.path, f"tree {self.tree_name}", f"without {', '.join(missing)}", f"branches of {of}")

    def interpretation(self, branch: Any) -> Any:
        """How uproot reads a branch."""
        return branch.interpretation

    def chunks(self, names: Sequence[str], size: int) -> Iterator[tuple[int, Any]]:
        """(first entry, awkward records of these branches) over the tree, each basket read once."""
        how = {name: self.interpretation(self.branches[name]) for name in names}
        steps = self._tree.iterate(how, step_size=size, library="ak")
        first = 0
        while first < self.n:
            where = f"entries {first} to {min(first + size, self.n)}"
            with unreadable(self.path, where, self.errors, "branches of numbers in a complete file"):
                records = next(steps, None)
            if records is None:
                return
            yield first, records
            first += len(records)

    def flat(self, records: Any, name: str) -> NDArray[Any]:
        """One number per event, (n,)."""
        with unreadable(self.path, name, self.errors, "one number per event"):
            values = np.asarray(records[name])
            if values.ndim != 1 or values.dtype.kind not in "iufb":
                raise InputError(self.path, name, f"{values.dtype} of shape {values.shape}", "one number per event")
            return values

    def ragged(self, records: Any, name: str) -> Ragged:
        """A list of numbers per event."""
        import awkward as ak

        array = records[name]
        with unreadable(self.path, name, self.errors, "a list of numbers per event"):
            if array.ndim != 2:
                raise InputError(self.path, name, f"of {array.ndim} dimensions", "a list of numbers per event")
            return Ragged(name, np.asarray(ak.num(array), np.int64), np.asarray(ak.flatten(array)))


def join(
    parts: Sequence[Ragged],
    path: Path,
    first: int,
    mass: float | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Objects float32 (n, largest number, 4) of branches pt, eta, phi and, unless `mass` is given for all, mass.

    keep: which objects to take, (sum of number,). first: the entry of the first event, for messages. Raises
    `InputError` when branches have lists of different lengths.
    """
    number = parts[0].number
    for part in parts[1:]:
        wrong = np.flatnonzero(part.number != number)
        if len(wrong):
            row = int(wrong[0])
            raise InputError(path, f"event {first + row}, {part.name}", f"{part.number[row]} values",
                             f"{number[row]} as in {parts[0].name}")  # fmt: skip
    flat = np.empty((len(parts[0].values), 4), np.float32)
    for k, part in enumerate(parts):
        flat[:, k] = part.values
    if mass is not None:
        flat[:, 3] = mass
    if keep is not None:
        event = np.repeat(np.arange(len(number)), number)
        number, flat = np.bincount(event[keep], minlength=len(number)), flat[keep]
    return pad(number, flat, int(number.max(initial=0)))
