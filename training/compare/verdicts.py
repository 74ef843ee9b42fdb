"""The wanted figures of compare.yaml and what was measured: met, or missed by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ad40.files import read_yaml
from ad40.schema import Node
from training.compare.limits import INTEGERS

SETTINGS = Path(__file__).with_name("compare.yaml")


@dataclass(frozen=True)
class Wanted:
    """The settings of a comparison; `figures` as the section `wanted` of compare.yaml has them."""

    fprs: dict[str, float]
    replicates: int
    seed: int
    roles: dict[str, str]
    deployed: dict[str, Any]
    baseline_of_share: str
    limit_fpr: str
    limit_signals: tuple[str, ...]
    quantisation_fpr: str
    figures: dict[str, float]


def settings(path: Path = SETTINGS) -> Wanted:
    """Read compare.yaml. Raises `SpecError` where it is malformed."""
    node = Node(read_yaml(path), path)
    node.keys({"version", "fprs", "replicates", "seed", "roles", "deployed", "baseline_of_share", "wanted", "limits"})
    node["roles"].keys({"smallest", "balanced"})
    node["deployed"].keys({"name", "lut"})
    wanted, special = node["wanted"], ("limit_fpr", "limit_signals", "quantisation_fpr")
    numbers = {"signals_above", "geometric_mean", "limit_fraction", "auc_signals", "lut_share", "lut_smallest",
               "latency_ns", "latency_ns_smallest", "dsp", "quantisation_auc", "training_minutes"}  # fmt: skip
    wanted.keys(numbers | set(special))
    fprs = {name: child.number(1e-9, 0.5) for name, child in node["fprs"].items()}
    for key in ("limit_fpr", "quantisation_fpr"):
        wanted[key].choice(tuple(fprs))
    return Wanted(
        fprs=fprs,
        replicates=node["replicates"].integer(20, 100_000),
        seed=node["seed"].integer(0, 2**32 - 1),
        roles={name: child.text() for name, child in node["roles"].items()},
        deployed={"name": node["deployed"]["name"].text(), "lut": node["deployed"]["lut"].integer(1, 10**7)},
        baseline_of_share=node["baseline_of_share"].text(),
        limit_fpr=wanted["limit_fpr"].text(),
        limit_signals=tuple(child.text() for child in wanted["limit_signals"]),
        quantisation_fpr=wanted["quantisation_fpr"].text(),
        figures={key: wanted[key].number(0, 1e9) for key in numbers},
    )


def lut(cost: dict[str, Any]) -> tuple[int, str]:
    """LUTs of a model and where the number is from: open synthesis, or else the estimate of the compiler."""
    return (cost["lut"], "compiler") if cost.get("lut_synth") is None else (cost["lut_synth"], "synthesis")


class Verdict(NamedTuple):
    """met is None where what it needs was not given; `by` says how far a missed figure is off."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    by: str = ""


def judge(document: dict[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """One row for each figure and each model that it is asked of: model, what, wanted, measured, met, by."""
    entries = document["entries"]
    return [
        {"model": name} | verdict._asdict() | ({"by": ""} if verdict.met else {})
        for name, entry in entries.items()
        if entry["kind"] == "model"
        for verdict in _of_model(name, entries, wanted)
    ]


def _of_model(name: str, entries: dict[str, Any], wanted: Wanted) -> Iterator[Verdict]:
    entry = entries[name]
    networks = {n: e for n, e in entries.items() if e["kind"] == "baseline"}
    for fpr in wanted.fprs:
        yield _above(fpr, entry, networks, wanted)
        yield _mean(fpr, entry, networks, wanted)
    yield from _limit(entry, wanted)
    yield _auc(entry, {n: e for n, e in entries.items() if e["kind"] != "model"}, wanted)
    yield from _cost(name, entry, entries, wanted)
    yield from _quantisation(entry, wanted)
    if name == wanted.roles["balanced"]:
        yield _most("training on 2 cores", entry["training_minutes"], wanted.figures["training_minutes"], "min",
                    "its `ad40 train --json` (--training)")  # fmt: skip


def _signals(n: float) -> str:
    return f"{n:g} signal" + "s" * (n != 1)


def _above(fpr: str, entry: dict[str, Any], networks: dict[str, Any], wanted: Wanted) -> Verdict:
    asked = wanted.figures["signals_above"]
    what, text = f"TPR at {fpr} above the best re-made network's interval", f"{asked:g} signals, the others not below"
    if not networks:
        return Verdict(what, text, "needs re-made designs (--baselines)", None)
    above, below = [], []
    for s, own in entry["signals"].items():
        low, _, high = max((e["signals"][s]["tpr"][fpr] for e in networks.values()), key=lambda t: t[1])
        value = own["tpr"][fpr][1]
        above += [s] if value > high else []
        below += [s] if value < low else []
    count = f"{len(above)} above" + (f", below: {', '.join(below)}" if below else "")
    by = [_signals(asked - len(above))] if len(above) < asked else []
    by += [f"{len(below)} below"] if below else []
    return Verdict(what, text, count, not by, " and ".join(by))


def _mean(fpr: str, entry: dict[str, Any], networks: dict[str, Any], wanted: Wanted) -> Verdict:
    least = wanted.figures["geometric_mean"]
    what, text = f"geometric mean of the TPRs at {fpr}, over that of the best re-made network", f"x{least:g} or more"
    if not networks:
        return Verdict(what, text, "needs re-made designs (--baselines)", None)
    low, value, high = entry["ratio"][fpr]["value"]
    measured = f"x{value:.2f} ({low:.2f} to {high:.2f}) of {entry['ratio'][fpr]['against']}"
    return Verdict(what, text, measured, value >= least, f"{least - value:.2f}")


def _limit(entry: dict[str, Any], wanted: Wanted) -> Iterator[Verdict]:
    least = wanted.figures["limit_fraction"]
    for s, (low, value, high) in entry["limit_fraction"][INTEGERS].items():
        if s in wanted.limit_signals:
            yield Verdict(f"fraction of the supervised limit, {s}", f"{least:g} or more",
                          f"{value:.2f} ({low:.2f} to {high:.2f})", value >= least, f"{least - value:.2f}")  # fmt: skip


def _auc(entry: dict[str, Any], others: dict[str, Any], wanted: Wanted) -> Verdict:
    asked, behind = wanted.figures["auc_signals"], []
    for s, own in entry["signals"].items():
        best = max(others, key=lambda n: others[n]["signals"][s]["auc"][1])
        gap = others[best]["signals"][s]["auc"][1] - own["auc"][1]
        behind += [f"{s} by {gap:.3f} ({best})"] if gap > 0 else []
    good = len(entry["signals"]) - len(behind)
    measured = _signals(good) + (f"; behind: {', '.join(behind)}" if behind else "")
    what = "AUC not below the best of the others, simple cuts included"
    return Verdict(what, f"{asked:g} signals", measured, good >= asked, _signals(asked - good))


def _most(what: str, value: float | None, limit: float, unit: str, missing: str) -> Verdict:
    """A figure that must not be above a limit; value None: not measured, and what it would take."""
    text = f"{limit:,.5g} {unit} or less".replace("  ", " ")
    if value is None:
        return Verdict(what, text, f"needs {missing}", None)
    return Verdict(what, text, f"{value:,.5g} {unit}".strip(), value <= limit, f"{value - limit:,.5g} {unit}".strip())


def _cost(name: str, entry: dict[str, Any], entries: dict[str, Any], wanted: Wanted) -> Iterator[Verdict]:
    cost, figures = entry["cost"], wanted.figures
    luts, source = lut(cost)
    if name == wanted.roles["balanced"]:
        share, peer = figures["lut_share"], wanted.baseline_of_share
        yield _most(f"LUT ({source}), a third of {wanted.deployed['name']}", luts, int(share * wanted.deployed["lut"]),
                    "LUT", "")  # fmt: skip
        what = f"LUT ({source}), a third of the re-made {peer}"
        theirs, by = lut(entries[peer]["cost"]) if peer in entries else (0, "")
        if by == source:
            yield _most(what, luts, int(share * theirs), "LUT", "")
        else:
            yield Verdict(what, "or less", f"needs {peer} in --baselines, with a figure of the same kind", None)
    small = name == wanted.roles["smallest"]
    if small:
        limit = figures["lut_smallest"]
        yield Verdict(f"LUT ({source})", f"under {limit:,.0f} LUT", f"{luts:,} LUT", luts < limit,
                      f"{luts - limit:,.0f} LUT")  # fmt: skip
    yield _most("latency, whole chain", cost["latency_ns"], figures["latency_ns_smallest" if small else "latency_ns"],
                "ns", "a network that fits")  # fmt: skip
    yield _most("DSP", cost["dsp"], figures["dsp"], "", "costs")


def _quantisation(entry: dict[str, Any], wanted: Wanted) -> Iterator[Verdict]:
    limit, fpr, twin = wanted.figures["quantisation_auc"], wanted.quantisation_fpr, entry.get("float")
    what, text = "AUC lost from float to integers, largest", f"{limit:g} or less"
    inside = f"TPR at {fpr} not below the float model's interval"
    if twin is None:
        yield Verdict(what, text, "needs the float twin (--twins)", None)
        yield Verdict(inside, "all signals", "needs the float twin (--twins)", None)
        return
    worst = max(twin["auc_loss"], key=lambda s: twin["auc_loss"][s])
    loss = twin["auc_loss"][worst]
    yield Verdict(what, text, f"{loss:+.4f} ({worst})", loss <= limit, f"{loss - limit:.4f}")
    outside = [s for s, own in entry["signals"].items() if own["tpr"][fpr][1] < twin["signals"][s]["tpr"][fpr][0]]
    yield Verdict(inside, "all signals", f"below: {', '.join(outside)}" if outside else "all signals", not outside,
                  _signals(len(outside)))  # fmt: skip
