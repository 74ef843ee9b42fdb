"""The Pareto front of an exploration and what is written of it: tables, pictures, the section of a page."""

from __future__ import annotations

import csv
import datetime
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__
from ad40.files import atomic_path, write_json
from training import page
from training.explore.space import Space
from training.explore.trial import COSTS, Result
from training.teach.selection import SHORT, WORDS

HTML, PNG, CSV, JSON = "front.html", "front.png", "front.csv", "front.json"
VERB = "ad40 explore"
_KEPT = ("fingerprint", "spec_hash", "space_hash", "events", "judged_on", "epochs", "seed")


def undominated(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points (n, k) no other one dominates, bool (n,). The less the better in each of the k; a point dominates
    another when it is not worse in any and better in one (Pareto). Equal points do not dominate each other.

    >>> undominated(np.array([[1.0, 5.0], [2.0, 2.0], [2.0, 3.0], [2.0, 2.0]]))
    array([ True,  True, False,  True])
    """
    not_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    return ~(not_worse & better).any(axis=0)


def front(results: Sequence[Result]) -> list[Result]:
    """The feasible trials that no other one dominates in selection figure, LUTs and ns; by LUTs, without repeats."""
    feasible = [r for r in results if r.feasible and r.same_as is None]
    if not feasible:
        return []
    keep = undominated(np.array([r.objectives for r in feasible]) * [-1, 1, 1])
    best = [result for result, kept in zip(feasible, keep, strict=True) if kept]
    return sorted(best, key=lambda result: (result.objectives[1], result.number))


def take_command(folder: Path, result: Result) -> str:
    """The command that makes a model of a trial."""
    return f"ad40 explore {shlex.quote(str(folder))} --take {result.number} --output build/m{result.number}"


def what(result: Result) -> str:
    """The choices of a trial in words."""
    return ", ".join(f"{name} {label}" for name, label in result.parameters.items())


def sentence(result: Result, on_front: bool) -> str:
    """One trial in a line."""
    head = f"trial {result.number}: "
    if result.same_as is not None:
        return f"{head}the same as trial {result.same_as}"
    figure = "" if result.figure is None else f"figure {result.figure:.4f}, "
    if not result.feasible:
        return f"{head}{figure}infeasible: {result.reason}"
    cost = result.cost
    return f"{head}{figure}{cost['lut']:,} LUT, {cost['latency_ns']:g} ns{', on the front' if on_front else ''}"


def in_short(best: Sequence[Result]) -> str:
    """The ends of the front, for a line of progress."""
    if not best:
        return "nothing fits yet"
    ends = (best[0], max(best, key=lambda r: r.objectives[0]))
    words = dict.fromkeys(f"{r.objectives[0]:.4f} at {r.cost['lut']:,} LUT" for r in ends)
    return f"front of {len(best)}: {' to '.join(words)}"


def _row(result: Result, on_front: bool, space: Space, folder: Path) -> dict[str, Any]:
    """A trial as a flat mapping, for front.csv and front.json."""
    row: dict[str, Any] = {"trial": result.number, "front": on_front, "feasible": result.feasible,
                           "figure": result.figure}  # fmt: skip
    row |= {key: result.cost.get(key) for key in COSTS}
    row |= {f"{name} (TPR)": values[1] for name, values in result.efficiencies.items()}
    row |= {p.name: result.parameters[p.name] for p in space.parameters}
    row |= {"nonzero_weights": result.nonzero_weights, "epochs": result.epochs, "same_as": result.same_as,
            "card_hash": result.card_hash, "network_hash": result.network_hash, "reason": result.reason,
            "command": take_command(folder, result)}  # fmt: skip
    return row


def write(folder: Path, results: Sequence[Result], space: Space, settings: dict[str, Any]) -> dict[str, Any]:
    """Write front.csv, front.json, front.html and front.png into a folder; the content of front.json."""
    from training.explore import plot as explore_plot  # plotly and matplotlib

    best = front(results)
    rows = [_row(result, result in best, space, folder) for result in results]
    names = list(dict.fromkeys(key for row in rows for key in row))
    with atomic_path(folder / CSV) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    summary = {
        "version": __version__,
        "date": datetime.date.today().isoformat(),
        "base": space.base["name"],
        "objectives": {"figure": f"{WORDS[space.figure]}, maximised",
                       "lut": "estimate of the compiler for network and score, minimised",
                       "latency_ns": "from the last input word to the decision, minimised"},
        "settings": {key: settings[key] for key in _KEPT},
        "space_file": settings.get("space_file", ""),
        "sample": "/".join(Path(settings["sample"]).parts[-2:]),
        "cards_in_the_space": space.size,
        "parameters": {p.name: list(p.labels) for p in space.parameters},
        "front": [result.number for result in best],
        "trials": rows,
    }  # fmt: skip
    write_json(folder / JSON, summary)
    explore_plot.write_html(folder / HTML, results, best, summary, SHORT[space.figure])
    explore_plot.write_png(folder / PNG, results, best, SHORT[space.figure])
    return summary


def text_table(results: Sequence[Result]) -> str:
    """The front as text."""
    best = front(results)
    synth = any("lut_synth" in r.cost for r in best)
    lines = [f"{'trial':>5}{'figure':>9}{'LUT':>8}{'synth' if synth else '':>8}{'stages':>8}{'ns':>8}  choices"]
    for r in best:
        mapped = f"{r.cost['lut_synth']:,}" if "lut_synth" in r.cost else ""
        lines.append(f"{r.number:>5}{r.objectives[0]:>9.4f}{r.cost['lut']:>8,}{mapped:>8}{r.cost['stages']:>8}"
                     f"{r.cost['latency_ns']:>8g}  {what(r)}")  # fmt: skip
    return "\n".join(lines)


def section(summary: dict[str, Any], command: str, picture: str) -> str:
    """The section of a page: what was explored, the front, the trials that do not fit. picture: its address."""
    trials, settings = summary["trials"], summary["settings"]
    own, by_number = [t for t in trials if t["same_as"] is None], {t["trial"]: t for t in trials}
    infeasible = [t for t in own if not t["feasible"]]
    limits = [f"{settings['events']:,} background events" if settings["events"] else "all background events",
              f"at most {settings['epochs']} epochs" if settings["epochs"] else "the epochs of the card"]  # fmt: skip
    synth = any(t["lut_synth"] is not None for t in trials)
    names = list(summary["parameters"])
    titles = ["trial", "figure [%]", "LUT", *(["LUT, synthesis"] if synth else []), "stages", "ns", *names]
    body = []
    for number in summary["front"]:
        t = by_number[number]
        cells = [f"{100 * t['figure']:.2f}", f"{t['lut']:,}"]
        cells += [f"{t['lut_synth']:,}" if t["lut_synth"] is not None else ""] if synth else []
        body.append([number, *cells, t["stages"], f"{t['latency_ns']:g}", *(t[name] for name in names)])
    return "\n".join([
        page.written_by(command),
        "",
        f"{len(trials)} trials around `{summary['base']}` out of {summary['cards_in_the_space']:,} possible cards, "
        f"{len(trials) - len(own)} of them drawn twice and {len(infeasible)} infeasible. Each was trained on "
        f"{limits[0]} of `{summary['sample']}` (fingerprint `{settings['fingerprint'][:12]}`) for {limits[1]}; "
        f"seed {settings['seed']}, space `{settings['space_hash'][:12]}`. The figure is the "
        f"{summary['objectives']['figure']}, on {settings['judged_on']:,} background events that no training read; "
        "no signal entered. Trial 0 is the base card under the same conditions. "
        "A trial is short: the numbers serve to choose, and `--take` trains the chosen one in full.",
        "",
        page.table(titles, body),
        "",
        f"![Selection figure against LUTs]({picture})",
        "",
        *(f"* trial {t['trial']} is infeasible: {t['reason']}" for t in infeasible[:8]),
        *([f"* and {len(infeasible) - 8} more, in front.csv"] if len(infeasible) > 8 else []),
    ]).strip()  # fmt: skip
