"""The supervised upper bound: boosted trees on high-level features that are told the labels. No search could do this.

It bounds what models on the same features can reach; a network on constituents may know more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import MissingTool
from offline.jets.events import need_labels
from offline.jets.features import features
from offline.jets.jets import Jets
from offline.jets.model import Arrays, JetModel, Settings, split
from offline.trees import Trees, of_boosted

FEATURES = ("mass", "msd", "mtrim", "tau1", "tau2", "tau3", "tau21", "tau32", "constituents")


@dataclass(frozen=True)
class SupervisedSettings(Settings):
    """Of the boosted trees."""

    features: tuple[str, ...] = field(default=FEATURES, metadata={"help": "names of the features"})
    rounds: int = field(default=200, metadata={"help": "trees, at most", "least": 1})
    patience: int = field(default=10, metadata={"help": "trees without a lower validation loss", "least": 1})
    learning_rate: float = field(default=0.1, metadata={"help": "of a tree", "least": 0, "above": True, "most": 1})
    leaves: int = field(default=31, metadata={"help": "of a tree, at most", "least": 2})
    validation: float = field(default=0.2, metadata={"help": "part of the events that decides when to stop",
                                                     "least": 0, "above": True, "most": 0.9})  # fmt: skip


class Supervised(JetModel):
    """Gradient-boosted trees, signal and background of equal total weight. Score: the decision function."""

    kind, about = "supervised", "boosted trees that know the labels: an upper bound, not a search"
    settings_type = SupervisedSettings
    settings: SupervisedSettings
    trees: Trees

    def _fit(self, jets: Jets) -> None:
        need_labels(jets.label, self.kind)
        x, own = features(jets, self.settings.features), self.settings
        training, validation = split(jets, own.validation, own.seed)
        need_labels(jets.label[training], self.kind)
        need_labels(jets.label[validation], self.kind)
        found = boosted(own.rounds, own.patience, own.learning_rate, own.leaves, own.seed)
        y = jets.label == 1
        found.fit(x[training], y[training], sample_weight=balanced(y[training]), X_val=x[validation],
                  y_val=y[validation], sample_weight_val=balanced(y[validation]))  # fmt: skip
        self.trees = of_boosted(found)

    def _score(self, jets: Jets) -> NDArray[np.floating]:
        return self.trees.sum(features(jets, self.settings.features))

    def state(self) -> Arrays:
        return self.trees.arrays()

    def restore(self, state: Arrays) -> None:
        self.trees = Trees.of(state, len(self.settings.features))

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}


def boosted(rounds: int, patience: int, learning_rate: float, leaves: int, seed: int) -> Any:
    """A classifier that stops when its validation loss does not fall."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[offline]'`") from error
    return HistGradientBoostingClassifier(
        learning_rate=learning_rate, max_iter=rounds, max_leaf_nodes=leaves, early_stopping=True,
        n_iter_no_change=patience, random_state=seed % 2**32, min_samples_leaf=20, l2_regularization=1.0,
    )  # fmt: skip


def balanced(y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (n,) with which both classes have the same total, and the mean is 1."""
    n = len(y)
    return np.where(y, n / (2 * max(int(y.sum()), 1)), n / (2 * max(int((~y).sum()), 1)))
