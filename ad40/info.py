"""`ad40 info`: what a file of the project is and where it comes from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import golden, hlt, objects, record, released, spec
from ad40.errors import InputError
from ad40.events import open_events
from ad40.model import read_model

HELP = "explain a TriggerRecord, an event file or a model; without a path list the released models"
EPILOG = "examples: ad40 info; ad40 info ad40_v1; ad40 info build/run/kept.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "TriggerRecord (.h5), event file (.h5), model folder or name of a released model"
    parser.add_argument("path", type=released.folder, nargs="?", help=text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    path: Path | None = args.path
    if path is None:
        return _released()
    if path.is_dir():
        return _model(path)
    try:
        kept = record.read(path)
    except InputError as error:
        if error.field != "attributes":  # a record with a fault, not another kind of file
            raise
        return _events(path)
    return _record(kept)


def _released() -> dict[str, Any]:
    """Every released model that is here, and where."""
    rows = []
    for name in released.names():
        network = read_model(name).network
        layers = "-".join(map(str, network.widths))
        events = len(golden.read(released.FOLDER / name / golden.FILE).codes)
        print(f"{name} {network.version}: {layers}, {events} golden events, network {network.hash}")
        rows.append({"name": name, "version": network.version, "hash": network.hash, "golden_events": events})
    print(f"in {released.FOLDER}")
    return {"kind": "released", "models": rows, "folder": str(released.FOLDER)}


def _line(label: str, value: object) -> None:
    print(f"  {label:<22} {value}")


def _prescales(values: Sequence[float]) -> str:
    """The prescale of each column."""
    return " / ".join(f"{value:g}" for value in values)


def _multiplicities(codes: np.ndarray[Any, np.dtype[np.int32]]) -> dict[str, float]:
    here = objects.present(codes)
    return (
        {kind.name: float(here[:, kind.slots].sum(axis=1).mean()) for kind in spec.objects().types}
        if len(codes)
        else {}
    )


def _record(kept: record.TriggerRecord) -> dict[str, Any]:
    a = kept.attributes
    print(f"{kept.path}: TriggerRecord")
    _line("events", f"{len(kept):,} kept of {a['events_seen']:,} seen")
    _line("source", f"{a['source']['file']} (sha256 {a['source']['sha256'][:16]})")
    for model in a["models"]:
        _line("model", f"{model['name']} {model['version']} ({model['hash'][:16]})")
    _line("menu, object scales", f"{a['menu_hash'][:16]}, {a['spec_hash'][:16]}")
    if hlt.KEY in a:
        _stage(a[hlt.KEY])
    if len(kept):
        score = kept.columns["hw_score"]
        _line("hw_score", f"{score.min()} to {score.max()} in steps of 2^-{a['models'][0]['score_fraction']}")
        orbit = kept.columns["orbit"]
        _line("orbits", f"{orbit.min()} to {orbit.max()}")
        _line("objects per event", ", ".join(f"{n} {v:.2f}" for n, v in _multiplicities(kept.codes).items()))
    for seed in a["seeds"]:
        _line(seed["name"], f">= {seed['threshold']}, prescale {_prescales(seed['prescales'])}:"
              f" {seed['before']:,} fired, {seed['after']:,} passed")  # fmt: skip
    return {"kind": "record", "events": len(kept), **a}


def _stage(stage: dict[str, Any]) -> None:
    """The high-level stage of a record."""
    model, one_of = stage["model"], stage["pass_through"]
    _line("high-level stage", f"{stage['name']} ({stage['menu_hash'][:16]}), {model['name']} ({model['sha256'][:16]})")
    drawn = f"; one of {one_of:,} whatever their score: {stage['passed_through']:,}" if one_of else ""
    _line("", f"score >= {stage['threshold']:g}: {stage['accepted']:,} of {stage['events_in']:,}{drawn};"
          f" {stage['kept']:,} kept{', the rejected in the file too' if stage['rejected_too'] else ''}")  # fmt: skip


def _events(path: Path) -> dict[str, Any]:
    with open_events(path) as file:
        multiplicities = _multiplicities(file.codes(0, min(file.n, 10000)))
        print(f"{path}: event file, {file.kind}")
        _line("events", f"{file.n:,}")
        _line("columns", ", ".join(file.columns) or "none")
        if multiplicities:
            _line("objects per event", ", ".join(f"{n} {v:.2f}" for n, v in multiplicities.items()))
        for name, value in file.attributes.items():
            if name == "processes":
                for process, a in value.items():
                    _line(process, f"{a['events']:,} events, cross-section {a['cross_section_pb']:.4g} pb,"
                          f" filter efficiency {a['filter_efficiency']:.3g}")  # fmt: skip
            else:
                _line(name, value)
        return {
            "kind": file.kind,
            "events": file.n,
            "columns": list(file.columns),
            "attributes": file.attributes,
        }


def _model(path: Path) -> dict[str, Any]:
    model = read_model(path)
    network = model.network
    print(f"{path}: model {network.name} {network.version}")
    _line("network", network.hash)
    _line("layers", "-".join(map(str, network.widths)))
    for layer in network.layers:
        _line(layer.name, f"weights {layer.weight_format.width} bits, {np.mean(layer.weight == 0):.0%} zero;"
              f" output {layer.output.width} bits, {layer.activation}")  # fmt: skip
    _line("score", f"{network.score_text}, {network.score_width} bits, steps of 2^-{network.score_fraction}")
    for seed in model.menu.seeds:
        _line(seed.name, f">= {seed.threshold}, prescale {_prescales(seed.prescales)}")
    return {"kind": "model", "name": network.name, "version": network.version, "hash": network.hash}
