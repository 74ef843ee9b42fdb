"""Grooming and N-subjettiness of single jets against FastJet, and what they are for jets of few particles."""

import math
from typing import Any

import numpy as np
import pytest

from ad40.errors import InputError
from offline.jets.jets import starts_of
from offline.jets.substructure import Grooming, substructure
from tests.jet_files import random_jets


def slow(x: np.ndarray, g: Grooming) -> list[float]:
    """The five numbers of a jet (n, 3), n > 1, with FastJet."""
    fastjet = pytest.importorskip("fastjet", reason="fastjet is not installed: nothing to compare with")

    def jets(algorithm: Any, radius: float, *more: Any) -> Any:
        return fastjet.ClusterSequence(particles, fastjet.JetDefinition(algorithm, radius, *more))

    particles = [
        fastjet.PseudoJet(pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), pt * math.cosh(eta))
        for pt, eta, phi in x.tolist()
    ]
    scalar = sum(p.pt() for p in particles)
    kt = jets(fastjet.kt_algorithm, 1000.0, fastjet.WTA_pt_scheme)
    out = []
    for n in (1, 2, 3):
        axes = kt.exclusive_jets(n) if len(particles) > n else particles
        out.append(sum(p.pt() * min(p.delta_R(axis) for axis in axes) for p in particles) / (scalar * g.radius))
    tree = jets(fastjet.cambridge_algorithm, 1000.0)
    node = tree.exclusive_jets(1)[0]
    a, b = fastjet.PseudoJet(), fastjet.PseudoJet()
    while node.has_parents(a, b):
        z = min(a.pt(), b.pt()) / (a.pt() + b.pt())
        if z > g.z_cut * (a.delta_R(b) / g.radius) ** g.beta:
            break
        node = fastjet.PseudoJet(a if a.pt() > b.pt() else b)
    whole, kept = fastjet.PseudoJet(0, 0, 0, 0), fastjet.PseudoJet(0, 0, 0, 0)
    for p in particles:
        whole += p
    sub = jets(fastjet.kt_algorithm, g.trim_radius)
    for s in sub.inclusive_jets():
        if s.pt() >= g.trim_fraction * whole.pt():
            kept += s
    return [*out, max(node.m(), 0), max(kept.m(), 0)]


@pytest.mark.parametrize("grooming", [Grooming(), Grooming(0.8, 0.2, 1.0, 0.3, 0.03)])
def test_against_fastjet(grooming: Grooming) -> None:
    jets = random_jets(60, seed=3)
    got = substructure(jets.offsets, jets.constituents, grooming)
    x = jets.constituents.astype(np.float64)
    for k in np.flatnonzero(jets.counts > 1):
        expected = slow(x[jets.offsets[k] : jets.offsets[k + 1]], grooming)
        assert got[k] == pytest.approx(expected, rel=1e-7, abs=1e-5), f"jet {k}"
    assert len(np.unique(got[:, 3])) > 30


def test_few_particles() -> None:
    one, two = [[100, 0.3, 3.1]], [[60, 0.1, 3.1], [40, 0.1, -3.1]]
    three = [[60, 0, 0], [40, 0.5, 0], [30, 0, 0.5]]
    got = substructure(starts_of(np.array([1, 0, 2, 3])), np.array([*one, *two, *three], np.float32))
    assert (got[:2] == 0).all()
    dphi = 2 * math.pi - 6.2
    mass = math.sqrt(2 * 60 * 40 * (1 - math.cos(dphi)))
    # the one axis is the harder particle; none is left for a second
    assert got[2] == pytest.approx([0.4 * dphi, 0, 0, mass, mass], rel=1e-5)
    assert got[3, 2] == 0 < got[3, 1] < got[3, 0]


def test_angles_at_the_seam() -> None:
    """A jet turned about the beam keeps its numbers, wherever phi jumps."""
    jets = random_jets(20, seed=5)
    first = substructure(jets.offsets, jets.constituents)
    for turn in (1.0, 3.0, 5.5):
        turned = jets.constituents + np.array([0, 0, turn])
        turned[:, 2] = (turned[:, 2] + np.pi) % (2 * np.pi) - np.pi
        assert substructure(jets.offsets, turned) == pytest.approx(first, rel=1e-6, abs=1e-4)


def test_settings_out_of_range() -> None:
    for name, value in (("radius", 0.0), ("z_cut", 0.6), ("beta", -1.0), ("trim_radius", 1.5), ("trim_fraction", 2.0)):
        with pytest.raises(InputError, match=f"grooming: {name} is {value}"):
            Grooming(**{name: value})
