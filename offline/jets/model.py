"""Anomaly models on jets: what they have in common.

The interface of `offline.model`; a folder's card is `jetmodel.yaml`. Models never look at labels, except the supervised
one, which is no search but their upper bound.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets.jets import Jets
from offline.model import Arrays, Family, Floats, Model, Settings

__all__ = ["Arrays", "Floats", "Settings"]  # and what is defined below

DOCUMENT = "jetmodel.yaml"

MODELS = {
    "mass": "offline.jets.cuts:Mass",
    "tau21": "offline.jets.cuts:Tau21",
    "forest": "offline.jets.forest:IsolationForest",
    "dense": "offline.jets.dense:DenseAutoencoder",
    "vrnn": "offline.jets.vrnn:VRNN",
    "egat": "offline.jets.svdd:EgatSVDD",
    "transformer": "offline.jets.transformer:TransformerAutoencoder",
    "supervised": "offline.jets.supervised:Supervised",
}
"""Every model by name. A module is imported when its model is asked for."""

FAMILY = Family(MODELS, DOCUMENT, "ad40 jets train")
create, model_class, save, read_card, load = (
    FAMILY.create, FAMILY.model_class, FAMILY.save, FAMILY.read_card, FAMILY.load,
)  # fmt: skip


class JetModel(Model[Jets]):
    """An anomaly model of jets. `kind`: its name in `MODELS`."""

    entry = "jet"

    def learnt(self, data: Jets) -> dict[str, Any]:
        return {"jets": len(data), "events": len(np.unique(data.event)), "jets_sha256": content_hash(data)}


def content_hash(jets: Jets) -> str:
    """SHA-256 of everything that a model may read of jets."""
    digest = sha256()
    for array in (jets.offsets, jets.constituents, jets.jet, jets.event, jets.label):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def split(jets: Jets, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and for validation, `share` of the events; both jets of an event are on one side.

    Raises `InputError` when one side would be empty.
    """
    events, of = np.unique(jets.event, return_inverse=True)
    order = np.random.default_rng([seed, 1]).permutation(len(events))
    held = np.zeros(len(events), bool)
    held[order[: max(round(share * len(events)), 1)]] = True
    if held.all():
        raise InputError("jets", "events", len(events), "at least 2: some to learn from, some to know when to stop")
    return np.flatnonzero(~held[of]), np.flatnonzero(held[of])


def with_constituents(jets: Jets, least: int = 1) -> Jets:
    """The same jets when each has constituents; a model that reads them cannot do without. Raises `InputError`."""
    few = jets.counts < least
    if few.any():
        row = int(np.flatnonzero(few)[0])
        raise InputError("jets", f"constituents of jet {row}", int(jets.counts[row]), f"at least {least}")
    return jets
