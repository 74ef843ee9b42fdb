"""A model folder with random weights and its compiled firmware: for tests of agreement, not of physics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ad40 import spec
from ad40.emulator import Emulator
from ad40.files import read_yaml, write_yaml
from ad40.menu import Menu, ModelRef, Rule, Seed, write_menu
from ad40.model import read_model
from ad40.network import write_network
from ad40.objects import encode
from tests.conftest import random_events

RELEASED = Path(__file__).parents[1] / "models" / "ad40_v1"
RELU, LINEAR = {"signed": False, "integer": 3, "fraction": 3}, {"signed": True, "integer": 3, "fraction": 4}
LEAKY = LINEAR | {"slope": 0.25}
Shape = dict[str, tuple[int, dict[str, Any]]]
SHAPE: Shape = {"encoder": (6, RELU), "latent": (3, LINEAR), "decoder": (6, RELU), "reconstruction": (57, LINEAR)}
# One of every other score: layers and what the card says of the score
KINDS: dict[str, tuple[Shape, dict[str, Any]]] = {
    "masked_l2": (SHAPE, {"features": ["met.pt", "egamma.pt", "muon.eta", "jet.pt"], "shift": 2}),
    "sum_squares": ({"encoder": (6, LEAKY), "mean": (4, LINEAR)}, {"outputs": [0, 1, 3], "shift": 1}),
    "distance": (
        {"encoder": (6, RELU), "embedding": (4, LEAKY), "inner": (2, RELU),
         "outer": (4, {"signed": True, "integer": 2, "fraction": 5})},
        {"layer": "embedding", "shift": 3}),
    "kl": (
        {"encoder": (6, RELU), "latent": (4, LINEAR)},
        {"mean": [0, 1], "log_variance": [2, 3], "fraction": 4, "bits": 9}),
    "rz": (
        {"encoder": (6, RELU), "latent": (4, LINEAR)},
        {"mean": [1, 0], "log_variance": [2, 3], "fraction": 4, "bits": 7, "shift": 2}),
    "output": ({"encoder": (6, LEAKY), "score": (1, {"signed": True, "integer": 5, "fraction": 5})}, {"shift": 1}),
}  # fmt: skip


def write_small_model(
    folder: Path, seed: int = 5, name: str = "small", kind: str = "", present: bool = False, from_met: bool = False
) -> Path:
    """57-6-3-6-57 with the inputs of the released card, a quarter of the weights set; or with a score of another kind.
    present: the presence of leptons and jets are inputs too. from_met: phi is relative to MET."""
    from models import build
    from models.card import read_card
    from training.freeze import freeze_network, thresholds

    folder.mkdir(parents=True, exist_ok=True)
    card = read_yaml(RELEASED / "model.yaml")
    card["name"] = name
    shape, score = KINDS[kind] if kind else (SHAPE, {})
    card["layers"] = [
        {
            "name": name,
            "units": units,
            "weight": {"signed": True, "integer": 0, "fraction": 4},
            "bias": {"signed": True, "integer": 2, "fraction": 4},
            "activation": "leaky_relu" if "slope" in output else "linear" if output["signed"] else "relu",
            "output": {key: value for key, value in output.items() if key != "slope"},
        }
        | ({"slope": output["slope"]} if "slope" in output else {})
        for name, (units, output) in shape.items()
    ]
    if kind:
        card["score"] = {"kind": kind, **score}
    if present:
        card["input"]["connected"] += ["egamma.present", "muon.present", "jet.present"]
    if from_met:
        card["input"]["azimuth"] = "met"
        for kind_name, offset, shift in (("egamma", 0, 3), ("muon", 40, 4), ("jet", -5, 1)):
            phi = {"offset": offset, "shift": shift, "range": [0.5, 1.5]}
            card["input"]["features"][kind_name]["phi"] = phi
            if f"{kind_name}.phi" not in card["input"].setdefault("connected", []):
                card["input"]["connected"].append(f"{kind_name}.phi")
    write_yaml(folder / "model.yaml", card)
    parsed = read_card(folder / "model.yaml")
    model, rng = build.build(parsed), np.random.default_rng(seed)
    for layer in parsed.layers:
        dense = model.get_layer(layer.name)
        drawn = []
        for fmt, array in zip((layer.weight, layer.bias), dense.get_weights(), strict=True):
            codes = rng.integers(fmt.min_code, fmt.max_code + 1, array.shape)
            drawn.append(fmt.dequantise(codes * (rng.random(array.shape) < (0.5 if kind else 0.25))))
        if layer.name == "decoder":  # neurons without weights, as pruning leaves them; their biases lie on ties
            drawn[0][:, :2], drawn[1][:2] = 0, (5 / 16, 7 / 16)
        dense.set_weights(drawn)
    model.save_weights(str(folder / "weights.h5"))
    network = freeze_network(model, parsed)
    write_network(folder / "network.json", network)
    policy = spec.ladder()
    scores = Emulator(network).score(encode(random_events(20000, seed=seed)).codes)
    cuts = thresholds(scores, policy)
    prescales = (1.0, 1.5, 2.37, 1.0, 3.0)
    seeds = tuple(
        Seed(s.name, name, cut, (prescales[i % 5],)) for i, (s, cut) in enumerate(zip(policy.seeds, cuts, strict=True))
    )
    write_menu(folder / "menu.yaml", Menu((ModelRef(name, network.hash),), spec.objects().hash, seeds))
    return folder


def write_common_menu(path: Path, folders: Sequence[Path]) -> Path:
    """A menu over several small models: two seeds of each in turn, a veto, a masked BX range, two prescale columns
    and trigger rules."""
    models = [read_model(folder) for folder in folders]
    seeds = []
    for rank in (0, 2):
        for model in models:
            seed = model.menu.seeds[rank]
            name = f"{model.network.name}_{seed.name}"
            seeds.append(Seed(name, model.network.name, seed.threshold, (*seed.prescales, 2.5)))
    last = models[-1].menu.seeds[-1]
    seeds.append(Seed("Veto", models[-1].network.name, last.threshold, (1.0, 0.0), enabled=False, veto=True))
    seeds[1] = replace(seeds[1], bx=((10, 700), (702, 3500)))
    refs = tuple(ModelRef(model.network.name, model.network.hash) for model in models)
    rules = (Rule(1, 3), Rule(2, 40))
    write_menu(path, Menu(refs, spec.objects().hash, tuple(seeds), ("low", "high"), rules))
    return path
