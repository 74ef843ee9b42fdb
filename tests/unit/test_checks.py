"""Checks of generated events: each finds what it is for, and the command writes tables, plots and the page."""

from pathlib import Path

import numpy as np
import pytest

from ad40.errors import InputError
from ad40.events import write_hw_sample
from ad40.files import read_yaml
from ad40.objects import encode
from training.checks import published as checks
from training.datasets import SIGNALS
from training.generator.tables import processes

REFERENCES = read_yaml(checks.REFERENCES)


def events(n: int, seed: int = 0) -> np.ndarray:
    """Random events (n, 19, 3) within the limits of the published files: two electrons, a muon, two jets."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 19, 3), np.float32)
    for slot, low, high, eta in ((0, 5, 90, 0), (1, 40, 60, 2.9), (2, 5, 20, 2.9), (5, 24, 60, 2), (9, 60, 90, 3.9),
                                 (10, 16, 50, 3.9)):  # fmt: skip
        x[:, slot] = np.stack([rng.uniform(*s, n) for s in ((low, high), (-eta, eta), (-np.pi, np.pi))], axis=1)
    return x


def sample(x: np.ndarray, name: str = "W", parent: np.ndarray | None = None) -> checks.Sample:
    codes = encode(x).codes.astype(np.int16)
    figures = {"cross_section_pb": 45_000.0, "filter_efficiency": 0.29}
    return checks.Sample(name, codes, np.arange(len(x)) if parent is None else parent, figures)


def test_ranges_find_what_the_published_files_do_not_hold() -> None:
    def against(x: np.ndarray) -> dict[str, object]:
        return {str(row[0]): row[2] for row in checks.range_rows({"W": sample(x)}, REFERENCES["published"])}

    good = against(events(200))
    assert len(good) == 10 and set(good.values()) == {0}
    bad = events(200)
    bad[0, 1, 1], bad[1, 2, 0], bad[2, 9:11, 0], bad[3, 1:6, 0] = 3.2, 2.0, (20, 30), 10
    found = against(bad)
    assert found["egamma: abs(eta) of at most 3"] == found["egamma: pt of at least 3 GeV"] == 1
    assert found["jet: by falling pt, no holes"] == found["event: an electron or muon of 23 GeV"] == 1


def test_masses_of_known_momenta() -> None:
    back_to_back = np.array([[40.0, 0, 0]]), np.array([[40.0, 0, np.pi]])
    assert checks.mass(*back_to_back)[0] == pytest.approx(80)
    x = np.zeros((1, 19, 3), np.float32)
    x[0, 1:5] = [[30, 0, 0], [30, 0, np.pi / 2], [30, 0, np.pi], [30, 0, -np.pi / 2]]
    x[0, 0] = [30, 0, np.pi]
    one = sample(x, "Ato4l")
    assert checks.four_lepton_masses(one)[0] == pytest.approx(120, rel=1e-4)
    assert checks.transverse_masses(one)[0] == pytest.approx(60, rel=1e-4)
    assert checks.dilepton_masses(one, "egamma")[0] == pytest.approx(60 / 2**0.5, rel=1e-4)
    assert len(checks.dilepton_masses(one, "muon")) == 0


def test_jets_at_leptons_are_not_counted() -> None:
    x = np.zeros((3, 19, 3), np.float32)
    x[:, 5] = 30, 0.5, 3.1  # a muon
    x[:, 9] = 50, 0.5, 1.0
    x[1, 10] = 30, 0.6, -3.1  # at the muon, across the end of phi
    x[2, 10] = 30, 1.0, 3.1
    assert checks.jets_apart(sample(x)).tolist() == [1, 1, 2]


def test_an_error_counts_families() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=500), 4)
    alone = sample(events(2000)).mean(values)
    together = sample(events(2000), parent=np.arange(2000) // 4).mean(values)
    assert together[0] == alone[0] and together[1] == pytest.approx(2 * alone[1], rel=0.02)


def test_symmetries_see_a_dead_sector_and_a_weak_endcap() -> None:
    x = events(8000)
    flat, tilted = (list(checks.symmetry_rows({"W": sample(y)})) for y in (x, x[(x[:, 5, 1] < 1) | (x[:, 5, 2] > 1)]))
    assert all(float(str(row[2])) < 80 and abs(float(str(row[4] or 0))) < 4 for row in flat)
    muon = {str(row[0]): row for row in tilted}["muon"]
    assert float(str(muon[2])) > 100 and float(str(muon[4])) < -5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    codes = {card["code"]: name for name, card in processes()["processes"].items() if name in processes()["mix"]}
    figures = {
        name: {"code": code, "cross_section_pb": 100.0, "filter_efficiency": 0.1} for code, name in codes.items()
    }
    rng = np.random.default_rng(2)
    columns = {"process": rng.choice(list(codes), 800).astype(np.uint8), "parent": np.arange(800)}
    write_hw_sample(tmp_path / "background.h5", encode(events(800)).codes, columns, {"processes": figures})
    for i, name in enumerate(SIGNALS):
        columns = {"process": np.zeros(300, np.uint8), "parent": np.arange(300)}
        attributes = {"processes": {name: {"code": 9, "cross_section_pb": 1.0, "filter_efficiency": 0.2}}}
        write_hw_sample(tmp_path / f"{name}.h5", encode(events(300, i + 5)).codes, columns, attributes)
    return tmp_path


def test_the_command_writes_page_and_plots(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "page.md"
    page.write_text(f"before\n<!-- begin: {checks.VERB} -->\n<!-- end: {checks.VERB} -->\nafter\n")
    checks.main([str(folder), "--plots", str(folder / "plots"), "--page", str(page)])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "(plots/objects.png)" in text
    for figure in ("| HT, Ato4l |", "| W: filter efficiency | 0.1 | 0.29 | 0.34 |", "m(ee) of Z"):
        assert figure in text and figure in capsys.readouterr().out + text
    assert sorted(p.name for p in (folder / "plots").iterdir()) == ["events.png", "masses.png", "objects.png"]


def test_a_page_without_markers_is_refused_before_the_work(folder: Path) -> None:
    (folder / "page.md").write_text("nothing\n")
    with pytest.raises(InputError, match="begin: python -m training.checks.published"):
        checks.main([str(folder / "missing"), "--page", str(folder / "page.md")])
