"""Figures of merit against their definitions and known values."""

from statistics import NormalDist

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


def families(rng: np.random.Generator, events: int, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores and parents of background events in families of 1 to 8 that share most of their variance."""
    parent = np.repeat(np.arange(events), rng.integers(1, 9, events))[:events]
    common = rng.normal(size=events)[parent]
    return np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=events), parent


@pytest.mark.parametrize("clustered", [False, True])
def test_auc_error_covers(clustered: bool) -> None:
    rng = np.random.default_rng(1)
    covered, blind = [], []
    for _ in range(300):
        background, parent = families(rng, 400) if clustered else (rng.normal(size=400), None)
        signal = rng.normal(1, 1, 200)
        low, _, high = metrics.auc(background, signal, parent)
        covered.append(low <= 0.7602499 <= high)
        low, _, high = metrics.auc(background, signal)
        blind.append(low <= 0.7602499 <= high)
    assert 0.6 < np.mean(covered) < 0.76
    if clustered:
        assert np.mean(blind) < np.mean(covered) - 0.1


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


def test_correlation_is_the_variance_of_a_count() -> None:
    assert metrics.correlation(np.arange(5)) == 1
    assert metrics.correlation(np.array([3, 3, 5, 5, 5, 5])) == pytest.approx(20 / 6)
    assert metrics.correlation(np.array([], int)) == 1


def test_efficiency_of_families() -> None:
    passed = np.arange(4000) < 100
    alone = metrics.efficiency(passed)
    assert metrics.efficiency(passed, np.arange(4000)) == pytest.approx(alone, rel=1e-3)
    together = metrics.efficiency(passed, np.arange(4000) // 10)  # the 100 that pass are ten families
    assert alone[1] == together[1] == 0.025
    assert together[2] - together[0] == pytest.approx((alone[2] - alone[0]) * 10**0.5, rel=0.05)
    none = np.zeros(100, bool)
    assert metrics.efficiency(none, np.arange(100) // 10)[2] > 5 * metrics.efficiency(none)[2]
    assert metrics.efficiency(none[:0], np.arange(0)) == (0.0, 0.0, 1.0)


def test_poisson_interval_is_central() -> None:
    # cumulative probabilities of mean 4: 0.018 0.092 0.238 0.433 0.629 0.785 0.889
    assert metrics._poisson_interval(4.0) == (2, 6)
    assert metrics._poisson_interval(1.8)[0] == 0 and metrics._poisson_interval(1.9)[0] == 1
    low, high = metrics._poisson_interval(1e6)
    assert low == pytest.approx(1e6 - 1000, abs=3) and high == pytest.approx(1e6 + 1000, abs=3)


def test_threshold_interval_is_of_order_statistics() -> None:
    background = np.arange(1000)
    low, value, high = metrics.threshold_interval(background, 4e-3)
    assert (value, high) == (996, 998)  # 2 to 6 events above
    assert 993 < low < 994
    assert metrics.threshold_interval(background, 1e-3)[2] == np.inf  # perhaps none at all
    assert metrics.threshold_interval(background, 1.0) == (-np.inf, 0, pytest.approx(32, abs=2))
    families = background // 10
    wide = metrics.threshold_interval(background, 40e-3, families)
    narrow = metrics.threshold_interval(background, 40e-3)
    assert wide[1] == narrow[1] and wide[2] - wide[0] > 2 * (narrow[2] - narrow[0])
    with pytest.raises(ValueError, match="fpr 0"):
        metrics.threshold_interval(background, 0)


def coverage(fpr: float, clustered: bool, tries: int, events: int = 40_000) -> tuple[float, float]:
    """How often the interval of the TPR, and that of the threshold, hold the truth."""
    rng = np.random.default_rng(3)
    cut = NormalDist().inv_cdf(1 - fpr)
    truth = 1 - NormalDist(1.5, 1).cdf(cut)
    found = []
    for _ in range(tries):
        background, parent = families(rng, events) if clustered else (rng.normal(size=events), None)
        low, _, high = metrics.tpr_at_fpr(background, rng.normal(1.5, 1, 5000), fpr, parent)
        loosest, _, tightest = metrics.threshold_interval(background, fpr, parent)
        found.append((low <= truth <= high, loosest <= cut <= tightest))
    rates = np.mean(found, axis=0)
    return float(rates[0]), float(rates[1])


@pytest.mark.parametrize("clustered", [False, True])
def test_tpr_interval_covers(clustered: bool) -> None:
    of_tpr, of_threshold = coverage(1e-3, clustered, 100, 10_000)
    assert 0.6 < of_tpr < 0.92 and 0.6 < of_threshold < 0.92


@pytest.mark.long
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("fpr", [1e-4, 1e-3, 1e-2])  # 4, 40, 400 events above
def test_tpr_interval_covers_everywhere(fpr: float, clustered: bool) -> None:
    of_tpr, of_threshold = coverage(fpr, clustered, 300)
    assert 0.6 < of_tpr < 0.9 and 0.6 < of_threshold < 0.9  # few events: counts are whole numbers, which covers more


def test_roc_ends_and_orders() -> None:
    fpr, tpr = metrics.roc(np.array([1, 2, 2, 3]), np.array([2, 3, 4, 4]))
    assert fpr.tolist() == [0.25, 0.75, 1.0] and tpr.tolist() == [0.75, 1.0, 1.0]


def test_one_picobarn_is_a_fiftieth_of_a_hertz() -> None:
    assert metrics.rate_hz(1.0, 1.0, 2e34) == pytest.approx(0.02)
