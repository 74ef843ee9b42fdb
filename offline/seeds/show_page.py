"""The figures and the page of clusters that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.book import Book, Entry
from offline.figures.rmm import Matrix
from offline.objects.record import from_codes
from offline.objects.source import SQRT_S
from offline.report.page import Gallery, Section, Table, Text, picture, render
from offline.rmm.layout import Layout
from offline.rmm.matrix import matrices
from offline.rmm.pictures import EventPicture
from offline.seeds.display import display
from offline.seeds.drawings import Masses, Shares
from offline.seeds.group import Group

PAGE = "show.html"
COUNTS = {"jet": 10, "bjet": 0, "muon": 4, "electron": 4, "photon": 0}
"""Slots of the rapidity-mass matrix of hardware objects."""
DRAWN = 6  # quantities with a figure
MOST = 20000  # events of an average matrix


def write(folder: Path, groups: Sequence[Group], found: Sequence[dict[str, Any]]) -> tuple[Path, list[Entry]]:
    """Write plots/, data/ and the page into a folder; returns the page and its figures. found: of
    `show_step.describe`."""
    book = Book(folder, {})
    plan = [(group, one, _draw(book, group, one)) for group, one in zip(groups, found, strict=True)]
    book.finish(1, "Clusters of triggered events")
    sections = []
    for group, one, entries in plan:
        document = one["document"]
        blocks: list[Any] = [table(document)]
        for title, names in entries:
            blocks += [Text(title), Gallery([picture(folder / e["file"], e["caption"], f"Plot: {e['title']}", e["data"])
                                             for e in names])]  # fmt: skip
        sections.append(Section(f"Cluster {group.name}", blocks))
    rows = [[str(d["cluster"]), f"{d['observed']:,.0f}", f"{d['expected']:,.1f}",
             "" if d["local_z"] is None else f"{d['local_z']:.1f}",
             ", ".join(f"{name} {n:,.0f}" for name, n in d.get("labels", {}).items())]
            for d in (one["document"] for one in found)]  # fmt: skip
    top = Table("At a glance", ("cluster", "observed", "expected", "z, local", "truth, where it is known"), rows)
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render("Clusters of triggered events", f"ad40 {__version__}, {now}.", top, sections)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE, book.entries


def table(document: dict[str, Any]) -> Table:
    """What sets a cluster apart. document: of one cluster in show.json."""
    rows = [[s["quantity"], _value(s["mean"], s["units"]), _value(s["mean_others"], s["units"]),
             f"{s['difference']:+.2f}", f"{s['auc'][1]:.3f} ({s['auc'][0]:.3f} to {s['auc'][2]:.3f})"]
            for s in document["separations"]]  # fmt: skip
    text = ("In and out of the cluster. Difference of the means in standard deviations; AUC: share of pairs in which "
            "the event of the cluster has more.")  # fmt: skip
    return Table(text, ("quantity", "cluster", "other data", "difference", "AUC"), rows)


def _value(value: float, units: str) -> str:
    return f"{value:.3g} {units}".strip()


def _draw(book: Book, group: Group, one: dict[str, Any]) -> list[tuple[str, list[Entry]]]:
    """Figures of one cluster: (what they are, entries)."""
    k, parts = group.name, []
    events, cells = [], _matrices(group.data.codes[one["nearest"]])
    for rank, at in enumerate(one["nearest"].tolist()):
        title = f"cluster {k}, event {int(group.data.row[at])}"
        text = f"Event {rank + 1} in the order of the distance to the centre: eta and phi, and across the beam."
        name = f"cluster{k}_event{rank + 1}"
        events.append(book.add(name, display(group.data.codes[at], title, SQRT_S), title, text))
        matrix = EventPicture(title, COUNTS, cells[rank].astype(float).tolist(), SQRT_S)
        events.append(book.add(f"{name}_rmm", matrix, f"{title}, matrix", "The same event as a rapidity-mass matrix."))
    parts.append(("Events closest to the centre of the cluster.", events))
    shares = []
    for rank, separation in enumerate(one["separations"][:DRAWN]):
        quantity = separation.quantity
        share = _shares(group, one, quantity.name, [q.name for q in one["names"]].index(quantity.name))
        text = f"{quantity.name} in the cluster, in other data, and in simulated events of the cluster."
        shares.append(book.add(f"cluster{k}_quantity{rank + 1}", share, quantity.name, text))
    parts.append(("What sets the cluster apart.", shares))
    spectra = []
    for s in one["spectra"]:
        lines = [f"{s['events']:,.0f} events", f"{s['expected']:,.1f} expected"]
        spectrum = Masses(s["label"], s["edges"], s["counts"].tolist(), s["mean"].tolist(), s["error"].tolist(), lines,
                         SQRT_S)  # fmt: skip
        text = f"{s['label']} of the events of the cluster, and what simulation of known processes puts there."
        spectra.append(book.add(f"cluster{k}_mass_{s['name']}", spectrum, s["label"], text))
    parts.append(("Masses.", spectra))
    averages = []
    for name, codes, weight in (("the cluster", group.data.codes, group.data.weight),
                                ("other data", group.others.codes, group.others.weight)):  # fmt: skip
        average = _average(name, codes[:MOST], weight[:MOST])
        averages.append(book.add(f"cluster{k}_rmm_{name.split()[-1]}", average, f"Average matrix of {name}",
                                 f"Average rapidity-mass matrix of {name}."))  # fmt: skip
    parts.append(("Average rapidity-mass matrices.", averages))
    return [part for part in parts if part[1]]


def _matrices(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    return matrices(from_codes(codes, {}), Layout(COUNTS), SQRT_S)


def _average(name: str, codes: NDArray[np.integer], weight: NDArray[np.float64]) -> Matrix:
    """The average matrix of events."""
    mean = np.tensordot(weight / weight.sum(), _matrices(codes).astype(np.float64), axes=1)
    return Matrix(name, list(Layout(COUNTS).names), mean.tolist(), [], len(codes), SQRT_S)


def _shares(group: Group, one: dict[str, Any], name: str, column: int) -> Shares:
    """The shares of a quantity in 30 bins between the extreme percents of cluster and other data."""
    quantity = one["names"][column]
    samples = {"cluster": ("data", group.data), "other data": ("others", group.others),
               "simulation in the cluster": ("simulation", group.simulation)}  # fmt: skip
    values = {label: one["tables"][key][:, column] for label, (key, _) in samples.items()}
    low = min(int(np.quantile(values[label], 0.002)) for label in ("cluster", "other data"))
    high = max(int(np.quantile(values[label], 0.995)) for label in ("cluster", "other data"))
    step = max(-(-(high + 1 - low) // 30), 1)
    counts = np.arange(low, high + step + 1, step)
    shift = 0.5 if not quantity.units else 0.0  # whole numbers stand in the middle of their bin
    lines = {}
    for label, (_, events) in samples.items():
        if len(events):
            shares = np.histogram(values[label], counts, weights=events.weight)[0] / events.weight.sum()
            lines[label] = shares.tolist()
    return Shares(name, quantity.units, ((counts - shift) * quantity.lsb).tolist(), lines, SQRT_S)
