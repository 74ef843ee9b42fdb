"""`ad40 calibrate`: what the p-values of the bump hunt are worth, measured on generated data sets.

Coverage: many background-only data sets of a known source (`offline.statistics.world`) go through the whole hunt,
fit ranges and all, each with pseudo-experiments of its own. A p-value is right if it is uniform over them. Five are
tested: of everything, of one region, of one spectrum, and the local ones of a window fixed beforehand, from refitted
pseudo-experiments and from the Poisson law of the true background.

Power: the same with an injected resonance. It is found if the largest excess of all is in its mass and its window
holds the mass injected. Its size is given in expected local sigmas, as a fit to the average data set would measure.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ad40.errors import Ad40Error, CheckError
from ad40.progress import Progress
from offline.statistics import bumphunt, speed
from offline.statistics.hunt import conclude, prepare, throw
from offline.statistics.poisson import minus_log_p
from offline.statistics.ranges import Axis, Settings, fit_in_range
from offline.statistics.world import World

HELP = "coverage of the p-values of the bump hunt, and the signals that it finds, on generated data sets"
EPILOG = "example: ad40 calibrate --sets 1000 --toys 500 --json build/calibration.json"

Floats = NDArray[np.float64]

STUDIES = ("coverage", "power", "speed", "scan")
KINDS = ("everything", "one region", "one spectrum", "local, background refitted", "local, true background")
LEVELS = (0.01, 0.05, 0.1, 0.5)
WINDOW = (12, 16)  # bins of the local test: 4 resolutions wide, in the falling part
TIGHTEST = 0.1  # part of the events in the tightest region
SIGNAL_MASS = 1200.0  # [GeV]

# the smallest arguments that make sense
LEAST = {"sets": 2, "toys": 19, "events": 1000, "thresholds": 2, "sigma": 0.1, "jobs": 1, "seed": 0}
LEAST_KS = 0.05
"""A p-value that is less uniform than this (Kolmogorov-Smirnov) fails."""

LEAST_FOUND = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--study", nargs="+", choices=STUDIES, default=["coverage", "power"], metavar="NAME",
                        help="coverage and power (the default); speed: 10,000 pseudo-experiments of 60 bins; scan: 63"
                        " spectra at 20 thresholds with --events and --toys, kept in --work")  # fmt: skip
    parser.add_argument("--sets", type=int, default=1000, metavar="N", help="data sets (default %(default)s)")
    parser.add_argument("--toys", type=int, default=500, metavar="N", help="toys of each (default %(default)s)")
    parser.add_argument("--events", type=float, default=World.events, metavar="N",
                        help="mean events of a data set (default %(default)s)")  # fmt: skip
    parser.add_argument("--thresholds", type=int, default=3, metavar="N",
                        help="nested regions, from all events to a tenth of them (default %(default)s)")  # fmt: skip
    parser.add_argument(
        "--sigma", type=float, default=5.0, help="expected local size of the signal (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=40, help="of all random numbers (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="processes, or threads of speed and scan (default: cores)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("build/scan"), metavar="DIR", help="default %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do the studies, print them, and fail (`CheckError`) where coverage or power miss their marks."""
    for name, least in LEAST.items():
        if not getattr(args, name) >= least:
            raise Ad40Error(f"--{name} is {getattr(args, name)}; expected {least} or more")
    names = "sets", "toys", "events", "thresholds", "seed", "jobs"
    summary: dict[str, Any] = {name: getattr(args, name) for name in names}
    world = World(events=args.events, keep=tuple(np.geomspace(1.0, TIGHTEST, args.thresholds).tolist()))
    bad: list[str] = []
    if "coverage" in args.study:
        rows = measure(partial(p_values, world, args.toys, args.seed), args.sets, args.jobs, "coverage")
        covered = {name: uniformity(np.array([row[i] for row in rows])) for i, name in enumerate(KINDS)}
        summary["coverage"] = covered
        _print_coverage(summary)
        bad += [f"{name} is not uniform" for name, row in covered.items() if row["ks_p"] < LEAST_KS]
    if "power" in args.study:
        power = summary["power"] = _power(world, args)
        low, value, high = power["found"]
        print(f"power: {power['sigma']:g} sigma at {power['mass']:.0f} GeV ({power['signal_events']:.1f} events) found "
              f"in {value:.1%} [{low:.1%}, {high:.1%}], median local z {power['median_local_z']:.1f}")  # fmt: skip
        if value < LEAST_FOUND:
            bad.append(f"{value:.1%} of the signals found")
    if "speed" in args.study:
        row = summary["speed"] = speed.toys(args.jobs, args.seed)
        print(
            f"speed: {row['pseudo_experiments']:,} pseudo-experiments of {row['bins']} bins in {row['seconds']:.1f} s"
        )
    if "scan" in args.study:
        row = summary["scan"] = speed.whole_scan(args.jobs, args.seed, args.events, args.toys, args.work)
        print(f"scan: {row['spectra']:,} spectra, {row['events']:,} events, {row['pseudo_experiments']:,} "
              f"pseudo-experiments each in {row['seconds']:.0f} s; {row['scanned']:,} scanned, "
              f"p of everything {row['everything']['p']:.2g}")  # fmt: skip
    if bad:
        raise CheckError(f"calibration: {', '.join(bad)}", summary)
    return summary


def _power(world: World, args: argparse.Namespace) -> dict[str, Any]:
    width = 0.5 * world.resolution * SIGNAL_MASS
    events = events_for(world, SIGNAL_MASS, width, args.sigma)
    signal = world.with_signal(events, SIGNAL_MASS, width)
    found = measure(partial(search, signal, args.seed), args.sets, args.jobs, "power")
    return {
        "sigma": args.sigma,
        "signal_events": events,
        "mass": SIGNAL_MASS,
        "width": width,
        "found": efficiency([row.found for row in found]),
        "median_local_z": float(np.median([row.z for row in found])),
    }


def measure(work: Callable[[int], Any], n: int, jobs: int, label: str) -> list[Any]:
    """work(0) .. work(n - 1), in this order whatever the number of processes."""
    with ProcessPoolExecutor(jobs) as pool, Progress(n, label, "data sets") as progress:
        result = []
        for row in pool.map(work, range(n), chunksize=max(1, min(20, n // (4 * jobs)))):
            result.append(row)
            progress.update()
    return result


def p_values(world: World, toys: int, seed: int, number: int) -> tuple[float, ...]:
    """The p-values (`KINDS`) of one background-only data set."""
    rng = np.random.default_rng([seed, 1, number])
    shared = world.throw(rng)
    names = world.stream_names, world.region_names
    toy_seed = int(rng.integers(2**62))
    prepared = prepare(shared, world.axes, *names)
    scanned = prepared.scanned
    windows = [(WINDOW[0] - r.start, WINDOW[1] - r.start) for r in scanned]
    result = conclude(prepared, throw(prepared, 0, toys, toy_seed, windows))
    first = world.stream_names[0], world.axes[0].name, world.region_names[0]
    spectrum = next(r for r in result.scanned if r.key == first)
    n, true = (x[slice(*WINDOW)].sum() for x in (spectrum.all_counts, world.expected()))
    # counts are whole numbers: p is uniform if a random part of the chance of exactly n is in it
    poisson = stats.poisson.sf(n, true) + rng.random() * stats.poisson.pmf(n, true)
    best = result.best(), result.best(region=world.region_names[1])
    return best[0].p, best[1].p, spectrum.global_p, spectrum.local_p_toys, float(poisson)


@dataclass(frozen=True)
class Found:
    """Whether the largest excess of a data set is the signal, and the local significance of that excess."""

    found: bool
    z: float


def search(world: World, seed: int, number: int) -> Found:
    """Search one data set with a signal."""
    assert world.signal is not None
    shared = world.throw(np.random.default_rng([seed, 2, number]))
    prepared = prepare(shared, world.axes, world.stream_names, world.region_names)
    best = max(prepared.scanned, key=lambda r: float(r.best.t))
    low, high = best.window
    return Found(best.axis.name == "m0" and low <= world.signal.mass < high, float(best.best.z))


def events_for(world: World, mass: float, width: float, sigma: float) -> float:
    """Signal events that give the average data set a local significance in the first spectrum, background refitted."""
    shape = np.diff(stats.norm.cdf(world.edges, mass, width))
    background, axis, settings = world.expected(), Axis("m0", world.edges), Settings()

    def expected_z(events: float) -> float:
        counts = background + events * shape
        start, model, fitted = fit_in_range(counts, axis, settings.function, settings)
        bounds = bumphunt.windows(len(model.offset), settings.widths)
        holds = bounds[(model.edges[bounds[:, 0]] <= mass) & (mass < model.edges[bounds[:, 1]])]
        n, b = (
            np.array([x[low:high].sum() for low, high in holds])
            for x in (counts[start : start + len(model.offset)], fitted.expected)
        )
        return float(bumphunt.z_of(minus_log_p(n, b)).max())

    low, high = 0.0, 100 + 30 * float(np.sqrt(background.sum()))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_z(middle) < sigma else (low, middle)
    return high


def uniformity(p: Floats) -> dict[str, Any]:
    """Kolmogorov-Smirnov p of uniformity, the mean, and how often p is at most each of `LEVELS`, with 68 % errors."""
    rates = {
        f"{level:g}": [float(np.mean(p <= level)), float(np.sqrt(level * (1 - level) / len(p)))] for level in LEVELS
    }
    return {"ks_p": float(stats.kstest(p, "uniform").pvalue), "mean": float(p.mean()), "rates": rates}


def efficiency(found: list[bool]) -> tuple[float, float, float]:
    """Low end, value and high end: a part with its 68 % Clopper-Pearson interval."""
    k, n = sum(found), len(found)
    interval = stats.binomtest(k, n).proportion_ci(0.6827)
    return float(interval.low), k / n, float(interval.high)


def _print_coverage(summary: dict[str, Any]) -> None:
    print(f"coverage, {summary['sets']} background-only data sets, {summary['toys']} pseudo-experiments each")
    print(f"{'p-value':32}{'KS p':>7}{'mean':>8}" + "".join(f"{'p <= ' + f'{level:g}':>12}" for level in LEVELS))
    for name, row in summary["coverage"].items():
        rates = "".join(f"{rate:>12.3f}" for rate, _ in row["rates"].values())
        print(f"{name:32}{row['ks_p']:>7.2f}{row['mean']:>8.3f}{rates}")
