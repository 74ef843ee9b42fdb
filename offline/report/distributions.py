"""Distributions of the hardware objects in event files: what the trigger is shown."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.events import open_events

MAX_EVENTS = 50_000
"""Events read of each file: enough for a picture."""

# Okabe-Ito colours: distinguishable for every kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def quantities(codes: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
    """Quantities of events (n, 19, 3), each (n,): leading pt per type [GeV], missing ET [GeV], multiplicities.

    A leading pt is NaN where there is no such object.
    """
    pt, here, kinds = objects.decode(codes)[..., 0].astype(np.float64), objects.present(codes), spec.objects()
    counts = {name: here[:, kinds[name].slots].sum(axis=1) for name in ("egamma", "muon", "jet")}
    leading = {name: np.where(n > 0, pt[:, kinds[name].slots].max(axis=1), np.nan) for name, n in counts.items()}
    return {
        "leading e/gamma pt [GeV]": leading["egamma"],
        "leading muon pt [GeV]": leading["muon"],
        "leading jet pt [GeV]": leading["jet"],
        "missing ET [GeV]": pt[:, kinds["met"].first_slot],
        "e/gamma and muons": (counts["egamma"] + counts["muon"]).astype(np.float64),
        "jets": counts["jet"].astype(np.float64),
    }


def read(path: Path) -> dict[str, NDArray[np.float64]]:
    """`quantities` of the first `MAX_EVENTS` events of an event file."""
    with open_events(path) as file:
        return quantities(file.codes(0, min(file.n, MAX_EVENTS)))


def draw(samples: dict[str, dict[str, NDArray[np.float64]]]) -> bytes:
    """A PNG: one panel per quantity, one line per sample, each normalised to its number of events.

    The sample named "background" is filled.
    """
    names = next(iter(samples.values())).keys()
    plt.rcParams.update({"font.size": 9})
    figure, axes = plt.subplots(2, 3, figsize=(9.0, 5.4), layout="constrained")
    colours = iter(COLOURS)
    styles = {
        name: {"color": "#d0d0d0", "histtype": "stepfilled"}
        if name == "background"
        else {"color": next(colours, "#000000"), "histtype": "step", "lw": 1.2}
        for name in samples
    }
    for axis, quantity in zip(axes.flat, names, strict=True):
        counted = "[GeV]" not in quantity
        top = 10.5 if quantity == "jets" else 8.5 if counted else 300.0 if "jet" in quantity else 160.0
        edges = np.arange(-0.5, top + 1) if counted else np.linspace(0, top, 41)
        for name, values in samples.items():
            value = values[quantity]
            shown = np.minimum(value[np.isfinite(value)], edges[-1] - 1e-6)  # beyond the axis: into the last bin
            weights = np.full(len(shown), 1.0 / max(len(value), 1))
            axis.hist(shown, edges, weights=weights, label=name, **styles[name])
        if any(np.isfinite(values[quantity]).any() for values in samples.values()):
            axis.set_yscale("log")
        axis.set_xlabel(quantity)
        axis.spines[["top", "right"]].set_visible(False)
    for row in axes:
        row[0].set_ylabel("share of events")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    plt.close(figure)
    return buffer.getvalue()
