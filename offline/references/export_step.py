"""`ad40 reference export`: a reference as an ONNX file, held against the model itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40 import defaults
from ad40.errors import InputError
from offline.inputs import read
from offline.references import onnx_file
from offline.references.model import load

HELP = "write a dense reference as ONNX and check it against the model"
EPILOG = "example: ad40 reference export build/flow --output build/flow.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="folder of a model (ad40 reference train)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.onnx", help="file to write")
    parser.add_argument("--check", type=Path, default=defaults.SAMPLE / "background.h5", metavar="EVENTS.h5",
                        help="events to check it on (default %(default)s)")  # fmt: skip
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="of them at most (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write and check. A file that does not agree is not left behind."""
    if args.events < 1:
        raise InputError("command line", "--events", args.events, "at least 1")
    model, inputs = load(args.model), read(args.check, limit=args.events)
    summary = {"file": str(args.output)} | onnx_file.write(model, args.output, inputs)
    print(f"{model.kind}: {summary['bytes']:,} bytes; largest difference of {summary['events']:,} scores "
          f"{summary['largest_difference']:.1e}\nwritten: {args.output}")  # fmt: skip
    return summary
