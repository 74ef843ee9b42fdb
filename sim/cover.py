"""Functional coverage of what the expectations of the runs reached; see sim/coverage.py for the bins."""

from __future__ import annotations

import numpy as np

from ad40 import objects
from sim.coverage import Coverage, declare
from sim.expect import Expected
from sim.firmware import Firmware
from sim.judge import Judged
from sim.reference import GOOD, LATE

PER_SEED_COUNTERS = ("cnt_before", "cnt_after", "cnt_accepted")
PER_LANE_COUNTERS = ("cnt_corrupted", "cnt_late", "cnt_missing")
COUNTERS = ("cnt_slots", "cnt_errors", "cnt_requests", "cnt_l1a", "cnt_lost_rules", "cnt_lost_busy", "cnt_dead",
            "cnt_resync", "cnt_packets", "cnt_overflow")  # fmt: skip


def counter_names(firmware: Firmware) -> dict[str, list[str]]:
    """Names of the entries of each counter, such as `cnt_late[jet0]`."""
    seeds, lanes = [seed.name for seed in firmware.trigger.menu.seeds], firmware.lane_names
    names = {name: [f"{name}[{seed}]" for seed in seeds] for name in PER_SEED_COUNTERS}
    names |= {name: [f"{name}[{lane}]" for lane in lanes] for name in PER_LANE_COUNTERS}
    return names | {name: [name] for name in COUNTERS}


def bins(firmware: Firmware) -> Coverage:
    """All bins of a design, at zero."""
    counters = [entry for entries in counter_names(firmware).values() for entry in entries]
    return declare([seed.name for seed in firmware.trigger.menu.seeds], firmware.lane_names, counters)


def cover_counters(totals: dict[str, list[int]], bits: int, firmware: Firmware, coverage: Coverage) -> None:
    """totals: what was counted, not wrapped, by counters of so many bits."""
    names = counter_names(firmware)
    for name, values in totals.items():
        for entry, value in zip(names[name], values, strict=True):
            coverage.hit("counter counted", entry, value & ((1 << bits) - 1) or value >> bits)
            coverage.hit("counter wrapped", entry, value >> bits)


def cover_top(judged: Judged, firmware: Firmware, coverage: Coverage) -> None:
    """Bins of a run of the top: links, readout, decisions, counters."""
    _links(judged, firmware, coverage)
    _readout(judged, coverage)
    cover_decisions(judged.expected, firmware, coverage)
    live = judged.expected.live
    for (start, _), (_, _, mode) in zip(live[1:], judged.run.updates, strict=False):
        name = "update taken at an orbit start" if mode else "column switched at a lumi section"
        coverage.hit("decision", name, int(start > 0))
    coverage.hit("decision", "prescale reset", len(judged.recorded.strobes["prescale_rst"]))


def _links(judged: Judged, firmware: Firmware, coverage: Coverage) -> None:
    frames, run, received = judged.received.frame, judged.run, judged.received
    for lane, name in enumerate(firmware.lane_names):
        group, classes = f"lane {name}", frames[:, lane]
        for number, kind in enumerate(("corrupted", "late", "missing"), start=1):
            coverage.hit(group, kind, int((classes == number).sum()))
        late = classes == LATE
        coverage.hit(group, "unaligned", int((late[1:] & late[:-1]).sum()))
        back = (classes[1:] == GOOD) & (classes[:-1] == LATE) & (received.bx[1:] == 0)
        coverage.hit(group, "aligned again at the next orbit", int(back.sum()) if run.enable[lane] else 0)
        if not run.enable[lane]:
            coverage.hit(group, "disabled")
            coverage.hit(group, "disabled, with errors on it", int(run.lines.error[:, lane].sum()))
        coverage.hit(group, "noise in unused bits", int(run.lines.data[:, lane].any()))
    per_bx = firmware.timing.clocks_per_bx
    bad = (frames != GOOD)[:, np.array(run.enable)]
    ends = np.append(received.clock, -1)
    for clock in received.resyncs:
        cut = "resync at the end of a frame" if (clock - 1 == ends).any() else "resync in the middle of a frame"
        coverage.hit("links", cut)
    follows = (received.bx[1:] == 0) & (received.bx[:-1] > 0) & (np.diff(received.clock) == per_bx)
    coverage.hit("links", "first alignment", int(len(received.bx) > 0))
    coverage.hit("links", "all lanes bad", int(bad.all(axis=1).sum()))
    coverage.hit("links", "good frame right after a bad one", int((bad[:-1] & ~bad[1:]).sum()))
    coverage.hit("links", "orbit follows orbit without a gap", int(follows.sum()))


def _readout(judged: Judged, coverage: Coverage) -> None:
    packets, readout, transfers = judged.packets, judged.readout, judged.recorded.transfers
    if packets is None or not len(packets):
        return
    here = objects.present(objects.unpack(packets.words)).sum(axis=1)
    held = transfers[:, 3] == 0
    first = np.flatnonzero(np.append(True, judged.recorded.words[:-1, 1] == 1))
    starts, ends = judged.recorded.words[first, 0], judged.recorded.words[judged.recorded.words[:, 1] == 1, 0]
    n = min(len(ends), len(starts)) - 1
    moved = readout.moved[readout.taken]
    queued = moved[1 : n + 1] < ends[:n]
    for name, flags in {
        "packet": np.ones(len(packets), np.bool_),
        "event of no object": here == 0,
        "full event": here == objects.N_OBJECTS,
        "flag: overflow": packets.flagged("overflow"),
        "flag: link error": packets.flagged("link_error"),
        "flag: external L1A": packets.flagged("external"),
        "output held back": held,
        "derandomiser full": ~readout.taken,
        "output idle": ~queued,
        "packets back to back": queued,
    }.items():
        coverage.hit("readout", name, int(np.asarray(flags).sum()))
    coverage.hit("readout", "output never held back", int(not held.any()))


def cover_decisions(expected: Expected, firmware: Firmware, coverage: Coverage) -> None:
    """Bins of seeds, rules and decisions."""
    menu, d = firmware.trigger.menu, expected.decided
    seeds = np.array(menu.seed_models)
    starts = [start for start, _ in expected.live]
    names = ("below", "at", "above", "bx", "off", "vetoed", "masked")
    totals = {name: np.zeros(len(seeds), np.int64) for name in names}
    for (start, live), stop in zip(expected.live, [*starts[1:], len(expected.line)], strict=True):
        part = slice(start, stop)
        distance = expected.scores[part][:, seeds] - live.thresholds
        allowed = live.bx_mask[expected.bx[part]]
        open_ = allowed & ~expected.bad[part, None]
        totals["below"] += ((distance == -1) & open_).sum(axis=0)
        totals["at"] += ((distance == 0) & open_).sum(axis=0)
        totals["above"] += ((distance == 1) & open_).sum(axis=0)
        totals["bx"] += ((distance >= 0) & ~allowed & ~expected.bad[part, None]).sum(axis=0)
        totals["off"] += (d.before[part] & (live.factors == 0)).sum(axis=0)
        totals["vetoed"] += (d.after[part] & live.veto & d.vetoed[part, None]).sum(axis=0)
        totals["masked"] += (d.after[part] & ~live.mask).sum(axis=0)
    for i, seed in enumerate(menu.seeds):
        group = f"seed {seed.name}"
        fired = int(d.before[:, i].sum())
        passed = int(d.after[:, i].sum())
        coverage.hit(group, "fired", fired)
        coverage.hit(group, "did not fire", len(d.before) - fired)
        coverage.hit(group, "passed its prescale", passed)
        coverage.hit(group, "was prescaled away", fired - passed - int(totals["off"][i]))
        for name, key in (("at threshold - 1", "below"), ("at threshold", "at"), ("at threshold + 1", "above"),
                          ("was kept out by the BX mask", "bx"), ("was switched off by factor 0", "off"),
                          ("vetoed an event", "vetoed"), ("was masked", "masked")):  # fmt: skip
            coverage.hit(group, name, int(totals[key][i]))
    rules = d.refused.any(axis=1)
    accepts = np.flatnonzero(d.l1a)
    for name, flags in {
        "accepted": d.l1a,
        "not accepted": ~d.l1a,
        "lost to a rule": d.request & rules,
        "lost to busy": d.request & ~rules & expected.busy,
        "busy": expected.busy,
        "bad event": expected.bad,
        "vetoed": d.vetoed,
        "two in a row": np.diff(accepts) == 1,
        "BX 0": expected.bx == 0,
        "last BX of the orbit": expected.bx == len(menu.bx_mask) - 1,
    }.items():
        coverage.hit("decision", name, int(flags.sum()))
    windows = np.zeros((len(d.l1a), 4), np.int64)
    for start, live in expected.live:
        windows[start:] = live.windows
    for rule in range(4):
        coverage.hit(f"rule {rule + 1}", "refused an event", int(d.refused[:, rule].sum()))
        later, earlier = accepts[rule + 1 :], accepts[: -rule - 1]
        just = later - earlier == windows[later, rule]
        coverage.hit(f"rule {rule + 1}", "let one pass at its last BX", int(just.sum()))
