"""Access to the registers of a board by name, over any bus. Needs the standard library only: the generated
`ad40_registers.py` is this file followed by the table of one design."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Transport(Protocol):
    """How words travel: PCI Express, IPbus, a simulation. `address` is a byte address, a multiple of 4."""

    def read(self, address: int) -> int:
        """The 32-bit word at an address. Raises OSError when the bus answers with an error."""

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit word. Raises OSError when the bus answers with an error."""


class RegisterError(Exception):
    """A register was used in a way it does not allow: unknown name, index, access, value, or an incoherent reading."""


@dataclass(frozen=True)
class Register:
    """`count` entries (1 if not an array) of `words` 32-bit words; entry i starts at address + 4 * words * i.

    bits: width of a word. access: ro, rw, wo (writing 1 makes a pulse) or counter (read only, latched by the
    register `snapshot`).
    """

    name: str
    address: int
    access: str
    bits: int
    array: bool
    count: int
    words: int
    description: str

    @property
    def mask(self) -> int:
        """The bits of a word that exist."""
        return (1 << self.bits) - 1


class Registers:
    """Registers by name.

    >>> class Memory(dict):
    ...     def read(self, address): return self.get(address, 0)
    ...     def write(self, address, value): self[address] = value
    >>> registers = Registers(Memory(), [Register("mask", 0x204, "rw", 5, False, 1, 1, "seeds of the OR")])
    >>> registers.write("mask", 0b10110)
    >>> registers.read("mask")
    22
    """

    def __init__(self, transport: Transport, table: Iterable[Register]) -> None:
        self.transport = transport
        self.table = {register.name: register for register in table}

    def _find(self, name: str, index: int) -> Register:
        register = self.table.get(name)
        if register is None:
            raise RegisterError(f"there is no register {name!r}")
        if not 0 <= index < register.count:
            raise RegisterError(f"{name}[{index}]: expected an index from 0 to {register.count - 1}")
        return register

    def read(self, name: str, index: int = 0) -> int:
        """One entry. An entry of several words is one integer, first word lowest."""
        register = self._find(name, index)
        if register.access == "wo":
            raise RegisterError(f"{name} can only be written")
        first = register.address + 4 * register.words * index
        words = [self.transport.read(first + 4 * i) for i in range(register.words)]
        return sum((word & register.mask) << 32 * i for i, word in enumerate(words))

    def read_all(self, name: str) -> list[int]:
        """All entries of an array."""
        return [self.read(name, i) for i in range(self._find(name, 0).count)]

    def write(self, name: str, value: int, index: int = 0) -> None:
        """One entry. The value must fit its bits."""
        register = self._find(name, index)
        if register.access not in ("rw", "wo"):
            raise RegisterError(f"{name} can only be read")
        if not 0 <= value <= register.mask:
            raise RegisterError(f"{name} = {value}: expected 0 to {register.mask}")
        self.transport.write(register.address + 4 * index, value)

    def strobe(self, name: str) -> None:
        """One pulse of a command."""
        if self._find(name, 0).access != "wo":
            raise RegisterError(f"{name} is not a command")
        self.write(name, 1)

    def hash(self, name: str, index: int = 0) -> str:
        """A hash register as hex digits, eight for each word."""
        return f"{self.read(name, index):0{8 * self._find(name, index).words}x}"

    def counters(self, snapshot: bool = True) -> dict[str, int | list[int]]:
        """All counters of one moment: now, or without `snapshot` the last start of a lumi section.

        Counters are latched together. When a new lumi section latches them again while they are read, they are
        read once more; three such interruptions in a row raise `RegisterError`.
        """
        if snapshot:
            self.strobe("snapshot")
        for _ in range(3):
            before = self.read("latches")
            found: dict[str, int | list[int]] = {}
            for register in self.table.values():
                if register.access == "counter":
                    values = self.read_all(register.name)
                    found[register.name] = values if register.array else values[0]
            if self.read("latches") == before:
                return found
        raise RegisterError("counters were latched three times while they were read; is lumi_log2 too small?")
