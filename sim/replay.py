"""Pattern files through the whole block: what the output lane of the firmware carries, held against the emulator."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, patterns, spec, ugt
from ad40.errors import CheckError, InputError
from ad40.files import atomic_path, write_json
from ad40.frames import Pattern
from ad40.menu import Decision, MenuState
from ad40.readout import Counters
from sim import top
from sim.firmware import Firmware
from sim.judge import Judged, judge
from sim.reference import Lines

FAULTS = "firmware and emulator differ"


def lines_of(pattern: Pattern) -> Lines:
    """The lanes of a pattern clock by clock; clocks that its strobe marks as repetitions are left out."""
    new = slice(None) if pattern.strobe is None else pattern.strobe[:, 0]
    kept = pattern.at(new)
    return Lines(kept.data.astype(np.uint32), kept.valid, kept.start_of_orbit, kept.start_of_packet, kept.error,
                 np.zeros(len(kept), np.bool_))  # fmt: skip


def captured(judged: Judged, slots: int, board: str, per_bx: int) -> Pattern:
    """The output lane of the first slots as a pattern of one link."""
    lane = judged.recorded.lane
    start = int(np.flatnonzero(lane[:, 0] & 1)[0]) if len(lane) and (lane[:, 0] & 1).any() else 0
    part = lane[start : start + slots * per_bx]
    flags = [(part[:, 0] >> bit & 1).astype(np.bool_)[:, None] for bit in range(3)]
    ends = np.append(flags[2][1:], [[True]], axis=0) & flags[0]
    return Pattern(
        data=part[:, 1:].astype(np.uint64),
        valid=flags[0],
        start_of_orbit=flags[1],
        start_of_packet=flags[2],
        end_of_packet=ends,
        error=np.zeros((len(part), 1), np.bool_),
        links=(0,),
        board=board,
    )


def decision_of(lane: Pattern, per_bx: int, seeds: int) -> Decision:
    """The decisions that an output lane carries."""
    frames = lane.data[:, 0].reshape(-1, per_bx)[:, -spec.links().payload_words :].astype(np.int64)
    bits = np.arange(seeds)
    before, after = ((frames[:, word, None] >> bits & 1).astype(np.bool_) for word in (1, 2))
    head = frames[:, 0]
    return Decision(before, after, (head >> 29 & 1).astype(np.bool_), (head >> 31 & 1).astype(np.bool_))


def play(firmware: Firmware, pattern: Pattern, scratch: Path, seed: int) -> Judged:
    """Play a pattern with the menu as compiled; nothing holds accepts back."""
    lines = lines_of(pattern).padded(top.TAIL_BX * firmware.timing.clocks_per_bx)
    n_lanes = len(firmware.lane_names)
    last = len(lines) - 150 * firmware.timing.clocks_per_bx
    run = top.TopRun("patterns", lines, firmware.trigger.menu, (True,) * n_lanes, ignore_busy=1,
                     actions=((last, "counters", None),))  # fmt: skip
    folder = top.simulate(firmware, [run], scratch, seed)
    judged = judge(firmware, run, 0, folder)
    top.remove(folder, 0)
    return judged


def run(firmware: Firmware, args: argparse.Namespace) -> dict[str, Any]:
    """`ad40 simulate FW --patterns FILE`."""
    timing, trigger = firmware.timing, firmware.trigger
    form, given = patterns.read_any(args.patterns)
    if isinstance(given, ugt.Vectors):
        words, bad, name = ugt.to_words(given), np.zeros(len(given), np.bool_), "ad40"
        pattern = patterns.from_words(words, timing)
    else:
        received = patterns.receive(given, str(args.patterns))
        words, bad, name, pattern = received.words, received.bad, given.board, given
        if received.clocks_per_bx != timing.clocks_per_bx:
            raise InputError(args.patterns, "clocks per BX", received.clocks_per_bx,
                             f"{timing.clocks_per_bx}, those of the firmware ({timing.name})")  # fmt: skip
    judged = play(firmware, pattern, args.firmware / "simulation", args.seed)
    n = len(words)
    score = trigger.score(objects.unpack(words))
    decision = MenuState(trigger.menu).decide(score, bad)
    lane = captured(judged, n, name, timing.clocks_per_bx)
    wanted = patterns.from_decisions(decision, score, timing, bad, name)
    faults = [judged.result.first, *judged.result.faults] if not judged.result.ok else []
    faults += compare(lane, wanted, timing.clocks_per_bx)
    faults += (
        [f"the receivers of bench and emulator differ in {int(x)} slots"]
        if (x := differing(judged, words, bad))
        else []
    )
    summary = summarise(firmware, judged, lane, args, form, n)
    if args.output:
        if isinstance(given, ugt.Vectors):
            found = decision_of(lane, timing.clocks_per_bx, len(trigger.menu.seeds))
            patterns.write(args.output, ugt.with_decision(given, found))
        else:
            patterns.write(args.output, lane, form)
    if args.packets:
        write_packets(args.packets, judged)
    if args.counters:
        write_counters(args.counters, firmware, judged, args.patterns, n)
    print(f"{n:,} bunch crossings from {args.patterns} ({form}), {summary['accepted']:,} accepted, "
          f"{int(bad.sum()):,} with a fault on the links")  # fmt: skip
    if faults:
        raise CheckError("\n".join(faults), summary)
    print("output lane and emulator are equal")
    return summary


def differing(judged: Judged, words: NDArray[np.uint64], bad: NDArray[np.bool_]) -> int:
    """Slots in which the two receivers in Python part."""
    n = len(words)
    mine = judged.received
    return int(((mine.words[:n] != words).any(axis=1) | (mine.bad[:n] != bad)).sum())


def compare(found: Pattern, wanted: Pattern, per_bx: int) -> list[str]:
    """The captured lane against that of the emulator, in full."""
    if len(found) != len(wanted):
        return [f"RTL != emulator: {len(found)} clocks on the output lane, {len(wanted)} expected"]
    wrong = (
        (found.data != wanted.data) | (found.valid != wanted.valid) | (found.start_of_orbit != wanted.start_of_orbit)
    )
    wrong |= (found.start_of_packet != wanted.start_of_packet) | (found.end_of_packet != wanted.end_of_packet)
    if not wrong.any():
        return []
    clock = int(np.flatnonzero(wrong[:, 0])[0])
    values = f"{int(found.data[clock, 0]):#010x} vs {int(wanted.data[clock, 0]):#010x}"
    where = f"first at BX {clock // per_bx}, word {clock % per_bx}, {values}"
    return [f"RTL != emulator: output lane at {int(wrong.sum())}/{len(wrong)} clocks; {where}"]


def summarise(
    firmware: Firmware, judged: Judged, lane: Pattern, args: argparse.Namespace, form: str, n: int
) -> dict[str, Any]:
    timing, result = firmware.timing, judged.result
    found = decision_of(lane, timing.clocks_per_bx, len(firmware.trigger.menu.seeds))
    return {
        "patterns": str(args.patterns),
        "format": form,
        "events": n,
        "seed": args.seed,
        "accepted": int(found.l1a.sum()),
        "requests": int(found.request.sum()),
        "packets": 0 if judged.packets is None else len(judged.packets),
        "mismatches": result.mismatches,
        "scenarios": [result.to_dict()],
        "latency": {
            "cycles": result.latency[1],
            "ns": result.latency[1] * timing.cycle_ns,
            "budget_ns": timing.budget_ns,
            "constant": result.latency[0] == result.latency[1],
        },
        "output": str(args.output) if args.output else None,
    }


def write_packets(path: Path, judged: Judged) -> None:
    """The words of the readout as bytes, lowest first, up to the end of the last whole packet."""
    words = judged.recorded.words
    ends = np.flatnonzero(words[:, 1] == 1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(words[: ends[-1] + 1 if len(ends) else 0, 2].astype("<u4").tobytes())


def write_counters(path: Path, firmware: Firmware, judged: Judged, source: Path, n: int) -> None:
    """Firings of the first n slots, counted from the decisions that the device made."""
    columns, seeds = judged.recorded.observed.columns, len(firmware.trigger.menu.seeds)
    before, after = (
        np.array([int((columns[f"m_seeds_{name}"][:n] >> i & 1).sum()) for i in range(seeds)])
        for name in ("before", "after")
    )
    document = Counters(1, n, before, after, {"file": source.name, "events": n})
    write_json(path, document.to_dict(firmware.trigger.menu))
