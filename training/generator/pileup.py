"""Minimum-bias pool and its overlay.

Pool events are stored as hits: already propagated and with smeared tracks; calorimeter energies are smeared
after all collisions of a bunch crossing are summed.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from training.generator.detector import Hits, expand, make_hits, wrap
from training.generator.pythia import batches, flatten, make_hook, make_pythia
from training.generator.tables import detector_settings, processes


class Pool:
    """Minimum-bias events to draw from. hits: of all events in order; starts (n + 1,): first hit of each."""

    def __init__(self, hits: Hits) -> None:
        self.hits = hits
        self.size = int(hits.event[-1]) + 1
        self.starts = np.searchsorted(hits.event, np.arange(self.size + 1))

    @staticmethod
    def load(files: list[Path]) -> Pool:
        """Join the pool chunks."""
        parts, first = [], 0
        for file in files:
            with np.load(file) as data:
                hits = Hits(*(data[f.name] for f in fields(Hits)))
            hits.event = hits.event.astype(np.int64) + first
            first = int(hits.event[-1]) + 1
            parts.append(hits)
        return Pool(Hits.concatenate(parts))

    def overlay(
        self, vertex_z: np.ndarray, mean: float, at_vertex: int, rng: np.random.Generator
    ) -> tuple[Hits, np.ndarray]:
        """Hits of Poisson(mean) pileup collisions per event, plus `at_vertex` collisions at the primary vertex; and
        (n,) the number of pileup collisions of each event.

        Each pool event is turned by a random azimuth. Events repeat between crossings, never their azimuth.
        """
        n = len(vertex_z)
        pileup = rng.poisson(mean, n)
        drawn = rng.integers(self.size, size=int(pileup.sum()) + at_vertex * n)
        event = np.r_[np.repeat(np.arange(n), pileup), np.repeat(np.arange(n), at_vertex)]
        primary = np.r_[np.zeros(pileup.sum(), bool), np.ones(at_vertex * n, bool)]
        turn = rng.uniform(-np.pi, np.pi, len(drawn))
        owner, position = expand(self.starts[drawn + 1] - self.starts[drawn], self.starts[drawn])
        hits = self.hits.take(position)
        hits.event = event[owner]
        hits.phi = wrap(hits.phi + turn[owner])
        hits.cell_phi = wrap(hits.cell_phi + turn[owner])
        hits.z = np.where(primary[owner], vertex_z[hits.event], hits.z)
        return hits, pileup


def vertices(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) collision points along the beam [m]."""
    return rng.normal(0.0, detector_settings()["vertex"]["sigma_z"], n)


def pool_chunk(seed: int, events: int, rng: np.random.Generator) -> tuple[Hits, float]:
    """Generate `events` minimum-bias events with full multiparton interactions; also their cross-section [pb]."""
    hook = make_hook(None)
    pythia = make_pythia(processes()["processes"]["minimum_bias"]["settings"], seed, hook)
    parts, first = [], 0
    for arrays, n in batches(pythia, hook, events):
        hits = make_hits(flatten(pythia, arrays), vertices(n, rng), rng)
        hits.event = hits.event + first
        first += n
        parts.append(hits)
    hits = Hits.concatenate(parts)
    for f in fields(Hits):
        kind = np.int32 if f.name == "event" else np.int8 if f.name == "kind" else np.float32
        setattr(hits, f.name, getattr(hits, f.name).astype(kind))
    return hits, pythia.infoPython().sigmaGen() * 1e9
