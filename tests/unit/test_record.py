"""TriggerRecord files: what was written is read, and only by those whom it belongs to."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import record
from ad40.emulator import Emulator
from ad40.errors import Ad40Error, HashMismatch, InputError
from ad40.events import write_hw_sample
from ad40.menu import Menu, MenuState, ModelRef, Seed
from ad40.model import Model, Trigger, read_model
from ad40.trigger import parse_schedule, trigger
from tests.conftest import make_network


@pytest.fixture
def kept(model_dir: Path, codes: np.ndarray, tmp_path: Path) -> record.TriggerRecord:
    write_hw_sample(
        tmp_path / "events.h5", codes, {"process": (np.arange(len(codes)) % 4).astype(np.uint8)}, {"seed": 1}
    )
    trigger(tmp_path / "events.h5", read_model(model_dir).trigger, tmp_path / "kept.h5", run_number=7)
    return record.read(tmp_path / "kept.h5")


def test_the_record_is_what_the_emulator_decides(
    kept: record.TriggerRecord, model_dir: Path, codes: np.ndarray
) -> None:
    model = read_model(model_dir)
    score = Emulator(model.network).score(codes)
    decision = MenuState(model.menu).decide(score)
    rows = np.flatnonzero(decision.l1a)
    assert 0 < len(rows) < len(codes)
    assert np.array_equal(kept.columns["event"], rows)
    assert np.array_equal(kept.codes, codes[rows])
    assert np.array_equal(kept.columns["hw_score"], score[rows])
    assert np.array_equal(kept.columns["process"], rows % 4)
    assert np.array_equal(kept.columns["orbit"] * 3564 + kept.columns["bx"], rows)
    assert (kept.columns["run"] == 7).all() and (kept.columns["lumi"] == 1).all()
    for i, seed in enumerate(kept.attributes["seeds"]):
        assert np.array_equal(kept.seed(seed["name"]), decision.seeds_after[rows, i])
        assert (seed["before"], seed["after"]) == (decision.seeds_before[:, i].sum(), decision.seeds_after[:, i].sum())
    a = kept.attributes
    assert (a["events_seen"], a["events_kept"]) == (len(codes), len(rows))
    assert (a["models"][0]["hash"], a["menu_hash"], a["spec_hash"]) == (
        model.network.hash, model.menu.hash, model.network.spec_hash,
    )  # fmt: skip
    assert a["source"]["attributes"] == {"seed": 1}


def test_models_side_by_side_and_prescale_columns(model_dir: Path, codes: np.ndarray, tmp_path: Path) -> None:
    """Two models on one board: each with its score in the record, seeds of both in one mask."""
    first = read_model(model_dir)
    second = dataclasses.replace(make_network(3), name="second")
    cut = int(np.median(Emulator(second).score(codes)))
    menu = Menu(
        (*first.menu.models, ModelRef("second", second.hash)), first.menu.spec_hash,
        (*(dataclasses.replace(seed, prescales=(*seed.prescales, 0)) for seed in first.menu.seeds),
         Seed("T0", "second", cut, (1, 4))), ("nominal", "high"),
    )  # fmt: skip
    board = Trigger((first.network, second), menu)
    write_hw_sample(tmp_path / "events.h5", codes, {}, {})
    trigger(tmp_path / "events.h5", board, tmp_path / "kept.h5", schedule=parse_schedule(["1:high"], menu))
    kept = record.read(tmp_path / "kept.h5", board)
    score = Emulator(second).score(codes)
    rows = np.flatnonzero(score >= cut)[3::4]
    assert len(rows) and np.array_equal(kept.columns["event"], rows)
    assert np.array_equal(kept.columns["hw_score_second"], score[rows])
    assert np.array_equal(kept.columns["hw_score"], Emulator(first.network).score(codes)[rows])
    assert kept.seed("T0").all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [("0:high", "expected NAME or LUMI:NAME"), ("2:low", "column is low; expected one of nominal")],
)
def test_columns_that_are_not_there(entry: str, message: str, model_dir: Path) -> None:
    with pytest.raises(Ad40Error, match=message):
        parse_schedule([entry], read_model(model_dir).menu)


def test_hashes_must_match(kept: record.TriggerRecord, model_dir: Path) -> None:
    model: Model = read_model(model_dir)
    record.read(kept.path, model.trigger)
    other = dataclasses.replace(model.network, version="9")
    with pytest.raises(HashMismatch) as error:
        record.read(kept.path, dataclasses.replace(model.trigger, networks=(other,)))
    assert model.network.hash in str(error.value) and other.hash in str(error.value)
    seeds = (dataclasses.replace(model.menu.seeds[0], threshold=0), *model.menu.seeds[1:])
    with pytest.raises(HashMismatch, match="menu_hash"):
        record.read(kept.path, dataclasses.replace(model.trigger, menu=dataclasses.replace(model.menu, seeds=seeds)))


def test_mistakes_are_named(kept: record.TriggerRecord, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed is Nope; expected one of S0, S1, S2"):
        kept.seed("Nope")
    with pytest.raises(InputError, match=r"events.h5: attributes is none of a record"):
        record.read(tmp_path / "events.h5")
    with pytest.raises(InputError, match="missing"):
        record.read(tmp_path / "nowhere.h5")
    with h5py.File(kept.path, "a") as file:
        del file["orbit"]
    with pytest.raises(InputError, match="missing orbit"):
        record.read(kept.path)
    kept.path.write_bytes(kept.path.read_bytes()[:3000])
    with pytest.raises(InputError, match="expected a complete HDF5 file"):
        record.read(kept.path)
