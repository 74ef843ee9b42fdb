"""The CMS Level-1 data set: files written here in the published layout are read as the codes they hold."""

from pathlib import Path

import numpy as np
import pytest

from ad40 import objects, spec
from ad40.errors import InputError
from ad40.events import open_events
from ad40.model import read_model
from ad40.record import read
from ad40.stream import scored
from ad40.trigger import trigger
from tests.l1_files import jagged, write


@pytest.fixture
def events() -> np.ndarray:
    """Codes whose muons all differ in pt, so that sorting them has one answer."""
    rng = np.random.default_rng(5)
    codes = np.zeros((400, 19, 3), np.int32)
    for kind in spec.objects().types:
        part = codes[:, kind.slots]
        pt = np.stack([rng.permutation(np.arange(1, kind.pt.max_code + 1))[: kind.count] for _ in range(400)])
        part[..., 0] = -np.sort(-pt, axis=1) * (np.arange(kind.count) < rng.integers(0, kind.count + 1, 400)[:, None])
        if kind.eta:
            part[..., 1] = rng.integers(-kind.eta.max_code, kind.eta.max_code + 1, part.shape[:2])
        part[..., 2] = rng.integers(0, kind.phi.steps, part.shape[:2])
        part[part[..., 0] == 0] = 0
    return codes


def test_codes_columns_and_dropped_rows(events: np.ndarray, tmp_path: Path) -> None:
    kept = write(tmp_path / "train-00000-of-00001.parquet", events, np.random.default_rng(1))
    with open_events(tmp_path / "train-00000-of-00001.parquet") as file:
        assert (file.kind, file.n) == ("cms_l1", len(kept)) and 0 < len(kept) < len(events)
        assert np.array_equal(file.codes(), events[kept])
        assert np.array_equal(file.codes(90, 210), events[kept][90:210])
        assert np.array_equal(file.column("lumi", 90, 210), (kept // 50)[90:210])
        assert np.array_equal(np.concatenate([codes for _, codes in file.chunks(64)]), events[kept])
        assert file.column("L1bit").dtype == np.bool_
        assert len(file.codes(file.n)) == 0


def test_more_objects_than_slots_phi_outside_and_holes(tmp_path: Path) -> None:
    codes = np.zeros((2, 19, 3), np.int32)
    codes[:, 0] = (10, 0, 3)
    muons = [np.array([0, 7, 9, 3, 5, 8]), np.array([], int)]
    write(
        tmp_path / "a.parquet", codes, np.random.default_rng(1), order=None,
        muons_muonIEt=jagged(muons), muons_muonIEtaAtVtx=jagged([m - 4 for m in muons]),
        muons_muonIPhiAtVtx=jagged([m - 5 for m in muons]),
    )  # fmt: skip
    with open_events(tmp_path / "a.parquet") as file:
        found = file.codes()[:, spec.objects()["muon"].slots]
    assert found[0].tolist() == [[9, 5, 4], [8, 4, 3], [7, 3, 2], [5, 1, 0]]
    assert not found[1].any() and not objects.present(found[1][None]).any()


def test_trigger_runs_on_it(events: np.ndarray, model_dir: Path, tmp_path: Path) -> None:
    board = read_model(model_dir).trigger
    kept = write(tmp_path / "a.parquet", events, np.random.default_rng(2))
    summary = trigger(tmp_path / "a.parquet", board, tmp_path / "kept.h5")
    record = read(tmp_path / "kept.h5", board)
    assert 0 < summary["events_kept"] < summary["events_seen"] == len(kept)
    assert np.array_equal(record.columns["hw_score"], board.score(events[kept])[record.columns["event"], 0])
    assert {"nPV_True", "L1bit", "label"} <= set(record.columns)


def test_mistakes_are_named(events: np.ndarray, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.parquet", np.random.default_rng(3)
    write(path, events, rng, MET_phi=None)
    with pytest.raises(InputError, match=r"a.parquet: columns is without MET_phi"):
        open_events(path)
    write(path, events, rng, jets_jetIEta=jagged([np.zeros(1, int)] * len(events)))
    with open_events(path) as file, pytest.raises(InputError, match="jets_jetIEta is another number of objects"):
        file.codes()
    write(path, events, rng, MET_Et=jagged([np.array([5000])] * len(events)))
    with open_events(path) as file, pytest.raises(InputError, match=r"event 0, met.hw_pt is 5000; expected 0 to 4095"):
        file.codes()
    write(path, events, rng)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="expected a complete parquet file"):
        open_events(path)


@pytest.mark.parametrize("group", [7, 97, 1000])
def test_blocks_are_the_file_whatever_its_row_groups(events: np.ndarray, tmp_path: Path, group: int) -> None:
    path = tmp_path / "a.parquet"
    kept = write(path, events, np.random.default_rng(4), group)
    with open_events(path) as file:
        blocks = [
            (first, file.decode(raw, first), columns) for first, raw, columns in file.blocks(64, ["lumi", "L1bit"])
        ]
        assert [first for first, _, _ in blocks] == np.cumsum(
            [0, *(len(codes) for _, codes, _ in blocks[:-1])]
        ).tolist()
        assert max(len(codes) for _, codes, _ in blocks) < 128
        assert np.array_equal(np.concatenate([codes for _, codes, _ in blocks]), events[kept])
        for name in ("lumi", "L1bit"):
            assert np.array_equal(np.concatenate([columns[name] for _, _, columns in blocks]), file.column(name))
        assert file.dropped == len(events) - len(kept)


def test_threads_change_nothing(
    events: np.ndarray, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ad40.stream.BLOCK", 50)
    board = read_model(model_dir).trigger
    write(tmp_path / "a.parquet", events, np.random.default_rng(6), 30)
    found = []
    for threads in (1, 2, 5):
        with open_events(tmp_path / "a.parquet") as file:
            found.append(list(scored(file, board, ["L1bit"], threads)))
    assert len(found[0]) > 3
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.first == b.first and np.array_equal(a.codes, b.codes) and np.array_equal(a.score, b.score)
            assert np.array_equal(a.columns["L1bit"], b.columns["L1bit"])
