"""Parsers of the reports of Vivado and Vitis HLS, for those who have the tools.

The formats are those of Vivado 2018 to 2024 (UG835, `report_utilization`, `report_timing_summary`) and of the
`csynth.xml` of Vitis HLS. A file that is not one of them, or lacks a row, is refused with the row that is missing.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ad40.errors import InputError

# figure: (row of the utilization report, must it be there)
_ROWS = {
    "lut": ("CLB LUTs", True),
    "lutram": ("LUT as Distributed RAM", False),
    "srl": ("LUT as Shift Register", False),
    "ff": ("CLB Registers", True),
    "carry": ("CARRY8", False),
    "bram": ("Block RAM Tile", True),
    "uram": ("URAM", False),
    "dsp": ("DSPs", True),
}
# figure: names of the column of the hierarchical report; the second ones are of older versions
_COLUMNS = {
    "lut": ("Total LUTs",),
    "lutram": ("LUTRAMs",),
    "srl": ("SRLs",),
    "ff": ("FFs",),
    "bram36": ("RAMB36",),
    "bram18": ("RAMB18",),
    "uram": ("URAM",),
    "dsp": ("DSP Blocks", "DSP48 Blocks"),
}
_TIMING = {
    "wns_ns": "WNS(ns)",
    "tns_ns": "TNS(ns)",
    "failing_setup": "TNS Failing Endpoints",
    "endpoints": "TNS Total Endpoints",
    "whs_ns": "WHS(ns)",
    "ths_ns": "THS(ns)",
    "failing_hold": "THS Failing Endpoints",
}
_CSYNTH = {
    "part": "UserAssignments/Part",
    "top": "UserAssignments/TopModelName",
    "target_ns": "UserAssignments/TargetClockPeriod",
    "clock_ns": "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod",
    "latency_clocks": "PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency",
    "ii": "PerformanceEstimates/SummaryOfOverallLatency/Interval-max",
    "lut": "AreaEstimates/Resources/LUT",
    "ff": "AreaEstimates/Resources/FF",
    "dsp": "AreaEstimates/Resources/DSP",
    "bram": "AreaEstimates/Resources/BRAM_18K",
}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(path, "file", error.strerror or str(error), "a readable file") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "encoding", f"not UTF-8 at byte {error.start}", "a text report") from error


def _number(path: Path, field: str, text: str) -> int | float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(path, field, repr(text), "a number") from error
    return int(value) if value.is_integer() and "." not in text else value


def _header(text: str) -> dict[str, str]:
    """Tool version, device and design state that head every report of Vivado."""
    rows = dict(re.findall(r"^\| (Tool Version|Device|Design|Design State) *: *(.*?) *$", text, re.MULTILINE))
    found = {}
    if "Tool Version" in rows:
        match = re.search(r"Vivado v\.?([\d.]+)", rows["Tool Version"])
        found["version"] = match[1] if match else rows["Tool Version"]
    for name, row in (("part", "Device"), ("state", "Design State"), ("design", "Design")):
        if row in rows:
            found[name] = rows[row]
    return found


def _tool(header: dict[str, str], command: str) -> str:
    name = " ".join(["Vivado", *([header["version"]] if "version" in header else []), command])
    details = [header[key] for key in ("part", "state") if key in header]
    return f"{name} ({', '.join(details)})" if details else name


def _table_rows(text: str) -> Iterator[list[str]]:
    """Cells of each row that a table of Vivado holds, blanks at the left kept."""
    for line in text.splitlines():
        if line.startswith("|") and line.rstrip().endswith("|"):
            yield [cell.rstrip() for cell in line.rstrip()[1:-1].split("|")]


def read_utilization(path: Path) -> dict[str, Any]:
    """Figures of the whole design of Vivado's `report_utilization`; bram in blocks of 36 kb, carry: CARRY8."""
    text = _text(path)
    values = {cells[0].strip().rstrip("*"): cells[1].strip() for cells in _table_rows(text) if len(cells) >= 5}
    found: dict[str, Any] = {}
    for name, (row, needed) in _ROWS.items():
        if row in values:
            found[name] = _number(path, row, values[row])
        elif needed:
            raise InputError(path, row, "missing", "a row of Vivado's report_utilization for UltraScale+")
    header = _header(text)
    return found | {"tool": _tool(header, "report_utilization")} | header


def read_hierarchy(path: Path) -> dict[str, dict[str, Any]]:
    """Figures of each instance of `report_utilization -hierarchical`: instance path below the top -> figures.

    The top is the entry ``""``. Figures include what an instance contains; rows in parentheses, which hold what
    stands in an instance itself, are left out.
    """
    text = _text(path)
    columns: list[str] | None = None
    found: dict[str, dict[str, Any]] = {}
    stack: list[str] = []
    for cells in _table_rows(text):
        names = [cell.strip() for cell in cells]
        if columns is None:
            if names[:2] == ["Instance", "Module"]:
                columns = names
            continue
        if len(cells) != len(columns):
            raise InputError(path, f"row {names[0]}", f"{len(cells)} cells", f"{len(columns)} as in the heading")
        depth = (len(cells[0]) - len(cells[0].lstrip()) - 1) // 2
        if names[0].startswith("("):
            continue
        if depth > len(stack) or depth < 0:
            raise InputError(path, f"row {names[0]}", f"indented by {depth} levels", f"at most {len(stack)}")
        stack = [*stack[:depth], names[0]]
        row: dict[str, Any] = {"module": names[1]}
        for figure, choices in _COLUMNS.items():
            column = next((c for c in choices if c in columns), None)
            if column is None:
                if figure == "uram":
                    continue
                raise InputError(path, choices[0], "missing", "a column of report_utilization -hierarchical")
            row[figure] = _number(path, f"{names[0]}, {column}", names[columns.index(column)])
        row["bram"] = row.pop("bram36") + row.pop("bram18") / 2
        found[".".join(stack[1:])] = row
    if not found:
        raise InputError(path, "Utilization by Hierarchy", "missing", "a report of report_utilization -hierarchical")
    return found


def read_timing(path: Path) -> dict[str, Any]:
    """Slacks in ns and failing endpoints of Vivado's `report_timing_summary`; negative slack: timing is not met."""
    text = _text(path)
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if "WNS(ns)" not in line:
            continue
        if i + 2 >= len(lines):
            raise InputError(path, "Design Timing Summary", "cut off", "a row of values below its heading")
        columns, values = re.split(r" {2,}", line.strip()), lines[i + 2].split()
        found: dict[str, Any] = {}
        for name, column in _TIMING.items():
            if column not in columns or columns.index(column) >= len(values):
                raise InputError(path, column, "missing", "a column of the design timing summary of Vivado")
            text_value = values[columns.index(column)]
            found[name] = None if text_value == "NA" else _number(path, column, text_value)
        if found["wns_ns"] is None:
            raise InputError(path, "WNS(ns)", "NA", "a design with a clock; was the constraint file read?")
        header = _header(text)
        clocks = re.findall(r"^(\S+) +\{[\d. ]+\} +([\d.]+) +([\d.]+) *$", text, re.MULTILINE)
        if clocks:
            found["clock"], found["period_ns"] = clocks[0][0], float(clocks[0][1])
            found["fmax_mhz"] = round(1000.0 / (found["period_ns"] - found["wns_ns"]), 2)
        return found | {"tool": _tool(header, "report_timing_summary")} | header
    raise InputError(path, "WNS(ns)", "missing", "the design timing summary of Vivado")


def read_csynth(path: Path) -> dict[str, Any]:
    """Estimated clock in ns, latency and interval in clocks, and resources of a `csynth.xml` of Vitis HLS."""
    try:
        root = ElementTree.fromstring(_text(path))
    except ElementTree.ParseError as error:
        raise InputError(path, "XML", str(error), "a csynth.xml of Vitis HLS") from error
    found: dict[str, Any] = {}
    for name, tag in _CSYNTH.items():
        text = root.findtext(tag)
        if text is None or not text.strip():
            if name in ("part", "top", "target_ns", "ii"):
                continue
            raise InputError(path, tag, "missing", "an element of the csynth.xml of Vitis HLS")
        text = text.strip()
        if name in ("latency_clocks", "ii") and text == "undef":  # loops of unknown length
            found[name] = None
        else:
            found[name] = text if name in ("part", "top") else _number(path, tag, text)
    found["bram"] /= 2  # blocks of 18 kb, counted here in blocks of 36 kb
    version = root.findtext("ReportVersion/Version")
    return found | {"tool": f"Vitis HLS{f' {version}' if version else ''} csynth (estimate)"}


def read_folder(folder: Path) -> dict[str, Any]:
    """All reports below a folder: `utilization`, `hierarchy`, `timing`, `csynth` (a list), each where there is one.

    Files are told apart by what they hold, not by name. Two of a kind, but for csynth, are refused.
    """
    if not folder.is_dir():
        raise InputError(folder, "folder", "missing", "a folder of Vivado or Vitis reports")
    found: dict[str, Any] = {"csynth": []}
    places: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "csynth.xml" or path.name.endswith("_csynth.xml"):
            if path.name == "csynth.xml":  # the others are of the functions inside it
                found["csynth"].append(read_csynth(path) | {"file": str(path)})
            continue
        if path.suffix != ".rpt" or not path.is_file():
            continue
        text = _text(path)
        if "Utilization by Hierarchy" in text:
            kind, value = "hierarchy", read_hierarchy(path)
        elif "Design Timing Summary" in text or "WNS(ns)" in text:
            kind, value = "timing", read_timing(path)
        elif "CLB Logic" in text or "report_utilization" in text:
            kind, value = "utilization", read_utilization(path)
        else:
            continue
        if kind in places:
            raise InputError(path, kind, "given twice", f"one such report; the other is {places[kind]}")
        places[kind] = path
        found[kind] = value
    if not places and not found["csynth"]:
        raise InputError(folder, "reports", "none", "utilization.rpt, timing.rpt or csynth.xml")
    return found | {"files": {kind: str(path) for kind, path in places.items()}}
