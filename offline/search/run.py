"""`ad40 search`: a whole search for resonances, from files of events to a page, as one YAML document says.

A TriggerRecord in the place of the document is searched with the shipped `offline/analyses/trigger.yaml`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ad40.errors import Ad40Error, InputError
from ad40.files import read_json
from offline.search import chain, document, sample
from offline.search.analysis import SHIPPED, Analysis
from offline.search.chain import Context
from offline.search.stages import NAMES, STAGES
from offline.search.summary import verdict

HELP = f"""search for resonances, as an analysis document says, or in a TriggerRecord

The document (YAML) names streams, masses, bins, background functions, the anomaly score and what is to be done. Shipped
in offline/analyses/, and named without folder or ending: {", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))}.

Stages: {" -> ".join(NAMES)}.

  table        events to rapidity-mass matrices, masses and streams      DIR/tables/
  autoencoder  the network, trained on a small part of the data          DIR/autoencoder/
  scores       the anomaly score of every event                          DIR/scores/
  regions      thresholds that keep given cross-sections; acceptance, improvement
  spectra      mass histograms of every stream, mass and region
  fits         background of each: function, parameters, goodness
  hunt         largest excesses, with pseudo-experiments that refit every background
  limits       CLs limits on Gaussian signals
  scan         the search at many thresholds, with the look-elsewhere effect of the scan in p
  report       search.html, search.json, plots/ (PNG), data/ (YAML of HEPData)

Each leaves DIR/STAGE.json and is reused by a later run if nothing that it depends on has changed, so that an
interrupted search goes on, and another number of pseudo-experiments does not train a network again."""

EPILOG = """examples:
  ad40 search build/run/kept.h5 --output build/search
  ad40 search build/run/kept.h5 --inject build/run/kept_resonance.h5:400 --output build/search_injected
  ad40 search jetx --data build/offline.h5 --signal leptoquark=build/lq.h5 --output build/jetx --jobs 2
  ad40 search my_analysis.yaml --output build/mine --until fits

What cannot be searched (a spectrum with too few events, a fit that does not converge, a region larger than the sample)
is said in the page and in search.json, and the rest goes on."""

TRIGGER = "trigger"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("what", metavar="ANALYSIS.yaml|RECORD.h5", help="analysis document, or a record (ad40 trigger)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for everything")
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="FILE", action="extend",
                        help="event files to search, in place of those of the document")  # fmt: skip
    parser.add_argument("--signal", action="append", default=[], metavar="NAME=FILE",
                        help="events of a signal, to see what the regions keep of it; may be repeated")  # fmt: skip
    parser.add_argument("--inject", metavar="FILE:N", help="add N events of another file to the data, at random")
    parser.add_argument("--pseudo-experiments", type=int, metavar="N", help="of hunt and scan; default: the document's")
    parser.add_argument("--seed", type=int, help="of all random numbers; default: the document's")
    parser.add_argument("--until", choices=NAMES, default=NAMES[-1], metavar="STAGE", help="last stage to do")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: cores, %(default)s"
    )
    parser.add_argument("--cluster", metavar="WHERE", help="address of a Dask scheduler for the scan, or 'local'")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search, print the result. Returns the content of search.json, or the result of the last stage done."""
    if args.jobs < 1:
        raise InputError("command line", "--jobs", args.jobs, "1 or more")
    injection = sample.parse_injection(args.inject) if args.inject is not None else None
    analysis = read(args)
    inputs = sample.check(analysis, injection)
    context = Context(analysis, args.output, args.jobs,
                      {"injection": injection, "inputs": inputs, "cluster": args.cluster})  # fmt: skip
    chain.run(STAGES, context, args.until)
    if args.until != NAMES[-1]:
        left_out = context.skipped.get(args.until)
        where = f"left out, {left_out}" if left_out else str(args.output / f"{args.until}.json")
        print(f"done until {args.until}: {where}")
        return {"stage": args.until, "result": context.results.get(args.until), "skipped": context.skipped}
    summary: dict[str, Any] = read_json(args.output / "search.json")
    show(summary, args.output)
    return summary


def read(args: argparse.Namespace) -> Analysis:
    """The analysis that the command line asks for: a document, a shipped one by name, or a record to search."""
    given = Path(args.what)
    shipped = SHIPPED / f"{args.what}.yaml"
    data = tuple(args.data)
    if given.suffix in (".yaml", ".yml"):
        path = given
    elif shipped.is_file() and not given.is_file():
        path = shipped
    else:
        if not given.is_file():
            names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
            raise InputError(given, "analysis or record", "not there", f"a file, or a shipped analysis: {names}")
        if data:
            raise InputError("command line", "--data", data[0], f"an analysis document in the place of {given}")
        path, data = SHIPPED / f"{TRIGGER}.yaml", (given,)
    signals = []
    for text in args.signal:
        name, _, file = text.partition("=")
        if not name or not file:
            raise Ad40Error(f"--signal is '{text}'; expected NAME=FILE")
        signals.append((name, Path(file)))
    return document.read(path, data, tuple(signals), args.pseudo_experiments, args.seed)


def show(summary: dict[str, Any], folder: Path, most: int = 20) -> None:
    """Print the spectra, the largest excesses first, and the verdict."""
    injected = summary["injected"]["events"] if summary["injected"] else "none"
    print(f"{summary['events_searched']:,} events, {summary['copies_dropped']:,} copies dropped, injected: {injected}")
    rows = summary["spectra"]
    scanned = [r for r in rows if r["status"] == "scanned"]
    skipped = [r for r in rows if r["status"] == "skipped"]
    if len(rows) > most:
        scanned.sort(key=lambda r: -r["local_z"])
    width = max([11, *(len(_name(r)) + 1 for r in scanned[:most])])
    head = ("entries", 8), ("fit range", 13), ("fit p", 8), ("window", 12), ("obs", 6), ("exp", 9), ("local", 7)
    print(f"{'spectrum':{width}}" + "".join(f"{name:>{size}}" for name, size in head) + f"{'global p':>10}")
    for r in scanned[:most]:
        ranges = [f"{a:.0f}-{b:.0f}" for a, b in (r["fit_range"], r["window"])]
        note = "" if r["described"] else "  not described by the fit: no claim from it"
        print(
            f"{_name(r):{width}}{r['entries']:>8}{ranges[0]:>13}{r['gof_p']:>8.2g}{ranges[1]:>12}{r['observed']:>6.0f}"
            f"{r['expected']:>9.1f}{r['local_z']:>7.2f}{r['global_p']:>10.2g}{note}"
        )
    if len(scanned) > most:
        print(f"... and {len(scanned) - most} more; {len(skipped)} left out")
    elif len(rows) > most:
        print(f"{len(skipped)} spectra left out")
    else:
        for r in skipped:
            print(f"{_name(r):{width}}  skipped: {r['reason']}")
    print(verdict(summary))
    print(f"written: {folder / 'search.html'}, {folder / 'search.json'}")


def _name(row: dict[str, Any]) -> str:
    return str(row["label"]) if row["name"] == row["mass"] else f"{row['label']} {row['name'].partition(' ')[2]}"
