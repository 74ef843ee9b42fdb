"""Events of particles for the trigger and the searches: what it sees, and the jets of what it kept."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40 import offline_events
from ad40.cli import main
from ad40.dataframe import Frame
from ad40.errors import HashMismatch, InputError
from ad40.events import EventFile
from offline.jets import cluster_step, events_step
from offline.jets.jets import open_jets
from tests.jet_files import event_rows, random_jets, write_frame

pytest.importorskip("fastjet", reason="fastjet is not installed: no clustering")


def step(module: Any, *line: Any) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    summary: dict[str, Any] = module.run(parser.parse_args([str(word) for word in line]))
    return summary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 events, the last two without particles: particles.h5, events.h5, kept.h5 (record), jets.h5."""
    folder = tmp_path_factory.mktemp("events")
    write_frame(folder / "particles.h5", event_rows(random_jets(96, seed=4, largest=30), 50))
    step(events_step, folder / "particles.h5", "--output", folder / "events.h5")
    step(cluster_step, folder / "particles.h5", "--output", folder / "jets.h5", "--jets", 10)
    assert main(["trigger", str(folder / "events.h5"), "--output", str(folder / "kept.h5")]) == 0
    return folder


def test_what_the_trigger_sees(folder: Path) -> None:
    with Frame(folder / "particles.h5") as frame:
        slots = frame.read()[:, :2100].reshape(50, 700, 3)
    pt, phi = slots[..., 0], slots[..., 2]
    x, y = -(pt * np.cos(phi)).sum(axis=1), -(pt * np.sin(phi)).sum(axis=1)
    with EventFile(folder / "events.h5") as file:
        seen = file.events(0, 50)
        assert file.attributes["particles"]["file"] == "particles.h5" and file.attributes["stand_in"] is None
        assert set(file.columns) == {"label"}
    assert seen[:, 0, 0] == pytest.approx(np.hypot(x, y), rel=1e-5, abs=1e-3)
    assert (seen[:, 1:9] == 0).all() and (seen[48:] == 0).all()
    jets = seen[:, 9:, 0]
    assert (np.diff(jets, axis=1) <= 0).all() and ((jets == 0) | (jets >= 15)).all() and (jets[:48, 0] > 0).mean() > 0.9


def test_offline_objects_are_the_large_jets(folder: Path) -> None:
    found = offline_events.read_offline(folder / "events.h5")
    with open_jets(folder / "jets.h5") as file:
        jets = file.read()
    expected = np.zeros((50, 10, 4), np.float32)
    expected[jets.event, jets.which.astype(int)] = jets.jet[:, :4]
    assert np.array_equal(found["jet"], expected) and not found["bjet"].any()


def test_jets_of_what_the_trigger_kept(folder: Path, tmp_path: Path) -> None:
    with EventFile(folder / "kept.h5") as record:
        kept = np.asarray(record.column("event"))
    assert 0 < len(kept) < 50
    summary = step(cluster_step, folder / "particles.h5", "--record", folder / "kept.h5", "--jets", 10,
                   "--output", tmp_path / "k.h5")  # fmt: skip
    assert summary["record"]["file"] == "kept.h5"
    with open_jets(folder / "jets.h5") as all_jets, open_jets(tmp_path / "k.h5") as some:
        every, found = all_jets.read(), some.read()
    every = every.take(np.isin(every.event, kept))
    assert np.array_equal(found.event, every.event) and np.array_equal(found.jet, every.jet)
    assert np.array_equal(found.constituents, every.constituents)


def test_refusals(folder: Path, tmp_path: Path) -> None:
    other = write_frame(tmp_path / "other.h5", event_rows(random_jets(8), 4))
    out, kept, particles = tmp_path / "o.h5", folder / "kept.h5", folder / "particles.h5"
    with pytest.raises(HashMismatch, match="sha256 of the particles"):
        step(cluster_step, other, "--record", kept, "--output", out)
    with pytest.raises(InputError, match="the one file"):
        step(cluster_step, particles, other, "--record", kept, "--output", out)
    with pytest.raises(InputError, match="a TriggerRecord"):
        step(cluster_step, particles, "--record", folder / "events.h5", "--output", out)
    with pytest.raises(InputError, match="--events is 0"):
        step(events_step, particles, "--events", 0, "--output", out)
    with pytest.raises(InputError, match="not the input"):
        step(events_step, particles, "--output", particles)
    assert not out.exists()
