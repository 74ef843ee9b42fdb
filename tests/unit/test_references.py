"""References on the 57 inputs: what all have in common, what each is, and the ONNX files of the dense ones."""

import argparse
import json

import numpy as np
import pytest

from ad40 import defaults, objects
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash
from offline.inputs import read, standardised
from offline.references import augment, compare, model, onnx_file, significance
from offline.references.compare_step import run as run_compare

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

BACKGROUND = defaults.SAMPLE / "background.h5"
SMALL = {
    "autoencoder": {"epochs": 2, "hidden": 16, "latent": 4, "narrowest": 0.5},
    "vae": {"epochs": 2, "hidden": 16, "latent": 3},
    "flow": {"epochs": 1, "hidden": 8, "couplings": 3},
    "contrastive": {"epochs": 1, "hidden": 16, "dimensions": 4, "latent": 2},
    "discriminator": {"epochs": 1, "hidden": 16},
    "forest": {"trees": 15, "sample": 200},
    "neighbours": {"events": 500},
}  # fmt: skip
DENSE = ("autoencoder", "vae", "flow", "contrastive", "discriminator")


@pytest.fixture(scope="module")
def inputs():
    return read(BACKGROUND, "train", 3000)


@pytest.fixture(scope="module")
def other():
    return read(BACKGROUND, "test", 1500)


@pytest.fixture(scope="module")
def fitted(inputs):
    found = {kind: model.create(kind, **settings) for kind, settings in SMALL.items()}
    for one in found.values():
        one.fit(inputs)
    return found


@pytest.mark.parametrize("kind", model.MODELS)
def test_a_saved_model_scores_the_same(fitted, kind, other, inputs, tmp_path):
    score = fitted[kind].score(other)
    assert score.dtype == np.float32 and score.shape == (len(other),) and len(np.unique(score)) > 0.9 * len(other)
    card = model.save(fitted[kind], tmp_path, {"part": "train"})
    again = model.load(tmp_path)
    assert np.array_equal(again.score(other), score) and again.hash == card["hash"]
    assert card["training"]["events"] == len(inputs) and card["training"]["part"] == "train"
    assert card["training"]["parents"] == len(np.unique(inputs.parent))
    assert len(card["history"]) == SMALL[kind].get("epochs", 0)
    alone = np.concatenate([fitted[kind].score(other.take(slice(i, i + 1))) for i in (0, 7)])
    np.testing.assert_allclose(alone, score[[0, 7]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["contrastive", "flow", "forest", "neighbours"])
def test_the_seed_decides(fitted, kind, inputs):
    again, another = model.create(kind, **SMALL[kind]), model.create(kind, **SMALL[kind] | {"seed": 41})
    again.fit(inputs)
    another.fit(inputs)
    assert again.hash == fitted[kind].hash and not np.array_equal(again.score(inputs), another.score(inputs))


def test_families_are_not_split(fitted, inputs):
    training, validation = fitted["flow"].split(inputs)
    assert not set(inputs.parent[training]) & set(inputs.parent[validation])
    assert len(training) + len(validation) == len(inputs)
    assert 0.05 < len(validation) / len(inputs) < 0.15


def test_signals_are_more_anomalous(fitted, other):
    signal = read(defaults.SAMPLE / "Ato4l.h5", limit=600)
    for kind, one in fitted.items():
        figures, curves = compare.judge(one.score(other), {"s": one.score(signal)}, other.parent)
        assert figures["s"]["auc"][1] > 0.7 or kind == "discriminator", kind  # which has no time to learn here
        assert 0.95 < curves["s"][-1] <= 1 and curves["s"][0] is None, (
            kind
        )  # at an FPR of 1 some lie below all background


@pytest.mark.parametrize("kind", DENSE)
def test_onnx_gives_the_same_scores(fitted, kind, other, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    found = onnx_file.write(fitted[kind], path, other)
    assert found["events"] == len(other) and 0 <= found["largest_difference"] <= onnx_file.TOLERANCE
    x = standardised(other.codes)
    score = onnx_file.run(path, x)
    assert score.shape == (len(other),) and score.dtype == np.float32
    np.testing.assert_allclose(onnx_file.run(path, x[3:4]), score[3:4], rtol=1e-5, atol=1e-5)
    about = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    assert json.loads(about["ad40"])["hash"] == fitted[kind].hash
    with pytest.raises(InputError, match="off by"):
        onnx_file.check(fitted["autoencoder" if kind != "autoencoder" else "vae"], path, other)


@pytest.mark.parametrize("score", ["kl", "rz"])
def test_each_score_of_the_vae_has_its_file(fitted, score, other, inputs, tmp_path):
    pytest.importorskip("onnxruntime")
    one = model.create("vae", **SMALL["vae"], score=score)
    one.fit(inputs)
    onnx_file.write(one, tmp_path / "vae.onnx", other)


def test_trees_have_no_onnx_file(fitted, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(InputError, match="a network"):
        onnx_file.write(fitted["forest"], tmp_path / "forest.onnx")
    assert not list(tmp_path.iterdir())


def test_density_of_the_flow_is_that_of_its_map(fitted, other):
    """ln of the stretch is that of the determinant of the Jacobian, taken by TensorFlow."""
    import tensorflow as tf

    from offline.references.ops import TensorFlow

    flow = fitted["flow"]
    for layers in flow._nets:  # far from the identity that it starts at
        layers[-1].kernel.assign(np.random.default_rng(1).normal(0, 0.3, layers[-1].kernel.shape))
    x = tf.constant(flow.scaled(TensorFlow(), standardised(other.codes[:4])))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, stretch = flow.normal(TensorFlow(), x)
    jacobian = tape.batch_jacobian(z, x).numpy().astype(np.float64)
    np.testing.assert_allclose(stretch.numpy()[:, 0], np.linalg.slogdet(jacobian)[1], rtol=1e-3, atol=1e-3)
    assert np.abs(stretch.numpy()).min() > 0.5


def test_divergence_of_the_vae(fitted, other):
    from offline.references.ops import TensorFlow

    ops = TensorFlow()
    mean, log_variance, found = fitted["vae"]._latent(ops, fitted["vae"].scaled(ops, standardised(other.codes[:5])))
    m, v = mean.numpy().astype(float), np.exp(log_variance.numpy().astype(float))
    np.testing.assert_allclose(
        found.numpy()[:, 0], (0.5 * (m**2 + v - np.log(v) - 1)).sum(axis=1), rtol=1e-4, atol=1e-6
    )


def test_forest_and_neighbours_are_those_of_scikit_learn(fitted, inputs, other):
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=15, max_samples=200, random_state=40).fit(standardised(inputs.codes))
    wanted = -forest.score_samples(standardised(other.codes))
    np.testing.assert_allclose(fitted["forest"].score(other), wanted, rtol=1e-5)
    near = fitted["neighbours"]
    x = near._scaled(other.take(slice(0, 50))).astype(float)
    distance = np.sqrt(((x[:, None] - near.kept[None].astype(float)) ** 2).sum(axis=2))
    np.testing.assert_allclose(near.score(other)[:50], np.sort(distance)[:, :5].mean(axis=1), rtol=1e-3)


def test_contrastive_loss_against_numbers_worked_out_by_hand(fitted, other):
    from offline.references.ops import TensorFlow

    one, ops, random = fitted["contrastive"], TensorFlow(), np.random.default_rng(3)
    batch = one.batch(standardised(other.codes), np.arange(6), random)
    z, near, bad = (one._direction(ops, one._embedding(ops, x)).numpy().astype(float) for x in batch)
    x = one._embedding(ops, batch[0])
    extra = one._error(ops, x).numpy()[:, 0] / (x.numpy().var(axis=0).mean() + 1e-9)
    tau, wanted = one.settings.temperature, []
    for i in range(6):
        others = [z[i] @ some[j] / tau for some in (z, near) for j in range(6) if j != i]
        wanted.append(np.log(np.exp(others).sum()) - (z[i] @ near[i] - z[i] @ bad[i]) / tau)
    np.testing.assert_allclose(one.loss(ops, *batch).numpy(), np.array(wanted) + extra, rtol=1e-3)


def test_embedding(fitted, other):
    found = fitted["contrastive"].embed(other)
    assert found.shape == (len(other), 4) and found.dtype == np.float32 and np.ptp(found, axis=0).min() > 0
    np.testing.assert_allclose(fitted["contrastive"].embed(other.take(slice(5, 6)))[0], found[5], rtol=1e-3, atol=1e-4)
    assert fitted["contrastive"].embed(other.take(slice(0, 0))).shape == (0, 4)
    with pytest.raises(InputError, match="not fitted"):
        model.create("contrastive").embed(other)


def test_views_are_the_same_event(other):
    x = standardised(other.codes)
    np.testing.assert_allclose(augment.inputs_of(augment.events_of(x)), x, atol=1e-5)
    seen = augment.view(x, np.random.default_rng(1))
    before, after = augment.events_of(x), augment.events_of(seen)
    here = before[..., 0] > 0
    assert (here == (after[..., 0] > 0)).all(), "no object comes or goes"
    np.testing.assert_allclose(after[:, 0, 0], before[:, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(after[:, 1:9, 0], before[:, 1:9, 0], rtol=1e-4)
    assert (np.diff(after[:, 9:, 0], axis=1) <= 1e-3).all(), "jets in order of pt"
    jets = here[:, 9:]
    ratio = after[:, 9:, 0].sum(axis=1)[jets.any(axis=1)] / before[:, 9:, 0].sum(axis=1)[jets.any(axis=1)]
    assert 0.1 < ratio.std() < 0.5 and abs(ratio.mean() - 1) < 0.1
    without = ~here[:, 0]
    if without.any():
        turned = (after - before)[without][:, 1:9, 2][here[without][:, 1:9]]
        assert np.abs(turned).max() > 0.5


def test_anomalies_are_another_event(other):
    x = standardised(other.codes)
    before = augment.events_of(x)
    after = augment.events_of(augment.anomaly(x, np.random.default_rng(2)))
    more = (after[..., 0] > 0).sum(axis=1) - (before[..., 0] > 0).sum(axis=1)
    assert (more >= 0).all() and (more > 0).mean() > 0.4
    total = after[:, 1:, 0].sum(axis=1) / before[:, 1:, 0].sum(axis=1)
    kept = (np.abs(total - 1) < 1e-3) & (more > 0)
    assert 0.15 < kept.mean() < 0.45, "a third with more objects and the same sum of pt"
    assert total.max() < 50 and (total > 1.5).mean() > 0.2
    for slots in (slice(1, 5), slice(5, 9), slice(9, 19)):
        assert (np.diff(after[:, slots, 0], axis=1) <= 1e-2).all()


def test_scores_on_one_scale():
    random = np.random.default_rng(5)
    background = random.exponential(1.0, 50_000)
    scale = significance.learn(background)
    other = random.exponential(1.0, 50_000)
    for p in (0.5, 0.1, 0.01, 0.001):
        assert (scale(other) > -np.log10(p)).mean() == pytest.approx(p, rel=0.2)
    beyond = scale(np.array([12.0, 20.0, 40.0]))
    np.testing.assert_allclose(beyond, np.array([12.0, 20.0, 40.0]) / np.log(10), rtol=0.15)
    assert (np.diff(scale(np.linspace(-5, 30, 200))) > 0).all()
    both = significance.together({"a": other, "b": 3 * other}, {"a": scale, "b": significance.learn(3 * background)})
    np.testing.assert_allclose(both, scale(other), rtol=1e-6)
    for bad in (np.zeros(1000), background[:50]):
        with pytest.raises(InputError, match="scale"):
            significance.learn(bad)


def test_events_that_were_learnt_from(fitted, inputs):
    one = fitted["forest"]
    one.training |= {"file_sha256": file_hash(BACKGROUND), "part": "train"}
    everything = read(BACKGROUND)
    rows = compare.learnt_from(one, everything, file_hash(BACKGROUND))
    assert np.array_equal(everything.codes[rows], inputs.codes) and not len(compare.learnt_from(one, everything, "0"))


def test_bad_use_is_refused(fitted, inputs, tmp_path):
    with pytest.raises(InputError, match="one of autoencoder"):
        model.create("nothing")
    with pytest.raises(InputError, match="latent is 0"):
        model.create("vae", latent=0)
    with pytest.raises(InputError, match="one of elbo"):
        model.create("vae", score="mse")
    with pytest.raises(InputError, match="not fitted"):
        model.create("flow").score(inputs)
    with pytest.raises(InputError, match="events to learn from"):
        model.create("forest").fit(inputs.take(slice(0, 0)))
    with pytest.raises(InputError, match="hard processes"):
        model.create("flow").fit(inputs.take(slice(0, 1)))
    with pytest.raises(InputError, match="independent events"):
        model.create("neighbours").fit(inputs.take(slice(0, 3)))
    model.save(fitted["vae"], tmp_path / "vae")
    card = tmp_path / "vae" / "reference.yaml"
    card.write_text(card.read_text().replace("score: elbo", "score: rz"))
    with pytest.raises(HashMismatch):
        model.load(tmp_path / "vae")
    model.save(fitted["forest"], tmp_path / "all", {"file_sha256": file_hash(BACKGROUND), "part": "all"})
    args = argparse.Namespace(models=[tmp_path / "all"], sample=defaults.SAMPLE, trigger=[], events=None,
                              output=tmp_path / "out")  # fmt: skip
    with pytest.raises(InputError, match="learnt from by all"):
        run_compare(args)


def test_hash_of_codes_is_that_of_their_values(inputs):
    assert objects.codes_hash(inputs.codes) == objects.codes_hash(inputs.codes.astype(np.int64))
    assert objects.codes_hash(inputs.codes[:5]) != objects.codes_hash(inputs.codes[:6])
