"""`ad40 score`: the anomaly score of every event, and what the anomaly regions keep.

Reads an event table, or event files of any kind: of these it makes a table with the selection that the model was
trained with. So the acceptance of a published region for a new model takes its event file, the folder of the network
and `--region`. (NanoAOD must be told what a b-jet is: make its table with `ad40 rmm`.) Beside the score file FILE.h5
it leaves FILE.log, which says what was read and what was kept; scores of event files hold also the masses, streams and
columns of the table, which is temporary unless --table names it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import __version__
from ad40.errors import Ad40Error, InputError
from ad40.files import atomic_path, writable_folder
from ad40.stream import cores
from offline import regions as anomaly
from offline import scores
from offline import table as event_table
from offline.autoencoder.model import Trained, read
from offline.autoencoder.stability import StabilityFigure, stability
from offline.autoencoder.streaming import score_table, write_table
from offline.objects.spectra import bin_edges, spectrum
from offline.regions import ALL, Region, Regions
from offline.table import Table

HELP = "anomaly score of events; what the anomaly regions keep of them"
EPILOG = """examples:
  ad40 score build/autoencoder build/data.h5 --output build/scores.h5 --luminosity 140    scores and regions of data
  ad40 score build/autoencoder mymodel.lhe.gz --output build/mymodel.h5 --region 10pb     acceptance for a model"""
_MASSES = (35.0, 13156.0)  # range of the histograms [GeV]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="folder of a network (ad40 autoencoder)")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="event table, or event files of one sample")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.h5", help="score file to write")
    parser.add_argument("--table", type=Path, metavar="TABLE.h5", help="keep the event table of event files here")
    parser.add_argument("--events", type=Path, metavar="FILE.h5", help="offline event file that a record came from")
    parser.add_argument("--region", action="append", default=[], metavar="NAME",
                        help="a region of the document by name, or a threshold on the score; may be repeated"
                        " (default: all of the document)")  # fmt: skip
    parser.add_argument("--regions", type=Path, metavar="FILE.json",
                        help=f"document of the regions (default: MODEL_DIR/{anomaly.FILE})")  # fmt: skip
    parser.add_argument("--luminosity", type=float, metavar="FB",
                        help="define regions on these events, data of so many 1/fb; write the document")  # fmt: skip
    parser.add_argument("--cross-sections", type=_numbers, default=anomaly.PUBLISHED_PB, metavar="PB,...",
                        help="of the regions to define [pb] (default: 10,1,0.1)")  # fmt: skip
    parser.add_argument("--stability", type=Path, metavar="DIR",
                        help="pictures of the median score against run, lumi section and pileup")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",") if part)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, write the score file and the log, return the summary."""
    start = time.monotonic()
    is_table = _check(args)
    trained = read(args.model)
    document = args.regions or args.model / anomaly.FILE
    wanted = None if args.luminosity is not None else _wanted(args.region, document, trained)
    with ExitStack() as stack:
        path = args.files[0]
        if not is_table:
            path = args.table
            if path is None:
                path = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=args.output.parent))) / "table.h5"
            write_table(path, args.files, trained, args.events)
        table = stack.enter_context(event_table.open_table(path))
        differences = trained.check(table)
        temporary = not is_table and args.table is None
        score_table(table, trained, args.output, args.threads or cores(), keep=temporary)
        found = scores.read(args.output, table)
        made = Regions(wanted or (), {})
        if args.luminosity is not None:
            made = define(found, table, trained, args.luminosity, args.cross_sections, document)
        summary = {
            "version": __version__,
            "model": {"folder": str(args.model), "name": trained.name, "hash": trained.hash},
            "files": [str(file) for file in args.files],
            "events": table.n,
            "training_events": int(found.training.sum()),
            "differences": differences,
            "cutflow": table.attributes["cutflow"],
            "regions": [_region(region, found, table) for region in (ALL, *made.regions)],
            "refused": made.refused,
            "masses": mass_histograms(table, found, made.regions),
        }
        if args.stability is not None:
            summary["stability"] = draw_stability(table, found, args.stability)
    summary["seconds"] = round(time.monotonic() - start, 1)
    text = report(summary)
    with atomic_path(args.output.with_suffix(".log")) as log:
        log.write_text(text, encoding="utf-8")
    print(text, end="")
    return summary


def _check(args: argparse.Namespace) -> bool:
    """Refuse what cannot work before any work. Returns whether the input is an event table."""
    for path in args.files:
        if not path.is_file():
            raise InputError(path, "file", "missing", "an event table, or events")
    tables = [path for path in args.files if event_table.is_table(path)]
    if tables and len(args.files) > 1:
        raise InputError(tables[0], "content", "an event table", "the only file; or event files")
    for option, value in (("--table", args.table), ("--events", args.events)):
        if tables and value is not None:
            raise InputError("command line", option, value, "only with event files")
    if args.threads is not None and args.threads < 1:
        raise InputError("command line", "--threads", args.threads, "at least 1")
    if args.luminosity is not None:
        anomaly.check_numbers(args.luminosity, args.cross_sections)
        if args.region:
            raise InputError("command line", "--region", args.region[0], "without --luminosity, which makes regions")
    if args.output.resolve() in {path.resolve() for path in args.files}:
        raise InputError("command line", "--output", args.output, "another file than the input")
    writable_folder(args.output.parent)
    return bool(tables)


def _wanted(names: Sequence[str], document: Path, trained: Trained) -> tuple[Region, ...]:
    """The regions asked for, all of the document when none is. Raises `Ad40Error` on a name that it does not have."""
    known = {region.name: region for region in anomaly.read(document, trained.hash)} if document.is_file() else {}
    if not names:
        return tuple(known.values())
    chosen = []
    for name in names:
        try:
            chosen.append(known.get(name) or Region(name, None, float(name)))
        except ValueError as error:
            where = ", ".join(known) or f"none, {document} does not exist"
            raise Ad40Error(f"--region is '{name}'; expected a threshold or one of: {where}") from error
        if not np.isfinite(chosen[-1].threshold):
            raise Ad40Error(f"--region is '{name}'; expected a finite threshold")
    return tuple(chosen)


def define(
    found: scores.Scores, table: Table, trained: Trained, luminosity_fb: float, cross_sections_pb: Sequence[float],
    document: Path,
) -> Regions:  # fmt: skip
    """Define the regions on the events that the network was not trained on, and write their document."""
    use = found.searched
    weight = table.column("weight")[use]
    made = anomaly.by_cross_section(found.score[use], weight, luminosity_fb, cross_sections_pb, found.correction)
    anomaly.write(document, made, model=trained.hash, table=table.sha256, luminosity_fb=luminosity_fb,
                  correction=found.correction)  # fmt: skip
    return made


def _region(region: Region, found: scores.Scores, table: Table) -> dict[str, Any]:
    """What a region keeps in each stream, of all events read and of those in the stream."""
    use = found.searched
    weight, inside = table.column("weight")[use], region.keeps(found.score[use])
    _, events, total = table.attributes["cutflow"][0]
    read = events * found.correction, total * found.correction
    streams = {}
    for name in table.streams:
        here = table.stream(name)[use]
        streams[name] = {
            "of_read": anomaly.acceptance(inside & here, weight, read).summary,
            "of_stream": anomaly.acceptance(inside[here], weight[here]).summary,
        }
    threshold = region.threshold if np.isfinite(region.threshold) else None
    return {"name": region.name, "cross_section_pb": region.cross_section_pb, "threshold": threshold,
            "streams": streams}  # fmt: skip


def mass_histograms(table: Table, found: scores.Scores, regions: Sequence[Region]) -> dict[str, Any]:
    """Sums of weights in mass bins of each spectrum: all events, and those of each region. Not the training sample."""
    weight, out = table.column("weight"), {}
    for name in table.spectra:
        edges = bin_edges(spectrum(name), *_MASSES, resolution="published")
        mass = table.mass(name)
        histograms = {}
        for region in (ALL, *regions):
            use = found.searched & ~np.isnan(mass) & region.keeps(found.score)
            histograms[region.name] = np.histogram(mass[use], edges, weights=weight[use])[0].tolist()
        out[name] = {"edges": edges.tolist(), "counts": histograms}
    return out


def draw_stability(table: Table, found: scores.Scores, folder: Path) -> list[dict[str, Any]]:
    """Stability against run, lumi section and pileup: pictures and data in a folder; figures of each."""
    from offline.figures.book import Book

    book, out = Book(folder), []
    axes = {"run": "run", "lumi": "lumi section", "pileup": "collisions overlaid"}
    for name, axis in axes.items():
        result = stability(found.score[found.searched], table.column(name)[found.searched], name)
        out.append(result.summary)
        if result.reason is None:
            figure = StabilityFigure(result, found.attributes["quantity"], axis, None, table.sqrt_s)
            book.add(f"stability_{name}", figure, f"Score against {axis}",
                     f"Median of {found.attributes['quantity']} in groups of {axis}; dashed: their mean.")  # fmt: skip
    book.finish(1, "Stability of the anomaly score")
    return out


def report(summary: dict[str, Any]) -> str:
    """The log: what was read and what was kept."""
    model = summary["model"]
    lines = [
        f"ad40 {summary['version']}, network {model['name']} {model['hash'][:12]} in {model['folder']}",
        "files: " + ", ".join(summary["files"]),
        f"events scored: {summary['events']:,}, of which the network was trained on {summary['training_events']:,}",
        *(f"differs from the training: {text}" for text in summary["differences"]),
        "",
        f"{'cut flow':<24}{'events':>12}{'weights':>14}",
        *(f"{name:<24}{events:>12,}{weight:>14.6g}" for name, events, weight in summary["cutflow"]),
        "",
        f"{'region':<12}{'ln loss >=':>10}  {'stream':<10}{'kept':>10}{'of the stream':>32}{'of all read':>32}",
    ]
    for region in summary["regions"]:
        threshold = "-" if region["threshold"] is None else f"{region['threshold']:.3f}"
        for stream, kept in region["streams"].items():
            of_stream, of_read = (_interval(kept[key]["acceptance"]) for key in ("of_stream", "of_read"))
            lines.append(f"{region['name']:<12}{threshold:>10}  {stream:<10}{kept['of_stream']['kept']:>10,}"
                         f"{of_stream:>32}{of_read:>32}")  # fmt: skip
    lines += [f"no region {name}: {reason}" for name, reason in summary["refused"].items()]
    for row in summary.get("stability", []):
        text = row["reason"] or f"chi2 {row['chi2']:.1f} for {row['degrees']} degrees of freedom, p {row['p']:.2g}"
        lines.append(f"stability against {row['quantity']}: {text}")
    lines.append(f"{summary['seconds']:.1f} s")
    return "\n".join(lines) + "\n"


def _interval(interval: Sequence[float]) -> str:
    low, value, high = (100 * x for x in interval)
    return f"{value:.4g} % ({low:.4g}, {high:.4g})"
