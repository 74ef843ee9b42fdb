"""k-nearest neighbours on the 57 inputs: an event is anomalous where background is far (Ramaswamy, Rastogi, Shim,
SIGMOD 2000)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError, MissingTool
from ad40.objects import N_INPUTS
from offline.inputs import Inputs, standardised
from offline.model import Arrays, Floats, Settings
from offline.references.model import InputsModel, by_block


@dataclass(frozen=True)
class NeighboursSettings(Settings):
    """Of the nearest neighbours."""

    neighbours: int = field(default=5, metadata={"help": "whose mean distance is the score", "least": 1})
    events: int = field(default=20_000, metadata={"help": "of background that are kept, at most", "least": 1})
    narrowest: float = field(default=0.1, metadata={"help": "inputs are divided by their width, or by this where it is "
                                                    "smaller", "least": 0, "above": True})  # fmt: skip


class Neighbours(InputsModel):
    """Score: mean Euclidean distance to the nearest events of the training sample, one of each hard process, in units
    of the inputs' widths."""

    kind, about = "neighbours", "mean distance to the nearest background events in the 57 inputs"
    settings_type = NeighboursSettings
    settings: NeighboursSettings
    scale: Floats  # (2, 57): mean and width
    kept: Floats  # (m, 57): scaled inputs

    def _fit(self, data: Inputs) -> None:
        own, data = self.settings, data.one_of_each_parent()
        if len(data) < own.neighbours:
            raise InputError(data.source, "independent events", len(data), f"at least {own.neighbours}, the neighbours")
        x = standardised(data.codes).astype(np.float64)
        self.scale = np.stack([x.mean(axis=0), np.maximum(x.std(axis=0), own.narrowest)]).astype(np.float32)
        rows = np.random.default_rng(own.seed).permutation(len(x))[: own.events]
        self.kept = self._scaled(data.take(np.sort(rows)))

    def _scaled(self, data: Inputs) -> Floats:
        return ((standardised(data.codes) - self.scale[0]) / self.scale[1]).astype(np.float32)

    def _score(self, data: Inputs) -> NDArray[np.floating]:
        try:
            from sklearn.neighbors import NearestNeighbors
        except ImportError as error:
            raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[offline]'`") from error
        # in 57 dimensions no tree of space is faster than all distances
        search = NearestNeighbors(n_neighbors=self.settings.neighbours, algorithm="brute").fit(self.kept)
        return by_block(data, self.kind, lambda some: search.kneighbors(self._scaled(some))[0].mean(axis=1))

    def state(self) -> Arrays:
        return {"scale": self.scale, "kept": self.kept}

    def restore(self, state: Arrays) -> None:
        self.scale, self.kept = state["scale"], state["kept"]
        if self.scale.shape != (2, N_INPUTS) or self.kept.shape[1:] != (N_INPUTS,):
            raise ValueError("arrays of other shapes")
        if len(self.kept) < self.settings.neighbours:
            raise ValueError(f"{len(self.kept)} events for {self.settings.neighbours} neighbours")

    def software(self) -> dict[str, str]:
        return {"scikit-learn": version("scikit-learn")}
