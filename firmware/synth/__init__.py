"""Synthesis: scripts for those who have Vivado, the open flow with yosys for those who have not, report parsers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ad40.spec import LatencySpec

TEMPLATES = Path(__file__).parent


def write_scripts(folder: Path, sources: Sequence[Path], latency: LatencySpec) -> None:
    """Write `synth/vivado.tcl` and `synth/ad40_top.xdc` for the sources, given relative to `folder`.

    The Vitis script is hls4ml's own, `hls/build_prj.tcl`.
    """
    target = folder / "synth"
    target.mkdir(parents=True, exist_ok=True)
    words = {
        "@PART@": latency.part,
        "@SOURCES@": "\n".join(f"  ../{source.as_posix()}" for source in sources),
        "@PERIOD@": f"{latency.cycle_ns:.3f}",
    }
    for name in ("vivado.tcl", "ad40_top.xdc"):
        text = (TEMPLATES / f"{name}.in").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        (target / name).write_text(text, encoding="utf-8")
