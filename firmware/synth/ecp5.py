"""Place and route on an open device: yosys and nextpnr for an ECP5 of 85k logic cells.

It is an older and slower family than the target, but the one where open tools place, route and time a design, so it
gives a measured clock for every block and says which path limits it. The ports of a block are wider than any package:
a wrapper feeds them from a shift register and collects the outputs in another.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from ad40.errors import CheckError
from ad40.files import read_json, write_json
from firmware.synth import tools
from firmware.synth.blocks import OPEN, TOP_NAME, Block

DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")  # LFE5U-85F, the slowest speed grade
DEVICE_NAME = "ECP5 LFE5U-85F-6"
SEED = 1
SCRIPT = """\
read_rtlil {path}.il
read_verilog -sv {path}.ecp5.sv
hierarchy -check -top wrapper
scratchpad -set abc9.verify 0
synth_ecp5 -top wrapper -nodsp -json {path}.ecp5.json
"""


def wrapper(block: Block) -> str:
    """SystemVerilog that drives every input of the block but its clock from a shift register, and shifts out its
    registered outputs."""
    inputs = {name: width for name, width in block.inputs.items() if name != "clk"}
    n_in, n_out = sum(inputs.values()), sum(block.outputs.values())
    if "clk" not in block.inputs or not n_in or not n_out:
        raise CheckError(f"{block.name} has no clock, no inputs or no outputs: nothing to place alone")
    lines, low = [], 0
    for name, width in inputs.items():
        lines.append(f"      .\\{name} (in_q[{low} +: {width}])")
        low += width
    low = 0
    for name, width in block.outputs.items():
        lines.append(f"      .\\{name} (out_d[{low} +: {width}])")
        low += width
    ports = ",\n".join(["      .clk(clk)", *lines])
    return f"""\
module wrapper (
    input  logic clk,
    input  logic serial_in,   // shifted into the inputs of the block
    input  logic load,        // take the outputs; otherwise shift them out
    output logic serial_out
);
  logic [{n_in - 1}:0] in_q;
  logic [{n_out - 1}:0] out_d, out_q, out_s;
  logic load_q;
  always_ff @(posedge clk) begin
    in_q <= {{in_q, serial_in}};
    load_q <= load;
    out_q <= out_d;  // nothing but a register behind the block
    out_s <= load_q ? out_q : {{out_s, 1'b0}};
  end
  assign serial_out = out_s[{n_out - 1}];
  {TOP_NAME} dut (
{ports}
  );
endmodule
"""


def _stage(name: str) -> str:
    """The signal of a cell or net of nextpnr, as in the source: `dut.compiled.INTERNAL_logic3_inp[5]`."""
    return re.sub(r"(_(TRELLIS_FF|LUT4|PFUMX|L6MUX21|CCU2C|DPR16X4C|DP16KD)_.*|\$.*)$", "", name)


def parse_report(path: Path) -> dict[str, Any]:
    """Fmax, the path that limits it, and utilization, of the JSON report of nextpnr."""
    report = read_json(path)
    try:
        # the path inside the block's clock; nextpnr lists paths from and to the pins as well
        (name, fmax), *others = report["fmax"].items()
        if others:
            raise CheckError(f"{path}: {len(report['fmax'])} clocks, expected one")
        inside = [p for p in report["critical_paths"] if p["from"] == p["to"] == f"posedge {name}"]
        hops = inside[0]["path"]
        used = {kind: row["used"] for kind, row in report["utilization"].items() if row["used"]}
        by_type = {
            kind: sum(hop["delay"] for hop in hops if hop["type"] == kind)
            for kind in ("clk-to-q", "logic", "routing", "setup")
        }
        return {
            "fmax_mhz": round(float(fmax["achieved"]), 2),
            "critical": {
                "start": _stage(hops[0]["from"]["cell"]),
                "end": _stage(hops[-1]["to"]["cell"]),
                "ns": round(sum(by_type.values()), 3),
                "routing_ns": round(by_type["routing"], 3),
                "logic_cells": sum(hop["type"] == "logic" for hop in hops),
            },
            "used": used,
        }
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CheckError(f"{path}: not a report of nextpnr ({error!r})") from error


def place(folder: Path, block: Block, clock_mhz: float, timeout_s: float) -> dict[str, Any]:
    """Synthesise, place and route one block; its Fmax, from the last result when nothing changed.

    Fmax is None and `note` says why when the tools do not finish in time or the block does not fit the device.
    """
    path = OPEN / block.file
    files = {suffix: (folder / path).with_suffix(suffix) for suffix in (".il", ".ecp5.sv", ".ecp5.ys")}
    result = folder / OPEN / f"{block.file}.ecp5.result.json"
    text = wrapper(block)
    versions = tools.version("yosys") + tools.version("nextpnr-ecp5")
    key = hashlib.sha256(f"{block.digest}{text}{SCRIPT}{DEVICE}{SEED}{clock_mhz}{versions}".encode()).hexdigest()
    if result.exists() and (done := read_json(result)).get("key") == key:
        return dict(done["figures"]) | {"cached": True}
    result.unlink(missing_ok=True)
    (folder / OPEN).mkdir(parents=True, exist_ok=True)
    files[".il"].write_text(block.text, encoding="utf-8")
    files[".ecp5.sv"].write_text(text, encoding="utf-8")
    files[".ecp5.ys"].write_text(SCRIPT.format(path=path.as_posix()), encoding="utf-8")
    name = f"nextpnr-ecp5 {'.'.join(tools.version('nextpnr-ecp5').split('.')[:2])}, {DEVICE_NAME}, placed and routed"
    try:
        arguments = ["-q", "-l", f"{path.as_posix()}.ecp5.ys.log", f"{path.as_posix()}.ecp5.ys"]
        seconds = tools.run("yosys", arguments, folder, (folder / path).with_suffix(".ecp5.ys.out"), timeout_s)
        arguments = [*DEVICE, "--seed", str(SEED), "--json", f"{path.as_posix()}.ecp5.json"]
        arguments += ["--freq", f"{clock_mhz:g}", "--timing-allow-fail", "--lpf-allow-unconstrained"]
        arguments += ["--report", f"{path.as_posix()}.ecp5.report.json", "--log", f"{path.as_posix()}.ecp5.log", "-q"]
        seconds += tools.run(
            "nextpnr-ecp5", arguments, folder, (folder / path).with_suffix(".ecp5.out"), timeout_s - seconds
        )
    except tools.TimeoutReached as reached:
        return {"fmax_mhz": None, "tool": name, "note": f"{reached}; --timeout S gives it longer"}
    except CheckError as error:
        if re.search("no BELs remaining|[Uu]nable to place", str(error)):
            return {"fmax_mhz": None, "tool": name, "note": f"does not fit the {DEVICE_NAME}"}
        raise
    figures = parse_report((folder / path).with_suffix(".ecp5.report.json"))
    figures |= {"tool": name, "seconds": round(seconds, 1)}
    (folder / path).with_suffix(".ecp5.json").unlink()
    write_json(result, {"key": key, "block": block.name, "figures": figures})
    return figures | {"cached": False}
