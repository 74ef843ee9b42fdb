"""`ad40 dqm` from good events to a monitoring page and a section of the report."""

import json
from pathlib import Path

import h5py
import pytest

from ad40.cli import main
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.model import read_model

SAMPLE = Path(__file__).resolve().parents[2] / "training" / "sample" / "background.h5"
PER_LUMI = "500"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reference, and a file with a hot tower from its tenth lumi section on."""
    folder = tmp_path_factory.mktemp("dqm")
    assert main(["dqm", "reference", str(SAMPLE), "--part", "train", "--model", "ad40_small", "--per-lumi", PER_LUMI,
                 "--sections", "200", "--events", "20000", "--rate", "1e-3", "--output", str(folder / "reference")]) == 0  # fmt: skip
    assert main(["dqm", "inject", str(SAMPLE), "--fault", "hot tower", "--size", "0.1", "--eta", "1", "--phi", "-2",
                 "--per-lumi", PER_LUMI, "--from", "10", "--events", "9000", "--output", str(folder / "hot.h5")]) == 0  # fmt: skip
    return folder


def test_reference(folder):
    summary = json.loads((folder / "reference" / "reference.json").read_text())
    assert summary["events"] + summary["calibration_events"] == 20000 and summary["lepton_pt"] == 23.0
    assert set(summary["thresholds"]) == set(summary["tails"]) and all(v > 0 for v in summary["thresholds"].values())


def test_a_fault_is_seen_on_the_page_and_in_the_report(folder, capsys):
    run = folder / "run"
    assert main(["dqm", "watch", str(folder / "hot.h5"), "--reference", str(folder / "reference"),
                 "--output", str(run / "dqm"), "--json", str(folder / "w.json")]) == 0  # fmt: skip
    out = capsys.readouterr().out
    document = json.loads((run / "dqm" / "dqm.json").read_text())
    assert document == json.loads((folder / "w.json").read_text())
    assert document["sections"] == 18 and document["trend"]["lumi"] == list(range(1, 19))
    (episode,) = document["episodes"]
    assert episode["since"]["lumi"] == episode["raised"]["lumi"] == 10 and "jet hot at eta 0.9" in episode["what"]
    assert "since run 1 lumi 10" in out
    page = (run / "dqm" / "dqm.html").read_text()
    assert episode["what"] in page
    for plot in document["plots"]:
        assert (run / "dqm" / plot["file"]).is_file() and (run / "dqm" / plot["data"]).is_file()
    assert main(["report", str(run), "--sample", str(folder)]) == 0
    report = (run / "report.html").read_text()
    assert "Data quality" in report and episode["what"] in report


def test_a_prescaled_monitoring_seed_of_a_record(folder):
    model = read_model("ad40_small")
    seeds = (Seed("AD40_Monitor", "ad40_small", 0, (10.0,)), *model.menu.seeds)
    menu = Menu((ModelRef("ad40_small", model.network.hash),), model.menu.spec_hash, seeds)
    write_menu(folder / "menu.yaml", menu)
    for name, part in (("kept", ["--menu", str(folder / "menu.yaml"), "--model", "ad40_small"]), ("other", [])):
        assert main(["trigger", str(folder / "hot.h5"), *part, "--output", str(folder / f"{name}.h5")]) == 0
    record = str(folder / "kept.h5")
    arguments = ["--reference", str(folder / "reference"), "--per-lumi", "300"]
    assert main(["dqm", "watch", record, *arguments, "--stream", "AD40_Monitor", "--output", str(folder / "m")]) == 0
    document = json.loads((folder / "m" / "dqm.json").read_text())
    assert document["record"] and document["events"] == 900 and document["sections"] == 3
    with h5py.File(record) as file:
        assert len(file["codes"]) > 900
    # a reference of what the trigger kept, whose model the record names
    assert main(["dqm", "reference", record, "--per-lumi", "200", "--sections", "200",
                 "--output", str(folder / "of_record")]) == 0  # fmt: skip
    made = json.loads((folder / "of_record" / "reference.json").read_text())
    assert made["model"]["name"] == "ad40_small" and made["lepton_pt"] == 23.0
    # a seed that is not in the record, and the record of another model
    assert main(["dqm", "watch", record, *arguments, "--stream", "AD40", "--output", str(folder / "n")]) == 2
    assert main(["dqm", "watch", str(folder / "other.h5"), *arguments, "--output", str(folder / "n")]) == 2


def test_calibration_on_other_events(folder, capsys):
    arguments = ["dqm", "calibrate", str(SAMPLE), "--reference", str(folder / "reference"), "--sections", "50",
                 "--trials", "2", "--sizes", "1", "--events", "10000", "--output", str(folder / "c")]  # fmt: skip
    assert main(arguments) == 2  # all events: those of the reference are among them
    assert "another part than 'train'" in capsys.readouterr().err
    # fifty lumi sections cannot show that there is less than one false alarm in a thousand
    assert main([*arguments, "--part", "test", "--json", str(folder / "c.json")]) == 1
    document = json.loads((folder / "c.json").read_text())
    assert document["false_alarms"]["sections"] == 50 and document["false_alarms"]["upper_95"] > 1e-3
    assert [row["fault"] for row in document["faults"]][:2] == ["hot tower", "dead sector"]
    assert (folder / "c" / "calibrate.html").is_file() and len(document["sizes"]) == 21


def test_bad_input_is_refused_before_any_work(folder, capsys):
    reference = ["--reference", str(folder / "reference")]
    out = ["--output", str(folder / "x")]
    for arguments, said in (
        (["watch", str(SAMPLE), *reference, *out], "--per-lumi"),
        (["watch", str(SAMPLE), "--reference", str(folder), *out, "--per-lumi", "9"], "reference.h5"),
        (["watch", str(SAMPLE), *reference, *out, "--per-lumi", "0"], "at least 1"),
        (["watch", str(SAMPLE), *reference, *out, "--per-lumi", "99", "--model", "ad40_v1"], "hash of the model"),
        (["reference", str(SAMPLE), *out, "--per-lumi", "100", "--rate", "2"], "--rate"),
        (["reference", str(SAMPLE), *out, "--per-lumi", "100", "--sections", "3"], "--sections"),
        (["inject", str(SAMPLE), "--fault", "swapped links", "--lanes", "jet0", "x", "--per-lumi", "9", *out], "lane"),
        (["inject", str(SAMPLE), "--fault", "hot tower", "--from", "99", "--per-lumi", "9000", "--events", "9000", *out],
         "--from"),
    ):  # fmt: skip
        assert main(["dqm", *arguments]) == 2, arguments
        assert said in capsys.readouterr().err
    assert not (folder / "x").exists() or not list((folder / "x").iterdir())
