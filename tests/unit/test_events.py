"""Event files: the ADC2021 layout with its quirks, hardware samples, and files that are neither."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import objects
from ad40.errors import HashMismatch, InputError, OutputError
from ad40.events import CLASSES, NAMES, open_events, write_adc2021, write_hw_sample
from tests.conftest import random_events


def published_file(path: Path, particles: np.ndarray) -> None:
    """A file exactly as ADC2021 publishes them: float64, byte strings, a black box's EvtId, nothing of ours."""
    with h5py.File(path, "w") as file:
        file.create_dataset("EvtId", data=np.arange(len(particles), dtype=np.int64))
        file.create_dataset("Particles", data=particles, dtype="f8")
        file.create_dataset("Particles_Classes", data=np.array(CLASSES, "S"))
        file.create_dataset("Particles_Names", data=np.array(NAMES, "S"))


def test_published_layout_with_zeroed_jets(tmp_path: Path) -> None:
    particles = np.zeros((2, 19, 4))
    particles[:, 0] = 30, 0, 1, 1
    particles[:, 1] = 25, 0.5, -1, 2
    particles[:, 9:13, 3] = 4
    particles[0, [9, 10, 12], :3] = [[90, 1, 1], [60, -1, 2], [20, 0, 3]]  # jet 2 was beyond eta 4: zeroed, class kept
    particles[1, 9:13, :3] = [[80, 1, 1], [70, 2, 2], [60, 3, 3], [50, 0, 0]]
    published_file(tmp_path / "bb.h5", particles)
    with open_events(tmp_path / "bb.h5") as file:
        assert (file.n, file.kind, file.columns, file.attributes) == (2, "adc2021", ("EvtId",), {})
        events = file.events()
        assert events[0, 9:13, 0].tolist() == [90, 60, 20, 0]
        assert events[0, 11].tolist() == [20, 0, 3]
        assert events[1, 9:13, 0].tolist() == [80, 70, 60, 50]
        assert np.array_equal(file.codes(), objects.encode(events).codes)
        assert file.column("EvtId").tolist() == [0, 1]


def test_round_trips_and_chunks(tmp_path: Path) -> None:
    events = random_events(700)
    codes = objects.encode(events).codes
    column = {"process": np.arange(700, dtype=np.uint8)}
    write_adc2021(tmp_path / "a.h5", events, column, {"seed": 3})
    write_hw_sample(tmp_path / "b.h5", codes, column, {"seed": 3})
    for name in "ab":
        with open_events(tmp_path / f"{name}.h5") as file:
            assert file.attributes == {"seed": 3} and file.columns == ("process",)
            assert np.array_equal(np.concatenate([c for _, c in file.chunks(101)]), codes)
            assert np.array_equal(file.column("process", 5, 9), column["process"][5:9])
            assert [start for start, _ in file.chunks(300, stop=650)] == [0, 300, 600]
    with open_events(tmp_path / "a.h5") as file:
        assert np.array_equal(file.events(), events)
        file.codes()
        assert file.saturated == objects.encode(events).saturated
    with h5py.File(tmp_path / "a.h5") as file:
        classes = file["Particles"][:, :, 3]
        assert np.array_equal(np.unique(classes[events[..., 0] > 0]), [1, 2, 3, 4])


def write(**datasets: np.ndarray) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, data in datasets.items():
                file[name] = data

    return make


def truncated(path: Path) -> None:
    write_adc2021(path, random_events(5000))
    path.write_bytes(path.read_bytes()[:-20000])


def values(change: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        particles = np.zeros((3, 19, 4))
        particles[2, 9, 0] = change
        published_file(path, particles)

    return make


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, "file is missing; expected an HDF5 file"),
    "a folder": (lambda p: p.mkdir(), "file is a folder; expected an HDF5 file"),
    "not HDF5": (lambda p: p.write_text("pt,eta,phi\n"), "expected a complete HDF5 file"),
    "truncated": (truncated, "expected a complete HDF5 file"),
    "foreign": (write(jets=np.zeros(3)), "datasets is ['jets']; expected 'Particles' (ADC2021) or 'codes'"),
    "wrong shape": (write(Particles=np.zeros((3, 18, 4))), "Particles.shape is (3, 18, 4); expected (events, 19, 4)"),
    "integers": (write(Particles=np.zeros((3, 19, 4), int)), "Particles.dtype is int64; expected floats"),
    "other columns": (
        write(Particles=np.zeros((3, 19, 4)), Particles_Names=np.array(("E", "Px", "Py", "Pz"), "S")),
        "Particles_Names is ('E', 'Px', 'Py', 'Pz')",
    ),
    "NaN": (values(np.nan), "event 2, jet[0].pt is nan; expected a finite number (1 such values)"),
    "infinite": (values(np.inf), "event 2, jet[0].pt is inf"),
    "negative pt": (values(-5.0), "event 2, jet[0].pt is -5.0; expected pt >= 0 GeV"),
    "codes without hash": (write(codes=np.zeros((1, 19, 3), np.int16)), "hash of the object scales is none"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path) -> None:
    make, message = MISTAKES[mistake]
    path = tmp_path / "events.h5"
    make(path)
    with pytest.raises(InputError) as error, open_events(path) as file:
        file.codes()
    assert str(path) in str(error.value) and message in str(error.value)


def test_codes_of_other_scales(tmp_path: Path) -> None:
    write_hw_sample(tmp_path / "b.h5", np.zeros((1, 19, 3), np.int32))
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file.attrs["spec_hash"] = "0" * 64
    with pytest.raises(HashMismatch, match="hash of the object scales is 0000"):
        open_events(tmp_path / "b.h5")


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_hw_sample(tmp_path / "b.h5", np.zeros((1, 19, 3), np.int32), attributes={"seed": object()})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_hw_sample(tmp_path / "file" / "b.h5", np.zeros((1, 19, 3), np.int32))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
