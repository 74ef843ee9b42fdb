"""Figures and page of a comparison of clusters with simulation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path
from offline.clusters import expectation
from offline.clusters.features import NAMES
from offline.clusters.result import Assigned
from offline.figures.book import Book
from offline.figures.clusters import Occupancy
from offline.report.page import Gallery, Section, Table, Text, picture, render

PAGE = "cluster.html"
SHOWN = 12  # clusters in a table


def draw(folder: Path, summary: dict[str, Any], events: Assigned) -> list[dict[str, str]]:
    """Draw the figures into plots/ and data/ of a folder; returns what the page and the report need of them."""
    book = Book(folder)
    rows = summary["clusters"]
    names = [name_of(row) for row in rows]
    z = [signed_z(row) for row in rows]
    drawing = Occupancy(names, [row["observed"] for row in rows], [row["expected"] for row in rows],
                        [row["expected_error"] for row in rows], z, [names[k] for k in summary["flagged"]],
                        "pseudo-data" if summary["pseudo"] else "")  # fmt: skip
    caption = ("Data and expectation of each cluster, from the largest, and the local significance of the difference. "
               "Marked: excesses of 3 standard deviations after trials.")  # fmt: skip
    book.add("occupancy", drawing, "Clusters: data against simulation", caption)
    book.finish(1, "Clusters of triggered events against simulation")
    return book.entries


def name_of(row: dict[str, Any]) -> str:
    """The number of a cluster; "none" for events outside of all."""
    return "none" if row.get("none") else str(row["cluster"])


def signed_z(row: dict[str, Any]) -> float:
    """Local significance, negative for a deficit."""
    return row["local_z"] if row["observed"] >= row["expected"] else -expectation.sigma(row["deficit_p"])


def table(summary: dict[str, Any]) -> Table:
    """The most significant excesses."""
    rows = []
    for row in sorted(summary["clusters"], key=lambda row: row["local_p"])[:SHOWN]:
        rows.append([name_of(row), f"{row['observed']:,}", f"{row['expected']:,.1f} \u00b1 {row['expected_error']:.1f}",
                     f"{row['simulated']:,}", f"{row['local_z']:+.1f}", f"{row['global_p']:.2g}",
                     f"{row['global_z']:+.1f}", "flagged" if row["flagged"] else "",
                     "" if row["populated"] else "not populated by simulation"])  # fmt: skip
    head = ("cluster", "data", "expected", "simulated events", "local z", "global p", "global z", "", "remark")
    return Table("Largest excesses; global: after the trials of all clusters.", head, rows)


def overview(summary: dict[str, Any]) -> list[list[str]]:
    """Main figures: (name, value)."""
    best, pseudo = summary["global"], summary["pseudo"]
    rows = [
        ["largest excess", f"cluster {best['cluster']}: {best['local_z']:.1f} sigma local, {best['z']:.1f} sigma global"
                           f" (p = {best['p']:.2g})"],
        ["flagged", ", ".join(map(str, summary["flagged"])) or "none"],
        ["not populated by simulation", ", ".join(map(str, summary["unpopulated"])) or "none"],
        ["events", f"{summary['events_in_data']:,} in data, {summary['simulated_events']:,} simulated"],
        ["clusters", f"{len(summary['clusters'])}, {summary['settings']['method']} of {summary['embedding']['kind']}"],
    ]  # fmt: skip
    trigger = summary["trigger"]
    if trigger:
        fires = f"{trigger['seed']}, score from {trigger['threshold']}"
        rows.append(["trigger", f"{trigger['model']} {trigger['version']}, {fires}"])
    if pseudo:
        how = "drawn with replacement" if pseudo["replacement"] else "split without repetition"
        signal = f", {pseudo['fraction']:.2%} of {Path(pseudo['signal']['path']).stem}" if pseudo["signal"] else ""
        rows.append(["pseudo-data", f"{how} from {pseudo['independent_events']:,} independent events{signal}"])
    return rows


def content(summary: dict[str, Any]) -> Table:
    """Means of the quantities of flagged clusters, or of those with the largest excess, beside those of all data."""
    rows = summary["clusters"]
    chosen = summary["flagged"] or [summary["global"]["cluster"]]
    total = sum(row["observed"] for row in rows)
    lines = []
    for name in NAMES:
        mean = sum(row["observed"] * row["centre"][name] for row in rows) / total
        lines.append([name, f"{mean:.2f}", *(f"{rows[k]['centre'][name]:.2f}" for k in chosen[:6])])
    head = ("quantity", "all data", *(f"cluster {k}" for k in chosen[:6]))
    return Table("Mean quantities; momenta and masses as ln(1 + x / 10 GeV).", head, lines)


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write cluster.html; returns its path."""
    pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}", e["data"]) for e in summary["plots"]]
    sections = [
        Section("Data against simulation", [Gallery(pictures), table(summary)]),
        Section("What is in them", [content(summary)]),
        Section("Method", [Text(" ".join(part.split())) for part in (expectation.__doc__ or "").split("\n\n")]),
    ]
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("Clusters of triggered events", f"ad40 {__version__}, {now}.",
                  Table("At a glance", ("", ""), overview(summary)), sections)  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE
