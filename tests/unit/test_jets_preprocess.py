"""Sequences in one frame: against explicit Lorentz matrices, and what must not change them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline.jets import lhco
from offline.jets.jets import Jets, starts_of
from offline.jets.preprocess import MASS, MOST, sequences
from tests.jet_files import random_jets


def momenta(x: np.ndarray) -> np.ndarray:
    """E, px, py, pz of massless (n, 3) pt, eta, phi."""
    pt, eta, phi = x.T
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def boost(axis: int, rapidity: float) -> np.ndarray:
    out = np.eye(4)
    out[0, 0] = out[axis, axis] = np.cosh(rapidity)
    out[0, axis] = out[axis, 0] = -np.sinh(rapidity)
    return out


def turn(a: int, b: int, angle: float) -> np.ndarray:
    """From axis b into axis a."""
    out = np.eye(4)
    out[a, a] = out[b, b] = np.cos(angle)
    out[a, b], out[b, a] = np.sin(angle), -np.sin(angle)
    return out


def coordinates(p: np.ndarray) -> np.ndarray:
    pt = np.hypot(p[:, 1], p[:, 2])
    return np.stack([pt, np.arcsinh(p[:, 3] / np.maximum(pt, 1e-300)), np.arctan2(p[:, 2], p[:, 1])], axis=1)


def slow(x: np.ndarray, most: int = MOST) -> np.ndarray:
    """The sequence of one jet with 4 x 4 matrices, or none (0, 3)."""
    p, lab = momenta(x.astype(np.float64)), x[:, 0]
    cut = False
    while True:
        if len(p) < 3:
            return np.zeros((0, 3))
        total = p.sum(axis=0)
        m = turn(1, 2, np.arctan2(total[2], total[1]))
        m = boost(3, np.arctanh(total[3] / total[0])) @ m
        total = m @ total
        mass = np.sqrt(total[0] ** 2 - total[1] ** 2)
        m = boost(1, np.arctanh(total[1] / total[0]) - np.arccosh(1 / MASS)) @ m * (MASS / mass)
        p = p @ m.T
        leading = p[np.argmax(lab)]
        p = p @ turn(2, 3, np.arctan2(leading[3], leading[2])).T
        assert p.sum(axis=0)[[0, 2, 3]] == pytest.approx([1, 0, 0], abs=1e-7)
        c = coordinates(p)
        radius = np.hypot(c[:, 1], c[:, 2])
        keep = radius < 1
        if keep.all():
            if cut or len(p) <= most:
                break
            cut = True
            keep = np.zeros(len(p), bool)
            keep[np.argsort(-c[:, 0] * radius, kind="stable")[:most]] = True
        p, lab = p[keep], lab[keep]
    order, rest = [int(np.argmax(lab))], set(range(len(p)))
    rest.remove(order[0])
    while rest:
        last = c[order[-1]]

        def value(i: int, last: np.ndarray = last) -> float:
            d_phi = abs(c[i, 2] - last[2])
            return float(c[i, 0] * np.hypot(c[i, 1] - last[1], min(d_phi, 2 * np.pi - d_phi)))

        order.append(max(sorted(rest), key=value))
        rest.remove(order[-1])
    c = c[order]
    c[:, 0] /= np.hypot(*p.sum(axis=0)[1:3])
    c[:, 1] *= -1 if c[1, 1] < 0 else 1
    return c


@pytest.mark.parametrize("largest", [6, 60])
def test_against_matrices(largest: int) -> None:
    jets = random_jets(40, seed=8, largest=largest)
    found = sequences(jets)
    for k in range(40):
        expected = slow(jets.constituents[jets.offsets[k] : jets.offsets[k + 1]])
        assert found.length[k] == len(expected), f"jet {k}"
        assert found.x[k, : len(expected)] == pytest.approx(expected, abs=2e-5), f"jet {k}"
        assert (found.x[k, len(expected) :] == 0).all()
    assert (found.length > 0).sum() > 10


def test_published_jets(reference_data: Path) -> None:
    with lhco.open_source(reference_data / "lhco_2prong_signal_100.h5") as source:
        jets = source.read()
    leading = jets.take(jets.which < 2)
    found = sequences(leading)
    assert (found.length >= 3).mean() > 0.98
    used = found.x[found.length > 0]
    assert (np.hypot(used[..., 1], used[..., 2]) < 1).all()
    assert (used[:, 0, 1] == 0).all() and (used[:, 0, 2] > 0).all() and (used[:, 1, 1] >= 0).all()
    assert found.fraction[found.length > 0].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(found.mask.sum(axis=1), found.length)
    for k in range(0, len(leading), 20):
        expected = slow(leading.constituents[leading.offsets[k] : leading.offsets[k + 1]])
        assert found.x[k, : found.length[k]] == pytest.approx(expected, abs=5e-5)


def test_what_changes_nothing() -> None:
    """Turning a jet about the beam, boosting it along the beam, reflecting it, scaling its momenta."""
    jets = random_jets(30, seed=9)
    first = sequences(jets)
    x = jets.constituents.astype(np.float64)
    for changed in (
        x + np.array([0, 0, 1.3]),
        x + np.array([0, 0.7, 0]),
        x * np.array([1, -1, 1]),
        x * np.array([3, 1, 1]),
    ):
        changed[:, 2] = (changed[:, 2] + np.pi) % (2 * np.pi) - np.pi
        again = sequences(replace(jets, constituents=changed.astype(np.float32)))
        same = (first.length == again.length) & np.isclose(first.x, again.x, atol=1e-3).all(axis=(1, 2))
        assert same.mean() > 0.9  # float32 decides a few orders otherwise


def test_jets_without_a_frame() -> None:
    def jets_of(*lists: list[list[float]]) -> Jets:
        counts = np.array([len(one) for one in lists])
        base = random_jets(len(lists), largest=1)
        flat = np.array([row for one in lists for row in one], np.float32)
        return replace(base, offsets=starts_of(counts), constituents=flat)

    one, two = [[500, 0.1, 0.2]], [[500, 0.1, 0.2], [20, 0.3, 0.2]]
    collinear = [[500, 0.1, 0.2], [300, 0.1, 0.2], [20, 0.1, 0.2]]
    fine = [[500, 0.1, 0.2], [300, 0.15, 0.2], [200, 0.1, 0.28]]
    found = sequences(jets_of(one, two, collinear, fine))
    assert found.length[:3].tolist() == [0, 0, 0] and (found.x[:3] == 0).all()
    assert (found.fraction[:3] == 0).all() and np.isfinite(found.x).all()
    assert found.length[3] in (0, 3)


def test_fewer_constituents_are_asked_for() -> None:
    jets = random_jets(20, seed=10)
    short = sequences(jets, most=8)
    assert short.x.shape == (20, 8, 3) and short.length.max() <= 8
    for k in range(20):
        expected = slow(jets.constituents[jets.offsets[k] : jets.offsets[k + 1]], most=8)
        assert short.length[k] == len(expected)
