"""How long pseudo-experiments and the smooth scan take, on generated events: the studies `toys` and `scan` of
`ad40 calibrate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ad40.progress import Progress
from offline.statistics.hunt import hunt
from offline.statistics.pseudo import share
from offline.statistics.ranges import Axis, Settings
from offline.statistics.scan import curves, scan
from offline.statistics.world import World

TOYS, BINS = 10_000, 63
"""The first bins are those of the turn-on: 60 are fitted."""

SCAN = World(masses=9, streams=7, keep=tuple(np.geomspace(1.0, 3e-3, 20).tolist()), present=0.4)
"""63 spectra at 20 thresholds."""


def toys(jobs: int, seed: int) -> dict[str, Any]:
    """10,000 pseudo-experiments of one spectrum of 60 bins: thrown, refitted twice (all bins; away from the best
    window) and scanned."""
    rng = np.random.default_rng(seed)
    edges = np.geomspace(300, 9000, BINS + 1)
    mass = 300 * (1 - rng.random(100_000)) ** (-1 / 5)
    shared, axis = share(mass[:, None], [edges]), Axis("m", edges)
    hunt(shared, [axis], toys=jobs, seed=seed)  # compiles or loads what is compiled
    start = time.perf_counter()
    result = hunt(shared, [axis], settings=Settings(), toys=TOYS, seed=seed, threads=jobs)
    return {
        "pseudo_experiments": TOYS,
        "bins": len(result.scanned[0].counts),
        "seconds": time.perf_counter() - start,
        "failed_fits": result.scanned[0].failed,
    }


def whole_scan(jobs: int, seed: int, events: float, n: int, work: Path) -> dict[str, Any]:
    """63 spectra at 20 thresholds with n pseudo-experiments each, from nothing, kept in the folder `work`."""
    world = World(events, SCAN.masses, SCAN.streams, SCAN.keep, present=SCAN.present)
    with Progress(1, "events", "data sets") as progress:
        shared = world.throw(np.random.default_rng(seed))
        progress.update()
    names = world.stream_names, world.region_names
    start, cpu = time.perf_counter(), time.process_time()
    result = scan(shared, world.axes, *names, toys=n, seed=seed, work=work, jobs=jobs)
    seconds = time.perf_counter() - start, time.process_time() - cpu
    found = curves(result, dict.fromkeys(world.region_names))
    return {
        "events": len(shared.bins),
        "pseudo_experiments": n,
        "spectra": found["spectra"],
        "scanned": found["scanned"],
        "skipped": found["skipped"],
        "seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "failed_fits": sum(r.failed for r in result.scanned),
        "shared": found["shared"],
        "everything": found["everything"],
    }
