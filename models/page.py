"""`python -m models.page MODEL_DIR...`: a page of the documentation for each model, from what its folder holds.

Card and network say what the model is, metrics.json (`ad40 train`) what it finds, resources.json
(`python -m firmware.cost --synth --save`) what it costs, and the hashes which integers all of it is true for. A file
that is not there, or was made for other integers, is refused or said to be missing; nothing is written by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import released
from ad40.errors import Ad40Error, HashMismatch
from ad40.files import atomic_path, file_hash, read_json, read_yaml
from ad40.fixed import Fixed
from ad40.model import Model, read_model

INDEX = "README.md"
COMMAND = "python -m models.page"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = ["---", *["---:"] * (len(titles) - 1)]
    return ["| " + " | ".join(map(str, row)) + " |" for row in (titles, rule, *rows)] + [""]


def _held(folder: Path, name: str, model: Model) -> dict[str, Any] | None:
    """A JSON file of the folder, None when it is not there. Raises `HashMismatch` when it is of another network."""
    if not (folder / name).is_file():
        return None
    found: dict[str, Any] = read_json(folder / name)
    if found.get("network_hash") != model.network.hash:
        raise HashMismatch(folder / name, "network_hash", str(found.get("network_hash")), model.network.hash)
    return found


def _format(fmt: Fixed) -> str:
    """A fixed-point format as hls4ml writes it."""
    return f"{'' if fmt.signed else 'u'}fixed<{fmt.width},{fmt.integer + fmt.signed}>"


def _interval(values: Sequence[float], digits: int = 3, scale: float = 1.0) -> str:
    """A value and its interval."""
    low, middle, high = (f"{value * scale:.{digits}f}" for value in values)
    return f"{middle} ({low} to {high})"


def layers(model: Model) -> list[str]:
    """The network, layer by layer."""
    network, rows, before = model.network, [], model.network.n_inputs
    rows.append(
        ["inputs", f"{int(network.used_inputs.sum())} of {before} used", _format(network.input.format), "", "", ""]
    )
    for layer in network.layers:
        weights = f"{np.count_nonzero(layer.weight):,} of {layer.weight.size:,}"
        rows.append([f"`{layer.name}`", f"{before} to {len(layer.bias)}, {layer.activation}", _format(layer.output),
                     _format(layer.weight_format), weights, _digits(layer.weight)])  # fmt: skip
        before = len(layer.bias)
    titles = ["layer", "shape", "values", "weights", "weights that are not 0", "signed digits"]
    return [*_table(titles, rows), f"Score: {network.score_text}, {network.score_width} bits.", ""]


def _digits(weight: np.ndarray) -> str:
    """Non-zero signed digits of all weights, which is what adders cost: of w they are the bits of w xor 3 w."""
    codes = np.abs(weight.astype(np.int64))
    changed = (codes ^ (3 * codes)) >> 1
    return f"{sum(int(code).bit_count() for code in changed.ravel()):,}"


def performance(metrics: Mapping[str, Any] | None) -> list[str]:
    """What it finds, with intervals."""
    if metrics is None:
        return ["No metrics.json in the folder: `ad40 evaluate` has not been run.", ""]
    rows = [
        [name, _interval(signal["auc"]), *(_interval(signal["tpr"][fpr], 3, 100) for fpr in ("1e-3", "1e-5"))]
        for name, signal in metrics["signals"].items()
    ]
    titles = ["signal", "AUC", "TPR at FPR 1e-3, %", "TPR at FPR 1e-5, %"]
    text = f"{metrics['background_events']:,} background events of the {metrics['split']} part, sample "
    return [
        *_table(titles, rows),
        f"{text}`{metrics['sample_fingerprint'][:16]}`; intervals of {metrics['interval']}.",
        "",
    ]


def resources(found: Mapping[str, Any] | None) -> list[str]:
    """What it costs in firmware."""
    if found is None:
        return ["No resources.json in the folder: `python -m firmware.cost --synth --save` has not been run.", ""]
    rows: list[list[object]] = [
        ["LUT of network and score, estimate of the compiler", f"{found['lut']:,}"],
        ["flip-flops, estimate of the compiler", f"{found['ff']:,}"],
        ["fewest pipeline stages of the network", found["stages"]],
        ["slowest stage, ns, estimate of the compiler", f"{found['stage_ns']:.2f} of {found['clock_ns']:.2f}"],
        ["last input word to decision, clocks", found["latency_cycles"]],
        ["last input word to decision, ns", f"{found['latency_ns']:.1f}"],
        ["events per clock", 1],
        ["DSP", found["dsp"]],
    ]
    if found["lut_synth"] is not None:
        rows[1:1] = [
            ["LUT of input stage, network and score, mapped", f"{found['lut_synth']:,}"],
            ["slowest stage, ns, mapped", f"{found['path_ns_synth']:.2f} of {found['clock_ns']:.2f}"],
        ]
    tool = f" Mapped: {found['synth_tool']}." if found["lut_synth"] is not None else ""
    fits = "It fits the budget." if found["fits"] else f"It does not fit the budget: {found['reason']}."
    text = (f"Configuration `{found['configuration']}`, budget {found['budget_ns']:g} ns, measured on {found['date']}. "
            f"{fits}{tool}")  # fmt: skip
    return [*_table(["what", "measured"], rows), text, ""]


def page(folder: Path) -> str:
    """The page of a model folder."""
    model = read_model(folder)
    card, network, menu = read_yaml(folder / "model.yaml"), model.network, model.menu
    metrics, costs = _held(folder, "metrics.json", model), _held(folder, "resources.json", model)
    hashes = [["network", f"`{network.hash}`"], ["menu", f"`{menu.hash}`"]]
    golden = folder / "golden.npz"
    if golden.is_file():
        hashes.append(["golden.npz", f"`{file_hash(golden)}`"])
    release = released.find(network.name, network.version)
    same = release is not None and (release.network_hash, release.menu_hash) == (network.hash, menu.hash)
    seeds = [[seed.name, seed.threshold, ", ".join(f"{p:g}" for p in seed.prescales)] for seed in menu.seeds]
    lines = [
        f"# {network.name} {network.version}",
        "",
        f"{card.get('description', '').strip()}",
        "",
        f"Written by `{COMMAND}` from the folder of the model; {'released' if same else 'not released'}.",
        "",
        "## Network",
        "",
        *layers(model),
        "## What it finds",
        "",
        *performance(metrics),
        "## What it costs",
        "",
        *resources(costs),
        "## Menu",
        "",
        *_table(["seed", "threshold", "prescales"], seeds),
        "## Hashes",
        "",
        *_table(["what", "SHA-256"], hashes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def index(folders: Sequence[Path]) -> str:
    """A table of the models, one line each."""
    rows: list[list[str]] = []
    for folder in folders:
        model = read_model(folder)
        metrics, costs = _held(folder, "metrics.json", model), _held(folder, "resources.json", model)
        found = list((metrics or {"signals": {}})["signals"].values())
        tpr = [f"{100 * signal['tpr']['1e-3'][1]:.2f}" for signal in found]
        cost = [""] * 3
        if costs is not None:
            mapped = "" if costs["lut_synth"] is None else f"{costs['lut_synth']:,}"
            cost = [f"{costs['lut']:,}", mapped, f"{costs['latency_ns']:.1f}"]
        rows.append([f"[{model.network.name}]({model.network.name}.md)", " / ".join(tpr), *cost])
        names = list((metrics or {"signals": {}})["signals"])
    titles = ["model", f"TPR at FPR 1e-3, %: {' / '.join(names)}", "LUT, compiler", "LUT, mapped", "ns"]
    text = f"Written by `{COMMAND}`. LUT and ns as on the pages of the models."
    return "\n".join(["# Models", "", text, "", *_table(titles, rows)]).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL_DIR", help="model folder, or the name of a released model")
    text = "folder of the pages (default %(default)s)"
    parser.add_argument("--output", type=Path, default=Path("docs/models"), metavar="DIR", help=text)
    args = parser.parse_args(arguments)
    try:
        folders = [released.folder(model) for model in args.models]
        pages = {f"{read_model(folder).network.name}.md": page(folder) for folder in folders} | {INDEX: index(folders)}
        args.output.mkdir(parents=True, exist_ok=True)
        for name, content in pages.items():
            with atomic_path(args.output / name) as temporary:
                temporary.write_text(content, encoding="utf-8")
    except Ad40Error as error:
        print(f"models.page: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(pages)} pages in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
