"""The sections of the report, each made from the summaries that one stage left in the run folder.

A stage that has not run is said to be missing, and so is a field that a summary does not have. Nothing is filled in.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import spec
from ad40.errors import Ad40Error
from ad40.events import open_events
from ad40.files import read_json, read_yaml
from ad40.fixed import Fixed
from ad40.network import read_network
from offline.report import distributions
from offline.report.numbers import interval, number, span
from offline.report.page import Picture, Section, Table, Text, picture
from offline.search.summary import verdict


@dataclass(frozen=True)
class Run:
    """A run folder, and the folder of the event sample it was made from."""

    folder: Path
    sample: Path

    def json(self, name: str) -> Any:
        """A summary of the run, or None when the stage did not write it."""
        path = self.folder / name
        return read_json(path) if path.is_file() else None


Fill = Callable[[Section, Run, Any], None]
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)  # what a summary with other fields raises


def make(title: str, file: str, verb: str, fill: Fill, run: Run) -> Section:
    """A section from one summary file; what is not there is noted in `Section.missing`."""
    section = Section(title)
    try:
        document = run.json(file)
        if document is None:
            section.missing.append(f"Not run: there is no {file} in the run folder; ad40 {verb} makes it.")
        else:
            fill(section, run, document)
    except MALFORMED as error:
        section.missing.append(f"{file} is not what this report expects: {type(error).__name__} {error}.")
    except Ad40Error as error:
        section.missing.append(str(error))
    return section


def add_pictures(section: Section, run: Run, entries: Sequence[dict[str, str]], folder: Path) -> None:
    """Embed the plots that a summary names; a plot that is not there is noted."""
    for entry in entries:
        # the name as written (relative to where the stage ran), else beside the summary
        name = Path(entry["file"])
        path = next((p for p in (folder / name, folder / name.name, name) if p.is_file()), None)
        if path is None:
            section.missing.append(f"The picture {entry['file']} is not there.")
        else:
            section.blocks.append(picture(path, entry["caption"], f"Plot: {entry['title']}. {entry['caption']}"))


def data(section: Section, run: Run, trigger: Any) -> None:
    source = trigger["source"]
    section.blocks.append(
        Text(
            f"Source of the trigger's input: {source['file']}, {source['events']:,} events, SHA-256 {source['sha256']}."
        )
    )
    attributes = source.get("attributes", {})
    processes = attributes.get("processes")
    if processes:
        rows = []
        for name, p in processes.items():
            cells = [p.get(key) for key in ("fraction", "events", "cross_section_pb", "filter_efficiency")]
            rows.append([name, *("not recorded" if c is None else number(c) for c in cells)])
        head = ["process", "share", "events", "cross-section [pb]", "filter efficiency"]
        section.blocks.append(Table("Composition, as the generator recorded it", head, rows))
    else:
        section.missing.append("The event file does not record its processes.")
    described = [[k.replace("_", " "), str(v)] for k, v in attributes.items() if isinstance(v, str | int | float)]
    described += [[f"filter {k}".replace("_", " "), str(v)] for k, v in attributes.get("filter", {}).items()]
    described += [[k, str(v)] for k, v in attributes.get("generators", {}).items()]
    if described:
        section.blocks.append(Table("Settings and programs, as the generator recorded them", [], described))
    files = sorted(run.sample.glob("*.h5")) if run.sample.is_dir() else []
    background = [path for path in files if path.stem == "background"]
    if not background:
        section.missing.append(f"No distributions: there is no background.h5 in {run.sample}.")
        return
    files = background + [path for path in files if path not in background]
    rows = []
    for path in files:
        with open_events(path) as events:
            rows.append([path.stem, f"{events.n:,}", events.kind])
    section.blocks.append(Table("Event files", ["sample", "events", "layout"], rows))
    drawn = distributions.draw({path.stem: distributions.read(path) for path in files})
    caption = (
        f"Hardware objects, decoded to GeV, of up to {distributions.MAX_EVENTS:,} events of each sample, normalised "
        "to the number of events. The last bin holds what lies beyond."
    )
    uri = "data:image/png;base64," + base64.b64encode(drawn).decode()
    section.blocks.append(Picture(uri, "Six distributions of object pt and multiplicity. " + caption, caption))


def _format(f: Fixed) -> str:
    return f"ap_{'' if f.signed else 'u'}fixed<{f.width},{f.integer + f.signed}>"


def model(section: Section, run: Run, document: Any) -> None:
    card = read_yaml(run.folder / "model" / "model.yaml")
    network = read_network(run.folder / "model" / "network.json")
    section.blocks.append(Text(f"{card['name']} {card['version']}. {card['description']}"))
    rows = [["input", "57", "", "", "", _format(network.input.format), ""]]
    for layer in network.layers:
        rows.append(
            [
                layer.name,
                " to ".join(str(n) for n in layer.weight.shape).replace(" ", "\u00a0"),
                _format(layer.weight_format),
                f"{np.count_nonzero(layer.weight) / layer.weight.size:.0%}",
                _format(layer.bias_format),
                _format(layer.output),
                layer.activation,
            ]
        )
    head = ["layer", "size", "weights", "not zero", "biases", "output", "activation"]
    caption = "Bit widths of the frozen integer network: ap_fixed<all bits, integer bits with the sign>"
    section.blocks.append(Table(caption, head, rows))
    section.blocks.append(
        Text(
            f"Score: {network.score_text}, an integer of "
            f"{network.score_width} bits in steps of 2^-{network.score_fraction}. Accumulators are exact; every "
            "layer's output rounds half to even and saturates."
        )
    )
    rows = [
        [kind, name, str(f["offset"]), str(f["shift"]), f"{f['range'][0]} to {f['range'][1]}"]
        for kind, features in card["input"]["features"].items()
        for name, f in features.items()
    ]
    head = ["object", "feature", "offset", "shift", "declared range [GeV, 1, rad]"]
    section.blocks.append(Table("Normalisation, (code - offset) >> shift", head, rows))
    section.blocks.append(
        Table("Training settings of the card", [], [[k, str(v)] for k, v in card.get("training", {}).items()])
    )


def training(section: Section, run: Run, train: Any) -> None:
    n = train["events"]
    section.blocks.append(
        Text(
            f"{n['train']:,} events to train on, {n['validation']:,} to validate; {train['epochs']} epochs, the best "
            f"was {train['best_epoch']} with a validation loss of {number(train['best_validation_loss'])}. "
            f"{train['nonzero_weights']:,} of {train['weights']:,} weights are not zero."
        )
    )
    add_pictures(section, run, train["plots"], run.folder / "model" / "plots")


def separation(section: Section, run: Run, summary: Any) -> None:
    section.blocks.append(
        Text(
            f"Computed by the integer emulator on the {summary['split']} part of the sample, "
            f"{summary['background_events']:,} background events that the training never saw; intervals are "
            f"{summary['interval']}."
        )
    )
    fprs = list(next(iter(summary["signals"].values()))["tpr"])
    for signal, own in summary["signals"].items():
        rows = []
        for name, row in {summary["model"]: own, **{q: v[signal] for q, v in summary["baselines"].items()}}.items():
            rows.append([name, interval(row["auc"]), *(interval(row["tpr"][fpr], 100, 2) for fpr in fprs)])
        head = ["quantity", "AUC", *(f"TPR at FPR {fpr} [%]" for fpr in fprs)]
        count = summary["signal_events"][signal]
        section.blocks.append(Table(f"{signal}, {count:,} events, beside simple quantities", head, rows))
    corrupted = summary.get("corruptions", {})
    if corrupted:
        rows = [
            [name, interval(r["auc"]), *(interval(r["tpr"][fpr], 100, 2) for fpr in fprs)]
            for name, r in corrupted.items()
        ]
        head = ["what was done", "AUC", *(f"TPR at FPR {fpr} [%]" for fpr in fprs)]
        section.blocks.append(
            Table("Validation events corrupted in generic ways, without a model of new physics", head, rows)
        )
    add_pictures(section, run, [p for p in summary["plots"] if p["title"] != "Rate"], run.folder / "plots")


def rates(section: Section, run: Run, summary: Any) -> None:
    section.blocks.append(
        Text(
            f"At {summary['luminosity_cm2s']:.1e} per cm2 and s the lepton-filtered sample comes at "
            f"{number(summary['lepton_filtered_rate_khz'])} kHz. Rates are cross-section x filter efficiency x "
            "luminosity x efficiency, summed over the processes of the sample. Collisions that fail the lepton filter "
            "are not in the sample and not in the rate."
        )
    )
    rows = [
        [
            seed["name"],
            f"{seed['threshold']:,}",
            " / ".join(number(prescale) for prescale in seed["prescales"]),
            interval(seed["rate_khz"], 1000),
            number(seed["mix_efficiency"]),
        ]
        for seed in summary["seeds"]
    ]
    head = ["seed", "threshold (integer)", "prescale", "rate before prescale [Hz]", "share of the sample kept"]
    section.blocks.append(Table("Seeds of the menu on the test part", head, rows))
    efficiency = summary["signal_efficiency"]
    names = [seed["name"] for seed in summary["seeds"]]
    rows = [[signal, *(f"{100 * row[name]:.3g}" for name in names)] for signal, row in efficiency.items()]
    section.blocks.append(Table("Signal efficiency [%]", ["signal", *names], rows))
    add_pictures(section, run, [p for p in summary["plots"] if p["title"] == "Rate"], run.folder / "plots")
    trigger = run.json("trigger.json")
    if trigger is None:
        section.missing.append("Not run: there is no trigger.json in the run folder; ad40 trigger makes it.")
        return
    rows = [[s["name"], f"{s['before']:,}", f"{s['after']:,}"] for s in trigger["seeds"]]
    caption = f"TriggerRecord: {trigger['events_kept']:,} of {trigger['events_seen']:,} events kept"
    section.blocks.append(Table(caption, ["seed", "fired", "passed the prescale"], rows))


def firmware(section: Section, run: Run, summary: Any) -> None:
    rows = []
    for estimate in summary["all_resources"]:
        counts = [estimate[name] for name in ("lut", "ff", "dsp", "bram")]
        shown = ["not estimated" if n is None else f"{n:,}" for n in counts]
        rows.append([estimate["tool"], *shown, str(estimate.get("note") or "")])
    section.blocks.append(Table("Resources", ["counted by", "LUT", "FF", "DSP", "BRAM", "note"], rows))
    limits = spec.latency()
    rows = [
        ["part", limits.part],
        ["clock", f"{number(limits.clock_mhz)} MHz, {limits.clocks_per_bx} per bunch crossing"],
        ["pipeline stages of the network", str(summary["stages"])],
        ["slowest network stage", f"{number(summary['stage_ns'])} of {number(limits.cycle_ns)} ns (alkaid, estimate)"],
        ["latency by construction", f"{number(summary['estimate_ns'])} ns"],
        ["budget", f"{number(limits.budget_ns)} ns from the last input word to the decision"],
    ]
    verify = run.json("verify.json")
    if verify is None:
        section.missing.append("Not run: no measured latency without verify.json; ad40 verify makes it.")
    else:
        found = verify["latency"]
        held = "within" if found["ns"] <= found["budget_ns"] * (1 + 1e-9) else "OVER"
        measured = f"{found['cycles']} clocks, {number(found['ns'])} ns: {held} the budget"
        rows.append(["latency measured in RTL simulation", measured])
        rows.append(["initiation interval", f"{verify['ii']} clock"])
    section.blocks.append(Table("Latency against the budget", [], rows))


def ladder(section: Section, run: Run, summary: Any) -> None:
    section.blocks.append(
        Text(
            "The same events through every form of the network. From the emulator on, equality is exact; the float "
            "QKeras model may differ by rounding of float32, counted here."
        )
    )
    events, rtl = summary["events"], summary["rtl_events"]
    rows = []
    for step, count in summary["mismatches"].items():
        tried = rtl if "rtl" in step else events
        shown = "not run" if count is None else f"{count:,}"
        rows.append([step.replace("-", " and "), f"{tried:,}", shown])
    section.blocks.append(Table("Ladder", ["compared", "events", "events that differ"], rows))
    first = [[name, text] for name, text in summary.get("first_mismatch", {}).items()]
    if first:
        section.blocks.append(Table("First mismatches", [], first))
    rows = [
        [s["name"], f"{s['events']:,}", f"{s['accepted_by_trigger']:,}", s["first"] or "every score and decision equal"]
        for s in summary.get("scenarios", [])
    ]
    if rows:
        head = ["RTL scenario", "events", "accepted", "result"]
        section.blocks.append(Table("Verilator under cocotb against the emulator", head, rows))


def search(section: Section, run: Run, summary: Any, folder: str) -> None:
    injected = summary["injected"]
    what = f"{injected['events']} events of {injected['record']} were injected" if injected else "Nothing was injected"
    total = summary["global"]
    section.blocks.append(Text(verdict(summary)))
    section.blocks.append(
        Text(
            f"{summary['events_searched']:,} triggered events. {what}. {summary['copies_dropped']:,} events were left "
            "out as copies of one generated collision. Local p-values count events in windows; global ones come from "
            f"{summary['pseudo_experiments']:,} pseudo-experiments over all spectra together, each of which refits "
            f"every background; {100 * total['counts_shared_between_spectra']:.1f} % of their counts are resampled "
            f"events, which keep the correlations. A bump is claimed from {summary['claim_sigma']:g} sigma global."
        )
    )
    rows, pictures, skipped = [], [], []
    for s in summary["spectra"]:
        if s["status"] == "skipped":
            skipped.append(f"{s['label']} ({s['reason']})")
            continue
        rows.append(
            [
                s["label"],
                f"{s['entries']:,}",
                span(s["fit_range"]),
                number(s["gof_p"], 2),
                span(s["window"]),
                f"{s['observed']:.0f}",
                f"{s['expected']:.1f}",
                f"{s['local_z']:.1f}",
                number(s["global_p"], 2) + ("" if s["described"] else " (not described: no claim)"),
            ]
        )
        # the spectrum with the largest excess first
        pictures.insert(0 if s["name"] == total["spectrum"] else len(pictures), s["plot"])
    head = ["spectrum", "entries", "fit range [GeV]", "fit p", "window [GeV]", "observed", "expected",
            "local sigma", "global p (this spectrum)"]  # fmt: skip
    section.blocks.append(Table("Spectra", head, rows))
    if skipped:
        section.blocks.append(Text(f"Not searched: {'; '.join(skipped)}."))
    add_pictures(section, run, pictures, run.folder / folder)


def benchmarks(section: Section, run: Run, summary: Any) -> None:
    rows = []
    for b in summary["benchmarks"]:
        beside = ", ".join(f"{peer}: {number(v)}" for peer, v in (b.get("beside") or {}).items())
        rows.append([b["name"], f"{number(b['value'])} {b['unit']}", str(b.get("target") or ""), beside])
    head = ["benchmark", "value", "target", "in the same run"]
    section.blocks.append(Table("Measured on the machine of this run", head, rows))
