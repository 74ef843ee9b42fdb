"""`ad40 robustness`: effects on events, weighted rates in families, what fires, and the verb as a whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ad40 import objects, spec
from ad40.errors import InputError, SpecError
from ad40.files import read_yaml, write_yaml
from ad40.schema import Node
from ad40.split import TEST
from tests.conftest import random_events
from training.datasets import load_background
from training.robustness import effects, fires
from training.robustness import run as robustness
from training.robustness.ratechange import Rated, _family_squares, independent
from training.teach.features import NAMES, features

SAMPLE = Path(__file__).parents[2] / "training" / "sample"


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    """Codes int32 (2000, 19, 3) of the shipped background."""
    return load_background(SAMPLE, 2000).codes.astype(np.int32)


def _momentum(events: np.ndarray) -> np.ndarray:
    """Vector sum of all objects with MET, (n, 2) GeV: what an effect may not change."""
    return effects._vectors(events).sum(axis=1)


# --- effects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", robustness.settings().effects)
def test_every_effect_gives_events_that_hardware_could_send(name: str, events: np.ndarray) -> None:
    effect = robustness.settings().effects[name]
    for codes in (events, objects.encode(random_events(500)).codes):
        after = effects.disturb(codes, name, effect, 40)
        objects.check_codes(after)
        for kind in spec.objects().types:
            pt = after[:, kind.slots, 0]
            assert (np.diff(pt, axis=1) <= 0).all(), f"{kind.name}: hardest first, no holes"
        assert (after[after[..., 0] == 0] == 0).all(), "an absent object is all zeros"
        assert (after != codes).any() and np.array_equal(after, effects.disturb(codes, name, effect, 40))


def test_a_factor_of_one_and_no_noise_change_nothing(events: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    for effect in (lambda e, r: effects.scaled(e, effects.KINDS, 1.0), lambda e, r: effects.scaled(e, ("jet",), 1.0),
                   lambda e, r: effects.smeared(e, effects.KINDS, 0.0, r), lambda e, r: effects.dead(e, ("jet",), (9, 9), (0, 1)),
                   lambda e, r: effects.added(e, "jet", 0.0, (15, 20), 4.0, r)):  # fmt: skip
        assert np.array_equal(objects.encode(effect(objects.decode(events), rng)).codes, events)


def test_met_takes_up_what_other_objects_gain_or_lose(events: np.ndarray) -> None:
    physical, rng = objects.decode(events), np.random.default_rng(1)
    free = physical[(physical[:, 9:, 0] > 0).sum(axis=1) < 7]  # no jet falls off the end of the list
    assert len(free) > 1500
    for after in (effects.scaled(free, ("jet",), 1.3), effects.dead(free, ("egamma", "jet"), (-5, 5), (0.0, 1.0)),
                  effects.added(free, "jet", 1.0, (15, 20), 4.0, rng)):  # fmt: skip
        assert np.abs(_momentum(after) - _momentum(free)).max() < 1e-3
    both = effects.scaled(free, effects.KINDS, 1.1)
    assert np.allclose(both[..., 0], 1.1 * free[..., 0], rtol=1e-5)


def test_a_dead_region_holds_no_such_objects_and_the_others_stay(events: np.ndarray) -> None:
    before = objects.decode(events)
    before = before[(before[:, 5:9, 0] == 0).all(axis=1)]  # muons: see below
    after = effects.dead(before, ("jet",), (0.0, 2.0), (0.0, 1.0))
    jets, kept = after[:, 9:], before[:, 9:]
    inside = (jets[..., 1] >= 0) & (jets[..., 1] < 2) & (jets[..., 2] >= 0) & (jets[..., 2] < 1) & (jets[..., 0] > 0)
    lost = (kept[..., 1] >= 0) & (kept[..., 1] < 2) & (kept[..., 2] >= 0) & (kept[..., 2] < 1) & (kept[..., 0] > 0)
    assert not inside.any() and lost.any()
    assert (jets[..., 0] > 0).sum() == (kept[..., 0] > 0).sum() - lost.sum()
    assert np.array_equal(after[:, 1:9], before[:, 1:9])


def test_of_a_jet_in_a_dead_calorimeter_its_muons_are_left() -> None:
    event = np.zeros((1, 19, 3), np.float32)
    event[0, 5], event[0, 9], event[0, 10] = (30.0, 1.0, 0.5), (50.0, 1.2, 0.6), (40.0, 1.0, 1.5)
    after = effects.dead(event, ("egamma", "jet"), (0.0, 2.0), (0.0, 2.0))[0]
    assert after[5].tolist() == event[0, 5].tolist() and after[9, 0] == 30.0 and not after[10:].any()
    lost = 20.0 * np.exp(0.6j) + 40.0 * np.exp(1.5j)  # as a vector: what MET takes up
    assert after[0, 0] * np.exp(1j * after[0, 2]) == pytest.approx(lost, rel=1e-5)
    assert not effects.dead(event, ("muon", "jet"), (0.0, 2.0), (0.0, 2.0))[0, 1:].any()


def test_added_objects_have_the_wanted_number_and_range(events: np.ndarray) -> None:
    before = np.zeros((20_000, 19, 3), np.float32)
    after = effects.added(before, "egamma", 0.5, (3.0, 6.0), 3.0, np.random.default_rng(2))
    pt = after[:, 1:5, 0]
    assert abs((pt > 0).sum() / len(pt) - 0.5) < 0.02
    assert pt[pt > 0].min() >= 3 and pt.max() < 6 and np.abs(after[:, 1:5, 1]).max() < 3


@pytest.mark.parametrize(
    ("change", "place"),
    [({"do": "scale", "factor": "x", "kinds": ["jet"]}, r"e\.factor"), ({"do": "move"}, r"e\.do"),
     ({"do": "scale", "factor": 1.0, "kinds": ["tau"]}, r"e\.kinds\[0\]"), ({"do": "scale"}, "missing"),
     ({"do": "dead", "kinds": ["jet"], "eta": [1, 0], "phi": [0, 1]}, r"e\.eta"), ({}, "do")],
)  # fmt: skip
def test_malformed_effects_are_refused_with_the_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(SpecError, match=place):
        effects.read_effects(Node({"e": change}, "robustness.yaml"))


# --- rates ----------------------------------------------------------------------------------------------------------


def test_change_of_a_rate_counts_families_that_change_sides() -> None:
    rated = Rated(np.array([1.0, 1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 2, 3]))
    before, after = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    low, ratio, high = rated.change(before, after)
    assert ratio == 5 / 4
    # families: before 2, 2, 0; after 1, 2, 2: differences to the ratio -1.5, -0.5, 2
    assert high - ratio == pytest.approx(np.sqrt(1.5**2 + 0.5**2 + 2**2) / 4) == pytest.approx(ratio - low)
    assert rated.change(np.zeros(5, bool), after) is None
    still = rated.change(before, before)
    assert still is not None and still[1] == 1 and still[2] - 1 == pytest.approx(1.14 * (4 / 3) / 4)
    assert rated.rate(before) == pytest.approx((4 - 8**0.5, 4, 4 + 8**0.5))
    assert rated.rate(np.zeros(5, bool)) == (0.0, 0.0, pytest.approx(1.14 * 1.8))


def test_the_interval_of_a_change_covers() -> None:
    """Toys of correlated families: the true ratio lies inside the 68 % interval about as often as it should."""
    rng, inside, toys, truth = np.random.default_rng(4), 0, 300, 0.12 / 0.10
    for _ in range(toys):
        size = rng.integers(1, 4, 3000)
        family = np.repeat(np.arange(3000), size)
        draw = np.repeat(rng.random(3000), size)
        found = Rated(np.ones(len(family)), family).change(draw < 0.10, (draw > 0.05) & (draw < 0.17))
        assert found is not None
        inside += found[0] <= truth <= found[2]
    assert 0.58 < inside / toys < 0.78


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=30))
def test_running_squares_of_families(pairs: list[tuple[int, int]]) -> None:
    family, weight = (np.array(column) for column in zip(*pairs, strict=True))
    wanted = [sum(float(weight[: i + 1][family[: i + 1] == f].sum()) ** 2 for f in range(5)) for i in range(len(pairs))]
    assert _family_squares(family, weight.astype(float)) == pytest.approx(np.array(wanted))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.floats(0.0, 50.0))
def test_the_threshold_for_a_rate_is_the_lowest_that_keeps_it(scores: list[int], wanted: float) -> None:
    score = np.array(scores)
    rated = Rated(np.linspace(0.5, 1.5, len(score)), np.arange(len(score)) // 2)
    low, threshold, high = rated.threshold(score, wanted)
    cuts = [*np.unique(score), score.max() + 1]
    assert threshold == next(c for c in cuts if float(rated.weight[score >= c].sum()) <= wanted + 1e-9)
    assert low <= threshold <= high
    error = {c: rated.rate(score >= c)[2] - rated.rate(score >= c)[1] for c in cuts[:-1]}
    assert high == next((c for c in cuts[:-1] if rated.rate(score >= c)[1] + error[c] <= wanted + 1e-9), cuts[-1])


def test_rates_of_a_sample_add_up_to_the_filtered_cross_section() -> None:
    sample = load_background(SAMPLE, 5000)
    rated = Rated.of(sample, sample.rows(TEST))
    assert rated.rate(np.ones(len(rated.weight), bool))[1] == pytest.approx(robustness.filtered_hz(sample))
    low, ratio, high = independent((9.0, 10.0, 11.0), (18.0, 20.0, 22.0)) or (0, 0, 0)
    assert ratio == 2 and high - ratio == pytest.approx(np.hypot(0.2, 0.2)) == pytest.approx(ratio - low)
    assert independent((0.0, 0.0, 1.0), (1.0, 2.0, 3.0)) is None


# --- what fires -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40))
def test_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    assert np.array_equal(fires.ranks(a), stats.rankdata(a) - 1)
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert fires.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    else:
        assert fires.spearman(a, b) == 0.0


def test_the_ordinary_menu_takes_what_its_thresholds_say() -> None:
    event = np.zeros((4, 19, 3), np.float32)
    event[0, 5, 0] = 22.0  # a muon on the threshold
    event[1, 5, 0], event[1, 1, 0] = 21.5, 35.5  # both below, together above those of the pair
    event[2, 9:11, 0] = 150.0
    event[3, 9:13, 0], event[3, 0, 0] = 89.5, 99.5
    taken = fires.menu_accepts(objects.encode(event).codes, robustness.settings().menu)
    assert {name for name, one in taken.items() if one[0]} == {"single muon"}
    assert {name for name, one in taken.items() if one[1]} == {"e/gamma and muon"}
    assert {name for name, one in taken.items() if one[2]} == {"double jet"}
    assert not any(one[3] for one in taken.values()), "HT 358, MET 99.5"


def test_turn_on_of_a_cut_is_a_step_and_counts_all_events(events: np.ndarray) -> None:
    quantities = fires.quantities(events)
    value = quantities["HT"]
    rows = fires.turn_on(value, value >= 100, np.arange(len(value)), counted=False)
    assert sum(row["events"] for row in rows) == len(value) and rows[-1]["high"] is None
    assert all(row["efficiency"][1] == 0 for row in rows if row["high"] is not None and row["high"] <= 100)
    assert all(row["efficiency"][1] == 1 for row in rows if row["low"] >= 100)
    leptons = fires.turn_on(quantities["leptons"], value >= 100, np.arange(len(value)), counted=True)
    assert [row["low"] for row in leptons] == sorted(set(np.minimum(quantities["leptons"], 6)))


def test_a_cut_overlaps_with_itself_and_correlates_with_itself(events: np.ndarray) -> None:
    score = (fires.quantities(events)["HT"] * 2).astype(np.int64)
    found = fires.describe(
        score, {"s": score[:100]}, (events, np.arange(len(events))), {"s": events[:100]}, {"1e-2": 1e-2}
    )
    assert found["spearman"]["HT"] == pytest.approx(1.0)
    overlap = found["overlap"]["1e-2"]
    assert overlap["with"]["HT"] == overlap["with any"] == 1.0 and sum(overlap["leptons"]) == pytest.approx(1.0)
    assert found["tpr"]["1e-2"]["s"]["score"] == found["tpr"]["1e-2"]["s"]["HT"]


def test_physics_quantities_of_an_event_made_by_hand() -> None:
    event = np.zeros((2, 19, 3), np.float32)
    event[0, 0] = (30.0, 0.0, np.pi)  # MET against the leading lepton
    event[0, 1], event[0, 5] = (40.0, 0.0, 0.0), (20.0, 0.0, np.pi / 2)
    event[0, 9] = (60.0, 0.0, np.pi)
    found = dict(zip(NAMES, features(objects.encode(event).codes)[0], strict=False))
    wanted = {"MET": 30, "HT": 60, "sum lepton pT": 60, "leading lepton pT": 40, "second lepton pT": 20, "leptons": 2,
              "electrons": 1, "muons": 1, "jets": 1, "mT": 2 * np.sqrt(1200), "m(l1, l2)": 40, "m(l1, l3)": 0,
              "m(l1, j1)": 2 * np.sqrt(2400), "l1 along MET": -40, "l2 along MET": 0, "j1 along MET": 60,
              "vector sum pT": np.hypot(-50, 20)}  # fmt: skip
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=0.1, rel=2e-3)
    empty = features(objects.encode(event).codes)[1]
    assert np.isfinite(empty).all() and (empty[len(NAMES) :] == -1).all()


# --- the verb -------------------------------------------------------------------------------------------------------


def _arguments(*texts: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    robustness.add_arguments(parser)
    return parser.parse_args(texts)


def test_robustness_writes_table_page_and_pictures(model_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "physics.md"
    file.write_text("# P\n<!-- begin: ad40 robustness -->\n<!-- end: ad40 robustness -->\n")
    same = SAMPLE / "background.h5"  # stands for a file of other pileup: its rate must come out equal
    document = robustness.run(_arguments(
        str(model_dir), "--events", "3000", "--output", str(tmp_path / "out"), "--page", str(file), "--pileup", f"140={same}",
    ))  # fmt: skip
    assert json.loads((tmp_path / "out" / "robustness.json").read_text())["effects"] == document["effects"]
    chosen = robustness.settings()
    assert set(document["effects"]) == set(chosen.effects) and document["pileup_missing"] == [0.0, 60.0]
    up, down = (document["effects"][f"all pT {sign}5 %"]["1e-2"]["HT"] for sign in "+-")
    assert up["ratio"][1] >= 1 >= down["ratio"][1] and up["lost"] == down["new"] == 0, (
        "a pT cut can only gain, only lose"
    )
    assert document["pileup"][0]["scores"]["1e-2"]["HT"]["ratio"][1] == pytest.approx(1.0, abs=0.4)
    assert document["filtered_rate_hz"] == pytest.approx(document["pileup"][0]["filtered_rate_hz"])
    for row in document["rates"]["models"]["test"]:
        assert row["pure_rate_hz"][1] <= row["rate_hz"][1] <= row["target_hz"]
        assert all(row["signals_pure"][s][1] <= row["signals"][s][1] for s in row["signals"])
    text = file.read_text()
    for expected in ("dead endcap, one side", "Not measured, no file was given (`--pileup`): mean pileup 0, 60.",
                     "Rank correlation", "pure rate [Hz]", "(physics/turn_on_test.png)"):  # fmt: skip
        assert expected in text
    pictures = ("rate_change.png", "pileup.png", "turn_on_test.png")
    assert all((tmp_path / "physics" / name).stat().st_size > 10_000 for name in pictures)


@pytest.mark.parametrize("text", ["140", "x=a.h5", "-1=a.h5", "140=", "0=nowhere.h5"])
def test_wrong_pileup_arguments_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="pileup"):
        robustness.pileup_files([text])


def test_settings_are_checked(tmp_path: Path) -> None:
    document = read_yaml(robustness.SETTINGS)
    document["menu"]["triple jet"] = {"jet": [100.0] * 11}
    write_yaml(tmp_path / "r.yaml", document)
    with pytest.raises(SpecError, match=r"menu\.triple jet\.jet"):
        robustness.settings(tmp_path / "r.yaml")
    del document["menu"]["triple jet"]
    document["beside"] = ["mass"]
    write_yaml(tmp_path / "r.yaml", document)
    with pytest.raises(SpecError, match=r"beside\[0\]"):
        robustness.settings(tmp_path / "r.yaml")
