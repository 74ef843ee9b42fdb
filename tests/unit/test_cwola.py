"""The search without labels: nothing sculpted, nothing seen twice, a signal found."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm, poisson

from ad40.errors import Ad40Error, InputError
from offline.jets import bump, classifier, cwola, cwola_step
from offline.jets.cwola import CwolaSettings, Window
from offline.jets.dijets import dijets
from offline.statistics import onoff
from tests.toy_dijets import toy_dijets
from tests.toy_jets import toy_jets

WINDOW = Window(2736, 3283, 3940, 4728)
FAST = CwolaSettings(rotations=1)


def test_no_event_is_scored_by_a_classifier_that_saw_it(monkeypatch):
    events = toy_dijets(8000)
    seen: list[tuple[set, set]] = []

    def train(kind, x, y, weight, x_val, y_val, weight_val, seed):
        learnt = set(x[:, 0]) | set(x_val[:, 0])
        assert not set(x[:, 0]) & set(x_val[:, 0])
        assert len(x) / len(x_val) == pytest.approx(3, rel=0.25)

        def answer(x):
            assert not learnt & set(x[:, 0])
            seen.append((learnt, set(x[:, 0])))
            return x[:, 0]

        return answer

    monkeypatch.setattr(classifier, "train", train)
    score = cwola.score(events, WINDOW, CwolaSettings(rotations=2, masses="gev"))
    assert len(seen) == 10 and np.isfinite(score).all()
    assert set().union(*(scored for _, scored in seen)) == set(events.x[:, 0])


def test_folds_depend_on_the_event_alone():
    event = np.arange(10_000)
    folds = cwola.folds_of(event, 5, 40)
    assert np.bincount(folds).min() > 1800
    assert (cwola.folds_of(event[17:90], 5, 40) == folds[17:90]).all()
    assert (cwola.folds_of(event, 5, 41) != folds).mean() > 0.7


def test_weights_balance_classes_and_sidebands():
    mass = toy_dijets(5000).mass
    weight = cwola.weights(mass, WINDOW)
    low, high = WINDOW.sides(mass)
    signal = WINDOW.signal(mass)
    assert weight[signal].sum() == pytest.approx(weight[low | high].sum())
    assert weight[low].sum() == pytest.approx(weight[high].sum())
    assert (weight[~(signal | low | high)] == 0).all() and weight.sum() == pytest.approx((weight > 0).sum())


def test_a_cut_keeps_its_part_of_the_sidebands():
    random = np.random.default_rng(1)
    reference, weight = random.normal(size=4000), random.random(4000) + 0.5
    score = cwola.footing(reference, reference, weight)
    for efficiency in (0.5, 0.1, 0.01):
        kept = score >= -np.log(efficiency)
        assert weight[kept].sum() / weight.sum() == pytest.approx(efficiency, abs=1e-3)
    order = np.argsort(reference)
    assert (np.diff(score[order]) >= 0).all()
    beyond = cwola.footing(np.array([10.0, 20.0]), reference, weight)
    assert beyond[1] > beyond[0] > score.max()


def test_windows():
    found = cwola.published_windows()
    assert [round(w.low) for w in found] == [1900, 2280, 2736, 3283, 3940, 4728, 5673, 6808]
    assert all(a.high == pytest.approx(b.low) for a, b in pairwise(found))
    for edges in ((3000, 2000, 4000, 5000), (0, 1, 2, 3), (1, 2, 3, np.inf)):
        with pytest.raises(InputError, match="rise"):
            Window(*edges)


def test_significance_of_a_known_background_is_that_of_poisson():
    for observed, expected in ((130, 100.0), (1100, 1000.0), (40, 20.0)):
        exact = norm.isf(poisson.sf(observed - 0.5, expected))
        assert onoff.significance(observed, expected, 0) == pytest.approx(exact, abs=0.12)
        assert onoff.significance(observed, expected, 0.1) == pytest.approx(
            onoff.significance(observed, expected, 0), abs=0.01
        )
        assert 0 < onoff.significance(observed, expected, 30) < onoff.significance(observed, expected, 3)
    assert onoff.significance(80, 100, 3) < 0
    assert onoff.significance(100, 100.0, 10) == pytest.approx(0, abs=1e-6)
    # for a large error it is the difference over it
    assert onoff.significance(12_000, 10_000, 1000) == pytest.approx(2000 / np.sqrt(1000**2 + 11_000), rel=0.1)


def test_the_bump_fit_is_not_biased():
    z, expected = [], []
    for seed in range(30):
        mass = toy_dijets(20_000, seed=100 + seed).mass
        found = bump.bump(mass, bump.fit_range(mass, WINDOW), WINDOW)
        z.append(found.z)
        expected.append(found.expected / found.observed)
    assert abs(np.mean(z)) < 3.5 / np.sqrt(30) and 0.6 < np.std(z) < 1.5
    assert np.mean(expected) == pytest.approx(1, abs=0.03)


def test_background_alone_makes_no_bump():
    z = []
    for seed in range(3):
        found = cwola_step.search_window(toy_dijets(30_000, 0, 200 + seed), WINDOW, FAST)
        assert not found.reason and found.merit is None
        z += [found.bumps[e].z for e in (0.1, 0.01)]
        for efficiency in (0.1, 0.01):
            kept = found.bumps[efficiency].counts.sum() / found.bumps[1.0].counts.sum()
            assert kept == pytest.approx(efficiency, rel=0.7)
    assert max(np.abs(z)) < 3.5 and abs(np.mean(z)) < 1.6


@pytest.mark.parametrize("kind", classifier.KINDS)
def test_a_signal_is_found(kind):
    if kind == "network":
        pytest.importorskip("tensorflow")
    events = toy_dijets(30_000, 250, 3)
    found = cwola_step.search_window(events, WINDOW, CwolaSettings(rotations=1, classifier=kind))
    assert found.bumps[0.01].z > 5 and found.bumps[0.01].z > found.bumps[1.0].z + 2
    assert found.merit["max_sic"][1] > 4 and found.merit["auc"][1] > 0.8


def test_masses_are_relative_to_the_dijet_mass():
    events = toy_dijets(3000, features="four")
    x = cwola.relative(events)
    assert np.allclose(x[:, :2] * events.mass[:, None], events.x[:, :2]) and (x[:, 2:] == events.x[:, 2:]).all()
    # of background, which has no mass of its own, they depend less on the dijet mass
    follows = [abs(np.corrcoef(np.log(v[:, 0]), np.log(events.mass))[0, 1]) for v in (events.x, x)]
    assert follows[1] < follows[0] - 0.05
    with pytest.raises(InputError, match="masses is 'tev'"):
        CwolaSettings(masses="tev")


def test_the_start_of_the_fit_may_be_known():
    mass = toy_dijets(20_000).mass
    known = bump.fit_range(mass, WINDOW, 2600)[0]
    assert 2600 <= known < 2680 < bump.fit_range(mass, WINDOW)[0]
    with pytest.raises(Ad40Error, match="no sideband below"):
        bump.fit_range(mass, WINDOW, 3250)


def test_too_few_events_are_said():
    found = cwola_step.search_window(toy_dijets(500), WINDOW, FAST)
    assert "at least 50" in found.reason and not found.bumps
    with pytest.raises(Ad40Error, match="falls from"):
        mass = toy_dijets(5000).mass
        bump.fit_range(mass[mass > 3200], WINDOW)


def test_dijets_of_jets():
    jets = toy_jets(60, 20)
    found = dijets(jets, ("m1", "m2", "m_light", "m_difference", "tau21_heavy"))
    masses = jets.column("mass")[found.jets]
    assert np.allclose(found.x[:, 0], masses[:, 0]) and np.allclose(found.x[:, 2], masses.min(1))
    assert np.allclose(found.x[:, 3], np.ptp(masses, axis=1))
    heavy = found.jets[np.arange(len(found)), np.argmax(masses, 1)]
    assert np.allclose(found.x[:, 4], jets.ratio(2, 1)[heavy])
    p = jets.four_momenta()[found.jets].sum(axis=1)
    assert np.allclose(found.mass**2, p[:, 3] ** 2 - (p[:, :3] ** 2).sum(1))
    assert (jets.event[found.jets[:, 1]] == found.event).all()
    with pytest.raises(InputError, match="above 9000"):
        dijets(jets, ("m1",), 9000)
    with pytest.raises(InputError, match="'m3'|m_light"):
        dijets(jets, ("m_3",))
