"""Stage `report`: every figure as PNG and as data, search.json, and the page search.html."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path, write_json
from offline.figures.book import Book
from offline.report import searched
from offline.report.page import render
from offline.search.chain import Context
from offline.search.drawings import Artist
from offline.search.sample import DATA
from offline.search.summary import summarise, verdict

PAGE, SUMMARY = "search.html", "search.json"


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Write plots/, data/, search.json and search.html into the output folder."""
    analysis, data = context.analysis, context.results["table"][DATA]
    summary = summarise(context)
    book = Book(context.folder, {"SQRT(S) [GeV]": data["sqrt_s"], "LUMINOSITY [1/fb]": data["luminosity_fb"],
                                 "status": analysis.status or None})  # fmt: skip
    artist = Artist(context, book)
    figures = artist.all()
    book.finish(context.jobs, f"{analysis.title}. {verdict(summary)}")
    for row in summary["spectra"]:
        entry = figures.spectra.get((row["stream"], row["mass"], row["region"]))
        if entry and row["status"] == "scanned":
            row["plot"] = entry
    write_json(context.path(SUMMARY), summary)
    page = searched.Page(
        context.folder, summary, context.results, figures, artist.labels, analysis.file.read_text(encoding="utf-8"),
        context.seconds, context.skipped,
    )  # fmt: skip
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render(analysis.title, f"ad40 {__version__}, analysis {analysis.name}, {now}.", searched.main_table(page),
                  searched.sections(page))  # fmt: skip
    with atomic_path(context.path(PAGE)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    drawn = [context.path(entry[kind]) for entry in book.entries for kind in ("file", "data")]
    return {"figures": len(book.entries), "bytes": len(text)}, [context.path(PAGE), context.path(SUMMARY), *drawn]
