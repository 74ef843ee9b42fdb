"""The bench of ad40_top: orbits of events on the lanes with the faults of real links, back-pressure on the readout,
and a host that loads, switches and reads the board while it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import CheckError
from ad40.menu import Menu, Rule
from sim import lanes, runner
from sim.expect import menu_settings
from sim.firmware import Firmware
from sim.reference import Lines

TOP, MODULE = "ad40_top_bench", "sim.cocotb_top"
READY = 256  # of 256 clocks
PRESET = 0xFFFFFFFF  # as in ad40_top_bench.sv
TAIL_BX = 400  # good and empty BX at the end of a run, in which accepts arrive and packets leave
RULES = (Rule(1, 3), Rule(2, 25), Rule(3, 100), Rule(4, 240))

Action = tuple[int, str, Any]  # line, action, argument; see sim/cocotb_top.py


@dataclass(frozen=True, eq=False)
class TopRun:
    """Lines on the lanes, the settings before they play, and what the host does at which line.

    menu: in force at the start; its values are written and taken over before the lanes play. updates: shadow menu,
    prescale column and mode of each update or switch among the actions, in order. load: use `Device.load` for the
    first settings. preset: counters of links and readout start shortly before they wrap. bx_rows: rows of the BX mask
    (BX, seeds that may fire) that differ from the menu.
    """

    name: str
    lines: Lines
    menu: Menu
    enable: tuple[bool, ...]
    lumi_log2: int = 18
    l1a_source: int = 0
    ignore_busy: int = 0
    busy_level: int = 16
    ready: int = READY
    actions: tuple[Action, ...] = ()
    updates: tuple[tuple[Menu, int, int], ...] = ()
    load: bool = False
    preset: bool = False
    bx_rows: tuple[tuple[int, int], ...] = ()

    def before(self) -> list[tuple[str, Any]]:
        """What the host does before the lanes play."""
        first: list[tuple[str, Any]] = [("load", None)] if self.load else []
        settings = menu_settings(self.menu) | {
            "lane_enable": sum(1 << i for i, on in enumerate(self.enable) if on),
            "lumi_log2": self.lumi_log2,
            "l1a_source": self.l1a_source,
            "ignore_busy": self.ignore_busy,
            "busy_level": self.busy_level,
        }
        return [*first, ("bx_mask", self.bx_rows), ("settings", settings), ("command", "update_now")]


def shifted(menu: Menu, delta: int) -> Menu:
    """The menu with all thresholds moved."""
    return replace(menu, seeds=tuple(replace(s, threshold=max(s.threshold + delta, 0)) for s in menu.seeds))


def lowered(menu: Menu, scores: NDArray[np.int32]) -> Menu:
    """The menu with thresholds that a good part of events reaches: scores (n, models)."""
    share = [0.6 + 0.35 * i / max(len(menu.seeds) - 1, 1) for i in range(len(menu.seeds))]
    cuts = [int(np.quantile(scores[:, m], q)) + 1 for q, m in zip(share, menu.seed_models, strict=True)]
    return replace(menu, seeds=tuple(replace(s, threshold=c) for s, c in zip(menu.seeds, cuts, strict=True)))


@dataclass
class Builder:
    """Makes runs for one firmware from its events and one generator of random numbers."""

    firmware: Firmware
    words: NDArray[np.uint64]
    rng: np.random.Generator
    orbit: int = field(init=False)
    per_bx: int = field(init=False)

    def __post_init__(self) -> None:
        self.orbit, self.per_bx = self.firmware.timing.orbit_bx, self.firmware.timing.clocks_per_bx

    def draw(self, n: int) -> NDArray[np.uint64]:
        """n events in random order, one in twenty empty."""
        words = self.words[self.rng.integers(0, len(self.words), n)]
        words[self.rng.random(n) < 0.05] = 0
        return lanes.noise_bits(words, self.rng)

    def lines(self, words: NDArray[np.uint64], rate: float = 0.0, first: int = 4) -> Lines:
        """Events from BX 0 on with faults, then the tail."""
        empty = np.zeros((TAIL_BX, words.shape[1]), np.uint64)
        laid = lanes.lay(np.concatenate([words, empty]), self.per_bx, self.orbit, self.rng)
        cut = len(words) * self.per_bx
        body = (
            lanes.injure(laid.part(0, cut), self.per_bx, self.orbit, self.rng, rate, first)
            if rate
            else laid.part(0, cut)
        )
        lead = lanes.silence(int(self.rng.integers(3, 40)), laid.data.shape[1], self.rng)
        joined = lanes.join([lead, body, laid.part(cut, len(laid))])
        return replace(joined, l1a=self.rng.random(len(joined)) < 0.04)

    def at(self, bx: float) -> int:
        """A line somewhat after that BX of the run."""
        return int(bx * self.per_bx) + 50

    def last(self, lines: Lines) -> int:
        """A line in the tail at which the counters are read."""
        return len(lines) - 150 * self.per_bx

    @property
    def all_lanes(self) -> tuple[bool, ...]:
        return (True,) * len(self.firmware.lane_names)

    def runs(self, orbits: int, clean: NDArray[np.uint64], load: bool) -> list[TopRun]:
        """Every run. clean: events for good links and the menu as it is; load: all of it written by the host
        software, which takes thousands of accesses for the BX mask."""
        menu = self.firmware.trigger.menu
        low = lowered(menu, self.firmware.trigger.score(objects.unpack(self.words[:2000])))
        n_lanes = len(self.all_lanes)
        groups = [[lane, (lane + 3) % n_lanes] for lane in range(min(3, n_lanes))] + [[i] for i in range(6, n_lanes)]
        chosen = [replace(self.clean(clean, menu), load=load), self.tour(menu)]
        chosen += [self.faulty(i, sorted(set(group)), low) for i, group in enumerate(groups)]
        chosen += [self.pressed(0, 0, replace(low, rules=()), 4), self.pressed(0, 1, replace(low, rules=()))]
        chosen += [self.pressed(1, 1, menu)]
        ruled = replace(menu, rules=RULES)
        return [*chosen, self.orbits(orbits, ruled, [shifted(ruled, delta) for delta in (1, -1, 0)])]

    def clean(self, words: NDArray[np.uint64], menu: Menu) -> TopRun:
        """The events as they are on good links, one per BX, and the menu as compiled, loaded by the host software."""
        laid = self.lines(words)
        return TopRun("events on the links", laid, menu, self.all_lanes, load=True,
                      actions=((self.last(laid), "counters", None),))  # fmt: skip

    def faulty(self, number: int, disabled: Sequence[int], menu: Menu) -> TopRun:
        """Two orbits and a bit with many faults, new alignments, and lanes switched off."""
        laid = self.lines(self.draw(2 * self.orbit + 300), rate=0.004)
        lead = int(np.flatnonzero(laid.soo.all(axis=1))[0])
        mid = int(self.rng.integers(1, self.per_bx))
        cuts = [(self.orbit - 800, mid), (self.orbit + 700, 0)]
        body = lanes.realign(laid.part(lead, len(laid)), self.per_bx, self.orbit, cuts)
        laid = lanes.join([laid.part(0, lead), body])
        laid.error[:, list(disabled)] |= self.rng.random((len(laid), len(disabled))) < 0.01
        enable = tuple(i not in disabled for i in range(laid.data.shape[1]))
        names = "+".join(self.firmware.lane_names[i] for i in disabled)
        actions = ((self.at(900), "status", None), (self.last(laid), "counters", None))
        ready = (READY, 128, 64)[number % 3]
        return TopRun(f"faults, resyncs, {names} off", laid, menu, enable, preset=True, ready=ready, actions=actions)

    def tour(self, menu: Menu) -> TopRun:
        """Every kind of fault on every lane."""
        laid = self.lines(self.draw(3 * self.orbit + 100))
        lead = int(np.flatnonzero(laid.soo.all(axis=1))[0])
        body = lanes.tour(laid.part(lead, len(laid)), self.per_bx, self.orbit, self.rng)
        laid = lanes.join([laid.part(0, lead), body])
        return TopRun("every fault on every lane", laid, menu, self.all_lanes, preset=True,
                      actions=((self.at(900), "status", None), (self.last(laid), "counters", None)))  # fmt: skip

    def pressed(self, source: int, ignore_busy: int, menu: Menu, level: int = 16) -> TopRun:
        """Half an orbit with many accepts and an output that is slow, closed and open again."""
        laid = self.lines(self.draw(1800), rate=0.01 if source else 0.002)
        steps = ((200, 30), (700, 0), (1000, READY), (1300, 10), (1700, READY))
        actions = [(self.at(bx), "ready", level_) for bx, level_ in steps]
        name = f"readout: {'external' if source else 'own'} accepts, busy {'ignored' if ignore_busy else 'obeyed'}"
        actions.append((self.last(laid), "counters", None))
        return TopRun(name, laid, menu, self.all_lanes, l1a_source=source, ignore_busy=ignore_busy, busy_level=level,
                      preset=True, actions=tuple(actions))  # fmt: skip

    def orbits(self, n: int, menu: Menu, levels: Sequence[Menu]) -> TopRun:
        """n orbits with faults and back-pressure; thresholds one up, one down by updates at an orbit, prescale columns
        switched at lumi sections of two orbits, prescale counters reset, counters read on the way."""
        laid = self.lines(self.draw(n * self.orbit), rate=0.0003)
        actions: list[Action] = []
        updates: list[tuple[Menu, int, int]] = []
        column, now = 0, menu
        for orbit in range(n):
            start = orbit * self.orbit
            for _ in range(5):
                where = start + float(self.rng.integers(0, self.orbit))
                actions.append((self.at(where), "ready", int(self.rng.choice([READY, READY, 100, 30, 8, 0]))))
            if orbit % 2 == 0 and orbit < n - 1:
                now = levels[orbit // 2 % len(levels)]
                settings = menu_settings(now, column) | {"update_mode": 1}
                actions.append((self.at(start + 800), "settings", settings))
                actions.append((self.at(start + 1700), "command", "update"))
                updates.append((now, column, 1))
            elif orbit < n - 1:
                column = (column + 1) % len(menu.columns)
                actions.append((self.at(start + 900), "switch", menu.columns[column]))
                updates.append((now, column, 0))
            if orbit % 3 == 1:
                actions.append((self.at(start + 2300), "command", "prescale_rst"))
            if orbit % 10 == 1:
                actions.append((self.at(start + 2600), "counters", None))
        actions.append((len(laid) - (TAIL_BX - 20) * self.per_bx, "ready", READY))
        actions.append((self.last(laid), "counters", None))
        rows = [(bx, int(self.rng.integers(0, 1 << len(menu.seeds)))) for bx in (0, 7, 500, self.orbit - 1)]
        return TopRun(f"{n} orbits, faults and back-pressure", laid, menu, self.all_lanes, lumi_log2=1,
                      actions=tuple(sorted(actions, key=lambda a: a[0])), updates=tuple(updates),
                      bx_rows=tuple(rows))  # fmt: skip


def simulate(firmware: Firmware, chosen: Sequence[TopRun], scratch: Path, seed: int) -> Path:
    """Build the bench if its sources changed and play all runs; the folder with what was recorded."""
    bench = runner.build([*firmware.sources, Path(__file__).parent / "ad40_top_bench.sv"], TOP, scratch / "top",
                         runtime=scratch / "runtime")  # fmt: skip
    folder = scratch / "top_runs"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    plan: dict[str, Any] = {"period_ps": firmware.period_ps, "firmware": str(firmware.folder.resolve()), "runs": []}
    for number, run in enumerate(chosen):
        lanes.write(folder / f"stimulus{number}.bin", run.lines)
        limit = 2 * len(run.lines) + 20000 + 100000 * run.load  # clocks; the host's first writes come before the lines
        plan["runs"].append({"ready": run.ready, "preset": run.preset, "limit_ns": limit * firmware.period_ps // 1000,
                             "before": run.before(), "actions": run.actions})  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    runner.run(
        bench, TOP, MODULE, folder,
        plusargs=[f"+folder={folder.resolve()}", "+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**31 + 1}"],
        environment={"AD40_PLAN": str((folder / "plan.json").resolve())},
    )  # fmt: skip
    for number, run in enumerate(chosen):
        if not (folder / f"top{number}.json").exists():
            raise CheckError(f"run '{run.name}' did not finish; see {folder / 'simulation.log'}")
    return folder


def remove(folder: Path, number: int) -> None:
    """The large files of a run that has been judged."""
    for name in ("stimulus{}.bin", "decisions{}.hex", "lane{}.hex", "packets{}.hex", "strobes{}.hex"):
        (folder / name.format(number)).unlink(missing_ok=True)
