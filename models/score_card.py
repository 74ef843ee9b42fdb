"""The score of a model card: what it names, and the score of integers that freezing makes of it (`ad40.score`).

kind                     keys besides `kind` and the optional `shift` (low bits to drop)
masked_l1, masked_l2     features: those whose difference of input and output is summed
sum_squares              outputs: those of the last layer that are summed; all without the key
distance                 layer: the earlier layer that the last one is held against; outputs as above
kl, rz                   mean, log_variance: outputs of the last layer, pair by pair; fraction, bits: of the tables
output                   none: the last layer has one unit, the score

kl is the divergence of a Gaussian from the unit one, (mu^2 + sigma^2 - ln sigma^2 - 1) / 2 summed over pairs (Kingma,
Welling, arXiv 1312.6114); rz is the sum of mu^2 / sigma^2 (Nature Mach. Intell. 4, 154 (2022), arXiv 2108.03986). Both
become tables of integers over the codes of the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import SpecError
from ad40.fixed import Fixed
from ad40.objects import N_INPUTS
from ad40.schema import Node
from ad40.score import MASKED, MAX_SHIFT, MAX_TABLE_BITS, Factor, Score

VARIATIONAL = ("kl", "rz")
CARD_KINDS = (*MASKED, "sum_squares", "distance", *VARIATIONAL, "output")
MAX_BITS = 24  # of an entry of a table


@dataclass(frozen=True)
class ScoreCard:
    """The score as the card names it. features: pairs (object type, feature). outputs, mean, log_variance: indices of
    outputs of the last layer. Entries of tables have `fraction` fraction bits and saturate at `bits` bits."""

    kind: str
    features: tuple[tuple[str, str], ...] = ()
    outputs: tuple[int, ...] = ()
    layer: str = ""
    mean: tuple[int, ...] = ()
    log_variance: tuple[int, ...] = ()
    fraction: int = 0
    bits: int = 0
    shift: int = 0

    def freeze(self, feature_mask: NDArray[np.bool_], units: int, last: Fixed) -> Score:
        """The score of integers. feature_mask: inputs of `features`, bool (57,). units, last: the last layer's."""
        if self.kind in MASKED:
            return Score(self.kind, feature_mask, self.shift)
        if self.kind == "output":
            return Score(self.kind, np.ones(1, np.bool_), self.shift)
        if self.kind not in VARIATIONAL:
            return Score(self.kind, np.isin(np.arange(units), self.outputs), self.shift, self.layer)
        value = last.dequantise(np.arange(last.min_code, last.max_code + 1))
        square = self._table(value**2)
        if self.kind == "rz":
            inverse = self._table(np.exp(-value))
            pairs = zip(self.mean, self.log_variance, strict=True)
            terms = tuple((Factor(m, square), Factor(v, inverse)) for m, v in pairs)
            return Score.of_tables(units, terms, 2 * self.fraction, self.shift)
        # both parts are at least 0, and so are their tables
        of_mean, of_variance = self._table(value**2 / 2), self._table((np.exp(value) - value - 1) / 2)
        singles = [(Factor(i, of_mean),) for i in self.mean] + [(Factor(i, of_variance),) for i in self.log_variance]
        return Score.of_tables(units, tuple(singles), self.fraction, self.shift)

    def _table(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        return Fixed(False, self.bits - self.fraction, self.fraction).quantise(values)


def parse_score(node: Node, features: Sequence[tuple[str, str]], layers: dict[str, tuple[int, Fixed]]) -> ScoreCard:
    """Read the score of a card. features: all there are; layers: units and output format by name, the last one last."""
    units, last = [*layers.values()][-1]
    kind = node["kind"].choice(CARD_KINDS)
    own = ["features"] if kind in MASKED else ["layer"] if kind == "distance" else []
    own += ["mean", "log_variance", "fraction", "bits"] if kind in VARIATIONAL else []
    node.keys({"kind", *own}, optional={"shift", "outputs"} if kind in ("sum_squares", "distance") else {"shift"})
    wanted = N_INPUTS if kind in MASKED else 1 if kind == "output" else units
    if units != wanted:
        raise SpecError(node.file, "layers", f"{units} units in the last layer", f"{wanted} for the score {kind}")
    shift = node["shift"].integer(0, MAX_SHIFT) if "shift" in node else 0
    if kind in MASKED:
        return ScoreCard(kind, feature_pairs(node["features"], features), shift=shift)
    if kind == "output":
        return ScoreCard(kind, shift=shift)
    if kind in VARIATIONAL:
        mean, log_variance = (_outputs(node[key], units) for key in ("mean", "log_variance"))
        if len(mean) != len(log_variance) or set(mean) & set(log_variance):
            raise node["log_variance"].fault("as many outputs as `mean` has, and others")
        if last.width > MAX_TABLE_BITS:
            raise node["kind"].fault(f"outputs of at most {MAX_TABLE_BITS} bits for a score of tables")
        bits = node["bits"].integer(1, MAX_BITS)
        fraction = node["fraction"].integer(0, bits)
        return ScoreCard(kind, (), (), "", mean, log_variance, fraction, bits, shift)
    outputs = _outputs(node["outputs"], units) if "outputs" in node else tuple(range(units))
    if kind == "sum_squares":
        return ScoreCard(kind, (), outputs, shift=shift)
    layer = node["layer"].choice(tuple(layers)[:-1])
    if layers[layer][0] != units:
        raise node["layer"].fault(f"a layer of {units} units, as the last one has (this one has {layers[layer][0]})")
    return ScoreCard(kind, (), outputs, layer, shift=shift)


def _outputs(node: Node, units: int) -> tuple[int, ...]:
    found = tuple(item.integer(0, units - 1) for item in node)
    if not found or len(set(found)) != len(found):
        raise node.fault("at least one output, none of them twice")
    return found


def feature_pairs(node: Node, known: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """A list of features such as `jet.pt`, out of those known."""
    names = {".".join(pair): pair for pair in known}
    pairs = tuple(names[item.choice(tuple(names))] for item in node)
    if not pairs or len(set(pairs)) != len(pairs):
        raise node.fault("at least one feature, none of them twice")
    return pairs
