"""The spurious-signal test finds the bias that it should, with its size, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.functions import FUNCTIONS, SQRT_S
from offline.statistics.peak import fit_peak
from offline.statistics.signals import gaussian
from offline.statistics.spurious import Template, of_function, of_histogram, spurious

EDGES = np.unique(np.rint(300 * 1.045 ** np.arange(51)))
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
MASSES = np.linspace(400, 1800, 15)


def resolution(mass: float) -> float:
    return 0.04 + 2.0 / mass


def p5(total: float) -> np.ndarray:
    shape = np.exp(FUNCTIONS["p5"].design(CENTRES / SQRT_S) @ [0.0, 8.0, -8.0, -1.6, -0.16]) * np.diff(EDGES)
    return total * shape / shape.sum()


def test_a_signal_is_measured_with_its_error() -> None:
    model, shape = fit.Model.on(EDGES, "p3"), gaussian(EDGES, 800, 0.0, 0.05)
    background = fit.newton(model, p5(1e5)).expected
    exact = fit_peak(model, background + 300 * shape, shape)
    assert exact.converged and exact.events[0] == pytest.approx(300, rel=1e-4)
    np.testing.assert_allclose(exact.background[0], background, rtol=1e-4)
    negative = fit_peak(model, background - 100 * shape, shape)
    assert negative.events[0] == pytest.approx(-100, rel=1e-4)
    assert fit_peak(model, background - 100 * shape, shape, positive=True).events[0] == 0
    toys = np.random.default_rng(1).poisson(background + 300 * shape, size=(1500, len(shape)))
    found = fit_peak(model, toys, shape)
    assert found.converged.all()
    pull = (found.events - 300) / found.error
    assert np.mean(pull) == pytest.approx(0, abs=0.1) and np.std(pull) == pytest.approx(1, abs=0.07)
    assert np.mean(found.gain) == pytest.approx(np.mean((found.events / found.error) ** 2), rel=0.1)


def test_the_response_is_the_derivative() -> None:
    model, shape, counts = fit.Model.on(EDGES, "p3"), gaussian(EDGES, 800, 0.0, 0.05), p5(1e5)
    found = fit_peak(model, counts, shape)
    for b in (3, 22, 40):
        more = counts.copy()
        more[b] += 0.5
        change = fit_peak(model, more, shape).events[0] - found.events[0]
        assert change == pytest.approx(0.5 * found.response[0, b], rel=0.1, abs=0.01)
    # with the counts' own variances the propagated error is the error of the fit
    assert np.sqrt(np.sum(found.response**2 * (found.background + found.events * shape))) == pytest.approx(
        found.error[0]
    )


def test_a_function_that_bends_wrongly_fails_and_one_that_can_follow_passes() -> None:
    template = Template(p5(1e6), np.zeros(len(CENTRES)), "p5")
    good = spurious(fit.Model.on(EDGES, "p5"), template, MASSES, 0.0, resolution)
    assert good.passed and good.largest < 1e-3 and good.converged.all() and not good.too_small.any()
    bad = spurious(fit.Model.on(EDGES, "p3"), template, MASSES, 0.0, resolution)
    assert not bad.passed and bad.largest > 1 and (bad.ratio.min() < 0 < bad.ratio.max())
    # the spurious signal grows with the entries, its error with their root
    more = spurious(
        fit.Model.on(EDGES, "p3"), Template(4 * p5(1e6), np.zeros(len(CENTRES)), "p5"), MASSES, 0.0, resolution
    )
    np.testing.assert_allclose(more.ratio, 2 * bad.ratio, rtol=1e-3, atol=1e-3)
    # it is the mean of what is fitted to data with fluctuations
    at = int(np.argmax(np.abs(bad.ratio)))
    shape = gaussian(EDGES, MASSES[at], 0.0, resolution(MASSES[at]))
    toys = np.random.default_rng(2).poisson(p5(1e6), size=(1000, len(CENTRES)))
    fitted = fit_peak(fit.Model.on(EDGES, "p3"), toys, shape).events
    assert np.mean(fitted) == pytest.approx(bad.signal[at], abs=4 * bad.error[at] / np.sqrt(1000))
    assert np.std(fitted) == pytest.approx(bad.error[at], rel=0.1)


def test_fluctuations_of_the_template_are_allowed_for_and_a_small_one_is_named() -> None:
    rng, model = np.random.default_rng(3), fit.Model.on(EDGES, "p5")
    large = [of_histogram(n, n, 1e5) for n in rng.poisson(p5(1e7), size=(30, len(CENTRES))).astype(float)]
    results = [spurious(model, t, MASSES, 0.0, resolution) for t in large]
    assert all(r.passed and not r.too_small.any() for r in results)
    scatter = np.std([r.signal for r in results], axis=0)
    np.testing.assert_allclose(np.mean([r.delta for r in results], axis=0), scatter, rtol=0.6)
    np.testing.assert_allclose(results[0].delta, results[0].error / 10, rtol=0.1)  # a hundred times the entries
    n = rng.poisson(p5(1e5)).astype(float)
    assert spurious(model, of_histogram(n, n, 1e5), MASSES, 0.0, resolution).too_small.all()


def test_templates_that_cannot_be_are_refused() -> None:
    with pytest.raises(Ad40Error, match="template simulation: 1 negative bins"):
        of_histogram([3.0, -1.0], [3.0, 1.0], 100)
    with pytest.raises(Ad40Error, match="sum 0"):
        of_histogram([0.0, 0.0], [0.0, 0.0], 100)
    with pytest.raises(Ad40Error, match="finite, alike"):
        of_histogram([1.0, np.nan], [1.0, 1.0], 100)
    model = fit.Model.on(EDGES, "p3")
    with pytest.raises(Ad40Error, match="template of"):
        spurious(model, Template(np.ones(3), np.ones(3), "x"), MASSES, 0.0, resolution)
    with pytest.raises(Ad40Error, match="expects no events in this spectrum"):
        fit_peak(model, p5(1e4), gaussian(EDGES, 12_000, 0.0, 0.01))


def test_the_real_dijet_spectrum(reference_data: Path) -> None:
    rows = np.genfromtxt(reference_data / "cms_dijet_13TeV.csv", delimiter=",", comments="#")
    rows = rows[np.isfinite(rows).all(axis=1)]
    edges, counts = np.append(rows[:, 0], rows[-1, 1]), np.rint(rows[:, 4] * rows[:, 3] / 1000 * 137_500)
    template = of_function(fit.Model.on(edges, "p5"), counts)
    masses = np.linspace(1800, 7000, 14)
    assert template.name == "p5"
    assert spurious(fit.Model.on(edges, "p3"), template, masses, 0.0, lambda mass: 0.05).passed
    assert spurious(fit.Model.on(edges, "p4"), template, masses, 0.0, lambda mass: 0.05).passed
    assert not spurious(fit.Model.on(edges, "p2"), template, masses, 0.0, lambda mass: 0.05).passed
