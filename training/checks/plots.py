"""Plots of the generated objects for `training.checks.published`: what an event holds, its objects, masses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from training.checks import published as checks
from training.checks.published import KINDS, Sample
from training.generator.tables import processes
from training.plots import COLOURS, LABELS, _save, plt

TITLES = {"egamma": "electrons", "muon": "muons", "jet": "jets"}
Values = Callable[[Sample], NDArray[Any]]


def _histogram(axis: Any, samples: dict[str, Sample], values: Values, bins: NDArray[Any], per_event: bool) -> None:
    """Background stacked by process in the mix of the sample, signals as lines, each of area one (or, per event, of
    the number of objects in an event). What lies above the last bin is counted in it."""
    mix = [name for name in processes()["mix"] if name in samples]
    signals = [name for name in samples if name not in mix]
    total = sum(len(samples[name].codes) for name in mix)
    found = {
        name: np.clip(values(sample), bins[0], np.nextafter(bins[-1], bins[0])) for name, sample in samples.items()
    }
    names = sorted(mix, key=lambda name: len(samples[name].codes))
    background = sum(len(found[name]) for name in mix)
    greys = [str(g) for g in np.linspace(0.45, 0.88, len(names))]
    counts = [np.histogram(found[n], bins)[0] / (total if per_event else max(background, 1)) for n in names]
    axis.stackplot(bins, *[np.r_[c, c[-1]] for c in counts], step="post", colors=greys, labels=names)
    for i, name in enumerate(signals):
        events = len(samples[name].codes) if per_event else max(len(found[name]), 1)
        count = np.histogram(found[name], bins)[0] / events
        axis.stairs(count, bins, color=COLOURS[i], lw=1.4, label=LABELS.get(name, name))
    axis.set_xlim(bins[0], bins[-1])


def _angle_bins(kind: str, abs_eta_max: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bins of eta and phi with edges between codes, of equally many codes each: others would show stripes."""
    scale = spec.objects()[kind]
    assert scale.eta is not None  # only MET has none
    each = max(round(abs_eta_max / 22 / scale.eta.lsb), 1)
    half = int(abs_eta_max / scale.eta.lsb / each) + 2
    eta = (np.arange(-half, half + 1) * each - (each // 2) - 0.5) * scale.eta.lsb
    step = 2 * np.pi / scale.phi.steps
    phi = (np.arange(0, scale.phi.steps + 1, scale.phi.steps // 36) - scale.phi.steps // 2 - 0.5) * step
    return eta, phi


def events(samples: dict[str, Sample], path: Path) -> dict[str, str]:
    """Multiplicities, sums and the leading lepton of the events."""
    panels: list[tuple[str, str, NDArray[Any]]] = [
        ("egammas", "electrons", np.arange(6) - 0.5),
        ("muons", "muons", np.arange(6) - 0.5),
        ("jets", "jets", np.arange(12) - 0.5),
        ("leading lepton pT", "leading lepton $p_T$ [GeV]", np.linspace(20, 120, 51)),
        ("MET", "MET [GeV]", np.linspace(0, 200, 51)),
        ("HT", "$H_T$ [GeV]", np.linspace(0, 800, 51)),
    ]
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5))
    for axis, (key, label, bins) in zip(axes.flat, panels, strict=True):
        _histogram(axis, samples, lambda s, key=key: s.event[key], bins, per_event=False)  # type: ignore[misc]
        axis.set(yscale="log", xlabel=label, ylim=(1e-5, 3))
    for axis in axes[:, 0]:
        axis.set_ylabel("share of events per bin")
    axes[1, 1].legend(frameon=False, fontsize=8, ncols=2, loc="upper right")
    figure.tight_layout()
    caption = (
        "Events of the sample: background in the published mix, stacked by process (grey), and signals (lines), each "
        "of area one. The last bin holds what lies above it."
    )
    return _save(figure, path, "Generated events", caption)


def objects(samples: dict[str, Sample], limits: dict[str, Any], path: Path) -> dict[str, str]:
    """pt, eta and phi of electrons, muons and jets, with the limits of the published files."""
    tops = {"egamma": 150.0, "muon": 150.0, "jet": 300.0}
    figure, axes = plt.subplots(3, 3, figsize=(13, 10.5))
    for row, kind in zip(axes, KINDS, strict=True):
        limit = limits[kind]
        grids = (np.linspace(0, tops[kind], 61), *_angle_bins(kind, limit["abs_eta_max"]))
        for i, (axis, bins, name) in enumerate(zip(row, grids, ("$p_T$ [GeV]", "η", "φ"), strict=True)):

            def values(sample: Sample, kind: str = kind, i: int = i) -> NDArray[Any]:
                found, here = sample.objects(kind)
                return found[..., i][here]

            _histogram(axis, samples, values, bins, per_event=True)
            axis.set_xlabel(f"{name} of {TITLES[kind]}")
            axis.set_ylim(bottom=0)
        row[0].set(yscale="log", ylim=(1e-6, 5), ylabel="objects per event and bin")
        row[0].axvline(limit["pt_min"], color="k", lw=0.8, ls="--")
        for edge in (-limit["abs_eta_max"], limit["abs_eta_max"]):
            row[1].axvline(edge, color="k", lw=0.8, ls="--")
    axes[0, 0].legend(frameon=False, fontsize=8, ncols=2, loc="upper right")
    figure.tight_layout()
    caption = (
        "Objects of the sample, per event: background stacked by process (grey), signals (lines). Dashed: lowest pt "
        "and largest abs(eta) of the published files."
    )
    return _save(figure, path, "Generated objects", caption)


def masses(samples: dict[str, Sample], known: dict[str, float], path: Path) -> dict[str, str] | None:
    """Transverse mass of W, dilepton masses of Z and four-lepton mass of A, as far as the sample holds them."""
    panels: list[tuple[str, str, float, list[tuple[str, NDArray[Any]]]]] = []
    if "W" in samples:
        panels.append(("W", "transverse mass [GeV]", 80.4, [("e, μ and MET", checks.transverse_masses(samples["W"]))]))
    if "Z" in samples:
        pairs = [(f"two {TITLES[kind]}", checks.dilepton_masses(samples["Z"], kind)) for kind in ("egamma", "muon")]
        panels.append(("Z", "dilepton mass [GeV]", known["Z"], pairs))
    if "Ato4l" in samples:
        four = [("four leptons", checks.four_lepton_masses(samples["Ato4l"]))]
        panels.append((LABELS["Ato4l"], "four-lepton mass [GeV]", known["Ato4l"], four))
    if not panels:
        return None
    figure, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.8), squeeze=False)
    for axis, (title, label, mass, lines) in zip(axes[0], panels, strict=True):
        bins = np.linspace(0, 1.5 * mass, 76)
        for i, (name, values) in enumerate(lines):
            axis.stairs(np.histogram(values, bins)[0], bins, color=COLOURS[i], lw=1.4, label=name)
        axis.axvline(mass, color="k", lw=0.8, ls="--")
        axis.set(title=title, xlabel=label, xlim=(bins[0], bins[-1]))
        axis.legend(frameon=False, fontsize=8, loc="upper left")
    axes[0, 0].set_ylabel("events per bin")
    figure.tight_layout()
    caption = "Masses from the integers of the sample. Dashed: W, Z (80.4 and 91.19 GeV) and the generated A (50 GeV)."
    return _save(figure, path, "Masses", caption)


def draw(samples: dict[str, Sample], references: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """All plots of a sample, as {"file", "title", "caption"}."""
    drawn = [
        events(samples, folder / "events.png"),
        objects(samples, references["published"]["objects"], folder / "objects.png"),
        masses(samples, references["masses"], folder / "masses.png"),
    ]
    return [picture for picture in drawn if picture is not None]
