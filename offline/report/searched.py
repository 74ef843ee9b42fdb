"""The page of a search: the result and the largest excesses first, then how it came about, then everything, folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.figures.book import Entry
from offline.objects.selection import STREAMS
from offline.report import searched_stages
from offline.report.numbers import number, span
from offline.report.page import Block, Code, Fold, Gallery, Picture, Section, Table, Text, picture
from offline.search.drawings import Figures, stream_title
from offline.search.sample import DATA
from offline.search.summary import Row, key_of, verdict

LARGEST = 12  # excesses in the table at the top
PICTURED = 6  # of them with their spectrum
OPEN_UP_TO = 8  # spectra: fewer are shown without folding


@dataclass(frozen=True)
class Page:
    """What the sections are made of. folder: where the figures are; summary: search.json; results: of all stages;
    document: text of the analysis document; seconds: of each stage."""

    folder: Path
    summary: dict[str, Any]
    results: dict[str, Any]
    figures: Figures
    labels: dict[str, str]
    document: str
    seconds: dict[str, float]
    skipped: dict[str, str]

    def picture(self, entry: Entry) -> Picture:
        """A figure inside the page."""
        alt = f"Plot: {entry['title']}. {entry['caption']}"
        return picture(self.folder / entry["file"], entry["caption"], alt, entry["data"])

    @property
    def rows(self) -> list[Row]:
        """Spectra of search.json."""
        return list(self.summary["spectra"])


def main_table(page: Page) -> Table:
    """The figures to quote."""
    s, scanned = page.summary, [r for r in page.rows if r["status"] == "scanned"]
    luminosity = s["luminosity_fb"]
    rows = [
        ["result", verdict(s)],
        ["events searched", f"{s['events_searched']:,} of {s['events_read']:,} read"],
        ["luminosity", "not known" if luminosity is None else f"{number(luminosity)} /fb"],
        ["spectra", f"{len(scanned):,} searched, {len(page.rows) - len(scanned):,} left out"],
        ["pseudo-experiments", f"{s['pseudo_experiments']:,}, each of which refits every background"],
    ]
    if s["injected"]:
        rows.insert(1, ["injected", f"{s['injected']['events']:,} events of {s['injected']['record']}"])
    scan = page.results.get("scan")
    if scan and scan["p"] is not None:
        relation = "at least " if scan["p_is_limit"] else ""
        rows.append(["scan of the threshold", f"{len(scan['steps'])} thresholds, {scan['scanned']:,} spectra: "
                     f"{relation}{scan['z']:.1f} sigma global (p = {number(scan['p'], 2)})"])  # fmt: skip
    for name, own in page.results.get("regions", {}).get("improvement", {}).items():
        if own["reason"] is None and own["cuts"]:
            cut = max(own["cuts"], key=lambda c: own["cuts"][c]["asimov"][1] or -100.0)
            gain = own["cuts"][cut]["asimov"][1]
            if gain is not None:
                rows.append([page.labels[name], f"best cut {cut}: dZ = {gain:+.0f} % (Z from the Asimov likelihood)"])
    return Table("Main figures", [], rows)


def sections(page: Page) -> list[Section]:
    """All sections, in their order."""
    made = [_result(page), _sample(page)]
    for title, stage, fill in (
        ("Autoencoder", "autoencoder", searched_stages.autoencoder),
        ("Anomaly regions", "regions", searched_stages.regions),
        ("Limits", "limits", searched_stages.limits),
        ("Scan of the threshold", "scan", searched_stages.scan),
    ):
        if stage in page.results:
            section = Section(title)
            fill(section, page)
            made.append(section)
    return [*made, _everything(page), _left_out(page), _provenance(page)]


def _result(page: Page) -> Section:
    s, section = page.summary, Section("Result")
    section.blocks.append(Text(verdict(s)))
    section.blocks.append(
        Text(
            "Local p-values count events in windows of the spectrum; global ones come from "
            f"{s['pseudo_experiments']:,} pseudo-experiments of all spectra together, each of which refits every "
            f"background; {100 * s['global']['counts_shared_between_spectra']:.1f} % of their counts keep the "
            f"correlations that the events have. A bump is claimed from {s['claim_sigma']:g} sigma global."
        )
    )
    scanned = sorted((r for r in page.rows if r["status"] == "scanned"), key=lambda r: -r["local_z"])
    if page.figures.significance:
        section.blocks.append(page.picture(page.figures.significance))
    if scanned:
        caption = f"The {min(LARGEST, len(scanned))} largest excesses"
        section.blocks.append(_excesses(caption, scanned[:LARGEST], page))
        pictured = PICTURED if len(scanned) > OPEN_UP_TO else 1  # a few are all shown further down
        section.blocks.append(Gallery([page.picture(page.figures.spectra[key_of(r)]) for r in scanned[:pictured]]))
    for what in ("region", "stream"):
        if len(s[f"by_{what}"]) > 1:
            section.blocks.append(_groups(f"Largest excess of each {what}", s[f"by_{what}"]))
    return section


def _groups(caption: str, groups: dict[str, Any]) -> Table:
    rows = []
    for name, best in groups.items():
        where = "nothing searched" if best["spectrum"] is None else f"{best['label']} {best['stream']} {best['region']}"
        window = span(best["window"]) if best["window"] else ""
        p = number(best["p"], 2) if best["spectrum"] else ""
        rows.append([name, where, window, p, f"{best['z']:.1f}" if best["spectrum"] else ""])
    return Table(caption, ["", "spectrum", "window [GeV]", "global p", "global sigma"], rows)


def _excesses(caption: str, rows: Sequence[Row], page: Page) -> Table:
    several = [k for k in ("stream", "region") if len({r[k] for r in page.rows}) > 1]
    head = ["spectrum", *several, "entries", "function", "fit range [GeV]", "fit p", "window [GeV]", "observed",
            "expected", "local sigma", "global p"]  # fmt: skip
    cells = []
    for r in rows:
        note = "" if r["described"] else " (not described: no claim)"
        cells.append([
            r["label"], *(r[k] for k in several), f"{r['entries']:,}", r["function"], span(r["fit_range"]),
            number(r["gof_p"], 2), span(r["window"]), f"{r['observed']:.0f}", f"{r['expected']:.1f}",
            f"{r['local_z']:.1f}", number(r["global_p"], 2) + note,
        ])  # fmt: skip
    return Table(caption, head, cells)


def _sample(page: Page) -> Section:
    section, signals = Section("Events"), []
    for name, document in page.results["table"].items():
        own = [source for source in document["sources"] if not source.get("injected")]
        files = ", ".join(dict.fromkeys(source["file"] for source in own))
        text = f"{page.labels[name]}: {files} ({own[0]['kind']}), {sum(source['events'] for source in own):,} events."
        if document["copies_dropped"]:
            text += f" {document['copies_dropped']:,} copies of generated collisions were left out."
        if document["cross_section_pb"]:
            text += f" Cross-section {number(document['cross_section_pb'])} pb."
        if document["weights_differ"]:
            text += " The weights differ: spectra count events and do not use them."
        if name == DATA:
            section.blocks.append(Text(text))
            section.blocks.append(_cutflow("Cut flow of the data", document))
        else:
            flow = _cutflow(f"Cut flow of {page.labels[name]}", document)
            signals += [Text(text), flow]
    if signals:
        section.blocks.append(Fold("Files and cut flows of the signals", signals))
    left = page.summary["left_out"]
    section.blocks.append(
        Text(
            f"Of the selected events {left['used for training']:,} are not searched because the network was trained on "
            f"them, and {left['negative weight']:,} because their weight is below zero."
        )
    )
    section.blocks.append(_classes(page.results["table"][DATA]["classes"]))
    matrices = Gallery([page.picture(entry) for entry in page.figures.samples])
    section.blocks.append(Fold("Average rapidity-mass matrices", [matrices]))
    return section


def _classes(found: dict[str, Any]) -> Fold:
    """How many exclusive event classes the data populate, of those that are possible."""
    rows = [[title, f"{one['possible']:,}", f"{one['possible_here']:,}", f"{one['populated']:,}",
             f"{one['two_body_masses_populated']:,} of {one['two_body_masses']:,}"]
            for title, one in found["limits"].items()]  # fmt: skip
    head = [
        "limits",
        "possible classes",
        "with the types of objects there are",
        "populated",
        "two-body masses populated",
    ]
    most = [[one["class"], f"{one['events']:,}"] for one in found["most_populated"]]
    title = f"Event classes: {found['classes']:,} populated, {found['classes_of_one_event']:,} of them by one event"
    return Fold(title, [Table("Exclusive classes by numbers of objects (arXiv:2311.09012)", head, rows),
                        Table("Most populated classes", ["class", "events"], most)])  # fmt: skip


def _cutflow(caption: str, document: dict[str, Any]) -> Table:
    total = document["cutflow"][0][1] or 1
    rows = [[name, f"{events:,}", f"{100 * events / total:.3g} %", number(weight)]
            for name, events, weight in document["cutflow"]]  # fmt: skip
    return Table(caption, ["", "events", "of those read", "sum of weights"], rows)


def _everything(page: Page) -> Section:
    section = Section("All spectra")
    scanned = [r for r in page.rows if r["status"] == "scanned"]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in scanned:
        groups[row["stream"]].append(row)
    for stream, rows in groups.items():
        blocks: list[Block] = [_excesses(f"{len(rows)} spectra", rows, page),
                               Gallery([page.picture(page.figures.spectra[key_of(r)]) for r in rows])]  # fmt: skip
        if len(scanned) <= OPEN_UP_TO:
            section.blocks += blocks
        else:
            section.blocks.append(Fold(f"{stream_title(stream)}: {len(rows)} spectra", blocks))
    others = [
        row for row in page.results["fits"]["rows"] if row["reason"] is None and row["region"].startswith("ystar")
    ]
    if others:
        blocks = [Gallery([page.picture(page.figures.spectra[key_of(r)]) for r in others])]
        section.blocks.append(Fold(f"{len(others)} spectra with the filter on y* in place of the score", blocks))
    if not scanned:
        section.missing.append("No spectrum could be searched.")
    return section


def _left_out(page: Page) -> Section:
    section = Section("Left out, and why")
    lost = [r for r in page.rows if r["status"] == "skipped"]
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in lost:
        kinds[_kind(row["reason"])].append(row)
    rows = [[kind, str(len(found))] for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1]))]
    if not rows:
        section.blocks.append(Text("Every spectrum was searched."))
    else:
        section.blocks.append(Table(f"{len(lost)} of {len(page.rows)} spectra", ["reason", "spectra"], rows))
        cells = [[r["label"], r["stream"], r["region"], f"{r['pairs']:,}", r["reason"]] for r in lost]
        head = ["spectrum", "stream", "region", "events with this mass", "why"]
        section.blocks.append(Fold("Each of them", [Table("Left out", head, cells)]))
    masses = page.results["spectra"]["masses"]
    saturated = page.results["table"][DATA]["saturated_left_out"]
    cells = [[about["label"], f"{about['outside']:,}", f"{saturated[name]:,}"] for name, about in masses.items()]
    caption = "Events that a spectrum does not count"
    head = ["spectrum", "mass outside of the bins", "pt saturated: only a lower bound of the mass"]
    section.blocks.append(Table(caption, head, cells))
    refused = {**page.results.get("regions", {}).get("refused", {})}
    if refused:
        section.blocks.append(Table("Regions", ["region", "why"], [[k, v] for k, v in refused.items()]))
    if page.skipped:
        section.blocks.append(Table("Stages", ["stage", "why"], [[k, v] for k, v in page.skipped.items()]))
    return section


def _kind(reason: str) -> str:
    """A reason without its numbers, to count how often it occurs."""
    words = ["so many" if any(c.isdigit() for c in word) else word for word in reason.split()]
    return " ".join(words)


def _provenance(page: Page) -> Section:
    section, s = Section("Provenance"), page.summary
    rows = [["analysis", s["analysis"]["hash"]]]
    for name, document in page.results["table"].items():
        rows += [[f"{page.labels[name]}: {source['file']}", source["sha256"]] for source in document["sources"]]
    for name, value in s.get("hashes", {}).items():
        rows.append([name, value])
    if "autoencoder" in page.results:
        rows.append(["network", page.results["autoencoder"]["hash"]])
    section.blocks.append(Table("SHA-256", ["what", "hash"], rows))
    rows = [[name, f"{seconds:.1f}"] for name, seconds in page.seconds.items()]
    section.blocks.append(Table("Time of the stages, when they were done", ["stage", "seconds"], rows))
    section.blocks.append(Fold("The analysis document", [Code(page.document)]))
    streams = [[name, STREAMS[name].description] for name in dict.fromkeys(r["stream"] for r in page.rows)]
    section.blocks.append(Table("Streams", ["stream", "requirement"], streams))
    return section
