"""`ad40 rmm`: files of events to a table, pictures and classes of it; what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from ad40.cli import main
from offline import table
from offline.objects.selection import STREAMS
from offline.rmm.pictures import average, event, mean
from tests.unit.test_event_table import Memory, sample


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An event table of 200 events in two streams."""
    folder = tmp_path_factory.mktemp("table")
    source = Memory(folder / "events", sample(200, 11))
    table.write(folder / "t.h5", [source], streams=("any", "met"), spectra=("jj", "bmu"))
    return folder / "t.h5"


def ad40(*arguments: object) -> int:
    return main(["rmm", *map(str, arguments)])


def test_root_file_to_table(reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The slim ntuple of ADFilter: 1,000 times the same event, a jet, b-jet, muon, electron and photon at eta 0."""
    output, summary = tmp_path / "t.h5", tmp_path / "t.json"
    code = ad40(reference_data / "adfilter_dummy.root", "--output", output, "--streams", "lepton,2l,photon",
                "--spectra", "jetx,jjmu", "--counts", "jet=4", "--json", summary)  # fmt: skip
    assert code == 0
    document = json.loads(summary.read_text())
    assert document["events"] == 1000 and document["spectra"][-1] == "jjmu" and document["counts"]["jet"] == 4
    flow = {name: n for name, n, _ in document["cutflow"]}
    assert flow == {"read": 1000, "stream lepton": 1000, "stream 2l": 1000, "stream photon": 0, "kept": 1000}
    with table.open_table(output) as found:
        assert found.sha256 == document["sha256"] and found.sqrt_s == 13000
        cells = found.rmm(0, 1000)
        assert (cells == cells[0]).all()
        # one jet with m = pt = 100 and a massless photon with pt = 100 at the same place: m^2 = 2 (E E' - p p') + m'^2
        mass = np.sqrt(100**2 + 2 * 100 * (np.hypot(100, 100) - 100))
        assert cells[0, found.layout.flat("m(j1,gamma1)")] * 13000 == pytest.approx(mass, rel=1e-6)
        assert found.mass("jgamma")[0] == pytest.approx(mass, rel=1e-6)
        assert np.isnan(found.mass("jjmu")).all() and not cells[:, found.layout.flat("ET(e1)") + 1].any()
    assert "1,000" in capsys.readouterr().out


def test_pictures_and_classes_of_a_table(small: Path, tmp_path: Path) -> None:
    summary = tmp_path / "s.json"
    folder, counted = tmp_path / "pictures", tmp_path / "classes.csv"
    assert ad40(small, "--pictures", folder, "--row", 3, "--classes", counted, "--json", summary) == 0
    names = {"rmm_event_3", "rmm_average", "rmm_average_any", "rmm_average_met"}
    assert {path.name for path in folder.iterdir()} == {f"{name}.{end}" for name in names for end in ("png", "yaml")}
    assert all((folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in names)
    document = json.loads(summary.read_text())
    assert document["classes"]["events"] == 200 and len(counted.read_text().splitlines()) > 20
    with table.open_table(small) as found:
        cells = found.rmm(3, 4).reshape(found.layout.width, -1)
        shown = yaml.safe_load((folder / "rmm_event_3.yaml").read_text())
        (independent,), (dependent,) = shown["independent_variables"], shown["dependent_variables"]
        values = dict(
            zip(*([row["value"] for row in column["values"]] for column in (independent, dependent)), strict=True)
        )
        assert len(values) == ((cells != 0).any(axis=0) | (cells != 0).any(axis=1)).sum() ** 2
        for name, value in values.items():
            assert value == pytest.approx(cells[found.layout.cell(name)], rel=1e-5), name


def test_means_are_weighted(small: Path) -> None:
    with table.open_table(small) as found:
        cells, weight = found.rmm(0, found.n).astype(float), found.column("weight").astype(float)
        chosen = found.stream("met")
        assert 0 < chosen.sum() < found.n
        for mask in (None, chosen):
            here = np.ones(found.n, bool) if mask is None else mask
            expected = (weight[here] @ cells[here]) / weight[here].sum()
            result, n = mean(found, mask)
            assert n == here.sum()
            np.testing.assert_allclose(result.ravel(), expected, rtol=1e-9, atol=1e-15)
        nothing, n = mean(found, np.zeros(found.n, bool))
        assert n == 0 and not nothing.any()
        picture = average(found, "sample", chosen)
        assert picture.events == chosen.sum() and len(picture.blinded) == 9
        assert [picture.names[k] for k in picture.blinded[0]] == ["j1", "j2"]


def test_numbers_in_the_cells_of_an_event(small: Path) -> None:
    with table.open_table(small) as found:
        picture = event(found, 0)
    assert picture._number("m(j1,mu1)", 745 / 13000) == "745" and picture._number("ET(mu1)", 1.26 / 13000) == "1.3"
    assert picture._number("h(j1,j2)", 0.1234) == "0.12" and picture._number("dET(j2)", 0.4) == "+0.40"


def test_refusals_name_what_is_wrong(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text"
    text.write_text("no events")
    output = tmp_path / "out.h5"
    for arguments, message in (
        ((tmp_path / "nothing", "--output", output), "nothing: file is missing"),
        ((text, "--output", output), "HDF5, ROOT, an LHE file or a CSV of Dark Machines"),
        ((small,), "--pictures or --classes"),
        ((small, small, "--classes", output), "--output is missing"),
        ((small, "--output", output), "looked at without --output"),
        ((small, "--row", 1, "--classes", output), "with --pictures"),
        ((small, "--pictures", tmp_path / "p", "--row", 200), "a row from 0 to 199"),
        ((small, "--pictures", text), "a folder is needed"),
        ((text, "--output", output, "--counts", "tau=1"), "--counts is 'tau=1'"),
        ((text, "--output", output, "--btag", "Jet_btag"), "BRANCH:NUMBER"),
        ((text, "--output", output, "--require", "Jet_jetId:2"), "with --btag"),
        ((text, "--output", output, "--pt-min", -1), "pt_min"),
    ):
        assert ad40(*arguments) == 2, arguments
        assert message in capsys.readouterr().err, arguments
        assert not output.exists()


def test_streams_and_spectra_are_checked(
    reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = reference_data / "adfilter_dummy.root"
    for arguments, message in (
        (("--streams", "1l,nothing"), "nothing"),
        (("--streams", ""), "streams"),
        (("--spectra", "jq"), "jq"),
        (("--cross-section", 0), "cross_section_pb"),
        (("--events", file), "only with a record"),
    ):
        assert ad40(file, "--output", tmp_path / "t.h5", *arguments) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ad40("--help")
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*STREAMS, "m(j1,mu1)", "examples:"))
