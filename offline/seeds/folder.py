"""A dedicated seed as a model folder, like that of a trained model: every tool that takes one takes it.

network.json and menu.yaml are what emulator, trigger and cost read, golden.npz what `ad40 verify --golden` checks. The
model card and weights.h5 describe the same integers as layers of QKeras, so that `ad40 compile` and `ad40 verify` climb
their whole ladder. Nobody trained it with the card: its section `training` says only which seed its cuts came from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import golden, objects, spec
from ad40.files import atomic_path, write_yaml
from ad40.fixed import Fixed
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.model import Model, read_model
from ad40.network import Network, write_network
from ad40.spec import FEATURES, ObjectType

CARD, WEIGHTS = "model.yaml", "weights.h5"
GOLDEN_EVENTS = 512


def write(
    folder: Path, network: Network, seeds: Sequence[Seed], description: str, seed: int, codes: NDArray[np.integer]
) -> Model:
    """Write the folder and read it back. seeds: of the menu, loosest first, with one prescale for each column of
    `spec.ladder`; codes (n, 19, 3): events for the golden vectors, of which the first `GOLDEN_EVENTS` are taken."""
    policy = spec.ladder()
    menu = Menu((ModelRef(network.name, network.hash),), network.spec_hash, tuple(seeds), policy.columns)
    write_network(folder / "network.json", network)
    write_menu(folder / "menu.yaml", menu)
    write_yaml(folder / CARD, card_of(network, description, seed))
    _write_weights(folder / WEIGHTS, network)
    golden.write(folder / golden.FILE, golden.emulate(Model(folder, network, menu), codes[:GOLDEN_EVENTS]))
    return read_model(folder)


def card_of(network: Network, description: str, seed: int) -> dict[str, Any]:
    """The model card whose layers are those of the network."""
    stage = network.input
    offset, shift = (a.reshape(objects.N_OBJECTS, objects.N_FEATURES) for a in (stage.offset, stage.shift))
    features: dict[str, Any] = {}
    most = stage.format.max_code
    for kind in spec.objects().types:
        here = kind.slots.start
        features[kind.name] = {
            feature: {
                "offset": int(offset[here, k]),
                "shift": int(shift[here, k]),
                "range": _range(kind, feature, most),
            }
            for k, feature in enumerate(FEATURES)
            if not (feature == "eta" and kind.eta is None)
        }
    return {
        "name": network.name,
        "version": network.version,
        "description": description,
        "input": {"format": _format(stage.format), "azimuth": stage.azimuth, "features": features,
                  "connected": _connected(network)},
        "layers": [
            {"name": layer.name, "units": len(layer.bias), "weight": _format(layer.weight_format),
             "bias": _format(layer.bias_format), "activation": layer.activation, "output": _format(layer.output)}
            for layer in network.layers
        ],
        "score": {"kind": "output"},
        "training": {"epochs": 1, "batch": 1, "learning_rate": 1.0, "seed": seed, "loss": "distil"},
    }  # fmt: skip


def _format(fmt: Fixed) -> dict[str, Any]:
    return {"signed": fmt.signed, "integer": fmt.integer, "fraction": fmt.fraction}


def _range(kind: ObjectType, feature: str, most: int) -> list[float]:
    """The physical range of a feature that inputs up to `most` hold."""
    if feature == "pt":
        return [0, min(kind.pt.max_code - kind.pt.offset, most) * kind.pt.lsb]
    if feature == "eta" and kind.eta is not None:
        low = -kind.eta.max_code - 1  # the code whose input is 1; where one bit holds no other, a part of its range
        return [round(code * kind.eta.lsb, 6) for code in (low, min(kind.eta.max_code, low + max(most - 1, 0.3)))]
    steps = kind.phi.steps - 1 if kind.slots.start == objects.azimuth().met else kind.phi.steps // 2
    return [0, round(2 * math.pi / kind.phi.steps * min(steps, most), 6)]


def _connected(network: Network) -> list[str]:
    """The pairs type.feature that the first layer reads, `present` among the features."""
    used = network.used_inputs
    found = []
    for kind in spec.objects().types:
        slots = np.arange(kind.slots.start, kind.slots.stop)
        for k, feature in enumerate(FEATURES):
            if used[objects.N_FEATURES * slots + k].any():
                found.append(f"{kind.name}.{feature}")
    # with a pair of presence the first layer has an input for the presence of every object
    here = [kind.name for kind in spec.objects().types if used[objects.N_INPUTS :][kind.slots].any()]
    return found + [f"{name}.present" for name in here or ["met"]]


def _write_weights(path: Path, network: Network) -> None:
    """The weights as Keras 2 keeps them: a group for each layer, with the names of its arrays as attributes."""
    rows: list[tuple[str, dict[str, NDArray[np.float64]]]] = [("inputs", {})]
    for layer in network.layers:
        arrays = {"kernel:0": layer.weight_format.dequantise(layer.weight),
                  "bias:0": layer.bias_format.dequantise(layer.bias)}  # fmt: skip
        rows += [(layer.name, arrays), (f"{layer.name}_out", {})]
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in rows]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0.0"  # the first with this layout
        for name, arrays in rows:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}".encode() for part in arrays]
            for part, values in arrays.items():
                group[f"{name}/{part}"] = values.astype(np.float32)
