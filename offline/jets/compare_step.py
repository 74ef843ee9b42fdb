"""`ad40 jets compare`: trained models side by side on jets that they did not learn from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from offline.jets.compare import baselines, beside, compare
from offline.jets.events import HOW, USED
from offline.jets.jets import SIGNAL, open_jets
from offline.jets.model import load
from offline.jets.parts import PARTS, mixture, rows_of
from offline.jets.train_step import read_rows

HELP = "compare trained models: ROC, SIC, cost, and what their scores know of the mass"
EPILOG = "example: ad40 jets compare build/jets.h5 build/egat build/vrnn build/dense --output build/compare"
SUMMARY = "compare.json"
JETS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="JETS.h5", help="labelled jets file (ad40 jets cluster)")
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="folders (ad40 jets train)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")
    parser.add_argument("--part", choices=PARTS, default="test",
                        help="events to judge on: the half that `train` leaves alone, or others"
                        " (default %(default)s)")  # fmt: skip
    parser.add_argument("--jets", type=int, default=JETS, metavar="N", help="at most (default %(default)s)")
    parser.add_argument(
        "--mix",
        type=float,
        metavar="RATIO",
        help="background events to a signal event (published figures: 20; default: as in the file)",
    )
    parser.add_argument("--event-score", choices=HOW, default="mean",
                        help="of the two leading jets' scores (default %(default)s)")  # fmt: skip
    parser.add_argument("--replicas", type=int, default=200, metavar="N",
                        help="of the bootstrap (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Judge all models, write compare.json, the figures and compare.html; return the summary."""
    from offline.jets import compare_page  # matplotlib: only where figures are drawn

    for name, least in (("jets", 2), ("replicas", 20)):
        if getattr(args, name) < least:
            raise InputError("command line", f"--{name}", getattr(args, name), f"at least {least}")
    models = [(folder.name, load(folder)) for folder in args.models]
    writable_folder(args.output)
    with open_jets(args.file) as file:
        sha256, attributes = file.sha256, file.attributes
        for name, model in models:
            seen = model.training.get("part") if model.training.get("file_sha256") == sha256 else None
            if seen is not None and (seen == "all" or args.part in ("all", seen)):
                raise InputError(args.file, f"jets of part '{args.part}'", f"those that {name} learnt from",
                                 f"another part than '{seen}', or another file")  # fmt: skip
        table = file.table()
        rows = (rows_of(table.event, args.part) & (table.which < USED)).nonzero()[0]
        rows = rows[mixture(table.take(rows), args.jets, args.mix)]
        jets = read_rows(file, rows)
    compared = compare([*baselines(jets), *models], jets, args.event_score, args.replicas)
    kinds = {name: model.kind for name, model in models}
    others = beside(compared, kinds)
    stand_in = attributes["stand_in"]
    summary = {
        "file": str(args.file), "jets_sha256": sha256, "stand_in": stand_in, "part": args.part, "mix": args.mix,
        "jets": len(jets), "signal_jets": int((jets.label == SIGNAL).sum()), "event_score": args.event_score,
        "models": {one.name: {"kind": kinds.get(one.name, one.name)} | one.document() for one in compared},
        "published": others,
    }  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    page = compare_page.write(args.output, compared, jets, others, _sample(summary, models), stand_in,
                              args.event_score)  # fmt: skip
    for one in compared:
        jet, event = one.merits["jet"], one.merits["event"]
        print(f"{one.name:<14} AUC jet {jet.auc[1]:.3f}, event {event.auc[1]:.3f} "
              f"(flat in mass {one.merits['event flat'].auc[1]:.3f}); largest SIC {event.max_sic[1]:.2f}")  # fmt: skip
    print(f"written: {page}")
    return {"page": str(page)} | summary


def _sample(summary: dict[str, Any], models: list[tuple[str, Any]]) -> list[str]:
    signal = summary["signal_jets"]
    about = {True: "The events are a stand-in, made by this project's generator; they are not the LHC Olympics data, "
                   "and figures on them are not figures on those.",
             False: "The events are not made by this project.",
             None: "Where the events come from is not known."}[summary["stand_in"]]  # fmt: skip
    lines = [about, f"Judged on {summary['jets'] - signal:,} background and {signal:,} signal jets of "
             f"{Path(summary['file']).name}, part '{summary['part']}'."]  # fmt: skip
    for name, model in models:
        t = model.training
        mix = f"{t['mix']:g} background events to a signal event" if t.get("mix") else "the mixture of the file"
        lines.append(f"{name} learnt from {t.get('jets', 0):,} jets, {t.get('signal_jets', 0):,} of them signal, "
                     f"with {mix}.")  # fmt: skip
    return lines
