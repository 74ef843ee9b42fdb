"""Anomaly regions: the events of largest score, as many as a cross-section times the luminosity.

A region is defined once, on data, by the cross-section that it keeps (PRL 132 (2024) 081801: 10, 1 and 0.1 pb); after
that its threshold is a number that anybody can apply to any sample scored by the same network (`ad40 score`). All
intervals are central 68 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error, HashMismatch, SpecError
from ad40.files import read_json, write_json
from ad40.metrics import Interval, wilson
from ad40.schema import Node

VERSION = 1
FILE = "regions.json"  # beside the network whose scores the thresholds cut on
PUBLISHED_PB = (10.0, 1.0, 0.1)
PB_IN_FB = 1000.0


@dataclass(frozen=True)
class Region:
    """Events with score >= threshold. cross_section_pb: what it kept of the sample it was defined on, None where a
    threshold was given; threshold: a score, minus infinity where there is no cut."""

    name: str
    cross_section_pb: float | None
    threshold: float

    def keeps(self, score: NDArray[np.floating]) -> NDArray[np.bool_]:
        """The events of the region: bool, same shape as the scores. A score that is NaN is in no region with a cut."""
        return np.ones(np.shape(score), np.bool_) if math.isinf(self.threshold) else np.asarray(score) >= self.threshold


ALL = Region("all", None, -math.inf)
"""No cut."""


class Regions(NamedTuple):
    """Regions from the loosest to the tightest, and why others could not be made: {name: reason}."""

    regions: tuple[Region, ...]
    refused: dict[str, str]


def name_of(cross_section_pb: float) -> str:
    """The name of a region: "10pb", "0.1pb"."""
    return f"{cross_section_pb:g}pb"


def check_numbers(luminosity_fb: float, cross_sections_pb: Sequence[float], correction: float = 1.0) -> None:
    """Raise `Ad40Error` unless all are finite and above 0."""
    numbers = [("luminosity [1/fb]", luminosity_fb), ("correction", correction)]
    for what, value in numbers + [("cross-section of a region [pb]", sigma) for sigma in cross_sections_pb]:
        if not (math.isfinite(value) and value > 0):
            raise Ad40Error(f"{what} is {value}; expected a number above 0")


def by_cross_section(
    score: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    luminosity_fb: float,
    cross_sections_pb: Sequence[float] = PUBLISHED_PB,
    correction: float = 1.0,
) -> Regions:
    """Thresholds that keep sigma x L events of a sample: score (n,), weight (n,) or None for 1 each, L [1/fb].

    correction: the part of the collisions that the sample holds, such as 0.99 when 1 % of the events, those that the
    network was trained on, are left out; sigma x L is multiplied by it. The threshold is the lowest score at which
    the sum of weights from it upwards does not exceed that number: events of equal score are in or out together, and
    are left out when they would exceed it. A region that the sample cannot have is refused with a reason, the others
    are made. Raises `Ad40Error` for a luminosity, cross-section or correction that is none.
    """
    check_numbers(luminosity_fb, cross_sections_pb, correction)
    values: NDArray[np.float64] = np.asarray(score, np.float64)
    w: NDArray[np.float64] = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)
    wanted = sorted(set(cross_sections_pb), reverse=True)
    luminosity = f"{luminosity_fb:g}/fb" + (f" x {correction:.4g}" if correction != 1 else "")
    fault = _fault(values, w)
    if fault:
        return Regions((), {name_of(sigma): fault for sigma in wanted})
    # from the largest score downwards: distinct scores and the sum of weights down to and including each
    falling, place = np.unique(-values, return_inverse=True)
    kept = np.cumsum(np.bincount(place, w))
    regions, refused = [], {}
    for sigma in wanted:
        events = sigma * luminosity_fb * PB_IN_FB * correction
        number = int(np.searchsorted(kept, events * (1 + 1e-12), side="right"))
        if events < 1:
            refused[name_of(sigma)] = f"{sigma:g} pb x {luminosity} are {events:.3g} events, less than one"
        elif events > kept[-1]:
            refused[name_of(sigma)] = (
                f"{sigma:g} pb x {luminosity} are {events:,.0f} events; the sample has {kept[-1]:,.0f}"
            )
        elif number == 0:
            refused[name_of(sigma)] = f"{kept[0]:,.0f} events share the largest score; {events:,.0f} are wanted"
        else:
            regions.append(Region(name_of(sigma), float(sigma), float(-falling[number - 1])))
    return Regions(tuple(regions), refused)


def _fault(score: NDArray[np.float64], weight: NDArray[np.float64]) -> str | None:
    if len(score) == 0:
        return "the sample has no events"
    if not np.isfinite(score).all():
        return f"{int((~np.isfinite(score)).sum()):,} scores are not finite"
    if not np.isfinite(weight).all() or (weight < 0).any():
        bad = int((~(weight >= 0) | ~np.isfinite(weight)).sum())
        return f"{bad:,} events have a negative weight or none: the events kept would not grow with a lower threshold"
    return None


def document(made: Regions, *, model: str, table: str | None, luminosity_fb: float, correction: float) -> Any:
    """The JSON document of regions. model, table: hashes of the network and of the table they were defined on."""
    return {
        "version": VERSION,
        "model": model,
        "table": table,
        "luminosity_fb": luminosity_fb,
        "correction": correction,
        "regions": [{"name": r.name, "cross_section_pb": r.cross_section_pb, "threshold": r.threshold}
                    for r in made.regions],
        "refused": made.refused,
    }  # fmt: skip


def write(path: str | Path, made: Regions, **about: Any) -> None:
    """Write the document, see `document` for `about`."""
    write_json(path, document(made, **about))


def read(path: str | Path, model: str | None = None) -> tuple[Region, ...]:
    """The regions of a document, as `write` makes it; with `model`, only those of the network with this hash.

    Raises `SpecError` when it is malformed and `HashMismatch` when it belongs to another network.
    """
    node = Node(read_json(path), path)
    node.keys({"version", "model", "regions"}, {"table", "luminosity_fb", "correction", "refused"})
    node["version"].integer(VERSION, VERSION)
    if model is not None and node["model"].text() != model:
        raise HashMismatch(path, "model", node["model"].text()[:12], f"{model[:12]}, the network in use")
    regions = []
    for item in node["regions"]:
        item.keys({"name", "cross_section_pb", "threshold"})
        sigma = item["cross_section_pb"]  # null where somebody gave a threshold
        kept = None if sigma.value is None else sigma.number(0, 1e12)
        regions.append(Region(item["name"].text(), kept, item["threshold"].number(-1e30, 1e30)))
    names = [region.name for region in regions]
    if len(set(names)) < len(names) or ALL.name in names:
        raise SpecError(path, "regions", names, f"names that differ, none of them '{ALL.name}'")
    return tuple(regions)


@dataclass(frozen=True)
class Acceptance:
    """How much of a sample a region keeps.

    events, kept: numbers of events; weight, kept_weight: sums of their weights; value, low, high: the efficiency.
    """

    events: int
    kept: int
    weight: float
    kept_weight: float
    value: float
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        return self.low, self.value, self.high

    @property
    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {"events": self.events, "kept": self.kept, "weight": self.weight, "kept_weight": self.kept_weight,
                "acceptance": list(self.interval)}  # fmt: skip


def acceptance(
    kept: NDArray[np.bool_], weight: NDArray[np.floating] | None = None, read: tuple[float, float] | None = None
) -> Acceptance:
    """The efficiency of a cut: kept (n,), weight (n,) or None for 1 each.

    read: number of events and sum of weights of all events, when those given are what a selection left of them; the
    efficiency is then of these, and the weights of the others are taken to spread like those given.

    Interval of Wilson; with weights, of the same efficiency among the (sum w)^2 / sum w^2 events of equal weight that
    would be as precise. Without events, or with a sum of weights that is not positive, nothing is known: 0 to 1.
    Negative weights can make an efficiency outside 0 to 1, which is then cut to that range.
    """
    kept = np.asarray(kept, np.bool_)
    w = np.ones(len(kept)) if weight is None else np.asarray(weight, np.float64)
    given, passed = float(w.sum()), float(w[kept].sum())
    events, total = (len(kept), given) if read is None else read
    counts = round(events), int(kept.sum()), float(total), passed
    if not total > 0:
        return Acceptance(*counts, 0.0, 0.0, 1.0)
    efficiency = min(max(passed / total, 0.0), 1.0)
    effective = total * given / float((w**2).sum()) if given > 0 else float(events)
    low, value, high = wilson(efficiency * effective, effective)
    return Acceptance(*counts, value, low, high)


Significance = Callable[[float, float], float]


def significance_asimov(s: float, b: float) -> float:
    """Median significance of s signal events over b of background: sqrt(2 ((s+b) ln(1+s/b) - s)), arXiv:1007.1727
    equation 97. 0 without signal, infinite without background."""
    if s <= 0:
        return 0.0
    if b <= 0:
        return math.inf
    if s < 1e-3 * b:  # the two terms nearly cancel: series in s/b
        r = s / b
        return math.sqrt(s * r * (1 - r / 3 + r * r / 6))
    return math.sqrt(2 * ((s + b) * math.log1p(s / b) - s))


def significance_naive(s: float, b: float) -> float:
    """s / sqrt(b). 0 without signal, infinite without background."""
    if s <= 0:
        return 0.0
    return s / math.sqrt(b) if b > 0 else math.inf


SIGNIFICANCES: dict[str, Significance] = {"asimov": significance_asimov, "naive": significance_naive}
"""The two definitions of Z in use."""


def improvement(
    s: float, b: float, signal: Acceptance, background: Acceptance, significance: Significance = significance_asimov
) -> Interval:
    """dZ = (Z of the region / Z without it - 1) x 100 %, with s and b events without the region: (low, value, high).

    The two acceptances are moved to the ends of their intervals one at a time; the changes are added in squares. b = 0
    or s = 0, or a region without background, has no value: NaN; a region without background still has a lower end.
    """
    if s <= 0 or b <= 0:
        return math.nan, math.nan, math.nan

    def gain(signal_efficiency: float, background_efficiency: float) -> float:
        return 100 * (significance(s * signal_efficiency, b * background_efficiency) / significance(s, b) - 1)

    value = gain(signal.value, background.value)
    if math.isinf(value) or math.isnan(value):
        return gain(signal.low, background.high), math.nan, math.nan
    down = math.hypot(value - gain(signal.low, background.value), value - gain(signal.value, background.high))
    best = gain(signal.value, background.low)
    up = math.hypot(gain(signal.high, background.value) - value, best - value) if math.isfinite(best) else math.nan
    return max(value - down, -100.0), value, value + up


class Sample(NamedTuple):
    """A scored sample: score (n,), weight (n,) or None for 1 each."""

    score: NDArray[np.floating]
    weight: NDArray[np.floating] | None = None


def acceptance_table(samples: Mapping[str, Sample], regions: Sequence[Region]) -> dict[str, dict[str, Acceptance]]:
    """{sample: {region: acceptance}}, data and signals side by side; the region without a cut is not in it."""
    return {
        name: {region.name: acceptance(region.keeps(sample.score), sample.weight) for region in regions}
        for name, sample in samples.items()
    }
