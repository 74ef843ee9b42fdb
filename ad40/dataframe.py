"""Data frames in HDF5 as pandas writes them in its `fixed` format (`DataFrame.to_hdf`), without pandas.

The public samples of the LHC Olympics 2020 are such files. A group (usually `df`) holds `axis0` (names of the
columns), `axis1` (the index), and for each type of number a block: `block0_items` (which columns) and `block0_values`
(rows, columns). What the group's and the arrays' attributes must say is in pandas' `io/pytables.py`
(`GenericFixed`, `BlockManagerFixed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import InputError, MissingTool

KEY = "df"
_FIXED, _TABLE = "frame", "frame_table"
_CHUNK_BYTES = 1 << 19  # of a compressed piece before compression


class Frame:
    """An open data frame of numbers. Use as a context manager.

    n: rows. columns: their names, str or int. key: name of the group.
    """

    def __init__(self, path: str | Path, key: str | None = None) -> None:
        self.path = Path(path)
        self._file = hdf5.open_file(path)
        try:
            self.key = self._find(key)
            group = self._file[self.key]
            self.columns = tuple(_names(self._array(group, "axis0")))
            self.n = len(self._array(group, "axis1"))
            self._blocks = [self._block(group, i) for i in range(int(group.attrs.get("nblocks", 1)))]
        except BaseException:
            self._file.close()
            raise
        known = {name for items, _ in self._blocks for name in items}
        for name in self.columns:
            if name not in known:
                self._file.close()
                raise InputError(self.path, f"column {name!r}", "in no block", "a frame with all its columns")

    def _find(self, key: str | None) -> str:
        names = [str(name) for name, item in self._file.items() if isinstance(item, h5py.Group)]
        kinds = {name: _text(self._file[name].attrs.get("pandas_type", "")) for name in names}
        frames = [name for name in names if kinds[name] == _FIXED or "block0_values" in self._file[name]]
        if key is None and len(frames) == 1:
            return frames[0]
        if key is not None and key in frames:
            return key
        tables = [name for name in names if kinds[name] == _TABLE]
        if tables and not frames:
            raise InputError(self.path, f"format of {tables[0]}", "a pandas table", "a frame in the format 'fixed'")
        expected = "one data frame in pandas' fixed format" if key is None else f"a data frame named '{key}'"
        raise InputError(self.path, "content", ", ".join(frames or self._file) or "nothing", expected)

    def _array(self, group: h5py.Group, name: str) -> h5py.Dataset:
        if name not in group or not isinstance(group[name], h5py.Dataset):
            raise InputError(self.path, f"{group.name}/{name}", "missing", "an array, as pandas writes it")
        return readable(group[name], self.path)

    def _block(self, group: h5py.Group, index: int) -> tuple[list[str | int], h5py.Dataset]:
        items = _names(self._array(group, f"block{index}_items"))
        values = self._array(group, f"block{index}_values")
        if values.shape != (self.n, len(items)) or values.dtype.kind not in "fiub":
            what = f"{values.dtype} of shape {values.shape}"
            raise InputError(self.path, values.name, what, f"numbers of shape ({self.n}, {len(items)})")
        return items, values

    def read(self, start: int = 0, stop: int | None = None, columns: Sequence[str | int] | None = None) -> NDArray[Any]:
        """Rows start to stop - 1 of the given columns (default: all), in that order: floats (rows, columns).

        float32 when all of them are stored as such, else float64. Raises `InputError` for unknown columns or a file
        that is damaged.
        """
        stop = self.n if stop is None else min(stop, self.n)
        wanted = list(self.columns if columns is None else columns)
        missing = [name for name in wanted if name not in self.columns]
        if missing:
            raise InputError(self.path, "column", f"{missing[0]!r} missing", f"among {_some(self.columns)}")
        place = {name: (b, i) for b, (items, _) in enumerate(self._blocks) for i, name in enumerate(items)}
        used = sorted({place[name][0] for name in wanted})
        single = all(self._blocks[b][1].dtype == np.float32 for b in used) and used
        try:
            data = {b: self._blocks[b][1][start:stop] for b in used}
        except OSError as error:
            raise InputError(self.path, f"rows {start} to {stop}", f"unreadable ({error})", "a whole file") from error
        if len(used) == 1 and [place[name][1] for name in wanted] == list(range(data[used[0]].shape[1])):
            return np.asarray(data[used[0]], np.float32 if single else np.float64)
        out = np.empty((max(stop - start, 0), len(wanted)), np.float32 if single else np.float64)
        for k, name in enumerate(wanted):
            block, index = place[name]
            out[:, k] = data[block][:, index]
        return out

    @property
    def rows(self) -> int:
        """Rows that are best read together: those of the compressed pieces of the widest block."""
        widest = max((values for _, values in self._blocks), key=lambda values: values.shape[1])
        return int(widest.chunks[0]) if widest.chunks else 1

    def attribute(self, name: str) -> str | None:
        """A text that the writer of the file left beside the frame, or None."""
        found = self._file.attrs.get(name)
        return None if found is None else _text(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Frame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def readable(data: h5py.Dataset, path: Path) -> h5py.Dataset:
    """The dataset, when its compression is known here. PyTables likes to compress with Blosc, which HDF5 has as a
    plug-in only: `MissingTool` names the package that brings it."""
    pipeline = data.id.get_create_plist()
    filters = [pipeline.get_filter(i) for i in range(pipeline.get_nfilters())]
    if not all(h5py.h5z.filter_avail(code) for code, *_ in filters):
        try:
            import hdf5plugin  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
        except ImportError as error:
            name = next(name.decode() or str(code) for code, _, _, name in filters if not h5py.h5z.filter_avail(code))
            hint = f"`pip install hdf5plugin` reads {path.name}, which is compressed with '{name}'"
            raise MissingTool("the package 'hdf5plugin'", hint) from error
    return data


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _names(data: h5py.Dataset) -> list[str | int]:
    return [name.decode() if isinstance(name, bytes) else int(name) for name in data[:].tolist()]


def _some(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:16])) + (", ..." if len(names) > 16 else "")


class Writer:
    """Fills a data frame of one type of number in an open file, block of rows by block of rows.

    columns: names, all str or all int. n: rows that will be written. dtype: float32 or float64.
    """

    def __init__(self, file: h5py.File, columns: Sequence[str | int], n: int, dtype: Any, key: str = KEY) -> None:
        _strings(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", VERSION="1.0")
        group = file.create_group(key)
        _strings(group, CLASS="GROUP", VERSION="1.0", pandas_type=_FIXED, pandas_version="0.15.2")
        _strings(group, encoding="UTF-8", errors="strict")
        _strings(group, axis0_variety="regular", axis1_variety="regular", block0_items_variety="regular")
        group.attrs["ndim"], group.attrs["nblocks"] = np.int64(2), np.int64(1)
        text = len(columns) > 0 and isinstance(columns[0], str)
        names = np.array([str(name).encode() for name in columns]) if text else np.array(columns, np.int64)
        for name, array in (("axis0", names), ("axis1", np.arange(n)), ("block0_items", names)):
            data = group.create_dataset(name, data=array)
            _strings(data, CLASS="ARRAY", VERSION="2.4", kind="string" if array.dtype.kind == "S" else "integer")
            data.attrs["transposed"] = np.int64(1)
        rows = int(np.clip(_CHUNK_BYTES // max(1, len(columns) * np.dtype(dtype).itemsize), 1, max(n, 1)))
        self._values = group.create_dataset(
            "block0_values", (n, len(columns)), dtype, chunks=(rows, len(columns)) if n else None,
            compression="gzip" if n else None, compression_opts=1 if n else None, shuffle=bool(n),
        )  # fmt: skip
        _strings(self._values, CLASS="CARRAY" if n else "ARRAY", VERSION="1.1" if n else "2.4")
        self._values.attrs["transposed"] = np.int64(1)
        self._waiting: list[NDArray[Any]] = []
        self._at, self.rows = 0, rows

    def add(self, block: NDArray[Any]) -> None:
        """Append rows (m, columns). They are written in whole compressed pieces; `finish` writes the rest."""
        self._waiting.append(block)
        have = sum(len(part) for part in self._waiting)
        if have >= self.rows:
            self._write(have - have % self.rows)

    def _write(self, rows: int) -> None:
        data = np.concatenate(self._waiting) if self._waiting else np.zeros((0, self._values.shape[1]))
        if self._at + rows > len(self._values):
            raise ValueError(f"{self._at + rows} rows for a frame of {len(self._values)}")
        self._values[self._at : self._at + rows] = data[:rows]
        self._at += rows
        self._waiting = [data[rows:]] if len(data) > rows else []

    def finish(self) -> None:
        """Write what waits. Raises `ValueError` when rows are missing."""
        self._write(sum(len(part) for part in self._waiting))
        if self._at != len(self._values):
            raise ValueError(f"{self._at} rows for a frame of {len(self._values)}")


def _strings(item: h5py.Group | h5py.Dataset, **values: str) -> None:
    """Attributes as PyTables writes them: UTF-8 of a fixed length."""
    for name, value in values.items():
        item.attrs.create(name, value.encode(), dtype=h5py.string_dtype("utf-8", len(value)))
