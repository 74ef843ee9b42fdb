"""The simplest of all models: a cut on one number of the jet. They learn nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.jets.features import features
from offline.jets.jets import Jets
from offline.jets.model import Arrays, JetModel


class _Cut(JetModel):
    column: str
    sign: float

    def _fit(self, jets: Jets) -> None:
        features(jets, (self.column,))

    def _score(self, jets: Jets) -> NDArray[np.floating]:
        return self.sign * features(jets, (self.column,))[:, 0]

    def state(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        if state:
            raise KeyError(*state)


class Mass(_Cut):
    """The mass of the jet [GeV]: heavy jets are anomalous."""

    kind, about, column, sign = "mass", "a cut on the mass of the jet", "mass", 1.0


class Tau21(_Cut):
    """-tau21: jets with two prongs are anomalous (arXiv 1011.2268)."""

    kind, about, column, sign = "tau21", "a cut on tau2 / tau1 of the jet", "tau21", -1.0
