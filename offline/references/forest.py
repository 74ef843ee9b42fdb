"""Isolation forest on the 57 inputs (Liu, Ting, Zhou, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ad40.errors import MissingTool
from ad40.objects import N_INPUTS
from offline.inputs import Inputs, standardised
from offline.model import Arrays, Settings
from offline.references.model import InputsModel, by_block
from offline.trees import Trees, of_forest, search_depth


@dataclass(frozen=True)
class ForestSettings(Settings):
    """Of the isolation forest."""

    trees: int = field(default=300, metadata={"help": "in the forest", "least": 1})
    sample: int = field(default=4096, metadata={"help": "events that a tree sees", "least": 2})


class IsolationForest(InputsModel):
    """Score: 2^(-mean depth / depth of an unsuccessful search in a tree of as many events), 0 to 1."""

    kind, about = "forest", "isolation forest on the 57 inputs"
    settings_type = ForestSettings
    settings: ForestSettings
    trees: Trees
    seen: int  # events that a tree saw

    def _fit(self, data: Inputs) -> None:
        try:
            from sklearn.ensemble import IsolationForest as Sklearn
        except ImportError as error:
            raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[offline]'`") from error
        own, x = self.settings, standardised(data.codes)
        found = Sklearn(n_estimators=own.trees, max_samples=min(own.sample, len(x)),
                        random_state=own.seed % 2**32).fit(x)  # fmt: skip
        self.trees, self.seen = of_forest(found), int(found.max_samples_)

    def _score(self, data: Inputs) -> NDArray[np.floating]:
        usual = max(float(search_depth(np.array(self.seen))), 1e-12)
        scale = len(self.trees.roots) * usual

        def score(some: Inputs) -> NDArray[np.floating]:
            return 2.0 ** (-self.trees.sum(standardised(some.codes).astype(np.float64)) / scale)

        return by_block(data, self.kind, score)

    def state(self) -> Arrays:
        return self.trees.arrays() | {"seen": np.array(self.seen)}

    def restore(self, state: Arrays) -> None:
        self.trees, self.seen = Trees.of(state, N_INPUTS), int(state["seen"])

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}
