"""One chunk of generator work: fixed seeds, a fixed number of tries, one file. Runs in a worker process.

A chunk depends on (seed, process, chunk number) and the settings only, never on the worker or on other chunks.
"""

from __future__ import annotations

import functools
import json
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ad40.files import atomic_path, sha256_of
from training import detector, heavyflavour, reconstruction
from training.detector import Hits, Particles
from training.pileup import Pool, pool_chunk, vertices
from training.pythia import batches, make_hook, make_pythia, versions
from training.tables import detector_settings, processes

_DETECTOR_BATCH = 200


@dataclass(frozen=True)
class Job:
    """What a chunk is made of. `folder` holds the chunks of one process with one set of settings."""

    process: str
    seed: int
    settings: tuple[str, ...]  # Pythia lines of the process, without the common ones
    source: str  # where they came from
    full_mpi: bool
    pileup: float
    pool_events: int
    work: Path

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """Everything that decides the content of the chunks, as written to the files' attributes."""
        cards, card = processes(), processes()["processes"][self.process]
        return {
            "process": self.process,
            "seed": self.seed,
            "settings": [*cards["common"], *self.settings, *([] if self.full_mpi else cards["fast"])],
            "card": {key: value for key, value in card.items() if key != "settings"},
            "full_mpi": self.full_mpi,
            "pileup_mean": self.pileup,
            "pool": {**cards["pileup"], "pool_events": self.pool_events},
            "filter": cards["filter"],
            "chunk_scales": cards["chunk_scales"],
            "version": cards["version"],
            "detector": sha256_of(detector_settings()),
            "generators": versions(),
        }

    @functools.cached_property
    def hash(self) -> str:
        return sha256_of(self.document)

    @property
    def folder(self) -> Path:
        return self.work / f"{self.process}-{self.hash[:12]}"

    def chunk_file(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:05d}.npz"

    @property
    def library_file(self) -> Path:
        return self.work / f"decays-{self._common_hash}.npz"

    @property
    def pool_files(self) -> list[Path]:
        folder = self.work / f"pool-{self._common_hash}"
        each = processes()["pileup"]["pool_chunk"]
        count = -(-self.pool_events // each)
        return [folder / f"pool-{i:03d}-{self.pool_file_events(i)}.npz" for i in range(count)]

    def pool_file_events(self, index: int) -> int:
        """Events in a file of the pool: the last one may be short."""
        each: int = processes()["pileup"]["pool_chunk"]
        return min(each, self.pool_events - index * each)

    @property
    def _common_hash(self) -> str:
        """Of what pool and decay library depend on."""
        keys = ("seed", "detector", "version", "generators")
        cards = processes()
        rest = [cards["common"], cards["processes"]["minimum_bias"], heavyflavour.LIBRARY_DECAYS]
        return sha256_of([{key: self.document[key] for key in keys}, rest])[:12]


def _rng(seed: int, name: str, chunk: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), chunk])


def make_pool_file(job: Job, index: int) -> int:
    """Make one file of the minimum-bias pool; returns its number of events."""
    file = job.pool_files[index]
    events = job.pool_file_events(index)
    if not file.exists():
        rng = _rng(job.seed, "pool", index)
        hits, _ = pool_chunk(int(rng.integers(1, 900_000_000)), events, rng)
        _save(file, {f.name: getattr(hits, f.name) for f in fields(Hits)})
    return events


def make_library_file(job: Job) -> int:
    """Make the library of heavy-flavour decays; returns its number of decays."""
    if not job.library_file.exists():
        library = heavyflavour.build_library(int(_rng(job.seed, "decays", 0).integers(1, 900_000_000)))
        _save(job.library_file, {f.name: getattr(library, f.name) for f in fields(library)})
    return heavyflavour.LIBRARY_DECAYS * len(heavyflavour.HEAVY)


def _save(file: Path, arrays: dict[str, Any]) -> None:
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


@functools.lru_cache(maxsize=1)
def _pool(files: tuple[Path, ...]) -> Pool:
    return Pool.load(list(files))


@functools.lru_cache(maxsize=1)
def _library(file: Path) -> heavyflavour.Library:
    return heavyflavour.Library.load(file)


def read_chunk(job: Job, chunk: int) -> dict[str, Any] | None:
    """Content of a finished chunk, or None if it is missing, unreadable or made with other settings.

    Keys: events float32 (n, 19, 3), parent int64 (n,), parts: list of counts for each pTHat slice (or one).
    """
    try:
        with np.load(job.chunk_file(chunk)) as data:
            meta = json.loads(str(data["meta"]))
            if meta["hash"] != job.hash or meta["chunk"] != chunk or len(data["events"]) != len(data["parent"]):
                return None
            return {"events": data["events"], "parent": data["parent"], "parts": meta["parts"]}
    except (OSError, ValueError, KeyError, EOFError, zlib.error):
        return None
    except Exception as error:  # zipfile.BadZipFile of a truncated file
        if type(error).__name__ == "BadZipFile":
            return None
        raise


def make_chunk(job: Job, chunk: int) -> int:
    """Make one chunk and its file unless a good one is there; returns its number of events."""
    done = read_chunk(job, chunk)
    if done is not None:
        return len(done["events"])
    rng = _rng(job.seed, job.process, chunk)
    card = processes()["processes"][job.process]
    scales = processes()["chunk_scales"]
    scale = scales[min(chunk, len(scales) - 1)]
    first_parent = (card["code"] << 48) | (chunk << 24)
    outputs, parents, parts = [], [], []
    for part in card.get("slices", [None]):
        events, parent, counts = _make_part(job, card, part, scale, rng)
        outputs.append(events)
        parents.append(parent + first_parent)
        parts.append(counts)
        first_parent += counts["generated"]
    events, parent = np.concatenate(outputs), np.concatenate(parents)
    order = rng.permutation(len(events))
    meta = json.dumps({"hash": job.hash, "chunk": chunk, "parts": parts})
    _save(job.chunk_file(chunk), {"events": events[order], "parent": parent[order], "meta": np.array(meta)})
    return len(events)


def _make_part(
    job: Job, card: dict[str, Any], part: dict[str, Any] | None, scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Events of one pTHat slice (or of the whole process): events, numbers of their parents, counts."""
    cut = processes()["filter"]
    lines = [*job.settings, *([] if job.full_mpi else processes()["fast"])]
    if part is None:
        tries, copies = max(1, round(card["tries"] * scale)), 1
        hook = make_hook(card.get("parton_veto"))
    else:
        # a fraction of a try is made with that probability, so that slices keep their weights
        copies = part["oversampling"]
        tries = int(card["luminosity"] * scale * part["cross_section"] / copies + rng.random())
        hook = make_hook(part["heavy_pt"], heavy_only=True)
        limits = [f"PhaseSpace:pTHatMin = {part['low']}", f"PhaseSpace:pTHatMax = {part['high']}"]
        lines += [*limits, *heavyflavour.UNDECAYED]
    pythia = make_pythia(lines, int(rng.integers(1, 900_000_000)), hook, job.source)
    outputs, parents, generated, leptons = [np.zeros((0, 19, 3), np.float32)], [np.zeros(0, np.int64)], 0, 0
    for particles, n in batches(pythia, hook, tries):
        if part is None:
            particles, source = _with_lepton(particles, n)
        else:
            library = _library(job.library_file)
            preselection = (cut["preselect_pt"], cut["preselect_abs_eta"], cut["preselect_isolation"])
            particles, source = heavyflavour.oversample(particles, n, copies, library, *preselection, rng)
        for start in range(0, len(source), _DETECTOR_BATCH):
            passed, events, found = _detect(job, particles, start, min(start + _DETECTOR_BATCH, len(source)), rng)
            outputs.append(events)
            parents.append(generated + source[start + passed])
            leptons += found
        generated += n
    info = pythia.infoPython()
    counts = {
        "tries": tries,
        "oversampling": copies,
        "generated": generated,
        "leptons": leptons,
        "passed": sum(map(len, outputs)),
        # sigmaGen covers what passed the veto only
        "cross_section_pb": info.sigmaGen() * 1e9 * hook.seen / hook.kept if hook.kept else 0.0,
    }
    return np.concatenate(outputs), np.concatenate(parents), counts


def _with_lepton(p: Particles, n: int) -> tuple[Particles, np.ndarray]:
    """Events with a generator e or mu that could pass the filter, renumbered; and their old numbers."""
    cut = processes()["filter"]
    pt = np.hypot(p.px, p.py)
    near = np.abs(np.arcsinh(p.pz / np.maximum(pt, 1e-9))) < cut["preselect_abs_eta"]
    kept = np.unique(p.event[np.isin(np.abs(p.pdg), (11, 13)) & (pt > cut["preselect_pt"]) & near])
    number = np.full(n, -1)
    number[kept] = np.arange(len(kept))
    p = p.take(np.flatnonzero(number[p.event] >= 0))
    p.event = number[p.event]
    return p, kept


def _detect(
    job: Job, particles: Particles, start: int, stop: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Pileup and detector for events start .. stop: those that pass, their objects, events with a lepton."""
    low, high = np.searchsorted(particles.event, (start, stop))
    batch = particles.take(np.arange(low, high))
    batch.event = batch.event - start
    cards = processes()
    z = vertices(stop - start, rng)
    extra = 0 if job.full_mpi else cards["pileup"]["fast_extra"]
    pileup = _pool(tuple(job.pool_files)).overlay(z, job.pileup, extra, rng)
    hits = Hits.concatenate([detector.make_hits(batch, z, rng), pileup])
    cut = cards["filter"]
    passed, events, counts = reconstruction.reconstruct(hits, z, rng, cut["pt_min"], cut["isolation_max"])
    return passed, events, counts["lepton"]
