"""How often an upper limit is above the signal that is there, measured with pseudo-experiments.

Each pseudo-experiment throws a spectrum of a known background and a known signal and is treated like data: fit
without signal, limit with the background refitted. The signal is as strong as the median expected limit, or as a
discovery of 3 or 5 standard deviations. A limit at 95 % confidence should cover in 95 %. CLs covers more by
construction where the signal is weak: always without signal, 97.5 % at the median expected limit, 95.0 % at 5
standard deviations; what it gives for a normally distributed estimate stands beside each figure (`cls_of_gaussian`).
Without signal, the bands are tested: how many observed limits are below the expected one at -2, -1, 0, 1, 2 sigma.

    python -m offline.statistics.coverage --toys 1000 --json build/coverage.json
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from ad40.errors import Ad40Error, CheckError
from ad40.files import write_json
from ad40.metrics import wilson
from ad40.progress import Progress
from offline.statistics import asymptotic, fit, signals, toy_limits
from offline.statistics.asymptotic import LimitError, Profile
from offline.statistics.limits import CONFIDENCE, FEW, Background, upper_limit

HELP = "coverage of upper limits, measured with pseudo-experiments"

Floats = NDArray[np.float64]

EDGES = np.round(np.geomspace(300.0, 6000.0, 61))
"""Bins of the spectrum [GeV]: 60, one resolution (5 %) wide."""

RESOLUTION = 0.05
PARAMETERS = (0.0, 8.0, -5.0, 0.3, 0.08)
"""ln p1 (set by the number of events), p2 .. p5 of the true background, falling like a dijet spectrum."""

STRENGTHS = ("0 median", "1 median", "3 sigma", "5 sigma")
"""Signals: so many median expected limits, or as strong as a discovery of so many standard deviations (sqrt(q0))."""
CHUNK = 20
TOLERANCE = 0.02
"""By how much the coverage of a signal of 5 sigma may differ from the confidence level."""

MAX_FAILED = 0.01


@dataclass(frozen=True)
class Case:
    """One line of the table: events of the whole spectrum; mass [GeV] and relative width of the signal; its strength,
    one of `STRENGTHS`; method of the limit, and the background function it fits."""

    events: float
    mass: float
    width: float
    strength: str
    method: str
    constrained: bool = False
    function: str = "p5"


@dataclass(frozen=True)
class Truth:
    """The spectrum of a case: background (B,), shape (B,) and number of signal events, sigma = sqrt(q_A) of it."""

    model: fit.Model
    background: Floats
    shape: Floats
    signal: float
    sigma: float
    under: float


def truth(case: Case) -> Truth:
    """Background and signal of a case. Raises `Ad40Error` where they do not make sense."""
    model = fit.Model.on(EDGES, case.function)
    shape = signals.gaussian(EDGES, case.mass, case.width, RESOLUTION)
    exact = fit.Model.on(EDGES, "p5")
    expected = exact.expected(exact.triangle @ np.array(PARAMETERS))
    expected *= case.events / expected.sum()
    background = Background.of(model, fit.newton(model, expected))
    likelihood = background.with_signal(shape)
    zero = np.zeros(likelihood.size)
    asimov = Profile(likelihood, expected, zero, zero)
    median = asymptotic.upper_limit(likelihood, expected).expected[2]

    def discovery(s: float) -> float:
        """sqrt(q0) of the average spectrum with s signal events."""
        counts = expected + s * shape
        profile = Profile(likelihood, counts, zero, zero)
        return float(np.sqrt(2.0 * (profile.f_null - profile.f_best)))

    wanted, unit = _strength(case.strength)
    if unit == "median":
        signal = wanted * float(median)
    else:
        high = float(median)
        while discovery(high) < wanted:
            high *= 2.0
        signal = float(brentq(lambda s: discovery(s) - wanted, 0.0, high, rtol=1e-6))
    sigma = float(np.sqrt(asimov(signal))) if signal > 0 else 0.0
    return Truth(model, expected, shape, signal, sigma, background.under(shape))


def _strength(text: str) -> tuple[float, str]:
    match = re.fullmatch(r"(\d+\.?\d*) (median|sigma)", text)
    if not match:
        raise Ad40Error(f"strength {text!r}; expected a number and median or sigma, such as {', '.join(STRENGTHS)}")
    return float(match[1]), match[2]


def cls_of_gaussian(x: float, confidence: float = CONFIDENCE) -> float:
    """Coverage of CLs for a normally distributed estimate of a signal of x standard deviations."""
    if x <= 0:
        return 1.0
    # excluded where the estimate is below z with Phi(z - x) = (1 - confidence) Phi(z)
    z = brentq(lambda z: log_ndtr(z - x) - np.log(1 - confidence) - log_ndtr(z), -30.0, 30.0 + x)
    return float(ndtr(x - z))


def covers(case: Case, seed: int, chunk: tuple[int, int]) -> list[tuple[bool, int, str]]:
    """Pseudo-experiments first..last: whether the limit is at or above the signal, in how many of the expected limits'
    gaps the observed one is (0 to 5; -1 unknown), and the reason where there is no limit."""
    world = truth(case)
    rows = []
    for number in range(*chunk):
        random = np.random.default_rng([seed, number])
        counts = random.poisson(world.background + world.signal * world.shape).astype(np.float64)
        try:
            rows.append((*_treat(case, world, counts, random), ""))
        except Ad40Error as error:
            rows.append((False, -1, str(error)))
    return rows


def _treat(case: Case, world: Truth, counts: Floats, random: np.random.Generator) -> tuple[bool, int]:
    if case.method == "toys" and world.signal > 0:
        # the limit is above the signal where the signal is not excluded: one CLs instead of a search for its crossing
        background = Background.fitted(world.model, counts)
        likelihood = background.with_signal(world.shape, constrained=case.constrained)
        zero = np.zeros(likelihood.size)
        values, _ = toy_limits.cls(likelihood, Profile(likelihood, counts, zero, zero), world.signal, 500, random)
        return bool(values[0] >= 1.0 - CONFIDENCE), -1
    limit = upper_limit(
        world.model,
        counts,
        world.shape,
        method=case.method,
        constrained=case.constrained,
        toys=500,
        seed=int(random.integers(2**31)),
    )
    return limit.observed >= world.signal, int(np.searchsorted(limit.expected, limit.observed))


def measure(case: Case, toys: int, seed: int, jobs: int) -> dict[str, Any]:
    """Coverage of one case, as a row of the table."""
    world = truth(case)
    chunks = [(first, min(first + CHUNK, toys)) for first in range(0, toys, CHUNK)]
    work = partial(covers, case, seed)
    rows: list[tuple[bool, int, str]] = []
    label = f"{case.events:g} events, {case.mass:g} GeV, width {case.width:g}, {case.strength}"
    with Progress(toys, label, "spectra") as progress:
        if jobs == 1:
            parts = map(work, chunks)
        else:
            pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
            parts = pool.map(work, chunks)
        for part in parts:
            rows.extend(part)
            progress.update(len(part))
        if jobs > 1:
            pool.shutdown()
    done = [row for row in rows if not row[2]]
    reasons = sorted({row[2] for row in rows if row[2]})
    gaps = np.array([row[1] for row in done if row[1] >= 0])
    return {
        **asdict(case),
        "signal": world.signal,
        "sigma": world.sigma,
        "background": world.under,
        "coverage": wilson(sum(row[0] for row in done), len(done)),
        "cls_of_gaussian": cls_of_gaussian(world.sigma),
        "below_bands": [float(np.mean(gaps <= band)) for band in range(5)] if len(gaps) else None,
        "toys": toys,
        "failed": toys - len(done),
        "reasons": reasons[:3],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add("--events", type=float, nargs="+", default=[1e6, 1e4], metavar="N", help="mean events of a spectrum")
    add("--masses", type=float, nargs="+", default=[600.0, 1200.0, 2400.0], metavar="GEV", help="of the signal")
    add("--widths", type=float, nargs="+", default=[0.0, 0.1], metavar="X", help="relative widths of the signal")
    add("--strengths", nargs="+", default=list(STRENGTHS), metavar="S", help="default %(default)s")
    add("--method", default="asymptotic", choices=("asymptotic", "toys", "auto"), help="default %(default)s")
    add("--constrained", action="store_true", help="constrain the background to its fit without signal (wrongly)")
    add("--function", default="p5", help="background function of the fits; default %(default)s")
    add("--toys", type=int, default=1000, metavar="N", help="spectra of each case; default %(default)s")
    add("--seed", type=int, default=40, help="default %(default)s")
    add("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes; default: cores")
    add("--json", type=Path, metavar="FILE", help="write the table there")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the table, and fail (`CheckError`) where a limit does not cover a signal of 5 sigma as it should,
    unless it is one that is known not to: constrained, or asymptotic with fewer than `FEW` events of background."""
    for name, least in (("toys", 1), ("jobs", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise Ad40Error(f"--{name} is {getattr(args, name)}; expected {least} or more")
    for events in args.events:
        if not 10 <= events <= 1e12:
            raise Ad40Error(f"--events is {events}; expected 10 to 1e12")
    for strength in args.strengths:
        _strength(strength)
    rows, bad = [], []
    print(
        f"{'events':>9}{'mass':>7}{'width':>7}{'under':>10}{'signal':>10}{'sqrt qA':>9}  {'coverage':24}{'CLs of a':>9}"
    )
    print(
        f"{'':>9}{'GeV':>7}{'':>7}{'signal':>10}{'events':>10}{'':>9}  {'':24}{'Gaussian':>9}  below the bands, failed"
    )
    for events in args.events:
        for mass in args.masses:
            for width in args.widths:
                for strength in args.strengths:
                    case = Case(events, mass, width, strength, args.method, args.constrained, args.function)
                    try:
                        row = measure(case, args.toys, args.seed, args.jobs)
                    except LimitError as error:
                        print(f"{events:>9.3g}{mass:>7.0f}{width:>7.2f}  left out: {error}")
                        continue
                    rows.append(row)
                    _print(row)
                    known = args.constrained or (args.method == "asymptotic" and row["background"] < FEW)
                    low, _, high = row["coverage"]
                    # beyond the tolerance even at the near end of the 68 % interval
                    away = max(low - CONFIDENCE, CONFIDENCE - high) > TOLERANCE
                    if strength == "5 sigma" and not known and (away or row["failed"] > MAX_FAILED * args.toys):
                        bad.append(f"{row['coverage'][1]:.1%} at {mass:g} GeV, {events:g} events, width {width:g}")
    summary = {"confidence": CONFIDENCE, "seed": args.seed, "rows": rows}
    if bad:
        raise CheckError(f"limits do not cover a signal of 5 sigma in {CONFIDENCE:.0%}: {'; '.join(bad)}", summary)
    return summary


def _print(row: dict[str, Any]) -> None:
    low, value, high = row["coverage"]
    below = "" if row["below_bands"] is None else " ".join(f"{part:.3f}" for part in row["below_bands"])
    print(
        f"{row['events']:>9.3g}{row['mass']:>7.0f}{row['width']:>7.2f}{row['background']:>10.4g}{row['signal']:>10.4g}"
        f"{row['sigma']:>9.2f}  {f'{value:.3f} [{low:.3f}, {high:.3f}]':24}{row['cls_of_gaussian']:>9.3f}  "
        f"{below if row['signal'] == 0 else ''} {row['failed'] or ''}",
        flush=True,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m offline.statistics.coverage", description=HELP)
    add_arguments(parser)
    args = parser.parse_args()
    code, summary = 0, None
    try:
        summary = run(args)
    except Ad40Error as error:
        print(f"error: {error}", file=sys.stderr)
        code, summary = error.exit_code, getattr(error, "summary", None)
    if args.json is not None and summary is not None:
        write_json(args.json, summary)
    return code


if __name__ == "__main__":
    sys.exit(main())
