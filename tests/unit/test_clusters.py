"""Clusters of triggered events: embeddings, clusters, counts against expectation, labels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from ad40 import defaults
from ad40.emulator import Emulator
from ad40.errors import HashMismatch, InputError
from ad40.model import read_model
from offline.clusters import clustering, embedding, expectation, labels, result, sample, stability
from offline.clusters.clustering import ClusterSettings
from offline.clusters.embedding import Choice
from offline.clusters.expectation import Counts, Options
from offline.clusters.experiment import Plan, Pool, describe, experiment
from offline.clusters.features import NAMES, features
from offline.inputs import Inputs, physical, read

BLOBS = np.array([[0, 0], [8, 0], [0, 8], [9, 9]], np.float32)


@pytest.fixture(scope="module")
def events() -> Inputs:
    return read(defaults.BACKGROUND, limit=3000)


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    label = random.choice(4, 2000, p=[0.4, 0.3, 0.2, 0.1])
    return (BLOBS[label] + random.normal(0, 0.7, (2000, 2))).astype(np.float32), label


def test_features_are_what_they_say(events):
    found = dict(zip(NAMES, features(events.codes).T, strict=True))
    real = physical(events.codes)
    np.testing.assert_allclose(found["met"], np.log1p(real[:, 0, 0] / 10), rtol=1e-5)
    assert np.array_equal(found["jets"], (real[:, 9:, 0] > 0).sum(axis=1))
    two = np.flatnonzero(real[:, 10, 0] > 0)[0]
    p = [[pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)] for pt, eta, phi in real[two, 9:11]]
    e, x, y, z = np.sum(np.float64(p), axis=0)
    assert np.expm1(found["m_jets"][two]) * 10 == pytest.approx(np.sqrt(e**2 - x**2 - y**2 - z**2), rel=1e-3)


def test_features_do_not_know_the_azimuth(events):
    turned = events.codes.copy()
    turned[..., 2] = np.where(turned[..., 0] > 0, -turned[..., 2], 0)
    np.testing.assert_allclose(features(turned), features(events.codes), atol=2e-3)


def test_activations_are_those_of_each_layer(events):
    network = read_model("ad40_balanced").network
    found = Emulator(network).activations(events.codes[:200])
    x, fraction = Emulator(network).inputs(events.codes[:200]), network.input.format.fraction
    wanted = []
    for layer in network.layers:
        x, fraction = layer.codes(x, fraction), layer.output.fraction
        wanted.append(x)
    assert np.array_equal(found, np.concatenate(wanted, axis=1))


@pytest.mark.parametrize("choice", [Choice("features"), Choice("latent", "ad40_balanced"), Choice("rmm")])
def test_embedding_is_uncorrelated_and_comes_back(events, choice, tmp_path):
    learnt, points = embedding.learn(choice, events)
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.eye(points.shape[1]), atol=0.02)
    np.testing.assert_allclose(learnt(events), points, atol=1e-5)
    clusters = clustering.fit(points, ClusterSettings(clusters=5))
    clustering.save(tmp_path, clusters, learnt, {})
    again, turned = clustering.load(tmp_path)
    assert turned.hash == learnt.hash and again.hash == clusters.hash
    assert np.array_equal(again.assign(turned(events))[0], clusters.assign(points)[0])


@pytest.mark.parametrize("kind,model", [("latent", ""), ("features", "ad40_v1"), ("else", "")])
def test_embedding_refuses(kind, model):
    with pytest.raises(InputError):
        Choice(kind, model)


@pytest.mark.parametrize("method", clustering.METHODS)
def test_methods_find_separated_groups(blobs, method, tmp_path):
    points, label = blobs
    options = ClusterSettings(method=method, clusters=4, min_size=80)
    found = clustering.fit(points, options)
    cluster, distance = found.assign(points)
    kept = cluster >= 0
    assert kept.mean() > (0.7 if method == "hdbscan" else 0.999)
    figures = labels.figures(cluster[kept], label[kept])["all"]
    assert figures["ami"] > (0.8 if method == "hdbscan" else 0.97)
    assert (distance >= 0).all() and np.isfinite(distance).all()
    same = clustering.fit(points, options)
    assert same.hash == found.hash  # from the seed
    sizes = np.bincount(cluster[kept])
    assert sizes[0] == sizes.max()


def test_hdbscan_leaves_out_what_is_far(blobs):
    found = clustering.fit(blobs[0], ClusterSettings(method="hdbscan", min_size=80))
    assert found.assign(np.float32([[40, 40], [0, 0]]))[0][0] == -1


def test_changed_numbers_are_refused(events, tmp_path):
    learnt, points = embedding.learn(Choice(), events)
    clustering.save(tmp_path, clustering.fit(points, ClusterSettings(clusters=4)), learnt, {})
    import h5py

    with h5py.File(tmp_path / clustering.NUMBERS, "r+") as file:
        file["centres"][0, 0] += 1
    with pytest.raises(HashMismatch):
        clustering.load(tmp_path)


def test_stability_prefers_the_number_of_groups(blobs):
    rows = stability.stability(blobs[0], ClusterSettings(), (2, 4, 15), 3)
    assert max(rows, key=lambda row: row["mean"])["clusters"] == 4
    assert stability.choose(rows) == 4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.2, 5))
def test_local_p_is_the_binomial_test_for_one_weight(d, off, tau):
    """Cousins, Linnemann, Tucker: P(N >= d | N + off) with probability 1 / (1 + tau)."""
    p = expectation.p_excess(np.array([d]), np.array([float(off)]), np.array([tau]))[0]
    assert p == pytest.approx(binom.sf(d - 1, d + off, 1 / (1 + tau)), rel=1e-6)
    deficit = expectation.p_deficit(np.array([d]), np.array([float(off)]), np.array([tau]))[0]
    if off:
        assert deficit == pytest.approx(binom.cdf(d, d + off, 1 / (1 + tau)), rel=1e-6)


@pytest.mark.parametrize("mean", [0.3, 5, 500])
def test_quick_smallest_is_the_smallest(mean):
    random = np.random.default_rng(2)
    b = random.exponential(mean, 20) + 0.05
    d, n = (random.poisson(np.broadcast_to(k * b, (300, 20))).astype(float) for k in (1, 2))
    tau = np.full_like(d, 2.0)
    assert np.array_equal(expectation.smallest(d, n, tau), expectation.p_excess(d, n, tau).min(axis=1))


def test_an_excess_is_flagged_and_a_hole_in_simulation_is_named():
    observed = np.array([1000, 500, 260, 12])
    expected = np.array([1000.0, 500, 150, 0])
    counts = Counts(observed, expected, expected * 0.5, (expected * 2).astype(int))
    found = expectation.compare(counts, Options(toys=2000), np.random.default_rng(3))
    assert found.flagged[0] == 2 and 0 not in found.flagged
    assert found.populated.tolist() == [True, True, True, False]
    assert found.global_p[2] < 1e-3 and found.local_p[2] <= found.global_p[2]
    assert 3 in found.flagged  # twelve events where simulation has none
    wide = expectation.compare(counts, Options(systematic=0.5, toys=500), np.random.default_rng(3))
    assert wide.local_p[2] > 0.01


def test_normalisation_is_that_of_the_others():
    d, b = np.array([100.0, 300, 80]), np.array([50.0, 150, 20])
    mean, effective = expectation.expectation(d, b, b / 4, Options())
    assert mean[2] == pytest.approx(20 * 400 / 200)
    assert effective[2] == pytest.approx(1 / (1 / 80 + 1 / 400 + 1 / 800))
    fixed, _ = expectation.expectation(d, b, b / 4, Options(normalised=False))
    assert np.array_equal(fixed, b)


def test_global_p_is_uniform_without_a_signal():
    """Weights, few events, holes: 300 pseudo-experiments of counts."""
    random = np.random.default_rng(4)
    rates, weights = random.exponential(40, 25) + 0.5, random.uniform(0.3, 0.8, 25)
    found = []
    for _ in range(300):
        n = random.poisson(rates / weights)
        counts = Counts(random.poisson(rates), n * weights, n * weights**2, n)
        result_ = expectation.compare(counts, Options(toys=400), random)
        found.append(result_.global_p[result_.best])
    assert kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.1


@pytest.mark.parametrize("options", [{"systematic": 1.0}, {"toys": 1}])
def test_options_refuse(options):
    with pytest.raises(InputError):
        Options(**options)


def test_compare_refuses_nothing():
    none = np.zeros(3, int)
    with pytest.raises(InputError):
        expectation.compare(Counts(none, none * 1.0, none * 1.0, none), Options(), np.random.default_rng(0))


@pytest.fixture(scope="module")
def background() -> sample.Sample:
    return sample.triggered(defaults.BACKGROUND, sample.threshold(read_model("ad40_balanced")))


def test_triggered_events_fire_and_are_independent(background):
    seed = sample.threshold(read_model("ad40_balanced"))
    assert seed.name == "AD40_VLoose"
    assert seed.keeps(background.events.codes).all()
    assert len(np.unique(background.events.parent)) == len(background)
    every = read(defaults.BACKGROUND)
    fired = every.take(seed.keeps(every.codes))
    per_event = np.array([every.processes[int(p)]["event_cross_section_pb"] for p in fired.process])
    assert background.weight.sum() == pytest.approx(per_event.sum())
    with pytest.raises(InputError):
        sample.threshold(seed.model, "no such seed")


@pytest.mark.parametrize("how", ["draw", "split"])
def test_simulation_expects_the_data(background, how):
    """In the long run the weighted simulation is the data, in any region, whatever the weights."""
    random, region = np.random.default_rng(5), background.events.process == background.events.process.max()
    d = e = 0.0
    for _ in range(100):
        one = sample.draw(background, 5000, 1.5, random) if how == "draw" else sample.split(background, 0.5, random)
        d, e = d + one.data[region].sum(), e + (one.simulation * one.weight)[region].sum()
    assert d == pytest.approx(e, rel=6 / np.sqrt(min(d, e)))


def test_experiment_finds_a_signal_and_repeats(background):
    random = np.random.default_rng(6)
    points = random.normal(0, 1, (len(background), 2)).astype(np.float32)
    label = np.zeros(len(background), np.uint8)
    label[:300] = 1
    points[:300] = 4 + random.normal(0, 0.1, (300, 2))
    pool = Pool(replace(background, label=label), points, None, {1: "there"}, {})
    plan = Plan(20000, 1.0, 0.01, settings=ClusterSettings(clusters=15, fit_events=3000), options=Options(toys=300))
    found = describe(experiment(pool, plan, 1, (40, 1)), pool, 1)
    assert found["z"] > 4 and found["signal_in_cluster"] > 0.8 * found["signal"]
    assert found == describe(experiment(pool, plan, 1, (40, 1)), pool, 1)
    nothing = describe(experiment(pool, plan, 0, (40, 2)), pool, 0)
    assert nothing["z"] < 4


def test_labels_of_perfect_and_of_random_clusters():
    random = np.random.default_rng(7)
    label = random.integers(0, 4, 4000)
    perfect = labels.figures((label + 2) % 4, label, [3])
    assert set(perfect) == {"all", "seen", "unseen"}
    assert all(part["accuracy"] == 1 for part in perfect.values()) and perfect["all"]["nmi"] == pytest.approx(1)
    chance = labels.figures(random.integers(0, 4, 4000), label)["all"]
    assert chance["accuracy"] < 0.3 and abs(chance["ami"]) < 0.01


def test_result_comes_back(background, tmp_path):
    n = len(background)
    found = result.assigned(background.events, result.DATA, np.arange(n) % 3, np.linspace(1, 0, n))
    result.write(tmp_path, {"clusters": []}, found)
    again = result.read_result(tmp_path)
    assert np.array_equal(again.events.codes, background.events.codes)
    inside = again.inside(1)
    assert (inside.cluster == 1).all() and (np.diff(inside.distance) >= 0).all()
    result.write_events(tmp_path / result.EVENTS, found.take(np.arange(n - 1)))
    with pytest.raises(HashMismatch):
        result.read_result(tmp_path)
