"""The order of a background function, and whether it describes a spectrum: calibrated on spectra of a known one."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.functions import FUNCTIONS, SQRT_S
from offline.statistics.goodness import doubt, goodness
from offline.statistics.order import TESTS, choose

EDGES = np.concatenate([np.arange(300.0, 900, 30), np.arange(900.0, 2100, 60), np.arange(2100.0, 4600, 125)])
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def spectrum(name: str, parameters: tuple[float, ...], total: float) -> np.ndarray:
    """Expected counts of a function with parameters p2, p3, .. ."""
    shape = np.exp(FUNCTIONS[name].design(CENTRES / SQRT_S) @ np.array([0.0, *parameters])) * np.diff(EDGES)
    return total * shape / shape.sum()


P3 = spectrum("p3", (8.0, -4.5), 30_000)


@pytest.mark.parametrize("test", TESTS)
def test_the_smallest_function_that_describes_is_chosen(test: str) -> None:
    rng = np.random.default_rng(1)
    choice = choose(EDGES, rng.poisson(P3), test=test, random=rng, pseudo_experiments=200)
    assert choice.name == "p3" and not choice.left_out
    first = choice.comparisons[0]
    assert (first.smaller, first.larger) == ("p2", "p3") and first.p < 0.01
    assert first.deviance_smaller > first.deviance_larger
    assert {c.smaller for c in choice.comparisons} == {"p2", "p3"}


@pytest.mark.parametrize("test", ["F", "likelihood"])
def test_a_true_function_is_left_as_often_as_the_level_says(test: str) -> None:
    rng = np.random.default_rng(2)
    chosen = [choose(EDGES, rng.poisson(P3), ("p3", "p4", "p5"), test=test, level=0.1).name for _ in range(300)]
    wrong = 1 - chosen.count("p3") / len(chosen)
    assert 0.02 < wrong < 0.1 + 3 * 0.017  # at most the level; less, as the two larger ones are much alike


def test_a_needed_parameter_is_found_also_behind_one_that_is_not() -> None:
    # a deviation from p3 that only the last term of p5 can follow: orthogonal to all of p4 under the entries expected
    many = 1000 * P3
    root = np.sqrt(many)[:, None]
    direction = np.linalg.qr(root * FUNCTIONS["p5"].design(CENTRES / SQRT_S))[0][:, 4] / root[:, 0]
    counts = many * np.exp(6 * direction)  # six standard deviations of that parameter
    choice = choose(EDGES, np.rint(counts), ("p3", "p4", "p5"), test="likelihood")
    p = {(c.smaller, c.larger): c.p for c in choice.comparisons}
    assert choice.name == "p5" and p["p3", "p4"] > 0.05 and p["p3", "p5"] < 1e-4


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(Ad40Error, match="p5sqrt does not contain p5"):
        choose(EDGES, P3, ("p4", "p5", "p5sqrt"))
    with pytest.raises(Ad40Error, match="no test 'chi2' of the order; expected one of F, likelihood"):
        choose(EDGES, P3, test="chi2")
    with pytest.raises(Ad40Error, match="no background function 'p7'"):
        choose(EDGES, P3, ("p3", "p7"))
    with pytest.raises(Ad40Error, match="random number generator"):
        choose(EDGES, P3, test="pseudo")
    with pytest.raises(Ad40Error, match="no background function can be fitted: p3: no entries; p4: no entries"):
        choose(EDGES, 0 * P3, ("p3", "p4"))
    choice = choose(EDGES[:8], P3[:7])
    assert set(choice.left_out) == {"p6"} and "at least 8 bins" in choice.left_out["p6"]
    lonely = np.zeros(len(P3))
    lonely[[3, 5, 9, 11]] = 40
    assert set(choose(EDGES, lonely).left_out) == {"p4", "p5", "p6"}


@pytest.mark.parametrize("total", [400, 10_000_000])
def test_goodness_of_a_true_function_is_uniform(total: int) -> None:
    truth, rng = P3 * total / P3.sum(), np.random.default_rng(total)
    model = fit.Model.on(EDGES, "p3")
    found = [goodness(model, rng.poisson(truth), 99, rng) for _ in range(200)]
    assert all(g.not_converged == 0 and g.best_p == g.p for g in found)
    assert stats.kstest([g.p for g in found], "uniform").pvalue > 0.01
    asymptotic = stats.kstest([g.p_chi2 for g in found], "uniform").pvalue
    if total == 400:  # the chi-square distribution does not hold, and that is said
        assert asymptotic < 1e-4 and all("less than 1 entry" in g.doubt for g in found)
    else:
        assert asymptotic > 0.01 and not any(g.doubt for g in found)


def test_a_bump_and_a_wrong_function_are_seen() -> None:
    rng, model = np.random.default_rng(4), fit.Model.on(EDGES, "p3")
    counts = rng.poisson(P3)
    bump = counts + rng.poisson(150 * np.exp(-0.5 * ((CENTRES - 1200) / 60) ** 2))
    assert goodness(model, counts, 199, rng).p > 0.02
    assert goodness(model, bump, 199, rng).p == 1 / 200
    away = np.abs(CENTRES - 1200) > 300
    masked = goodness(model, bump, 199, rng, mask=away)
    assert masked.p > 0.02 and masked.ndf == np.count_nonzero(away) - 3
    assert goodness(fit.Model.on(EDGES, "p2"), counts).p_chi2 < 1e-6
    assert np.isnan(goodness(model, counts).p)


def test_goodness_refuses_what_has_none() -> None:
    model, mask = fit.Model.on(EDGES, "p3"), np.zeros(len(P3), bool)
    mask[:2] = True
    with pytest.raises(Ad40Error, match="did not converge"):
        goodness(model, P3, mask=mask)
    with pytest.raises(Ad40Error, match="random number generator"):
        goodness(model, P3, 10)
    assert "6 of 10 bins expect less than 5" in doubt(np.array([9.0] * 4 + [3.0] * 6))
    assert doubt(np.array([9.0] * 9 + [3.0])) == ""


def test_the_real_dijet_spectrum(reference_data: Path) -> None:
    """CMS, 137 /fb (arXiv:1911.03947): published as described by the four-parameter function with chi2/ndf near 1."""
    rows = np.genfromtxt(reference_data / "cms_dijet_13TeV.csv", delimiter=",", comments="#")
    rows = rows[np.isfinite(rows).all(axis=1)]
    edges, counts = np.append(rows[:, 0], rows[-1, 1]), np.rint(rows[:, 4] * rows[:, 3] / 1000 * 137_500)
    assert counts[-8:].tolist() == [33, 18, 8, 8, 8, 0, 3, 1] and len(counts) == 42
    rng = np.random.default_rng(5)
    for test in TESTS:
        assert choose(edges, counts, test=test, random=rng, pseudo_experiments=200).name == "p3"
    for name in FUNCTIONS:
        model = fit.Model.on(edges, name)
        found, check = fit.newton(model, counts), fit.minuit(model, counts)
        assert found.converged
        deviance = fit.deviance(counts, found.expected)
        assert deviance <= fit.deviance(counts, check.expected) + 1e-3
        if name in ("p3", "p4", "p5", "p6", "p5sqrt", "ua2", "diphoton4"):
            assert check.valid and goodness(model, counts, 200, rng).p > 0.1
            integrated = fit.minuit(model, counts, integrate=True)
            assert fit.deviance(counts, integrated.expected) == pytest.approx(deviance, abs=0.5)
        elif name != "diphoton3":
            assert goodness(model, counts, 200, rng).p == 1 / 201
    # the parameter that p4 adds is not different from zero
    p4 = fit.minuit(fit.Model.on(edges, "p4"), counts)
    assert abs(p4.parameters[3]) < p4.errors[3]
