"""Learn a rule that keeps what is in excess in a cluster at a given rate: cuts, one small tree, or a few.

Cuts are found by peeling (PRIM: Friedman and Fisher, Stat. Comput. 9 (1999) 123): again and again the cut that rejects
most background for what it loses of the excess is tightened by a few percent, until the rate is reached. Trees are
boosted (scikit-learn's HistGradientBoostingClassifier): data of the cluster against what the trigger sees and, with
some weight, against the simulated events of the cluster, which most of its data are like; their leaf values are rounded
to whole numbers. The threshold is the lowest whose rate, on other events, is not above the target. Of all kinds the one
is taken that keeps most of the excess among events that none of them has seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from offline.seeds.excess import Excess
from offline.seeds.rules import Cut, Cuts, Node, Rule, Trees

KINDS = ("cuts", "tree", "trees")
LEAST_KEPT = 0.02  # of the excess, by one step of peeling
BITS = 8  # of the largest sum of leaf values of several trees
Table = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How rules are learnt. rate_hz: target; max_cuts: different cuts; peel: share of the cluster that one step may
    lose; depth, trees, shrinkage: of trees; mixtures: of what trees are learnt from, all tried: weight of the data, and
    of the simulated events of the cluster over that, with 1 of what the trigger sees. The less the data weigh, the more
    the trees look at where the background is least; seed: of all that is drawn."""

    rate_hz: float
    max_cuts: int = 5
    peel: float = 0.03
    depth: int = 4
    trees: int = 8
    shrinkage: float = 0.3
    mixtures: tuple[tuple[float, float], ...] = ((1.0, 2.0), (0.1, 2.0), (0.1, 0.0), (0.01, 0.0))
    seed: int = 40


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of a cluster: tables (n, quantities) of data and of simulation, with the weights of both."""

    data: Table
    known: Table
    excess: Excess

    def passing(self, data: NDArray[np.bool_], known: NDArray[np.bool_]) -> Sample:
        """The events that pass."""
        parts = (getattr(self.excess, name) for name in self.excess.__dataclass_fields__)
        rows = (data, known, data, known)
        excess = Excess(*(part[here] for part, here in zip(parts, rows, strict=True)))
        return Sample(self.data[data], self.known[known], excess)

    def share(self, cut: Cut) -> float:
        """Share of the excess that a cut keeps."""
        return self.excess.share(cut(self.data), cut(self.known))


@dataclass(frozen=True, eq=False)
class Input:
    """What the trigger sees: table (m, quantities), and the rate that each event stands for, Hz (m,)."""

    table: Table
    hz: Floats


@dataclass(frozen=True)
class Candidate:
    """A rule and its threshold. kept: share of the excess of events that it has not seen; hz: where the
    threshold comes from."""

    kind: str
    rule: Rule
    threshold: int
    kept: float
    hz: float


def candidates(
    learn: Sample, seen: Input, hold: Input, choose: Sample, settings: Settings, kinds: Sequence[str] = KINDS
) -> list[Candidate]:
    """Candidates, one of each kind, the best first. hold: other events of what the trigger sees, for the thresholds of
    trees, and for cuts; choose: other events of the cluster, to choose by. Raises `CheckError` when there is no excess,
    or no kind has a rule of the rate that keeps any of it."""
    if learn.excess.total <= 0 or choose.excess.total <= 0:
        raise CheckError("the data of the cluster do not exceed what simulation expects: there is nothing to learn")
    rules: list[tuple[str, Rule]] = []
    for kind in kinds:
        if kind == "cuts":
            rules.append((kind, peel(learn, hold, settings)))
        else:
            trees = 1 if kind == "tree" else settings.trees
            depth = settings.depth if kind == "tree" else min(settings.depth, 3)
            mixtures = settings.mixtures
            if not len(learn.known):
                mixtures = tuple(dict.fromkeys((weight, 0.0) for weight, _ in mixtures))
            rules += [(kind, boosted(learn, seen, settings, trees, depth, *mixture)) for mixture in mixtures]
    found = []
    for kind, rule in rules:
        score = rule.score(hold.table)
        cut = rule.highest if kind == "cuts" else threshold(score, hold.hz, settings.rate_hz)
        kept = choose.excess.share(rule.score(choose.data) >= cut, rule.score(choose.known) >= cut)
        hz = float(hold.hz[score >= cut].sum())
        if kept > 0 and 0 < cut <= rule.highest and hz <= settings.rate_hz:
            found.append(Candidate(kind, rule, cut, kept, hz))
    best: dict[str, Candidate] = {}
    for one in sorted(found, key=lambda c: (-c.kept, c.hz)):
        best.setdefault(one.kind, one)
    if not best:
        raise CheckError(f"no rule of {', '.join(kinds)} keeps some of the excess at {settings.rate_hz:g} Hz; "
                         "allow a higher rate")  # fmt: skip
    return list(best.values())


def threshold(score: NDArray[np.integer], hz: Floats, target: float) -> int:
    """The lowest whole score from which on the events (n,) have at most this rate."""
    values, where = np.unique(score, return_inverse=True)
    above = np.cumsum(np.bincount(where, weights=hz)[::-1])[::-1]  # rate at or above each value
    low = np.flatnonzero(above <= target)
    return int(values[low[0] - 1] + 1) if len(low) and low[0] else int(values[-1] + 1) if not len(low) else 0


def peel(sample: Sample, seen: Input, settings: Settings) -> Cuts:
    """Cuts by peeling, at most `max_cuts` different ones."""
    left, table, hz = sample, seen.table, seen.hz
    box: dict[tuple[int, bool], Cut] = {}
    while hz.sum() > settings.rate_hz:
        best: tuple[float, Cut] | None = None
        for column in range(table.shape[1]):
            order = np.argsort(left.data[:, column], kind="stable")
            ordered, share = left.data[order, column], np.cumsum(left.excess.data[order]) / left.excess.data.sum()
            for below in (False, True):
                present = box.get((column, below))
                if present is None and len(box) >= settings.max_cuts:
                    continue
                least = _tighter(ordered, share, settings.peel, below, present.least if present else None)
                if least is None:
                    continue
                cut = Cut(column, least, below)
                kept, rest = left.share(cut), float(hz[cut(table)].sum())
                if kept <= LEAST_KEPT or rest >= hz.sum():
                    continue
                gain = math.log(hz.sum() / max(rest, 1e-12)) / max(0.002, 0.002 - math.log(kept))
                if best is None or gain > best[0]:
                    best = gain, cut
        if best is None:
            break
        cut = best[1]
        box[cut.column, cut.below] = cut
        left = left.passing(cut(left.data), cut(left.known))
        here = cut(table)
        table, hz = table[here], hz[here]
    return Cuts(tuple(sorted(_needed(list(box.values()), sample, seen, settings.rate_hz))))


def _needed(cuts: list[Cut], sample: Sample, seen: Input, rate_hz: float) -> list[Cut]:
    """The cuts without those that the rate does not need once the others are there, the costliest first."""
    passed = {cut: cut(seen.table) for cut in cuts}
    for cut in sorted(cuts, key=sample.share):
        rest = [other for other in cuts if other != cut]
        if rest and float(seen.hz[np.logical_and.reduce([passed[other] for other in rest])].sum()) <= rate_hz:
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


def boosted(
    sample: Sample, seen: Input, settings: Settings, trees: int, depth: int, weight: float, against: float
) -> Trees:
    """Boosted trees with whole leaf values. weight, against: see `Settings`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    parts = [(sample.data, 1, sample.excess.data, weight), (seen.table, 0, seen.hz, 1.0)]
    if against:
        parts.append((sample.known, 0, sample.excess.known, weight * against))
    x = np.concatenate([table for table, *_ in parts])
    y = np.concatenate([np.full(len(table), of) for table, of, *_ in parts])
    weights = np.concatenate([total * each / each.sum() for _, _, each, total in parts])
    model = HistGradientBoostingClassifier(
        max_iter=trees, max_depth=depth, max_leaf_nodes=1 << depth, learning_rate=settings.shrinkage,
        early_stopping=False, min_samples_leaf=20, random_state=settings.seed,
    )  # fmt: skip
    model.fit(x, y, sample_weight=weights * len(x))
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
