"""`ad40 cluster show`: what is in a cluster of triggered events."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from offline.objects.record import from_codes
from offline.objects.spectra import RESOLUTIONS, Spectrum, bin_edges, masses, spectrum
from offline.seeds import quantities
from offline.seeds.describe import Separation, separations
from offline.seeds.group import Events, Group, read_groups

HELP = "events of flagged clusters: displays, what sets them apart, their masses"
EPILOG = "example: ad40 cluster show build/cluster --output build/cluster/show"
SUMMARY = "show.json"

SPECTRA = ("jj", "je", "jmu", "ee", "mumu", "emu", "eee", "eemu", "emumu", "mumumu", "eeee", "eemumu", "mumumumu")
"""Masses that are drawn where the cluster has `LEAST` events with all of their members."""
LEAST = 20
MOST_BINS = 40
SHOWN = 10  # quantities in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("result", type=Path, metavar="RESULT", help="folder of a result of `ad40 cluster`")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")
    parser.add_argument("--cluster", type=int, nargs="+", metavar="N", help="clusters (default: all that are flagged)")
    parser.add_argument("--events", type=int, default=4, metavar="N",
                        help="displays of each, the events closest to the centre (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Describe the clusters; write show.json, figures and show.html; return the summary."""
    if not 1 <= args.events <= 20:
        raise InputError("command line", "--events", args.events, "1 to 20")
    groups = read_groups(args.result, args.cluster)
    from offline.seeds.show_page import write  # matplotlib: only where figures are drawn

    writable_folder(args.output)
    found = [describe(group, args.events) for group in groups]
    summary: dict[str, Any] = {"result": str(args.result), "clusters": [one["document"] for one in found]}
    page, plots = write(args.output, groups, found)
    summary["plots"] = plots
    write_json(args.output / SUMMARY, summary)
    for one in summary["clusters"]:
        best = one["separations"][0]
        print(f"cluster {one['cluster']}: {one['observed']:,.0f} events, {one['expected']:,.1f} expected; most of its "
              f"own: {best['quantity']} (AUC {best['auc'][1]:.3f})")  # fmt: skip
    print(f"written: {page}")
    return {"page": str(page)} | summary


def describe(group: Group, events: int) -> dict[str, Any]:
    """What is to be shown of a cluster: `document` for JSON, and what figures are drawn from."""
    names = quantities.quantities()
    tables = {name: quantities.table(part.codes) for name, part in
              (("data", group.data), ("simulation", group.simulation), ("others", group.others))}  # fmt: skip
    apart = separations(tables["data"], group.data.weight, tables["others"], group.others.weight, names)
    nearest = np.argsort(group.data.distance, kind="stable")[:events]
    spectra = [one for name in SPECTRA if (one := _masses(group, spectrum(name))) is not None]
    document = {
        "cluster": group.numbers[0], "observed": float(group.data.weight.sum()),
        "expected": float(group.simulation.weight.sum()),
        **{name: group.entry.get(name) for name in ("local_z", "global_p", "flagged", "populated")},
        "events_shown": group.data.row[nearest].tolist(),
        "separations": [_row(one) for one in apart[:SHOWN]],
        "spectra": [{name: one[name] for name in ("name", "events", "expected")} for one in spectra],
    }  # fmt: skip
    labels = {group.labels.get(int(k), "unlabelled"): float(group.data.weight[group.data.label == k].sum())
              for k in np.unique(group.data.label)}  # fmt: skip
    return {"document": document | ({"labels": labels} if group.labels else {}), "separations": apart[:SHOWN],
            "tables": tables, "names": names, "nearest": nearest, "spectra": spectra}  # fmt: skip


def _row(one: Separation) -> dict[str, Any]:
    return {"quantity": one.quantity.name, "units": one.quantity.units, "mean": one.mean[0], "mean_others": one.mean[1],
            "difference": one.difference, "auc": list(one.auc)}  # fmt: skip


def _masses(group: Group, wanted: Spectrum) -> dict[str, Any] | None:
    """One spectrum of a cluster; None where too few events have its members."""
    data, expected = _mass(group.data, wanted), _mass(group.simulation, wanted)
    here = ~np.isnan(data)
    if here.sum() < LEAST:
        return None
    low, high = np.quantile(data[here], [0.005, 0.985])
    edges = _edges(wanted, float(low), float(high))
    if edges is None:
        return None
    counts = np.histogram(data[here], edges, weights=group.data.weight[here])[0]
    known = ~np.isnan(expected)
    weight = group.simulation.weight[known]
    mean = np.histogram(expected[known], edges, weights=weight)[0]
    error = np.sqrt(np.histogram(expected[known], edges, weights=weight**2)[0])
    return {"name": wanted.name, "label": wanted.label, "edges": edges, "counts": counts, "mean": mean, "error": error,
            "events": float(group.data.weight[here].sum()), "expected": float(weight.sum())}  # fmt: skip


def _edges(wanted: Spectrum, low: float, high: float) -> list[float] | None:
    """Bins of the mass resolution of hardware objects from low to high, joined until there are `MOST_BINS`."""
    low, high = max(round(low), 1), max(round(high), 2)
    if low >= high:
        return None
    edges = bin_edges(wanted, low, high, RESOLUTIONS[1])
    step = -(-(len(edges) - 1) // MOST_BINS)
    kept = edges[::step].tolist()
    return [float(e) for e in kept] if len(kept) > 2 else None


def _mass(events: Events, wanted: Spectrum) -> NDArray[np.float64]:
    if not len(events):
        return np.zeros(0)
    return masses(from_codes(events.codes, {}), wanted)
