"""`ad40 reference compare`: references beside the trigger's models and simple cuts, as figures and a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import defaults, released
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.files import file_hash, writable_folder, write_json
from ad40.network import read_network
from ad40.split import TEST, VALIDATION, part_of
from offline.inputs import read
from offline.references.compare import RATES, compare, learnt_from, sample
from offline.references.model import load

HELP = "AUC, TPR at FPR and speed of references, trigger models and simple cuts"
EPILOG = """example: ad40 reference compare build/flow build/vae --sample training/sample --output build/run/reference
A folder named reference in a run folder is shown by `ad40 report`."""
SUMMARY = "reference.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="folders (ad40 reference train)")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, metavar="DIR",
                        help="folder with background.h5 and signals (default %(default)s)")  # fmt: skip
    parser.add_argument("--trigger", type=released.folder, nargs="*", metavar="MODEL",
                        help="models of the trigger: names or folders (default: all released ones)")  # fmt: skip
    parser.add_argument("--events", type=int, metavar="N", help="of each file at most: of the background's test part, "
                        "and of each signal (default: all)")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Judge all, write reference.json, figures and reference.html; return the summary."""
    from offline.references import page  # matplotlib: only where figures are drawn

    if args.events is not None and args.events < 1000:
        raise InputError("command line", "--events", args.events, "at least 1000")
    references = {folder.name: load(folder) for folder in args.models}
    if len(references) != len(args.models):
        raise InputError("command line", "MODEL_DIR", ", ".join(map(str, args.models)), "folders of different names")
    folders = args.trigger if args.trigger is not None else [released.folder(name) for name in released.names()]
    for folder in folders:
        if not folder.is_dir():
            raise released.no_folder(folder)
    networks = [read_network(folder / "network.json") for folder in folders]
    trigger = {network.name: Emulator(network) for network in networks}
    file, others = sample(args.sample)
    writable_folder(args.output)
    everything, sha256 = read(file), file_hash(file)
    test = part_of(everything.parent, TEST)
    for name, model in references.items():
        if np.isin(learnt_from(model, everything, sha256), test).any():
            raise InputError(file, "test part", f"learnt from by {name}", "a model of `train --part train`")
    background = everything.take(test[: args.events])
    validation = everything.take(part_of(everything.parent, VALIDATION))
    signals = {name: read(path, limit=args.events) for name, path in others.items()}
    compared = compare(references, trigger, background, signals, validation)
    summary: dict[str, Any] = {
        "sample": args.sample.name, "background": file.name, "sha256": sha256, "part": TEST,
        "background_events": len(background), "signal_events": {name: len(x) for name, x in signals.items()},
        "rates": [f"{rate:g}" for rate in RATES], "models": {one.name: one.document() for one in compared},
    }  # fmt: skip
    summary["plots"] = page.figures(args.output, compared)
    write_json(args.output / SUMMARY, summary)
    written = page.write(args.output, summary)
    for one in compared:
        print(f"{one.name:<18} AUC " + ", ".join(f"{name} {s['auc'][1]:.3f}" for name, s in one.signals.items()))
    print(f"written: {written}")
    return {"page": str(written)} | summary
