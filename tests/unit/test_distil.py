"""Families of corrupted events, the teacher made of them and what a student is told."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import defaults, objects
from ad40.errors import InputError, SpecError
from ad40.files import read_yaml
from ad40.split import TRAIN, VALIDATION
from models.card import parse_card
from training.datasets import load_background
from training.teach import distil, families, teacher

if importlib.util.find_spec("sklearn") is None:
    pytest.skip("scikit-learn is not installed (training extra)", allow_module_level=True)
CARD = defaults.SAMPLE.parents[1] / "models" / "ad40_small" / "model.yaml"
NAMES = families.DEFAULT


@pytest.fixture(scope="module")
def sample():
    return load_background(defaults.SAMPLE, 4000)


@pytest.fixture(scope="module")
def events(sample):
    return objects.decode(sample.codes)


@pytest.fixture(scope="module")
def small(sample, tmp_path_factory):
    """A teacher of the usual families and its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher, "STEPS", 40)
        cache = tmp_path_factory.mktemp("teachers")
        yield teacher.teacher(sample, NAMES, 1, cache), cache


def total(events):
    """Vector sum (n, 2) of MET and all visible objects, what is lepton and jet counted once."""
    once = families._holders(events) == 0
    return np.stack([(part * once).sum(axis=1) for part in families._momenta(events)], axis=1)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(sorted(families.FAMILIES)), st.integers(0, 1000))
def test_corrupted_events_could_come_from_a_detector(name, seed):
    clean = load_background(defaults.SAMPLE, 200).codes
    bad = families.corrupted(clean, name, seed)
    objects.check_codes(bad)
    assert 0 < len(bad) <= len(clean)
    assert np.array_equal(bad, families.corrupted(clean, name, seed)), "reproducible from its seed"
    assert np.array_equal(bad, families.corrupted(clean, name, seed, 230)[: len(bad)])
    assert len(families.corrupted(clean, name, seed, 230)) == 230
    for slots in (slice(1, 5), slice(5, 9), slice(9, 19)):
        assert (np.diff(bad[:, slots, 0].astype(int), axis=1) <= 0).all(), "ordered in pt, no holes"
    assert (bad[~objects.present(bad)] == 0).all()
    event = objects.decode(bad)
    low, reach, lepton = families._acceptance()
    here = objects.present(bad)
    assert (event[..., 0] >= np.where(low > 0, low - 0.26, 0))[here].all(), "above the acceptance, in steps of 0.5 GeV"
    assert (np.abs(event[..., 1]) <= reach + 0.03)[here].all()
    assert (event[:, 1:9, 0].max(axis=1) > lepton - 0.26).all(), "a lepton above the filter"


@pytest.mark.parametrize("operation", [families.lepton_decay, families.recoil])
def test_momentum_goes_nowhere(operation, events, monkeypatch):
    """Without an acceptance and with room for every object, the vector sum of an event does not change."""
    free = (np.zeros(19, np.float32), np.full(19, np.inf, np.float32), 0.0)
    monkeypatch.setattr(families, "_acceptance", lambda: free)
    room = events[(events[:, 18, 0] == 0) & (events[:, 4, 0] == 0) & (events[:, 8, 0] == 0)]
    before = room.copy()
    after = operation(room, np.random.default_rng(3))
    assert np.array_equal(room, before), "the argument stays"
    kept = np.abs(total(after) - total(room)).max(axis=1) < 0.01
    assert kept.mean() > 0.95, "but where a jet vanishes and leaves a lepton"
    assert (np.abs(after - room).max(axis=(1, 2)) > 1e-3).mean() > 0.9


def test_operations_do_what_they_say(events):
    rng = np.random.default_rng(1)
    leptons, jets = slice(1, 9), slice(9, 19)

    def count(some, slots):
        return (some[:, slots, 0] > 0).sum(axis=1)

    more = families.extra_leptons(events, rng)
    assert (count(more, leptons) >= count(events, leptons)).all() and count(more, leptons).mean() > 2
    assert (count(more, jets) >= count(events, jets)).all() and np.array_equal(more[:, 0], events[:, 0])
    alone = (more[:, leptons, 0] > 20) & (families._holders(more)[:, leptons] == 0)
    assert alone.mean() < 0.01 * (more[:, leptons, 0] > 20).mean(), "leptons come with their jets"
    pushed = families.recoil(events, rng)
    assert (pushed[:, 9, 0] >= families.RECOIL_PT[0]).all() and pushed[:, 9, 0].max() > 100
    fallen = families.lepton_decay(events, rng)
    assert (fallen[:, leptons, 0].max(axis=1) <= events[:, leptons, 0].max(axis=1)).all()
    jet = families._holders(events)[:, 1]
    only = (count(events, leptons) == 1) & (jet > 0)
    assert (fallen[only, 9:, 0].sum(axis=1) < events[only, 9:, 0].sum(axis=1)).all(), (
        "the jet of a lepton fades with it"
    )
    both = families.two_events(events, rng)
    assert (count(both, jets) >= count(events, jets)).all() and count(both, jets).mean() > count(events, jets).mean()


def test_mixture_is_the_log_of_the_sum():
    ratios, weights = np.array([[1.0, 2.0], [800.0, -800.0]]), np.array([0.0, 0.5])
    assert teacher.mixture(ratios, weights) == pytest.approx([np.log(np.exp(1) + np.exp(2.5)), 800.0])


def test_weights_give_up_no_family(monkeypatch):
    """Two families, each known by one of two independent Gaussian numbers, one far easier than the other."""
    monkeypatch.setattr(teacher, "STEPS", 150)
    rng = np.random.default_rng(0)
    shifts = np.array([[4.0, 0.0], [0.0, 2.5]])

    def ratios(x):  # of Gaussians of width 1: exact
        return x @ shifts.T - (shifts**2).sum(axis=1) / 2

    background = ratios(rng.standard_normal((20_000, 2)))
    changed = [ratios(rng.standard_normal((5000, 2)) + shift) for shift in shifts]
    weights, limits, fractions = teacher.balance(background, changed, 1)
    assert np.array_equal(weights, teacher.balance(background, changed, 1)[0])
    equal = teacher.mixture(background, np.zeros(2))
    kept = [(teacher.mixture(own, np.zeros(2)) > np.quantile(equal, 1 - teacher.FPR)).mean() for own in changed]
    assert limits[0] > 0.8 > 0.4 > limits[1] > 0.1
    assert fractions.min() > 0.85 and fractions.min() >= (kept / limits).min()
    assert weights[0] == 0


def test_significance_is_the_p_value_of_the_background(small, sample):
    found = small[0]
    score = found.score(sample.codes[sample.rows(VALIDATION)])
    y = found.significance(score)
    for p in (0.5, 0.1, 0.03):
        assert (y > -np.log10(p)).mean() == pytest.approx(p, rel=0.1)
    grid = np.linspace(score.min(), score.max() + 20, 500)
    assert (np.diff(found.significance(grid)) >= 0).all()
    beyond = np.array([3.0, 4.0, 6.5])
    assert found.significance(found.score_at(beyond)) == pytest.approx(beyond)


def test_teacher_knows_corruptions_and_is_kept(small, sample, monkeypatch):
    found, cache = small
    clean = sample.codes[sample.rows(VALIDATION)]
    for name in NAMES:
        changed = found.significance(found.score(families.corrupted(clean, name, 9)))
        assert (changed > 1.0).mean() > 0.3
    assert (found.fractions > 0.3).all() and (found.limits > 0.01).all()
    monkeypatch.setattr(teacher, "fit", lambda *_: pytest.fail("the cache was not used"))
    again = teacher.teacher(sample, NAMES, 1, cache)
    assert np.array_equal(again.score(clean), found.score(clean))
    with pytest.raises(pytest.fail.Exception):
        teacher.teacher(sample, NAMES, 2, cache)


@pytest.mark.parametrize("names", [(), ("taus",), ("extra leptons", "extra leptons")])
def test_unknown_families_are_refused(names, sample, tmp_path):
    with pytest.raises(InputError, match=r"training\.families"):
        teacher.teacher(sample, names, 1, tmp_path)


def test_student_is_told_what_the_teacher_says(small, sample, monkeypatch):
    monkeypatch.setattr(distil, "teacher", lambda *_: small[0])
    document = read_yaml(CARD)
    document["training"] |= {"families": list(NAMES)}
    card = parse_card(document, CARD)
    assert card.training.families == NAMES
    codes, target, weight = distil.targets(card, sample, TRAIN)
    clean = sample.codes[sample.rows(TRAIN)]
    assert np.array_equal(codes[: len(clean)], clean) and len(codes) > 1.5 * len(clean)
    assert target.dtype == weight.dtype == np.float32 and weight.shape == (len(codes), len(distil.EDGES))
    assert target.min() >= 0 and target.max() <= distil.TOP
    assert target[len(clean) :].mean() > target[: len(clean)].mean() + 0.5
    assert weight.mean(axis=0) == pytest.approx(1, rel=1e-3)
    low, high = np.argmin(target), np.argmax(target)
    assert (weight[low] > weight[high]).all(), "what is like background weighs more"
    other = replace(card, training=replace(card.training, seed=7))
    assert np.array_equal(distil.events(other, sample, TRAIN), codes), "losses of other seeds can be compared"


def test_families_of_a_card_are_texts():
    document = read_yaml(CARD)
    document["training"] |= {"families": [1]}
    with pytest.raises(SpecError, match=r"training\.families"):
        parse_card(document, CARD)


def test_loss_against_numbers_worked_out_by_hand():
    if importlib.util.find_spec("qkeras") is None:
        pytest.skip("QKeras is not installed (training extra)")
    from models import build
    from training.losses import Distillation

    loss = Distillation.__new__(Distillation)
    loss.outputs = lambda inputs: [inputs]
    edges, n = np.array(distil.EDGES), len(distil.EDGES)
    own, wanted = np.array([0.5, 3.0]), np.array([1.5, 2.0])
    weights = np.stack([np.ones(n), np.arange(n)])

    def cross_entropy(t, s):
        q, p = 1 / (1 + np.exp(edges - t)), 1 / (1 + np.exp(edges - s))
        return -q * np.log(p) - (1 - q) * np.log(1 - p)

    expected = np.mean([w * cross_entropy(t, s) for w, t, s in zip(weights, wanted, own, strict=True)])
    batch = (np.float32(own[:, None]), np.float32(wanted), np.float32(weights))
    found = loss(tuple(build.tf.constant(a) for a in batch), None, True)
    assert float(found) == pytest.approx(expected, rel=1e-5)
