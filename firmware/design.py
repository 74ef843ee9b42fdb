"""What is to be compiled: networks side by side, their menu, and a configuration of the clock. A design that would
not work is refused here, before anything is generated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ad40 import menu as menus
from ad40 import objects, spec
from ad40.errors import SpecError
from ad40.model import Trigger, read_trigger
from ad40.network import Network
from ad40.registers import RegisterMap, register_map
from ad40.spec import LatencySpec, ObjectsSpec
from firmware import generate

MAX_MODELS = 3  # score words of the output link
WORD_BITS = 32  # of the links, the readout and the registers
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, eq=False)
class Design:
    """What is to be compiled: networks and menu, the folder of each model, the configuration of clock and budget."""

    trigger: Trigger
    folders: tuple[Path, ...]
    latency: LatencySpec

    @property
    def name(self) -> str:
        return " + ".join(network.name for network in self.trigger.networks)

    @property
    def registers(self) -> RegisterMap:
        """The registers of this design."""
        networks, menu = self.trigger.networks, self.trigger.menu
        threshold_bits = generate.threshold_bits(networks)
        return register_map(len(menu.seeds), len(networks), len(spec.links().lanes), threshold_bits)


def read_design(
    folders: Sequence[Path], menu: Path | None = None, clock: str | None = None, budget_ns: float | None = None
) -> Design:
    """Read the models and their menu for a configuration of latency.yaml (None: its default), with its budget or a
    smaller one. Refuses what would not work, before anything is generated."""
    trigger = read_trigger(folders, menu)
    latency = spec.latency(clock)
    latency = latency if budget_ns is None else latency.within(budget_ns)
    menu_file = menu or (folders[0] / "menu.yaml" if len(folders) == 1 else "menus of " + ", ".join(map(str, folders)))
    check_design(trigger, latency, [folder / "network.json" for folder in folders], menu_file)
    return Design(trigger, tuple(folders), latency)


def _code_ranges(types: ObjectsSpec) -> list[tuple[str, int, int] | None]:
    """For each of the 57 inputs its name, smallest and largest code of a present object; None without a field."""
    found: list[tuple[str, int, int] | None] = []
    for name, kind in zip(types.slot_names, types.slots, strict=True):
        found.append((f"{name}.pt", 1, kind.pt.max_code))
        found.append((f"{name}.eta", -kind.eta.max_code - 1, kind.eta.max_code) if kind.eta else None)
        found.append((f"{name}.phi", 0, (1 << kind.phi.bits) - 1))
    return found


def _angle_range(types: ObjectsSpec, slot: int) -> tuple[int, int]:
    """Smallest and largest code of the angle of an object to MET, for any words: below 0 beyond a turn."""
    scale, kind = objects.azimuth(), types.slots[slot]
    met = int(scale.per_met[slot]) * ((1 << types.slots[scale.met].phi.bits) - 1)
    return min(0, kind.phi.steps - max((1 << kind.phi.bits) - 1, met)), kind.phi.steps // 2


def _check_network(network: Network, file: Path, types: ObjectsSpec) -> None:
    """Refuse a network that the words on the links cannot feed, or whose score no register holds."""
    x, bits = network.input, generate.code_bits(types)
    if not _NAME.fullmatch(network.name):
        raise SpecError(file, "name", repr(network.name), "letters, digits, '_', '-' and '.': it names files")
    if network.score_width > WORD_BITS - 1:
        raise SpecError(file, "score", f"{network.score_width} bits wide",
                        f"at most {WORD_BITS - 1}: a threshold has one more and must fit a register")  # fmt: skip
    work = generate.work_bits(network, bits)
    if work > WORD_BITS:
        raise SpecError(file, "input", f"{work} bits wide after offset and shift of a code of {bits} bits",
                        f"offsets, left shifts and a format that stay within {WORD_BITS}")  # fmt: skip
    widest, used = x.one.bit_length() if x.present else 0, network.used_inputs
    for i, code in enumerate(_code_ranges(types)):
        if code is None or not used[i]:
            continue
        name, low, high = code
        if x.angles[i]:
            low, high = _angle_range(types, i // objects.N_FEATURES)
        shift = int(x.shift[i])
        centred = [code - int(x.offset[i]) for code in (low, high)]
        ends = [value >> shift if shift >= 0 else value << -shift for value in centred]
        widest = max(widest, *(end.bit_length() for end in ends))
        clipped = [min(max(end, x.format.min_code), x.format.max_code) for end in ends]
        if clipped[0] == clipped[1]:
            path = f"input.offset[{i}], input.shift[{i}]"
            raise SpecError(file, path, f"{int(x.offset[i])}, {shift}",
                            f"values that let something of {name}, {low} to {high}, into the input, "
                            f"{x.format.min_code} to {x.format.max_code}: it would always be {clipped[0]}")  # fmt: skip
        if x.format.overflow == "WRAP" and tuple(clipped) != tuple(ends):
            rule = f"SAT: {name} is {ends[0]} to {ends[1]} after offset and shift, and inputs saturate"
            raise SpecError(file, "input.format.overflow", "WRAP", rule)
    if x.format.integer + x.format.fraction > widest:
        raise SpecError(file, "input.format", f"{x.format.width} bits wide",
                        f"at most {widest + x.format.signed}: no word reaches more after offset and shift")  # fmt: skip


def check_design(trigger: Trigger, latency: LatencySpec, network_files: Sequence[Path], menu_file: Path | str) -> None:
    """Refuse, before anything is generated, a design that would not work. network_files: where each network was
    read, for the message. Raises `SpecError`."""
    networks, menu, types = trigger.networks, trigger.menu, spec.objects()
    if not 1 <= len(networks) <= MAX_MODELS:
        raise SpecError("command line", "MODEL_DIR", f"{len(networks)} models",
                        f"1 to {MAX_MODELS}: the output link has so many score words")  # fmt: skip
    for i, (network, file) in enumerate(zip(networks, network_files, strict=True)):
        for other in range(i):
            if networks[other].name.lower() == network.name.lower():  # they name files
                raise SpecError(file, "name", network.name, f"another name than the model of {network_files[other]}")
        _check_network(network, file, types)
    if not 1 <= len(menu.seeds) <= menus.MAX_SEEDS:
        raise SpecError(menu_file, "seeds", f"{len(menu.seeds)} seeds", f"1 to {menus.MAX_SEEDS}: one bit each")
    for i, seed in enumerate(menu.seeds):
        most = networks[menu.seed_models[i]].score_max + 1
        if not 0 <= seed.threshold <= most:
            rule = f"0 to {most}, one above the largest score of {seed.model} ({seed.name})"
            raise SpecError(menu_file, f"seeds[{i}].threshold", seed.threshold, rule)
    stages = latency.network_stages_max
    path = f"configurations.{latency.name}.stages"
    if latency.stages["normalise"] + stages < generate.MENU_LEAD or stages < 1:
        raise SpecError(spec.FOLDER / "latency.yaml", path,
                        f"{sum(latency.stages.values())} of {latency.budget_cycles} clocks",
                        f"1 or more clocks left for the network, and {generate.MENU_LEAD} up to its score")  # fmt: skip
    if latency.stages["decision"] != 2:
        raise SpecError(spec.FOLDER / "latency.yaml", f"{path}.decision", latency.stages["decision"],
                        "2, the registers of menu.sv")  # fmt: skip
