"""Radius graphs against all pairs, one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ad40.errors import InputError
from offline.jets.graphs import CLOSEST, graphs, radius_graph
from offline.jets.jets import empty
from tests.jet_files import random_jets


@pytest.mark.parametrize("radius", [0.2, 0.05, 3.0])
def test_against_all_pairs(radius: float) -> None:
    jets = random_jets(25, seed=4, largest=25)
    eta, phi = jets.constituents[:, 1], jets.constituents[:, 2]
    source, target, distance = radius_graph(jets.offsets, eta, phi, radius)
    expected = {}
    for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        for i in range(a, b):
            for j in range(a, b):
                d_phi = abs(float(phi[i]) - float(phi[j]))
                d = math.hypot(float(eta[i]) - float(eta[j]), min(d_phi, 2 * math.pi - d_phi))
                if i != j and d < radius:
                    expected[j, i] = d
    assert len(source) == len(expected) > 0
    for s, t, d in zip(source.tolist(), target.tolist(), distance.tolist(), strict=True):
        assert d == pytest.approx(expected[s, t], rel=1e-6)
    assert (np.lexsort((source, target)) == np.arange(len(source))).all()


def test_graphs_of_jets() -> None:
    jets = random_jets(30, seed=6)
    found = graphs(jets)
    assert len(found) == 30 and np.array_equal(found.offsets, jets.offsets)
    assert found.edge_offsets[-1] == len(found.source) == len(found.edge)
    assert np.array_equal(np.repeat(np.arange(len(found.node)), np.diff(found.edge_offsets)), found.target)
    assert (jets.owner[found.source] == jets.owner[found.target]).all()
    pt, eta, phi = found.node.T
    assert np.allclose(pt, jets.constituents[:, 0] / jets.column("pt")[jets.owner])
    assert np.abs(phi).max() <= np.pi
    x, y = (np.bincount(jets.owner, pt * f) for f in (np.cos(phi), np.sin(phi)))
    assert x == pytest.approx(np.ones(30), abs=1e-4) and y == pytest.approx(np.zeros(30), abs=1e-4)
    d = np.hypot(eta[found.source] - eta[found.target], phi[found.source] - phi[found.target])
    assert found.edge[:, 0] == pytest.approx(1 / np.maximum(d, CLOSEST), rel=1e-3)


def test_turning_a_jet_changes_nothing() -> None:
    jets = random_jets(20, seed=7)
    first = graphs(jets)
    turned, table = jets.constituents.copy(), jets.jet.copy()
    for array in (turned, table):
        array[:, 2] = (array[:, 2] + 2.0 + np.pi) % (2 * np.pi) - np.pi
    second = graphs(replace(jets, constituents=turned, jet=table))
    assert np.array_equal(first.source, second.source)
    assert np.allclose(first.node, second.node, atol=1e-5)


def test_small_ones() -> None:
    one = random_jets(5, largest=1)
    found = graphs(one)
    assert len(found) == 5 and len(found.source) == 0 and found.edge_offsets.tolist() == [0] * 6
    assert found.node[:, 0] == pytest.approx(np.ones(5)) and len(graphs(empty())) == 0
    twins = replace(random_jets(2, largest=1).take(np.array([0])), offsets=np.array([0, 2]))
    twins = replace(twins, constituents=np.repeat(twins.constituents, 2, axis=0))
    assert graphs(twins).edge[:, 0] == pytest.approx([1 / CLOSEST] * 2)
    with pytest.raises(InputError, match="radius is 0"):
        graphs(one, 0)
