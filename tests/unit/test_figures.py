"""Figures: every number that is drawn is in the data, in the form that HEPData takes; pictures are drawn once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from offline.figures import hepdata
from offline.figures.anomaly import Points, Scores
from offline.figures.book import Book, Drawing
from offline.figures.brazil import Brazil
from offline.figures.hepdata import Table, Variable
from offline.figures.rmm import Matrix
from offline.figures.scan import Map, Scan
from offline.figures.significance import Significance
from offline.figures.spectrum import Shaping, Spectrum
from offline.figures.style import intervals, stamp_of

EDGES = [100.0, 120.0, 150.0, 190.0, 240.0]
COMMON: dict[str, Any] = {"luminosity_fb": 0.5, "sqrt_s": 13000.0, "status": "Test"}
SPECTRUM = Spectrum("m(j1,j2)", EDGES, [0, 9, 4, 0], 1, [8.0, 4.5], [0.3, -0.2], (120.0, 150.0), 0.7, "p5",
                    ["stream jet"], **COMMON)  # fmt: skip
DRAWINGS: dict[str, Drawing] = {
    "spectrum": SPECTRUM,
    "no_window": Spectrum("m", EDGES, [0, 9, 4, 0], 1, [8.0, 4.5], [0.3, -0.2], None, 0.0, "p5", [], **COMMON),
    "shaping": Shaping("m", EDGES, ([30, 9, 4, 0], 1, [8.0, 4.5], 0.5), ([3, 1, 0, 0], 1, [0.8, 0.5], 0.4), "1pb", "p3",
                       [], **COMMON),
    "significance": Significance([("jet", "m(j1,j2)", "all"), ("1l", "m(j1,e1)", "1pb")], [(100, 120), (300, 340)],
                                 [2.1, 0.3], [0.4, -1.2], ["all", "1pb"], -0.3, **COMMON),
    "brazil": Brazil("m", {"0": ([500, 600], [2.0, 1.0], [[0.5, 0.7, 1, 1.5, 2], [0.3, 0.4, 0.6, 0.9, 1.2]]),
                           "10": ([600], [1.4], [[0.5, 0.7, 1, 1.5, 2]])}, "pb", "asymptotic", [], **COMMON),
    "scan": Scan([0.1, 1, 10], [-6, -7, -8], [1e-3, None, 0.02], [0.2, None, 0.4], ["jj jet", "none", "je 1l"], 0.3,
                 "ln loss", **COMMON),
    "map": Map(["m(j1,j2) jet", "m(j1,e1) 1l"], [0.1, 1, 10], [[1.2, None, 0.4], [None, None, 2.0]], **COMMON),
    "scores": Scores("ln loss", [-10, -8, -6], {"data": [0.9, 0.1], "signal": [0.2, 0.8]}, {"1pb": -7.0}, **COMMON),
    "points": Points("acceptance", "%", ["1pb"], {"data": [(8, 10, 12)], "signal": [None]}, True, None, **COMMON),
    "empty_points": Points("improvement", "%", ["1pb"], {"signal": [None]}, False, 0.0, **COMMON),
    "matrix": Matrix("data", ["MET", "j1", "mu1"], [[0.1, 0, 0.2], [0, 0.3, 0], [0.2, 0, 0.4]], [(1, 2)], 7, 13000.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """All figures, drawn."""
    made = Book(tmp_path_factory.mktemp("book"), {"status": "Test"})
    for name, drawing in DRAWINGS.items():
        made.add(name, drawing, f"Title of {name}", f"Caption of {name}.")
    made.finish(1, "All figures")
    return made


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_is_drawn_and_is_data(book: Book, name: str) -> None:
    with Image.open(book.folder / "plots" / f"{name}.png") as image:
        assert image.width > 500 and len(image.convert("RGB").getcolors(1 << 16) or []) > 5
    table = yaml.safe_load((book.folder / "data" / f"{name}.yaml").read_text())
    assert table["independent_variables"] and table["dependent_variables"]
    lengths = {len(v["values"]) for v in table["independent_variables"] + table["dependent_variables"]}
    assert len(lengths) == 1 and lengths.pop() > 0
    for variable in table["dependent_variables"]:
        assert {"name": "status", "value": "Test"} in variable["qualifiers"]
        for value in variable["values"]:
            assert set(value) <= {"value", "low", "high", "errors"}
            assert not any(isinstance(v, float) and not np.isfinite(v) for v in value.values())


def test_the_submission_lists_all(book: Book) -> None:
    first, *rest = yaml.safe_load_all((book.folder / "data" / "submission.yaml").read_text())
    assert first == {"comment": "All figures"}
    assert [r["data_file"] for r in rest] == [f"{name}.yaml" for name in DRAWINGS]
    assert all({"name", "location", "description", "keywords", "data_file"} == set(r) for r in rest)


def test_a_spectrum_as_data() -> None:
    document = SPECTRUM.table().document()
    assert document["independent_variables"][0]["values"][0] == {"low": 100, "high": 120}
    events, background, pull = document["dependent_variables"]
    assert [v["value"] for v in events["values"]] == [0, 9, 4, 0]
    assert [v["value"] for v in background["values"]] == ["-", 8, 4.5, "-"]
    assert [v["value"] for v in pull["values"]] == ["-", 0.3, -0.2, "-"]
    low, high = intervals(np.array([9.0]))
    assert events["values"][1]["errors"] == [
        {"label": "stat", "asymerror": {"minus": pytest.approx(-low[0]), "plus": pytest.approx(high[0])}}
    ]
    # Garwood: 68.3 % central intervals of 0 and 9 (PDG, table 40.3 at another level: by the defining sums)
    from scipy.stats import poisson

    tail = 0.158655
    assert poisson.sf(8, 9 - low[0]) == pytest.approx(tail) and poisson.cdf(9, 9 + high[0]) == pytest.approx(tail)
    assert events["values"][0]["errors"][0]["asymerror"]["minus"] == 0


def test_tables_are_checked_and_numbers_plain() -> None:
    with pytest.raises(ValueError, match="different length"):
        Table([Variable("x", [1, 2])], [Variable("y", [1])]).document()
    table = Table(
        [Variable("x", ["a"])],
        [Variable("y", [np.float64(0.1)], "pb", {"68 %": [np.float32(0.5)]})],
        {"q": None, "SQRT(S) [GeV]": 13000.0},
    )
    text = hepdata.dump(table.document())
    assert yaml.safe_load(text)["dependent_variables"] == [
        {"header": {"name": "y", "units": "pb"}, "qualifiers": [{"name": "SQRT(S)", "units": "GeV", "value": 13000}],
         "values": [{"value": 0.1, "errors": [{"label": "68 %", "symerror": 0.5}]}]}
    ]  # fmt: skip
    assert "&id" not in text and "!!" not in text


def test_a_picture_is_drawn_again_only_when_its_numbers_change(tmp_path: Path) -> None:
    first = Book(tmp_path)
    first.add("a", SPECTRUM, "A", "a")
    first.add("b", DRAWINGS["scores"], "B", "b")
    assert len(first.pending) == 2
    first.finish(1, "")
    again = Book(tmp_path)
    again.add("a", SPECTRUM, "A", "another caption")
    assert not again.pending and stamp_of(tmp_path / "plots" / "a.png")
    again.finish(1, "")
    assert {p.name for p in tmp_path.rglob("*.*")} == {"a.png", "a.yaml", "submission.yaml"}  # b is no more
    from dataclasses import replace

    other = Book(tmp_path)
    other.add("a", replace(SPECTRUM, counts=[0, 9, 5, 0]), "A", "a")
    assert len(other.pending) == 1
