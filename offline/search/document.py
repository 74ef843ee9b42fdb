"""Reading an analysis document: YAML, checked as a whole before any work.

Names of streams, spectra, functions and networks are checked against the modules that define them. Files are relative
to the document's folder.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ad40.errors import Ad40Error, InputError, SpecError
from ad40.files import read_yaml
from ad40.schema import Node
from offline.autoencoder.initialisations import Settings
from offline.objects.collection import COUNTS
from offline.objects.nanoaod import Options
from offline.objects.selection import STREAMS, Cuts
from offline.objects.spectra import RESOLUTIONS, spectrum
from offline.search.analysis import (
    Analysis,
    Fits,
    HuntPlan,
    LimitsPlan,
    Regions,
    ScanPlan,
    Score,
    Signal,
    SpectraPlan,
    claim_p,
    region_names,
)
from offline.statistics.functions import FUNCTIONS
from offline.statistics.limits import METHODS

VERSION = 1
SAMPLE = "sample"
MAX_GEV = 1e5
REQUIRED = {"version", "name", "title", "streams", "spectra", "fits", "hunt"}
OPTIONAL = {"luminosity_fb", "seed", "data", "events", "signals", "objects", "score", "regions", "limits", "scan",
            "nanoaod", "status"}  # fmt: skip


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
    node.keys(REQUIRED, OPTIONAL)
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
        status=node["status"].text() if _has(node, "status") else "",
        luminosity_fb=_luminosity(node["luminosity_fb"]) if _has(node, "luminosity_fb") else None,
        seed=node["seed"].integer(0, 2**31) if "seed" in node else 40,
        data=tuple(_file(one) for one in node["data"]) if _has(node, "data") else (),
        events=_file(node["events"]) if _has(node, "events") else None,
        nanoaod=_nanoaod(node["nanoaod"]) if _has(node, "nanoaod") else None,
        signals=_signals(node["signals"], streams, plan) if _has(node, "signals") else (),
        cuts=_cuts(node["objects"] if "objects" in node else Node({}, path, "objects")),
        counts=tuple((COUNTS | _counts(node)).items()),
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


def _signals(node: Node, streams: tuple[str, ...], plan: SpectraPlan) -> tuple[Signal, ...]:
    return tuple(_signal(name, one, streams, plan) for name, one in node.items())


def _signal(name: str, node: Node, streams: tuple[str, ...], plan: SpectraPlan) -> Signal:
    node.keys(set(), {"label", "files", "cross_section_pb", "spectrum", "stream"})
    if not name.replace("_", "").replace("-", "").isalnum() or name == "data":
        raise node.fault("a name of letters, digits, - and _, other than data")
    return Signal(
        name,
        node["label"].text() if "label" in node else name,
        tuple(_file(one) for one in node["files"]) if _has(node, "files") else (),
        node["cross_section_pb"].number(1e-12, 1e12) if _has(node, "cross_section_pb") else None,
        node["spectrum"].choice(plan.names) if _has(node, "spectrum") else None,
        node["stream"].choice(streams) if _has(node, "stream") else None,
    )


def _nanoaod(node: Node) -> Options:
    node.keys({"btag", "btag_threshold"}, {"met", "require", "weight", "pileup"})
    given: dict[str, Any] = {name: node[name].text() for name in ("met", "weight", "pileup") if _has(node, name)}
    require = {name: one.number(-1e9, 1e9) for name, one in node["require"].items()} if "require" in node else {}
    return Options(node["btag"].text(), node["btag_threshold"].number(-1e9, 1e9), require=require, **given)


def _cuts(node: Node) -> Cuts:
    node.keys(set(), {"pt_min", "eta_max", "met_min", "counts", "remove_jets_that_are_leptons"})
    limits = {"pt_min": 1e4, "eta_max": 20, "met_min": 1e4}
    given: dict[str, Any] = {name: node[name].number(0, high) for name, high in limits.items() if name in node}
    if "remove_jets_that_are_leptons" in node:
        given["remove_jets_that_are_leptons"] = node["remove_jets_that_are_leptons"].boolean()
    return Cuts(**given)


def _counts(node: Node) -> dict[str, int]:
    if "objects" not in node or "counts" not in node["objects"]:
        return {}
    counts = node["objects"]["counts"]
    counts.keys(set(), set(COUNTS))
    return {name: one.integer(0, 50) for name, one in counts.items()}


def _mass_name(node: Node) -> str:
    name = node.text()
    try:
        spectrum(name)
    except Ad40Error as error:
        raise node.fault(f"the name of a mass, such as jj or jmumu ({error})") from error
    return name


def _spectra(node: Node) -> SpectraPlan:
    node.keys({"names", "bins"}, {"bin_range", "fit_range", "floors", "falling_from", "min_entries"})
    names = tuple(_mass_name(one) for one in node["names"])
    if not names or len(set(names)) != len(names):
        raise node["names"].fault("different names of masses")
    starts: dict[str, tuple[tuple[str, float], ...]] = {"floors": (), "falling_from": ()}
    for key in starts:
        if key in node:
            node[key].keys(set(), set(names))
            starts[key] = tuple((name, one.number(0, MAX_GEV)) for name, one in node[key].items())
    return SpectraPlan(
        names,
        node["bins"].choice(RESOLUTIONS),
        _pair(node["bin_range"], 1, MAX_GEV) if "bin_range" in node else (20.0, 8000.0),
        _pair(node["fit_range"], 1, MAX_GEV) if _has(node, "fit_range") else None,
        starts["floors"],
        node["min_entries"].integer(1, 10**9) if "min_entries" in node else 50,
        starts["falling_from"],
    )


def _score(node: Node) -> Score:
    node.keys(set(), {"autoencoder", "column", "files"})
    if len(node.value) != 1:
        raise node.fault("exactly one of autoencoder, column, files")
    if "column" in node:
        return Score(None, node["column"].text(), None)
    if "files" in node:
        return Score(None, None, tuple((name, _file(one)) for name, one in node["files"].items()))
    ae, given = node["autoencoder"], {}
    kinds = {f.name: type(f.default) for f in dataclasses.fields(Settings) if f.name != "seed"}
    ae.keys({"network"}, set(kinds))
    for name, one in ae.items():
        kind = kinds[name]
        given[name] = one.text() if kind is str else one.integer(1, 10**9) if kind is int else one.number(1e-9, 1)
    try:
        return Score(Settings(**given), None, None)
    except Ad40Error as error:
        raise ae.fault(str(error)) from error


def _regions(node: Node) -> Regions:
    node.keys({"cross_sections_pb"}, {"ystar_max"})
    values = tuple(one.number(1e-9, 1e12) for one in node["cross_sections_pb"])
    if not values or list(values) != sorted(set(values), reverse=True):
        raise node["cross_sections_pb"].fault("different cross-sections [pb], the largest (loosest) first")
    return Regions(values, node["ystar_max"].number(0.01, 5) if _has(node, "ystar_max") else None)


def _fits(node: Node) -> Fits:
    node.keys({"functions"}, {"order_p", "goodness_toys"})
    names = _names(node["functions"], tuple(FUNCTIONS))
    if not all(FUNCTIONS[large].contains(FUNCTIONS[small]) for small, large in pairwise(names)):
        raise node["functions"].fault("functions of which each contains the one before it, such as p3, p4, p5")
    return Fits(
        names,
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
    node.keys({"widths_percent", "masses"}, {"method", "streams", "spectra", "regions"})
    names = region_names(regions)
    return LimitsPlan(
        tuple(one.number(0, 50) for one in node["widths_percent"]),
        node["masses"].integer(1, 1000),
        node["method"].choice(METHODS) if "method" in node else "asymptotic",
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
