"""`ad40 jets events`: events of particles as an event file, which the trigger and the searches read.

The trigger sees anti-kt jets of R = 0.4 and the missing pt; there are no leptons, because the particles of these files
have no identity. The offline objects are the large-radius jets of `ad40 jets cluster`, with masses: m(j1, j2) of a
search is their dijet mass. Row k is event k of the file of particles, and so is the column `event` of whatever is made
of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import offline_events
from ad40.errors import InputError
from ad40.events import write_adc2021
from ad40.progress import Progress
from offline.jets import lhco
from offline.jets.cluster import Clustering, cluster, require
from offline.jets.jets import Jets
from offline.jets.lhco import Events
from offline.jets.substructure import Grooming

HELP = "events of the LHC Olympics (or of `ad40 generate lhco`) as an event file for `ad40 trigger` and `ad40 search`"
EPILOG = """example, from particles to a search with the score of a jet model as its anomaly axis (docs/jets.md):
  ad40 jets events lhco.h5 --output build/events.h5
  ad40 trigger build/events.h5 --output build/kept.h5
  ad40 jets cluster lhco.h5 --record build/kept.h5 --output build/kept_jets.h5"""

PARTICLES = "particles"
"""Attribute of the event file: file, sha256, ... of the particles (`offline.jets.lhco.Source.attributes`)."""

_MET, _JETS, _OBJECTS = 0, 9, 19  # slots of `Particles`
_BLOCK = 2000  # events at a time

Floats = NDArray[np.float32]


def trigger_jets() -> Clustering:
    """The jets that the trigger sees, as those of `ad40 generate`: R = 0.4, pt > 15 GeV, |eta| < 4."""
    return Clustering(15.0, 4.0, _OBJECTS - _JETS, Grooming(radius=0.4))


def large_jets() -> Clustering:
    """The offline jets: those of `ad40 jets cluster`, more of an event."""
    return Clustering(jets=offline_events.COUNTS["jet"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="FILE", help="events of particles")
    parser.add_argument("--output", type=Path, required=True, metavar="EVENTS.h5", help="event file to write")
    parser.add_argument("--events", type=int, metavar="N", help="the first N events (default: all)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the event file, return the summary. Raises `InputError`, `OutputError`, `MissingTool`."""
    if args.events is not None and args.events < 1:
        raise InputError("command line", "--events", args.events, "at least 1")
    if args.output.resolve() == args.file.resolve():
        raise InputError("command line", "--output", args.output, "a file that is not the input")
    require()
    with lhco.open_source(args.file) as source:
        if not isinstance(source, lhco.EventsFile):
            raise InputError(args.file, "kind", source.kind, "events of particles: missing pt needs all of them")
        n = min(source.n, args.events or source.n)
        parts = []
        with Progress(n, "events") as progress:
            for start in range(0, n, _BLOCK):
                events = source.read(start, min(start + _BLOCK, n))
                parts.append((*objects_of(events), events.label))
                progress.update(len(events))
        seen, jets, label = (np.concatenate(column) for column in zip(*parts, strict=True))
        about = {
            "sample": "particles", PARTICLES: source.attributes, "stand_in": source.stand_in,
            "jets": {"trigger": trigger_jets().document, "offline": large_jets().document},
        }  # fmt: skip
        extra = {"label": label} if source.labelled else {}
    arrays: dict[str, Any] = {k: np.zeros((n, *shape), np.float32) for k, shape in offline_events.SHAPES.items()}
    arrays["jet"], arrays["met"] = jets, seen[:, _MET][:, [0, 2]]
    write_adc2021(args.output, seen, extra, about, lambda file: offline_events.write_offline(file, arrays, {}))
    print(f"{args.output}: {n:,} events")
    return {"output": str(args.output), "events": n, **about}


def objects_of(events: Events) -> tuple[Floats, Floats]:
    """What the trigger sees of n events, float32 (n, 19, 3) pt, eta, phi, and large jets, (n, 10, 4) with mass."""
    n = len(events)
    seen = np.zeros((n, _OBJECTS, 3), np.float32)
    pt, _, phi = events.particles.T.astype(np.float64)
    owner = np.repeat(np.arange(n), np.diff(events.offsets))
    x, y = (0.0 - np.bincount(owner, pt * f(phi), n) for f in (np.cos, np.sin))  # no negative zeros
    seen[:, _MET, 0], seen[:, _MET, 2] = np.hypot(x, y), np.arctan2(y, x)
    small = cluster(events, trigger_jets(), structure=False)
    seen[small.event - events.first, _JETS + small.which.astype(int)] = small.jet[:, :3]
    return seen, _slots(cluster(events, large_jets(), structure=False), events)


def _slots(jets: Jets, events: Events) -> Floats:
    out = np.zeros((len(events), offline_events.COUNTS["jet"], 4), np.float32)
    out[jets.event - events.first, jets.which.astype(int)] = jets.jet[:, :4]
    return out
