"""The smooth scan: the whole hunt at many thresholds of the anomaly score, with one p-value for all of it.

Regions from the loosest cross-section to the tightest are nested, so that the same excess shows up in many of them:
`hunt.best()` of the scan compares the largest excess anywhere with that of pseudo-experiments that were scanned in the
same way, and the look-elsewhere effect over masses, streams and thresholds is in it.

Long work is kept in a folder: WORK/sample.npz holds what is scanned, WORK/toys_<first>.npz the pseudo-experiments of
one chunk. A rerun makes only what is missing, and more pseudo-experiments add to those there are. Chunks are made by
threads of this process or by the workers of a Dask cluster (`ad40.workers`) that see the folder; each toy depends on
the seed and its number alone, so that the answer is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import workers
from ad40.errors import CheckError, InputError
from ad40.files import atomic_path, writable_folder
from ad40.progress import Progress
from offline.statistics.hunt import CHUNK, COUNTS, Best, Hunt, Prepared, Scanned, Toys, conclude, prepare, throw
from offline.statistics.pseudo import Shared
from offline.statistics.ranges import Axis, Settings

VERSION = 2
"""Of the files in the work folder. Raise it when a pseudo-experiment of the same seed comes out differently."""


def scan(
    shared: Shared,
    axes: Sequence[Axis],
    streams: Sequence[str],
    regions: Sequence[str],
    settings: Settings | None = None,
    *,
    toys: int = 1000,
    seed: int = 40,
    work: Path,
    jobs: int | None = None,
    where: str | None = None,
) -> Hunt:
    """Hunt over all spectra, with pseudo-experiments kept in the folder `work`.

    Arguments as of `offline.statistics.hunt.hunt`. jobs: threads, or workers of a local Dask cluster (default: cores).
    where: None for threads of this process, or as `--cluster` of `ad40 trigger` (address of a Dask scheduler, 'local').
    Raises `CheckError` if chunks failed on all their tries; those finished are kept.
    """
    if toys < 1:
        raise InputError("scan", "pseudo-experiments", toys, "1 or more")
    writable_folder(work)
    sample = work / "sample.npz"
    key = _write_sample(sample, shared, axes, streams, regions, settings or Settings(), seed)
    chunks = [(work / f"toys_{first:08}.npz", first, min(CHUNK, toys - first)) for first in range(0, toys, CHUNK)]
    missing = [c for c in chunks if _read_chunk(c[0], key, c[2]) is None]
    if where is None:
        _in_threads(sample, key, seed, missing, jobs or os.cpu_count() or 1, toys)
    else:
        options = [{"key": key, "seed": seed, "first": first, "n": n} for _, first, n in missing]
        work_list = [workers.Job(make_chunk, sample, c[0], o) for c, o in zip(missing, options, strict=True)]
        _, failures = workers.run_all(work_list, where, jobs, unit="chunks")
        if failures:
            reasons = "\n".join(f"  {f.reason}" for f in failures[:10])
            raise CheckError(f"scan: {len(failures)} of {len(missing)} chunks failed; the others are kept:\n{reasons}")
    parts = []
    for path, _, n in chunks:
        part = _read_chunk(path, key, n)
        if part is None:
            raise InputError(path, "pseudo-experiments", "not those just made", "a folder that nobody else changes")
        parts.append(part)
    return conclude(_prepared(sample, key), Toys.join(parts))


def _in_threads(sample: Path, key: str, seed: int, missing: list[tuple[Path, int, int]], jobs: int, toys: int) -> None:
    with Progress(toys, "scan", "pseudo-experiments") as progress, ThreadPoolExecutor(jobs) as pool:
        progress.update(toys - sum(n for _, _, n in missing))
        if missing:
            _prepared(sample, key)  # once, before the threads ask for it
        running = {pool.submit(make_chunk, sample, path, key=key, seed=seed, first=f, n=n): n for path, f, n in missing}
        try:
            for done in as_completed(running):
                done.result()
                progress.update(running[done])
        finally:
            pool.shutdown(cancel_futures=True)


def make_chunk(sample: Path, output: Path, *, key: str, seed: int, first: int, n: int) -> None:
    """Write pseudo-experiments first .. first + n - 1 of a sample file."""
    made = throw(_prepared(sample, key), first, n, seed)
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez(file, key=key, t=made.t, **{name: getattr(made, name) for name in COUNTS})


def _read_chunk(path: Path, key: str, n: int) -> Toys | None:
    """What `make_chunk` wrote for this key and number; None if it is not there, or for something else."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["key"]) != key or len(found["t"]) != n:
                return None
            return Toys(found["t"], *(found[name] for name in COUNTS))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write_sample(
    path: Path, shared: Shared, axes: Sequence[Axis], streams: Sequence[str], regions: Sequence[str],
    settings: Settings, seed: int,
) -> str:  # fmt: skip
    """Write what is scanned; returns the hash of everything that the pseudo-experiments depend on."""
    document = {
        "version": VERSION,
        "axes": [asdict(a) | {"edges": a.edges.tolist(), "ceiling": min(a.ceiling, 1e300)} for a in axes],
        "streams": list(streams),
        "regions": list(regions),
        "settings": asdict(settings),
    }
    text = json.dumps(document, sort_keys=True)
    arrays = {"bins": shared.bins, "streams": shared.streams, "level": shared.level}
    digest = hashlib.sha256(f"{text} {seed}".encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array))
    key = digest.hexdigest()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=key, document=text, **arrays)
    return key


@lru_cache(maxsize=1)
def _prepared(path: Path, key: str) -> Prepared:
    """Fits and scan of a sample file; a worker does them once."""
    with np.load(path, allow_pickle=False) as found:
        if str(found["key"]) != key:
            raise InputError(path, "key", found["key"], f"{key}: another scan is using the same folder")
        document = json.loads(str(found["document"]))
        shared = Shared(found["bins"], found["streams"], found["level"])
    axes = [Axis(**(a | {"edges": np.array(a["edges"])})) for a in document["axes"]]
    given = document["settings"]
    functions = tuple((tuple(where), name) for where, name in given["functions"])
    settings = Settings(**(given | {"functions": functions, "widths": tuple(given["widths"])}))
    return prepare(shared, axes, document["streams"], document["regions"], settings)


def curves(hunt: Hunt, cross_sections_pb: Mapping[str, float | None]) -> dict[str, Any]:
    """P-values against the threshold, as JSON types.

    cross_sections_pb: what each region keeps, loosest first, None for all events. For each stream and mass the local
    and global p-value at every threshold (None where the spectrum was skipped) and one p-value for all thresholds;
    for each threshold one for all spectra; one for everything; and how many spectra were skipped, by cause.
    """
    found = {r.key: r for r in hunt.results}
    pairs = dict.fromkeys(key[:2] for key in found)
    rows = [
        {
            "stream": stream,
            "mass": mass,
            "thresholds": [_point(found[stream, mass, region], region, pb) for region, pb in cross_sections_pb.items()],
            "all_thresholds": _best(hunt.best(stream=stream, mass=mass)),
        }
        for stream, mass in pairs
    ]
    return {
        "pseudo_experiments": hunt.toys,
        "spectra": len(hunt.results),
        "scanned": len(hunt.scanned),
        "skipped": dict(Counter(r.cause for r in hunt.skipped).most_common()),
        "shared": hunt.shared,
        "everything": _best(hunt.best()),
        "by_threshold": [
            {"region": region, "cross_section_pb": pb} | _best(hunt.best(region=region))
            for region, pb in cross_sections_pb.items()
        ],
        "curves": rows,
    }


def _point(r: Any, region: str, pb: float | None) -> dict[str, Any]:
    point = {"region": region, "cross_section_pb": pb, "local_p": None, "local_z": None, "global_p": None}
    if not isinstance(r, Scanned):
        return point | {"window": None, "described": None, "skipped": r.reason}
    return point | {
        "local_p": float(r.best.local_p),
        "local_z": float(r.best.z),
        "global_p": r.global_p,
        "window": list(r.window),
        "described": r.described,
        "skipped": None,
    }


def _best(found: Best) -> dict[str, Any]:
    r = found.leading
    where = {"stream": r.stream, "mass": r.axis.name, "leading_region": r.region, "window": list(r.window)} if r else {}
    return {"p": found.p, "z": found.z, "p_is_limit": found.at_limit, "local_z": float(r.best.z) if r else None} | where
