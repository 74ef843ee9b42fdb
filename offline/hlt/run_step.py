"""`ad40 hlt run`: a TriggerRecord through the stage: scores, decisions, and a record of what it keeps."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ad40 import hlt
from ad40.errors import InputError
from ad40.progress import Progress
from offline.hlt.accepted import open_record
from offline.hlt.stage import Stage, read

HELP = "run the stage over a TriggerRecord and write what it keeps"
EPILOG = """The output is a TriggerRecord with the columns hlt_score, hlt_accept and hlt_pass_through. Events are scored
one by one, so that a decision depends on nothing but its event.
example: ad40 hlt run build/stage build/kept.h5 --output build/hlt_kept.h5 --all build/hlt_all.h5"""
BLOCK = 16384  # events in memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("stage", type=Path, metavar="STAGE_DIR", help="folder of the stage (ad40 hlt menu)")
    parser.add_argument("record", type=Path, metavar="KEPT.h5", help="TriggerRecord (ad40 trigger)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="record of the events kept")
    parser.add_argument("--all", type=Path, dest="every", metavar="FILE.h5",
                        help="also write a record with the rejected events, too")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, decide, write; returns the document of the stage."""
    paths = [path.resolve() for path in (args.record, args.output, args.every) if path is not None]
    if len(set(paths)) != len(paths):
        raise InputError("command line", "output", args.output, "a file for each output, other than the input")
    start = time.monotonic()
    summary = apply(read(args.stage), args.record, args.output, args.every)
    stage = summary[hlt.KEY]
    print(f"{stage['events_in']:,} events in; {stage['accepted']:,} with a score of {stage['threshold']:.6g} or more, "
          f"{stage['passed_through']:,} whatever their score; {stage['kept']:,} kept")  # fmt: skip
    print("written: " + ", ".join(str(path) for path in (args.output, args.every) if path is not None))
    return {"output": str(args.output), **summary, "seconds": time.monotonic() - start}


def apply(stage: Stage, record: Path, output: Path, every: Path | None = None) -> dict[str, Any]:
    """Write the record of what the stage keeps, and with `every` that of all events; both or none. In bounded memory.

    Returns the document of the first. Raises `InputError`, `HashMismatch` for a record of another trigger.
    """
    with open_record(record) as file, ExitStack() as outputs:
        stage.check(record, file.attributes)
        writers = [
            outputs.enter_context(hlt.Writer(path, file, stage.menu.about(), rejected_too))
            for path, rejected_too in ((output, False), (every, True))
            if path is not None
        ]
        with Progress(file.n, "hlt") as bar:
            for first, codes in file.chunks(BLOCK):
                stop = first + len(codes)
                score = stage.scorer.score(codes)
                decision = stage.menu.decide(score, file.column("run", first, stop), file.column("event", first, stop))
                for writer in writers:
                    writer.append(first, codes, score, *decision)
                bar.update(len(codes))
        return writers[0].summary()
