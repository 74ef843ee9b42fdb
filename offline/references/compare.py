"""References, models of the trigger and simple cuts on the same events: AUC and TPR at FPR, with intervals, and speed.

Judged on the test part of a sample, which neither the references nor the released models learnt from. Intervals are
those of `ad40.metrics`: 68 %, and they count families of correlated events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.metrics import Interval, auc, threshold_at_fpr, tpr_at_fpr
from ad40.objects import PT
from ad40.progress import Progress, silenced
from ad40.split import rows_of, tenth_of
from offline.inputs import ALL, Inputs, physical
from offline.references.model import InputsModel
from offline.references.significance import learn, together

RATES = (1e-2, 1e-3, 1e-4)
POINTS = np.geomspace(1e-5, 1.0, 101)  # FPRs of a curve
REFERENCE, TRIGGER, CUT, ENSEMBLE = "reference", "trigger", "cut", "ensemble"

Score = Callable[[Inputs], NDArray[np.number]]


@dataclass(frozen=True)
class Compared:
    """One score. signals: by name "auc" [low, value, high] and "tpr", the same by FPR. curves: TPR at `POINTS`, by
    signal, None where fewer than one background event would pass."""

    name: str
    what: str
    about: str
    signals: dict[str, dict[str, Any]]
    curves: dict[str, list[float | None]]
    events_per_second: float
    training: dict[str, Any]
    parameters: int | None

    def document(self) -> dict[str, Any]:
        """For JSON, without the curves."""
        return {"what": self.what, "about": self.about, "signals": self.signals, "training": self.training,
                "parameters": self.parameters, "events_per_second": self.events_per_second}  # fmt: skip


def cuts() -> dict[str, tuple[str, Score]]:
    """Quantities that a trigger has cut on for decades, in GeV."""
    o = spec.objects()

    def leptons(inputs: Inputs) -> NDArray[np.float32]:
        pt = physical(inputs.codes)[..., PT]
        return np.concatenate([pt[:, o["egamma"].slots], pt[:, o["muon"].slots]], axis=1)

    def of(kind: str) -> Score:
        return lambda inputs: physical(inputs.codes)[:, o[kind].slots, PT].sum(axis=1)

    return {
        "MET": ("missing transverse momentum", of("met")),
        "HT": ("scalar sum of the jets' pt", of("jet")),
        "leading lepton pt": ("largest pt of electrons, photons, muons", lambda inputs: leptons(inputs).max(axis=1)),
        "sum lepton pt": ("sum of the pt of electrons, photons, muons", lambda inputs: leptons(inputs).sum(axis=1)),
    }


def learnt_from(model: InputsModel, inputs: Inputs, sha256: str) -> NDArray[np.int64]:
    """Rows of the events of a file with this SHA-256 that a model learnt from, by what its card says."""
    training = model.training
    if training.get("file_sha256") != sha256:
        return np.zeros(0, np.int64)
    if training.get("part", ALL) == ALL:
        rows = np.arange(len(inputs))
    else:
        rows = rows_of(tenth_of(inputs.parent), training["part"])
    return rows[: training["events"]]


def judge(background: NDArray[np.number], signals: Mapping[str, NDArray[np.number]], parent: NDArray[np.int64]
          ) -> tuple[dict[str, dict[str, Any]], dict[str, list[float | None]]]:  # fmt: skip
    """Figures and curves of one score: of background (n,), with its families, and of each signal."""
    n, figures, curves = len(background), {}, {}
    thresholds = {rate: threshold_at_fpr(background, rate) for rate in POINTS if rate * n >= 1}
    for name, signal in signals.items():
        tpr: dict[str, Interval] = {f"{rate:g}": tpr_at_fpr(background, signal, rate, parent) for rate in RATES}
        figures[name] = {"auc": list(auc(background, signal, parent)), "tpr": {k: list(v) for k, v in tpr.items()}}
        ordered = np.sort(signal)
        curves[name] = [
            1 - float(np.searchsorted(ordered, thresholds[rate])) / len(signal) if rate in thresholds else None
            for rate in POINTS
        ]
    return figures, curves


def compare(
    references: Mapping[str, InputsModel], trigger: Mapping[str, Emulator], background: Inputs,
    signals: Mapping[str, Inputs], validation: Inputs,
) -> list[Compared]:  # fmt: skip
    """Judge all of them; of several references also their ensemble, whose scales come from `validation` events.

    Raises `InputError` on one name for two scores.
    """
    plan: list[tuple[str, str, str, Score, InputsModel | None]] = []
    plan += [(name, REFERENCE, m.about, m.score, m) for name, m in references.items()]
    for name, emulator in trigger.items():
        plan.append((name, TRIGGER, "integers of a released model, by the emulator",
                     lambda x, e=emulator: e.score(x.codes.astype(np.int32)), None))  # fmt: skip
    plan += [(name, CUT, about, score, None) for name, (about, score) in cuts().items()]
    names = [row[0] for row in plan]
    twice = [name for name in names if names.count(name) > 1 or name == ENSEMBLE]
    if twice:
        raise InputError("comparison", "name", twice[0], "one score of each name, and none called ensemble")
    found, parent = [], background.parent
    scored: dict[str, tuple[Any, dict[str, Any], Any]] = {}
    with Progress(len(plan), "scores", "models") as progress:
        for name, what, about, score, model in plan:
            token = silenced.set(True)
            try:
                start = time.perf_counter()
                b = score(background)
                speed = len(background) / max(time.perf_counter() - start, 1e-9)
                s = {signal: score(events) for signal, events in signals.items()}
                if model is not None and len(references) > 1:
                    scored[name] = (b, s, learn(score(validation), name))
            finally:
                silenced.reset(token)
            training, parameters = (model.training, model.parameters) if model is not None else ({}, None)
            found.append(Compared(name, what, about, *judge(b, s, parent), speed, training, parameters))
            progress.update()
    if scored:
        found.insert(len(references), _ensemble(scored, found[: len(references)], signals, parent))
    return found


def _ensemble(scored: Mapping[str, tuple[Any, dict[str, Any], Any]], members: Sequence[Compared],
              signals: Mapping[str, Inputs], parent: NDArray[np.int64]) -> Compared:  # fmt: skip
    scales = {name: scale for name, (_, _, scale) in scored.items()}
    b = together({name: one[0] for name, one in scored.items()}, scales)
    s = {signal: together({name: one[1][signal] for name, one in scored.items()}, scales) for signal in signals}
    speed = 1 / sum(1 / one.events_per_second for one in members)
    about = "mean of -log10 p over " + ", ".join(scored)
    return Compared(ENSEMBLE, REFERENCE, about, *judge(b, s, parent), speed, {}, None)


def sample(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Background and signals of a sample folder. Raises `InputError` when there is no background or no signal."""
    background = folder / "background.h5"
    signals = {path.stem: path for path in sorted(folder.glob("*.h5")) if path != background}
    if not background.is_file() or not signals:
        raise InputError(folder, "sample", "no background.h5, or no signal", "a folder as training/sample")
    return background, signals
