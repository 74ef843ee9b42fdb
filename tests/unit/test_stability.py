"""Stability of the score: groups, the chi2 of a constant, and a drift that is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from offline.autoencoder.stability import StabilityFigure, group_starts, stability
from offline.figures.style import style


def toy(n: int, seed: int, slope: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pileup = rng.poisson(30, n).astype(np.float32)
    return (rng.gumbel(-10, 0.8, n) + slope * (pileup - 30)).astype(np.float32), pileup


def test_p_of_a_constant_score_is_uniform() -> None:
    p = [stability(*toy(4000, seed), "pileup").p for seed in range(300)]
    assert kstest(p, "uniform").pvalue > 0.05


def test_a_drift_is_found() -> None:
    found = stability(*toy(20000, 1, slope=0.01), "pileup")
    assert found.p < 1e-4
    assert found.median[-1] > found.median[0]
    assert found.reason is None


@given(st.lists(st.integers(0, 9), min_size=0, max_size=400), st.integers(1, 8), st.integers(1, 50))
def test_groups_partition_the_events(values: list[int], most: int, smallest: int) -> None:
    x = np.sort(np.array(values, np.float64))
    starts = group_starts(x, most, smallest)
    assert len(starts) <= most or len(x) == 0
    sizes = np.diff(np.append(starts, len(x)))
    assert sizes.sum() == len(x)
    assert (sizes >= min(smallest, len(x))).all()
    assert all(x[start - 1] < x[start] for start in starts[1:])  # equal values stay together


def test_unknown_values_are_left_out_and_counted() -> None:
    score, pileup = toy(3000, 2)
    pileup[::3] = np.nan
    found = stability(score, pileup, "pileup")
    assert (found.unknown, sum(found.events)) == (1000, 2000)
    nothing = stability(score, np.full(3000, np.nan), "pileup")
    assert nothing.reason is not None and nothing.summary["p"] is None


@pytest.mark.parametrize(
    ("score", "value", "reason"),
    [
        (np.arange(1000.0), np.ones(1000), "one group only: 1,000 events, 1 values"),
        (np.arange(50.0), np.arange(50.0), "one group only: 50 events"),
        (np.zeros(1000), np.arange(1000.0), "all the same"),
    ],
)
def test_nothing_to_compare_is_said(score: np.ndarray, value: np.ndarray, reason: str) -> None:
    assert reason in str(stability(score, value, "run").reason)


def test_integer_scores_with_ties() -> None:
    rng = np.random.default_rng(4)
    p = [stability(rng.poisson(3, 4000), rng.integers(1, 9, 4000), "run").p for _ in range(50)]
    assert np.mean(np.array(p) < 0.05) < 0.2


def test_figure_has_the_numbers() -> None:
    found = stability(*toy(5000, 3), "pileup")
    drawing = StabilityFigure(found, "ln loss", "pileup", 140.0, 13000.0)
    table = drawing.table()
    assert list(table.dependent[0].values) == found.median
    assert table.qualifiers["p-value"] == found.p
    with style():
        figure = drawing.draw()
    assert "median of ln loss" in figure.axes[0].get_ylabel()
