"""The analysis document: one YAML file that says everything that `ad40 search` does.

`read` checks the whole document before any work and returns frozen dataclasses. Names of streams, spectra, functions
and networks are checked against the modules that define them. Files are relative to the document's folder.
`Analysis.part` is what one stage depends on; a stage runs again when its part, or what it reads, has changed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ad40.errors import Ad40Error, InputError, SpecError
from ad40.files import read_yaml, sha256_of
from ad40.schema import Node
from offline.objects.selection import STREAMS
from offline.objects.spectra import spectrum
from offline.statistics.functions import FUNCTIONS

VERSION = 1
SHIPPED = Path(__file__).parents[1] / "analyses"
NETWORKS = ("published", "small", "convolutional")
BINS = ("published", "offline", "trigger")
TURN_ON = "turn-on"
SAMPLE = "sample"
MAX_GEV = 1e5
ALL = "all"
"""The region without a cut."""


@dataclass(frozen=True)
class Signal:
    """A simulated signal: what the anomaly regions keep of it, and how much they improve it.

    cross_section_pb: None = the one its files say. spectrum: where its resonance is, and mass [GeV] of it: the
    improvement is that of this window. Without them the signal is compared over all events of a stream.
    """

    name: str
    label: str
    files: tuple[Path, ...]
    cross_section_pb: float | None
    spectrum: str | None
    mass: float | None


@dataclass(frozen=True)
class ObjectCuts:
    """Cuts on objects: pt_min [GeV], eta_max, met_min [GeV]; slots of each type; jets made of a lepton dropped."""

    pt_min: float
    eta_max: float
    met_min: float
    counts: tuple[tuple[str, int], ...]
    remove_jets_that_are_leptons: bool


@dataclass(frozen=True)
class SpectraPlan:
    """names of the masses; bins: which resolution the bins follow; fit_range [GeV] or "turn-on": from where the
    spectrum falls; floors [GeV]: a known peak that the search starts above; spectra with fewer than min_entries in
    the fit range, or fewer bins than min_bins, are left out."""

    names: tuple[str, ...]
    bins: str
    bin_range: tuple[float, float]
    fit_range: tuple[float, float] | None
    floors: tuple[tuple[str, float], ...]
    min_entries: int
    min_bins: int


@dataclass(frozen=True)
class Autoencoder:
    """Which network, and how it is trained: part of the data, number of initialisations, epochs, batch, step."""

    network: str
    training_fraction: float
    initialisations: int
    epochs: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Score:
    """Where the anomaly score comes from: exactly one of an autoencoder to train, a column of the events, a file."""

    autoencoder: Autoencoder | None
    column: str | None
    file: Path | None


@dataclass(frozen=True)
class Regions:
    """Anomaly regions by the cross-section they keep [pb], and the filter without a network: y* below this."""

    cross_sections_pb: tuple[float, ...]
    ystar_max: float | None


@dataclass(frozen=True)
class Fits:
    """functions: candidates, from simple to general. With several the order is chosen: a further parameter is taken
    when the F-test finds it needed with p < order_p. goodness_toys: pseudo-experiments for each goodness of fit."""

    functions: tuple[str, ...]
    order_p: float
    goodness_toys: int


@dataclass(frozen=True)
class HuntPlan:
    """Pseudo-experiments of the bump hunt, and the global significance from which a bump is claimed."""

    pseudo_experiments: int
    claim_sigma: float


@dataclass(frozen=True)
class LimitsPlan:
    """Gaussian signals: relative widths [%], mass points for each spectrum, and the spectra they are set in."""

    widths_percent: tuple[float, ...]
    masses: int
    streams: tuple[str, ...]
    spectra: tuple[str, ...]
    regions: tuple[str, ...]


@dataclass(frozen=True)
class ScanPlan:
    """The smooth scan: thresholds that keep these cross-sections [pb], equally spaced in the logarithm."""

    low_pb: float
    high_pb: float
    steps: int
    pseudo_experiments: int
    streams: tuple[str, ...]
    spectra: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """The whole document. A part that is None is not done, and the report says so."""

    file: Path
    name: str
    title: str
    luminosity_fb: float | None  # None: what the sample is worth
    seed: int
    data: tuple[Path, ...]
    events: Path | None
    signals: tuple[Signal, ...]
    objects: ObjectCuts
    streams: tuple[str, ...]
    spectra: SpectraPlan
    score: Score | None
    regions: Regions | None
    fits: Fits
    hunt: HuntPlan
    limits: LimitsPlan | None
    scan: ScanPlan | None

    def part(self, *names: str) -> dict[str, Any]:
        """Some parts as JSON types: what a stage depends on. Paths are left out: contents are hashed, not names."""
        return {name: plain(getattr(self, name)) for name in names}

    @property
    def hash(self) -> str:
        """SHA-256 of everything in the document but the places of files."""
        return sha256_of(self.part(*(f.name for f in dataclasses.fields(self) if f.name != "file")))


def plain(value: Any) -> Any:
    """JSON types of dataclasses and tuples; a path is its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value.name if isinstance(value, Path) else value


def read(
    path: str | Path,
    data: tuple[Path, ...] = (),
    signals: tuple[tuple[str, Path], ...] = (),
    pseudo_experiments: int | None = None,
    seed: int | None = None,
) -> Analysis:
    """Read and check a document; the arguments stand above what it says.

    data: event files instead of the document's. signals: (name, file) of signals; a name of the document gets this
    file, another name is a signal of its own. Raises `SpecError` with the place in the document, `InputError` for a
    file that is not there.
    """
    path = Path(path)
    node = Node(read_yaml(path), path)
    node.keys({"version", "name", "title", "streams", "spectra", "fits", "hunt"},
              {"luminosity_fb", "seed", "data", "events", "signals", "objects", "score", "regions", "limits", "scan"})  # fmt: skip
    node["version"].integer(VERSION, VERSION)
    streams = _names(node["streams"], tuple(STREAMS))
    plan = _spectra(node["spectra"])
    score = _score(node["score"]) if _has(node, "score") else None
    regions = _regions(node["regions"]) if _has(node, "regions") else None
    if regions and not score:
        raise SpecError(path, "regions", "given without a score", "the key score too")
    found = Analysis(
        file=path,
        name=node["name"].text(),
        title=node["title"].text(),
        luminosity_fb=_luminosity(node["luminosity_fb"]) if _has(node, "luminosity_fb") else None,
        seed=node["seed"].integer(0, 2**31) if "seed" in node else 40,
        data=tuple(_file(one) for one in node["data"]) if _has(node, "data") else (),
        events=_file(node["events"]) if _has(node, "events") else None,
        signals=tuple(_signal(name, one) for name, one in node["signals"].items()) if _has(node, "signals") else (),
        objects=_objects(node["objects"] if "objects" in node else Node({}, path, "objects")),
        streams=streams,
        spectra=plan,
        score=score,
        regions=regions,
        fits=_fits(node["fits"]),
        hunt=_hunt(node["hunt"]),
        limits=_limits(node["limits"], streams, plan, regions) if _has(node, "limits") else None,
        scan=_scan(node["scan"], streams, plan, score) if _has(node, "scan") else None,
    )
    return _override(found, data, signals, pseudo_experiments, seed)


def _override(
    found: Analysis, data: tuple[Path, ...], signals: tuple[tuple[str, Path], ...], pseudo: int | None, seed: int | None
) -> Analysis:
    if data:
        found = replace(found, data=data)
    given: dict[str, list[Path]] = {}
    for name, file in signals:
        given.setdefault(name, []).append(file)
    kept = {s.name: replace(s, files=tuple(given.pop(s.name, s.files))) for s in found.signals}
    new = tuple(Signal(name, name, tuple(files), None, None, None) for name, files in given.items())
    # a signal that the document describes but nobody gave files for is not there: it is no fault
    found = replace(found, signals=tuple(s for s in kept.values() if s.files) + new)
    if pseudo is not None:
        found = replace(found, hunt=replace(found.hunt, pseudo_experiments=pseudo))
        if found.scan:
            found = replace(found, scan=replace(found.scan, pseudo_experiments=pseudo))
    if seed is not None:
        found = replace(found, seed=seed)
    smallest = math.ceil(1 / claim_p(found.hunt.claim_sigma))
    if found.hunt.pseudo_experiments < smallest:
        field = "--pseudo-experiments" if pseudo is not None else "hunt.pseudo_experiments"
        raise InputError(found.file if pseudo is None else "command line", field, found.hunt.pseudo_experiments,
                         f"at least {smallest}: fewer cannot show {found.hunt.claim_sigma:g} sigma")  # fmt: skip
    if not found.data:
        raise SpecError(found.file, "data", "empty", "event files here, or with --data")
    for file in (*found.data, *(f for s in found.signals for f in s.files)):
        if not file.is_file():
            raise InputError(file, "event file", "not there", f"a file, as {found.file} or the command line says")
    return found


def claim_p(sigma: float) -> float:
    """One-sided p-value of a number of standard deviations."""
    return 0.5 * math.erfc(sigma / math.sqrt(2))


def _has(node: Node, key: str) -> bool:
    return key in node and node[key].value is not None


def _file(node: Node) -> Path:
    return Path(node.file).parent / node.text()


def _names(node: Node, options: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(one.choice(options) for one in node)
    if not names or len(set(names)) != len(names):
        raise node.fault("different names of " + ", ".join(options))
    return names


def _pair(node: Node, low: float, high: float) -> tuple[float, float]:
    values = tuple(one.number(low, high) for one in node)
    if len(values) != 2 or values[0] >= values[1]:
        raise node.fault("[low, high] with low < high")
    return values[0], values[1]


def _luminosity(node: Node) -> float | None:
    if node.value == SAMPLE:
        return None
    if not isinstance(node.value, int | float):
        raise node.fault(f"a luminosity [1/fb], or the word {SAMPLE}")
    return node.number(1e-9, 1e5)


def _signal(name: str, node: Node) -> Signal:
    node.keys(set(), {"label", "files", "cross_section_pb", "spectrum", "mass"})
    if _has(node, "spectrum") != _has(node, "mass"):
        raise node.fault("both spectrum and mass, or none")
    return Signal(
        name,
        node["label"].text() if "label" in node else name,
        tuple(_file(one) for one in node["files"]) if _has(node, "files") else (),
        node["cross_section_pb"].number(1e-12, 1e12) if _has(node, "cross_section_pb") else None,
        _mass_name(node["spectrum"]) if _has(node, "spectrum") else None,
        node["mass"].number(1, MAX_GEV) if _has(node, "mass") else None,
    )


def _objects(node: Node) -> ObjectCuts:
    node.keys(set(), {"pt_min", "eta_max", "met_min", "counts", "remove_jets_that_are_leptons"})
    counts = {"jet": 10, "bjet": 10, "muon": 5, "electron": 5, "photon": 5}
    if "counts" in node:
        node["counts"].keys(set(), set(counts))
        counts |= {name: one.integer(0, 50) for name, one in node["counts"].items()}
    return ObjectCuts(
        node["pt_min"].number(0, 1e4) if "pt_min" in node else 30.0,
        node["eta_max"].number(0.1, 10) if "eta_max" in node else 2.4,
        node["met_min"].number(0, 1e4) if "met_min" in node else 30.0,
        tuple(counts.items()),
        node["remove_jets_that_are_leptons"].boolean() if "remove_jets_that_are_leptons" in node else False,
    )


def _mass_name(node: Node) -> str:
    name = node.text()
    try:
        spectrum(name)
    except Ad40Error as error:
        raise node.fault(f"the name of a mass, such as jj or jmumu ({error})") from error
    return name


def _spectra(node: Node) -> SpectraPlan:
    node.keys({"names", "bins", "fit_range"}, {"bin_range", "floors", "min_entries", "min_bins"})
    names = tuple(_mass_name(one) for one in node["names"])
    if not names or len(set(names)) != len(names):
        raise node["names"].fault("different names of masses")
    if "floors" in node:
        node["floors"].keys(set(), set(names))
    return SpectraPlan(
        names,
        node["bins"].choice(BINS),
        _pair(node["bin_range"], 1, MAX_GEV) if "bin_range" in node else (20.0, 8000.0),
        None if node["fit_range"].value == TURN_ON else _pair(node["fit_range"], 1, MAX_GEV),
        tuple((name, one.number(0, MAX_GEV)) for name, one in node["floors"].items()) if "floors" in node else (),
        node["min_entries"].integer(1, 10**9) if "min_entries" in node else 50,
        node["min_bins"].integer(8, 1000) if "min_bins" in node else 12,
    )


def _score(node: Node) -> Score:
    node.keys(set(), {"autoencoder", "column", "file"})
    if len(node.value) != 1:
        raise node.fault("exactly one of autoencoder, column, file")
    if "autoencoder" not in node:
        return Score(None, node["column"].text() if "column" in node else None,
                     _file(node["file"]) if "file" in node else None)  # fmt: skip
    ae = node["autoencoder"]
    ae.keys({"network"}, {"training_fraction", "initialisations", "epochs", "batch", "learning_rate"})
    return Score(
        Autoencoder(
            ae["network"].choice(NETWORKS),
            ae["training_fraction"].number(1e-6, 0.9) if "training_fraction" in ae else 0.01,
            ae["initialisations"].integer(1, 1000) if "initialisations" in ae else 50,
            ae["epochs"].integer(1, 10_000) if "epochs" in ae else 30,
            ae["batch"].integer(1, 10**6) if "batch" in ae else 100,
            ae["learning_rate"].number(1e-8, 1) if "learning_rate" in ae else 1e-3,
        ),
        None,
        None,
    )


def _regions(node: Node) -> Regions:
    node.keys({"cross_sections_pb"}, {"ystar_max"})
    values = tuple(one.number(1e-9, 1e12) for one in node["cross_sections_pb"])
    if not values or list(values) != sorted(set(values), reverse=True):
        raise node["cross_sections_pb"].fault("different cross-sections [pb], the largest (loosest) first")
    return Regions(values, node["ystar_max"].number(0.01, 5) if _has(node, "ystar_max") else None)


def _fits(node: Node) -> Fits:
    node.keys({"functions"}, {"order_p", "goodness_toys"})
    return Fits(
        _names(node["functions"], tuple(FUNCTIONS)),
        node["order_p"].number(1e-6, 0.5) if "order_p" in node else 0.05,
        node["goodness_toys"].integer(0, 10**6) if "goodness_toys" in node else 200,
    )


def _hunt(node: Node) -> HuntPlan:
    node.keys({"pseudo_experiments"}, {"claim_sigma"})
    return HuntPlan(
        node["pseudo_experiments"].integer(1, 10**7),
        node["claim_sigma"].number(0.1, 8) if "claim_sigma" in node else 3.0,
    )


def _limits(node: Node, streams: tuple[str, ...], plan: SpectraPlan, regions: Regions | None) -> LimitsPlan:
    node.keys({"widths_percent", "masses"}, {"streams", "spectra", "regions"})
    names = region_names(regions)
    return LimitsPlan(
        tuple(one.number(0, 50) for one in node["widths_percent"]),
        node["masses"].integer(1, 1000),
        _names(node["streams"], streams) if "streams" in node else streams[:1],
        _names(node["spectra"], plan.names) if "spectra" in node else plan.names,
        _names(node["regions"], names) if "regions" in node else names,
    )


def _scan(node: Node, streams: tuple[str, ...], plan: SpectraPlan, score: Score | None) -> ScanPlan:
    node.keys({"range_pb", "steps", "pseudo_experiments"}, {"streams", "spectra"})
    if score is None:
        raise node.fault("no scan without a score")
    low, high = _pair(node["range_pb"], 1e-9, 1e12)
    return ScanPlan(
        low,
        high,
        node["steps"].integer(2, 1000),
        node["pseudo_experiments"].integer(1, 10**7),
        _names(node["streams"], streams) if "streams" in node else streams,
        _names(node["spectra"], plan.names) if "spectra" in node else plan.names,
    )


def region_names(regions: Regions | None) -> tuple[str, ...]:
    """Names of the regions: "all", then one for each cross-section such as "10pb"."""
    return (ALL, *(f"{value:g}pb" for value in (regions.cross_sections_pb if regions else ())))
