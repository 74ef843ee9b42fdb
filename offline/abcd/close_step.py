"""`ad40 abcd close`: does N_B N_C / N_D hold on events that the scores have not seen, and what does a signal do?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from ad40.metrics import auc
from ad40.split import TEST, VALIDATION, part_of
from offline.abcd.closure import (
    GOAL,
    Sample,
    by_process,
    contamination,
    corner_table,
    cut_grid,
    cuts_of_corner,
    documents,
    row_of,
    verdict,
)
from offline.abcd.scorers import TwoScores, add_models, add_weights, read_scores, refuse_seen, weights_of
from offline.inputs import Inputs, read
from offline.jets.decorrelate import correlation

HELP = "closure of the estimate on held-out background, and signals in it"
EPILOG = """examples:
  ad40 abcd close build/double --background training/benchmark/background.h5 \\
      --signals training/benchmark/{Ato4l,leptoquark,hToTauTau,hChToTauNu}.h5 --output build/run/abcd
  ad40 abcd close build/abcd/leptons build/abcd/recoil --background training/benchmark/background.h5 --output build/x"""
SUMMARY = "abcd.json"
CORNER = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    add_models(parser)
    parser.add_argument("--background", type=Path, required=True, metavar="EVENTS.h5",
                        help="background; cuts come from its validation part, figures from its test part")  # fmt: skip
    parser.add_argument("--signals", type=Path, nargs="*", default=[], metavar="EVENTS.h5", help="signals, if any")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--corner",
        type=float,
        default=CORNER,
        metavar="EPS",
        help="background efficiency of the corner of the working point (default %(default)s)",
    )
    add_weights(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Judge the scores; write abcd.json, figures and abcd.html; return the summary."""
    check_corner(args.corner)
    scores = read_scores(args.models)
    refuse_seen(scores, args.background, (VALIDATION, TEST))
    return judge(scores, args.background, args.signals, args.output, args.corner, args.weights)


def check_corner(corner: float) -> None:
    """Refuse an efficiency that is none. Raises `InputError`."""
    if not 0 < corner < 1:
        raise InputError("command line", "--corner", corner, "above 0, below 1")


def judge(
    scores: TwoScores, background: Path, signals: Sequence[Path], output: Path, corner: float, weights: str,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The summary of a closure, with `more` in it; writes it, the figures and the page."""
    from offline.abcd import page  # matplotlib: only where figures are drawn

    names = [path.stem for path in signals]
    if len(set(names)) != len(names):
        raise InputError("command line", "--signals", ", ".join(names), "files of different names")
    events, found = read(background), [read(path) for path in signals]
    validation, test = (sample_of(scores, events.take(part_of(events.parent, part)), weights)
                        for part in (VALIDATION, TEST))  # fmt: skip
    signal_scores = {name: scores.score(one) for name, one in zip(names, found, strict=True)}
    row = row_of(corner, 1.0, cuts_of_corner(validation.score, corner, 1.0), test, validation)
    if row is None:
        raise InputError(background, "events of a region at this corner", 0, "some: more events, or a larger --corner")
    writable_folder(output)
    corners, grid = corner_table(test, validation), cut_grid(test, validation)
    processes = {code: str(p["name"]) for code, p in events.processes.items()}
    linked = correlation(test.score[:, 0], test.score[:, 1])
    summary: dict[str, Any] = scores.document() | {
        "background": background.name, "weights": weights,
        "events": {VALIDATION: len(validation), TEST: len(test)},
        "correlation": {"pearson": linked.pearson, "spearman": linked.spearman, "distance": linked.distance},
        "goal": GOAL, "working_point": documents([row])[0],
        "corner": documents(corners), "grid": documents(grid),
        "verdict": {"corner": verdict(corners), "grid": verdict(grid)},
        "processes": by_process(test, row.cuts, processes),
        "signals": {name: {label: auc(test.score[:, i], score[:, i], test.parent)
                           for i, label in enumerate(scores.names)} for name, score in signal_scores.items()},
        "contamination": contamination(test, signal_scores, row.cuts, row.systematic),
        **(more or {}),
    }  # fmt: skip
    summary["plots"] = page.draw(output, summary, test, signal_scores)
    write_json(output / SUMMARY, summary)
    written = page.write(output, summary)
    say(summary)
    print(f"written: {written}")
    return {"page": str(written)} | summary


def sample_of(scores: TwoScores, events: Inputs, weights: str) -> Sample:
    """Events with their scores."""
    return Sample(scores.score(events), events.parent, weights_of(events, weights), events.process)


def say(summary: dict[str, Any]) -> None:
    """The figures to quote, for a terminal."""
    for name, what in (("corner", "eps_B of the corner 0.5 to 5 %"), ("grid", "eps_B of each cut 0.5 to 5 %")):
        v = summary["verdict"][name]
        if v["rows"]:
            print(
                f"{what}: {v['within']} of {v['rows']} pairs of cuts close within {GOAL:.0%}, {v['compatible']} within "
                f"their statistical uncertainty of it; worst {v['worst']:.1%}, largest pull {v['largest_pull']:.1f}"
            )
    w = summary["working_point"]
    print(f"working point: corner {w['efficiencies'][2]:.2%} of the background, {w['observed']:,.0f} events, estimated "
          f"{w['estimate'][0]:,.0f} +- {w['estimate'][1]:,.0f} (statistical) "
          f"+- {w['systematic'] * w['estimate'][0]:,.0f} (closure)")  # fmt: skip
