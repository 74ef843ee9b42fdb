"""`ad40 compare`: models, re-made designs, simple cuts and the supervised limit on the same events, with their costs.

Every score is the integer one of the emulator on the test part of the sample. Costs come from the compiler, in a
process of its own (`python -m firmware.cost`), since this room knows nothing of firmware.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, defaults, released, spec
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.files import file_hash, read_json, read_yaml, writable_folder, write_json
from ad40.metrics import auc, tpr_at_fpr
from ad40.network import Network, read_network
from ad40.progress import Progress
from ad40.split import TEST
from training import page
from training.compare import limits, verdicts
from training.compare.paired import Replicates, Scores
from training.datasets import Background, load_background, load_signal, signal_names
from training.evaluate import baselines

HELP = "models, re-made designs, simple cuts and the supervised limit: TPR, AUC, LUT and ns in one table"
EPILOG = """\
Folders in --baselines with a network.json are held against the models; folders in --twins, made by `ad40 train
--float`, give the loss from quantisation of the model of the same name. Names of models must differ. The supervised
limits are kept in a cache; the first time they take minutes
(`python -m training.compare.limits SAMPLE` makes them ahead).
example: ad40 compare models/ad40_small models/ad40_balanced models/ad40_best --synth --page docs/physics.md"""
VERB = "ad40 compare"
MODEL, BASELINE, CUT = "model", "baseline", "cut"
OUTPUT = Path("build/compare")
_TIMEOUT_S = 1800  # for yosys, for each network


@dataclass(frozen=True)
class Candidate:
    """One model folder. kind: `MODEL` or `BASELINE`; document: what its training recorded, empty if nothing."""

    name: str
    kind: str
    folder: Path
    network: Network
    document: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ad40 compare`."""
    parser.add_argument("models", type=released.folder, nargs="+", metavar="MODEL", help="model folders or names")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--baselines", type=Path, default=Path("build/baselines"), metavar="DIR",
                        help="folder of model folders of re-made designs (%(default)s)")  # fmt: skip
    parser.add_argument("--twins", type=Path, default=Path("build/float"), metavar="DIR",
                        help="folder of float32 twins (%(default)s)")  # fmt: skip
    parser.add_argument("--training", type=Path, nargs="*", default=[], metavar="FILE",
                        help="summaries of `ad40 train --json`, for the minutes of training")  # fmt: skip
    parser.add_argument("--synth", action="store_true", help="map every network with yosys too, about a minute each")
    parser.add_argument(
        "--costs", type=Path, metavar="FILE", help="costs.json of an earlier comparison, instead of the compiler"
    )
    parser.add_argument("--limits", type=Path, default=limits.CACHE, metavar="DIR", help="cache (%(default)s)")
    parser.add_argument("--events", type=int, help="read only the first so many events of each file")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR",
                        help="folder of compare.json and the plots (%(default)s)")  # fmt: skip
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the section of a page; plots beside it")


def candidates(models: Sequence[Path], baseline_folder: Path) -> list[Candidate]:
    """Models and re-made designs, read. Raises `InputError` for two of one name."""
    found: list[Candidate] = []
    folders = [(MODEL, folder) for folder in models]
    if baseline_folder.is_dir():
        folders += [(BASELINE, p.parent) for p in sorted(baseline_folder.glob("*/network.json"))]
    for kind, folder in folders:
        if not folder.is_dir():
            raise released.no_folder(folder)
        network = read_network(folder / "network.json")
        if any(network.name == one.name for one in found):
            raise InputError(folder, "name", network.name, "a name that no other model of the comparison has")
        history = folder / "history.json"
        found.append(Candidate(network.name, kind, folder, network, read_json(history) if history.is_file() else {}))
    return found


def costs(found: Sequence[Candidate], synth: bool, file: Path | None) -> list[dict[str, Any]]:
    """What the networks cost, in their order: a process for each, or from a file that an earlier comparison wrote.

    Raises `InputError` when the file speaks of other networks or the compiler gives no answer.
    """
    if file is not None:
        known = {row["network_hash"]: row for row in read_json(file)}
        for one in found:
            if one.network.hash not in known:
                raise InputError(file, f"network_hash of {one.name}", "missing", one.network.hash)
        return [known[one.network.hash] for one in found]
    rows: list[dict[str, Any]] = []
    with Progress(len(found), "costs", "models") as progress:
        for one in found:
            command = [sys.executable, "-m", "firmware.cost", str(one.folder), "--json", "--timeout", str(_TIMEOUT_S)]
            done = subprocess.run([*command, *(["--synth"] if synth else [])], capture_output=True, text=True)
            if done.returncode:
                why = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
                expected = "an answer of `python -m firmware.cost` (it needs 'ad40[firmware]'), or --costs"
                raise InputError(one.folder, "cost", why[0], expected)
            rows += json.loads(done.stdout)
            progress.update()
    return rows


def twins(folder: Path) -> dict[str, Path]:
    """Folders of float twins by the name in their card; none when there is no such folder."""
    cards = sorted(folder.glob("*/model.yaml")) if folder.is_dir() else []
    return {str(read_yaml(card)["name"]): card.parent for card in cards}


def score_all(
    found: Sequence[Candidate], background: NDArray[np.int16], signals: dict[str, NDArray[np.int16]]
) -> dict[str, Scores]:
    """Integer scores of every candidate and of the simple cuts, by name."""
    scores: dict[str, Scores] = {}
    with Progress(len(found), "scores", "models") as progress:
        for one in found:
            emulator = Emulator(one.network)
            scores[one.name] = Scores(emulator.score(background.astype(np.int32)),
                                      {s: emulator.score(x.astype(np.int32)) for s, x in signals.items()})  # fmt: skip
            progress.update()
    by_signal = {s: baselines(x) for s, x in signals.items()}
    for name, values in baselines(background).items():
        scores[name] = Scores(values, {s: by_signal[s][name] for s in signals})
    return scores


def figures(one: Scores, parent: NDArray[np.int64], fprs: dict[str, float]) -> dict[str, Any]:
    """AUC and TPR at each FPR for each signal, every figure as [low, value, high]."""
    return {
        s: {
            "auc": list(auc(one.background, x, parent)),
            "tpr": {label: list(tpr_at_fpr(one.background, x, fpr, parent)) for label, fpr in fprs.items()},
        }
        for s, x in one.signals.items()
    }


def quantisation(
    one: Candidate, scores: Scores, twin: Path, sample: tuple[NDArray[np.int16], dict[str, NDArray[np.int16]]],
    parent: NDArray[np.int64], fprs: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    """The float twin of a model: its figures, and the loss in AUC from float to integers for each signal."""
    from training.compare.float_twin import float_scores

    own = Scores(float_scores(twin, sample[0]), {s: float_scores(twin, x) for s, x in sample[1].items()})
    found = figures(own, parent, fprs)
    loss = {s: found[s]["auc"][1] - auc(scores.background, x)[1] for s, x in scores.signals.items()}
    return {"folder": str(twin), "signals": found, "auc_loss": loss}


def document_of(one: Candidate, minutes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What identifies a model and how it was trained."""
    weights = [layer.weight for layer in one.network.layers]
    trained = minutes.get(one.network.hash)
    return {
        "kind": one.kind, "folder": str(one.folder), "version": one.network.version, "network_hash": one.network.hash,
        "score": one.network.score.kind, "widths": list(one.network.widths),
        "weights": int(sum(w.size for w in weights)), "nonzero_weights": int(sum((w != 0).sum() for w in weights)),
        "seed": one.document.get("training", {}).get("seed"),
        "trained_on": one.document.get("sample", {}).get("fingerprint"),
        "training_events": one.document.get("events", {}).get("train"),
        "training_minutes": None if trained is None else round(trained["seconds"] / 60, 1),
    }  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare; returns the summary of `--json`, which is also written to compare.json."""
    wanted = verdicts.settings()
    found, signals = candidates(args.models, args.baselines), signal_names(args.sample)
    if args.page is not None:
        page.check_section(args.page, VERB)
    pictures = args.output if args.page is None else args.page.parent / args.page.stem
    for folder in (args.output, pictures):
        writable_folder(folder)
    minutes = {}
    for file in args.training:
        summary = read_json(file)
        if not isinstance(summary, dict) or not {"network_hash", "seconds"} <= set(summary):
            raise InputError(file, "keys", "no network_hash and seconds", "a summary of `ad40 train --json`")
        minutes[summary["network_hash"]] = summary
    cost = costs(found, args.synth, args.costs)
    write_json(args.output / "costs.json", cost)
    sample = load_background(args.sample, args.events)
    document = _compare(found, sample, {s: load_signal(args.sample, s, args.events) for s in signals}, wanted, args)
    for one, row in zip(found, cost, strict=True):
        document["entries"][one.name] |= document_of(one, minutes) | {"cost": row}
    document["verdicts"] = verdicts.judge(document, wanted)
    from training.compare import page as compare_page  # matplotlib only where it is used
    from training.compare import plots as compare_plots

    scores = document.pop("_scores")
    document["plots"] = compare_plots.draw(document, scores, pictures)
    write_json(args.output / "compare.json", document)
    print(compare_page.text(document))
    if args.page is not None:
        page.write_section(args.page, VERB, compare_page.section(document, args.page))
    return document


def _compare(
    found: Sequence[Candidate],
    sample: Background,
    signals: dict[str, NDArray[np.int16]],
    wanted: verdicts.Wanted,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Everything that needs the events: figures, ratios, limits and float twins."""
    rows = sample.rows(TEST)
    background, parent = sample.codes[rows], sample.parent[rows]
    fitted = {}
    with Progress(len(signals) * len(limits.INPUTS), "supervised limits", "fits") as progress:
        for s in signals:
            for inputs in limits.INPUTS:
                fitted[s, inputs] = limits.limit(sample, args.sample, s, inputs, args.limits, args.events)
                progress.update()
    scores = score_all(found, background, signals)
    entries: dict[str, Any] = {name: {"kind": CUT, "signals": figures(one, parent, wanted.fprs)}
                               for name, one in scores.items()}  # fmt: skip
    by_limit = {}
    for inputs in limits.INPUTS:
        for s in signals:
            one = fitted[s, inputs]
            by_limit[f"limit, {inputs}, {s}"] = Scores(one.background, {s: one.signal}, {s: one.rows})
    drawn = Replicates({**scores, **by_limit}, parent, wanted.fprs, wanted.replicates, wanted.seed)
    named = [one.name for one in found if one.kind == BASELINE]
    best = {fpr: max(named, key=lambda n: drawn.mean(n, fpr)) for fpr in wanted.fprs} if named else {}
    for name, entry in entries.items():
        entry["geometric_mean"] = {fpr: drawn.mean(name, fpr) for fpr in wanted.fprs}
        entry["ratio"] = {fpr: {"against": other, "value": list(drawn.mean_ratio(name, other, fpr))}
                          for fpr, other in best.items()}  # fmt: skip
        entry["limit_fraction"] = {
            inputs: {s: list(drawn.ratio(name, f"limit, {inputs}, {s}", wanted.limit_fpr, s)) for s in signals}
            for inputs in limits.INPUTS
        }
    float_folders = twins(args.twins)
    for one in found:
        if one.name in float_folders:
            entries[one.name]["float"] = quantisation(one, scores[one.name], float_folders[one.name],
                                                      (background, signals), parent, wanted.fprs)  # fmt: skip
    limit_scores = {inputs: {s: fitted[s, inputs] for s in signals} for inputs in limits.INPUTS}
    return {
        "command": " ".join(["ad40 compare", *sys.argv[2:]]), "date": datetime.date.today().isoformat(),
        "ad40": __version__, "sample": str(args.sample), "sample_fingerprint": sample.fingerprint,
        "spec_hash": spec.objects().hash, "settings_hash": file_hash(verdicts.SETTINGS), "seed": wanted.seed,
        "split": TEST, "interval": "68 %", "background_events": len(rows), "families": len(np.unique(parent)),
        "background_events_all": len(sample.codes), "signal_events": {s: len(x) for s, x in signals.items()},
        "fprs": wanted.fprs, "limit_fpr": wanted.limit_fpr, "entries": entries,
        "limits": {
            inputs: {s: figures(Scores(o.background, {s: o.signal}), parent, wanted.fprs)[s] | {"trees": o.trees}
                     for s, o in by_signal.items()}
            for inputs, by_signal in limit_scores.items()
        },
        "_scores": {**scores, **{f"limit, {inputs}": by_signal for inputs, by_signal in limit_scores.items()}},
    }  # fmt: skip
