"""The event table: everything of a sample that the search needs, one row for each selected event.

`write` makes it once from event files of any kind; whatever comes later (networks, spectra, classes) reads only this.
HDF5 with n rows:

    rmm/indptr     int64 (n + 1,)    event i has the cells indptr[i] to indptr[i+1] - 1 of
    rmm/indices    uint16            row * width + column of a cell of its rapidity-mass matrix that is not 0, and
    rmm/values     float32           what it holds (`offline.rmm.matrix`)
    masses         float32 (n, M)    [GeV], NaN where an object of the mass is absent
    streams        uint32 (n,)       bit k: the event is in the k-th stream; each event is in one at least
    columns/NAME   (n,)              run, lumi, event, weight, pileup, and those that all the files have (hw_score,
                                     process, ...); source (which of the files), and of the objects after cuts: met
                                     [GeV], ystar, n_jet, n_bjet, ... (how many, at most the slots)

The attribute `table` is a JSON document: version, events, sqrt_s [GeV], counts (slots of each type), streams, spectra,
cuts, cutflow [[name, events, sum of weights]], copies_dropped, saturated_left_out {spectrum: events whose mass is only
a lower bound}, cross_section_pb (of the events read, None if unknown),
sources (`offline.objects.source.Source.attributes` of each file), recipe (a hash of all that decides the content).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash, sha256_of
from ad40.progress import Progress
from offline.objects.collection import TYPES, Objects
from offline.objects.selection import CutFlow, Cuts, checked_streams, select
from offline.objects.source import Source
from offline.objects.spectra import Spectrum, masses, saturated, spectrum, ystar
from offline.rmm import matrix
from offline.rmm.layout import Layout

VERSION = 1
ATTRIBUTE = "table"
MAX_STREAMS = 32  # bits of a mask
_BLOCK = 16384  # events in memory at a time
_ROWS = 8192  # of a compressed piece of a column
_CELLS = 1 << 17  # of a compressed piece of the matrices: 0.5 MB of values, within the cache of a dataset


def write(
    path: str | Path,
    sources: Sequence[Source],
    *,
    streams: Sequence[str],
    spectra: Sequence[str],
    layout: Layout | None = None,
    cuts: Cuts | None = None,
    copies: bool = False,
    cross_section_pb: float | None = None,
    block: int = _BLOCK,
) -> dict[str, Any]:
    """Write an event table, whole or not at all, in bounded memory. Returns its JSON document.

    sources: open files of one sample, with at least the slots of the layout. streams, spectra: names
    (`offline.objects.selection.STREAMS`, `offline.objects.spectra.spectrum`). cuts: on objects, default those of
    `Cuts`. copies: keep events that share a generated collision (column `parent`); otherwise the first of each stays,
    because the others resemble it and would make bumps out of nothing. cross_section_pb: of the sample, by default
    what its files say, if they agree.

    Raises:
        InputError: files that cannot be one sample, unknown names, or a fault in an event, named by its file.
        HashMismatch: TriggerRecords of different models, menus or scales.
    """
    layout, cuts = layout or Layout(), cuts or Cuts()
    document = _document(path, sources, layout, cuts, streams, [spectrum(name) for name in spectra])
    if cross_section_pb is not None:
        if not (math.isfinite(cross_section_pb) and cross_section_pb > 0):
            raise InputError(path, "cross_section_pb", cross_section_pb, "a number above 0")
        document["cross_section_pb"] = float(cross_section_pb)
    document["recipe"] = sha256_of(document | {"copies": copies})
    with hdf5.create(path) as file, Progress(sum(source.n for source in sources), "event table") as progress:
        writer = _Writer(file, Path(path), layout, document)
        for k, source in enumerate(sources):
            seen: set[int] = set()
            for objects in source.blocks(block, cuts):
                progress.update(len(objects))
                writer.add(objects if copies else _first_of_each(objects, seen), k, str(source.path))
        return writer.finish()


def _document(
    path: str | Path, sources: Sequence[Source], layout: Layout, cuts: Cuts, streams: Sequence[str],
    spectra: Sequence[Spectrum],
) -> dict[str, Any]:  # fmt: skip
    """What is known before the first event is read; refuses what cannot be one sample."""
    if not sources:
        raise InputError(path, "sources", "an empty list", "at least one file of events")
    if not 1 <= len(checked_streams(streams)) <= MAX_STREAMS:
        raise InputError(path, "streams", len(streams), f"1 to {MAX_STREAMS} of them")
    names = [one.name for one in spectra]
    if not names or len(set(names)) != len(names):
        raise InputError(path, "spectra", ", ".join(names) or "none", "at least one name, each once")
    first = sources[0]
    about = [source.attributes for source in sources]
    for source, attributes in zip(sources, about, strict=True):
        if Path(path).resolve() == source.path.resolve():
            raise InputError(path, "--output", path, "a file that is not one of the inputs")
        if source.sqrt_s != first.sqrt_s:
            raise InputError(source.path, "sqrt_s", source.sqrt_s, f"{first.sqrt_s} GeV, as in {first.path}")
        here, there = attributes.get("hashes", {}), about[0].get("hashes", {})
        for name in here | there:
            if here.get(name) != there.get(name):
                raise HashMismatch(source.path, f"hash of the {name}", here.get(name), f"that of {first.path}")
        for name, count in layout.counts.items():
            if source.counts[name] < count:
                raise InputError(source.path, f"slots of type {name}", source.counts[name], f"at least {count}")
    known = {source.cross_section_pb for source in sources}
    return {
        "version": VERSION,
        "ad40": __version__,
        "sqrt_s": first.sqrt_s,
        "counts": layout.counts,
        "streams": list(streams),
        "spectra": names,
        "cuts": cuts.document,
        "cross_section_pb": known.pop() if len(known) == 1 else None,
        "sources": about,
    }


def _first_of_each(objects: Objects, seen: set[int]) -> Objects:
    """Without the events whose `parent` an earlier event had; `seen` collects the parents."""
    if "parent" not in objects.columns:
        return objects
    parents, rows = np.unique(objects.columns["parent"], return_index=True)
    new = np.array([parent not in seen for parent in parents.tolist()], dtype=bool)
    seen.update(parents.tolist())
    return objects if new.all() and len(rows) == len(objects) else objects.take(np.sort(rows[new]))


class _Writer:
    """Appends blocks of events to an open file."""

    def __init__(self, file: h5py.File, path: Path, layout: Layout, document: dict[str, Any]) -> None:
        self._file, self._path, self._layout, self._document = file, path, layout, document
        self._spectra = [spectrum(name) for name in document["spectra"]]
        self._flow = CutFlow(document["streams"])
        self._cells = 0
        self._data: dict[str, h5py.Dataset] = {}  # kept open: a piece is compressed when it is full, not at every block
        self._dataset("rmm/indptr", np.int64, _ROWS)
        self._dataset("rmm/indices", np.uint16, _CELLS)
        self._dataset("rmm/values", np.float32, _CELLS)
        self._dataset("masses", np.float32, _ROWS, len(self._spectra))
        self._dataset("streams", np.uint32, _ROWS)
        self._append("rmm/indptr", np.zeros(1, np.int64))
        self._columns: list[str] | None = None
        self._left_out: set[str] = set()
        self._saturated = {one.name: 0 for one in self._spectra}

    def _dataset(self, name: str, dtype: Any, rows: int, *width: int) -> None:
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        # one piece holds rows of one spectrum, because spectra are read one by one
        chunks = (rows, *(1 for _ in width))
        shape = {"shape": (0, *width), "maxshape": (None, *width), "chunks": chunks}
        self._data[name] = self._file.create_dataset(name, dtype=dtype, **shape, **options)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        data = self._data[name]
        old = len(data)
        data.resize(old + len(array), axis=0)
        data[old:] = array

    def add(self, objects: Objects, source: int, file: str) -> None:
        """Select the events of a block and append them; `source` is the number of their file."""
        passed = select(objects, self._document["streams"])
        self._flow.add(objects, passed)
        chosen = np.flatnonzero(passed.any(axis=1))
        kept, passed = objects.take(chosen), passed[chosen]
        rows = matrix.sparse(kept, self._layout, self._document["sqrt_s"])
        self._append("rmm/indptr", rows.indptr[1:] + self._cells)
        self._append("rmm/indices", rows.indices)
        self._append("rmm/values", rows.values)
        self._cells += len(rows.values)
        mass = [masses(kept, one).astype(np.float32) for one in self._spectra]
        self._append("masses", np.stack(mass, axis=1))
        for one in self._spectra:
            self._saturated[one.name] += int(saturated(kept, one).sum())
        bits = np.uint32(1) << np.arange(passed.shape[1], dtype=np.uint32)
        self._append("streams", (passed * bits).sum(axis=1).astype(np.uint32))
        own: dict[str, NDArray[Any]] = {
            "source": np.full(len(kept), source, np.uint16),
            "met": kept.met[:, 0].astype(np.float32),
            "ystar": ystar(kept).astype(np.float32),
            **{f"n_{kind}": kept.number(kind).astype(np.uint8) for kind in TYPES},
        }
        clash = set(own) & set(kept.columns)
        if clash:
            raise InputError(file, "column", sorted(clash)[0], "another name: the table has its own of this name")
        self._add_columns(kept.columns | own, file)

    def _add_columns(self, columns: dict[str, NDArray[Any]], file: str) -> None:
        if self._columns is None:
            self._columns = sorted(columns)
            for name in self._columns:
                self._dataset(f"columns/{name}", columns[name].dtype, _ROWS)
        for name in [name for name in self._columns if name not in columns]:
            del self._data[f"columns/{name}"], self._file[f"columns/{name}"]
            self._columns.remove(name)
            self._left_out.add(name)
        self._left_out |= set(columns) - set(self._columns)
        for name in self._columns:
            kind = self._data[f"columns/{name}"].dtype
            if not np.can_cast(columns[name].dtype, kind, "same_kind"):
                raise InputError(file, f"type of column {name}", columns[name].dtype, f"{kind}, as in the other files")
            self._append(f"columns/{name}", columns[name])

    def finish(self) -> dict[str, Any]:
        """Write and return the JSON document."""
        flow = [list(row) for row in self._flow.rows]
        n = len(self._data["streams"])
        read = sum(source["events"] for source in self._document["sources"])
        self._document |= {
            "events": n,
            "cutflow": flow,
            "copies_dropped": read - flow[0][1],
            "saturated_left_out": self._saturated,
            "columns_left_out": sorted(self._left_out),
        }
        self._file.attrs[ATTRIBUTE] = json.dumps(self._document, allow_nan=False)
        return self._document


class Table:
    """An open event table; use as a context manager.

    n: events. attributes: the JSON document. layout: of the matrices. streams, spectra, columns: names.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = hdf5.open_file(path)
        self._sha256 = ""
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        try:
            self.attributes: dict[str, Any] = json.loads(self._file.attrs[ATTRIBUTE])
            version = self.attributes["version"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            expected = "an event table, written by `ad40 rmm`"
            raise InputError(self.path, f"attribute {ATTRIBUTE}", "missing or broken", expected) from error
        if version != VERSION:
            raise InputError(self.path, "version", version, f"version {VERSION}: write the table anew")
        self.layout = Layout(self.attributes["counts"])
        self.streams, self.spectra = tuple(self.attributes["streams"]), tuple(self.attributes["spectra"])
        self.columns = tuple(sorted(self._file.get("columns", {})))
        self.n = int(self.attributes["events"])
        lengths = {"rmm/indptr": self.n + 1, "masses": self.n, "streams": self.n}
        for name, length in (lengths | {f"columns/{name}": self.n for name in self.columns}).items():
            if name not in self._file or len(self._file[name]) != length:
                raise InputError(self.path, name, "missing or of another length", f"{length} rows")
        cells = int(self._file["rmm/indptr"][-1])
        for name in ("rmm/indices", "rmm/values"):
            if name not in self._file or len(self._file[name]) != cells:
                raise InputError(self.path, name, "missing or of another length", f"{cells} cells, the end of indptr")

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, taken at the first call."""
        self._sha256 = self._sha256 or file_hash(self.path)
        return self._sha256

    @property
    def sqrt_s(self) -> float:
        """GeV."""
        return float(self.attributes["sqrt_s"])

    def column(self, name: str) -> NDArray[Any]:
        """A column (n,): weight, run, ystar, hw_score, ..."""
        array: NDArray[Any] = self._file[f"columns/{self._known('column', name, self.columns)}"][:]
        return array

    def mass(self, name: str) -> NDArray[np.float32]:
        """The masses (n,) [GeV] of one spectrum, NaN where an object of it is absent."""
        self._known("spectrum", name, self.spectra)
        array: NDArray[np.float32] = self._file["masses"][:, self.spectra.index(name)]
        return array

    def stream(self, name: str) -> NDArray[np.bool_]:
        """Which events are in a stream, bool (n,)."""
        self._known("stream", name, self.streams)
        bits: NDArray[np.uint32] = self._file["streams"][:]
        return (bits >> np.uint32(self.streams.index(name)) & 1).astype(np.bool_)

    def _known(self, what: str, name: str, names: tuple[str, ...]) -> str:
        if name not in names:
            raise InputError(self.path, what, name, "one of " + ", ".join(names))
        return name

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, int]]:
        """(start, stop) of consecutive blocks of at most `size` rows, for `rmm`."""
        if size < 1:
            raise InputError(self.path, "size of a block", size, "at least 1")
        for start in range(0, self.n, size):
            yield start, min(start + size, self.n)

    def sparse(self, start: int, stop: int) -> matrix.Sparse:
        """The matrices of rows start to stop - 1, compressed."""
        if not 0 <= start <= stop <= self.n:
            raise InputError(self.path, "rows", f"{start} to {stop}", f"within 0 to {self.n}")
        indptr = self._file["rmm/indptr"][start : stop + 1]
        cells = slice(int(indptr[0]), int(indptr[-1]))
        return matrix.Sparse(indptr - indptr[0], self._file["rmm/indices"][cells], self._file["rmm/values"][cells])

    def rmm(self, start: int, stop: int, cells: NDArray[np.integer[Any]] | None = None) -> NDArray[np.float32]:
        """The matrices of rows start to stop - 1, float32 (stop - start, cells): all W * W cells, or those whose flat
        indices are given, such as `layout.inputs`."""
        return matrix.dense(self.sparse(start, stop), self.layout, cells)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_table(path: str | Path) -> bool:
    """Whether a file is an event table (of any version), and not events to make one from."""
    with Path(path).open("rb") as file:
        if not file.read(8).startswith(b"\x89HDF"):
            return False
    with hdf5.open_file(path) as found:
        return ATTRIBUTE in found.attrs


def open_table(path: str | Path) -> Table:
    """Open an event table. Raises `InputError` on a file that is missing, incomplete, or no event table."""
    return Table(path)
