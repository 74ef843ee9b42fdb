"""`ad40 evaluate`: how well a frozen model separates, and what it would cost in rate.

Everything is computed by the integer emulator on the test part of the sample. Rates come from the sample's own
cross-sections: rate = sum over processes of cross-section x filter efficiency x luminosity x efficiency. They
are rates of lepton-filtered events; what fails the filter is not in the sample and not in the rate.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, spec
from ad40.emulator import Emulator
from ad40.files import writable_folder, write_json
from ad40.menu import Menu, read_menu
from ad40.metrics import auc, efficiency, rate_hz, tpr_at_fpr
from ad40.network import Network, read_network
from ad40.progress import Progress
from ad40.split import TEST, VALIDATION
from training.datasets import Background, load_background, load_signal, signal_names
from training.teach.corruptions import CORRUPTIONS, corrupt

HELP = "AUC, TPR at FPR, trigger rates and plots of a model on the test split"
EPILOG = """\
Writes MODEL_DIR/metrics.json, the same document as --json.
example: ad40 evaluate build/run/model --json build/run/evaluate.json"""
FPRS = {"1e-3": 1e-3, "1e-4": 1e-4, "1e-5": 1e-5}
MODEL = "ad40"

Scores = dict[str, NDArray[np.int64]]


def baselines(codes: NDArray[np.integer]) -> Scores:
    """Simple trigger quantities of hardware codes (n, 19, 3), each int64 (n,) in units of 0.5 GeV.

    HT: scalar sum of jet pt. MET. Sum of the pt of electrons, photons and muons, and the largest of them.
    """
    objects = spec.objects()
    pt = np.stack([codes[:, i, 0].astype(np.int64) - kind.pt.offset for i, kind in enumerate(objects.slots)], axis=1)
    pt *= codes[..., 0] != 0
    leptons = np.concatenate([pt[:, objects[name].slots] for name in ("egamma", "muon")], axis=1)
    return {
        "HT": pt[:, objects["jet"].slots].sum(axis=1),
        "MET": pt[:, objects["met"].slots].sum(axis=1),
        "sum lepton pT": leptons.sum(axis=1),
        "leading lepton pT": leptons.max(axis=1),
    }


def quantities(emulator: Emulator, codes: NDArray[np.integer]) -> Scores:
    """The model's hw_score and the baselines of events, int64 (n,) each."""
    return {MODEL: emulator.score(codes.astype(np.int32)).astype(np.int64), **baselines(codes)}


def figures(background: NDArray[Any], signal: NDArray[Any], parent: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """AUC and TPR at each FPR, every figure as [low, value, high] (68 % interval by families of the background)."""
    return {
        "auc": [round(v, 5) for v in auc(background, signal, parent)],
        "tpr": {name: [round(v, 7) for v in tpr_at_fpr(background, signal, fpr, parent)] for name, fpr in FPRS.items()},
    }


def corruption_figures(
    emulator: Emulator, validation: NDArray[np.integer], parent: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """AUC and TPR against generic corruptions of the validation events (n, 19, 3): what selects a model."""
    clean = emulator.score(validation.astype(np.int32))
    return {name: figures(clean, emulator.score(corrupt(validation, name)), parent) for name in CORRUPTIONS}


def rates(score: NDArray[np.int64], rows: NDArray[np.int64], sample: Background, menu: Menu) -> list[dict[str, Any]]:
    """Trigger rate of each seed before prescale, in kHz, per process and in all, with 68 % intervals.

    score: (n,) of the events `rows` of the sample. The intervals cover the finite number of events; the
    cross-sections and filter efficiencies are taken as the sample states them.
    """
    luminosity = spec.ladder().luminosity_cm2s
    process, parent = sample.process[rows], sample.parent[rows]
    filtered = sum(p.filtered_pb for p in sample.processes)
    seeds = []
    for seed in menu.seeds:
        fired = score >= seed.threshold
        by_process: dict[str, Any] = {}
        total, below, above, share = 0.0, 0.0, 0.0, 0.0
        for p in sample.processes:
            mine = process == p.code
            if not mine.any():
                continue
            low, value, high = efficiency(fired[mine], parent[mine])
            khz = rate_hz(p.filtered_pb, 1.0, luminosity) / 1000.0
            by_process[p.name] = {"efficiency": [low, value, high], "rate_khz": [khz * low, khz * value, khz * high]}
            total += khz * value
            below, above = below + (khz * (value - low)) ** 2, above + (khz * (high - value)) ** 2
            share += p.filtered_pb / filtered * value
        seeds.append(
            {
                "name": seed.name,
                "threshold": seed.threshold,
                "prescales": list(seed.prescales),
                "rate_khz": [max(total - below**0.5, 0.0), total, total + above**0.5],
                "mix_efficiency": float(fired.mean()),
                "weighted_efficiency": share,
                "processes": by_process,
            }
        )
    return seeds


def _plots(
    folder: Path,
    background: Scores,
    process: NDArray[np.uint8],
    signals: dict[str, Scores],
    sample: Background,
    menu: Menu,
) -> list[dict[str, str]]:
    from training import plots  # matplotlib only where it is used

    seeds = {seed.name: seed.threshold for seed in menu.seeds}
    score, luminosity = background[MODEL], spec.ladder().luminosity_cm2s
    by_process = {p.name: score[process == p.code] for p in sample.processes if (process == p.code).any()}
    top = max(int(np.quantile(score, 0.9999)), max(seeds.values())) * 1.1
    cuts = np.linspace(0, top, 200)
    curves = {}
    for p in sample.processes:
        if p.name in by_process:
            ordered = np.sort(by_process[p.name])
            passing = 1.0 - np.searchsorted(ordered, cuts, side="left") / len(ordered)
            curves[p.name] = passing * rate_hz(p.filtered_pb, 1.0, luminosity) / 1000.0
    return [
        plots.roc({q: {n: s[q] for n, s in signals.items()} for q in background}, background, folder / "roc.png"),
        plots.score_distribution(by_process, {n: s[MODEL] for n, s in signals.items()}, seeds, folder / "score.png"),
        plots.rate_curve(cuts, curves, seeds, luminosity, folder / "rate.png"),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 evaluate`."""
    defaults.add_model_folder(parser)
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="folder of the plots (MODEL_DIR/plots)")
    parser.add_argument("--events", type=int, help="read only the first so many events of each file")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a model folder; returns the summary of `--json`, which is also written to metrics.json."""
    network: Network = read_network(args.model / "network.json")
    menu = read_menu(args.model / "menu.yaml", (network,))
    names = signal_names(args.sample)
    sample = load_background(args.sample, args.events)
    writable_folder(args.plots or args.model / "plots")
    rows = sample.rows(TEST)
    emulator = Emulator(network)
    with Progress(1 + len(names), "evaluate", "files") as progress:
        background = quantities(emulator, sample.codes[rows])
        progress.update()
        signals: dict[str, Scores] = {}
        for name in names:
            signals[name] = quantities(emulator, load_signal(args.sample, name, args.events))
            progress.update()
    process, parent = sample.process[rows], sample.parent[rows]
    held = sample.rows(VALIDATION)
    summary: dict[str, Any] = {
        "model": network.name,
        "version": network.version,
        "network_hash": network.hash,
        "sample_fingerprint": sample.fingerprint,
        "split": TEST,
        "interval": "68 %",
        "background_events": len(rows),
        "signal_events": {name: len(s[MODEL]) for name, s in signals.items()},
        "signals": {name: figures(background[MODEL], s[MODEL], parent) for name, s in signals.items()},
        "baselines": {
            quantity: {name: figures(background[quantity], s[quantity], parent) for name, s in signals.items()}
            for quantity in background
            if quantity != MODEL
        },
        "corruptions": corruption_figures(emulator, sample.codes[held], sample.parent[held]),
        "luminosity_cm2s": spec.ladder().luminosity_cm2s,
        "lepton_filtered_rate_khz": rate_hz(
            sum(p.filtered_pb for p in sample.processes), 1.0, spec.ladder().luminosity_cm2s
        )
        / 1000.0,
        "processes": {
            p.name: {
                "test_events": int((process == p.code).sum()),
                "test_parents": len(np.unique(parent[process == p.code])),
                "cross_section_pb": p.cross_section_pb,
                "filter_efficiency": p.filter_efficiency,
            }
            for p in sample.processes
        },
        "seeds": rates(background[MODEL], rows, sample, menu),
        "signal_efficiency": {
            name: {seed.name: float((s[MODEL] >= seed.threshold).mean()) for seed in menu.seeds}
            for name, s in signals.items()
        },
    }
    folder = args.plots if args.plots is not None else args.model / "plots"
    pictures = _plots(folder, background, process, signals, sample, menu)
    write_json(args.model / "metrics.json", summary)
    print(table(summary))
    return {**summary, "plots": pictures}


def table(summary: dict[str, Any]) -> str:
    """The summary as text: one line per signal and quantity, one per seed."""
    lines = [
        f"{summary['model']} {summary['version']}, {summary['background_events']:,} test-split background events, "
        f"{summary['interval']} intervals",
        f"{'signal':<13}{'quantity':<19}{'AUC':>7}{'+-':>7}" + "".join(f"{'TPR@' + fpr + ' [%]':>24}" for fpr in FPRS),
    ]
    for signal, own in summary["signals"].items():
        rows = {MODEL: own, **{q: values[signal] for q, values in summary["baselines"].items()}}
        for quantity, row in rows.items():
            low, value, high = row["auc"]
            cells = "".join(
                f"{100 * v:>10.3f} ({100 * lo:.3f}-{100 * hi:.3f})".rjust(24) for lo, v, hi in row["tpr"].values()
            )
            lines.append(f"{signal:<13}{quantity:<19}{value:>7.3f}{(high - low) / 2:>7.3f}{cells}")
    for name, row in summary["corruptions"].items():
        lines.append(f"validation events with {name:<20} AUC {row['auc'][1]:.3f}, TPR@1e-3 {row['tpr']['1e-3'][1]:.2%}")
    lines.append(f"{'seed':<16}{'threshold':>10}{'efficiency':>12}{'rate [kHz]':>36}")
    for seed in summary["seeds"]:
        low, value, high = seed["rate_khz"]
        lines.append(
            f"{seed['name']:<16}{seed['threshold']:>10}{seed['mix_efficiency']:>12.2e}"
            f"{f'{value:.3g} ({low:.3g} to {high:.3g})':>36}"
        )
    return "\n".join(lines)
