"""The generator's two documents, `processes.yaml` and `detector.yaml`, read and checked: an unknown key, a missing
one or a value out of range is refused with its path before any event is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ad40.files import read_yaml
from ad40.schema import Node

FOLDER = Path(__file__).parent

# What a node must be: a mapping of keys (a key with "?" may be missing; the key "*" stands for any name), or a check
Shape: TypeAlias = "dict[str, Shape] | Callable[[Node], object]"


def conform(node: Node, shape: Shape) -> None:
    """Hold a document against a shape; `SpecError` names the path of the first fault."""
    if callable(shape):
        shape(node)
    elif "*" in shape:
        for _, child in node.items():
            conform(child, shape["*"])
    else:
        named = {key.rstrip("?"): rule for key, rule in shape.items()}
        node.keys({key for key in shape if not key.endswith("?")}, {key[:-1] for key in shape if key.endswith("?")})
        for key, child in node.items():
            conform(child, named[key])


def _number(low: float, high: float) -> Callable[[Node], object]:
    return lambda node: node.number(low, high)


def _integer(low: int, high: int) -> Callable[[Node], object]:
    return lambda node: node.integer(low, high)


def _each(check: Callable[[Node], object]) -> Callable[[Node], object]:
    return lambda node: [check(item) for item in node]


def _row(columns: int) -> Callable[[Node], list[float]]:
    def check(node: Node) -> list[float]:
        values = [item.number(-1e12, 1e12) for item in node]
        if len(values) != columns:
            raise node.fault(f"{columns} numbers")
        return values

    return check


def _rows(columns: int) -> Callable[[Node], object]:
    """A table: rows of so many numbers, the first of which is an upper edge and rises."""

    def check(node: Node) -> None:
        rows = [_row(columns)(item) for item in node]
        if not rows or any(b[0] <= a[0] for a, b in pairwise(rows)):
            raise node.fault("at least one row, upper edges rising")

    return check


def _optional_number(node: Node) -> None:
    if node.value is not None:
        node.number(0, 1e4)


_EFFICIENCY, _COUNT, _ENERGY = _number(0, 1), _integer(1, 1 << 40), _number(0, 1e6)
_LINES = _each(Node.text)
_SLICE: Shape = {
    "low": _ENERGY,
    "high": _number(-1, 1e6),
    "cross_section": _number(1e-12, 1e15),
    "oversampling?": _COUNT,
    "heavy_pt?": _ENERGY,
}
_STREAM: Shape = {
    "met?": _ENERGY,
    "types?": _each(lambda node: node.choice(("jet", "bjet", "muon", "electron", "photon"))),
    "pt?": _each(_ENERGY),
    "loose": _EFFICIENCY,
}
_PARTON_STREAMS: Shape = {
    **{f"{name}?": _ENERGY for name in ("scale", "jet", "photon", "lepton", "lepton_pair", "invisible")},
    "jets?": _row(2),
}

PROCESSES: Shape = {
    "version": _COUNT,
    "common": _LINES,
    "fast": _LINES,
    "filter": {
        "pt_min": _ENERGY,
        "isolation_max": _number(0, 1e3),
        "preselect_pt": _ENERGY,
        "preselect_abs_eta": _number(0, 10),
        "preselect_isolation": _number(0, 1e3),
    },
    "pileup": {
        "mean": _number(0, 1e3),
        "pool_events": _COUNT,
        "pool_chunk": _COUNT,
        "fast_extra": _integer(0, 100),
    },
    "stream_filter": {
        "pt_min": _ENERGY,
        "abs_eta_max": _number(0, 10),
        "loose_abs_eta": _number(0, 10),
        "streams": {"*": _STREAM},
    },
    "mix": {"*": _EFFICIENCY},
    "search": _LINES,
    "chunk_scales": _each(_number(1e-3, 1e3)),
    "processes": {
        "*": {
            "code": _integer(0, 255),
            "settings": _LINES,
            "parton_veto?": _optional_number,
            "parton_streams?": _PARTON_STREAMS,
            "tries?": _COUNT,
            "luminosity?": _number(1e-12, 1e12),
            "slices?": _each(lambda node: conform(node, _SLICE)),
        }
    },
    "lhco": {
        "version": _COUNT,
        "trigger": {"radius": _number(0.01, 5), "pt_min": _ENERGY, "abs_eta_max": _number(0, 10)},
        "processes": {"*": {"label": _integer(0, 1), "tries": _COUNT, "settings": _LINES}},
    },
}

_CALORIMETER: Shape = {
    "energy_min": _ENERGY,
    "significance_min": _number(0, 100),
    "resolution": _rows(4),
    "cells": _rows(3),
}

_LEPTON: Shape = {"abs_eta_max": _number(0, 10), "pt_min": _ENERGY, "isolation_max": _number(0, 1e3)}
_CURVE: Shape = dict.fromkeys(("scale", "rise", "fall"), _number(0, 1e3))
OFFLINE: Shape = {
    "version": _COUNT,
    "electron": _LEPTON,
    "muon": _LEPTON,
    "photon": {
        **_LEPTON,
        "resolution": _EFFICIENCY,
        "efficiency": _rows(2),
        "fake_efficiency": _EFFICIENCY,
        "truth_pt_min": _ENERGY,
        "truth_cone": _number(0, 5),
        "truth_share": _EFFICIENCY,
    },
    "jet": {"pt_min": _ENERGY},
    "overlap": {"cone": _number(0, 5), "share": _EFFICIENCY, "jet_pt_min": _ENERGY},
    "btag": {
        "name": Node.text,
        "source": Node.text,
        "cone": _number(0, 5),
        "hadron_pt_min": _ENERGY,
        "abs_eta_max": _number(0, 10),
        "b": _CURVE,
        "c": _CURVE,
        "light": {"constant": _EFFICIENCY, "slope": _EFFICIENCY},
    },
}

DETECTOR: Shape = {
    "solenoid": {"field_tesla": _number(0, 20), "radius": _number(0, 20), "half_length": _number(0, 50)},
    "vertex": {"sigma_z": _number(0, 1), "track_window": _number(0, 1)},
    "tracking_efficiency": dict.fromkeys(("hadron", "electron", "muon"), _rows(5)),
    "tracking_pt_min": _ENERGY,
    "hadron_pt_resolution": _rows(4),
    "electron_energy_resolution": _rows(2),
    "muon_pt_resolution": _rows(5),
    "ecal": _CALORIMETER,
    "hcal": _CALORIMETER,
    "strange_ecal_share": _EFFICIENCY,
    "electron": {
        "abs_eta_max": _number(0, 10),
        "pt_min": _ENERGY,
        "efficiency": {"abs_eta": _each(_number(0, 10)), "rows": _rows(6)},
    },
    "muon": {"abs_eta_max": _number(0, 10), "pt_min": _ENERGY, "efficiency": _rows(5)},
    "isolation": {"cone": _number(0, 5), "object_pt_min": _ENERGY},
    "jet": {
        "radius": _number(0.01, 5),
        "pt_min": _ENERGY,
        "abs_eta_max": _number(0, 10),
        "include_leptons": Node.boolean,
        "pileup_density": {
            "tile_eta": _number(0.01, 5),
            "tiles_phi": _integer(1, 1000),
            "abs_eta": _each(_row(2)),
        },
    },
    "offline": OFFLINE,
}


def _read(path: Path, shape: Shape) -> dict[str, Any]:
    node = Node(read_yaml(path), path)
    conform(node, shape)
    document: dict[str, Any] = node.value
    return document


@functools.cache
def processes(path: Path = FOLDER / "processes.yaml") -> dict[str, Any]:
    """The document `processes.yaml`. Raises `SpecError`."""
    document = _read(path, PROCESSES)
    node = Node(document, path)
    for name in document["mix"]:
        if name not in document["processes"]:
            raise node["mix"][name].fault("the share of a process that stands under `processes`")
    for index, name in enumerate(document["search"]):
        if "luminosity" not in document["processes"].get(name, {}):
            raise node["search"][index].fault("a process with a luminosity that stands under `processes`")
    if abs(sum(document["mix"].values()) - 1) > 1e-9:
        raise node["mix"].fault("shares that add up to 1")
    return document


@functools.cache
def detector_settings(path: Path = FOLDER / "detector.yaml") -> dict[str, Any]:
    """The document `detector.yaml`. Raises `SpecError`."""
    return _read(path, DETECTOR)
