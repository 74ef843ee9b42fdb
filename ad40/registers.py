"""spec/registers.yaml: the registers of a board, for one design.

Addresses are the same for every design: arrays have room for the largest. Two registers that overlap, or one that
does not fit, are refused when the description is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ad40 import access, spec
from ad40.errors import SpecError
from ad40.files import read_yaml, sha256_of
from ad40.model import Trigger
from ad40.schema import Node
from ad40.spec import FOLDER

ACCESS = ("ro", "rw", "wo", "counter")
WORD_BITS, WORD_BYTES = 32, 4
ALL_ONES, LAYOUT, LATCHES = "ones", "layout", "latches"
THRESHOLD_BITS = 32  # a score has 31 bits at most, a threshold one more
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Register(access.Register):
    """A register with what hardware needs. Descriptions of the fields: the head of registers.yaml.

    bits_size, count_size: the size that sets bits or count, if one does.
    """

    bits_size: str | None
    count_size: str | None
    reset: int | str | None
    value: int | str | None
    strobe: str | None

    @property
    def port(self) -> str | None:
        """The port of registers.sv, None for a constant."""
        if self.access == "rw":
            return f"cfg_{self.name}"
        return None if self.value is not None else self.name

    @property
    def entries(self) -> int:
        """Addresses in use."""
        return self.count * self.words

    def word_address(self, word: int) -> int:
        """Byte address of a word: entry * words + word of the entry."""
        return self.address + WORD_BYTES * word


@dataclass(frozen=True)
class RegisterMap:
    """All registers of one design. sizes: n of seeds, models, ...; constants: names of those sizes in ad40_pkg.

    hash: of the layout, equal for every design and every wording of the descriptions.
    """

    registers: tuple[Register, ...]
    address_bits: int
    sizes: dict[str, int]
    constants: dict[str, str]
    hash: str

    @property
    def layout_id(self) -> int:
        """What the register `layout` reads: the first 32 bits of the hash."""
        return int(self.hash[:8], 16)

    @cached_property
    def by_name(self) -> dict[str, Register]:
        return {register.name: register for register in self.registers}

    def __getitem__(self, name: str) -> Register:
        return self.by_name[name]

    @property
    def package_constants(self) -> tuple[str, ...]:
        """Names that registers.sv takes from ad40_pkg, sorted."""
        found = {value for r in self.registers for value in (r.reset, r.value) if isinstance(value, str)}
        return tuple(sorted({name for name in found if _CONSTANT.fullmatch(name)} | set(self.constants.values())))


def register_map(
    n_seeds: int,
    n_models: int,
    n_lanes: int,
    threshold_bits: int = THRESHOLD_BITS,
    path: str | Path = FOLDER / "registers.yaml",
) -> RegisterMap:
    """The registers of a design with so many seeds, networks and input lanes; thresholds of so many bits.

    Raises `SpecError` for a mistake in the description or a design that it has no room for.
    """
    sizes = {"seeds": n_seeds, "models": n_models, "lanes": n_lanes, "threshold": threshold_bits}
    return _read(Path(path), tuple(sizes.items()))


def trigger_map(trigger: Trigger) -> RegisterMap:
    """The registers of a trigger behind the lanes of links.yaml."""
    widest = max(network.score_width for network in trigger.networks) + 1  # so that a seed can be silenced
    return register_map(len(trigger.menu.seeds), len(trigger.networks), len(spec.links().lanes), widest)


def largest(path: str | Path = FOLDER / "registers.yaml") -> RegisterMap:
    """The registers of the largest design there is room for."""
    return _read(Path(path), ())


@lru_cache
def _read(path: Path, given: tuple[tuple[str, int], ...]) -> RegisterMap:
    document = Node(read_yaml(path), path)
    document.keys({"version", "address_bits", "sizes", "registers"})
    document["version"].integer(1, 1)
    address_bits = document["address_bits"].integer(3, 32)
    most: dict[str, int] = {}
    constants: dict[str, str] = {}
    for name, child in document["sizes"].items():
        child.keys({"most", "constant"})
        most[name] = child["most"].integer(1, 1 << 16)
        constants[name] = _matching(child["constant"], _CONSTANT, "the name of a constant: A-Z, 0-9, _")
    sizes = dict(most)
    for name, number in given:
        if name not in most:
            raise SpecError(path, f"sizes.{name}", "missing", "a size that every design has")
        if not 1 <= number <= most[name]:
            raise SpecError("the design", name, number, f"1 to {most[name]} (sizes.{name}.most of {path})")
        sizes[name] = number
    registers: list[Register] = []
    taken: dict[int, str] = {}  # word address -> register, with room for the largest design
    names = {"clk", "rst", "lumi_start"}  # other ports of the block
    for child in document["registers"]:
        register = _register(child, most, sizes)
        for name in filter(None, dict.fromkeys((register.name, register.port, register.strobe))):
            if name in names:
                raise child["strobe" if name == register.strobe else "name"].fault("a name used once")
            names.add(name)
        room = register.words * (most[register.count_size] if register.count_size else register.count)
        if register.address % WORD_BYTES:
            raise _address_fault(child, register, f"a multiple of {WORD_BYTES}")
        if register.address + WORD_BYTES * room > 1 << address_bits:
            raise _address_fault(child, register, f"{room} words below {1 << address_bits:#x}")
        for word in range(room):
            at = register.word_address(word)
            if at in taken:
                raise _address_fault(child, register, f"{room} words apart from those of {taken[at]} at {at:#x}")
            taken[at] = register.name
        registers.append(register)
    if not registers:
        raise document["registers"].fault("at least one register")
    layout = [
        [[key, value] for key, value in sorted(entry.items()) if key != "description"]
        for entry in document["registers"].value
    ]
    return RegisterMap(tuple(registers), address_bits, sizes, constants, sha256_of([address_bits, layout]))


def _register(node: Node, most: dict[str, int], sizes: dict[str, int]) -> Register:
    optional = {"bits", "count", "words", "reset", "value", "strobe"}
    node.keys({"name", "address", "access", "description"}, optional)
    kind = node["access"].choice(ACCESS)
    for key, kinds in (("reset", ("rw",)), ("strobe", ("rw",)), ("value", ("ro",)), ("words", ("ro",))):
        if key in node and kind not in kinds:
            raise node[key].fault(f"no {key} with access {kind}")
    if kind == "rw" and "reset" not in node:
        raise SpecError(node.file, f"{node.path}.reset", "missing", "a value")
    words = node["words"].integer(1, 64) if "words" in node else 1
    if words > 1 and "value" not in node:
        raise node["words"].fault("one word, or a constant value")
    default_bits = 1 if kind == "wo" else WORD_BITS
    bits_size = _size(node, "bits", most, WORD_BITS)
    bits = sizes[bits_size] if bits_size else node["bits"].value if "bits" in node else default_bits
    if bits != WORD_BITS and (kind == "counter" or words > 1):
        raise node["bits"].fault(f"{WORD_BITS} bits of a counter or of an entry of several words")
    if kind == "wo" and ("count" in node or bits != 1):
        raise node["count" if "count" in node else "bits"].fault("one bit, no array, of a command")
    count_size = _size(node, "count", most, 1 << 16)
    count = sizes[count_size] if count_size else node["count"].value if "count" in node else 1
    smallest = 1 if bits_size else bits
    return Register(
        name=_matching(node["name"], _NAME, "a name: a-z, 0-9, _"),
        address=node["address"].integer(0, (1 << 32) - 1),
        access=kind,
        bits=bits,
        array="count" in node,
        count=count,
        words=words,
        description=node["description"].text(),
        bits_size=bits_size,
        count_size=count_size,
        reset=_content(node, "reset", smallest, (ALL_ONES,)),
        value=_content(node, "value", smallest * words, (LAYOUT, LATCHES)),
        strobe=_matching(node["strobe"], _NAME, "a name: a-z, 0-9, _") if "strobe" in node else None,
    )


def _size(node: Node, key: str, most: dict[str, int], high: int) -> str | None:
    """The name of the size that an entry refers to; None if it is a number, or absent."""
    if key not in node:
        return None
    child = node[key]
    if isinstance(child.value, str):
        if child.value not in most:
            raise child.fault(f"1 to {high}, or one of the sizes {', '.join(most)}")
        if most[child.value] > high:
            raise child.fault(f"a size of {high} at most; that one goes up to {most[child.value]}")
        return child.value
    child.integer(1, high)
    return None


def _content(node: Node, key: str, bits: int, words: tuple[str, ...]) -> int | str | None:
    """What a register holds: a number that fits, one of a few words, or the name of a constant."""
    if key not in node:
        return None
    child = node[key]
    if isinstance(child.value, str):
        if child.value in words or _CONSTANT.fullmatch(child.value):
            return child.value
        raise child.fault(f"a number, {', '.join(words)} or the name of a constant: A-Z, 0-9, _")
    return child.integer(0, (1 << bits) - 1)


def _matching(node: Node, pattern: re.Pattern[str], expected: str) -> str:
    if not pattern.fullmatch(node.text()):
        raise node.fault(expected)
    return node.text()


def _address_fault(node: Node, register: Register, expected: str) -> SpecError:
    return SpecError(node.file, f"{node.path}.address", f"{register.address:#x} ({register.name})", expected)
