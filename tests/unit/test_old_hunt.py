"""The hunt of `offline.hunt`: pseudo-experiments that keep correlations, calibration, a planted bump."""

import numpy as np
import pytest
from scipy import stats

from offline.hunt import MIN_ENTRIES, Hunt, Skipped, fit_range, hunt
from offline.masses import SPECTRA, Spectrum, bin_edges
from offline.statistics import bumphunt
from offline.statistics.rake import rake

JE, JMU, EE = (next(s for s in SPECTRA if s.name == name) for name in ("je", "jmu", "ee"))


def toy(rng: np.random.Generator, n: int = 4000, signal: int = 0) -> dict[Spectrum, np.ndarray]:
    """Smooth, correlated masses of n events in two spectra, and `signal` events at 400 GeV in the first."""
    scale = rng.lognormal(4.6, 0.5, n + signal)
    values = {s: scale * rng.lognormal(0.0, 0.2, n + signal) for s in (JE, JMU)}
    values[JE][n:] = rng.normal(400, 15, signal)
    for mass in values.values():
        mass[rng.random(n + signal) < 0.2] = np.nan
    return values


def search(masses: dict[Spectrum, np.ndarray], n: int = 999, seed: int = 1) -> Hunt:
    return hunt(masses, n, np.random.default_rng(seed))


def test_pseudo_experiments_have_the_asked_mean_and_keep_correlations() -> None:
    rng = np.random.default_rng(2)
    first = rng.integers(0, 6, 3000)
    second = np.where(rng.random(3000) < 0.7, (first + 1) % 5, rng.integers(-1, 5, 3000))
    expected = [np.array([700.0, 600, 520, 480, 400, 300]), np.array([500.0, 450, 600, 500, 480])]
    sampler = rake(np.stack([first, second], axis=1), expected)
    assert sampler.shared > 0.999
    draws = sampler.draw(3000, np.random.default_rng(3))
    for counts, wanted in zip(draws, expected, strict=True):
        np.testing.assert_allclose(counts.mean(axis=0), wanted, rtol=0.01)
        np.testing.assert_allclose(counts.var(axis=0), wanted, rtol=0.12)  # Poisson
    # two bins are correlated as far as they share events, and bins of one spectrum are not
    shared = sampler.weights[(first == 0) & (second == 1)].sum()
    assert shared > 200
    assert np.cov(draws[0][:, 0], draws[1][:, 1])[0, 1] == pytest.approx(shared, rel=0.1)
    assert abs(np.corrcoef(draws[0][:, 0], draws[0][:, 1])[0, 1]) < 0.08


def test_bins_without_events_and_contradictions_still_get_their_expectation() -> None:
    # one event alone in a bin of both spectra, which ask 0.2 and 3 of it; and a bin that no event fills
    bins = np.array([[0, 0]] * 50 + [[1, 1]] + [[-1, -1]])
    expected = [np.array([50.0, 0.2, 0.7]), np.array([50.0, 3.0])]
    sampler = rake(bins, expected)
    mean = [c.mean(axis=0) for c in sampler.draw(20_000, np.random.default_rng(4))]
    for found, wanted in zip(mean, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0.05)


def test_the_fit_range_starts_past_the_turn_on_and_above_the_floor() -> None:
    mass = np.random.default_rng(5).lognormal(4.6, 0.5, 50_000)
    edges = bin_edges(JE)
    counts = np.histogram(mass, edges)[0].astype(float)
    start, stop = fit_range(counts, edges, 0.0)
    assert 110 < edges[start] < 200  # the maximum of the density is near 78 GeV
    assert counts[stop - 1] > 0 and counts[stop:].sum() == 0
    assert edges[fit_range(counts, edges, 300.0)[0]] >= 300
    # an excess on the falling part does not move it
    bump = counts.copy()
    bump[np.searchsorted(edges, 400.0)] += 400
    assert fit_range(bump, edges, 0.0)[0] == start
    assert fit_range(np.zeros(len(edges) - 1), edges, 0.0) == (0, 0)


def test_a_planted_bump_is_found_where_it_is() -> None:
    result = search(toy(np.random.default_rng(6), signal=60))
    low, high = result.leading.window
    assert result.leading.spectrum is JE
    assert low < 400 < high and high - low < 120
    assert result.global_p == 1 / 1000
    assert result.leading.described


def test_the_same_data_without_the_bump_claim_nothing() -> None:
    result = search(toy(np.random.default_rng(6)))
    assert result.global_p > 0.05
    assert [r.spectrum for r in result.scanned] == [JE, JMU]


def test_few_entries_are_skipped_and_say_so() -> None:
    rng = np.random.default_rng(7)
    masses = toy(rng)
    masses[EE] = np.where(rng.random(4000) < 0.02, rng.lognormal(4.9, 0.4, 4000), np.nan)
    result = search(masses, 50)
    skipped = next(r for r in result.results if r.spectrum is EE)
    assert isinstance(skipped, Skipped) and f"fewer than {MIN_ENTRIES}" in skipped.reason
    assert len(result.scanned) == 2
    empty = search({EE: np.full(10, np.nan)}, 50)
    assert empty.leading is None and empty.global_p == 1.0


def test_a_spectrum_that_the_function_cannot_describe_claims_nothing() -> None:
    rng = np.random.default_rng(8)
    masses = toy(rng)
    # two narrow lines and a gap: no smooth function, wherever the window is
    masses[JE][:120], masses[JE][120:240] = rng.normal(300, 2, 120), rng.normal(600, 2, 120)
    result = search(masses)
    je = next(r for r in result.scanned if r.spectrum is JE)
    assert je.best.local_p < 1e-6 and not je.described
    assert result.leading is not None and result.leading.spectrum is JMU


def test_global_p_of_background_is_uniform() -> None:
    """A loose check of the calibration; docs/analyst.md has the long one."""
    p = [search(toy(np.random.default_rng([9, i]), 2000), 79, i).global_p for i in range(50)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.36 < np.mean(p) < 0.64


@pytest.mark.long
def test_calibration_and_power_in_full() -> None:
    """The figures of docs/analyst.md: run with `-s` to see them."""
    sets, shown = 500, []
    levels = (0.01, 0.05, 0.1, 0.5)
    p = np.array([search(toy(np.random.default_rng([10, i])), 499, i).global_p for i in range(sets)])
    kolmogorov = stats.kstest(p, "uniform").pvalue
    print(f"\nbackground only, {sets} data sets: mean p {p.mean():.3f}, Kolmogorov-Smirnov p {kolmogorov:.2f}")
    for level in levels:
        print(f"  p <= {level}: {np.mean(p <= level):.3f} of the data sets")
    for signal in (20, 30, 40, 50, 60):
        runs = [search(toy(np.random.default_rng([11, i]), signal=signal), 999, i) for i in range(50)]
        shown.append(np.mean([r.global_p <= 1.35e-3 and r.leading.spectrum is JE for r in runs]))
        local = np.median([bumphunt.significance(float(r.leading.best.local_p)) for r in runs])
        print(f"  {signal} signal events: found at 3 sigma in {shown[-1]:.0%}, median local significance {local:.1f}")
    assert kolmogorov > 0.005
    for level in levels:
        error = np.sqrt(level * (1 - level) / sets)
        assert abs(np.mean(p <= level) - level) < 4 * error + 1 / 500
    assert shown[-1] > 0.9 and shown[0] < shown[-1]
