"""Isolation forest on the high-level features of a jet (Liu, Ting, Zhou, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from offline.jets.features import DEFAULT, features
from offline.jets.jets import Jets
from offline.jets.model import Arrays, JetModel, Settings
from offline.trees import Isolation


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
    forest: Isolation

    def _fit(self, jets: Jets) -> None:
        own = self.settings
        self.forest = Isolation.fit(self._numbers(jets), own.trees, own.sample, own.seed)

    def _score(self, jets: Jets) -> NDArray[np.floating]:
        return self.forest.score(self._numbers(jets))

    def _numbers(self, jets: Jets) -> NDArray[np.float32]:
        return features(jets, self.settings.features).astype(np.float32)

    def state(self) -> Arrays:
        return self.forest.arrays()

    def restore(self, state: Arrays) -> None:
        self.forest = Isolation.of(state, len(self.settings.features))

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}
