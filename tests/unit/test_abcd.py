"""Counts in four regions, their closure, the double autoencoder, and the verb on the shipped sample."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import kstest

from ad40 import cli, defaults
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.model import read_trigger
from offline.abcd import double, estimate_step, pair_step
from offline.abcd.closure import Sample, contamination, corner_table, cut_grid, cuts_of_corner, row_of, systematic_of
from offline.abcd.counts import count, region_of, significance
from offline.abcd.flat import flat
from offline.autoencoder.networks import keras
from offline.jets.decorrelate import distance_correlation
from offline.report.page import Picture, Section, Table
from offline.report.sections import Run

SAMPLE = defaults.BACKGROUND
FOLDER = SAMPLE.parent
RNG = np.random.default_rng(8)


def tensorflow():
    """TensorFlow as `offline` sets it up: imported by itself it would choose a Keras that others cannot use."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed (offline extra)")
    keras()
    return importlib.import_module("tensorflow")


def independent(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1.0, (n, 2))


def test_regions_and_counts_by_hand():
    score = np.array([[2, 2], [2, 0], [0, 2], [0, 0], [1, 1], [0, 1]])
    assert region_of(score, (1, 1)).tolist() == [0, 1, 2, 3, 0, 2]  # a score passes when it reaches the cut
    counts = count(score, (1, 1))
    assert counts.n.tolist() == [2, 1, 2, 1] and np.array_equal(counts.covariance, np.diag([2, 1, 2, 1]))
    assert counts.estimate == pytest.approx((2.0, 2 * math.sqrt(1 + 1 / 2 + 1)))
    assert counts.ratio == pytest.approx((1.0, math.sqrt(1 / 2 + 1 + 1 / 2 + 1)))
    weighted = count(score, (1, 1), weights=np.array([1, 2, 1, 3, 1, 0.5]))
    assert weighted.n.tolist() == [2, 2, 1.5, 3] and np.diag(weighted.covariance).tolist() == [2, 4, 1.25, 9]
    assert counts.efficiencies == pytest.approx((0.5, 4 / 6, 2 / 6))


def test_families_widen_what_they_share():
    score = independent(3000, 1)
    cuts = (1.5, 1.5)
    alone = count(score, cuts)
    copies = count(np.repeat(score, 4, axis=0), cuts, np.repeat(np.arange(3000), 4))
    assert copies.estimate[0] == pytest.approx(4 * alone.estimate[0])
    assert copies.estimate[1] / copies.estimate[0] == pytest.approx(alone.estimate[1] / alone.estimate[0])
    assert copies.ratio[1] == pytest.approx(alone.ratio[1])
    assert count(score, cuts, np.arange(3000)).estimate == pytest.approx(alone.estimate)


def test_estimate_of_independent_scores_is_right_and_its_uncertainty_too():
    """Pulls of 400 samples whose events come in families of 1 to 3, with the same regions in a family half of the time."""
    pulls = []
    for seed in range(400):
        rng = np.random.default_rng([seed, 5])
        parent = np.repeat(np.arange(1500), rng.integers(1, 4, 1500))
        score = rng.exponential(1.0, (len(parent), 2))
        same = rng.random(len(parent)) < 0.5
        score[same] = np.random.default_rng([seed, 6]).exponential(1.0, (1500, 2))[parent[same]]
        ratio, error = count(score, (1.2, 1.0), parent).ratio
        pulls.append((ratio - 1) / error)
    assert kstest(pulls, "norm").pvalue > 0.01
    assert abs(np.mean(pulls)) < 0.15 and np.std(pulls) == pytest.approx(1, abs=0.1)


def test_empty_regions_are_refused():
    counts = count(np.array([[2.0, 2.0], [2.0, 0.0]]), (1, 1))
    with pytest.raises(InputError, match="C, D"):
        _ = counts.estimate
    with pytest.raises(InputError, match="events in A"):
        _ = count(np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), (1, 1)).ratio
    assert not counts.usable


def test_significance_is_that_of_the_profile_likelihood():
    """Of a count n and a control region m that is Poisson of tau b, b fitted with the signal at zero."""
    n, b, error = 160.0, 100.0, 12.0
    tau, m = b / error**2, b * b / error**2

    def minus_log(x: float) -> float:
        return x - n * math.log(x) + tau * x - m * math.log(tau * x)

    fitted = minimize_scalar(minus_log, bounds=(50, 300), method="bounded", options={"xatol": 1e-10}).fun
    best = n - n * math.log(n) + m - m * math.log(m)
    assert significance(n, b, error) == pytest.approx(math.sqrt(2 * (fitted - best)), rel=1e-5)
    assert significance(160, 100, 0) == pytest.approx(math.sqrt(2 * (160 * math.log(1.6) - 60)))
    assert significance(160, 100, 1e-4) == pytest.approx(significance(160, 100, 0), rel=1e-4)
    assert significance(80, 100, 12) < 0 == significance(100, 100, 12)
    with pytest.raises(InputError):
        significance(10, 0, 1)


def test_cuts_keep_the_corner_that_is_asked_for():
    score = independent(40_000, 3)
    for share, tilt in ((0.01, 1.0), (0.02, 2.0), (0.005, 0.5)):
        cuts = cuts_of_corner(score, share, tilt)
        counts = count(score, cuts)
        first, second, corner = counts.efficiencies
        assert share <= corner < 1.02 * share
        assert first / second == pytest.approx(tilt, rel=0.01)
    integers = (10 * score).astype(int)
    assert count(integers, cuts_of_corner(integers, 0.02, 1.0)).efficiencies[2] >= 0.02
    with pytest.raises(InputError, match="eps_B"):
        cuts_of_corner(np.stack([score[:, 0], -score[:, 0]], axis=1), 0.6, 2.0)


def test_closure_sees_a_dependence_and_its_systematic_uncertainty_covers_it():
    test, validation = Sample(independent(60_000, 4)), Sample(independent(20_000, 5))
    rows = corner_table(test, validation)
    assert len(rows) == 15 and all(abs(row.pull) < 3.5 for row in rows)
    assert all(row.within for row in rows if row.wanted >= 0.02)
    grid = cut_grid(test, validation, (0.05, 0.1))
    assert [round(row.tilt, 3) for row in grid] == [1.0, 0.5, 2.0, 1.0]

    def linked(n: int, seed: int) -> Sample:
        x = independent(n, seed)
        x[:, 1] += 0.5 * x[:, 0]
        return Sample(x)

    row = row_of(0.02, 1.0, cuts_of_corner(linked(20_000, 6).score, 0.02, 1.0), linked(60_000, 7), linked(20_000, 6))
    assert row.ratio[0] < 0.8 and not row.within and row.systematic > 0.2 and abs(row.pull) < 2
    counts = test.counts((2.0, 2.0))
    ratio, error = counts.ratio
    assert systematic_of(counts) == pytest.approx(max(abs(1 / ratio - 1), error / ratio**2))


def test_signal_in_the_control_regions_hides_itself():
    test = Sample(independent(50_000, 9))
    corner, spread = np.full((1000, 2), 9.0), np.array([[9.0, 0.0]] * 500 + [[9.0, 9.0]] * 500)
    rows = contamination(test, {"corner": corner, "spread": spread}, (2.3, 2.3), 0.02, (0.001, 0.01))
    assert [r["signal"] for r in rows] == ["corner", "corner", "spread", "spread"]
    assert rows[0]["bias_in_signal"] == pytest.approx(0, abs=1e-9) and rows[0]["shares"] == [1, 0, 0, 0]
    assert rows[2]["bias_in_signal"] > 0.05  # signal in B raises the estimate by N_C / N_D of it
    assert rows[1]["significance"] > rows[3]["significance"] > rows[2]["significance"] > 0
    assert rows[1]["statistical"] >= rows[1]["significance"]


def test_distance_correlation_is_that_of_numpy_and_weights_are_copies():
    tf = tensorflow()
    x, y = RNG.standard_normal((2, 200)).astype(np.float32)
    y += 0.5 * x**2
    found = float(double.distance_correlation(tf.constant(x), tf.constant(y), tf.ones(200)))
    assert found == pytest.approx(distance_correlation(x.astype(float), y.astype(float)) ** 2, rel=1e-3)
    weights = RNG.integers(1, 4, 200)
    copied = float(double.distance_correlation(*(tf.constant(np.repeat(v, weights)) for v in (x, y)),
                                               tf.ones(int(weights.sum()))))  # fmt: skip
    assert float(double.distance_correlation(x, y, tf.constant(weights, tf.float32))) == pytest.approx(copied, rel=1e-3)


def test_closure_term_is_of_the_tails():
    tf = tensorflow()
    score = np.log(independent(20_000, 10)).astype(np.float32)
    free = float(double.joint_efficiencies(tf.constant(score), tf.ones(len(score))))
    tail = score.copy()
    both = score[:, 0] > np.quantile(score[:, 0], 0.95)
    tail[both, 1] = np.sort(score[:, 1])[-both.sum() :]
    assert free < 1e-3
    assert float(double.joint_efficiencies(tf.constant(tail), tf.ones(len(score)))) > 20 * free


def toy(n: int, seed: int) -> np.ndarray:
    """57 inputs of one size that scales them all: errors of any two autoencoders follow it."""
    rng = np.random.default_rng(seed)
    size = rng.exponential(1.0, (n, 1))
    return (size * rng.standard_normal((n, 57))).astype(np.float32)


def test_training_makes_errors_independent_is_reproducible_and_kept(tmp_path):
    tensorflow()
    settings = {"hidden": (16, 4), "epochs": 6, "batch": 1000, "learning_rate": 0.01, "seed": 3}
    train, held, test = toy(6000, 1), toy(2000, 2), toy(6000, 3)
    models = {}
    apart = {"closure": 3e4}
    for name, more in (("plain", {"alpha": 0.0, "closure": 0.0}), ("apart", apart), ("again", apart)):
        models[name] = double.DoubleAutoencoder(double.DoubleSettings(**settings, **more))
        models[name].fit(train, held)
    assert models["apart"].hash == models["again"].hash != models["plain"].hash
    scores = {name: model.score(test) for name, model in models.items()}
    ratio = {n: count(s, cuts_of_corner(s, 0.05, 1.0)).ratio[0] for n, s in scores.items()}
    assert ratio["plain"] < 0.5, "nothing keeps them apart"
    assert ratio["plain"] + 0.2 < ratio["apart"] < 1.5
    before = models["apart"].hash
    models["apart"].flatten(toy(3000, 4))
    card = double.save(models["apart"], tmp_path / "model", {"file": "toy"})
    loaded = double.load(tmp_path / "model")
    assert card["hash"] == loaded.hash != before
    assert np.array_equal(loaded.score(test), models["apart"].score(test))
    flattened = count(loaded.score(test), cuts_of_corner(loaded.score(test), 0.05, 1.0)).ratio[0]
    assert abs(flattened - 1) < 0.5 * abs(ratio["apart"] - 1)
    with h5py.File(tmp_path / "model" / double.WEIGHTS, "a") as file:
        file["scale"][0] += 1
    with pytest.raises(HashMismatch):
        double.load(tmp_path / "model")
    with pytest.raises(InputError, match="not fitted"):
        double.DoubleAutoencoder().score(test)


@pytest.mark.parametrize("wrong", [{"alpha": -1}, {"hidden": ()}, {"batch": 1}, {"learning_rate": 0}, {"epochs": True}])
def test_settings_are_checked(wrong):
    with pytest.raises(InputError):
        double.DoubleSettings(**wrong)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    tensorflow()
    folder = tmp_path_factory.mktemp("abcd") / "double"
    arguments = ["abcd", "train", str(SAMPLE), "--output", str(folder), "--events", "20000", "--set", "epochs=2"]
    more = ["--set", "hidden=16,4", "--set", "batch=1000", "--weights", "cross-section"]
    assert cli.main([*arguments, *more, "--json", str(folder.parent / "train.json")]) == 0
    assert json.loads((folder.parent / "train.json").read_text())["training"]["weights"] == "cross-section"
    return folder


def test_close_and_estimate_on_the_shipped_sample(trained, tmp_path):
    run = tmp_path / "run"
    signals = [str(FOLDER / f"{name}.h5") for name in ("Ato4l", "leptoquark")]
    arguments = ["abcd", "close", str(trained), "--background", str(SAMPLE), "--output", str(run / "abcd")]
    arguments += ["--corner", "0.03", "--signals", *signals]
    assert cli.main([*arguments, "--json", str(tmp_path / "close.json")]) == 0
    summary = json.loads((run / "abcd" / "abcd.json").read_text())
    assert json.loads((tmp_path / "close.json").read_text())["verdict"] == summary["verdict"]
    assert summary["working_point"]["efficiencies"][2] == pytest.approx(0.03, rel=0.2)
    assert sum(summary["working_point"]["counts"]["events"].values()) == summary["events"]["test"]
    assert {p["process"] for p in summary["processes"]} >= {"W", "QCD"} and len(summary["contamination"]) == 8
    for entry in summary["plots"]:
        assert (run / "abcd" / entry["file"]).is_file() and (run / "abcd" / entry["data"]).is_file()
    assert "N_B N_C / N_D" in (run / "abcd" / "abcd.html").read_text()

    from offline.report import abcd

    section = Section("Background estimate")
    abcd.fill(section, Run(run, FOLDER), summary)
    assert not section.missing
    assert sum(isinstance(b, Picture) for b in section.blocks) == len(summary["plots"])
    assert sum(isinstance(b, Table) for b in section.blocks) >= 5

    output = tmp_path / "estimate"
    arguments = ["abcd", "estimate", str(trained), "--closure", str(run / "abcd"), "--output", str(output)]
    assert cli.main([*arguments, "--data", str(FOLDER / "Ato4l.h5")]) == 0
    found = json.loads((output / estimate_step.SUMMARY).read_text())
    assert found["observed"] == found["events"]["A"] and found["statistical"] > 0
    assert cli.main(["abcd", "estimate", str(trained), "--closure", str(tmp_path), "--output", str(output), "--data",
                     str(SAMPLE)]) == 2  # fmt: skip


def test_what_was_learnt_from_is_no_test(tmp_path, capsys):
    tensorflow()
    folder = tmp_path / "all"
    arguments = ["abcd", "train", str(SAMPLE), "--part", "all", "--events", "2000", "--output", str(folder)]
    assert cli.main([*arguments, "--set", "epochs=1", "--set", "hidden=4", "--set", "batch=500"]) == 0
    arguments = ["abcd", "close", str(folder), "--background", str(SAMPLE), "--output", str(tmp_path / "x")]
    assert cli.main(arguments) == 2
    assert "learnt from 'all'" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert cli.main([*arguments, "--corner", "1.5"]) == 2
    assert cli.main(["abcd", "train", str(SAMPLE), "--output", str(folder), "--set", "depth=3"]) == 2
    assert "NAME one of" in capsys.readouterr().err


def test_pair_has_one_menu_and_its_prescaled_record_gives_the_same_estimate(tmp_path):
    """Released models stand for the pair: they are not decorrelated, which the closure says."""
    output = tmp_path / "pair"
    models = ["ad40_small", "ad40_v1"]
    arguments = ["abcd", "pair", *models, "--background", str(SAMPLE), "--output", str(output), "--no-cost"]
    assert cli.main([*arguments, "--corner", "0.02", "--prescale", "10"]) == 0
    summary = json.loads((output / "abcd.json").read_text())
    trigger = read_trigger(models, output / "menu.yaml")
    cuts = summary["working_point"]["cuts"]
    assert [(s.name, s.model, s.threshold) for s in trigger.menu.seeds] == [
        ("ABCD_Rest", "ad40_small", 0), ("ABCD_ad40_small", "ad40_small", cuts[0]), ("ABCD_ad40_v1", "ad40_v1", cuts[1]),
    ]  # fmt: skip
    assert summary["working_point"]["ratio"][0] < 0.9 and summary["pair"]["menu_hash"] == trigger.menu.hash
    kept = tmp_path / "kept.h5"
    arguments = ["trigger", str(SAMPLE), "--model", *models, "--menu", str(output / "menu.yaml"), "--output", str(kept)]
    assert cli.main(arguments) == 0
    found = {}
    for name, file, prescale in (("all", SAMPLE, "1"), ("kept", kept, "10")):
        arguments = ["abcd", "estimate", *models, "--closure", str(output), "--data", str(file), "--prescale", prescale]
        assert cli.main([*arguments, "--output", str(tmp_path / name)]) == 0
        found[name] = json.loads((tmp_path / name / "estimate.json").read_text())
    assert [found["all"]["events"][r] for r in "ABC"] == [found["kept"]["events"][r] for r in "ABC"]
    assert found["kept"]["events"]["D"] == pytest.approx(found["all"]["events"]["D"] / 10, rel=0.05)
    assert found["kept"]["estimate"] == pytest.approx(found["all"]["estimate"], abs=5 * found["kept"]["statistical"])


def test_models_and_closure_that_do_not_belong_together(tmp_path):
    assert cli.main(["abcd", "close", "ad40_small", "--background", str(SAMPLE), "--output", str(tmp_path / "x")]) == 2
    closure = tmp_path / "closure"
    closure.mkdir()
    document = {"hash": "other", "working_point": {"cuts": [1, 1], "systematic": 0}}
    (closure / "abcd.json").write_text(json.dumps(document))
    arguments = ["abcd", "estimate", "ad40_small", "ad40_v1", "--closure", str(closure), "--data", str(SAMPLE)]
    with pytest.raises(HashMismatch):
        from argparse import Namespace

        estimate_step.run(Namespace(models=arguments[2:4], closure=closure, data=Path(SAMPLE), prescale=1.0,
                                    output=tmp_path / "y"))  # fmt: skip
    assert cli.main([*arguments, "--output", str(tmp_path / "y"), "--prescale", "0.5"]) == 2
    with pytest.raises((InputError, SpecError)):
        pair_step.run(Namespace(models=["ad40_small", "ad40_v1"], corner=0.01, prescale=1.001, background=SAMPLE))


def test_flat_second_score_knows_nothing_of_the_first():
    """Scores of which the second follows the first; the map learns it from one half, with weights, and holds on the
    other."""
    rng = np.random.default_rng(12)
    first = rng.exponential(1.0, 60_000)
    score = np.stack([first, rng.normal(0.5 * first, 1 + 0.2 * first)], axis=1).astype(np.float32)
    learnt, test = score[:30_000], score[30_000:]
    cuts = cuts_of_corner(test, 0.02, 1.0)
    assert count(test, cuts).ratio[0] < 0.6
    for weights in (None, rng.integers(1, 3, 30_000).astype(np.float32)):
        found = flat(learnt, 30, weights)(test)
        assert np.array_equal(found[:, 0], test[:, 0]) and found.dtype == np.float32
        ratio, error = count(found, cuts_of_corner(found, 0.02, 1.0)).ratio
        assert abs(ratio - 1) < 3 * error
        assert (found[:, 1] > 1).mean() == pytest.approx(0.1, rel=0.1), "-log10 of a p-value"
    curves = flat(learnt, 30)
    assert (np.diff(curves.centre) >= 0).all() and (np.diff(curves.knots, axis=1) >= 0).all()
    rising = np.stack([np.full(50, 1.0), np.linspace(-9, 30, 50)], axis=1).astype(np.float32)
    assert (np.diff(curves(rising)[:, 1]) > 0).all(), "order is kept beyond what was seen, too"
    assert len(flat(learnt[:450], 30).centre) == 2
    with pytest.raises(InputError, match="at least"):
        flat(learnt[:300], 30)
