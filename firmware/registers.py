"""The register description -> registers.sv, C header, Python class and documentation page of one design.

`python -m firmware.registers --docs docs/registers.md` rewrites the page of the largest design.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from ad40 import registers
from ad40.files import atomic_path
from ad40.registers import ALL_ONES, LATCHES, LAYOUT, WORD_BITS, WORD_BYTES, Register, RegisterMap
from firmware import register_software

ROW_WORDS = 16  # words of the first stage of the read multiplexer

TEMPLATE = Path(__file__).parent / "rtl" / "registers.sv.in"


def _product(*factors: str) -> str:
    """A width as SystemVerilog; factors of one are left out."""
    return "*".join(factor for factor in factors if factor != "1") or "1"


def _bits(register: Register, map: RegisterMap) -> str:
    return map.constants[register.bits_size] if register.bits_size else str(register.bits)


def _width(register: Register, map: RegisterMap) -> str:
    """Width of the whole array, with the names of sizes."""
    count = map.constants[register.count_size] if register.count_size else str(register.count)
    words = str(register.words * register.bits) if register.words > 1 else _bits(register, map)
    return _product(count, words)


def _word(register: Register, map: RegisterMap, signal: str, word: int) -> str:
    """Word `word` of a signal that holds the array."""
    bits = _bits(register, map)
    return f"{signal}[{_product(str(word), bits) if word else 0}+:{bits}]" if register.entries > 1 else signal


def _as_word(register: Register, signal: str) -> str:
    """The same, as 32 bits."""
    return signal if not register.bits_size and register.bits == WORD_BITS else f"{WORD_BITS}'({signal})"


def _declare(kind: str, width: str, name: str, scope: str = "") -> str:
    if width == "1":
        return f"{kind} logic {name}"
    if width.isdigit():
        return f"{kind} logic [{int(width) - 1}:0] {name}"
    return f"{kind} logic [{re.sub('[A-Z_]+', lambda found: scope + found[0], width)}-1:0] {name}"


def _ports(map: RegisterMap) -> list[str]:
    """Declarations, each after a comment: meaning; access, address and entries; timing."""
    lines: list[str] = []
    timing = {
        "ro": "read as it is",
        "counter": "latched, then read",
        "rw": "changes with a write",
        "wo": "one clock high, after a write of 1",
    }
    for register in map.registers:
        if register.port is None:
            continue
        where = f"{register.access}, {register.address:#05x}; {timing[register.access]}"
        if register.array:
            number = map.constants[register.count_size] if register.count_size else register.count
            where += f"; {number} entries, 0 in the lowest bits"
        kind = "output" if register.access in ("rw", "wo") else "input "
        lines += textwrap.wrap(f"// {register.description}", 115, initial_indent="    ", subsequent_indent="    // ")
        lines += [f"    // ({where})"]
        lines += ["    " + _declare(kind, _width(register, map), register.port, "ad40_pkg::") + ","]
        if register.strobe:
            lines += [
                f"    // {register.port} was written: one clock high, in the first clock of the new value",
                f"    output logic {register.strobe},",
            ]
    lines[-1] = lines[-1].rstrip(",")
    return lines


def _sources(map: RegisterMap) -> dict[int, str]:
    """Word address -> what a read delivers."""
    found: dict[int, str] = {}
    for register in map.registers:
        if register.access == "wo":
            continue
        for word in range(register.entries):
            if register.value == LATCHES:
                source = "latch_count"
            elif register.value == LAYOUT or isinstance(register.value, int):
                source = f"32'h{map.layout_id if register.value == LAYOUT else register.value:08x}"
            elif register.value is not None and register.entries == 1:
                source = f"32'(ad40_pkg::{register.value})"
            elif register.value is not None:
                source = _word(register, map, register.value, word)
            else:
                held = f"latched_{register.name}" if register.access == "counter" else str(register.port)
                source = _as_word(register, _word(register, map, held, word))
            found[register.word_address(word) // WORD_BYTES] = source
    return found


def _constants(map: RegisterMap) -> list[str]:
    """Sizes, and constants of several words."""
    used = {register.bits_size for register in map.registers if register.access == "rw"}
    used |= {register.count_size for register in map.registers if isinstance(register.value, str)}
    used |= {register.count_size for register in map.registers if register.access == "counter"}
    lines = [f"  localparam int {name} = ad40_pkg::{name};" for size, name in map.constants.items() if size in used]
    for register in map.registers:
        if isinstance(register.value, str) and register.entries > 1:
            name = f"{register.value} = ad40_pkg::{register.value};"
            lines.append(_declare("  localparam", _width(register, map), name))
    return lines


def _latches(map: RegisterMap) -> list[str]:
    """Copies of the counters: what is read."""
    counters = [register for register in map.registers if register.access == "counter"]
    lines = [_declare(" ", _width(r, map), f"latched_{r.name};") for r in counters]
    lines += ["  always_ff @(posedge clk) begin", "    if (rst) begin"]
    lines += [f"      latched_{r.name} <= '0;" for r in counters]
    lines += ["    end else if (latch) begin"]
    lines += [f"      latched_{r.name} <= {r.port};" for r in counters]
    return [*lines, "    end", "  end"]


def _settings(map: RegisterMap, digits: Callable[[int], str]) -> list[str]:
    """Reset, pulses, writes."""
    written = [register for register in map.registers if register.access == "rw"]
    commands = [register for register in map.registers if register.access == "wo"]
    pulses = [r.name for r in commands] + [r.strobe for r in written if r.strobe]
    lines = ["  always_ff @(posedge clk) begin"]
    lines += [f"    {pulse} <= 1'b0;" for pulse in pulses]
    lines += ["    if (rst) begin"]
    for register in written:
        width = _width(register, map)
        if register.reset == ALL_ONES:
            value = f"{{{width}{{1'b1}}}}" if width.isidentifier() or width.isdigit() else f"{{({width}){{1'b1}}}}"
        elif isinstance(register.reset, int):
            one = f"{register.bits}'d{register.reset}"
            value = one if register.count == 1 else f"{{{register.count}{{{one}}}}}"
        else:
            whole = f"ad40_pkg::{register.reset}"
            value = whole if register.array or register.bits_size else f"{width}'({whole})"
        lines.append(f"      {register.port} <= {value};")
    lines += ["    end else if (write_decode) begin", "      case (write_word)"]
    for register in written:
        bits = _bits(register, map)
        for word in range(register.entries):
            target = str(register.port)
            if bits != "1":
                low = f"{_product(str(word), bits)}+" if word else ""
                change = f"for (int i = 0; i < {bits}; i++) if (write_strobe[i/8]) {target}[{low}i] <= write_data[i];"
            else:
                target += f"[{word}]" if register.entries > 1 else ""
                change = f"if (write_strobe[0]) {target} <= write_data[0];"
            if register.strobe:
                change = f"begin {change} {register.strobe} <= |write_strobe; end"
            lines.append(f"        {digits(register.word_address(word) // WORD_BYTES)}: {change}")
    lines += [
        f"        {digits(r.address // WORD_BYTES)}: {r.name} <= write_data[0] && write_strobe[0];" for r in commands
    ]
    lines += [
        "        default: ;",
        "      endcase",
        "    end",
        "  end",
        "",
        "  always_comb begin",
        "    case (write_word)",
    ]
    addresses = [digits(r.word_address(w) // WORD_BYTES) for r in written + commands for w in range(r.entries)]
    lines += _wrapped(addresses, "      ", ": writable = 1'b1;")
    return [*lines, "      default: writable = 1'b0;", "    endcase", "  end"]


def _wrapped(items: list[str], indent: str, end: str) -> list[str]:
    rows = [", ".join(items[i : i + 12]) for i in range(0, len(items), 12)]
    return [indent + row + ("," if i < len(rows) - 1 else end) for i, row in enumerate(rows)]


def _read_rows(map: RegisterMap, digits: Callable[[int], str]) -> list[str]:
    """The two stages of the read multiplexer; the bit above the word tells a register from nothing."""
    rows: dict[int, dict[int, str]] = {}
    for word, source in sorted(_sources(map).items()):
        rows.setdefault(word // ROW_WORDS, {})[word % ROW_WORDS] = source
    row_bits = map.address_bits - 2 - (ROW_WORDS - 1).bit_length()
    names = {row: f"row_{4 * ROW_WORDS * row:03x}" for row in rows}  # by byte address
    lines = [f"  logic [32:0] {name};" for name in names.values()]
    lines += ["  always_ff @(posedge clk) begin"]
    for row, words in rows.items():
        lines.append("    case (read_word[3:0])")
        lines += [f"      4'd{word}: {names[row]} <= {{1'b1, {source}}};" for word, source in words.items()]
        if len(words) < ROW_WORDS:
            lines.append(f"      default: {names[row]} <= 33'd0;")
        lines.append("    endcase")
    lines += ["  end", "  always_comb begin", "    case (read_row)"]
    lines += [f"      {row_bits}'d{row}: read_next = {name};" for row, name in names.items()]
    return [*lines, "      default: read_next = 33'd0;", "    endcase", "  end"]


def verilog(map: RegisterMap) -> str:
    """The text of registers.sv."""
    word_bits = map.address_bits - 2

    def digits(word: int) -> str:
        return f"{word_bits}'h{word:0{(word_bits + 3) // WORD_BYTES}x}"

    parts = {
        "LAYOUT": f"{map.layout_id:08x}",
        "DATA": str(WORD_BITS),
        "ADDRESS": str(map.address_bits),
        "ADDRESS_HIGH": str(map.address_bits - 1),
        "WORD_HIGH": str(word_bits - 1),
        "ROW_WORDS": str(ROW_WORDS),
        "PORTS": "\n".join(_ports(map)),
        "CONSTANTS": "\n".join(_constants(map)),
        "LATCHES": "\n".join(_latches(map)),
        "SETTINGS": "\n".join(_settings(map, digits)),
        "ROWS": "\n".join(_read_rows(map, digits)),
    }
    return re.sub("@([A-Z_]+)@", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def write_registers(folder: Path, map: RegisterMap) -> list[Path]:
    """Write rtl/registers.sv, software/ad40_registers.h, software/ad40_registers.py and software/registers.md."""
    texts = {
        "rtl/registers.sv": verilog(map),
        "software/ad40_registers.h": register_software.header(map),
        "software/ad40_registers.py": register_software.python(map),
        "software/registers.md": register_software.page(map),
    }
    return [_write(folder / name, text) for name, text in texts.items()]


def _write(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m firmware.registers", description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, required=True, metavar="FILE", help="page to write")
    _write(parser.parse_args().docs, register_software.page(registers.largest()))


if __name__ == "__main__":
    main()
