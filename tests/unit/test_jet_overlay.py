"""Jets of several cores made of ordinary ones."""

import numpy as np
import pytest

from offline.jets.nodes import nodes, relative_mass
from offline.jets.overlay import exposed, joined, masses_of, outliers, overlaid
from tests.toy_jets import toy_jets


def test_overlaid_jets_have_the_mass_and_the_cores_asked_for():
    first, other = nodes(toy_jets(100, seed=21), 40), nodes(toy_jets(100, seed=22), 40)
    random = np.random.default_rng(3)
    wanted = np.linspace(0.1, 0.4, len(first))
    found = overlaid(first, other, wanted, random)
    assert len(found) == len(first) and (found.counts <= np.maximum(first.counts, 2)).all()
    for i in range(len(found)):
        z, eta, phi = found.values[found.offsets[i] : found.offsets[i + 1]].T
        assert (np.diff(z) <= 0).all() and z.sum() == pytest.approx(
            first.values[first.offsets[i] : first.offsets[i + 1], 0].sum(), rel=1e-4
        )
        assert abs((z * eta).sum()) < 1e-4 and abs((z * phi).sum()) < 1e-4
        # two cores: all constituents are near one of two axes, and both axes hold a fifth of the pt or nearly
        far = np.argmax(z * np.hypot(eta - eta[0], phi - phi[0]))
        near = np.hypot(eta - eta[0], phi - phi[0]) < np.hypot(eta - eta[far], phi - phi[far])
        assert 0.1 < z[near].sum() / z.sum() < 0.9
    # the cores have a mass of their own, and the hardest constituents alone are kept: about, not exactly
    assert 0.8 < np.median(relative_mass(found) / wanted) < 1.3


def test_outliers_are_behind_the_jets_and_follow_from_the_seed():
    jets = nodes(toy_jets(50, seed=23), 30)
    masses = masses_of(jets)
    assert 0 < masses[0] < masses[1] < 1
    together, made = exposed(jets, jets, 0.5, masses, np.random.default_rng(1))
    again, _ = exposed(jets, jets, 0.5, masses, np.random.default_rng(1))
    assert len(together) == 150 and made.tolist() == [0] * 100 + [1] * 50
    assert np.array_equal(together.values[: len(jets.values)], jets.values)
    assert np.array_equal(together.values, again.values)
    for share, random in ((0.0, np.random.default_rng(1)), (0.5, None)):
        same, made = exposed(jets, jets, share, masses, random)
        assert same is jets and not made.any() and len(made) == 100


def test_jets_of_one_constituent_can_be_overlaid():
    one = nodes(toy_jets(3, seed=24), 1)
    found = outliers(one, 9, np.array([0.05, 0.2]), np.random.default_rng(2))
    assert len(found) == 9 and np.isfinite(found.values).all() and (found.counts == 2).all()
    assert len(joined(one, found)) == len(one) + 9
