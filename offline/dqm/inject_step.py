"""`ad40 dqm inject`: an event file with a fault from some lumi section on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import objects
from ad40.errors import InputError
from ad40.events import open_events, write_hw_sample
from offline.dqm import faults
from offline.dqm.options import lepton_pt_of

HELP = "write an event file with a fault of the detector or of the links in it"
EPILOG = """\
What is not chosen (place, sign, lanes) is drawn from the seed and printed. The output carries the columns run and lumi.
example: ad40 dqm inject training/sample/background.h5 --fault "hot tower" --per-lumi 1425 --from 20 --output bad.h5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="EVENTS.h5", help="event file (no TriggerRecord)")
    parser.add_argument("--fault", choices=faults.NAMES, required=True)
    sizes = ", ".join(f"{name} {faults.SIZES[name]:g} {faults.UNITS[name]}".rstrip() for name in faults.NAMES[:4])
    parser.add_argument("--size", type=float, help=f"default: {sizes}".replace("%", "%%"))
    parser.add_argument("--eta", type=float, help="of a hot tower")
    parser.add_argument("--phi", type=float, help="of a hot tower, or where a sector begins [rad]")
    parser.add_argument("--lanes", nargs=2, metavar="LANE", help="names of spec/links.yaml")
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="LUMI", help="first lumi section with it")
    parser.add_argument("--per-lumi", type=int, required=True, metavar="N", help="events of a lumi section")
    parser.add_argument("--events", type=int, metavar="N", help="only the first so many events")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5")
    parser.add_argument("--seed", type=int, default=40, help="of all random numbers (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the file; returns what was done."""
    for name, least in (("per_lumi", 1), ("first", 1), ("seed", 0)):
        if getattr(args, name) < least:
            option = {"per_lumi": "--per-lumi", "first": "--from", "seed": "--seed"}[name]
            raise InputError("command line", option, getattr(args, name), f"at least {least}")
    rng = np.random.default_rng([args.seed, 4])
    chosen = {name: getattr(args, name) for name in ("eta", "phi", "lanes") if getattr(args, name) is not None}
    fault = faults.make(args.fault, rng, args.size, **chosen)
    with open_events(args.file) as file:
        if file.kind == "record":
            raise InputError(args.file, "file", "a TriggerRecord", "events of which no trigger has chosen some")
        n = file.n if args.events is None else min(args.events, file.n)
        codes = np.empty((n, objects.N_OBJECTS, objects.N_FEATURES), np.int32)
        for start, block in file.chunks(stop=n):
            codes[start : start + len(block)] = block
        columns = {name: file.column(name, 0, n) for name in file.columns if name not in ("run", "lumi")}
        attributes = dict(file.attributes)
    lumi = (np.arange(n) // args.per_lumi + 1).astype(np.uint32)
    begin = min((args.first - 1) * args.per_lumi, n)
    if begin >= n:
        raise InputError("command line", "--from", args.first, f"at most {int(lumi[-1]) if n else 0}")
    codes[begin:] = fault.apply(codes[begin:], rng)
    kept = np.ones(n, np.bool_)
    kept[begin:] = faults.in_stream(codes[begin:], lepton_pt_of(attributes))
    columns = {name: column[kept] for name, column in columns.items()}
    columns |= {"run": np.ones(int(kept.sum()), np.uint32), "lumi": lumi[kept]}
    about = {"name": fault.name, "from_lumi": args.first, "seed": args.seed, **fault.about}
    write_hw_sample(args.output, codes[kept], columns, attributes | {"fault": about})
    print(f"{fault.name} from lumi section {args.first}: {fault.about}; {int(kept.sum()):,} of {n:,} events left in "
          f"{args.output}")  # fmt: skip
    return {"output": str(args.output), "fault": about, "events": int(kept.sum()), "events_read": n}
