"""Pictures of `ad40 compare`: ROC curves of every score, and TPR against LUTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from training.compare.limits import INTEGERS, PHYSICS
from training.compare.verdicts import lut
from training.plots import COLOURS, LABELS, _save, plt

_GRID = np.logspace(-6, 0, 181)  # FPRs of the curves
_KIND_STYLE = {"model": {"lw": 2.2}, "baseline": {"lw": 1.1, "ls": "--"}, "cut": {"lw": 1.1, "ls": ":"}}
_BASELINES = ["#56B4E9", "#CC79A7", "#E69F00", "#999999", "#7F3C8D", "#66A61E"]
_CUTS = ["#555555", "#A0522D", "#1B9E77", "#B8860B"]


def curve(background: NDArray[Any], signal: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(FPR, TPR) at the thresholds nearest below each FPR of a grid, of scores (n,) and (m,)."""
    ordered, n = np.sort(background), len(background)
    first_rejected = ordered[n - 1 - np.minimum((_GRID * n).astype(int), n - 1)]
    fpr = 1 - np.searchsorted(ordered, first_rejected, side="right") / n
    tpr = 1 - np.searchsorted(np.sort(signal), first_rejected, side="right") / len(signal)
    return fpr, tpr


def styles(entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Colour and line of every entry; the same in all pictures."""
    palettes = {"model": iter(COLOURS * 9), "baseline": iter(_BASELINES * 9), "cut": iter(_CUTS * 9)}
    return {name: {**_KIND_STYLE[e["kind"]], "color": next(palettes[e["kind"]])} for name, e in entries.items()}


def draw(document: dict[str, Any], scores: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """Both pictures into a folder. scores: name -> `Scores`, and "limit, INPUTS" -> signal -> `Limit`."""
    return [_roc(document, scores, folder / "roc.png"), _tpr_against_lut(document, folder / "tpr_lut.png")]


def _panels(signals: list[str], size: tuple[float, float]) -> tuple[Any, Any]:
    columns = min(2, len(signals))
    rows = -(-len(signals) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
    for axis in axes.flat[len(signals) :]:
        axis.set_visible(False)
    for axis, signal in zip(axes.flat, signals, strict=False):
        axis.set_title(LABELS.get(signal, signal), fontsize=11)
        axis.grid(alpha=0.25, which="major")
    return figure, axes


def _roc(document: dict[str, Any], scores: dict[str, Any], path: Path) -> dict[str, str]:
    signals, style = list(document["signal_events"]), styles(document["entries"])
    figure, axes = _panels(signals, (5.2, 4.2))
    few = 0.5 / document["background_events"]
    for axis, signal in zip(axes.flat, signals, strict=False):
        for inputs, line in ((INTEGERS, "-"), (PHYSICS, "-.")):
            found = scores[f"limit, {inputs}"][signal]
            axis.plot(*_drawn(found.background, found.signal), color="k", lw=1.3, ls=line, label=f"limit: {inputs}")
        for name in document["entries"]:
            axis.plot(*_drawn(scores[name].background, scores[name].signals[signal]), label=name, **style[name])
        axis.plot([1e-6, 1], [1e-6, 1], color="0.8", lw=0.8)
        axis.set(xscale="log", yscale="log", xlim=(max(few, 1e-6), 1), ylim=(1e-5, 1.5),
                 xlabel="background efficiency (FPR)", ylabel="signal efficiency (TPR)")  # fmt: skip
    figure.tight_layout()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 0.97), frameon=False, fontsize=8.5)
    caption = ("ROC curves on the test part. Solid and coloured: models; dashed: re-made designs; dotted: simple cuts; "
               "black: boosted trees trained for that signal alone.")  # fmt: skip
    return _save(figure, path, "ROC curves", caption)


def _drawn(background: NDArray[Any], signal: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fpr, tpr = curve(background, signal)
    seen = (fpr > 0) & (tpr > 0)
    return fpr[seen], tpr[seen]


def _tpr_against_lut(document: dict[str, Any], path: Path) -> dict[str, str]:
    entries, signals = document["entries"], list(document["signal_events"])
    style, fpr = styles(entries), next(iter(document["fprs"]))
    figure, axes = _panels(signals, (5.2, 3.9))
    sources = set()
    for axis, signal in zip(axes.flat, signals, strict=False):
        for inputs, line in ((INTEGERS, "-"), (PHYSICS, "-.")):
            axis.axhline(100 * document["limits"][inputs][signal]["tpr"][fpr][1], color="k", lw=1.3, ls=line,
                         label=f"limit: {inputs}")  # fmt: skip
        for name, entry in entries.items():
            low, value, high = (100 * v for v in entry["signals"][signal]["tpr"][fpr])
            colour = style[name]["color"]
            if entry["kind"] == "cut":
                axis.axhline(value, color=colour, lw=1.1, ls=":", label=name)
                continue
            luts, source = lut(entry["cost"])
            sources.add(source)
            axis.errorbar(luts, value, [[value - low], [high - value]], color=colour, ls="none", capsize=2,
                          marker="o" if entry["kind"] == "model" else "s",
                          ms=7 if entry["kind"] == "model" else 5, label=name)  # fmt: skip
        positive = [v for e in entries.values() if (v := e["signals"][signal]["tpr"][fpr][1]) > 0]
        top = 2 * max(found[signal]["tpr"][fpr][1] for found in document["limits"].values())
        axis.set(xscale="log", yscale="log", xlabel="LUT", ylabel=f"TPR at FPR {fpr} [%]",
                 ylim=(50 * min(positive, default=1e-3), 100 * max(top, *positive)))  # fmt: skip
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if f"{value:e}"[0] in "25" else ""))
    figure.tight_layout()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 0.97), frameon=False, fontsize=8.5)
    caption = (
        f"TPR at FPR {fpr} against LUTs ({' and '.join(sorted(sources))}); bars: 68 % intervals. Circles: models; "
        "squares: re-made designs; lines: simple cuts, which cost next to nothing, and the supervised limits."
    )
    return _save(figure, path, "TPR against LUTs", caption)
