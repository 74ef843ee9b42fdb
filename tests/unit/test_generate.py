"""`ad40 generate`: reproducible, resumable, independent of the number of workers; bad input refused before work."""

from __future__ import annotations

import argparse
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import InputError, OutputError
from ad40.events import open_events
from ad40.offline_events import FLAVOURS, SHAPES, describe_offline, read_offline

pytest.importorskip("pythia8mc", reason="pythia8mc is not installed: no generation")
pytest.importorskip("fastjet", reason="fastjet is not installed: no generation")

from training.generator import generate, heavyflavour, streams
from training.generator.chunks import Job
from training.generator.content import merge
from training.generator.detector import Particles, wrap
from training.generator.pythia import charges, make_pythia
from training.generator.tables import detector_settings, processes

COMMAND_FILE = """! W to muons, as a user would write it
WeakSingleBoson:ffbar2W = on
24:onMode = off
24:onIfAny = 13
"""


def arguments(process: object, output: Path, work: Path, events: int = 40, jobs: int = 1, seed: int = 7) -> Any:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    line = [str(process), "--events", str(events), "--output", str(output), "--work", str(work), "--jobs", str(jobs)]
    return parser.parse_args([*line, "--seed", str(seed), "--pool-events", "200", "--pileup", "5"])


def content(file: Path) -> dict[str, np.ndarray]:
    with open_events(file) as events:
        return {"events": events.events(), **{name: events.column(name) for name in events.columns}}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A small W sample: its file, work folder and summary."""
    folder = tmp_path_factory.mktemp("generate")
    summary = generate.run(arguments("W", folder / "w.h5", folder / "work"))
    return folder / "w.h5", folder / "work", summary


def test_the_sample_passes_the_filter_and_states_its_origin(first: tuple[Path, Path, dict[str, Any]]) -> None:
    file, _, summary = first
    data = content(file)
    events = data["events"]
    assert events.shape == (40, 19, 3)
    assert (events[:, 1:9, 0].max(axis=1) > processes()["filter"]["pt_min"]).all()
    assert (np.abs(events[:, 1:5, 1]) < 3.0).all() and (np.abs(events[:, 5:9, 1]) < 2.1).all()
    assert ((events[:, 9:, 0] == 0) | (events[:, 9:, 0] > 15)).all() and (np.abs(events[:, 9:, 1]) < 4).all()
    assert (events[:, 0, 1] == 0).all() and (events[:, 0, 0] > 0).all()
    assert len(np.unique(data["parent"])) == 40 and (data["process"] == 1).all()
    with open_events(file) as opened:
        figures = opened.attributes["processes"]["W"]
        assert opened.attributes["seed"] == 7
    assert figures["cross_section_pb"] == pytest.approx(45_900, rel=0.15)  # leading order, without the shower veto
    assert 0.2 < figures["filter_efficiency"] < 0.4
    assert figures["event_cross_section_pb"] * 40 == pytest.approx(figures["filtered_cross_section_pb"])
    assert summary["processes"]["W"] == figures


def test_same_seed_same_events_with_any_number_of_workers(
    first: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    generate.run(arguments("W", tmp_path / "again.h5", tmp_path / "work", jobs=2))
    one, two = content(first[0]), content(tmp_path / "again.h5")
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_broken_chunk_is_made_again_and_the_others_are_reused(
    first: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, work, _ = first
    (folder,) = work.glob("W-*")
    broken = folder / "chunk-00000.npz"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    pool = {path: path.stat().st_mtime_ns for path in work.glob("pool-*/*")}
    generate.run(arguments("W", tmp_path / "resumed.h5", work))
    one, two = content(file), content(tmp_path / "resumed.h5")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert pool == {path: path.stat().st_mtime_ns for path in work.glob("pool-*/*")}
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*")}
    generate.run(arguments("W", tmp_path / "fewer.h5", work, events=10))
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*")}


def test_other_settings_have_other_chunks(tmp_path: Path) -> None:
    ((job, _),) = generate.make_jobs(arguments("W", tmp_path / "x.h5", tmp_path))
    others = [
        replace(job, seed=8),
        replace(job, pileup=20.0),
        replace(job, full_mpi=True),
        replace(job, pool_events=300),
        replace(job, offline=True),
        replace(job, offline=True, streams=True),
    ]
    assert len({job.folder, *(other.folder for other in others)}) == 7


def test_the_background_mix_is_the_published_one(tmp_path: Path) -> None:
    jobs = generate.make_jobs(arguments("background", tmp_path / "x.h5", tmp_path, events=10_000))
    assert {job.process: n for job, n in jobs} == {"W": 5920, "QCD": 3380, "Z": 670, "ttbar": 30}


def test_a_command_file_of_the_user(first: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    card = tmp_path / "muons.cmnd"
    card.write_text(COMMAND_FILE)
    generate.run(arguments(card, tmp_path / "mu.h5", first[1], events=5))
    data = content(tmp_path / "mu.h5")
    assert (data["process"] == 255).all()
    assert (data["events"][:, 5, 0] > 23).mean() > 0.7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (COMMAND_FILE + "WeakSingleBosn:ffbar2W = on\n", ["line 5", "WeakSingleBosn:ffbar2W = on"]),
        ("24:onMode = off\n", ["settings"]),  # no process: Pythia cannot start
    ],
)
def test_bad_command_files_are_refused_before_work(tmp_path: Path, text: str, named: list[str]) -> None:
    card = tmp_path / "bad.cmnd"
    card.write_text(text)
    with pytest.raises(InputError) as error:
        generate.run(arguments(card, tmp_path / "x.h5", tmp_path / "work"))
    assert all(part in str(error.value) for part in [str(card), *named])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.cmnd"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"process": "Wboson"}, "'Wboson'"),
        ({"process": "missing.cmnd"}, "missing.cmnd"),
        ({"events": 0}, "--events"),
        ({"jobs": 0}, "--jobs"),
        ({"pileup": -1.0}, "--pileup"),
        ({"pileup": float("nan")}, "--pileup"),
        ({"pool_events": 3}, "--pool-events"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_bad_arguments_are_refused_by_name(tmp_path: Path, change: dict[str, object], named: str) -> None:
    args = arguments("W", tmp_path / "x.h5", tmp_path / "work")
    vars(args).update(change)
    with pytest.raises(InputError, match=named):
        generate.run(args)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_folder_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        generate.run(arguments("W", tmp_path, tmp_path / "work"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def library() -> heavyflavour.Library:
    return heavyflavour.build_library(3, decays=300)


def test_decays_at_rest_conserve_momentum_and_charge(library: heavyflavour.Library) -> None:
    pythia = make_pythia(["ProcessLevel:all = off"], 1)
    own = charges(pythia, np.array(heavyflavour.HEAVY))
    for species in range(len(heavyflavour.HEAVY)):
        for start, stop in zip(library.starts[species, :20], library.starts[species, 1:21], strict=True):
            total = [values[start:stop].sum() for values in (library.px, library.py, library.pz)]
            assert total == pytest.approx([0, 0, 0], abs=1e-3)
            assert library.charge[start:stop].sum() == pytest.approx(own[species])


def test_oversampled_copies_hold_whole_events_and_a_lepton(library: heavyflavour.Library) -> None:
    # event 0: nothing heavy; event 1: a B+ of 200 GeV, a soft anti-D0 and a pion far away
    pdg = np.array([211, 521, -421, 211])
    momentum = np.array([[30.0, 0, 5], [200.0, 10, 20], [0, 3.0, 1], [0, 5.0, 40]])
    energy = np.sqrt((momentum**2).sum(axis=1) + np.array([0.14, 5.279, 1.865, 0.14]) ** 2)
    p = Particles(np.array([0, 1, 1, 1]), pdg, np.array([1.0, 1, 0, 1]), *momentum.T, energy)
    copies, source = heavyflavour.oversample(p, 2, 2000, library, 20.0, 3.2, 0.8, np.random.default_rng(1))
    assert set(source) == {1} and 20 < len(source) < 400
    assert (np.diff(copies.event) >= 0).all() and copies.event[-1] == len(source) - 1
    assert not np.isin(np.abs(copies.pdg), heavyflavour.HEAVY).any()
    n = len(source)
    for values, expected in ((copies.px, 200.0), (copies.pz, 61.0), (copies.e, energy[1:].sum()), (copies.charge, 2.0)):
        assert np.bincount(copies.event, values, n) == pytest.approx(np.full(n, expected), abs=0.02)
    hard = np.isin(np.abs(copies.pdg), (11, 13)) & (np.hypot(copies.px, copies.py) > 20)
    assert (np.bincount(copies.event[hard], minlength=n) > 0).all()


def offline_arguments(process: object, output: Path, work: Path, events: int, *more: str, seed: int = 7) -> Any:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    line = [str(process), "--events", str(events), "--output", str(output), "--work", str(work), "--jobs", "1"]
    return parser.parse_args([*line, "--seed", str(seed), "--pool-events", "200", "--pileup", "5", "--offline", *more])


def test_offline_objects_come_beside_the_same_events(first: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    generate.run(offline_arguments("W", tmp_path / "w.h5", first[1], 40))
    one, two = content(first[0]), content(tmp_path / "w.h5")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    found = read_offline(tmp_path / "w.h5", names=[*SHAPES, *FLAVOURS])
    assert describe_offline(tmp_path / "w.h5").btag == detector_settings()["offline"]["btag"]
    events = two["events"]
    assert found["met"] == pytest.approx(events[:, 0, [0, 2]])
    assert 3 < found["pileup"].mean() < 7 and (found["pileup"] == np.round(found["pileup"])).all()
    muon = found["muon"][:, 0]  # isolated and up to a larger |eta| than the trigger's, otherwise the same muons
    central = (muon[:, 0] > 0) & (np.abs(muon[:, 1]) < 2.1)
    assert central.sum() > 10
    trigger = events[central, 5:9]
    assert (trigger[..., :2] == muon[central, None, :2]).all(axis=2).any(axis=1).all()
    jets = np.concatenate([found["jet"], found["bjet"]], axis=1)
    assert (jets[..., 3][jets[..., 0] > 0] >= 0).all() and np.median(jets[..., 3][jets[..., 0] > 30]) > 3
    lepton = np.where(muon[:, :1] > 0, muon, found["electron"][:, 0])[:, None]
    apart = np.hypot(jets[..., 1] - lepton[..., 1], wrap(jets[..., 2] - lepton[..., 2]))
    assert (apart[(jets[..., 0] > 0) & (lepton[..., 0] > 0)] > 0.4).all()


def test_a_signal_for_the_streams(first: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    generate.run(offline_arguments("Zprime_mumu", tmp_path / "z.h5", first[1], 20, "--filter", "streams"))
    found = read_offline(tmp_path / "z.h5")
    assert streams.passes(found).all()
    pt, eta, phi, _ = found["muon"][found["muon"][:, 1, 0] > 100][:, :2].transpose(2, 1, 0).astype(float)
    masses = np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])))
    assert len(masses) > 10 and 900 < np.median(masses) < 1100
    with open_events(tmp_path / "z.h5") as opened:
        assert opened.attributes["filter"] == processes()["stream_filter"]


def fake_chunk(job: Job, chunk: int, events: int, cross_section: float, tries: int) -> None:
    """A finished chunk of zeros."""
    made = {f"offline_{name}": np.zeros((events, *shape), np.float32) for name, shape in SHAPES.items()}
    made |= {f"offline_{name}": np.zeros((events, *shape), np.uint8) for name, shape in FLAVOURS.items()}
    parts = [{"tries": tries, "oversampling": 1, "generated": tries, "leptons": 0, "passed": events}]
    parts[0]["cross_section_pb"] = cross_section
    meta = json.dumps({"hash": job.hash, "chunk": chunk, "parts": parts})
    job.folder.mkdir(parents=True, exist_ok=True)
    parent = np.arange(events) + (chunk << 24)
    np.savez(job.chunk_file(chunk), events=np.zeros((events, 19, 3), np.float32), parent=parent, meta=meta, **made)


def test_the_background_of_the_searches_stands_at_one_luminosity(tmp_path: Path) -> None:
    args = offline_arguments("search", tmp_path / "x.h5", tmp_path, 1500, "--filter", "streams")
    jobs = [job for job, _ in generate.make_jobs(args)]
    assert [job.process for job in jobs] == processes()["search"]
    # process k: 100 (k + 1) pb, of which half passes, at 0.5 / pb a chunk
    for chunk in range(3):
        for k, job in enumerate(jobs):
            fake_chunk(job, chunk, 25 * (k + 1), 100.0 * (k + 1), 50 * (k + 1))

    def submit(*call: object) -> Any:
        raise AssertionError(f"nothing is to be made, but: {call}")

    parts = generate.collect(jobs, args.events, 1, submit)
    assert sum(len(part["events"]) for part in parts.values()) == 3 * 25 * 28  # two chunks hold 1,400
    made = merge(jobs, parts, args)
    assert len(made.events) == 1500 == len(made.offline["met"]) == len(made.columns["process"])
    figures = made.attributes["processes"]
    assert made.attributes["luminosity_pb"] == pytest.approx(1500 / (50 * 28))
    assert {f["event_cross_section_pb"] for f in figures.values()} == {1 / made.attributes["luminosity_pb"]}
    for k, name in enumerate(processes()["search"]):
        assert figures[name]["filtered_cross_section_pb"] == pytest.approx(50 * (k + 1))
        assert figures[name]["events"] == pytest.approx(1500 * (k + 1) / 28, abs=25)


@pytest.mark.long
def test_the_background_of_the_searches_is_made(first: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    generate.run(offline_arguments("search", tmp_path / "s.h5", first[1], 150, "--filter", "streams"))
    assert streams.passes(read_offline(tmp_path / "s.h5")).all()
    codes = [processes()["processes"][name]["code"] for name in ("search_jets", "search_W", "search_Z")]
    assert np.isin(codes, content(tmp_path / "s.h5")["process"]).all()


@pytest.mark.parametrize(
    ("process", "more", "named"),
    [
        ("W", ["--filter", "streams"], "--offline, too"),
        ("QCD", ["--offline", "--filter", "streams"], "QCD is made for leptons only"),
        ("background", ["--offline", "--filter", "streams"], "QCD is made for leptons only"),
        ("search", ["--offline"], "search_jets is made for the streams only"),
        ("search_W", ["--offline"], "search_W is made for the streams only"),
    ],
)
def test_filters_that_do_not_suit_a_process_are_refused(
    process: str, more: list[str], named: str, tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    line = [process, "--events", "5", "--output", str(tmp_path / "x.h5"), "--work", str(tmp_path / "work"), *more]
    with pytest.raises(InputError, match=named):
        generate.run(parser.parse_args(line))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_worker_keeps_its_message() -> None:
    error = pickle.loads(pickle.dumps(InputError("a.yaml", "line 3", "'x'", "a setting")))
    assert str(error) == "a.yaml: line 3 is 'x'; expected a setting" and error.field == "line 3"
    missing = pickle.loads(pickle.dumps(OutputError("b.h5", "disk full")))
    assert isinstance(missing, OutputError) and "disk full" in str(missing)
