"""`ad40 generate lhco`: a stand-in for the R&D set of the LHC Olympics 2020, in the layout of its files.

Pythia, the project's detector without pileup, and a trigger on one large-radius jet; what is generated stands in
`processes.yaml` under `lhco`. The particles of an event are its energy flow (tracks and neutral towers) as massless
pt, eta, phi. Chunks as in `training.generator.chunks`: fixed seeds and tries, one file each, reused by later runs.
"""

from __future__ import annotations

import argparse
import functools
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ad40 import __version__, hdf5
from ad40.dataframe import Writer
from ad40.errors import InputError
from ad40.files import atomic_path, sha256_of
from ad40.lhco import COLUMNS, SLOTS, STAND_IN
from ad40.progress import Progress
from training.generator import detector, reconstruction
from training.generator.pythia import batches, flatten, make_hook, make_pythia, versions
from training.generator.reconstruction import Flow
from training.generator.tables import detector_settings, processes

SAMPLE = "lhco"
BACKGROUND = "background"
SIGNALS = ("2prong", "3prong")
_BLOCK = 1000  # events of the file put together at a time


@dataclass(frozen=True)
class Job:
    """What a chunk is made of. `folder` holds the chunks of one process."""

    process: str
    seed: int
    work: Path
    source: str = "processes.yaml"

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """Everything that decides the content of the chunks."""
        cards, ours = processes(), processes()["lhco"]
        card = ours["processes"][self.process]
        flow = {key: value for key, value in detector_settings().items() if key not in ("offline", "jet", "isolation")}
        return {
            "process": f"{SAMPLE} {self.process}",
            "seed": self.seed,
            "settings": [*cards["common"], *card["settings"], *cards["fast"]],
            "tries": card["tries"],
            "label": card["label"],
            "trigger": ours["trigger"],
            "chunk_scales": cards["chunk_scales"],
            "version": ours["version"],
            "detector": sha256_of(flow),
            "generators": versions(),
        }

    @functools.cached_property
    def hash(self) -> str:
        return sha256_of(self.document)

    @property
    def folder(self) -> Path:
        return self.work / f"{SAMPLE}-{self.process}-{self.hash[:12]}"

    def chunk_file(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:05d}.npz"


def read_chunk(job: Job, chunk: int) -> dict[str, Any] | None:
    """Content of a finished chunk, or None if it is missing, unreadable or made with other settings.

    Keys: events int64 (n,), particles of each event; particles float32 (m, 3) pt, eta, phi; counts: tries, passed,
    cross_section_pb.
    """
    try:
        with np.load(job.chunk_file(chunk)) as data:
            meta = json.loads(str(data["meta"]))
            events, particles = data["events"], data["particles"]
            if meta["hash"] != job.hash or meta["chunk"] != chunk or events.sum() != len(particles):
                return None
            return {"events": events, "particles": particles, "counts": meta["counts"]}
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
        return None


def make_chunk(job: Job, chunk: int) -> int:
    """Make one chunk and its file unless a good one is there; returns its number of events."""
    done = read_chunk(job, chunk)
    if done is not None:
        return len(done["events"])
    rng = np.random.default_rng([job.seed, zlib.crc32(f"{SAMPLE} {job.process}".encode()), chunk])
    scales = processes()["chunk_scales"]
    tries = max(1, round(job.document["tries"] * scales[min(chunk, len(scales) - 1)]))
    card = processes()["lhco"]["processes"][job.process]
    hook = make_hook(None)
    lines = [*card["settings"], *processes()["fast"]]
    pythia = make_pythia(lines, int(rng.integers(1, 900_000_000)), hook, job.source)
    numbers, particles = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.float32)]
    for arrays, n in batches(pythia, hook, tries):
        vertex = np.zeros(n)
        hits = detector.make_hits(flatten(pythia, arrays), vertex, rng)
        flow, _ = reconstruction.flow_and_met(hits, vertex, rng)
        number, rows = hardest(flow.take(_of(flow, triggered(flow, n))))
        numbers.append(number)
        particles.append(rows)
    events = np.concatenate(numbers)
    counts = {
        "tries": tries,
        "passed": len(events),
        "cross_section_pb": pythia.infoPython().sigmaGen() * 1e9 * hook.seen / max(hook.kept, 1),
    }
    meta = json.dumps({"hash": job.hash, "chunk": chunk, "counts": counts})
    with atomic_path(job.chunk_file(chunk)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, events=events, particles=np.concatenate(particles), meta=np.array(meta))
    return len(events)


def triggered(flow: Flow, n: int) -> np.ndarray:
    """Numbers of the events of n that have a jet as the trigger wants it."""
    cut = processes()["lhco"]["trigger"]
    px, py, pz = flow.pt * np.cos(flow.phi), flow.pt * np.sin(flow.phi), flow.pt * np.sinh(flow.eta)
    energy = flow.pt * np.cosh(flow.eta)  # massless, as a reader of the file will take them
    event, jx, jy, jz, _ = reconstruction.cluster(flow.event, px, py, pz, energy, n, cut["pt_min"], cut["radius"])
    central = np.abs(np.arcsinh(jz / np.hypot(jx, jy))) < cut["abs_eta_max"]
    return np.unique(event[central])


def _of(flow: Flow, events: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(flow.event, events))


def hardest(flow: Flow) -> tuple[np.ndarray, np.ndarray]:
    """The `SLOTS` hardest particles of each event that occurs: their numbers, and pt, eta, phi float32 (m, 3)."""
    order = np.lexsort((-flow.pt, flow.event))
    event = flow.event[order]
    rank = np.arange(len(event)) - np.searchsorted(event, event, side="left")
    kept = order[rank < SLOTS]
    rows = np.stack([flow.pt, flow.eta, flow.phi], axis=1)[kept].astype(np.float32)
    _, number = np.unique(flow.event[kept], return_counts=True)
    return number.astype(np.int64), rows


def make_jobs(args: argparse.Namespace) -> list[tuple[Job, int]]:
    """Background and signals and how many events of each; together args.events.

    Raises `InputError` for a signal that is not known, given twice, or of more events than the file has.
    """
    wanted: dict[str, int] = {}
    for text in args.signal or []:
        name, _, number = text.partition(":")
        if name not in SIGNALS or not number.isdecimal() or not int(number):
            expected = f"NAME:N, N above 0, such as {SIGNALS[0]}:1000; names: " + ", ".join(SIGNALS)
            raise InputError("command line", "--signal", repr(text), expected)
        if name in wanted:
            raise InputError("command line", "--signal", f"{name} twice", "each signal once")
        wanted[name] = int(number)
    rest = args.events - sum(wanted.values())
    if rest < 0:
        total = sum(wanted.values())
        raise InputError("command line", "--signal", f"{total} events", f"at most --events {args.events}")
    if rest:
        wanted = {BACKGROUND: rest, **wanted}
    return [(Job(name, args.seed, args.work), n) for name, n in wanted.items()]


def _events_of(job: Job, wanted: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first `wanted` events of the finished chunks, about `_BLOCK` at a time: numbers and particles."""
    chunk = 0
    while wanted > 0:
        data = read_chunk(job, chunk)
        if data is None:
            raise InputError(job.chunk_file(chunk), "chunk", "missing or unreadable", "a chunk made by this run")
        events = data["events"][:wanted]
        starts = np.concatenate([[0], np.cumsum(events)])
        for first in range(0, len(events), _BLOCK):
            last = min(first + _BLOCK, len(events))
            yield events[first:last], data["particles"][starts[first] : starts[last]]
        wanted -= len(events)
        chunk += 1


class _Queue:
    """Events of a process, any number at a time."""

    def __init__(self, job: Job, wanted: int) -> None:
        self._source = _events_of(job, wanted)
        self._numbers, self._particles = np.zeros(0, np.int64), np.zeros((0, 3), np.float32)

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next n events: particles of each (n,), and the particles (m, 3)."""
        while len(self._numbers) < n:
            numbers, particles = next(self._source)
            self._numbers = np.concatenate([self._numbers, numbers])
            self._particles = np.concatenate([self._particles, particles])
        m = int(self._numbers[:n].sum())
        out = self._numbers[:n], self._particles[:m]
        self._numbers, self._particles = self._numbers[n:], self._particles[m:]
        return out


def figures(job: Job, wanted: int) -> dict[str, Any]:
    """Cross-section and efficiency of the trigger, from the counts of the chunks that `wanted` events come from."""
    counts, have = [], 0
    while have < wanted:
        data = read_chunk(job, len(counts))
        if data is None:
            raise InputError(job.chunk_file(len(counts)), "chunk", "missing or unreadable", "a chunk made by this run")
        counts.append(data["counts"])
        have += len(data["events"])
    tries, passed = sum(c["tries"] for c in counts), sum(c["passed"] for c in counts)
    sigma = sum(c["tries"] * c["cross_section_pb"] for c in counts) / tries
    return {
        "events": wanted,
        "label": job.document["label"],
        "cross_section_pb": sigma,
        "filter_efficiency": passed / tries,
        "filtered_cross_section_pb": sigma * passed / tries,
        "settings": job.document["settings"],
        "settings_hash": job.hash,
    }


def write(path: Path, jobs: list[tuple[Job, int]], seed: int, labelled: bool) -> dict[str, Any]:
    """Write the file in bounded memory, the processes in an order drawn from the seed. Returns its document.

    labelled: with the label as the last column; without it the file is a black box: nothing in it tells which events
    are signal, nor how many.
    """
    total = sum(n for _, n in jobs)
    order = np.random.default_rng([seed, 1]).permutation(np.repeat(np.arange(len(jobs)), [n for _, n in jobs]))
    about: dict[str, Any] = {
        "sample": SAMPLE,
        "ad40": __version__,
        "events": total,
        "seed": seed,
        "trigger": processes()["lhco"]["trigger"],
        "generators": versions(),
        "note": "made by ad40 generate lhco: a stand-in for the LHC Olympics 2020 R&D set, not that set",
    }
    known = about | {"processes": {job.process: figures(job, n) for job, n in jobs}}
    with hdf5.create(path) as file, Progress(total, "write") as progress:
        file.attrs[STAND_IN] = json.dumps(known if labelled else {k: v for k, v in about.items() if k != "seed"})
        _fill(file, jobs, order, labelled, progress)
    return known


def _fill(file: h5py.File, jobs: list[tuple[Job, int]], order: np.ndarray, labelled: bool, progress: Progress) -> None:
    writer = Writer(file, range(COLUMNS + labelled), len(order), np.float64)
    queues = [_Queue(job, n) for job, n in jobs]
    labels = np.array([job.document["label"] for job, _ in jobs], np.float64)
    for start in range(0, len(order), _BLOCK):
        kind = order[start : start + _BLOCK]
        block = np.zeros((len(kind), COLUMNS + labelled))
        slots = np.zeros((len(kind), SLOTS, 3))
        for k, queue in enumerate(queues):
            rows = np.flatnonzero(kind == k)
            numbers, particles = queue.take(len(rows))
            row = np.repeat(rows, numbers)
            slot = np.arange(len(row)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
            slots[row, slot] = particles
        block[:, :COLUMNS] = slots.reshape(len(kind), COLUMNS)
        if labelled:
            block[:, -1] = labels[kind]
        writer.add(block)
        progress.update(len(kind))
    writer.finish()
