"""The public CMS Level-1 data set (Zenodo 10.5281/zenodo.21787779): parquet with one row per event.

Columns of objects are lists of the integers that hardware sent (`jets_jetIEt`, `egammas_egIEta`,
`muons_muonIPhiAtVtx`, ...), of sums lists of length one (`MET_Et`, `MET_phi`), and `run`, `lumi`, `event`, `bx`,
`orbit`, `nPV_True`, `label`, `L1bit`, `order` are scalars. The integers are codes as `ad40.objects` means them. Muons
are not sorted in the files: here they are, by pt, as the other objects come. Rows with `order` -1 hold a saturated
event and are left out, as the authors of the data set ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.errors import InputError, MissingTool

# columns of (pt, eta, phi) of each of our types of objects
OBJECTS = {
    "met": ("MET_Et", None, "MET_phi"),
    "egamma": ("egammas_egIEt", "egammas_egIEta", "egammas_egIPhi"),
    "muon": ("muons_muonIEt", "muons_muonIEtaAtVtx", "muons_muonIPhiAtVtx"),
    "jet": ("jets_jetIEt", "jets_jetIEta", "jets_jetIPhi"),
}
SCALARS = ("run", "lumi", "event", "bx", "orbit", "time", "nPV_True", "label", "L1bit")
_DROPPED = -1  # in column `order`
_BUFFER = 1 << 20  # bytes read at a time of each column, however large its row group is
_OBJECT_COLUMNS = [name for columns in OBJECTS.values() for name in columns if name is not None]


class L1File:
    """An open parquet file with the interface of `ad40.events.EventFile`. Reads a row group at a time."""

    kind = "cms_l1"  # n, columns and saturated as there; dropped: rows left out

    def __init__(self, path: str | Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingTool("the package 'pyarrow'", "`pip install 'ad40[l1]'` reads parquet files") from error
        self.path = Path(path)
        self.saturated: dict[str, int] = {}
        self.attributes: dict[str, Any] = {"sample": self.path.parent.name}
        self._arrow_error = pyarrow.ArrowException
        try:
            self._file = pyarrow.parquet.ParquetFile(self.path, buffer_size=_BUFFER)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(path, "file", f"unreadable ({error})", "a complete parquet file") from error
        names = set(self._file.schema_arrow.names)
        missing = [name for columns in OBJECTS.values() for name in columns if name is not None and name not in names]
        if missing:
            raise InputError(path, "columns", f"without {', '.join(missing)}", "those of the CMS Level-1 data set")
        self.columns = tuple(name for name in SCALARS if name in names)
        groups = range(self._file.num_row_groups)
        self._rows = [self._kept(group) if "order" in names else None for group in groups]
        sizes = [
            self._file.metadata.row_group(group).num_rows if rows is None else len(rows)
            for group, rows in zip(groups, self._rows, strict=True)
        ]
        self._ends = np.cumsum([0, *sizes])
        self.n = int(self._ends[-1])
        self.dropped = self._file.metadata.num_rows - self.n
        self._cache: tuple[int, NDArray[np.int32]] = (-1, np.zeros((0, 0, 0), np.int32))

    def _kept(self, group: int) -> NDArray[np.intp]:
        """Rows of a row group that are not marked to be dropped."""
        return np.flatnonzero(self._table(group, ["order"]).column(0).to_numpy() != _DROPPED)

    def _table(self, group: int, columns: list[str]) -> Any:
        try:
            return self._file.read_row_group(group, columns=columns)
        except (OSError, self._arrow_error) as error:
            raise InputError(self.path, f"row group {group}", f"unreadable ({error})", "a complete file") from error

    def _group(self, group: int) -> NDArray[np.int32]:
        """All kept codes of a row group."""
        if self._cache[0] != group:
            self._cache = (group, self.decode((self._table(group, _OBJECT_COLUMNS), self._rows[group]),
                                              int(self._ends[group])))  # fmt: skip
        return self._cache[1]

    def decode(self, raw: tuple[Any, NDArray[np.intp] | None], first: int = 0) -> NDArray[np.int32]:
        """Codes int32 (m, 19, 3) of a table and the rows of it that are kept (None: all); `first`: the number of the
        first kept one. Threads may call it side by side."""
        table, rows = raw
        codes = np.zeros((table.num_rows, objects.N_OBJECTS, objects.N_FEATURES), np.int32)
        for kind in spec.objects().types:
            codes[:, kind.slots] = _object_codes(table, kind, self.path)
        if rows is not None:
            codes = codes[rows]
        objects.check_codes(codes, str(self.path), first)
        return codes

    def blocks(
        self, size: int = 65536, columns: Sequence[str] = ()
    ) -> Iterator[tuple[int, tuple[Any, NDArray[np.intp] | None], dict[str, NDArray[Any]]]]:
        """Yield (first event, rows for `decode`, columns of these events) in one pass over the file.

        Memory is bounded by about twice `size` rows, however large or small the row groups are.
        """
        ordered = bool(self._rows) and self._rows[0] is not None
        names = dict.fromkeys([*_OBJECT_COLUMNS, *columns, *(["order"] if ordered else [])])
        first = 0
        for table in self._tables(size, list(names)):
            rows = np.flatnonzero(table.column("order").to_numpy() != _DROPPED) if ordered else None
            values = {name: table.column(name).to_numpy() for name in columns}
            yield first, (table, rows), {name: v if rows is None else v[rows] for name, v in values.items()}
            first += table.num_rows if rows is None else len(rows)

    def _tables(self, size: int, columns: list[str]) -> Iterator[Any]:
        """Consecutive tables of `size` rows or a little more; the last one is shorter."""
        import pyarrow

        held: list[Any] = []
        done = 0
        try:
            for batch in self._file.iter_batches(size, columns=columns):
                held.append(batch)
                if sum(part.num_rows for part in held) >= size:
                    table = pyarrow.Table.from_batches(held)
                    done, held = done + table.num_rows, []
                    yield table
        except (OSError, self._arrow_error) as error:
            raise InputError(self.path, f"rows from {done}", f"unreadable ({error})", "a complete file") from error
        if held:
            yield pyarrow.Table.from_batches(held)

    def codes(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """Codes of events [start, stop): int32 (m, 19, 3)."""
        return np.concatenate([np.zeros((0, objects.N_OBJECTS, objects.N_FEATURES), np.int32), *(
            self._group(group)[rows] for group, rows in self._parts(start, stop)
        )])  # fmt: skip

    def events(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Physical events [start, stop): float32 (m, 19, 3)."""
        return objects.decode(self.codes(start, stop))

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """One value per event of the column `name`."""
        if name not in self.columns:
            raise InputError(self.path, "columns", ", ".join(self.columns) or "none", f"a column '{name}'")
        kind = self._file.schema_arrow.field(name).type.to_pandas_dtype()
        parts = [np.zeros(0, kind)]
        for group, rows in self._parts(start, stop):
            values = self._table(group, [name]).column(0).to_numpy()
            parts.append((values if self._rows[group] is None else values[self._rows[group]])[rows])
        return np.concatenate(parts)

    def _parts(self, start: int, stop: int | None) -> Iterator[tuple[int, slice]]:
        """Row groups and the rows in them that make up events [start, stop)."""
        stop = self.n if stop is None else min(stop, self.n)
        for group, first in enumerate(self._ends[:-1]):
            begin, end = max(start, int(first)), min(stop, int(self._ends[group + 1]))
            if begin < end:
                yield group, slice(begin - int(first), end - int(first))

    def chunks(self, size: int = 65536, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield (first row, codes) over the file in bounded memory: a row group and a chunk at a time."""
        end = self.n if stop is None else min(stop, self.n)
        for start in range(0, end, size):
            yield start, self.codes(start, min(start + size, end))

    def __enter__(self) -> L1File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _object_codes(table: Any, kind: spec.ObjectType, path: Path) -> NDArray[np.int32]:
    """Codes int32 (n, kind.count, 3) of one type of objects; absent ones and the missing eta of sums are zeros."""
    names = OBJECTS[kind.name]
    lists: list[Any] = [None if name is None else table.column(name).combine_chunks() for name in names]
    pt = lists[0]
    counts = np.diff(pt.offsets.to_numpy())
    for name, column in zip(names[1:], lists[1:], strict=True):
        if column is not None and not np.array_equal(np.diff(column.offsets.to_numpy()), counts):
            raise InputError(path, str(name), "another number of objects", f"as many as {names[0]} in every event")
    width = max(kind.count, int(counts.max(initial=0)))
    here = np.arange(width) < counts[:, None]
    codes = np.zeros((len(counts), width, objects.N_FEATURES), np.int32)
    for feature, column in enumerate(lists):
        if column is not None:
            codes[here, feature] = column.flatten().to_numpy()
    codes[..., objects.PHI] %= kind.phi.steps
    codes[codes[..., objects.PT] == 0] = 0
    # absent objects last, present ones by falling pt; equal ones as they came
    order = np.argsort(-codes[..., objects.PT], axis=1, kind="stable")[:, : kind.count]
    return np.take_along_axis(codes, order[..., None], axis=1)
