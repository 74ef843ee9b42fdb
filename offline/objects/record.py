"""TriggerRecords as objects: what the trigger saw, or the offline objects of the events it kept.

Hardware objects have no mass (0 here), no b-tag and no identity of electrons and photons: an e/gamma object is an
electron, and there are no b-jets or photons. A pt at the largest code is only a lower bound: `Objects.saturated`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hlt, objects, offline_events, record, spec
from ad40.errors import HashMismatch, InputError
from ad40.events import EventFile
from ad40.files import file_hash
from offline.objects.collection import TYPES, Objects, columns_of
from offline.objects.source import SQRT_S, Source, generated_cross_section

_TYPE_OF = {"jet": "jet", "muon": "muon", "egamma": "electron"}


class RecordSource(Source):
    """A TriggerRecord (`ad40 trigger`); with `events`, the offline event file it was triggered from, its objects."""

    kind = "record"

    def __init__(
        self, path: str | Path, counts: Mapping[str, int] | None = None, events: str | Path | None = None
    ) -> None:
        super().__init__(path, counts)
        self._events: Path | None = None
        self._file = self._open.enter_context(EventFile(path))
        try:
            self._read_document()
            if events is not None:
                self._check_events(Path(events), self._file.attributes["source"])
        except BaseException:
            self.close()
            raise

    def _read_document(self) -> None:
        """What the record says of itself."""
        document = self._file.attributes
        if self._file.kind != "record":
            raise InputError(self.path, "attributes", "none of a record", "a TriggerRecord written by `ad40 trigger`")
        lacking = [name for name in record.COLUMNS if name not in self._file.columns]
        lacking += [name for name in ("source", "events_seen", "models", "menu_hash", "seeds") if name not in document]
        if lacking:
            raise InputError(self.path, "record", f"without {', '.join(lacking)}", "a record of this version of ad40")
        self.n = self._file.n
        source = document["source"]
        sample = source.get("attributes", {})
        self.sqrt_s = float(sample.get("sqrt_s", SQRT_S))
        generated = generated_cross_section(sample)
        if generated is not None and document["events_seen"]:
            self.cross_section_pb = generated * self.n / document["events_seen"]
        self._more = {
            "source": {name: source[name] for name in ("file", "sha256")},
            "events_seen": document["events_seen"],
            "hashes": {
                "object scales": document["spec_hash"],
                "models": " ".join(model["hash"] for model in document["models"]),
                "menu": document["menu_hash"],
                **({"high-level stage": document[hlt.KEY]["menu_hash"]} if hlt.KEY in document else {}),
            },
            "models": [{name: model[name] for name in ("name", "version")} for model in document["models"]],
            "seeds": [seed["name"] for seed in document["seeds"]],
            "sample": sample,
        }

    def _check_events(self, events: Path, source: dict[str, Any]) -> None:
        """Use the offline objects of these events; refuse those that the record was not triggered from."""
        found = offline_events.describe_offline(events)
        if "files" in source:
            raise InputError(self.path, "source", source["file"], "one file of events; read the records one by one")
        here = file_hash(events)
        if here != source["sha256"]:
            raise HashMismatch(events, "sha256", here, f"{source['sha256']}, the source of {self.path}")
        self._more["objects"] = {"file": events.name, "sha256": here, "kind": "offline", "btag": found.btag}
        self._events, self._source_events = events, found.n

    def _read(self, size: int) -> Iterator[Objects]:
        for start in range(0, self.n, size):
            stop = min(start + size, self.n)
            columns = {name: self._file.column(name, start, stop) for name in self._file.columns}
            if self._events is None:
                yield from_codes(self._file.codes(start, stop), columns)
            else:
                yield self._offline(columns, start, size)

    def _offline(self, columns: dict[str, NDArray[Any]], start: int, size: int) -> Objects:
        """Offline objects of some events of the record; the file is passed once, as rows rise along a record."""
        assert self._events is not None
        rows = columns["event"]
        bad = np.flatnonzero((rows < 0) | (rows >= self._source_events) | (np.diff(rows, prepend=-1) <= 0))
        if len(bad):
            where, expected = f"event of row {start + int(bad[0])}", f"rising rows of {self._source_events} events"
            raise InputError(self.path, where, int(rows[bad[0]]), expected)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in offline_events.SHAPES}
        k = 0
        while k < len(rows):
            low = int(rows[k])
            last = int(np.searchsorted(rows, low + size))
            block = offline_events.read_offline(self._events, low, int(rows[last - 1]) + 1)
            for name, values in block.items():
                parts[name].append(values[rows[k:last] - low])
            k = last
        return from_offline({name: np.concatenate(values) for name, values in parts.items()}, columns)


def from_codes(codes: NDArray[np.integer], columns: Mapping[str, NDArray[Any]]) -> Objects:
    """Objects of hardware codes (n, 19, 3), as the module says; columns: those of the record, passed through."""
    events = objects.decode(codes)
    lists: dict[str, Any] = {name: np.zeros((len(events), 0, 4), np.float32) for name in TYPES}
    saturated = {}
    for kind in spec.objects().types:
        if kind.name in _TYPE_OF:
            name = _TYPE_OF[kind.name]
            lists[name] = np.zeros((len(events), kind.count, 4), np.float32)
            lists[name][..., :3] = events[:, kind.slots]
            saturated[name] = np.asarray(codes)[:, kind.slots, objects.PT] >= kind.pt.max_code
    met = events[:, spec.objects()["met"].slots][:, 0, [objects.PT, objects.PHI]]
    return Objects(**lists, met=met, columns=columns_of(len(events), **columns), saturated=saturated)


def from_offline(arrays: Mapping[str, NDArray[Any]], columns: Mapping[str, NDArray[Any]], first: int = 0) -> Objects:
    """Objects of what `ad40.offline_events.read_offline` gives, with columns of the same events; first: their row."""
    n = len(arrays["met"])
    known = {"pileup": arrays["pileup"], **columns}
    lists: dict[str, Any] = {name: arrays[name] for name in TYPES}
    return Objects(**lists, met=arrays["met"], columns=columns_of(n, first, **known))
