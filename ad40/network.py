"""The frozen network: integers only, with everything needed to run it bit for bit.

Semantics, exact in integers (`ad40.emulator` is the fast form):

* input    x = clip((code - offset) >> shift) in `input.format`; an absent object gives zeros. With `input.present`, one
           more input for each object follows: 1.0 where it is there, 0 where not. With `input.azimuth` "met", code is
           `objects.angles_to_met(code)`: phi of all objects but MET is their angle to MET, 0 to half a turn; without
           MET these inputs are zeros. MET's own phi stays as it is
* layer    y = output.quantise(activation(x @ weight + bias)), the accumulator unrounded; leaky_relu multiplies what is
           negative by 2^-slope_shift, exactly
* score    see `ad40.score`
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.errors import HashMismatch, SpecError
from ad40.files import read_json, sha256_of, write_json
from ad40.fixed import Fixed
from ad40.schema import Node
from ad40.score import MASKED, Score, Scoring, check_scoring, integers, read_score

ACTIVATIONS = ("linear", "relu", "leaky_relu")
AZIMUTHS = ("absolute", "met")  # what phi is measured from: zero of the detector, or MET
FORMAT_VERSION = 3
MAX_SLOPE_SHIFT = 8


@dataclass(frozen=True, eq=False)
class InputStage:
    """Normalisation of the 57 inputs: offset and shift int64 (57,); a negative shift is a left shift. present: the
    presence of the 19 objects follows as inputs 57 to 75. azimuth: what phi is measured from, one of `AZIMUTHS`."""

    offset: NDArray[np.int64]
    shift: NDArray[np.int64]
    format: Fixed
    present: bool = False
    azimuth: str = AZIMUTHS[0]

    @property
    def angles(self) -> NDArray[np.bool_]:
        """Which of the 57 inputs are angles to MET, bool (57,)."""
        found = np.zeros((objects.N_OBJECTS, objects.N_FEATURES), np.bool_)
        if self.azimuth == "met":
            found[:, objects.PHI] = True
            found[objects.azimuth().met] = False
        return found.ravel()

    @property
    def one(self) -> int:
        """Code of an object that is there, 1.0 in `format`."""
        return 1 << self.format.fraction


@dataclass(frozen=True, eq=False)
class Layer:
    """A dense layer: weight codes int64 (n_in, n_out), bias codes int64 (n_out,). slope_shift: 0 but for leaky_relu."""

    name: str
    weight: NDArray[np.int64]
    weight_format: Fixed
    bias: NDArray[np.int64]
    bias_format: Fixed
    activation: str
    output: Fixed
    slope_shift: int = 0

    def scaled(self, fraction: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Weights and biases in one scale for inputs with `fraction` fraction bits, and the fraction bits of their
        sums. A leaky slope adds bits, so that it leaves integers."""
        product = fraction + self.weight_format.fraction
        common = max(product, self.bias_format.fraction) + self.slope_shift
        return self.weight << (common - product), self.bias << (common - self.bias_format.fraction), common

    def codes(self, x: NDArray[np.int64], fraction: int) -> NDArray[np.int64]:
        """Output codes (n, n_out) of input codes (n, n_in) with `fraction` fraction bits, as the definition reads."""
        weight, bias, common = self.scaled(fraction)
        sums = x @ weight + bias
        if self.activation == "relu":
            sums = np.maximum(sums, 0)
        elif self.activation == "leaky_relu":
            sums = np.where(sums < 0, sums >> self.slope_shift, sums)
        return self.output.quantise_codes(sums, common)


@dataclass(frozen=True, eq=False)
class Network:
    """A frozen network, as `models/<name>/network.json` holds it."""

    name: str
    version: str
    spec_hash: str
    input: InputStage
    layers: tuple[Layer, ...]
    score: Score

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the document."""
        return sha256_of(self.to_dict())

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer: 57, or 76 with the presence of the objects."""
        return objects.N_INPUTS + (objects.N_OBJECTS if self.input.present else 0)

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, and units of each layer."""
        return (self.n_inputs, *(len(layer.bias) for layer in self.layers))

    @property
    def scored_inputs(self) -> NDArray[np.bool_]:
        """Which of the 57 inputs the outputs are held against, bool (57,)."""
        return self.score.mask if self.score.kind in MASKED else np.zeros(objects.N_INPUTS, np.bool_)

    @property
    def used_inputs(self) -> NDArray[np.bool_]:
        """Which inputs reach the score, through a weight or by themselves, bool (n_inputs,)."""
        used: NDArray[np.bool_] = np.asarray(self.layers[0].weight.any(axis=1))
        used[: objects.N_INPUTS] |= self.scored_inputs
        return used

    @cached_property
    def observed(self) -> tuple[int, ...]:
        """Layers whose outputs an executor delivers, side by side: the last, and the earlier one of a distance."""
        names = [layer.name for layer in self.layers]
        last = len(names) - 1
        return (last, names.index(self.score.layer)) if self.score.kind == "distance" else (last,)

    @property
    def output_fractions(self) -> NDArray[np.int64]:
        """Fraction bits of each output that an executor delivers, int64 (outputs,)."""
        layers = [self.layers[i] for i in self.observed]
        return np.concatenate([np.full(len(layer.bias), layer.output.fraction) for layer in layers])

    @property
    def input_names(self) -> list[str]:
        """A name of each input of the first layer."""
        slots = spec.objects().slot_names
        names = [f"{slot}.{feature}" for slot in slots for feature in spec.FEATURES]
        return names + [f"{slot}.present" for slot in slots if self.input.present]

    @property
    def output_names(self) -> list[str]:
        """A name of each output that an executor delivers: its input's when it is held against one."""
        if self.score.kind in MASKED:
            return self.input_names[: objects.N_INPUTS]
        layers = [self.layers[i] for i in self.observed]
        return [f"{layer.name}[{i}]" for layer in layers for i in range(len(layer.bias))]

    @cached_property
    def scoring(self) -> Scoring:
        """The score on the formats of this network."""
        other = None
        if self.score.kind in MASKED:
            other = self.input.format
        elif self.score.kind == "distance":
            other = self.layers[self.observed[1]].output
        return Scoring(self.score, other, self.layers[-1].output)

    @property
    def score_text(self) -> str:
        """The score in a few words, for people."""
        what = "inputs" if self.score.kind in MASKED else "outputs"
        return f"{self.score.kind} over {int(self.score.mask.sum())} of {len(self.score.mask)} {what}"

    @property
    def score_fraction(self) -> int:
        """Fraction bits of hw_score: value = hw_score * 2^-score_fraction."""
        return self.scoring.fraction

    @property
    def score_max(self) -> int:
        """Largest hw_score that the formats allow."""
        return self.scoring.max

    @property
    def score_width(self) -> int:
        """Bits of hw_score, unsigned."""
        return self.score_max.bit_length()

    @property
    def format_version(self) -> int:
        """The first version of the document that can hold this network, so that each network has one document."""
        if self.input.azimuth != AZIMUTHS[0]:
            return 3
        first = self.score.kind == "masked_l1" and not self.score.shift and not self.input.present
        return 1 if first and all(layer.activation != "leaky_relu" for layer in self.layers) else 2

    def to_dict(self) -> dict[str, Any]:
        """The document form."""
        version = self.format_version
        return {
            "format_version": version,
            "name": self.name,
            "version": self.version,
            "spec_hash": self.spec_hash,
            "input": {
                "offset": self.input.offset.tolist(),
                "shift": self.input.shift.tolist(),
                "format": self.input.format.to_dict(),
            }
            | ({"present": self.input.present} if version > 1 else {})
            | ({"azimuth": self.input.azimuth} if version > 2 else {}),
            "layers": [
                {
                    "name": layer.name,
                    "weight": layer.weight.tolist(),
                    "weight_format": layer.weight_format.to_dict(),
                    "bias": layer.bias.tolist(),
                    "bias_format": layer.bias_format.to_dict(),
                    "activation": layer.activation,
                    "output": layer.output.to_dict(),
                }
                | ({"slope_shift": layer.slope_shift} if layer.activation == "leaky_relu" else {})
                for layer in self.layers
            ],
            "score": self.score.to_dict(version),
        }


def output_codes(network: Network, inputs: NDArray[np.integer]) -> NDArray[np.int64]:
    """Output codes int64 (n, outputs) of input codes (n, n_inputs) in 64-bit integers throughout, as the definition
    reads: slow, and for checks of the fast ways."""
    x, fraction = inputs.astype(np.int64), network.input.format.fraction
    found = []
    for layer in network.layers:
        x, fraction = layer.codes(x, fraction), layer.output.fraction
        found.append(x)
    return np.concatenate([found[i] for i in network.observed], axis=1)


def score_codes(
    network: Network,
    inputs: NDArray[np.integer],
    outputs: NDArray[np.integer],
    present: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """hw_score int32 (n,) of input codes (n, n_inputs), output codes (n, outputs) and present objects bool (n, 19).

    The definition shared by every executor that delivers network outputs.
    """
    n = len(network.layers[-1].bias)
    if network.score.kind in MASKED:
        here = np.repeat(present, objects.N_FEATURES, axis=1)
        return network.scoring(outputs[:, :n], inputs[:, : objects.N_INPUTS], here)
    return network.scoring(outputs[:, :n], outputs[:, n:] if network.score.kind == "distance" else None, None)


def write_network(path: str | Path, network: Network) -> None:
    """Write the frozen network as JSON, whole or not at all."""
    write_json(path, network.to_dict() | {"hash": network.hash})


def read_network(path: str | Path) -> Network:
    """Read and validate a frozen network. Raises `SpecError`, or `HashMismatch` when the content was changed
    or was frozen with other object scales."""
    node = Node(read_json(path), path)
    node.keys({"format_version", "name", "version", "spec_hash", "input", "layers", "score", "hash"})
    version = node["format_version"].integer(1, FORMAT_VERSION)
    stage = _read_input(node["input"], version)
    layers: list[Layer] = []
    width = objects.N_INPUTS + (objects.N_OBJECTS if stage.present else 0)
    for child in node["layers"]:
        layers.append(_read_layer(child, width, version))
        width = len(layers[-1].bias)
    names = [layer.name for layer in layers]
    if not layers or len(set(names)) != len(names):
        raise SpecError(path, "layers", names, "at least one layer, each with a name of its own")
    widths = {layer.name: len(layer.bias) for layer in layers}
    network = Network(
        name=node["name"].text(),
        version=node["version"].text(),
        spec_hash=node["spec_hash"].text(),
        input=stage,
        layers=tuple(layers),
        score=read_score(node["score"], version, objects.N_INPUTS, layers[-1].output, widths),
    )
    check_scoring(network.scoring, node["score"])
    if network.format_version != version:
        raise node["format_version"].fault(f"{network.format_version}, the first that holds such a network")
    if network.hash != node["hash"].value:
        raise HashMismatch(path, "hash of the content", network.hash, f"the recorded {node['hash'].value}")
    if network.spec_hash != spec.objects().hash:
        raise HashMismatch(path, "spec_hash", network.spec_hash, f"{spec.objects().hash}, the scales in use")
    return network


def _read_input(node: Node, version: int) -> InputStage:
    later = {2: {"present"}, 3: {"present", "azimuth"}}
    node.keys({"offset", "shift", "format", *later.get(version, ())})
    stage = InputStage(
        offset=integers(node["offset"], (objects.N_INPUTS,), -(1 << 16), 1 << 16),
        shift=integers(node["shift"], (objects.N_INPUTS,), -16, 16),
        format=Fixed.from_node(node["format"]),
        present=version > 1 and node["present"].boolean(),
        azimuth=node["azimuth"].choice(AZIMUTHS) if version > 2 else AZIMUTHS[0],
    )
    if stage.present and (stage.format.integer < 1 or stage.format.fraction < 0):
        raise node["format"].fault("a format that holds 1, the input of a present object")
    return stage


def _read_layer(node: Node, n_in: int, version: int) -> Layer:
    keys = {"name", "weight", "weight_format", "bias", "bias_format", "activation", "output"}
    leaky = isinstance(node.value, dict) and node.value.get("activation") == "leaky_relu" and version > 1
    node.keys(keys | {"slope_shift"} if leaky else keys)
    weight_format, bias_format = Fixed.from_node(node["weight_format"]), Fixed.from_node(node["bias_format"])
    if not isinstance(node["bias"].value, list) or not node["bias"].value:
        raise node["bias"].fault("a list of integers")
    n_out = len(node["bias"].value)
    return Layer(
        name=node["name"].text(),
        weight=integers(node["weight"], (n_in, n_out), weight_format.min_code, weight_format.max_code),
        weight_format=weight_format,
        bias=integers(node["bias"], (n_out,), bias_format.min_code, bias_format.max_code),
        bias_format=bias_format,
        activation=node["activation"].choice(ACTIVATIONS if version > 1 else ACTIVATIONS[:2]),
        output=Fixed.from_node(node["output"]),
        slope_shift=node["slope_shift"].integer(1, MAX_SLOPE_SHIFT) if leaky else 0,
    )
