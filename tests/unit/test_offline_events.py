"""The offline event file: written beside `Particles`, read back by rows, faults named."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import offline_events
from ad40.errors import InputError
from ad40.events import open_events, write_adc2021

WORKING_POINT = {"name": "medium"}


def arrays(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random objects of n events, about half of the slots filled."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {"met": rng.uniform(0, 3, (n, 2)).astype(np.float32)}
    for name, slots in offline_events.COUNTS.items():
        objects = rng.uniform(0, 3, (n, slots, 4)).astype(np.float32)
        objects[np.arange(slots) >= rng.integers(0, slots + 1, (n, 1))] = 0
        found[name] = objects
    found["pileup"] = rng.poisson(20, n).astype(np.float32)
    return found


def write(path: Path, n: int, content: dict[str, np.ndarray]) -> None:
    events = np.zeros((n, 19, 3), np.float32)
    events[:, 0, 0] = 30
    write_adc2021(path, events, also=lambda file: offline_events.write_offline(file, content, WORKING_POINT))


def test_rows_come_back_and_the_trigger_still_reads_the_file(tmp_path: Path) -> None:
    content = arrays(50)
    write(tmp_path / "e.h5", 50, content)
    assert offline_events.has_offline(tmp_path / "e.h5")
    assert offline_events.describe_offline(tmp_path / "e.h5") == offline_events.Description(50, 1, WORKING_POINT)
    found = offline_events.read_offline(tmp_path / "e.h5", 10, 20)
    assert set(found) == set(offline_events.SHAPES)
    for name, data in found.items():
        assert data.dtype == np.float32
        assert np.array_equal(data, content[name][10:20])
    with open_events(tmp_path / "e.h5") as events:
        assert events.kind == "adc2021" and events.n == 50 and events.columns == ()


def test_flavours_are_optional(tmp_path: Path) -> None:
    flavours = {name: np.full((3, 10), 5, np.uint8) for name in offline_events.FLAVOURS}
    write(tmp_path / "e.h5", 3, arrays(3) | flavours)
    found = offline_events.read_offline(tmp_path / "e.h5", names=["jet_flavour"])
    assert list(found) == ["jet_flavour"] and found["jet_flavour"].tolist() == flavours["jet_flavour"].tolist()
    write(tmp_path / "without.h5", 3, arrays(3))
    with pytest.raises(InputError, match="offline/jet_flavour is missing"):
        offline_events.read_offline(tmp_path / "without.h5", names=["jet_flavour"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("jet", np.nan, "offline/jet, row 2 is not finite"),
        ("muon", -1.0, "offline/muon, row 2 is negative"),
        ("pileup", -1.0, "offline/pileup, row 2 is negative"),
        ("met", np.inf, "offline/met, row 2 is not finite"),
    ],
)
def test_impossible_values_are_named_when_written_and_when_read(
    name: str, value: float, message: str, tmp_path: Path
) -> None:
    content = arrays(5)
    write(tmp_path / "good.h5", 5, content)
    with h5py.File(tmp_path / "good.h5", "r+") as file:
        data = file["offline"][name]
        data[2] = value
    with pytest.raises(InputError, match=message):
        offline_events.read_offline(tmp_path / "good.h5")
    content[name][2] = value
    with pytest.raises(InputError, match=message):
        write(tmp_path / "bad.h5", 5, content)
    assert not (tmp_path / "bad.h5").exists()


def test_missing_groups_versions_and_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "e.h5"
    write_adc2021(path, np.zeros((4, 19, 3), np.float32))
    assert not offline_events.has_offline(path)
    with pytest.raises(InputError, match="ad40 generate --offline"):
        offline_events.read_offline(path)
    write(path, 4, arrays(4))
    with h5py.File(path, "r+") as file:
        file["offline"].attrs["version"] = 9
    with pytest.raises(InputError, match="version is 9; expected 1"):
        offline_events.describe_offline(path)
    with pytest.raises(InputError, match="3 as in Particles"):
        write(path, 3, arrays(4))
        offline_events.read_offline(path)
    with pytest.raises(InputError, match="shape"):
        write(path, 3, arrays(3) | {"jet": np.zeros((3, 9, 4), np.float32)})
