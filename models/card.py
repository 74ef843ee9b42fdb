"""Model cards: the YAML that describes a model, read into frozen dataclasses.

A card names the input scaling, the layers with their bit widths, the features that enter the score and the
settings of the training. Unknown keys are refused, and so is a card whose bits cannot hold its own range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import SpecError
from ad40.files import read_yaml
from ad40.fixed import Fixed
from ad40.network import ACTIVATIONS, AZIMUTHS, MAX_SLOPE_SHIFT, InputStage
from ad40.objects import N_INPUTS, N_OBJECTS, azimuth
from ad40.schema import Node
from ad40.score import MASKED, Score, Scoring, check_scoring
from ad40.spec import FEATURES, ObjectsSpec, ObjectType, objects
from models.score_card import VARIATIONAL, ScoreCard, feature_pairs, parse_score

# Losses of training/losses.py, and the scores that they train
LOSSES: dict[str, tuple[str, ...]] = {
    "l1": MASKED,
    "mse": MASKED,
    "variational": ("sum_squares", *VARIATIONAL),
    "embedding": ("distance",),
    "distil": ("output",),
}
PRESENT = "present"  # an input of an object besides its features: 1 where it is there
Pair = tuple[str, str]  # (object type, feature)


@dataclass(frozen=True)
class FeatureInput:
    """Input scaling of one feature: x = (code - offset) >> shift; a negative shift is a left shift.

    low, high: the physical range that the input format must hold; pt in GeV, eta, phi in rad from 0 to 2 pi, an angle
    to MET from 0 to pi.
    """

    offset: int
    shift: int
    low: float
    high: float

    def scale(self, code: int) -> int:
        """The integer that the input format receives for an object code."""
        centred = code - self.offset
        return centred >> self.shift if self.shift >= 0 else centred << -self.shift


@dataclass(frozen=True)
class LayerCard:
    """One dense layer: out = output.quantise(activation(x @ weight + bias)). leaky_relu multiplies what is negative by
    2^-slope_shift."""

    name: str
    units: int
    weight: Fixed
    bias: Fixed
    activation: str
    output: Fixed
    slope_shift: int = 0


@dataclass(frozen=True)
class Decorrelated:
    """Against which model the score is trained to be independent: of events with a high score of it as many are to
    have a high score of this one as of all. model: a folder, or the name of a released model; weight: of that in the
    loss."""

    model: str
    weight: float


@dataclass(frozen=True)
class TrainingCard:
    """Settings of the training. Epoch counts are upper limits: early stopping may end it sooner.

    loss: a name in `training.losses`, such as l1 and mse: of input and output over the scored features.
    absent_weight: weight of an absent object in the loss, whose target is 0 (0: absent objects do not count).
    sparsity: share of weights that pruning sets to zero, reached at epoch `pruned_at`. l1: penalty on the absolute
    weights. patience: epochs without improvement before the learning rate falls by `plateau_factor`; `stop_after`:
    before the training ends. beta: share of the KL divergence in the loss `variational`. embedding_epochs: epochs of
    the loss `embedding` before its autoencoder is trained; pruning and the counts above start again then. families: of
    corrupted events that the teacher of the loss `distil` knows; none means `DEFAULT` of `training.teach.families`.
    decorrelate: for the loss `distil`, a second score beside that of a frozen model, independent of it. teacher: score
    file that the loss `distil` learns from (`training.teach.scored`), from the working folder; none means the trees of
    `training.teach.teacher`.
    """

    epochs: int
    batch: int
    learning_rate: float
    seed: int
    loss: str = "l1"
    absent_weight: float = 0.0
    sparsity: float = 0.5
    pruned_at: int = 10
    l1: float = 0.0
    patience: int = 3
    plateau_factor: float = 0.3
    stop_after: int = 8
    beta: float = 0.8
    embedding_epochs: int = 10
    families: tuple[str, ...] = ()
    teacher: str = ""
    decorrelate: Decorrelated | None = None


@dataclass(frozen=True)
class Card:
    """A model card.

    azimuth: what phi is measured from, absolute (zero of the detector) or met: phi of all objects but MET is then
    their angle to MET. inputs: scaling of each (type, feature). connected: the pairs that the first layer reads (its
    weights for the others are zero); with a pair (type, present) it has 76 inputs instead of 57. document: the YAML as
    it was read.
    """

    name: str
    version: str
    description: str
    input_format: Fixed
    azimuth: str
    inputs: dict[Pair, FeatureInput]
    connected: tuple[Pair, ...]
    layers: tuple[LayerCard, ...]
    score: ScoreCard
    training: TrainingCard
    document: dict[str, Any]

    def input_stage(self, spec: ObjectsSpec) -> InputStage:
        """Offsets and shifts of the 57 inputs, in the order of the slots (MET eta: 0)."""
        offset, shift = np.zeros(N_INPUTS, np.int64), np.zeros(N_INPUTS, np.int64)
        for slot, kind in enumerate(spec.slots):
            for column, feature in enumerate(FEATURES):
                entry = self.inputs.get((kind.name, feature))
                if entry is not None:
                    offset[3 * slot + column], shift[3 * slot + column] = entry.offset, entry.shift
        present = self.n_inputs > N_INPUTS
        return InputStage(offset, shift, self.input_format, present, self.azimuth)

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer: 57, or 76 with the presence of the objects."""
        return N_INPUTS + (N_OBJECTS if any(feature == PRESENT for _, feature in self.connected) else 0)

    @property
    def observed(self) -> tuple[LayerCard, ...]:
        """Layers whose outputs the score reads: the last, and the earlier one of a distance."""
        return (self.layers[-1], *(layer for layer in self.layers if layer.name == self.score.layer))

    def scored_inputs(self, spec: ObjectsSpec) -> NDArray[np.bool_]:
        """Which of the 57 inputs the outputs are held against, bool (57,)."""
        return _mask(self.score.features, spec)

    def frozen_score(self, spec: ObjectsSpec) -> Score:
        """The score of the integer network."""
        return self.score.freeze(self.scored_inputs(spec), self.layers[-1].units, self.layers[-1].output)

    def input_mask(self, spec: ObjectsSpec) -> NDArray[np.bool_]:
        """Which inputs the first layer reads, bool (n_inputs,)."""
        present = [(kind.name, PRESENT) in self.connected for kind in spec.slots]
        return np.array([*_mask(self.connected, spec), *present])[: self.n_inputs]


def _mask(pairs: tuple[Pair, ...], spec: ObjectsSpec) -> NDArray[np.bool_]:
    return np.array([(kind.name, feature) in pairs for kind in spec.slots for feature in FEATURES])


def _code_of(kind: ObjectType, feature: str, value: float, angle: bool, node: Node) -> int:
    """Object code of a physical value, refusing values that the hardware scale does not reach. angle: phi is the angle
    to MET."""
    if feature == "pt":
        code, low, high = round(value / kind.pt.lsb) + kind.pt.offset, 0, (1 << kind.pt.bits) - 1
    elif feature == "eta":
        assert kind.eta is not None
        code = round(value / kind.eta.lsb)
        low, high = -(1 << (kind.eta.bits - 1)), (1 << (kind.eta.bits - 1)) - 1
    elif angle:
        code, low, high = round(value / (2 * math.pi) * kind.phi.steps), 0, kind.phi.steps // 2
        if not low <= code <= high:
            raise node.fault(f"an angle of {kind.name} to MET, 0 to pi rad (azimuth met)")
    else:
        code, low, high = min(round(value / (2 * math.pi) * kind.phi.steps), kind.phi.steps - 1), 0, kind.phi.steps - 1
    if not low <= code <= high:
        raise node.fault(f"a {feature} that the {kind.name} scale reaches (code {code} is outside {low}..{high})")
    return code


def _feature(node: Node, kind: ObjectType, feature: str, angle: bool, fmt: Fixed) -> FeatureInput:
    node.keys({"offset", "shift", "range"})
    bounds = [item.number(-1e5, 1e5) for item in node["range"]]
    if len(bounds) != 2 or bounds[0] >= bounds[1]:
        raise node["range"].fault("two numbers [low, high] with low < high")
    entry = FeatureInput(node["offset"].integer(-4096, 4096), node["shift"].integer(-8, 12), *bounds)
    for i, bound in enumerate(bounds):
        x = entry.scale(_code_of(kind, feature, bound, angle, node["range"][i]))
        if not fmt.min_code <= x <= fmt.max_code:
            raise node["range"][i].fault(
                f"a range that the input format holds: {bound:g} becomes {x} after offset and shift, "
                f"and {fmt.width} bits hold {fmt.min_code}..{fmt.max_code}"
            )
    return entry


def _inputs(node: Node, spec: ObjectsSpec) -> tuple[Fixed, str, dict[Pair, FeatureInput], tuple[Pair, ...]]:
    node.keys({"format", "features"}, optional={"azimuth", "connected"})
    fmt = Fixed.from_node(node["format"])
    reference = node["azimuth"].choice(AZIMUTHS) if "azimuth" in node else AZIMUTHS[0]
    features = node["features"]
    features.keys({kind.name for kind in spec.types})
    inputs = {}
    for kind in spec.types:
        # MET has no eta: its input is 0 by definition
        names = tuple(f for f in FEATURES if not (f == "eta" and kind.eta is None))
        features[kind.name].keys(set(names))
        for name in names:
            angle = reference == "met" and name == "phi" and kind.first_slot != azimuth().met
            inputs[kind.name, name] = _feature(features[kind.name][name], kind, name, angle, fmt)
    here = tuple((kind.name, PRESENT) for kind in spec.types)
    connected = feature_pairs(node["connected"], (*inputs, *here)) if "connected" in node else tuple(inputs)
    if set(here) & set(connected) and (fmt.integer < 1 or fmt.fraction < 0):
        raise node["format"].fault("a format that holds 1, the input of a present object")
    return fmt, reference, inputs, connected


def _layer(node: Node) -> LayerCard:
    leaky = isinstance(node.value, dict) and node.value.get("activation") == "leaky_relu"
    node.keys({"name", "units", "weight", "bias", "activation", "output", *(("slope",) if leaky else ())})
    layer = LayerCard(
        name=node["name"].text(),
        units=node["units"].integer(1, 4096),
        weight=Fixed.from_node(node["weight"]),
        bias=Fixed.from_node(node["bias"]),
        activation=node["activation"].choice(ACTIVATIONS),
        output=Fixed.from_node(node["output"]),
        slope_shift=_slope_shift(node["slope"]) if leaky else 0,
    )
    for name in ("weight", "bias", "output"):
        fmt: Fixed = getattr(layer, name)
        if (fmt.rounding, fmt.overflow) != ("RND_CONV", "SAT"):
            raise node[name].fault("RND_CONV and SAT, the modes of the QKeras quantisers")
        if fmt.integer < 0 or fmt.fraction < 0:
            raise node[name].fault("integer and fraction bits that are not negative")
    for name in ("weight", "bias"):
        if not getattr(layer, name).signed:
            raise node[name].fault("a signed format")
    if layer.output.signed != (layer.activation != "relu"):
        raise node["output"].fault("an unsigned format after relu and a signed one after linear and leaky_relu")
    return layer


def _slope_shift(node: Node) -> int:
    """k of a slope 2^-k."""
    slopes = {2.0**-k: k for k in range(1, MAX_SLOPE_SHIFT + 1)}
    if node.number(0.0, 1.0) not in slopes:
        raise node.fault(f"a power of two from 0.5 down to {min(slopes):g}")
    return slopes[node.value]


def _training(node: Node) -> TrainingCard:
    optional = {"loss", "absent_weight", "sparsity", "pruned_at", "l1", "patience", "plateau_factor", "stop_after"}
    optional |= {"beta", "embedding_epochs", "families", "decorrelate", "teacher"}
    node.keys({"epochs", "batch", "learning_rate", "seed"}, optional=optional)
    read = {
        "epochs": lambda n: n.integer(1, 100_000),
        "batch": lambda n: n.integer(1, 1 << 20),
        "learning_rate": lambda n: n.number(1e-8, 1.0),
        "seed": lambda n: n.integer(0, 2**31 - 1),
        "loss": lambda n: n.choice(tuple(LOSSES)),
        "absent_weight": lambda n: n.number(0.0, 1.0),
        "sparsity": lambda n: n.number(0.0, 0.99),
        "pruned_at": lambda n: n.integer(1, 100_000),
        "l1": lambda n: n.number(0.0, 1.0),
        "patience": lambda n: n.integer(1, 1000),
        "plateau_factor": lambda n: n.number(0.01, 1.0),
        "stop_after": lambda n: n.integer(1, 100_000),
        "beta": lambda n: n.number(0.0, 1.0),
        "embedding_epochs": lambda n: n.integer(1, 100_000),
        "families": lambda n: tuple(item.text() for item in n),
        "decorrelate": _decorrelated,
        "teacher": lambda n: n.text(),
    }
    training = TrainingCard(**{key: read[key](value) for key, value in node.items()})
    if training.decorrelate and training.loss != "distil":
        raise SpecError(node.file, f"{node.path}.loss", training.loss, "distil, the loss that `decorrelate` is for")
    if training.teacher and training.loss != "distil":
        raise SpecError(node.file, f"{node.path}.loss", training.loss, "distil, the loss that has a teacher")
    if training.loss == "embedding" and training.embedding_epochs >= training.epochs:
        expected = f"fewer than the {training.epochs} epochs: its autoencoder is trained in the others"
        raise SpecError(node.file, f"{node.path}.embedding_epochs", training.embedding_epochs, expected)
    return training


def _decorrelated(node: Node) -> Decorrelated:
    node.keys({"from", "weight"})
    return Decorrelated(node["from"].text(), node["weight"].number(0.0, 1e6))


def parse_card(document: object, file: str | Path, spec: ObjectsSpec | None = None) -> Card:
    """Check a card document against the object scales; `SpecError` names the file and the path of a fault."""
    spec = objects() if spec is None else spec
    node = Node(document, file)
    node.keys({"name", "version", "description", "input", "layers", "score", "training"})
    fmt, reference, inputs, connected = _inputs(node["input"], spec)
    layers = tuple(_layer(item) for item in node["layers"])
    names = [layer.name for layer in layers]
    if not names or len(set(names)) != len(names):
        raise SpecError(file, "layers", names, "at least one layer, and a different name for each")
    score = parse_score(node["score"], tuple(inputs), {layer.name: (layer.units, layer.output) for layer in layers})
    name = node["name"].text()
    if not name.replace("-", "_").isidentifier():
        raise node["name"].fault("letters, digits, - and _ only: the name becomes part of file and module names")
    card = Card(
        name=name,
        version=node["version"].text(),
        description=node["description"].text(),
        input_format=fmt,
        azimuth=reference,
        inputs=inputs,
        connected=connected,
        layers=layers,
        score=score,
        training=_training(node["training"]),
        document=dict(node.value),
    )
    other = fmt if score.kind in MASKED else card.observed[-1].output if score.kind == "distance" else None
    check_scoring(Scoring(card.frozen_score(spec), other, layers[-1].output), node["score"])
    return card


def read_card(path: str | Path, spec: ObjectsSpec | None = None) -> Card:
    """Read a model card."""
    return parse_card(read_yaml(path), path, spec)
