"""Stage `spectra`: mass histograms of every stream, mass and region, and what is left out of them.

`Events` is what all later stages read: which events are searched, their masses, streams and regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline import scores, table
from offline.objects.spectra import bin_edges, spectrum
from offline.regions import ALL
from offline.search.analysis import Analysis
from offline.search.chain import Context
from offline.search.sample import DATA
from offline.statistics.pseudo import Shared, share
from offline.statistics.ranges import Axis, Settings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Events:
    """The events that are searched: not those that the network was trained on, none of a weight below zero.

    masses: float32 (E, M) [GeV], NaN where absent; streams: uint32 (E,) bit masks in the order of `analysis.streams`;
    score: (E,) or None; ystar: (E,). left_out: how many events were dropped, by reason.
    """

    masses: NDArray[np.float32]
    streams: NDArray[np.uint32]
    score: NDArray[np.float32] | None
    ystar: NDArray[np.float32]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.streams)


def load(context: Context, names: Sequence[str] | None = None, streams: Sequence[str] | None = None) -> Events:
    """The searched events of the data, with some of the masses and streams."""
    analysis = context.analysis
    with table.open_table(context.path(f"tables/{DATA}.h5")) as found:
        score, training = None, np.zeros(found.n, bool)
        if analysis.score:
            read = scores.read(context.path(f"scores/{DATA}.h5"), found)
            score, training = read.score, read.training
        negative = ~(found.column("weight") >= 0)
        use = ~training & ~negative
        masses = np.stack([found.mass(name)[use] for name in names or analysis.spectra.names], axis=1)
        bits = np.zeros(int(use.sum()), np.uint32)
        for k, stream in enumerate(streams or analysis.streams):
            bits |= found.stream(stream)[use].astype(np.uint32) << np.uint32(k)
        ystar = found.column("ystar")[use]
    left_out = {"used for training": int(training.sum()), "negative weight": int((negative & ~training).sum())}
    return Events(masses, bits, None if score is None else score[use], ystar, left_out)


def axes(analysis: Analysis, names: Sequence[str] | None = None) -> list[Axis]:
    """The axis of each mass: bins, range and label."""
    plan, floors, found = analysis.spectra, dict(analysis.spectra.floors), []
    falling = dict(plan.falling_from)
    low, high = plan.fit_range or (0.0, np.inf)
    for name in names or plan.names:
        one = spectrum(name, floors.get(name))
        edges = bin_edges(one, *plan.bin_range, resolution=plan.bins)
        floor = max(one.floor, low, falling.get(name, 0.0))
        found.append(Axis(name, edges, floor, high, one.label, turn_on=name not in falling))
    return found


def thresholds(context: Context) -> tuple[list[str], list[float]]:
    """Names and thresholds of the regions that were made, loosest first, `all` in front."""
    if "regions" not in context.results:
        return [ALL.name], [-np.inf]
    made = context.results["regions"]["regions"]
    return [ALL.name, *(r["name"] for r in made)], [-np.inf, *(r["threshold"] for r in made)]


def shared(context: Context, events: Events, found: Sequence[Axis]) -> tuple[Shared, list[str]]:
    """The events as the hunt wants them, and the names of the regions, loosest first."""
    names, limits = thresholds(context)
    score = events.score if len(names) > 1 else None
    return share(
        events.masses, [a.edges for a in found], events.streams, score, limits if score is not None else ()
    ), names


def settings(context: Context, functions: dict[tuple[str, str, str], str] | None = None) -> Settings:
    """How spectra are fitted and scanned; functions: those chosen for single spectra."""
    analysis = context.analysis
    return Settings(
        function=analysis.fits.functions[-1],
        functions=tuple((functions or {}).items()),
        sqrt_s=float(context.results["table"][DATA]["sqrt_s"]),
        min_entries=analysis.spectra.min_entries,
    )


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Histograms of every spectrum, and of all events that pass the filter on y*."""
    analysis = context.analysis
    events, found = load(context), axes(analysis)
    together, regions = shared(context, events, found)
    rows = []
    for s, stream in enumerate(analysis.streams):
        for m, axis in enumerate(found):
            counts = together.counts(s, m, len(regions), len(axis.edges) - 1)
            inside = together.members(s, m) & (together.level > 0)
            for r, region in enumerate(regions):
                row = {"stream": stream, "mass": axis.name, "region": region, "counts": counts[r].tolist()}
                rows.append(row)
            limit = analysis.regions.ystar_max if analysis.regions else None
            if limit is not None:
                passed = inside & (events.ystar < limit)  # False where there are no two jets
                filtered = np.bincount(together.bins[passed, m], minlength=len(axis.edges) - 1)
                row = {"stream": stream, "mass": axis.name, "region": ystar_name(limit), "counts": filtered.tolist()}
                rows.append(row)
    masses = {a.name: {"label": a.label, "edges": a.edges.tolist(), "outside": outside(events.masses[:, m], a)}
              for m, a in enumerate(found)}  # fmt: skip
    return {"events": len(events), "left_out": events.left_out, "regions": regions, "masses": masses, "rows": rows}, []


def ystar_name(limit: float) -> str:
    """Name of the filter on y*, in the place of a region."""
    return f"ystar<{limit:g}"


def outside(mass: NDArray[np.float32], axis: Axis) -> int:
    """How many events have a mass outside of the bins."""
    return int(((mass < axis.edges[0]) | (mass >= axis.edges[-1])).sum())
