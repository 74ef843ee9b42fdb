"""The same limits by every method, side by side, as ratios to the asymptotic ones.

    python -m offline.statistics.compare_limits --events 1e5 --masses 1000 2200 4400 --json build/compare_limits.json

"constrained" is the limit with the background wrongly constrained to its own fit (`offline.statistics.limits`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import Ad40Error
from ad40.files import write_json
from offline.statistics import signals
from offline.statistics.asymptotic import LimitError
from offline.statistics.coverage import EDGES, RESOLUTION, Case, truth
from offline.statistics.limits import Limit, upper_limit

METHODS = ("pyhf", "toys", "constrained")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add("--events", type=float, default=1e6, metavar="N", help="mean events of the spectrum; default %(default)s")
    add("--masses", type=float, nargs="+", default=[600.0, 1200.0, 2400.0, 3600.0], metavar="GEV", help="of the signal")
    add("--widths", type=float, nargs="+", default=list(signals.WIDTHS), metavar="X", help="default %(default)s")
    add("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="default: all")
    add("--toys", type=int, default=1000, metavar="N", help="default %(default)s")
    add("--seed", type=int, default=40, help="of the spectrum and the toys; default %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the table there")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Print and return the table."""
    random = np.random.default_rng(args.seed)
    world = truth(Case(args.events, float(args.masses[0]), 0.05, "0 median", "asymptotic"))
    counts = random.poisson(world.background).astype(np.float64)
    print(f"{'mass':>6}{'width':>6}{'background':>11}  {'method':<12}{'CPU s':>8}  observed, expected at -2 .. 2 sigma")
    rows = []
    for mass in args.masses:
        for width in args.widths:
            shape = signals.gaussian(EDGES, mass, width, RESOLUTION)
            reference = None
            for method in ("asymptotic", *args.methods):
                options = {"constrained": True} if method == "constrained" else {"method": method}
                start = time.process_time()
                row: dict[str, Any] = {"mass": mass, "width": width, "method": method}
                try:
                    limit = upper_limit(world.model, counts, shape, toys=args.toys, seed=args.seed, **options)
                except LimitError as error:
                    print(f"{mass:>6.0f}{width:>6.2f}{'':>11}  {method:<12}{'':>8}  {error}")
                    rows.append({**row, "reason": str(error)})
                    continue
                row |= {"seconds": time.process_time() - start, "background": limit.background}
                row |= {"observed": limit.observed, "expected": limit.expected.tolist(), "error": limit.error}
                rows.append(row)
                reference = reference or limit
                _print(row, limit, None if method == "asymptotic" else reference)
    return {"events": args.events, "seed": args.seed, "rows": rows}


def _print(row: dict[str, Any], limit: Limit, reference: Limit | None) -> None:
    values = np.array([limit.observed, *limit.expected])
    if reference is not None:
        values /= np.array([reference.observed, *reference.expected])
    digits = " ".join(f"{value:9.4g}" if reference is None else f"{value:9.5f}" for value in values)
    print(
        f"{row['mass']:>6.0f}{row['width']:>6.2f}{limit.background:>11.4g}  {row['method']:<12}{row['seconds']:>8.3f}  "
        f"{'' if reference is None else 'x'} {digits}",
        flush=True,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m offline.statistics.compare_limits", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    try:
        summary = run(args)
        if args.json is not None:
            write_json(args.json, summary)
    except Ad40Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
