"""Figures and page of the pseudo-experiments of `ad40 cluster calibrate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path
from offline.clusters import experiment
from offline.figures.book import Book
from offline.figures.clusters import Power, Uniformity
from offline.report.page import Gallery, Section, Table, Text, picture, render

PAGE = "calibrate.html"


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write plots/, data/ and calibrate.html; returns the page."""
    book, plan, nothing = Book(folder), summary["plan"], summary["background_only"]
    if nothing["ks_p"] is not None:
        book.add("uniformity", Uniformity(nothing["p"], nothing["ks_p"]), "Global p-values without a signal",
                 "p-value of the largest excess after trials, of pseudo-experiments without a signal.")  # fmt: skip
    if summary["signals"]:
        z = {name: [e["z"] for e in one["experiments"]] for name, one in summary["signals"].items()}
        drawing = Power(z, plan["fraction"], plan["events"])
        book.add("power", drawing, "Hidden signals", "Global significance of pseudo-experiments with a hidden signal.")
    book.finish(1, "Calibration of the comparison of clusters with simulation")
    rows = []
    for name, one in summary["signals"].items():
        low, median, high = one["z"]
        caught = [e["signal_in_cluster"] / e["signal"] for e in one["experiments"]]
        share = f"{100 * sum(caught) / len(caught):.0f} %"
        rows.append([name, f"{one['triggered_events']:,}", f"{median:.1f} ({low:.1f} to {high:.1f})",
                     f"{one['flagged']} of {one['injections']}", share])  # fmt: skip
    blocks: list[Any] = [Gallery([picture(folder / e["file"], e["caption"], f"Plot: {e['title']}", e["data"])
                                  for e in book.entries])]  # fmt: skip
    if rows:
        head = ("signal", "events to draw from", "global significance, median (68 %)", "above 3", "in the best cluster")
        blocks.append(Table("Hidden signals", head, rows))
    how = "drawn with replacement" if plan["replacement"] else "split without repetition"
    top = [
        ["pseudo-experiments without a signal", f"{nothing['experiments']}"],
        ["pseudo-data", f"{plan['events']:,.0f} events, {plan['ratio']:g} times as many simulated, {how} from "
                        f"{summary['independent_events']:,} independent events" if plan["replacement"] else how
                        + f" from {summary['independent_events']:,} independent events"],
        ["clusters", f"{summary['settings']['clusters']}, {summary['settings']['method']} of "
                     f"{summary['embedding']['kind']}, made anew in each"],
    ]  # fmt: skip
    if nothing["ks_p"] is not None:
        top.insert(1, ["Kolmogorov-Smirnov p of uniformity", f"{nothing['ks_p']:.3f}"])
        top.insert(2, ["below 5 %, below 1 %", f"{nothing['below_5_percent']:.1%}, {nothing['below_1_percent']:.1%}"])
    method = Section("Method", [Text(" ".join((experiment.__doc__ or "").split()))])
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("Calibration of clusters against simulation", f"ad40 {__version__}, {now}.",
                  Table("At a glance", ("", ""), top), [Section("Pseudo-experiments", blocks), method])  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE
