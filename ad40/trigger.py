"""`ad40 trigger`: stream an event file through emulator and menu, keep what fires."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40 import defaults, record
from ad40.errors import InputError
from ad40.events import open_events
from ad40.files import file_hash
from ad40.menu import Menu, MenuState
from ad40.model import Trigger, read_trigger
from ad40.progress import Progress

HELP = "run the trigger over an event file and write a TriggerRecord"
EPILOG = """\
Reads ADC2021 HDF5 or hardware samples of any size in bounded memory, one event per bunch crossing.
example: ad40 trigger training/sample/background.h5 --model models/ad40 --output build/kept.h5"""
CHUNK = 32768  # events in memory at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", type=Path, metavar="EVENTS.h5", help="event file")
    defaults.add_board_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="RECORD.h5", help="TriggerRecord to write")
    parser.add_argument(
        "--column", nargs="+", default=[], metavar="[LUMI:]NAME",
        help="prescale column, from a lumi section on; by default the first of the menu throughout",
    )  # fmt: skip
    parser.add_argument("--run", type=int, default=1, dest="run_number", help="run number to record (default 1)")


def trigger(
    events: Path, board: Trigger, output: Path, run_number: int = 1, schedule: Mapping[int, int] | None = None
) -> dict[str, Any]:
    """Write the TriggerRecord of `events` and return its summary. schedule: lumi section -> prescale column."""
    if not 0 <= run_number < 1 << 32:
        raise InputError("command line", "--run", run_number, "0 to 4294967295")
    state = MenuState(board.menu, schedule=schedule)
    with open_events(events) as file:
        source = {
            "file": events.name,
            "sha256": file_hash(events),
            "events": file.n,
            "attributes": file.attributes,
        }
        kinds = {
            name: file.column(name, 0, 0).dtype
            for name in file.columns
            if name not in (*record.COLUMNS, *record.score_columns(board))
        }
        with (
            record.Writer(output, board, source, kinds) as writer,
            Progress(file.n, "trigger") as bar,
        ):
            for start, codes in file.chunks(CHUNK):
                score = board.score(codes)
                extra = {name: file.column(name, start, start + len(codes)) for name in kinds}
                writer.append(codes, score, state.decide(score), extra, run_number)
                bar.update(len(codes))
        return writer.summary() | {"saturated": file.saturated}


def parse_schedule(entries: Sequence[str], menu: Menu) -> dict[int, int]:
    """Lumi section -> column of entries such as `tight` (from the first on) or `5:tight`."""
    schedule: dict[int, int] = {}
    for entry in entries:
        lumi, _, name = entry.rpartition(":")
        if lumi and not (lumi.isdecimal() and int(lumi) > 0):
            raise InputError("command line", "--column", entry, "NAME or LUMI:NAME, lumi sections from 1")
        schedule[int(lumi or 1)] = menu.column(name)
    return schedule


def run(args: argparse.Namespace) -> dict[str, Any]:
    start = time.monotonic()
    board = read_trigger(args.model, args.menu)
    summary = trigger(args.events, board, args.output, args.run_number, parse_schedule(args.column, board.menu))
    seen = max(summary["events_seen"], 1)
    print(f"{summary['events_kept']:,} of {summary['events_seen']:,} events kept in {args.output}")
    for seed in summary["seeds"]:
        print(f"  {seed['name']:<14} score >= {seed['threshold']:<6} {seed['before']:>9,} fired"
              f"  {seed['after']:>9,} passed  {seed['after'] / seen:.3%}")  # fmt: skip
    return summary | {"output": str(args.output), "seconds": time.monotonic() - start}
