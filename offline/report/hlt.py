"""What hlt.json says of a high-level stage, as tables: of its own page and of the report."""

from __future__ import annotations

from typing import Any

from offline.report.numbers import interval, number
from offline.report.page import Block, Section, Table, Text
from offline.report.sections import Run, add_pictures

FOLDER = "hlt"  # of a run


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section of the report."""
    section.blocks.append(Table("High-level stage", [], top(document)))
    for blocks in parts(document).values():
        section.blocks += blocks
    add_pictures(section, run, document["plots"], run.folder / FOLDER)


def top(document: dict[str, Any]) -> list[list[str]]:
    """The figures to quote."""
    whole, rate, model = document["latency"]["whole"], document["background"], document["model"]
    rows = [
        ["model", f"{model['name']} ({model['sha256'][:16]})"],
        ["rate", f"{number(document['l1_rate_khz'])} kHz in, {interval(rate['kept_khz'])} kHz kept"],
        ["time for one event", f"median {number(whole['median_us'])}, 99.9 % {number(whole['p99_9_us'])}, largest "
         f"{number(whole['max_us'])} us of {document['latency']['events']:,}"],
    ]  # fmt: skip
    rows += [[f"efficiency for {name}", f"{interval(one['efficiency'], 100)} % of what the trigger accepts"]
             for name, one in document["signals"].items()]  # fmt: skip
    return rows


def parts(document: dict[str, Any]) -> dict[str, list[Block]]:
    """Tables by title."""
    return {"Rate": _rate(document), "Signals": _signals(document), "Speed": _speed(document)}


def _rate(document: dict[str, Any]) -> list[Block]:
    used, found = document["calibration"], document["background"]
    low, value, high = used["threshold"]
    between = " to ".join("unknown" if bound is None else number(bound, 5) for bound in (low, high))
    one_of = document["pass_through"]
    rows = [
        ["events", f"{used['events']:,} of part '{used['part']}'", f"{found['events']:,} of part '{found['part']}'"],
        ["families of correlated events", f"{used['families']:,}", f"{found['families']:,}"],
        ["accepted by the score", f"{used['passed']:,}", f"{found['accepted']:,}"],
        ["share accepted", f"{interval(used['share'], 100)} %", f"{interval(found['share'], 100)} %"],
        ["rate kept [kHz]", interval(used["expected_rate_khz"]), interval(found["kept_khz"])],
    ]
    drawn = f"one of {one_of:,} events ({found['drawn']:,} here) is kept besides" if one_of else "nothing besides"
    return [
        Table(f"Background that the trigger accepted, as {number(document['l1_rate_khz'])} kHz of it. Intervals are"
              " 68 % and count families.", ("", "threshold set with", "measured on"), rows),
        Text(f"Threshold {number(value, 5)} (68 %: {between}), set for {number(used['rate_khz'])} of"
             f" {number(used['l1_rate_khz'])} kHz; {drawn}, whatever its score."),
    ]  # fmt: skip


def _signals(document: dict[str, Any]) -> list[Block]:
    if not document["signals"]:
        return [Text("No signal was given.")]
    rows = []
    for name, one in document["signals"].items():
        alone = f"{interval(one['l1_only'], 100)} %" if one["l1_only"] else "no rate to compare at"
        rows.append([name, f"{one['events']:,} of {one['events_seen']:,}", f"{interval(one['l1'], 100)} %",
                     f"{interval(one['efficiency'], 100)} %", alone, f"{interval(one['of_all'], 100)} %",
                     interval(one["auc"])])  # fmt: skip
    head = ("signal", "accepted by the trigger", "efficiency of the trigger", "of the stage behind it",
            "of the trigger's score alone", "of both", "AUC behind the trigger")  # fmt: skip
    caption = ("Signal efficiency by score, pass-through not counted, 68 % intervals. The trigger's score alone: a"
               " tighter threshold on it that accepts as much of the background.")  # fmt: skip
    return [Table(caption, head, rows)]


def _speed(document: dict[str, Any]) -> list[Block]:
    timing = document["latency"]
    rows = [[name, *(number(timing[key][figure]) for figure in ("median_us", "mean_us", "p99_9_us", "max_us"))]
            for name, key in (("codes to decision", "whole"), ("the same, time of the processor", "processor"),
                              ("ONNX Runtime alone", "inference"))]  # fmt: skip
    batches = [[f"{row['batch']:,}", f"{row['events_per_s']:,.0f}", number(row["largest_difference"]),
                f"{row['other_decisions']:,}"] for row in document["throughput"]]  # fmt: skip
    return [
        Table("Time for one event [us], one by one on one thread, by the clock on the wall if not said otherwise",
              ("", "median", "mean", "99.9 %", "largest"), rows),
        Text(f"{timing['events']:,} events; {timing['over_1_ms']:,} took more than 1 ms, {timing['over_budget']:,} more"
             f" than the budget of {number(timing['budget_ms'])} ms."
             f" Other processes ran, too: {timing['cores']} cores, load average {timing['load_average']}."),
        Table("Throughput on one thread, codes to decisions; the stage itself scores one by one. Difference of scores"
              " from those, relative to the largest score; and decisions that differ",
              ("events at a time", "events per second", "largest difference", "other decisions"), batches),
    ]  # fmt: skip
