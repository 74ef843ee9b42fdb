"""Learn a rule that keeps a group of events at a given rate: cuts, one small tree, or a few.

Cuts are found by peeling (PRIM: Friedman and Fisher, Stat. Comput. 9 (1999) 123): again and again the cut that rejects
most background for what it loses of the group is tightened by a few percent, until the rate is reached. Trees are
boosted (scikit-learn's HistGradientBoostingClassifier), their leaf values rounded to whole numbers. The threshold is
the lowest whose rate is not above the target. Of all kinds the one is taken that keeps most of the events of the group
that none of them has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from offline.seeds.rules import Cut, Cuts, Node, Rule, Trees

KINDS = ("cuts", "tree", "trees")
BITS = 8  # of the largest sum of leaf values of several trees
Table = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How rules are learnt. rate_hz: target; max_cuts: different cuts; peel: share of the group that one step may lose;
    depth, trees: of trees; balances: weight of the group over that of the background, all are tried; seed: of all
    that is drawn."""

    rate_hz: float
    max_cuts: int = 5
    peel: float = 0.03
    depth: int = 4
    trees: int = 8
    rate: float = 0.3
    balances: tuple[float, ...] = (1.0, 0.03)
    seed: int = 40


@dataclass(frozen=True, eq=False)
class Sample:
    """What a rule is learnt from: tables (n, quantities) of the group and of what the trigger sees; weight of each
    event of the group (n,), and the rate that each background event stands for, Hz (m,)."""

    group: Table
    weight: Floats
    background: Table
    hz: Floats


@dataclass(frozen=True)
class Candidate:
    """A rule and its threshold. efficiency: of events of the group that it has not seen; hz: on those it has."""

    kind: str
    rule: Rule
    threshold: int
    efficiency: float
    hz: float


def candidates(
    learn: Sample, unseen: Table, weight: Floats, settings: Settings, kinds: Sequence[str] = KINDS
) -> list[Candidate]:
    """Candidates, one of each kind, the best first. unseen: events of the group to choose by, with their weights.
    Raises `CheckError` when no kind has a rule of the rate that keeps anything."""
    rules: list[tuple[str, Rule]] = []
    for kind in kinds:
        if kind == "cuts":
            rules.append((kind, peel(learn, settings)))
        else:
            trees = 1 if kind == "tree" else settings.trees
            depth = settings.depth if kind == "tree" else min(settings.depth, 3)
            rules += [(kind, boosted(learn, settings, trees, depth, balance)) for balance in settings.balances]
    found = []
    for kind, rule in rules:
        score = rule.score(learn.background)
        cut = rule.highest if kind == "cuts" else threshold(score, learn.hz, settings.rate_hz)
        kept = float(np.average(rule.score(unseen) >= cut, weights=weight))
        hz = float(learn.hz[score >= cut].sum())
        if kept > 0 and 0 < cut <= rule.highest and hz <= settings.rate_hz:
            found.append(Candidate(kind, rule, cut, kept, hz))
    best: dict[str, Candidate] = {}
    for one in sorted(found, key=lambda c: (-c.efficiency, c.hz)):
        best.setdefault(one.kind, one)
    if not best:
        raise CheckError(f"no rule of {', '.join(kinds)} keeps events of the group at {settings.rate_hz:g} Hz; "
                         "allow a higher rate or deeper trees")  # fmt: skip
    return list(best.values())


def threshold(score: NDArray[np.integer], hz: Floats, target: float) -> int:
    """The lowest whole score from which on the events (n,) have at most this rate."""
    values, where = np.unique(score, return_inverse=True)
    above = np.cumsum(np.bincount(where, weights=hz)[::-1])[::-1]  # rate at or above each value
    low = np.flatnonzero(above <= target)
    return int(values[low[0] - 1] + 1) if len(low) and low[0] else int(values[-1] + 1) if not len(low) else 0


def peel(sample: Sample, settings: Settings) -> Cuts:
    """Cuts by peeling, at most `max_cuts` different ones."""
    group, weight, background, hz = sample.group, sample.weight, sample.background, sample.hz
    box: dict[tuple[int, bool], Cut] = {}
    total = float(hz.sum())
    while total > settings.rate_hz and len(group):
        best: tuple[float, Cut] | None = None
        for column in range(group.shape[1]):
            order = np.argsort(group[:, column], kind="stable")
            ordered, share = group[order, column], np.cumsum(weight[order]) / weight.sum()
            for below in (False, True):
                if (column, below) not in box and len(box) >= settings.max_cuts:
                    continue
                present = box.get((column, below))
                least = _tighter(ordered, share, settings.peel, below, present.least if present else None)
                if least is None:
                    continue
                cut = Cut(column, least, below)
                kept = float(np.average(cut(group), weights=weight))
                left = float(hz[cut(background)].sum())
                gain = np.log(total / max(left, 1e-12)) / (0.002 - np.log(kept))
                if left < total and (best is None or gain > best[0]):
                    best = gain, cut
        if best is None:
            break
        cut = best[1]
        box[cut.column, cut.below] = cut
        kept_group, here = cut(group), cut(background)
        group, weight, background, hz = group[kept_group], weight[kept_group], background[here], hz[here]
        total = float(hz.sum())
    return Cuts(tuple(sorted(_needed(list(box.values()), sample, settings.rate_hz))))


def _needed(cuts: list[Cut], sample: Sample, rate_hz: float) -> list[Cut]:
    """The cuts without those that the rate does not need once the others are there, the costliest first."""
    passed = {cut: (cut(sample.group), cut(sample.background)) for cut in cuts}
    for cut in sorted(cuts, key=lambda c: float(np.average(passed[c][0], weights=sample.weight))):
        rest = [other for other in cuts if other != cut]
        if rest and float(sample.hz[np.logical_and.reduce([passed[other][1] for other in rest])].sum()) <= rate_hz:
            cuts = rest
    return cuts


def _tighter(ordered: Table, share: Floats, peel: float, below: bool, present: int | None) -> int | None:
    """The next cut on a quantity whose values in the group are `ordered`, with the share of the group up to each: about
    `peel` of the group are lost, more where many have the same value; None where all would be. present: the cut that
    there is."""
    low, high = int(ordered[0]), int(ordered[-1])
    if below:
        least = int(ordered[np.searchsorted(share, 1 - peel)]) + 1
        if present is not None and least >= present:
            least = high
        return least if least > low else None
    least = int(ordered[np.searchsorted(share, peel)])
    if present is not None and least <= present:
        least = low + 1
    return least if least <= high else None


def boosted(sample: Sample, settings: Settings, trees: int, depth: int, balance: float) -> Trees:
    """Boosted trees with whole leaf values. balance: weight of the group over that of the background."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.concatenate([sample.group, sample.background])
    y = np.repeat([1, 0], [len(sample.group), len(sample.background)])
    weight = np.concatenate([balance * sample.weight / sample.weight.sum(), sample.hz / sample.hz.sum()])
    model = HistGradientBoostingClassifier(
        max_iter=trees, max_depth=depth, max_leaf_nodes=1 << depth, learning_rate=settings.rate, early_stopping=False,
        min_samples_leaf=20, random_state=settings.seed,
    )  # fmt: skip
    model.fit(x, y, sample_weight=weight * len(x))
    predictors = [predictor for (predictor,) in model._predictors]
    values = [np.where(p.nodes["is_leaf"], p.nodes["value"], np.nan) for p in predictors]
    return Trees(tuple(_tree(p.nodes, whole) for p, whole in zip(predictors, _whole(values), strict=True)))


def _whole(values: Sequence[Floats]) -> list[NDArray[np.int64]]:
    """Leaf values (NaN elsewhere) of each tree as whole numbers from 0: ranks of a single tree, rounded otherwise."""
    if len(values) == 1:
        return [np.searchsorted(np.unique(v[~np.isnan(v)]), np.nan_to_num(v)) for v in values]
    above = [v - np.nanmin(v) for v in values]
    most = sum(float(np.nanmax(v)) for v in above)
    scale = ((1 << BITS) - 1 - len(values)) / most if most else 0.0
    return [np.rint(np.nan_to_num(v) * scale).astype(np.int64) for v in above]


def _tree(nodes: NDArray[Any], whole: NDArray[np.int64], at: int = 0) -> Node:
    """A tree of scikit-learn from a node on; x <= threshold goes left there."""
    node = nodes[at]
    if node["is_leaf"]:
        return Node(int(whole[at]))
    cut = Cut(int(node["feature_idx"]), int(np.floor(node["num_threshold"])) + 1)
    return Node(0, cut, _tree(nodes, whole, int(node["right"])), _tree(nodes, whole, int(node["left"])))
