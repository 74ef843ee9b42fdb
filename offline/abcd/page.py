"""The figures and the page of a closure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import __version__
from ad40.files import atomic_path
from offline.abcd.closure import Sample, Scores
from offline.abcd.figures import PLANE, Grid, Injected, Plane, Ratios
from offline.figures.book import Book
from offline.report.numbers import number
from offline.report.page import Block, Gallery, Section, Table, Text, picture, render

PAGE = "abcd.html"
ENDS = (0.0005, 0.9999)  # quantiles between which the plane is drawn


def draw(folder: Path, summary: dict[str, Any], test: Sample, signals: Mapping[str, Scores]) -> list[dict[str, str]]:
    """Draw the figures of a summary into a folder; returns their entries."""
    book, goal = Book(folder, {"scores": summary["kind"]}), summary["goal"]
    if summary["corner"]:
        book.add("closure", Ratios(summary["corner"], goal), "Closure against the efficiency of the corner",
                 "Background of the corner as estimated, over what is there, on held-out events. Inner bars:"
                 " statistical; outer: with the systematic uncertainty of the closure. Band: the goal.")  # fmt: skip
    if summary["grid"]:
        book.add("grid", Grid(summary["grid"], goal), "Closure against both cuts",
                 "Estimate over what is there, with its statistical uncertainty, for the background efficiencies of"
                 " both cuts.")  # fmt: skip
    book.add("plane", plane(test, summary), "Both scores of the background",
             "Held-out background in the plane of the scores, and the cuts of the working point.")  # fmt: skip
    if summary["contamination"]:
        book.add("injected", Injected(summary["contamination"]), "Significance with a signal in the data",
                 "Expected at the working point, the signal being in all four regions. Dashed: statistical uncertainty"
                 " only.")  # fmt: skip
    book.finish(1, "Closure of a background estimate from two scores")
    return book.entries


def plane(test: Sample, summary: dict[str, Any]) -> Plane:
    """The plane of both scores of a sample."""
    cuts = tuple(summary["working_point"]["cuts"])
    edges = []
    for i in range(2):
        low, high = np.quantile(test.score[:, i], ENDS)
        low, high = min(low, cuts[i]), max(high, cuts[i])
        edges.append(np.linspace(float(low), float(high) or 1.0, PLANE + 1))
    counts = np.histogram2d(test.score[:, 0].astype(float), test.score[:, 1].astype(float), edges)[0]
    one, two = summary["scores"]
    return Plane((one, two), (edges[0].tolist(), edges[1].tolist()), counts.tolist(), (cuts[0], cuts[1]))


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write the page of a summary; returns its path."""
    pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}", e["data"])
                for e in summary["plots"]]  # fmt: skip
    own = len(pictures) - bool(summary["contamination"])  # the last is of signals
    sections = [
        Section("What it is", [Text(text) for text in about(summary)]),
        Section("Closure", [*closure_tables(summary), Gallery(pictures[:own])]),
    ]
    if summary["contamination"]:
        sections.append(Section("With a signal in the data", [*signal_tables(summary), Gallery(pictures[-1:])]))
    if "pair" in summary:
        sections.append(Section("On the board", [pair_table(summary["pair"])]))
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    top = Table("At a glance", ("", ""), glance(summary))
    text = render("Background of the corner of two scores", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE


def about(summary: dict[str, Any]) -> list[str]:
    """The method and the samples, in sentences."""
    one, two = summary["scores"]
    weighted = "" if summary["weights"] == "none" else " Events are weighted by the cross-section that each stands for."
    return [
        f"Two scores ({summary['kind']}: {one} and {two}) that are independent on background divide events in four: A, "
        "both reach their cuts; B and C, only the first or the second; D, none. The background of A is N_B N_C / N_D.",
        f"Cuts and the systematic uncertainty come from {summary['events']['validation']:,} validation events of "
        f"{summary['background']}, figures from {summary['events']['test']:,} test events; no score was trained on "
        f"either.{weighted}",
    ]


def glance(summary: dict[str, Any]) -> list[list[str]]:
    """The figures to quote."""
    rows = [["distance correlation of the scores", f"{summary['correlation']['distance']:.3f}"]]
    for name, what in (("corner", "eps_B of the corner"), ("grid", "eps_B of each cut")):
        v = summary["verdict"][name]
        if v["rows"]:
            rows.append([f"closure, {what} 0.5 to 5 %",
                         f"{v['within']} of {v['rows']} within {summary['goal']:.0%}, worst {v['worst']:.1%}; "
                         f"{v['compatible']} within their statistical uncertainty of it"])  # fmt: skip
    w = summary["working_point"]
    rows.append(["working point", f"{number(100 * w['efficiencies'][2])} % of the background in the corner, "
                 f"estimate / observed {_pm(w['ratio'])}, systematic uncertainty {w['systematic']:.1%}"])  # fmt: skip
    return rows


def closure_tables(summary: dict[str, Any]) -> list[Block]:
    """Closure at efficiencies of the corner and in the grid of cuts, and by process."""
    head = ("eps_B wanted", "first cut", "second cut", "corner", "observed", "estimate", "estimate / observed",
            "systematic", "pull")  # fmt: skip
    tables: list[Block] = []
    for name, what in (("corner", "the corner"), ("grid", "each cut")):
        rows = []
        for r in summary[name]:
            e = [f"{number(100 * v)} %" for v in r["efficiencies"]]
            wanted = f"{100 * r['wanted']:g} %" + (f", {100 * r['wanted'] / r['tilt']:g} %" if name == "grid" else "")
            rows.append([wanted, *e, f"{r['observed']:,.0f}", _pm(r["estimate"], 0), _pm(r["ratio"]),
                         f"{r['systematic']:.1%}", f"{r['pull']:+.1f}"])  # fmt: skip
        if rows:
            caption = f"Background efficiency of {what}, test events. Errors are statistical, with families of events."
            tables.append(Table(caption, head, rows))
    rows = [[p["process"], *(f"{number(100 * v)} %" for v in p["efficiencies"]), f"{p['n']['A']:,.0f}",
             _pm(p["ratio"]) if p["ratio"] else "too few"] for p in summary["processes"]]  # fmt: skip
    tables.append(
        Table(
            "Processes at the working point. Each by itself needs not close: the sum has to.",
            ("process", "first cut", "second cut", "corner", "in A", "estimate / observed"),
            rows,
        )
    )
    return tables


def signal_tables(summary: dict[str, Any]) -> list[Block]:
    """What the scores know of signals, and what signals do to the estimate."""
    separation = [[name, *(f"{v[1]:.3f} ({v[0]:.3f} to {v[2]:.3f})" for v in scores.values())]
                  for name, scores in summary["signals"].items()]  # fmt: skip
    rows = [[r["signal"], f"{100 * r['injected']:g} %", *(f"{100 * v:.2f} %" for v in r["shares"]),
             f"{r['in_corner']:,.1f}", f"{r['bias_in_signal']:.2f}" if r["bias_in_signal"] is not None else "",
             f"{r['significance']:.1f}", f"{r['statistical']:.1f}"] for r in summary["contamination"]]  # fmt: skip
    head = ("signal", "of the background", "in A", "B", "C", "D", "signal events in A", "bias / signal in A", "Z",
            "Z, statistical")  # fmt: skip
    return [
        Table("AUC of each score, 68 % intervals.", ("signal", *summary["scores"]), separation),
        Table("Signal at the working point: where it is, by how much it raises the estimate, expected significance Z.",
              head, rows),
    ]  # fmt: skip


def pair_table(pair: dict[str, Any]) -> Table:
    """Models, seeds and costs of a pair on the board."""
    rows = [["menu", pair["menu"]], *([f"seed {s['name']}", s["about"]] for s in pair["seeds"])]
    for cost in pair.get("costs", []):
        rows.append([f"model {cost['name']}", f"{cost['lut']:,.0f} LUTs (estimate), {cost['latency_cycles']} clocks = "
                     f"{cost['latency_ns']:g} ns, {'fits' if cost['fits'] else cost['reason']}"])  # fmt: skip
    if pair.get("costs"):
        text = f"{pair['lut']:,.0f} LUTs (estimate of networks and scores), {pair['latency_ns']:g} ns"
        rows.append(["together", text])
    return Table("Both models side by side.", ("", ""), rows)


def _pm(value: Any, digits: int = 3) -> str:
    return f"{value[0]:,.{digits}f} \u00b1 {value[1]:,.{digits}f}"
