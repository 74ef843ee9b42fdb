"""The background fit: Newton and iminuit agree, a real spectrum is described, the deviance means what it says."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ad40.errors import Ad40Error
from offline.statistics import fit

EDGES = np.concatenate([np.arange(150.0, 400, 15), np.arange(400.0, 800, 25), np.arange(800.0, 1600, 50)])


def falling(total: float, edges: np.ndarray = EDGES) -> np.ndarray:
    """Expected counts of a p5 spectrum."""
    centres = (edges[1:] + edges[:-1]) / 2
    shape = np.exp(fit.design(centres) @ np.array([0.0, 8.0, -5.0, 0.3, 0.08])) * np.diff(edges)
    return total * shape / shape.sum()


@pytest.mark.parametrize("total", [300, 3_000, 30_000, 3_000_000])
def test_newton_and_minuit_find_the_same_optimum(total: int) -> None:
    counts = np.random.default_rng(total).poisson(falling(total)).astype(float)
    model = fit.Model.on(EDGES)
    newton, minuit = fit.newton(model, counts), fit.minuit(model, counts)
    assert newton.converged and minuit.valid
    assert fit.deviance(counts, newton.expected) <= fit.deviance(counts, minuit.expected) + 1e-6
    np.testing.assert_allclose(minuit.expected, newton.expected, rtol=2e-3, atol=0.01)
    difference = model.parameters(newton.coefficients) - minuit.parameters
    assert (np.abs(difference) < 0.01 * minuit.errors).all()
    # at the optimum of this likelihood the fit holds as many events as the data
    np.testing.assert_allclose(newton.expected.sum(), counts.sum(), rtol=1e-6)


def test_many_histograms_at_once_are_the_same_fits() -> None:
    counts = np.random.default_rng(1).poisson(falling(2000), size=(20, len(EDGES) - 1)).astype(float)
    model = fit.Model.on(EDGES)
    together = fit.newton(model, counts)
    assert together.converged.all()
    for row in range(20):
        np.testing.assert_allclose(together.expected[row], fit.newton(model, counts[row]).expected, rtol=1e-6)


def test_masked_bins_do_not_count() -> None:
    counts = falling(10_000).copy()
    mask = np.ones(len(counts), bool)
    mask[10:14] = False
    spoiled = np.where(mask, counts, 10 * counts)
    model = fit.Model.on(EDGES)
    np.testing.assert_allclose(fit.newton(model, spoiled, mask).expected, counts, rtol=1e-6)
    assert fit.deviance(spoiled, counts, mask) == pytest.approx(0, abs=1e-9)
    assert fit.deviance(spoiled, counts) > 1000


def test_errors_cover_the_true_parameters() -> None:
    truth, model = falling(20_000), fit.Model.on(EDGES)
    exact = model.parameters(fit.newton(model, truth).coefficients)
    rng = np.random.default_rng(3)
    fits = [fit.minuit(model, rng.poisson(truth)) for _ in range(60)]
    pulls = np.array([(f.parameters - exact) / f.errors for f in fits])
    inside = (np.abs(pulls) < 1).mean(axis=0)
    assert ((inside > 0.48) & (inside < 0.88)).all()  # 68 %, 60 trials, three standard deviations


def test_deviance_follows_chi2_and_pulls_are_standard() -> None:
    truth, model = falling(200_000), fit.Model.on(EDGES)
    counts = np.random.default_rng(4).poisson(truth, size=(400, len(truth))).astype(float)
    fits = fit.newton(model, counts)
    p = stats.chi2.sf(fit.deviance(counts, fits.expected), len(truth) - fit.N_PARAMETERS)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.std(fit.pulls(counts, truth)) == pytest.approx(1, abs=0.03)


def test_deviance_by_hand() -> None:
    n, mu = np.array([0.0, 3.0]), np.array([1.5, 2.0])
    assert fit.deviance(n, mu) == pytest.approx(2 * (1.5 + (2 - 3 + 3 * np.log(1.5))))
    assert fit.pulls(n, mu)[0] == pytest.approx(-np.sqrt(3)) and fit.pulls(n, mu)[1] > 0


def test_integrals_differ_from_centres_as_the_curvature_says() -> None:
    model = fit.Model.on(EDGES)
    coefficients = fit.newton(model, falling(1e6)).coefficients
    fine = np.linspace(EDGES[5], EDGES[6], 2001)
    density = np.exp(fit.design(fine) @ model.parameters(coefficients))
    assert model.integrals(coefficients)[5] == pytest.approx(np.trapezoid(density, fine), rel=1e-6)


def test_a_histogram_with_one_filled_bin_gives_a_finite_fit() -> None:
    counts = np.zeros(len(EDGES) - 1)
    counts[7] = 50.0
    expected = fit.newton(fit.Model.on(EDGES), counts).expected
    assert np.isfinite(expected).all() and expected.sum() == pytest.approx(50, rel=1e-3)


def test_a_fit_that_ran_out_of_steps_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(5).poisson(falling(1000)).astype(float)
    assert fit.newton(fit.Model.on(EDGES), counts).converged
    monkeypatch.setattr(fit, "MAX_STEPS", 1)
    assert not fit.newton(fit.Model.on(EDGES), counts).converged


def test_too_few_bins_are_refused() -> None:
    with pytest.raises(Ad40Error, match="at least 7 bins, not 6"):
        fit.Model.on(EDGES[:7])


def test_the_real_dijet_spectrum_is_described(reference_data: Path) -> None:
    rows = np.genfromtxt(reference_data / "cms_dijet_13TeV.csv", delimiter=",", comments="#")
    rows = rows[np.isfinite(rows).all(axis=1)]
    edges = np.append(rows[:, 0], rows[-1, 1])
    counts = np.rint(rows[:, 4] * rows[:, 3] / 1000 * 137_500)  # pb/TeV x TeV x luminosity
    model = fit.Model.on(edges)
    newton, minuit = fit.newton(model, counts), fit.minuit(model, counts, integrate=True)
    assert newton.converged and minuit.valid
    assert stats.chi2.sf(fit.deviance(counts, newton.expected), len(counts) - 5) > 0.05
    assert stats.chi2.sf(fit.deviance(counts, minuit.expected), len(counts) - 5) > 0.05
    assert np.abs(fit.pulls(counts, newton.expected)).max() < 3.5
