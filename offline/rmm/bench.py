"""Speed and memory of the matrices and of the event table: `python -m offline.rmm.bench [EVENTS]` prints JSON.

A process of its own with one thread, as `ad40.bench`; `ad40 bench` starts it. Speeds are events per second of processor
time, medians: what one core does, however busy the others are. Dense events have an object in every
slot, as in the comparison: the published C++ library (Map2RMM of arXiv:1805.11650, in ADFilter) was measured at 15,000
such events/s with 51 slots. Typical events have about seven objects.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ad40.progress import silenced
from offline import table
from offline.objects.collection import COUNTS, TYPES, Objects, columns_of
from offline.objects.source import Source
from offline.rmm.layout import Layout
from offline.rmm.matrix import matrices, sparse

PUBLISHED_PER_S = 15_000
"""Events/s of the C++ library, dense, 51 x 51, one core."""

SQRT_S = 13000.0
EVENTS = 8192  # of a repetition: 42 MB of dense matrices
REPEATS = 15
TYPICAL = {"jet": 3.5, "bjet": 0.7, "muon": 1.0, "electron": 1.0, "photon": 0.5}  # objects per event, Poisson
BLOCKS = 20  # of the event table whose memory is measured, and four times as many


def events(n: int, counts: Mapping[str, int], mean: Mapping[str, float] | None = None, seed: int = 1) -> Objects:
    """Random events with these slots; mean: number of objects of each type, None = all slots full."""
    random = np.random.default_rng(seed)
    lists = {}
    for name in TYPES:
        slots = counts[name]
        x = np.empty((n, slots, 4), np.float32)
        x[..., 0] = -np.sort(-(30 + random.exponential(100, (n, slots))), axis=1)
        x[..., 1], x[..., 2] = random.uniform(-2.4, 2.4, (n, slots)), random.uniform(-np.pi, np.pi, (n, slots))
        x[..., 3] = random.exponential(5, (n, slots))
        if mean is not None:
            x[np.arange(slots) >= random.poisson(mean[name], n)[:, None]] = 0
        lists[name] = x
    met = np.stack([30 + random.exponential(60, n), random.uniform(-np.pi, np.pi, n)], axis=1).astype(np.float32)
    return Objects(**lists, met=met, columns=columns_of(n))


def rate(work: Callable[[], object], n: int) -> float:
    """Events per second of processor time of the median of a few repetitions of `work` on n events."""
    work()
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return n / median(taken)


class _Repeated(Source):
    """The same block of events over and over, as a file of any size."""

    kind = "memory"

    def __init__(self, block: Objects, times: int) -> None:
        super().__init__(Path(__file__), block.counts)
        self._block, self._times, self.n = block, times, times * len(block)

    def _read(self, size: int) -> Iterator[Objects]:
        for _ in range(self._times):
            yield self._block


def _table(block: Objects, times: int) -> tuple[float, int, int]:
    """Processor seconds to write an event table, its bytes, and the peak memory of this process so far in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.h5"
        start = time.process_time()
        table.write(path, [_Repeated(block, times)], streams=("any", "1l", "4jet"), spectra=("jj", "jmu", "bb"))
        seconds = time.process_time() - start
        return seconds, path.stat().st_size, _peak_bytes()


def _peak_bytes() -> int:
    """Peak memory of this process. The kernel's figure, because that of getrusage begins with the parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])  # type: ignore[index]
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(n: int = EVENTS) -> dict[str, Any]:
    """Events/s of matrices and of the table, on one core, and the memory of the table."""
    silenced.set(True)
    layout, wide = Layout(), Layout(dict.fromkeys(TYPES, 10))
    typical = events(n, COUNTS, TYPICAL)
    start = time.perf_counter()
    for work in (matrices, sparse):
        work(typical.take(slice(1)), layout, SQRT_S)
    first = time.perf_counter() - start
    # Memory first: what the dense matrices take would hide it
    _, size, peak = _table(typical, BLOCKS)
    longer, _, later = _table(typical, 4 * BLOCKS)
    dense, dense51 = events(n, COUNTS), events(n // 2, wide.counts)
    speed51 = rate(lambda: matrices(dense51, wide, SQRT_S), len(dense51))
    return {
        "events": n,
        "first_call_s": first,
        "dense_36": rate(lambda: matrices(dense, layout, SQRT_S), n),
        "dense_36_sparse": rate(lambda: sparse(dense, layout, SQRT_S), n),
        "dense_51": speed51,
        "dense_51_over_published": speed51 / PUBLISHED_PER_S,
        "typical_36": rate(lambda: matrices(typical, layout, SQRT_S), n),
        "typical_36_sparse": rate(lambda: sparse(typical, layout, SQRT_S), n),
        "table": 4 * BLOCKS * n / longer,
        "table_bytes_per_event": size / (BLOCKS * n),
        "table_peak_bytes": {str(BLOCKS * n): peak, str(4 * BLOCKS * n): later},
    }


if __name__ == "__main__":
    print(json.dumps(measure(*(int(argument) for argument in sys.argv[1:2])), indent=1))
