"""Masses of hardware objects: against four-vectors, and what may not enter a pair."""

import numpy as np

from ad40 import objects, spec
from offline.masses import SPECTRA, Objects, Spectrum, bin_edges, masses, pair_mass, resolution

BY_NAME = {s.name: s for s in SPECTRA}
E1, MU1, J1, J2 = 1, 5, 9, 10  # slots


def event(**slots: tuple[float, float, float]) -> np.ndarray:
    """One event, codes (1, 19, 3): slot names e1, mu1, j1, ... to (pt, eta, phi)."""
    events = np.zeros((1, 19, 3), np.float32)
    first = {"met": 0, "e": 1, "mu": 5, "j": 9}
    for name, value in slots.items():
        kind = name.rstrip("0123456789")
        events[0, first[kind] + int(name[len(kind) :] or 1) - 1] = value
    return objects.encode(events).codes


def four_vector_mass(a: np.ndarray, b: np.ndarray) -> float:
    total = np.zeros(4)
    for pt, eta, phi in (a, b):
        total += pt * np.array([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
    return float(np.sqrt(max(total[0] ** 2 - (total[1:] ** 2).sum(), 0.0)))


def test_masses_are_those_of_the_four_vectors(codes: np.ndarray) -> None:
    codes = codes[:500]
    decoded = objects.decode(codes).astype(float)
    found = Objects.from_codes(codes)
    for spectrum in SPECTRA:
        mass, _ = masses(found, spectrum)
        first, has_first, _ = found.pick(*spectrum.first)
        second, has_second, _ = found.pick(*spectrum.second)
        filled = np.flatnonzero(np.isfinite(mass))
        assert len(filled) > 20
        assert (has_first & has_second)[filled].all()
        expected = [four_vector_mass(first[i], second[i]) for i in filled]
        np.testing.assert_allclose(mass[filled], expected, rtol=1e-6, atol=1e-3)
        # what was picked are objects of the event, of the right type
        kind = spec.objects()[spectrum.first[0]]
        assert all((decoded[i, kind.slots] == first[i]).all(axis=1).any() for i in filled)


def test_collinear_pairs_keep_their_digits() -> None:
    a, b = np.array([500.0, 1.0, 0.0]), np.array([500.0, 1.0 + 1e-7, 0.0])
    np.testing.assert_allclose(pair_mass(a, b), 500e-7, rtol=1e-7)


def test_a_jet_that_is_the_electron_is_not_used() -> None:
    codes = event(e1=(50, 0.5, 1.0), j1=(55, 0.5, 1.02), j2=(40, -1.0, -2.0))
    found = Objects.from_codes(codes)
    assert found.usable[0, [E1, J1, J2]].tolist() == [True, False, True]
    mass, _ = masses(found, BY_NAME["je"])
    electron, jet = objects.decode(codes)[0, [E1, J2]]
    np.testing.assert_allclose(mass[0], four_vector_mass(jet, electron), rtol=1e-6)
    assert np.isnan(masses(found, BY_NAME["jj"])[0][0])  # one jet is left


def test_a_jet_with_a_soft_muon_inside_stays_also_across_the_phi_seam() -> None:
    soft = Objects.from_codes(event(mu1=(30, 0.5, 3.1), j1=(100, 0.5, -3.1)))
    hard = Objects.from_codes(event(mu1=(60, 0.5, 3.1), j1=(100, 0.5, -3.1)))
    assert soft.usable[0, [MU1, J1]].all()
    assert hard.usable[0, MU1] and not hard.usable[0, J1]


def test_the_leading_object_is_the_hardest_in_any_order() -> None:
    codes = event(mu1=(10, 0, 0), mu2=(30, 1, 2), mu3=(20, -1, -2))
    found = Objects.from_codes(codes)
    assert found.pick("muon", 0)[0][0, 0] == 30 and found.pick("muon", 1)[0][0, 0] == 20


def test_saturated_pairs_are_left_out_and_counted() -> None:
    codes = np.concatenate([event(e1=(900, 0, 0), j1=(100, 0, 3)), event(e1=(90, 0, 0), j1=(100, 0, 3))])
    assert codes[0, E1, 0] == spec.objects()["egamma"].pt.max_code
    mass, saturated = masses(Objects.from_codes(codes), BY_NAME["je"])
    assert saturated == 1 and np.isnan(mass[0]) and np.isfinite(mass[1])


def test_bins_are_as_wide_as_the_resolution() -> None:
    for spectrum in SPECTRA:
        edges = bin_edges(spectrum)
        widths = np.diff(edges)
        assert (widths >= 1).all() and (np.diff(widths) >= 0).all()
        middle = np.searchsorted(edges, 400.0)
        assert abs(widths[middle] - resolution(edges[middle], spectrum)) <= 0.5
    # the detector dominates jets, the hardware's eta steps matter for muons
    muons = Spectrum("mumu", "", ("muon", 0), ("muon", 1))
    assert resolution(400, BY_NAME["jj"]) > resolution(400, BY_NAME["je"]) > resolution(400, muons)


def test_pairs_that_show_the_z_start_above_it() -> None:
    for spectrum in SPECTRA:
        kinds = {spectrum.first[0], spectrum.second[0]}
        shows_z = kinds not in ({"jet"}, {"egamma", "muon"})
        assert (spectrum.floor > 100) == shows_z
