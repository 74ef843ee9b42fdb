"""Isolation forest on the 57 inputs (Liu, Ting, Zhou, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ad40.objects import N_INPUTS
from offline.inputs import Inputs, standardised
from offline.model import Arrays, Settings
from offline.references.model import InputsModel, by_block
from offline.trees import Isolation


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
    forest: Isolation

    def _fit(self, data: Inputs) -> None:
        own = self.settings
        self.forest = Isolation.fit(standardised(data.codes), own.trees, own.sample, own.seed)

    def _score(self, data: Inputs) -> NDArray[np.floating]:
        return by_block(data, self.kind, lambda some: self.forest.score(standardised(some.codes)))

    def state(self) -> Arrays:
        return self.forest.arrays()

    def restore(self, state: Arrays) -> None:
        self.forest = Isolation.of(state, N_INPUTS)

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}
