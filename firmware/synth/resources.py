"""One table of what the design takes, each figure with the tool that it came from, and its budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ad40.spec import LatencySpec
from firmware.synth.blocks import Block

# LUTs of deployed anomaly triggers (AXOL1TL) through the same open flow, measured once on their published VHDL
PEERS = {"AXOL1TL v6": 22049, "AXOL1TL v4": 21121, "AXOL1TL v1": 12032}
# What stands between the words and the decision: the first of these that the design has
ALGORITHM_PATH = ("ad40_core", "algorithm", "ad40_top")


@dataclass(frozen=True)
class Row:
    """A line of the table: a block and what one tool says of it. None: not measured, `note` says why."""

    block: str
    tool: str
    lut: int | None = None
    ff: int | None = None
    carry: int | None = None
    srl: int | None = None
    lutram: int | None = None
    dsp: int | None = None
    bram: float | None = None
    levels: int | None = None
    path_ns: float | None = None
    fmax_mhz: float | None = None
    note: str = ""

    @classmethod
    def of(cls, block: str, figures: Mapping[str, Any], **more: Any) -> Row:
        """From the figures of a tool; what the table does not show is left out."""
        names = set(cls.__dataclass_fields__) - {"block"}
        return cls(block, **{name: value for name, value in (dict(figures) | more).items() if name in names})


@dataclass(frozen=True)
class Budget:
    """A figure and its limit; ok is false as well when the figure is missing."""

    what: str
    value: float | None
    limit: float
    unit: str
    tool: str
    ok: bool

    def sentence(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:,.5g}"
        return f"{self.what}: {value} of {self.limit:,.5g} {self.unit} ({self.tool})"


def at_most(what: str, value: float | None, limit: float, unit: str, tool: str) -> Budget:
    return Budget(what, value, limit, unit, tool, value is not None and value <= limit)


def algorithm_path(blocks: Sequence[Block]) -> Block:
    """The block whose DSPs and block memories are limited."""
    by_kind = {block.kind: block for block in blocks}
    return next((by_kind[kind] for kind in ALGORITHM_PATH if kind in by_kind), blocks[0])


def open_budgets(
    blocks: Sequence[Block], figures: Mapping[str, Mapping[str, Any]], latency: LatencySpec
) -> list[Budget]:
    """Budgets that the open synthesis answers: LUTs and slowest stage of the whole, DSPs and memories of the
    algorithm path. Blocks that were not asked for have no budget."""
    top, path = blocks[0].name, algorithm_path(blocks).name
    found = []
    if top in figures:
        f = figures[top]
        found += [
            at_most(f"LUT of {top}", f["lut"], latency.resources["lut"], "LUT", f["tool"]),
            at_most("slowest stage, estimate", f["path_ns"], round(latency.cycle_ns, 3), "ns", f["tool"]),
        ]
    if path in figures:
        f = figures[path]
        found += [
            at_most(f"DSP of {path}", f["dsp"], latency.resources["dsp"], "DSP", f["tool"]),
            at_most(f"block memories of {path}", f["bram"], latency.resources["bram"], "BRAM", f["tool"]),
        ]
    return found


def report_budgets(reports: Mapping[str, Any], path: str, top: str, latency: LatencySpec) -> list[Budget]:
    """Budgets that reports of Vivado answer. path: instance path of the algorithm; top: of the whole."""
    found = []
    if "utilization" in reports:
        f = reports["utilization"]
        found.append(at_most(f"LUT of {top}", f["lut"], latency.resources["lut"], "LUT", f["tool"]))
        if f["dsp"] <= latency.resources["dsp"] or path == top:
            found.append(at_most(f"DSP of {top}", f["dsp"], latency.resources["dsp"], "DSP", f["tool"]))
    f = reports.get("hierarchy", {}).get("" if path == top else path)
    if f is not None:
        tool = "Vivado report_utilization -hierarchical"
        found.append(at_most(f"DSP of {path}", f["dsp"], latency.resources["dsp"], "DSP", tool))
        found.append(at_most(f"block memories of {path}", f["bram"], latency.resources["bram"], "BRAM", tool))
    if "timing" in reports:
        f = reports["timing"]
        for what, name in (("setup", "wns_ns"), ("hold", "whs_ns")):
            if f[name] is not None:
                met = f[name] >= 0
                found.append(Budget(f"worst {what} slack, at least", f[name], 0.0, "ns", f["tool"], met))
    return found


_COLUMNS = (
    ("LUT", "lut"), ("FF", "ff"), ("CARRY", "carry"), ("SRL", "srl"), ("LUTRAM", "lutram"), ("DSP", "dsp"),
    ("BRAM", "bram"), ("levels", "levels"), ("path ns", "path_ns"), ("Fmax MHz", "fmax_mhz"),
)  # fmt: skip


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def cells(row: Row) -> list[str]:
    """The figures of a row as text, in the order of `headings`."""
    return [_cell(getattr(row, name)) for _, name in _COLUMNS]


def headings() -> list[str]:
    return [title for title, _ in _COLUMNS]


def text_table(rows: Sequence[Row]) -> str:
    """The table for a terminal: blocks under the tool that their figures came from."""
    width = max([len(row.block) for row in rows] + [5])
    lines = []
    for tool in dict.fromkeys(row.tool for row in rows):
        lines.append(f"\n{tool}")
        lines.append(f"  {'block':<{width}}" + "".join(f"{title:>10}" for title in headings()))
        for row in (row for row in rows if row.tool == tool):
            text = "".join(f"{cell:>10}" for cell in cells(row))
            lines.append(f"  {row.block:<{width}}{text}".rstrip() + (f"  {row.note}" if row.note else ""))
    return "\n".join(lines)
