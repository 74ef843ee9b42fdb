"""Plots of training and evaluation: PNG files, each with a caption for the report.

Every function writes one file whole or not at all and returns {"file", "title", "caption"}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from ad40 import metrics
from ad40.files import atomic_path

matplotlib.use("Agg")
from matplotlib import pyplot as plt

LABELS = {
    "Ato4l": "A(50) → 4l",
    "leptoquark": "LQ(80) → bτ",
    "hToTauTau": "h$^0$(60) → ττ",
    "hChToTauNu": "h$^±$(60) → τν",
}
# Okabe-Ito colours: distinguishable for every kind of colour vision
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def _save(figure: Any, path: Path, title: str, caption: str) -> dict[str, str]:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return {"file": str(path), "title": title, "caption": caption}


def training_curve(history: list[dict[str, float]], path: Path) -> dict[str, str]:
    """Loss of training and validation, and learning rate and non-zero weights below, against the epoch."""
    epochs = [row["epoch"] for row in history]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 5.5), sharex=True, height_ratios=[2, 1])
    top.plot(epochs, [row["loss"] for row in history], color=COLOURS[0], label="training")
    top.plot(epochs, [row["validation_loss"] for row in history], color=COLOURS[1], label="validation")
    top.set_ylabel("loss per event")
    top.set_yscale("log")
    top.legend(frameon=False)
    bottom.plot(epochs, [100 * row["nonzero_weights"] for row in history], color=COLOURS[2])
    bottom.set_ylabel("weights ≠ 0 [%]", color=COLOURS[2])
    bottom.set_ylim(0, 100)
    bottom.set_xlabel("epoch")
    rate = bottom.twinx()
    rate.step(epochs, [row["learning_rate"] for row in history], color=COLOURS[3], where="mid")
    rate.set_yscale("log")
    rate.set_ylabel("learning rate", color=COLOURS[3])
    caption = "Loss over scored features of present objects, pruning and learning rate against the epoch."
    return _save(figure, path, "Training", caption)


def roc(scores: dict[str, dict[str, NDArray[Any]]], background: dict[str, NDArray[Any]], path: Path) -> dict[str, str]:
    """One panel per signal. scores[quantity][signal] and background[quantity]; the first quantity is the model."""
    quantities = list(scores)
    signals = list(scores[quantities[0]])
    columns = min(2, len(signals))
    rows = (len(signals) + columns - 1) // columns
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, 4 * rows), squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(signals) :]:
        axis.set_visible(False)
    for axis, signal in zip(axes.flat, signals, strict=False):
        for i, quantity in enumerate(quantities):
            fpr, tpr = metrics.roc(background[quantity], scores[quantity][signal])
            style = {"lw": 2.2, "color": COLOURS[0]} if i == 0 else {"lw": 1.1, "ls": "--", "color": COLOURS[i]}
            axis.plot(fpr, np.maximum(tpr, 1e-7), label=quantity, **style)
        axis.plot([1e-6, 1], [1e-6, 1], color="0.7", lw=0.8, ls=":")
        axis.set(xscale="log", yscale="log", xlim=(1e-5, 1), ylim=(1e-5, 1.5))
        axis.set_title(LABELS.get(signal, signal), fontsize=11)
        axis.grid(alpha=0.25)
    for axis in axes[-1]:
        axis.set_xlabel("false positive rate (background)")
    for axis in axes[:, 0]:
        axis.set_ylabel("true positive rate (signal)")
    axes.flat[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    caption = (
        "Signal against background efficiency on the test split, model (solid) and simple quantities computed from "
        "the same hardware integers (dashed). Dotted: no separation."
    )
    return _save(figure, path, "ROC", caption)


def score_distribution(
    by_process: dict[str, NDArray[Any]],
    signals: dict[str, NDArray[Any]],
    seeds: dict[str, int],
    path: Path,
) -> dict[str, str]:
    """Normalised hw_score: background stacked by process, signals as lines, thresholds as vertical lines."""
    everything = np.concatenate([*by_process.values(), *signals.values()])
    top = max(float(np.quantile(everything, 0.9999)), 1.1 * max(seeds.values(), default=1))
    bins = np.linspace(0, top, 70)
    total = sum(len(v) for v in by_process.values())
    figure, axis = plt.subplots(figsize=(8, 5))
    names = sorted(by_process, key=lambda name: len(by_process[name]))
    greys = [str(g) for g in np.linspace(0.45, 0.88, len(names))]
    axis.hist(
        [np.minimum(by_process[n], top) for n in names],
        bins,
        weights=[np.full(len(by_process[n]), 1 / total) for n in names],
        stacked=True,
        color=greys,
        label=names,
    )
    for i, (name, score) in enumerate(signals.items()):
        weights = np.full(len(score), 1 / len(score))
        clipped = np.minimum(score, top)
        axis.hist(
            clipped, bins, weights=weights, histtype="step", lw=1.8, color=COLOURS[i], label=LABELS.get(name, name)
        )
    for name, threshold in seeds.items():
        axis.axvline(threshold, color="k", lw=0.8, ls="--")
        axis.text(threshold, 0.98, f" {name}", rotation=90, fontsize=7, va="top", transform=axis.get_xaxis_transform())
    axis.set(yscale="log", xlabel="hw_score", ylabel="share of events per bin", xlim=(0, top), ylim=(1e-6, 1))
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = "Integer score on the test split: background mix (stacked), signals (lines) and the menu's thresholds."
    return _save(figure, path, "Score", caption)


def rate_curve(
    thresholds: NDArray[Any], rates: dict[str, NDArray[Any]], seeds: dict[str, int], luminosity: float, path: Path
) -> dict[str, str]:
    """Trigger rate [kHz] against the threshold, per process and in all, with the menu's seeds marked."""
    figure, axis = plt.subplots(figsize=(7.5, 4.8))
    total = np.sum(list(rates.values()), axis=0)
    for i, (name, rate) in enumerate(rates.items()):
        axis.plot(thresholds, np.where(rate > 0, rate, np.nan), color=COLOURS[i], lw=1.2, label=name)
    axis.plot(thresholds, np.where(total > 0, total, np.nan), color="k", lw=2, label="all")
    for name, threshold in seeds.items():
        axis.axvline(threshold, color="0.5", lw=0.8, ls="--")
        axis.text(threshold, 0.02, f" {name}", rotation=90, fontsize=7, transform=axis.get_xaxis_transform())
    axis.set(yscale="log", xlabel="threshold on hw_score", ylabel="rate [kHz]", xlim=(0, thresholds[-1]))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=9, loc="upper right")
    caption = (
        f"Rate of lepton-filtered events over the threshold at {luminosity:.1e} cm⁻²s⁻¹: cross-section x filter "
        "efficiency x luminosity x efficiency, summed over the processes of the sample."
    )
    return _save(figure, path, "Rate", caption)
