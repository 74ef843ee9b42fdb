"""The elaborated design, cut into blocks that can be synthesised alone.

Yosys elaborates the sources of `firmware.json` once, with the top and all parameters resolved, into its text form
RTLIL. A block is one module of that text with everything below it, so it is synthesised exactly as it is instantiated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ad40.errors import CheckError, InputError
from ad40.files import file_hash
from firmware.synth import tools

OPEN = Path("synth") / "open"  # everything of the open flow, below the firmware folder
TOP_NAME = "block"  # name of the top module of a block's own text
# Modules that are looked into: their children are blocks of the table
CONTAINERS = ("ad40_top", "ad40_core", "ad40_stream", "algorithm")

ELABORATE = """\
read_verilog -sv {sources}
hierarchy -check -top {top}
proc
setattr -unset src
setattr -mod -unset src
write_rtlil {output}
"""


@dataclass(frozen=True)
class Block:
    """A module with all that it instantiates.

    name: instance path below the top, `core.menu`; the top itself has its own name. kind: name in the source.
    parameters: as instantiated, integers or (width, bits). inputs, outputs: port widths in order of declaration.
    text: RTLIL, top module `block`, free of names that depend on the rest of the design. instances: how often the
    same block stands in the design.
    """

    name: str
    kind: str
    parameters: Mapping[str, int | str]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    text: str
    instances: int = 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text: what a result depends on, beside the script and the tool."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def file(self) -> str:
        """A name for files."""
        return re.sub(r"[^A-Za-z0-9_]+", "_", self.name)


def _modules(text: str) -> dict[str, str]:
    """Module id -> its text, attributes first."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^((?:attribute [^\n]*\n)*)module (\S+)\n.*?^end\n", text, re.MULTILINE | re.DOTALL):
        found[match[2]] = match[0]
    return found


def _children(module: str, known: Mapping[str, str]) -> list[tuple[str, str]]:
    """(instance name, module id) of what a module instantiates, in order."""
    cells = re.findall(r"^ {2}cell (\S+) (\S+)$", module, re.MULTILINE)
    return [(name.removeprefix("\\"), kind) for kind, name in cells if kind in known]


def _below(top: str, modules: Mapping[str, str]) -> list[str]:
    """The module and everything below it, each once, in a fixed order."""
    order: list[str] = []
    stack = [top]
    while stack:
        module = stack.pop()
        if module not in order:
            order.append(module)
            stack.extend(kind for _, kind in reversed(_children(modules[module], modules)))
    return order


def _renumber(text: str) -> str:
    """Automatic names without the line they came from, their numbers in the order of appearance, so that a change
    elsewhere does not reach this text. The numbers alone keep the names apart."""
    numbers: dict[str, str] = {}
    text = re.sub(r"\$[^\s$]*:\d+\$(?=\d)", "$$", text)
    return re.sub(r"\$(\d+)(?![0-9A-Za-z])", lambda m: "$" + numbers.setdefault(m[1], str(len(numbers) + 1)), text)


def _kind(module: str, text: str) -> str:
    """The name that the module has in the source."""
    match = re.search(r'^attribute \\hdlname "([^"]+)"', text, re.MULTILINE)
    return match[1] if match else module.removeprefix("\\")


def _parameters(text: str) -> dict[str, int | str]:
    """Values of the module's parameters: an integer, or a string of bits as `5'01101`."""
    rows = re.findall(r"^ {2}parameter (?:signed )?\\(\S+) (\S+)$", text, re.MULTILINE)
    return {name: int(value) if re.fullmatch(r"-?\d+", value) else value for name, value in rows}


def _ports(text: str, direction: str) -> dict[str, int]:
    rows = re.findall(
        rf"^ {{2}}wire(?: width (\d+))?(?: signed)? {direction} (\d+)(?: signed)? \\(\S+)$", text, re.MULTILINE
    )
    return {name: int(width or 1) for width, _, name in sorted(rows, key=lambda row: int(row[1]))}


def cut(rtlil: str, top: str) -> list[Block]:
    """The blocks of an elaborated design: the top first, then what stands in the containers, depth first."""
    modules = _modules(rtlil)
    if f"\\{top}" not in modules:
        raise CheckError(f"yosys elaborated no module {top}")

    def block(path: str, module: str, instances: int = 1) -> Block:
        text = modules[module]
        body = "".join(modules[m] for m in _below(module, modules))
        body = re.sub(r"^attribute \\top 1\n", "", body, flags=re.MULTILINE)
        body = body.replace(f"module {module}\n", f"module \\{TOP_NAME}\n", 1)
        return Block(
            path,
            _kind(module, text),
            _parameters(text),
            _ports(text, "input"),
            _ports(text, "output"),
            _renumber(body),
            instances,
        )

    found: list[tuple[str, str]] = []

    def walk(module: str, path: str) -> None:
        for name, child in _children(modules[module], modules):
            where = f"{path}.{name}" if path else name
            found.append((where, child))
            if _kind(child, modules[child]) in CONTAINERS:
                walk(child, where)

    walk(f"\\{top}", "")
    kinds = [child for _, child in found]
    blocks = [block(top, f"\\{top}")]
    for i, (where, child) in enumerate(found):
        if child not in kinds[:i]:
            blocks.append(block(where, child, kinds.count(child)))
    return blocks


def check_sources(folder: Path, sources: Mapping[str, str]) -> None:
    """The files that the manifest lists must be there and hold what was compiled."""
    for name, wanted in sources.items():
        path = folder / name
        if not path.is_file():
            raise InputError(path, "file", "missing", "a source that firmware.json lists; compile again")
        if file_hash(path) != wanted:
            raise InputError(
                path, "content", "changed since it was compiled", "the file of firmware.json; compile again"
            )


def elaborate(folder: Path, sources: Sequence[str], top: str, timeout_s: float) -> list[Block]:
    """Elaborate the sources, given relative to the firmware folder in order of compilation, and cut the design."""
    target = folder / OPEN
    target.mkdir(parents=True, exist_ok=True)
    script = ELABORATE.format(sources=" ".join(sources), top=top, output=(OPEN / "design.il").as_posix())
    key = hashlib.sha256((script + tools.version("yosys")).encode())
    for name in sources:
        key.update((folder / name).read_bytes())
    design, stamp = target / "design.il", target / "design.key"
    if not (design.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key.hexdigest()):
        stamp.unlink(missing_ok=True)
        (target / "design.ys").write_text(script, encoding="utf-8")
        arguments = ["-q", "-l", (OPEN / "design.log").as_posix(), (OPEN / "design.ys").as_posix()]
        tools.run("yosys", arguments, folder, target / "design.out", timeout_s)
        stamp.write_text(key.hexdigest(), encoding="utf-8")
    return cut(design.read_text(encoding="utf-8"), top)
