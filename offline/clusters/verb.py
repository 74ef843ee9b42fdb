"""`ad40 cluster`: what the triggered events are, which of them simulation does not explain, and a seed for them."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

HELP = "clusters of triggered events against simulation; `ad40 cluster STEP --help` explains each step"
EPILOG = "example: ad40 cluster compare kept.h5 --simulation background.h5 --output build/run/cluster"

STEPS = {
    "fit": "offline.clusters.fit_step",
    "assign": "offline.clusters.assign_step",
    "compare": "offline.clusters.compare_step",
    "calibrate": "offline.clusters.calibrate_step",
    "labels": "offline.clusters.labels_step",
    "show": "offline.seeds.show_step",
    "seed": "offline.seeds.seed_step",
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
