"""`ad40 cluster seed`: a trigger of its own for a cluster, as a model folder that every tool takes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, spec
from ad40.errors import InputError
from ad40.files import writable_folder, write_json
from ad40.menu import Seed, combine
from ad40.model import Trigger, read_trigger
from ad40.split import TEST, TRAIN, VALIDATION, part_of
from offline import inputs
from offline.inputs import Inputs
from offline.seeds import folder, quantities, rates
from offline.seeds.group import CHOOSE, LEARN, Group, excess_of, read_groups
from offline.seeds.learn import KINDS, Candidate, Input, Sample, Settings, candidates
from offline.seeds.measure import cost, measure
from offline.seeds.wired import network_of

HELP = "propose a dedicated trigger for a cluster: cuts or small trees as a network, with rate, efficiency and cost"
EPILOG = """\
The background is learnt from the train part of the events that the trigger sees; rates are those of the other parts.
DIR becomes a model folder: ad40 compile DIR, ad40 trigger EVENTS --model ad40_balanced DIR, ad40 verify DIR, ...
example: ad40 cluster seed build/cluster --cluster 7 --background training/benchmark/background.h5 --output build/c7"""
SUMMARY = "seed.json"
MOST, MOST_HELD = 100000, 300000  # background events to learn from, and to set thresholds on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("result", type=Path, metavar="RESULT", help="folder of a result of `ad40 cluster`")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--cluster", type=int, nargs="+", metavar="N",
                        help="clusters, of several one seed for all (default: all that are flagged)")  # fmt: skip
    parser.add_argument("--background", type=Path, default=defaults.BACKGROUND, metavar="FILE",
                        help="events that the trigger sees, with cross-sections (default %(default)s)")  # fmt: skip
    parser.add_argument("--rate", type=float, default=1.0, metavar="HZ",
                        help="largest rate of the seed on these events [Hz] (default %(default)s)")  # fmt: skip
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS),
                        help="what to try; the best is taken (default: all)")  # fmt: skip
    parser.add_argument("--max-cuts", type=int, default=5, metavar="N", help="cuts at most (default %(default)s)")
    parser.add_argument("--trees", type=int, default=8, metavar="N", help="small trees (default %(default)s)")
    parser.add_argument("--name", metavar="NAME", help="of the model (default cluster_N); its seed is AD40_NAME")
    parser.add_argument("--signal", type=Path, nargs="+", default=[], metavar="FILE",
                        help="events of signals, to say what share of them the seed keeps")  # fmt: skip
    parser.add_argument("--random-seed", type=int, default=40, metavar="N",
                        help="of all that is drawn (default %(default)s)")  # fmt: skip
    defaults.add_board_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Learn, write the model folder, measure; write seed.json and seed.html; return the summary."""
    settings = _settings(args)
    group = read_groups(args.result, args.cluster, together=True)[0]
    board = read_trigger(args.model, args.menu)
    name = args.name or f"cluster_{group.name}"
    if not name.replace("-", "_").isidentifier() or name in [network.name for network in board.networks]:
        raise InputError("command line", "--name", name, "letters, digits, - and _; not that of a model beside it")
    learnt = inputs.read(args.background, TRAIN)
    hz = rates.hz_of(learnt)
    judged = _others(args.background)
    for signal in args.signal:
        if not signal.is_file():
            raise InputError("command line", "--signal", signal, "a file of events")
    from offline.seeds.seed_page import write  # matplotlib: only where figures are drawn

    writable_folder(args.output)
    found = propose(group, learnt, hz, settings, args.kind)
    best = found[0]
    names = quantities.quantities()
    network = network_of(best.rule, names, name, "1.0")
    columns = len(spec.ladder().columns)
    seed = Seed(f"AD40_{name}", name, best.threshold, (1.0,) * columns)
    text = f"Dedicated seed of cluster {group.name}: {best.kind}, learnt at {settings.rate_hz:g} Hz."
    vectors = np.concatenate([group.data.codes[:128], judged.codes[: folder.GOLDEN_EVENTS]])
    model = folder.write(args.output, network, (seed,), text, settings.seed, vectors)
    pair = Trigger((*board.networks, network), combine([board.menu, model.menu]))
    measured = measure(group, judged, found, pair, args.signal)
    summary = {
        "result": str(args.result), "cluster": group.name, "clusters": list(group.numbers),
        "background": str(args.background),
        "background_events": {"train part": len(learnt), "judged": len(judged)},
        "luminosity_cm2s": spec.ladder().luminosity_cm2s, "settings": asdict(settings),
        "model": {"folder": str(args.output), "name": name, "hash": network.hash, "kind": best.kind,
                  "threshold": best.threshold, "widths": list(network.widths), "rule": best.rule.text(names)},
        **measured, "cost": cost(args.output),
    }  # fmt: skip
    page, plots = write(args.output, summary)
    document = {name: value for name, value in summary.items() if name != "curves"} | {"plots": plots}
    write_json(args.output / SUMMARY, document)
    _print(document, page)
    return {"page": str(page)} | document


def _settings(args: argparse.Namespace) -> Settings:
    if not 0 < args.rate < 1e6:
        raise InputError("command line", "--rate", args.rate, "above 0 Hz, below 1e6")
    for name, value, most in (("--max-cuts", args.max_cuts, 20), ("--trees", args.trees, 50)):
        if not 1 <= value <= most:
            raise InputError("command line", name, value, f"1 to {most}")
    return Settings(args.rate, max_cuts=args.max_cuts, trees=args.trees, seed=args.random_seed)


def _others(path: Path) -> Inputs:
    """The events of a sample that nothing is learnt from."""
    everything = inputs.read(path)
    parts = [part_of(everything.parent, part) for part in (VALIDATION, TEST)]
    return everything.take(np.sort(np.concatenate(parts)))


def propose(
    group: Group, learnt: Inputs, hz: NDArray[np.float64], settings: Settings, kinds: Sequence[str] = KINDS
) -> list[Candidate]:
    """Candidates for a group, the best first. hz: rate of each event of the background."""
    order = np.random.default_rng(settings.seed).permutation(len(learnt))
    n = min(MOST, len(learnt) // 2)
    seen, hold = (Input(quantities.table(learnt.codes[rows]), hz[rows] * hz.sum() / hz[rows].sum())
                  for rows in (order[:n], order[n : n + MOST_HELD]))  # fmt: skip
    return candidates(sample_of(group, LEARN), seen, hold, sample_of(group, CHOOSE), settings, kinds)


def sample_of(group: Group, part: str) -> Sample:
    """The events of a part of a group."""
    data, known = group.data.part(part), group.simulation.part(part)
    if not len(data):
        raise InputError("cluster", f"events to {part}", 0, "some: the cluster is too small")
    return Sample(quantities.table(data.codes), quantities.table(known.codes), excess_of(data, known))


def _print(summary: dict[str, Any], page: Path) -> None:
    model, new, paid = summary["model"], summary["seeds"][-1], summary["cost"]
    print(f"cluster {summary['cluster']}: {model['kind']}, score >= {model['threshold']}")
    for line in model["rule"][:12]:
        print(f"  {line}")
    print(f"rate {_three(new['rate_hz'])} Hz; keeps {_three(new['excess'], 100)} % of the excess over simulation, "
          f"{_three(new['efficiency'], 100)} % of all events of the cluster")  # fmt: skip
    for label, one in summary["labels"].items():
        print(f"  {label} in the cluster: {_three(one['efficiency'], 100)} %")
    for one in summary["signals"]:
        print(f"  {one['name']}: " + ", ".join(f"{s} {100 * e[1]:.3g} %" for s, e in one["efficiency"].items()))
    print(f"{paid['lut']:,} LUT, {paid['latency_ns']} ns" if paid["known"] else f"cost unknown: {paid['reason']}")
    print(f"written: {page}")


def _three(interval: Sequence[float], scale: float = 1.0) -> str:
    low, value, high = (f"{scale * x:.3g}" for x in interval)
    return f"{value} [{low}, {high}]"
