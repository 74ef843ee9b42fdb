"""QKeras -> integers: network.json, menu.yaml and golden.npz of a model folder.

Every weight must be on its grid exactly; nothing is rounded here. The thresholds of the menu are integer
quantiles of the background validation scores, computed by the integer emulator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import golden, spec
from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.fixed import Fixed
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.model import Model
from ad40.network import Layer, Network, write_network
from ad40.spec import LadderSpec, ObjectsSpec
from ad40.split import TEST, VALIDATION
from models.card import Card
from training.datasets import Background

GOLDEN_EVENTS = 512


def codes_on_grid(values: NDArray[np.floating], fmt: Fixed, where: str) -> NDArray[np.int64]:
    """Integer codes of real weights, refusing any that is not exactly a code of the format.

    Raises `InputError` naming the first weight off its grid.
    """
    scaled = np.asarray(values, np.float64) * 2.0**fmt.fraction
    codes = np.rint(scaled).astype(np.int64)
    off = (codes != scaled) | (codes < fmt.min_code) | (codes > fmt.max_code)
    if off.any():
        index = tuple(int(i) for i in np.argwhere(off)[0])
        raise InputError(
            where,
            f"weight {list(index)}",
            float(values[index]),
            f"a multiple of {fmt.lsb:g} from {fmt.min_code * fmt.lsb:g} to {fmt.max_code * fmt.lsb:g} "
            f"({int(off.sum())} weights are off)",
        )
    return codes


def integer_network(card: Card, weights: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Network:
    """The integer network of a card and of the real (kernel, bias) of each layer, which are on their grids."""
    objects = spec.objects()
    layers = []
    for layer in card.layers:
        kernel, bias = weights[layer.name]
        layers.append(
            Layer(
                name=layer.name,
                weight=codes_on_grid(kernel, layer.weight, f"layer {layer.name} kernel"),
                weight_format=layer.weight,
                bias=codes_on_grid(bias, layer.bias, f"layer {layer.name} bias"),
                bias_format=layer.bias,
                activation=layer.activation,
                output=layer.output,
                slope_shift=layer.slope_shift,
            )
        )
    return Network(
        name=card.name,
        version=card.version,
        spec_hash=objects.hash,
        input=card.input_stage(objects),
        layers=tuple(layers),
        score=card.frozen_score(objects),
    )


def freeze_network(model: Any, card: Card) -> Network:
    """The integer network of a QKeras model whose weights are on the grids of its card."""
    return integer_network(
        card, {layer.name: tuple(model.get_layer(layer.name).get_weights()) for layer in card.layers}
    )


def thresholds(scores: NDArray[np.integer], policy: LadderSpec) -> list[int]:
    """Integer thresholds of the seeds, strictly increasing.

    Each is the smallest integer at which the share of `scores` that reach it is at most the seed's background
    efficiency; a tie with the seed before it moves the later one up by one.
    """
    ordered = np.sort(np.asarray(scores, np.int64))
    found: list[int] = []
    for seed in policy.seeds:
        allowed = int(np.floor(seed.background_efficiency * len(ordered) + 1e-9))
        # at most `allowed` scores may reach the threshold: it lies just above the next lower score
        threshold = int(ordered[len(ordered) - allowed - 1]) + 1 if allowed < len(ordered) else int(ordered[0])
        found.append(max(threshold, found[-1] + 1) if found else threshold)
    return found


def refuse_saturation(cuts: list[int], scores: NDArray[np.integer], most: int, folder: Path) -> None:
    """Refuse thresholds that only a score above the largest possible one, `most`, would reach. Raises `InputError`."""
    if cuts[-1] > most:
        found = f"{most}, its largest, for {float((scores == most).mean()):.2%} of the validation events"
        expected = "a score that does not saturate: more integer bits or smaller weights in the last layer"
        raise InputError(folder, "score", found, expected)


def edge_events(objects: ObjectsSpec, rng: np.random.Generator, random: int = 128) -> NDArray[np.int32]:
    """Directed codes int32 (n, 19, 3): empty, full, every field at its ends, phi wrap, then random codes."""
    slots = objects.slots
    low = np.array([[1, -(s.eta.max_code + 1) if s.eta else 0, 0] for s in slots])
    high = np.array([[s.pt.max_code, s.eta.max_code if s.eta else 0, s.phi.steps - 1] for s in slots])
    middle = np.array([[40, 0, s.phi.steps // 2] for s in slots])
    events = [np.zeros_like(low), low, high, middle]
    for slot in range(len(slots)):
        for corner in (low, high):  # one object alone, then missing from a full event
            alone, without = np.zeros_like(low), middle.copy()
            alone[slot], without[slot] = corner[slot], 0
            events += [alone, without]
        for feature in range(3):
            for corner in (low, high):
                changed = middle.copy()
                changed[slot, feature] = corner[slot, feature]
                events.append(changed)
    drawn = rng.integers(low, high + 1, size=(random, *low.shape))
    drawn *= rng.random((random, len(slots), 1)) < 0.6
    return np.concatenate([np.stack(events), drawn]).astype(np.int32)


def freeze(folder: Path, model: Any, card: Card, sample: Background) -> dict[str, Any]:
    """Write network.json, menu.yaml and golden.npz into a model folder; returns their hashes and thresholds."""
    objects, policy = spec.objects(), spec.ladder()
    network = freeze_network(model, card)
    emulator = Emulator(network)
    validation = emulator.score(sample.codes[sample.rows(VALIDATION)].astype(np.int32))
    if len(np.unique(validation)) < len(policy.seeds):
        raise InputError(folder, "score", f"{len(np.unique(validation))} distinct values", "a score that spreads")
    cuts = thresholds(validation, policy)
    refuse_saturation(cuts, validation, network.score_max, folder)
    seeds = tuple(Seed(s.name, card.name, cut, s.prescales) for s, cut in zip(policy.seeds, cuts, strict=True))
    menu = Menu((ModelRef(card.name, network.hash),), objects.hash, seeds, policy.columns)
    rng = np.random.default_rng(card.training.seed)
    rows = np.sort(rng.permutation(sample.rows(TEST))[:GOLDEN_EVENTS])
    codes = np.concatenate([edge_events(objects, rng), sample.codes[rows].astype(np.int32)])
    write_network(folder / "network.json", network)
    write_menu(folder / "menu.yaml", menu)
    golden.write(folder / golden.FILE, golden.emulate(Model(folder, network, menu), codes))
    return {
        "network_hash": network.hash,
        "spec_hash": objects.hash,
        "menu_hash": menu.hash,
        "thresholds": dict(zip((s.name for s in policy.seeds), cuts, strict=True)),
        "golden_events": len(codes),
    }
