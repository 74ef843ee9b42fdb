"""Ensembles of decision trees as plain arrays: read from scikit-learn once, kept in HDF5, evaluated here.

A trained forest in a file must not be a program (pickle is one). The values are those of scikit-learn, which the tests
compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ad40.errors import MissingTool
from offline.model import Arrays

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees in one list. roots int32 (T,); of each node: feature int32 (-1: a leaf), threshold float64
    (to the left where x <= threshold), left and right int32, value float64 (of a leaf)."""

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats

    def sum(self, x: Floats) -> Floats:
        """Sum over the trees of the value of the leaf that each row of x (n, k) falls into. (n,)."""
        out = np.zeros(len(x))
        _sum(np.ascontiguousarray(x, np.float64), self.roots, self.feature, self.threshold, self.left, self.right,
             self.value, out)  # fmt: skip
        return out

    def arrays(self) -> Arrays:
        """For `Model.state`."""
        return {f"trees.{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, arrays: Arrays, features: int) -> Trees:
        """From `arrays`. Raises `KeyError` or `ValueError` when they are none, or would lead outside of themselves."""
        found = cls(**{name: arrays[f"trees.{name}"] for name in cls.__dataclass_fields__})
        n = len(found.feature)
        for name in ("threshold", "left", "right", "value"):
            if getattr(found, name).shape != (n,):
                raise ValueError(f"{name} of shape {getattr(found, name).shape}")
        inner = np.flatnonzero(found.feature >= 0)
        # children stand after their parent: every walk ends
        for child in (found.left[inner], found.right[inner]):
            if (child <= inner).any() or (child >= n).any():
                raise ValueError("nodes that lead nowhere")
        if (found.feature >= features).any() or (found.roots < 0).any() or (found.roots >= n).any():
            raise ValueError("features or roots out of range")
        return found


@numba.njit(cache=True, nogil=True)
def _sum(x, roots, feature, threshold, left, right, value, out):  # type: ignore[no-untyped-def]
    for row in range(len(x)):
        total = 0.0
        for root in roots:
            node = root
            while feature[node] >= 0:
                node = left[node] if x[row, feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[row] = total


def of_forest(forest: Any) -> Trees:
    """An `sklearn.ensemble.IsolationForest`: the value of a leaf is the expected depth of isolation in its tree, the
    depth of the leaf plus that of an unsuccessful search among its training entries (Liu, Ting, Zhou, ICDM 2008)."""
    parts = []
    for estimator, names in zip(forest.estimators_, forest.estimators_features_, strict=True):
        tree = estimator.tree_
        leaf = tree.children_left < 0
        depth = tree.compute_node_depths() - 1  # of the root: 0
        feature = np.where(leaf, -1, np.asarray(names)[np.maximum(tree.feature, 0)])
        value = np.where(leaf, depth + search_depth(tree.n_node_samples), 0.0)
        parts.append((feature, tree.threshold, tree.children_left, tree.children_right, value))
    return _joined(parts)


def search_depth(n: NDArray[np.integer[Any]]) -> Floats:
    """Mean depth of an unsuccessful search in a binary tree of n entries: 0 for 1, 1 for 2, else
    2 (ln(n - 1) + gamma) - 2 (n - 1) / n."""
    n = np.asarray(n, np.float64)
    more = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, more))


@dataclass(frozen=True)
class Isolation:
    """A fitted isolation forest. seen: entries that a tree saw."""

    trees: Trees
    seen: int

    @classmethod
    def fit(cls, x: NDArray[np.float32], trees: int, sample: int, seed: int) -> Isolation:
        """A forest of entries x (n, k), of so many trees that see a sample each."""
        try:
            from sklearn.ensemble import IsolationForest
        except ImportError as error:
            raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[offline]'`") from error
        found = IsolationForest(n_estimators=trees, max_samples=min(sample, len(x)), random_state=seed % 2**32).fit(x)
        return cls(of_forest(found), int(found.max_samples_))

    def score(self, x: NDArray[np.float32]) -> Floats:
        """2^(-mean depth / depth of an unsuccessful search in a tree of as many entries), 0 to 1: (n,). x in float32,
        as scikit-learn takes it: thresholds are on these numbers."""
        usual = max(float(search_depth(np.array(self.seen))), 1e-12)
        return 2.0 ** (-self.trees.sum(x.astype(np.float64)) / (len(self.trees.roots) * usual))

    def arrays(self) -> Arrays:
        """For `Model.state`."""
        return self.trees.arrays() | {"seen": np.array(self.seen)}

    @classmethod
    def of(cls, arrays: Arrays, features: int) -> Isolation:
        """From `arrays`. Raises as `Trees.of`."""
        return cls(Trees.of(arrays, features), int(arrays["seen"]))


def of_boosted(classifier: Any) -> Trees:
    """An `sklearn.ensemble.HistGradientBoostingClassifier` of two classes on numbers: `sum` is its decision function
    without the baseline. Uses its predictors, which the version in use has to have."""
    parts = []
    for (predictor,) in classifier._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        feature = np.where(leaf, -1, nodes["feature_idx"].astype(np.int64))
        parts.append((feature, nodes["num_threshold"], nodes["left"].astype(np.int64),
                      nodes["right"].astype(np.int64), np.where(leaf, nodes["value"], 0.0)))  # fmt: skip
    return _joined(parts)


def _joined(parts: list[tuple[Any, ...]]) -> Trees:
    sizes = [len(part[0]) for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    columns = [[], [], [], [], []]  # type: list[list[Any]]
    for start, (feature, threshold, left, right, value) in zip(starts, parts, strict=True):
        inner = feature >= 0
        for column, array in zip(columns, (feature, threshold, np.where(inner, left + start, -1),
                                           np.where(inner, right + start, -1), value), strict=True):  # fmt: skip
            column.append(array)
    kinds = (np.int32, np.float64, np.int32, np.int32, np.float64)
    joined = [np.concatenate(column).astype(kind) for column, kind in zip(columns, kinds, strict=True)]
    return Trees(starts.astype(np.int32), *joined)
