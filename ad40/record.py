"""The TriggerRecord file: what the trigger kept, and which trigger it was.

HDF5, one row per accepted event: run, lumi (lumi section), orbit, bx, event (row in the source file), codes
(int16, 19 x 3), hw_score (of the first model; of others hw_score_<name>), seeds_before and seeds_after (bit masks,
seed 0 in bit 0), and optional columns copied from the source (`process`, ...). Attributes: a JSON document with the
events seen, per-seed counts, and the hashes of spec, models and menu. What a high-level stage adds: `ad40.hlt`.
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

from ad40 import __version__, hdf5, hlt, objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.menu import Decision, seed_bits
from ad40.model import Trigger

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

    One event per BX from orbit 0 of the run, unless the source says otherwise. stage: the document of the high-level
    stage that has read the events, where one has.
    """

    def __init__(
        self,
        path: str | Path,
        trigger: Trigger,
        source: Mapping[str, Any],
        extra: Mapping[str, np.dtype[Any]],
        stage: Mapping[str, Any] | None = None,
    ) -> None:
        self._stage = {} if stage is None else {hlt.KEY: dict(stage)}
        self._path, self._trigger, self._source = Path(path), trigger, dict(source)
        self._extra = dict(extra)
        self._target = hdf5.create(path)
        self._seen = self._kept = 0
        self._before = np.zeros(len(trigger.menu.seeds), np.int64)
        self._after = np.zeros(len(trigger.menu.seeds), np.int64)

    def __enter__(self) -> Writer:
        self._file = self._target.__enter__()
        options: dict[str, Any] = {"compression": "gzip", "shuffle": True}
        scores = dict.fromkeys(score_columns(self._trigger), np.int32)
        # The data sets stay open: HDF5 compresses the unfinished chunk of one each time it is closed
        self._data = {
            name: self._file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(16384,), **options)
            for name, kind in (COLUMNS | scores | self._extra).items()
        }
        shape = (objects.N_OBJECTS, objects.N_FEATURES)
        self._data["codes"] = self._file.create_dataset(
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
        """Add the next events of the stream, hw_score (n, models): all are counted, the accepted ones written."""
        rows = np.flatnonzero(decision.l1a)
        self.count(len(codes), decision.seeds_before.sum(axis=0), decision.seeds_after.sum(axis=0))
        self.keep(
            self._seen - len(codes) + rows,
            codes[rows],
            hw_score[rows],
            seed_bits(decision.seeds_before[rows]),
            seed_bits(decision.seeds_after[rows]),
            {name: extra[name][rows] for name in self._extra},
            run,
        )

    def count(self, seen: int, before: NDArray[np.integer], after: NDArray[np.integer]) -> None:
        """Add slots that were seen, and the firings of each seed (seeds,) before and after prescale."""
        self._seen += seen
        self._before += before
        self._after += after

    def keep(
        self,
        slot: NDArray[np.integer],
        codes: NDArray[np.int32],
        hw_score: NDArray[np.int32],
        before: NDArray[np.uint32],
        after: NDArray[np.uint32],
        extra: Mapping[str, NDArray[Any]],
        run: int = 1,
    ) -> None:
        """Write accepted events: slot (n,) counts bunch crossings from orbit 0; before and after are bit masks."""
        latency = spec.latency()
        orbit = slot // latency.orbit_bx
        values: dict[str, NDArray[Any]] = {
            "run": np.full(len(slot), run),
            "lumi": (orbit >> latency.lumi_orbits_log2) + 1,
            "orbit": orbit,
            "bx": slot % latency.orbit_bx,
            "event": slot,
            **dict(zip(score_columns(self._trigger), hw_score.T, strict=True)),
            "seeds_before": before,
            "seeds_after": after,
            "codes": codes,
            **extra,
        }
        for name, value in values.items():
            data = self._data[name]
            data.resize(self._kept + len(slot), axis=0)
            data[self._kept :] = value
        self._kept += len(slot)

    def summary(self) -> dict[str, Any]:
        """The document that goes into the file."""
        return {
            "format": "ad40 TriggerRecord",
            "format_version": hlt.VERSION if self._stage else 2,
            "ad40_version": __version__,
            "spec_hash": self._trigger.menu.spec_hash,
            "models": [
                {
                    "name": network.name,
                    "version": network.version,
                    "hash": network.hash,
                    "score_fraction": network.score_fraction,
                }
                for network in self._trigger.networks
            ],
            "menu_hash": self._trigger.menu.hash,
            "events_seen": self._seen,
            "events_kept": self._kept,
            "seeds": [
                {
                    "name": s.name,
                    "model": s.model,
                    "threshold": s.threshold,
                    "prescales": [float(prescale) for prescale in s.prescales],
                    "before": int(b),
                    "after": int(a),
                }
                for s, b, a in zip(self._trigger.menu.seeds, self._before, self._after, strict=True)
            ],
            "source": self._source,
            **self._stage,
        }

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.attrs[hdf5.RECORD] = json.dumps(self.summary())
        self._target.__exit__(kind, value, trace)


def score_columns(trigger: Trigger) -> list[str]:
    """The columns that hold the scores of each model: `hw_score` of the first, `hw_score_<name>` of the others."""
    return ["hw_score", *(f"hw_score_{network.name}" for network in trigger.networks[1:])]


def read(path: str | Path, trigger: Trigger | None = None) -> TriggerRecord:
    """Read a record. Refuses one of other object scales, and of another trigger where one is given.

    Raises `InputError` on a file that is not a complete record, `HashMismatch` naming both hashes.
    """
    path = Path(path)
    try:
        with hdf5.open_file(path) as file:
            if hdf5.RECORD not in file.attrs:
                raise InputError(
                    path, "attributes", "none of a record", "a TriggerRecord file written by `ad40 trigger`"
                )
            attributes = json.loads(file.attrs[hdf5.RECORD])
            hlt.check(path, attributes, list(file))
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
    if trigger is not None:
        found, wanted = ([m["hash"] for m in attributes["models"]], [n.hash for n in trigger.networks])
        expected.append(("models", " ".join(found), " ".join(wanted)))
        expected.append(("menu_hash", attributes["menu_hash"], trigger.menu.hash))
    for name, here, there in expected:
        if here != there:
            raise HashMismatch(path, name, here, there)
    return TriggerRecord(path, codes, columns, attributes)
