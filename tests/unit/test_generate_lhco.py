"""`ad40 generate lhco`: the trigger, the mass peaks, reproducible files in the layout of the LHC Olympics."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ad40.dataframe import Frame
from ad40.errors import InputError
from ad40.lhco import STAND_IN

pytest.importorskip("pythia8mc", reason="pythia8mc is not installed: no generation")
pytest.importorskip("fastjet", reason="fastjet is not installed: no generation")

from training.generator import generate, lhco
from training.generator.chunks import Job
from training.generator.reconstruction import Flow, cluster
from training.generator.tables import processes


def arguments(output: Path, work: Path, *line: Any, events: int = 60) -> Any:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    words = ["lhco", "--events", events, "--output", output, "--work", work, "--jobs", 1, "--seed", 7, *line]
    return parser.parse_args([str(word) for word in words])


def make(output: Path, work: Path, *line: Any, events: int = 60) -> dict[str, Any]:
    return dict(generate.run(arguments(output, work, *line, events=events)))


def rows(path: Path) -> np.ndarray:
    with Frame(path) as frame:
        return frame.read()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """60 events, half of them signal: file, work folder, summary."""
    folder = tmp_path_factory.mktemp("lhco")
    summary = make(folder / "l.h5", folder / "work", "--signal", "2prong:20", "--signal", "3prong:10")
    return folder / "l.h5", folder / "work", summary


def test_layout_and_trigger(sample: tuple[Path, Path, dict[str, Any]]) -> None:
    path, _, summary = sample
    data = rows(path)
    assert data.shape == (60, 2101) and data.dtype == np.float64
    assert data[:, -1].sum() == 30 and not (data[:30, -1] == data[0, -1]).all()
    x = data[:, :-1].reshape(60, 700, 3)
    pt = x[..., 0]
    assert (np.diff(pt, axis=1) <= 0).all() and (x[pt == 0] == 0).all()
    assert ((pt > 0).sum(axis=1) > 20).all() and (pt[:, -1] == 0).all()
    event, slot = np.nonzero(pt)
    p, eta, phi = x[event, slot].T
    momenta = p * np.cos(phi), p * np.sin(phi), p * np.sinh(eta), p * np.cosh(eta)
    found = cluster(event, *momenta, 60, 500.0, 1.0)
    leading = np.zeros(60)
    np.maximum.at(leading, found[0], np.hypot(found[1], found[2]))
    assert (leading > 1199.9).all()
    # both jets of the signal: the mass of the resonance
    for k in np.flatnonzero(data[:, -1] == 1):
        of = found[0] == k
        order = np.argsort(-np.hypot(found[1][of], found[2][of]))[:2]
        total = [c[of][order].sum() for c in found[1:]]
        leading[k] = np.sqrt(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2)
    assert np.median(leading[data[:, -1] == 1]) == pytest.approx(3450, abs=120)
    figures = summary["processes"]
    assert figures["background"]["cross_section_pb"] == pytest.approx(10.4, rel=0.15)  # pb, leading order
    assert 0.25 < figures["background"]["filter_efficiency"] < 0.55
    assert 0.7 < figures["2prong"]["filter_efficiency"] < 0.95
    assert 0.5 < figures["3prong"]["filter_efficiency"] < 0.85
    assert (figures["background"]["events"], figures["2prong"]["events"], figures["3prong"]["events"]) == (30, 20, 10)
    with h5py.File(path) as file:
        about = json.loads(file.attrs[STAND_IN])
    assert about["seed"] == 7 and "not that set" in about["note"] and about["processes"] == figures


def test_a_rerun_reuses_chunks_and_gives_the_same(sample: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    path, work, _ = sample
    before = {file: file.stat().st_mtime_ns for file in work.rglob("*.npz")}
    make(tmp_path / "again.h5", work, "--signal", "2prong:20", "--signal", "3prong:10")
    assert np.array_equal(rows(tmp_path / "again.h5"), rows(path))
    assert {file: file.stat().st_mtime_ns for file in work.rglob("*.npz")} == before
    damaged = next(file for file in before if "2prong" in str(file))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    make(tmp_path / "repaired.h5", work, "--signal", "2prong:20", "--signal", "3prong:10")
    assert np.array_equal(rows(tmp_path / "repaired.h5"), rows(path))


def test_a_black_box_tells_nothing(sample: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    path, work, _ = sample
    make(tmp_path / "b.h5", work, "--signal", "2prong:20", "--signal", "3prong:10", "--unlabelled")
    assert np.array_equal(rows(tmp_path / "b.h5"), rows(path)[:, :2100])
    with h5py.File(tmp_path / "b.h5") as file:
        text = file.attrs[STAND_IN]
    assert not {"processes", "seed"} & json.loads(text).keys() and "prong" not in text


def test_only_signal(sample: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, work, _ = sample
    summary = make(tmp_path / "s.h5", work, "--signal", "3prong:15", events=15)
    assert list(summary["processes"]) == ["3prong"] and (rows(tmp_path / "s.h5")[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--signal", "4prong:10"], "--signal is '4prong:10'; expected NAME:N"),
        (["--signal", "2prong"], "--signal is '2prong'"),
        (["--signal", "2prong:0"], "--signal is '2prong:0'"),
        (["--signal", "2prong:10", "--signal", "2prong:20"], "--signal is 2prong twice"),
        (["--signal", "2prong:61"], "--signal is 61 events; expected at most --events 60"),
        (["--offline"], "--offline is True; expected no such option with lhco"),
        (["--pileup", "5"], "--pileup is 5.0"),
        (["--full-mpi"], "--full-mpi is True"),
    ],
)
def test_refusals(tmp_path: Path, line: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path / "l.h5", tmp_path / "work", *line)
    assert list(tmp_path.iterdir()) == []


def test_options_of_lhco_only(tmp_path: Path) -> None:
    args = arguments(tmp_path / "w.h5", tmp_path / "work", "--unlabelled")
    args.process = "W"
    with pytest.raises(InputError, match="--signal and --unlabelled is given for W; expected only with lhco"):
        generate.run(args)


def test_the_hardest_particles_stay() -> None:
    rng = np.random.default_rng(1)
    event = np.repeat([0, 2], [lhco.SLOTS + 50, 3])
    flow = Flow(event, np.zeros(len(event), np.int8), *rng.random((4, len(event))))
    number, kept = lhco.hardest(flow)
    assert number.tolist() == [lhco.SLOTS, 3]
    expected = -np.sort(-flow.pt[event == 0])[: lhco.SLOTS]
    assert np.array_equal(kept[: lhco.SLOTS, 0], expected.astype(np.float32))


def test_lhco_does_not_touch_other_samples(tmp_path: Path) -> None:
    """What stands under `lhco` is no part of what other chunks are made of."""
    job = Job("W", 1, ("a",), "x", False, 20.0, 100, tmp_path)
    assert "lhco" not in json.dumps(job.document)
    ours = lhco.Job("background", 1, tmp_path).document
    assert ours["trigger"] == processes()["lhco"]["trigger"] and "pileup" not in json.dumps(ours)
