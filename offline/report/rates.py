"""Pictures of rates.json: scores beside the thresholds, fractions along lumi sections and against pileup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ad40.files import atomic_path
from ad40.metrics import wilson
from offline.figures.style import GREY, INK
from offline.report.numbers import interval, number
from offline.report.page import Section, Table, Text
from offline.report.sections import Run, add_pictures

POINTS = 60  # at most along lumi sections: neighbours are joined
Entry = dict[str, str]


def draw(document: dict[str, Any], folder: Path) -> list[Entry]:
    """Draw a document of `ad40 rates` to PNG files. Returns file, title and caption of each."""
    samples = [one for one in document["samples"] if one["events"]]
    entries = [_scores(samples, model["name"], folder) for model in document["models"]] if samples else []
    for one in samples:
        name = "".join(c if c.isalnum() else "_" for c in one["sample"])
        if len(one.get("by_lumi", {}).get("lumi", ())) > 1:
            entries.append(_by_lumi(one, folder / f"lumi_{name}.png"))
        if len(one.get("by_pileup", {}).get("n_pv", ())) > 1:
            entries.append(_by_pileup(one, folder / f"pileup_{name}.png"))
    return entries


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section of the report from a rates.json."""
    for one in document["samples"]:
        standard = one.get("standard_menu")
        rate = one["rate"]
        how = rate["formula"] or f"no rates, {rate['why']}"
        if "bunches" in rate:
            how += f" ({rate['bunches']:,} bunches)"
        section.blocks.append(Text(f"{one['sample']}: {one['what']}, {one['events']:,} events. Rates: {how}."))
        head = ["seed", "threshold (integer)", "fired", "fraction", "rate [kHz]"]
        head += ["also in the standard menu", "pure rate [kHz]"] if standard else []
        rows = []
        for row in one["seeds"]:
            cells = [row["name"], str(row.get("threshold", "")), f"{row['fired']:,}", interval(row["fraction"])]
            cells.append(interval(row["rate_khz"]) if row["rate_khz"] else "")
            if standard:
                cells.append(f"{number(100 * row['overlap_fraction'][1])} %" if row["fired"] else "")
                cells.append(interval(row["pure_rate_khz"]) if row["pure_rate_khz"] else "")
            rows.append(cells)
        section.blocks.append(Table(f"Seeds on {one['sample']}, before prescale", head, rows))
    add_pictures(section, run, document.get("plots", []), run.folder / "plots")


def _figure() -> tuple[Figure, Axes]:
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": INK, "axes.labelcolor": INK})
    figure, axis = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _save(figure: Figure, path: Path, title: str, caption: str) -> Entry:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
    return {"file": str(path), "title": title, "caption": caption}


def _scores(samples: Sequence[dict[str, Any]], model: str, folder: Path) -> Entry:
    """Share of the events at or above each score, one line a sample; dashed: without those of the standard menu."""
    figure, axis = _figure()
    smallest = 1.0
    for index, one in enumerate(samples):
        scores = next(entry for entry in one["scores"] if entry["model"] == model)
        low, events = np.array(scores["low"]), np.array(scores["events"])
        total = events.sum()
        smallest = min(smallest, 1 / total)
        colour = f"C{index % 10}"
        axis.step(low, _above(events) / total, where="pre", color=colour, label=f"{one['sample']}, {one['what']}")
        if "standard_menu" in scores:
            pure = _above(events - np.array(scores["standard_menu"])) / total
            axis.step(low, np.where(pure > 0, pure, np.nan), where="pre", color=colour, ls="--", lw=1)
    for seed in samples[0]["seeds"]:
        if seed.get("model") == model:
            axis.axvline(seed["threshold"], color=GREY, lw=0.8)
            axis.text(seed["threshold"], 1.0, seed["name"], rotation=90, va="top", ha="right", fontsize=7, color=GREY)
    axis.set_yscale("log")
    axis.set_ylim(smallest / 2, 1.3)
    axis.set_xlabel(f"hw_score of {model}")
    axis.set_ylabel("share of the events at or above")
    axis.legend(frameon=False, fontsize=8)
    caption = "Share of the events with at least this score; dashed: without those that the standard menu accepts."
    return _save(figure, folder / f"scores_{model}.png", f"Scores of {model}", caption)


def _above(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sums from each bin to the last."""
    total: NDArray[np.int64] = np.cumsum(counts[::-1])[::-1]
    return total


def _points(axis: Axes, x: NDArray[np.floating], fired: NDArray[np.integer], events: NDArray[np.integer], label: str,
            scale: float) -> None:  # fmt: skip
    """Shares with their intervals, times `scale`; nothing where there is no event."""
    here = events > 0
    low, value, high = (
        scale * np.array([wilson(int(k), int(n)) for k, n in zip(fired[here], events[here], strict=True)]).T
    )
    shown = value > 0
    axis.errorbar(x[here][shown], value[shown], np.stack([value - low, high - value])[:, shown], fmt="o", ms=3, lw=0.9,
                  label=label)  # fmt: skip


def _along(one: dict[str, Any], axis_name: str, x: NDArray[np.floating], groups: NDArray[np.integer], xlabel: str,
           path: Path, title: str, caption: str) -> Entry:  # fmt: skip
    """Rate, or share where there is no rate, of each seed and the standard menu in groups of neighbours."""
    figure, axis = _figure()
    data, khz = one[axis_name], one["rate"].get("events_khz")
    n = groups.max() + 1

    def joined(counts: Sequence[int]) -> NDArray[np.int64]:
        total = np.zeros(n, np.int64)
        np.add.at(total, groups, np.array(counts, np.int64))
        return total

    events = joined(data["events"])
    centre = np.zeros(n)
    np.add.at(centre, groups, x)
    centre /= np.bincount(groups)
    lines = {name: data["fired"][name] for name in [*data["fired"]][:-1]}
    if "standard_menu" in data:
        lines = {"standard menu": data["standard_menu"]} | lines
    for name, counts in lines.items():
        _points(axis, centre, joined(counts), events, name, khz or 1.0)
    axis.set_yscale("log")
    axis.set_xlabel(xlabel)
    axis.set_ylabel("rate before prescale [kHz]" if khz else "share of the events")
    axis.legend(frameon=False, fontsize=8)
    return _save(figure, path, title, caption)


def _by_lumi(one: dict[str, Any], path: Path) -> Entry:
    n = len(one["by_lumi"]["lumi"])
    join = -(-n // POINTS)
    runs = one["by_lumi"]["run"]
    several = f"lumi section, in order, of runs {min(runs)} to {max(runs)}"
    x = np.array(one["by_lumi"]["lumi"], float) if min(runs) == max(runs) else np.arange(n, dtype=float)
    label = f"lumi section of run {runs[0]}" if min(runs) == max(runs) else several
    caption = f"{one['sample']}: seeds along the run" + (f", {join} lumi sections joined." if join > 1 else ".")
    return _along(one, "by_lumi", x, np.arange(n) // join, label, path, f"Lumi sections, {one['sample']}", caption)


def _by_pileup(one: dict[str, Any], path: Path) -> Entry:
    n = np.array(one["by_pileup"]["n_pv"])
    width = max(1, -(-int(n.max() - n.min() + 1) // POINTS))
    _, groups = np.unique((n - n.min()) // width, return_inverse=True)
    caption = f"{one['sample']}: seeds against the number of primary vertices."
    return _along(one, "by_pileup", n.astype(float), groups, "primary vertices (nPV_True)", path,
                  f"Pileup, {one['sample']}", caption)  # fmt: skip
