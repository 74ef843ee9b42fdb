"""What makes a score fire: correlations with simple quantities, turn-on curves, overlap with cuts, ordinary menu."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.metrics import efficiency, threshold_at_fpr, tpr_at_fpr
from ad40.objects import present
from ad40.schema import Node
from training.evaluate import baselines

Codes = NDArray[np.integer]
GEV = ("leading lepton pT", "sum lepton pT", "MET", "HT")
COUNTS = ("leptons", "jets")
LEPTONS = ("egamma", "muon")
MANY_LEPTONS = 4  # "4 or more"
_BINS = 12


def quantities(codes: Codes) -> dict[str, NDArray[np.float64]]:
    """Simple quantities of events (n, 19, 3) by name, float64 (n,): `GEV` in GeV, and how many leptons and jets."""
    here, lsb = present(codes), spec.objects()["jet"].pt.lsb
    found = {name: values * lsb for name, values in baselines(codes).items()}
    count = {kind: here[:, spec.objects()[kind].slots].sum(axis=1) for kind in (*LEPTONS, "jet")}
    found |= {"leptons": (count["egamma"] + count["muon"]).astype(np.float64), "jets": count["jet"].astype(np.float64)}
    return {name: found[name] for name in (*GEV, *COUNTS)}


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks (n,) from 0, equal values sharing their mean rank."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    end = np.cumsum(count)
    return ((end + end - count - 1) / 2.0)[inverse]


def spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Rank correlation of two quantities (n,) in [-1, 1]; 0 when one of them is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else 0.0


def turn_on(
    value: NDArray[np.float64], fired: NDArray[np.bool_], parent: NDArray[np.int64], counted: bool
) -> list[dict[str, Any]]:
    """Share of events that fire in bins of a quantity (n,): rows of low, high, events, efficiency [low, value, high].

    counted: a bin for each number up to 6, the last open; else bins of widths that grow, up to the 99.95 % quantile.
    """
    if counted:
        edges = np.r_[np.arange(min(value.max(), 6) + 1), np.inf]
    else:
        top = float(np.quantile(value, 0.9995))
        edges = np.r_[np.unique(np.round(top * np.linspace(0, 1, _BINS + 1)[:-1] ** 1.3)), top, np.inf]
    rows = []
    for low, high in pairwise(edges):
        inside = (value >= low) & (value < high)
        if inside.any():
            rows.append({"low": float(low), "high": None if np.isinf(high) else float(high),
                         "events": int(inside.sum()),
                         "efficiency": list(efficiency(fired[inside], parent[inside]))})  # fmt: skip
    return rows


def overlap(score: NDArray[Any], codes: Codes, fpr: float) -> dict[str, Any]:
    """Of the events that a score keeps at an FPR: the share that each simple cut keeps too at the same FPR, that any
    of them does, and the share by the number of leptons, beside that of all events."""
    fired = score >= threshold_at_fpr(score, fpr)
    cuts = {name: values >= threshold_at_fpr(values, fpr) for name, values in baselines(codes).items()}
    leptons, total = np.minimum(quantities(codes)["leptons"], MANY_LEPTONS), max(int(fired.sum()), 1)
    counts = range(1, MANY_LEPTONS + 1)
    return {
        "fired": int(fired.sum()),
        "with": {name: int((fired & cut).sum()) / total for name, cut in cuts.items()},
        "with any": int((fired & np.any(list(cuts.values()), axis=0)).sum()) / total,
        "leptons": [int((leptons[fired] == k).sum()) / total for k in counts],
        "leptons of all": [float((leptons == k).mean()) for k in counts],
    }


def describe(
    score: NDArray[Any],
    signal_scores: dict[str, NDArray[Any]],
    background: tuple[Codes, NDArray[np.int64]],
    signals: dict[str, Codes],
    fprs: dict[str, float],
) -> dict[str, Any]:
    """Everything of one score. background: codes and families of its events."""
    codes, parent = background
    simple = quantities(codes)
    cuts, cut_signals = baselines(codes), {s: baselines(x) for s, x in signals.items()}
    return {
        "spearman": {name: spearman(score, value) for name, value in simple.items()},
        "turn_on": {
            label: {
                name: turn_on(value, score >= threshold_at_fpr(score, fpr), parent, name in COUNTS)
                for name, value in simple.items()
            }
            for label, fpr in fprs.items()
        },
        "overlap": {label: overlap(score, codes, fpr) for label, fpr in fprs.items()},
        "tpr": {
            label: {
                s: {"score": list(tpr_at_fpr(score, x, fpr, parent))}
                | {name: list(tpr_at_fpr(cuts[name], cut_signals[s][name], fpr, parent)) for name in cuts}
                for s, x in signal_scores.items()
            }
            for label, fpr in fprs.items()
        },
    }


def read_menu(node: Node) -> dict[str, dict[str, Any]]:
    """The ordinary menu of robustness.yaml: seed -> thresholds in GeV. Raises `SpecError` where it is malformed."""
    menu: dict[str, dict[str, Any]] = {}
    for name, child in node.items():
        child.keys(set(), {"egamma", "muon", "jet", "ht", "met"})
        menu[name] = {}
        for what, value in child.items():
            single = what in ("ht", "met")
            menu[name][what] = value.number(0, 1e5) if single else [one.number(0, 1e5) for one in value]
            if not single and len(menu[name][what]) > spec.objects()[what].count:
                raise value.fault(f"at most {spec.objects()[what].count} thresholds")
        if not menu[name]:
            raise child.fault("thresholds")
    return menu


def menu_accepts(codes: Codes, menu: dict[str, dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
    """Which events (n, 19, 3) each seed of the ordinary menu takes: bool (n,) by name."""
    simple, sums = quantities(codes), {"ht": "HT", "met": "MET"}
    taken = {}
    for name, seed in menu.items():
        passed = np.ones(len(codes), np.bool_)
        for what, wanted in seed.items():
            if what in sums:
                passed &= simple[sums[what]] >= wanted
                continue
            kind = spec.objects()[what]
            block = codes[:, kind.slots, 0].astype(np.float64)
            pt = np.where(block > 0, (block - kind.pt.offset) * kind.pt.lsb, 0.0)
            for i, cut in enumerate(wanted):
                passed &= pt[:, i] >= cut
        taken[name] = passed
    return taken
