"""Anomaly regions: what a cross-section keeps, acceptances with intervals, significances and their improvement."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad40.errors import Ad40Error, HashMismatch, SpecError
from ad40.files import read_json, write_json
from ad40.metrics import wilson
from offline import regions
from offline.regions import ALL, Acceptance, Region, acceptance, by_cross_section, improvement

LUMINOSITY = 0.01  # 1/fb: 10 events for each pb


def test_distinct_scores_keep_exactly_sigma_times_luminosity() -> None:
    score = np.random.default_rng(1).permutation(20000).astype(np.float32) / 1000
    made = by_cross_section(score, None, LUMINOSITY, (0.1, 10, 1))
    assert [r.name for r in made.regions] == ["10pb", "1pb", "0.1pb"]  # from the loosest to the tightest
    assert [int(r.keeps(score).sum()) for r in made.regions] == [100, 10, 1]
    assert made.refused == {}


@given(
    score=st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    weights=st.lists(st.floats(0.01, 4), min_size=60, max_size=60),
    sigma=st.floats(0.1, 8),
)
def test_ties_and_weights_never_exceed(score: list[int], weights: list[float], sigma: float) -> None:
    x, w = np.array(score, np.float32), np.array(weights[: len(score)])
    made = by_cross_section(x, w, LUMINOSITY, (sigma,))
    wanted = 10 * sigma
    if made.refused:
        largest = w[x == x.max()].sum()
        assert wanted < 1 or wanted > w.sum() * (1 - 1e-9) or largest > wanted * (1 - 1e-9)
        return
    (region,) = made.regions
    assert w[region.keeps(x)].sum() <= wanted * (1 + 1e-9)
    lower = x[x < region.threshold]
    if len(lower):
        assert w[x >= lower.max()].sum() > wanted * (1 - 1e-9)


def test_what_a_sample_cannot_have_is_refused_and_the_rest_made() -> None:
    score = np.arange(500, dtype=np.float64)
    made = by_cross_section(score, None, LUMINOSITY, (100, 10, 0.05), correction=0.9)
    assert [r.name for r in made.regions] == ["10pb"]
    assert made.regions[0].keeps(score).sum() == 90
    assert "900 events; the sample has 500" in made.refused["100pb"]
    assert "0.45 events, less than one" in made.refused["0.05pb"]
    tied = by_cross_section(np.zeros(500), None, LUMINOSITY, (10,))
    assert "500 events share the largest score" in tied.refused["10pb"]


@pytest.mark.parametrize(
    ("score", "weight", "reason"),
    [
        ([], [], "no events"),
        ([1.0, math.nan], [1, 1], "not finite"),
        ([1.0, 2.0], [1, -1], "1 events have a negative weight"),
        ([1.0, 2.0], [1, math.nan], "1 events have a negative weight or none"),
    ],
)
def test_bad_samples_give_no_region_and_say_why(score: list[float], weight: list[float], reason: str) -> None:
    made = by_cross_section(np.array(score), np.array(weight), LUMINOSITY, (1, 10))
    assert made.regions == ()
    assert all(reason in text for text in made.refused.values())
    assert list(made.refused) == ["10pb", "1pb"]


@pytest.mark.parametrize(("luminosity", "sigma", "correction"), [(0, 1, 1), (1, -1, 1), (1, 1, math.nan)])
def test_bad_numbers_are_an_error(luminosity: float, sigma: float, correction: float) -> None:
    with pytest.raises(Ad40Error, match="expected a number above 0"):
        by_cross_section(np.arange(5.0), None, luminosity, (sigma,), correction)


def test_a_score_that_is_nan_is_only_in_the_region_without_a_cut() -> None:
    score = np.array([math.nan, -1.0, 2.0])
    assert ALL.keeps(score).all()
    assert Region("x", None, -1.0).keeps(score).tolist() == [False, True, True]


def test_acceptance_is_wilson_and_equal_weights_change_nothing() -> None:
    kept = np.arange(50) < 7
    expected = wilson(7, 50)
    assert acceptance(kept).interval == pytest.approx(expected, rel=1e-12)
    weighted = acceptance(kept, np.full(50, 0.3))
    assert weighted.interval == pytest.approx(expected, rel=1e-9)
    assert (weighted.events, weighted.kept, weighted.weight) == (50, 7, pytest.approx(15))
    of_read = acceptance(kept, np.full(50, 0.3), read=(200, 60.0))
    assert of_read.interval == pytest.approx(wilson(7, 200), rel=1e-9)


@pytest.mark.parametrize("weight", [None, []])
def test_acceptance_of_nothing_is_unknown(weight: list[float] | None) -> None:
    nothing = acceptance(np.zeros(0, bool), None if weight is None else np.array(weight))
    assert nothing.interval == (0, 0, 1)
    assert acceptance(np.ones(2, bool), np.array([1.0, -1.0])).interval == (0, 0, 1)


def test_weighted_interval_covers() -> None:
    rng, truth, covered = np.random.default_rng(7), 0.2, 0
    for _ in range(400):
        low, _, high = acceptance(rng.random(300) < truth, rng.exponential(1, 300)).interval
        covered += low <= truth <= high
    assert 0.62 < covered / 400 < 0.74


def test_significances() -> None:
    assert regions.significance_asimov(10, 100) == pytest.approx(0.98399165, abs=1e-8)  # 2 (110 ln 1.1 - 10)
    assert regions.significance_naive(10, 100) == 1
    for s in (0.9999e-3, 1.0001e-3):  # on both sides of the series
        exact = math.sqrt(2e6 * (s * s / 2 - s**3 / 6 + s**4 / 12))
        assert regions.significance_asimov(s * 1e6, 1e6) == pytest.approx(exact, rel=1e-6)
    for z in regions.SIGNIFICANCES.values():
        assert (z(0, 5), z(3, 0)) == (0, math.inf)


def fixed(value: float, n: int = 10**9) -> Acceptance:
    low, value, high = wilson(value * n, n)
    return Acceptance(n, int(value * n), n, value * n, value, low, high)


def test_improvement_of_the_published_acceptances() -> None:
    low, value, high = improvement(5, 1e6, fixed(0.8), fixed(0.1), regions.significance_naive)
    assert value == pytest.approx(100 * (0.8 / math.sqrt(0.1) - 1))
    assert value - low == pytest.approx(high - value, rel=0.01)
    assert high - low < 0.1
    asimov = improvement(5, 1e6, fixed(0.8), fixed(0.1))[1]
    assert asimov == pytest.approx(value, rel=1e-3)  # equal where s is small


def test_improvement_covers() -> None:
    rng, s, b, ns, nb, covered = np.random.default_rng(3), 20.0, 400.0, 200, 300, 0
    truth = improvement(s, b, fixed(0.7), fixed(0.1))[1]
    for _ in range(300):
        low, _, high = improvement(s, b, acceptance(rng.random(ns) < 0.7), acceptance(rng.random(nb) < 0.1))
        covered += low <= truth <= high
    assert 0.6 < covered / 300 < 0.76


def test_improvement_without_background_or_signal() -> None:
    assert all(math.isnan(x) for x in improvement(5, 0, fixed(0.8), fixed(0.1)))
    low, value, high = improvement(5, 100, fixed(0.8), acceptance(np.zeros(50, bool)))
    assert low > 100
    assert math.isnan(value) and math.isnan(high)
    assert improvement(5, 100, fixed(0.0), fixed(0.1))[1] == -100


def test_acceptance_table() -> None:
    made = by_cross_section(np.arange(1000.0), None, LUMINOSITY, (10, 1)).regions
    samples = {"data": regions.Sample(np.arange(1000.0)), "signal": regions.Sample(np.full(4, 995.0), np.ones(4))}
    found = regions.acceptance_table(samples, made)
    assert [found["data"][name].value for name in ("10pb", "1pb")] == [0.1, 0.01]
    assert [found["signal"][name].kept for name in ("10pb", "1pb")] == [4, 4]


def written(path: Path) -> Any:
    made = by_cross_section(np.random.default_rng(2).normal(size=3000).astype(np.float32), None, LUMINOSITY, (10, 1e6))
    regions.write(path, made, model="a" * 64, table="b" * 64, luminosity_fb=LUMINOSITY, correction=1.0)
    return made


def test_document_keeps_thresholds_exactly(tmp_path: Path) -> None:
    made = written(tmp_path / "r.json")
    assert regions.read(tmp_path / "r.json", "a" * 64) == made.regions
    assert list(read_json(tmp_path / "r.json")["refused"]) == ["1e+06pb"]
    with pytest.raises(HashMismatch, match="the network in use"):
        regions.read(tmp_path / "r.json", "c" * 64)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 2}, "version"),
        ({"regions": 3}, "regions"),
        ({"regions": [{"name": "x", "cross_section_pb": 1}]}, "regions[0].threshold"),
        ({"regions": [{"name": "x", "cross_section_pb": None, "threshold": "high"}]}, "regions[0].threshold"),
        ({"regions": [{"name": "x", "cross_section_pb": -1, "threshold": 1}]}, "regions[0].cross_section_pb"),
        ({"regions": [{"name": "all", "cross_section_pb": None, "threshold": 1}]}, "regions"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_documents_are_refused_by_their_path(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = tmp_path / "r.json"
    written(path)
    write_json(path, read_json(path) | change)
    with pytest.raises(SpecError) as error:
        regions.read(path)
    assert error.value.field == field
