"""`ad40 reference`: anomaly models on the 57 inputs without the limits of an FPGA, beside those of the trigger."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

HELP = "anomaly models on the 57 inputs, free of what an FPGA holds; `ad40 reference STEP --help` explains each step"
EPILOG = "example: ad40 reference train flow training/sample/background.h5 --output build/flow"

STEPS = {
    "train": "offline.references.train_step",
    "score": "offline.references.score_step",
    "compare": "offline.references.compare_step",
    "export": "offline.references.export_step",
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
