"""Sections of the page of a search that not every search has: autoencoder, anomaly regions, limits, scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offline.report.numbers import interval, number, span
from offline.report.page import Block, Fold, Gallery, Section, Table, Text
from offline.search.drawings import methods
from offline.search.summary import fit_quality, key_of
from offline.statistics.limits import FEW

if TYPE_CHECKING:
    from offline.report.searched import Page

FEW_ROWS = 12  # of a table that is not folded
SHOWN = 4  # pictures of limits that are not folded


def autoencoder(section: Section, page: Page) -> None:
    a = page.results["autoencoder"]
    losses = [start["validation_loss"] for start in a["initialisations"]]
    section.blocks.append(
        Text(
            f"Network {a['network']['name']}, {a['network']['parameters']:,} parameters, trained on "
            f"{a['sample']['training']:,} events with {a['sample']['validation']:,} for validation. Of {len(losses)} "
            f"initialisations number {a['kept']['initialisation']}, that of the median validation loss "
            f"{number(a['kept']['validation_loss'])}, is used; the losses are {number(min(losses))} to "
            f"{number(max(losses))}. None of these events is searched."
        )
    )
    rows = [[k.replace("_", " "), str(v)] for k, v in a["settings"].items()]
    section.blocks.append(Fold("Settings of the training", [Table("Training", [], rows)]))
    stable = page.results["scores"]["stability"]
    rows = [[one["quantity"], one["reason"] or f"chi2 {one['chi2']:.1f} / {one['degrees']}, p = {number(one['p'], 2)}"]
            for one in stable]  # fmt: skip
    section.blocks.append(Table("Is the median score constant?", ["against", ""], rows))
    section.blocks.append(Gallery([page.picture(entry) for entry in page.figures.stability]))


def regions(section: Section, page: Page) -> None:
    r = page.results["regions"]
    rows = [[one["name"], number(one["cross_section_pb"]), f"{one['threshold']:.4f}", f"{one['events']:,}"]
            for one in r["regions"]]  # fmt: skip
    if rows:
        luminosity = number(r["luminosity_fb"])
        caption = f"Regions: events of largest {r['quantity']}, as many as cross-section x {luminosity} /fb"
        section.blocks.append(Table(caption, ["region", "keeps [pb]", f"threshold of {r['quantity']}", "events"], rows))
    section.missing += [f"No region {name}: {reason}." for name, reason in r["refused"].items()]
    if r["cuts"]:
        rows = [[page.labels[name], *(interval([100 * v for v in own[cut]["acceptance"]]) for cut in r["cuts"])]
                for name, own in r["acceptance"].items()]  # fmt: skip
        caption = "Acceptance [%] of selected events (published: about 80 for signals, 10 for data at low mass)"
        section.blocks.append(Table(caption, ["sample", *r["cuts"]], rows))
        section.blocks += _improvements(page, r)
    section.blocks.append(Gallery([page.picture(entry) for entry in page.figures.anomaly]))
    if page.figures.shaping:
        section.blocks.append(
            Text(
                "Does the cut shape the background? Each spectrum with and without the loosest region in which it can "
                "be fitted; a cut that makes structure would show as a bad fit."
            )
        )
        section.blocks.append(_shaping(page, r))
        section.blocks.append(Fold("Spectra with and without the cut",
                                   [Gallery([page.picture(e) for e in page.figures.shaping.values()])]))  # fmt: skip


def _improvements(page: Page, r: dict[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    for name, text in (("asimov", "Z = sqrt(2 ((s+b) ln(1+s/b) - s))"), ("naive", "Z = s / sqrt(b)")):
        rows = []
        for signal, own in r["improvement"].items():
            if own["reason"]:
                continue
            where = "all masses" if own["window"] is None else f"{own['spectrum']}, {span(own['window'])} GeV"
            where += f", stream {own['stream']}" if own["stream"] else ""
            gains = [_gain(own["cuts"][cut][name]) for cut in r["cuts"]]
            z = "" if own["z"][name] is None else number(own["z"][name])
            before = f"{number(own['signal'])} / {number(own['background'])}"
            rows.append([page.labels[signal], where, before, z, *gains])
        if rows:
            head = ["signal", "window", "s / b before", "Z before", *r["cuts"]]
            blocks.append(Table(f"Improvement dZ [%] by each cut, with {text}", head, rows))
    rows = [[page.labels[signal], *(_pair(own["cuts"][cut]) for cut in r["cuts"])]
            for signal, own in r["improvement"].items() if not own["reason"]]  # fmt: skip
    if rows:
        caption = "Acceptance [%] of signal / data in the window of each signal"
        blocks.append(Table(caption, ["signal", *r["cuts"]], rows))
    lost = [f"{page.labels[name]}: {own['reason']}" for name, own in r["improvement"].items() if own["reason"]]
    if lost:
        blocks.append(Text(f"No improvement can be given for {'; '.join(lost)}."))
    return blocks


def _gain(values: list[float | None]) -> str:
    low, value, high = values
    if value is None:
        return "not known" if low is None else f"above {round(low):+d} (no background left)"
    ends = [f"{round(v):+d}" if v is not None else "no bound" for v in (low, high)]
    return f"{round(value):+d} ({ends[0]} to {ends[1]})".replace(" ", "\u00a0")


def _pair(row: dict[str, Any]) -> str:
    return " / ".join(number(100 * row[k]["acceptance"][1]) for k in ("signal", "background"))


def _shaping(page: Page, r: dict[str, Any]) -> Table:
    fits = {key_of(row): row for row in page.results["fits"]["rows"]}
    hunted = {key_of(row): row for row in page.results["hunt"]["rows"]}
    names = ["all", *(one["name"] for one in r["regions"])]
    rows = []
    for stream, mass, _ in page.figures.shaping:
        cells = []
        for name in names:
            row = fits[stream, mass, name]
            p = None if row["reason"] else fit_quality(row, hunted[stream, mass, name])
            cells.append("not fitted" if p is None else f"{row['function']}, p = {number(p, 2)}")
        rows.append([page.results["spectra"]["masses"][mass]["label"], stream, *cells])
    return Table("Function and quality of the fit, without and with the cut", ["mass", "stream", *names], rows)


def limits(section: Section, page: Page) -> None:
    rows, lost = [], []
    unit = "pb" if page.summary["luminosity_fb"] else "events"
    scale = 1 / (1000 * page.summary["luminosity_fb"]) if page.summary["luminosity_fb"] else 1.0
    for row in page.results["limits"]["rows"]:
        label = page.results["spectra"]["masses"][row["mass"]]["label"]
        if row["reason"]:
            lost.append([label, row["stream"], row["region"], row["reason"]])
            continue
        found = [p for p in row["points"] if p["reason"] is None]
        narrow = [p for p in found if p["width"] == min(q["width"] for q in found)]
        first, last = narrow[0], narrow[-1]
        ends = [f"{number(scale * p['observed'], 2)} ({number(scale * p['expected'][2], 2)})" for p in (first, last)]
        strong = max(found, key=lambda p: p["significance"])
        excess = f"{strong['significance']:.1f} at {strong['mass']:.0f} GeV, {100 * strong['width']:g} %"
        points = f"{len(found)} of {len(row['points'])}"
        masses = span((first["mass"], last["mass"]))
        rows.append([label, row["stream"], row["region"], masses, *ends, points, excess])
    head = ["mass", "stream", "region", "masses [GeV]", f"lowest mass: observed (expected) [{unit}]",
            f"highest mass [{unit}]", "points", "largest fitted signal [sigma]"]  # fmt: skip
    section.blocks.append(
        Text(
            "Upper limits at 95 % CL (CLs) on the number of events of a Gaussian signal, divided by the luminosity: "
            "cross-section x branching fraction x acceptance x efficiency. The background parameters are free in every "
            "fit. Widths are relative to the mass, added to the resolution of the detector. Computed: "
            f"{methods(page.results['limits']['rows'])}. Where fewer than about {FEW:g} events of background are under "
            "the signal asymptotic formulae are not good enough; `method: auto` takes pseudo-experiments there."
        )
    )
    if rows:
        found = Table("Limits for the narrowest signal", head, rows)
        section.blocks.append(found if len(rows) <= FEW_ROWS else Fold(f"Table of {len(rows)} spectra", [found]))
    entries = [page.picture(entry) for entry in page.figures.limits.values()]
    if entries:
        section.blocks.append(Gallery(entries[:SHOWN]))
        if len(entries) > SHOWN:
            section.blocks.append(Fold(f"The other {len(entries) - SHOWN} limits", [Gallery(entries[SHOWN:])]))
    if lost:
        section.blocks.append(Fold(f"{len(lost)} spectra without limits",
                                   [Table("Without limits", ["mass", "stream", "region", "why"], lost)]))  # fmt: skip


def scan(section: Section, page: Page) -> None:
    scan = page.results["scan"]
    refused = list(scan["refused"].items())
    if refused:
        names = refused[0][0] if len(refused) == 1 else f"{refused[0][0]} to {refused[-1][0]}"
        section.missing.append(f"{len(refused)} thresholds left out, {names}; of the last: {refused[-1][1]}.")
    if not scan["steps"]:
        return
    relation = "at most " if scan["p_is_limit"] else ""
    section.blocks.append(
        Text(
            f"{scan['scanned']:,} of {scan['spectra']:,} spectra (masses x streams x {len(scan['steps'])} thresholds) "
            f"could be searched. After the trials of all masses, streams and thresholds, from "
            f"{scan['pseudo_experiments']:,} pseudo-experiments that were scanned in the same way: p = {relation}"
            f"{number(scan['p'], 2)}, {scan['z']:.1f} sigma."
        )
    )
    section.blocks += [page.picture(entry) for entry in page.figures.scan[:1]]
    rows = []
    for s in scan["steps"]:
        p = ["" if s[k] is None else number(s[k], 2) for k in ("local_p", "global_p")]
        window = span(s["window"]) if s["window"] else ""
        kept = [number(s["cross_section_pb"]), f"{s['threshold']:.4g}", f"{s['events']:,}"]
        rows.append([*kept, f"{s['scanned']} of {s['spectra']}", s["best"] or "none", window, *p])
    head = ["keeps [pb]", f"threshold of {scan['quantity']}", "events", "spectra searched", "largest excess",
            "window [GeV]", "local p", "p over its spectra"]  # fmt: skip
    section.blocks.append(Table("Thresholds", head, rows))
    section.blocks += [Fold("Every spectrum at every threshold", [page.picture(e)]) for e in page.figures.scan[1:]]
