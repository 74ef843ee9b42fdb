"""Files of the LHC Olympics: events with and without labels, features, the authors' jets; what is impossible in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ad40.errors import InputError
from ad40.lhco import FEATURES
from offline.jets import lhco
from offline.jets.jets import Jets, check
from tests.jet_files import event_rows, random_jets, write_frame

NAMES = [f"{name}j{k}" for k in (1, 2) for name in FEATURES]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("label", [True, False])
def test_events(tmp_path: Path, label: bool, dtype: type) -> None:
    jets = random_jets(280)
    rows = event_rows(jets, 142, label)  # the last two events are empty
    with lhco.open_source(write_frame(tmp_path / "e.h5", rows, dtype=dtype)) as source:
        assert isinstance(source, lhco.EventsFile)
        assert (source.n, source.kind, source.labelled, source.stand_in) == (142, "events", label, None)
        blocks = list(source.blocks(10))
        assert len(blocks) > 1 and [b.first for b in blocks] == list(np.cumsum([0, *map(len, blocks[:-1])]))
        number = np.concatenate([np.diff(b.offsets) for b in blocks])
        assert np.array_equal(number, np.bincount(jets.event[jets.owner], minlength=142))
        particles = np.concatenate([b.particles for b in blocks])
        expected = jets.constituents[np.lexsort((-jets.constituents[:, 0], jets.event[jets.owner]))]
        assert np.array_equal(particles, expected)
        labels = np.concatenate([b.label for b in blocks])
        assert np.array_equal(labels[:140], jets.label[::2]) if label else (labels == -1).all()
        if not label:
            with pytest.raises(InputError, match=r"e.h5: label is missing; expected a file with labels"):
                source.need_labels()


BAD = [
    (lambda rows: rows.__setitem__((3, 4), np.nan), r"event 3, particle 1 is \[.*nan.*\]; expected finite"),
    (lambda rows: rows.__setitem__((3, 0), -5), "event 3, particle 0 .*expected pt >= 0 GeV"),
    (lambda rows: rows.__setitem__((0, 1), 50), "event 0, particle 0 .*expected abs"),
    (lambda rows: rows.__setitem__((0, 2), 7), "event 0, particle 0 .*expected phi within"),
    (lambda rows: rows.__setitem__((5, 2100), 2), "event 5, label is 2.0; expected 0"),
    (lambda rows: rows.__setitem__((5, 2100), np.nan), "event 5, label is nan"),
]


@pytest.mark.parametrize(("fault", "message"), BAD)
def test_bad_events(tmp_path: Path, fault: Callable[[np.ndarray], None], message: str) -> None:
    rows = event_rows(random_jets(20), 10)
    fault(rows)
    with lhco.EventsFile(write_frame(tmp_path / "e.h5", rows)) as source, pytest.raises(InputError, match=message):
        list(source.blocks())


@pytest.mark.parametrize("columns", [2099, 2102, 14])
def test_wrong_number_of_columns(tmp_path: Path, columns: int) -> None:
    path = write_frame(tmp_path / "e.h5", np.zeros((3, columns)))
    with pytest.raises(InputError, match=f"number of columns is {columns}; expected 2100"):
        lhco.open_source(path)


def feature_rows(jets: Jets) -> np.ndarray:
    p = jets.four_momenta()
    own = np.concatenate([p[:, :3], jets.jet[:, 3:7]], axis=1)
    return np.concatenate([own.reshape(-1, 14), jets.label[::2, None]], axis=1)


def test_features(tmp_path: Path) -> None:
    jets = random_jets(40)
    rows = feature_rows(jets)
    rows[4, :7] = 0  # an event with one jet
    rows[6, 4:7] = np.nan
    with lhco.open_source(write_frame(tmp_path / "f.h5", rows, [*NAMES, "label"])) as source:
        assert (source.kind, source.n, source.labelled) == ("features", 20, True)
        got = check(source.read())
    assert len(got) == 39 and len(got.constituents) == 0
    assert (np.diff(got.column("pt")) <= 0)[got.which[1:] == 1].all()
    assert got.event.tolist() == sorted([*range(20), *(set(range(20)) - {4})])
    pt = np.sort(jets.jet[:2, 0])[::-1]
    assert got.jet[:2, 0] == pytest.approx(pt, rel=1e-6)
    order = np.argsort(-jets.jet[:2, 0])
    assert got.jet[:2, 1:7] == pytest.approx(jets.jet[:2, 1:7][order], rel=1e-4, abs=1e-5)
    assert np.isnan(got.jet[:, 7:]).all()
    assert np.isnan(got.jet[got.event == 6, 4:7]).any(axis=1).sum() == 1
    assert np.array_equal(got.label[got.which == 0], jets.label[::2])


def test_features_without_labels(tmp_path: Path) -> None:
    rows = feature_rows(random_jets(6))[:, :14]
    with lhco.open_source(write_frame(tmp_path / "f.h5", rows, NAMES)) as source:
        assert not source.labelled and (source.read().label == -1).all()


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        ((1, 0), np.nan, "event 1, jet 1 is .*expected finite momenta and mass"),
        ((1, 10), -50, "event 1, jet 2 is .*expected mass >= 0 GeV"),
        ((2, 14), 3, "event 2, label is 3"),
    ],
)
def test_bad_features(tmp_path: Path, index: Any, value: float, message: str) -> None:
    rows = feature_rows(random_jets(8))
    rows[index] = value
    path = write_frame(tmp_path / "f.h5", rows, [*NAMES, "label"])
    with lhco.open_source(path) as source, pytest.raises(InputError, match=message):
        source.read()


def test_a_feature_is_missing(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "f.h5", np.ones((2, 13)), NAMES[:13])
    with lhco.open_source(path) as source, pytest.raises(InputError, match="column is 'tau3j2' missing"):
        source.read()


@pytest.mark.parametrize(("name", "jets", "full"), [("2prong", 320, 13), ("3prong", 304, 41)])
def test_published_jets(reference_data: Path, name: str, jets: int, full: int) -> None:
    """W'(3.5 TeV) -> X(500) Y(100) of the real R&D set, 100 events each."""
    path = reference_data / f"lhco_{name}_signal_100.h5"
    with lhco.open_source(path, 1) as source:
        got = check(source.read())
        assert (source.kind, source.n, len(got), source.stand_in) == ("clustered", 100, jets, None)
        assert np.array_equal(
            source.read(10, 20).constituents, got.take((got.event >= 10) & (got.event < 20)).constituents
        )
    assert (got.label == 1).all() and (got.counts == 80).sum() == full
    assert np.median(got.dijet_mass()) == pytest.approx(3480, abs=20)
    light, heavy = np.sort(got.column("msd")[got.pairs()], axis=1).T
    assert np.median(light) == pytest.approx(100, abs=10) and np.median(heavy) == pytest.approx(475, abs=25)
    with h5py.File(path) as file:
        hlvs = file["hlvs"][:][got.event, got.which]
    whole = (got.counts < 80) & (got.counts > 3)
    # their tau come from the same definition: axes of exclusive kt with winner-takes-all, beta 1, R = 1
    assert got.jet[whole, 4:7] == pytest.approx(hlvs[whole, 2:5], rel=1e-5, abs=1e-7)
    with lhco.open_source(path) as source:
        assert not source.labelled and (source.read(0, 5).label == -1).all()


def test_impossible_published_jets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["hlvs"] = np.zeros((2, 3, 10))
        file["constituents"] = np.zeros((2, 3, 5, 4))
        file["constituents"][1, 0, 1, 0] = np.nan
    with lhco.open_source(tmp_path / "c.h5") as source, pytest.raises(InputError, match="event 1, jet 0 is impossible"):
        source.read()
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        del file["constituents"]
        file["constituents"] = np.zeros((2, 3, 5, 3))
    with pytest.raises(InputError, match=r"constituents is of shape \(2, 3, 5, 3\)"):
        lhco.open_source(tmp_path / "c.h5")


def test_label_only_where_there_is_none(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "e.h5", event_rows(random_jets(4), 2))
    with pytest.raises(InputError, match="label is 1 asked for; expected none"):
        lhco.open_source(path, 1)
    with pytest.raises(InputError, match="label is 4; expected 0"):
        lhco.open_source(path, 4)
