"""The figures and the page of a dedicated seed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path
from offline.figures.book import Book, Entry
from offline.objects.source import SQRT_S
from offline.report.numbers import interval
from offline.report.page import Code, Gallery, Section, Table, picture, render
from offline.seeds.drawings import Tradeoff

PAGE = "seed.html"


def write(folder: Path, summary: dict[str, Any]) -> tuple[Path, list[Entry]]:
    """Write plots/, data/ and the page into the model folder; returns the page and its figures. summary: of the step,
    with curves."""
    book = Book(folder, {})
    points = {f"this seed, {summary['model']['kind']}": _point(summary["seeds"][-1])}
    points |= {f"{one['kind']}, not taken": _point(one) for one in summary["candidates"][1:]}
    points |= {one["seed"]: _point(one) for one in summary["seeds"][:-1] if one["rate_hz"][1] > 0}
    drawing = Tradeoff(summary["curves"], points, summary["settings"]["rate_hz"], SQRT_S)
    text = ("Share of the excess of unseen data over simulation that is kept, against the rate of held-out background, "
            "at every threshold; points: seeds of the menu.")  # fmt: skip
    entry = book.add("tradeoff", drawing, "Excess kept against rate", text)
    book.finish(1, f"Dedicated seed of cluster {summary['cluster']}")
    shown = picture(folder / entry["file"], entry["caption"], f"Plot: {entry['title']}", entry["data"])
    sections = [
        Section("Rule", [Code("\n".join(summary["model"]["rule"]))]),
        Section("Rate and excess", [Gallery([shown]), *tables(summary)]),
    ]
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    text = render(f"Dedicated seed of cluster {summary['cluster']}", f"ad40 {__version__}, {now}.",
                  Table("At a glance", ("", ""), glance(summary)), sections)  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE, book.entries


def glance(summary: dict[str, Any]) -> list[list[str]]:
    """The figures to quote."""
    model, new, cost = summary["model"], summary["seeds"][-1], summary["cost"]
    rows = [
        ["kind", f"{model['kind']}, score at least {model['threshold']}; units {'-'.join(map(str, model['widths']))}"],
        ["rate", f"{interval(new['rate_hz'])} Hz, asked for at most {summary['settings']['rate_hz']:g} Hz"],
        ["of the excess over simulation", f"{interval(new['excess'], 100)} %"],
        ["of all events of the cluster", f"{interval(new['efficiency'], 100)} %"],
    ]
    for name, one in summary["labels"].items():
        rows.append([f"{name} in the cluster", f"{interval(one['efficiency'], 100)} %"])
    if cost["known"]:
        clocks = f"{cost['latency_cycles']} clocks = {cost['latency_ns']:g} ns"
        why = "" if cost["fits"] else f"; {cost['reason']}"
        rows.append(["firmware", f"{cost['lut']:,} LUT, {cost['dsp']} DSP, {clocks}{why}"])
    else:
        rows.append(["firmware", f"unknown: {cost['reason']}"])
    return rows


def tables(summary: dict[str, Any]) -> list[Table]:
    """Candidates, seeds of the menu, signals."""
    found = [
        Table("What was tried, at its threshold",
              ("kind", "rate [Hz]", "excess kept [%]", "all of the cluster kept [%]"),
              [[one["kind"], interval(one["rate_hz"]), interval(one["excess"], 100), interval(one["efficiency"], 100)]
               for one in summary["candidates"]]),
        Table("Seeds of the menu. Overlap: share of the rate of the new seed that the other accepts, too; pure: what "
              "only the new one accepts of the two.",
              ("seed", "score at least", "rate [Hz]", "excess kept [%]", "all of the cluster kept [%]", "overlap [%]",
               "pure rate [Hz]", "pure excess [%]"),
              [[one["seed"], str(one["threshold"]), interval(one["rate_hz"]), interval(one["excess"], 100),
                interval(one["efficiency"], 100),
                "" if one["overlap"] is None else f"{100 * one['overlap']:.1f}",
                "" if one["pure_rate_hz"] is None else interval(one["pure_rate_hz"]),
                "" if one["pure_excess"] is None else interval(one["pure_excess"], 100)]
               for one in summary["seeds"]]),
    ]  # fmt: skip
    if summary["signals"]:
        seeds = [one["seed"] for one in summary["seeds"]]
        rows = [[one["name"], *(interval(one["efficiency"][seed], 100) for seed in seeds)]
                for one in summary["signals"]]  # fmt: skip
        found.append(Table("Share of all events of signals that is kept [%]", ("signal", *seeds), rows))
        rows = [[one["name"], *(interval(one["pure"][seed], 100) for seed in seeds[:-1])]
                for one in summary["signals"]]  # fmt: skip
        text = "Share of all events of signals that the new seed keeps and this one does not [%]"
        found.append(Table(text, ("signal", *seeds[:-1]), rows))
    return found


def _point(row: dict[str, Any]) -> tuple[list[float], list[float]]:
    return row["rate_hz"], row["excess"]
