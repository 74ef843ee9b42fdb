"""What `ad40 compare` found, for a terminal and as the section of a page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.compare.limits import INTEGERS, PHYSICS
from training.compare.verdicts import lut
from training.page import table, written_by

Interval = list[float]
_KINDS = {"model": "ad40", "baseline": "re-made", "cut": "cut"}


def percent(value: float) -> str:
    """Three digits at most, as a person would quote a share in percent.

    >>> percent(0.3713), percent(0.00042), percent(0.0)
    ('37.1', '0.042', '0')
    """
    return f"{100 * value:.3g}"


def _tpr(value: Interval) -> str:
    low, middle, high = (percent(v) for v in value)
    return f"{middle} ({low} to {high})"


def _ratio(value: Interval) -> str:
    low, middle, high = value
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _auc(value: Interval) -> str:
    return f"{value[1]:.3f} ± {(value[2] - value[0]) / 2:.3f}"


def _row_names(document: dict[str, Any]) -> dict[str, str]:
    """Entries in the order of the tables, with what they are called there."""
    entries = document["entries"]
    return {n: f"`{n}`" if kind != "cut" else n for kind in _KINDS for n, e in entries.items() if e["kind"] == kind}


def _by_signal(document: dict[str, Any], cell: Callable[[dict[str, Any]], str], with_limits: bool = True) -> str:
    """A table with a row for each score and a column for each signal. cell: from the figures of a signal."""
    entries, signals = document["entries"], list(document["signal_events"])
    rows = [[title, _KINDS[entries[name]["kind"]], *(cell(entries[name]["signals"][s]) for s in signals)]
            for name, title in _row_names(document).items()]  # fmt: skip
    if with_limits:
        rows += [["boosted trees, " + inputs, "limit", *(cell(found[s]) for s in signals)]
                 for inputs, found in document["limits"].items()]  # fmt: skip
    return table(["score", "kind", *signals], rows)


def verdict_table(document: dict[str, Any]) -> str:
    """The wanted figures, a column for each model."""
    models = [name for name, entry in document["entries"].items() if entry["kind"] == "model"]
    figures = dict.fromkeys((v["what"], v["wanted"]) for v in document["verdicts"])
    cells = {(v["model"], v["what"], v["wanted"]): _verdict(v) for v in document["verdicts"]}
    rows = [[what, wanted, *(cells.get((m, what, wanted), "") for m in models)] for what, wanted in figures]
    return table(["figure", "wanted", *(f"`{m}`" for m in models)], rows)


def _verdict(verdict: dict[str, Any]) -> str:
    if verdict["met"] is None:
        return f"not measured: {verdict['measured']}"
    return verdict["measured"] + ("; met" if verdict["met"] else f"; **missed by {verdict['by']}**")


def _costs(document: dict[str, Any]) -> str:
    rows = []
    for name, title in _row_names(document).items():
        entry = document["entries"][name]
        if entry["kind"] == "cut":
            continue
        cost = entry["cost"]
        values = (cost["lut"], cost.get("lut_synth"), cost["ff"], cost["stages"], cost["latency_ns"], cost["dsp"])
        shown = ["" if v is None else f"{v:,.1f}" if isinstance(v, float) else f"{v:,}" for v in values]
        shape = "-".join(str(width) for width in entry["widths"])
        weights = f"{entry['nonzero_weights']:,} of {entry['weights']:,}"
        rows.append([title, shape, entry["score"], weights, *shown, "yes" if cost["fits"] else cost["reason"]])
    titles = ["model", "layers", "score", "weights not 0", "LUT, compiler", "LUT, synthesis", "FF", "stages", "ns",
              "DSP", "fits the budget"]  # fmt: skip
    return table(titles, rows)


def _identity(document: dict[str, Any]) -> str:
    rows = []
    for name, title in _row_names(document).items():
        entry = document["entries"][name]
        if entry["kind"] == "cut":
            continue
        trained = "unknown" if entry["trained_on"] is None else f"`{entry['trained_on'][:12]}`"
        events = "" if entry["training_events"] is None else f"{entry['training_events']:,}"
        minutes = "" if entry["training_minutes"] is None else entry["training_minutes"]
        rows.append(
            [title, entry["version"], f"`{entry['network_hash'][:16]}`", entry["seed"], trained, events, minutes]
        )
    return table(["model", "version", "network", "seed", "trained on", "training events", "minutes"], rows)


def _quantisation(document: dict[str, Any]) -> list[str]:
    signals, fpr, rows = list(document["signal_events"]), list(document["fprs"])[-1], []
    for name, title in _row_names(document).items():
        entry = document["entries"][name]
        if "float" in entry:
            twin = entry["float"]
            rows.append([title, *(f"{twin['auc_loss'][s]:+.4f}" for s in signals),
                         *(_tpr(twin["signals"][s]["tpr"][fpr]) for s in signals)])  # fmt: skip
    if not rows:
        return []
    titles = [
        "model",
        *(f"AUC lost, {s}" for s in signals),
        *(f"TPR@{fpr} of the float [%], {s}" for s in signals),
    ]
    return ["### Float to integers", "", "Each model beside its twin in float32, trained from the same card.", "",
            table(titles, rows), ""]  # fmt: skip


def section(document: dict[str, Any], page: Path) -> str:
    """The section of `docs/physics.md`."""
    signals = ", ".join(f"{n:,} {s}" for s, n in document["signal_events"].items())
    best = next(iter(document["entries"].values()))["ratio"]
    tightest = min(document["fprs"], key=lambda fpr: document["fprs"][fpr])
    remaining = document["fprs"][tightest] * document["background_events"]
    lines = [
        written_by(document["command"]),
        "",
        f"Sample `{document['sample']}` (fingerprint `{document['sample_fingerprint'][:16]}`): "
        f"{document['background_events']:,} background events of the {document['split']} part in "
        f"{document['families']:,} families, of {document['background_events_all']:,} in all; signals: {signals}. "
        f"At FPR {tightest} {remaining:.1f} background events remain. Seed {document['seed']}, "
        f"settings `{document['settings_hash'][:16]}` (`training/compare/compare.yaml`), object scales "
        f"`{document['spec_hash'][:16]}`.",
        "",
        "### Wanted and measured",
        "",
        "Geometric means take (k + 1/2)/(m + 1) for k of m signal events, so that an empty numerator does not make "
        "them zero; intervals of ratios come from a bootstrap that draws families and gives all scores the same events."
        + (" Best re-made network by geometric mean: "
           + ", ".join(f"`{r['against']}` at {fpr}" for fpr, r in best.items()) + "." if best else ""),
        "",
        verdict_table(document),
        "",
    ]  # fmt: skip
    for fpr in document["fprs"]:
        lines += [
            f"### TPR at FPR {fpr}, percent",
            "",
            _by_signal(document, lambda f, fpr=fpr: _tpr(f["tpr"][fpr])),
            "",
        ]
    lines += ["### AUC", "", _by_signal(document, lambda f: _auc(f["auc"])), ""]
    for inputs in (INTEGERS, PHYSICS):
        rows = [[title, _KINDS[e["kind"]], *(_ratio(v) for v in e["limit_fraction"][inputs].values())]
                for name, title in _row_names(document).items() for e in [document["entries"][name]]]  # fmt: skip
        lines += [f"### Fraction of the limit at FPR {document['limit_fpr']}: trees on {inputs}", "",
                  table(["score", "kind", *document["signal_events"]], rows), ""]  # fmt: skip
    lines += ["### Cost", "",
              "Network and score with their input stage; ns from the last input word to the decision. Every design "
              "takes one event each bunch crossing (II = 1), which `ad40 simulate` shows.", "", _costs(document), "",
              *_quantisation(document), "### Which models these are", "", _identity(document), ""]  # fmt: skip
    return "\n".join(lines + pictures(document, page))


def pictures(document: dict[str, Any], page: Path) -> list[str]:
    """Every plot of a document with its caption, linked from a page."""
    lines = []
    for plot in document["plots"]:
        link = Path(os.path.relpath(plot["file"], page.parent)).as_posix()
        lines += [f"![{plot['title']}]({link})", "", plot["caption"], ""]
    return lines


def text(document: dict[str, Any]) -> str:
    """The figures as lines for a terminal: every score, then the verdicts."""
    signals, fprs = list(document["signal_events"]), list(document["fprs"])
    head = f"{'score':<20}{'LUT':>8}{'ns':>7}" + "".join(f"{s + ' TPR % / AUC':>30}" for s in signals)
    lines = [f"TPR at {', '.join(fprs)}; {document['background_events']:,} background events", head]
    for name, entry in document["entries"].items():
        cells = "".join(
            f"{' '.join(percent(f['tpr'][fpr][1]) for fpr in fprs)} / {f['auc'][1]:.3f}".rjust(30)
            for f in entry["signals"].values()
        )
        cost = entry.get("cost")
        luts = "" if cost is None else f"{lut(cost)[0]:,}"
        ns = "" if cost is None or cost["latency_ns"] is None else f"{cost['latency_ns']:.1f}"
        lines.append(f"{name:<20}{luts:>8}{ns:>7}{cells}")
    for inputs, found in document["limits"].items():
        cells = "".join(
            f"{' '.join(percent(found[s]['tpr'][fpr][1]) for fpr in fprs)} / {found[s]['auc'][1]:.3f}".rjust(30)
            for s in signals
        )
        lines.append(f"{'limit, ' + ('physics' if inputs == PHYSICS else 'integers'):<35}{cells}")
    for verdict in document["verdicts"]:
        state = "  ?" if verdict["met"] is None else " ok" if verdict["met"] else "MISSED"
        by = f", missed by {verdict['by']}" if verdict["met"] is False else ""
        lines.append(f"{state:>6} {verdict['model']}: {verdict['what']}: {verdict['measured']} "
                     f"(wanted: {verdict['wanted']}){by}")  # fmt: skip
    return "\n".join(lines)
