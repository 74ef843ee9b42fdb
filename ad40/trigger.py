"""`ad40 trigger`: stream event files through emulator and menu, keep what fires."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40 import defaults, merge, record, workers
from ad40.errors import InputError
from ad40.events import open_events
from ad40.files import file_hash
from ad40.menu import Menu, MenuState
from ad40.model import Trigger, read_trigger
from ad40.progress import Progress
from ad40.stream import scored

HELP = "run the trigger over event files and write a TriggerRecord"
EPILOG = """\
Reads ADC2021 HDF5, hardware samples and parquet of the CMS Level-1 data set of any size in bounded memory, one event
per bunch crossing. Of several files each is a run of its own: --run for the first in the order of their names, one
more for each next; prescale counters start anew. Their records go to OUTPUT/<folder>/<name>.h5, and all together, when
no file failed, to OUTPUT/kept.h5. docs/scale.md explains clusters.
examples: ad40 trigger training/sample/background.h5 --output build/kept.h5
          ad40 trigger ZB_run398183/*.parquet --output build/zb --workers 8"""
MERGED = "kept.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", type=Path, nargs="+", metavar="EVENTS", help="event files")
    defaults.add_board_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="OUTPUT",
                        help="TriggerRecord to write; of several files a folder")  # fmt: skip
    parser.add_argument(
        "--column", nargs="+", default=[], metavar="[LUMI:]NAME",
        help="prescale column, from a lumi section on; by default the first of the menu throughout",
    )  # fmt: skip
    parser.add_argument("--run", type=int, default=1, dest="run_number", help="run number to record (default 1)")
    workers.add_options(parser)


def trigger(
    events: Path,
    board: Trigger,
    output: Path,
    run_number: int = 1,
    schedule: Mapping[int, int] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Write the TriggerRecord of `events` and return its summary. schedule: lumi section -> prescale column."""
    if not 0 <= run_number < 1 << 32:
        raise InputError("command line", "--run", run_number, "0 to 4294967295")
    state = MenuState(board.menu, schedule=schedule)
    with open_events(events) as file:
        if file.kind == "record":
            raise InputError(events, "file", "a TriggerRecord", "events of which no trigger has chosen some")
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
            for block in scored(file, board, list(kinds), threads):
                writer.append(block.codes, block.score, state.decide(block.score), block.columns, run_number)
                bar.update(len(block.codes))
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


def _job(file: Path, output: Path, **options: Any) -> dict[str, Any]:
    """One file of several, on one thread: the parallel work is that of the files."""
    return trigger(file, output=output, threads=1, **options)


def _many(args: argparse.Namespace, board: Trigger, schedule: dict[int, int]) -> dict[str, Any]:
    """A record of each file, and all of them in one."""
    if not args.output.is_dir() and args.output.exists():
        raise InputError(args.output, "output", "a file", "a folder, for several files of events")
    files = workers.ordered(args.events)
    (args.output / MERGED).unlink(missing_ok=True)  # one from before would look like that of these files
    jobs = [
        workers.Job(_job, file, workers.output_of(file, args.output),
                    {"board": board, "run_number": args.run_number + i, "schedule": schedule})
        for i, file in enumerate(files)
    ]  # fmt: skip
    done, failures = workers.run_all(jobs, args.cluster, args.workers, args.retries)
    parts = [(file, summary, workers.output_of(file, args.output)) for file, summary in done]
    summary: dict[str, Any] = {
        "files": [{"file": str(file), "output": str(part), **s} for file, s, part in parts],
    }
    if failures:
        return workers.conclude(summary, failures)
    merged = merge.merge([part for _, _, part in parts], args.output / MERGED, board)
    return workers.conclude(merged | summary | {"output": str(args.output / MERGED)}, failures)


def run(args: argparse.Namespace) -> dict[str, Any]:
    start = time.monotonic()
    board = read_trigger(args.model, args.menu)
    schedule = parse_schedule(args.column, board.menu)
    if len(args.events) == 1 and args.cluster is None:
        summary = trigger(args.events[0], board, args.output, args.run_number, schedule)
        summary["output"] = str(args.output)
    else:
        summary = _many(args, board, schedule)
    seen = max(summary["events_seen"], 1)
    print(f"{summary['events_kept']:,} of {summary['events_seen']:,} events kept in {summary['output']}")
    for seed in summary["seeds"]:
        print(f"  {seed['name']:<14} score >= {seed['threshold']:<6} {seed['before']:>9,} fired"
              f"  {seed['after']:>9,} passed  {seed['after'] / seen:.3%}")  # fmt: skip
    return summary | {"seconds": time.monotonic() - start}
