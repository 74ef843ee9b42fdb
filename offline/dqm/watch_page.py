"""The monitoring page: alarms, trends, histograms beside the reference, maps in eta and phi."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import __version__, spec
from ad40.files import atomic_path
from offline.dqm.drawings import EtaPhi, Overlay, Trend
from offline.dqm.lumi import Counts
from offline.dqm.monitor import Monitor
from offline.dqm.quantities import Histogram, Map
from offline.dqm.reference import Reference
from offline.dqm.watching import Watched
from offline.figures.book import Book, Entry
from offline.report.numbers import number
from offline.report.page import Block, Fold, Gallery, Picture, Section, Table, Text, picture, render

PAGE = "dqm.html"
TOGETHER = 2  # cells of a map, along eta and phi, that are drawn as one


def write(folder: Path, summary: dict[str, Any], seen: Watched, reference: Reference) -> tuple[Path, list[Entry]]:
    """Write plots/, data/ and the page; returns the page and the figures that a report shows."""
    book = Book(folder)
    shown, which = _shown(seen)
    trends = _trends(book, summary, seen)
    overlays = [book.add(f"histogram_{h.name.replace(' ', '_')}", _overlay(h, shown, reference), h.name.capitalize(),
                         f"{h.name.capitalize()} {which}, beside the reference.")
                for h in reference.quantities.histograms]  # fmt: skip
    maps = [book.add(f"map_{one.kind}", _map(one, shown, reference), f"Map of {one.kind}",
                     f"Objects of the kind {one.kind} {which} in eta and phi against the reference, four towers a"
                     " cell.")
            for one in reference.quantities.maps]  # fmt: skip
    book.finish(1, "Data quality, lumi section by lumi section")

    def pictures(entries: list[Entry]) -> list[Picture]:
        return [picture(folder / e["file"], e["caption"], f"Plot: {e['title']}. {e['caption']}", e["data"])
                for e in entries]  # fmt: skip

    sections = [
        Section("Alarms", _alarms(summary)),
        Section("Trends", [Gallery(pictures(trends))]),
        Section("Maps", [Text(f"Shown: {which}."), Gallery(pictures(maps))]),
        Section("Histograms", [Text(f"Shown: {which}."), Gallery(pictures(overlays))]),
        Section("How it was compared", _how(summary, reference)),
    ]
    text = render(
        "Data quality",
        f"ad40 {__version__}, {summary['file']}, {datetime.now(UTC).strftime('%d %B %Y, %H:%M UTC')}.",
        Table("At a glance", [], glance(summary)), sections,
    )  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE, [*trends, *maps]


def glance(summary: dict[str, Any]) -> list[list[str]]:
    """What stands first on the page and in the report."""
    episodes = summary["episodes"]
    state = "no alarm" if not episodes else (
        f"{len(episodes)} episodes of alarms" if len(episodes) > 1 else f"alarm: {episodes[0]['what']}"
    )  # fmt: skip
    share = sum(e["sections_with_alarm"] for e in episodes)
    rows = [["state", state], ["lumi sections", f"{summary['sections']:,}"], ["events", f"{summary['events']:,}"],
            ["lumi sections with an alarm", f"{share:,}"],
            ["false alarms aimed at", f"{number(summary['reference']['rate'])} per lumi section"]]  # fmt: skip
    if summary["skipped"]:
        rows.append(["too few events, left out", f"{len(summary['skipped']):,} lumi sections"])
    if summary["odd_sizes"]:
        rows.append(["note", summary["odd_sizes"]])
    return rows


def _shown(seen: Watched) -> tuple[Counts, str]:
    """The counts of histograms and maps: of the longest episode of alarms, else of everything."""
    if seen.episodes:
        episode = max(seen.episodes, key=lambda e: e.sections)
        (_, first), (_, last) = seen.names[episode.raised], seen.names[episode.last]
        return episode.sums, f"in lumi sections {first} to {last}, with alarms" if last > first else (
            f"in lumi section {first}, with an alarm"
        )  # fmt: skip
    assert seen.total is not None
    return seen.total, "in all lumi sections"


def _trends(book: Book, summary: dict[str, Any], seen: Watched) -> list[Entry]:
    lumi = [f"{run}:{number_}" for run, number_ in seen.names]
    spans = [(e.raised, e.last) for e in seen.episodes]
    over = {name: [None if v is None else v / summary["thresholds"][name] for v in values]
            for name, values in seen.values.items()}  # fmt: skip
    entries = [book.add("trend_tests", Trend(lumi, over, {}, spans, "test over its threshold", 1.0), "Tests",
                        "Every test over its threshold, along lumi sections; alarms are shaded.")]  # fmt: skip
    scales = {name.removeprefix("scale of "): [v for v, _ in rows] for name, rows in seen.scales.items()}
    errors = {name.removeprefix("scale of "): [s for _, s in rows] for name, rows in seen.scales.items()}
    entries.append(book.add("trend_scales", Trend(lumi, {**scales}, errors, spans, "scale over reference [%]", 0.0),
                            "Energy scales", "Energy scales as the bins of each lumi section have them, in percent"
                            " above the reference."))  # fmt: skip
    means = {name: list(values) for name, values in seen.z.items() if name not in seen.scales}
    entries.append(book.add("trend_means", Trend(lumi, {**means}, {}, spans, "shift [standard deviations]", 0.0),
                            "Means", "Means of score and numbers of objects, in standard deviations of a lumi"
                            " section."))  # fmt: skip
    entries.append(book.add("trend_events", Trend(lumi, {"events": [*seen.events]}, {}, spans, "events", None),
                            "Events", "Events of each lumi section."))  # fmt: skip
    return entries


def _overlay(one: Histogram, counts: Counts, reference: Reference) -> Overlay:
    c, n = one.columns, counts.events
    own, pair = reference.variance_factors(n, counts.pairs)
    variance = own * np.diag(reference.covariance)[c] + pair * np.diag(reference.pair_covariance)[c]
    ticks: list[str] = []
    if one.feature == "count":
        ticks = [*(str(int(k)) for k in one.edges[:-2]), f"≥{one.edges[-2]:.0f}"]
    elif one.feature == "slots":
        ticks = list(spec.objects().slot_names)
    return Overlay(one.name, [float(v) for v in one.edges], ticks, (counts.vector[c] / n).tolist(),
                   reference.mean[c].tolist(), np.sqrt(np.maximum(variance, 0)).tolist())  # fmt: skip


def _map(one: Map, counts: Counts, reference: Reference) -> EtaPhi:
    seen, expected = (v[one.start : one.stop].reshape(one.eta, one.phi) for v in (counts.cells, reference.cells))
    filled = np.flatnonzero((seen + expected).any(axis=1))
    first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, one.eta)
    last = min(first + -(-(last - first) // TOGETHER) * TOGETHER, one.eta)
    first = last - (last - first) // TOGETHER * TOGETHER
    a, b = (v[first:last].reshape((last - first) // TOGETHER, TOGETHER, -1, TOGETHER).sum(axis=(1, 3))
            for v in (seen, expected))  # fmt: skip
    scale = seen.sum() / max(expected.sum(), 1)
    eta = [round(one.low + one.step * k, 4) for k in range(first, last + 1, TOGETHER)]
    phi = [round(float(v), 4) for v in np.linspace(-np.pi, np.pi, one.phi // TOGETHER + 1)]
    return EtaPhi(one.kind, eta, phi, a.tolist(), (b * scale).tolist())


def _alarms(summary: dict[str, Any]) -> list[Block]:
    if not summary["episodes"]:
        return [Text("No lumi section raised an alarm.")]
    rows = []
    for e in summary["episodes"]:
        rows.append([f"{e['since']['run']} : {e['since']['lumi']}", f"{e['raised']['lumi']}", f"{e['last']['lumi']}",
                     f"{e['sections_with_alarm']:,}", e["what"]])  # fmt: skip
    head = ["since run : lumi section", "raised", "last", "alarms", "what, by the strongest test"]
    blocks: list[Block] = [Table("Alarms less than ten lumi sections apart are one episode. After each alarm all tests "
                                 "begin anew, so that a fault that stays raises it again.", head, rows)]  # fmt: skip
    for e in summary["episodes"][:20]:
        found = [[a["test"], number(a["value"]), number(a["threshold"]), a["what"], _scale(a)] for a in e["alarms"]]
        title = f"All tests of the episode since lumi section {e['since']['lumi']}"
        table = Table("Largest value of each", ["test", "value", "threshold", "what", "scale [%]"], found)
        blocks.append(Fold(title, [table]))
    return blocks


def _scale(alarm: dict[str, Any]) -> str:
    found = alarm.get("scale_percent")
    return f"{found[0]:+.1f} ± {found[1]:.1f}" if found else ""


def _how(summary: dict[str, Any], reference: Reference) -> list[Block]:
    about = summary["reference"]
    rows = [["reference", f"{about['file']}, part '{about['part']}', {reference.events:,} events"],
            ["model of the score", f"{about['model']['name']} {about['model']['version']}"],
            ["events of a lumi section, when thresholds were calibrated", f"{about['per_lumi']:,.0f}"],
            ["thresholds from", f"{about['sections']:,} lumi sections drawn from events left out of the reference"],
            *([f"threshold of '{name}'", number(v)] for name, v in summary["thresholds"].items())]  # fmt: skip
    return [Text((Monitor.__doc__ or "").strip()), Table("Reference and thresholds", [], rows)]
