"""Offline event files (`ad40 generate --offline`) as objects: full resolution, b-tags, photons, masses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ad40 import offline_events
from ad40.events import EventFile
from offline.objects.collection import Objects
from offline.objects.record import from_offline
from offline.objects.source import SQRT_S, Source, generated_cross_section


class OfflineSource(Source):
    """The group `offline/` of an event file; columns of the file (process, parent, ...) are passed through."""

    kind = "offline"

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(path, counts)
        found = offline_events.describe_offline(path)
        self._file = self._open.enter_context(EventFile(path))
        self.n = found.n
        sample = self._file.attributes
        self.sqrt_s = float(sample.get("sqrt_s", SQRT_S))
        self.cross_section_pb = generated_cross_section(sample)
        self._more = {"btag": found.btag, "sample": sample}

    def _read(self, size: int) -> Iterator[Objects]:
        for start in range(0, self.n, size):
            stop = min(start + size, self.n)
            arrays = offline_events.read_offline(self.path, start, stop)
            columns = {name: self._file.column(name, start, stop) for name in self._file.columns}
            yield from_offline(arrays, columns, start)
