"""Stage `fits`: the background of every spectrum: which function, how well it describes, its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import Ad40Error
from ad40.progress import Progress
from offline.search.analysis import Fits
from offline.search.chain import Context
from offline.search.spectra import axes, settings
from offline.statistics import fit, goodness, order
from offline.statistics.ranges import Axis, Settings, Unfit, fit_in_range

MANY = 60  # spectra from which other processes are worth their start


@dataclass(frozen=True)
class Task:
    """One spectrum to fit. seed: of its pseudo-experiments."""

    axis: Axis
    counts: list[int]
    settings: Settings
    fits: Fits
    seed: tuple[int, int]


def fit_one(task: Task) -> dict[str, Any]:
    """The fit of one spectrum as JSON types; {"reason": ...} where there is none."""
    try:
        return _fit(task)
    except (Unfit, Ad40Error) as error:
        return {"reason": str(error)}


def _fit(task: Task) -> dict[str, Any]:
    counts, functions = np.asarray(task.counts, np.float64), task.fits.functions
    start, model, fitted = _widest(counts, task)
    inside = counts[start : start + len(model.offset)]
    comparisons = []
    if len(functions) > 1:
        choice = order.choose(model.edges, inside, functions, level=task.fits.order_p, sqrt_s=task.settings.sqrt_s)
        comparisons = [[c.smaller, c.larger, c.p] for c in choice.comparisons]
        start, model, fitted = fit_in_range(counts, task.axis, choice.name, task.settings)
        inside = counts[start : start + len(model.offset)]
    good = goodness.goodness(model, inside, task.fits.goodness_toys, np.random.default_rng(task.seed), fitted=fitted)
    minuit, integrated = fit.minuit(model, inside), fit.minuit(model, inside, integrate=True)
    expected = fitted.expected
    values = zip(model.function.parameters, minuit.parameters, minuit.errors, strict=True)
    return {
        "reason": None,
        "function": model.function.name,
        "start": start,
        "fit_range": [float(model.edges[0]), float(model.edges[-1])],
        "entries": int(inside.sum()),
        "expected": [float(f"{v:.8g}") for v in expected],
        "pulls": [float(f"{v:.5g}") for v in fit.pulls(inside, expected)],
        "deviance": good.deviance,
        "ndf": good.ndf,
        "gof_p": good.best_p,
        "parameters": {name: [_finite(value), _finite(error)] for name, value, error in values},
        "minuit_valid": minuit.valid,
        "newton_minuit": float(np.max(np.abs(minuit.expected / expected - 1))),
        "centre_integral": float(np.max(np.abs(integrated.expected - expected) / np.sqrt(expected))),
        "order": comparisons,
    }


def _widest(counts: np.ndarray, task: Task) -> tuple[int, fit.Model, fit.NewtonFit]:
    """The fit with the most general function that can be fitted."""
    for name in reversed(task.fits.functions):
        try:
            return fit_in_range(counts, task.axis, name, task.settings)
        except Unfit as error:
            reason = error
    raise reason


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def fit_all(tasks: Sequence[Task], jobs: int) -> Iterator[dict[str, Any]]:
    """`fit_one` of each, in their order."""
    if jobs > 1 and len(tasks) >= MANY:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(fit_one, tasks, chunksize=8)
    else:
        yield from map(fit_one, tasks)


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Fit every spectrum. A spectrum that cannot be fitted says why and stops no other."""
    analysis, plan = context.analysis, settings(context)
    found = {axis.name: axis for axis in axes(analysis)}
    rows = context.results["spectra"]["rows"]
    tasks = [Task(found[row["mass"]], row["counts"], plan, analysis.fits, (analysis.seed, k))
             for k, row in enumerate(rows)]  # fmt: skip
    done = []
    with Progress(len(tasks), "fits", "spectra") as progress:
        for row, result in zip(rows, fit_all(tasks, context.jobs), strict=True):
            done.append({name: row[name] for name in ("stream", "mass", "region")} | result)
            progress.update()
    return {"rows": done}, []


def chosen(context: Context) -> dict[tuple[str, str, str], str]:
    """The function of each spectrum that was fitted, by (stream, mass, region)."""
    rows = context.results["fits"]["rows"]
    return {(r["stream"], r["mass"], r["region"]): r["function"] for r in rows if r["reason"] is None}
