"""The figures and the page of the search without labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.book import Book
from offline.figures.spectrum import Spectrum
from offline.jets import cwola
from offline.jets.cwola_step import Found
from offline.report.page import Gallery, Section, Table, Text, picture, render
from offline.statistics import fit
from offline.statistics.functions import SQRT_S

PAGE = "cwola.html"


def write(folder: Path, found: Sequence[Found], summary: dict[str, Any], stand_in: bool | None) -> Path:
    """Write plots/, data/ and the page into a folder; returns the page. summary: that of the step."""
    status = "stand-in" if stand_in else ""
    book, sections, rows = Book(folder, {"status": status or None}), [], []
    drawn: list[tuple[Found, list[Any]]] = []
    for one in found:
        entries = []
        for efficiency, b in one.bumps.items():
            rows.append([f"{one.window.low:.0f} to {one.window.high:.0f} GeV", f"{efficiency:.0%}", f"{b.observed:,}",
                         f"{b.expected:,.1f} \u00b1 {b.error:.1f}", f"{b.z:+.2f}", b.function, f"{b.sideband_p:.2f}",
                         f"{one.merit['max_sic'][1]:.2f}" if one.merit and efficiency < 1 else ""])  # fmt: skip
            pulls = fit.pulls(b.counts, b.background)
            drawing = Spectrum("dijet mass", b.edges.tolist(), b.counts.tolist(), 0, b.background.tolist(),
                               pulls.tolist(), (one.window.low, one.window.high), b.z, b.function,
                               [f"{efficiency:.0%} of the sidebands kept"], None, SQRT_S, status)  # fmt: skip
            name = f"mjj_{one.window.low:.0f}_{efficiency * 100:g}"
            text = f"Dijet mass, {efficiency:.0%} kept; the signal region is left out of the fit."
            entries.append(book.add(name, drawing, f"Dijet mass, {efficiency:.0%} kept", text))
        drawn.append((one, entries))
    book.finish(1, "Search for dijet resonances without labels")
    head = ("signal region", "kept", "observed", "expected", "z", "function", "p of the sidebands", "largest SIC")
    sections.append(Section("Signal regions", [Table("Bump fits; z is local.", head, rows)],
                            [f"{one.window.low:.0f} to {one.window.high:.0f} GeV: {one.reason}"
                             for one in found if one.reason]))  # fmt: skip
    for one, entries in drawn:
        if entries:
            pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}", e["data"]) for e in entries]
            sections.append(Section(f"{one.window.low:.0f} to {one.window.high:.0f} GeV", [Gallery(pictures)]))
    sections.append(Section("Method", [Text(" ".join((cwola.__doc__ or "").split()))]))
    best = summary["largest"]
    top = Table("At a glance", ("", ""), [
        ["largest excess", f"{best['window'][0]:.0f} to {best['window'][1]:.0f} GeV at {best['efficiency']:.0%}: "
         f"{best['z']:.1f} sigma local, {best['global_z']:.1f} sigma after {best['trials']} trials, counted as "
         "independent"],
        ["events", f"{summary['events']:,}" + (", a stand-in made by this project's generator" if stand_in else "")],
        ["features", ", ".join(summary["features"])],
        ["classifier", summary["settings"]["classifier"]],
    ])  # fmt: skip
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("Dijet search without labels", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE
