"""Les Houches event files (.lhe, .lhe.gz) by pylhe, as objects of the hard process: no shower and no detector.

Light quarks, gluons and taus (two in three decay to hadrons) are jets, b quarks are b-jets, and MET is the sum of the
invisible particles. What decays before it is seen (t, W, Z, H) must have decayed in the file. The weight of an event
is XWGTUP; cross_section_pb is the sum of the processes of the <init> block.
"""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError, MissingTool
from offline.objects.collection import TYPES, Objects, columns_of, pad
from offline.objects.source import Source, unreadable

VISIBLE = {"jet": (1, 2, 3, 4, 21, 15), "bjet": (5,), "muon": (13,), "electron": (11,), "photon": (22,)}
"""abs(PDG id) of the particles of each type."""

INVISIBLE = (12, 14, 16, 18, *range(51, 61), 1000012, 1000014, 1000016, 1000022, 1000039)
"""Neutrinos, dark matter (51 to 60), sneutrinos, the lightest neutralino, the gravitino."""

BEAM_ETA = 10.0
"""A particle farther forward leaves through the beam pipe: its pt is below 0.7 GeV."""

_ERRORS = (OSError, EOFError, ValueError, IndexError, KeyError, RuntimeWarning, zlib.error)
_EVENT = re.compile(rb"<event[\s>]")
_TAIL = 256  # bytes; the closing tag may be followed by blank lines


class LheSource(Source):
    """An LHE file. n: its events, counted when it is opened."""

    kind = "lhe"

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(path, counts)
        if not self.path.exists():
            raise InputError(path, "file", "missing", "an LHE file")
        with unreadable(self.path, "file", _ERRORS, "a complete LHE file"):
            self.n = self._count()
            parsed = self._parse()
            parsed.events.close()
        init = parsed.init
        energies = init.initInfo.energyA, init.initInfo.energyB
        if not all(energy > 0 for energy in energies):
            raise InputError(path, "<init>, energies of the beams", energies, "two numbers > 0 GeV")
        self.sqrt_s = float(2 * np.sqrt(energies[0] * energies[1]))
        self.cross_section_pb = float(sum(process.xSection for process in init.procInfo))
        self._more = {
            "cross_section_error_pb": float(np.sqrt(sum(process.error**2 for process in init.procInfo))),
            "weighting_strategy": init.initInfo.weightingStrategy,
        }

    def _bytes(self) -> BinaryIO:
        with self.path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        return cast(BinaryIO, gzip.open(self.path) if zipped else self.path.open("rb"))

    def _count(self) -> int:
        """Events of the file, by its <event> tags; a file without its closing tag is refused."""
        number, tail = 0, b""
        with self._bytes() as file:
            while piece := file.read(1 << 22):
                text = tail + piece
                tail = text[-_TAIL:]  # a tag that the end of a piece cuts is counted with the next one
                number += len(_EVENT.findall(text)) - len(_EVENT.findall(tail))
        if b"</LesHouchesEvents>" not in tail:
            end = repr(tail[-20:].decode(errors="replace"))
            raise InputError(self.path, "end of the file", end, "</LesHouchesEvents>: the file is incomplete")
        return number + len(_EVENT.findall(tail))

    def _parse(self) -> Any:
        try:
            import pylhe
        except ImportError as error:
            raise MissingTool("the package 'pylhe'", "`pip install 'ad40[offline]'` reads LHE files") from error
        return pylhe.LHEFile.fromfile(self.path, with_attributes=False, generator=True)

    def _read(self, size: int) -> Iterator[Objects]:
        events = self._parse().events
        first = 0
        while first < self.n:
            weights: list[float] = []
            numbers: list[int] = []
            rows: list[tuple[float, ...]] = []
            where = f"an event after event {first}"
            with unreadable(self.path, where, _ERRORS, "events as the LHE format has them"), warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # pylhe only warns of a syntax error, and stops
                for event in islice(events, size):
                    seen = [(p.id, p.px, p.py, p.pz, p.m) for p in event.particles if p.status == 1]
                    rows += seen
                    numbers.append(len(seen))
                    weights.append(event.eventinfo.weight)
            if not weights:
                return
            yield self._block(np.array(rows, np.float64).reshape(-1, 5), np.array(numbers), weights, first)
            first += len(weights)

    def _block(self, rows: NDArray[np.float64], number: NDArray[np.int64], weights: list[float], first: int) -> Objects:
        """rows (particles, 5): PDG id, px, py, pz, mass of the final particles of these events."""
        event = np.repeat(np.arange(len(number)), number)
        kind = np.abs(rows[:, 0]).astype(np.int64)
        px, py, pz = rows[:, 1], rows[:, 2], rows[:, 3]
        if not np.isfinite(rows).all():
            k = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise InputError(
                self.path, f"event {first + event[k]}, particle {rows[k, 0]:g}", rows[k, 1:], "finite numbers"
            )
        known = np.isin(kind, [*INVISIBLE, *(code for codes in VISIBLE.values() for code in codes)])
        if not known.all():
            k = int(np.flatnonzero(~known)[0])
            expected = "only quarks but t, gluons, leptons, photons and invisible particles at the end of decays"
            raise InputError(self.path, f"event {first + event[k]}, final particle", f"PDG id {rows[k, 0]:g}", expected)
        pt = np.hypot(px, py)
        with np.errstate(divide="ignore", invalid="ignore"):
            eta = np.where(pt > 0, np.arcsinh(pz / pt), np.inf)
        flat = np.stack([pt, eta, np.arctan2(py, px), rows[:, 4]], axis=1).astype(np.float32)
        lists: dict[str, Any] = {}
        for name in TYPES:
            take = np.isin(kind, VISIBLE[name]) & (np.abs(eta) < BEAM_ETA)
            per_event = np.bincount(event[take], minlength=len(number))
            lists[name] = pad(per_event, flat[take], int(per_event.max(initial=0)))
        lost = np.isin(kind, INVISIBLE)
        sums = [np.bincount(event[lost], p[lost], minlength=len(number)) for p in (px, py)]
        met = np.stack([np.hypot(*sums), np.arctan2(sums[1], sums[0])], axis=1).astype(np.float32)
        columns = columns_of(len(number), first, weight=np.array(weights))
        return Objects(**lists, met=met, columns=columns)
