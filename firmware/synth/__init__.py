"""Synthesis: the open flow with yosys and nextpnr, scripts for those who have Vivado and Vitis, report parsers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ad40.spec import LatencySpec

TEMPLATES = Path(__file__).parent
# Share of a clock that belongs to the way between a register of the shell and a pin of the block
IO_SHARE = 0.25


def _fill(template: str, words: Mapping[str, str]) -> str:
    text = (TEMPLATES / f"{template}.in").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def hls_projects(folder: Path) -> list[tuple[str, Path]]:
    """(project name, folder relative to `folder`) of each hls4ml project below `folder`/hls."""
    found = []
    for path in sorted((folder / "hls").rglob("project.tcl")):
        match = re.search(r'^set project_name "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            found.append((match[1], path.parent.relative_to(folder)))
    return found


def write_scripts(
    folder: Path, sources: Sequence[Path], latency: LatencySpec, top: str = "ad40_top", part: str | None = None
) -> None:
    """Write `synth/vivado.tcl`, `synth/ad40_top.xdc` and, for each hls4ml project, `synth/vitis_MODEL.tcl`.

    sources: relative to `folder`, in order of compilation. part: another one than that of the latency configuration.
    """
    target = folder / "synth"
    target.mkdir(parents=True, exist_ok=True)
    words = {
        "TOP": top,
        "NAME": latency.name,
        "PART": part or latency.part,
        "MHZ": f"{latency.clock_mhz:g}",
        "CLOCKS": str(latency.clocks_per_bx),
        "PERIOD": f"{latency.cycle_ns:.3f}",
        "IO": f"{IO_SHARE * latency.cycle_ns:.3f}",
        "SOURCES": "\n".join(f"  ../{source.as_posix()}" for source in sources),
    }
    for name in ("vivado.tcl", "ad40_top.xdc"):
        (target / name).write_text(_fill(name, words), encoding="utf-8")
    for stale in target.glob("vitis_*.tcl"):
        stale.unlink()
    for project, place in hls_projects(folder):
        script, out = f"vitis_{place.name}.tcl", f"vitis_{place.name}"
        more = {"PROJECT": project, "SCRIPT": script, "HLS": f"../{place.as_posix()}", "OUT": out}
        (target / script).write_text(_fill("vitis.tcl", words | more), encoding="utf-8")
