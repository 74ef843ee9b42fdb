"""What is monitored: histograms and maps of events, each event a vector of small counts. By quantities.yaml alone.

All histograms of an event stand side by side in one vector, so that whatever is tested is a sum over events of
vectors, whose covariance is known from the reference: objects of one event are correlated, and bins with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.files import read_yaml, sha256_of
from ad40.schema import Node

FILE = Path(__file__).with_name("quantities.yaml")
KINDS = ("met", "egamma", "muon", "jet")
OUTSIDE = -1  # of an object that enters no bin
Vectors = NDArray[np.uint8]
Cells = NDArray[np.int32]


@dataclass(frozen=True)
class Scan:
    """Settings of the tests; `windows` in cells (eta, phi)."""

    windows: tuple[tuple[int, int], ...]
    least_expected: float
    recent: int
    cusum: tuple[float, ...]
    scale_step: float


@dataclass(frozen=True)
class ObjectBins:
    """Bins of one kind of object. pt: edges [GeV]; count, phi: bins; eta: edges; empty or 0: not monitored."""

    kind: str
    pt: tuple[float, ...]
    phi: int
    eta: tuple[float, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class Settings:
    """quantities.yaml."""

    score_quantiles: tuple[float, ...]
    objects: tuple[ObjectBins, ...]
    map_kinds: tuple[str, ...]
    map_eta: float
    map_phi: int
    scan: Scan
    document: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the document."""
        return sha256_of(self.document)


@lru_cache
def settings(path: Path = FILE) -> Settings:
    """Read quantities.yaml. Raises `SpecError` where it is malformed."""
    document = read_yaml(path)
    node = Node(document, path)
    node.keys({"version", "score_quantiles", "objects", "map", "scan", "least_expected", "recent", "cusum",
               "scale_step"})  # fmt: skip
    node["version"].integer(1, 1)
    node["map"].keys({"kinds", "eta", "phi"})
    node["scan"].keys({"windows"})
    windows = []
    for child in node["scan"]["windows"]:
        eta, phi = (part.integer(-1, 1000) for part in child)
        windows.append((eta, phi))
    scan = Scan(tuple(windows), node["least_expected"].number(0, 1e6), node["recent"].integer(1, 1000),
                tuple(k.number(0, 10) for k in node["cusum"]), node["scale_step"].number(1e-3, 0.5))  # fmt: skip
    node["objects"].keys(set(KINDS))
    return Settings(
        _rising(node["score_quantiles"], 0, 1), tuple(_bins(kind, node["objects"][kind]) for kind in KINDS),
        tuple(child.choice(KINDS[1:]) for child in node["map"]["kinds"]), node["map"]["eta"].number(1e-3, 10),
        node["map"]["phi"].integer(1, 1000), scan, document,
    )  # fmt: skip


def _bins(kind: str, node: Node) -> ObjectBins:
    node.keys({"pt", "phi"}, {"eta", "count"})
    eta = _rising(node["eta"], -10, 10) if "eta" in node else ()
    count = node["count"].integer(1, 20) if "count" in node else 0
    return ObjectBins(kind, _rising(node["pt"], 0, 1e5), node["phi"].integer(1, 144), eta, count)


def _rising(node: Node, low: float, high: float) -> tuple[float, ...]:
    values = tuple(child.number(low, high) for child in node)
    if not values or any(a >= b for a, b in pairwise(values)):
        raise node.fault("rising numbers")
    return values


@dataclass(frozen=True)
class Histogram:
    """Columns start..stop of the vectors. edges: of the bins, of `count` and `slots` the numbers 0, 1, ..."""

    name: str
    kind: str
    feature: str  # score, pt, count, eta, phi or slots
    edges: tuple[float, ...]
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Map:
    """Cells start..stop of the maps: `eta` x `phi` cells of one kind of object. low: eta where the first begins."""

    kind: str
    eta: int
    phi: int
    low: float
    step: float
    start: int
    stop: int

    def where(self, row: int, column: int, height: int, width: int) -> dict[str, list[float]]:
        """eta and phi [rad] of a window, phi from -pi, beyond pi where it goes around."""
        turn = 2 * np.pi / self.phi
        phi = -np.pi + turn * column
        return {"eta": [round(self.low + self.step * row, 3), round(self.low + self.step * (row + height), 3)],
                "phi": [round(float(phi), 3), round(float(phi + turn * width), 3)]}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Lookup:
    """Bin of each code of a field: table[code - low]."""

    low: int
    table: NDArray[np.int16]

    def __call__(self, codes: NDArray[np.integer]) -> NDArray[np.int16]:
        found: NDArray[np.int16] = self.table[codes.astype(np.int32) - self.low]
        return found


class Quantities:
    """Histograms and maps over codes and score. score_edges: first score of every bin but the first.

    histograms, maps: what the columns are; width, cells: how many columns and cells there are.
    """

    def __init__(self, score_edges: Sequence[int], chosen: Settings | None = None) -> None:
        self.settings = chosen or settings()
        self.score_edges = np.asarray(score_edges, np.int64)
        self.histograms: list[Histogram] = []
        self.maps: list[Map] = []
        self._lookups: list[tuple[ObjectBins, dict[str, _Lookup]]] = []
        self._add("score", "score", "score", (-np.inf, *map(float, self.score_edges), np.inf))
        for one in self.settings.objects:
            self._lookups.append((one, self._object(one)))
        names = spec.objects().slot_names
        self._slots = self._add("filled slots", "all", "slots", tuple(range(len(names) + 1)))
        self.width = self.histograms[-1].stop
        self._map_lookups = [self._map(kind) for kind in self.settings.map_kinds]
        self.cells = self.maps[-1].stop

    def _add(self, name: str, kind: str, feature: str, edges: tuple[float, ...]) -> Histogram:
        start = self.histograms[-1].stop if self.histograms else 0
        self.histograms.append(Histogram(name, kind, feature, edges, start, start + len(edges) - 1))
        return self.histograms[-1]

    def _object(self, one: ObjectBins) -> dict[str, _Lookup]:
        """Histograms of a kind of object, and where its codes go."""
        kind = spec.objects()[one.kind]
        pt = (np.arange(kind.pt.max_code + 1) - kind.pt.offset) * kind.pt.lsb
        found = {"pt": _Lookup(0, _binned(pt, (*one.pt, np.inf)))}
        found["pt"].table[0] = OUTSIDE  # absent
        self._add(f"{one.kind} pt", one.kind, "pt", (*one.pt, np.inf))
        if one.count:
            self._add(f"number of {one.kind}", one.kind, "count", tuple(range(one.count + 2)))
        if one.eta and kind.eta:
            codes = np.arange(-kind.eta.max_code - 1, kind.eta.max_code + 1)
            found["eta"] = _Lookup(int(codes[0]), _binned(codes * kind.eta.lsb, one.eta))
            self._add(f"{one.kind} eta", one.kind, "eta", one.eta)
        found["phi"] = _Lookup(0, _turned(kind.phi.steps, one.phi))
        self._add(f"{one.kind} phi", one.kind, "phi", tuple(float(v) for v in np.linspace(-np.pi, np.pi, one.phi + 1)))
        return found

    def _map(self, name: str) -> tuple[_Lookup, _Lookup]:
        """The map of a kind of object: rows of eta by its codes, columns of phi."""
        kind = spec.objects()[name]
        assert kind.eta is not None
        each = max(round(self.settings.map_eta / kind.eta.lsb), 1)  # codes of a cell
        half = -(-(kind.eta.max_code + 1) // each)
        codes = np.arange(-kind.eta.max_code - 1, kind.eta.max_code + 1)
        rows = ((codes + each // 2) // each + half).astype(np.int16)
        count, start = int(rows.max()) + 1, self.maps[-1].stop if self.maps else 0
        low = (-half * each - each // 2 - 0.5 + 0.0) * kind.eta.lsb
        self.maps.append(Map(name, count, self.settings.map_phi, low, each * kind.eta.lsb, start,
                             start + count * self.settings.map_phi))  # fmt: skip
        return _Lookup(int(codes[0]), rows), _Lookup(0, _turned(kind.phi.steps, self.settings.map_phi))

    def vectors(self, codes: NDArray[np.integer], score: NDArray[np.integer]) -> Vectors:
        """Counts uint8 (n, width) of events (n, 19, 3) with scores (n,)."""
        result = np.zeros((len(codes), self.width), np.uint8)
        rows = np.arange(len(codes))
        result[rows, np.searchsorted(self.score_edges, score, side="right")] = 1
        at = {h.name: h for h in self.histograms}
        for one, lookups in self._lookups:
            slots = spec.objects()[one.kind].slots
            chosen = lookups["pt"](codes[:, slots, objects.PT])
            bins = {name: chosen if name == "pt" else table(codes[:, slots, spec.FEATURES.index(name)])
                    for name, table in lookups.items()}  # fmt: skip
            for name, found in bins.items():
                start = at[f"{one.kind} {name}"].start
                for k in range(found.shape[1]):
                    here = np.flatnonzero((chosen[:, k] >= 0) & (found[:, k] >= 0))
                    result[here, start + found[here, k]] += 1
            if one.count:
                number = np.minimum((chosen >= 0).sum(axis=1), one.count)
                result[rows, at[f"number of {one.kind}"].start + number] = 1
        result[:, self._slots.columns] = objects.present(codes)
        return result

    def occupancy(self, codes: NDArray[np.integer]) -> Cells:
        """Cell of each object that has one, int32 (n, objects of the maps); `OUTSIDE` where there is no object."""
        parts = []
        for one, (eta, phi) in zip(self.maps, self._map_lookups, strict=True):
            slots = spec.objects()[one.kind].slots
            block = codes[:, slots]
            cell = one.start + eta(block[..., objects.ETA]).astype(np.int32) * one.phi + phi(block[..., objects.PHI])
            parts.append(np.where(block[..., objects.PT] != 0, cell, OUTSIDE))
        return np.concatenate(parts, axis=1).astype(np.int32)

    def directions(self) -> dict[str, NDArray[np.float64]]:
        """Means that may drift: weights (width,) of the place of an event in the score, and of numbers of objects."""
        found = {}
        for one in self.histograms:
            if one.feature in ("score", "count"):
                weights = np.zeros(self.width)
                weights[one.columns] = np.arange(one.stop - one.start)
                found[one.name] = weights
        return found


def _binned(values: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int16]:
    # half of a millionth: an edge that is a code belongs to the bin above it whatever the rounding of floats
    found = np.searchsorted(np.asarray(edges), values + 5e-7, side="right") - 1
    return np.where((found >= 0) & (found < len(edges) - 1), found, OUTSIDE).astype(np.int16)


def _turned(steps: int, bins: int) -> NDArray[np.int16]:
    """Bin of each code of phi, counted from -pi. Codes are the middle of their range, and bins are of whole codes."""
    return (((np.arange(steps) + steps // 2) % steps) * bins // steps).astype(np.int16)


def score_edges(score: NDArray[np.integer], chosen: Settings | None = None) -> list[int]:
    """First scores of the bins: quantiles of the scores of a reference, each once."""
    quantiles = np.quantile(score, (chosen or settings()).score_quantiles, method="higher")
    return [int(v) for v in np.unique(quantiles) if v > score.min()]
