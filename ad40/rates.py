"""`ad40 rates`: what a model would do to recorded events: scores, rates, and what it adds to the standard menu."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, spec, workers
from ad40.cli import load
from ad40.errors import InputError, OutputError
from ad40.files import atomic_path, writable_folder, write_json
from ad40.metrics import Interval, rate_hz, wilson
from ad40.model import Trigger, read_trigger
from ad40.tally import Columns, Counts, Tally, tally

HELP = "scores, rates and overlap with the standard menu on recorded events, by sample, lumi section and pileup"
EPILOG = """\
Reads parquet of the CMS Level-1 data set, ADC2021 HDF5, hardware samples, TriggerRecords and pattern files, and writes
DIR/rates.json and DIR/rates.txt. A sample is the folder of a parquet file, else the name that the file gives.
Rates are before prescale. Zero-bias data (label 0): fraction x colliding bunches x revolutions per second; the bunches
are those seen in column bx, or --bunches. Samples of processes with cross-sections: cross-section x filter efficiency x
luminosity x fraction. Other samples have fractions only. docs/analyst.md explains.
example: ad40 rates data/ZB_run398183/*.parquet data/haa-4b-ma15/*.parquet --output build/zb --plots"""
SEEN_OFTEN = 20  # events for each bunch crossing, so that practically none is unseen: exp(-20)
BINS = 1024  # at most, of a score distribution
Kilohertz = list[float] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="event files")
    defaults.add_board_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--bunches", type=int, metavar="N", help="colliding bunches of the orbit, for rates")
    parser.add_argument("--plots", action="store_true", help="draw the figures too, into DIR/plots")
    workers.add_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    orbit = spec.latency().orbit_bx
    if args.bunches is not None and not 1 <= args.bunches <= orbit:
        raise InputError("command line", "--bunches", args.bunches, f"1 to {orbit}")
    if args.output.exists() and not args.output.is_dir():
        raise OutputError(args.output, "it is a file; a folder is needed")
    pictures = load("offline.report.rates", "offline") if args.plots else None
    board = read_trigger(args.model, args.menu)
    writable_folder(args.output)
    files = workers.ordered(args.files)
    threads = {"threads": 1} if len(files) > 1 or args.cluster else {}
    jobs = [workers.Job(tally, file, None, {"board": board, **threads}) for file in files]
    done, failures = workers.run_all(jobs, args.cluster, args.workers, args.retries)
    samples: dict[str, Tally] = {}
    for _, one in done:
        samples[one.sample] = samples[one.sample] + one if one.sample in samples else one
    document = summarise(samples, board, args.bunches)
    text = table(document)
    print(text, end="")
    if pictures is not None:
        document["plots"] = pictures.draw(document, args.output / "plots")
    write_json(args.output / "rates.json", document | {"failed": [str(failure.file) for failure in failures]})
    with atomic_path(args.output / "rates.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"written: {args.output / 'rates.json'}")
    return workers.conclude(document, failures)


def summarise(samples: dict[str, Tally], board: Trigger, bunches: int | None = None) -> dict[str, Any]:
    """The document of rates.json. bunches: colliding bunches, where the files do not tell or tell wrong."""
    latency, ladder = spec.latency(), spec.ladder()
    return {
        "models": [{"name": n.name, "version": n.version, "hash": n.hash} for n in board.networks],
        "menu_hash": board.menu.hash,
        "spec_hash": board.menu.spec_hash,
        "orbit_hz": latency.orbit_hz,
        "luminosity_cm2s": ladder.luminosity_cm2s,
        "samples": [_sample(one, board, bunches) for _, one in sorted(samples.items())],
    }


def _sample(one: Tally, board: Trigger, bunches: int | None) -> dict[str, Any]:
    columns, seeds = Columns(len(board.menu.seeds)), board.menu.seeds
    total = one.counts["all"].values.sum(axis=0)
    n = int(total[columns.events])
    what = _what(one)
    scale = _Scale(one, columns, what, bunches)
    rows = []
    for i, seed in enumerate([*seeds, None]):
        fired, both = columns.fired(i), columns.both(i)
        row: dict[str, Any] = (
            {"name": seed.name, "model": seed.model, "threshold": seed.threshold} if seed else {"name": "any"}
        )
        row |= {
            "fired": int(total[fired]),
            "fraction": list(wilson(int(total[fired]), n)),
            "rate_khz": scale.khz(fired),
        }
        if one.standard:
            pure = int(total[fired] - total[both])
            row |= {
                "overlap": int(total[both]),
                "overlap_fraction": list(wilson(int(total[both]), int(total[fired]))),
                "pure": pure,
                "pure_fraction": list(wilson(pure, n)),
                "pure_rate_khz": scale.khz(fired, minus=both),
            }
        rows.append(row)
    result: dict[str, Any] = {
        "sample": one.sample, "kind": one.kind, "what": what, "files": list(one.files), "events": n,
        "dropped": sum(entry["dropped"] for entry in one.files), "rate": scale.document, "seeds": rows,
    }  # fmt: skip
    if one.standard:
        accepted = int(total[columns.standard])
        result["standard_menu"] = {"accepted": accepted, "fraction": list(wilson(accepted, n)),
                                   "rate_khz": scale.khz(columns.standard)}  # fmt: skip
    result["scores"] = [_scores(network.name, one.counts[f"score:{network.name}"], columns, one.standard)
                        for network in board.networks]  # fmt: skip
    names = [seed.name for seed in seeds]
    if "lumi" in one.counts:
        keys = one.counts["lumi"].keys
        where = {"run": (keys >> 32).tolist(), "lumi": (keys & 0xFFFFFFFF).tolist()}
        result["by_lumi"] = where | _by(one, "lumi", columns, names)
    if "pileup" in one.counts:
        result["by_pileup"] = {"n_pv": one.counts["pileup"].keys.tolist()} | _by(one, "pileup", columns, names)
    return result


def _what(one: Tally) -> str:
    """What the events are: by the label of the data set, else by the kind of file."""
    if one.kind == "record":
        return "accepted events"
    labels = one.counts["label"].keys if "label" in one.counts else np.zeros(0, np.int64)
    if len(labels):
        for name, these in (("zero bias", labels == 0), ("simulated collisions", labels < 0), ("signal", labels > 0)):
            if these.all():
                return name
        return "events of several labels"
    return "processes" if "processes" in one.attributes and "process" in one.counts else "events"


class _Scale:
    """From fractions to kHz, where a sample tells how."""

    def __init__(self, one: Tally, columns: Columns, what: str, bunches: int | None) -> None:
        self._one, self._columns = one, columns
        self._hz: float | None = None
        self._weights: dict[int, float] | None = None
        if what == "zero bias" or (what == "simulated collisions" and bunches):
            self.document = self._zero_bias(one, columns, bunches)
        elif what == "processes":
            luminosity = spec.ladder().luminosity_cm2s
            self._weights = {p["code"]: rate_hz(p["filtered_cross_section_pb"], 1.0, luminosity)
                             for p in one.attributes["processes"].values()}  # fmt: skip
            self.document = {"formula": "sum of cross-section x filter efficiency x luminosity x fraction",
                             "luminosity_cm2s": luminosity}  # fmt: skip
        else:
            self.document = {"formula": None, "why": f"{what}: no cross-section and no zero-bias trigger"}

    def _zero_bias(self, one: Tally, columns: Columns, bunches: int | None) -> dict[str, Any]:
        source = "--bunches"
        if bunches is None:
            seen = one.counts.get("bx")
            n = int(seen.values[:, columns.events].sum()) if seen is not None else 0
            if seen is None or n < SEEN_OFTEN * len(seen.keys):
                why = (
                    "no column bx" if seen is None else f"{n} events in {len(seen.keys)} bunch crossings may miss some"
                )
                return {"formula": None, "why": f"colliding bunches unknown ({why}); give --bunches"}
            bunches, source = len(seen.keys), "bunch crossings seen in column bx"
        self._hz = bunches * spec.latency().orbit_hz
        return {"formula": "fraction x colliding bunches x revolutions per second", "bunches": bunches,
                "bunches_from": source, "events_khz": self._hz / 1000}  # fmt: skip

    def khz(self, column: int, minus: int | None = None) -> Kilohertz:
        """[low, value, high] in kHz of what a column counts, less another column; None where there is no rate."""
        counts = self._one.counts["all" if self._weights is None else "process"]
        passed = counts.values[:, column] - (0 if minus is None else counts.values[:, minus])
        total = counts.values[:, self._columns.events]
        if self._hz is not None:
            return [self._hz * x / 1000 for x in wilson(int(passed.sum()), int(total.sum()))]
        if self._weights is None:
            return None
        parts: list[tuple[float, Interval]] = [
            (self._weights[key] / 1000, wilson(p, n))
            for key, p, n in zip(counts.keys.tolist(), passed.tolist(), total.tolist(), strict=True)
        ]
        value = sum(w * middle for w, (_, middle, _) in parts)
        down = math.sqrt(sum((w * (middle - low)) ** 2 for w, (low, middle, _) in parts))
        up = math.sqrt(sum((w * (high - middle)) ** 2 for w, (_, middle, high) in parts))
        return [max(value - down, 0.0), value, value + up]


def _scores(model: str, counts: Counts, columns: Columns, standard: bool) -> dict[str, Any]:
    """The distribution of the score of a model in bins of a power of two: first score of each bin, and events."""
    keys = counts.keys
    width = 1
    while len(keys) and keys[-1] // width >= BINS:
        width *= 2
    binned = Counts.of(keys // width, counts.values)
    result: dict[str, Any] = {"model": model, "bin_width": width, "low": (binned.keys * width).tolist(),
                              "events": binned.values[:, columns.events].tolist()}  # fmt: skip
    return result | ({"standard_menu": binned.values[:, columns.standard].tolist()} if standard else {})


def _by(one: Tally, axis: str, columns: Columns, names: Sequence[str]) -> dict[str, Any]:
    """Counts along an axis, lists of one length: events, standard menu, each seed and any, and what is pure of them."""
    values: NDArray[np.int64] = one.counts[axis].values
    fired = {name: values[:, columns.fired(i)].tolist() for i, name in enumerate([*names, "any"])}
    result: dict[str, Any] = {"events": values[:, columns.events].tolist(), "fired": fired}
    if one.standard:
        result["standard_menu"] = values[:, columns.standard].tolist()
        result["pure"] = {
            name: (values[:, columns.fired(i)] - values[:, columns.both(i)]).tolist()
            for i, name in enumerate([*names, "any"])
        }
    return result


def table(document: dict[str, Any]) -> str:
    """The document in words."""
    lines: list[str] = []
    for one in document["samples"]:
        files = f"{len(one['files'])} files" if len(one["files"]) > 1 else "1 file"
        left_out = f", {one['dropped']:,} left out" if one["dropped"] else ""
        lines.append(f"{one['sample']}: {one['what']}, {one['events']:,} events of {files}{left_out}")
        rate = one["rate"]
        if "bunches" in rate:
            lines.append(f"  rate = fraction x {rate['bunches']:,} bunches ({rate['bunches_from']})"
                         f" x {document['orbit_hz']:,} Hz = fraction x {rate['events_khz']:,.0f} kHz")  # fmt: skip
        elif rate["formula"]:
            lines.append(f"  rate = {rate['formula']}, {rate['luminosity_cm2s']:.1e} per cm2 and s")
        else:
            lines.append(f"  no rates: {rate['why']}")
        standard = one.get("standard_menu")
        if standard:
            lines.append(f"  standard menu accepts {standard['accepted']:,}"
                         f" ({_share(standard['fraction'])}){_khz(standard['rate_khz'], ', ', ' kHz')}")  # fmt: skip
        head = f"  {'seed':<16}{'score >=':>9}{'fired':>12}{'fraction [68 %]':>34}{'rate [kHz]':>30}"
        lines.append(head + (f"{'also standard':>15}{'pure':>12}{'pure rate [kHz]':>30}" if standard else ""))
        for row in one["seeds"]:
            line = f"  {row['name']:<16}{row.get('threshold', ''):>9}{row['fired']:>12,}{_share(row['fraction']):>34}"
            line += f"{_khz(row['rate_khz']):>30}"
            if standard:
                line += f"{row['overlap_fraction'][1] if row['fired'] else 0:>15.1%}{row['pure']:>12,}"
                line += f"{_khz(row['pure_rate_khz']):>30}"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _share(interval: Sequence[float]) -> str:
    low, value, high = (_short(x) for x in interval)
    return f"{value} [{low}, {high}]"


def _khz(interval: Kilohertz, before: str = "", after: str = "") -> str:
    return "" if interval is None else f"{before}{_share(interval)}{after}"


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"
