"""A board at work: held against the trigger it should run, loaded, switched, read. Any bus: see `Transport`."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ad40.access import RegisterError, Registers, Transport
from ad40.errors import CheckError, HashMismatch, InputError
from ad40.model import Trigger
from ad40.registers import trigger_map

LUMI_SECTION, ORBIT = 0, 1  # update_mode: where an update comes into force


class Device:
    """A board that must hold `trigger`, reached over `transport`.

    timeout_s: longest wait for an update to come into force; a lumi section takes 23.3 s. poll_s: time between looks.
    Everything that writes looks at the hashes first, and afterwards reads back what it wrote.
    """

    def __init__(
        self, transport: Transport, trigger: Trigger, timeout_s: float = 30.0, poll_s: float = 0.1, name: str = "device"
    ) -> None:
        self.trigger, self.name = trigger, name
        self.map = trigger_map(trigger)
        self.registers = Registers(transport, self.map.registers)
        self.timeout_s, self.poll_s = timeout_s, poll_s

    def check(self) -> None:
        """Refuse a board that holds something else: `InputError`, or `HashMismatch`, which names both hashes."""
        menu, sizes = self.trigger.menu, self.map.sizes
        self._expect("magic", int(self.map["magic"].value or 0), "an ad40 board", digits=8)
        self._expect("layout", self.map.layout_id, "the registers of this version of ad40", digits=8)
        for name in ("seeds", "models", "lanes"):
            self._expect(f"n_{name}", sizes[name], f"as many {name} as the trigger has")
        self._expect_hash("spec_hash", 0, menu.spec_hash, "the scales in use")
        for i, network in enumerate(self.trigger.networks):
            self._expect_hash("network_hash", i, network.hash, f"the network '{network.name}'")
        self._expect_hash("menu_hash", 0, menu.hash, "the menu")

    def load(self, column: str | None = None, now: bool = False) -> None:
        """Write thresholds, prescales of a column (by default the first), mask, veto, rules and BX mask, and ask for
        the update at the next lumi section, or `now`: before a run only.

        The BX mask has no shadow: it changes while it is written. The rest comes into force together.
        """
        menu = self.trigger.menu
        index = menu.column(column) if column is not None else 0
        self.check()
        if not now:  # before a run no lumi section comes; update_now also ends an update that waits
            self.wait()
        self._write("threshold", [seed.threshold for seed in menu.seeds])
        self._write("prescale", [seed.factors[index] for seed in menu.seeds])
        self._write("mask", [sum(seed.enabled << i for i, seed in enumerate(menu.seeds))])
        self._write("veto", [sum(seed.veto << i for i, seed in enumerate(menu.seeds))])
        self._write("rule_window", list(menu.rule_windows))
        self.set_bx_mask(menu.bx_mask)
        self._update(now)

    def switch_column(self, name: str) -> None:
        """Another prescale column from the next lumi section on. Prescale counters restart with it.

        An earlier update that still waits comes into force first, so that two sets are never mixed.
        """
        index = self.trigger.menu.column(name)
        self.check()
        self.wait()
        self._write("prescale", [seed.factors[index] for seed in self.trigger.menu.seeds])
        self._update(now=False)

    def wait(self) -> int:
        """Wait until no update is pending; the orbit of the last one. `CheckError` after timeout_s."""
        end = time.monotonic() + self.timeout_s
        while self.registers.read("sts_pending"):
            if time.monotonic() >= end:
                raise CheckError(f"{self.name}: an update is still pending after {self.timeout_s:g} s; do orbits run?")
            time.sleep(self.poll_s)
        return self.registers.read("sts_applied_orbit")

    def set_bx_mask(self, mask: NDArray[np.bool_]) -> None:
        """Where each seed may fire, bool (bunch crossings of an orbit, seeds). In force at once."""
        expected = self.trigger.menu.bx_mask.shape
        if mask.shape != expected or mask.dtype != np.bool_:
            raise InputError(self.name, "BX mask", f"{mask.dtype} of shape {mask.shape}", f"bool of shape {expected}")
        rows = mask.astype(np.uint64) @ (np.uint64(1) << np.arange(expected[1], dtype=np.uint64))
        for bx, row in enumerate(rows.tolist()):
            self.registers.write("bx_mask_addr", bx)
            self.registers.write("bx_mask_data", row)

    def counters(self, snapshot: bool = True) -> dict[str, int | list[int]]:
        """All counters of one moment, by the names of docs/registers.md: now, or without `snapshot` those of the last
        start of a lumi section. Arrays in the order of seeds and lanes. 32 bits each, they wrap."""
        try:
            return self.registers.counters(snapshot)
        except RegisterError as error:
            raise CheckError(f"{self.name}: {error}") from error

    def _update(self, now: bool) -> None:
        self._write("update_mode", [LUMI_SECTION])
        self.registers.strobe("update_now" if now else "update")

    def _write(self, name: str, values: list[int]) -> None:
        for i, value in enumerate(values):
            self.registers.write(name, value, i)
            found = self.registers.read(name, i)
            if found != value:
                raise CheckError(f"{self.name}: {name}[{i}] reads {found} after {value} was written")

    def _expect(self, name: str, value: int, meaning: str, digits: int = 0) -> None:
        def text(number: int) -> str:
            return f"0x{number:0{digits}x}" if digits else str(number)

        try:
            found = self.registers.read(name)
        except OSError as error:
            raise InputError(self.name, name, f"not readable ({error})", f"{text(value)}, {meaning}") from error
        if found != value:
            raise InputError(self.name, name, text(found), f"{text(value)}, {meaning}")

    def _expect_hash(self, name: str, index: int, value: str, meaning: str) -> None:
        found = self.registers.hash(name, index)
        if found != value:
            label = f"{name}[{index}]" if self.map[name].array else name
            raise HashMismatch(self.name, label, found, f"{value}, {meaning}")
