"""`ad40 search` on an analysis document: events to the page, resumed, and documents that are refused."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ad40.cli import main
from offline.search.analysis import SHIPPED
from offline.search.stages import NAMES
from tests.offline_files import write_file
from tests.offline_toys import resonance, toys

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "name": "tiny",
    "title": "A tiny analysis",
    "status": "Toys",
    "luminosity_fb": "sample",
    "signals": {"lq": {"label": "leptoquark, 800 GeV", "spectrum": "jmu", "stream": "1l"}},
    "streams": ["1l", "jet"],
    "spectra": {"names": ["jj", "jmu", "jjmu"], "bins": "published", "bin_range": [75, 13156],
                "fit_range": [150, 9000], "min_entries": 50},
    "score": {"autoencoder": {"network": "small", "fraction": 0.05, "initialisations": 2, "epochs": 4}},
    "regions": {"cross_sections_pb": [1000, 10, 0.1], "ystar_max": 0.6},
    "fits": {"functions": ["p3", "p4", "p5"], "goodness_toys": 50},
    "hunt": {"pseudo_experiments": 800},
    "limits": {"widths_percent": [0, 10], "masses": 4, "spectra": ["jmu"]},
    "scan": {"range_pb": [1, 2000], "steps": 4, "pseudo_experiments": 60, "spectra": ["jj", "jmu"]},
}  # fmt: skip
N, LUMINOSITY_PB = 12_000, 2.0
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.h5, signal.h5 and tiny.yaml."""
    folder = tmp_path_factory.mktemp("analysis")
    write_file(folder / "data.h5", toys(N, 3), luminosity_pb=LUMINOSITY_PB)
    write_file(folder / "signal.h5", resonance(1500, 800.0, 4), cross_section_pb=0.5)
    write_document(folder / "tiny.yaml")
    return folder


def write_document(path: Path, **changes: Any) -> Path:
    """The document with other keys; a key that is None is left out."""
    document = {k: v for k, v in (DOCUMENT | changes).items() if v is not None}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def search(files: Path, output: Path, document: Path | None = None, *more: str) -> int:
    return main(["search", str(document or files / "tiny.yaml"), "--data", str(files / "data.h5"),
                 "--signal", f"lq={files / 'signal.h5'}", "--output", str(output), "--jobs", "1", *more])  # fmt: skip


@pytest.fixture(scope="module")
def done(files: Path) -> Path:
    """The output folder of the whole analysis."""
    assert search(files, files / "out") == 0
    return files / "out"


class Page(HTMLParser):
    """What a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(v) for k, v in attrs if k in ("src", "href")]


def test_from_events_to_the_page(done: Path) -> None:
    summary = json.loads((done / "search.json").read_text())
    stages = {name: json.loads((done / f"{name}.json").read_text())["result"] for name in NAMES}
    # nobody is searched that the network saw, and a region holds sigma x L of the rest
    trained = stages["scores"]["samples"]["data"]["training"]
    assert trained > 100 and stages["spectra"]["events"] == stages["table"]["data"]["events"] - trained
    assert stages["table"]["data"]["luminosity_fb"] == pytest.approx(LUMINOSITY_PB / 1000)
    kept = {r["name"]: r["events"] for r in stages["regions"]["regions"]}
    correction = stages["regions"]["correction"]
    assert kept["1000pb"] == int(1000 * LUMINOSITY_PB * correction) and kept["10pb"] == int(
        10 * LUMINOSITY_PB * correction
    )
    assert "less than one" in stages["regions"]["refused"]["0.1pb"]
    # the spectra of regions are parts of those of all events
    counts = {(r["stream"], r["mass"], r["region"]): np.array(r["counts"]) for r in stages["spectra"]["rows"]}
    assert {region for *_, region in counts} == {"all", "1000pb", "10pb", "ystar<0.6"}
    for (stream, mass, _), own in counts.items():
        assert (own <= counts[stream, mass, "all"]).all()
    # every spectrum is searched, or said why not
    assert len(summary["spectra"]) == 2 * 3 * 3
    assert all((r["reason"] is None) == (r["status"] == "scanned") for r in summary["spectra"])
    scanned = [r for r in summary["spectra"] if r["status"] == "scanned"]
    assert {"all", "1000pb"} <= {r["region"] for r in scanned} and 0 < len(scanned) < len(summary["spectra"])
    assert all(0 < r["global_p"] <= 1 and r["local_z"] >= r["global_z"] - 0.2 for r in scanned)
    # the signal is unusual: the network keeps more of it than of the data, which is worth something
    gain = stages["regions"]["improvement"]["lq"]
    assert gain["window"][0] < 800 < gain["window"][1]
    accepted = {k: gain["cuts"]["1000pb"][k]["acceptance"][1] for k in ("signal", "background")}
    assert accepted["signal"] > accepted["background"]
    low, value, high = gain["cuts"]["1000pb"]["naive"]
    expected = 100 * (accepted["signal"] / np.sqrt(accepted["background"]) - 1)
    assert value == pytest.approx(expected) and low < value and (high is None or value < high)
    limits = [p for row in stages["limits"]["rows"] for p in row.get("points", []) if p["reason"] is None]
    assert limits and all(p["observed"] > 0 and sorted(p["expected"]) == p["expected"] for p in limits)
    scan = stages["scan"]
    assert 0 < scan["p"] <= 1 and scan["pseudo_experiments"] == 60 and len(scan["steps"]) == 4


def test_the_page_holds_everything_and_needs_nothing(done: Path) -> None:
    text = (done / "search.html").read_text()
    page = Page(text)
    outside = [link for link in page.links if not link.startswith(("data:image/png;base64,", "#", "data/"))]
    assert not outside and "script" not in page.tags
    figures = [link for link in page.links if link.startswith("data/")]
    assert set(figures) == {f"data/{p.name}" for p in (done / "data").glob("*.yaml")} - {"data/submission.yaml"}
    for title in ("Result", "Events", "Autoencoder", "Anomaly regions", "Limits", "Scan of the threshold",
                  "All spectra", "Left out, and why", "Provenance"):  # fmt: skip
        assert f">{title}</h2>" in text
    assert "No bump claimed" in text and "leptoquark, 800 GeV" in text and "0.1pb" in text
    assert {p.stem for p in (done / "plots").glob("*.png")} == {Path(link).stem for link in figures}


def test_every_figure_is_also_data(done: Path) -> None:
    first, *tables = yaml.safe_load_all((done / "data" / "submission.yaml").read_text())
    assert "No bump claimed" in first["comment"] and len(tables) > 15
    for entry in tables:
        assert entry["description"] and entry["name"]
        table = yaml.load((done / "data" / entry["data_file"]).read_text(), FAST)
        variables = table["independent_variables"] + table["dependent_variables"]
        assert len({len(v["values"]) for v in variables}) == 1
        assert all(v["header"]["name"] for v in variables)
        assert all("qualifiers" in v for v in table["dependent_variables"])
    spectrum = yaml.load((done / "data" / "spectrum_1l_jmu_all.yaml").read_text(), FAST)
    counts = [v["value"] for v in spectrum["dependent_variables"][0]["values"]]
    rows = json.loads((done / "spectra.json").read_text())["result"]["rows"]
    assert counts == next(r["counts"] for r in rows if (r["stream"], r["mass"], r["region"]) == ("1l", "jmu", "all"))


def stages_done(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What the lines on standard error say of each stage."""
    lines = [line.split(" ", 3) for line in capsys.readouterr().err.splitlines() if line.startswith("search: stage")]
    return {name.rstrip(":"): rest for *_, last in lines for name, _, rest in [last.partition(" ")]}


def test_only_what_changed_is_done_again(done: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((done / "search.json").read_text())
    assert search(files, done) == 0
    assert set(stages_done(capsys).values()) == {"reused"}
    other = write_document(files / "other.yaml", limits=DOCUMENT["limits"] | {"widths_percent": [5]})
    assert search(files, done, other) == 0
    again = stages_done(capsys)
    assert {name for name, what in again.items() if what != "reused"} == {"limits", "report"}
    # a file that somebody changed is made again, and the same comes out
    (done / "scores" / "data.h5").write_bytes(b"")
    (done / "hunt.json").unlink()
    assert search(files, done) == 0
    assert {"table", "autoencoder", "spectra"} <= {
        name for name, what in stages_done(capsys).items() if what == "reused"
    }
    assert json.loads((done / "search.json").read_text()) == before


def test_until_a_stage_and_on(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = write_document(tmp_path / "plain.yaml", score=None, regions=None, limits=None, scan=None, signals=None)
    arguments = [
        "search",
        str(plain),
        "--data",
        str(files / "data.h5"),
        "--output",
        str(tmp_path / "out"),
        "--jobs",
        "1",
    ]
    inject = ["--inject", f"{files / 'signal.h5'}:60"]
    assert main([*arguments, *inject, "--until", "fits"]) == 0
    assert not (tmp_path / "out" / "hunt.json").exists() and stages_done(capsys)["regions"].startswith("left out")
    assert main([*arguments, *inject]) == 0
    output = capsys.readouterr()
    assert "table: reused" in output.err and "fits: reused" in output.err
    summary = json.loads((tmp_path / "out" / "search.json").read_text())
    assert summary["bump"] and summary["global"]["spectrum"] in ("jmu", "jjmu") and "A bump in m(" in output.out
    assert summary["injected"]["events"] == 60
    assert summary["skipped_stages"].keys() == {"autoencoder", "scores", "regions", "limits", "scan"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour is an unknown key"),
        ({"streams": ["1l", "muon"]}, "streams[1] is 'muon'; expected one of met, 1l"),
        ({"streams": []}, "streams is []"),
        ({"spectra": DOCUMENT["spectra"] | {"names": ["jj", "jx"]}}, "spectra.names[1] is 'jx'"),
        ({"spectra": DOCUMENT["spectra"] | {"fit_range": [900, 300]}}, "spectra.fit_range is [900, 300]"),
        ({"fits": {"functions": ["p9"]}}, "fits.functions[0] is 'p9'"),
        ({"fits": {"functions": ["p5", "p3"]}}, "fits.functions"),
        ({"score": {"autoencoder": {"network": "huge"}}}, "score.autoencoder"),
        ({"score": {"column": "x", "files": {}}}, "exactly one of autoencoder, column, files"),
        ({"score": None}, "regions is given without a score"),
        ({"regions": {"cross_sections_pb": [1, 10]}}, "the largest (loosest) first"),
        ({"limits": DOCUMENT["limits"] | {"streams": ["met"]}}, "limits.streams[0] is 'met'"),
        ({"hunt": {"pseudo_experiments": 100}}, "hunt.pseudo_experiments is 100; expected at least 741"),
        ({"luminosity_fb": "much"}, "luminosity_fb is 'much'"),
        ({"signals": {"data": {}}}, "signals.data"),
        ({"score": {"column": "hw_score"}, "scan": None}, "score.column is hw_score; expected a column of"),
        ({"score": {"files": {"data": "scores.h5"}}}, "score.files is without lq"),
        ({"data": ["nowhere.h5"]}, None),
    ],
)
def test_a_bad_document_is_refused_before_the_work(
    files: Path, tmp_path: Path, changes: dict[str, Any], message: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_document(tmp_path / "bad.yaml", **changes)
    if message is None:  # --data stands above the document
        assert main(["search", str(path), "--output", str(tmp_path / "out")]) == 2
        message = "nowhere.h5: event file is not there"
    else:
        assert search(files, tmp_path / "out", path) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_bad_files_are_refused_and_leave_nothing(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert search(files, out, None, "--signal", "other=nowhere.h5") == 2
    assert search(files, out, None, "--inject", f"{files / 'signal.h5'}:99999") == 2
    assert search(files, out, None, "--data", str(files / "tiny.yaml")) == 2
    other = write_file(tmp_path / "other.h5", toys(300, 8))
    assert main(["search", str(files / "tiny.yaml"), "--data", str(other), "--output", str(out)]) == 2
    assert main(["search", "jetxx", "--data", str(other), "--output", str(out)]) == 2
    errors = capsys.readouterr().err
    for text in (
        "nowhere.h5",
        "jetxx: analysis or record is not there",
        "a shipped analysis: jetx, trigger",
        "independent events is 1500",
        "tiny.yaml: content",
        "luminosity_fb is not given",
    ):
        assert text in errors
    assert not out.exists()
    # a fault inside a file is found while it is read; what is not whole is not left
    broken = toys(500, 9)
    broken.jet[77, 0, 3] = np.nan
    path = write_nan(tmp_path / "nan.h5", broken)
    assert main(["search", str(files / "tiny.yaml"), "--data", str(path), "--output", str(out)]) == 2
    assert "row 77" in capsys.readouterr().err and not list(out.rglob("*.h5"))


def write_nan(path: Path, events: Any) -> Path:
    """A file with a mass that is no number, which the writer refuses to write."""
    import h5py

    good = events.jet.copy()
    events.jet[np.isnan(events.jet)] = 0
    write_file(path, events, LUMINOSITY_PB)
    with h5py.File(path, "r+") as file:
        file["offline/jet"][:] = good
    return path


def test_shipped_documents_are_read(files: Path) -> None:
    from offline.search.document import read

    for path in SHIPPED.glob("*.yaml"):
        found = read(path, (files / "data.h5",))
        assert found.name == path.stem and found.data == (files / "data.h5",)
