"""`ad40 robustness`: what an imperfect detector does to the rate, thresholds for a rate, the pure rate, what fires.

Scales, dead regions and noise are applied to the integers of the test part: before and after are the same events,
and only those that change sides count. Pileup needs events generated anew and is compared as rates of other events.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, defaults, released, spec
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.files import file_hash, read_yaml, writable_folder, write_json
from ad40.metrics import efficiency, rate_hz, threshold_at_fpr
from ad40.network import Network, read_network
from ad40.progress import Progress
from ad40.schema import Node
from ad40.split import TEST
from training import page
from training.datasets import Background, load_background, load_signal, read_background, signal_names
from training.evaluate import baselines
from training.robustness import effects, fires
from training.robustness.ratechange import Rated, independent

HELP = "rate changes by pileup, pT scale, dead regions and noise; thresholds for a rate, pure rate, what fires"
EPILOG = """\
Effects, target rates and the ordinary menu stand in training/robustness/robustness.yaml. Files of other pileup come
from `ad40 generate background --pileup P --output FILE`; a mean without a file is left out, and the page says so.
example: ad40 robustness models/ad40_balanced --sample training/benchmark --page docs/physics.md \\
           --pileup 0=build/pileup_0.h5 60=build/pileup_60.h5 140=build/pileup_140.h5"""
VERB = "ad40 robustness"
SETTINGS = Path(__file__).with_name("robustness.yaml")
PILEUPS = (0.0, 20.0, 60.0, 140.0)  # asked for
Codes = NDArray[np.integer]
ByName = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Settings:
    """robustness.yaml."""

    fprs: dict[str, float]
    seed: int
    beside: tuple[str, ...]
    effects: dict[str, effects.Effect]
    lepton_pt: float
    target_rates_hz: tuple[float, ...]
    menu: dict[str, dict[str, Any]]
    cuts: dict[str, Any]  # the menu as the file has it


def settings(path: Path = SETTINGS) -> Settings:
    """Read robustness.yaml. Raises `SpecError` where it is malformed."""
    node = Node(read_yaml(path), path)
    node.keys({"version", "fprs", "seed", "beside", "effects", "lepton_pt", "target_rates_hz", "menu"})
    cuts = tuple(baselines(np.zeros((1, 19, 3), np.int32)))
    return Settings(
        {name: child.number(1e-9, 0.5) for name, child in node["fprs"].items()},
        node["seed"].integer(0, 2**32 - 1),
        tuple(child.choice(cuts) for child in node["beside"]),
        effects.read_effects(node["effects"]),
        node["lepton_pt"].number(0, 1e4),
        tuple(child.number(1e-6, 1e9) for child in node["target_rates_hz"]),
        fires.read_menu(node["menu"]),
        node["menu"].value,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 robustness`."""
    parser.add_argument("models", type=released.folder, nargs="+", metavar="MODEL", help="model folders or names")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--pileup", nargs="*", default=[], metavar="MEAN=FILE", help="events of another mean pileup")
    parser.add_argument("--events", type=int, help="read only the first so many events of each file")
    parser.add_argument("--output", type=Path, default=Path("build/robustness"), metavar="DIR",
                        help="folder of robustness.json and the plots (%(default)s)")  # fmt: skip
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the section of a page; plots beside it")


def pileup_files(texts: list[str]) -> dict[float, Path]:
    """Mean pileup -> file, of arguments MEAN=FILE. Raises `InputError` for anything else."""
    found: dict[float, Path] = {}
    for text in texts:
        mean, _, name = text.partition("=")
        try:
            value = float(mean)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1000 or not name or value in found:
            raise InputError("command line", "--pileup", text, "MEAN=FILE, each mean once, such as 60=pileup_60.h5")
        if not Path(name).is_file():
            raise InputError(name, "file", "missing", "events of `ad40 generate background --pileup ...`")
        found[value] = Path(name)
    return dict(sorted(found.items()))


def scores_of(networks: list[Network], cuts: tuple[str, ...], codes: Codes) -> ByName:
    """Integer scores of models and simple cuts of events (n, 19, 3), by name."""
    simple, whole = baselines(codes), codes.astype(np.int32)
    return {n.name: Emulator(n).score(whole) for n in networks} | {name: simple[name] for name in cuts}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns the summary of `--json`, which is also written to robustness.json."""
    chosen, files = settings(), pileup_files(args.pileup)
    networks = []
    for folder in args.models:
        if not folder.is_dir():
            raise released.no_folder(folder)
        networks.append(read_network(folder / "network.json"))
        if [n.name for n in networks].count(networks[-1].name) > 1:
            raise InputError(folder, "name", networks[-1].name, "a name that no other of the models has")
    names = signal_names(args.sample)
    if args.page is not None:
        page.check_section(args.page, VERB)
    pictures = args.output if args.page is None else args.page.parent / args.page.stem
    for folder in (args.output, pictures):
        writable_folder(folder)
    sample = load_background(args.sample, args.events)
    rows = sample.rows(TEST)
    codes, parent, rated = sample.codes[rows], sample.parent[rows], Rated.of(sample, rows)
    signals = {s: load_signal(args.sample, s, args.events) for s in names}
    with Progress(1 + len(signals), "scores", "files") as progress:
        nominal = scores_of(networks, chosen.beside, codes)
        progress.update()
        signal_scores = {}
        for s, x in signals.items():
            signal_scores[s] = scores_of(networks, (), x)
            progress.update()
    cuts = {label: {name: threshold_at_fpr(score, fpr) for name, score in nominal.items()}
            for label, fpr in chosen.fprs.items()}  # fmt: skip
    document: dict[str, Any] = {
        "command": " ".join([VERB, *sys.argv[2:]]), "date": datetime.date.today().isoformat(), "ad40": __version__,
        "sample": str(args.sample), "sample_fingerprint": sample.fingerprint, "seed": chosen.seed,
        "settings_hash": file_hash(SETTINGS), "split": TEST, "interval": "68 %", "background_events": len(rows),
        "families": len(np.unique(parent)), "luminosity_cm2s": spec.ladder().luminosity_cm2s,
        "signal_events": {s: len(x) for s, x in signals.items()},
        "filtered_rate_hz": filtered_hz(sample), "fprs": chosen.fprs,
        "models": [{"name": n.name, "version": n.version, "network_hash": n.hash} for n in networks],
        "beside": list(chosen.beside), "menu": chosen.cuts, "lepton_pt": chosen.lepton_pt,
        "nominal": {label: {name: {"threshold": cut, "rate_hz": list(rated.rate(nominal[name] >= cut))}
                            for name, cut in by_name.items()} for label, by_name in cuts.items()},
        "effects": _effects(networks, chosen, codes, nominal, cuts, rated),
        "pileup": _pileup(files, networks, chosen, cuts, nominal, rated, args.events),
        "pileup_missing": [mean for mean in PILEUPS if mean not in files and mean != sample_pileup()],
    }  # fmt: skip
    document["rates"] = _rates(networks, chosen, (codes, parent, rated), nominal, signals, signal_scores)
    with Progress(len(networks), "what fires", "models") as progress:
        document["fires"] = {}
        for n in networks:
            own = {s: scores[n.name] for s, scores in signal_scores.items()}
            document["fires"][n.name] = fires.describe(nominal[n.name], own, (codes, parent), signals, chosen.fprs)
            progress.update()
    from training.robustness import page as robustness_page  # matplotlib only where it is used
    from training.robustness import plots as robustness_plots

    document["plots"] = robustness_plots.draw(document, pictures)
    write_json(args.output / "robustness.json", document)
    print(robustness_page.text(document))
    if args.page is not None:
        page.write_section(args.page, VERB, robustness_page.section(document, args.page))
    return document


def sample_pileup() -> float:
    """Mean pileup of the samples: what `ad40 generate` takes when nothing is said."""
    from training.generator.tables import processes

    return float(processes()["pileup"]["mean"])


def filtered_hz(sample: Background) -> float:
    """Rate of all background that passes the lepton filter, Hz."""
    return rate_hz(sum(p.filtered_pb for p in sample.processes), 1.0, spec.ladder().luminosity_cm2s)


def _effects(
    networks: list[Network],
    chosen: Settings,
    codes: Codes,
    nominal: ByName,
    cuts: dict[str, dict[str, float]],
    rated: Rated,
) -> dict[str, Any]:
    """effect -> FPR -> score -> events newly firing and no longer firing, and rate after over before: of events that
    still have a lepton, and of all."""
    found: dict[str, Any] = {}
    with Progress(len(chosen.effects), "effects", "effects") as progress:
        for name, effect in chosen.effects.items():
            disturbed = effects.disturb(codes, name, effect, chosen.seed)
            after = scores_of(networks, chosen.beside, disturbed)
            inside = fires.quantities(disturbed)["leading lepton pT"] >= chosen.lepton_pt
            found[name] = {}
            for label, by_name in cuts.items():
                found[name][label] = {}
                for score, cut in by_name.items():
                    was, every = nominal[score] >= cut, after[score] >= cut
                    now = every & inside
                    ratio, of_all = rated.change(was, now), rated.change(was, every)
                    found[name][label][score] = {
                        "new": int((now & ~was).sum()), "lost": int((was & ~now).sum()),
                        "ratio": None if ratio is None else list(ratio),
                        "without_lepton": int((every & ~inside).sum()),
                        "ratio_of_all": None if of_all is None else list(of_all),
                    }  # fmt: skip
            progress.update()
    return found


def _pileup(
    files: dict[float, Path],
    networks: list[Network],
    chosen: Settings,
    cuts: dict[str, dict[str, float]],
    nominal: ByName,
    rated: Rated,
    events: int | None,
) -> list[dict[str, Any]]:
    """One row for each file: its events and the rates of every score at the nominal thresholds, over those of the
    sample. The cross-section of the lepton filter is that of each file: isolation depends on pileup too."""
    rows = []
    for mean, file in files.items():
        sample = read_background(file, events)
        own, scores = Rated.of(sample, np.arange(len(sample.codes))), scores_of(networks, chosen.beside, sample.codes)
        row: dict[str, Any] = {"pileup": mean, "file": file.name, "events": len(sample.codes),
                               "filtered_rate_hz": filtered_hz(sample), "scores": {}}  # fmt: skip
        for label, by_name in cuts.items():
            row["scores"][label] = {}
            for name, cut in by_name.items():
                rate, before = own.rate(scores[name] >= cut), rated.rate(nominal[name] >= cut)
                ratio = independent(before, rate)
                row["scores"][label][name] = {"fired": int((scores[name] >= cut).sum()), "rate_hz": list(rate),
                                              "ratio": None if ratio is None else list(ratio)}  # fmt: skip
        rows.append(row)
    return rows


def _rates(
    networks: list[Network],
    chosen: Settings,
    background: tuple[Codes, NDArray[np.int64], Rated],
    nominal: ByName,
    signals: dict[str, NDArray[np.int16]],
    signal_scores: dict[str, ByName],
) -> dict[str, Any]:
    """Thresholds for the target rates, the pure rate and what a model adds to the ordinary menu for each signal."""
    codes, parent, rated = background
    taken = fires.menu_accepts(codes, chosen.menu)
    menu = np.any(list(taken.values()), axis=0)
    signal_menu = {s: np.any(list(fires.menu_accepts(x, chosen.menu).values()), axis=0) for s, x in signals.items()}
    found: dict[str, Any] = {
        "menu": {
            "rate_hz": list(rated.rate(menu)),
            "efficiency": list(efficiency(menu, parent)),
            "seeds": {name: list(rated.rate(one)) for name, one in taken.items()},
            "signals": {s: list(efficiency(one)) for s, one in signal_menu.items()},
        },
        "models": {},
    }
    for n in networks:
        rows = []
        for target in chosen.target_rates_hz:
            low, threshold, high = rated.threshold(nominal[n.name], target)
            fired = nominal[n.name] >= threshold
            rows.append({
                "target_hz": target, "threshold": [low, threshold, high], "rate_hz": list(rated.rate(fired)),
                "fraction": list(efficiency(fired, parent)), "events": int(fired.sum()),
                "pure_rate_hz": list(rated.rate(fired & ~menu)),
                "signals": {s: list(efficiency(scores[n.name] >= threshold)) for s, scores in signal_scores.items()},
                "signals_pure": {s: list(efficiency((scores[n.name] >= threshold) & ~signal_menu[s]))
                                 for s, scores in signal_scores.items()},
            })  # fmt: skip
        found["models"][n.name] = rows
    return found
