"""The page of a calibration: tails of the tests, false alarms, times to detection, sizes of faults."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import __version__
from ad40.files import atomic_path
from offline.dqm import faults
from offline.dqm.drawings import Sizes, Tails, Times
from offline.figures.book import Book, Entry
from offline.report.numbers import interval, number
from offline.report.page import Block, Gallery, Section, Table, Text, picture, render

PAGE = "calibrate.html"
SHOWN = 12  # lumi sections on the axis of the times


def write(folder: Path, summary: dict[str, Any], tails: dict[str, Any]) -> tuple[Path, list[Entry]]:
    """Write plots/, data/ and the page into `folder`; tails: of reference.json. Other figures there stay."""
    work = folder / "calibration"
    book = Book(work)
    entries = []
    if tails:
        share = summary["reference"]["rate"] / len(tails)
        curves = {name: ([v / summary["thresholds"][name] for v in one["value"]], one["share"])
                  for name, one in tails.items()}  # fmt: skip
        entries.append(book.add("tails", Tails(curves, share), "Tests without faults",
                                "Share of the lumi sections that calibrated the thresholds above each value; the star"
                                " is the share aimed at for each test."))  # fmt: skip
    times = {row["fault"]: row["sections"] for row in summary["faults"]}
    text = "Share of the trials of each fault that is found within so many lumi sections."
    entries.append(book.add("times", Times(times, SHOWN), "Times to detection", text))
    for name in faults.NAMES:
        rows = [row for row in summary["sizes"] if row["fault"] == name]
        if not rows:
            continue
        low, middle, high = (
            [float(np.quantile(row["sections"], q, method="higher")) for row in rows] for q in (0.1, 0.5, 0.9)
        )
        drawing = Sizes(name, faults.UNITS[name], [row["size"] for row in rows], low, middle, high, summary["longest"])
        entries.append(book.add(f"sizes_{name.replace(' ', '_')}", drawing, f"Size of {name}",
                                f"Lumi sections to detection against the size of the fault: {name}."))  # fmt: skip
    book.finish(1, "Calibration of data quality")
    pictures = [picture(work / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}",
                        f"calibration/{e['data']}") for e in entries]  # fmt: skip
    alarms = summary["false_alarms"]
    by_test = [[name, f"{count:,}"] for name, count in alarms["by_test"].items()]
    blocks: list[Block] = [
        Text(f"{alarms['alarms']:,} alarms in {alarms['sections']:,} lumi sections without faults, drawn from "
             f"{summary['pool_events']:,} events that neither reference nor thresholds have seen: "
             f"{interval(alarms['rate'], 1000)} in 1,000, below {number(1000 * alarms['upper_95'])} at 95 %."),
        Table("Alarms by test; one lumi section may have several", ["test", "alarms"], by_test),
    ]  # fmt: skip
    sections = [
        Section("False alarms", blocks),
        Section("Times to detection", [_faults(summary), Gallery(pictures)]),
        Section("How", [Text(
            f"Lumi sections have a Poisson number of events, {summary['per_lumi']:,} on average. A trial begins with "
            f"{summary['warm_sections']} lumi sections without the fault. Each trial draws place, sign or lanes of its "
            f"fault anew. What is not found within {summary['longest']} lumi sections counts as not found.")]),
    ]  # fmt: skip
    rows = [["false alarms in 1,000 lumi sections", interval(alarms["rate"], 1000)],
            *([row["fault"], f"median {number(row['median'])} lumi sections, within 5 in "
               f"{interval(row['within_5'], 100)} %"] for row in summary["faults"])]  # fmt: skip
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    top = Table("At a glance", [], rows)
    text = render("Calibration of data quality", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE, [{**e, "file": f"calibration/{e['file']}", "data": f"calibration/{e['data']}"}
                           for e in entries]  # fmt: skip


def _faults(summary: dict[str, Any]) -> Table:
    rows = []
    for row in summary["faults"]:
        size = f"{row['size']:g} {faults.UNITS[row['fault']]}".strip() if row["size"] else "two lanes"
        first = max(row["first_test"], key=lambda name: row["first_test"][name])
        rows.append([row["fault"], size, f"{row['trials']:,}", number(row["median"]), number(row["ninety_percent"]),
                     f"{row['largest']}", interval(row["within_5"], 100), first])  # fmt: skip
    head = ["fault", "size", "trials", "median", "90 %", "largest", "found within 5 [%]", "most often found by"]
    return Table("Lumi sections to detection, the first one with the fault is 1", head, rows)
