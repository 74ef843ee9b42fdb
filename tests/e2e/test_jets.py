"""`ad40 jets` from a jets file to a comparison, a search without labels, and the anomaly axis of `ad40 search`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ad40.cli import main
from offline import scores
from offline.jets import jets as jets_file
from offline.jets import scorefile
from offline.jets.jets import Jets, open_jets, starts_of
from offline.jets.parts import part_of
from tests.toy_dijets import toy_dijets
from tests.toy_jets import toy_jets

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")


def write(path, jets, stand_in=True):
    about = {"events": int(jets.event.max()) + 1, "sources": [], "stand_in": stand_in}
    jets_file.write(path, [jets], about)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jets")
    jets = toy_jets(500, 200)
    write(folder / "jets.h5", jets)
    write(folder / "blind.h5", replace(jets, label=np.full(len(jets), -1, np.int8)))
    for kind in ("forest", "dense"):
        more = ["--set", "epochs=3"] if kind == "dense" else ["--set", "trees=30"]
        assert (
            main(["jets", "train", kind, str(folder / "jets.h5"), "--mix", "20", "--output", str(folder / kind), *more])
            == 0
        )
    return folder


def test_training_leaves_the_test_events_alone(folder):
    from offline.jets.model import load, read_card

    card = read_card(folder / "dense")
    assert card["training"]["part"] == "train" and card["training"]["mix"] == 20 and card["training"]["stand_in"]
    assert card["training"]["signal_jets"] == 2 * round(card["training"]["events"] / 21)
    assert load(folder / "dense").settings.epochs == 3


def test_comparison(folder, capsys):
    out = folder / "compare"
    assert main(["jets", "compare", str(folder / "jets.h5"), str(folder / "dense"), str(folder / "forest"), "--output", str(out),
                 "--replicas", "30", "--json", str(folder / "c.json")]) == 0  # fmt: skip
    document = json.loads((out / "compare.json").read_text())
    assert set(document["models"]) == {"mass", "tau21", "dense", "forest"}
    for one in document["models"].values():
        for level in ("jet", "event", "jet flat", "event flat"):
            low, value, high = one["merits"][level]["auc"]
            assert 0 <= low <= value <= high <= 1 and high - low > 0.001
    n = int((~part_of(np.arange(500))).sum())
    merits = document["models"]["mass"]["merits"]
    assert merits["event"]["background"] + merits["event"]["signal"] == n and merits["jet"]["auc"][1] > 0.7
    assert abs(document["models"]["mass"]["mass"]["correlation"]["spearman"] - 1) < 1e-9
    page = (out / "compare.html").read_text()
    assert (
        document["mix"] is None and "stand-in" in page and "None of the models compared has a published figure" in page
    )
    assert json.loads((folder / "c.json").read_text())["page"].endswith("compare.html")
    assert {p.name for p in (out / "plots").iterdir()} >= {"roc_jet.png", "sic_event.png", "mass_10.png", "mass_1.png"}
    assert "AUC jet" in capsys.readouterr().out


def test_nothing_is_judged_on_what_it_learnt_from(folder, capsys):
    arguments = ["jets", "compare", str(folder / "jets.h5"), str(folder / "dense"), "--output", str(folder / "no")]
    for part in ("train", "all"):
        assert main([*arguments, "--part", part]) == 2
        assert "learnt from" in capsys.readouterr().err
    arguments[2] = str(folder / "blind.h5")
    assert main(arguments) == 2
    assert "without labels" in capsys.readouterr().err


def test_bad_arguments_are_said(folder, capsys):
    train = ["jets", "train", "dense", str(folder / "jets.h5"), "--output", str(folder / "bad")]
    for more, text in (
        (["--set", "layers=3"], "NAME=VALUE"), (["--set", "epochs=many"], "'many'"), (["--jets", "1"], "at least 2"),
        (["--set", "batch=0"], "batch is 0"), (["--mix", "0"], "above 0"),
    ):  # fmt: skip
        assert main([*train, *more]) == 2, more
        assert text in capsys.readouterr().err
    assert (
        main(["jets", "train", "dense", str(folder / "blind.h5"), "--mix", "20", "--output", str(folder / "bad")]) == 2
    )
    assert "without labels" in capsys.readouterr().err
    assert (
        main(["jets", "score", str(folder / "nowhere"), str(folder / "jets.h5"), "--output", str(folder / "s.h5")]) == 2
    )
    assert not (folder / "bad" / "jetmodel.yaml").exists() and not (folder / "s.h5").exists()


class Rows:
    """As much of an event table as scores need."""

    def __init__(self, numbers):
        self.numbers, self.n, self.sha256, self.path = np.asarray(numbers), len(numbers), "0" * 64, "table"

    def column(self, name):
        assert name == "event"
        return self.numbers


def test_scores_become_the_anomaly_axis_of_a_search(folder, capsys):
    out = folder / "scores.h5"
    assert main(["jets", "score", str(folder / "forest"), str(folder / "jets.h5"), "--output", str(out)]) == 0
    with open_jets(folder / "jets.h5") as file:
        found = scorefile.read(out, file)
        jets = file.read()
    assert len(found.jet) == len(jets) and found.event.tolist() == list(range(500))
    assert np.allclose(found.event_score, found.jet.reshape(-1, 2).mean(axis=1))
    numbers = [3, 499, 7, 1000, 8]
    counts = scorefile.for_table(folder / "axis.h5", found, Rows(numbers))
    axis = scores.read(folder / "axis.h5", Rows(numbers))
    assert counts["scored"] == 4 and counts["without_jets"] == 1
    assert np.allclose(axis.score[[0, 1, 2, 4]], found.event_score[[3, 499, 7, 8]])
    assert axis.score[3] == found.event_score.min()
    assert (axis.training == part_of(np.array(numbers))).all()  # no search on what the model learnt from
    capsys.readouterr()
    with open_jets(folder / "blind.h5") as file, pytest.raises(Exception, match="jets is"):
        scorefile.read(out, file)


def as_jets(events) -> Jets:
    """Jets without constituents of toy dijet events: back to back, the masses and the dijet mass of the events."""
    n = len(events)
    jet = np.zeros((2 * n, len(jets_file.COLUMNS)), np.float32)
    m1, m2 = events.x.T
    momentum = np.sqrt(np.maximum(((events.mass**2 - m1**2 - m2**2) ** 2 - 4 * m1**2 * m2**2), 0)) / (2 * events.mass)
    for which, m in enumerate((m1, m2)):
        jet[which::2, 0], jet[which::2, 2], jet[which::2, 3] = momentum, (0, -3.1415)[which], m
        jet[which::2, 4:] = 0.1
    event = np.repeat(np.arange(n), 2)
    which = np.tile(np.arange(2), n).astype(np.int8)
    constituents = np.stack([jet[:, 0], jet[:, 1], jet[:, 2]], axis=1)
    return Jets(starts_of(np.ones(2 * n, int)), constituents, jet, event, which, np.repeat(events.label, 2))


def test_search_without_labels(folder, capsys):
    write(folder / "dijets.h5", as_jets(toy_dijets(25_000, 250, 5)))
    out = folder / "cwola"
    assert main(["jets", "cwola", str(folder / "dijets.h5"), "--window", "2736", "3283", "3940", "4728", "--window", "100", "200",
                 "300", "400", "--set", "rotations=1", "--output", str(out)]) == 0  # fmt: skip
    document = json.loads((out / "cwola.json").read_text())
    first, second = document["windows"]
    assert first["bumps"]["0.01"]["z"] > 4 and first["merit"]["max_sic"][1] > 3
    assert second["reason"] and not second["bumps"]
    assert document["largest"]["trials"] == 2 and document["largest"]["window"] == [3283, 3940]
    assert "stand-in" in (out / "cwola.html").read_text()
    assert (
        main(["jets", "cwola", str(folder / "dijets.h5"), "--window", "100", "200", "300", "400", "--output", str(out)])
        == 2
    )
    assert "can be searched" in capsys.readouterr().err


def test_search_for_a_higgs_and_something(folder):
    """X of 500 GeV beside a jet of 100 GeV: the toy signal is such an event, Y at 3.5 TeV."""
    write(folder / "yxh.h5", as_jets(toy_dijets(25_000, 120, 6)))
    with open_jets(folder / "yxh.h5") as file:
        jets, sha256 = file.read(), file.sha256
    random = np.random.default_rng(1)
    jet = np.clip(random.normal(0.6, 0.1, len(jets)) + 0.3 * jets.label, 0, 1).astype(np.float32)
    about = {"version": 1, "model": "toy", "hash": "0", "how": "mean", "jets": sha256, "training": {}}
    from ad40 import hdf5

    with hdf5.create(folder / "toy_scores.h5") as out:
        out.attrs[scorefile.ATTRIBUTE] = json.dumps(about)
        out["jet"], out["event"] = jet, np.arange(len(jets) // 2)
        out["event_score"] = jet[::2]
    arguments = ["jets", "yxh", str(folder / "yxh.h5"), "--scores", str(folder / "toy_scores.h5"), "--toys", "50"]
    assert main([*arguments, "--output", str(folder / "yxh")]) == 0
    document = json.loads((folder / "yxh" / "yxh.json").read_text())
    low, high = document["largest"]["anomalous"]["window"]
    assert low < 3550 and high > 3450 and document["largest"]["anomalous"]["local_z"] > 4
    a, b = (float(v) for v in document["largest"]["anomalous"]["x"].removeprefix("X ").split("-"))
    assert a < 520 and b > 450
    assert document["anomalous"] < document["events"]
