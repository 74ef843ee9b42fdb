"""The offline event file: the group `offline/` of an ADC2021 file, full-resolution objects of the same events.

Row k of every dataset is the event of row k of `Particles`, so the column `event` of a TriggerRecord finds the
offline objects of what the trigger kept.

`met` float32 (n, 2): pt [GeV], phi [rad]. `jet`, `bjet` (n, 10, 4), `muon`, `electron`, `photon` (n, 5, 4) float32:
pt [GeV], eta, phi [rad], mass [GeV], ordered by pt, absent = zeros; `jet` and `bjet` are disjoint. `pileup` float32
(n,): collisions overlaid. `jet_flavour`, `bjet_flavour` uint8 (n, 10): generator truth (5 b, 4 c, 0 light), for
checks of the tag only. Attributes of the group: `version` and, as JSON, `btag`: the working point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.errors import InputError

GROUP = "offline"
VERSION = 1
COUNTS = {"jet": 10, "bjet": 10, "muon": 5, "electron": 5, "photon": 5}
SHAPES: dict[str, tuple[int, ...]] = {"met": (2,), **{name: (n, 4) for name, n in COUNTS.items()}, "pileup": ()}
FLAVOURS = {"jet_flavour": (COUNTS["jet"],), "bjet_flavour": (COUNTS["bjet"],)}
_ROWS = 8192  # of a compressed piece


@dataclass(frozen=True)
class Description:
    """What a file says of its offline objects. n: events. btag: the working point, as the generator's detector file
    holds it."""

    n: int
    version: int
    btag: dict[str, Any]


def write_offline(file: h5py.File, arrays: Mapping[str, NDArray[Any]], btag: Mapping[str, Any]) -> None:
    """Add the group to an open file.

    arrays: every name of `SHAPES` float32 (n, ...), and optionally those of `FLAVOURS` uint8.

    Raises:
        InputError: a name is missing or unknown, a shape is wrong, or a value is impossible.
    """
    names = [*SHAPES, *(name for name in FLAVOURS if name in arrays)]
    if set(names) != set(arrays):
        raise InputError(file.filename, GROUP, ", ".join(sorted(arrays)), ", ".join(SHAPES))
    n = len(arrays["met"])
    group = file.create_group(GROUP)
    for name in names:
        shape = SHAPES.get(name, FLAVOURS.get(name, ()))
        data = np.asarray(arrays[name], np.uint8 if name in FLAVOURS else np.float32)
        if data.shape != (n, *shape):
            raise InputError(file.filename, f"{GROUP}/{name}.shape", data.shape, str((n, *shape)))
        _check(str(file.filename), name, data, 0)
        options = {"compression": "gzip", "compression_opts": 6, "shuffle": True, "chunks": (min(n, _ROWS), *shape)}
        group.create_dataset(name, data=data, **(options if n else {}))
    group.attrs["version"] = VERSION
    group.attrs["btag"] = json.dumps(dict(btag), allow_nan=False)


def has_offline(path: str | Path) -> bool:
    """Whether a file is an HDF5 file with offline objects. Raises `InputError` if it is no HDF5 file."""
    with hdf5.open_file(path) as file:
        return GROUP in file


def describe_offline(path: str | Path) -> Description:
    """Number of events, version and b-tag working point. Raises `InputError` if the file holds no offline objects."""
    with hdf5.open_file(path) as file:
        group = _group(file, path)
        return Description(len(group["met"]), int(group.attrs["version"]), json.loads(group.attrs["btag"]))


def read_offline(
    path: str | Path, start: int = 0, stop: int | None = None, names: Sequence[str] = tuple(SHAPES)
) -> dict[str, NDArray[Any]]:
    """Rows [start, stop) of the named datasets, float32 (`FLAVOURS`: uint8).

    Raises:
        InputError: no offline objects of this version, a missing dataset, a wrong shape, unreadable rows, or a value
            that is not finite or negative where it cannot be.
    """
    with hdf5.open_file(path) as file:
        group = _group(file, path)
        n = len(group["met"])
        found: dict[str, NDArray[Any]] = {}
        for name in names:
            data = _dataset(group, name, path, n)
            try:
                found[name] = np.asarray(data[start:stop])
            except OSError as error:  # truncated or corrupt pieces show only when they are read
                rows = f"{GROUP}/{name}, rows {start} to {n if stop is None else stop}"
                raise InputError(path, rows, f"unreadable ({error})", "a complete HDF5 file") from error
            _check(str(path), name, found[name], start)
        return found


def _group(file: h5py.File, path: str | Path) -> h5py.Group:
    group = file.get(GROUP)
    if not isinstance(group, h5py.Group) or "met" not in group:
        raise InputError(path, f"group '{GROUP}'", "missing", "a file made with `ad40 generate --offline`")
    version = group.attrs.get("version")
    if version != VERSION:
        raise InputError(path, f"{GROUP} attribute version", version, str(VERSION))
    if "Particles" in file and len(file["Particles"]) != len(group["met"]):
        raise InputError(path, f"{GROUP}/met rows", len(group["met"]), f"{len(file['Particles'])} as in Particles")
    return group


def _dataset(group: h5py.Group, name: str, path: str | Path, n: int) -> h5py.Dataset:
    shape = (n, *(SHAPES[name] if name in SHAPES else FLAVOURS[name]))
    data = group.get(name)
    if not isinstance(data, h5py.Dataset):
        raise InputError(path, f"{GROUP}/{name}", "missing", f"a dataset {shape}")
    if data.shape != shape or data.dtype.kind not in "fu":
        raise InputError(path, f"{GROUP}/{name}", f"{data.dtype} {data.shape}", f"float32 {shape}")
    return data


def _check(path: str, name: str, data: NDArray[Any], first: int) -> None:
    """Refuse values that are not finite, and negative pt, mass or pileup."""
    if data.dtype.kind != "f":
        return
    if not np.isfinite(data).all():
        row = int(np.argwhere(~np.isfinite(data))[0][0])
        raise InputError(path, f"{GROUP}/{name}, row {first + row}", "not finite", "finite numbers")
    positive = data if name == "pileup" else data[..., [0, 3]] if data.ndim == 3 else data[..., 0]
    if (positive < 0).any():
        row = int(np.argwhere(positive < 0)[0][0])
        raise InputError(path, f"{GROUP}/{name}, row {first + row}", "negative", "pt, mass and pileup of at least 0")
