"""`ad40 prove`: formal proofs of the firmware with yosys and z3. Each proof comes with covers that must be reached and
planted faults that must be refuted."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ad40 import defaults
from ad40.errors import CheckError, InputError
from ad40.files import write_json
from ad40.model import Trigger
from ad40.progress import Progress
from ad40.spec import LatencySpec
from sim import smt
from sim.firmware import read_firmware
from sim.package import overwrite
from sim.proofs import Fault, Proof, proofs

HELP = "prove properties of the firmware that simulation cannot exhaust, with yosys and z3"
EPILOG = """\
A proof by induction holds for all time and all inputs; a bounded one for so many clocks after reset. Each proof must
reach its cover statements and refute its planted faults, so that none can pass by saying nothing.
example: ad40 prove build/firmware --only prescale"""

TIMEOUT_S = 600.0  # of one call of the solver


@dataclass(frozen=True)
class Result:
    """Outcome of one proof. depth: clocks of the bounded check; induction: clocks of the hypothesis, 0 for none.
    covered, refuted: how many of how many. fault: why it failed, empty when it did not."""

    name: str
    claim: str
    block: str
    method: str
    depth: int
    induction: int
    parameters: Mapping[str, int]
    covered: tuple[int, int]
    refuted: tuple[int, int]
    seconds: float
    proof_seconds: float
    fault: str = ""


def read_sources(proof: Proof, folder: Path) -> dict[str, str]:
    """Sources of a proof, name -> text, in order. Raises `InputError` when one is not in the folder."""
    texts = {}
    for name in proof.sources:
        path = folder / f"{name}.sv"
        if not path.exists():
            raise InputError(path, "file", "missing", f"the source of the proof '{proof.name}'")
        texts[path.name] = path.read_text(encoding="utf-8")
        if name in proof.stubs:
            texts[path.name] = stub(texts[path.name], proof.stubs[name])
    return texts | dict(proof.extra)


def stub(text: str, body: str) -> str:
    """A module with its ports and another body."""
    head = re.match(r".*?^\);\n", text, re.DOTALL | re.MULTILINE)
    if head is None:
        raise CheckError(f"no ports in the module that begins '{text[:40]}'")
    return (
        f"{head[0]}{body}  wire stands_in = clk;\nendmodule\n"  # yosys takes a module without content for a black box
    )


def plant(texts: Mapping[str, str], fault: Fault) -> dict[str, str]:
    """The sources with a planted fault. Raises `CheckError` when its place is not there."""
    name = f"{fault.file}.sv"
    if texts[name].count(fault.here) != 1:
        raise CheckError(f"{name}: '{fault.here}' stands there {texts[name].count(fault.here)} times; expected once")
    return dict(texts) | {name: texts[name].replace(fault.here, fault.fault)}


def build(proof: Proof, texts: Mapping[str, str], parameters: Mapping[str, int], folder: Path) -> Path:
    """Elaborate the problem of a proof on these sources and parameters; its SMT file."""
    properties = [(smt.FORMAL / f"{name}.sv").read_text(encoding="utf-8") for name in proof.properties]
    properties += [proof.text] if proof.text else []
    return smt.problem(folder, texts, properties, proof.top, parameters, proof.cut, bool(proof.stubs))


def run_proof(proof: Proof, sources: Path, scratch: Path) -> Result:
    """Prove, cover and refute. sources: folder with the SystemVerilog; scratch: folder for problems and traces."""
    began = time.monotonic()
    texts = read_sources(proof, sources)
    folder = scratch / proof.name.replace(" ", "_")
    faults: list[str] = []

    problem = build(proof, texts, proof.parameters, folder / "proof")
    base = smt.bounded(problem, proof.depth, TIMEOUT_S)
    if not base.passed:
        faults.append(f"'{base.failed}' does not hold: trace in {problem.parent / smt.TRACE}")
    elif proof.induction:
        step = smt.induction(problem, proof.induction, TIMEOUT_S)
        if not step.passed:
            faults.append(f"'{step.failed}' is not inductive: trace in {problem.parent / smt.INDUCTION}")
    proof_seconds = time.monotonic() - began

    parameters = proof.parameters if proof.small is None else proof.small
    if proof.small_package:
        name = "ad40_pkg.sv"
        texts = texts | {name: overwrite(texts[name], proof.small_package, sources / name)}
    small = problem if proof.small is None else build(proof, texts, parameters, folder / "small")
    reached = smt.cover(small, proof.reach, TIMEOUT_S)
    goals = len(reached.covered) + len(reached.missed)
    if not reached.passed or not goals:
        missed = ", ".join(reached.missed) or reached.failed or "no cover statement"
        faults.append(f"not reached in {proof.reach} clocks: {missed}")
    refuted = 0
    for number, fault in enumerate(proof.faults):
        planted = build(proof, plant(texts, fault), parameters, folder / f"fault{number}")
        answer = smt.bounded(planted, proof.reach, TIMEOUT_S)
        refuted += not answer.passed
        if answer.passed:
            faults.append(f"planted fault not refuted in {proof.reach} clocks: {fault.file}.sv, '{fault.fault}'")
    return Result(
        name=proof.name,
        claim=proof.claim,
        block=proof.top,
        method=proof.method,
        depth=proof.depth,
        induction=proof.induction,
        parameters=dict(proof.parameters),
        covered=(len(reached.covered), goals),
        refuted=(refuted, len(proof.faults)),
        seconds=round(time.monotonic() - began, 2),
        proof_seconds=round(proof_seconds, 2),
        fault="; ".join(faults),
    )


def prove(chosen: Sequence[Proof], sources: Path, scratch: Path, bar: Progress | None = None) -> list[Result]:
    """Run proofs one after the other. A proof that cannot be run counts as failed."""
    results = []
    for proof in chosen:
        try:
            result = run_proof(proof, sources, scratch)
        except CheckError as error:
            result = replace(_unfinished(proof), fault=str(error))
        results.append(result)
        if bar is not None:
            bar.update(1)
    return results


def _unfinished(proof: Proof) -> Result:
    none = (0, 0), (0, len(proof.faults)), 0.0, 0.0
    return Result(proof.name, proof.claim, proof.top, proof.method, proof.depth, proof.induction,
                  dict(proof.parameters), *none)  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """One line per proof."""
    lines = [f"{'property':<20}{'block':<16}{'method':<24}{'covers':>8}{'faults':>8}{'seconds':>9}  result"]
    for r in results:
        how = f"induction, {r.induction} clocks" if r.induction else f"bounded, {r.depth} clocks"
        covers, faults = (f"{done}/{of}" for done, of in (r.covered, r.refuted))
        state = "FAILED: " + r.fault if r.fault else "proven"
        lines.append(f"{r.name:<20}{r.block:<16}{how:<24}{covers:>8}{faults:>8}{r.seconds:>9.1f}  {state}")
        lines.append(f"    {r.claim}")
    return "\n".join(lines)


def select(trigger: Trigger, timing: LatencySpec, only: Sequence[str]) -> list[Proof]:
    """Proofs whose name holds one of the words, or all. Raises `InputError` for a word that no name holds."""
    every = proofs(trigger, timing)
    for word in only:
        if not any(word.lower() in proof.name.lower() for proof in every):
            raise InputError("command line", "--only", word, "a part of " + ", ".join(p.name for p in every))
    return [p for p in every if not only or any(word.lower() in p.name.lower() for word in only)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "folder written by `ad40 compile` (default %(default)s)"
    parser.add_argument("firmware", type=Path, nargs="?", default=defaults.FIRMWARE, metavar="FW_DIR", help=text)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="proofs whose name holds one of the words"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    smt.check_tools()
    firmware = read_firmware(args.firmware)
    chosen = select(firmware.trigger, firmware.timing, args.only)
    with Progress(len(chosen), "prove", "proofs") as bar:
        results = prove(chosen, args.firmware / "rtl", args.firmware / "proofs", bar)
    print(table(results))
    failed = [r.name for r in results if r.fault]
    summary = {
        "proofs": [asdict(r) for r in results],
        "proven": len(results) - len(failed),
        "failed": failed,
        "tools": smt.versions(),
    }
    write_json(args.firmware / "proofs" / "prove.json", summary)
    if failed:
        raise CheckError(f"{len(failed)} of {len(results)} proofs failed: {', '.join(failed)}", summary)
    return summary
