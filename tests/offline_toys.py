"""Toy events for the tests of the offline searches; anybody may use them.

`toys(n, seed)` are smooth background events: one momentum scale per event, falling like a power, to which jets, b-jets,
leptons and photons belong that recoil against each other, so that cells of the matrix and masses are correlated.
`resonance(n, mass, seed)` are such events with a jet and a muon from a particle of this mass. For `offline.table.write`,
`ToySource(...)` is the same as an open event file of any length, made block by block, and `InMemory(objects)` any
objects as one. `write_table(path, n)` writes an event table, `write_events(path, objects)` an offline event file.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.events import write_adc2021
from ad40.offline_events import write_offline
from offline import table
from offline.objects.collection import COUNTS, ELECTRON_MASS, MUON_MASS, Objects, columns_of, ordered
from offline.objects.source import Source

CHUNK = 4096  # events of one seed
MEAN_PILEUP = 30.0
STREAMS = ("met", "1l", "2l", "photon", "jet", "4jet")
SPECTRA = ("jj", "jb", "jmu", "je", "bmu")


def toys(n: int, seed: int = 1, first: int = 0) -> Objects:
    """n background events; `first` is the number of the first one. Runs of 5,000 events, lumi sections of 500."""
    return _events(np.random.default_rng([seed, 0]), n, first)


def resonance(n: int, mass: float = 3000.0, seed: int = 1, width: float = 0.03) -> Objects:
    """n events with a jet and a muon that have a mass around `mass` [GeV], of relative width `width`."""
    rng = np.random.default_rng([seed, 1])
    events = _events(rng, n, 0)
    m = mass * (1 + width * rng.standard_normal(n))
    half, phi = 0.5 * rng.normal(0, 1, n).clip(-2, 2), rng.uniform(-np.pi, np.pi, n)
    pt, boost = m / (2 * np.cosh(half)), rng.normal(0, 0.4, n)  # massless, back to back: m = 2 pt cosh(d_eta / 2)
    one = np.stack([pt, boost + half, phi, np.zeros(n)], axis=-1)
    other = np.stack([pt, boost - half, (phi + 2 * np.pi) % (2 * np.pi) - np.pi, np.zeros(n)], axis=-1)
    events.jet[:, -1], events.muon[:, -1] = one, other
    events.muon[:, -1, 3] = MUON_MASS
    return ordered(events)


def _events(rng: np.random.Generator, n: int, first: int) -> Objects:
    scale = 60 * rng.pareto(3.2, n) + 60  # [GeV]
    axis = rng.uniform(-np.pi, np.pi, n)
    tilt = rng.normal(0, 0.7, n)  # how far the whole event is boosted along the beam
    lists = {
        "jet": _objects(rng, scale, axis, tilt, 1 + rng.poisson(1.2 + 0.002 * scale), 0.11, COUNTS["jet"]),
        "bjet": _objects(rng, scale, axis, tilt, rng.binomial(2, 0.2, n), 0.12, COUNTS["bjet"]),
        "muon": _objects(rng, scale, axis + np.pi, tilt, rng.binomial(2, 0.45, n), 0.0, COUNTS["muon"]),
        "electron": _objects(rng, scale, axis + np.pi, tilt, rng.binomial(2, 0.4, n), 0.0, COUNTS["electron"]),
        "photon": _objects(rng, scale, axis, tilt, rng.binomial(2, 0.03, n), 0.0, COUNTS["photon"]),
    }
    for name, mass in (("muon", MUON_MASS), ("electron", ELECTRON_MASS)):
        lists[name][..., 3] = np.where(lists[name][..., 0] > 0, mass, 0)
    met = np.stack([rng.exponential(0.35 * scale), _angle(axis + rng.normal(0, 0.8, n))], axis=-1).astype(np.float32)
    number = np.arange(first, first + n)
    pileup = rng.poisson(MEAN_PILEUP, n).astype(np.float32)
    columns = columns_of(n, first, run=1 + number // 5000, lumi=1 + number % 5000 // 500, pileup=pileup)
    return ordered(Objects(**lists, met=met, columns=columns))


def _objects(
    rng: np.random.Generator, scale: NDArray[Any], axis: NDArray[Any], tilt: NDArray[Any], number: NDArray[Any],
    mass: float, slots: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Lists (n, slots, 4): each object softer than the one before, on alternating sides of the axis."""
    shape = (len(scale), slots)
    rank = np.arange(slots)
    out = np.zeros((*shape, 4), np.float32)
    out[..., 0] = scale[:, None] * 0.6**rank * rng.lognormal(0, 0.35, shape)
    out[..., 1] = (tilt[:, None] + rng.normal(0, 0.8, shape)).clip(-4, 4)
    out[..., 2] = _angle(axis[:, None] + np.pi * rank + rng.normal(0, 0.4, shape))
    out[..., 3] = mass * out[..., 0] * rng.lognormal(0, 0.2, shape)
    out[rank >= number[:, None]] = 0
    return out


def _angle(phi: NDArray[Any]) -> NDArray[Any]:
    return (phi + np.pi) % (2 * np.pi) - np.pi


class ToySource(Source):
    """An open file of n toy events that is made while it is read. mass: of a resonance, None = background."""

    kind = "toy"

    def __init__(self, n: int, seed: int = 1, mass: float | None = None) -> None:
        super().__init__(Path(f"toys_{n}_{seed}_{mass}"))
        self.n, self._seed, self._mass = n, seed, mass
        self._sha256 = sha256(str(self.path).encode()).hexdigest()

    def _read(self, size: int) -> Iterator[Objects]:
        for start in range(0, self.n, CHUNK):
            m, seed = min(CHUNK, self.n - start), self._seed + start
            events = toys(m, seed, start) if self._mass is None else resonance(m, self._mass, seed)
            for at in range(0, m, size):
                yield events.take(slice(at, min(at + size, m)))


class InMemory(Source):
    """Objects as an open event file."""

    kind = "memory"

    def __init__(self, events: Objects, name: str = "memory") -> None:
        super().__init__(Path(name), events.counts)
        self.n, self._events = len(events), events
        self._sha256 = sha256(name.encode()).hexdigest()

    def _read(self, size: int) -> Iterator[Objects]:
        for start in range(0, self.n, size):
            yield self._events.take(slice(start, start + size))


def write_events(path: Path, events: Objects) -> Path:
    """An offline event file, as `ad40 generate --offline` makes it, whose hardware objects are only a MET."""
    arrays = {name: events[name] for name in COUNTS} | {"met": events.met, "pileup": events.columns["pileup"]}
    particles = np.zeros((len(events), 19, 3), np.float32)
    particles[:, 0, 0] = 30
    write_adc2021(path, particles, also=lambda file: write_offline(file, arrays, {"name": "none"}))
    return path


def write_table(
    path: Path, n: int = 4000, seed: int = 1, mass: float | None = None, *,
    streams: tuple[str, ...] = STREAMS, spectra: tuple[str, ...] = SPECTRA,
) -> Path:  # fmt: skip
    """An event table of toy events with all streams and the usual masses of them."""
    table.write(path, [ToySource(n, seed, mass)], streams=streams, spectra=spectra)
    return path
