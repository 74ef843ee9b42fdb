"""All models side by side, on jets that none of them learnt from, at jet and at event level.

For each: ROC and SIC with intervals, what its score knows of the mass, how a cut on it shapes the mass spectrum of the
background, what it cost to train and how fast it scores. For each score also what is left when it is made flat in the
mass (`offline.jets.decorrelate.flat_in_mass`): a model that only found heavy jets ends at 0.5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import read_yaml
from offline.jets import decorrelate
from offline.jets.events import event_scores, need_labels
from offline.jets.jets import SIGNAL, Jets
from offline.jets.merit import Merit, merit
from offline.jets.model import JetModel, content_hash, create
from offline.jets.parts import part_of

PUBLISHED = Path(__file__).with_name("published.yaml")
BASELINES = ("mass", "tau21")
LEVELS = ("jet", "event")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """One model. merits: by level, "jet" and "event", with " flat" behind for the score flat in the mass. score
    (n,): of the jets. seconds: of scoring them. training: from its card."""

    name: str
    about: str
    merits: dict[str, Merit]
    decorrelation: dict[str, Any]
    flat: dict[str, Any]
    score: Floats
    seconds: float
    training: dict[str, Any]
    parameters: int

    def document(self) -> dict[str, Any]:
        """For JSON: figures without curves."""
        return {"about": self.about, "parameters": self.parameters, "training": self.training,
                "jets_per_second": len(self.score) / max(self.seconds, 1e-9),
                "merits": {level: m.document() for level, m in self.merits.items()},
                "mass": self.decorrelation, "mass_flat": self.flat}  # fmt: skip


def baselines(jets: Jets) -> list[tuple[str, JetModel]]:
    """The cuts that need no training."""
    found = []
    for name in BASELINES:
        model = create(name)
        model.fit(jets)
        found.append((name, model))
    return found


def compare(
    models: Sequence[tuple[str, JetModel]], jets: Jets, how: str = "mean", replicas: int = 200,
    progress: Callable[[str], object] = lambda name: None,
) -> list[Compared]:  # fmt: skip
    """Judge models on labelled jets. Raises `InputError` on names given twice, labels that are missing, and a model
    that learnt from these very jets."""
    need_labels(jets.label, "comparison")
    names = [name for name, _ in models]
    if len(set(names)) != len(names):
        raise InputError("comparison", "models", ", ".join(names), "each name once")
    content = content_hash(jets)
    found = []
    for name, model in models:
        if model.kind not in BASELINES and model.training.get("jets_sha256") == content:
            raise InputError("comparison", f"jets of {name}", "those that it learnt from", "others: --part test")
        progress(name)
        start = time.perf_counter()
        score = model.score(jets)
        seconds = time.perf_counter() - start
        found.append(_judge(name, model, jets, score, seconds, how, replicas))
    return found


def _judge(
    name: str, model: JetModel, jets: Jets, score: Floats, seconds: float, how: str, replicas: int
) -> Compared:  # fmt: skip
    mass, fold = jets.column("mass"), halves(jets.event)
    flat = decorrelate.flat_in_mass(score, mass, fold)
    merits = {}
    background = jets.label != SIGNAL
    for suffix, values in (("", score), (" flat", flat)):
        merits["jet" + suffix] = merit(values, jets.label == SIGNAL, jets.event, replicas)
        events = event_scores(jets, values, how)
        merits["event" + suffix] = merit(events.score, events.label == SIGNAL, None, replicas)
    return Compared(
        name, model.about, merits, decorrelate.summary(score[background], mass[background]),
        decorrelate.summary(flat[background], mass[background]), score, seconds, model.training, model.parameters,
    )  # fmt: skip


def halves(event: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
    """Two folds of events, independent of the parts for training and test."""
    return part_of(event.astype(np.int64) * 2 + 1).astype(np.int8)


def published() -> list[dict[str, Any]]:
    """The published figures beside ours."""
    return list(read_yaml(PUBLISHED))


def beside(compared: Sequence[Compared], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """Published figures with ours: kinds gives the kind of each compared model by its name."""
    rows = []
    for row in published():
        for one in compared:
            if kinds.get(one.name) == row["model"]:
                rows.append(row | {"name": one.name, "ours": list(one.merits[row["level"]].auc)})
    return rows
