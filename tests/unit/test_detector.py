"""The parameterised detector: helix, tables, towers, energy flow, isolation, jets and the lepton filter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.generator import detector, reconstruction
from training.generator.detector import ELECTRON, HADRON, MUON, NEUTRAL, PHOTON, Hits, Particles
from training.generator.reconstruction import Flow
from training.generator.tables import detector_settings

PION_MASS = 0.13957


def particles(rows: list[tuple[int, int, float, float, float, float]]) -> Particles:
    """From rows (event, pdg, charge, pt, eta, phi), massless unless a pion."""
    event, pdg, charge, pt, eta, phi = (np.array(column) for column in zip(*rows, strict=True))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    mass = np.where(np.abs(pdg) == 211, PION_MASS, 0.0)
    return Particles(event, pdg, charge.astype(float), px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2))


def many(n: int, pdg: int, charge: float, pt: float, eta: float) -> Particles:
    """The same particle in n events, at random azimuth."""
    phi = np.random.default_rng(0).uniform(-np.pi, np.pi, n)
    return particles([(i, pdg, charge, pt, eta, phi[i]) for i in range(n)])


def test_helix_of_a_hard_track_bends_by_the_arc_of_its_radius() -> None:
    p = particles([(0, 211, 1.0, 10.0, 0.5, 0.3), (0, -211, -1.0, 10.0, 0.5, 0.3), (0, 22, 0.0, 10.0, 0.5, 0.3)])
    pt, phi = np.hypot(p.px, p.py), np.arctan2(p.py, p.px)
    eta_out, phi_out = detector._propagate(p, np.zeros(3), pt, phi)
    half_turn = np.arcsin(1.29 / (2 * 10.0 / (0.299792458 * 3.8)))
    assert phi_out == pytest.approx([0.3 - half_turn, 0.3 + half_turn, 0.3])
    assert eta_out[2] == pytest.approx(0.5)
    assert eta_out[0] == pytest.approx(eta_out[1]) and abs(eta_out[0] - 0.5) < 0.01


def test_a_looper_leaves_through_the_end_of_the_tracker() -> None:
    p = particles([(0, 211, 1.0, 0.3, 1.0, 0.0)])
    eta_out, _ = detector._propagate(p, np.zeros(1), np.array([0.3]), np.array([0.0]))
    diameter = 2 * 0.3 / (0.299792458 * 3.8)
    assert diameter < 1.29
    assert eta_out[0] >= np.arcsinh(3.0 / diameter) - 1e-9


def test_a_shifted_vertex_moves_the_position_not_the_direction() -> None:
    p = particles([(0, 22, 0.0, 10.0, 0.0, 0.0)])
    hits = detector.make_hits(p, np.array([0.129]), np.random.default_rng(0))
    assert hits.cell_eta[0] == pytest.approx(np.arcsinh(0.1), rel=1e-6)
    assert hits.eta[0] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "expected"),
    [
        (HADRON, 0.5, 0.1, 0.00467),
        (HADRON, 10.0, 0.1, 0.00518),
        (HADRON, 55.0, 0.1, (0.00518 + 0.01095) / 2),
        (HADRON, 200.0, 0.1, 2 * 0.01095),
        (HADRON, 300.0, 3.9, 1.0),  # capped
        (ELECTRON, 30.0, 1.6, 0.037),
        (MUON, 30.0, 2.05, 0.0197),
        (MUON, 10.0, 3.9, 0.12467),  # beyond its own table as a hadron
    ],
)
def test_track_resolution_follows_the_card(kind: int, pt: float, eta: float, expected: float) -> None:
    found = detector._track_resolution(np.array([kind]), np.array([pt]), np.array([eta]))
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "expected"),
    [
        (HADRON, 0.1, 0.5, 0.0),
        (HADRON, 0.5, 0.5, 0.48),
        (HADRON, 5.0, 2.0, 0.87),
        (ELECTRON, 5.0, 2.0, 0.87),
        (ELECTRON, 50.0, 3.0, 0.85),
        (MUON, 50.0, 3.0, 0.95),
        (HADRON, 50.0, 4.1, 0.0),
    ],
)
def test_tracking_efficiency_follows_the_card(kind: int, pt: float, eta: float, expected: float) -> None:
    found = detector._tracking_efficiency(np.array([kind]), np.array([pt]), np.array([eta]))
    assert found[0] == pytest.approx(expected)


@given(st.floats(-4.99, 4.99), st.floats(-np.pi, np.pi - 1e-6), st.sampled_from(["ecal", "hcal"]))
def test_a_position_lies_inside_its_cell(eta: float, phi: float, name: str) -> None:
    part = detector_settings()[name]
    cell = detector._cells(part, np.array([eta]), np.array([phi]))
    side, low, size, low_phi, size_phi = (float(x[0]) for x in detector._cell_bounds(part, cell))
    assert low - 1e-9 <= abs(eta) <= low + size + 1e-9
    assert low_phi - 1e-9 <= phi <= low_phi + size_phi + 1e-9
    assert side == (-1.0 if eta < 0 else 1.0)


def test_log_normal_has_the_wanted_mean_and_width() -> None:
    draws = detector._log_normal(np.full(200_000, 20.0), np.full(200_000, 5.0), np.random.default_rng(1))
    assert draws.mean() == pytest.approx(20.0, rel=0.005)
    assert draws.std() == pytest.approx(5.0, rel=0.02)


def test_photons_keep_their_energy_and_get_the_card_resolution() -> None:
    n, energy = 4000, 40.0 * np.cosh(1.0)
    hits = detector.make_hits(many(n, 22, 0.0, 40.0, 1.0), np.zeros(n), np.random.default_rng(2))
    flow, met = reconstruction.flow_and_met(hits, np.zeros(n), np.random.default_rng(3))
    assert len(flow.event) == n and (flow.kind == PHOTON).all()
    sigma = np.sqrt((0.009 * energy) ** 2 + 0.12**2 * energy + 0.45**2)
    assert flow.e.mean() == pytest.approx(energy, rel=0.002)
    assert flow.e.std() == pytest.approx(sigma, rel=0.06)
    assert np.hypot(*met.T) == pytest.approx(flow.pt)


def test_a_charged_hadron_is_not_counted_twice() -> None:
    n = 3000
    hits = detector.make_hits(many(n, 211, 1.0, 20.0, 0.5), np.zeros(n), np.random.default_rng(4))
    flow, _ = reconstruction.flow_and_met(hits, np.zeros(n), np.random.default_rng(5))
    total = np.bincount(flow.event, flow.pt, n)
    assert (flow.kind == HADRON).sum() == pytest.approx(0.97 * n, abs=4 * np.sqrt(0.03 * n))
    # an upward fluctuation of the tower leaves a neutral excess, hence a few percent above one
    assert 0.99 < total.mean() / 20.0 < 1.10


def test_muons_and_neutrinos_leave_no_energy() -> None:
    rows = [(0, 13, -1.0, 30.0, 0.1, 0.0), (0, 14, 0.0, 30.0, 0.1, 1.0), (0, -16, 0.0, 30.0, 0.1, 2.0)]
    hits = detector.make_hits(particles(rows), np.zeros(1), np.random.default_rng(6))
    assert hits.kind.tolist() == [MUON] and hits.ecal.tolist() == [0.0] and hits.hcal.tolist() == [0.0]


def test_tracks_of_other_vertices_are_removed_from_the_flow_but_not_from_met() -> None:
    p = particles([(0, 211, 1.0, 30.0, 0.1, 0.0)])
    flows = []
    for track_z in (0.0, 0.01):
        hits = detector.make_hits(p, np.array([track_z]), np.random.default_rng(8))
        flow, met = reconstruction.flow_and_met(hits, np.zeros(1), np.random.default_rng(9))
        flows.append((int((flow.kind == HADRON).sum()), float(np.hypot(*met[0]))))
    assert [tracks for tracks, _ in flows] == [1, 0]
    assert flows[1][1] == pytest.approx(30.0, rel=0.3)


def make_flow(rows: list[tuple[int, int, float, float, float]]) -> Flow:
    event, kind, pt, eta, phi = (np.array(column) for column in zip(*rows, strict=True))
    return Flow(event, kind.astype(np.int8), pt, eta, phi, pt * np.cosh(eta))


def test_isolation_counts_neutrals_and_hadrons_above_threshold_in_the_cone_of_the_same_event() -> None:
    flow = make_flow(
        [
            (0, MUON, 40.0, 0.0, 3.1),
            (0, NEUTRAL, 5.0, 0.1, -3.1),  # across the seam of phi
            (0, HADRON, 3.0, 0.0, 3.0),
            (0, HADRON, 0.9, 0.0, 3.0),  # too soft
            (0, ELECTRON, 30.0, 0.0, 3.0),  # leptons do not count
            (0, NEUTRAL, 50.0, 0.31, 3.1),  # outside the cone
            (1, NEUTRAL, 50.0, 0.0, 3.1),  # another event
            (1, MUON, 40.0, 0.0, 3.1),
        ]
    )
    found = reconstruction.isolation(flow, np.array([0, 7]), 2)
    assert found == pytest.approx([8.0 / 40.0, 50.0 / 40.0])


def test_pileup_density_is_the_median_over_tiles() -> None:
    rng = np.random.default_rng(10)
    n = 200_000
    eta, phi = rng.uniform(-4, 4, n), rng.uniform(-np.pi, np.pi, n)
    flow = make_flow([(0, NEUTRAL, 1.0, 0.0, 0.0)])
    flow = Flow(np.zeros(n, np.int64), np.zeros(n, np.int8), np.full(n, 0.001), eta, phi, np.cosh(eta) * 0.001)
    expected = n * 0.001 / (8 * 2 * np.pi)
    assert reconstruction.pileup_density(flow, 1)[0] == pytest.approx([expected, expected], rel=0.05)


def test_reconstruct_fills_slots_in_order_and_filters_on_isolated_leptons() -> None:
    pytest.importorskip("fastjet")
    rows = []
    for event in range(200):
        crowded = event % 2 == 1
        rows += [
            (event, 13, -1.0, 35.0, 0.5, 0.0),
            (event, -13, 1.0, 45.0, -0.5, 2.0),
            (event, 11, -1.0, 12.0, 1.0, 1.0),
        ]
        rows += [
            (event, 22, 0.0, 60.0, 0.0, -2.0),
            (event, 22, 0.0, 30.0, -1.5, -1.0),
            (event, 14, 0.0, 50.0, 0.0, -3.0),
        ]
        if crowded:
            rows += [(event, 22, 0.0, 40.0, 0.55, 0.05), (event, 22, 0.0, 40.0, -0.55, 2.05)]
    hits = detector.make_hits(particles(rows), np.zeros(200), np.random.default_rng(11))
    seen = reconstruction.see(hits, np.zeros(200), np.random.default_rng(12))
    passed, with_lepton = reconstruction.lepton_filter(seen, 23.0, 0.45)
    seen = seen.keep(passed)
    events = reconstruction.trigger_objects(seen, reconstruction.find_jets(seen.flow, seen.n))
    assert (passed % 2 == 0).all()
    assert 90 < len(passed) < with_lepton
    assert events.shape == (len(passed), 19, 3) and events.dtype == np.float32
    for slots in (slice(1, 5), slice(5, 9), slice(9, 19)):
        assert (np.diff(events[:, slots, 0], axis=1) <= 0).all()
    assert (events[events[..., 0] == 0] == 0).all()
    both = events[(events[:, 6, 0] > 0)]
    assert both[:, 5, 0].mean() == pytest.approx(45, rel=0.02) and both[:, 6, 0].mean() == pytest.approx(35, rel=0.02)
    seen = particles([row for row in rows[:6] if row[1] != 14])
    assert np.median(events[:, 0, 0]) == pytest.approx(np.hypot(seen.px.sum(), seen.py.sum()), rel=0.1)
    assert np.median(events[:, 9, 0]) == pytest.approx(60.0, rel=0.1)
    hardest_photon = events[np.abs(events[:, 9, 1]) < 0.1][:, 9, 2]
    assert np.abs(hardest_photon + 2.0).max() < 0.05


def test_hits_of_several_sources_are_ordered_by_event() -> None:
    one = detector.make_hits(many(4, 22, 0.0, 10.0, 0.0), np.zeros(4), np.random.default_rng(1))
    joined = Hits.concatenate([one, one])
    assert joined.event.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
