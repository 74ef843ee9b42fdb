"""Bump hunt: Poisson tails, the scan of windows, agreement with pyBumpHunter on a fixed background."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from offline.statistics import bumphunt, poisson

FALLING = np.exp(np.linspace(9, -2, 60))


def brute_force(counts: np.ndarray, expected: np.ndarray, widths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Index of the best window and its local p, by scipy and without any short cut."""
    bounds = bumphunt.windows(counts.shape[-1], widths)
    n, b = (np.stack([x[..., low:high].sum(axis=-1) for low, high in bounds], axis=-1) for x in (counts, expected))
    p = np.where(n > b, special.gammainc(np.maximum(n, 1), b), 1.0)
    return p.argmin(axis=-1), p.min(axis=-1)


def test_local_p_is_the_poisson_tail() -> None:
    observed, expected = np.array([5, 12, 40, 1]), np.array([1.2, 3.4, 20.0, 0.1])
    np.testing.assert_allclose(bumphunt.local_p(observed, expected), stats.poisson.sf(observed - 1, expected))
    assert bumphunt.local_p(3, 3.5) == 1.0  # a deficit
    assert bumphunt.local_p(0, 0.5) == 1.0
    assert bumphunt.local_p(10_000, 1.0) == bumphunt.SMALLEST_P


def test_far_tails_are_exact_where_the_probability_is_zero() -> None:
    n, b = np.array([5000.0, 50, 100_000, 400, 17]), np.array([1000.0, 1e-3, 90_000, 350, 16.5])
    terms = [stats.poisson.logpmf(np.arange(k, k + 20_000), mean) for k, mean in zip(n, b, strict=True)]
    np.testing.assert_allclose(poisson.minus_log_p(n, b), [-special.logsumexp(t) for t in terms], rtol=1e-9)
    assert poisson.minus_log_p(3.0, 0.0) == np.inf


def test_tails_of_millions_of_events_are_exact() -> None:
    """Against sums of 40 digits. (scipy.special.gammainc, which stops its series early, is 4 % off at the first.)"""
    for n, b in ((10_000_000, 9_985_000.25), (3_016_000, 3_000_000.0)):
        with localcontext() as context:
            context.prec = 40
            x, mean = Decimal(n), Decimal(b)
            log_factorial = x * x.ln() - x + (2 * Decimal(math.pi) * x).ln() / 2 + 1 / (12 * x) - 1 / (360 * x**3)
            term = total = Decimal(1)
            while term > Decimal("1e-25"):
                x += 1
                term *= mean / x
                total += term
            exact = log_factorial - n * mean.ln() + mean - total.ln()
        assert poisson.minus_log_p(float(n), b) == pytest.approx(float(exact), abs=1e-10)


def test_significance_goes_on_where_p_cannot() -> None:
    t = np.array([-stats.norm.logsf(z) for z in (-1.0, 0.0, 5.0, 60.0)])
    np.testing.assert_allclose(bumphunt.z_of(t), [-1, 0, 5, 60], atol=1e-7)
    assert bumphunt.z_of(0.0) == bumphunt.LOWEST_Z
    for z in (0.01, 1.0, 7.0, 24.9, 25.1, 300.0):
        assert poisson.normal_tail_at(-poisson.log_normal_tail(z)) == pytest.approx(z, rel=1e-6)
        assert poisson.log_normal_tail(z) == pytest.approx(stats.norm.logsf(z), rel=1e-9)


@given(st.floats(1e-3, 1e5), st.floats(0.01, 12))
@settings(max_examples=200, deadline=None)
def test_the_bound_that_spares_windows_holds(b: float, z: float) -> None:
    n = np.floor(b + z * np.sqrt(b)) + 1
    below = -poisson.log_normal_tail(np.sqrt(2 * poisson.divergence(n, b)))
    assert poisson.minus_log_p(n, b) < below * (1 + 1e-9)


def test_windows_cover_every_place_and_leave_half_outside() -> None:
    found = bumphunt.windows(10, (2, 3, 6))
    assert len(found) == 9 + 8  # a window of 6 in 10 bins would leave too little
    assert {tuple(w) for w in found} >= {(0, 2), (8, 10), (0, 3), (7, 10)}


def test_the_scan_finds_the_least_likely_window_of_each_histogram() -> None:
    expected = np.full((2, 12), 20.0)
    counts = expected.copy()
    counts[0, 4:7] = 35
    counts[1, 9:11] = 33
    found = bumphunt.scan(counts, expected)
    assert [(int(a), int(b)) for a, b in zip(found.low, found.high, strict=True)] == [(4, 7), (9, 11)]
    np.testing.assert_allclose(found.local_p, stats.poisson.sf([104, 65], [60, 40]))
    np.testing.assert_allclose(found.t, -np.log(found.local_p))
    away = bumphunt.outside(found, 12)  # three bins left out on both sides, as far as there are any
    assert [np.flatnonzero(row).tolist() for row in away] == [[0, 10, 11], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_the_scan_misses_no_window(scale: float) -> None:
    rng = np.random.default_rng(1)
    expected = FALLING * scale
    counts = rng.poisson(expected, (2000, 60))
    counts[:500, 20:23] += rng.poisson(3 * np.sqrt(expected[20:23]), (500, 3))
    for widths in (bumphunt.WIDTHS, (1, 5), tuple(range(1, 31))):
        found = bumphunt.scan(counts, expected, widths)
        best, p = brute_force(counts, expected, widths)
        np.testing.assert_allclose(found.local_p, p, rtol=1e-9)
        bounds = bumphunt.windows(60, widths)[best]
        excess = found.t > 0
        np.testing.assert_array_equal(np.stack([found.low, found.high], axis=1)[excess], bounds[excess])
        inside = [counts[i, low:high].sum() for i, (low, high) in enumerate(zip(found.low, found.high, strict=True))]
        np.testing.assert_array_equal(found.observed, inside)


def test_histograms_without_an_excess_or_a_window() -> None:
    found = bumphunt.scan(np.zeros((3, 20)), np.full(20, 2.0))
    assert (found.t == 0).all() and (found.local_p == 1).all()
    assert float(bumphunt.scan(np.arange(3), np.ones(3), (2,)).t) == 0.0  # no window leaves half of three bins
    assert bumphunt.scan(np.zeros((0, 20)), np.zeros((0, 20))).t.shape == (0,)


def test_global_p_counts_the_measurement_itself() -> None:
    assert bumphunt.global_p(2.0, [1.0, 2.0, 3.0]) == 3 / 4
    assert bumphunt.global_p(9.0, np.zeros(999)) == 1 / 1000
    assert bumphunt.significance(1.349898e-3) == pytest.approx(3, abs=1e-6)


def test_pybumphunter_agrees_on_a_fixed_background() -> None:
    """The same local p and window; the global p within the statistics of the toys, and its S / n beside (S + 1) / (n + 1)."""
    peer = pytest.importorskip("pyBumpHunter", reason="pyBumpHunter is not installed")
    rng, toys = np.random.default_rng(3), 2000
    for signal in (0, 12, 25, 60):
        counts = rng.poisson(FALLING)
        counts[33:35] += rng.multinomial(signal, [0.5, 0.5])
        hunter = peer.BumpHunter1D(rang=(0, 60), bins=60, width_min=2, width_max=8, width_step=2, npe=toys, seed=4)
        hunter.bump_scan(counts, FALLING, is_hist=True)
        found = bumphunt.scan(counts, FALLING, (2, 4, 6, 8))
        assert float(found.local_p) == pytest.approx(hunter.min_Pval_ar[0], rel=1e-9)
        assert (int(found.low), int(found.high - found.low)) == (hunter.min_loc_ar[0], hunter.min_width_ar[0])
        # its toys, our scan: the same p exactly
        np.random.seed(4)  # noqa: NPY002 as it does
        its = np.random.poisson(FALLING[:, None], (60, toys)).T  # noqa: NPY002
        t = bumphunt.scan(its, FALLING, (2, 4, 6, 8)).t
        np.testing.assert_allclose(t, hunter.t_ar[1:], rtol=1e-9)
        assert bumphunt.global_p(float(found.t), t) == (hunter.global_Pval * toys + 1) / (toys + 1)
        # our toys
        own = bumphunt.global_p(
            float(found.t), bumphunt.scan(rng.poisson(FALLING, (toys, 60)), FALLING, (2, 4, 6, 8)).t
        )
        p = (own + hunter.global_Pval) / 2
        assert abs(own - hunter.global_Pval) < 4 * np.sqrt(2 * p * (1 - p) / toys) + 2 / toys
