"""What all anomaly models on jets have in common, and what each owes its paper."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from ad40.errors import HashMismatch, InputError
from ad40.metrics import auc
from offline.jets import model
from offline.jets.events import event_scores
from offline.jets.features import features
from offline.jets.jets import Jets, starts_of
from offline.jets.nodes import nodes
from tests.toy_jets import toy_jets

pytest.importorskip("tensorflow")

SMALL = {
    "dense": {"epochs": 2}, "vrnn": {"epochs": 1}, "egat": {"epochs": 1, "constituents": 10, "layers": 1, "width": 4},
    "transformer": {"epochs": 1, "constituents": 10, "layers": 1, "width": 8, "heads": 2}, "forest": {"trees": 20},
    "supervised": {"rounds": 20}, "mass": {}, "tau21": {},
}  # fmt: skip
ON_CONSTITUENTS = ("vrnn", "egat", "transformer")


@pytest.fixture(scope="module")
def fitted():
    jets = toy_jets(80, 20)
    found = {}
    for kind, settings in SMALL.items():
        found[kind] = model.create(kind, **settings)
        found[kind].fit(jets)
    return found


@pytest.mark.parametrize("kind", model.MODELS)
def test_a_saved_model_scores_the_same(fitted, kind, tmp_path):
    jets = toy_jets(30, 10, seed=2)
    score = fitted[kind].score(jets)
    assert score.dtype == np.float32 and score.shape == (len(jets),) and np.ptp(score) > 0
    card = model.save(fitted[kind], tmp_path, {"file": "toys"})
    again = model.load(tmp_path)
    assert np.array_equal(again.score(jets), score)
    assert again.hash == card["hash"] and card["training"]["file"] == "toys" and card["training"]["jets"] == 160
    if hasattr(fitted[kind], "net"):
        assert len(card["history"]) == SMALL[kind]["epochs"] and card["parameters"] > 100


@pytest.mark.parametrize("kind", ["dense", *ON_CONSTITUENTS, "forest", "supervised"])
def test_the_seed_decides(fitted, kind):
    again = model.create(kind, **SMALL[kind])
    np.random.default_rng().random(7)
    again.fit(toy_jets(80, 20))
    assert again.hash == fitted[kind].hash


def test_another_seed_is_another_model(fitted):
    other = model.create("dense", **SMALL["dense"], seed=41)
    other.fit(toy_jets(80, 20))
    assert other.hash != fitted["dense"].hash


def test_labels_are_not_looked_at(fitted):
    """But in the hash of the training sample."""
    jets = toy_jets(80, 20)
    blind = replace(jets, label=np.full(len(jets), -1, np.int8))
    for kind in ("dense", "forest"):
        again = model.create(kind, **SMALL[kind])
        again.fit(blind)
        assert again.hash == fitted[kind].hash
    with pytest.raises(InputError, match="label"):
        model.create("supervised").fit(blind)


@pytest.mark.parametrize("kind", ON_CONSTITUENTS)
def test_jets_do_not_depend_on_their_company(fitted, kind):
    jets = toy_jets(12, 4, seed=3)
    together = fitted[kind].score(jets)
    alone = np.concatenate([fitted[kind].score(jets.take(slice(i, i + 1))) for i in (0, 5, 11)])
    np.testing.assert_allclose(together[[0, 5, 11]], alone, rtol=1e-3, atol=1e-4)


def one_constituent() -> Jets:
    jets = toy_jets(2, seed=9)
    first = jets.constituents[jets.offsets[:-1]]
    jet = jets.jet.copy()
    jet[:, 3:] = 0
    return replace(jets, offsets=starts_of(np.ones(len(jets), int)), constituents=first, jet=jet)


@pytest.mark.parametrize("kind", model.MODELS)
def test_jets_of_one_constituent_have_a_score(fitted, kind):
    score = fitted[kind].score(one_constituent())
    assert np.isfinite(score).all()
    if kind == "vrnn":
        assert (score == 0).all()  # no sequence: not anomalous, as the module says


@pytest.mark.parametrize("kind", ON_CONSTITUENTS)
def test_jets_without_constituents_are_refused(fitted, kind):
    jets = toy_jets(5)
    empty = replace(jets, offsets=np.zeros(len(jets) + 1, np.int64), constituents=np.zeros((0, 3), np.float32))
    with pytest.raises(InputError, match="constituents of jet 0 is 0"):
        fitted[kind].score(empty)
    with pytest.raises(InputError, match="constituents"):
        model.create(kind, **SMALL[kind]).fit(empty)


def test_features_that_are_not_known_are_named():
    jets = toy_jets(5)
    jet = jets.jet.copy()
    jet[3, 5] = np.nan
    with pytest.raises(InputError, match="tau21 of jet 3 is not known"):
        features(replace(jets, jet=jet), ("mass", "tau21"))
    with pytest.raises(InputError, match="'taus'"):
        features(jets, ("taus",))


def test_bad_use_is_refused(fitted, tmp_path):
    jets = toy_jets(3)
    with pytest.raises(InputError, match="not fitted"):
        model.create("mass").score(jets)
    with pytest.raises(InputError, match="one of mass"):
        model.create("nothing")
    with pytest.raises(InputError, match="one of batch"):
        model.create("dense", epoch=3)
    with pytest.raises(InputError, match="epochs is 0"):
        model.create("dense", epochs=0)
    with pytest.raises(InputError, match="kl or mse|one of kl"):
        model.create("vrnn", quantity="both")
    with pytest.raises(InputError, match="at least 2"):
        model.create("dense").fit(toy_jets(1))
    with pytest.raises(InputError, match="jets to learn from"):
        model.create("mass").fit(jets.take(slice(0, 0)))
    assert fitted["egat"].score(jets.take(slice(0, 0))).shape == (0,)
    model.save(fitted["dense"], tmp_path)
    text = (tmp_path / "jetmodel.yaml").read_text()
    (tmp_path / "jetmodel.yaml").write_text(text.replace("latent: 2", "latent: 3"))
    with pytest.raises(InputError, match="weights"):
        model.load(tmp_path)
    (tmp_path / "jetmodel.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.002"))
    with pytest.raises(HashMismatch):
        model.load(tmp_path)
    with pytest.raises(InputError, match="missing"):
        model.load(tmp_path / "nowhere")


def test_baselines_find_two_prongs(fitted):
    test = toy_jets(150, 75, seed=8)
    for kind, least in (("mass", 0.75), ("tau21", 0.75), ("forest", 0.65), ("supervised", 0.75)):
        score = fitted[kind].score(test)
        assert auc(score[test.label == 0], score[test.label == 1])[1] > least, kind


def test_trees_are_those_of_scikit_learn():
    from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest

    from offline.trees import of_boosted, of_forest, search_depth

    random = np.random.default_rng(1)
    x = random.normal(size=(800, 4)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + 0.3 * random.normal(size=800) > 0
    forest = IsolationForest(n_estimators=30, max_samples=100, random_state=1).fit(x)
    mine = 2 ** (-of_forest(forest).sum(x.astype(float)) / (30 * search_depth(np.array(100))))
    np.testing.assert_allclose(mine, -forest.score_samples(x), rtol=1e-10)
    boosted = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(x.astype(float), y)
    difference = boosted.decision_function(x.astype(float)) - of_boosted(boosted).sum(x.astype(float))
    assert np.ptp(difference) < 1e-12 and np.ptp(of_boosted(boosted).sum(x.astype(float))) > 1


def test_trees_that_lead_nowhere_are_refused(fitted, tmp_path):
    state = fitted["forest"].state()
    for name, value in (("trees.left", 0), ("trees.feature", 99), ("trees.roots", 10**6)):
        bad = {k: v.copy() for k, v in state.items()}
        bad[name][0] = value
        with pytest.raises(ValueError):
            model.create("forest", **SMALL["forest"]).restore(bad)


def test_divergence_of_normal_distributions():
    from offline.jets.vrnn import kl

    mean, sigma, mean0, sigma0 = (np.float32([[0.3, -1.0]]), np.float32([[0.5, 1.5]]), np.float32([[0.0, 0.4]]),
                                  np.float32([[1.0, 0.7]]))  # fmt: skip

    grid, wanted = np.linspace(-12, 12, 200_001), 0.0
    for i in range(2):  # of independent components: the sum
        p, q = (norm.pdf(grid, m[0, i], s[0, i]) for m, s in ((mean, sigma), (mean0, sigma0)))
        wanted += (
            np.sum(p * (norm.logpdf(grid, mean[0, i], sigma[0, i]) - np.log(np.maximum(q, 1e-300)))) * 24 / 200_000
        )
    assert float(kl(mean, sigma, mean0, sigma0)[0]) == pytest.approx(wanted, rel=1e-4)
    assert float(kl(mean, sigma, mean, sigma)[0]) == pytest.approx(0, abs=1e-6)


def test_turned_jets_do_not_know_their_angle():
    jets = toy_jets(20, 10, seed=11)
    axis = nodes(jets, 1000)
    angle = np.repeat(np.linspace(0, 6, len(jets)), jets.counts)
    eta, phi = axis.values[:, 1], axis.values[:, 2]
    turned = jets.constituents.copy()
    turned[:, 1] = 0.5 + eta * np.cos(angle) - phi * np.sin(angle)
    turned[:, 2] = eta * np.sin(angle) + phi * np.cos(angle)
    other = replace(jets, constituents=turned)
    np.testing.assert_allclose(nodes(other, 15, turn=True).values, nodes(jets, 15, turn=True).values, atol=2e-5)
    assert np.abs(nodes(other, 15).values - nodes(jets, 15).values).max() > 0.1
    found = nodes(jets, 15, turn=True)
    assert (found.counts == np.minimum(jets.counts, 15)).all() and (
        np.diff(found.values[:, 0])[: found.counts[0] - 1] <= 0
    ).all()


def test_score_of_events():
    jets = toy_jets(4, 2, jets_per_event=3, seed=12).take(np.array([0, 1, 2, 3, 6, 7]))  # event 1 has one jet
    score = np.arange(6.0)
    assert event_scores(jets, score).score.tolist() == [0.5, 3, 4.5]
    assert event_scores(jets, score, "max").score.tolist() == [1, 3, 5]
    assert event_scores(jets, score[::-1].copy(), "leading").score.tolist() == [5, 2, 1]
    assert event_scores(jets, score).event.tolist() == [0, 1, 2]
    assert (jets.which[event_scores(jets, score).first] == 0).all()
    with pytest.raises(InputError, match="one of mean"):
        event_scores(jets, score, "median")
    label = jets.label.copy()
    label[0] = 1 - label[1]
    with pytest.raises(InputError, match="label"):
        event_scores(replace(jets, label=label), score)
