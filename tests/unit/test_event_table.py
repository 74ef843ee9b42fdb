"""The event table: what is written is what the modules give, in blocks of any size, whole or not at all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import hdf5
from ad40.errors import HashMismatch, InputError, OutputError
from offline import table
from offline.objects.collection import COUNTS, Objects
from offline.objects.selection import STREAMS, Cuts, apply, select
from offline.objects.source import Source
from offline.objects.spectra import masses, spectrum, ystar
from offline.rmm.layout import Layout
from offline.rmm.matrix import matrices
from tests.unit.test_rmm import objects

STREAM_NAMES, SPECTRA = ("1l", "met", "4jet"), ("jj", "jmu", "be", "jjmu")


class Memory(Source):
    """Events in memory as a file of events."""

    kind = "memory"

    def __init__(self, path: Path, events: Objects, **more: object) -> None:
        path.touch()
        super().__init__(path, events.counts)
        self.events, self.n, self._more = events, len(events), more

    def _read(self, size: int) -> Iterator[Objects]:
        for start in range(0, self.n, size):
            yield self.events.take(slice(start, start + size))


def sample(n: int, seed: int, **columns: np.ndarray) -> Objects:
    events = objects(n, seed)
    for name in COUNTS:
        events[name][:] = events[name].astype(np.float32)
    events.columns["weight"][:] = np.random.default_rng(seed).uniform(0.5, 2, n)
    events.columns.update(columns)
    return events


def write(path: Path, *sources: Source, **options: object) -> dict[str, object]:
    return table.write(path, sources, **({"streams": STREAM_NAMES, "spectra": SPECTRA} | options))


def test_holds_what_the_modules_give(tmp_path: Path) -> None:
    events = sample(700, 1, hw_score=np.arange(700, dtype=np.int32))
    source = Memory(tmp_path / "events", events)
    document = write(tmp_path / "t.h5", source, block=256)
    cut = apply(events, Cuts())
    passed = select(cut, STREAM_NAMES)
    kept = cut.take(np.flatnonzero(passed.any(axis=1)))
    assert 0 < len(kept) < 700
    with table.open_table(tmp_path / "t.h5") as found:
        assert found.n == len(kept) == document["events"] and found.attributes == document
        assert (found.streams, found.spectra, found.sqrt_s) == (STREAM_NAMES, SPECTRA, 13000.0)
        full = matrices(kept, Layout(), 13000.0).reshape(found.n, -1)
        assert np.array_equal(found.rmm(0, found.n), full)
        parts = [found.rmm(start, stop, found.layout.inputs) for start, stop in found.blocks(100)]
        assert np.array_equal(np.concatenate(parts), full[:, found.layout.inputs])
        for name in SPECTRA:
            np.testing.assert_array_equal(found.mass(name), masses(kept, spectrum(name)).astype(np.float32))
            assert np.isfinite(found.mass(name)).any()
        for k, name in enumerate(STREAM_NAMES):
            assert np.array_equal(found.stream(name), passed[passed.any(axis=1), k])
            assert found.stream(name).any(), name
        for name in ("run", "lumi", "event", "weight", "pileup", "hw_score"):
            np.testing.assert_array_equal(found.column(name), kept.columns[name])
        np.testing.assert_array_equal(found.column("ystar"), ystar(kept).astype(np.float32))
        assert not found.column("source").any()
    flow = {name: (events, weight) for name, events, weight in document["cutflow"]}
    assert flow["read"][0] == 700 and flow["kept"][0] == len(kept)
    assert flow["kept"][1] == pytest.approx(kept.columns["weight"].sum(dtype=float))
    assert flow["stream met"][0] == passed[:, 1].sum()


def test_blocks_of_any_size_give_the_same_table(tmp_path: Path) -> None:
    """The same bytes for the same call, the same content for every size of a block."""
    source = Memory(tmp_path / "events", sample(300, 2))
    contents = []
    for k, block in enumerate((1000, 300, 64, 7, 7)):
        write(tmp_path / f"{k}.h5", source, block=block)
        with h5py.File(tmp_path / f"{k}.h5") as file:
            names = ["masses", "streams", *(f"{group}/{name}" for group in ("rmm", "columns") for name in file[group])]
            contents.append({name: file[name][:] for name in names} | dict(file.attrs))
    assert len(contents[0]) >= 12
    for other in contents[1:]:
        assert other.keys() == contents[0].keys()
        for name, value in contents[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    with table.open_table(tmp_path / "3.h5") as one, table.open_table(tmp_path / "4.h5") as two:
        assert one.sha256 == two.sha256


def test_several_files_keep_their_order_and_common_columns(tmp_path: Path) -> None:
    first, second = sample(150, 3, process=np.zeros(150, np.int32)), sample(100, 4, hw_score=np.ones(100, np.int32))
    sources = [Memory(tmp_path / "a", first), Memory(tmp_path / "b", second)]
    document = write(tmp_path / "t.h5", *sources, streams=("any",), block=40)
    with table.open_table(tmp_path / "t.h5") as found:
        assert found.n == 250 and found.column("source").tolist() == [0] * 150 + [1] * 100
        assert found.column("event").tolist() == [*range(150), *range(100)]
        assert "process" not in found.columns and "hw_score" not in found.columns
    assert document["columns_left_out"] == ["hw_score", "process"]
    assert [source["file"] for source in document["sources"]] == ["a", "b"]


def test_copies_of_a_collision_are_dropped(tmp_path: Path) -> None:
    parent = np.random.default_rng(1).integers(0, 60, 200)
    source = Memory(tmp_path / "events", sample(200, 5, parent=parent))
    document = write(tmp_path / "t.h5", source, streams=("any",), block=33)
    with table.open_table(tmp_path / "t.h5") as found:
        first = np.sort(np.unique(parent, return_index=True)[1])
        assert np.array_equal(found.column("event"), first)
    assert document["copies_dropped"] == 200 - len(first) > 0
    everything = write(tmp_path / "all.h5", source, streams=("any",), copies=True)
    assert everything["events"] == 200 and everything["copies_dropped"] == 0
    assert everything["recipe"] != document["recipe"]


def test_masses_of_saturated_objects_are_left_out_and_counted(tmp_path: Path) -> None:
    events = sample(100, 9)
    full = np.zeros((100, COUNTS["jet"]), bool)
    full[::3, 0] = events.jet[::3, 0, 0] > 0
    events = replace(events, saturated={"jet": full})
    document = write(tmp_path / "t.h5", Memory(tmp_path / "events", events), streams=("any",), spectra=("jj", "mumu"))
    cut = apply(events, Cuts())
    expected = (full[:, 0] & (cut.jet[:, 1, 0] > 0)).sum()
    assert document["saturated_left_out"] == {"jj": expected, "mumu": 0} and expected > 10
    with table.open_table(tmp_path / "t.h5") as found:
        assert np.isfinite(found.mass("jj")).sum() == ((cut.jet[:, 1, 0] > 0) & ~full[:, 0]).sum()


def test_negative_weights_are_kept(tmp_path: Path) -> None:
    events = sample(50, 10)
    events.columns["weight"][::2] *= -1
    document = write(tmp_path / "t.h5", Memory(tmp_path / "events", events), streams=("any",))
    assert document["cutflow"][0][2] == pytest.approx(events.columns["weight"].sum(dtype=float))
    with table.open_table(tmp_path / "t.h5") as found:
        assert np.array_equal(found.column("weight"), events.columns["weight"])


def test_no_event_selected_is_a_table_without_rows(tmp_path: Path) -> None:
    document = write(tmp_path / "t.h5", Memory(tmp_path / "events", sample(20, 6)), cuts=Cuts(pt_min=1e5, met_min=1e5))
    assert document["events"] == 0
    with table.open_table(tmp_path / "t.h5") as found:
        assert found.rmm(0, 0).shape == (0, 36 * 36) and found.mass("jj").shape == (0,) and not [*found.blocks()]


def test_other_layouts_and_cross_sections(tmp_path: Path) -> None:
    small = Layout({"jet": 4, "muon": 2})
    sources = [Memory(tmp_path / "a", sample(50, 7)), Memory(tmp_path / "b", sample(50, 8))]
    sources[0].cross_section_pb = sources[1].cross_section_pb = 2.5
    document = write(tmp_path / "t.h5", *sources, layout=small, streams=("any",))
    assert document["cross_section_pb"] == 2.5 and document["counts"] == small.counts
    with table.open_table(tmp_path / "t.h5") as found:
        assert found.layout == small and found.rmm(0, 5).shape == (5, 49)
    sources[1].cross_section_pb = 3.0
    assert write(tmp_path / "t.h5", *sources)["cross_section_pb"] is None
    assert write(tmp_path / "t.h5", *sources, cross_section_pb=7.0)["cross_section_pb"] == 7.0


def test_what_is_no_sample_is_refused_before_work(tmp_path: Path) -> None:
    a, b = Memory(tmp_path / "a", sample(20, 1)), Memory(tmp_path / "b", sample(20, 2))
    target = tmp_path / "t.h5"
    for options, message in (
        ({"streams": ("1l", "nothing")}, "streams"),
        ({"streams": ()}, "streams"),
        ({"spectra": ("jj", "jj")}, "spectra"),
        ({"spectra": ()}, "spectra"),
        ({"spectra": ("jx",)}, "spectra"),
        ({"layout": Layout({"jet": 12})}, "slots of type jet"),
        ({"cross_section_pb": -1.0}, "cross_section_pb"),
    ):
        with pytest.raises(InputError, match=message):
            write(target, a, **options)
    with pytest.raises(InputError, match="sources"):
        write(target)
    with pytest.raises(InputError, match="inputs"):
        write(tmp_path / "a", a)
    b.sqrt_s = 14000.0
    with pytest.raises(InputError, match="sqrt_s"):
        write(target, a, b)
    with pytest.raises(HashMismatch, match="menu"):
        write(target, Memory(tmp_path / "c", a.events, hashes={"menu": "1"}),
              Memory(tmp_path / "d", a.events, hashes={"menu": "2"}))  # fmt: skip
    with pytest.raises(InputError, match="ystar"):
        write(target, Memory(tmp_path / "e", sample(20, 1, ystar=np.zeros(20))))
    assert not list(tmp_path.glob("*t.h5*")), "nothing half-written"


def test_a_fault_late_in_the_file_leaves_nothing(tmp_path: Path) -> None:
    events = sample(100, 1)
    events.jet[90, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"events: event 90, jet\[0\].pt"):
        write(tmp_path / "t.h5", Memory(tmp_path / "events", events), block=16)
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    with pytest.raises(OutputError):
        write(tmp_path / "events" / "t.h5", Memory(tmp_path / "events", sample(5, 1)))


def test_readers_refuse_other_files(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", Memory(tmp_path / "events", sample(50, 1)), streams=("any",))
    with table.open_table(tmp_path / "t.h5") as found:
        for call in (lambda: found.column("x"), lambda: found.mass("ee"), lambda: found.stream("2l"),
                     lambda: found.rmm(3, 2), lambda: found.rmm(0, 51)):  # fmt: skip
            with pytest.raises(InputError, match=r"t\.h5"):
                call()
    with pytest.raises(InputError, match="missing"):
        table.open_table(tmp_path / "nothing.h5")
    with hdf5.create(tmp_path / "other.h5") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="ad40 rmm"):
        table.open_table(tmp_path / "other.h5")
    for name, change in (("rmm/values", -1), ("masses", -1), ("columns/weight", 1)):
        write(tmp_path / "u.h5", Memory(tmp_path / "events", sample(50, 1)), streams=("any",))
        with h5py.File(tmp_path / "u.h5", "a") as file:
            file[name].resize(len(file[name]) + change, axis=0)
        with pytest.raises(InputError, match=name):
            table.open_table(tmp_path / "u.h5")


def test_every_stream_can_be_in_one_table(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", Memory(tmp_path / "events", sample(50, 1)), streams=tuple(STREAMS))
    with table.open_table(tmp_path / "t.h5") as found:
        assert found.stream("any").all() and np.array_equal(found.stream("1l"), found.stream("lepton"))
