"""The jets file: what is written is read, in any pieces; what no jet can be is refused with its place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ad40.errors import InputError
from offline.jets.jets import COLUMNS, Jets, check, empty, open_jets, write
from tests.jet_files import random_jets

ARRAYS = ("offsets", "constituents", "jet", "event", "which", "label")
ABOUT: dict[str, Any] = {"events": 20, "sources": [], "stand_in": None}


def same(a: Jets, b: Jets) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS)


def test_round_trip(tmp_path: Path) -> None:
    jets = random_jets(40)
    blocks = [jets.take(slice(0, 13)), empty(), jets.take(slice(13, 40))]
    document = write(tmp_path / "j.h5", blocks, ABOUT)
    assert (document["jets"], document["constituents"]) == (40, len(jets.constituents))
    with open_jets(tmp_path / "j.h5") as file:
        assert (file.n, file.events, file.attributes) == (40, 20, document)
        assert same(file.read(), jets) and same(file.read(7, 9), jets.take(slice(7, 9)))
        assert same(Jets.concatenate(file.blocks(11)), jets)
        assert np.array_equal(file.column("mass"), jets.column("mass"))
        assert np.array_equal(file.column("event"), jets.event)
        assert np.allclose(file.table().dijet_mass(), jets.dijet_mass())
        with pytest.raises(InputError, match="jets is 3 to 41; expected within 0 to 40"):
            file.read(3, 41)


def test_take() -> None:
    jets = random_jets(30)
    rows = np.array([4, 2, 2, 29])
    taken = jets.take(rows)
    for k, row in enumerate(rows):
        piece = jets.constituents[jets.offsets[row] : jets.offsets[row + 1]]
        assert np.array_equal(taken.constituents[taken.offsets[k] : taken.offsets[k + 1]], piece)
    assert np.array_equal(taken.jet, jets.jet[rows])
    assert same(Jets.concatenate([jets.take(np.arange(30) < 9), jets.take(np.arange(30) >= 9)]), jets)
    assert np.array_equal(jets.owner, np.repeat(np.arange(30), jets.counts))


def test_pairs_and_masses() -> None:
    jets = random_jets(10).take(np.array([0, 1, 3, 4, 5, 6, 8, 9]))  # events 1 and 3 have lost a jet
    assert jets.pairs().tolist() == [[0, 1], [3, 4], [6, 7]]
    p = jets.four_momenta()
    total = p[0] + p[1]
    assert jets.dijet_mass()[0] == pytest.approx(np.sqrt(total[3] ** 2 - (total[:3] ** 2).sum()))
    back_to_back = replace(jets.take(slice(0, 2)), jet=np.zeros((2, len(COLUMNS)), np.float32))
    back_to_back.jet[:, 0], back_to_back.jet[1, 2] = 1750, np.pi
    assert back_to_back.dijet_mass() == pytest.approx([3500])


def test_ratio_without_axes() -> None:
    jets = random_jets(3)
    jets.jet[:, 4:6] = [[0.2, 0.1], [0, 0], [np.nan, np.nan]]
    assert jets.ratio(2, 1)[:2].tolist() == [0.5, 0] and np.isnan(jets.ratio(2, 1)[2])


def change(name: str, index: Any, value: Any) -> Callable[[Jets], Jets]:
    def apply(jets: Jets) -> Jets:
        array = getattr(jets, name).copy()
        array[index] = value
        return replace(jets, **{name: array})

    return apply


BAD = [
    (change("jet", (3, 0), np.nan), "pt, eta, phi, mass of jet 3"),
    (change("jet", (3, 0), -20), "pt of jet 3 is .*; expected above 0 GeV"),
    (change("jet", (2, 3), -1), "mass of jet 2"),
    (change("jet", (2, 4), np.inf), "substructure of jet 2"),
    (change("constituents", (0, 0), 0), "constituents of jet 0"),
    (change("constituents", (0, 1), np.nan), "constituents of jet 0"),
    (change("event", 5, 0), "event of jet 5 is 0; expected numbers that never fall"),
    (change("which", 1, -1), "which of jet 1"),
    (change("label", 1, 2), r"label of jet 1 is 2; expected 1, 0 or -1 \(not known\)"),
    (change("offsets", -1, 3), "offsets"),
    (lambda jets: replace(jets, jet=jets.jet[:, :4]), r"jet is float32 of shape \(10, 4\)"),
    (lambda jets: replace(jets, label=jets.label.astype(np.int64)), "label is int64"),
]


@pytest.mark.parametrize(("fault", "message"), BAD)
def test_impossible_jets_are_refused(tmp_path: Path, fault: Callable[[Jets], Jets], message: str) -> None:
    jets = random_jets(10)
    with pytest.raises(InputError, match=message):
        write(tmp_path / "j.h5", [jets, fault(jets)] if "event" not in message else [fault(jets)], ABOUT)
    assert list(tmp_path.iterdir()) == []
    check(jets)


def test_events_of_blocks_must_rise(tmp_path: Path) -> None:
    jets = random_jets(10)
    with pytest.raises(InputError, match="event of jet 10 is 0; expected at least 4"):
        write(tmp_path / "j.h5", [jets, jets], ABOUT)
    with pytest.raises(InputError, match="document is without 5 events"):
        write(tmp_path / "j.h5", [jets], ABOUT | {"events": 4})
    with pytest.raises(InputError, match="document is without .*stand_in"):
        write(tmp_path / "j.h5", [jets], {"events": 5, "sources": []})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.attrs.__delitem__("jets"), "attribute 'jets' is missing; expected a jets file"),
        (lambda file: file.attrs.__setitem__("jets", "{}"), "attribute 'jets' is malformed"),
        (lambda file: file.__delitem__("which"), "which is missing or of another shape"),
        (lambda file: file["constituents"].resize(3, axis=0), "constituents is missing or of another shape"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Callable[[h5py.File], None], message: str) -> None:
    write(tmp_path / "j.h5", [random_jets(10)], ABOUT)
    with h5py.File(tmp_path / "j.h5", "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=message):
        open_jets(tmp_path / "j.h5")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "j.h5", [random_jets(10)], ABOUT)
    with h5py.File(tmp_path / "j.h5", "r+") as file:
        file.attrs["jets"] = file.attrs["jets"].replace('"version": 1', '"version": 2')
    with pytest.raises(InputError, match="version is 2; expected 1"):
        open_jets(tmp_path / "j.h5")
