"""The high-level stage: its model, its menu, its decisions in the TriggerRecord, and who reads them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ad40 import hdf5, hlt, merge, record, spec
from ad40.cli import main
from ad40.errors import Ad40Error, HashMismatch, InputError, MissingTool, SpecError
from ad40.events import open_events, write_hw_sample
from ad40.files import read_json, read_yaml, write_yaml
from ad40.metrics import efficiency
from ad40.model import read_model
from ad40.split import part_of
from ad40.trigger import trigger
from offline import inputs
from offline.hlt import stage
from offline.hlt.model import load
from offline.hlt.run_step import apply
from offline.objects.record import RecordSource
from tests.small_onnx import reference, write_onnx


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    about = {"kind": "dense", "hash": "0" * 64, "spec_hash": spec.objects().hash}
    return write_onnx(tmp_path_factory.mktemp("onnx") / "model.onnx", about)


@pytest.fixture(scope="module")
def kept(model_dir: Path, codes: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the trigger of the tests keeps of 4,000 events, three of a family."""
    folder = tmp_path_factory.mktemp("kept")
    columns = {"parent": np.arange(len(codes)) // 3, "process": np.ones(len(codes), np.uint8)}
    write_hw_sample(folder / "events.h5", codes, columns, {"sample": "test"})
    trigger(folder / "events.h5", read_model(model_dir).trigger, folder / "kept.h5", run_number=7)
    return folder / "kept.h5"


@pytest.fixture(scope="module")
def folder(onnx: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage that keeps a fifth of the events, an eighth of them whatever their score."""
    where = tmp_path_factory.mktemp("stage")
    command = ["hlt", "menu", str(onnx), str(kept), "--output", str(where), "--part", "train"]
    assert main([*command, "--l1-rate", "100", "--rate", "20", "--pass-through", "40"]) == 0
    return where


def test_the_score_is_that_of_the_model(onnx: Path, codes: np.ndarray) -> None:
    scorer = load(onnx)
    assert scorer.name == "dense" and len(scorer.sha256) == 64
    score = scorer.score(codes)
    expected = reference(inputs.standardised(codes))
    assert score.dtype == np.float32 and np.allclose(score, expected, rtol=1e-5)
    assert score.std() > 0.01
    alone = np.concatenate([scorer.score(codes[i : i + 1]) for i in range(0, 4000, 7)])
    assert np.array_equal(alone, score[::7])  # to the last bit: a decision depends on nothing but its event
    assert np.array_equal(scorer.score(codes[::-1]), score[::-1])
    for batch in (3, 512, 5000):
        assert np.allclose(scorer.score(codes, batch), score, rtol=1e-5)
    assert scorer.score(codes[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shape": ("n", 56)}, InputError, r"inputs is inputs tensor\(float\) \['n', 56\]; expected one, float32"),
        ({"shape": (1, 57)}, InputError, "expected one, float32"),
        ({"outputs": 2}, InputError, "outputs is score .* expected one"),
        ({"about": {"spec_hash": "1" * 64}}, HashMismatch, "object scales is 1111"),
        ({"bad": True}, InputError, "score of event 0 is nan"),
    ],
)
def test_other_models_are_refused(
    options: dict[str, Any], error: type[Ad40Error], message: str, codes: np.ndarray, tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "model.onnx", **options)
    with pytest.raises(error, match=message):
        load(path).score(codes[:2])


def test_files_that_are_no_models(tmp_path: Path, onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="expected an ONNX file"):
        load(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="a readable ONNX file"):
        load(tmp_path / "nowhere.onnx")
    assert load(write_onnx(tmp_path / "plain.onnx")).name == "plain"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingTool, match="onnxruntime' is not installed"):
        load(onnx)


def test_the_rate_of_the_threshold_is_covered() -> None:
    """On 400 samples of families of 1 to 5 events: the true rate of the threshold lies in the interval given."""
    rng = np.random.default_rng(5)
    inside, rates = 0, []
    for _ in range(400):
        parent = np.repeat(np.arange(3000), rng.integers(1, 6, 3000))
        shared = rng.exponential(size=3000)[parent] + 0.01 * rng.exponential(size=len(parent))
        threshold, found = stage.calibrate(shared.astype(np.float32), parent, 100.0, 1.0, 1000)
        low, _, high = found["threshold"]
        right = stage.share(1.0, 100.0, 1000)
        # the survival function of a sum of two exponentials with means 1 and 0.01
        true = [(np.exp(-x) - 0.01 * np.exp(-x / 0.01)) / 0.99 for x in (low, threshold, high)]
        inside += true[2] <= right <= true[0]
        rates.append(100 * stage.with_drawn(true[1], 1000))
        low, value, high = found["expected_rate_khz"]
        assert low < value <= 1.0 < high
    assert 0.62 < inside / 400 < 0.82  # 68 %, of whole numbers of families
    assert np.median(rates) == pytest.approx(1.0, rel=0.05)


def test_rates_that_cannot_be() -> None:
    assert stage.share(1, 100, 0) == pytest.approx(0.01)
    accepted = stage.share(1, 100, 1000)
    assert stage.with_drawn(accepted, 1000) == pytest.approx(0.01)
    for arguments, message in (
        ((100, 100, 0), "--rate is 100"), ((0, 100, 0), "--rate is 0"), ((1, 100, 1), "--pass-through is 1"),
        ((1, 100, 100), "expected 0, or above 100"), ((1, 100, -4), "--pass-through is -4"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            stage.share(*arguments)
    score = np.arange(50, dtype=np.float32)
    with pytest.raises(InputError, match="expected at least 100, for one to pass"):
        stage.calibrate(score, np.arange(50), 100.0, 1.0, 0)
    equal, found = stage.calibrate(np.ones(500, np.float32), np.arange(500), 100.0, 1.0, 0)
    assert equal > 1 and np.float32(equal) == equal and found["passed"] == 0  # never more than the rate


def test_the_draw_depends_on_the_event_alone() -> None:
    run, event = np.repeat(np.uint32([1, 2]), 200_000), np.tile(np.arange(200_000), 2)
    first = stage.drawn(run, event, 100, 40)
    assert abs(first.mean() - 0.01) < 4 * np.sqrt(0.01 / 400_000)
    order = np.random.default_rng(1).permutation(len(run))
    assert np.array_equal(stage.drawn(run[order], event[order], 100, 40), first[order])
    assert not np.array_equal(first[:200_000], first[200_000:])
    both = (first & stage.drawn(run, event, 100, 41)).mean()
    assert abs(both - 1e-4) < 4 * np.sqrt(1e-4 / 400_000)  # another seed, another draw
    assert not stage.drawn(run, event, 0, 40).any()


def test_the_folder_says_when_it_was_changed(folder: Path, onnx: Path, tmp_path: Path) -> None:
    found = stage.read(folder)
    assert found.menu.pass_through == 40 and found.scorer.sha256 == found.menu.model["sha256"]
    assert found.menu.calibration["part"] == "train"

    def changed(**values: Any) -> Path:
        write_yaml(tmp_path / stage.DOCUMENT, read_yaml(folder / stage.DOCUMENT) | values)
        (tmp_path / stage.MODEL).write_bytes(onnx.read_bytes())
        return tmp_path

    assert stage.read(changed()).menu == found.menu
    for values, message in (
        ({"threshold": 0.5}, "the menu was changed"), ({"threshold": 0.1}, "a number that float32 can hold"),
        ({"pass_through": 1}, "0, or at least 2"), ({"more": 1}, "more is an unknown key"), ({"version": 2}, "version"),
    ):  # fmt: skip
        with pytest.raises(SpecError, match=message):
            stage.read(changed(**values))
    write_onnx(changed() / stage.MODEL, seed=4)
    with pytest.raises(HashMismatch, match="as hlt.yaml says"):
        stage.read(tmp_path)
    with pytest.raises(InputError, match="ad40 hlt menu"):
        stage.read(tmp_path / "nowhere")


def test_the_record_of_what_is_kept(folder: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before, found = record.read(kept), stage.read(folder)
    command = ["hlt", "run", str(folder), str(kept), "--output", str(tmp_path / "hlt.h5")]
    assert main([*command, "--all", str(tmp_path / "all.h5")]) == 0
    every, here = record.read(tmp_path / "all.h5"), record.read(tmp_path / "hlt.h5")
    assert np.array_equal(every.codes, before.codes)
    for name, column in before.columns.items():
        assert np.array_equal(every.columns[name], column) and every.columns[name].dtype == column.dtype
    score = found.scorer.score(before.codes)
    assert np.array_equal(every.columns["hlt_score"], score)
    accept = score >= np.float32(found.menu.threshold)
    drawn = stage.drawn(before.columns["run"], before.columns["event"], 40, 40)
    assert np.array_equal(every.columns["hlt_accept"], accept) and 0 < accept.sum() < len(accept)
    assert np.array_equal(every.columns["hlt_pass_through"], drawn) and 0 < drawn.sum() < len(drawn)
    rows = accept | drawn
    assert (drawn & ~accept).any()
    for name, column in every.columns.items():
        assert np.array_equal(here.columns[name], column[rows]), name
    assert np.array_equal(here.codes, before.codes[rows])
    document = here.attributes
    assert document["format_version"] == 3 and document["events_kept"] == rows.sum()
    same = ("events_seen", "seeds", "models", "menu_hash", "source")
    assert {name: document[name] for name in same} == {name: before.attributes[name] for name in same}
    counts = {"events_in": len(score), "accepted": accept.sum(), "passed_through": drawn.sum(), "kept": rows.sum()}
    assert {name: document["hlt"][name] for name in counts} == counts
    assert document["hlt"]["model"] == {"name": "dense", "sha256": found.scorer.sha256}
    assert (document["hlt"]["menu_hash"], document["hlt"]["rejected_too"]) == (found.menu.hash, False)
    capsys.readouterr()
    assert main(["info", str(tmp_path / "hlt.h5")]) == 0
    shown = capsys.readouterr().out
    assert found.menu.hash[:16] in shown and f"{accept.sum():,} of {len(score):,}; one of 40" in shown


def test_a_record_is_read_once_and_of_one_trigger(folder: Path, kept: Path, tmp_path: Path) -> None:
    found = stage.read(folder)
    apply(found, kept, tmp_path / "hlt.h5")
    with pytest.raises(InputError, match="a record that no high-level stage has read"):
        apply(found, tmp_path / "hlt.h5", tmp_path / "again.h5")
    with pytest.raises(InputError, match="expected a TriggerRecord"):
        apply(found, kept.parent / "events.h5", tmp_path / "again.h5")
    other = tmp_path / "other.h5"
    other.write_bytes(kept.read_bytes())
    with h5py.File(other, "a") as file:
        file.attrs[hdf5.RECORD] = json.dumps(json.loads(file.attrs[hdf5.RECORD]) | {"menu_hash": "f" * 64})
    with pytest.raises(HashMismatch, match="the trigger that .* was made for"):
        apply(found, other, tmp_path / "again.h5")
    assert main(["hlt", "run", str(folder), str(kept), "--output", str(kept)]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hlt.h5", "other.h5"]  # nothing half-written


def test_a_broken_model_leaves_nothing(kept: Path, folder: Path, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bad.onnx", bad=True)
    bad = stage.Stage(folder, stage.read(folder).menu, load(path))
    with pytest.raises(InputError, match="a finite number"):
        apply(bad, kept, tmp_path / "hlt.h5", tmp_path / "all.h5")
    assert [one.name for one in tmp_path.iterdir()] == ["bad.onnx"]


def test_versions(folder: Path, kept: Path, tmp_path: Path) -> None:
    path = tmp_path / "hlt.h5"
    apply(stage.read(folder), kept, path)

    def document(**values: Any) -> None:
        with h5py.File(path, "a") as file:
            file.attrs[hdf5.RECORD] = json.dumps(json.loads(file.attrs[hdf5.RECORD]) | values)

    document(format_version=4)
    with pytest.raises(InputError, match="format_version is 4; expected 2, or 3 with a high-level stage"):
        record.read(path)
    document(format_version=2)
    with pytest.raises(InputError, match="format_version is 2; expected 3"):
        record.read(path)
    document(format_version=3)
    record.read(path)
    with h5py.File(path, "a") as file:
        del file["hlt_score"]
    with pytest.raises(InputError, match="without hlt_score"):
        record.read(path)


def test_merged_records_keep_the_stage(
    folder: Path, kept: Path, model_dir: Path, codes: np.ndarray, tmp_path: Path
) -> None:
    board, found = read_model(model_dir).trigger, stage.read(folder)
    parts = []
    for run in (1, 2):
        write_hw_sample(tmp_path / "events.h5", codes[run * 1000 :], {}, {})
        trigger(tmp_path / "events.h5", board, tmp_path / f"l1_{run}.h5", run_number=run)
        apply(found, tmp_path / f"l1_{run}.h5", tmp_path / f"hlt_{run}.h5")
        parts.append(tmp_path / f"hlt_{run}.h5")
    merge.merge(parts, tmp_path / "merged.h5", board)
    merged, pieces = record.read(tmp_path / "merged.h5", board), [record.read(part) for part in parts]
    for name in hlt.COLUMNS:
        assert np.array_equal(merged.columns[name], np.concatenate([one.columns[name] for one in pieces]))
    for name in hlt.COUNTS:
        assert merged.attributes["hlt"][name] == sum(one.attributes["hlt"][name] for one in pieces) > 0
    assert merged.attributes["format_version"] == 3
    assert merged.attributes["hlt"]["menu_hash"] == found.menu.hash
    for second in (tmp_path / "l1_2.h5", tmp_path / "all_2.h5"):
        if not second.exists():
            apply(found, tmp_path / "l1_2.h5", tmp_path / "rest.h5", second)
        with pytest.raises(HashMismatch, match="of the high-level stage"):
            merge.merge([parts[0], second], tmp_path / "mixed.h5", board)


def test_other_readers_read_it(folder: Path, kept: Path, model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "hlt.h5"
    apply(stage.read(folder), kept, path)
    found = record.read(path)
    with open_events(path) as file:
        assert file.kind == "record" and np.array_equal(file.codes(), found.codes)
    assert np.array_equal(inputs.read(path).codes, found.codes)
    with RecordSource(path) as source, RecordSource(kept) as plain:
        assert source.attributes["hashes"]["high-level stage"] == found.attributes["hlt"]["menu_hash"]
        assert "high-level stage" not in plain.attributes["hashes"]
        block = next(iter(source.blocks()))
        assert np.array_equal(block.columns["hlt_score"], found.columns["hlt_score"])
    command = ["rates", str(path), "--model", str(model_dir), "--output", str(tmp_path / "rates")]
    assert main(command) == 0
    assert read_json(tmp_path / "rates" / "rates.json")["samples"][0]["events"] == len(found)
    tables = ["rmm", str(path), str(kept), "--output", str(tmp_path / "table.h5")]
    assert main(tables) == 2  # the same events with and without the stage do not belong together


def test_evaluate(folder: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "run" / "hlt"
    command = ["hlt", "evaluate", str(folder), str(kept), "--output", str(output), "--events", "1000"]
    assert main([*command, "--part", "train"]) == 2
    assert "those that the threshold was set with" in capsys.readouterr().err
    assert main([*command, "--part", "test", "--signal", f"same={kept}"]) == 0
    found, sample, the = read_json(output / "hlt.json"), record.read(kept), stage.read(folder)
    rows = part_of(sample.columns["parent"], "test")
    accept = the.scorer.score(sample.codes) >= np.float32(the.menu.threshold)
    back, signal = found["background"], found["signals"]["same"]
    assert (back["events"], back["accepted"]) == (len(rows), accept[rows].sum())
    assert back["share"] == list(efficiency(accept[rows], sample.columns["parent"][rows]))
    assert back["accepted_khz"][1] == pytest.approx(100 * accept[rows].mean())
    assert (signal["accepted"], signal["events"]) == (accept.sum(), len(sample))
    assert signal["events_seen"] == 4000 and signal["l1"][1] == len(sample) / 4000
    assert signal["of_all"][1] == pytest.approx(signal["l1"][1] * signal["efficiency"][1])
    timing = found["latency"]
    for figures in (timing["whole"], timing["processor"], timing["inference"]):
        assert sum(figures["counts"]) == 1000 and len(figures["edges_us"]) == len(figures["counts"]) + 1
        assert 0 < figures["median_us"] <= figures["p99_9_us"] <= figures["max_us"]
    assert timing["whole"]["median_us"] > timing["inference"]["median_us"]
    assert [row["batch"] for row in found["throughput"]] == [1, 8, 64, 512]
    assert found["throughput"][0]["largest_difference"] == 0 == found["throughput"][0]["other_decisions"]
    assert all(row["largest_difference"] < 1e-5 for row in found["throughput"])
    page = (output / "hlt.html").read_text()
    assert "of what the trigger accepts" in page and page.count("data:image/png") == 4
    capsys.readouterr()
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "High-level stage" in (tmp_path / "run" / "report.html").read_text()
    assert "missing in 'High-level stage'" not in capsys.readouterr().out
