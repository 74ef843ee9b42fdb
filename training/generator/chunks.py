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
from ad40.offline_events import FLAVOURS, SHAPES
from training.generator import detector, heavyflavour, offline_objects, reconstruction, streams
from training.generator.detector import Hits, Particles
from training.generator.pileup import Pool, pool_chunk, vertices
from training.generator.pythia import batches, flatten, make_hook, make_pythia, versions
from training.generator.tables import detector_settings, processes
from training.generator.truth import Truth, truth_of

_DETECTOR_BATCH = 200
_DATASETS = (*SHAPES, *FLAVOURS)


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
    offline: bool = False  # full-resolution objects as well
    streams: bool = False  # filter: one of the streams on offline objects, instead of the lepton

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """Everything that decides the content of the chunks, as written to the files' attributes."""
        cards, card = processes(), processes()["processes"][self.process]
        detector_card = dict(detector_settings())
        offline = detector_card.pop("offline")  # jobs without offline objects do not depend on it
        more = {"offline": offline} if self.offline else {}
        return {
            "process": self.process,
            "seed": self.seed,
            "settings": [*cards["common"], *self.settings, *([] if self.full_mpi else cards["fast"])],
            "card": {key: value for key, value in card.items() if key != "settings"},
            "full_mpi": self.full_mpi,
            "pileup_mean": self.pileup,
            "pool": {**cards["pileup"], "pool_events": self.pool_events},
            "filter": cards["stream_filter"] if self.streams else cards["filter"],
            "chunk_scales": cards["chunk_scales"],
            "version": cards["version"],
            "detector": sha256_of(detector_card),
            "generators": versions(),
            **more,
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

    Keys: events float32 (n, 19, 3), parent int64 (n,), offline: arrays of `ad40.offline_events` (empty without
    them), parts: list of counts for each pTHat slice (or one).
    """
    try:
        with np.load(job.chunk_file(chunk)) as data:
            meta = json.loads(str(data["meta"]))
            if meta["hash"] != job.hash or meta["chunk"] != chunk or len(data["events"]) != len(data["parent"]):
                return None
            offline = {name: data[f"offline_{name}"] for name in _DATASETS} if job.offline else {}
            return {"events": data["events"], "parent": data["parent"], "offline": offline, "parts": meta["parts"]}
    except (OSError, ValueError, KeyError, EOFError, zlib.error):
        return None
    except Exception as error:  # zipfile.BadZipFile of a truncated file
        if type(error).__name__ == "BadZipFile":
            return None
        raise


@dataclass
class _Batch:
    """Events that pass: what the trigger sees, numbers of their parents, offline arrays (empty without them)."""

    events: np.ndarray
    parent: np.ndarray
    offline: dict[str, np.ndarray]

    @staticmethod
    def concatenate(batches: list[_Batch], job: Job) -> _Batch:
        empty = _Batch(np.zeros((0, 19, 3), np.float32), np.zeros(0, np.int64), {})
        names = _DATASETS if job.offline else ()
        full = [b for b in batches if len(b.events)]
        offline = {name: np.concatenate([b.offline[name] for b in full]) if full else _no_rows(name) for name in names}
        every = [empty, *full]
        return _Batch(np.concatenate([b.events for b in every]), np.concatenate([b.parent for b in every]), offline)

    def take(self, order: np.ndarray) -> _Batch:
        offline = {name: data[order] for name, data in self.offline.items()}
        return _Batch(self.events[order], self.parent[order], offline)


def _no_rows(name: str) -> np.ndarray:
    shape = (0, *(SHAPES[name] if name in SHAPES else FLAVOURS[name]))
    return np.zeros(shape, np.uint8 if name in FLAVOURS else np.float32)


def make_chunk(job: Job, chunk: int) -> int:
    """Make one chunk and its file unless a good one is there; returns its number of events."""
    done = read_chunk(job, chunk)
    if done is not None:
        return len(done["events"])
    rng = _rng(job.seed, job.process, chunk)
    offline_rng = _rng(job.seed, job.process + "/offline", chunk)  # its own: the trigger's objects stay the same
    card = processes()["processes"][job.process]
    scales = processes()["chunk_scales"]
    scale = scales[min(chunk, len(scales) - 1)]
    first_parent = (card["code"] << 48) | (chunk << 24)
    outputs, parts = [], []
    for part in card.get("slices", [None]):
        batch, counts = _make_part(job, card, part, scale, rng, offline_rng)
        batch.parent += first_parent
        outputs.append(batch)
        parts.append(counts)
        first_parent += counts["generated"]
    made = _Batch.concatenate(outputs, job)
    made = made.take(rng.permutation(len(made.events)))
    meta = json.dumps({"hash": job.hash, "chunk": chunk, "parts": parts})
    arrays = {f"offline_{name}": data for name, data in made.offline.items()}
    _save(job.chunk_file(chunk), {"events": made.events, "parent": made.parent, "meta": np.array(meta), **arrays})
    return len(made.events)


def _make_part(
    job: Job,
    card: dict[str, Any],
    part: dict[str, Any] | None,
    scale: float,
    rng: np.random.Generator,
    offline_rng: np.random.Generator,
) -> tuple[_Batch, dict[str, Any]]:
    """Events of one pTHat slice (or of the whole process), and counts."""
    cut = processes()["filter"]
    lines = [*job.settings, *([] if job.full_mpi else processes()["fast"])]
    heavy = part is not None and "heavy_pt" in part
    copies = part["oversampling"] if heavy and part else 1
    if part is None:
        tries = max(1, round(card["tries"] * scale))
    else:  # a fraction of a try is made with that probability, so that slices keep their weights
        tries = int(card["luminosity"] * scale * part["cross_section"] / copies + rng.random())
        lines += [f"PhaseSpace:pTHatMin = {part['low']}", f"PhaseSpace:pTHatMax = {part['high']}"]
    if part is not None and heavy:
        hook = make_hook(part["heavy_pt"], heavy_only=True)
        lines += heavyflavour.UNDECAYED
    elif job.streams:
        hook = streams.make_stream_hook(card.get("parton_streams"))
    else:
        hook = make_hook(card.get("parton_veto"))
    pythia = make_pythia(lines, int(rng.integers(1, 900_000_000)), hook, job.source)
    outputs: list[_Batch] = []
    generated, leptons = 0, 0
    for arrays, n in batches(pythia, hook, tries):
        particles = flatten(pythia, arrays)
        if heavy:
            library = _library(job.library_file)
            preselection = (cut["preselect_pt"], cut["preselect_abs_eta"], cut["preselect_isolation"])
            particles, source = heavyflavour.oversample(particles, n, copies, library, *preselection, rng)
        else:
            wanted = streams.preselect(particles, n) if job.streams else _with_lepton(particles)
            particles, source = _of_events(particles, n, wanted), wanted
        truth = truth_of(arrays).of(source) if job.offline else None
        for start in range(0, len(source), _DETECTOR_BATCH):
            stop = min(start + _DETECTOR_BATCH, len(source))
            batch, found = _detect(job, particles, truth, start, stop, rng, offline_rng)
            batch.parent = generated + source[start + batch.parent]
            outputs.append(batch)
            leptons += found
        generated += n
    info = pythia.infoPython()
    counts = {
        "tries": tries,
        "oversampling": copies,
        "generated": generated,
        "leptons": leptons,
        "passed": sum(len(b.events) for b in outputs),
        # sigmaGen covers what passed the veto only
        "cross_section_pb": info.sigmaGen() * 1e9 * hook.seen / hook.kept if hook.kept else 0.0,
    }
    return _Batch.concatenate(outputs, job), counts


def _with_lepton(p: Particles) -> np.ndarray:
    """Numbers of the events with a generator e or mu that could pass the filter."""
    cut = processes()["filter"]
    pt = np.hypot(p.px, p.py)
    near = np.abs(np.arcsinh(p.pz / np.maximum(pt, 1e-9))) < cut["preselect_abs_eta"]
    return np.unique(p.event[np.isin(np.abs(p.pdg), (11, 13)) & (pt > cut["preselect_pt"]) & near])


def _of_events(p: Particles, n: int, wanted: np.ndarray) -> Particles:
    """Particles of the wanted events of n, renumbered."""
    number = np.full(n, -1)
    number[wanted] = np.arange(len(wanted))
    p = p.take(np.flatnonzero(number[p.event] >= 0))
    p.event = number[p.event]
    return p


def _detect(
    job: Job,
    particles: Particles,
    truth: Truth | None,
    start: int,
    stop: int,
    rng: np.random.Generator,
    offline_rng: np.random.Generator,
) -> tuple[_Batch, int]:
    """Pileup and detector for events start .. stop: those that pass, with their numbers from 0 as `parent`, and how
    many have a lepton."""
    low, high = np.searchsorted(particles.event, (start, stop))
    batch = particles.take(np.arange(low, high))
    batch.event = batch.event - start
    cards = processes()
    z = vertices(stop - start, rng)
    extra = 0 if job.full_mpi else cards["pileup"]["fast_extra"]
    hits, pileup = _pool(tuple(job.pool_files)).overlay(z, job.pileup, extra, rng)
    hits = Hits.concatenate([detector.make_hits(batch, z, rng), hits])
    seen = reconstruction.see(hits, z, rng)
    cut = cards["filter"]
    passed, leptons = reconstruction.lepton_filter(seen, cut["pt_min"], cut["isolation_max"])
    if job.streams:
        passed = np.arange(seen.n)  # decided by the offline objects below
    seen = seen.keep(passed)
    jets = reconstruction.find_jets(seen.flow, seen.n)
    made = _Batch(reconstruction.trigger_objects(seen, jets), passed, {})
    if truth is not None:
        made.offline = offline_objects.find(seen, jets, pileup[passed], truth.of(start + passed), offline_rng)
    if job.streams:
        made = made.take(np.flatnonzero(streams.passes(made.offline)))
    return made, leptons
