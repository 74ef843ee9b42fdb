"""Isolation forest on the high-level features of a jet (Liu, Ting, Zhou, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ad40.errors import MissingTool
from offline.jets.features import DEFAULT, features
from offline.jets.jets import Jets
from offline.jets.model import Arrays, JetModel, Settings
from offline.trees import Trees, of_forest, search_depth


@dataclass(frozen=True)
class ForestSettings(Settings):
    """Of the isolation forest."""

    features: tuple[str, ...] = field(default=DEFAULT, metadata={"help": "names of the features"})
    trees: int = field(default=200, metadata={"help": "in the forest", "least": 1})
    sample: int = field(default=512, metadata={"help": "jets that a tree sees", "least": 2})


class IsolationForest(JetModel):
    """Score: 2^(-mean depth / depth of an unsuccessful search in a tree of as many jets), 0 to 1."""

    kind, about = "forest", "isolation forest on high-level features"
    settings_type = ForestSettings
    settings: ForestSettings
    trees: Trees
    seen: int  # jets that a tree saw

    def _fit(self, jets: Jets) -> None:
        try:
            from sklearn.ensemble import IsolationForest as Sklearn
        except ImportError as error:
            raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[offline]'`") from error
        own, x = self.settings, features(jets, self.settings.features).astype(np.float32)
        found = Sklearn(n_estimators=own.trees, max_samples=min(own.sample, len(x)),
                        random_state=own.seed % 2**32).fit(x)  # fmt: skip
        self.trees, self.seen = of_forest(found), int(found.max_samples_)

    def _score(self, jets: Jets) -> NDArray[np.floating]:
        x = features(jets, self.settings.features).astype(np.float32)  # as scikit-learn does: thresholds are on these
        usual = max(float(search_depth(np.array(self.seen))), 1e-12)
        return 2.0 ** (-self.trees.sum(x.astype(np.float64)) / (len(self.trees.roots) * usual))

    def state(self) -> Arrays:
        return self.trees.arrays() | {"seen": np.array(self.seen)}

    def restore(self, state: Arrays) -> None:
        self.trees, self.seen = Trees.of(state, len(self.settings.features)), int(state["seen"])

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}
