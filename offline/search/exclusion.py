"""Stage `limits`: upper limits on Gaussian signals of several widths in the spectra that the analysis names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ad40.progress import Progress
from offline.objects.spectra import mass_resolution, spectrum
from offline.search.chain import Context
from offline.statistics import fit, limits

MARGIN = 1.05
"""The first signal is at this times the lower end of the fit: some of its side must be in the spectrum."""

MANY = 12


@dataclass(frozen=True)
class Task:
    """One spectrum: its fit range, counts there, background function and the signals to limit."""

    mass: str
    hardware: bool
    edges: list[float]
    counts: list[int]
    function: str
    sqrt_s: float
    masses: list[float]
    widths: list[float]
    method: str
    seed: int


def limit_one(task: Task) -> list[dict[str, Any]]:
    """The limits of one spectrum as JSON types, in events."""
    wanted = spectrum(task.mass)
    model = fit.Model.on(task.edges, task.function, task.sqrt_s)
    points = limits.scan(
        model, task.counts, task.masses, task.widths,
        resolution=lambda mass: mass_resolution(mass, wanted, task.hardware) / mass, method=task.method, seed=task.seed,
    )  # fmt: skip
    rows = []
    for point in points:
        row: dict[str, Any] = {"mass": point.mass, "width": point.width, "reason": point.reason or None}
        found = point.limit
        if found:
            row |= {
                "observed": float(found.observed),
                "expected": [float(v) for v in found.expected],
                "fitted": float(found.fitted),
                "significance": float(found.significance),
                "method": found.method,
            }
        rows.append(row)
    return rows


def limit_all(tasks: Sequence[Task], jobs: int) -> Iterator[list[dict[str, Any]]]:
    """`limit_one` of each, in their order."""
    if jobs > 1 and len(tasks) >= MANY:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(limit_one, tasks)
    else:
        yield from map(limit_one, tasks)


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Limits in every spectrum that the analysis names and that was fitted."""
    analysis, plan = context.analysis, context.analysis.limits
    assert plan is not None  # the chain leaves the stage out otherwise
    histograms = context.results["spectra"]
    counts = {_key(row): row["counts"] for row in histograms["rows"]}
    tasks, done = [], []
    for row in context.results["fits"]["rows"]:
        stream, mass, region = _key(row)
        if stream not in plan.streams or mass not in plan.spectra or region not in plan.regions:
            continue
        about: dict[str, Any] = {"stream": stream, "mass": mass, "region": region, "reason": row["reason"]}
        done.append(about)
        if row["reason"] is None:
            first, last = row["start"], row["start"] + len(row["expected"])
            edges = histograms["masses"][mass]["edges"][first : last + 1]
            inside = counts[stream, mass, region][first:last]
            about["place"] = len(tasks)
            tasks.append(Task(mass, analysis.spectra.bins == "trigger", edges, inside, row["function"],
                              float(context.results["table"]["data"]["sqrt_s"]), _masses(edges, inside, plan.masses),
                              [w / 100 for w in plan.widths_percent], plan.method, analysis.seed))  # fmt: skip
    with Progress(len(tasks), "limits", "spectra") as progress:
        results = []
        for found in limit_all(tasks, context.jobs):
            results.append(found)
            progress.update()
    for about in done:
        if "place" in about:
            about["points"] = results[about.pop("place")]
            reasons = {point["reason"] for point in about["points"]}
            if None not in reasons:
                about["reason"] = "no limit at any mass: " + "; ".join(sorted(reasons))
    return {"confidence": limits.CONFIDENCE, "rows": done}, []


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["stream"], row["mass"], row["region"]


def _masses(edges: Sequence[float], counts: Sequence[int], number: int) -> list[float]:
    """Signal masses [GeV], equally spaced in the logarithm, up to the end of the last filled bin."""
    last = int(np.flatnonzero(counts)[-1]) + 1
    return [float(np.rint(m)) for m in np.geomspace(MARGIN * edges[0], edges[last], number)]
