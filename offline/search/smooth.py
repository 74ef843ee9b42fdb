"""Stage `scan`: the whole search repeated at many thresholds of the anomaly score, with one p-value for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError
from offline import regions as anomaly
from offline import scores, table
from offline.search.chain import Context
from offline.search.sample import DATA
from offline.search.spectra import axes, load, settings
from offline.statistics import scan
from offline.statistics.pseudo import share

FOLDER = "scan"


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Scan the streams and spectra of the plan. Pseudo-experiments are kept in DIR/scan: a rerun makes what is missing.

    A threshold that the sample cannot have is left out with its reason.
    """
    analysis, plan = context.analysis, context.analysis.scan
    assert plan is not None  # the chain leaves the stage out otherwise
    luminosity = context.results["table"][DATA]["luminosity_fb"]
    if luminosity is None:
        expected = "a luminosity [1/fb]: the files do not say the cross-section of the sample"
        raise InputError(analysis.file, "luminosity_fb", "not known", expected)
    made = _thresholds(context, np.geomspace(plan.low_pb, plan.high_pb, plan.steps).tolist(), luminosity)
    about: dict[str, Any] = {"quantity": context.results["scores"]["quantity"], "refused": made.refused}
    if not made.regions:
        return about | {"steps": [], "p": None, "curves": [], "spectra": 0, "scanned": 0}, []
    names = [region.name for region in made.regions]
    events, found = load(context, plan.spectra, plan.streams), axes(analysis, plan.spectra)
    limits = [region.threshold for region in made.regions]
    together = share(events.masses, [axis.edges for axis in found], events.streams, events.score, limits)
    result = scan.scan(
        together, found, plan.streams, names, settings(context), toys=plan.pseudo_experiments, seed=analysis.seed,
        work=context.path(FOLDER), jobs=context.jobs, where=context.extra.get("cluster"),
    )  # fmt: skip
    document = scan.curves(result, {r.name: r.cross_section_pb for r in made.regions})
    thresholds = {region.name: region.threshold for region in made.regions}
    kept = {r.name: int(r.keeps(events.score).sum()) for r in made.regions if events.score is not None}
    steps = [_step(row, document, thresholds[row["region"]], kept[row["region"]]) for row in document["by_threshold"]]
    everything = document["everything"]
    return about | {
        "steps": steps, "p": everything["p"], "z": everything["z"], "p_is_limit": everything["p_is_limit"],
        "everything": everything, "curves": document["curves"],
        **{k: document[k] for k in ("pseudo_experiments", "spectra", "scanned", "skipped", "shared")},
    }, []  # fmt: skip


def _thresholds(context: Context, cross_sections_pb: list[float], luminosity_fb: float) -> anomaly.Regions:
    with table.open_table(context.path(f"tables/{DATA}.h5")) as found:
        read = scores.read(context.path(f"scores/{DATA}.h5"), found)
        weight = found.column("weight")
    use = read.searched & (weight >= 0)
    return anomaly.by_cross_section(read.score[use], weight[use], luminosity_fb, cross_sections_pb, read.correction)


def _step(row: dict[str, Any], document: dict[str, Any], threshold: float, events: int) -> dict[str, Any]:
    """One threshold: the largest excess there, its p-value over all spectra, and how many could be searched."""
    here = [point for curve in document["curves"] for point in curve["thresholds"] if point["region"] == row["region"]]
    found = [point for point in here if point["skipped"] is None]
    best = f"{row['mass']} {row['stream']}" if "mass" in row else None
    return {
        "region": row["region"],
        "cross_section_pb": row["cross_section_pb"],
        "threshold": threshold,
        "events": events,
        "spectra": len(here),
        "scanned": len(found),
        "local_p": min((p["local_p"] for p in found if p["described"]), default=None),
        "global_p": row["p"] if best else None,
        "best": best,
        "window": row.get("window"),
    }
