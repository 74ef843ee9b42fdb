"""Figures of merit, decorrelation from the mass, and the parts that jets are dealt into."""

from dataclasses import replace

import numpy as np
import pytest

from ad40 import metrics
from ad40.errors import InputError
from offline.jets import decorrelate
from offline.jets.merit import LEAST_BACKGROUND, merit
from offline.jets.parts import mixture, part_of, rows_of
from tests.toy_jets import toy_jets


def test_merit_agrees_with_the_other_implementation():
    random = np.random.default_rng(1)
    background, signal = random.normal(0, 1, 3000), random.normal(1, 1, 1000)
    score, flags = np.concatenate([background, signal]), np.arange(4000) >= 3000
    found = merit(score, flags)
    low, value, high = metrics.auc(background, signal)
    assert found.auc[1] == pytest.approx(value, abs=1e-12)
    assert found.auc[2] - found.auc[0] == pytest.approx(high - low, rel=0.25)
    for rate in ("0.1", "0.01"):
        assert found.tpr[rate][1] == pytest.approx(metrics.tpr_at_fpr(background, signal, float(rate))[1], abs=8e-3)
        assert found.tpr[rate][0] < found.tpr[rate][1] < found.tpr[rate][2]
    # the largest SIC, by its definition, at the thresholds that keep enough background
    cuts = np.sort(background)[::-1][LEAST_BACKGROUND - 1 :]
    sic = max((signal >= c).mean() / np.sqrt((background >= c).mean()) for c in cuts)
    assert found.max_sic[1] == pytest.approx(sic, rel=0.02)
    assert found.max_sic[0] < found.max_sic[1] < found.max_sic[2]


def test_equal_scores_count_half():
    assert merit(np.zeros(10), np.arange(10) < 3).auc[1] == 0.5
    assert merit(np.arange(10), np.arange(10) >= 5).auc[1] == 1.0


def test_jets_of_an_event_are_drawn_together():
    random = np.random.default_rng(2)
    score, flags = random.normal(size=600), np.arange(600) < 200
    score[flags] += 0.5
    twice = np.repeat(score, 2), np.repeat(flags, 2)
    apart, together = merit(*twice), merit(*twice, np.repeat(np.arange(600), 2))
    assert apart.auc[1] == together.auc[1] == pytest.approx(merit(score, flags).auc[1])
    ratio = (together.auc[2] - together.auc[0]) / (apart.auc[2] - apart.auc[0])
    assert ratio == pytest.approx(np.sqrt(2), rel=0.25)


def test_merit_needs_both_kinds():
    with pytest.raises(InputError, match="signal and background"):
        merit(np.arange(5), np.zeros(5, bool))


def test_divergence_of_histograms():
    assert decorrelate.jensen_shannon(np.array([1, 2, 3]), np.array([2, 4, 6])) == 0
    assert decorrelate.jensen_shannon(np.array([1, 0]), np.array([0, 5])) == 1
    # (1/2) [1 log2(1 / 0.75)] + (1/2) [0.5 log2(0.5 / 0.75) + 0.5 log2(0.5 / 0.25)]
    wanted = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25
    assert decorrelate.jensen_shannon(np.array([1, 0]), np.array([1, 1])) == pytest.approx(wanted)


def test_correlations():
    random = np.random.default_rng(3)
    x = random.normal(size=1500)
    even = decorrelate.correlation(x**2, x)
    assert abs(even.pearson) < 0.1 and even.distance > 0.4  # only the distance sees it
    steep = decorrelate.correlation(np.exp(3 * x), x)
    assert steep.spearman == pytest.approx(1) and steep.pearson < 0.6
    none = decorrelate.correlation(random.normal(size=1500), x)
    assert max(abs(none.pearson), abs(none.spearman)) < 0.1 and none.distance < 0.1
    assert decorrelate.correlation(np.ones(9), np.arange(9)).distance == 0


def masses(n: int, seed: int = 4):
    random = np.random.default_rng(seed)
    mass = 50 + random.gamma(2.0, 40.0, n)
    return random, mass


def test_a_score_of_the_mass_is_sculpted_and_made_flat():
    random, mass = masses(8000)
    score = mass / 40 * (1 + 0.5 * random.random(8000))
    for kept in decorrelate.KEPT:
        found = decorrelate.sculpting(score, mass, kept)
        assert found.divergence > 4 * found.floor and found.events == pytest.approx(kept * 8000, rel=0.01)
    flat = decorrelate.flat_in_mass(score, mass, np.arange(8000) // 2 % 2)
    assert abs(decorrelate.correlation(flat, mass).spearman) < 0.05
    for kept in decorrelate.KEPT:
        found = decorrelate.sculpting(flat, mass, kept)
        assert found.divergence < 2.5 * found.floor


def test_a_flat_score_keeps_what_the_mass_does_not_say():
    random, mass = masses(6000, 5)
    signal = random.random(6000) < 0.03
    extra = random.normal(size=6000) + 2.5 * signal
    flat = decorrelate.flat_in_mass(mass / 10 + extra, mass, np.arange(6000) % 2)
    before, after = merit(mass / 10 + extra, signal).auc[1], merit(flat, signal).auc[1]
    assert before < 0.75 < 0.9 < after


def test_jets_are_not_ranked_by_themselves():
    _, mass = masses(400, 6)
    score = np.zeros(400)
    score[7] = 100.0
    flat = decorrelate.flat_in_mass(score, mass, np.arange(400) % 2)
    assert flat[7] == flat.max() and (flat[np.arange(400) != 7] < flat[7]).all()
    with pytest.raises(InputError, match="folds"):
        decorrelate.flat_in_mass(score, mass, np.zeros(400, int))


def test_parts_are_halves_that_share_no_event():
    event = np.repeat(np.arange(4000), 2)
    train, test = rows_of(event, "train"), rows_of(event, "test")
    assert not (train & test).any() and (train | test).all() and rows_of(event, "all").all()
    assert train.mean() == pytest.approx(0.5, abs=0.03)
    assert (part_of(event[::2]) == part_of(event[1::2])).all()
    assert (part_of(event[500:]) == part_of(event)[500:]).all()
    with pytest.raises(InputError, match="one of train"):
        rows_of(event, "rest")


def test_mixture_of_signal_and_background():
    jets = toy_jets(500, 100)
    rows = mixture(jets, None, 20.0)
    taken = jets.take(rows)
    assert (taken.label == 1).sum() == 2 * 20 and (taken.label == 0).sum() == 2 * 400
    assert np.unique(taken.event, return_counts=True)[1].tolist() == [2] * 420
    few = jets.take(mixture(jets, 210, 20.0))
    assert len(few) <= 210 and (few.label == 1).sum() == 10
    assert (mixture(jets, 100, None, 1) != mixture(jets, 100, None, 2)).any()
    blind = replace(jets, label=np.full(len(jets), -1, np.int8))
    assert (mixture(blind, 100) == mixture(jets, 100)).all()
    with pytest.raises(InputError, match="without labels"):
        mixture(blind, 100, 20.0)
