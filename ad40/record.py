"""The TriggerRecord file: what the trigger kept, and which trigger it was.

HDF5, one row per accepted event: run, lumi (lumi section), orbit, bx, event (row in the source file), codes
(int16, 19 x 3), hw_score, seeds_before and seeds_after (bit masks, seed 0 in bit 0), and optional columns copied
from the source (`process`, ...). Attributes: a JSON document with the events seen, per-seed counts, and the
hashes of spec, model and menu.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5, objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.menu import Decision, Menu, seed_bits
from ad40.network import Network

ORBITS_PER_LUMI = 1 << 18
_ATTRIBUTES = "ad40_record"
COLUMNS: dict[str, type[np.generic]] = {
    "run": np.uint32,
    "lumi": np.uint32,
    "orbit": np.uint32,
    "bx": np.uint16,
    "event": np.int64,
    "hw_score": np.int32,
    "seeds_before": np.uint32,
    "seeds_after": np.uint32,
}


@dataclass(frozen=True, eq=False)
class TriggerRecord:
    """A record in memory. codes int32 (n, 19, 3); columns: arrays (n,); attributes: the JSON document."""

    path: Path
    codes: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.codes)

    def seed(self, name: str) -> NDArray[np.bool_]:
        """Which events passed this seed after prescale, bool (n,)."""
        names = [seed["name"] for seed in self.attributes["seeds"]]
        if name not in names:
            raise InputError(self.path, "seed", name, "one of " + ", ".join(names))
        return ((self.columns["seeds_after"] >> np.uint32(names.index(name))) & 1).astype(np.bool_)


class Writer:
    """Append accepted events of a stream; the file appears under its name when the context ends well.

    One event per BX from orbit 0 of the run, unless the source says otherwise.
    """

    def __init__(
        self,
        path: str | Path,
        network: Network,
        menu: Menu,
        source: Mapping[str, Any],
        extra: Mapping[str, np.dtype[Any]],
    ) -> None:
        self._path, self._network, self._menu, self._source = Path(path), network, menu, dict(source)
        self._extra = dict(extra)
        self._target = hdf5.create(path)
        self._seen = self._kept = 0
        self._before = np.zeros(len(menu.seeds), np.int64)
        self._after = np.zeros(len(menu.seeds), np.int64)

    def __enter__(self) -> Writer:
        self._file = self._target.__enter__()
        options: dict[str, Any] = {"compression": "gzip", "shuffle": True}
        for name, kind in (COLUMNS | self._extra).items():
            self._file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(16384,), **options)
        shape = (objects.N_OBJECTS, objects.N_FEATURES)
        self._file.create_dataset(
            "codes", (0, *shape), np.int16, maxshape=(None, *shape), chunks=(4096, *shape), **options
        )
        return self

    def append(
        self,
        codes: NDArray[np.int32],
        hw_score: NDArray[np.int32],
        decision: Decision,
        extra: Mapping[str, NDArray[Any]],
        run: int = 1,
    ) -> None:
        """Add the next events of the stream: all of them are counted, the accepted ones written."""
        rows = np.flatnonzero(decision.l1a)
        event = self._seen + rows
        orbit = event // spec.latency().orbit_bx
        values: dict[str, NDArray[Any]] = {
            "run": np.full(len(rows), run),
            "lumi": orbit // ORBITS_PER_LUMI + 1,
            "orbit": orbit,
            "bx": event % spec.latency().orbit_bx,
            "event": event,
            "hw_score": hw_score[rows],
            "seeds_before": seed_bits(decision.seeds_before[rows]),
            "seeds_after": seed_bits(decision.seeds_after[rows]),
            "codes": codes[rows],
            **{name: extra[name][rows] for name in self._extra},
        }
        for name, value in values.items():
            data = self._file[name]
            data.resize(self._kept + len(rows), axis=0)
            data[self._kept :] = value
        self._seen += len(codes)
        self._kept += len(rows)
        self._before += decision.seeds_before.sum(axis=0)
        self._after += decision.seeds_after.sum(axis=0)

    def summary(self) -> dict[str, Any]:
        """The document that goes into the file."""
        return {
            "format": "ad40 TriggerRecord",
            "format_version": 1,
            "ad40_version": __version__,
            "spec_hash": self._network.spec_hash,
            "model": {
                "name": self._network.name,
                "version": self._network.version,
                "hash": self._network.hash,
                "score_fraction": self._network.score_fraction,
            },
            "menu_hash": self._menu.hash,
            "events_seen": self._seen,
            "events_kept": self._kept,
            "seeds": [
                {
                    "name": s.name,
                    "threshold": s.threshold,
                    "prescale": s.prescale,
                    "before": int(b),
                    "after": int(a),
                }
                for s, b, a in zip(self._menu.seeds, self._before, self._after, strict=True)
            ],
            "source": self._source,
        }

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.attrs[_ATTRIBUTES] = json.dumps(self.summary())
        self._target.__exit__(kind, value, trace)


def read(path: str | Path, network: Network | None = None, menu: Menu | None = None) -> TriggerRecord:
    """Read a record. Refuses one of other object scales, and of another model or menu where these are given.

    Raises `InputError` on a file that is not a complete record, `HashMismatch` naming both hashes.
    """
    path = Path(path)
    try:
        with hdf5.open_file(path) as file:
            if _ATTRIBUTES not in file.attrs:
                raise InputError(
                    path, "attributes", "none of a record", "a TriggerRecord file written by `ad40 trigger`"
                )
            attributes = json.loads(file.attrs[_ATTRIBUTES])
            missing = [name for name in (*COLUMNS, "codes") if name not in file]
            if missing:
                raise InputError(path, "datasets", f"missing {', '.join(missing)}", "all columns of a TriggerRecord")
            codes = file["codes"][()].astype(np.int32)
            columns = {name: item[()] for name, item in file.items() if name != "codes"}
    except OSError as error:
        raise InputError(path, "file", f"unreadable ({error})", "a complete HDF5 file") from error
    objects.check_codes(codes, str(path))
    for name, column in columns.items():
        if len(column) != len(codes):
            raise InputError(path, f"{name}.length", len(column), f"{len(codes)}, that of codes")
    expected = [("spec_hash", attributes["spec_hash"], spec.objects().hash)]
    if network is not None:
        expected.append(("model.hash", attributes["model"]["hash"], network.hash))
    if menu is not None:
        expected.append(("menu_hash", attributes["menu_hash"], menu.hash))
    for name, found, wanted in expected:
        if found != wanted:
            raise HashMismatch(path, name, found, wanted)
    return TriggerRecord(path, codes, columns, attributes)
