"""Data frames in pandas' fixed format: written, read back in any pieces, refused when damaged or of another format."""

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ad40.dataframe import Frame, Writer
from ad40.errors import InputError, MissingTool
from tests.jet_files import write_frame

SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(st.integers(0, 40), st.integers(1, 7), st.sampled_from([np.float32, np.float64]), st.booleans(), st.data())
def test_round_trip(tmp_path: Path, n: int, width: int, dtype: type, text: bool, data: st.DataObject) -> None:
    rows = np.random.default_rng(n).normal(size=(n, width)).astype(dtype)
    columns = [f"c{k}" for k in range(width)] if text else list(range(width))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        writer = Writer(file, columns, n, dtype)
        at = 0
        while at < n:
            step = data.draw(st.integers(1, n - at))
            writer.add(rows[at : at + step])
            at += step
        writer.finish()
    with Frame(tmp_path / "f.h5") as frame:
        assert (frame.n, frame.columns, frame.key) == (n, tuple(columns), "df")
        start = data.draw(st.integers(0, n))
        stop = data.draw(st.integers(start, n))
        got = frame.read(start, stop)
        assert got.dtype == dtype and np.array_equal(got, rows[start:stop])
        picked = data.draw(st.lists(st.sampled_from(range(width)), min_size=1, max_size=4, unique=True))
        assert np.array_equal(frame.read(columns=[columns[k] for k in picked]), rows[:, picked])


def test_pandas_reads_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    rows = np.random.default_rng(1).normal(size=(200, 5))
    for columns in (range(5), ["a", "b", "c", "d", "label"]):
        path = write_frame(tmp_path / "f.h5", rows, columns)
        for frame in (pandas.read_hdf(path), pandas.read_hdf(path, "df", start=0, stop=200)):
            assert list(frame.columns) == list(columns) and np.array_equal(frame.to_numpy(), rows)
    frame.to_hdf(tmp_path / "theirs.h5", key="df")
    with Frame(tmp_path / "theirs.h5") as ours:
        assert np.array_equal(ours.read(), rows) and ours.columns == ("a", "b", "c", "d", "label")


def test_blocks_of_several_types(tmp_path: Path) -> None:
    """As pandas writes a frame whose label is an integer: two blocks, columns of one between those of the other."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("any")
        group.attrs["nblocks"] = 2
        group["axis0"] = np.array([b"x", b"label", b"y"])
        group["axis1"] = np.arange(4)
        group["block0_items"] = np.array([b"x", b"y"])
        group["block0_values"] = np.arange(8.0).reshape(4, 2)
        group["block1_items"] = np.array([b"label"])
        group["block1_values"] = np.array([[0], [1], [1], [0]])
    with Frame(tmp_path / "f.h5") as frame:
        assert frame.read().tolist() == [[0, 0, 1], [2, 1, 3], [4, 1, 5], [6, 0, 7]]
        assert frame.read(1, 3, ["label"]).tolist() == [[1], [1]]


def damaged(path: Path, change: str) -> Path:
    write_frame(path, np.ones((5, 3)))
    with h5py.File(path, "r+") as file:
        group = file["df"]
        if change == "values":
            del group["block0_values"]
            group["block0_values"] = np.ones((4, 3))
        elif change == "items":
            group["block0_items"][2] = 7
        elif change == "table":
            del file["df"]
            file.create_group("df").attrs["pandas_type"] = "frame_table"
        elif change == "two":
            file.copy("df", "other")
        else:
            del group[change]
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("values", r"block0_values is float64 of shape \(4, 3\); expected numbers of shape \(5, 3\)"),
        ("items", "column 2 is in no block"),
        ("axis1", "/df/axis1 is missing"),
        ("table", "format of df is a pandas table; expected a frame in the format 'fixed'"),
        ("two", "content is df, other; expected one data frame"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Frame(damaged(tmp_path / "f.h5", change))


def test_wrong_requests(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "f.h5", np.ones((5, 3)))
    with pytest.raises(InputError, match="content is df; expected a data frame named 'black'"):
        Frame(path, "black")
    with Frame(path, "df") as frame, pytest.raises(InputError, match="column is 'mj1' missing; expected among 0, 1, 2"):
        frame.read(columns=["mj1"])
    with h5py.File(tmp_path / "few.h5", "w") as file, pytest.raises(ValueError, match="3 rows for a frame of 4"):
        writer = Writer(file, range(2), 4, np.float64)
        writer.add(np.ones((3, 2)))
        writer.finish()


def test_compression_that_is_not_here(tmp_path: Path) -> None:
    """PyTables compresses with Blosc (filter 32001), which HDF5 has as a plug-in only."""
    if h5py.h5z.filter_avail(32001) or importlib.util.find_spec("hdf5plugin"):
        pytest.skip("the Blosc filter is installed here")
    path = damaged(tmp_path / "f.h5", "block0_values")
    with h5py.File(path, "r+") as file:
        pipeline = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        pipeline.set_chunk((5, 3))
        pipeline.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((5, 3))
        h5py.h5d.create(file["df"].id, b"block0_values", h5py.h5t.NATIVE_DOUBLE, space, pipeline)
    with pytest.raises(MissingTool, match=r"hdf5plugin.*reads f.h5, which is compressed with '32001'"):
        Frame(path)
