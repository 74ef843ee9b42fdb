"""Pictures of `ad40 robustness`: rate changes by effect and pileup, and turn-on curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.plots import COLOURS, _save, plt
from training.robustness.fires import COUNTS

_CUTS = ["#555555", "#A0522D", "#1B9E77", "#B8860B"]


def draw(document: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """Every picture into a folder."""
    found = [_changes(document, folder / "rate_change.png")]
    if document["pileup"]:
        found.append(_pileup(document, folder / "pileup.png"))
    return [*found, *(_turn_on(document, name, folder / f"turn_on_{name}.png") for name in document["fires"])]


def _styles(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    models = [m["name"] for m in document["models"]]
    styles = {name: {"color": COLOURS[i % len(COLOURS)], "marker": "o", "ms": 6} for i, name in enumerate(models)}
    return styles | {
        n: {"color": _CUTS[i % 4], "marker": "s", "ms": 3.5, "alpha": 0.8} for i, n in enumerate(document["beside"])
    }


def _changes(document: dict[str, Any], path: Path) -> dict[str, str]:
    styles, names, fprs = _styles(document), list(document["effects"]), list(document["fprs"])
    figure, axes = plt.subplots(1, len(fprs), figsize=(3.2 + 4.2 * len(fprs), 0.5 * len(names) + 1.4), sharey=True,
                                squeeze=False)  # fmt: skip
    for axis, fpr in zip(axes.flat, fprs, strict=True):
        for i, (score, style) in enumerate(styles.items()):
            shift = 0.6 * (i - (len(styles) - 1) / 2) / max(len(styles), 1)
            for row, name in enumerate(names):
                ratio = document["effects"][name][fpr][score]["ratio"]
                if ratio is not None:
                    low, value, high = (100 * (v - 1) for v in ratio)
                    axis.errorbar(value, row + shift, xerr=[[value - low], [high - value]], capsize=2, ls="none",
                                  label=score if row == 0 else None, **style)  # fmt: skip
        for row in range(len(names)):
            axis.axhspan(row - 0.5, row + 0.5, color="0.96" if row % 2 else "1.0", zorder=-2)
        axis.axvline(0, color="0.5", lw=0.8)
        axis.set(xscale="symlog", xlabel="change of the rate [%]", ylim=(len(names) - 0.5, -0.5), title=f"FPR {fpr}")
        axis.set_xscale("symlog", linthresh=10)
        axis.grid(axis="x", alpha=0.3)
    axes[0, 0].set_yticks(range(len(names)), names)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 0.95), frameon=False, fontsize=9)
    figure.tight_layout()
    caption = (
        "Change of the rate of lepton-filtered background under each effect, the same events before and after; linear "
        "between -10 and 10 %, logarithmic beyond. Squares: simple cuts at the same FPR."
    )
    return _save(figure, path, "Rate change by effect", caption)


def _pileup(document: dict[str, Any], path: Path) -> dict[str, str]:
    styles, fprs = _styles(document), list(document["fprs"])
    figure, axes = plt.subplots(1, len(fprs), figsize=(5 * len(fprs), 3.8), squeeze=False)
    for axis, fpr in zip(axes.flat, fprs, strict=True):
        for score, style in styles.items():
            rows = [(r["pileup"], *r["scores"][fpr][score]["ratio"]) for r in document["pileup"]
                    if r["scores"][fpr][score]["ratio"] is not None and r["scores"][fpr][score]["fired"]]  # fmt: skip
            if rows:
                x, low, value, high = zip(*rows, strict=True)
                bars = [[v - lo for v, lo in zip(value, low, strict=True)],
                        [hi - v for v, hi in zip(value, high, strict=True)]]  # fmt: skip
                axis.errorbar(x, value, bars, label=score, capsize=2, lw=1.2, **style)
        axis.axhline(1, color="0.5", lw=0.8)
        axis.set(xlabel="mean pileup", ylabel="rate over that of the sample", title=f"FPR {fpr}", yscale="log")
        for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            which(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else ""))
        axis.grid(alpha=0.25)
    axes[0, -1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return _save(figure, path, "Pileup", "Rate at the thresholds of the sample against the mean pileup.")


def _turn_on(document: dict[str, Any], name: str, path: Path) -> dict[str, str]:
    found = document["fires"][name]
    quantities = list(found["spearman"])
    figure, axes = plt.subplots(2, -(-len(quantities) // 2), figsize=(12, 6.4), squeeze=False)
    for axis, quantity in zip(axes.flat, quantities, strict=False):
        counted = quantity in COUNTS
        for i, (fpr, by_quantity) in enumerate(found["turn_on"].items()):
            rows = by_quantity[quantity]
            tops = [r["high"] if r["high"] is not None else r["low"] * 1.15 + counted for r in rows]
            x = [r["low"] if counted else (r["low"] + top) / 2 for r, top in zip(rows, tops, strict=True)]
            low, value, high = zip(*(r["efficiency"] for r in rows), strict=True)
            bars = [[v - lo for v, lo in zip(value, low, strict=True)],
                    [hi - v for v, hi in zip(value, high, strict=True)]]  # fmt: skip
            shown = [v if v > 0 else float("nan") for v in value]
            axis.errorbar(x, shown, bars, color=COLOURS[i], marker="o", ms=4, lw=1, capsize=2, label=f"FPR {fpr}")
        axis.set(yscale="log", ylim=(1e-4, 1.5), xlabel=quantity + ("" if counted else " [GeV]"),
                 ylabel="share that fires")  # fmt: skip
        axis.set_title(f"{quantity}: rank correlation {found['spearman'][quantity]:+.2f}", fontsize=10)
        axis.grid(alpha=0.25)
        if counted:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    caption = (
        f"Share of the background that {name} takes, against simple quantities; bars: 68 % intervals by families; the "
        "last bin is open. A cut on the quantity alone would be a step."
    )
    return _save(figure, path, f"What fires {name}", caption)
