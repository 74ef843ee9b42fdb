"""Rates: every number of the document against a count made here in the plainest way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40 import objects, patterns, spec
from ad40.cli import main
from ad40.emulator import Emulator
from ad40.events import write_hw_sample
from ad40.metrics import wilson
from ad40.model import read_model, read_trigger
from ad40.rates import summarise
from ad40.tally import Counts, tally
from ad40.trigger import trigger
from tests.l1_files import arrow, write

N, BUNCHES = 3000, 60


def sample(path: Path, codes: np.ndarray, seed: int, label: int = 0, **changes: Any) -> dict[str, np.ndarray]:
    """A file of the data set; returns the columns of the rows that count."""
    rng = np.random.default_rng(seed)
    n = len(codes)
    values = {
        "run": np.full(n, 398183, np.uint32), "lumi": (np.arange(n) // 100 + 7).astype(np.uint32),
        "bx": rng.integers(100, 100 + BUNCHES, n).astype(np.uint32), "nPV_True": rng.integers(20, 26, n, dtype=np.int32),
        "label": np.full(n, label, np.int32), "L1bit": rng.random(n) < 0.3,
    }  # fmt: skip
    rows = write(path, codes, rng, 700, **{name: arrow.array(v) for name, v in values.items()} | changes)
    return {name: v[rows] for name, v in values.items()} | {"codes": codes[rows]}


def spread(codes: np.ndarray) -> np.ndarray:
    """Codes whose muons differ in pt, which the reader sorts."""
    muons = codes[:, spec.objects()["muon"].slots]
    muons[..., 0] = np.where(muons[..., 0] > 4, np.minimum(muons[..., 0], 400) - np.arange(4), 0)
    muons[...] = np.where(np.minimum.accumulate(muons[..., :1] > 0, axis=1), muons, 0)
    return codes


@pytest.fixture
def files(codes: np.ndarray, tmp_path: Path) -> tuple[list[Path], dict[str, np.ndarray]]:
    """Two files of zero bias and one of a signal, and the zero-bias events joined."""
    codes = spread(codes.copy())
    paths = [tmp_path / "data" / name for name in (
        "ZB_run398183/train-00000-of-00002.parquet", "ZB_run398183/train-00001-of-00002.parquet", "haa/test-0.parquet")]  # fmt: skip
    one, two = sample(paths[0], codes[:N], 1), sample(paths[1], codes[N:], 2)
    sample(paths[2], codes[:500], 3, label=4)
    return paths, {name: np.concatenate([one[name], two[name]]) for name in one}


def test_counts_rates_overlap_and_axes(
    files: tuple[list[Path], dict[str, np.ndarray]], model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, truth = files
    out = tmp_path / "out"
    command = [
        "rates",
        *map(str, reversed(paths)),
        "--model",
        str(model_dir),
        "--output",
        str(out),
        "--cluster",
        "none",
    ]
    assert main(command) == 0
    document = json.loads((out / "rates.json").read_text())
    zero_bias, signal = document["samples"]
    assert (zero_bias["sample"], zero_bias["what"], signal["sample"], signal["what"]) == (
        "ZB_run398183", "zero bias", "haa", "signal")  # fmt: skip
    model = read_model(model_dir)
    score = Emulator(model.network).score(truth["codes"])
    n, accepted = len(score), truth["L1bit"]
    assert zero_bias["events"] == n and zero_bias["dropped"] == 4000 - n > 0
    scale = BUNCHES * 11245.5 / 1000
    assert zero_bias["rate"]["bunches"] == len(np.unique(truth["bx"])) == BUNCHES
    assert zero_bias["rate"]["events_khz"] == pytest.approx(scale)
    assert zero_bias["standard_menu"]["accepted"] == accepted.sum()
    thresholds = [seed.threshold for seed in model.menu.seeds]
    for row, cut in zip(zero_bias["seeds"], [*thresholds, min(thresholds)], strict=True):
        fired = score >= cut
        assert 0 < row["fired"] == fired.sum() < n
        assert (row["overlap"], row["pure"]) == ((fired & accepted).sum(), (fired & ~accepted).sum())
        assert row["fraction"] == list(wilson(int(fired.sum()), n))
        assert row["rate_khz"] == pytest.approx([scale * x for x in row["fraction"]])
        assert row["pure_rate_khz"] == pytest.approx([scale * x for x in row["pure_fraction"]])
    for axis, key, column in (("by_lumi", "lumi", "lumi"), ("by_pileup", "n_pv", "nPV_True")):
        data, values = zero_bias[axis], np.unique(truth[column])
        assert data[key] == values.tolist()
        for i, seed in enumerate(model.menu.seeds):
            fired = score >= thresholds[i]
            assert data["fired"][seed.name] == [int(fired[truth[column] == v].sum()) for v in values]
            assert data["pure"][seed.name] == [int((fired & ~accepted)[truth[column] == v].sum()) for v in values]
    scores = zero_bias["scores"][0]
    assert scores["events"] == np.unique(score // scores["bin_width"], return_counts=True)[1].tolist()
    assert all(row["rate_khz"] is None for row in signal["seeds"]) and signal["rate"]["formula"] is None
    text = (out / "rates.txt").read_text()
    assert text in capsys.readouterr().out
    assert "60 bunches (bunch crossings seen in column bx)" in text and "haa: signal, " in text


def test_bunches_are_not_guessed(codes: np.ndarray, model_dir: Path, tmp_path: Path) -> None:
    board = read_trigger([model_dir])
    few, none = tmp_path / "few" / "a.parquet", tmp_path / "none" / "a.parquet"
    sample(few, codes[:400], 1)
    sample(none, codes[:400], 1, bx=None)
    for path, why in ((few, "may miss some"), (none, "no column bx")):
        one = tally(path, board=board)
        rate = summarise({one.sample: one}, board)["samples"][0]["rate"]
        assert rate["formula"] is None and why in rate["why"]
        assert summarise({one.sample: one}, board, 2340)["samples"][0]["rate"]["bunches"] == 2340


def test_weights_of_processes(codes: np.ndarray, model_dir: Path, tmp_path: Path) -> None:
    process = (np.arange(len(codes)) % 3 == 0).astype(np.uint8)
    pb = {"A": 1e6, "B": 2e3}
    attributes = {"sample": "mix", "processes": {
        name: {"code": i, "filtered_cross_section_pb": pb[name]} for i, name in enumerate(pb)}}  # fmt: skip
    write_hw_sample(tmp_path / "mix.h5", codes, {"process": process}, attributes)
    board = read_trigger([model_dir])
    one = tally(tmp_path / "mix.h5", board=board)
    (document,) = summarise({"mix": one}, board)["samples"]
    fired = board.score(codes)[:, 0] >= board.menu.seeds[1].threshold
    expected = sum(fired[process == i].mean() * x * 1e-36 * 2e34 / 1000 for i, x in enumerate(pb.values()))
    low, value, high = document["seeds"][1]["rate_khz"]
    assert document["what"] == "processes" and low < value < high and value == pytest.approx(expected)
    (document,) = summarise({"mix": one + tally(tmp_path / "mix.h5", board=board)}, board)["samples"]
    assert document["events"] == 2 * len(codes) and document["seeds"][1]["rate_khz"][1] == pytest.approx(expected)


def test_records_and_patterns(codes: np.ndarray, model_dir: Path, tmp_path: Path) -> None:
    board = read_trigger([model_dir])
    write_hw_sample(tmp_path / "events.h5", codes)
    trigger(tmp_path / "events.h5", board, tmp_path / "kept.h5")
    kept = tally(tmp_path / "kept.h5", board=board)
    document = summarise({"kept": kept}, board)["samples"][0]
    before = (board.score(codes)[:, 0] >= board.menu.seeds[1].threshold).sum()
    assert document["what"] == "accepted events" and document["seeds"][1]["fired"] == before
    assert document["by_lumi"]["lumi"] == [1]
    lanes = patterns.from_words(objects.pack(codes[:500]), spec.latency())
    patterns.write(tmp_path / "lanes.txt.gz", lanes)
    found = tally(tmp_path / "lanes.txt.gz", board=board)
    assert (found.sample, found.kind) == ("lanes", "patterns")
    write_hw_sample(tmp_path / "same.h5", codes[:500])
    same = tally(tmp_path / "same.h5", board=board)
    assert np.array_equal(found.counts["score:test"].values, same.counts["score:test"].values)
    assert found.counts["all"].values[0, 0] == 500


def test_counts_add_in_any_order() -> None:
    rng = np.random.default_rng(3)
    keys, rows = rng.integers(-5, 5, 1000), rng.random((1000, 3)) < 0.5
    whole, empty = Counts.of(keys, rows), Counts.of(keys[:0], rows[:0])
    parts = [Counts.of(keys[i::7], rows[i::7]) for i in range(7)]
    for order in (range(7), reversed(range(7))):
        total = empty
        for i in order:
            total += parts[i]
        assert np.array_equal(total.keys, whole.keys) and np.array_equal(total.values, whole.values)
    assert whole.values.dtype == np.int64 and whole.values[:, 0].sum() == rows[:, 0].sum()


def test_pictures(files: tuple[list[Path], dict[str, np.ndarray]], model_dir: Path, tmp_path: Path) -> None:
    for name in ("matplotlib", "jinja2", "scipy"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra offline)")
    out = tmp_path / "out"
    command = [
        "rates",
        *map(str, files[0]),
        "--model",
        str(model_dir),
        "--output",
        str(out),
        "--cluster",
        "none",
        "--plots",
    ]
    assert main(command) == 0
    drawn = sorted(path.name for path in (out / "plots").iterdir())
    names = ["lumi_ZB_run398183", "lumi_haa", "pileup_ZB_run398183", "pileup_haa", "scores_test"]
    assert drawn == [f"{name}.png" for name in names]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (out / "plots").iterdir())
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "Seeds on ZB_run398183, before prescale" in page and page.count("data:image/png") >= len(names)


def test_bad_use(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.parquet").write_text("no")
    out, model = str(tmp_path / "out"), str(model_dir)
    for arguments, message in (
        (["--bunches", "4000"], "--bunches is 4000; expected 1 to 3564"),
        (["--workers", "0"], "--workers is 0; expected 1 or more"),
        (["--retries", "-1"], "--retries is -1; expected 0 or more"),
    ):
        assert main(["rates", str(tmp_path / "a.parquet"), "--model", model, "--output", out, *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main(["rates", str(tmp_path / "a.parquet"), "--model", model, "--output", str(tmp_path / "a.parquet")]) == 2
    assert "it is a file; a folder is needed" in capsys.readouterr().err
