"""Sources of a whole design without compiled networks: what benches of single blocks and proofs need, in a second."""

from __future__ import annotations

import shutil
from pathlib import Path

from ad40 import spec
from ad40.menu import Menu, ModelRef, Rule, Seed
from ad40.model import Trigger
from ad40.network import Network
from ad40.registers import register_map
from firmware import generate
from firmware.registers import write_registers

RTL = Path(__file__).parents[1] / "firmware" / "rtl"


def full_menu(networks: tuple[Network, ...]) -> Menu:
    """Everything that a menu can have: masks, a veto, ranges of BX, fractional prescales, factor 0, rules."""
    first, last = networks[0].name, networks[-1].name
    top = networks[0].score_max
    seeds = (
        Seed("Loose", first, top // 16, (2.5, 1.0)),
        Seed("Tight", first, top // 8, (1.0, 3.37)),
        Seed("OffByMask", first, top // 8, enabled=False, prescales=(1.0, 1.0)),
        Seed("Other", last, networks[-1].score_max // 8, (1.01, 0.0), bx=((0, 3), (7, 3000))),
        Seed("Veto", last, networks[-1].score_max // 4, (1.0, 1.0), veto=True, enabled=False),
    )
    models = tuple(ModelRef(network.name, network.hash) for network in networks)
    return Menu(models, networks[0].spec_hash, seeds, ("low", "high"), (Rule(1, 3), Rule(2, 25), Rule(4, 240)))


def write_rtl(folder: Path, trigger: Trigger, clock: str | None = None) -> Path:
    """Hand-written and generated SystemVerilog in one folder, as `ad40 compile` leaves it, without the networks."""
    latency = spec.latency(clock)
    folder.mkdir(parents=True, exist_ok=True)
    for path in RTL.glob("*.sv"):
        shutil.copyfile(path, folder / path.name)
    stages = latency.network_stages_max
    (folder / "ad40_pkg.sv").write_text(generate.package(trigger, latency, stages))
    (folder / "algorithm.sv").write_text(generate.algorithm(trigger.networks, stages))
    numbers = {c.name: c.value for c in generate.constants(trigger, latency, stages)}
    sizes = [int(numbers[name]) for name in ("N_SEEDS", "N_MODELS", "N_LANES", "THRESHOLD_BITS")]
    for path in write_registers(folder / "generated", register_map(*sizes)):
        if path.suffix == ".sv":
            shutil.copyfile(path, folder / path.name)
    return folder
