"""What the stage does to background and signals that the trigger has accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.metrics import auc, efficiency, tpr_at_fpr, wilson
from offline.hlt.accepted import Accepted
from offline.hlt.stage import Stage, with_drawn

POINTS = 60  # of a curve

Floats = NDArray[np.float32]


def background(stage: Stage, sample: Accepted, score: Floats, l1_rate: float) -> dict[str, Any]:
    """Rates [kHz], low, value and high, that the stage keeps of `l1_rate` [kHz] made of such events; score (n,)."""
    accept, drawn = stage.menu.decide(score, sample.run, sample.event)
    share = efficiency(accept, sample.parent)
    return {
        "file": str(sample.path), "sha256": sample.sha256, "part": sample.part, "events": len(sample),
        "families": len(np.unique(sample.parent)), "accepted": int(accept.sum()), "share": list(share),
        "accepted_khz": [l1_rate * v for v in share],
        "kept_khz": [l1_rate * with_drawn(v, stage.menu.pass_through) for v in share],
        "drawn": int(drawn.sum()), "drawn_share": list(wilson(int(drawn.sum()), len(sample))),
        "kept": int((accept | drawn).sum()),
    }  # fmt: skip


def signal(stage: Stage, sample: Accepted, score: Floats, reference: Accepted, reference_score: Floats,
           ) -> dict[str, Any]:  # fmt: skip
    """Efficiency of the stage for a signal that the trigger accepted, and of the trigger.

    reference, reference_score: background. l1_only: what a tighter threshold on the trigger's own score would keep of
    this signal when it keeps as much of the background: what the stage must beat. Intervals are 68 %.
    """
    accept, _ = stage.menu.decide(score, sample.run, sample.event)
    seen = int(sample.attributes["events_seen"])
    share = float(stage.menu.decide(reference_score, reference.run, reference.event)[0].mean())
    return {
        "file": str(sample.path), "sha256": sample.sha256, "events": len(sample), "events_seen": seen,
        "l1": list(wilson(len(sample), seen)), "accepted": int(accept.sum()),
        "efficiency": list(wilson(int(accept.sum()), len(sample))),
        "of_all": list(wilson(int(accept.sum()), seen)),
        "auc": list(auc(reference_score, score, reference.parent)),
        "l1_only": list(tpr_at_fpr(reference.hw_score, sample.hw_score, share, reference.parent)) if share else None,
    }  # fmt: skip


def curves(reference: NDArray[np.number], signals: Mapping[str, NDArray[np.number]], l1_rate: float) -> dict[str, Any]:
    """Efficiency of each signal against the rate [kHz] that a threshold accepts of the background, falling rates."""
    ordered = np.sort(reference)
    shares = np.geomspace(10 / len(ordered), 1, POINTS) if len(ordered) > 10 else np.array([1.0])
    cuts = ordered[np.clip(len(ordered) - np.round(shares * len(ordered)).astype(int), 0, len(ordered) - 1)]
    rate = [float(l1_rate * np.count_nonzero(ordered >= cut) / len(ordered)) for cut in cuts]
    kept = {name: [float((score >= cut).mean()) for cut in cuts] for name, score in signals.items()}
    return {"khz": rate, "efficiency": kept}
