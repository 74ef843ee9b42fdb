"""The reference: what a lumi section looks like when all is well, how its sums fluctuate, and from where on a test is
an alarm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5, spec
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash
from ad40.model import Model
from offline.dqm.faults import Codes, energy_scale
from offline.dqm.lumi import count
from offline.dqm.quantities import Quantities, Vectors, score_edges, settings

FILE = "reference.h5"
FORMAT, VERSION = "ad40 DQM reference", 1
ARRAYS = ("mean", "covariance", "pair_covariance", "cells", "directions", "responses")
SCALES = {"scale of met": ("met",), "scale of egamma": ("egamma",), "scale of muon": ("muon",),
          "scale of jet": ("jet",), "scale of the calorimeter": ("met", "egamma", "jet")}  # fmt: skip
SCALE_EVENTS = 100_000  # from which the direction of a scale is learnt
RIDGE = 1e-4  # of the mean variance, added before the covariance is inverted
_BLOCK = 16384
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """What is expected of an event, and of sums of events.

    mean (width,): of the vectors of `quantities`; covariance (width, width): of one event; pair_covariance: of two
    events that share a parent; events, pairs: how many of each it was made from; cells (all cells,): counts of the
    maps. directions (k, width): weights of the means that may drift, by `names`; responses (k,): 1 where such a mean is
    a scale in percent, else 0. thresholds: value of each test from which on it is an alarm. about: where it
    comes from.
    """

    quantities: Quantities
    events: int
    pairs: int
    mean: Floats
    covariance: Floats
    pair_covariance: Floats
    cells: NDArray[np.int64]
    names: tuple[str, ...]
    directions: Floats
    responses: Floats
    thresholds: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def variance_factors(self, events: int, pairs: int) -> tuple[float, float]:
        """How much of covariance and of pair_covariance the difference of a section's mean from this one has."""
        return 1 / events + 1 / self.events, pairs / events**2 + self.pairs / self.events**2


def build(
    codes: Codes, score: NDArray[np.integer], parent: NDArray[np.integer] | None, model: Model,
    rng: np.random.Generator, lepton_pt: float | None = None,
) -> Reference:  # fmt: skip
    """The reference of events (n, 19, 3) with scores (n,) of a model."""
    quantities = Quantities(score_edges(score))
    vectors = quantities.vectors(codes, score)
    total = count(vectors, quantities.occupancy(codes), quantities.cells, parent)
    n = len(vectors)
    mean = total.vector / n
    covariance = _second(vectors) / n - np.outer(mean, mean)
    pairs = _pair_covariance(vectors, mean, parent, total.pairs) if total.pairs else np.zeros_like(covariance)
    means = quantities.directions()
    scales = _scale_weights(codes[np.sort(rng.permutation(n)[:SCALE_EVENTS])], mean, covariance, quantities, rng)
    names = (*means, *scales)
    directions = np.array([*means.values(), *scales.values()])
    responses = np.array([float(name in scales) for name in names])
    about = {"model": {"name": model.network.name, "version": model.network.version, "hash": model.network.hash},
             "lepton_pt": lepton_pt}  # fmt: skip
    return Reference(quantities, n, total.pairs, mean, covariance, pairs, total.cells, names, directions,
                     responses, {}, about)  # fmt: skip


def _second(vectors: Vectors) -> Floats:
    """Sum over events of the products of each two columns."""
    total = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float32)  # whole numbers below 2^24: sums are exact
        total += block.T @ block
    return total


def _pair_covariance(vectors: Vectors, mean: Floats, parent: NDArray[np.integer] | None, pairs: int) -> Floats:
    """Mean over ordered pairs of events of one parent of the product of what they differ from the mean by."""
    _, at, sizes = np.unique(parent, return_inverse=True, return_counts=True)
    members = np.flatnonzero(sizes[at] > 1)
    members = members[np.argsort(at[members], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(at[members]) != 0])
    total = np.zeros((vectors.shape[1],) * 2)
    edges = [*starts[:: _BLOCK // 4], len(members)]
    for low, high in pairwise(edges):
        off = vectors[members[low:high]] - mean
        inner = starts[(starts >= low) & (starts < high)] - low
        sums = np.add.reduceat(off, inner, axis=0)
        total += sums.T @ sums - off.T @ off
    return total / pairs


def _scale_weights(
    codes: Codes, mean: Floats, covariance: Floats, quantities: Quantities, rng: np.random.Generator
) -> dict[str, Floats]:
    """Weights (width,) of each of `SCALES` that give its change in percent, by least squares in the pt histograms.

    x - mean = sum_k change_k d_k + noise of the covariance C: changes (D^T C^-1 D)^-1 D^T C^-1 x. What the number of
    objects of a kind does is left free, so that neither a threshold of the stream nor a change of its composition is
    taken for a scale. The scales of single kinds are fitted together, that of the calorimeter alone.
    """
    of_pt = [h for h in quantities.histograms if h.feature == "pt"]
    used = np.concatenate([np.arange(h.start, h.stop) for h in of_pt])
    inner = covariance[np.ix_(used, used)]
    inner = inner + RIDGE * float(np.trace(inner)) / len(inner) * np.eye(len(inner))
    numbers = []
    for one in of_pt:
        column = np.zeros(quantities.width)
        column[one.columns] = mean[one.columns]
        numbers.append(column[used])
    changes = {name: _response(codes, kinds, quantities, rng)[used] for name, kinds in SCALES.items()}
    single = [name for name, kinds in SCALES.items() if len(kinds) == 1]
    found = {}
    for group in (single, [name for name in SCALES if name not in single]):
        design = np.array([*(changes[name] for name in group), *numbers]).T
        solved = np.linalg.solve(inner, design)
        weights = np.linalg.solve(design.T @ solved, solved.T)
        for name, row in zip(group, weights, strict=False):
            whole = np.zeros(quantities.width)
            whole[used] = row
            found[name] = whole
    return {name: found[name] for name in SCALES}


def _response(codes: Codes, kinds: tuple[str, ...], quantities: Quantities, rng: np.random.Generator) -> Floats:
    """Change of the mean vector of events by 1 % of scale, from the difference of `scale_step` up and down. The score
    is left as it is."""
    means, none = [], np.zeros(len(codes), np.int64)
    step = quantities.settings.scan.scale_step
    for sign in (1, -1):
        moved = energy_scale(codes, rng, 1 + sign * step, kinds)
        means.append(quantities.vectors(moved, none).mean(axis=0))
    return np.asarray((means[0] - means[1]) / (200 * step))


def save(folder: Path, reference: Reference) -> Path:
    """Write `reference.h5`."""
    q = reference.quantities
    document = {
        "format": FORMAT, "format_version": VERSION, "ad40_version": __version__, "spec_hash": spec.objects().hash,
        "settings_hash": q.settings.hash, "score_edges": q.score_edges.tolist(), "events": reference.events,
        "pairs": reference.pairs, "names": list(reference.names), "thresholds": reference.thresholds,
        "about": reference.about,
    }  # fmt: skip
    path = folder / FILE
    with hdf5.create(path) as file:
        for name in ARRAYS:
            file.create_dataset(name, data=getattr(reference, name), compression="gzip", shuffle=True)
        file.attrs["ad40_dqm"] = json.dumps(document, allow_nan=False)
    return path


def load(folder: Path) -> Reference:
    """Read `reference.h5` of a folder. Raises `InputError`, and `HashMismatch` where scales or quantities changed."""
    path = folder / FILE if folder.is_dir() else folder
    with hdf5.open_file(path) as file:
        if "ad40_dqm" not in file.attrs or any(name not in file for name in ARRAYS):
            raise InputError(path, "contents", ", ".join(file) or "none", f"a file written by `ad40 dqm {'reference'}`")
        d: Mapping[str, Any] = json.loads(file.attrs["ad40_dqm"])
        arrays = {name: file[name][()] for name in ARRAYS}
    if d.get("format_version") != VERSION:
        raise InputError(path, "format_version", d.get("format_version"), str(VERSION))
    for name, here, there in (("spec_hash", d["spec_hash"], spec.objects().hash),
                              ("settings_hash", d["settings_hash"], settings().hash)):  # fmt: skip
        if here != there:
            raise HashMismatch(path, name, here, f"{there}, in use now; make the reference anew")
    return Reference(Quantities(d["score_edges"]), d["events"], d["pairs"], names=tuple(d["names"]),
                     thresholds=d["thresholds"], about={**d["about"], "sha256": file_hash(path)}, **arrays)  # fmt: skip
