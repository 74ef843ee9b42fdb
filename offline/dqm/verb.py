"""`ad40 dqm`: data quality, lumi section by lumi section."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

HELP = "data quality of triggered events, lumi section by lumi section; `ad40 dqm STEP --help` explains each step"
EPILOG = """\
example: ad40 dqm reference good.h5 --per-lumi 1425 --output build/dqm
         ad40 dqm watch kept.h5 --reference build/dqm --per-lumi 1425 --output build/run/dqm"""

STEPS = {
    "reference": "offline.dqm.reference_step",
    "watch": "offline.dqm.watch_step",
    "inject": "offline.dqm.inject_step",
    "calibrate": "offline.dqm.calibrate_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each step."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name, path in STEPS.items():
        module = import_module(path)
        step = steps.add_parser(
            name, help=module.HELP, description=module.HELP, epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(step)
        # after the step too; SUPPRESS keeps one that was given before it
        step.add_argument("--json", type=Path, metavar="FILE", default=argparse.SUPPRESS,
                          help="write a machine-readable summary")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do the step."""
    summary: dict[str, Any] = import_module(STEPS[args.step]).run(args)
    return summary
