"""The discriminator: it learns its own anomalies, and its ONNX file is what the high-level stage runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ad40.metrics import auc
from offline.hlt.model import load
from offline.inputs import Inputs, read, standardised
from offline.references import onnx_file
from offline.references.augment import anomaly
from offline.references.model import create
from tests.conftest import random_events

SAMPLE = Path(__file__).parents[2] / "training" / "sample"


def fitted(events: Inputs) -> object:
    model = create("discriminator", epochs=3, hidden=32, seed=4)
    model.fit(events)
    return model


def test_it_tells_its_anomalies_from_events_and_runs_behind_the_trigger(tmp_path: Path) -> None:
    events = read(SAMPLE / "background.h5", "train", limit=16000)
    held = read(SAMPLE / "background.h5", "test", limit=8000)
    model = fitted(events)
    score = model.score(held)
    onnx_file.write(model, tmp_path / "model.onnx")
    scorer = load(tmp_path / "model.onnx")
    assert scorer.about["hash"] == model.hash and scorer.name == "discriminator"
    assert np.allclose(scorer.score(held.codes), score, rtol=1e-4, atol=1e-4)
    bad = scorer.infer(anomaly(standardised(held.codes), np.random.default_rng(9)))
    assert auc(score, bad)[1] > 0.65  # a third of the anomalies are events whose pt hardly changed
    signal = read(SAMPLE / "Ato4l.h5")
    assert auc(score, model.score(signal))[1] > 0.7  # which it has never seen
    again = fitted(events)
    assert again.hash == model.hash and np.array_equal(again.score(held), score)


def test_events_that_are_nowhere_near_the_sample(tmp_path: Path) -> None:
    from ad40.objects import encode

    model = fitted(read(SAMPLE / "background.h5", "train", limit=2000))
    codes = encode(random_events(500)).codes.astype(np.int16)
    rows = np.arange(len(codes))
    score = model.score(Inputs(codes, rows, rows, np.zeros(len(codes), np.uint8), {}, tmp_path))
    assert np.isfinite(score).all() and score.std() > 0
