"""What a dedicated seed does, on events that nothing was learnt from: rate, efficiency, overlap, cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from ad40.metrics import efficiency, wilson
from ad40.model import Trigger
from offline import inputs
from offline.inputs import Inputs
from offline.seeds import quantities, rates
from offline.seeds.group import TEST, Events, Group
from offline.seeds.learn import Candidate

MOST_POINTS = 100  # of a curve
COST = ("lut", "ff", "dsp", "stages", "latency_cycles", "latency_ns", "clock_ns", "fits", "reason", "latency_from")


def measure(
    group: Group, judged: Inputs, found: Sequence[Candidate], board: Trigger, signals: Sequence[Path]
) -> dict[str, Any]:
    """Rates, efficiencies and overlaps of the candidates, and of all seeds of a board whose last one is the new."""
    hz = rates.hz_of(judged)
    unseen = group.data.part(TEST)
    background, events = quantities.table(judged.codes), quantities.table(unseen.codes)
    rows, curves = [], {}
    for one in found:
        b, e = one.rule.score(background), one.rule.score(events)
        rows.append({"kind": one.kind, "threshold": one.threshold, "highest": one.rule.highest,
                     "efficiency": _kept(e >= one.threshold, unseen),
                     "rate_hz": rates.rate(b >= one.threshold, judged, hz)})  # fmt: skip
        if one.kind != "cuts":  # one cut less is no seed
            curves[one.kind] = _curve(b, hz, e, unseen.weight)
    scores, kept_scores = (board.score(one.codes.astype(np.int32)) for one in (judged, unseen))
    for k, network in enumerate(board.networks[:-1]):
        curves[network.name] = _curve(scores[:, k], hz, kept_scores[:, k], unseen.weight)
    fired, kept = board.menu.fired(scores, None), board.menu.fired(kept_scores, None)
    _hold(found[0], board, background, scores[:, -1])
    new = fired[:, -1]
    beside = []
    for i, seed in enumerate(board.menu.seeds):
        both = fired[:, i] & new
        beside.append({
            "seed": seed.name, "model": seed.model, "threshold": seed.threshold,
            "rate_hz": rates.rate(fired[:, i], judged, hz), "efficiency": _kept(kept[:, i], unseen),
            "overlap": float(hz[both].sum() / hz[new].sum()) if new.any() else None,
            "pure_rate_hz": rates.rate(new & ~fired[:, i], judged, hz),
            "pure_efficiency": _kept(kept[:, -1] & ~kept[:, i], unseen),
        })  # fmt: skip
    beside[-1] |= {"overlap": None, "pure_rate_hz": None, "pure_efficiency": None}
    document = {"candidates": rows, "seeds": beside, "signals": [_signal(path, board) for path in signals],
                "cluster_events": {"distinct": len(unseen), "weight": float(unseen.weight.sum())},
                "excess": _excess(group, found[0]), "labels": _labels(group, unseen, kept[:, -1])}  # fmt: skip
    return document | {"curves": curves}


def _hold(best: Candidate, board: Trigger, background: NDArray[np.integer], scores: NDArray[np.integer]) -> None:
    """The network must give the scores of its rule, event by event."""
    wrong = int(np.count_nonzero(best.rule.score(background) != scores))
    if wrong:
        raise CheckError(f"{board.networks[-1].name}: {wrong} of {len(scores)} scores differ from those of the rule")


def _kept(passed: NDArray[np.bool_], events: Events) -> list[float]:
    """Share of the events that pass, by their weights; the interval counts those of one parent, and those that stand
    for several, as one."""
    total = float(events.weight.sum())
    value = float(events.weight[passed].sum()) / total
    low, _, high = efficiency(np.repeat(passed, _times(events)), np.repeat(events.parent, _times(events)))
    return [min(low, value), value, max(high, value)]


def _times(events: Events) -> NDArray[np.int64]:
    return np.maximum(np.rint(events.weight), 1).astype(np.int64)


def _curve(
    background: NDArray[np.integer], hz: NDArray[np.float64], group: NDArray[np.integer], weight: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """(rates [Hz], efficiencies) at every threshold of a score that keeps something, at most `MOST_POINTS` of them."""
    cuts = np.unique(group)
    if len(cuts) > MOST_POINTS:
        cuts = np.unique(np.quantile(group, np.linspace(0, 1, MOST_POINTS), method="nearest"))
    pairs = [(float(hz[background >= cut].sum()), float(weight[group >= cut].sum() / weight.sum())) for cut in cuts]
    pairs = [pair for pair in pairs if pair[0] > 0]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _excess(group: Group, best: Candidate) -> dict[str, Any]:
    """What the seed keeps of the excess: (observed - expected) after it over the same before, on events that nothing
    was learnt from. None where nothing is in excess."""
    data = group.data.part(TEST)
    share = float(data.weight.sum() / group.data.weight.sum())
    before = float(data.weight.sum()), float(group.simulation.weight.sum()) * share
    data_kept = best.rule.score(quantities.table(data.codes)) >= best.threshold
    after = [float(data.weight[data_kept].sum()), 0.0]
    if len(group.simulation):
        kept = best.rule.score(quantities.table(group.simulation.codes)) >= best.threshold
        after[1] = float(group.simulation.weight[kept].sum()) * share
    excess = before[0] - before[1]
    return {"observed": [before[0], after[0]], "expected": [before[1], after[1]],
            "kept": (after[0] - after[1]) / excess if excess > 0 else None}  # fmt: skip


def _labels(group: Group, unseen: Events, kept: NDArray[np.bool_]) -> dict[str, Any]:
    """Where the truth is known: what share of each signal in the cluster is kept."""
    found = {}
    for number, name in group.labels.items():
        here = unseen.label == number
        if here.any():
            signal = unseen.take(here)
            found[name] = {"events": float(signal.weight.sum()), "efficiency": _kept(kept[here], signal)}
    return found


def _signal(path: Path, board: Trigger) -> dict[str, Any]:
    """What share of the events of a signal each seed keeps; pure: only the new one of the two."""
    events = inputs.read(path)
    fired = board.menu.fired(board.score(events.codes.astype(np.int32)), None)
    shares: list[dict[str, list[float]]] = [{}, {}]
    for i, seed in enumerate(board.menu.seeds):
        for k, passed in enumerate((fired[:, i], fired[:, -1] & ~fired[:, i])):
            shares[k][seed.name] = list(wilson(int(passed.sum()), len(events)))
    del shares[1][board.menu.seeds[-1].name]
    return {"file": str(path), "name": path.stem, "events": len(events), "efficiency": shares[0], "pure": shares[1]}


def cost(model: Path) -> dict[str, Any]:
    """LUTs and latency of a model folder, by `python -m firmware.cost` as a process; where it cannot run, why not."""
    done = subprocess.run([sys.executable, "-m", "firmware.cost", str(model), "--json"], capture_output=True, text=True,
                          check=False)  # fmt: skip
    if done.returncode:
        return {"known": False, "reason": (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]}
    row = json.loads(done.stdout)[0]
    return {"known": True} | {name: row[name] for name in COST}
