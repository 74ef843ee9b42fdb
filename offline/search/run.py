"""`ad40 search`: look for a resonance in the invariant masses of triggered events.

Reads a TriggerRecord, makes the spectra of `offline.masses.SPECTRA`, fits and scans them (`offline.hunt`), and
writes DIR/search.json and one picture per spectrum. `--inject` adds events of a second record, to test the search.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, record
from ad40.errors import Ad40Error, HashMismatch, InputError
from ad40.files import writable_folder, write_json
from ad40.progress import Progress
from offline.hunt import Hunt, Scanned, Skipped, hunt
from offline.masses import SPECTRA, Objects, masses
from offline.statistics import bumphunt, fit

HELP = "look for a resonance in the masses of triggered events"
EPILOG = "example: ad40 search build/run/record.h5 --inject build/run/resonance_record.h5:150 --output build/search"

CLAIM_SIGMA = 3.0
"""A bump is claimed when the global significance over all spectra reaches this."""

CLAIM_P = 1.349898e-3
"""One-sided p-value of `CLAIM_SIGMA`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("record", type=Path, metavar="RECORD.h5", help="TriggerRecord file (ad40 trigger)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for search.json and plots")
    parser.add_argument("--inject", metavar="RECORD.h5:N", help="add N events of another record, drawn at random")
    parser.add_argument("--pseudo-experiments", type=int, default=5000, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=40, help="of all random numbers; default %(default)s")


@dataclass(frozen=True)
class Sample:
    """Events to search: hardware codes (n, 19, 3) and where they came from."""

    codes: NDArray[np.integer]
    provenance: dict[str, Any]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search, write the output folder, print the result. Returns the content of search.json."""
    smallest = int(np.ceil(1 / CLAIM_P))
    if args.pseudo_experiments < smallest:
        raise Ad40Error(
            f"--pseudo-experiments is {args.pseudo_experiments}; expected at least {smallest}: "
            f"fewer cannot show {CLAIM_SIGMA:g} sigma"
        )
    draw, throw = (np.random.default_rng(s) for s in np.random.SeedSequence(args.seed).spawn(2))
    sample = read_sample(args, draw)
    writable_folder(args.output)
    found = Objects.from_codes(sample.codes)
    spectra, saturated = {}, {}
    for spectrum in SPECTRA:
        spectra[spectrum], saturated[spectrum.name] = masses(found, spectrum)
    with Progress(args.pseudo_experiments, "search", "pseudo-experiments") as progress:
        result = hunt(spectra, args.pseudo_experiments, throw, progress=progress.update)

    summary = summarise(result, saturated)
    summary = {"version": __version__, "seed": args.seed, **sample.provenance, **summary}
    from offline.plots import plot_spectrum  # matplotlib takes a second to import: after the input was accepted

    for row, r in zip(summary["spectra"], result.results, strict=True):
        if isinstance(r, Scanned):
            row["plot"] = _picture(r)
            plot_spectrum(r, args.output / row["plot"]["file"], _title(sample, r))
    write_json(args.output / "search.json", summary)
    _print(summary, args.output)
    return summary


def read_sample(args: argparse.Namespace, random: np.random.Generator) -> Sample:
    """Read the record, drop copies, inject: everything that can be refused is refused here."""
    main = record.read(args.record)
    keep = independent(main)
    codes = main.codes[keep]
    provenance: dict[str, Any] = {
        "record": str(args.record),
        "source": {name: main.attributes["source"][name] for name in ("file", "sha256")},
        "models": [{name: model[name] for name in ("name", "version")} for model in main.attributes["models"]],
        "hashes": hashes(main),
        "events_seen": main.attributes["events_seen"],
        "events_kept": len(main),
        "copies_dropped": len(main) - len(keep),
        "injected": None,
    }
    if args.inject is not None:
        path, n = parse_injection(args.inject)
        other = record.read(path)
        for name, value in hashes(other).items():
            if value != hashes(main)[name]:
                raise HashMismatch(path, f"hash of the {name}", value, f"{hashes(main)[name]} as in {args.record}")
        rows = independent(other)
        if n > len(rows):
            raise InputError(path, "independent events", len(rows), f"at least the {n} that --inject asks for")
        codes = np.concatenate([codes, other.codes[random.choice(rows, n, replace=False)]])
        provenance["injected"] = {"record": str(path), "events": n}
    provenance["events_searched"] = len(codes)
    return Sample(codes, provenance)


def hashes(source: record.TriggerRecord) -> dict[str, str]:
    """What must be equal for two records to be searched together."""
    return {
        "object scales": source.attributes["spec_hash"],
        "models": " ".join(model["hash"] for model in source.attributes["models"]),
        "menu": source.attributes["menu_hash"],
    }


def independent(source: record.TriggerRecord) -> NDArray[np.intp]:
    """Rows of a record that are collisions of their own.

    A generated sample may hold several events from one generated collision (its column `parent`): they resemble
    each other and would make bumps out of nothing. The first kept one of each parent stays.
    """
    if "parent" not in source.columns:
        return np.arange(len(source))
    return np.sort(np.unique(source.columns["parent"], return_index=True)[1])


def parse_injection(text: str) -> tuple[Path, int]:
    """Split RECORD.h5:N. Raises `Ad40Error` when N is not a positive number."""
    path, _, number = text.rpartition(":")
    if not path or not number.isdigit() or int(number) == 0:
        raise Ad40Error(f"--inject is '{text}'; expected RECORD.h5:N with N at least 1")
    return Path(path), int(number)


def summarise(result: Hunt, saturated: dict[str, int]) -> dict[str, Any]:
    """The figures of the search, as JSON types."""
    leading = result.leading
    bump = leading is not None and result.global_p <= CLAIM_P
    return {
        "pseudo_experiments": result.pseudo_experiments,
        "claim_sigma": CLAIM_SIGMA,
        "claim_p": CLAIM_P,
        "bump": bump,
        "global": {
            "p": result.global_p,
            "z": bumphunt.significance(result.global_p),
            "p_is_limit": result.global_p * (result.pseudo_experiments + 1) < 1.5,  # none as extreme
            "spectrum": leading.spectrum.name if leading else None,
            "label": leading.spectrum.label if leading else None,
            "window": list(leading.window) if leading else None,
            "counts_shared_between_spectra": result.shared,
        },
        "spectra": [_row(r, saturated[r.spectrum.name]) for r in result.results],
    }


def _row(r: Scanned | Skipped, saturated: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": r.spectrum.name,
        "label": r.spectrum.label,
        "status": "scanned" if isinstance(r, Scanned) else "skipped",
        "reason": None if isinstance(r, Scanned) else r.reason,
        "floor": r.spectrum.floor,
        "pairs": int(r.all_counts.sum()),
        "saturated_left_out": saturated,
        "entries": r.entries,
    }
    if isinstance(r, Skipped):
        return row
    minuit, integrated = fit.minuit(r.model, r.counts), fit.minuit(r.model, r.counts, integrate=True)
    expected = r.background.expected
    low, high = r.window
    n, b = float(r.best.observed), float(r.best.expected)
    return row | {
        "fit_range": [float(r.model.edges[0]), float(r.model.edges[-1])],
        "bins": len(r.counts),
        "deviance": float(fit.deviance(r.counts, expected)),
        "gof_p": r.gof_p,
        "sideband_p": r.sideband_p,
        "described": r.described,
        "parameters": {
            name: [float(v), float(e)]
            for name, v, e in zip(("ln p1", "p2", "p3", "p4", "p5"), minuit.parameters, minuit.errors, strict=True)
        },
        "minuit_valid": minuit.valid,
        "newton_minuit": float(np.max(np.abs(minuit.expected / expected - 1))),
        "centre_integral": float(np.max(np.abs(integrated.expected - expected) / np.sqrt(expected))),
        "window": [low, high],
        "observed": n,
        "expected": b,
        "local_p": float(r.best.local_p),
        "local_z": bumphunt.significance(float(r.best.local_p)),
        "global_p": r.global_p,
        "global_z": bumphunt.significance(r.global_p),
        "pseudo_experiments_not_converged": r.not_converged,
        "histogram": {
            "edges": r.model.edges.tolist(),
            "counts": r.counts.tolist(),
            "expected": expected.tolist(),
        },
    }


def verdict(summary: dict[str, Any]) -> str:
    """One sentence that says what was found."""
    total = summary["global"]
    if total["spectrum"] is None:
        return "No spectrum could be searched."
    row = next(r for r in summary["spectra"] if r["name"] == total["spectrum"])
    relation = "at least " if total["p_is_limit"] else ""
    where = f"{total['label']} between {row['window'][0]:.0f} and {row['window'][1]:.0f} GeV"
    numbers = (
        f"{row['observed']:.0f} events where {row['expected']:.1f} are expected, {row['local_z']:.1f} sigma local, "
        f"{relation}{total['z']:.1f} sigma global over all spectra (p {'<=' if relation else '='} {total['p']:.2g})"
    )
    start = "A bump in" if summary["bump"] else "No bump claimed. The largest excess is in"
    return f"{start} {where}: {numbers}."


def _title(sample: Sample, r: Scanned) -> str:
    injected = sample.provenance["injected"]
    what = f", with {injected['events']} injected" if injected else ""
    return f"{sample.provenance['events_searched']:,} events{what}; global p in this spectrum {r.global_p:.2g}"


def _picture(r: Scanned) -> dict[str, str]:
    low, high = r.window
    caption = (
        f"{r.spectrum.label}: data (points, 68 % Poisson intervals), the p5 fit from {r.model.edges[0]:.0f} to "
        f"{r.model.edges[-1]:.0f} GeV (line) and the least likely window, {low:.0f} to {high:.0f} GeV (shaded). "
        "Below: the pull of each bin."
    )
    return {"file": f"spectrum_{r.spectrum.name}.png", "title": f"Spectrum of {r.spectrum.label}", "caption": caption}


def _print(summary: dict[str, Any], folder: Path) -> None:
    print(f"{summary['events_searched']:,} events, {summary['copies_dropped']:,} copies dropped, "
          f"injected: {summary['injected']['events'] if summary['injected'] else 'none'}")  # fmt: skip
    head = ("entries", 8), ("fit range", 13), ("fit p", 8), ("window", 12), ("obs", 6), ("exp", 9), ("local", 7)
    print(f"{'spectrum':11}" + "".join(f"{name:>{width}}" for name, width in head) + f"{'global p':>10}")
    for r in summary["spectra"]:
        if r["status"] == "skipped":
            print(f"{r['label']:11}{r['entries']:>8}  skipped: {r['reason']}")
            continue
        ranges = [f"{a:.0f}-{b:.0f}" for a, b in (r["fit_range"], r["window"])]
        note = "" if r["described"] else "  not described by the fit: no claim from it"
        print(
            f"{r['label']:11}{r['entries']:>8}{ranges[0]:>13}{r['gof_p']:>8.2g}{ranges[1]:>12}{r['observed']:>6.0f}"
            f"{r['expected']:>9.1f}{r['local_z']:>7.2f}{r['global_p']:>10.2g}{note}"
        )
    print(verdict(summary))
    print(f"written: {folder / 'search.json'}")
