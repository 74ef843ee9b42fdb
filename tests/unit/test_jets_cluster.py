"""Clustering: particles of events to jets, in one process or several, and what cannot be clustered."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import InputError
from offline.jets import cluster_step, lhco
from offline.jets.jets import check, open_jets, starts_of
from tests.jet_files import event_rows, random_jets, write_frame

pytest.importorskip("fastjet", reason="fastjet is not installed: no clustering")

from offline.jets.cluster import Clustering, cluster


def events_of(particles: list[list[list[float]]]) -> lhco.Events:
    offsets = starts_of(np.array([len(p) for p in particles]))
    flat = np.array([row for p in particles for row in p], np.float32).reshape(-1, 3)
    return lhco.Events(offsets, flat, np.arange(len(particles)).astype(np.int8) % 2, first=7)


def test_small_events() -> None:
    """Nothing, one particle, two jets out of order, a jet outside, particles at both ends of phi."""
    events = events_of(
        [
            [],
            [[500, 0.5, 1.0]],
            [[300, 0, 0], [400, 0.1, 2.5], [50, 0.2, 2.6]],
            [[900, 3.5, 0]],
            [[200, 0, 3.1], [100, 0, -3.1]],
        ]
    )
    jets = check(cluster(events, Clustering(pt_min=100)))
    assert jets.event.tolist() == [8, 9, 9, 11] and jets.which.tolist() == [0, 0, 1, 0]
    assert jets.label.tolist() == [1, 0, 0, 0] and jets.counts.tolist() == [1, 2, 1, 2]
    assert jets.jet[0, :3] == pytest.approx([500, 0.5, 1.0]) and (jets.jet[0, 3:] == 0).all()
    assert (jets.jet[2, 3:] == 0).all()
    dphi = 2 * np.pi - 6.2
    assert jets.column("mass")[3] == pytest.approx(np.sqrt(2 * 200 * 100 * (1 - np.cos(dphi))), rel=1e-4)
    assert jets.constituents[-2:, 0].tolist() == [200, 100]
    assert len(cluster(events_of([[], []]))) == 0
    assert len(cluster(events, Clustering(pt_min=100, jets=1))) == 3


def test_settings_out_of_range() -> None:
    for name, value in (("pt_min", 0.0), ("eta_max", -1.0), ("jets", 0)):
        with pytest.raises(InputError, match=f"clustering: {name} is {value}"):
            Clustering(**{name: value})


@pytest.mark.parametrize(("name", "at_least"), [("2prong", 0.9), ("3prong", 0.75)])
def test_published_jets_come_out_again(reference_data: Path, name: str, at_least: float) -> None:
    """The particles of all jets of an event, clustered, are the jets of the authors where all particles are kept."""
    with lhco.open_source(reference_data / f"lhco_{name}_signal_100.h5", 1) as source:
        theirs = source.read()
    number = np.bincount(theirs.event[theirs.owner], minlength=100)
    order = np.argsort(theirs.event[theirs.owner], kind="stable")
    events = lhco.Events(starts_of(number), theirs.constituents[order], np.ones(100, np.int8))
    ours = check(cluster(events, Clustering(eta_max=20, jets=10)))
    assert len(ours) == len(theirs) and np.array_equal(ours.event, theirs.event)
    complete = np.isin(theirs.event, theirs.event[theirs.counts == 80], invert=True)  # none of the event is cut
    assert complete.mean() > 0.4
    same = (ours.counts == theirs.counts) & complete
    assert same.sum() / complete.sum() > 0.95  # the others: particles between two jets
    assert ours.jet[same, :4] == pytest.approx(theirs.jet[same, :4], rel=2e-3, abs=0.1)
    assert (np.abs(ours.jet[:, 0] / theirs.jet[:, 0] - 1) < 1e-3).mean() > at_least


def step(*line: Any) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    cluster_step.add_arguments(parser)
    return cluster_step.run(parser.parse_args([str(word) for word in line]))


def test_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jets = random_jets(80, seed=2, largest=20)
    labelled = write_frame(tmp_path / "a.h5", event_rows(jets, 41))
    black = write_frame(tmp_path / "b.h5", event_rows(jets, 40, label=False))
    summary = step(labelled, black, "--output", tmp_path / "j.h5", "--radius", 0.8, "--pt-min", 30)
    assert (summary["events"], summary["stand_in"]) == (81, None)
    assert summary["unknown"] > 0 and summary["signal"] > 0 and summary["background"] > 0
    assert [source["labelled"] for source in summary["sources"]] == [True, False]
    with open_jets(tmp_path / "j.h5") as file:
        found = file.read()
        assert file.attributes["clustering"]["grooming"]["radius"] == 0.8
    assert (found.label[found.event >= 41] == -1).all() and (found.label[found.event < 41] >= 0).all()
    half = found.event < 41
    assert np.array_equal(found.jet[half][: (~half).sum()], found.jet[~half])
    monkeypatch.setattr(cluster_step, "_BLOCK", 31)
    step(labelled, black, "--output", tmp_path / "k.h5", "--radius", 0.8, "--pt-min", 30, "--jobs", 2)
    with open_jets(tmp_path / "k.h5") as file:
        again = file.read()
    for name in ("offsets", "constituents", "jet", "event", "which", "label"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name


def test_refusals_of_the_step(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "b.h5", event_rows(random_jets(8), 4, label=False))
    empty = write_frame(tmp_path / "e.h5", np.zeros((3, 2100)))
    output = tmp_path / "j.h5"
    for line, message in (
        ((path, "--output", path), "--output is .*b.h5; expected a file that is not one of the inputs"),
        ((path, "--output", output, "--need-labels"), "b.h5: label is missing"),
        ((path, "--output", output, "--jobs", 0), "--jobs is 0"),
        ((path, "--output", output, "--trim", 2, 0.1), "trim_radius is 2.0"),
        ((empty, "--output", output), "e.h5: jets is none in all events; expected some above 20 GeV"),
        ((path, "--output", output, "--pt-min", 99999), "jets is none in all events"),
    ):
        with pytest.raises(InputError, match=message):
            step(*line)
    assert not output.exists()
