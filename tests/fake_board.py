"""A board in memory: what registers.sv, menu.sv and the bus do, as far as software sees it. Built from the map."""

from __future__ import annotations

from ad40.model import Trigger
from ad40.registers import ALL_ONES, LAYOUT, RegisterMap

SHADOWED = ("threshold", "prescale", "mask", "veto", "rule_window")


def holdings(trigger: Trigger, map: RegisterMap) -> dict[str, int]:
    """Constants that the package of this trigger has: name -> value, arrays packed with entry 0 lowest."""

    def pack(values: list[int], width: int) -> int:
        return sum(value << width * i for i, value in enumerate(values))

    menu = trigger.menu
    return {
        "DESIGN_ID": trigger.design_id,
        "SPEC_HASH": int(menu.spec_hash, 16),
        "MENU_HASH": int(menu.hash, 16),
        "NETWORK_HASH": pack([int(network.hash, 16) for network in trigger.networks], 256),
        "N_SEEDS": map.sizes["seeds"],
        "N_MODELS": map.sizes["models"],
        "N_LANES": map.sizes["lanes"],
        "LATENCY": 12,
        "CLOCK_KHZ": 240000,
        "CLOCKS_PER_BX": 6,
        "LUMI_ORBITS_LOG2": 18,
        "DERANDOMISER_DEPTH": 16,
        "DEFAULT_THRESHOLD": pack([seed.threshold for seed in menu.seeds], map["threshold"].bits),
        "DEFAULT_PRESCALE": pack([seed.factors[0] for seed in menu.seeds], 32),
        "DEFAULT_MASK": pack([seed.enabled for seed in menu.seeds], 1),
        "DEFAULT_VETO": pack([seed.veto for seed in menu.seeds], 1),
        "DEFAULT_RULE_WINDOW": pack(list(menu.rule_windows), 12),
    }


class FakeBoard:
    """`read` and `write` of a bus; OSError where hardware answers with SLVERR.

    live: what an update has brought into force. Reading sts_pending lets time pass: `patience` more reads and a lumi
    section starts. `running`: what counters would read at this moment; `boundary_after` reads of a counter, a lumi
    section starts.
    """

    def __init__(self, map: RegisterMap, constants: dict[str, int]) -> None:
        self.map, self.constants = map, constants
        self.words: dict[int, int] = {}
        self.at = {r.word_address(w): (r, w) for r in map.registers for w in range(r.entries)}
        for register in map.registers:
            content = register.reset if register.reset is not None else register.value
            packed = (
                map.layout_id
                if content == LAYOUT
                else (1 << register.bits) - 1
                if content == ALL_ONES
                else constants.get(content, 0)
                if isinstance(content, str)
                else content or 0
            )
            for word in range(register.entries):
                self.words[register.word_address(word)] = packed >> register.bits * word & register.mask
        self.live = self._shadows()
        self.bx_mask: dict[int, int] = {}
        self.running: dict[int, int] = {}
        self.strobes: list[str] = []
        self.orbit, self.patience, self.boundary_after, self.pending = 7, 2, -1, False
        self.stuck: set[str] = set()  # registers that do not take a write

    def _shadows(self) -> dict[str, list[int]]:
        return {
            name: [self.words[self.map[name].word_address(i)] for i in range(self.map[name].entries)]
            for name in SHADOWED
        }

    def lumi_section(self) -> None:
        """A lumi section starts: counters are latched, a pending update comes into force."""
        self.orbit += 1
        self._latch()
        if self.pending:
            self._apply()

    def _apply(self) -> None:
        self.live, self.pending = self._shadows(), False
        self.words[self.map["sts_applied_orbit"].address] = self.orbit

    def _latch(self) -> None:
        for address, (register, _) in self.at.items():
            if register.access == "counter":
                self.words[address] = self.running.get(address, 0)
        self.words[self.map["latches"].address] += 1

    def read(self, address: int) -> int:
        register, _ = self.at.get(address, (None, 0))
        if register is None or register.access == "wo":
            raise OSError(f"SLVERR: read of {address:#x}")
        if register.name == "sts_pending":
            self.patience -= self.pending
            if self.pending and self.patience <= 0:
                self.lumi_section()
            return int(self.pending)
        if register.access == "counter":
            self.boundary_after -= 1
            if self.boundary_after == 0:
                self.lumi_section()
        return self.words[address]

    def write(self, address: int, value: int) -> None:
        register, _ = self.at.get(address, (None, 0))
        if register is None or register.access not in ("rw", "wo"):
            raise OSError(f"SLVERR: write of {address:#x}")
        if register.access == "rw":
            if register.name not in self.stuck:
                self.words[address] = value & register.mask
            if register.name == "bx_mask_data":
                self.bx_mask[self.words[self.map["bx_mask_addr"].address]] = value & register.mask
            return
        if not value & 1:
            return
        self.strobes.append(register.name)
        if register.name == "update":
            self.pending, self.patience = True, 2
        elif register.name == "update_now":
            self._apply()
        elif register.name == "snapshot":
            self._latch()
