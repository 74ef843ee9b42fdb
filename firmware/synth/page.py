"""The page `docs/resources.md`, written by `ad40 synth --page`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.files import atomic_path
from ad40.spec import LatencySpec
from firmware.synth import equivalence, resources, tools
from firmware.synth.resources import Budget, Row


def _row(values: Sequence[object]) -> str:
    return "| " + " | ".join(str(value) for value in values) + " |"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = ["---", *["---:"] * (len(titles) - 1)]
    return [_row(titles), _row(rule), *[_row(row) for row in rows], ""]


def _resource_tables(rows: Sequence[Row]) -> list[str]:
    """One table for each tool, without the columns that it leaves empty."""
    lines = []
    for tool in dict.fromkeys(row.tool for row in rows):
        own = [row for row in rows if row.tool == tool]
        values = [resources.cells(row) for row in own]
        used = [i for i in range(len(resources.headings())) if any(row[i] for row in values)]
        notes = any(row.note for row in own)
        titles = ["block", *[resources.headings()[i] for i in used], *(["note"] if notes else [])]
        body = [
            [f"`{row.block}`", *[value[i] for i in used], *([row.note] if notes else [])]
            for row, value in zip(own, values, strict=True)
        ]
        lines += [f"### {tool}", "", *_table(titles, body)]
    return lines


def _place_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    body = []
    for name, figures in found.items():
        if figures["fmax_mhz"] is None:
            body.append([f"`{name}`", "", "", "", "", figures["note"]])
            continue
        path, used = figures["critical"], figures["used"]
        body.append([
            f"`{name}`", f"{figures['fmax_mhz']:.1f}", used.get("TRELLIS_COMB", 0), used.get("TRELLIS_FF", 0),
            f"{path['ns']:.2f} ({path['routing_ns']:.2f} routing)", f"`{path['start']}` to `{path['end']}`",
        ])  # fmt: skip
    return _table(["block", "Fmax MHz", "logic cells", "FF", "critical path ns", "from, to"], body)


def text(
    manifest: Mapping[str, Any],
    latency: LatencySpec,
    rows: Sequence[Row],
    found: Mapping[str, Any],
    budgets: Sequence[Budget],
) -> str:
    """The page. found: figures by tool and block, as `firmware.synthesis.measure` returns them."""
    models = ", ".join(f"`{m['name']}` {m['version']}" for m in manifest["models"])
    hashes = [(f"network of {m['name']}", m["network_hash"]) for m in manifest["models"]]
    hashes += [(name.removesuffix("_hash"), manifest[name]) for name in ("menu_hash", "spec_hash", "latency_hash")]
    whole = found["yosys"].get(manifest["top"], {})
    lines = [
        "# Resources and timing",
        "",
        f"Written by `ad40 synth --page` of ad40 {__version__} on {datetime.date.today().isoformat()}, for {models} in "
        f"configuration `{latency.name}`: {latency.clock_mhz:g} MHz, {manifest['constants']['latency']} clocks.",
        "",
        *_table(["what", "SHA-256"], [(name, f"`{value}`") for name, value in hashes]),
        f"Tools: {', '.join(f'{name} {tools.version(name)}' for name in tools.PROGRAMS)}. Neither Vivado nor Vitis was "
        "there: nothing on this page comes from them.",
        "",
        "## Budgets",
        "",
        *_table(
            ["figure", "measured", "limit", "", "tool"],
            [(b.what, "" if b.value is None else f"{b.value:,.5g}", f"{b.limit:,.5g} {b.unit}",
              "ok" if b.ok else "**blown**", b.tool) for b in budgets],
        ),
        "The same open flow gave, on the published VHDL of deployed anomaly triggers (network and score alone, "
        "measured once, not in this run): "
        + ", ".join(f"{name} {lut:,} LUT" for name, lut in resources.PEERS.items())
        + ".",
        "",
        "## Blocks",
        "",
        "LUT counts those that serve as shift registers (SRL) and memories (LUTRAM), and not inverters, which a placer "
        "puts into the cell beside them. BRAM counts blocks of 36 kb, CARRY cells of four bits. levels is the largest "
        "number of LUTs between two registers; path ns the longest path with the delays of "
        "`firmware/synth/delays.yaml`: an estimate of a netlist that nobody placed. A block alone may take more than "
        "inside the whole, where constants and unused outputs disappear.",
        "",
        *_resource_tables([row for row in rows if not row.tool.startswith("nextpnr")]),
    ]  # fmt: skip
    if whole.get("paths"):
        slowest = whole["paths"][:16]
        lines += [
            f"## Slowest registers of {manifest['top']}",
            "",
            "The longest path into each register bank in the netlist of yosys; the clock period is "
            f"{latency.cycle_ns:.3f} ns.",
            "",
            *_table(
                ["into", "from", "LUT", "CARRY", "ns, estimate"],
                [(f"`{p['end']}`", f"`{p['start']}`", p["luts"], p["carries"], f"{p['ns']:.2f}") for p in slowest],
            ),
        ]
    if found.get("ecp5"):
        tool = next(iter(found["ecp5"].values()))["tool"]
        lines += [
            "## Placed and routed",
            "",
            f"{tool}. An older and slower family than the target, for one measured clock and the path that limits it: "
            "ports wider than the package sit behind shift registers, which the cells and flip-flops here include.",
            "",
            *_place_table(found["ecp5"]),
        ]
    if found.get("check"):
        lines += [
            "## Netlists beside the source",
            "",
            "The mapped netlists in Verilator on random inputs, beside the SystemVerilog they came from.",
            "",
            *_table(["block", "result"], [(f"`{n}`", equivalence.sentence(f)) for n, f in found["check"].items()]),
        ]
    return "\n".join(lines).rstrip() + "\n"


def write(path: Path, *contents: Any) -> None:
    """Write the page, whole or not at all. contents: as `text` takes them."""
    page = text(*contents)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
