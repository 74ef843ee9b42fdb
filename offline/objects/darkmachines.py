"""Dark Machines CSV (arXiv 2105.14027) as objects: one line per event, any number of objects.

    event ID; process ID; weight; MET; METphi; obj, E, pt, eta, phi; obj, E, pt, eta, phi; ...

Energies in MeV in the file, GeV here. obj is j, b, e-, e+, m-, m+ or g (photon). The masses of jets follow from E;
charges are not kept. The process, a name in the file, becomes the column `process`: its place in the attribute
`processes`, in alphabetical order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import ELECTRON_MASS, MUON_MASS, TYPES, Objects, columns_of, pad
from offline.objects.source import Source

SYMBOLS = {"j": "jet", "b": "bjet", "e-": "electron", "e+": "electron", "m-": "muon", "m+": "muon", "g": "photon"}
HEADER = ("event ID", "process ID", "weight", "MET", "METphi")
_MASS = {"electron": ELECTRON_MASS, "muon": MUON_MASS, "photon": 0.0}
_GEV = 1e-3
_EXPECTED = "event ID; process ID; weight; MET; METphi; and obj,E,pt,eta,phi of each object"


def looks_like(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a Dark Machines CSV."""
    line = start.split(b"\n", 1)[0]
    return line.count(b";") >= len(HEADER) - 1 and b"\0" not in line


class DarkMachinesSource(Source):
    """A Dark Machines CSV. n: its lines, counted when it is opened."""

    kind = "darkmachines"

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(path, counts)
        names = set()
        for number, line in enumerate(self._lines()):
            parts = line.split(";", 2)
            if len(parts) < 3:
                raise InputError(path, f"event {number}", repr(line[:60]), _EXPECTED)
            names.add(parts[1].strip())
            self.n = number + 1
        if not self.n:
            raise InputError(path, "content", "no line", _EXPECTED)
        self._codes = {name: code for code, name in enumerate(sorted(names))}
        if len(names) > np.iinfo(np.uint16).max:
            raise InputError(path, "process ID", f"{len(names)} different ones", "names of processes")
        self._more = {"processes": sorted(names)}

    def _lines(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="ascii") as file:
                for line in file:
                    if line.strip():
                        yield line.strip().rstrip(";")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(self.path, "file", str(error), "a readable CSV of Dark Machines") from error

    def _read(self, size: int) -> Iterator[Objects]:
        lines, first = self._lines(), 0
        while block := list(islice(lines, size)):
            yield self._block(block, first)
            first += len(block)

    def _block(self, lines: list[str], first: int) -> Objects:
        rows = [line.split(";") for line in lines]
        for k, row in enumerate(rows):
            if len(row) < len(HEADER) or any(part.count(",") != 4 for part in row[len(HEADER) :]):
                raise InputError(self.path, f"event {first + k}", repr(lines[k][:80]), _EXPECTED)
        header = np.array([[row[0], *row[2 : len(HEADER)]] for row in rows])
        number = np.array([len(row) - len(HEADER) for row in rows])
        objects = [part for row in rows for part in row[len(HEADER) :]]
        fields = np.array(",".join(objects).split(",")).reshape(-1, 5) if objects else np.zeros((0, 5), str)
        event = np.repeat(np.arange(len(rows)), number)
        x = self._numbers(fields[:, 1:], event + first, ("E", "pt", "eta", "phi"))
        values = self._numbers(header, np.arange(len(rows)) + first, ("event ID", "weight", "MET", "METphi"))
        return self._objects(x, np.char.strip(fields[:, 0]), event, values, rows, first)

    def _numbers(self, text: NDArray[Any], event: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        try:
            return text.astype(np.float64)
        except ValueError as error:
            for k, row in enumerate(text):
                for name, word in zip(names, row, strict=True):
                    try:
                        float(word)
                    except ValueError:
                        raise InputError(self.path, f"event {event[k]}, {name}", repr(str(word)), "a number") from error
            raise

    def _objects(
        self, x: NDArray[np.float64], symbol: NDArray[Any], event: NDArray[Any], values: NDArray[np.float64],
        rows: list[list[str]], first: int,
    ) -> Objects:  # fmt: skip
        """x: E, pt, eta, phi of each object, its symbol and event; values: event ID, weight, MET, METphi of each."""
        unknown = ~np.isin(symbol, list(SYMBOLS))
        if unknown.any():
            k = int(np.flatnonzero(unknown)[0])
            expected = "one of " + ", ".join(SYMBOLS)
            raise InputError(self.path, f"event {first + event[k]}, object", repr(str(symbol[k])), expected)
        e, pt, eta, phi = x.T * np.array([[_GEV], [_GEV], [1], [1]])
        with np.errstate(over="ignore", invalid="ignore"):
            mass2 = e**2 - (pt * np.cosh(eta)) ** 2
            mass = np.sign(mass2) * np.sqrt(np.abs(mass2))  # below zero as far as rounded: see `collection.check`
        lists: dict[str, Any] = {}
        for name in TYPES:
            take = np.isin(symbol, [s for s, kind in SYMBOLS.items() if kind == name])
            flat = np.stack([pt, eta, phi, np.full(len(pt), _MASS[name]) if name in _MASS else mass], axis=1)[take]
            per_event = np.bincount(event[take], minlength=len(rows))
            lists[name] = pad(per_event, flat.astype(np.float32), int(per_event.max(initial=0)))
        met = np.stack([values[:, 2] * _GEV, values[:, 3]], axis=1).astype(np.float32)
        process = np.array([self._codes[row[1].strip()] for row in rows], np.uint16)
        columns = columns_of(len(rows), first, weight=values[:, 1])
        return Objects(**lists, met=met, columns=columns | {"process": process})
