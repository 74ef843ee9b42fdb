"""How fast the stage is: event by event, as it runs, and many events at a time. Wall clock, one thread."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.progress import Progress
from offline.hlt.accepted import Accepted
from offline.hlt.stage import Stage
from offline.inputs import standardised

BUDGET_MS = 30.0
"""What the issue allows; the mean of all of the CMS high-level trigger is some hundred ms for each event."""

PACE, PAUSE = 1000, 0.02  # after so many events so many seconds of rest: kernels hold up what never rests
WARM_UP = 500  # events: the runtime lays out its memory in the first calls
BATCHES = (1, 8, 64, 512, 4096)
BINS_PER_DECADE = 20


def latency(stage: Stage, sample: Accepted, events: int) -> dict[str, Any]:
    """From the codes of one event to its decision, for so many events in turn: by the clock on the wall, by that of the
    processor, which does not count while other processes run, and the runtime's share by the first.

    Times in microseconds: median, 99.9 %, largest, mean; a histogram with logarithmic bins.
    """
    whole, processor, inference = (np.empty(events, np.int64) for _ in range(3))
    n, clock, own = len(sample), time.perf_counter_ns, time.thread_time_ns
    gc.collect()
    gc.freeze()  # what a process has loaded when it starts to run is not searched for garbage, which takes 30 ms
    with Progress(events, "latency") as bar:
        for i in range(-WARM_UP, events):
            row = i % n
            codes, run, event = (a[row : row + 1] for a in (sample.codes, sample.run, sample.event))
            first, start = own(), clock()
            stage.menu.decide(stage.scorer.score(codes), run, event)
            end, last = clock(), own()
            if i >= 0:
                whole[i], processor[i] = end - start, last - first
                if not i % PACE:
                    bar.update(min(PACE, events - i))
                    time.sleep(PAUSE)
        for i in range(events):
            if not i % PACE:
                time.sleep(PAUSE)
            inputs = standardised(sample.codes[i % n : i % n + 1])
            start = clock()
            stage.scorer.infer(inputs)
            inference[i] = clock() - start
    gc.unfreeze()
    return {"events": events, "budget_ms": BUDGET_MS, "over_budget": int((whole > 1e6 * BUDGET_MS).sum()),
            "over_1_ms": int((whole > 1e6).sum()),
            "load_average": round(os.getloadavg()[0], 2), "cores": os.cpu_count(),
            "whole": _figures(whole), "processor": _figures(processor), "inference": _figures(inference)}  # fmt: skip


def _figures(ns: NDArray[np.int64]) -> dict[str, Any]:
    us = np.maximum(ns, 1) / 1000
    low = np.floor(np.log10(us.min()) * BINS_PER_DECADE)
    high = np.ceil(np.log10(us.max()) * BINS_PER_DECADE + 1e-9) + 1
    edges = 10 ** (np.arange(low, high + 1) / BINS_PER_DECADE)
    counts = np.histogram(us, edges)[0]
    return {"median_us": float(np.median(us)), "p99_9_us": float(np.quantile(us, 0.999)), "max_us": float(us.max()),
            "mean_us": float(us.mean()), "edges_us": edges.tolist(), "counts": counts.tolist()}  # fmt: skip


def throughput(stage: Stage, sample: Accepted, events: int) -> list[dict[str, float]]:
    """Events per second from codes to decisions by batch, the standardisation within the batch too; and how far the
    scores are from those of single events, relative to the largest score."""
    rows = np.arange(events) % len(sample)
    codes, run, event = sample.codes[rows], sample.run[rows], sample.event[rows]
    alone = stage.scorer.score(codes)
    accepted = stage.menu.decide(alone, run, event)[0]
    found = []
    for batch in BATCHES:
        if batch > events:
            break
        score = np.empty(events, np.float32)
        stage.scorer.score(codes[:batch], batch)
        start = time.perf_counter()
        for first in range(0, events, batch):
            part = slice(first, first + batch)
            score[part] = stage.scorer.score(codes[part], batch)
            stage.menu.decide(score[part], run[part], event[part])
        seconds = time.perf_counter() - start
        off = float(np.abs(score - alone).max() / max(float(np.abs(alone).max()), np.finfo(np.float32).tiny))
        other = int((stage.menu.decide(score, run, event)[0] != accepted).sum())
        found.append({"batch": batch, "events_per_s": events / seconds, "largest_difference": off,
                      "other_decisions": other})  # fmt: skip
    return found
