"""What a generated file holds: finished chunks joined, cross-sections and efficiencies, processes put together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ad40.errors import InputError
from ad40.offline_events import write_offline
from training.generator import chunks
from training.generator.chunks import Job
from training.generator.pythia import versions
from training.generator.tables import detector_settings, processes


def join(jobs: list[Job], wanted: int) -> dict[str, dict[str, Any]]:
    """The first chunks that together hold `wanted` events; one job alone is cut to that number."""
    found: dict[str, list[dict[str, Any]]] = {job.process: [] for job in jobs}
    chunk, have = 0, 0
    while have < wanted:
        for job in jobs:
            data = chunks.read_chunk(job, chunk)
            if data is None:
                raise InputError(job.chunk_file(chunk), "chunk", "missing or unreadable", "a chunk made by this run")
            found[job.process].append(data)
            have += len(data["events"])
        chunk += 1
    end = wanted if len(jobs) == 1 else None
    return {
        process: {
            "events": np.concatenate([data["events"] for data in parts])[:end],
            "parent": np.concatenate([data["parent"] for data in parts])[:end],
            "offline": {
                key: np.concatenate([data["offline"][key] for data in parts])[:end] for key in parts[0]["offline"]
            },
            "figures": figures_of([data["parts"] for data in parts]),
        }
        for process, parts in found.items()
    }


def figures_of(parts: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Cross-section, filter efficiency and counts from the counts of all chunks; slices are added up.

    A slice with cross-section s of which p of t x oversampling passed contributes s p / (t x oversampling).
    """
    total, filtered, slices = 0.0, 0.0, []
    for index in range(len(parts[0])):
        rows = [chunk[index] for chunk in parts]
        tries = sum(row["tries"] for row in rows)
        sigma = sum(row["tries"] * row["cross_section_pb"] for row in rows) / max(tries, 1)
        passed, copies = sum(row["passed"] for row in rows), rows[0]["oversampling"]
        total += sigma
        filtered += sigma * passed / max(tries * copies, 1)
        slices.append(
            {
                "tries": tries,
                "oversampling": copies,
                "generated": sum(r["generated"] for r in rows),
                "leptons": sum(r["leptons"] for r in rows),
                "passed": passed,
                "cross_section_pb": sigma,
            }
        )
    return {
        "cross_section_pb": total,
        "filter_efficiency": filtered / total if total else 0.0,
        "filtered_cross_section_pb": filtered,
        "tries": sum(s["tries"] for s in slices),
        "slices": slices,
    }


@dataclass(frozen=True)
class Content:
    """What a file holds: events float32 (n, 19, 3); columns `process` (uint8) and `parent` (int64); attributes; arrays
    of `ad40.offline_events`, or none."""

    events: np.ndarray
    columns: dict[str, np.ndarray]
    attributes: dict[str, Any]
    offline: dict[str, np.ndarray]

    @property
    def write_offline(self) -> Callable[[h5py.File], None] | None:
        """Adds the offline objects to a file; None without them."""
        if not self.offline:
            return None
        return lambda file: write_offline(file, self.offline, detector_settings()["offline"]["btag"])


def merge(jobs: list[Job], parts: dict[str, dict[str, Any]], args: argparse.Namespace) -> Content:
    """Put the processes together in an order drawn from the seed, at most args.events."""
    codes = {name: card["code"] for name, card in processes()["processes"].items()}
    every = [parts[job.process] for job in jobs]
    sizes = [len(part["events"]) for part in every]
    order = np.random.default_rng([args.seed, 0]).permutation(sum(sizes))[: args.events]
    process = np.concatenate([np.full(n, codes[job.process], np.uint8) for job, n in zip(jobs, sizes, strict=True)])[
        order
    ]
    natural = args.process == "search"
    # with all processes at one luminosity every event stands for the same cross-section
    common = sum(part["figures"]["filtered_cross_section_pb"] for part in every) / len(order)
    figures: dict[str, Any] = {}
    for job, part in zip(jobs, every, strict=True):
        n = int((process == codes[job.process]).sum())
        figures[job.process] = {
            "code": codes[job.process],
            "events": n,
            "fraction": n / len(order),
            **part["figures"],
            # each event of the file stands for this cross-section; times a luminosity it is the event's weight
            "event_cross_section_pb": common if natural else part["figures"]["filtered_cross_section_pb"] / n,
            "settings": job.document["settings"],
            "settings_hash": job.hash,
        }
    attributes = {
        "sample": str(args.process),
        "seed": args.seed,
        "pileup_mean": args.pileup,
        "full_mpi": args.full_mpi,
        "filter": jobs[0].document["filter"],
        "process_codes": {job.process: codes[job.process] for job in jobs},
        "processes": figures,
        "generators": versions(),
        "note": "split training and test by parent: QCD events with one parent are correlated",
    }
    if natural:
        attributes["luminosity_pb"] = 1 / common
    events = np.concatenate([part["events"] for part in every])[order]
    parent = np.concatenate([part["parent"] for part in every])[order]
    offline = {name: np.concatenate([part["offline"][name] for part in every])[order] for name in every[0]["offline"]}
    return Content(events, {"process": process, "parent": parent}, attributes, offline)
