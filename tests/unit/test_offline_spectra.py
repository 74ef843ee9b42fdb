"""Invariant masses against four-vectors, and the bins of spectra."""

from dataclasses import replace

import numpy as np
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import spec
from ad40.errors import InputError
from offline.objects.spectra import (
    JET_X,
    PUBLISHED,
    TRIGGER,
    Z_FLOOR,
    bin_edges,
    invariant_mass,
    mass_resolution,
    masses,
    saturated,
    spectrum,
    ystar,
)
from tests.offline_objects import by_hand, random_objects

MANY = ("jj", "jb", "jmu", "je", "jgamma", "bb", "bmu", "be", "bgamma", "ee", "mumu", "emu", "jjmu", "jjj", "jbe",
        "jjmumu", "bbgammagamma")  # fmt: skip


def four_vector_mass(members: list[np.ndarray]) -> np.ndarray:
    """By the sum of four-vectors in extended precision; members (n, 4)."""
    total = np.zeros((len(members[0]), 4), np.longdouble)
    for pt, eta, phi, mass in (np.asarray(m, np.longdouble).T for m in members):
        p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        total += np.stack([np.sqrt((p**2).sum(axis=0) + mass**2), *p], axis=1)
    return np.sqrt(np.maximum(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1), 0)).astype(float)


@pytest.mark.parametrize("name", MANY)
def test_masses_are_those_of_the_four_vectors(name: str) -> None:
    found = random_objects(600)
    wanted = spectrum(name)
    mass = masses(found, wanted)
    members = [found[kind][:, rank] for kind, rank in wanted.members]
    present = np.logical_and.reduce([m[:, 0] > 0 for m in members])
    assert 60 < present.sum() < 600
    np.testing.assert_array_equal(np.isfinite(mass), present)
    np.testing.assert_allclose(mass[present], four_vector_mass([m[present] for m in members]), rtol=1e-9)


@pytest.mark.parametrize("name", ["jmu", "jjb", "jjmumu"])
def test_masses_are_those_of_the_vector_package(name: str) -> None:
    found, wanted = random_objects(300), spectrum(name)
    mass = masses(found, wanted)
    rows = np.isfinite(mass)
    total = None
    for kind, rank in wanted.members:
        pt, eta, phi, m = found[kind][rows, rank].astype(float).T
        one = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": m})
        total = one if total is None else total + one
    np.testing.assert_allclose(mass[rows], total.mass, rtol=1e-9)


_MASS = st.one_of(st.just(0.0), st.floats(1e-4, 300))
_OBJECT = st.tuples(st.floats(1, 5000), st.floats(-4.5, 4.5), st.floats(-3.14, 3.14), _MASS)


@settings(max_examples=60, deadline=None)
@given(st.lists(_OBJECT, min_size=2, max_size=5), st.floats(-3, 3), st.floats(-2, 2))
def test_masses_do_not_change_under_rotations_and_boosts(objects: list[tuple], phi: float, rapidity: float) -> None:
    """Massless objects: a boost along the beam shifts eta. Any mass lies above the sum of its members'."""
    light = [np.array([[pt, eta, angle, 0.0]]) for pt, eta, angle, _ in objects]
    moved = [one + np.array([[0, rapidity, phi, 0]]) for one in light]
    # phi + phi is rounded at 1e-16 rad: collinear pairs keep that much
    scale = sum(one[0, 0] for one in light) * 1e-7
    np.testing.assert_allclose(invariant_mass(moved), invariant_mass(light), rtol=1e-9, atol=scale)
    heavy = invariant_mass([np.array([one]) for one in objects])[0]
    assert heavy >= sum(mass for *_, mass in objects) * (1 - 1e-12)


def test_collinear_objects_keep_their_digits() -> None:
    a, b = np.array([[500.0, 1.0, 0.0, 0.0]]), np.array([[500.0, 1.0 + 1e-7, 0.0, 0.0]])
    np.testing.assert_allclose(invariant_mass([a, b]), 500e-7, rtol=1e-7)
    # a light pair: the masses alone make it, m^2 = m1^2 + m2^2 + m1^2 e2/e1 + m2^2 e1/e2 to first order
    e, mu = np.array([[3000.0, 0.0, 0.0, 0.000511]]), np.array([[1000.0, 0.0, 0.0, 0.10566]])
    p1, p2, m1, m2 = 3000.0, 1000.0, 0.000511, 0.10566
    expected = np.sqrt(m1**2 + m2**2 + m1**2 * p2 / p1 + m2**2 * p1 / p2)
    np.testing.assert_allclose(invariant_mass([e, mu]), expected, rtol=1e-8)


def test_a_pair_across_the_seam_of_phi() -> None:
    a, b = np.array([[100.0, 0.0, 3.1, 0.0]]), np.array([[100.0, 0.0, -3.1, 0.0]])
    np.testing.assert_allclose(invariant_mass([a, b]), 200 * np.sin(np.pi - 3.1), rtol=1e-12)


def test_names_of_spectra() -> None:
    assert [s.name for s in JET_X] == ["jj", "jb", "jmu", "je", "jgamma", "bb", "bmu", "be", "bgamma"]
    assert spectrum("jjmu").members == (("jet", 0), ("jet", 1), ("muon", 0))
    assert spectrum("jjmu").label == "m(j1,j2,mu1)"
    assert spectrum("bgamma").members == (("bjet", 0), ("photon", 0))
    for bad in ("", "j", "jx", "jm", "MET", "j mu", "gamma"):
        with pytest.raises(InputError, match="spectra: name is"):
            spectrum(bad)


def test_peaks_of_the_z_stay_out() -> None:
    assert spectrum("ee").floor == spectrum("mumu").floor == Z_FLOOR > 100
    assert spectrum("jmu").floor == 0 and spectrum("jmu", 150.0).floor == 150
    assert {s.name: s.floor > 100 for s in TRIGGER} == {
        "jj": False, "je": True, "jmu": True, "ee": True, "mumu": True, "emu": False,
    }  # fmt: skip


def test_saturated_pairs_have_no_mass_and_are_told() -> None:
    found = by_hand({"jet": [(900, 0), (50, 1)]}, {"jet": [(90, 0), (50, 1)]}, {"jet": [(900, 0)]})
    found = replace(found, saturated={"jet": found.jet[..., 0] > 800})
    assert saturated(found, spectrum("jj")).tolist() == [True, False, False]
    assert np.isfinite(masses(found, spectrum("jj"))).tolist() == [False, True, False]


def test_a_rank_beyond_the_slots_is_absent() -> None:
    found = random_objects(20).resized({"jet": 2, "bjet": 0, "muon": 0, "electron": 0, "photon": 0})
    for name in ("jjj", "jb"):
        assert np.isnan(masses(found, spectrum(name))).all() and not saturated(found, spectrum(name)).any()


def test_ystar_of_the_leading_jets_of_any_tag() -> None:
    found = by_hand(
        {"jet": [(100, 1.0), (50, 3.0)], "bjet": [(80, -2.0)]},
        {"jet": [(100, 1.0)]},
        {"bjet": [(100, 1.0), (90, 0.2)], "jet": [(95, -1.0)]},
    )
    np.testing.assert_allclose(ystar(found), [1.5, np.nan, 1.0])


@pytest.mark.parametrize("name", ["jj", "bmu", "jgamma", "jjmumu"])
def test_bins_are_as_wide_as_the_resolution(name: str) -> None:
    wanted = spectrum(name)
    edges = bin_edges(wanted)
    widths = np.diff(edges)
    assert edges[0] == 20 and edges[-2] < 8000 <= edges[-1]
    assert (edges == np.round(edges)).all() and (widths >= 1).all() and (np.diff(widths) >= 0).all()
    middle = np.searchsorted(edges, 1000.0)
    assert abs(widths[middle] - mass_resolution(edges[middle], wanted)) <= 0.5


def test_resolutions() -> None:
    at = {name: mass_resolution(400, spectrum(name)) for name in ("jj", "je", "jmu", "ee", "mumu")}
    assert at["jj"] > at["je"] > at["ee"] > at["mumu"]
    # the pt steps of hardware matter for light muon pairs, hardly for jets
    ratio = {
        name: mass_resolution(30, spectrum(name), hardware=True) / mass_resolution(30, spectrum(name)) for name in at
    }
    assert ratio["mumu"] > 1.2 and 1 < ratio["jj"] < 1.02
    lsb = spec.objects()["muon"].pt.lsb
    assert ratio["mumu"] == pytest.approx(np.hypot(1, lsb / 15 / np.sqrt(12) / 0.010), rel=0.2)
    # three jets share the mass: each moves it less
    assert mass_resolution(3000, spectrum("jjj")) < mass_resolution(3000, spectrum("jj"))


def test_the_resolution_is_the_spread_of_smeared_masses() -> None:
    """Two and three jets of equal pt, a symmetric star in the transverse plane, smeared as RESOLUTION says."""
    rng = np.random.default_rng(3)
    for name in ("jj", "jjj"):
        k = len(spectrum(name).members)
        pt = 900.0 / k
        sigma = pt * np.hypot(0.75 / np.sqrt(pt), 0.04)
        members = [
            np.stack(
                [rng.normal(pt, sigma, 20000), np.zeros(20000), np.full(20000, 2 * np.pi * i / k), np.zeros(20000)], 1
            )
            for i in range(k)
        ]
        spread = invariant_mass(members).std()
        assert spread == pytest.approx(mass_resolution(900.0, spectrum(name)), rel=0.03)


def test_published_bins() -> None:
    edges = bin_edges(spectrum("jj"), 300, 9000, "published")
    assert edges[:3].tolist() == [303, 319, 335] and edges[-1] == 8850
    assert (len(PUBLISHED), PUBLISHED[0], PUBLISHED[-1]) == (172, 35, 13156)
    widths = np.diff(PUBLISHED)
    assert (np.diff(widths) >= 0).all()
    m = np.array(PUBLISHED[:-1])
    formula = 6.60 + 0.355 * np.sqrt(m) + 0.01245 * m + 2.35e-7 * m**2
    assert (np.round(formula) == widths).mean() > 0.7 and np.abs(formula - widths).max() < 1.7  # as its text says


def test_bad_bins_are_refused() -> None:
    for arguments, field in (
        ((20, 8000, "atlas"), "resolution"),
        ((500, 400, "offline"), "range"),
        ((0, 400, "offline"), "range"),
        ((float("nan"), 400, "offline"), "range"),
        ((14000, 15000, "published"), "range"),
    ):
        with pytest.raises(InputError, match=f"bins: {field}"):
            bin_edges(spectrum("jj"), *arguments)
    with pytest.raises(InputError, match="jgamma"):
        bin_edges(spectrum("jgamma"), resolution="trigger")
