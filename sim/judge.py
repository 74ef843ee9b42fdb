"""What ad40_top must have done in a run, held against what its bench recorded: decisions, output lane, packets,
credits and counters."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import Ad40Error
from ad40.menu import seed_bits
from ad40.packets import Packets, read_packets
from sim.expect import Change, Expected, check_emulator, live_of, timeline
from sim.firmware import Firmware
from sim.reference import CORRUPTED, LATE, MISSING, Bools, Received, counts, decide, receive, scores_of
from sim.scoreboard import Observed, Result, compare, compare_counters, read_decisions, read_hex
from sim.top import PRESET, TopRun

STROBES = ("update", "update_now", "prescale_rst", "counter_rst", "snapshot", "lumi_start")
PRESET_COUNTERS = ("cnt_corrupted", "cnt_late", "cnt_missing", "cnt_resync", "cnt_packets", "cnt_overflow")
BUSY_LAG = 2  # lines from the state of the readout to the m_busy that shows it
FLAG_OVERFLOW, FLAG_LINK, FLAG_EXTERNAL = 1, 2, 4


@dataclass(frozen=True, eq=False)
class Recorded:
    """Files of one run. lines: recorded from line 0 to this one, exclusive; transfers (n, 4): line, last, word and
    whether it was taken; strobes: name -> lines; actions: what the host did and read, and when."""

    lines: int
    observed: Observed
    lane: NDArray[np.int64]
    transfers: NDArray[np.int64]
    strobes: dict[str, NDArray[np.int64]]
    actions: list[dict[str, Any]]
    axis_faults: int
    seconds: float

    @property
    def words(self) -> NDArray[np.int64]:
        """Words that left the readout: (n, 3) line, last, word."""
        return self.transfers[self.transfers[:, 3] == 1][:, :3]


@dataclass(frozen=True, eq=False)
class Judged:
    """A run and all that is known about it, for coverage and messages."""

    run: TopRun
    recorded: Recorded
    received: Received
    expected: Expected
    packets: Packets | None
    readout: Readout
    result: Result


@dataclass(frozen=True, eq=False)
class Readout:
    """Accepted events in order. slot; number of the accept; moved: line at which each reaches the derandomiser;
    taken: or lost; occupied: events there at that line; overflow: events were lost before it. busy: what m_busy must
    be in each slot."""

    slot: NDArray[np.int64]
    number: NDArray[np.int64]
    moved: NDArray[np.int64]
    taken: Bools
    occupied: NDArray[np.int64]
    overflow: Bools
    busy: Bools


def read(folder: Path, number: int, models: int) -> Recorded:
    """The files that the bench left."""
    left = json.loads((folder / f"top{number}.json").read_text())
    raw = read_hex(folder / f"packets{number}.hex", 3)
    transfers = np.stack([raw[:, 0], raw[:, 1] & 1, raw[:, 2], raw[:, 1] >> 1 & 1], axis=1)
    strobes = read_hex(folder / f"strobes{number}.hex", 2)
    return Recorded(
        left["lines"],
        read_decisions(folder / f"decisions{number}.hex", models),
        read_hex(folder / f"lane{number}.hex", 2),
        transfers,
        {name: strobes[strobes[:, 1] >> i & 1 == 1, 0] for i, name in enumerate(STROBES)},
        left["actions"],
        left["axis_faults"],
        left["seconds"],
    )


def judge(firmware: Firmware, run: TopRun, number: int, folder: Path) -> Judged:
    """Hold one run against the reference."""
    recorded = read(folder, number, len(firmware.trigger.networks))
    timing, latency = firmware.timing, firmware.latency
    received = receive(run.lines, run.enable, timing.clocks_per_bx, timing.orbit_bx, recorded.lines - len(run.lines))
    seen = received.clock + latency < recorded.lines
    received = received.part(seen)
    busy = np.zeros(len(received.clock), np.bool_)
    n = min(len(busy), len(recorded.observed.line))
    busy[:n] = recorded.observed.columns["m_busy"][:n]
    expected = expect(firmware, run, recorded, received, busy)
    result = compare(run.name, expected, recorded.observed, latency, place="BX")
    result.seconds, result.clocks = recorded.seconds, recorded.lines
    if recorded.axis_faults:
        result.faults.append(f"AXI4-Stream: tvalid dropped or data changed before tready, {recorded.axis_faults} times")
    result.faults += check_lane(firmware, expected, recorded)
    readout = expect_readout(firmware, run, recorded, expected)
    wrong = np.flatnonzero(readout.busy != busy)
    if len(wrong):
        k = int(wrong[0])
        where = f"first at slot {k}, {int(busy[k])} vs {int(readout.busy[k])}"
        result.faults.append(f"RTL != credits: m_busy in {len(wrong)} slots; {where}")
    packets, faults = check_packets(firmware, run, recorded, received, expected, readout)
    result.faults += faults
    judged = Judged(run, recorded, received, expected, packets, readout, result)
    result.faults += check_actions(judged, firmware)
    return judged


def expect(firmware: Firmware, run: TopRun, recorded: Recorded, received: Received, busy: Bools) -> Expected:
    """The decisions, with the busy that was seen and the strobes at the lines at which they were seen."""
    menu = firmware.trigger.menu
    mask = run.menu.bx_mask.copy()
    for bx, row in run.bx_rows:
        mask[bx] = (row >> np.arange(mask.shape[1])) & 1
    initial = replace(live_of(run.menu), bx_mask=mask)
    changes = [Change(int(line), "prescale_rst", initial) for line in recorded.strobes["prescale_rst"]]
    for line, (shadow, column, mode) in zip(recorded.strobes["update"].tolist(), run.updates, strict=True):
        changes.append(Change(line, "update", replace(live_of(shadow, column), bx_mask=mask), mode))
    out = received.clock + firmware.latency
    live, restarts = timeline(changes, out, received.bx, received.orbit, run.lumi_log2, initial)
    scores = scores_of(firmware.trigger, received.words)
    decided = decide(scores, menu.seed_models, received.bx, received.bad, busy, live, restarts)
    expected = Expected(received.clock, received.bx, received.orbit, scores, received.bad, busy, decided, live)
    in_order = len(received.bx) > 0 and not received.resyncs
    only_columns = all(shadow is run.menu for shadow, _, _ in run.updates) and not len(recorded.strobes["prescale_rst"])
    if in_order and only_columns and not run.bx_rows:
        columns = {start: 0 for start, _ in live[:1]}
        for (start, _), (_, column, _) in zip(live[1:], run.updates, strict=False):
            columns[start] = column
        check_emulator(run.name, run.menu, columns, expected)
    return expected


def check_lane(firmware: Firmware, expected: Expected, recorded: Recorded) -> list[str]:
    """The output lane clock by clock: a frame from the line after each decision on."""
    per_bx = firmware.timing.clocks_per_bx
    wanted = np.zeros((recorded.lines + per_bx + 1, 2), np.int64)
    start = expected.line + firmware.latency + 1
    decided, models = expected.decided, expected.scores.shape[1]
    head = expected.bx
    for bit, flag in ((31, decided.l1a), (30, expected.bad), (29, decided.request)):
        head = head | flag.astype(np.int64) << bit
    payload = [head, seed_bits(decided.before), seed_bits(decided.after)]
    payload += [expected.scores[:, k] if k < models else np.zeros(len(start), np.int64) for k in range(3)]
    for word in range(per_bx):
        wanted[start + word, 0] = 1
        if word >= per_bx - len(payload):
            wanted[start + word, 1] = payload[word - (per_bx - len(payload))]
    wanted[start, 0] |= 4
    wanted[start[expected.bx == 0], 0] |= 2
    wrong = np.flatnonzero((recorded.lane != wanted[: len(recorded.lane)]).any(axis=1))
    if not len(wrong):
        return []
    line = int(wrong[0])
    slot = max(int(np.searchsorted(start, line, side="right")) - 1, 0)
    where = "before any decision"
    if len(start):
        where = f"orbit {int(expected.orbit[slot])} BX {int(expected.bx[slot])}, word {line - int(start[slot])}"
    found, want = recorded.lane[line], wanted[line]
    values = " vs ".join(f"{int(word):#010x} flags {int(flags):03b}" for flags, word in (found, want))
    return [f"RTL != emulator: output lane at {len(wrong)}/{len(recorded.lane)} clocks; first at {where}, {values}"]


def expect_readout(firmware: Firmware, run: TopRun, recorded: Recorded, expected: Expected) -> Readout:
    """Credits, derandomiser and losses, from the decisions and from the lines at which packets ended."""
    readout = firmware.timing.readout
    out = expected.line + firmware.latency
    leaves = np.arange(len(out) - readout["latency_bx"])  # slots that leave the ring
    at = out[readout["latency_bx"] :] if len(leaves) > 0 else out[:0]
    own = expected.decided.l1a
    pins = np.append(run.lines.l1a, np.zeros(max(recorded.lines - len(run.lines), 0) + 1, np.bool_))
    accepted = pins[at] if run.l1a_source else own[: len(at)]
    slot, moved = np.flatnonzero(accepted), at[accepted] + 1
    ended = recorded.words[recorded.words[:, 1] == 1, 0]
    taken, occupied = np.zeros(len(slot), np.bool_), np.zeros(len(slot), np.int64)
    overflow = np.zeros(len(slot), np.bool_)
    pushed, lost_before = 0, False
    for i, line in enumerate(moved.tolist()):
        occupied[i] = pushed - int(np.searchsorted(ended, line))  # packets that ended at an earlier line
        taken[i] = occupied[i] < readout["derandomiser"]
        overflow[i], lost_before = lost_before, not taken[i]
        pushed += int(taken[i])
    # the state of the readout in a line, from what happened in the lines before it
    asked = out - BUSY_LAG
    held = np.searchsorted(moved[taken], asked) - np.searchsorted(ended, asked)
    if not run.l1a_source:
        accepts = out[own]
        left = np.searchsorted(at[own[: len(at)]] + 1, asked)
        held += np.searchsorted(accepts, asked) - left
    busy = (held >= run.busy_level) & (not run.ignore_busy)
    return Readout(slot, np.arange(1, len(slot) + 1), moved, taken, occupied, overflow, busy)


def check_packets(firmware: Firmware, run: TopRun, recorded: Recorded, received: Received, expected: Expected,
                  readout: Readout) -> tuple[Packets | None, list[str]]:  # fmt: skip
    """Every packet in full. What is still on its way at the end of the run is not asked for."""
    words = recorded.words
    ends = np.flatnonzero(words[:, 1] == 1)
    stream = words[: ends[-1] + 1 if len(ends) else 0, 2].astype("<u4").tobytes()
    try:
        packets = read_packets(stream, firmware.trigger)
    except Ad40Error as error:
        return None, [f"readout: {error}"]
    n = len(packets)
    if n != len(ends):
        return packets, [f"readout: tlast {len(ends)} times in {n} packets"]
    slots = readout.slot[readout.taken]
    due = int((readout.moved[readout.taken] < len(run.lines) - 100 * firmware.timing.clocks_per_bx).sum())
    if not due <= n <= len(slots):
        return packets, [f"readout: {n} packets came out, {due} to {len(slots)} were expected"]
    slots = slots[:n]
    decided = expected.decided
    event = received.words[slots]
    event = np.where(objects.present(objects.unpack(event)), event, np.uint64(0))
    flags = readout.overflow[readout.taken][:n] * FLAG_OVERFLOW + expected.bad[slots] * FLAG_LINK
    flags = flags + (FLAG_EXTERNAL if run.l1a_source else 0)
    wanted = {
        "orbit": expected.orbit[slots],
        "bx": expected.bx[slots],
        "l1a": readout.number[readout.taken][:n],
        "flags": flags,
        "hw_score": expected.scores[slots],
        "seeds_before": seed_bits(decided.before[slots]),
        "seeds_after": seed_bits(decided.after[slots]),
        "words": event,
    }
    for name, want in wanted.items():
        found = getattr(packets, name)
        wrong = found != want
        wrong = wrong.any(axis=1) if wrong.ndim > 1 else wrong
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            return packets, [f"RTL != emulator: {name} in {int(wrong.sum())}/{n} packets; first in packet {k}, "
                             f"{found[k]} vs {want[k]}"]  # fmt: skip
    return packets, []


def check_actions(judged: Judged, firmware: Firmware) -> list[str]:
    """Counters as the host read them, latched by a snapshot or by the start of a lumi section; and status."""
    faults: list[str] = []
    recorded = judged.recorded
    latches = np.sort(np.concatenate([recorded.strobes["snapshot"], recorded.strobes["lumi_start"]]))
    for action in recorded.actions:
        if action["action"] == "counters":
            latched = latches[latches <= action["ended"]]
            wanted = counters_at(judged, firmware, int(latched[-1]))
            found = {k: v if isinstance(v, list) else [v] for k, v in action["result"].items()}
            if set(found) != set(wanted):
                faults.append(f"counters {sorted(set(found) ^ set(wanted))} are not both read and expected")
                continue
            faults += compare_counters(found, wanted, 32)
        if action["action"] == "status" and not action["result"]["sts_aligned"]:
            faults.append("sts_aligned is 0 while orbits run")
    return faults


def counters_at(judged: Judged, firmware: Firmware, line: int) -> dict[str, list[int]]:
    """Every counter as it stands in a line: what happened in the lines before it, not wrapped."""
    run, recorded, received = judged.run, judged.recorded, judged.received
    expected, readout = judged.expected, judged.readout
    out = expected.line + firmware.latency
    slots = int(np.searchsorted(out, line))
    series = counts(expected.decided, expected.mask(), expected.bad, expected.busy)
    wanted = {
        name: np.atleast_1d(values[slots - 1] if slots else np.zeros_like(values[0])).tolist()
        for name, values in series.items()
    }
    frames = received.frame[: int(np.searchsorted(received.clock, line))]
    for name, kind in (("cnt_corrupted", CORRUPTED), ("cnt_late", LATE), ("cnt_missing", MISSING)):
        wanted[name] = (frames == kind).sum(axis=0).tolist()
    wanted["cnt_resync"] = [sum(clock < line for clock in received.resyncs)]
    ended = recorded.words[recorded.words[:, 1] == 1, 0]
    wanted["cnt_packets"] = [int((ended < line).sum())]
    wanted["cnt_overflow"] = [int((~readout.taken & (readout.moved < line)).sum())]
    if run.preset:
        for name in PRESET_COUNTERS:
            wanted[name] = [PRESET + count for count in wanted[name]]
    return wanted
