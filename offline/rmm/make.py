"""`ad40 rmm`: files of events to an event table, and a look at it: pictures, event classes."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError, OutputError
from ad40.files import writable_folder
from offline import classes, table
from offline.objects.nanoaod import Options
from offline.objects.read import open_objects
from offline.objects.selection import SEVEN, STREAMS, Cuts
from offline.objects.spectra import JET_X, TRIGGER
from offline.rmm.layout import Layout

_CUTS = Cuts()
_SETS = {"jetx": JET_X, "trigger": TRIGGER}

HELP = "rapidity-mass matrices of events: files of objects to an event table, pictures of it, its event classes"
EPILOG = f"""\
FILES of one sample: offline event files (`ad40 generate --offline`), TriggerRecords (`ad40 trigger`; with --events, the
offline objects of the events they kept), LHE (.lhe, .lhe.gz), slim ntuples of ADFilter and NanoAOD (both .root). The
table TABLE.h5 is what the search reads: for each event of at least one stream its rapidity-mass matrix (cells that are
not zero), its masses, streams and columns. With a finished table as the only FILE, and no --output, it is looked at.

The matrix (arXiv:1805.11650) has a row and a column for MET and for each object. Above the diagonal: masses of pairs;
below: differences in rapidity; first row: transverse masses with MET; diagonal: transverse energy. Cells have names:
m(j1,mu1), h(j1,mu1), mT(mu1), hL(j1), ET(j1), dET(j2), MET. Masses and energies are divided by the energy of the
collision. By default it is the 36 x 36 matrix of PRL 132 (2024) 081801: 10 jets, 10 b-jets, 5 muons, 5 electrons, 5
photons; a network is trained on 1,287 of its 1,296 cells, without the nine masses that are searched.

Streams: {"; ".join(f"{s.name}: {s.description}" for s in STREAMS.values())}.

examples:
  ad40 rmm build/offline.h5 --output build/table.h5 --remove-jets-that-are-leptons
  ad40 rmm build/run/kept.h5 --output build/kept_table.h5 --streams any --spectra trigger --pt-min 0 --met-min 0 \\
      --eta-max 5 --remove-jets-that-are-leptons
  ad40 rmm signal.lhe.gz --output build/signal.h5 --counts jet=6,photon=2 --cross-section 0.02
  ad40 rmm build/table.h5 --pictures build/pictures --row 0 --row 17 --classes build/classes.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="events of one sample, or one event table")
    parser.add_argument("--output", type=Path, metavar="TABLE.h5", help="the event table to write")
    parser.add_argument("--events", type=Path, metavar="OFFLINE.h5", help="for one TriggerRecord: its offline objects")
    what = parser.add_argument_group("what the table holds")
    what.add_argument("--streams", default=",".join(SEVEN), metavar="NAME,...", help="default %(default)s; see below")
    text = "masses: names such as jj, bmu, jjmu, or a set: jetx (nine pairs), trigger (pairs of hardware objects)"
    what.add_argument("--spectra", default="jetx", metavar="NAME,...", help=text + "; default %(default)s")
    text = "slots of each type of object: jet, bjet, muon, electron, photon; default jet=10,bjet=10,muon=5,..."
    what.add_argument("--counts", default="", metavar="TYPE=N,...", help=text)
    cuts = parser.add_argument_group("which objects count")
    cuts.add_argument("--pt-min", type=float, default=_CUTS.pt_min, metavar="GEV", help="default %(default)g")
    cuts.add_argument(
        "--eta-max", type=float, default=_CUTS.eta_max, metavar="X", help="of abs(eta); default %(default)g"
    )
    text = "a smaller missing pt becomes 0; default %(default)g"
    cuts.add_argument("--met-min", type=float, default=_CUTS.met_min, metavar="GEV", help=text)
    text = "drop jets that are made of a lepton or photon: for TriggerRecords and `ad40 generate`"
    cuts.add_argument("--remove-jets-that-are-leptons", action="store_true", help=text)
    text = "keep events that share a generated collision (column parent); otherwise the first of each stays"
    cuts.add_argument("--keep-copies", action="store_true", help=text)
    text = "of the sample, where its files do not say"
    parser.add_argument("--cross-section", type=float, metavar="PB", help=text)
    nano = parser.add_argument_group("NanoAOD")
    nano.add_argument("--btag", metavar="BRANCH:X", help="a jet at or above X in this branch is a b-jet")
    text = "leave out objects below X in this branch, such as Muon_tightId:1; may be repeated"
    nano.add_argument("--require", action="append", default=[], metavar="BRANCH:X", help=text)
    nano.add_argument("--met", default="MET", metavar="NAME", help="branches NAME_pt and NAME_phi; default %(default)s")
    look = parser.add_argument_group("a look at the table")
    text = "draw the average matrix of each stream into DIR, as PNG and as data (YAML of HEPData)"
    look.add_argument("--pictures", type=Path, metavar="DIR", help=text)
    text = "draw the event in this row of the table, too; may be repeated"
    look.add_argument("--row", type=int, action="append", default=[], metavar="N", help=text)
    text = "write the event classes that the sample populates, and print how many are possible"
    look.add_argument("--classes", type=Path, metavar="FILE.csv", help=text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the table, draw, count. Returns the document of the table and what was found in it."""
    _check(args)
    summary: dict[str, Any] = {}
    path = args.output or args.files[0]
    if args.output is not None:
        start = time.monotonic()
        document = _write(args)
        seconds = time.monotonic() - start
        read = document["cutflow"][0][1] + document["copies_dropped"]
        summary = {"seconds": seconds, "events_per_s": read / max(seconds, 1e-9), "bytes": path.stat().st_size}
    with table.open_table(path) as found:
        summary = {"table": str(path), "sha256": found.sha256, **found.attributes, **summary}
        _print(found)
        if args.classes is not None:
            summary["classes"] = _classes(found, args.classes)
        if args.pictures is not None:
            summary["pictures"] = _draw(found, args.pictures, args.row)
    return summary


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before any work."""
    looked = args.pictures is not None or args.classes is not None
    if args.row and args.pictures is None:
        raise InputError("command line", "--row", args.row[0], "with --pictures DIR")
    missing = [path for path in args.files if not path.is_file()]
    if missing:
        raise InputError(missing[0], "file", "missing", "a file of events or an event table")
    tables = [path for path in args.files if table.is_table(path)]
    if args.output is None:
        if tables != args.files or len(tables) != 1:
            raise InputError("command line", "--output", "missing", "TABLE.h5, to make a table; or one finished table")
        if not looked:
            raise InputError("command line", "options", "none", "--pictures or --classes, for a finished table")
    elif tables:
        raise InputError(
            tables[0], "content", "an event table", "events; a finished table is looked at without --output"
        )
    if args.events is not None and len(args.files) != 1:
        raise InputError("command line", "--events", args.events, "with one TriggerRecord only")
    if args.pictures is not None:
        if args.pictures.exists() and not args.pictures.is_dir():
            raise OutputError(args.pictures, "it is a file; a folder is needed")
        writable_folder(args.pictures)


def _write(args: argparse.Namespace) -> dict[str, Any]:
    layout = Layout.parse(args.counts)
    cuts = Cuts(**{field.name: getattr(args, field.name) for field in fields(Cuts)})
    names = [name for name in args.spectra.split(",") if name]
    spectra = list(
        dict.fromkeys(s for name in names for s in ([x.name for x in _SETS[name]] if name in _SETS else [name]))
    )
    with ExitStack() as stack:
        sources = [
            stack.enter_context(open_objects(path, events=args.events, counts=layout.counts, nanoaod=_nanoaod(args)))
            for path in args.files
        ]
        return table.write(
            args.output, sources, streams=[name for name in args.streams.split(",") if name], spectra=spectra,
            layout=layout, cuts=cuts, copies=args.keep_copies, cross_section_pb=args.cross_section,
        )  # fmt: skip


def _nanoaod(args: argparse.Namespace) -> Options | None:
    if args.btag is None:
        if args.require:
            raise InputError("command line", "--require", args.require[0], "with --btag, for NanoAOD")
        return None
    (branch, threshold), *required = (_branch(text) for text in (args.btag, *args.require))
    return Options(branch, threshold, args.met, dict(required))


def _branch(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition(":")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(
            "command line", "branch", repr(text), "BRANCH:NUMBER, such as Jet_btagDeepFlavB:0.28"
        ) from None


def _print(found: table.Table) -> None:
    document = found.attributes
    files = ", ".join(source["file"] for source in document["sources"])
    pb = document["cross_section_pb"]
    print(f"{files}: {found.layout.width} x {found.layout.width} matrices at {found.sqrt_s / 1000:g} TeV, "
          f"cross-section {'not known' if pb is None else f'{pb:.4g} pb'}")  # fmt: skip
    if document["copies_dropped"]:
        print(f"{document['copies_dropped']:,} copies of generated collisions left out")
    print(f"  {'':<16}{'events':>12}{'sum of weights':>18}")
    for name, events, weight in document["cutflow"]:
        print(f"  {name:<16}{events:>12,}{weight:>18,.6g}")
    print(f"  {'mass':<16}{'events':>12}{'median [GeV]':>18}")
    for name in found.spectra:
        mass = found.mass(name)
        mass = mass[np.isfinite(mass)]
        print(f"  {name:<16}{len(mass):>12,}" + (f"{np.median(mass):>18,.0f}" if len(mass) else ""))
    print(f"table: {found.path}")


def _classes(found: table.Table, path: Path) -> dict[str, Any]:
    counted = classes.occupancy(classes.of_table(found), found.column("weight"))
    counted.write(path)
    summary = counted.summary()
    alone, types = summary["classes_of_one_event"], ", ".join(summary["types"])
    print(f"{summary['events']:,} events in {summary['classes']:,} event classes, {alone:,} of them with one event; "
          f"types: {types}")  # fmt: skip
    for title, row in summary["limits"].items():
        print(f"  {title}: {row['populated']:,} of {row['possible']:,} possible classes ({row['possible_here']:,} with "
              f"these types), {row['two_body_masses_populated']:,} of {row['two_body_masses']:,} two-body masses; "
              f"{row['populated_outside']:,} other classes with {row['events_outside']:,} events")  # fmt: skip
    print(f"  without limits, 2 to 20 objects of seven types: {summary['unlimited']:,} classes")
    print(f"classes: {path}")
    return summary


def _draw(found: table.Table, folder: Path, rows: list[int]) -> list[str]:
    """The average of all events and of each stream that has some, and single events: their files."""
    from offline.figures import hepdata
    from offline.figures.style import save, style
    from offline.rmm import pictures

    sample = ", ".join(source["file"] for source in found.attributes["sources"])
    drawings: dict[str, Any] = {f"rmm_event_{row}": pictures.event(found, row) for row in rows}
    drawings["rmm_average"] = pictures.average(found, sample)
    for name in found.streams if len(found.streams) > 1 else ():
        chosen = found.stream(name)
        if chosen.any():
            drawings[f"rmm_average_{name}"] = pictures.average(found, f"{sample}, stream {name}", chosen)
    written = []
    with style():
        for name, drawing in drawings.items():
            hepdata.write(folder / f"{name}.yaml", drawing.table())
            save(drawing.draw(), folder / f"{name}.png", found.sha256)
            written.append(str(folder / f"{name}.png"))
    print(f"pictures: {len(written)} in {folder}")
    return written
