"""Speed of the statistics: `python -m offline.statistics.bench [--toys 10000] [--threads 2] [--json FILE]`.

One pseudo-experiment is thrown from a known background, fitted with the five-parameter function and scanned for the
largest excess. The fit is also done by iminuit on some of the same histograms: for its speed beside, and because both
must agree. Compiling comes before the clock starts and is given apart. JSON as of `ad40 bench`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from ad40.files import write_json
from ad40.stream import cores
from offline.statistics import bumphunt, fit
from offline.statistics.functions import FUNCTIONS, SQRT_S
from offline.statistics.order import choose
from offline.statistics.sliding import Windows, slide
from offline.statistics.spurious import Template, spurious

Floats = NDArray[np.float64]

BINS = 60
ENTRIES = 30_000
BY_MINUIT = 20
AGREEMENT = 1e-2
"""Largest difference between the two fits of one bin, in units of the root of its expected entries."""

EDGES = np.rint(300 * 1.045 ** np.arange(BINS + 1))  # 300 GeV to 4.2 TeV, one jet resolution wide
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def background() -> Floats:
    """Expected entries (B,) of a jet spectrum: p5, falling over six decades."""
    shape = np.exp(FUNCTIONS["p5"].design(CENTRES / SQRT_S) @ [0.0, 8.0, -8.0, -1.6, -0.16]) * np.diff(EDGES)
    return ENTRIES * shape / shape.sum()


def median(work: Callable[[], Any]) -> float:
    """Milliseconds of the median of five calls."""
    return 1e3 * float(np.median([timed(work)[0] for _ in range(5)]))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one call."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def pseudo_experiments(model: fit.Model, n: int, threads: int, seed: int) -> tuple[Floats, int]:
    """t (n,) of n pseudo-experiments, each fitted again and scanned; and how many fits did not converge.

    Threads share them in parts with seeds of their own.
    """
    truth = background()
    start = fit.newton(model, truth).coefficients

    def part(size: int, stream: np.random.SeedSequence) -> tuple[Floats, int]:
        toys = np.random.default_rng(stream).poisson(truth, size=(size, BINS)).astype(np.float64)
        fitted = fit.newton(model, toys, start=start)
        return bumphunt.scan(toys, fitted.expected).t, int(np.count_nonzero(~fitted.converged))

    sizes = [int(b - a) for a, b in pairwise(np.linspace(0, n, threads + 1).astype(int))]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, sizes, np.random.SeedSequence(seed).spawn(threads)))
    return np.concatenate([t for t, _ in parts]), sum(failed for _, failed in parts)


def measure(n: int = 10_000, threads: int = 2, seed: int = 1) -> dict[str, Any]:
    """All figures. Raises `CheckError` where the fits do not converge or do not agree with iminuit."""
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, beside: dict[str, float] | None = None) -> None:
        rows.append({"name": name, "value": round(value, 4), "unit": unit, "beside": beside or {}})

    model, truth = fit.Model.on(EDGES, "p5"), background()
    compiling, _ = timed(lambda: pseudo_experiments(model, threads, threads, seed))
    toys = np.random.default_rng(seed).poisson(truth, size=(n, BINS)).astype(np.float64)
    whole, (_, failed) = timed(lambda: pseudo_experiments(model, n, threads, seed))
    fits, found = timed(lambda: fit.newton(model, toys, threads=threads))
    alone, _ = timed(lambda: fit.newton(model, toys))
    scans, _ = timed(lambda: bumphunt.scan(toys, found.expected))
    by_minuit, check = timed(lambda: [fit.minuit(model, counts) for counts in toys[:BY_MINUIT]])
    same = np.array([np.abs(m.expected - e) for m, e in zip(check, found.expected, strict=False)])
    apart = float(np.max(same / np.sqrt(found.expected[:BY_MINUIT])))
    failed += int(np.count_nonzero(~found.converged))

    what = f"{n:,} pseudo-experiments of {BINS} bins"
    row(f"{what}: thrown, refitted, scanned, {threads} threads", whole, "s")
    row(f"{what}: refitted from scratch, {threads} threads", fits, "s")
    row(f"{what}: refitted from scratch, 1 thread", alone, "s", {"iminuit": round(by_minuit / BY_MINUIT * n, 1)})
    row(f"{what}: scanned, 1 thread", scans, "s")
    row("largest difference of a bin between newton and iminuit, in roots of its entries", apart, "")
    row("fits that did not converge", failed, "")
    windows, masses, template = Windows.on(EDGES, 9), np.linspace(400, 3000, 50), Template(truth, 0 * truth, "p5")
    row("order chosen among p2 to p6 by F-test, one spectrum", median(lambda: choose(EDGES, toys[0])), "ms")
    row(f"sliding windows of {windows.size} bins, one spectrum", median(lambda: slide(windows, toys[0])), "ms")
    row(
        f"spurious signal at {len(masses)} masses, one spectrum",
        median(lambda: spurious(model, template, masses, 0.0, lambda mass: 0.04)),
        "ms",
    )
    row("first call: compiling, or reading what was compiled before", compiling, "s")
    summary: dict[str, Any] = {"cores": cores(), "benchmarks": rows}
    if failed or not apart < AGREEMENT:
        raise CheckError(f"{failed} fits did not converge; newton and iminuit differ by {apart:.2g}", summary)
    return summary


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the summary."""
    parser = argparse.ArgumentParser(prog="python -m offline.statistics.bench", description=__doc__)
    parser.add_argument(
        "--toys", type=int, default=10_000, metavar="N", help="pseudo-experiments (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(arguments)
    if args.toys < BY_MINUIT or args.threads < 1:
        parser.error(f"at least {BY_MINUIT} pseudo-experiments and 1 thread")
    try:
        summary = measure(args.toys, args.threads, args.seed)
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for row in summary["benchmarks"]:
        beside = ", ".join(f"{name} {value:,}" for name, value in row["beside"].items())
        print(f"{row['name']:<80}{row['value']:>12,.4g} {row['unit']}{'   beside: ' + beside if beside else ''}")
    if args.json:
        write_json(args.json, summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
