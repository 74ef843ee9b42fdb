"""HDF5 files that appear whole or not at all, on full disks too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py

from ad40.errors import InputError, OutputError
from ad40.files import atomic_path

RECORD = "ad40_record"  # the attribute that makes a file a TriggerRecord


class _Sink(io.RawIOBase):
    """A file for HDF5 to write to that remembers the first failed write and swallows the rest.

    The HDF5 library does not survive a write that fails while it closes a file (it crashes the process), so it
    must not learn of one. `error` is looked at when HDF5 is done.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and done < len(view):
            try:
                done += self._file.write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@contextmanager
def create(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file under a temporary name, renamed when the body ends well.

    Raises `OutputError` when the folder is unwritable or the disk full; nothing is left behind then.
    """
    with atomic_path(path) as temporary, _Sink(temporary) as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        finally:
            if sink.error is not None:
                raise OutputError(path, sink.error.strerror or str(sink.error)) from sink.error


def open_file(path: str | Path) -> h5py.File:
    """Open for reading; `InputError` when the file is missing, a folder, truncated or not HDF5."""
    path = Path(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if path.is_dir() or not path.exists():
            raise InputError(path, "file", "a folder" if path.is_dir() else "missing", "an HDF5 file") from error
        reason = str(error).split("(", 1)[-1].rstrip(")")
        raise InputError(path, "format", reason, "a complete HDF5 file") from error
