"""Sections of the report: what the summaries say is shown, with the tool beside each figure, nothing invented."""

import json
from pathlib import Path
from typing import Any

import pytest

from offline.report import sections
from offline.report.numbers import interval, number
from offline.report.page import Section, Table, Text, breakable, render
from offline.report.sections import Run
from offline.report.write import build, main_figures

YOSYS = {"lut": 21345, "ff": 1200, "dsp": 0, "bram": None, "tool": "yosys 0.60"}
GAVE_UP = {"lut": None, "ff": None, "dsp": None, "bram": None, "tool": "vivado", "note": "not installed"}
COMPILE = {"resources": YOSYS, "all_resources": [YOSYS, GAVE_UP], "stages": 6, "stage_ns": 3.1, "estimate_ns": 33.3}
VERIFY = {"events": 100_000, "rtl_events": 20_000, "ii": 1,
          "mismatches": {"qkeras-emulator": 3, "emulator-hls4ml": 0, "emulator-interpreter": 0, "emulator-rtl": None},
          "latency": {"cycles": 8, "ns": 33.3, "budget_ns": 50.0},
          "scenarios": [{"name": "orbit", "events": 3564, "accepted_by_trigger": 400, "first": ""},
                        {"name": "edges", "events": 99, "accepted_by_trigger": 4, "first": "BX 7, 1 vs 0"}]}  # fmt: skip
BENCH = {
    "benchmarks": [
        {"name": "emulator", "value": 612345.6, "unit": "events/s", "target": "500,000", "beside": {"hls4ml": 9000.0}}
    ]
}


def cells(section: Section) -> str:
    """All text of a section."""
    words: list[str] = list(section.missing)
    for block in section.blocks:
        if isinstance(block, Text):
            words.append(block.text)
        elif isinstance(block, Table):
            words += [block.caption, *block.head, *(cell for row in block.rows for cell in row)]
    return " | ".join(words)


def run_with(folder: Path, **documents: Any) -> Run:
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return Run(folder, folder)


def section(run: Run, title: str) -> Section:
    return next(part for part in build(run) if part.title == title)


def test_resources_name_their_tool_and_what_was_not_estimated(tmp_path: Path) -> None:
    found = section(run_with(tmp_path, compile=COMPILE), "Firmware: resources and latency")
    table = next(b for b in found.blocks if isinstance(b, Table))
    assert [list(row) for row in table.rows] == [
        ["yosys 0.60", "21,345", "1,200", "0", "not estimated", ""],
        ["vivado", *["not estimated"] * 4, "not installed"],
    ]
    assert "no measured latency without verify.json" in cells(found)


def test_latency_is_held_against_the_budget(tmp_path: Path) -> None:
    title = "Firmware: resources and latency"
    assert "8 clocks, 33.3 ns: within the budget" in cells(
        section(run_with(tmp_path, compile=COMPILE, verify=VERIFY), title)
    )
    late = VERIFY | {"latency": {"cycles": 20, "ns": 83.3, "budget_ns": 50.0}}
    assert "83.3 ns: OVER the budget" in cells(section(run_with(tmp_path, compile=COMPILE, verify=late), title))


def test_the_ladder_counts_and_says_what_was_not_run(tmp_path: Path) -> None:
    found = section(run_with(tmp_path, verify=VERIFY), "Verification ladder")
    rows = {row[0]: list(row[1:]) for b in found.blocks if isinstance(b, Table) for row in b.rows}
    assert rows["qkeras and emulator"] == ["100,000", "3"]
    assert rows["emulator and rtl"] == ["20,000", "not run"]
    assert rows["orbit"] == ["3,564", "400", "every score and decision equal"]
    assert rows["edges"][-1] == "BX 7, 1 vs 0"


def test_benchmarks_stand_beside_their_peers(tmp_path: Path) -> None:
    assert "emulator | 612,346 events/s | 500,000 | hls4ml: 9,000" in cells(
        section(run_with(tmp_path, bench=BENCH), "Benchmarks")
    )


def test_main_figures_come_from_the_stages_that_ran(tmp_path: Path) -> None:
    assert main_figures(run_with(tmp_path)) == []
    figures = dict(main_figures(run_with(tmp_path, compile=COMPILE, verify=VERIFY)))
    assert figures["resources"] == "21,345 LUT, 1,200 FF, 0 DSP (yosys 0.60)"
    assert figures["latency"] == "8 clocks, 33.3 ns of 50 ns allowed"
    assert "emulator-rtl not run" in figures["events that differ"]


@pytest.mark.parametrize("document", [{}, {"benchmarks": [{"name": "x"}]}, [], 3])
def test_a_summary_of_another_shape_is_noted(tmp_path: Path, document: object) -> None:
    found = section(run_with(tmp_path, bench=document), "Benchmarks")
    assert len(found.missing) == 1 and "bench.json is not what this report expects" in found.missing[0]


def test_broken_json_is_noted_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text('{"benchmarks": [\n')
    assert "line 2" in section(Run(tmp_path, tmp_path), "Benchmarks").missing[0]


def test_a_picture_that_is_gone_is_noted(tmp_path: Path) -> None:
    found = Section("x")
    entry = {"file": "plots/roc.png", "title": "ROC", "caption": "c"}
    sections.add_pictures(found, Run(tmp_path, tmp_path), [entry], tmp_path)
    assert found.missing == ["The picture plots/roc.png is not there."] and not found.blocks


def test_text_from_files_is_escaped_and_long_words_may_break() -> None:
    evil = Section("T", [Text("<script>alert(1)</script>"), Table("c", ["<b>"], [["a" * 64, "<i>"]])])
    page = render("t", "s", Table("m", [], [["x", "b" * 64]]), [evil])
    assert "<script>" not in page and "<i>" not in page and "&lt;script&gt;" in page
    assert str(breakable("b" * 64)) == "<wbr>".join(["b" * 16] * 4)
    assert str(breakable("short & sweet")) == "short &amp; sweet"


def test_numbers() -> None:
    assert [number(v) for v in (0, 1, 0.5, 33.333, 12345.6, 2.0e34, 1.234e-5, -0.25)] == [
        "0", "1", "0.500", "33.3", "12,346", "2.00e+34", "1.23e-05", "-0.250",
    ]  # fmt: skip
    assert interval([0.1, 0.2, 0.3], 100).replace("\u00a0", " ") == "20 (10 to 30)"


@pytest.mark.parametrize("content", ['{"signals": 3, "latency": 1}', "[1", "[]"])
def test_a_summary_of_another_kind_is_stated_and_stops_nothing(content: str, tmp_path: Path) -> None:
    run = run_with(tmp_path)
    for name in ("evaluate", "compile", "verify", "trigger"):
        (run.folder / f"{name}.json").write_text(content)
    assert all("not what this report expects" in value for _, value in main_figures(run))
    assert len(main_figures(run)) == 3
    titles = {part.title for part in build(run) if part.missing}
    assert {"Data", "Separation of signals", "Verification ladder", "Provenance"} <= titles


def test_the_rates_of_an_evaluation_are_shown(tmp_path: Path) -> None:
    """The metrics of the released model are what `ad40 evaluate` writes: the section must take them as they are."""
    metrics = json.loads((Path(__file__).parents[2] / "models" / "ad40_v1" / "metrics.json").read_text())
    found = section(run_with(tmp_path, evaluate=metrics | {"plots": []}), "Trigger rates")
    assert not any("not what this report expects" in text for text in found.missing)
    assert all(seed["name"] in cells(found) for seed in metrics["seeds"])
