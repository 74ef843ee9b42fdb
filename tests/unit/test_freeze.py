"""Freezing: weights exactly on their grids, thresholds that keep what they promise, golden edge events."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad40 import spec
from ad40.errors import InputError
from ad40.fixed import Fixed
from ad40.objects import check_codes, present
from training.freeze import codes_on_grid, edge_events, refuse_saturation, thresholds

WEIGHT = Fixed(signed=True, integer=0, fraction=4)
scores = st.lists(st.integers(0, 5000), min_size=1, max_size=400)


@given(st.lists(st.integers(WEIGHT.min_code, WEIGHT.max_code), min_size=1))
def test_weights_on_the_grid_are_read_exactly(codes):
    values = WEIGHT.dequantise(codes).astype(np.float32)
    assert codes_on_grid(values, WEIGHT, "layer").tolist() == codes


@pytest.mark.parametrize(
    "value", [1 / 32, 0.5 + 1e-7, np.nextafter(np.float32(0.25), np.float32(1)), 1.0, -1.0625], ids=str
)
def test_weight_off_the_grid_is_refused(value):
    weights = np.array([[0.5, 0.0], [value, -1.0]])
    with pytest.raises(InputError) as caught:
        codes_on_grid(weights, WEIGHT, "layer encoder kernel")
    assert caught.value.field == "weight [1, 0]"
    assert "a multiple of 0.0625 from -1 to 0.9375 (1 weights are off)" in caught.value.expected


@given(scores)
def test_thresholds_keep_at_most_their_efficiency(values):
    policy = spec.ladder()
    array = np.array(values)
    cuts = thresholds(array, policy)
    assert all(a < b for a, b in itertools.pairwise(cuts)), "strictly increasing"
    for i, (seed, cut) in enumerate(zip(policy.seeds, cuts, strict=True)):
        assert (array >= cut).mean() <= seed.background_efficiency + 1e-12
        if i == 0 or cut > cuts[i - 1] + 1:
            assert (array >= cut - 1).mean() > seed.background_efficiency, "one less would keep too much"


def test_thresholds_of_a_long_tail():
    cuts = thresholds(np.arange(100_000), spec.ladder())
    assert cuts == [90_000, 99_000, 99_700, 99_900, 99_990]


def test_a_score_that_saturates_is_refused(tmp_path):
    policy, values = spec.ladder(), np.minimum(np.arange(100_000), 99_950)
    refuse_saturation(thresholds(np.arange(100_000), policy), values, 100_000, tmp_path)
    with pytest.raises(
        InputError, match=r"score is 99950, its largest, for 0.05% of .*; expected a score that does not"
    ):
        refuse_saturation(thresholds(values, policy), values, 99_950, tmp_path)


def test_edge_events_reach_every_end():
    objects = spec.objects()
    events = edge_events(objects, np.random.default_rng(0))
    check_codes(events)
    here = present(events)
    assert not here[0].any(), "the first is empty"
    assert here.all(axis=1).any(), "some are full"
    for slot, kind in enumerate(objects.slots):
        pt, eta, phi = (events[:, slot, f] for f in range(3))
        assert {1, kind.pt.max_code} <= set(pt.tolist())
        assert {0, kind.phi.steps - 1} <= set(phi.tolist())
        if kind.eta:
            assert {-kind.eta.max_code - 1, kind.eta.max_code} <= set(eta.tolist())
        assert (here[:, slot] & (here.sum(axis=1) == 1)).any(), "alone"
        assert (~here[:, slot] & (here.sum(axis=1) == 18)).any(), "alone missing"
