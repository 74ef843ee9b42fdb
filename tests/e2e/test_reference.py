"""`ad40 reference`: train, score, compare, export; and a student of the trigger that learns from such a score."""

from __future__ import annotations

import importlib.util
import json

import h5py
import numpy as np
import pytest

from ad40 import defaults
from ad40.cli import main
from ad40.errors import HashMismatch, InputError
from ad40.files import read_yaml, write_yaml
from ad40.split import TRAIN, VALIDATION

pytest.importorskip("sklearn")
BACKGROUND = str(defaults.SAMPLE / "background.h5")
CARD = defaults.SAMPLE.parents[1] / "models" / "ad40_small" / "model.yaml"
EVENTS = 2000  # of background for the student


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two references, and the scores of one and of both for the events of a student."""
    found = tmp_path_factory.mktemp("reference")
    for name, settings in (("forest", ["trees=20", "sample=256"]), ("neighbours", ["events=1000"])):
        sets = [part for text in settings for part in ("--set", text)]
        argv = ["reference", "train", name, BACKGROUND, "--events", "4000", "--output", str(found / name), *sets]
        assert main([*argv, "--json", str(found / f"{name}.json")]) == 0
    document = read_yaml(CARD)
    document["training"] |= {"loss": "distil", "teacher": str(found / "one.h5"), "families": ["extra leptons"]}
    write_yaml(found / "card.yaml", document)
    from training.teach import scored

    scored.main([str(found / "card.yaml"), "--events", str(EVENTS), "--output", str(found / "events.h5")])
    score = ["reference", "score", str(found / "forest")]
    assert main([*score, str(found / "events.h5"), "--output", str(found / "one.h5")]) == 0
    assert main([*score, str(found / "neighbours"), str(found / "events.h5"), "--background", BACKGROUND,
                 "--output", str(found / "both.h5"), "--json", str(found / "both.json")]) == 0  # fmt: skip
    return found


def test_card_and_score_files(folder):
    card = json.loads((folder / "forest.json").read_text())
    assert card["training"]["events"] == 4000 and card["training"]["part"] == "train" and card["kind"] == "forest"
    summary = json.loads((folder / "both.json").read_text())
    assert summary["model"] == "ensemble" and set(summary["models"]) == {"forest", "neighbours"}
    with h5py.File(folder / "both.h5") as both, h5py.File(folder / "one.h5") as one:
        assert np.array_equal(both["models/forest"][:], one["score"][:]), "every score beside their mean"
        score, parts = both["score"][:], [both[f"models/{name}"][:] for name in ("forest", "neighbours")]
        assert score.min() > -2 and score.max() < 60 and not both["training"][:].any()
    for part in parts:
        rank = [np.argsort(np.argsort(x)) for x in (part, score)]
        assert np.corrcoef(*rank)[0, 1] > 0.6


def test_events_that_a_model_learnt_from_are_marked(folder, tmp_path):
    out = tmp_path / "scores.h5"
    assert main(["reference", "score", str(folder / "forest"), BACKGROUND, "--output", str(out)]) == 0
    with h5py.File(out) as file:
        assert file["training"][:].sum() == 4000 and len(np.unique(file["score"][:])) > 1000


def test_student_is_told_what_the_file_says(folder):
    from models.card import read_card
    from training.datasets import load_background
    from training.teach import distil, scored

    card, sample = read_card(folder / "card.yaml"), load_background(defaults.SAMPLE, EVENTS)
    with h5py.File(folder / "one.h5") as file:
        score = file["score"][:]
    found = {part: scored.targets(card, sample, part) for part in (TRAIN, VALIDATION)}
    n = len(found[TRAIN][0])
    assert n + len(found[VALIDATION][0]) == len(score)
    for part, raw in ((TRAIN, score[:n]), (VALIDATION, score[n:])):
        codes, target, weight = found[part]
        assert np.array_equal(codes, distil.events(card, sample, part))
        assert target.shape == (len(codes),) and weight.shape == (len(codes), len(distil.EDGES))
        assert (np.diff(target[np.argsort(raw)]) >= 0).all() and target.min() >= 0 and target.max() <= distil.TOP
        assert weight.mean(axis=0) == pytest.approx(1, rel=1e-3) and np.isfinite(weight).all()
        assert (weight[np.argmin(target)] >= weight[np.argmax(target)]).all()
    clean = found[VALIDATION][1][: len(sample.rows(VALIDATION))]
    assert (clean > 1).mean() == pytest.approx(0.1, abs=0.02), "-log10 of the background's p-value"
    with pytest.raises(HashMismatch, match=r"training\.teach\.scored"):
        scored.targets(card, load_background(defaults.SAMPLE, EVENTS + 100), TRAIN)


def test_bad_teachers_are_refused(folder, tmp_path):
    from models.card import parse_card
    from training.datasets import load_background
    from training.teach import scored

    sample = load_background(defaults.SAMPLE, EVENTS)
    document = read_yaml(folder / "card.yaml")
    with h5py.File(folder / "one.h5") as file, h5py.File(tmp_path / "flat.h5", "w") as flat:
        flat["score"], flat.attrs["codes_sha256"] = np.zeros_like(file["score"][:]), file.attrs["codes_sha256"]
    for name, expected in (("flat.h5", "nearly constant"), ("none.h5", "none.h5")):
        document["training"]["teacher"] = str(tmp_path / name)
        with pytest.raises(InputError, match=expected):
            scored.targets(parse_card(document, "card"), sample, TRAIN)
    document["training"]["teacher"] = BACKGROUND
    with pytest.raises(InputError, match="ad40 reference score"):
        scored.targets(parse_card(document, "card"), sample, TRAIN)


def test_a_student_of_a_reference(folder):
    if importlib.util.find_spec("qkeras") is None:
        pytest.skip("QKeras is not installed (training extra)")
    out = folder / "student"
    argv = ["train", str(folder / "card.yaml"), "--events", str(EVENTS), "--epochs", "3", "--output", str(out)]
    assert main([*argv, "--json", str(folder / "student.json")]) == 0
    history = json.loads((out / "history.json").read_text())["history"]
    assert history[-1]["loss"] < history[0]["loss"]
    assert (out / "network.json").is_file() and (out / "golden.npz").is_file()
    assert read_yaml(out / "model.yaml")["training"]["teacher"].endswith("one.h5")


def test_compare_and_its_page(folder, tmp_path):
    pytest.importorskip("matplotlib")
    out, models = tmp_path / "reference", [str(folder / name) for name in ("forest", "neighbours")]
    argv = ["reference", "compare", *models, "--trigger", "ad40_small", "--events", "1000", "--output", str(out)]
    assert main(argv) == 0
    document = json.loads((out / "reference.json").read_text())
    assert list(document["models"])[:4] == ["forest", "neighbours", "ensemble", "ad40_small"]
    for one in document["models"].values():
        assert set(one["signals"]) == set(document["signal_events"]) and one["events_per_second"] > 0
        for found in one["signals"].values():
            low, value, high = found["tpr"]["0.01"]
            assert 0 <= low <= value <= high <= 1
    assert document["models"]["ensemble"]["signals"]["Ato4l"]["auc"][1] > 0.7
    page = (out / "reference.html").read_text()
    assert "ad40_small" in page and "leading lepton pt" in page and page.count("<img") == len(document["plots"])
    from offline.report import reference
    from offline.report.page import Section
    from offline.report.sections import Run

    section = Section("References")
    reference.fill(section, Run(tmp_path, defaults.SAMPLE), document)
    assert len(section.blocks) > len(document["signal_events"])


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["train", "forest", BACKGROUND, "--set", "tree=3"], "tree=3"),
        (["train", "forest", BACKGROUND, "--events", "1"], "--events"),
        (["score", "{f}/forest", "{f}/neighbours", "{f}/events.h5"], "--background"),
        (["score", "{f}/nothing", "{f}/events.h5"], "reference.yaml"),
        (["export", "{f}/forest"], "neither forest"),
        (["compare", "{f}/forest", "--events", "10"], "--events"),
        (["compare", "{f}/forest", "--sample", "{f}"], "background.h5"),
    ],
)
def test_refusals(folder, tmp_path, capsys, argv, what):
    if argv[0] == "export":
        pytest.importorskip("onnx")
    out = tmp_path / "out"
    assert main(["reference", *(text.format(f=folder) for text in argv), "--output", str(out)]) == 2
    assert what in capsys.readouterr().err
    assert not out.is_file()
