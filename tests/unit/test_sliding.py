"""Sliding windows follow what one function cannot, hide little of a bump, and say where they extrapolate."""

from pathlib import Path

import numpy as np
import pytest

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.signals import gaussian
from offline.statistics.sliding import TREATMENTS, Windows, goodness, slide, widest

EDGES = np.unique(np.rint(300 * 1.035 ** np.arange(81)))
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
BINS = len(CENTRES)


def sigma(mass: float) -> float:
    return 0.04 * mass


def truth(total: float = 2e5) -> np.ndarray:
    """A spectrum with two slopes, which no function of few parameters follows over the whole range."""
    m = CENTRES / 300
    shape = (m**-9 + 0.02 * m**-2 * (1 - CENTRES / 13000) ** 30) * np.diff(EDGES)
    return total * shape / shape.sum()


@pytest.mark.parametrize("signal", TREATMENTS)
def test_the_background_is_followed_where_one_function_fails(signal: str) -> None:
    rng, expected = np.random.default_rng(1), truth()
    toys = rng.poisson(expected, size=(200, BINS))
    assert fit.deviance(toys[0], fit.newton(fit.Model.on(EDGES, "p3"), toys[0]).expected) > 3 * BINS
    windows = Windows.on(EDGES, 6, signal=signal, region=1, sigma=sigma)
    found, inside = slide(windows, toys), windows.inside & (expected > 10)
    assert found.converged[:, inside].all() and inside.sum() > 35
    pull = (found.expected - expected)[:, inside] / np.sqrt(expected[inside])
    whole = fit.newton(fit.Model.on(EDGES, "p3"), expected).expected
    bias = np.abs(whole - expected)[inside] / np.sqrt(expected[inside])
    # signals are not negative, so that fitting them pulls the background down a little
    assert bias.max() > 3 and np.abs(pull.mean(axis=0)).max() < (0.6 if signal == "fit" else 0.4)
    assert pull.std(axis=0).max() < 1.0


def test_a_bump_hides_less_where_its_region_is_treated_apart() -> None:
    rng, expected = np.random.default_rng(2), truth()
    place = 40
    shape = gaussian(EDGES, CENTRES[place], 0.0, 0.04)
    events = 6 * np.sqrt(expected[place]) / shape[place]
    toys = rng.poisson(expected + events * shape, size=(100, BINS))
    hidden = {}
    for signal in TREATMENTS:
        found = slide(Windows.on(EDGES, 7, signal=signal, region=3, sigma=sigma), toys).expected
        hidden[signal] = (found[:, place].mean() - expected[place]) / (events * shape[place])
    assert hidden["include"] > 0.2
    assert abs(hidden["leave out"]) < 0.06 and abs(hidden["fit"]) < 0.06


def test_windows_stop_at_the_ends_and_say_where_they_extrapolate() -> None:
    windows = Windows.on(EDGES, 8, region=2)
    assert windows.size == 17 and windows.first[:10].tolist() == [0] * 9 + [1]
    assert windows.first[-1] == BINS - 17
    assert np.flatnonzero(~windows.inside).tolist() == [0, 1, 2, BINS - 3, BINS - 2, BINS - 1]
    # one fit by hand: bin 30 from bins 22 to 38 without 28 to 32
    counts = np.random.default_rng(3).poisson(truth()).astype(float)
    mask = np.ones(17, bool)
    mask[6:11] = False
    by_hand = fit.newton(fit.Model.on(EDGES[22:40], "p3"), counts[22:39], mask).expected[8]
    assert slide(windows, counts).expected[30] == pytest.approx(by_hand)


def test_empty_windows_have_no_background_and_say_so() -> None:
    counts = np.random.default_rng(4).poisson(truth(30_000)).astype(float)
    counts[50:] = 0
    for signal in TREATMENTS:
        found = slide(Windows.on(EDGES, 6, signal=signal, sigma=sigma), counts)
        assert np.isfinite(found.expected).all()
        assert not found.converged[57:].any() and (found.expected[57:] == 0).all()
        assert found.converged[:40].all()


def test_goodness_and_the_widest_window_that_describes() -> None:
    rng, expected = np.random.default_rng(5), truth(2e6)
    counts = rng.poisson(expected)
    candidates = [Windows.on(EDGES, half, signal="include") for half in (4, 6, 38)]
    assert goodness(candidates[2], counts, 99, rng) == 1 / 100
    p = [goodness(candidates[0], rng.poisson(expected), 49, rng) for _ in range(20)]
    assert min(p) < 0.5 < max(p) and 0.25 < np.mean(p) < 0.75
    best = widest(candidates, counts, rng, pseudo_experiments=99)
    assert best.size in (9, 13)
    with pytest.raises(Ad40Error, match="no sliding window describes the spectrum .77 bins: p = 0.01"):
        widest(candidates[2:], counts, rng, pseudo_experiments=99)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Ad40Error, match="windows of 9 bins leave 4 for the 3 parameters of p3; expected at least 5"):
        Windows.on(EDGES, 4, region=2)
    with pytest.raises(Ad40Error, match="windows of 101 bins on a spectrum of 80"):
        Windows.on(EDGES, 50)
    with pytest.raises(Ad40Error, match="no treatment 'mask' of the signal; expected one of include"):
        Windows.on(EDGES, 8, signal="mask")
    with pytest.raises(Ad40Error, match="sigma"):
        Windows.on(EDGES, 8, signal="fit")
    with pytest.raises(Ad40Error, match="expected 80 bins"):
        slide(Windows.on(EDGES, 8), np.ones(5))


def test_the_real_dijet_spectrum_is_followed(reference_data: Path) -> None:
    rows = np.genfromtxt(reference_data / "cms_dijet_13TeV.csv", delimiter=",", comments="#")
    rows = rows[np.isfinite(rows).all(axis=1)]
    edges, counts = np.append(rows[:, 0], rows[-1, 1]), np.rint(rows[:, 4] * rows[:, 3] / 1000 * 137_500)
    windows = Windows.on(edges, 9)
    whole = fit.newton(fit.Model.on(edges, "p3"), counts).expected
    found = slide(windows, counts)
    assert found.converged.all()
    apart = np.abs(found.expected - whole)[windows.inside] / np.sqrt(whole[windows.inside])
    assert apart.max() < 3
    assert goodness(windows, counts, 99, np.random.default_rng(6)) > 0.02
