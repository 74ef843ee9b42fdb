"""The jets file: large-radius jets with their constituents, of any length, and nothing else that a model needs.

HDF5 with n jets of m constituents in all; jets stand in the order of their events, and of pt within an event:

    offsets        int64 (n + 1,)   jet i has the constituents offsets[i] to offsets[i + 1] - 1, in falling pt
    constituents   float32 (m, 3)   pt [GeV], eta, phi [rad, in (-pi, pi]], massless
    jet            float32 (n, 9)   `COLUMNS`: pt, eta, phi, mass of the jet; tau1, tau2, tau3; mass after soft drop,
                                    mass after trimming. NaN in the last five: not known (a file of features)
    event          int64 (n,)       number of its event in the source, from 0, never falling
    which          int8 (n,)        rank by pt within its event, from 0
    label          int8 (n,)        1 signal, 0 background, -1 not known; of the whole event

The attribute `jets` is a JSON document: version, jets, constituents, events (read, with or without jets), stand_in
(True when the events come from this project's generator, None when not known), sources [{file, sha256, kind}], and
how they were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import InputError
from ad40.files import file_hash

VERSION = 1
ATTRIBUTE = "jets"
COLUMNS = ("pt", "eta", "phi", "mass", "tau1", "tau2", "tau3", "msd", "mtrim")
UNKNOWN, BACKGROUND, SIGNAL = -1, 0, 1

_ROWS = 1 << 14  # jets of a compressed piece
_ENTRIES = 1 << 16  # constituents of a compressed piece
_TYPES: dict[str, Any] = {
    "offsets": np.int64,
    "constituents": np.float32,
    "jet": np.float32,
    "event": np.int64,
    "which": np.int8,
    "label": np.int8,
}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Jets:
    """n jets; arrays as in the file (see the module). `offsets` starts at 0."""

    offsets: NDArray[np.int64]
    constituents: Floats
    jet: Floats
    event: NDArray[np.int64]
    which: NDArray[np.int8]
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.jet)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of constituents of each jet. int64 (n,)."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """The jet of each constituent. int64 (m,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def column(self, name: str) -> Floats:
        """One of `COLUMNS`. float32 (n,)."""
        return self.jet[:, COLUMNS.index(name)]

    def ratio(self, high: int, low: int) -> Floats:
        """N-subjettiness ratio tau_high / tau_low; 0 where tau_low is 0 (fewer particles than axes). float32 (n,)."""
        over, under = self.column(f"tau{high}"), self.column(f"tau{low}")
        return np.divide(over, under, out=np.where(np.isnan(under), under, 0), where=under > 0)

    def take(self, index: NDArray[Any] | slice) -> Jets:
        """The jets of a boolean mask, a list of numbers or a slice, in that order."""
        chosen = np.arange(len(self))[index]
        counts = self.counts[chosen]
        offsets = starts_of(counts)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], counts)
        rest = (getattr(self, name)[chosen] for name in ("jet", "event", "which", "label"))
        return Jets(offsets, self.constituents[rows], *rest)

    @staticmethod
    def concatenate(parts: Iterable[Jets]) -> Jets:
        """Join several sets; the event numbers stay as they are."""
        parts = [empty(), *parts]
        joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Jets)}
        joined["offsets"] = starts_of(np.concatenate([p.counts for p in parts]))
        return Jets(**joined)

    def four_momenta(self) -> NDArray[np.float64]:
        """px, py, pz, E [GeV] of the jets from pt, eta, phi and mass. float64 (n, 4)."""
        pt, eta, phi, mass = self.jet[:, :4].T.astype(np.float64)
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        return np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)], axis=1)

    def pairs(self) -> NDArray[np.int64]:
        """The two leading jets of each event that has two: numbers of the jets. int64 (k, 2)."""
        second = np.flatnonzero((self.which[1:] == 1) & (self.which[:-1] == 0) & (self.event[1:] == self.event[:-1]))
        return np.stack([second, second + 1], axis=1)

    def dijet_mass(self) -> NDArray[np.float64]:
        """Invariant mass [GeV] of the `pairs`. float64 (k,)."""
        p = self.four_momenta()[self.pairs()].sum(axis=1)
        return np.sqrt(np.maximum(p[:, 3] ** 2 - (p[:, :3] ** 2).sum(axis=1), 0.0))


def starts_of(counts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Offsets (n + 1,) of lists of the given lengths (n,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def empty() -> Jets:
    """No jets."""
    none = np.zeros(0, np.int8)
    floats = (np.zeros((0, 3), np.float32), np.zeros((0, len(COLUMNS)), np.float32))
    return Jets(np.zeros(1, np.int64), *floats, np.zeros(0, np.int64), none, none)


def check(jets: Jets, source: str | Path = "jets") -> Jets:
    """The same jets, when they are as the module says.

    Raises `InputError` naming the jet: shapes, offsets, NaN or infinities, pt that is not above 0, events that fall,
    ranks and labels out of range.
    """
    n, m = len(jets), len(jets.constituents)
    for name, shape in _shapes(n, m).items():
        array = getattr(jets, name)
        if array.shape != shape or array.dtype != _TYPES[name]:
            expected = f"{np.dtype(_TYPES[name]).name} of shape {shape}"
            raise InputError(source, name, f"{array.dtype} of shape {array.shape}", expected)
    if jets.offsets[0] != 0 or jets.offsets[-1] != m or (jets.counts < 0).any():
        raise InputError(source, "offsets", f"{jets.offsets[0]} to {jets.offsets[-1]}", f"0 to {m}, never falling")
    faults: list[tuple[str, NDArray[np.bool_], str]] = [
        ("pt, eta, phi, mass", ~np.isfinite(jets.jet[:, :4]).all(axis=1), "finite numbers"),
        ("pt", ~(jets.column("pt") > 0), "above 0 GeV"),
        ("mass", ~(jets.column("mass") >= 0), "at least 0 GeV"),
        ("substructure", (jets.jet[:, 4:] < 0).any(axis=1) | np.isinf(jets.jet[:, 4:]).any(axis=1), "at least 0"),
        ("event", np.diff(jets.event, prepend=jets.event[:1]) < 0, "numbers that never fall"),
        ("event", jets.event < 0, "at least 0"),
        ("which", jets.which < 0, "at least 0"),
        ("label", (jets.label < UNKNOWN) | (jets.label > SIGNAL), "1, 0 or -1 (not known)"),
    ]
    bad = ~(np.isfinite(jets.constituents).all(axis=1) & (jets.constituents[:, 0] > 0))
    faults.append(("constituents", _any_of(bad, jets.offsets), "finite numbers, pt above 0"))
    for name, wrong, expected in faults:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputError(source, f"{name} of jet {row}", _shown(jets, name, row), expected)
    return jets


def _shapes(n: int, m: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays of n jets with m constituents."""
    rows = {"offsets": n + 1, "constituents": m}
    width: dict[str, tuple[int, ...]] = {"constituents": (3,), "jet": (len(COLUMNS),)}
    return {name: (rows.get(name, n), *width.get(name, ())) for name in _TYPES}


def _any_of(flags: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.diff(total[offsets]) > 0


def _shown(jets: Jets, name: str, row: int) -> object:
    if name == "constituents":
        return jets.constituents[jets.offsets[row] : jets.offsets[row + 1]].tolist()[:8]
    if name in ("event", "which", "label"):
        return getattr(jets, name)[row]
    return jets.jet[row].tolist()


def write(path: str | Path, blocks: Iterable[Jets], about: Mapping[str, Any]) -> dict[str, Any]:
    """Write a jets file, whole or not at all, as the blocks come. Returns its JSON document.

    blocks: in the order of their events. about: what else the document shall say; `events`, `sources` and `stand_in`
    are required; a mapping that is filled while the blocks are made is read at the end.
    Raises `InputError` when a block is faulty or the events fall from one block to the next.
    """
    with hdf5.create(path) as file:
        data = {name: _dataset(file, name) for name in _TYPES}
        data["offsets"].resize(1, axis=0)
        n = m = last = 0
        for block in blocks:
            check(block, path)
            if not len(block):
                continue
            if block.event[0] < last:
                raise InputError(path, f"event of jet {n}", block.event[0], f"at least {last}, of the jet before")
            last = int(block.event[-1])
            for name, dataset in data.items():
                array = getattr(block, name)
                array = array[1:] + m if name == "offsets" else array
                old = len(dataset)
                dataset.resize(old + len(array), axis=0)
                dataset[old:] = array
            n, m = n + len(block), m + len(block.constituents)
        document = {"version": VERSION, "columns": COLUMNS, "jets": n, "constituents": m, **about}
        missing = {"events", "sources", "stand_in"} - document.keys()
        if missing or (n and document["events"] <= last):
            raise InputError(path, "document", f"without {missing or last + 1} events", "events, sources and stand_in")
        file.attrs[ATTRIBUTE] = json.dumps(document, allow_nan=False)
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    width = _shapes(0, 0)[name][1:]
    rows = _ENTRIES if name == "constituents" else _ROWS
    options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    # columns one by one in the chunks: a column is read alone, and alike numbers compress better
    chunks = (rows, *(1 for _ in width))
    return file.create_dataset(name, (0, *width), _TYPES[name], maxshape=(None, *width), chunks=chunks, **options)


class JetsFile:
    """An open jets file. n jets, `events` events, attributes: its JSON document."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = hdf5.open_file(path)
        try:
            self.attributes = self._document()
        except BaseException:
            self._file.close()
            raise
        self.n: int = self.attributes["jets"]
        self.events: int = self.attributes["events"]
        self._sha256 = ""

    def _document(self) -> dict[str, Any]:
        if ATTRIBUTE not in self._file.attrs:
            raise InputError(self.path, f"attribute '{ATTRIBUTE}'", "missing", "a jets file (ad40 jets cluster)")
        try:
            document = json.loads(self._file.attrs[ATTRIBUTE])
            version, n, m = (int(document[key]) for key in ("version", "jets", "constituents"))
            int(document["events"])
        except (TypeError, ValueError, KeyError) as error:
            where = f"attribute '{ATTRIBUTE}'"
            raise InputError(self.path, where, f"malformed ({error})", "a JSON document") from error
        if version != VERSION:
            raise InputError(self.path, "version", version, f"{VERSION}")
        for name, shape in _shapes(n, m).items():
            kind = np.dtype(_TYPES[name])
            if name not in self._file or self._file[name].shape != shape or self._file[name].dtype != kind:
                raise InputError(self.path, name, "missing or of another shape or type", f"{kind} {shape}")
        return dict(document)

    @property
    def sha256(self) -> str:
        """Of the file's bytes; computed once."""
        self._sha256 = self._sha256 or file_hash(self.path)
        return self._sha256

    def read(self, start: int = 0, stop: int | None = None) -> Jets:
        """Jets start to stop - 1 (default: all)."""
        stop = self.n if stop is None else stop
        if not 0 <= start <= stop <= self.n:
            raise InputError(self.path, "jets", f"{start} to {stop}", f"within 0 to {self.n}")
        offsets = self._file["offsets"][start : stop + 1]
        constituents = self._file["constituents"][int(offsets[0]) : int(offsets[-1])]
        rest = (self._file[name][start:stop] for name in ("jet", "event", "which", "label"))
        return check(Jets(offsets - offsets[0], constituents, *rest), self.path)

    def blocks(self, size: int = 20_000) -> Iterator[Jets]:
        """All jets, at most `size` at a time. An event may lie in two blocks: its number tells."""
        for start in range(0, self.n, size):
            yield self.read(start, min(start + size, self.n))

    def column(self, name: str) -> NDArray[Any]:
        """A column of all jets without their constituents: one of `COLUMNS`, or event, which, label. (n,)."""
        if name in COLUMNS:
            return np.asarray(self._file["jet"][:, COLUMNS.index(name)])
        return np.asarray(self._file[name][:])

    def table(self) -> Jets:
        """All jets without their constituents: for masses, labels and whatever needs no particles."""
        rest = (self._file[name][:] for name in ("jet", "event", "which", "label"))
        return Jets(np.zeros(self.n + 1, np.int64), np.zeros((0, 3), np.float32), *rest)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> JetsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_jets(path: str | Path) -> JetsFile:
    """Open a jets file. Raises `InputError` on a file that is missing, incomplete, or no jets file."""
    return JetsFile(path)
