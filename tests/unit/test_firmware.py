"""Parts of the firmware and simulation rooms that need no tool: parsers, vectors, scoreboard, constants."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ad40 import objects, spec
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError, SpecError
from ad40.menu import Menu, Seed
from ad40.network import Network
from firmware import generate
from firmware.synth import reports, write_scripts, yosys
from sim import vectors
from sim.scoreboard import Observed, compare, first_difference, read_fields, read_words
from sim.vectors import RESET, VALID, Stimulus


@pytest.fixture
def menu(network: Network) -> Menu:
    seeds = (Seed("loose", 100, 1.0), Seed("tight", 300, 2.5))
    return Menu("test", network.hash, network.spec_hash, seeds)


def test_package_holds_the_numbers_of_the_specifications(network: Network, menu: Menu) -> None:
    text = generate.package(network, menu, spec.objects(), spec.latency(), 10)
    assert "localparam int WORDS_BITS = 736;" in text
    assert f"localparam int SCORE_BITS = {network.score_width};" in text
    assert "localparam int LATENCY = 12;" in text
    assert f"NETWORK_ID = 32'h{network.hash[:8]};" in text


def test_threshold_that_no_port_holds_is_refused(network: Network, menu: Menu) -> None:
    high = replace(menu, seeds=(Seed("high", 4 * network.score_max, 1.0),))
    with pytest.raises(SpecError, match=r"seeds\[0\]\.threshold"):
        generate.constants(network, high, spec.objects(), spec.latency(), 10)


def test_more_clocks_than_the_budget_are_refused(network: Network, menu: Menu) -> None:
    with pytest.raises(CheckError, match="13 clocks = 54.2 ns; the budget is 50 ns = 12 clocks"):
        generate.constants(network, menu, spec.objects(), spec.latency(), 11)


def test_network_module_skips_inputs_that_are_not_read(network: Network) -> None:
    ports = [(1, 2, 5)] * 57 + [(0, 1, 0)] * 19
    ports[1] = (0, 0, 0)
    text = generate.network_module(network, ports, (0, 9, 5), 10)
    assert f"logic [{56 * 8 + 19 - 1}:0] compiled_in" in text
    assert "x[8 +: 8]" not in text and "x[0 +: 8]" in text
    with pytest.raises(CheckError, match="expected unsigned"):
        generate.network_module(network, ports, (1, 9, 5), 10)


@pytest.mark.skipif(importlib.util.find_spec("alkaid") is None, reason="alkaid is not installed (firmware extra)")
def test_placement_keeps_every_stage_below_the_clock_it_reports() -> None:
    from firmware.compile_network import place

    class Logic(SimpleNamespace):
        def _replace(self, **new: object) -> Logic:
            return Logic(**{**vars(self), **new})

    class Op(Logic):
        pass

    rng = np.random.default_rng(1)
    ops = [Op(addr=(), latency=0.0) for _ in range(8)]
    for i in range(8, 120):
        addr = tuple(int(a) for a in rng.integers(max(0, i - 20), i, 2))
        ops.append(Op(addr=addr, latency=max(ops[a].latency for a in addr) + float(rng.uniform(0.3, 1.5))))
    last = max(range(len(ops)), key=lambda i: ops[i].latency)
    logic = Logic(ops=ops, out_idxs=[last], latency=(0.0, ops[last].latency))
    for stages in (1, 2, 4):
        placed, stage_ns = place(logic, stages)
        assert ops[last].latency / stages <= stage_ns + 1e-6
        delay = [o.latency - max((ops[a].latency for a in o.addr), default=o.latency) for o in ops]
        stage = [int(np.ceil(o.latency)) for o in placed.ops]
        inside = [0.0] * len(ops)
        for i, op in enumerate(ops):
            same = [inside[a] for a in op.addr if stage[a] == stage[i]]
            inside[i] = delay[i] + max(same, default=0.0)
            assert all(stage[a] <= stage[i] for a in op.addr)
        assert max(inside) <= stage_ns + 1e-6 and max(stage) <= stages


def test_yosys_cells_are_counted() -> None:
    cells = '"LUT6": 10, "LUT2": 5, "INV": 3, "FDRE": 7, "SRL16E": 2, "CARRY4": 4, "RAMB18E2": 1, "DSP48E2": 0'
    text = f'{{"creator": "Yosys 0.70 (git)", "design": {{"num_cells_by_type": {{{cells}}}}}}}'
    counts = yosys.parse_stat(text)
    assert (counts["lut"], counts["ff"], counts["bram"], counts["dsp"], counts["srl"]) == (17, 7, 0.5, 0, 2)
    assert "Yosys 0.70" in counts["tool"] and "estimate" in counts["tool"]
    with pytest.raises(CheckError, match="no cell counts"):
        yosys.parse_stat("ERROR: no such module")


def test_reports_of_vivado_and_vitis(tmp_path: Path) -> None:
    utilization = tmp_path / "utilization.rpt"
    utilization.write_text(
        "| CLB LUTs*               | 6217 |     0 |    1182240 |  0.53 |\n"
        "| CLB Registers           | 3018 |     0 |    2364480 |  0.13 |\n"
        "| Block RAM Tile | 0.5 |     0 |       2160 |  0.02 |\n| DSPs      |    0 |     0 |       6840 |  0.00 |\n"
    )
    read = reports.read_utilization(utilization)
    assert (read["lut"], read["ff"], read["bram"], read["dsp"]) == (6217, 3018, 0.5, 0)
    timing = tmp_path / "timing.rpt"
    timing.write_text("    WNS(ns)      TNS(ns)\n    -------      -------\n      0.137        0.000\n")
    assert reports.read_timing(timing)["wns_ns"] == 0.137
    csynth = tmp_path / "csynth.xml"
    csynth.write_text(
        "<profile><PerformanceEstimates><SummaryOfTimingAnalysis><EstimatedClockPeriod>2.9</EstimatedClockPeriod>"
        "</SummaryOfTimingAnalysis><SummaryOfOverallLatency><Worst-caseLatency>9</Worst-caseLatency>"
        "</SummaryOfOverallLatency></PerformanceEstimates><AreaEstimates><Resources><BRAM_18K>2</BRAM_18K>"
        "<DSP>0</DSP><FF>3018</FF><LUT>9321</LUT></Resources></AreaEstimates></profile>"
    )
    read = reports.read_csynth(csynth)
    assert (read["lut"], read["latency_clocks"], read["bram"]) == (9321, 9, 1)
    for reader, path in ((reports.read_utilization, timing), (reports.read_timing, utilization)):
        with pytest.raises(InputError, match="missing"):
            reader(path)
    csynth.write_text("<profile>")
    with pytest.raises(InputError, match=r"csynth\.xml"):
        reports.read_csynth(csynth)


def test_scripts_name_every_source(tmp_path: Path) -> None:
    write_scripts(tmp_path, [Path("rtl/ad40_pkg.sv"), Path("rtl/ad40_top.sv")], spec.latency())
    script = (tmp_path / "synth" / "vivado.tcl").read_text()
    assert "../rtl/ad40_pkg.sv\n  ../rtl/ad40_top.sv" in script and spec.latency().part in script
    assert "@" not in script + (tmp_path / "synth" / "ad40_top.xdc").read_text()


def test_edge_vectors_reach_every_bit_of_every_field(network: Network) -> None:
    codes = vectors.edge_codes(Emulator(network))
    words = objects.pack(codes)
    assert np.array_equal(objects.unpack(words), codes), "all codes fit their fields"
    field = objects.pack(np.full((1, 19, 3), -1, np.int32))[0]
    assert np.array_equal(np.bitwise_or.reduce(words), field), "each bit is set once"
    assert np.array_equal(np.bitwise_or.reduce(~words) & field, field), "and cleared once"
    here = objects.present(codes)
    assert (here.sum(axis=1) == 0).any() and (here.sum(axis=1) == 19).any()
    inputs = Emulator(network).inputs(codes)
    fmt = network.input.format
    assert inputs.min() == fmt.min_code and inputs.max() == fmt.max_code, "the input stage clips at both ends"


def test_noise_leaves_the_codes_alone() -> None:
    rng = np.random.default_rng(1)
    words = np.zeros((200, 19), np.uint64)
    noisy = vectors.noise_bits(words, rng)
    assert not objects.unpack(noisy).any() and noisy.any(axis=0).all()
    narrow = [kind.word_bits == 32 for kind in spec.objects().slots]
    assert (noisy[:, narrow] >> np.uint64(32) == 0).all()


def test_playback_text(network: Network, menu: Menu, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    words = vectors.noise_bits(np.zeros((3, 19), np.uint64), rng)
    stimulus = Stimulus("x", words, np.array([1, 2, 5], np.uint8), menu)
    vectors.write_playback(tmp_path / "p.mem", stimulus, 0, 3)
    lines = (tmp_path / "p.mem").read_text().split()
    assert [line[0] for line in lines] == ["1", "2", "5"]
    for line, row in zip(lines, words, strict=True):
        value, low = int(line[1:], 16), 0
        for word, kind in zip(row.tolist(), spec.objects().slots, strict=True):
            assert value >> low & ((1 << kind.word_bits) - 1) == word
            low += kind.word_bits


def test_resets_drop_what_is_in_flight_and_restart_the_prescales(network: Network, codes: np.ndarray) -> None:
    seeds = (Seed("all", 0, 2.0),)
    menu = Menu("test", network.hash, network.spec_hash, seeds)
    flags = np.full(60, VALID, np.uint8)
    flags[30] |= RESET
    stimulus = Stimulus("reset", objects.pack(codes[:60]), flags, menu)
    expected = vectors.expect(stimulus, Emulator(network), latency=12, decision_stages=1)
    assert expected.rejected == 11, "events of the last 11 clocks before the reset; that at the reset never went in"
    assert expected.line.tolist() == [*range(19), *range(31, 60)]
    assert expected.l1a.tolist() == [i % 2 == 1 for i in range(19)] + [i % 2 == 1 for i in range(29)]


def _pair(n: int = 5) -> tuple[SimpleNamespace, Observed]:
    line, score = np.arange(n), np.arange(n) * 10
    none = np.zeros(n, np.int64)
    expected = SimpleNamespace(line=line, score=score, before=none, after=none, l1a=none, rejected=0)
    return expected, Observed(line + 12, score.copy(), none, none, none, accepted=line)


def test_scoreboard_says_what_differs_and_where() -> None:
    expected, observed = _pair()
    assert compare("x", expected, observed, 12).ok
    observed.score[3] = 31
    result = compare("x", expected, observed, 12, place="BX")
    assert result.first == "RTL != emulator: 1/5; first at BX 3, m_score 31 vs 30"


def test_scoreboard_counts_decisions_that_are_missing_or_late() -> None:
    expected, observed = _pair()
    short = Observed(
        *(getattr(observed, f)[:4] for f in ("clock", "score", "before", "after", "l1a")), observed.accepted
    )
    assert compare("x", expected, short, 12).first == "RTL != emulator: 1/5; 4 decisions came out, 5 were expected"
    late = replace(observed, clock=observed.clock + np.array([0, 0, 1, 1, 1]))
    assert compare("x", expected, late, 12).latency == (12, 13)


def test_memory_files(tmp_path: Path) -> None:
    file = tmp_path / "r.mem"
    file.write_text("// comment\n0000000a00ff1\nffffffff00001\n")
    assert read_words(file, (8, 4, 1)).tolist() == [[10, 255, 1], [0xFFFFFFFF, 0, 1]]
    file.write_text("1f\n")
    assert read_fields(file, 4, 2, signed=True).tolist() == [[-1, 1]]
    assert read_fields(file, 4, 2, signed=False).tolist() == [[15, 1]]


def test_first_difference_names_object_and_feature() -> None:
    found = np.zeros((3, 57), np.int64)
    wanted = found.copy()
    found[1, 3 * 11 + 2] = 144
    assert first_difference(found, wanted, "{slot}.hw_{feature}") == (1, "event 1, jet[2].hw_phi 144 vs 0")


def test_firmware_is_compiled_only_when_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("qkeras", "hls4ml", "alkaid")):
        pytest.skip("the train and firmware extras are not installed")
    from firmware import compile as compile_verb

    made = []
    monkeypatch.setattr(compile_verb, "compile_model", lambda model, folder, bar: made.append(folder))
    model = SimpleNamespace(network=SimpleNamespace(name="m"))
    compile_verb.compile_if_missing(model, tmp_path)
    compile_verb.compile_if_missing(model, tmp_path / "new")
    assert made == [tmp_path / "new"]
