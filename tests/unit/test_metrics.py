"""Figures of merit against their definitions and known values."""

import numpy as np
import pytest

from ad40 import metrics


def test_auc_is_the_probability_of_the_right_order() -> None:
    rng = np.random.default_rng(0)
    b, s = rng.integers(0, 20, 300), rng.integers(5, 25, 200)
    pairs = (s[:, None] > b).mean() + (s[:, None] == b).mean() / 2
    low, value, high = metrics.auc(b, s)
    assert value == pytest.approx(pairs)
    assert low < value < high


def test_auc_error_covers() -> None:
    rng = np.random.default_rng(1)
    values = [metrics.auc(rng.normal(size=200), rng.normal(1, 1, 100)) for _ in range(200)]
    truth = 0.7602499
    covered = np.mean([low <= truth <= high for low, _, high in values])
    assert 0.58 < covered < 0.8


def test_wilson() -> None:
    assert metrics.wilson(0, 0) == (0.0, 0.0, 1.0)
    low, value, high = metrics.wilson(50, 100)
    assert (low, value, high) == pytest.approx((0.45025, 0.5, 0.54975), abs=1e-4)
    assert metrics.wilson(0, 100)[0] == 0 and metrics.wilson(100, 100)[2] == 1


def test_threshold_never_exceeds_the_rate() -> None:
    background = np.array([1, 2, 3, 3, 3, 4, 5, 6, 7, 8])
    for fpr, expected in ((0.1, 8), (0.2, 7), (0.6, 4), (0.8, 3), (1.0, 1)):
        cut = metrics.threshold_at_fpr(background, fpr)
        assert cut == expected and (background >= cut).mean() <= fpr
    assert metrics.threshold_at_fpr(background, 0.01) > 8


def test_tpr_interval_holds_the_threshold_error() -> None:
    rng = np.random.default_rng(2)
    background, signal = rng.normal(size=100_000), rng.normal(1.5, 1, 100_000)
    loose = metrics.tpr_at_fpr(background, signal, 1e-2)
    tight = metrics.tpr_at_fpr(background, signal, 1e-5)
    assert loose[1] == pytest.approx(0.2043, abs=0.01)
    assert tight[0] < 0.0029 < tight[2]
    assert (tight[2] - tight[0]) / tight[1] > 5 * (loose[2] - loose[0]) / loose[1]


def test_roc_ends_and_orders() -> None:
    fpr, tpr = metrics.roc(np.array([1, 2, 2, 3]), np.array([2, 3, 4, 4]))
    assert fpr.tolist() == [0.25, 0.75, 1.0] and tpr.tolist() == [0.75, 1.0, 1.0]


def test_one_picobarn_is_a_fiftieth_of_a_hertz() -> None:
    assert metrics.rate_hz(1.0, 1.0, 2e34) == pytest.approx(0.02)
