"""Signal shapes: fractions by the error function, simulated shapes, what is outside, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from ad40.errors import Ad40Error
from offline.statistics import signals

EDGES = np.arange(200.0, 2001.0, 50.0)


@given(st.floats(50, 3000), st.floats(0, 0.2), st.floats(0.005, 0.1))
@settings(max_examples=50, deadline=None)
def test_fractions_are_those_of_the_normal_distribution(mass: float, width: float, resolution: float) -> None:
    fractions = signals.gaussian(EDGES, mass, width, resolution)
    sigma = mass * np.sqrt(width**2 + resolution**2)
    np.testing.assert_allclose(fractions, np.diff(norm.cdf(EDGES, mass, sigma)), atol=1e-14)
    assert (fractions >= 0).all()
    missing = norm.cdf(EDGES[0], mass, sigma) + norm.sf(EDGES[-1], mass, sigma)
    assert signals.outside(fractions) == pytest.approx(missing, abs=1e-12)


def test_far_tails_keep_their_digits() -> None:
    fractions = signals.gaussian(EDGES, 400.0, 0.0, 0.05)
    z = (EDGES - 400.0) / 20.0
    expected = norm.sf(z[-3]) - norm.sf(z[-2])
    assert 0 < expected < 1e-300 or fractions[-2] == pytest.approx(expected, rel=1e-9)
    assert fractions[10] == pytest.approx(norm.sf(z[10]) - norm.sf(z[11]), rel=1e-9) and fractions[10] < 1e-11


def test_width_zero_is_the_resolution_alone() -> None:
    narrow = signals.gaussian(EDGES, 1000.0, 0.0, 0.05)
    mean = np.sum(narrow * (EDGES[1:] + EDGES[:-1]) / 2)
    spread = np.sqrt(np.sum(narrow * ((EDGES[1:] + EDGES[:-1]) / 2 - mean) ** 2))
    assert mean == pytest.approx(1000.0, abs=1e-6)
    assert spread == pytest.approx(np.hypot(50.0, 50.0 / np.sqrt(12)), rel=1e-3)  # and the width of the bins
    assert narrow.max() > 1.5 * signals.gaussian(EDGES, 1000.0, 0.10, 0.05).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.0, 0.05), "mass is 0.0; expected above 0"),
        ((np.nan, 0.0, 0.05), "mass is nan"),
        ((500.0, -0.1, 0.05), "width is -0.1; expected 0 or more"),
        ((500.0, 0.0, np.inf), "resolution is inf"),
        ((500.0, 0.0, 0.0), "both 0"),
    ],
)
def test_bad_signals_are_refused(arguments: tuple[float, float, float], message: str) -> None:
    with pytest.raises(Ad40Error, match=message):
        signals.gaussian(EDGES, *arguments)
    with pytest.raises(Ad40Error, match="rise from bin to bin"):
        signals.gaussian(EDGES[::-1], 500.0, 0.0, 0.05)


def test_simulated_signal() -> None:
    masses = np.array([210.0, 260.0, 260.0, 100.0, np.nan, 5000.0])
    weights = np.array([1.0, 2.0, -0.5, 1.0, 1.0, 0.5])
    shape = signals.simulated(EDGES, masses, weights)
    np.testing.assert_allclose(shape.fractions[:3], [0.2, 0.3, 0.0])
    assert signals.outside(shape.fractions) == pytest.approx(0.5)
    assert shape.effective_events == pytest.approx(25.0 / np.sum(weights**2))
    assert signals.simulated(EDGES, masses).effective_events == 6


@pytest.mark.parametrize(
    ("masses", "weights", "message"),
    [
        ([], None, "no events"),
        ([300.0], [1.0, 2.0], "2 weights for 1 masses"),
        ([300.0, 400.0], [1.0, np.nan], "weight of event 1"),
        ([300.0, 400.0], [1.0, -1.0], "sum of weights is 0"),
        ([300.0, 400.0], [2.0, -1.0], "bin 400-450 GeV holds -1"),
    ],
)
def test_bad_simulated_signals_are_refused(masses: list[float], weights: list[float] | None, message: str) -> None:
    with pytest.raises(Ad40Error, match=message):
        signals.simulated(EDGES, masses, weights)
