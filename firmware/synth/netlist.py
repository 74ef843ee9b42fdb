"""What a mapped netlist holds and how deep it is. Input: JSON of yosys after `synth_xilinx -family xcup`.

Depth comes from the netlist alone: nothing is placed. The longest path of each register bank is counted in LUTs and
carry cells and turned into ns with `delays.yaml`, which is an estimate and called one wherever it is quoted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ad40.errors import CheckError
from ad40.files import read_yaml

# LUTs that a cell takes; distributed memories as in the user guide of the UltraScale CLB (UG574)
LUTS = {f"LUT{i}": 1 for i in range(1, 7)} | {"LUT6_2": 1}
SHIFT = {"SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
LUT_RAM = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM64X8SW": 8,
    "RAM32X16DR8": 8,
}  # fmt: skip
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
FLIP_FLOPS_BEHIND = 2  # of a LUT
BLOCK_RAM = {"RAMB18E2": 0.5, "RAMB36E2": 1.0}  # in blocks of 36 kb
MUXES = ("MUXF7", "MUXF8", "MUXF9")
FREE = ("INV", "BUFG", "$scopeinfo", "VCC", "GND")  # an inverter joins the LUT, flip-flop or memory beside it
CLOCKS = ("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK")


def count(cells: Mapping[str, int]) -> dict[str, Any]:
    """Figures of a cell count by type.

    lut: all LUTs, with those that serve as shift registers (`srl`) and memories (`lutram`). inv: inverters, which
    are not in `lut`. carry: CARRY4. bram: blocks of 36 kb. Raises `CheckError` on a cell it does not know.
    """
    counts = {
        "lut": sum((LUTS | SHIFT | LUT_RAM).get(kind, 0) * n for kind, n in cells.items()),
        "srl": sum(cells.get(kind, 0) for kind in SHIFT),
        "lutram": sum(luts * cells.get(kind, 0) for kind, luts in LUT_RAM.items()),
        "inv": cells.get("INV", 0),
        "ff": sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
        "carry": cells.get("CARRY4", 0),
        "dsp": sum(n for kind, n in cells.items() if kind.startswith("DSP48")),
        "bram": sum(blocks * cells.get(kind, 0) for kind, blocks in BLOCK_RAM.items()),
        "uram": cells.get("URAM288", 0),
    }
    known = {*LUTS, *SHIFT, *LUT_RAM, *FLIP_FLOPS, *BLOCK_RAM, *MUXES, *FREE, "CARRY4", "URAM288"}
    unknown = sorted(kind for kind in cells if kind not in known and not kind.startswith("DSP48"))
    if unknown:
        raise CheckError(f"cells that the count does not know: {', '.join(unknown)} (firmware/synth/netlist.py)")
    return counts


@lru_cache
def delays() -> dict[str, float]:
    """The delays of the estimate, ns."""
    return {str(name): float(value) for name, value in read_yaml(Path(__file__).with_name("delays.yaml")).items()}


@dataclass(frozen=True)
class LongestPath:
    """The longest path into a bank of registers or an output port. luts, carries: cells on it. ns: estimate with
    clock to output, nets, setup and uncertainty."""

    end: str
    start: str
    luts: int
    carries: int
    ns: float


@dataclass(frozen=True)
class Arrival:
    ns: float
    luts: int
    carries: int
    start: str

    def after(self, ns: float, luts: int = 0, carries: int = 0) -> Arrival:
        return Arrival(self.ns + ns, self.luts + luts, self.carries + carries, self.start)


def _bits(cell: Mapping[str, Any], port: str) -> list[Any]:
    bits: list[Any] = cell["connections"].get(port, [])
    return bits


class _Timing:
    """Arrival times of a flat netlist."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.d = delays()
        self.cells: Mapping[str, Any] = module["cells"]
        self.driver: dict[int, tuple[str, str, int]] = {}
        self.sinks: Counter[int] = Counter()
        self.registers: Counter[int] = Counter()  # flip-flops whose data a bit is
        self.names: dict[int, str] = {}
        self.arrival: dict[int, Arrival] = {}
        for name, cell in self.cells.items():
            for port, direction in cell["port_directions"].items():
                for i, bit in enumerate(_bits(cell, port)):
                    if isinstance(bit, int) and direction == "output":
                        self.driver[bit] = (name, port, i)
                    elif isinstance(bit, int):
                        self.sinks[bit] += 1
                        self.registers[bit] += port == "D" and cell["type"] in FLIP_FLOPS
        # a bit has the names of all nets it is on: take one from the source, the outermost of them
        for name, net in sorted(module["netnames"].items(), key=lambda n: (n[1].get("hide_name", 0), n[0].count("."))):
            for i, bit in enumerate(net["bits"]):
                if isinstance(bit, int) and not net.get("hide_name", 0):
                    self.names.setdefault(bit, f"{name}[{i}]" if len(net["bits"]) > 1 else name)
        self.ports = module["ports"]
        for name, port in self.ports.items():
            if port["direction"] == "input":
                for bit in port["bits"]:
                    # as if a register stood right outside
                    self.arrival[bit] = Arrival(self.d["flip_flop"], 0, 0, name)

    def net(self, bit: int) -> float:
        return self.d["net"] + self.d["net_fanout"] * math.log2(max(self.sinks[bit], 1))

    def _inputs(self, cell: Mapping[str, Any], port: str, index: int) -> list[tuple[int, float, int, int]]:
        """What an output of a combinational cell waits for: (bit, ns from there, LUTs, carry cells)."""
        kind, d = cell["type"], self.d
        if kind == "CARRY4":
            return self._carry_inputs(cell, port, index)
        if kind in MUXES:
            own, luts = d["mux"], 0
        elif kind in LUT_RAM:
            own, luts = d["lut_ram"], 1
        elif kind in ("INV", "BUFG"):
            return [(bit, 0.0, 0, 0) for bit in _bits(cell, "I") if isinstance(bit, int)]
        else:
            own, luts = d["lut"], 1
        if kind in LUT_RAM:
            # read ports: A.. or DPRA.. or ADDR.. of this output; the slowest of all addresses is close enough
            ports = [p for p in cell["port_directions"] if p.startswith(("A", "DPRA", "ADDR"))]
        else:
            ports = [p for p, direction in cell["port_directions"].items() if direction == "input"]
        bits = [bit for p in ports for bit in _bits(cell, p) if isinstance(bit, int)]
        dedicated = kind in MUXES  # its data come from the LUTs beside it
        return [(b, own + (0.0 if dedicated and b not in _bits(cell, "S") else self.net(b)), luts, 0) for b in bits]

    def _carry_inputs(self, cell: Mapping[str, Any], port: str, index: int) -> list[tuple[int, float, int, int]]:
        """O[i] depends on S[0..i], DI[0..i-1] and the carry in, CO[i] on DI[i] too."""
        d, found = self.d, []
        for i in range(index + 1):
            for name in ("S", "DI"):
                if name == "DI" and port == "O" and i == index:
                    continue
                bit = _bits(cell, name)[i]
                if not isinstance(bit, int):
                    continue
                driver = self.driver.get(bit)
                lut = driver is not None and self.cells[driver[0]]["type"] in LUTS
                if lut and (name == "S" or self.sinks[bit] == 1):
                    # The LUT in front of the chain: its output reaches S and, at once, the nets outside (UG574). What
                    # several chains share has a copy in front of each, where S would need a LUT to pass through anyway.
                    found.append((bit, d["carry_in"], 0, 1))
                else:  # S is only reached through a LUT
                    through = d["lut"] if name == "S" else 0.0
                    found.append((bit, self.net(bit) + through + d["carry_in"], int(name == "S"), 1))
        for name in ("CI", "CYINIT"):
            for bit in _bits(cell, name):
                if isinstance(bit, int):
                    driver = self.driver.get(bit)
                    chained = driver is not None and self.cells[driver[0]]["type"] == "CARRY4"
                    own = d["carry_step"] if port == "CO" else d["carry_out"]
                    found.append((bit, own + (0.0 if chained else self.net(bit)), 0, 1))
        return found

    def _source(self, bit: int) -> Arrival | None:
        """Arrival of a bit that a clocked cell or nothing drives; None for combinational cells."""
        if bit not in self.driver:
            return Arrival(0.0, 0, 0, "constant")
        name, _, _ = self.driver[bit]
        kind = self.cells[name]["type"]
        for kinds, delay in ((FLIP_FLOPS, "flip_flop"), (SHIFT, "shift_register"), (BLOCK_RAM, "block_ram")):
            if kind in kinds:
                return Arrival(self.d[delay], 0, 0, self.names.get(bit, kind))
        if kind.startswith(("DSP48", "URAM")):
            return Arrival(self.d["block_ram"], 0, 0, kind)
        return None

    def at(self, bit: int) -> Arrival:
        """Arrival time at the output that drives a bit; a combinational loop is an error."""
        stack, open_bits = [bit], set()
        while stack:
            top = stack[-1]
            if top in self.arrival:
                stack.pop()
                continue
            source = self._source(top)
            if source is not None:
                self.arrival[top] = source
                continue
            name, port, index = self.driver[top]
            inputs = self._inputs(self.cells[name], port, index)
            waiting = [b for b, _, _, _ in inputs if b not in self.arrival]
            if waiting:
                if top in open_bits:
                    raise CheckError(f"a combinational loop through {self.names.get(top, name)}")
                open_bits.add(top)
                stack.extend(waiting)
                continue
            reached = [self.arrival[b].after(ns, luts, carries) for b, ns, luts, carries in inputs]
            self.arrival[top] = max(reached, key=lambda a: a.ns, default=Arrival(0.0, 0, 0, "constant"))
        return self.arrival[bit]

    def ends(self) -> list[tuple[str, int, str]]:
        """(bank, bit, end) of every data, enable and reset input of clocked cells, and of the output ports."""
        found = []
        for name, cell in self.cells.items():
            kind = cell["type"]
            clocked = kind in FLIP_FLOPS or kind in SHIFT or kind in BLOCK_RAM or kind in LUT_RAM
            if not clocked and not kind.startswith(("DSP48", "URAM")):
                continue
            outputs = [
                self.names[b]
                for p, direction in cell["port_directions"].items()
                if direction == "output"
                for b in _bits(cell, p)
                if b in self.names
            ]
            end = outputs[0] if outputs else name.split("$")[0] or kind
            for port, direction in cell["port_directions"].items():
                read_address = kind in LUT_RAM and port.startswith(("A", "DPRA", "ADDR")) and port != "ADDRH"
                if direction == "input" and port not in CLOCKS and not read_address:
                    found += [(_bank(end), bit, end) for bit in _bits(cell, port) if isinstance(bit, int)]
        for name, port in self.ports.items():
            if port["direction"] == "output":
                bits = [(i, bit) for i, bit in enumerate(port["bits"]) if isinstance(bit, int)]
                found += [(f"{name} (port)", bit, f"{name}[{i}]") for i, bit in bits]
        return found


def _bank(name: str) -> str:
    """`a.b[3].c[7]` -> `a.b[3].c`: the register without its bit."""
    return name.rsplit("[", 1)[0] if name.endswith("]") else name


def paths(module: Mapping[str, Any]) -> list[LongestPath]:
    """The longest path into each bank of registers and each output port, slowest first."""
    timing = _Timing(module)
    end_ns = timing.d["setup"] + timing.d["uncertainty"]
    banks: dict[str, list[LongestPath]] = defaultdict(list)
    for bank, bit, end in timing.ends():
        arrival = timing.at(bit)
        driver = timing.driver.get(bit)
        # one or two flip-flops sit behind the LUT or chain that drives them, whatever else it drives (UG574)
        behind = timing.sinks[bit] <= 1 or 0 < timing.registers[bit] <= FLIP_FLOPS_BEHIND
        packed = driver is not None and behind and timing.cells[driver[0]]["type"] not in FLIP_FLOPS
        ns = arrival.ns + (0.0 if packed else timing.net(bit)) + end_ns
        banks[bank].append(LongestPath(end, arrival.start, arrival.luts, arrival.carries, round(ns, 3)))
    longest = [max(found, key=lambda p: p.ns) for found in banks.values()]
    return sorted(longest, key=lambda p: -p.ns)


def top_module(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The module of a JSON netlist of yosys."""
    try:
        module: Mapping[str, Any] = document["modules"][name]
    except (KeyError, TypeError) as error:
        raise CheckError(f"the netlist holds no module {name}") from error
    return module


def summary(document: Mapping[str, Any], name: str, keep: int = 40) -> dict[str, Any]:
    """Counts, LUT levels and the slowest register banks of a mapped netlist."""
    module = top_module(document, name)
    cells = Counter(cell["type"] for cell in module["cells"].values())
    found = paths(module)
    return count(cells) | {
        "levels": max((p.luts for p in found), default=0),
        "path_ns": found[0].ns if found else 0.0,
        "paths": [asdict(p) for p in found[:keep]],
    }
