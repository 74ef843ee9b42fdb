"""`ad40 jets yxh`: the search for Y -> X H with an anomalous X, both in one large jet each (PRD 108 (2023) 052009).

H is recognised by the mass of its jet; X may be anything, and its jet is asked to be anomalous. The dijet mass is that
of Y. Bumps are hunted in it, in overlapping windows of the mass of the X jet, without the cut on the score and with it:
a search in two masses, whose global p-value is over all windows of both (`offline.statistics.hunt`, pseudo-experiments
that keep the events which windows and cuts share).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from ad40.progress import Progress
from offline.jets.bump import RESOLUTION
from offline.jets.dijets import dijets
from offline.jets.jets import Jets, open_jets
from offline.jets.scorefile import read
from offline.statistics import fit, hunt
from offline.statistics.bumphunt import significance
from offline.statistics.functions import FUNCTIONS, SQRT_S
from offline.statistics.hunt import Scanned
from offline.statistics.pseudo import share
from offline.statistics.ranges import Axis, Settings, first_bin

HELP = "search for Y -> X H: a Higgs candidate by mass, an anomalous jet, bumps in the masses of X and Y"
EPILOG = "example: ad40 jets yxh build/jets.h5 --scores build/vrnn_scores.h5 --output build/yxh"
SUMMARY = "yxh.json"

HIGGS = (75.0, 145.0)  # mass of the H candidate [GeV]
HIGGS_MASS = 125.0
THRESHOLD = 0.5
X_FIRST, X_STEP, X_WIDTH, X_LAST = 50.0, 1.25, 1.5, 1000.0
"""Windows in the mass of X [GeV]: the first begins at X_FIRST, each X_STEP times higher; its end is X_WIDTH times its
beginning. They overlap, so that no X falls between two."""


@dataclass(frozen=True)
class Candidates:
    """k events with an H candidate. y, x float64 (k,): masses of Y and X [GeV]; score float32 (k,): of the X jet;
    label int8 (k,)."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    score: NDArray[np.float32]
    label: NDArray[np.int8]


def candidates(
    jets: Jets, score: NDArray[np.floating], higgs: tuple[float, float] = HIGGS,
    leading_pt: float = 500.0, second_pt: float = 200.0, max_dy: float = math.inf,
) -> Candidates:  # fmt: skip
    """The events of two leading jets of which one has the mass of H; the other is X.

    When both have it, the one closer to 125 GeV is H (the publication asks a b tagger, which is not at hand here).
    Raises `InputError` when no event has a candidate.
    """
    events = dijets(jets, (), leading_pt, second_pt, max_dy)
    masses = jets.column("mass")[events.jets].astype(np.float64)  # (k, 2)
    inside = (masses >= higgs[0]) & (masses < higgs[1])
    away = np.where(inside, np.abs(masses - HIGGS_MASS), np.inf)
    h = np.argmin(away, axis=1)
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        raise InputError("yxh", "events", f"0 of {len(events)} with a jet of {higgs[0]:g} to {higgs[1]:g} GeV", "some")
    other = events.jets[rows, 1 - h[rows]]
    return Candidates(events.mass[rows], masses[rows, 1 - h[rows]], score[other].astype(np.float32),
                      events.label[rows])  # fmt: skip


def windows(first: float = X_FIRST, last: float = X_LAST) -> list[tuple[float, float]]:
    """Windows [low, high) in the mass of X, GeV."""
    n = int(math.log(last / first) / math.log(X_STEP) + 1e-9) + 1
    return [(first * X_STEP**i, first * X_STEP**i * X_WIDTH) for i in range(n)]


def search(
    found: Candidates, threshold: float, toys: int, seed: int, function: str, resolution: float = RESOLUTION,
    tick: Any = lambda n: None,
) -> hunt.Hunt:  # fmt: skip
    """Hunt bumps in the mass of Y, in all windows of X, before ("all") and after ("anomalous") the cut on the score."""
    low, high = max(float(found.y.min()), 100.0), float(min(found.y.max() * 1.05, SQRT_S * 0.95))
    steps = max(math.ceil(math.log(high / low) / resolution), 1)
    edges = np.geomspace(low, high, steps + 1)
    places = windows()
    # one turn-on for all, that of the trigger: of few events in a window, a signal could be the maximum
    start = first_bin(np.histogram(found.y, edges)[0].astype(np.float64), edges, 0.0)
    axes = [Axis(f"X {a:.0f}-{b:.0f}", edges, float(edges[start]), turn_on=False) for a, b in places]
    masses = np.stack([np.where((found.x >= a) & (found.x < b), found.y, np.nan) for a, b in places], axis=1)
    # level 0 of `share` is below the first threshold: all events are in the first region
    shared = share(masses, [edges] * len(places), None, found.score, (-np.inf, threshold))
    settings = Settings(function=function)
    return hunt.hunt(shared, axes, ("dijets",), ("all", "anomalous"), settings, toys=toys, seed=seed, progress=tick)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="JETS.h5", help="jets file (ad40 jets cluster)")
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE.h5", help="its scores (ad40 jets score)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, metavar="X",
                        help="score of an anomalous X jet, at least (default %(default)s, of the VRNN)")  # fmt: skip
    parser.add_argument("--higgs", type=float, nargs=2, default=HIGGS, metavar=("LOW", "HIGH"),
                        help="mass of the H candidate [GeV] (default %(default)s)")  # fmt: skip
    parser.add_argument("--toys", type=int, default=2000, metavar="N", help="pseudo-experiments (default %(default)s)")
    parser.add_argument("--function", choices=FUNCTIONS, default="p4", metavar="NAME",
                        help="background function (default %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=40, metavar="N", help="of the pseudo-experiments")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search; write yxh.json and figures; return the summary."""
    low, high = args.higgs
    if not 0 < low < high:
        raise InputError("command line", "--higgs", list(args.higgs), "two masses above 0 GeV that rise")
    if args.toys < 19:
        raise InputError("command line", "--toys", args.toys, "19 or more")
    writable_folder(args.output)
    with open_jets(args.file) as file:
        scores = read(args.scores, file)
        found = candidates(file.table(), scores.jet, (low, high))
        stand_in = file.attributes["stand_in"]
    with Progress(args.toys, "yxh", "pseudo-experiments") as progress:
        result = search(found, args.threshold, args.toys, args.seed, args.function, tick=progress.update)
    best = {region: result.best(region=region) for region in ("all", "anomalous")}
    overall = result.best()
    spectra = [_document(r) for r in result.results]
    summary = {
        "file": str(args.file), "model": scores.attributes["model"], "stand_in": stand_in,
        "events": len(found.y), "anomalous": int((found.score >= args.threshold).sum()), "threshold": args.threshold,
        "higgs": [low, high], "toys": args.toys, "spectra": spectra,
        "largest": {region: _best(b) for region, b in (*best.items(), ("any", overall))},
    }  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    _figures(args.output, result, "stand-in" if stand_in else "")
    print(f"{summary['events']:,} events with an H candidate, {summary['anomalous']:,} with an anomalous X; "
          f"{len(result.scanned)} spectra searched, {len(result.skipped)} left out")  # fmt: skip
    for region, b in best.items():
        if b.leading is not None:
            a, z = b.leading.window, b.z
            print(f"{region}: {b.leading.axis.name} GeV, Y {a[0]:.0f} to {a[1]:.0f} GeV: "
                  f"{float(b.leading.best.z):.1f} sigma local, {z:.1f} global")  # fmt: skip
    print(f"written: {args.output / SUMMARY}")
    return summary


def _best(b: hunt.Best) -> dict[str, Any]:
    if b.leading is None:
        return {"global_p": b.p, "global_z": significance(b.p), "x": None, "window": None, "local_z": None}
    return {"global_p": b.p, "global_z": b.z, "x": b.leading.axis.name, "window": list(b.leading.window),
            "local_z": float(b.leading.best.z)}  # fmt: skip


def _document(r: Any) -> dict[str, Any]:
    about = {"x": r.axis.name, "region": r.region}
    if not isinstance(r, Scanned):
        return about | {"status": "left out", "reason": r.reason}
    return about | {"status": "searched", "entries": r.entries, "window": list(r.window), "global_p": r.global_p,
                    "local_z": float(r.best.z), "local_p_toys": r.local_p_toys, "sideband_p": r.sideband_p}  # fmt: skip


def _figures(folder: Path, result: hunt.Hunt, status: str) -> None:
    from offline.figures.book import Book  # matplotlib: only where figures are drawn
    from offline.figures.spectrum import Spectrum

    book = Book(folder, {"status": status or None})
    for i, r in enumerate(result.scanned):
        pulls = fit.pulls(r.counts, r.background.expected)
        drawing = Spectrum("mass of Y", list(map(float, r.axis.edges)), list(map(float, r.all_counts)), r.start,
                           r.background.expected.tolist(), pulls.tolist(), r.window, float(r.best.z),
                           r.model.function.name, [f"{r.axis.name} GeV, {r.region}"], None, SQRT_S, status)  # fmt: skip
        book.add(f"y_{i}_{r.region}", drawing, f"Mass of Y, {r.axis.name} GeV, {r.region}", "Bump hunt.")
    book.finish(1, "Search for Y to X H with an anomalous X")
