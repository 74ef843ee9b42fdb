"""`ad40 jets cwola`: a search without labels for a resonance of two jets."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error, InputError
from ad40.files import writable_folder, write_json
from ad40.progress import Progress
from offline.jets import cwola
from offline.jets.bump import Bump, bump, fit_range
from offline.jets.cwola import CwolaSettings, Window, published_windows
from offline.jets.dijets import LEADING_PT, MAX_DY, SECOND_PT, SETS, Dijets, dijets
from offline.jets.jets import BACKGROUND, SIGNAL, open_jets
from offline.jets.merit import merit
from offline.model import parse_settings
from offline.statistics.bumphunt import significance

HELP = "search for a dijet resonance with classifiers of signal region against sidebands, without labels (CWoLa)"
EPILOG = """examples:
  ad40 jets cwola build/jets.h5 --output build/cwola
  ad40 jets cwola build/jets.h5 --features four --window 2900 3300 3700 4100 --output build/cwola"""
SUMMARY = "cwola.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("file", type=Path, metavar="JETS.h5", help="jets file (ad40 jets cluster), labelled or not")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the page to write")
    parser.add_argument("--features", choices=SETS, default="masses", help="what classifiers see: the two jet masses;"
                        " masses, their difference and tau ratios (default %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=float, nargs=4, action="append", metavar=("BELOW", "LOW", "HIGH", "ABOVE"),
                        help="a signal region LOW to HIGH and the outer ends of its sidebands [GeV]; may be repeated"
                        " (default: the published eight, from 1.9 to 8.2 TeV)")  # fmt: skip
    parser.add_argument("--pt", type=float, nargs=2, default=(LEADING_PT, SECOND_PT), metavar=("LEADING", "SECOND"),
                        help="least pt of the jets [GeV] (default %(default)s)")  # fmt: skip
    parser.add_argument("--max-dy", type=float, default=MAX_DY, metavar="X",
                        help="largest difference of the rapidities of the jets (default %(default)s)")  # fmt: skip
    parser.add_argument("--fit-from", type=float, metavar="GEV", help="dijet mass from which on the spectrum falls"
                        " smoothly: with a trigger on jets of pt P 2 P cosh(max-dy / 2) (default: where its density"
                        " has fallen to half of the maximum)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=40, metavar="N", help="of folds and classifiers")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="classifier=trees or network, masses=relative or gev, folds, rotations; may be"
                        " repeated")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One signal region: the bump for each efficiency, 1 first, or why there is none; merit where labels are known."""

    window: Window
    bumps: dict[float, Bump]
    events: tuple[int, int, int]  # lower sideband, signal region, upper sideband
    reason: str = ""
    merit: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        w = self.window
        return {"window": [w.below, w.low, w.high, w.above], "events": list(self.events), "reason": self.reason,
                "bumps": {f"{e:g}": b.document() for e, b in self.bumps.items()}, "merit": self.merit}  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search every window; write cwola.json, figures and cwola.html; return the summary."""
    from offline.jets.cwola_page import write  # matplotlib: only where figures are drawn

    settings = CwolaSettings(**({"seed": args.seed} | parse_settings(CwolaSettings, _numbers(args.settings))))
    windows = [Window(*edges) for edges in args.window] if args.window else published_windows()
    writable_folder(args.output)
    with open_jets(args.file) as file:
        events = dijets(file.table(), SETS[args.features], *args.pt, args.max_dy)
        stand_in, sha256 = file.attributes["stand_in"], file.sha256
    found = search(events, windows, settings, args.fit_from)
    searched = [one for one in found if not one.reason]
    if not searched:
        reasons = "; ".join(f"{one.window.low:.0f} GeV: {one.reason}" for one in found)
        raise InputError(args.file, "signal regions", "none can be searched", f"more events ({reasons})")
    trials = len(searched) * len(settings.efficiencies)
    best = max(((b.z, e, one) for one in searched for e, b in one.bumps.items() if e < 1), key=lambda t: t[0])
    p = min(best[2].bumps[best[1]].p, 1.0)
    overall = 1 - (1 - p) ** trials if p > 1e-12 else p * trials
    summary = {
        "file": str(args.file), "jets_sha256": sha256, "stand_in": stand_in, "events": len(events),
        "features": list(events.names), "settings": asdict(settings),
        "windows": [one.document() for one in found],
        "largest": {"window": [best[2].window.low, best[2].window.high], "efficiency": best[1], "z": best[0],
                    "local_p": p, "trials": trials, "global_p": overall, "global_z": significance(overall)},
    }  # fmt: skip
    write_json(args.output / SUMMARY, summary)
    page = write(args.output, found, summary, stand_in)
    for one in found:
        print(_line(one))
    print(f"largest excess: {best[0]:.1f} sigma local, {summary['largest']['global_z']:.1f} after {trials} trials\n"
          f"written: {page}")  # fmt: skip
    return {"page": str(page)} | summary


def _numbers(texts: list[str]) -> list[str]:
    for text in texts:
        if text.startswith("efficiencies"):
            raise InputError("command line", "--set", repr(text), "classifier, masses, folds or rotations")
    return texts


def search(
    events: Dijets, windows: list[Window], settings: CwolaSettings, begin: float | None = None
) -> list[Found]:  # fmt: skip
    """Search signal regions; one that has too few events is left out with the reason. begin: as for `fit_range`."""
    found = []
    with Progress(len(windows) * settings.folds * settings.rotations, "cwola", "classifiers") as progress:
        for window in windows:
            found.append(search_window(events, window, settings, progress.update, begin))
    return found


def search_window(
    events: Dijets, window: Window, settings: CwolaSettings, tick: Any = lambda: None, begin: float | None = None
) -> Found:  # fmt: skip
    """One signal region: classifiers, cuts, bump fits."""
    mass = events.mass
    low, high = window.sides(mass)
    counts = int(low.sum()), int(window.signal(mass).sum()), int(high.sum())
    try:
        edges = fit_range(mass, window, begin)
        score = cwola.score(events, window, settings, tick)
        bumps = {1.0: bump(mass, edges, window)}
        for efficiency in settings.efficiencies:
            bumps[efficiency] = bump(mass[score >= -np.log(efficiency)], edges, window)
    except Ad40Error as error:
        return Found(window, {}, counts, str(error))
    return Found(window, bumps, counts, "", _merit(score, events, window))


def _merit(score: NDArray[np.float64], events: Dijets, window: Window) -> dict[str, Any] | None:
    """Figures of merit inside of the signal region, when the file has labels of both kinds."""
    here = window.signal(events.mass) & ((events.label == SIGNAL) | (events.label == BACKGROUND))
    signal = events.label[here] == SIGNAL
    if not signal.any() or signal.all() or (events.label[window.signal(events.mass)] < 0).any():
        return None
    return merit(score[here], signal).document()


def _line(one: Found) -> str:
    text = f"{one.window.low:>6.0f} to {one.window.high:<6.0f} GeV: "
    if one.reason:
        return text + one.reason
    text += ", ".join(f"{e:.0%}: {b.z:+.1f}" if e < 1 else f"all: {b.z:+.1f}" for e, b in one.bumps.items())
    return text + " sigma" + (f"; largest SIC {one.merit['max_sic'][1]:.1f}" if one.merit else "")
