"""References: anomaly models on the 57 inputs, free of what an FPGA holds.

The interface of `offline.model`; a folder's card is `reference.yaml`. A reference sees what the trigger sees (hardware
codes, standardised by `offline.inputs.standardised`), so that what it finds and the trigger does not is lost to size
and bits, and not to information. None of them is ever shown a signal.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.progress import Progress
from offline.inputs import Inputs
from offline.model import Family, Model

DOCUMENT = "reference.yaml"
BLOCK = 20_000  # events that are scored at a time

MODELS = {
    "autoencoder": "offline.references.autoencoder:Autoencoder",
    "vae": "offline.references.vae:VariationalAutoencoder",
    "flow": "offline.references.flow:Flow",
    "contrastive": "offline.references.contrastive:ContrastiveAutoencoder",
    "discriminator": "offline.references.discriminator:Discriminator",
    "forest": "offline.references.forest:IsolationForest",
    "neighbours": "offline.references.neighbours:Neighbours",
}
"""Every reference by name. A module is imported when its model is asked for."""

FAMILY = Family(MODELS, DOCUMENT, "ad40 reference train")
create, model_class, save, read_card, load = (
    FAMILY.create, FAMILY.model_class, FAMILY.save, FAMILY.read_card, FAMILY.load,
)  # fmt: skip


class InputsModel(Model[Inputs]):
    """An anomaly model of events as the trigger sees them. `kind`: its name in `MODELS`."""

    entry = "event"

    def learnt(self, data: Inputs) -> dict[str, Any]:
        return {"events": len(data), "parents": len(np.unique(data.parent)), "inputs_sha256": content_hash(data),
                "spec_hash": spec.objects().hash}  # fmt: skip


def by_block(data: Inputs, kind: str, score: Callable[[Inputs], NDArray[np.floating]]) -> NDArray[np.floating]:
    """Scores (n,) of events, some at a time: memory stays bounded, and progress is shown."""
    pieces = []
    with Progress(len(data), f"score {kind}", "events") as progress:
        for start in range(0, len(data), BLOCK):
            some = data.take(slice(start, start + BLOCK))
            pieces.append(score(some))
            progress.update(len(some))
    return np.concatenate(pieces)


def content_hash(inputs: Inputs) -> str:
    """SHA-256 of everything that a reference may read of events, and of which of them belong together."""
    digest = sha256()
    for array in (inputs.codes, inputs.parent):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
