"""The figures and the page of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.anomaly import Scores
from offline.figures.book import Book, Entry
from offline.figures.hepdata import Table as Data
from offline.figures.hepdata import Variable, bins
from offline.figures.style import COLOURS, FIT, GREY, MARKERS, label, panels
from offline.report import hlt as report
from offline.report.page import Gallery, Section, Table, picture, render

PAGE = "hlt.html"
SCORE_BINS = 60
SHOWN = 0.995  # of each sample lies within the axis of the score; the rest is in the last bin

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Latencies:
    """Histograms of times [us]: name -> (edges, counts); and the budget."""

    times: dict[str, tuple[list[float], list[int]]]
    budget_ms: float

    def table(self) -> Data:
        """All bins, one histogram below the other."""
        names = [name for name, (_, counts) in self.times.items() for _ in counts]
        edges = [edge for low_to_high, _ in self.times.values() for edge in bins(low_to_high)]
        counts = [count for _, some in self.times.values() for count in some]
        return Data([Variable("time of", names), Variable("time", edges, "us")], [Variable("events", counts)],
                    {"budget [ms]": self.budget_ms})  # fmt: skip

    def draw(self) -> Figure:
        """Both axes logarithmic."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        for colour, (name, (edges, counts)) in zip(COLOURS, self.times.items(), strict=False):
            axis.stairs(counts, edges, color=colour, lw=1.6, label=name)
        axis.axvline(1000, color=GREY, lw=1.2, ls="--", label="1 ms")
        axis.axvline(1000 * self.budget_ms, color=FIT, lw=1.2, ls="--", label=f"budget, {self.budget_ms:g} ms")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.5)
        axis.set_xlabel("time for one event [us]")
        axis.set_ylabel("events")
        label(axis, None, None, "one thread")
        axis.legend(loc="upper right", fontsize=11)
        return figure


@dataclass(frozen=True)
class Efficiencies:
    """Share of each signal against the rate [kHz]: of the stage, and of a tighter threshold of the trigger alone."""

    khz: dict[str, list[float]]
    efficiency: dict[str, dict[str, list[float]]]
    at_khz: float

    def table(self) -> Data:
        """Points of all curves, one below the other."""
        rows = [(how, name, x, y) for how, curves in self.efficiency.items() for name, values in curves.items()
                for x, y in zip(self.khz[how], values, strict=True)]  # fmt: skip
        how, name, x, y = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
        return Data([Variable("threshold on", how), Variable("signal", name), Variable("accepted rate", x, "kHz")],
                    [Variable("efficiency behind the trigger", y)])  # fmt: skip

    def draw(self) -> Figure:
        """Rate on a logarithmic axis; dashed: the trigger's score alone."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        for how, line in (("stage", "-"), ("trigger", "--")):
            for colour, (name, values) in zip(COLOURS, self.efficiency[how].items(), strict=False):
                axis.plot(self.khz[how], values, line, color=colour, lw=1.6, label=name if how == "stage" else None)
        axis.axvline(self.at_khz, color=GREY, lw=1.2, ls=":")
        axis.set_xscale("log")
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("accepted rate [kHz]")
        axis.set_ylabel("efficiency behind the trigger")
        label(axis, None, None)
        axis.legend(loc="upper left", fontsize=11)
        return figure


@dataclass(frozen=True)
class Throughputs:
    """Events per second by batch."""

    batch: list[int]
    events_per_s: list[float]
    l1_rate_khz: float

    def table(self) -> Data:
        """One row for each batch."""
        return Data([Variable("batch", self.batch)], [Variable("events per second", self.events_per_s)])

    def draw(self) -> Figure:
        """Both axes logarithmic."""
        figure, (axis,) = panels(size=(7.6, 5.2))
        axis.plot(self.batch, self.events_per_s, f"{MARKERS[0]}-", color=COLOURS[0], lw=1.4, ms=7)
        axis.axhline(1000 * self.l1_rate_khz, color=GREY, lw=1.2, ls="--",
                     label=f"{self.l1_rate_khz:g} kHz, what the trigger sends")  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("events at a time")
        axis.set_ylabel("events per second of one thread")
        label(axis, None, None, "one thread")
        axis.legend(loc="lower right", fontsize=11)
        return figure


def _scores(score: Floats, signals: Mapping[str, Floats], threshold: float, name: str) -> Scores:
    everything = {"background": score, **signals}
    low = float(min(values.min() for values in everything.values()))
    high = max(float(np.quantile(values, SHOWN)) for values in everything.values())
    high = max(high, threshold, float(np.nextafter(np.float32(low), np.float32(np.inf))))
    edges = np.linspace(low, high, SCORE_BINS + 1)
    shares = {}
    for sample, values in everything.items():
        counts = np.histogram(np.minimum(values.astype(np.float64), edges[-1]), edges)[0]
        shares[sample] = [float(v) for v in counts / len(values)]
    return Scores(f"hlt_score of {name}", edges.tolist(), shares, {"accepted": threshold}, None, 0.0)


def draw(folder: Path, summary: dict[str, Any], score: Floats, signals: Mapping[str, Floats]) -> list[Entry]:
    """Write plots/ and data/; score: of the background, and of each signal."""
    book, timing, curves = Book(folder), summary["latency"], summary["curves"]
    named = {"codes to decision": timing["whole"], "the same, time of the processor": timing["processor"],
             "ONNX Runtime alone": timing["inference"]}  # fmt: skip
    book.add("latency", Latencies({k: (v["edges_us"], v["counts"]) for k, v in named.items()}, timing["budget_ms"]),
             "Time for one event", f"Time for one event, {timing['events']:,} events one by one.")  # fmt: skip
    book.add("throughput", Throughputs([row["batch"] for row in summary["throughput"]],
                                       [row["events_per_s"] for row in summary["throughput"]], summary["l1_rate_khz"]),
             "Throughput", "Events per second, codes to decisions, by events at a time.")  # fmt: skip
    book.add("score", _scores(score, signals, summary["threshold"], summary["model"]["name"]), "Score",
             f"Score of events that the trigger accepted; those above the axis, at most {1 - SHOWN:.1%} of a sample,"
             " are in its last bin.")  # fmt: skip
    if signals:
        book.add("efficiency", Efficiencies({how: curves[how]["khz"] for how in curves},
                                            {how: curves[how]["efficiency"] for how in curves},
                                            summary["background"]["accepted_khz"][1]),
                 "Efficiency against rate", "Share of the accepted signal events that is kept, by accepted rate;"
                 " dashed: by a threshold on the trigger's own score; dotted: the rate of the stage.")  # fmt: skip
    book.finish(1, "The high-level stage")
    return book.entries


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write the page of a summary whose figures are drawn; returns it."""
    pictures = [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}", e["data"])
                for e in summary["plots"]]  # fmt: skip
    sections = [Section(title, blocks) for title, blocks in report.parts(summary).items()]
    sections.append(Section("Figures", [Gallery(pictures)]))
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("High-level stage", f"ad40 {__version__}, {now}.", Table("At a glance", [], report.top(summary)),
                  sections)  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE
