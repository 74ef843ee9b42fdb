"""The figures and the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.book import Book
from offline.figures.hepdata import Table as Data
from offline.figures.hepdata import Variable
from offline.figures.style import COLOURS, INK, label, panels
from offline.jets.compare import LEVELS, Compared
from offline.jets.decorrelate import KEPT
from offline.jets.jets import SIGNAL, Jets
from offline.report.page import Block, Gallery, Section, Table, Text, picture, render

PAGE = "compare.html"
LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Curves:
    """Curves of models: x and y of each by name. kind: "roc" or "sic"."""

    kind: str
    curves: dict[str, tuple[list[float], list[float]]]
    status: str

    def table(self) -> Data:
        """Points of all curves, one below the other."""
        names = [name for name, (x, _) in self.curves.items() for _ in x]
        x, y = ([v for curve in self.curves.values() for v in curve[i]] for i in (0, 1))
        text = "signal efficiency" if self.kind == "roc" else "signal efficiency / sqrt(background efficiency)"
        return Data([Variable("model", names), Variable("background efficiency", x)], [Variable(text, y)])

    def draw(self) -> Figure:
        """Background efficiency on a logarithmic axis."""
        figure, (axis,) = panels()
        for i, (name, (x, y)) in enumerate(self.curves.items()):
            axis.plot(x, y, LINES[i // len(COLOURS) % len(LINES)], color=COLOURS[i % len(COLOURS)], lw=1.6, label=name)
        low = min((v for x, _ in self.curves.values() for v in x if v > 0), default=1e-3)
        axis.set_xscale("log")
        axis.set_xlim(max(low, 1e-5), 1)
        axis.set_xlabel("background efficiency")
        if self.kind == "roc":
            grid = np.geomspace(max(low, 1e-5), 1, 100)
            axis.plot(grid, grid, color=INK, lw=0.7, ls=":")
            axis.set_ylim(0, 1.02)
            axis.set_ylabel("signal efficiency")
        else:
            axis.axhline(1, color=INK, lw=0.7, ls=":")
            axis.set_ylim(bottom=0)
            axis.set_ylabel(r"signal efficiency / $\sqrt{\mathrm{background\ efficiency}}$")
        label(axis, None, None, self.status)
        axis.legend(loc="best", fontsize=11)
        return figure


@dataclass(frozen=True)
class Spectra:
    """Mass spectra of background, as shares of what passes: all, and after a cut of each model."""

    edges: list[float]
    shares: dict[str, list[float]]
    kept: float
    status: str

    def table(self) -> Data:
        """One column for each model."""
        bins = list(zip(self.edges[:-1], self.edges[1:], strict=True))
        columns = [Variable(f"share of background, {name}", values) for name, values in self.shares.items()]
        return Data([Variable("jet mass", bins, "GeV")], columns, {"background efficiency": self.kept})

    def draw(self) -> Figure:
        """Steps; the spectrum of all is filled."""
        figure, (axis,) = panels()
        for i, (name, values) in enumerate(self.shares.items()):
            if name == "all":
                axis.stairs(values, self.edges, color="#dddddd", fill=True, label=name)
            else:
                k = i - 1
                axis.stairs(values, self.edges, color=COLOURS[k % len(COLOURS)], lw=1.4, label=name,
                            ls=LINES[k // len(COLOURS) % len(LINES)])  # fmt: skip
        axis.set_xlabel("jet mass [GeV]")
        axis.set_ylabel("share of background jets")
        axis.set_ylim(bottom=0)
        label(axis, None, None, self.status)
        axis.legend(loc="best", fontsize=11)
        return figure


def spectra(compared: Sequence[Compared], jets: Jets, kept: float, status: str) -> Spectra:
    """Mass spectra of background jets after a cut of each model that keeps a part of them."""
    background = jets.label != SIGNAL
    mass = jets.column("mass")[background].astype(np.float64)
    edges = np.linspace(0.0, float(np.quantile(mass, 0.999)) or 1.0, 41)
    shares = {"all": _share(mass, edges)}
    for one in compared:
        score = one.score[background]
        shares[one.name] = _share(mass[score >= np.quantile(score, 1 - kept)], edges)
    return Spectra(edges.tolist(), shares, kept, status)


def _share(mass: np.ndarray, edges: np.ndarray) -> list[float]:
    counts = np.histogram(mass, edges)[0]
    return [float(v) for v in counts / max(len(mass), 1)]


def write(
    folder: Path, compared: Sequence[Compared], jets: Jets, rows: Sequence[dict[str, Any]], sample: Sequence[str],
    stand_in: bool | None, how: str,
) -> Path:  # fmt: skip
    """Write plots/, data/ and the page into a folder; returns the page. rows: of `beside`. sample: what the jets are,
    in sentences."""
    status = "stand-in" if stand_in else ""
    book = Book(folder, {"status": status or None})
    entries = []
    for level in LEVELS:
        for kind in ("roc", "sic"):
            curves = {}
            for one in compared:
                curve = one.merits[level].curve
                y = curve.tpr if kind == "roc" else curve.sic
                curves[one.name] = ([float(v) for v in curve.fpr], [float(v) for v in y])
            text = {"roc": "ROC curve", "sic": "Significance improvement"}[kind]
            entries.append(book.add(f"{kind}_{level}", Curves(kind, curves, status), f"{text}, {level} level",
                                    f"{text} at {level} level."))  # fmt: skip
    for kept in KEPT:
        entries.append(book.add(f"mass_{kept * 100:g}", spectra(compared, jets, kept, status),
                                f"Mass of background jets, {kept:.0%} kept",
                                f"Mass of background jets, all and the {kept:.0%} that each score keeps."))  # fmt: skip
    book.finish(1, "Comparison of anomaly models on jets")
    pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}", e["data"])
                for e in entries]  # fmt: skip
    blocks: list[Block] = [_merits(compared, level) for level in LEVELS]
    sections = [
        Section("The sample", [Text(text) for text in sample]),
        Section("Finding the signal", [*blocks, Gallery(pictures[:4])]),
        Section("Score and mass", [_masses(compared), Gallery(pictures[4:])]),
        Section("Cost", [_costs(compared)]),
        Section("Beside published figures", [_beside(rows, stand_in)]),
    ]
    best = max(compared, key=lambda one: one.merits["event"].auc[1])
    top = Table("At a glance", ("", ""), [
        ["models", ", ".join(one.name for one in compared)],
        ["highest event-level AUC", f"{best.name}, {_span(best.merits['event'].auc)}"],
        ["event score", f"{how} of the two leading jets' scores" if how != "leading" else "of the leading jet"],
        ["events", "a stand-in made by this project's generator, not the LHC Olympics data" if stand_in
         else "of the files named below"],
    ])  # fmt: skip
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("Anomaly models on jets", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE


def _span(interval: Sequence[float], digits: int = 3) -> str:
    low, value, high = interval
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _merits(compared: Sequence[Compared], level: str) -> Table:
    rows = []
    for one in compared:
        m, flat = one.merits[level], one.merits[level + " flat"]
        rows.append([one.name, _span(m.auc), _span(flat.auc), _span(m.max_sic, 2), f"{m.sic_fpr:.2g}",
                     _span(m.tpr["0.1"]), _span(m.tpr["0.01"])])  # fmt: skip
    n, s = compared[0].merits[level].background, compared[0].merits[level].signal
    caption = (f"{level.capitalize()} level, {n:,} background and {s:,} signal; central 68 % intervals from a "
               "bootstrap over events. Flat: the score made independent of the mass.")  # fmt: skip
    head = ("model", "AUC", "AUC, flat", "largest SIC", "at background", "signal at 10 %", "signal at 1 %")
    return Table(caption, head, rows)


def _masses(compared: Sequence[Compared]) -> Table:
    rows = []
    for one in compared:
        for text, found in ((one.name, one.decorrelation), (f"{one.name}, flat", one.flat)):
            c = found["correlation"]
            cells = [f"{s['divergence']:.3f} ({s['floor']:.3f})" for s in found["sculpting"]]
            rows.append([text, f"{c['pearson']:.3f}", f"{c['spearman']:.3f}", f"{c['distance']:.3f}", *cells])
    head = ("score", "Pearson", "Spearman", "distance", *(f"divergence at {kept:.0%}" for kept in KEPT))
    caption = ("Background jets: correlation of score and mass, and Jensen-Shannon divergence [bits] of the mass "
               "spectrum after a cut from that before; in brackets that of as many jets at random.")  # fmt: skip
    return Table(caption, head, rows)


def _costs(compared: Sequence[Compared]) -> Table:
    rows = []
    for one in compared:
        training = one.training
        rows.append([one.name, one.about, f"{one.parameters:,}", f"{training.get('jets', 0):,}",
                     f"{training.get('seconds', 0):,.1f}",
                     f"{len(one.score) / max(one.seconds, 1e-9):,.0f}"])  # fmt: skip
    head = ("model", "what", "numbers", "jets of training", "seconds of training", "jets scored per second")
    return Table("On the machine that trained and scored them.", head, rows)


def _beside(rows: Sequence[dict[str, Any]], stand_in: bool | None) -> Block:
    if not rows:
        return Text("None of the models compared has a published figure of this kind.")
    note = " Ours are on a stand-in: the two do not answer the same question." if stand_in else ""
    body = [[r["name"], f"{r['quantity'].upper()}, {r['level']} level", f"{r['value']:g}", _span(r["ours"]),
             r["source"]] for r in rows]  # fmt: skip
    return Table("Published figures, and ours." + note, ("model", "figure", "published", "ours", "source"), body)
