"""Readers of objects: each against files written here, whose content is known, and files that are wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ad40 import hdf5, offline_events, record, spec
from ad40.errors import HashMismatch, InputError
from ad40.events import write_adc2021, write_hw_sample
from ad40.files import file_hash
from ad40.menu import Menu, ModelRef, Seed
from ad40.model import Trigger
from ad40.network import Network
from ad40.objects import decode
from ad40.trigger import trigger
from offline.objects.collection import COUNTS, TYPES, Objects
from offline.objects.nanoaod import Options
from offline.objects.read import kind_of, open_objects
from offline.objects.selection import Cuts, apply
from offline.objects.source import Source
from offline.objects.spectra import TRIGGER, masses
from tests.conftest import random_events
from tests.offline_objects import random_objects

BTAG = {"algorithm": "parameterised", "efficiency": 0.7}


def read_all(source: Source, size: int = 65536, cuts: Cuts | None = None) -> Objects:
    with source:
        blocks = list(source.blocks(size, cuts))
    assert all(len(block) <= size for block in blocks)
    return Objects.concatenate(blocks)


def equal(a: Objects, b: Objects, rtol: float = 0.0) -> None:
    for name in TYPES:
        np.testing.assert_allclose(a[name], b[name], rtol=rtol, atol=rtol * 10, err_msg=name)
    np.testing.assert_allclose(a.met, b.met, rtol=rtol, atol=rtol * 10)


# --- trigger records and offline event files


def hard_events() -> np.ndarray:
    """700 trigger events, some with a pt beyond the scales."""
    events = random_events(700, seed=5)
    events[..., 0] *= 3
    return events


@pytest.fixture(scope="module")
def accept_some(network: Network) -> Trigger:
    """A trigger whose one seed keeps about a third of random events."""
    from ad40.emulator import Emulator
    from ad40.objects import encode

    cut = int(np.quantile(Emulator(network).score(encode(hard_events()).codes), 0.66))
    menu = Menu((ModelRef("test", network.hash),), network.spec_hash, (Seed("S0", "test", cut, (1,)),))
    return Trigger((network,), menu)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Objects]:
    """An event file as `ad40 generate --offline` writes it, and its objects."""
    path = tmp_path_factory.mktemp("generated") / "events.h5"
    found = random_objects(700, seed=8)
    write_adc2021(
        path,
        hard_events(),
        {"process": np.arange(700) % 3, "parent": np.arange(700) // 2},
        {"sample": "W", "processes": {"W": {"filtered_cross_section_pb": 12.5, "events": 700}}},
    )
    arrays = {name: found[name] for name in TYPES} | {"met": found.met, "pileup": np.arange(700, dtype=np.float32)}
    with hdf5.h5py.File(path, "a") as file:
        offline_events.write_offline(file, arrays, BTAG)
    return path, found


@pytest.fixture(scope="module")
def kept(generated: tuple[Path, Objects], accept_some: Trigger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of triggering those events."""
    path = tmp_path_factory.mktemp("kept") / "kept.h5"
    trigger(generated[0], accept_some, path)
    return path


def test_offline_event_files(generated: tuple[Path, Objects]) -> None:
    path, expected = generated
    source = open_objects(path)
    assert (source.kind, source.n, source.sqrt_s, source.cross_section_pb) == ("offline", 700, 13000, 12.5)
    assert source.attributes["sha256"] == file_hash(path) and source.attributes["btag"] == BTAG
    found = read_all(source, size=256)
    equal(found, expected)
    assert found.columns["event"].tolist() == list(range(700))
    assert found.columns["pileup"].tolist() == list(range(700))
    assert found.columns["parent"][5] == 2 and found.columns["weight"].tolist() == [1] * 700
    # cuts given to the reader are those applied afterwards
    equal(read_all(open_objects(path), cuts=Cuts()), apply(expected, Cuts()))


def test_records(kept: Path) -> None:
    whole = record.read(kept)
    source = open_objects(kept)
    assert source.kind == "record" and 150 < source.n == len(whole) < 350
    assert source.cross_section_pb == pytest.approx(12.5 * len(whole) / 700)
    assert source.attributes["source"]["sha256"] == whole.attributes["source"]["sha256"]
    found = read_all(source, size=64)
    events = decode(whole.codes)
    types = spec.objects()
    for kind, name in (("jet", "jet"), ("egamma", "electron"), ("muon", "muon")):
        theirs = events[:, types[kind].slots]
        theirs = np.take_along_axis(theirs, np.argsort(-theirs[..., 0], axis=1, kind="stable")[..., None], axis=1)
        np.testing.assert_array_equal(found[name][:, : theirs.shape[1], :3], theirs)
        assert (found[name][..., 3] == 0).all() and (found[name][:, theirs.shape[1] :] == 0).all()
        # the flag is where the decoded pt is that of the largest code
        full = np.float32((types[kind].pt.max_code - types[kind].pt.offset) * types[kind].pt.lsb)
        np.testing.assert_array_equal(found.saturated[name], found[name][..., 0] == full)
    assert sum(int(flags.sum()) for flags in found.saturated.values()) > 10
    np.testing.assert_array_equal(found.met, events[:, 0, [0, 2]])
    assert not found.bjet.any() and not found.photon.any()
    for name in ("event", "hw_score", "run", "lumi", "bx", "process"):
        np.testing.assert_array_equal(found.columns[name], whole.columns[name])
    assert np.isnan(found.columns["pileup"]).all()
    assert sum(np.isfinite(masses(found, wanted)).sum() for wanted in TRIGGER) > 100


@pytest.mark.parametrize("size", [7, 100, 65536])
def test_offline_objects_of_a_record(kept: Path, generated: tuple[Path, Objects], size: int) -> None:
    path, expected = generated
    rows = record.read(kept).columns["event"]
    source = open_objects(kept, events=path)
    assert source.attributes["objects"]["sha256"] == file_hash(path)
    found = read_all(source, size)
    equal(found, expected.take(rows))
    np.testing.assert_array_equal(found.columns["pileup"], rows.astype(np.float32))
    np.testing.assert_array_equal(found.columns["hw_score"], record.read(kept).columns["hw_score"])
    assert not found.saturated


def test_a_record_and_events_that_are_not_its_source(
    kept: Path, generated: tuple[Path, Objects], tmp_path: Path
) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(generated[0].read_bytes())
    with hdf5.h5py.File(other, "a") as file:
        file.attrs["note"] = "changed"
    with pytest.raises(HashMismatch, match=r"other.h5: sha256 is"):
        open_objects(kept, events=other)
    with pytest.raises(InputError, match="events is given for a file of kind offline; expected only with a record"):
        open_objects(generated[0], events=generated[0])


def test_hdf5_files_of_other_kinds(tmp_path: Path, codes: np.ndarray, kept: Path) -> None:
    write_hw_sample(tmp_path / "codes.h5", codes[:5])
    write_adc2021(tmp_path / "events.h5", random_events(5))
    for name, content in (("codes.h5", "codes"), ("events.h5", "Particles")):
        with pytest.raises(InputError, match=f"{name}: content is {content}.*--offline"):
            open_objects(tmp_path / name)
    short = tmp_path / "short.h5"
    short.write_bytes(kept.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"short.h5: format is"):
        open_objects(short)


def test_the_kind_and_counts_are_as_asked_for(kept: Path) -> None:
    with pytest.raises(InputError, match="kind is record; expected lhe, as asked for"):
        open_objects(kept, kind="lhe")
    with pytest.raises(InputError, match="kind is delphes; expected one of record"):
        open_objects(kept, kind="delphes")
    found = read_all(open_objects(kept, kind="record", counts={"jet": 3, "electron": 6}))
    assert found.counts == {"jet": 3, "bjet": 0, "muon": 0, "electron": 6, "photon": 0}
    with open_objects(kept) as source, pytest.raises(InputError, match="size of a block is 0"):
        list(source.blocks(0))


# --- Les Houches events

HEADER = """<LesHouchesEvents version="3.0">
<header>
</header>
<init>
2212 2212 6.500000e+03 7.000000e+03 0 0 247000 247000 -4 2
 1.5e+01 1.0e-01 1.5e+01 1
 2.5e+00 2.0e-01 2.5e+00 2
</init>
"""


def lhe_event(*particles: tuple[float, ...], weight: float = 1.0) -> str:
    """particles: (PDG id, status, px, py, pz, mass)."""
    lines = [f"{len(particles)} 1 {weight:.8e} 9.1e+01 7.8e-03 1.2e-01"]
    for code, status, px, py, pz, mass in particles:
        energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
        lines.append(f"{code} {status} 0 0 0 0 {px:.10e} {py:.10e} {pz:.10e} {energy:.10e} {mass:.10e} 0.0 9.0")
    return "<event>\n" + "\n".join(lines) + "\n</event>\n"


def write_lhe(path: Path, events: list[str], end: str = "</LesHouchesEvents>\n") -> Path:
    text = HEADER + "".join(events) + end
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


EVENTS = [
    lhe_event(
        (2, -1, 0, 0, 500, 0), (21, -1, 0, 0, -400, 0), (23, 2, 1, 2, 3, 91),
        (5, 1, 30, 40, 10, 4.8), (-5, 1, -60, 0, 20, 4.8), (21, 1, 0, 70, -5, 0), (1, 1, 100, 0, 0, 0.3),
        weight=0.5,
    ),
    lhe_event((13, 1, 30, 0, 0, 0.105), (-14, 1, 0, -40, 9, 0), (1000022, 1, 30, 0, 1, 100), (22, 1, 0, 5, 0, 0)),
    lhe_event((-11, 1, 0, 20, 10, 0), (15, 1, -25, 0, 10, 1.777), (3, 1, 0, 0, 900, 0), (4, 1, 1e-4, 0, 900, 0), weight=-2),
]  # fmt: skip


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_lhe_by_hand(tmp_path: Path, name: str) -> None:
    source = open_objects(write_lhe(tmp_path / name, EVENTS))
    assert (source.kind, source.n) == ("lhe", 3)
    assert source.sqrt_s == pytest.approx(2 * np.sqrt(6500 * 7000)) and source.cross_section_pb == 17.5
    found = read_all(source, size=2)
    assert found.number("jet").tolist() == [2, 0, 1]  # what goes into the beam pipe is no jet
    np.testing.assert_allclose(found.jet[0, :2, 0], [100, 70])
    np.testing.assert_allclose(found.jet[0, 1], [70, np.arcsinh(-5 / 70), np.pi / 2, 0], rtol=1e-6)
    np.testing.assert_allclose(found.bjet[0, :2, 0], [60, 50])
    np.testing.assert_allclose(found.bjet[0, 0], [60, np.arcsinh(20 / 60), np.pi, 4.8], rtol=1e-6)
    np.testing.assert_allclose(found.met, [[0, 0], [50, np.arctan2(-40, 30)], [0, 0]], rtol=1e-6)
    assert found.muon[1, 0, 0] == 30 and found.photon[1, 0, 0] == 5 and found.electron[2, 0, 0] == 20
    assert found.jet[2, 0, 3] == pytest.approx(1.777)
    assert found.columns["weight"].tolist() == [0.5, 1, -2] and found.columns["event"].tolist() == [0, 1, 2]


def test_lhe_in_blocks_is_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    codes = np.array([1, -2, 21, 5, 11, -13, 22, 12, 15])
    events = [
        lhe_event(*[(int(rng.choice(codes)), 1, *rng.normal(0, 60, 3), 0.0) for _ in range(rng.integers(1, 9))])
        for _ in range(200)
    ]
    path = write_lhe(tmp_path / "many.lhe", events)
    whole = read_all(open_objects(path))
    equal(read_all(open_objects(path), size=33), whole)
    assert len(whole) == 200 and all(whole.number(name).max() > 1 for name in TYPES)
    # momenta balance with what was written: pt of all lists in the first event
    lines = [line.split() for line in events[0].splitlines()[2:-1]]
    visible = sorted(np.hypot(float(f[6]), float(f[7])) for f in lines if f[0] != "12")
    found = np.sort(np.concatenate([whole[name][0, :, 0] for name in TYPES]))
    np.testing.assert_allclose(found[found > 0], visible, rtol=1e-6)


@pytest.mark.parametrize(
    ("events", "end", "message"),
    [
        ([lhe_event((6, 1, 10, 0, 0, 173))], None, "event 0, final particle is PDG id 6; expected only quarks but t"),
        ([EVENTS[0], lhe_event((24, 1, 1, 0, 0, 80))], None, "event 1, final particle is PDG id 24"),
        (EVENTS, "", "end of the file is .*expected </LesHouchesEvents>"),
        ([lhe_event((1, 1, float("nan"), 0, 0, 0))], None, "event 0, particle 1 is .*nan.*finite numbers"),
        ([lhe_event((1, 1, 50, 0, 0, 0), weight=float("nan"))], None, "event 0, weight is nan"),
        ([lhe_event((1, 1, 50, 0, 0, -20.0))], None, r"event 0, jet\[0\].mass is -20"),
        ([EVENTS[0].replace("21 -1", "21 -1 <b>")], None, "after event 0 is unreadable .*Parse Error"),
        ([EVENTS[0].replace("5 1 0 0", "5 x 0 0")], None, "after event 0 is unreadable .*could not convert"),
    ],
)
def test_bad_lhe(tmp_path: Path, events: list[str], end: str | None, message: str) -> None:
    path = write_lhe(tmp_path / "bad.lhe", events, "</LesHouchesEvents>\n" if end is None else end)
    with pytest.raises(InputError, match="bad.lhe: .*" + message):
        read_all(open_objects(path))


def test_lhe_files_that_are_none(tmp_path: Path) -> None:
    good = write_lhe(tmp_path / "good.lhe.gz", EVENTS * 40)
    cut = tmp_path / "cut.lhe.gz"
    cut.write_bytes(good.read_bytes()[:200])
    with pytest.raises(InputError, match="cut.lhe.gz: file is unreadable"):
        open_objects(cut)
    no_init = tmp_path / "noinit.lhe"
    no_init.write_text('<LesHouchesEvents version="3.0">\n</LesHouchesEvents>\n')
    with pytest.raises(InputError, match="noinit.lhe: file is unreadable"):
        open_objects(no_init)
    text = tmp_path / "notes.txt"
    text.write_text("nothing")
    with pytest.raises(
        InputError, match="content is b'nothing'; expected HDF5, ROOT, an LHE file or a CSV of Dark Machines"
    ):
        open_objects(text)
    with pytest.raises(InputError, match="file is No such file"):
        open_objects(tmp_path / "absent.lhe")


# --- slim ntuples

PREFIXES = {"jet": "JET", "bjet": "bJET", "muon": "MU", "electron": "EL", "photon": "PH"}


def lists_of(found: Objects, name: str) -> Any:
    """The objects of one type as lists of different lengths, records of pt, eta, phi, mass."""
    number = found.number(name)
    flat = found[name][found[name][..., 0] > 0]
    parts = {part: ak.unflatten(flat[:, k], number) for k, part in enumerate(("pt", "eta", "phi", "mass"))}
    return ak.zip(parts)


def write_ntuple(
    path: Path,
    found: Objects,
    change: Callable[[dict[str, Any]], None] = lambda branches: None,
    meta: Any = (13600, 3.5),
) -> Path:
    """A slim ntuple with ordinary vectors, as newer writers make them."""
    branches: dict[str, Any] = {}
    for name, prefix in PREFIXES.items():
        objects = lists_of(found, name)
        for part in ("pt", "eta", "phi", *(["mass"] if "jet" in name else [])):
            branches[f"{prefix}_{part}"] = objects[part]
    ones = np.ones(len(found), np.int64)
    branches["MET_met"] = ak.unflatten(found.met[:, 0], ones)
    branches["MET_phi"] = ak.unflatten(found.met[:, 1], ones)
    branches["Evt_Weight"] = ak.unflatten(np.repeat(found.columns["weight"], 2), 2 * ones)
    change(branches)
    with uproot.recreate(path) as file:
        tree = file.mktree("Ntuple", {name: _type(array) for name, array in branches.items()})
        tree.extend(branches)
        if meta is not None:
            file["meta"] = np.array([*meta, *[0.0] * 8]), np.arange(11.0)
    return path


def _type(array: Any) -> Any:
    return array.dtype if isinstance(array, np.ndarray) else ak.type(array[:1]).content


def test_ntuples(tmp_path: Path) -> None:
    expected = random_objects(300, seed=6)
    source = open_objects(write_ntuple(tmp_path / "slim.root", expected))
    assert (source.kind, source.n, source.sqrt_s, source.cross_section_pb) == ("ntuple", 300, 13600, 3.5)
    found = read_all(source, size=77)
    for name, mass in (("muon", 0.1056584), ("electron", 0.000511), ("photon", 0.0)):
        expected[name][..., 3] = np.where(expected[name][..., 0] > 0, np.float32(mass), 0)
    equal(found, expected, rtol=1e-7)
    np.testing.assert_allclose(found.columns["weight"], expected.columns["weight"])


def test_cuts_come_before_the_slots(tmp_path: Path) -> None:
    """14 jets, of which the four hardest are forward: the ten central ones all have a slot."""
    many = random_objects(3, seed=2, counts={**COUNTS, "jet": 14})
    many.jet[..., 0], many.jet[..., 1] = np.arange(500, 360, -10), 0.5
    many.jet[:, :4, 1] = 3.0
    path = write_ntuple(tmp_path / "many.root", many)
    assert read_all(open_objects(path), cuts=Cuts()).jet[0, :, 0].tolist() == list(range(460, 360, -10))
    assert read_all(open_objects(path)).jet[0, :, 0].tolist() == list(range(500, 400, -10))


def test_the_reference_ntuple(reference_data: Path) -> None:
    """Vectors of Double32_t, which uproot does not decode by itself; every event is the same."""
    source = open_objects(reference_data / "adfilter_dummy.root")
    assert (source.kind, source.n, source.sqrt_s, source.cross_section_pb) == ("ntuple", 1000, 13000, None)
    found = read_all(source, size=300)
    for name, mass in (("jet", 100), ("bjet", 100), ("muon", 0.1056584), ("electron", 0.000511), ("photon", 0)):
        assert (found[name][:, 0] == np.array([100, 0, 0, mass], np.float32)).all(), name
        assert not found[name][:, 1:].any()
    assert not found.met.any() and (found.columns["weight"] == 1).all()


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda branches: branches.pop(name)


def _first(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    """Set the first value of a branch of lists."""

    def change(branches: dict[str, Any]) -> None:
        flat = np.array(ak.flatten(branches[name]))
        flat[0] = value
        branches[name] = ak.unflatten(flat, ak.num(branches[name]))

    return change


def _shorter(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda branches: branches.update({name: branches[name][:, 1:]})


def _scalar(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda branches: branches.update({name: np.arange(len(branches[name]), dtype=np.int32)})


@pytest.mark.parametrize(
    ("change", "meta", "message"),
    [
        (_without("bJET_pt"), (13000, 0), "tree Ntuple is without bJET_pt; expected branches of a slim ntuple"),
        (_without("JET_mass"), (13000, 0), "tree Ntuple is without JET_mass"),
        (_first("MU_pt", float("nan")), (13000, 0), r"event \d+, muon\[0\].pt is nan"),
        (_first("JET_pt", -4), (13000, 0), r"event \d+, jet\[0\].pt is -4.0; expected pt >= 0"),
        (_first("Evt_Weight", float("inf")), (13000, 0), "event 0, weight is inf"),
        (_shorter("MU_eta"), (13000, 0), r"event \d+, MU_eta is \d values; expected \d as in MU_pt"),
        (_shorter("MET_met"), (13000, 0), "event 0, MET_met is empty; expected one value"),
        (_scalar("EL_pt"), (13000, 0), "EL_pt is of 1 dimensions; expected a list"),
        (_scalar("JET_n"), (13000, 0), r"event \d+, JET_n is \d+; expected \d+, the length of JET_pt"),
        (lambda branches: None, (0, 0), "meta, bin 1 is 0.0; expected sqrt"),
        (lambda branches: None, None, "histogram meta is missing"),
    ],
)
def test_bad_ntuples(tmp_path: Path, change: Callable[[dict[str, Any]], None], meta: Any, message: str) -> None:
    def checked(branches: dict[str, Any]) -> None:
        branches["JET_n"] = np.asarray(ak.num(branches["JET_pt"]), np.int32)
        change(branches)

    path = write_ntuple(tmp_path / "bad.root", random_objects(40, seed=6), checked, meta)
    with pytest.raises(InputError, match="bad.root: " + message):
        read_all(open_objects(path))


def test_root_files_of_other_kinds(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Delphes", {"x": np.dtype("f4")}).extend({"x": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"content is Delphes; expected a tree 'Ntuple' \(ADFilter\) or 'Events'"):
        open_objects(tmp_path / "other.root")
    whole = write_ntuple(tmp_path / "whole.root", random_objects(500)).read_bytes()
    (tmp_path / "cut.root").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.root: .*unreadable"):
        read_all(open_objects(tmp_path / "cut.root"))


# --- NanoAOD

OPTIONS = Options("Jet_btagDeepFlavB", 0.3)


def write_nanoaod(path: Path, found: Objects, change: Callable[[dict[str, Any]], None] = lambda branches: None) -> Path:
    """As CMS writes them: light jets and b-jets in one list, told apart by btagDeepFlavB above 0.3."""
    n = len(found)
    jets = [lists_of(found, name) for name in ("jet", "bjet")]
    jets = [
        ak.with_field(part, ak.ones_like(part.pt) * tag, "btagDeepFlavB")
        for part, tag in zip(jets, (0.1, 0.9), strict=True)
    ]
    jet = ak.concatenate(jets, axis=1)
    jet = jet[ak.argsort(jet.pt, axis=1)]  # rising: the reader must put them in order
    branches: dict[str, Any] = {f"Jet_{part}": jet[part] for part in ("pt", "eta", "phi", "mass", "btagDeepFlavB")}
    for name, prefix in (("muon", "Muon"), ("electron", "Electron"), ("photon", "Photon")):
        objects = lists_of(found, name)
        branches |= {f"{prefix}_{part}": objects[part] for part in ("pt", "eta", "phi")}
    branches["Muon_tightId"] = branches["Muon_pt"] > 60
    branches |= {
        "MET_pt": found.met[:, 0], "MET_phi": found.met[:, 1], "run": np.full(n, 321, np.uint32),
        "luminosityBlock": np.arange(n, dtype=np.uint32), "event": np.arange(n, dtype=np.uint64) + 10**10,
        "genWeight": found.columns["weight"], "Pileup_nPU": np.arange(n, dtype=np.int32), "HLT_IsoMu24": found.met[:, 0] > 50,
    }  # fmt: skip
    change(branches)
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: _type(array) for name, array in branches.items()}).extend(branches)
    return path


def test_nanoaod(tmp_path: Path) -> None:
    expected = random_objects(250, seed=7)
    path = write_nanoaod(tmp_path / "nano.root", expected)
    source = open_objects(path, nanoaod=Options("Jet_btagDeepFlavB", 0.3, columns=("HLT_IsoMu24",)))
    assert (source.kind, source.n, source.sqrt_s) == ("nanoaod", 250, 13000)
    assert source.attributes["btag"] == {"branch": "Jet_btagDeepFlavB", "threshold": 0.3}
    found = read_all(source, size=64)
    for name, mass in (("muon", 0.1056584), ("electron", 0.000511), ("photon", 0.0)):
        expected[name][..., 3] = np.where(expected[name][..., 0] > 0, np.float32(mass), 0)
    equal(found, expected, rtol=1e-7)
    columns = found.columns
    assert columns["run"].tolist() == [321] * 250 and columns["event"][3] == 10**10 + 3 and columns["lumi"][9] == 9
    np.testing.assert_allclose(columns["weight"], expected.columns["weight"])
    assert columns["pileup"].tolist() == list(range(250))
    np.testing.assert_array_equal(columns["HLT_IsoMu24"], expected.met[:, 0] > 50)


def test_nanoaod_identification_and_data(tmp_path: Path) -> None:
    def data(branches: dict[str, Any]) -> None:
        del branches["genWeight"], branches["Pileup_nPU"]
        branches["PuppiMET_pt"], branches["PuppiMET_phi"] = branches["MET_pt"] + 1, branches["MET_phi"]
        branches["PV_npvs"] = np.full(len(branches["run"]), 31, np.int32)

    expected = random_objects(100, seed=7)
    path = write_nanoaod(tmp_path / "data.root", expected, data)
    wanted = {"Muon_tightId": 1.0, "Jet_btagDeepFlavB": 0.5}
    found = read_all(
        open_objects(path, nanoaod=Options("Jet_btagDeepFlavB", 0.3, "PuppiMET", wanted, pileup="PV_npvs"))
    )
    assert (found.number("muon") == (expected.muon[..., 0] > 60).sum(axis=1)).all() and found.number("muon").sum() > 20
    assert not found.jet.any() and (found.number("bjet") == expected.number("bjet")).all()
    np.testing.assert_allclose(found.met[:, 0], expected.met[:, 0] + 1, rtol=1e-6)
    assert (found.columns["weight"] == 1).all() and (found.columns["pileup"] == 31).all()
    without = read_all(open_objects(path, nanoaod=OPTIONS))
    assert np.isnan(without.columns["pileup"]).all()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda b: None, None, "bad.root: option btag is not given"),
        (lambda b: None, Options("Jet_btagUParTAK4B", 0.3), "bad.root: tree Events is without Jet_btagUParTAK4B"),
        (lambda b: None, Options("Jet_btagDeepFlavB", 0.3, met="PFMET"), "without PFMET_pt, PFMET_phi"),
        (_without("luminosityBlock"), OPTIONS, "without luminosityBlock"),
        (_first("Electron_phi", float("nan")), OPTIONS, r"event \d+, electron\[0\].phi is nan"),
        (_first("Photon_pt", -1), OPTIONS, r"event \d+, photon\[0\].pt is -1.0"),
        (_shorter("Jet_btagDeepFlavB"), OPTIONS, r"Jet_pt is \d+ values; expected \d+"),
        (_shorter("Jet_phi"), OPTIONS, r"event \d+, Jet_phi is \d+ values; expected \d+ as in Jet_pt"),
        (lambda b: b.update(MET_pt=b["Jet_pt"]), OPTIONS, "MET_pt is "),
    ],
)
def test_bad_nanoaod(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], options: Options | None, message: str
) -> None:
    path = write_nanoaod(tmp_path / "bad.root", random_objects(40, seed=6), change)
    with pytest.raises(InputError, match=message):
        read_all(open_objects(path, nanoaod=options))


def test_bad_nanoaod_options(kept: Path) -> None:
    for arguments, message in (
        (("Muon_tag", 0.3), "btag is Muon_tag"),
        (("Jet_x", "0.3"), "btag_threshold is 0.3"),
        (("Jet_x", float("nan")), "btag_threshold is nan"),
        (("Jet_x", 0.3, "MET", {"Tau_id": 1}), "require is Tau_id"),
        (("Jet_x", 0.3, "MET", {"Muon_id": "tight"}), "Muon_id is tight"),
    ):
        with pytest.raises(InputError, match="NanoAOD options: " + message):
            Options(*arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nanoaod is given for a file of kind record"):
        open_objects(kept, nanoaod=OPTIONS)


def test_empty_files(tmp_path: Path) -> None:
    none = random_objects(3).take(slice(0, 0))
    paths = (write_lhe(tmp_path / "none.lhe", []), write_ntuple(tmp_path / "none.root", none))
    for path, kind in zip(paths, ("lhe", "ntuple"), strict=True):
        assert kind_of(path) == kind
        with open_objects(path) as source:
            assert source.n == 0 and list(source.blocks()) == []
