"""`ad40 jets`: jets of events, anomaly models on them, and the searches that use their scores."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

HELP = "searches in the substructure of jets; `ad40 jets STEP --help` explains each step"
EPILOG = "example: ad40 jets train egat build/jets.h5 --output build/egat"

STEPS = {
    "cluster": "offline.jets.cluster_step",
    "events": "offline.jets.events_step",
    "train": "offline.jets.train_step",
    "score": "offline.jets.score_step",
    "compare": "offline.jets.compare_step",
    "cwola": "offline.jets.cwola_step",
    "yxh": "offline.jets.yxh_step",
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
