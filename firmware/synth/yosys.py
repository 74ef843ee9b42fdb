"""Open synthesis with yosys for UltraScale+ (`synth_xilinx -family xcup`), block by block. Nothing is placed."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ad40.files import read_json, write_json
from firmware.synth import blocks, netlist, tools
from firmware.synth.blocks import OPEN, TOP_NAME, Block

# -nodsp keeps multipliers in LUTs, as a trigger wants. abc9 would verify its mapping for many minutes; the mapped
# netlist is held against the RTL by simulation instead (firmware/synth/equivalence.py).
SCRIPT = """\
read_rtlil {path}.il
hierarchy -check -top {top}
scratchpad -set abc9.verify 0
synth_xilinx -family xcup -top {top} -nodsp -flatten -noiopad -noclkbuf
write_json {path}.json
write_verilog -noattr {path}.v
"""
COMMAND = "synth_xilinx -family xcup -nodsp -flatten"
FIGURES = ("lut", "ff", "carry", "srl", "lutram", "inv", "dsp", "bram", "uram", "levels", "path_ns")


def tool_name() -> str:
    """The tool as the tables name it."""
    return f"Yosys {'.'.join(tools.version('yosys').split('.')[:2])}, {COMMAND} (estimate, not placed)"


def synthesise_block(folder: Path, block: Block, timeout_s: float) -> dict[str, Any]:
    """Figures of one block, from the netlist of its last run when neither block, script nor tool changed.

    On a timeout the figures are None and `note` says so; the next run tries again.
    """
    target = folder / OPEN
    target.mkdir(parents=True, exist_ok=True)
    stamp, kept = target / f"{block.file}.mapped.json", target / f"{block.file}.json.gz"
    key = hashlib.sha256((block.digest + SCRIPT + tools.version("yosys")).encode()).hexdigest()
    cached = stamp.exists() and read_json(stamp).get("key") == key
    if not cached:
        stamp.unlink(missing_ok=True)
        path = (OPEN / block.file).as_posix()
        (folder / f"{path}.il").write_text(block.text, encoding="utf-8")
        (folder / f"{path}.ys").write_text(SCRIPT.format(path=path, top=TOP_NAME), encoding="utf-8")
        arguments = ["-q", "-l", f"{path}.log", f"{path}.ys"]
        try:
            seconds = tools.run("yosys", arguments, folder, folder / f"{path}.out", timeout_s)
        except tools.TimeoutReached as reached:
            return dict.fromkeys(FIGURES) | {"tool": tool_name(), "note": f"{reached}; --timeout S gives it longer"}
        mapped = folder / f"{path}.json"
        with gzip.open(kept, "wb", compresslevel=3) as out:
            out.write(mapped.read_bytes())
        mapped.unlink()  # tens of megabytes
        write_json(stamp, {"key": key, "block": block.name, "seconds": round(seconds, 1)})
    with gzip.open(kept, "rt", encoding="utf-8") as text:
        figures = netlist.summary(json.load(text), TOP_NAME)
    return figures | {"tool": tool_name(), "seconds": read_json(stamp)["seconds"], "cached": cached}


def synthesise_all(folder: Path, chosen: Sequence[Block], timeout_s: float, jobs: int) -> dict[str, dict[str, Any]]:
    """Figures of several blocks, `jobs` at a time, the largest first. A run that is cut short keeps what it has."""
    order = sorted(chosen, key=lambda block: -len(block.text))
    tasks = {block.name: partial(synthesise_block, folder, block, timeout_s) for block in order}
    found = tools.parallel("synthesis with yosys", jobs, tasks)
    return {block.name: found[block.name] for block in chosen}


def synthesise(folder: Path, sources: Sequence[str], timeout_s: float, top: str = "ad40_top") -> dict[str, Any]:
    """Figures of the whole design, for `ad40 compile --synth`. sources: relative to `folder`, in order."""
    try:
        whole = blocks.elaborate(folder, sources, top, timeout_s)[0]
    except tools.TimeoutReached as reached:
        return dict.fromkeys(FIGURES) | {"tool": tool_name(), "note": str(reached)}
    figures = synthesise_block(folder, whole, timeout_s)
    return {name: value for name, value in figures.items() if name != "paths"}
