"""Event files: the ADC2021 HDF5 layout (Sci. Data 2022, arXiv:2107.02157) and compact hardware integers.

ADC2021: `Particles` (N, 19, 4) float with Pt [GeV], Eta, Phi [rad], Class; `Particles_Names`; `Particles_Classes`.
The published files carry jets beyond |eta| 4 with pt, eta and phi zeroed but their class kept and later jets not
shifted up; hardware sends no holes, so reading closes them.

Hardware sample: `codes` (N, 19, 3) int16, as `ad40.objects` defines them, with the hash of the scales.

TriggerRecord: the accepted events of a run with all its columns, see `ad40.record`.

Parquet files of the CMS Level-1 data set: see `ad40.l1data`.

HDF5 of all kinds may carry columns of one value per event (`process`, `parent`, ...) and attributes as a JSON
document.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5, objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.l1data import L1File

NAMES = ("Pt", "Eta", "Phi", "Class")
CLASSES = ("MET_class_1", "Four_Ele_class_2", "Four_Mu_class_3", "Ten_Jet_class_4")
_CLASS_OF_SLOT = np.repeat(np.arange(1, 5), (1, 4, 4, 10)).astype(np.float32)
_ATTRIBUTES = "ad40_attributes"


class EventFile:
    """An open event file of either kind.

    n: events. kind: "adc2021", "hardware" or "record". columns: names of per-event columns. attributes: what the writer
    recorded (cross-sections, seeds, ...), empty for files from elsewhere. saturated: fields that saturated in
    the codes read so far, by kind. Use as a context manager.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.saturated: dict[str, int] = {}
        self._count = threading.Lock()  # blocks are decoded in threads
        self._file = hdf5.open_file(self.path)
        try:
            if "codes" in self._file:
                self.kind, name = "record" if hdf5.RECORD in self._file.attrs else "hardware", "codes"
            elif "Particles" in self._file:
                self.kind, name = "adc2021", "Particles"
            else:
                raise InputError(path, "datasets", sorted(self._file) or "none", "'Particles' (ADC2021) or 'codes'")
            self._data = self._file[name]
            self._check_layout(name)
            self.n = len(self._data)
            self.columns = tuple(
                key
                for key, item in self._file.items()
                if key != name
                and isinstance(item, h5py.Dataset)
                and item.shape[:1] == (self.n,)
                and not key.startswith("Particles")
            )
            document = hdf5.RECORD if self.kind == "record" else _ATTRIBUTES
            self.attributes: dict[str, Any] = json.loads(self._file.attrs.get(document, "{}"))
            self._check_scales()
        except BaseException:
            self._file.close()
            raise

    def _check_layout(self, name: str) -> None:
        data = self._data
        if not isinstance(data, h5py.Dataset):
            raise InputError(self.path, name, "a group", "a dataset")
        width = 4 if self.kind == "adc2021" else 3
        if data.ndim != 3 or data.shape[1] != objects.N_OBJECTS or data.shape[2] != width:
            raise InputError(self.path, f"{name}.shape", data.shape, f"(events, 19, {width})")
        letter = "f" if self.kind == "adc2021" else "i"
        if data.dtype.kind != letter:
            raise InputError(self.path, f"{name}.dtype", data.dtype, {"i": "integers", "f": "floats"}[letter])
        if "Particles_Names" in self._file and self.kind == "adc2021":
            names = tuple(v.decode() if isinstance(v, bytes) else str(v) for v in self._file["Particles_Names"][()])
            if names != NAMES:
                raise InputError(self.path, "Particles_Names", names, str(NAMES))

    def _check_scales(self) -> None:
        """Codes mean nothing without the scales they were made with."""
        if self.kind != "adc2021":
            held = self.attributes if self.kind == "record" else self._file.attrs
            found = str(held.get("spec_hash", "none"))
            if found != spec.objects().hash:
                raise HashMismatch(self.path, "hash of the object scales", found, spec.objects().hash)

    def events(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Physical events [start, stop): float32 (m, 19, 3). Raises `InputError` on NaN, infinities, negative pt."""
        if self.kind != "adc2021":
            return objects.decode(self.codes(start, stop))
        return self._events(self._read(self._data, start, stop), start)

    def _events(self, particles: NDArray[np.floating], first: int) -> NDArray[np.float32]:
        events = np.ascontiguousarray(particles[..., :3], np.float32)
        objects.check_events(events, str(self.path), first)
        return _close_holes(events)

    def codes(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """Hardware codes of events [start, stop): int32 (m, 19, 3). Raises `InputError` as `events` does."""
        return self.decode(self._read(self._data, start, stop), start)

    def decode(self, raw: NDArray[Any], first: int = 0) -> NDArray[np.int32]:
        """Hardware codes int32 (m, 19, 3) of rows as the file holds them; `first`: the row of the first one. Threads
        may call it side by side."""
        if self.kind != "adc2021":
            codes = raw.astype(np.int32)
            objects.check_codes(codes, str(self.path), first)
            return codes
        encoded = objects.encode(self._events(raw, first))
        with self._count:
            for name, count in encoded.saturated.items():
                self.saturated[name] = self.saturated.get(name, 0) + count
        return encoded.codes

    def blocks(
        self, size: int = 65536, columns: Sequence[str] = ()
    ) -> Iterator[tuple[int, NDArray[Any], dict[str, NDArray[Any]]]]:
        """Yield (first row, rows for `decode`, columns of these rows) over the file in bounded memory."""
        for start in range(0, self.n, size):
            stop = min(start + size, self.n)
            raw = self._read(self._data, start, stop)
            yield start, raw, {name: self.column(name, start, stop) for name in columns}

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """One value per event of the column `name`."""
        if name not in self.columns:
            raise InputError(self.path, "columns", ", ".join(self.columns) or "none", f"a column '{name}'")
        return self._read(self._file[name], start, stop)

    def chunks(self, size: int = 65536, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield (first row, codes) over the file in bounded memory."""
        end = self.n if stop is None else min(stop, self.n)
        for start in range(0, end, size):
            yield start, self.codes(start, min(start + size, end))

    def _read(self, data: h5py.Dataset, start: int, stop: int | None) -> NDArray[Any]:
        try:
            return np.asarray(data[start:stop])
        except OSError as error:  # truncated or corrupt chunks show only when they are read
            rows = f"rows {start} to {stop if stop is not None else self.n}"
            raise InputError(self.path, rows, f"unreadable ({error})", "a complete HDF5 file") from error

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def open_events(path: str | Path) -> EventFile | L1File:
    """Open an event file of any kind: HDF5, or parquet of the CMS Level-1 data set by its ending `.parquet`."""
    return L1File(path) if Path(path).suffix == ".parquet" else EventFile(path)


def write_adc2021(
    path: str | Path,
    events: NDArray[np.floating],
    extra: Mapping[str, NDArray[Any]] | None = None,
    attributes: Mapping[str, Any] | None = None,
    also: Callable[[h5py.File], None] | None = None,
) -> None:
    """Write events float (n, 19, 3) in the ADC2021 layout, whole or not at all; `extra`: columns of length n;
    `also`: adds what else belongs into the same file, such as the offline objects (`ad40.offline_events`)."""
    objects.check_events(events)
    particles = np.zeros((*events.shape[:2], 4), np.float32)
    particles[..., :3] = events
    particles[..., 3] = np.where(events[..., 0] > 0, _CLASS_OF_SLOT, 0)
    with _new_file(path, extra, attributes) as file:
        file.create_dataset("Particles", data=particles, **_compression(particles))
        file.create_dataset("Particles_Names", data=np.array(NAMES, "S"))
        file.create_dataset("Particles_Classes", data=np.array(CLASSES, "S"))
        if also is not None:
            also(file)


def write_hw_sample(
    path: str | Path,
    codes: NDArray[np.integer],
    extra: Mapping[str, NDArray[Any]] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write codes (n, 19, 3) as int16 with the hash of the scales, whole or not at all."""
    objects.check_codes(codes)
    small = codes.astype(np.int16)
    with _new_file(path, extra, attributes) as file:
        file.create_dataset("codes", data=small, **_compression(small))
        file.attrs["spec_hash"] = spec.objects().hash


@contextmanager
def _new_file(
    path: str | Path, extra: Mapping[str, NDArray[Any]] | None, attributes: Mapping[str, Any] | None
) -> Iterator[h5py.File]:
    """A new file with its columns and attributes; the caller adds the events."""
    document = json.dumps(dict(attributes or {}), allow_nan=False)
    with hdf5.create(path) as file:
        for name, column in (extra or {}).items():
            file.create_dataset(name, data=column, **_compression(column))
        file.attrs[_ATTRIBUTES] = document
        yield file


def _compression(data: NDArray[Any]) -> dict[str, Any]:
    if data.size == 0:
        return {}
    return {
        "compression": "gzip",
        "compression_opts": 9,
        "shuffle": True,
        "chunks": (min(len(data), 8192), *data.shape[1:]),
    }


def _close_holes(events: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift objects up over zeroed ones of the same type; their order is kept."""
    here = events[..., 0] > 0
    for kind in spec.objects().types:
        part = here[:, kind.slots]
        rows = np.flatnonzero((part[:, 1:] & ~part[:, :-1]).any(axis=1))
        if len(rows):
            order = np.argsort(~part[rows], axis=1, kind="stable")
            block = events[rows, kind.slots]
            events[rows, kind.slots] = np.take_along_axis(block, order[..., None], axis=1)
    return events
