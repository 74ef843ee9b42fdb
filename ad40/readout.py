"""`ad40 readout`: the packets that a board sent become the TriggerRecord that `ad40 trigger` writes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, objects, record, spec
from ad40.errors import InputError
from ad40.files import read_json
from ad40.menu import Menu
from ad40.model import Trigger, read_trigger
from ad40.packets import Packets, read_packets
from ad40.progress import Progress
from ad40.schema import Node

HELP = "turn readout packets into a TriggerRecord"
EPILOG = """\
COUNTERS.json tells what the packets of accepted events cannot: slots and firings of the whole run, and its source:
  {"run": 1, "events_seen": 3564, "seeds": [{"name": "AD40_Tight", "before": 4, "after": 4}, ...], "source": {...}}
example: ad40 readout packets.bin --model models/ad40_v1 --counters counters.json --output kept.h5"""
_CHUNK = 32768  # events written at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packets", type=Path, metavar="PACKETS.bin", help="packets, four bytes a word, lowest first")
    defaults.add_board_options(parser)
    parser.add_argument("--counters", type=Path, required=True, metavar="COUNTERS.json",
                        help="counters of the board at the end of the run")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="RECORD.h5", help="TriggerRecord to write")


@dataclass(frozen=True)
class Counters:
    """What a run counted. before, after: firings of each seed int64 (seeds,); source: where its events came from."""

    run: int
    events_seen: int
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    source: dict[str, Any]

    def to_dict(self, menu: Menu) -> dict[str, Any]:
        """The document form."""
        rows = zip(menu.seeds, self.before.tolist(), self.after.tolist(), strict=True)
        seeds = [{"name": seed.name, "before": before, "after": after} for seed, before, after in rows]
        return {"run": self.run, "events_seen": self.events_seen, "seeds": seeds, "source": self.source}


def read_counters(path: str | Path, menu: Menu) -> Counters:
    """Read a counters document. Raises `SpecError` with the path inside it where it does not fit the menu."""
    node = Node(read_json(path), path)
    node.keys({"run", "events_seen", "seeds", "source"})
    seen = node["events_seen"].integer(0, 1 << 62)
    children = list(node["seeds"])
    if len(children) != len(menu.seeds):
        raise node["seeds"].fault(f"the {len(menu.seeds)} seeds of the menu")
    counts: list[tuple[int, int]] = []
    for child, seed in zip(children, menu.seeds, strict=True):
        child.keys({"name", "before", "after"})
        if child["name"].value != seed.name:
            raise child["name"].fault(f"'{seed.name}', as in the menu")
        before = child["before"].integer(0, seen)
        counts.append((before, child["after"].integer(0, before)))
    if not isinstance(node["source"].value, dict):
        raise node["source"].fault("a mapping")
    before, after = np.array(counts, np.int64).T
    return Counters(node["run"].integer(0, (1 << 32) - 1), seen, before, after, node["source"].value)


def lost_events(packets: Packets, file: str = "packets") -> int:
    """Accepted events that the board dropped because its buffer was full, as the numbers of the accepts tell.

    Raises `InputError` when packets are missing or out of order without the board having said so.
    """
    orbit_bx = spec.latency().orbit_bx
    slot = packets.orbit.astype(np.int64) * orbit_bx + packets.bx
    late = np.flatnonzero(np.diff(slot) <= 0)
    if len(late):
        at = int(late[0]) + 1
        raise InputError(file, f"packet {at}, orbit and BX", f"{packets.orbit[at]}, {packets.bx[at]}",
                         f"later than {packets.orbit[at - 1]}, {packets.bx[at - 1]} of the packet before")  # fmt: skip
    previous = np.append(np.uint32(0), packets.l1a[:-1])
    gap = (packets.l1a - previous).astype(np.int64) - 1  # uint32 wraps as the counter does
    unsaid = np.flatnonzero((gap != 0) != packets.flagged("overflow"))
    if len(unsaid):
        at = int(unsaid[0])
        flag = "with" if packets.flagged("overflow")[at] else "without"
        raise InputError(file, f"packet {at}, number of the accept",
                         f"{packets.l1a[at]} after {previous[at]} {flag} the overflow flag",
                         "the next number, or a gap that is flagged")  # fmt: skip
    return int(gap.sum())


def write_record(output: str | Path, packets: Packets, counters: Counters, trigger: Trigger) -> dict[str, Any]:
    """Write the TriggerRecord of accepted events and return its summary."""
    slot = packets.orbit.astype(np.int64) * spec.latency().orbit_bx + packets.bx
    with record.Writer(output, trigger, counters.source, {}) as writer, Progress(len(packets), "readout") as bar:
        writer.count(counters.events_seen, counters.before, counters.after)
        for start in range(0, len(packets), _CHUNK):
            part = packets.at(slice(start, start + _CHUNK))
            writer.keep(
                slot[start : start + _CHUNK],
                objects.unpack(part.words),
                part.hw_score,
                part.seeds_before,
                part.seeds_after,
                {},
                counters.run,
            )
            bar.update(len(part))
        return writer.summary()


def run(args: argparse.Namespace) -> dict[str, Any]:
    board = read_trigger(args.model, args.menu)
    counters = read_counters(args.counters, board.menu)
    packets = read_packets(args.packets, board)
    lost = lost_events(packets, str(args.packets))
    _hold_against(packets, counters, board.menu, args.counters)
    summary = write_record(args.output, packets, counters, board)
    faulty, external = (int(packets.flagged(name).sum()) for name in ("link_error", "external"))
    print(f"{len(packets):,} of {counters.events_seen:,} events kept in {args.output}")
    notes = {
        "accepted events lost because the buffer of the board was full": lost,
        "events with a fault on the links": faulty,
        "events accepted from outside": external,
    }
    for text, count in notes.items():
        if count:
            print(f"  {count:,} {text}")
    return summary | {"output": str(args.output), "lost": lost, "link_errors": faulty, "external": external}


def _hold_against(packets: Packets, counters: Counters, menu: Menu, file: Path) -> None:
    """Refuse counters that saw less than the packets show: they are of another run."""
    if len(packets) > counters.events_seen:
        raise InputError(file, "events_seen", counters.events_seen, f"at least {len(packets)}, the packets")
    for name, masks, counts in (("before", packets.seeds_before, counters.before),
                                ("after", packets.seeds_after, counters.after)):  # fmt: skip
        for i, seed in enumerate(menu.seeds):
            found = int((masks >> np.uint32(i) & 1).sum())
            if found > counts[i]:
                raise InputError(file, f"seeds[{i}].{name} of {seed.name}", int(counts[i]),
                                 f"at least {found}, as in the packets")  # fmt: skip
