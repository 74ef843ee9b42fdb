"""Pictures of the search: one per spectrum, data and fit above, pulls below, the best window shaded."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import chi2

from ad40.files import atomic_path
from offline.hunt import Floats, Scanned
from offline.statistics import fit
from offline.statistics.bumphunt import significance

INK, GREY, FIT, WINDOW = "#1a1a1a", "#9a9a9a", "#b3261e", "#f3dfb0"


def _intervals(n: Floats) -> Floats:
    """Central 68.3 % Poisson intervals (Garwood) as distances below and above n: (2, B)."""
    tail = 0.158655
    low = np.where(n > 0, chi2.ppf(tail, 2 * np.maximum(n, 1)) / 2, 0.0)
    high = chi2.isf(tail, 2 * (n + 1)) / 2
    return np.stack([n - low, high - n])


def plot_spectrum(result: Scanned, path: Path, title: str) -> None:
    """Draw one scanned spectrum to a PNG file."""
    edges, expected = result.model.edges, result.background.expected
    everything, widths = result.all_edges, np.diff(result.all_edges)
    stop = np.searchsorted(everything, edges[-1]) + 1
    low, high = result.window
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": INK, "axes.labelcolor": INK})
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(6.4, 5.0), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    for axis in (top, bottom):
        axis.axvspan(low, high, color=WINDOW, lw=0, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)

    n = result.all_counts
    centres = (everything[1:] + everything[:-1]) / 2
    in_fit = (centres > edges[0]) & (centres < edges[-1])
    for chosen, colour, label in ((~in_fit, GREY, "outside the fit range"), (in_fit, INK, "triggered events")):
        shown = chosen & (n > 0) & (np.arange(len(n)) < stop)
        top.errorbar(
            centres[shown], (n / widths)[shown], _intervals(n[shown]) / widths[shown],
            fmt="o", ms=3, lw=0.9, color=colour, label=label,
        )  # fmt: skip
    top.plot((edges[1:] + edges[:-1]) / 2, expected / np.diff(edges), color=FIT, lw=1.5, label="background fit (p5)")
    local = significance(float(result.best.local_p))
    top.plot([], [], color=WINDOW, lw=8, label=f"least likely window, {local:.1f} $\\sigma$ local")
    top.set_yscale("log")
    top.set_xscale("log")
    top.set_ylabel("entries per GeV")
    top.set_ylim(bottom=0.3 * float(np.min(expected / np.diff(edges))))
    top.set_title(title, loc="left", fontsize=10)
    top.legend(frameon=False, fontsize=9)

    pull = fit.pulls(result.counts, expected)
    bottom.bar(edges[:-1], pull, np.diff(edges), align="edge", color=INK, alpha=0.75, lw=0)
    bottom.axhline(0, color=INK, lw=0.6)
    bottom.set_ylabel("pull [$\\sigma$]")
    bottom.set_xlabel(f"{result.spectrum.label} [GeV]")
    reach = max(3.5, float(np.max(np.abs(pull))) * 1.1)
    bottom.set_ylim(-reach, reach)
    first = everything[np.flatnonzero(n)[0]]
    ticks = [t for t in (20, 50, 100, 200, 500, 1000, 2000, 5000) if first <= t <= edges[-1]]
    bottom.set_xlim(first, edges[-1])
    bottom.set_xticks(ticks, [str(t) for t in ticks])
    bottom.minorticks_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
