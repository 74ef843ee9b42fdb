"""Stages `autoencoder`, `scores` and `regions`: how unusual each event is, and what a cut on that keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import sha256_of
from offline import regions as anomaly
from offline import scores, table
from offline.autoencoder import model, train
from offline.autoencoder.stability import stability
from offline.autoencoder.streaming import score_table
from offline.regions import SIGNIFICANCES, Acceptance, Region
from offline.search.analysis import Signal
from offline.search.chain import Context
from offline.search.sample import DATA, PB_IN_FB, samples
from offline.search.spectra import ystar_name

FOLDER = "autoencoder"
BINS = 60  # of the histograms of the score
HALF = 0.5
"""A signal is looked for in the shortest window that holds this part of its masses."""

Mask = NDArray[np.bool_]


def train_network(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Train, or take up a training that was interrupted."""
    score = context.analysis.score
    assert score is not None and score.autoencoder is not None  # the chain leaves the stage out otherwise
    folder = context.path(FOLDER)
    with table.open_table(context.path(f"tables/{DATA}.h5")) as found:
        seeded = replace(score.autoencoder, seed=context.analysis.seed)
        trained = train.train(found, folder, seeded, context.analysis.name, context.jobs)
    document = trained.document
    return {
        "hash": trained.hash,
        "network": document["network"],
        "settings": document["settings"],
        "sample": {k: document["sample"][k] for k in ("training", "validation")},
        "initialisations": document["initialisations"],
        "kept": document["kept"],
    }, [folder / model.DOCUMENT, folder / model.WEIGHTS]


def score_all(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """A score file for every sample, from the network, a column, or files."""
    result: dict[str, Any] = {"samples": {}, "stability": []}
    files = []
    for name in samples(context.analysis):
        path = context.path(f"scores/{name}.h5")
        with table.open_table(context.path(f"tables/{name}.h5")) as found:
            _score(context, name, found, path)
            read = scores.read(path, found)
            about = read.attributes
            result |= {k: about[k] for k in ("model", "quantity", "hash")}
            result["samples"][name] = {"events": found.n, "training": int(read.training.sum())}
            if name == DATA:
                use = read.searched
                for quantity in ("run", "lumi", "pileup"):
                    one = stability(read.score[use], found.column(quantity)[use], quantity)
                    result["stability"].append(asdict(one))
        files.append(path)
    return result, files


def _score(context: Context, name: str, found: table.Table, path: Path) -> None:
    plan = context.analysis.score
    assert plan is not None
    if plan.autoencoder:
        score_table(found, model.read(context.path(FOLDER)), path, context.jobs)
    elif plan.column:
        hashes = [source.get("hashes", {}).get("models") for source in found.attributes["sources"]]
        values = found.column(plan.column).astype(np.float32)
        scores.write(path, found, values, model=plan.column, hash=sha256_of(hashes), quantity=plan.column)
    else:
        read = scores.read(dict(plan.files or ())[name], found)
        about = read.attributes
        scores.write(path, found, read.score, read.training, model=about["model"], hash=about["hash"],
                     quantity=about["quantity"])  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A scored sample without the events of the training: score, weight (n,), stream and mass columns by name."""

    score: NDArray[np.float32]
    weight: NDArray[np.float64]
    ystar: NDArray[np.float32]
    mass: dict[str, NDArray[np.float32]]
    stream: dict[str, Mask]
    read_weight: float  # sum of weights of all events of its files
    cross_section_pb: float | None

    @classmethod
    def read(cls, context: Context, name: str, masses: set[str]) -> Sample:
        """Read table and scores. Events of a weight below zero are left out of data, as they are of the spectra."""
        with table.open_table(context.path(f"tables/{name}.h5")) as found:
            read = scores.read(context.path(f"scores/{name}.h5"), found)
            weight = found.column("weight").astype(np.float64)
            use = read.searched & ((weight >= 0) | (name != DATA))
            about = context.results["table"][name]
            return cls(
                read.score[use], weight[use], found.column("ystar")[use],
                {m: found.mass(m)[use] for m in masses}, {s: found.stream(s)[use] for s in found.streams},
                float(about["cutflow"][0][2]) * read.correction, about["cross_section_pb"],
            )  # fmt: skip


def define(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Define the regions on the data, and what they keep of data and signals."""
    analysis, plan = context.analysis, context.analysis.regions
    assert plan is not None  # the chain leaves the stage out otherwise
    luminosity = context.results["table"][DATA]["luminosity_fb"]
    if luminosity is None:
        expected = "a luminosity [1/fb]: the files do not say the cross-section of the sample"
        raise InputError(analysis.file, "luminosity_fb", "not known", expected)
    masses = {signal.spectrum for signal in analysis.signals if signal.spectrum}
    data = Sample.read(context, DATA, masses)
    counts = context.results["scores"]["samples"][DATA]
    correction = 1 - counts["training"] / max(counts["events"], 1)
    made = anomaly.by_cross_section(data.score, data.weight, luminosity, plan.cross_sections_pb, correction)
    path = context.path(
        f"{FOLDER}/{anomaly.FILE}" if analysis.score and analysis.score.autoencoder else "thresholds.json"
    )
    scored = context.results["scores"]
    with table.open_table(context.path(f"tables/{DATA}.h5")) as found:
        about = {"model": scored["hash"], "table": found.sha256}
    anomaly.write(path, made, **about, luminosity_fb=luminosity, correction=correction)
    signals = {s.name: Sample.read(context, s.name, {s.spectrum} if s.spectrum else set()) for s in analysis.signals}
    together = {DATA: data} | signals
    kept = {name: cuts(one, made.regions, plan.ystar_max) for name, one in together.items()}
    return {
        "luminosity_fb": luminosity,
        "correction": correction,
        "quantity": scored["quantity"],
        "regions": [{"name": r.name, "cross_section_pb": r.cross_section_pb, "threshold": r.threshold,
                     "events": int(kept[DATA][r.name].sum())} for r in made.regions],
        "refused": made.refused,
        "cuts": list(kept[DATA]),
        "acceptance": {name: {cut: anomaly.acceptance(mask, together[name].weight).summary
                              for cut, mask in own.items()} for name, own in kept.items()},
        "improvement": {s.name: improvement(s, data, kept[DATA], signals[s.name], kept[s.name], luminosity)
                        for s in analysis.signals},
        "histogram": histogram(together),
    }, [path]  # fmt: skip


def cuts(sample: Sample, regions: tuple[Region, ...], ystar_max: float | None) -> dict[str, Mask]:
    """What each region, and the filter on y*, keeps of a sample."""
    found = {region.name: region.keeps(sample.score) for region in regions}
    if ystar_max is not None:
        found[ystar_name(ystar_max)] = sample.ystar < ystar_max  # False where there are no two jets
    return found


def improvement(
    signal: Signal, data: Sample, data_kept: dict[str, Mask], found: Sample, kept: dict[str, Mask], luminosity: float
) -> dict[str, Any]:
    """dZ of every cut, by both definitions of Z, in the window of a signal, or over all events if it has none."""
    here, there, window = np.ones(len(found.weight), bool), np.ones(len(data.weight), bool), None
    if signal.stream:
        here, there = found.stream[signal.stream].copy(), data.stream[signal.stream].copy()
    if signal.spectrum:
        mass = found.mass[signal.spectrum]
        window = shortest(mass[here & np.isfinite(mass)], HALF)
        if window is None:
            return {"reason": f"no event of the signal has a mass {signal.spectrum}"}
        low, high = window
        here &= (mass >= low) & (mass <= high)
        there &= (data.mass[signal.spectrum] >= low) & (data.mass[signal.spectrum] <= high)
    sigma = signal.cross_section_pb or found.cross_section_pb
    scale = luminosity * PB_IN_FB * (sigma or 1.0) / found.read_weight if found.read_weight > 0 else 0.0
    s, b = float(found.weight[here].sum()) * scale, float(data.weight[there].sum())
    if not b > 0:
        return {"reason": "no event of the data is in the window of the signal"}
    rows = {}
    for cut, mask in kept.items():
        own = anomaly.acceptance(mask[here], found.weight[here])
        background = anomaly.acceptance(data_kept[cut][there], data.weight[there])
        rows[cut] = {"signal": own.summary, "background": background.summary} | _both(s, b, own, background)
    return {"reason": None, "spectrum": signal.spectrum, "stream": signal.stream, "cross_section_pb": sigma,
            "window": None if window is None else list(window), "signal": s, "background": b,
            "z": {name: _finite(z(s, b)) for name, z in SIGNIFICANCES.items()}, "cuts": rows}  # fmt: skip


def _both(s: float, b: float, own: Acceptance, background: Acceptance) -> dict[str, Any]:
    return {name: [_finite(v) for v in anomaly.improvement(s, b, own, background, z)]
            for name, z in SIGNIFICANCES.items()}  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def shortest(values: NDArray[np.floating], part: float) -> tuple[float, float] | None:
    """The shortest interval that holds a part of the values; None without values."""
    n = len(values)
    if not n:
        return None
    ordered, k = np.sort(values), max(int(np.ceil(part * n)), 1)
    lengths = ordered[k - 1 :] - ordered[: n - k + 1]
    first = int(np.argmin(lengths))
    return float(ordered[first]), float(ordered[first + k - 1])


def histogram(together: dict[str, Sample]) -> dict[str, Any]:
    """Share of each sample's weight in bins of the score."""
    every = [one.score for one in together.values() if len(one.score)]
    if not every:
        return {"edges": [], "samples": {}}
    low = min(float(np.quantile(one, 1e-4)) for one in every)
    high = max(float(one.max()) for one in every)
    edges = np.linspace(low, np.nextafter(high, np.inf) if high > low else low + 1, BINS + 1)
    shares = {}
    for name, one in together.items():
        total = one.weight.sum()
        counts = np.histogram(np.maximum(one.score, low), edges, weights=one.weight)[0]
        shares[name] = (counts / total).tolist() if total > 0 else [0.0] * BINS
    return {"edges": edges.tolist(), "samples": shares}
