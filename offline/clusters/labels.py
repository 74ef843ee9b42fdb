"""Clusters against truth, where there is one: do they find the classes, also those that nothing was learnt from?

Hungarian accuracy: share of the events that lie in the cluster of their class, with clusters and classes paired one to
one so that it is largest (Kuhn, Naval Research Logistics Quarterly 2 (1955) 83). NMI and AMI: mutual information of
clusters and classes, normalised, and corrected for chance (Vinh, Epps, Bailey, JMLR 11 (2010) 2837). As in the
discovery of categories (Vaze et al., CVPR 2022) clusters are paired once, over all events, and the figures are given of
the events of seen and of unseen classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def paired(cluster: NDArray[np.integer], label: NDArray[np.integer]) -> dict[int, int]:
    """cluster -> class, one to one, so that most events lie in the cluster of their class. Both (n,)."""
    clusters, a = np.unique(cluster, return_inverse=True)
    classes, b = np.unique(label, return_inverse=True)
    table = np.zeros((len(clusters), len(classes)), np.int64)
    np.add.at(table, (a, b), 1)
    rows, columns = linear_sum_assignment(-table)
    return {int(clusters[i]): int(classes[j]) for i, j in zip(rows, columns, strict=True)}


def majority(cluster: NDArray[np.integer], label: NDArray[np.integer]) -> dict[int, int]:
    """cluster -> the class that most of its events are of."""
    return {int(k): int(np.bincount(label[cluster == k]).argmax()) for k in np.unique(cluster)}


def figures(
    cluster: NDArray[np.integer], label: NDArray[np.integer], unseen: Sequence[int] = ()
) -> dict[str, dict[str, Any]]:
    """Accuracy (Hungarian), purity (share in a cluster whose majority is of their class), nmi, ami of all events, and
    of the seen and unseen classes where some are unseen. cluster, label int (n,)."""
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

    pairs, most = paired(cluster, label), majority(cluster, label)
    right = np.array([pairs.get(int(k), -1) for k in cluster]) == label
    pure = np.array([most[int(k)] for k in cluster]) == label
    new = np.isin(label, list(unseen))
    parts = {"all": np.ones(len(label), bool)} | ({"seen": ~new, "unseen": new} if new.any() else {})
    return {
        name: {
            "events": int(here.sum()), "classes": len(np.unique(label[here])),
            "accuracy": float(right[here].mean()), "purity": float(pure[here].mean()),
            "nmi": float(normalized_mutual_info_score(label[here], cluster[here])),
            "ami": float(adjusted_mutual_info_score(label[here], cluster[here])),
        }
        for name, here in parts.items() if here.any()
    }  # fmt: skip
