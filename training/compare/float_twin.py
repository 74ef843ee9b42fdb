"""The score of a network in float32, `ad40 train --float`: the formulas of `ad40.score` and `models.score_card` on real
numbers, without grids, saturation or tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.objects import N_FEATURES, N_INPUTS, present
from ad40.score import MASKED
from models.card import Card, read_card
from training.prepare import network_inputs

BATCH = 65536


def float_scores(folder: str | Path, codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Scores float64 (n,) of events (n, 19, 3) by the network of a folder that `ad40 train --float` wrote."""
    from models import build  # TensorFlow only where it is used

    folder = Path(folder)
    card, model = read_card(folder / build.CARD_FILE), build.load(folder, quantised=False)
    found = [np.zeros(0)]
    for i in range(0, len(codes), BATCH):
        inputs = network_inputs(card, codes[i : i + BATCH])
        outputs = [y.numpy() for y in build.as_list(model(inputs, training=False))]
        found.append(real_score(card, inputs, outputs, present(codes[i : i + BATCH])))
    return np.concatenate(found)


def real_score(
    card: Card, inputs: NDArray[np.float32], outputs: list[NDArray[np.float32]], here: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Score float64 (n,) of inputs (n, n_inputs), of outputs (n, units) of the last layer and of a distance the earlier
    one, and of present objects bool (n, 19)."""
    score, y = card.score, outputs[0].astype(np.float64)
    if score.kind in MASKED:
        difference = inputs[:, :N_INPUTS] - y
        scored = np.repeat(here, N_FEATURES, axis=1) & card.scored_inputs(spec.objects())
        return np.sum(scored * (np.abs(difference) if score.kind == "masked_l1" else difference**2), axis=1)
    if score.kind == "output":
        return y[:, 0]
    if score.kind in ("sum_squares", "distance"):
        difference = y - outputs[1] if score.kind == "distance" else y
        return np.sum(difference[:, score.outputs] ** 2, axis=1)
    mean, log_variance = y[:, score.mean], y[:, score.log_variance]
    if score.kind == "rz":
        return np.sum(mean**2 * np.exp(-log_variance), axis=1)
    return np.sum(mean**2 + np.exp(log_variance) - log_variance - 1, axis=1) / 2
