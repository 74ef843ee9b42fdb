"""Models of jets that are Keras networks: `offline.network`, with both jets of an event on one side of a split."""

from __future__ import annotations

from offline.jets.jets import Jets
from offline.jets.model import JetModel, split
from offline.network import SCORED, Batch, Ints, Layers, NetworkSettings
from offline.network import NetworkModel as _NetworkModel

__all__ = ["SCORED", "Batch", "Ints", "Layers", "NetworkModel", "NetworkSettings"]


class NetworkModel(_NetworkModel[Jets], JetModel):
    """A network that reads jets."""

    def split(self, data: Jets) -> tuple[Ints, Ints]:
        return split(data, self.settings.validation, self.settings.seed)

    def block(self, data: Jets, rows: slice) -> Jets:
        return data.take(rows)
