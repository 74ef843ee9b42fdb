"""Autoencoders of the matrix: networks, the choice of the training sample, trainings that resume, and scores."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ad40.cli import main
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.files import read_json, read_yaml, write_yaml
from ad40.metrics import auc
from offline import regions, scores, table
from offline.autoencoder import initialisations, networks, streaming
from offline.autoencoder.initialisations import Settings
from offline.autoencoder.model import Trained, read
from offline.autoencoder.sample import TRAINING_SHARE, chosen, numbers, read_sample
from offline.autoencoder.train import train
from offline.rmm.layout import Layout
from offline.rmm.matrix import matrices
from tests.offline_toys import SPECTRA, STREAMS, InMemory, resonance, toys, write_events, write_table


def settings(**changes: Any) -> Settings:
    """Quick ones, of the network `tiny`."""
    quick = {"network": "tiny", "fraction": 0.4, "initialisations": 3, "epochs": 8, "patience": 3, "batch": 50}
    return Settings(**(quick | {"learning_rate": 3e-3, "seed": 7} | changes))


@pytest.fixture(scope="module", autouse=True)
def tiny() -> object:
    """A network that trains in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "tiny", networks.Dense((12,)))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An offline event file of 3,000 background events."""
    return write_events(tmp_path_factory.mktemp("data") / "data.h5", toys(3000))


@pytest.fixture(scope="module")
def data_table(data: Path) -> Path:
    path = data.parent / "table.h5"
    options = ["--streams", ",".join(STREAMS), "--spectra", ",".join(SPECTRA)]
    assert main(["rmm", str(data), "--output", str(path), *options]) == 0
    return path


@pytest.fixture(scope="module")
def trained(data_table: Path) -> Trained:
    with table.open_table(data_table) as found:
        return train(found, data_table.parent / "model", settings())


def cells(n: int = 200) -> np.ndarray:
    layout = Layout()
    return matrices(toys(n, 5), layout, 13000.0).reshape(n, -1)[:, layout.inputs]


@pytest.mark.parametrize("name", ["wide", "run23", "small", "convolutional"])
def test_networks_give_back_what_they_see(name: str) -> None:
    model = networks.build(name, Layout(), seed=3)
    assert model.input_shape == model.output_shape == (None, 1287)
    if name == "wide":
        assert model.count_params() == 2_863_087  # the published 2.86 M
    assert networks.Scorer(model).score(cells(5)).shape == (5,)


def test_any_layout() -> None:
    layout = Layout({"jet": 3, "bjet": 0, "muon": 2, "electron": 0, "photon": 1})
    for name in ("tiny", "convolutional"):
        model = networks.build(name, layout)
        assert model.output_shape == (None, len(layout.inputs)) == (None, 49 - 3)


def test_the_image_is_the_matrix_without_its_blinded_cells() -> None:
    layout = Layout()
    model = networks.build("convolutional", layout)
    image = networks.keras().Model(model.input, model.get_layer("image").output)
    whole = matrices(toys(50, 5), layout, 13000.0)
    shown = np.asarray(image(whole.reshape(50, -1)[:, layout.inputs]))[..., 0]
    blind = np.array([layout.cell(name) for name in layout.blinded]).T
    assert (whole[:, blind[0], blind[1]] > 0).any() and len(layout.blinded) == 9
    whole[:, blind[0], blind[1]] = 0
    assert shown.shape == whole.shape and (shown == whole).all()


def test_score_is_the_logarithm_of_the_mean_squared_error() -> None:
    model, x = networks.build("tiny", Layout(), seed=4), cells()
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    hidden = x @ w1 + b1
    y = np.where(hidden > 0, hidden, networks.SLOPE * hidden) @ w2 + b2
    scorer = networks.Scorer(model)
    assert scorer.score(x) == pytest.approx(np.log(((y - x) ** 2).mean(axis=1)), rel=1e-5)
    assert (scorer.score(x[30:37]) == scorer.score(x)[30:37]).all()


def test_weights_follow_from_the_seed_and_survive_a_file(tmp_path: Path) -> None:
    model = networks.build("tiny", Layout(), seed=4)
    digest = networks.save_weights(tmp_path / "w.h5", model)
    assert networks.weights_hash(networks.build("tiny", Layout(), seed=4)) == digest
    other = networks.build("tiny", Layout(), seed=5)
    assert networks.weights_hash(other) != digest
    networks.load_weights(tmp_path / "w.h5", other, digest)
    assert (other.get_weights()[0] == model.get_weights()[0]).all()
    with pytest.raises(InputError, match="of other shapes"):
        networks.load_weights(tmp_path / "w.h5", networks.build("small", Layout()))
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file["0"][0, 0] += 1
    with pytest.raises(HashMismatch, match="damaged"):
        networks.load_weights(tmp_path / "w.h5", other)


def test_qkeras_works_in_the_same_process() -> None:
    networks.keras()
    from models import build
    from models.card import read_card

    qkeras_model = build.build(read_card(Path(__file__).parents[2] / "models" / "ad40_v1" / "model.yaml"))
    assert qkeras_model(np.zeros((2, 57), np.float32)).shape == (2, 57)
    model = networks.build("tiny", Layout())
    step = networks.training_step(model, 1e-3)
    assert step(cells()) > step(cells())


def memory_table(path: Path, rows: np.ndarray, parent: np.ndarray | None = None) -> Path:
    """A table of toy events in another order."""
    events = toys(3000)
    if parent is not None:
        events.columns["parent"] = parent
    table.write(path, [InMemory(events.take(rows))], streams=STREAMS, spectra=SPECTRA, copies=True)
    return path


def test_the_training_sample_does_not_depend_on_the_order(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(3000)
    with (
        table.open_table(memory_table(tmp_path / "a.h5", np.arange(3000))) as a,
        table.open_table(memory_table(tmp_path / "b.h5", order)) as b,
    ):
        one, other = (read_sample(t, 0.1, 7) for t in (a, b))
        assert one.digest == other.digest and one.training == round(TRAINING_SHARE * one.n)
        rows = np.arange(one.n)
        assert (one.dense(rows) == other.dense(rows)).all()
        events = [set(t.column("event")[chosen(numbers(t, 7), 0.1)].tolist()) for t in (a, b)]
        assert events[0] == events[1] and len(events[0]) == one.n
        assert abs(one.n - 0.1 * a.n) < 4 * math.sqrt(0.09 * a.n)
        seen = a.rmm(0, a.n, cells=a.layout.inputs)[chosen(numbers(a, 7), 0.1)]
        assert sorted(one.dense(rows).sum(axis=1)) == pytest.approx(sorted(seen.sum(axis=1)))
        both = chosen(numbers(a, 7), 0.5) & chosen(numbers(a, 8), 0.5)
        assert abs(both.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / a.n)


def test_copies_of_one_collision_stay_together(tmp_path: Path) -> None:
    parent = np.arange(3000) // 5
    with table.open_table(memory_table(tmp_path / "a.h5", np.arange(3000), parent)) as found:
        mask, number = chosen(numbers(found, 7), 0.3), found.column("parent")
        assert 0 < mask.sum() < found.n
        assert not set(number[mask]) & set(number[~mask])


def test_training_keeps_the_median_and_documents_it(trained: Trained, data_table: Path) -> None:
    document = trained.document
    losses = [start["validation_loss"] for start in document["initialisations"]]
    assert len(set(losses)) == 3
    assert document["kept"]["validation_loss"] == sorted(losses)[1]
    assert document["settings"]["seed"] == 7 and document["network"]["hidden"] == [12]
    assert [p.name for p in (trained.folder / "initialisations").glob("*.h5")] == [
        f"{document['kept']['initialisation']:04d}.h5"
    ]
    with table.open_table(data_table) as found:
        assert document["sample"]["table"] == found.sha256
        sample = read_sample(found, 0.4, 7)
    again = initialisations.mean_loss(trained.scorer, sample, np.arange(sample.training, sample.n))
    assert again == pytest.approx(document["kept"]["validation_loss"], rel=1e-6)
    assert math.log(again) < -7


def test_interrupted_trainings_go_on_and_more_can_be_added(
    trained: Trained, data_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    real = initialisations.train_one

    def counted(work: initialisations.Work, number: int, *rest: object) -> initialisations.Start:
        if number == 1 and ran == [0]:
            ran.append(-1)
            raise KeyboardInterrupt
        ran.append(number)
        return real(work, number)

    monkeypatch.setattr(initialisations, "train_one", counted)
    with table.open_table(data_table) as found:
        with pytest.raises(KeyboardInterrupt):
            train(found, tmp_path, settings())
        assert not (tmp_path / "autoencoder.yaml").exists()
        alone = train(found, tmp_path, settings(initialisations=1))
        assert alone.document["kept"]["initialisation"] == 0
        again = train(found, tmp_path, settings())
    assert ran == [0, -1, 1, 2]
    assert again.document == trained.document


def test_another_seed_starts_clean(trained: Trained, data_table: Path, tmp_path: Path) -> None:
    with table.open_table(data_table) as found:
        first = train(found, tmp_path, settings(initialisations=1, epochs=1))
        second = train(found, tmp_path, settings(initialisations=1, epochs=1, seed=8))
    assert first.hash != second.hash
    assert first.document["sample"]["sha256"] != second.document["sample"]["sha256"]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"network": "huge"}, "name"), ({"fraction": 0.0}, "fraction"), ({"batch": 0}, "batch"),
     ({"learning_rate": math.nan}, "learning_rate"), ({"initialisations": 2.5}, "initialisations")],
)  # fmt: skip
def test_bad_settings_are_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as error:
        settings(**change)
    assert error.value.field == field


def test_too_few_events_are_refused(data_table: Path, tmp_path: Path) -> None:
    with table.open_table(data_table) as found, pytest.raises(InputError, match="at least 20"):
        train(found, tmp_path, settings(fraction=1e-4))


def test_a_model_changed_by_hand_is_refused(trained: Trained, tmp_path: Path) -> None:
    document = read_yaml(trained.folder / "autoencoder.yaml")
    for change, message in (({"weights": "0" * 64}, "hash is"), ({"version": 9}, "version is"), ({"x": 1}, "x is")):
        write_yaml(tmp_path / "autoencoder.yaml", document | change)
        with pytest.raises(SpecError, match=message):
            read(tmp_path)
    with pytest.raises(InputError, match="missing"):
        read(tmp_path / "nowhere")


def test_training_events_are_marked_in_their_table_only(trained: Trained, data_table: Path, tmp_path: Path) -> None:
    with table.open_table(data_table) as found:
        streaming.score_table(found, trained, tmp_path / "s.h5", threads=2)
        result = scores.read(tmp_path / "s.h5", found)
        assert (result.training == chosen(numbers(found, 7), 0.4)).all()
        assert (
            result.training.sum() == trained.document["sample"]["training"] + trained.document["sample"]["validation"]
        )
        direct = trained.scorer.score(found.rmm(0, found.n, cells=found.layout.inputs))
        # blocks are the same for any number of threads; another size of block rounds its sums otherwise
        streaming.score_table(found, trained, tmp_path / "one.h5", threads=1)
        assert (result.score == scores.read(tmp_path / "one.h5", found).score).all()
        np.testing.assert_allclose(result.score, direct, rtol=0, atol=1e-4)
    with table.open_table(write_table(tmp_path / "other.h5", 500)) as other:
        assert not trained.trained_on(other).any()


def test_signals_score_higher(trained: Trained, data_table: Path, tmp_path: Path) -> None:
    table.write(tmp_path / "t.h5", [InMemory(resonance(400))], streams=STREAMS, spectra=SPECTRA)
    with table.open_table(tmp_path / "t.h5") as signal, table.open_table(data_table) as background:
        found = [
            trained.scorer.score(t.rmm(0, t.n, cells=t.layout.inputs))[~trained.trained_on(t)]
            for t in (background, signal)
        ]
    assert auc(*found)[1] > 0.95
    assert found[0].std() > 0.1


def test_regions_of_data_and_acceptance_for_a_model(
    trained: Trained, data_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, document = str(trained.folder), str(tmp_path / "regions.json")
    arguments = ["score", model, str(data_table), "--output", str(tmp_path / "data.h5"), "--luminosity", "0.01"]
    arguments += ["--cross-sections", "10,1e3", "--regions", document, "--stability", str(tmp_path / "stability")]
    assert main([*arguments, "--json", str(tmp_path / "data.json")]) == 0
    summary = read_json(tmp_path / "data.json")
    assert [r["name"] for r in summary["regions"]] == ["all", "10pb"] and list(summary["refused"]) == ["1000pb"]
    found = scores.read(tmp_path / "data.h5")
    (region,) = regions.read(document, trained.hash)
    assert (region.keeps(found.score) & ~found.training).sum() == int(100 * found.correction)
    assert {row["quantity"] for row in summary["stability"]} == {"run", "lumi", "pileup"}
    assert (tmp_path / "stability" / "plots" / "stability_pileup.png").is_file()

    signal = write_events(tmp_path / "model.h5", resonance(300))
    arguments = ["score", model, str(signal), "--output", str(tmp_path / "out" / "signal.h5"), "--regions", document]
    assert main([*arguments, "--region", "10pb", "--region", "-20", "--json", str(tmp_path / "signal.json")]) == 0
    summary = read_json(tmp_path / "signal.json")
    assert summary["differences"] == [] and summary["training_events"] == 0
    kept = {r["name"]: r["streams"]["jet"]["of_read"] for r in summary["regions"]}
    assert kept["-20"] == kept["all"]
    assert kept["10pb"]["acceptance"][1] > 0.6 and kept["10pb"]["kept"] <= kept["all"]["kept"] == 300
    histograms = summary["masses"]["jmu"]["counts"]
    assert sum(histograms["all"]) == 300 >= sum(histograms["10pb"]) == kept["10pb"]["kept"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["signal.h5", "signal.log"]  # no table left behind
    with h5py.File(tmp_path / "out" / "signal.h5") as file:
        assert set(file) == {"score", "training", "masses", "streams", "columns"}
        assert file["masses"].shape == (300, len(SPECTRA))
    assert (tmp_path / "out" / "signal.log").read_text() in capsys.readouterr().out


def test_what_score_refuses(trained: Trained, data: Path, data_table: Path, tmp_path: Path, capsys: object) -> None:
    model, output = str(trained.folder), str(tmp_path / "s.h5")
    small = table.write(tmp_path / "small.h5", [InMemory(toys(50))], streams=STREAMS, spectra=SPECTRA,
                        layout=Layout({"jet": 3, "muon": 2}))  # fmt: skip
    assert small["events"]
    faults = {
        "expected a threshold or one of": [str(data_table), "--region", "10pb"],
        "only with event files": [str(data_table), "--table", str(tmp_path / "t.h5")],
        "the only file": [str(data_table), str(data_table)],
        "as in training": [str(tmp_path / "small.h5")],
        "--threads is 0": [str(data_table), "--threads", "0"],
        "luminosity": [str(data_table), "--luminosity", "-1"],
        "missing.h5": [str(tmp_path / "missing.h5")],
    }
    for message, arguments in faults.items():
        assert main(["score", model, *arguments, "--output", output]) == 2, message
        assert message in capsys.readouterr().err  # type: ignore[attr-defined]
    assert main(["score", model, str(data), "--output", str(data)]) == 2
    assert not Path(output).with_suffix(".log").exists()


@pytest.mark.long
def test_processes_give_what_one_gives(data_table: Path, tmp_path: Path) -> None:
    wanted = settings(network="small", epochs=2)
    with table.open_table(data_table) as found:
        assert train(found, tmp_path / "1", wanted).document == train(found, tmp_path / "2", wanted, jobs=2).document
