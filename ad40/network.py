"""The frozen network: integers only, with everything needed to run it bit for bit.

Semantics, exact in integers (`ad40.emulator` is the executable form):

* input    x = clip((code - offset) >> shift) in `input.format`; an absent object gives zeros
* layer    y = output.quantise(activation(x @ weight + bias)), the accumulator unrounded
* score    hw_score = sum over scored inputs of present objects of |x_i - y_i|, in LSBs of 2^-score.fraction
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

ACTIVATIONS = ("linear", "relu")
SCORES = ("masked_l1",)
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class InputStage:
    """Normalisation of the 57 inputs: offset and shift int64 (57,); a negative shift is a left shift."""

    offset: NDArray[np.int64]
    shift: NDArray[np.int64]
    format: Fixed


@dataclass(frozen=True, eq=False)
class Layer:
    """A dense layer: weight codes int64 (n_in, n_out), bias codes int64 (n_out,)."""

    name: str
    weight: NDArray[np.int64]
    weight_format: Fixed
    bias: NDArray[np.int64]
    bias_format: Fixed
    activation: str
    output: Fixed


@dataclass(frozen=True, eq=False)
class Score:
    """Which of the 57 inputs are scored: mask bool (57,)."""

    kind: str
    mask: NDArray[np.bool_]


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
    def score_fraction(self) -> int:
        """Fraction bits of hw_score: value = hw_score * 2^-score_fraction."""
        return max(self.input.format.fraction, self.layers[-1].output.fraction)

    @property
    def score_max(self) -> int:
        """Largest hw_score that the formats allow."""
        x, y = self.input.format, self.layers[-1].output
        up_x, up_y = self.score_fraction - x.fraction, self.score_fraction - y.fraction
        most = max((x.max_code << up_x) - (y.min_code << up_y), (y.max_code << up_y) - (x.min_code << up_x))
        return int(self.score.mask.sum()) * most

    @property
    def score_width(self) -> int:
        """Bits of hw_score, unsigned."""
        return self.score_max.bit_length()

    def to_dict(self) -> dict[str, Any]:
        """The document form."""
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "version": self.version,
            "spec_hash": self.spec_hash,
            "input": {
                "offset": self.input.offset.tolist(),
                "shift": self.input.shift.tolist(),
                "format": self.input.format.to_dict(),
            },
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
                for layer in self.layers
            ],
            "score": {"kind": self.score.kind, "mask": self.score.mask.astype(int).tolist()},
        }


def score_codes(
    network: Network,
    inputs: NDArray[np.integer],
    outputs: NDArray[np.integer],
    present: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """hw_score int32 (n,) of input and output codes (n, 57) and present objects bool (n, 19).

    The definition shared by every executor that delivers network outputs.
    """
    scored = network.score.mask & np.repeat(present, objects.N_FEATURES, axis=1)
    up_x = network.score_fraction - network.input.format.fraction
    up_y = network.score_fraction - network.layers[-1].output.fraction
    difference = (inputs.astype(np.int64) << up_x) - (outputs.astype(np.int64) << up_y)
    total: NDArray[np.int64] = (np.abs(difference) * scored).sum(axis=1)
    return total.astype(np.int32)


def write_network(path: str | Path, network: Network) -> None:
    """Write the frozen network as JSON, whole or not at all."""
    write_json(path, network.to_dict() | {"hash": network.hash})


def read_network(path: str | Path) -> Network:
    """Read and validate a frozen network. Raises `SpecError`, or `HashMismatch` when the content was changed
    or was frozen with other object scales."""
    node = Node(read_json(path), path)
    node.keys({"format_version", "name", "version", "spec_hash", "input", "layers", "score", "hash"})
    node["format_version"].integer(FORMAT_VERSION, FORMAT_VERSION)
    node["input"].keys({"offset", "shift", "format"})
    node["score"].keys({"kind", "mask"})
    layers: list[Layer] = []
    width = objects.N_INPUTS
    for child in node["layers"]:
        layers.append(_read_layer(child, width))
        width = len(layers[-1].bias)
    if width != objects.N_INPUTS:
        raise SpecError(path, "layers", f"{width} outputs", f"{objects.N_INPUTS} outputs of the last layer")
    network = Network(
        name=node["name"].text(),
        version=node["version"].text(),
        spec_hash=node["spec_hash"].text(),
        input=InputStage(
            offset=_integers(node["input"]["offset"], (objects.N_INPUTS,), -(1 << 16), 1 << 16),
            shift=_integers(node["input"]["shift"], (objects.N_INPUTS,), -16, 16),
            format=Fixed.from_node(node["input"]["format"]),
        ),
        layers=tuple(layers),
        score=Score(
            kind=node["score"]["kind"].choice(SCORES),
            mask=_integers(node["score"]["mask"], (objects.N_INPUTS,), 0, 1).astype(np.bool_),
        ),
    )
    if not network.score.mask.any():
        raise SpecError(path, "score.mask", "all 0", "at least one scored input")
    if network.score_width > 31:
        raise SpecError(path, "score", f"{network.score_width} bits", "formats whose score fits 31 bits")
    if network.hash != node["hash"].value:
        raise HashMismatch(path, "hash of the content", network.hash, f"the recorded {node['hash'].value}")
    if network.spec_hash != spec.objects().hash:
        raise HashMismatch(path, "spec_hash", network.spec_hash, f"{spec.objects().hash}, the scales in use")
    return network


def _read_layer(node: Node, n_in: int) -> Layer:
    node.keys({"name", "weight", "weight_format", "bias", "bias_format", "activation", "output"})
    weight_format, bias_format = Fixed.from_node(node["weight_format"]), Fixed.from_node(node["bias_format"])
    if not isinstance(node["bias"].value, list) or not node["bias"].value:
        raise node["bias"].fault("a list of integers")
    n_out = len(node["bias"].value)
    return Layer(
        name=node["name"].text(),
        weight=_integers(node["weight"], (n_in, n_out), weight_format.min_code, weight_format.max_code),
        weight_format=weight_format,
        bias=_integers(node["bias"], (n_out,), bias_format.min_code, bias_format.max_code),
        bias_format=bias_format,
        activation=node["activation"].choice(ACTIVATIONS),
        output=Fixed.from_node(node["output"]),
    )


def _integers(node: Node, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """An array of integers of a given shape, each in [low, high]."""
    try:
        array = np.array(node.value)
    except ValueError:
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise SpecError(node.file, node.path, f"{array.dtype} of shape {array.shape}", f"integers of shape {shape}")
    if array.min() < low or array.max() > high:
        raise SpecError(
            node.file,
            node.path,
            f"{array.min()} to {array.max()}",
            f"codes from {low} to {high} of its format",
        )
    return array.astype(np.int64)
