"""`ad40 search` and `ad40 report` from the command line, on records that `ad40 trigger` wrote."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ad40.cli import main
from ad40.events import write_hw_sample
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.network import Network, write_network
from ad40.objects import encode
from offline.search.analysis import claim_p

SPECTRA = {"jj", "je", "jmu", "ee", "mumu", "emu"}


def events(n: int, seed: int, resonance: bool = False) -> np.ndarray:
    """Codes of events with an electron and one or two jets; `resonance`: electron and jet from 400 GeV at rest."""
    rng = np.random.default_rng(seed)
    found = np.zeros((n, 19, 3), np.float32)
    found[:, 0] = np.stack([rng.exponential(20, n), np.zeros(n), rng.uniform(-3, 3, n)], axis=1)
    for slot, low, mean in ((1, 25, 30), (9, 40, 45), (10, 20, 12)):
        found[:, slot, 0] = low + rng.exponential(mean, n)
        found[:, slot, 1] = rng.uniform(-2, 2, n)
        found[:, slot, 2] = rng.uniform(-np.pi, np.pi, n)
    if resonance:
        cos = rng.uniform(-0.8, 0.8, n)
        pt, eta = 200 * np.sqrt(1 - cos**2), np.arctanh(cos)
        phi = rng.uniform(-np.pi, np.pi, n)
        found[:, 1] = np.stack([pt * rng.normal(1, 0.03, n), eta, phi], axis=1)
        found[:, 9] = np.stack([pt * rng.normal(1, 0.06, n), -eta, phi + np.pi], axis=1)
    found[rng.random(n) < 0.4, 10] = 0
    found[:, 10, 0] = np.minimum(found[:, 10, 0], found[:, 9, 0])
    return encode(found).codes


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a model that keeps everything, two records, and the sample they are from."""
    base = tmp_path_factory.mktemp("offline")
    write_network(base / "model" / "network.json", network)
    write_menu(
        base / "model" / "menu.yaml",
        Menu((ModelRef("test", network.hash),), network.spec_hash, (Seed("All", "test", 0),)),
    )
    n = 6000
    parents = np.arange(n)
    parents[-300:] = parents[:300]  # copies
    attributes = {"seed": 3, "processes": {"W": {"fraction": 1.0, "cross_section_pb": 46000.0}}}
    write_hw_sample(base / "sample" / "background.h5", events(n, 1), {"parent": parents}, attributes)
    write_hw_sample(base / "sample" / "resonance.h5", events(200, 2, resonance=True))
    for name, record, *more in (
        ("background", "kept.h5", "--json", str(base / "trigger.json")),
        ("resonance", "kept_resonance.h5"),
    ):
        source = str(base / "sample" / f"{name}.h5")
        assert main(["trigger", source, "--model", str(base / "model"), "--output", str(base / record), *more]) == 0
    return base


def search(folder: Path, output: str, *more: str) -> dict:
    code = main(["search", str(folder / "kept.h5"), "--output", str(folder / output),
                 "--pseudo-experiments", "750", "--json", str(folder / "copy.json"), *more])  # fmt: skip
    assert code == 0
    written = json.loads((folder / output / "search.json").read_text())
    assert json.loads((folder / "copy.json").read_text()) == written
    return written


def test_an_injected_resonance_is_found_and_none_is_claimed_without(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = search(folder, "search")
    assert not plain["bump"] and plain["global"]["p"] > plain["claim_p"] == claim_p(3)
    assert "No bump claimed" in capsys.readouterr().out
    assert (plain["events_kept"], plain["copies_dropped"], plain["events_searched"]) == (6000, 300, 5700)
    injected = search(folder, "search_injected", "--inject", f"{folder / 'kept_resonance.h5'}:120")
    assert injected["bump"] and injected["global"]["spectrum"] == "je"
    low, high = injected["global"]["window"]
    assert low < 400 < high
    assert "A bump in m(j1,e1)" in capsys.readouterr().out
    assert injected["injected"]["events"] == 120 and injected["events_searched"] == 5820
    for summary, output in ((plain, "search"), (injected, "search_injected")):
        rows = {row["name"]: row for row in summary["spectra"]}
        assert set(rows) == SPECTRA
        assert rows["je"]["minuit_valid"] and rows["je"]["newton_minuit"] < 0.01
        assert rows["mumu"]["status"] == "skipped" and rows["mumu"]["reason"] == "no entries"
        for row in rows.values():
            plot = row.get("plot")
            assert (plot is not None) == (row["status"] == "scanned")
            assert plot is None or all((folder / output / plot[kind]).is_file() for kind in ("file", "data"))


def test_the_seed_decides_everything(folder: Path) -> None:
    inject = ("--inject", f"{folder / 'kept_resonance.h5'}:50")
    first = search(folder, "a", *inject)
    assert search(folder, "b", *inject) == first
    assert search(folder, "a", *inject, "--seed", "41") != first  # the same folder: nothing stale is reused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inject", "RESONANCE:201"], "independent events is 200; expected at least the 201"),
        (["--inject", "RESONANCE"], "expected FILE:N"),
        (["--inject", "RESONANCE:0"], "expected FILE:N"),
        (["--inject", "SAMPLE:10"], "expected a TriggerRecord, or offline objects"),
        (["--pseudo-experiments", "100"], "expected at least 741"),
    ],
)
def test_bad_input_is_refused_before_the_work(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RESONANCE": str(folder / "kept_resonance.h5"), "SAMPLE": str(folder / "sample" / "resonance.h5")}
    for word, path in names.items():
        arguments = [a.replace(word, path) for a in arguments]
    output = tmp_path / "search"
    assert main(["search", str(folder / "kept.h5"), "--output", str(output), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_record_of_another_menu_is_not_injected(
    folder: Path, network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_network(tmp_path / "network.json", network)
    write_menu(
        tmp_path / "menu.yaml", Menu((ModelRef("test", network.hash),), network.spec_hash, (Seed("All", "test", 1),))
    )
    other = tmp_path / "other.h5"
    assert (
        main(["trigger", str(folder / "sample" / "resonance.h5"), "--model", str(tmp_path), "--output", str(other)])
        == 0
    )
    output = tmp_path / "search"
    assert main(["search", str(folder / "kept.h5"), "--output", str(output), "--inject", f"{other}:10"]) == 2
    assert "hash of the menu" in capsys.readouterr().err and not output.exists()


class Page(HTMLParser):
    """What a page refers to and which headings it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.resources: list[str] = []
        self.tags: set[str] = set()
        self.without_alt = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.resources += [str(values[k]) for k in ("src", "href", "srcset", "data") if k in values]
        self.without_alt += tag == "img" and not values.get("alt")


def test_the_report_holds_what_was_run_and_names_what_was_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (folder / "search" / "search.json").is_file():
        search(folder, "search")
    summary_file = folder / "report_summary.json"
    assert main(["report", str(folder), "--sample", str(folder / "sample"), "--json", str(summary_file)]) == 0
    output = capsys.readouterr().out
    text, summary = (folder / "report.html").read_text(), json.loads(summary_file.read_text())
    page = Page(text)
    assert all(r.startswith(("data:image/png;base64,", "#")) for r in page.resources)
    assert "script" not in page.tags and "link" not in page.tags and "url(" not in text and "@import" not in text
    assert page.without_alt == 0 and {"h1", "h2", "caption", "main", "nav"} <= page.tags
    for title in ("Data", "Model and bit widths", "Training", "Separation of signals", "Trigger rates", "Search",
                  "Firmware: resources and latency", "Verification ladder", "Benchmarks", "Provenance"):  # fmt: skip
        assert f">{title}</h2>" in text
    assert {"Training", "Separation of signals", "Verification ladder", "Benchmarks"} <= set(summary["missing"])
    assert "there is no verify.json in the run folder" in text
    assert "Data" not in summary["missing"] and "Search" not in summary["missing"]
    assert text.count("data:image/png") >= 3  # distributions and spectra
    assert "46,000" in text and "No bump claimed" in text
    last = output.strip().splitlines()[-1]
    assert last.startswith(f"report: {folder / 'report.html'}") and "search: No bump claimed" in output


def test_an_empty_run_folder_gives_a_report_of_missing_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path), "--sample", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text()
    assert text.count('class="missing"') >= 11 and "no stage has run" in text
    assert "missing in 'Training'" in capsys.readouterr().out


def test_no_run_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "expected a folder with the summaries of a run" in capsys.readouterr().err
