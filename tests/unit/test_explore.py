"""`ad40 explore`: the space of cards, drawing of trials, resuming, dominance, what is written. No training here."""

from __future__ import annotations

import copy
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ad40.errors import Ad40Error, CheckError, SpecError
from ad40.files import read_yaml, write_yaml
from ad40.objects import encode
from tests.conftest import random_events

pytest.importorskip("optuna")
pytest.importorskip("plotly")
from training.explore import front as explore_front
from training.explore import run as explore
from training.explore.space import get, parse_space, put, read_space
from training.explore.trial import Processes, Result, Settings, Task, folder_of

ROOT = Path(__file__).parents[2]
BASE = ROOT / "models" / "ad40_v1" / "model.yaml"
DOCUMENT = {
    "base": "models/ad40_v1/model.yaml",
    "figure": "corruptions",
    "generation": 4,
    "keys": {
        "hidden": {"set": "layers[decoder].units", "choices": [4, 8, 16]},
        "bits": {"set": ["layers[0].weight.fraction", "layers[decoder].weight.fraction"], "choices": [3, 4]},
        "l1": {"set": "training.l1", "choices": {"none": None, "some": 1e-5}},
        "inputs": {"choices": {
            "pt": {"input.connected": ["egamma.pt", "muon.pt", "jet.pt"]},
            "pt and MET": {"input.connected": ["met.pt", "egamma.pt", "muon.pt", "jet.pt"]}}},
        "cut": {"set": "firmware.cut", "choices": ["smallest", "fastest"]},
    },
}  # fmt: skip


def space_of(**changes):
    document = copy.deepcopy(DOCUMENT)
    for name, value in changes.items():
        put(document, name.replace("__", "."), value)
    return parse_space(document, "space.yaml", read_yaml(BASE), BASE)


def test_places_are_read_and_set_by_name_and_number():
    document = read_yaml(BASE)
    assert get(document, "layers[decoder].units") == get(document, "layers[1].units") == 16
    assert get(document, "training.l1") is None
    put(document, "layers[decoder].units", 5)
    put(document, "training.loss", None)
    assert document["layers"][1]["units"] == 5 and "loss" not in document["training"]
    for place in ("layers[nothing].units", "layers[7].units", "nowhere.at.all", "name.part"):
        with pytest.raises(KeyError):
            get(document, place)


def test_trial_zero_is_the_base_card_and_choices_change_only_their_places():
    space = space_of()
    base = space.base_numbers()
    assert space.labels(base) == {"hidden": 16, "bits": 4, "l1": "none", "inputs": "pt", "cut": "smallest"}
    card, firmware = space.card(base, 0)
    before = read_yaml(BASE)
    assert {k: v for k, v in card.items() if k not in ("name", "description")} == {
        k: v for k, v in before.items() if k not in ("name", "description")
    }
    assert firmware == {"clock": None, "cut": "smallest"}
    card, firmware = space.card({"hidden": 0, "bits": 0, "l1": 1, "inputs": 1, "cut": 1}, 7)
    assert card["name"] == "ad40_v1_t7" and firmware["cut"] == "fastest"
    assert [layer["weight"]["fraction"] for layer in card["layers"]] == [3, 3, 4]
    assert card["layers"][1]["units"] == 4 and card["training"]["l1"] == 1e-5
    assert card["input"]["connected"][0] == "met.pt"
    assert space.base == before, "the base is not touched"
    assert space.size == 3 * 2 * 2 * 2 * 2


def test_what_the_base_card_has_becomes_a_choice():
    space = space_of(
        keys__hidden={"set": "layers[decoder].units", "choices": [4, 32]},
        keys__l1={"set": "training.l1", "choices": [1e-5, 1e-4]},
        keys__depth={"choices": {"a": {"training.sparsity": 0.1}, "b": {"training.pruned_at": 3}}},
    )
    hidden, l1, depth = (next(p for p in space.parameters if p.name == name) for name in ("hidden", "l1", "depth"))
    assert hidden.labels == (4, 16, 32) and hidden.numbers
    assert l1.labels == (1e-5, 1e-4, "base") and not l1.numbers
    assert depth.choices[2] == {"training.sparsity": 0.5, "training.pruned_at": 8}
    card, _ = space.card(space.base_numbers(), 0)
    assert card["layers"] == read_yaml(BASE)["layers"] and card["training"] == read_yaml(BASE)["training"]


def test_a_place_below_a_replaced_one_is_left_out():
    layers = read_yaml(BASE)["layers"]
    shallow = [layers[0], layers[2]]
    space = space_of(keys__depth={"choices": {"deep": {"layers": layers}, "shallow": {"layers": shallow}}})
    card, _ = space.card(space.base_numbers() | {"depth": 1, "hidden": 0, "bits": 0}, 1)
    assert [layer["name"] for layer in card["layers"]] == ["latent", "reconstruction"]
    assert card["layers"][0]["weight"]["fraction"] == 3, "the parts come after the whole"


FAULTS = {
    "keys__hidden": ({"set": "layers[encoder].units", "choices": [1, 16]}, "encoder"),
    "keys__bits": ({"set": "layers[decoder].units", "choices": [4, 16]}, "as hidden"),
    "keys__inputs": ({"set": "layers[latent].units", "choices": [3, 0]}, "a valid card"),
    "keys__cut": ({"set": "firmware.cut", "choices": ["smallest", "widest"]}, "smallest or fastest"),
    "keys__clock": ({"set": "firmware.clock", "choices": {"own": None, "other": "ugt1"}}, "ugt1"),
    "keys__name": ({"set": "name", "choices": ["ad40_v1", "other"]}, "a place that changes the network"),
    "keys__one": ({"set": "training.seed", "choices": [40]}, "at least two"),
    "keys__twice": ({"set": "training.seed", "choices": [40, 40]}, "all different"),
    "keys__lists": ({"set": "input.connected", "choices": [["jet.pt"], ["muon.pt"]]}, "need a label"),
    "keys__unknown": ({"places": "training.seed", "choices": [40, 41]}, "unknown key"),
    "generation": (0, "an integer from 1"),
    "figure": ("signals", "one of families, corruptions"),
    "keys": ({}, "at least one parameter"),
}


@pytest.mark.parametrize("place", FAULTS)
def test_faults_of_a_space_are_named(place):
    value, words = FAULTS[place]
    with pytest.raises(SpecError, match=re.escape(words)) as caught:
        space_of(**{place: value})
    assert place.split("__")[-1] in str(caught.value) or "ugt1" in words


def test_the_shipped_space_is_valid_and_its_base_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = read_space(explore.SPACE)
    assert space.size > 1000 and read_yaml(explore.SPACE)["base"] == f"models/{space.base['name']}/model.yaml"
    write_yaml(tmp_path / "space.yaml", {**DOCUMENT, "base": "no/card.yaml"})
    with pytest.raises(SpecError, match="base is 'no/card.yaml'"):
        read_space("space.yaml")


def test_the_example_of_the_page_is_a_space(tmp_path):
    page = (ROOT / "docs" / "physics.md").read_text(encoding="utf-8")
    block = page[page.index("    base: models/") :]
    lines = [line[4:] for line in block[: block.index("\n\n")].splitlines()]
    (tmp_path / "space.yaml").write_text("\n".join(lines))
    space = read_space(tmp_path / "space.yaml")
    assert {p.name for p in space.parameters} == {"hidden", "bits", "inputs", "clock", "cut"}


@given(arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 4)))
def test_the_front_is_what_nothing_dominates(points):
    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert explore_front.undominated(points).tolist() == expected
    assert explore_front.undominated(points).any()


def test_the_figure_counts_what_the_model_keeps(tmp_path):
    from training.teach.selection import FAMILIES, MEAN, Selection

    rng = np.random.default_rng(1)
    clean = np.zeros((4000, 19, 3), np.int16)
    clean[:, 0, 0] = rng.permutation(4000) // 4
    soft, hard = clean[:1000].copy(), clean[:1000].copy()
    soft[:, 0, 0] = np.arange(1000)  # at FPR 1e-3 the threshold is above all but four events
    hard[:, 0, 0] = np.repeat([2000, 0], 500)
    parent = np.arange(4000)

    def score(codes):
        return codes[:, 0, 0]

    for kind, limits, expected in (
        (FAMILIES, {"soft": 0.1, "hard": 1.0}, lambda soft, hard: min(10 * soft, hard)),
        (FAMILIES, {"soft": 0.001, "hard": 1.0}, lambda soft, hard: min(1000 * soft, hard)),
        (MEAN, {"soft": 1.0, "hard": 1.0}, lambda soft, hard: (soft + hard) / 2),
    ):
        selection = Selection(kind, clean, parent, {"soft": soft, "hard": hard}, limits)
        found = selection.efficiencies(score)
        assert found["hard"][1] == 0.5 and found["soft"][1] == 0.001
        assert all(low <= value <= high for low, value, high in found.values())
        assert selection.figure(found) == pytest.approx(expected(0.001, 0.5))


@pytest.mark.parametrize("trained", [None, 2000])
def test_selection_uses_events_that_the_training_has_not_read(trained):
    from ad40.split import TRAIN, VALIDATION, tenth_of
    from training.datasets import Background
    from training.teach.selection import MEAN, selection, unseen

    codes, parent = encode(random_events(3000)).codes.astype(np.int16), np.arange(3000) // 3
    sample = Background(codes, np.zeros(3000, np.uint8), parent, tenth_of(parent), (), Path("b.h5"), "f")
    rows, train = unseen(sample, trained), sample.rows(TRAIN)
    read = train if trained is None else train[train < trained]
    assert len(rows) > 200 and not set(rows) & set(read), "not what the training reads"
    assert set(rows) <= set(train) | set(sample.rows(VALIDATION)), "nor the test part"
    found = selection(MEAN, sample, trained=trained)
    assert np.array_equal(found.clean, codes[rows]) and np.array_equal(found.parent, parent[rows])
    efficiencies = found.efficiencies(lambda events: events[:, 0, 0])
    assert efficiencies["MET x 2"][1] > efficiencies["extra jets"][1] == efficiencies["extra leptons"][1]


def fake(folder):
    """Trials that cost nothing: figure and cost follow from the choices; few bits do not fit in the smallest cut."""

    def evaluate(task: Task, earlier: Result | None) -> Result:
        p = task.parameters
        result = Result(task.number, p, task.card_hash, trained=earlier.trained if earlier else task.number)
        if earlier is not None and earlier.parameters == p:
            result.same_as = earlier.number
        result.figure = round(0.01 * p["hidden"] ** 0.5 * p["bits"] + 0.02 * (p["inputs"] != "pt"), 6)
        lut, stages = 50 * p["hidden"] * p["bits"], 4 + p["hidden"] // 4 - 2 * (p["cut"] == "fastest")
        result.efficiencies = {"extra <jets>": [0.0, result.figure, 1.0]}
        result.cost = {"lut": lut, "stages": stages, "latency_cycles": stages + 3, "latency_ns": (stages + 3) * 4.167}
        if p["bits"] == 3 and p["cut"] == "smallest":
            result.reason = "the network needs 10 stages & more"
        folder_of(folder, task.number).mkdir(parents=True, exist_ok=True)
        result.save(folder)
        return result

    return evaluate  # fmt: skip


def run(folder, trials, jobs=1, evaluate=None, seed=3):
    folder.mkdir(exist_ok=True)
    exploration = explore.Exploration(folder, space_of(), seed)
    exploration.run(trials, jobs, evaluate or fake(folder), lambda result: None, Processes())
    return exploration


def drawn(exploration):
    return [(r.number, r.parameters, r.objectives, r.reason) for r in exploration.ordered()]


def test_trials_depend_on_number_and_seed_alone(tmp_path):
    whole = run(tmp_path / "whole", 16)
    assert [r.number for r in whole.ordered()] == list(range(16))
    assert whole.results[0].parameters == space_of().labels(space_of().base_numbers())
    assert len({str(r.parameters) for r in whole.ordered()}) > 8
    for jobs, stops in ((3, (16,)), (2, (3, 13, 14, 16, 8))):
        folder = tmp_path / f"{jobs}-{stops[0]}"
        for trials in stops:
            parts = run(folder, trials, jobs)
        assert drawn(parts) == drawn(whole), (jobs, stops)
    assert drawn(run(tmp_path / "other", 12, seed=4)) != drawn(whole)[:12]


def test_an_interruption_loses_nothing_that_was_done(tmp_path):
    whole, folder, calls = run(tmp_path / "whole", 12), tmp_path / "stopped", []

    def stopping(task, earlier):
        calls.append(task.number)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return fake(folder)(task, earlier)

    with pytest.raises(KeyboardInterrupt):
        run(folder, 12, evaluate=stopping)
    done = len(calls) - 1
    parts = run(folder, 12, evaluate=stopping)
    assert drawn(parts) == drawn(whole)
    assert len(calls) == 12 + 1 and calls.count(calls[done]) == 2, "only the interrupted trial ran again"


def test_a_result_without_its_word_to_the_study_is_told_on_resuming(tmp_path, monkeypatch):
    whole, folder = run(tmp_path / "whole", 8), tmp_path / "torn"
    tell = explore.tell

    def torn(study, result):
        if result.number == 5:
            raise KeyboardInterrupt
        tell(study, result)

    monkeypatch.setattr(explore, "tell", torn)
    with pytest.raises(KeyboardInterrupt):
        run(folder, 8)
    monkeypatch.setattr(explore, "tell", tell)
    assert drawn(run(folder, 8)) == drawn(whole)
    folder_of(folder, 2).joinpath("result.json").unlink()
    with pytest.raises(Ad40Error, match="result of a finished trial"):
        run(folder, 8)


def test_trials_of_one_card_are_trained_once(tmp_path):
    exploration = run(tmp_path / "e", 32)
    by_card = {}
    for result in exploration.ordered():
        by_card.setdefault(result.card_hash, result.number)
        assert result.trained == by_card[result.card_hash]
        if result.same_as is not None:
            assert exploration.results[result.same_as].parameters == result.parameters
    assert len(by_card) < 32
    shared = [r for r in exploration.ordered() if r.trained != r.number and r.same_as is None]
    assert shared, "a card whose cost was taken at the other cut"
    assert all(r.same_as is None for r in explore_front.front(exploration.ordered()))


def test_what_is_written_holds_every_trial(tmp_path):
    exploration = run(tmp_path / "it's", 16)
    kept = {"fingerprint": "f" * 64, "spec_hash": "a", "space_hash": exploration.space.hash, "events": 2000,
            "judged_on": 500, "epochs": None, "seed": 3, "sample": "some/sample"}  # fmt: skip
    summary = explore_front.write(exploration.folder, exploration.ordered(), exploration.space, kept)
    best = explore_front.front(exploration.ordered())
    assert summary["front"] == [r.number for r in best] and 1 <= len(best) < 16
    assert json.loads((exploration.folder / "front.json").read_text()) == summary
    with (exploration.folder / "front.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["trial"]) for row in rows] == list(range(16))
    infeasible = [r for r in exploration.ordered() if not r.feasible]
    assert infeasible and [row["reason"] for row in rows if row["reason"]] == [r.reason for r in infeasible]
    assert (exploration.folder / "front.png").read_bytes().startswith(b"\x89PNG")
    text = (exploration.folder / "front.html").read_text(encoding="utf-8")
    assert "plotly.js v" in text and not re.search(r'<(script|link)[^>]*(src|href)\s*=\s*"?(https?:)?//', text)
    assert "extra &lt;jets&gt;" in text or "extra \\u0026lt;jets" in text, "names are escaped"
    assert f"--take {best[0].number} --output" in text and "it&#x27;s" not in text.split("const commands")[1]
    section = explore_front.section(summary, "ad40 explore build/e", "physics/explore.png")
    assert section.count("\n| ") == len(best) + 2 and "needs 10 stages" in section and "| hidden |" in section
    table = explore_front.text_table(exploration.ordered())
    assert len(table.splitlines()) == len(best) + 1


def test_processes_fail_with_their_last_words_and_end_with_the_exploration(tmp_path):
    settings = Settings(tmp_path, tmp_path, None, None, None, 60, 0)
    processes, log = Processes(), tmp_path / "log.txt"
    why = processes.run(["ad40", "train", "no.yaml", "--output", str(tmp_path / "m")], log, settings)
    assert why.startswith("ad40 train: no.yaml") and why in log.read_text()
    assert processes.run(["ad40", "--version"], log, settings, tmp_path / "out") == ""
    assert (tmp_path / "out").read_text().startswith("ad40 ")

    def broken():
        raise CheckError("no more")

    with pytest.raises(CheckError, match="no more"):
        list(processes.side_by_side([broken], 1))
    from training.explore.trial import Stopped

    with pytest.raises(Stopped):
        processes.run(["ad40", "--version"], log, settings)
