"""`ad40 generate`: reproducible, resumable, independent of the number of workers; bad input refused before work."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import InputError, OutputError
from ad40.events import open_events

pytest.importorskip("pythia8mc", reason="pythia8mc is not installed: no generation")
pytest.importorskip("fastjet", reason="fastjet is not installed: no generation")

from training import generate, heavyflavour
from training.detector import Particles
from training.pythia import charges, make_pythia
from training.tables import processes

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
    ]
    assert len({job.folder, *(other.folder for other in others)}) == 5


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
