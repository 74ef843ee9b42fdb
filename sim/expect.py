"""The core and what is expected of it: runs of events with settings and strobes, when settings come into force, and the
decisions that must come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import CheckError
from ad40.menu import Menu, MenuState
from ad40.model import Trigger
from sim.reference import Bools, Decided, Live, decide, scores_of

STROBES = ("rst", "update", "update_now", "prescale_rst", "counter_rst")
FLAGS = ("valid", "error", "busy", *STROBES, "bx_mask_we", "last")  # bits of a line of the playback file
# Clocks from a strobe on the pins to the first decision that follows it, see menu.sv: a header lies 5 clocks before
# its decision, update_now also reaches the header one clock before it; a decision sees busy one clock before
HEADER, UPDATE_NOW, BUSY = 5, 4, 1


def live_of(menu: Menu, column: int = 0) -> Live:
    """The values of a menu with a prescale column in force."""
    return Live(
        thresholds=np.array([seed.threshold for seed in menu.seeds], np.int64),
        factors=np.array([seed.factors[column] for seed in menu.seeds], np.int64),
        mask=np.array([seed.enabled for seed in menu.seeds]),
        veto=np.array([seed.veto for seed in menu.seeds]),
        windows=menu.rule_windows,
        bx_mask=menu.bx_mask,
    )


def menu_settings(menu: Menu, column: int = 0) -> dict[str, Any]:
    """The settings of a menu as registers and pins hold them, lists index 0 first."""
    live = live_of(menu, column)
    return {
        "threshold": live.thresholds.tolist(),
        "prescale": live.factors.tolist(),
        "mask": sum(1 << i for i, on in enumerate(live.mask) if on),
        "veto": sum(1 << i for i, on in enumerate(live.veto) if on),
        "rule_window": list(live.windows),
    }


@dataclass(frozen=True, eq=False)
class Run:
    """Lines of the player of the core, one per clock.

    words uint64 (n, 19); bx, orbit (n,) of the event; flags: those of `FLAGS` in use, bool (n,). menu: in force at
    the start, and its BX mask throughout; shadow: on the ports while the lines play, so that `update` takes it over.
    """

    name: str
    words: NDArray[np.uint64]
    bx: NDArray[np.int64]
    orbit: NDArray[np.int64]
    flags: dict[str, Bools]
    menu: Menu
    shadow: Menu | None = None
    columns: tuple[int, int] = (0, 0)  # of menu and shadow
    lumi_log2: int = 18
    update_mode: int = 0

    def flag(self, name: str) -> Bools:
        return self.flags.get(name, np.zeros(len(self.words), np.bool_))

    def lines_with(self, name: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.flag(name))


@dataclass(frozen=True, eq=False)
class Expected:
    """Decisions in the order in which they must come out. line (m,): at which the last word of each was on the pins;
    live: (first slot, values in force); rejected: events that a reset must drop."""

    line: NDArray[np.int64]
    bx: NDArray[np.int64]
    orbit: NDArray[np.int64]
    scores: NDArray[np.int32]
    bad: Bools
    busy: Bools
    decided: Decided
    live: list[tuple[int, Live]]
    rejected: int = 0

    def mask(self) -> Bools:
        """The mask in force in each slot, bool (m, S)."""
        starts = np.array([start for start, _ in self.live])
        number = np.searchsorted(starts, np.arange(len(self.line)), side="right") - 1
        return np.stack([live.mask for _, live in self.live])[number]


def steady(
    name: str, words: NDArray[np.uint64], menu: Menu, first_bx: int = 0, first_orbit: int = 0, **more: object
) -> Run:
    """One event per line, without gap or reset; BX count on from `first_bx` of orbit `first_orbit`."""
    orbit_bx = spec.latency().orbit_bx
    slot = first_orbit * orbit_bx + first_bx + np.arange(len(words), dtype=np.int64)
    flags = {"valid": np.ones(len(words), np.bool_)}
    return Run(name, words, slot % orbit_bx, slot // orbit_bx, flags, menu, **more)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Change:
    """A strobe at a line: `update`, `update_now` or `prescale_rst`, with the shadow values and the update mode that
    it finds."""

    line: int
    strobe: str
    shadow: Live
    mode: int = 0


def timeline(changes: Sequence[Change], out: NDArray[np.int64], bx: NDArray[np.int64], orbit: NDArray[np.int64],
             lumi_log2: int, initial: Live) -> tuple[list[tuple[int, Live]], list[int]]:  # fmt: skip
    """(first slot, values) of slots decided at lines `out`, and the slots before which prescale counters restart."""
    new_orbit, live, restarts = bx == 0, [(0, initial)], []
    new_lumi = new_orbit & ((orbit & ((1 << lumi_log2) - 1)) == 0)
    at_once = np.array([change.line for change in changes if change.strobe == "update_now"], np.int64)
    found: list[tuple[int, int]] = []
    for i, change in enumerate(changes):
        if change.strobe == "update_now":
            due = np.flatnonzero(out >= change.line + UPDATE_NOW)
        else:
            starts = new_orbit if change.strobe == "prescale_rst" or change.mode else new_lumi
            due = np.flatnonzero(starts & (out >= change.line + HEADER))
        if not len(due):
            continue
        # what waits is done with when everything is taken over at once
        overtaken = (change.line < at_once) & (at_once < out[due[0]] - UPDATE_NOW)
        if change.strobe != "update" or not overtaken.any():
            found.append((int(due[0]), i))
    for slot, i in sorted(found):
        restarts.append(slot)
        if changes[i].strobe == "prescale_rst":
            continue
        if live[-1][0] == slot:
            live.pop()
        live.append((slot, changes[i].shadow))
    return live, restarts


def expect(run: Run, trigger: Trigger, latency: int) -> Expected:
    """The emulator's decisions, and the events that resets take from it.

    Times are edges of the clock: an event sampled at edge c leaves at edge c + latency; a reset at an edge before
    that drops it, and brings the settings of the trigger's own menu back.
    """
    valid, resets = run.flag("valid"), run.lines_with("rst")
    accepted = np.flatnonzero(valid & ~run.flag("rst"))
    after = np.searchsorted(resets, accepted, side="right")
    next_reset = np.append(resets, np.iinfo(np.int64).max)[after]
    alive = accepted[next_reset > accepted + latency - 1]
    group = np.searchsorted(resets, alive, side="right")
    scores = scores_of(trigger, run.words[alive])
    bad, bx, orbit = run.flag("error")[alive], run.bx[alive], run.orbit[alive]
    busy_pin = np.append(run.flag("busy"), np.zeros(latency + 8, np.bool_))
    busy = busy_pin[alive + latency - BUSY]
    parts: list[Decided] = []
    live: list[tuple[int, Live]] = []
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        begin = int(resets[number - 1]) if number else -1
        initial = live_of(run.menu, run.columns[0]) if number == 0 else live_of(trigger.menu)
        initial = replace(initial, bx_mask=run.menu.bx_mask)  # a memory: neither shadowed nor reset
        shadow = replace(live_of(run.shadow or run.menu, run.columns[1]), bx_mask=run.menu.bx_mask)
        changes = [
            Change(at, strobe, shadow, run.update_mode)
            for strobe in ("update", "prescale_rst", "update_now")
            for at in run.lines_with(strobe).tolist()
            if at > begin
        ]
        now, restarts = timeline(changes, alive[part] + latency, bx[part], orbit[part], run.lumi_log2, initial)
        parts.append(decide(scores[part], trigger.menu.seed_models, bx[part], bad[part], busy[part], now, restarts))
        live += [(start + part.start, values) for start, values in now]
    decided = Decided(*(np.concatenate([getattr(p, name) for p in parts]) for name in Decided.__dataclass_fields__))
    expected = Expected(alive, bx, orbit, scores, bad, busy, decided, live, len(accepted) - len(alive))
    in_order = np.array_equal(bx, np.arange(len(bx)) % spec.latency().orbit_bx)
    if in_order and not any(run.flag(name).any() for name in STROBES):
        check_emulator(run.name, run.menu, {0: run.columns[0]}, expected)
    return expected


def check_emulator(name: str, menu: Menu, columns: Mapping[int, int], expected: Expected) -> None:
    """Hold the emulator's menu against the slot-by-slot reference. columns: first slot -> prescale column.

    Raises `CheckError` with the first slot that differs: then there is no expectation to hold the device against.
    """
    state = MenuState(menu, columns[0])
    starts = [*sorted(columns), len(expected.line)]
    for start, stop in pairwise(starts):
        if start:
            state.switch(columns[start])
        part = slice(start, stop)
        found = state.decide(expected.scores[part], expected.bad[part], expected.busy[part])
        for field_name, mine in (
            ("seeds_before", "before"),
            ("seeds_after", "after"),
            ("request", "request"),
            ("l1a", "l1a"),
        ):
            wrong = getattr(found, field_name) != getattr(expected.decided, mine)[part]
            wrong = wrong.any(axis=1) if wrong.ndim > 1 else wrong
            if wrong.any():
                slot = start + int(np.flatnonzero(wrong)[0])
                where = f"{int(wrong.sum())} slots; first at slot {slot}"
                raise CheckError(f"{name}: emulator != reference of the bench in {field_name}: {where}")
