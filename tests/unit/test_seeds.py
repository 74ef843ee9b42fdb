"""Dedicated seeds: rules on whole numbers, the networks that are the same, and how they are learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ad40 import metrics, spec
from ad40.defaults import SAMPLE
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError
from ad40.menu import Seed
from ad40.network import output_codes, read_network, write_network
from offline import inputs
from offline.inputs import Inputs
from offline.seeds import describe, folder, learn, quantities, rates
from offline.seeds.display import display
from offline.seeds.excess import Excess
from offline.seeds.learn import Input, Sample, Settings
from offline.seeds.rules import Cut, Cuts, Node, Rule, Trees
from offline.seeds.wired import network_of

NAMES = quantities.quantities()


@pytest.fixture(scope="module")
def background() -> Inputs:
    return inputs.read(SAMPLE / "background.h5", limit=6000)


@pytest.fixture(scope="module")
def codes(background: Inputs) -> NDArray[np.int16]:
    """Events of the sample, words at their ends, and words that no detector sends."""
    slots = spec.objects().slots
    low = np.array([[0, -(s.eta.max_code + 1) if s.eta else 0, 0] for s in slots])
    high = np.array([[s.pt.max_code, s.eta.max_code if s.eta else 0, (1 << s.phi.bits) - 1] for s in slots])
    rng = np.random.default_rng(1)
    drawn = rng.integers(low, high + 1, (2000, *low.shape)) * (rng.random((2000, len(slots), 1)) < 0.7)
    return np.concatenate([background.codes[:2000], [low, high], drawn]).astype(np.int16)


@pytest.fixture(scope="module")
def table(codes: NDArray[np.int16]) -> NDArray[np.int32]:
    return quantities.table(codes)


def check_same(rule: Rule, codes: NDArray[np.int16], table: NDArray[np.int32]) -> None:
    """A rule and its network give each event one score, in the emulator and as the definition of networks reads."""
    network = network_of(rule, NAMES, "rule", "1.0")
    emulator, wanted = Emulator(network), rule.score(table)
    np.testing.assert_array_equal(emulator.score(codes), wanted)
    np.testing.assert_array_equal(output_codes(network, emulator.inputs(codes))[:, 0], wanted)
    assert wanted.min() >= 0 and wanted.max() <= rule.highest <= network.score_max


def test_inputs_are_those_of_the_emulator(codes: NDArray[np.int16]) -> None:
    network = network_of(Cuts((Cut(0, 5),)), NAMES, "rule", "1.0")  # MET, the widest
    found = quantities.inputs_of(codes)
    np.testing.assert_array_equal(found, Emulator(network).inputs(codes))
    assert (found.max(axis=0) <= quantities.largest()).all()


def test_quantities_are_what_they_say(background: Inputs) -> None:
    event = inputs.physical(background.codes)
    found = quantities.table(background.codes)
    by_name = {one.name: found[:, k] * one.lsb for k, one in enumerate(NAMES)}
    here = event[..., 0] > 0
    np.testing.assert_allclose(by_name["HT"], event[:, 9:, 0].sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(by_name["LT"], event[:, 1:9, 0].sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(by_name["ST"], event[..., 0].sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(by_name["N(lepton)"], here[:, 1:9].sum(axis=1))
    np.testing.assert_allclose(by_name["MET"], event[:, 0, 0], rtol=1e-6)
    both = here[:, 0] & here[:, 5]
    angle = np.abs((event[both, 5, 2] - event[both, 0, 2] + np.pi) % (2 * np.pi) - np.pi)
    np.testing.assert_allclose(by_name["dphi(mu1,MET)"][both], angle, atol=1e-5)


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    column = draw(st.integers(0, len(NAMES) - 1))
    return Cut(column, draw(st.integers(0, 400)), draw(st.booleans()))


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> Node:
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return Node(draw(st.integers(0, 20)))
    return Node(0, draw(cuts()), draw(trees(depth - 1)), draw(trees(depth - 1)))


@settings(max_examples=40, deadline=None)
@given(st.lists(cuts(), min_size=1, max_size=8))
def test_cuts_are_networks(codes: NDArray[np.int16], table: NDArray[np.int32], some: list[Cut]) -> None:
    check_same(Cuts(tuple(some)), codes, table)


@settings(max_examples=60, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4))
def test_trees_are_networks(codes: NDArray[np.int16], table: NDArray[np.int32], some: list[Node]) -> None:
    rule = Trees(tuple(some))
    leaves = [path for tree in rule.trees for path, value in tree.leaves() if value]
    if not any(leaves):  # nothing is compared: no network, and nothing that learns makes one
        return
    check_same(rule, codes, table)


def test_a_leaf_asks_for_each_cut_once() -> None:
    inner = Node(0, Cut(3, 40), Node(2), Node(1))
    tree = Node(0, Cut(3, 20), Node(0, Cut(3, 30, True), inner, Node(3)), Node(0))
    assert list(tree.leaves()) == [
        ((Cut(3, 40), Cut(3, 30, True)), 2), ((Cut(3, 20), Cut(3, 30, True)), 1), ((Cut(3, 30),), 3),
        ((Cut(3, 20, True),), 0),
    ]  # fmt: skip


def test_the_firmware_logic_gives_the_same(codes: NDArray[np.int16], table: NDArray[np.int32]) -> None:
    trace = pytest.importorskip("firmware.trace")
    from ad40 import objects

    split = Node(0, Cut(24, 200), Node(5), Node(0, Cut(26, 20, True), Node(3), Node(0)))
    rule = Trees((Node(0, Cut(21, 2), split, Node(1)), Node(0, Cut(0, 60), Node(2), Node(0))))
    network = network_of(rule, NAMES, "rule", "1.0")
    found = trace.trace(trace.steps_of(network), network, spec.latency())
    emulator = Emulator(network)
    scores = found.scores(emulator.inputs(codes), objects.present(codes))
    np.testing.assert_array_equal(scores, rule.score(table))


def test_the_folder_is_that_of_a_model(tmp_path: Path, background: Inputs) -> None:
    """QKeras reads the card and the weights, and they are the same integers."""
    rule = Trees((Node(0, Cut(25, 150), Node(0, Cut(21, 2), Node(3), Node(1)), Node(0)),))
    network = network_of(rule, NAMES, "cluster_3", "1.0")
    seed = Seed("AD40_cluster_3", "cluster_3", 3)
    model = folder.write(tmp_path / "seed", network, (seed,), "Of a test.", 1, background.codes)
    assert model.network.hash == network.hash and model.menu.seeds == (seed,)
    from ad40.verify import verify_golden

    assert verify_golden([tmp_path / "seed"])["mismatches"] == 0
    build = pytest.importorskip("models.build")
    from models.card import read_card
    from training.freeze import freeze_network

    keras, card = build.load(tmp_path / "seed"), read_card(tmp_path / "seed" / folder.CARD)
    assert freeze_network(keras, card).hash == network.hash
    x = Emulator(network).inputs(background.codes)
    np.testing.assert_array_equal(build.predict_codes(keras, card, x), Emulator(network).outputs(x))
    write_network(tmp_path / "again.json", network)
    assert read_network(tmp_path / "again.json").hash == network.hash


def test_threshold_is_the_lowest_that_keeps_the_rate() -> None:
    rng = np.random.default_rng(2)
    score, hz = rng.integers(0, 30, 5000), rng.random(5000)
    for target in (0.0, 1.0, 80.0, 1000.0, float(hz.sum())):
        cut = learn.threshold(score, hz, target)
        assert hz[score >= cut].sum() <= target + 1e-9
        assert cut == 0 or hz[score >= cut - 1].sum() > target


def toy(n: int = 4000, known: float = 0.0) -> tuple[Sample, Input]:
    """A cluster of high values of one quantity and low ones of another; `known` such events as the background too."""
    rng = np.random.default_rng(3)
    background = rng.integers(0, 100, (n, len(NAMES))).astype(np.int32)
    new = rng.integers(0, 100, (n // 4, len(NAMES))).astype(np.int32)
    new[:, 2], new[:, 7] = rng.integers(70, 100, n // 4), rng.integers(0, 20, n // 4)
    pool = rng.integers(0, 100, (n, len(NAMES))).astype(np.int32)
    inside = pool[pool[:, 2] >= 30]  # what the cluster holds of known events
    k = int(known * len(new))
    data = np.concatenate([new, inside[:k]])
    simulated = inside[-k:] if k else inside[:0]
    return Sample(data, simulated, Excess.of(np.ones(len(data)), np.ones(k))), Input(background, np.full(n, 100.0 / n))


@pytest.mark.parametrize("known", [0.0, 1.0])
@pytest.mark.parametrize("kind", learn.KINDS)
def test_rules_find_what_is_new(kind: str, known: float) -> None:
    sample, seen = toy(known=known)
    (found,) = learn.candidates(sample, seen, seen, sample, Settings(8.0), [kind])
    assert found.hz <= 8.0 and found.kept > 0.85  # both cuts keep 6 Hz of 100
    assert found.hz == pytest.approx(seen.hz[found.rule.score(seen.table) >= found.threshold].sum())
    if isinstance(found.rule, Cuts):
        assert {2, 7} <= {cut.column for cut in found.rule.cuts}


def test_a_tree_ranks_as_that_of_scikit_learn() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    (sample, seen), one = toy(), Settings(8.0)
    rule = learn.boosted(sample, seen, one, 1, 3, 1.0, 0.0)
    x = np.concatenate([sample.data, seen.table])
    y = np.repeat([1, 0], [len(sample.data), len(seen.table)])
    weight = np.concatenate([np.full(len(sample.data), 1 / len(sample.data)), seen.hz / seen.hz.sum()]) * len(x)
    model = HistGradientBoostingClassifier(max_iter=1, max_depth=3, max_leaf_nodes=8, learning_rate=one.shrinkage,
                                           early_stopping=False, random_state=one.seed).fit(x, y, weight)  # fmt: skip
    wanted = np.unique(np.round(model.decision_function(x), 9), return_inverse=True)[1]
    np.testing.assert_array_equal(rule.score(x), wanted)


def test_nothing_to_learn_is_said() -> None:
    sample, seen = toy()
    like_all = Sample(seen.table, seen.table[:0], Excess.of(np.ones(len(seen.table)), np.ones(0)))
    with pytest.raises(CheckError, match="higher rate"):
        learn.candidates(like_all, seen, seen, like_all, Settings(1e-9), ["tree"])
    none = Sample(sample.data, sample.data, Excess.of(np.ones(len(sample.data)), np.ones(len(sample.data))))
    with pytest.raises(CheckError, match="do not exceed"):
        learn.candidates(none, seen, seen, sample, Settings(8.0), ["tree"])


def test_excess_and_its_interval() -> None:
    """The error of the kept share is the spread that experiments have."""
    rng = np.random.default_rng(5)
    found, errors = [], []
    for _ in range(400):
        new, known, simulated = rng.poisson(400), rng.poisson(2000), rng.poisson(4000)
        excess = Excess.of(np.ones(new + known), np.full(simulated, 0.5))
        data = np.concatenate([rng.random(new) < 0.6, rng.random(known) < 0.2])
        low, value, high = excess.interval(data, rng.random(simulated) < 0.2)
        found.append(value)
        errors.append((high - low) / 2)
    assert np.mean(found) == pytest.approx(0.6, abs=0.02)
    assert np.std(found) == pytest.approx(np.median(errors), rel=0.15)


def test_rates_are_those_of_ad40_rates(background: Inputs) -> None:
    hz = rates.hz_of(background)
    luminosity = spec.ladder().luminosity_cm2s
    total = sum(float(p[rates.KEY]) for p in background.processes.values()) * 1e-36 * luminosity
    assert hz.sum() == pytest.approx(total)
    low, value, high = rates.rate(np.ones(len(background), np.bool_), background, hz)
    assert value == pytest.approx(total) and high == pytest.approx(total) and low < value
    passed = background.codes[:, 0, 0] > 100
    low, value, high = rates.rate(passed, background, hz)
    assert value == pytest.approx(hz[passed].sum()) and low < value < high
    nameless = Inputs(background.codes, background.row, background.parent, background.process, {}, Path("x.h5"))
    with pytest.raises(InputError, match="cross-sections"):
        rates.hz_of(nameless)


def test_auc_with_weights() -> None:
    rng = np.random.default_rng(4)
    low, high = rng.integers(0, 20, 300).astype(float), rng.integers(3, 25, 200).astype(float)
    wanted = metrics.auc(low, high)
    found = describe.weighted_auc(low, np.ones(300), high, np.ones(200))
    assert found[1] == pytest.approx(wanted[1]) and found[0] == pytest.approx(wanted[0], abs=1e-3)
    times = rng.integers(1, 4, 200)
    repeated = metrics.auc(low, np.repeat(high, times))
    weighted = describe.weighted_auc(low, np.ones(300), high, times.astype(float))
    assert weighted[1] == pytest.approx(repeated[1]) and weighted[0] < repeated[0]  # copies tell nothing new


def test_what_sets_a_group_apart() -> None:
    sample, seen = toy()
    found = describe.separations(sample.data, sample.excess.data, seen.table, np.ones(len(seen.table)), NAMES)
    assert {found[0].quantity.name, found[1].quantity.name} == {NAMES[2].name, NAMES[7].name}
    by_name = {one.quantity.name: one for one in found}
    assert by_name[NAMES[2].name].auc[1] == pytest.approx(0.85, abs=0.02)
    assert by_name[NAMES[7].name].difference < -1


def test_display_of_an_event(background: Inputs) -> None:
    shown = display(background.codes[0], "event 0", 13000.0)
    event = inputs.physical(background.codes[:1])[0]
    assert len(shown.rows) == int((event[:, 0] > 0).sum())
    assert [row[2] for row in shown.rows] == pytest.approx(event[event[:, 0] > 0, 0].tolist())
    assert all(-np.pi <= row[4] <= np.pi for row in shown.rows)
    table = shown.table().document()
    assert len(table["independent_variables"][0]["values"]) == len(shown.rows)
    assert len(shown.draw().axes) == 2
    nothing = display(np.zeros((19, 3), np.int16), "nothing", 13000.0)
    assert [row[0] for row in nothing.rows] == ["met"] and len(nothing.draw().axes) == 2
