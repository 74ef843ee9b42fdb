"""Stage `hunt`: the largest excess of every spectrum, and what it is worth after all trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ad40.progress import Progress
from offline.search.analysis import claim_p
from offline.search.background import chosen
from offline.search.chain import Context
from offline.search.spectra import axes, load, settings, shared
from offline.statistics import bumphunt
from offline.statistics.hunt import Best, Hunt, Scanned, Skipped, hunt


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Hunt over all streams, masses and regions."""
    analysis, plan = context.analysis, context.analysis.hunt
    events, found = load(context), axes(analysis)
    together, regions = shared(context, events, found)
    with Progress(plan.pseudo_experiments, "hunt", "pseudo-experiments") as progress:
        result = hunt(
            together, found, analysis.streams, regions, settings(context, chosen(context)),
            toys=plan.pseudo_experiments, seed=analysis.seed, threads=context.jobs, progress=progress.update,
        )  # fmt: skip
    return summarise(result, regions, analysis.streams, plan.claim_sigma), []


def summarise(result: Hunt, regions: list[str], streams: tuple[str, ...], claim_sigma: float) -> dict[str, Any]:
    """The hunt as JSON types."""
    overall = result.best()
    return {
        "pseudo_experiments": result.toys,
        "claim_sigma": claim_sigma,
        "claim_p": claim_p(claim_sigma),
        "bump": overall.leading is not None and overall.p <= claim_p(claim_sigma),
        "shared": result.shared,
        "global": best(overall),
        "by_region": {region: best(result.best(region=region)) for region in regions},
        "by_stream": {stream: best(result.best(stream=stream)) for stream in streams},
        "rows": [_row(r) for r in result.results],
    }


def best(found: Best) -> dict[str, Any]:
    """The largest excess of a set of spectra, and its p-value over the set."""
    r = found.leading
    return {
        "p": found.p,
        "z": found.z,
        "p_is_limit": found.at_limit,
        "stream": r.stream if r else None,
        "spectrum": r.axis.name if r else None,
        "label": r.axis.label if r else None,
        "region": r.region if r else None,
        "window": list(r.window) if r else None,
    }


def _row(r: Scanned | Skipped) -> dict[str, Any]:
    stream, mass, region = r.key
    row: dict[str, Any] = {"stream": stream, "mass": mass, "region": region}
    if isinstance(r, Skipped):
        return row | {"reason": r.reason}
    return row | {
        "reason": None,
        "window": list(r.window),
        "observed": float(r.best.observed),
        "expected": float(r.best.expected),
        "local_p": float(r.best.local_p),
        "local_z": float(r.best.z),
        "local_p_toys": r.local_p_toys,
        "global_p": r.global_p,
        "global_z": bumphunt.significance(r.global_p),
        "gof_p": r.gof_p,
        "sideband_p": r.sideband_p,
        "described": r.described,
        "pseudo_experiments_not_converged": r.failed,
    }
