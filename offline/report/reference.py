"""What reference.json says of references, as tables: of their own page and of the report."""

from __future__ import annotations

from typing import Any

from offline.report.numbers import interval, number
from offline.report.page import Block, Section, Table, Text
from offline.report.sections import Run, add_pictures

FOLDER = "reference"  # of a run


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section of the report."""
    section.blocks.append(Table("References", [], top(document)))
    for blocks in parts(document).values():
        section.blocks += blocks
    add_pictures(section, run, document["plots"], run.folder / FOLDER)


def top(document: dict[str, Any]) -> list[list[str]]:
    """The figures to quote: the best reference and the best model of the trigger for each signal."""
    rate = document["rates"][1]
    rows = [["events", f"{document['background_events']:,} background events of {document['sample']}, part "
             f"'{document['part']}'"]]  # fmt: skip
    for signal in document["signal_events"]:
        for what in ("reference", "trigger"):
            found = {name: one["signals"][signal]["tpr"][rate] for name, one in document["models"].items()
                     if one["what"] == what}  # fmt: skip
            if found:
                best = max(found, key=lambda name: found[name][1])
                rows.append([f"{signal}, best {what}", f"{best}: {interval(found[best], 100)} % at FPR {rate}"])
    return rows


def parts(document: dict[str, Any]) -> dict[str, list[Block]]:
    """Tables by title."""
    return {"Signals": _signals(document), "Cost": _cost(document)}


def _signals(document: dict[str, Any]) -> list[Block]:
    blocks: list[Block] = [Text("Intervals are 68 % and count families of correlated background events. No "
                                "model learnt from a signal.")]  # fmt: skip
    head = ("score", "what", "AUC", *(f"signal [%] at FPR {rate}" for rate in document["rates"]))
    for signal, events in document["signal_events"].items():
        rows = []
        for name, one in document["models"].items():
            found = one["signals"][signal]
            rows.append([name, one["what"], interval(found["auc"]),
                         *(interval(found["tpr"][rate], 100) for rate in document["rates"])])  # fmt: skip
        blocks.append(Table(f"{signal}, {events:,} events", head, rows))
    return blocks


def _cost(document: dict[str, Any]) -> list[Block]:
    rows = []
    for name, one in document["models"].items():
        t = one["training"]
        learnt = [f"{t['events']:,}", number(t["seconds"])] if t else ["", ""]
        size = "" if one["parameters"] is None else f"{one['parameters']:,}"
        rows.append([name, one["about"], size, *learnt, f"{one['events_per_second']:,.0f}"])
    head = ("score", "what it is", "numbers", "events of training", "seconds of training", "events scored per second")
    return [Table("On the machine that trained and scored them.", head, rows)]
