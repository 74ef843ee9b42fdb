"""The figures and the page of a comparison of references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.book import Book, Entry
from offline.figures.hepdata import Table as Data
from offline.figures.hepdata import Variable
from offline.figures.style import COLOURS, GREY, panels
from offline.references.compare import CUT, ENSEMBLE, POINTS, REFERENCE, TRIGGER, Compared
from offline.report import reference
from offline.report.page import Gallery, Section, Table, picture, render

PAGE = "reference.html"
LINES = {REFERENCE: "-", TRIGGER: "--", CUT: ":"}


@dataclass(frozen=True)
class Curves:
    """ROC curves of one signal: FPR and TPR of each score by name, and what it is."""

    signal: str
    curves: dict[str, tuple[str, list[float], list[float]]]

    def table(self) -> Data:
        """Points of all curves, one below the other."""
        names = [name for name, (_, x, _) in self.curves.items() for _ in x]
        x, y = ([v for curve in self.curves.values() for v in curve[i]] for i in (1, 2))
        return Data([Variable("score", names), Variable("background efficiency", x)],
                    [Variable(f"signal efficiency, {self.signal}", y)])  # fmt: skip

    def draw(self) -> Figure:
        """Both axes logarithmic: what a trigger keeps is far from 1."""
        figure, (axis,) = panels()
        count = dict.fromkeys(LINES, 0)
        for name, (what, x, y) in self.curves.items():
            colour = COLOURS[count[what] % len(COLOURS)]
            count[what] += 1
            shown = [(a, b) for a, b in zip(x, y, strict=True) if b > 0]
            axis.plot(*zip(*shown, strict=True), LINES[what], color=colour, lw=2.4 if name == ENSEMBLE else 1.5,
                      label=name)  # fmt: skip
        axis.plot(POINTS, POINTS, color=GREY, lw=0.7, ls=":")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(1e-5, 1)
        axis.set_ylim(1e-5, 1.5)
        axis.set_xlabel("background efficiency")
        axis.set_ylabel(f"signal efficiency, {self.signal}")
        axis.legend(loc="lower right", fontsize=9, ncol=2)
        return figure


def figures(folder: Path, compared: Sequence[Compared]) -> list[Entry]:
    """Write plots/ and data/: one figure for each signal."""
    book = Book(folder)
    for signal in compared[0].curves:
        curves = {}
        for one in compared:
            points = [(float(x), y) for x, y in zip(POINTS, one.curves[signal], strict=True) if y is not None]
            curves[one.name] = (one.what, [x for x, _ in points], [y for _, y in points])
        book.add(f"roc_{signal}", Curves(signal, curves), f"Efficiency for {signal}",
                 f"Efficiency for {signal} against that for background; solid: references, dashed: models of the "
                 "trigger, dotted: cuts.")  # fmt: skip
    book.finish(1, "References on the 57 inputs")
    return book.entries


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write the page into a folder; returns it."""
    pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}", e["data"])
                for e in summary["plots"]]  # fmt: skip
    sections = [Section(title, list(blocks)) for title, blocks in reference.parts(summary).items()]
    sections.insert(1, Section("Curves", [Gallery(pictures)]))
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    top = Table("At a glance", ("", ""), reference.top(summary))
    text = render("References on the 57 inputs", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE
