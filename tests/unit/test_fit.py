"""The background fit: Newton and iminuit agree, a real spectrum is described, the deviance means what it says."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.functions import FUNCTIONS, LADDERS, SQRT_S

EDGES = np.concatenate([np.arange(150.0, 400, 15), np.arange(400.0, 800, 25), np.arange(800.0, 1600, 50)])
P5 = FUNCTIONS["p5"]


def falling(total: float, edges: np.ndarray = EDGES) -> np.ndarray:
    """Expected counts of a p5 spectrum."""
    centres = (edges[1:] + edges[:-1]) / 2
    shape = np.exp(P5.design(centres / SQRT_S) @ np.array([0.0, 8.0, -5.0, 0.3, 0.08])) * np.diff(edges)
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
    p = stats.chi2.sf(fit.deviance(counts, fits.expected), len(truth) - P5.n_parameters)
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
    density = np.exp(P5.design(fine / SQRT_S) @ model.parameters(coefficients))
    assert model.integrals(coefficients)[5] == pytest.approx(np.trapezoid(density, fine), rel=1e-6)


def numpy_newton(model: fit.Model, counts: np.ndarray) -> np.ndarray:
    """The expected counts of plain Newton steps in numpy, halved where the deviance grows: what the kernel must be."""
    theta = np.linalg.lstsq(model.basis, np.log(np.maximum(counts, 0.25)) - model.offset, rcond=None)[0]
    for _ in range(200):
        mu = model.expected(theta)
        gradient = model.basis.T @ (mu - counts)
        step = np.linalg.solve(model.basis.T @ (mu[:, None] * model.basis), gradient)
        length = 1.0
        while fit.deviance(counts, model.expected(theta - length * step)) > fit.deviance(counts, mu) + 1e-9:
            length /= 2
        theta = theta - length * step
        if step @ gradient < 1e-11:
            break
    return model.expected(theta)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("total", [500, 50_000])
def test_the_kernel_is_plain_newton(name: str, total: int) -> None:
    model = fit.Model.on(EDGES, name)
    counts = np.random.default_rng(total).poisson(falling(total), size=(3, len(EDGES) - 1)).astype(float)
    found = fit.newton(model, counts)
    assert found.converged.all()
    for row, expected in zip(counts, found.expected, strict=True):
        np.testing.assert_allclose(expected, numpy_newton(model, row), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.expected(found.coefficients), found.expected, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTIONS)),
    total=st.floats(1, 12).map(lambda power: 10**power),
    bend=st.floats(-0.5, 0.5),
    seed=st.integers(0, 10**6),
)
def test_every_fit_solves_the_equations_of_the_maximum(name: str, total: float, bend: float, seed: int) -> None:
    """Whatever the spectrum: what the used bins see of data and fit through the basis is the same, to a fraction of
    its error, or the fit is not converged and the entries are in hardly more bins than there are parameters."""
    rng = np.random.default_rng(seed)
    expected = falling(total) * np.exp(bend * np.sin(np.arange(len(EDGES) - 1) / rng.uniform(1, 20)))
    counts, used = rng.poisson(expected).astype(float), rng.random(len(expected)) < 0.8
    model = fit.Model.on(EDGES, name)
    found = fit.newton(model, counts, used)
    if not found.converged:
        assert np.count_nonzero(counts[used]) <= model.n_parameters + 1
        return
    gradient = model.basis.T @ np.where(used, found.expected - counts, 0.0)
    error = np.sqrt(model.basis.T**2 @ np.where(used, found.expected, 0.0) + 1e-6)
    assert (np.abs(gradient) < 1e-3 * error + 1e-12 * total).all()


def test_start_and_threads_do_not_change_the_answer() -> None:
    counts = np.random.default_rng(6).poisson(falling(2000), size=(31, len(EDGES) - 1)).astype(float)
    model = fit.Model.on(EDGES)
    plain = fit.newton(model, counts)
    threaded = fit.newton(model, counts, threads=3)
    np.testing.assert_array_equal(threaded.expected, plain.expected)
    guess = fit.newton(model, falling(2000)).coefficients
    np.testing.assert_allclose(fit.newton(model, counts, start=guess).expected, plain.expected, rtol=1e-6)
    far = fit.newton(model, counts, start=guess + 30 * np.random.default_rng(7).normal(size=5))
    assert far.converged.all()
    np.testing.assert_allclose(far.expected, plain.expected, rtol=1e-6)


@pytest.mark.parametrize("total", [1e8, 1e12])
def test_huge_counts_and_long_empty_tails(total: float) -> None:
    edges = np.concatenate([EDGES, np.arange(1700.0, 9000, 200)])
    counts = np.zeros(len(edges) - 1)
    counts[: len(EDGES) - 1] = np.rint(falling(total))
    counts[20:] = 0  # nothing above 500 GeV: the fit must fall by many decades
    model = fit.Model.on(edges)
    found = fit.newton(model, counts)
    assert found.converged
    # the equations of the maximum: what the basis sees of data and fit is the same
    np.testing.assert_allclose(model.basis.T @ found.expected, model.basis.T @ counts, atol=1e-6 * np.sqrt(total))
    assert found.expected[40:].sum() < 1e-3
    exact = falling(total, edges)
    smooth = fit.newton(model, exact)
    assert smooth.converged and fit.deviance(exact, smooth.expected) < 1e-6 * np.sqrt(total)


def test_histograms_without_a_finite_best_fit_are_harmless_and_named() -> None:
    model, empty = fit.Model.on(EDGES), np.zeros(len(EDGES) - 1)
    found = fit.newton(model, empty)
    assert found.converged and 0 < found.expected.sum() < 1e-8
    assert fit.problem(model, empty) == "no entries"
    for place in (0, 7, len(empty) - 1):
        one = empty.copy()
        one[place] = 50.0
        found = fit.newton(model, one)
        assert found.converged and np.isfinite(found.coefficients).all()
        assert found.expected.sum() == pytest.approx(50, rel=1e-6) and fit.deviance(one, found.expected) < 1e-6
        assert "all 50 entries are in one bin" in str(fit.problem(model, one))
    few = np.where(np.arange(len(empty)) % 9 == 0, 3.0, 0.0)
    few[np.flatnonzero(few)[4:]] = 0
    assert "entries in 4 bins only" in str(fit.problem(model, few))
    assert fit.problem(model, falling(100)) is None
    assert "negative" in str(fit.problem(model, -falling(100)))
    assert "finite" in str(fit.problem(model, empty * np.nan))


def test_bad_histograms_are_refused_with_their_place() -> None:
    model, counts = fit.Model.on(EDGES), np.ones((3, len(EDGES) - 1))
    counts[1, 4] = -2
    with pytest.raises(Ad40Error, match=r"histogram 1 has -2.0 entries in bin 4"):
        fit.newton(model, counts)
    mask = np.ones(len(EDGES) - 1, bool)
    mask[4] = False  # a bin that is not used may hold anything
    assert fit.newton(model, counts, mask).converged.all()
    counts[2, 0] = np.nan
    with pytest.raises(Ad40Error, match=r"histogram 2 has nan"):
        fit.newton(model, counts, mask)
    with pytest.raises(Ad40Error, match="bins in the last axis"):
        fit.newton(model, np.ones(7))
    with pytest.raises(Ad40Error, match="a mask of shape"):
        fit.newton(model, np.ones(len(mask)), mask[:-1])


def test_a_mask_that_leaves_fewer_bins_than_parameters_does_not_converge() -> None:
    counts, mask = falling(1000), np.zeros(len(EDGES) - 1, bool)
    mask[[3, 8, 15, 20]] = True
    assert not fit.newton(fit.Model.on(EDGES), counts, mask).converged
    mask[30] = True
    assert fit.newton(fit.Model.on(EDGES), counts, mask).converged


def test_covariance_is_the_scatter_of_the_fits_and_what_minuit_says() -> None:
    truth, model = falling(20_000), fit.Model.on(EDGES, "p4")
    counts = np.random.default_rng(8).poisson(truth, size=(4000, len(truth))).astype(float)
    found = fit.newton(model, counts)
    one = fit.covariance(model, fit.newton(model, truth))
    scatter = np.cov(found.coefficients, rowvar=False)
    scale = np.sqrt(np.diag(one))
    np.testing.assert_allclose(scatter / np.outer(scale, scale), one / np.outer(scale, scale), atol=0.1)
    many = fit.covariance(model, found)
    assert many.shape == (4000, 4, 4)
    inverse = np.linalg.inv(model.triangle)
    errors = np.sqrt(np.diag(inverse @ many[0] @ inverse.T))
    np.testing.assert_allclose(fit.minuit(model, counts[0]).errors, errors, rtol=0.01)
    lonely = np.zeros(len(truth))
    lonely[5] = 10
    with pytest.raises(Ad40Error, match="do not determine all 4 parameters of p4"):
        fit.covariance(model, fit.newton(model, lonely))


@pytest.mark.parametrize("ladder", sorted(LADDERS))
def test_each_function_of_a_ladder_contains_the_one_before(ladder: str) -> None:
    counts = np.random.default_rng(9).poisson(falling(50_000)).astype(float)
    names = LADDERS[ladder]
    values = [fit.deviance(counts, fit.newton(fit.Model.on(EDGES, n), counts).expected) for n in names]
    for (small, large), (worse, better) in zip(pairwise(names), pairwise(values), strict=True):
        assert worse > better - 1e-8
        assert FUNCTIONS[large].contains(FUNCTIONS[small]) and not FUNCTIONS[small].contains(FUNCTIONS[large])


def test_the_functions_are_what_their_formulas_say() -> None:
    x, p = np.array([0.01, 0.1, 0.6]), (np.log(3.0), 2.0, -4.0, 0.5, 0.1, -0.02)
    log = np.log(x)
    for name, expected in {
        "p2": 3 * (1 - x) ** 2,
        "p4": 3 * (1 - x) ** 2 * x ** (-4 + 0.5 * log),
        "p6": 3 * (1 - x) ** 2 * x ** (-4 + 0.5 * log + 0.1 * log**2 - 0.02 * log**3),
        "p5sqrt": 3 * (1 - x) ** 2 * x ** (-4 + 0.5 * log + 0.1 / np.sqrt(x)),
        "ua2": 3 * x**2 * np.exp(-4 * x + 0.5 * x**2),
        "diphoton4": 3 * (1 - x ** (1 / 3)) ** 2 * x ** (-4 + 0.5 * log),
        "power3": 3 * x ** (2 - 4 * log),
        "exp4": 3 * np.exp(2 * x - 4 * x**2 + 0.5 * x**3),
        "multijet3": 3 * (1 - x) ** 2 * np.exp(-4 * x**2),
    }.items():
        k = FUNCTIONS[name].n_parameters
        np.testing.assert_allclose(np.exp(FUNCTIONS[name].design(x) @ p[:k]), expected, rtol=1e-12)
    assert all(len(f.parameters) == f.n_parameters and f.source for f in FUNCTIONS.values())
    assert FUNCTIONS["p3"].parameters == ("ln p1", "p2", "p3")


def test_a_fit_that_ran_out_of_steps_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(5).poisson(falling(1000)).astype(float)
    assert fit.newton(fit.Model.on(EDGES), counts).converged
    monkeypatch.setattr(fit, "MAX_STEPS", 1)
    assert not fit.newton(fit.Model.on(EDGES), counts).converged


def test_bins_and_functions_that_cannot_be_are_refused() -> None:
    with pytest.raises(Ad40Error, match="at least 7 bins, not 6"):
        fit.Model.on(EDGES[:7])
    with pytest.raises(Ad40Error, match="at least 5 bins, not 4"):
        fit.Model.on(EDGES[:5], "p3")
    with pytest.raises(Ad40Error, match="between 0 and 1500 GeV"):
        fit.Model.on(EDGES, sqrt_s=1500.0)
    with pytest.raises(Ad40Error, match="rise"):
        fit.Model.on(EDGES[::-1])
    with pytest.raises(Ad40Error, match="no background function 'p9'; expected one of p2, p3"):
        fit.Model.on(EDGES, "p9")


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
