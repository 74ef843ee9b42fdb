"""Parsers of the reports of Vivado and Vitis HLS, for those who have the tools."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from ad40.errors import InputError

_ROWS = {
    "lut": r"CLB LUTs\*?",
    "ff": r"CLB Registers",
    "bram": r"Block RAM Tile",
    "dsp": r"DSPs",
}


def read_utilization(path: Path) -> dict[str, Any]:
    """LUT, FF, BRAM, DSP of Vivado's `report_utilization`."""
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for name, row in _ROWS.items():
        match = re.search(rf"^\|\s*{row}\s*\|\s*([\d.]+)\s*\|", text, re.MULTILINE)
        if match is None:
            raise InputError(path, row, "missing", "a row of Vivado's report_utilization")
        value = float(match[1])
        found[name] = int(value) if value.is_integer() else value
    return found | {"tool": "Vivado report_utilization"}


def read_timing(path: Path) -> dict[str, Any]:
    """Worst negative slack in ns (positive: timing is met) of Vivado's `report_timing_summary`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if "WNS(ns)" in line and i + 2 < len(lines):
            return {"wns_ns": float(lines[i + 2].split()[0]), "tool": "Vivado report_timing_summary"}
    raise InputError(path, "WNS(ns)", "missing", "the design timing summary of Vivado")


def read_csynth(path: Path) -> dict[str, Any]:
    """Estimated clock, latency in clocks and resources of a `csynth.xml` of Vitis HLS."""
    try:
        root = ElementTree.parse(path).getroot()
        value = {
            name: root.findtext(f".//{tag}")
            for name, tag in (
                ("clock_ns", "EstimatedClockPeriod"),
                ("latency_clocks", "Worst-caseLatency"),
                ("lut", "Resources/LUT"),
                ("ff", "Resources/FF"),
                ("dsp", "Resources/DSP"),
                ("bram", "Resources/BRAM_18K"),
            )
        }
        numbers = {name: float(text or "") for name, text in value.items()}
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(path, "csynth", str(error), "a csynth.xml of Vitis HLS") from error
    numbers["bram"] /= 2  # blocks of 18 kb, counted here in blocks of 36 kb
    return numbers | {"tool": "Vitis HLS (estimate)"}
