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
from offline.seeds.excess import Excess
from offline.seeds.group import TEST, Events, Group, excess_of
from offline.seeds.learn import Candidate

MOST_POINTS = 100  # of a curve
COST = ("lut", "ff", "dsp", "stages", "latency_cycles", "latency_ns", "clock_ns", "fits", "reason", "latency_from")


def measure(
    group: Group, judged: Inputs, found: Sequence[Candidate], board: Trigger, signals: Sequence[Path]
) -> dict[str, Any]:
    """Rates, efficiencies and overlaps of the candidates, and of all seeds of a board whose last one is the new."""
    hz, unseen, known = rates.hz_of(judged), group.data.part(TEST), group.simulation.part(TEST)
    excess = excess_of(unseen, known)
    if not len(unseen) or excess.total <= 0:
        raise CheckError("the unseen data of the cluster do not exceed what simulation expects: nothing can be judged")
    tables = [quantities.table(events.codes) for events in (judged, unseen, known)]
    rows, curves = [], {}
    for one in found:
        scores = [one.rule.score(table) for table in tables]
        passed = [score >= one.threshold for score in scores]
        rows.append({"kind": one.kind, "threshold": one.threshold, "highest": one.rule.highest,
                     "excess": excess.interval(*passed[1:]), "efficiency": _kept(passed[1], unseen),
                     "rate_hz": rates.rate(passed[0], judged, hz)})  # fmt: skip
        if one.kind != "cuts":  # one cut less is no seed
            curves[one.kind] = _curve(scores, hz, excess)
    boards = [board.score(events.codes.astype(np.int32)) for events in (judged, unseen, known)]
    for k, network in enumerate(board.networks[:-1]):
        curves[network.name] = _curve([scores[:, k] for scores in boards], hz, excess)
    _hold(found[0], board, tables[0], boards[0][:, -1])
    fired, kept, kept_known = (board.menu.fired(scores, None) for scores in boards)
    new, beside = fired[:, -1], []
    for i, seed in enumerate(board.menu.seeds):
        row: dict[str, Any] = {
            "seed": seed.name, "model": seed.model, "threshold": seed.threshold,
            "rate_hz": rates.rate(fired[:, i], judged, hz), "efficiency": _kept(kept[:, i], unseen),
            "excess": excess.interval(kept[:, i], kept_known[:, i]),
            "overlap": None, "pure_rate_hz": None, "pure_excess": None,
        }  # fmt: skip
        if i < len(board.menu.seeds) - 1:
            pure = [bits[:, -1] & ~bits[:, i] for bits in (fired, kept, kept_known)]
            row["overlap"] = float(hz[fired[:, i] & new].sum() / hz[new].sum()) if new.any() else None
            row |= {"pure_rate_hz": rates.rate(pure[0], judged, hz), "pure_excess": excess.interval(*pure[1:])}
        beside.append(row)
    document = {"candidates": rows, "seeds": beside, "signals": [_signal(path, board) for path in signals],
                "judged_on": {"events": float(unseen.weight.sum()), "distinct": len(unseen), "excess": excess.total,
                              "kept": float(unseen.weight[kept[:, -1]].sum())},
                "labels": _labels(group, unseen, kept[:, -1])}  # fmt: skip
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
    scores: Sequence[NDArray[np.integer]], hz: NDArray[np.float64], excess: Excess
) -> tuple[list[float], list[float]]:
    """(rates [Hz], shares of the excess) at every threshold of a score that keeps something, at most `MOST_POINTS` of
    them. scores: of the background, of data, and of simulated events of the cluster."""
    background, data, known = scores
    cuts = np.unique(data)
    if len(cuts) > MOST_POINTS:
        cuts = np.unique(np.quantile(data, np.linspace(0, 1, MOST_POINTS), method="nearest"))
    pairs = [(float(hz[background >= cut].sum()), excess.share(data >= cut, known >= cut)) for cut in cuts]
    pairs = [pair for pair in pairs if pair[0] > 0]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


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
