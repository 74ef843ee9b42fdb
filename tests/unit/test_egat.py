"""Graph attention against a plain reference, and Deep SVDD that does not collapse."""

import numpy as np
import pytest

from ad40.errors import Ad40Error
from ad40.metrics import auc
from offline.jets.graphs import radius_graph
from offline.jets.model import create
from offline.jets.nodes import dilated, nodes, relative_mass
from tests.toy_jets import toy_jets

pytest.importorskip("tensorflow")

from offline.jets.egat import SLOPE, EdgeAttention, segment_softmax
from offline.jets.svdd import COLLAPSED, EgatSVDD, SVDDSettings

SMALL = {"constituents": 12, "layers": 1, "width": 4, "epochs": 6, "batch": 64, "learning_rate": 0.01}


def leaky(x):
    return np.where(x > 0, x, SLOPE * x)


def brute_force(layer, h, e, source, to):
    """The equations of the module, node by node, edge by edge, head by head, in float64."""
    w = {name: v.numpy().astype(np.float64) for name, v in layer.named.items()}
    width = layer.width
    nodes_out = np.zeros((len(h), layer.heads * width))
    edges_out = np.zeros((len(source), layer.heads * width))
    for head in range(layer.heads):
        part = slice(head * width, (head + 1) * width)
        for k in range(len(source)):
            i, j = to[k], source[k]
            edges_out[k, part] = leaky(
                h[i] @ w["to"][:, part] + e[k] @ w["edge"][:, part] + h[j] @ w["source"][:, part]
            )
        for i in range(len(h)):
            arriving = [k for k in range(len(source)) if to[k] == i]
            total = np.zeros(width)
            if arriving:
                logits = np.array([w["attention"][head] @ edges_out[k, part] for k in arriving])
                alpha = np.exp(logits) / np.exp(logits).sum()
                for a, k in zip(alpha, arriving, strict=True):
                    total += a * (h[source[k]] @ w["node"][:, part] + edges_out[k, part])
            nodes_out[i, part] = leaky(h[i] @ w["keep"][:, part] + total)
    return nodes_out, edges_out


@pytest.mark.parametrize(("heads", "width", "edges"), [(1, 3, 1), (2, 4, 5)])
def test_attention_is_what_the_equations_say(heads, width, edges):
    random = np.random.default_rng(3)
    # three graphs: one of seven nodes, a single node, one without any edge
    offsets = np.array([0, 7, 8, 10])
    eta, phi = random.normal(0, 0.12, 10), random.normal(0, 0.12, 10)
    eta[8:] = (-2, 2)
    source, to, _ = radius_graph(offsets, eta, phi, 0.2)
    assert len(source) > 6 and set(to) <= set(range(7))
    h, e = random.normal(size=(10, 3)), random.normal(size=(len(source), edges))
    layer = EdgeAttention(3, edges, heads, width, iter(range(10)))
    for v in layer.weights:
        v.assign(random.normal(size=v.shape))
    got = layer(*(np.float32(a) for a in (h, e)), source, to)
    wanted = brute_force(layer, h, e, source, to)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=2e-5, atol=2e-5)
    assert np.ptp(wanted[0]) > 1  # the comparison is not of zeros


def test_softmax_of_segments_does_not_overflow():
    x = np.array([[1000.0], [1001.0], [-1000.0]], np.float32)
    got = np.asarray(segment_softmax(x, np.array([0, 0, 2]), 3))
    np.testing.assert_allclose(got[:, 0], [1 / (1 + np.e), np.e / (1 + np.e), 1], rtol=1e-6)


@pytest.fixture(scope="module")
def trained():
    model = create("egat", **SMALL)
    model.fit(toy_jets(150, seed=4))
    return model


def test_jets_of_a_batch_do_not_touch_each_other(trained):
    jets = toy_jets(10, 3, seed=5)
    together = trained.score(jets)
    alone = np.concatenate([trained.score(jets.take(slice(i, i + 1))) for i in range(6)])
    np.testing.assert_allclose(together[:6], alone, rtol=1e-4, atol=1e-4)
    assert np.ptp(together) > 0.1


def test_training_does_not_collapse(trained):
    assert all("bias" not in v.path and len(v.shape) != 1 for v in trained.net.weights)
    assert trained.history[-1]["spread"] > 100 * COLLAPSED
    test = toy_jets(120, 60, seed=6)
    outputs = trained.outputs(trained.prepare(test), np.arange(len(test)))
    assert (outputs.std(axis=0) > 1e-3 * np.abs(trained.centre)).all()
    score = trained.score(test)
    assert auc(score[test.label == 0], score[test.label == 1])[1] > 0.75


def test_without_outliers_it_is_deep_svdd_as_published():
    model = create("egat", **SMALL | {"epochs": 2, "exposure": 0.0, "augment": 0.0})
    jets = toy_jets(40, seed=4)
    model.fit(jets)
    inputs = model.prepare(jets)
    outputs = model.outputs(inputs, np.arange(len(jets)))
    squared = np.sum((outputs - model.centre) ** 2, axis=1)
    loss, score = model.evaluate(*model.batch(inputs, np.arange(len(jets)), None), training=True)
    np.testing.assert_allclose(loss, squared, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score, np.log(squared + 1e-12), rtol=1e-3, atol=1e-3)
    assert model.history[-1]["spread"] > 100 * COLLAPSED


def test_a_collapse_is_noticed():
    class Collapsing(EgatSVDD):
        def embed(self, *batch):
            outputs = super().embed(*batch)
            return outputs if not hasattr(self, "first_spread") else outputs * 0 + 1.0

    with pytest.raises(Ad40Error, match="collapsed"):
        Collapsing(SVDDSettings(**SMALL)).fit(toy_jets(30, seed=4))


def test_dilation_changes_the_mass_by_its_factor():
    jets = toy_jets(50, 25, seed=7)
    found = nodes(jets, 1000)
    # for narrow jets the sum over constituents is the mass over pt
    np.testing.assert_allclose(relative_mass(found), jets.column("mass") / jets.column("pt"), rtol=0.1)
    factor = np.linspace(0.5, 2, len(jets))
    np.testing.assert_allclose(relative_mass(dilated(found, factor)), factor * relative_mass(found), rtol=1e-4)
    assert (dilated(found, factor).values[:, 0] == found.values[:, 0]).all()
