"""`ad40 cluster` from event files to pages, small."""

import json
from pathlib import Path

import numpy as np
import pytest

from ad40 import defaults
from ad40.cli import main
from ad40.events import open_events, write_hw_sample
from offline.clusters.result import DATA, SIMULATION, read_events, read_result
from offline.report.sections import Run
from offline.report.write import build

SMALL = ["--number", "8", "--fit-events", "3000", "--toys", "200", "--model", "ad40_balanced"]


def cluster(*words: object) -> int:
    return main(["cluster", *map(str, words)])


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clusters") / "kept.h5"
    assert main(["trigger", str(defaults.BACKGROUND), "--model", "ad40_balanced", "--output", str(path)]) == 0
    return path


def test_fit_and_assign_without_refitting(record, tmp_path, capsys):
    folder = tmp_path / "clusters"
    args = ["fit", record, "--number", 0, "--candidates", 4, 6, "--fit-events", 4000]
    assert cluster(*args, "--output", folder) == 0
    assert "adjusted Rand index" in capsys.readouterr().out
    assert cluster(*args, "--output", tmp_path / "b") == 0
    assert (folder / "clusters.h5").read_bytes() == (tmp_path / "b" / "clusters.h5").read_bytes()
    out = tmp_path / "signal.h5"
    signal = defaults.SAMPLE / "Ato4l.h5"
    assert cluster("assign", signal, "--clusters", folder, "--output", out, "--json", tmp_path / "a.json") == 0
    summary = json.loads((tmp_path / "a.json").read_text())
    found = read_events(out)
    assert sum(summary["in_clusters"]) == summary["events"] == len(found)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A record of the events of every second hard process, and a sample of the others."""
    folder = tmp_path_factory.mktemp("halves")
    with open_events(defaults.BACKGROUND) as file:
        columns = {name: file.column(name) for name in ("process", "parent")}
        for i in range(2):
            rows = np.flatnonzero(columns["parent"] % 2 == i)
            chosen = {name: column[rows] for name, column in columns.items()}
            write_hw_sample(folder / f"{i}.h5", file.codes()[rows], chosen, file.attributes)
    words = ["trigger", folder / "0.h5", "--model", "ad40_balanced", "--output", folder / "kept.h5"]
    assert main([str(word) for word in words]) == 0
    return folder / "kept.h5", folder / "1.h5"


def test_data_against_simulation(halves, tmp_path):
    """Data and simulation of one sample: nothing to find, but of the composition that cross-sections give."""
    data_file, simulation = halves
    out = tmp_path / "run" / "cluster"
    assert cluster("compare", data_file, "--simulation", simulation, *SMALL, "--unweighted", "--output", out) == 0
    found = read_result(out)
    assert (out / "cluster.html").stat().st_size > 10_000 and (out / "plots" / "occupancy.png").is_file()
    document = found.document
    assert document["flagged"] == [] and len(document["clusters"]) == 8
    observed = [row["observed"] for row in document["clusters"]]
    data = found.events.take(np.flatnonzero(found.events.source == DATA))
    assert np.bincount(data.cluster, minlength=8).tolist() == observed
    simulated = found.events.take(np.flatnonzero(found.events.source == SIMULATION))
    assert simulated.weight.sum() == pytest.approx(len(data), rel=1e-4)
    weighted = tmp_path / "weighted"
    assert cluster("compare", data_file, "--simulation", simulation, *SMALL, "--output", weighted) == 0
    assert read_result(weighted).document["flagged"]
    (section,) = [s for s in build(Run(tmp_path / "run", defaults.SAMPLE)) if s.title.startswith("Clusters")]
    assert not section.missing and len(section.blocks) == 4


def test_hidden_signal_in_pseudo_data(tmp_path):
    signal = defaults.SAMPLE / "Ato4l.h5"
    args = ["compare", "--simulation", defaults.BACKGROUND, "--inject", signal, "--events", 50_000, "--fraction", 0.03,
            *SMALL]  # fmt: skip
    assert cluster(*args, "--output", tmp_path / "a") == 0
    assert cluster(*args, "--output", tmp_path / "b") == 0
    found = read_result(tmp_path / "a")
    assert (tmp_path / "a" / "cluster.json").read_bytes() == (tmp_path / "b" / "cluster.json").read_bytes()
    best = found.document["flagged"][0]
    inside = found.inside(best)
    assert inside.copies[inside.label == 1].sum() > 0.2 * found.events.copies[found.events.label == 1].sum()
    assert inside.copies.sum() == found.document["clusters"][best]["observed"]


def test_calibrate_and_labels(tmp_path):
    signal = defaults.SAMPLE / "Ato4l.h5"
    args = ["calibrate", defaults.BACKGROUND, "--signals", signal, "--experiments", 8, "--injections", 2, *SMALL]
    assert cluster(*args, "--split", "--output", tmp_path) == 0
    summary = json.loads((tmp_path / "calibrate.json").read_text())
    assert len(summary["background_only"]["p"]) == 8 and 0 <= summary["background_only"]["ks_p"] <= 1
    assert summary["signals"]["Ato4l"]["injections"] == 2 and (tmp_path / "calibrate.html").is_file()
    args = ["labels", defaults.BACKGROUND, signal, "--unseen", "Ato4l", "--per-class", 300, *SMALL[:4]]
    assert cluster(*args, "--output", tmp_path) == 0
    found = json.loads((tmp_path / "labels.json").read_text())["clusters"]
    assert set(found["8"]) == {"all", "seen", "unseen"} and found["8"]["all"]["purity"] > 0.4


def test_data_that_are_the_simulation_are_refused(record, tmp_path, capsys):
    for data in (record, defaults.BACKGROUND):
        assert cluster("compare", data, "--simulation", defaults.BACKGROUND, "--output", tmp_path / "out") == 2
        assert "not the data" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.json"))


@pytest.mark.parametrize(
    "words, text",
    [
        (["--simulation", "{sim}", "--trigger-seed", "Nope"], "Nope"),
        (["{sim}", "--simulation", "{sim}", "--inject", "{sim}"], "--inject"),
        (["--simulation", "{sim}", "--embedding", "reference"], "model of the embedding"),
        (["--simulation", "{sim}", "--fraction", "2"], "fraction"),
        (["--simulation", "missing.h5"], "missing.h5"),
    ],
)
def test_bad_input_is_refused(words, text, tmp_path, capsys):
    words = [w.format(sim=defaults.BACKGROUND) for w in words]
    assert cluster("compare", *words, "--output", tmp_path / "out") == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.json"))
