"""Offline objects of the generator: b-tag formulas, truth matching, photons, overlap, lists."""

from __future__ import annotations

import numpy as np
import pytest

from ad40.offline_events import FLAVOURS, SHAPES
from training.generator import offline_objects, reconstruction
from training.generator.detector import ELECTRON, HADRON, MUON, NEUTRAL, PHOTON
from training.generator.offline_objects import MASSES
from training.generator.reconstruction import Flow, Jets, Seen
from training.generator.tables import detector_settings
from training.generator.truth import BOTTOM, CHARM, Truth, nearest
from training.generator.truth import PHOTON as PROMPT


def make_truth(rows: list[tuple[int, int, float, float, float]]) -> Truth:
    """From rows (event, code, pt, eta, phi)."""
    event, code, pt, eta, phi = (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 5
    return Truth(event.astype(np.int64), code.astype(np.int64), pt, eta, phi)


def make_jets(rows: list[tuple[int, float, float, float, float]]) -> Jets:
    """From rows (event, pt, eta, phi, mass)."""
    event, *rest = (np.array(c, float) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 5
    return Jets(event.astype(np.int64), *rest)


def make_seen(n: int, rows: list[tuple[int, int, float, float, float]]) -> Seen:
    """From rows (event, kind, pt, eta, phi) of the flow; leptons are all identified."""
    event, kind, pt, eta, phi = (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 5
    flow = Flow(event.astype(np.int64), kind.astype(np.int8), pt, eta, phi, pt * np.cosh(eta))
    leptons = {code: np.flatnonzero(flow.kind == code) for code in (ELECTRON, MUON)}
    return Seen(n, flow, np.full((n, 2), 3.0), leptons)


@pytest.mark.parametrize(
    ("flavour", "pt", "expected"),
    [
        # numbers of the public CMS card, worked out by hand
        (5, 100.0, 0.85 * np.tanh(0.25) * 25 / (1 + 6.3)),
        (5, 600.0, 0.85 * np.tanh(1.5) * 25 / (1 + 37.8)),
        (4, 50.0, 0.25 * np.tanh(0.9) / (1 + 0.065)),
        (0, 100.0, 0.0138),
        (0, 1e9, 1.0),
    ],
)
def test_btag_probabilities_are_those_of_the_card(flavour: int, pt: float, expected: float) -> None:
    found = offline_objects.btag_probability(np.array([pt]), np.array([flavour]))
    assert found[0] == pytest.approx(expected)


def test_tags_follow_the_formula_inside_the_acceptance() -> None:
    n = 20_000
    rng = np.random.default_rng(1)
    jets = make_jets([(i, 80.0, eta, 0.0, 8.0) for i in range(n) for eta in (0.5, 2.7)])
    truth = make_truth([(i, BOTTOM, 50.0, eta, 0.1) for i in range(n) for eta in (0.5, 2.7)])
    found = offline_objects.find(make_seen(n, []), jets, np.zeros(n), truth, rng)
    p = float(offline_objects.btag_probability(np.array([80.0]), np.array([5]))[0])
    assert (found["bjet"][:, 0, 0] > 0).sum() == pytest.approx(n * p, abs=4 * np.sqrt(n * p * (1 - p)))
    assert (found["bjet"][:, 1:, 0] == 0).all()  # the forward jet has no tag
    assert (found["jet"][:, 0, 0] > 0).all()
    assert (found["bjet_flavour"][found["bjet"][..., 0] > 0] == 5).all()


def test_a_hadron_belongs_to_the_nearest_jet_and_b_comes_before_c() -> None:
    jets = make_jets(
        [(0, 90.0, 0.0, 3.1, 9.0), (0, 50.0, 0.6, 3.1, 5.0), (0, 40.0, -2.0, 0.0, 4.0), (1, 60.0, 0.0, 0.0, 6.0)]
    )
    truth = make_truth(
        [
            (0, BOTTOM, 20.0, 0.0, -3.1),  # across the seam of phi
            (0, CHARM, 30.0, 0.1, 3.1),  # the same jet: b wins
            (0, CHARM, 30.0, 0.55, 3.1),
            (0, BOTTOM, 30.0, -2.5, 0.0),  # outside every cone
            (1, PROMPT, 60.0, 0.0, 0.0),
        ]
    )
    assert offline_objects.flavour_of(jets, truth).tolist() == [5, 4, 0, 0]


def test_nearest_of_nothing_is_nothing() -> None:
    empty = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    index, distance = nearest(np.array([0, 3]), np.zeros(2), np.zeros(2), empty)
    assert index.tolist() == [-1, -1] and np.isinf(distance).all()


def test_truth_of_chosen_events_is_renumbered() -> None:
    truth = make_truth([(0, 5, 10.0, 0.0, 0.0), (2, 4, 20.0, 0.0, 0.0), (2, 5, 30.0, 0.0, 0.0)])
    found = truth.of(np.array([2, 1, 2, 0, 7]))
    assert found.event.tolist() == [0, 0, 2, 2, 3]
    assert found.pt.tolist() == [20.0, 30.0, 20.0, 30.0, 10.0]


def test_photons_need_isolation_and_fakes_are_suppressed() -> None:
    n = 6000
    rows, truths = [], []
    for event in range(n):
        rows += [(event, PHOTON, 80.0, 1.0, 0.0), (event, PHOTON, 60.0, -1.0, 2.0), (event, PHOTON, 50.0, 0.0, -2.0)]
        rows += [(event, HADRON, 20.0, 0.0, -1.9), (event, NEUTRAL, 90.0, 2.0, 1.0)]
        truths += [(event, PROMPT, 79.0, 1.01, 0.0), (event, PROMPT, 20.0, -1.0, 2.0), (event, PROMPT, 50.0, 0.0, -2.0)]
    seen = make_seen(n, rows)
    found = offline_objects.find(seen, make_jets([]), np.zeros(n), make_truth(truths), np.random.default_rng(2))
    photon = found["photon"]
    real = (photon[..., 0] > 0) & (photon[..., 1] > 0.5)
    fake = (photon[..., 0] > 0) & (photon[..., 1] < -0.5)  # a soft prompt photon inside a hard tower is no match
    cut = detector_settings()["offline"]["photon"]
    for kind, p in ((real, cut["efficiency"][0][1]), (fake, cut["fake_efficiency"])):
        assert kind.sum() == pytest.approx(n * p, abs=4 * np.sqrt(n * p * (1 - p)))
    assert real.sum() + fake.sum() == (photon[..., 0] > 0).sum()  # nothing beside the hadron
    assert photon[real][:, 0].mean() == pytest.approx(80.0, rel=0.001)
    assert photon[real][:, 0].std() == pytest.approx(0.8, rel=0.05)
    assert (photon[real][:, 3] == 0).all()


def test_lepton_isolation_subtracts_the_pileup_density() -> None:
    rng = np.random.default_rng(3)
    tiles = [(0, NEUTRAL, 1.2, eta, phi) for eta in np.arange(-2.45, 2.5, 0.1) for phi in np.arange(-3.1, 3.1, 0.2)]
    seen = make_seen(1, [(0, MUON, 30.0, 0.0, 0.0), *tiles])
    assert reconstruction.isolation(seen.flow, np.array([0]), 1)[0] > 0.4
    found = offline_objects.find(seen, make_jets([]), np.zeros(1), make_truth([]), rng)
    assert found["muon"][0, 0, 0] == pytest.approx(30.0)


def test_a_jet_that_is_a_lepton_goes_and_a_lepton_in_a_jet_goes() -> None:
    seen = make_seen(
        3,
        [
            (0, ELECTRON, 50.0, 0.0, 0.0),
            (0, MUON, 40.0, 1.0, 1.0),
            (1, MUON, 40.0, 1.0, 1.0),
            (2, PHOTON, 100.0, 0.5, 0.5),
            (2, ELECTRON, 60.0, 0.5, 0.85),
        ],
    )
    jets = make_jets(
        [
            (0, 60.0, 0.1, 0.0, 6.0),  # is the electron
            (0, 120.0, 1.2, 1.0, 12.0),  # holds the muon
            (0, 45.0, -2.0, 0.0, 5.0),
            (1, 28.0, 1.3, 1.1, 3.0),  # is the muon: that carries more than half
            (1, 35.0, 2.0, -1.0, 3.0),
            (2, 170.0, 0.5, 0.6, 9.0),  # holds the electron
        ]
    )
    truth = make_truth([(2, PROMPT, 100.0, 0.5, 0.5)])
    found = offline_objects.find(seen, jets, np.array([20, 30, 40]), truth, np.random.default_rng(5))
    every = np.sort(np.concatenate([found["jet"], found["bjet"]], axis=1)[..., 0], axis=1)[:, ::-1]
    assert every[0, :3].tolist() == pytest.approx([120.0, 45.0, 0.0])
    assert every[1, :2].tolist() == pytest.approx([35.0, 0.0])
    assert found["electron"][0, 0] == pytest.approx([50.0, 0.0, 0.0, MASSES["electron"]], abs=1e-6)
    assert (found["muon"][0] == 0).all() and found["muon"][1, 0, 0] == pytest.approx(40.0)
    assert (found["photon"][2] == 0).all()  # at an electron
    assert found["electron"][2, 0, 0] == 0  # carries less than half of the jet
    assert found["pileup"].tolist() == [20, 30, 40]
    assert found["met"][0] == pytest.approx([np.hypot(3, 3), np.pi / 4])


def test_all_datasets_have_their_shapes_also_for_no_event() -> None:
    for n in (0, 4):
        found = offline_objects.find(
            make_seen(n, []), make_jets([]), np.zeros(n), make_truth([]), np.random.default_rng(1)
        )
        assert {name: data.shape for name, data in found.items()} == {
            name: (n, *shape) for name, shape in (SHAPES | FLAVOURS).items()
        }
        assert all(data.dtype == (np.uint8 if name in FLAVOURS else np.float32) for name, data in found.items())


def test_lists_are_cut_at_their_slots_and_ordered() -> None:
    pt = np.random.default_rng(4).uniform(25, 500, 14)
    jets = make_jets([(0, p, -2.4 + 0.35 * k, 0.0, 0.1 * p) for k, p in enumerate(pt)])
    found = offline_objects.find(make_seen(1, []), jets, np.zeros(1), make_truth([]), np.random.default_rng(6))
    untagged = found["jet"][0]
    assert (np.diff(untagged[:, 0]) <= 0).all() and (untagged[:, 0] > 0).sum() == 10
    assert untagged[:, 3] == pytest.approx(0.1 * untagged[:, 0], rel=1e-5)
