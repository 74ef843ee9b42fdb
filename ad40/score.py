"""The score: how the integers of a network become hw_score. The one definition; every executor repeats it.

hw_score = (sum of terms) >> shift, an unsigned integer of at most 31 bits; value = hw_score * 2^-score_fraction.

kind          a term                                                        summed over
masked_l1     |x_i - y_i|                                                   scored inputs of present objects
masked_l2     (x_i - y_i)^2                                                 scored inputs of present objects
sum_squares   y_i^2                                                         scored outputs of the last layer
distance      (z_i - y_i)^2, z an earlier layer of the same width           scored outputs of the last layer
tables        T_a[y_a], or T_a[y_a] T_b[y_b]: integers looked up by codes   the terms of the document
output        y_0 - (least code of its format)                              the only output of the last layer

x are the inputs, y the outputs of the last layer. What is subtracted is brought to the finer of the two fractions
first. Sum of squares of the means: the score of AXOL1TL v1-v4; distance of an embedding and its reconstruction: v5.
Tables hold what no sum of products can, such as the KL divergence (mu^2 - 1 + sigma^2 - ln sigma^2) / 2 and
Rz = mu^2 / sigma^2 of a variational autoencoder (arXiv 2108.03986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import SpecError
from ad40.fixed import Fixed
from ad40.schema import Node

MASKED = ("masked_l1", "masked_l2")  # against the inputs: the last layer has as many outputs as there are inputs
KINDS = (*MASKED, "sum_squares", "distance", "tables", "output")
SCORE_BITS = 31  # a threshold has one more and must fit a register
MAX_SHIFT = 20  # so that the sum before the shift stays exact in double precision
MAX_TABLE_BITS = 12  # of a code that is looked up
MAX_ENTRY = (1 << 24) - 1

Integers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Factor:
    """An entry of a table: table[code - least code] of an output. table: int64 (2^width,), 0 to `MAX_ENTRY`."""

    output: int
    table: NDArray[np.int64]


Term = tuple[Factor, ...]  # the product of one or two


@dataclass(frozen=True, eq=False)
class Score:
    """A score. mask: which outputs of the last layer enter it, bool (outputs,). shift: low bits that are dropped.
    layer: name of the earlier layer of a distance. terms, term_fraction: of tables, and their fraction bits."""

    kind: str
    mask: NDArray[np.bool_]
    shift: int = 0
    layer: str = ""
    terms: tuple[Term, ...] = ()
    term_fraction: int = 0

    @classmethod
    def of_tables(cls, outputs: int, terms: tuple[Term, ...], term_fraction: int, shift: int = 0) -> Score:
        """A score of tables over a last layer of `outputs` units; the mask follows from the terms."""
        used = [factor.output for term in terms for factor in term]
        return cls("tables", np.isin(np.arange(outputs), used), shift, "", terms, term_fraction)

    def to_dict(self, version: int) -> dict[str, Any]:
        """The document form. Version 1 knows masked_l1 without a shift only."""
        mask = self.mask.astype(int).tolist()
        if version == 1:
            return {"kind": self.kind, "mask": mask}
        document: dict[str, Any] = {"kind": self.kind, "shift": self.shift}
        if self.kind == "tables":
            terms = [[{"output": f.output, "table": f.table.tolist()} for f in term] for term in self.terms]
            return document | {"fraction": self.term_fraction, "terms": terms}
        if self.kind == "output":
            return document
        return document | {"mask": mask} | ({"layer": self.layer} if self.kind == "distance" else {})


def read_score(node: Node, version: int, n_inputs: int, last: Fixed, widths: dict[str, int]) -> Score:
    """Read a score. n_inputs: 57; last: format of the last layer's outputs; widths: units of each layer by its name,
    the last layer last. Raises `SpecError`."""
    outputs = [*widths.values()][-1]
    kind = node["kind"].choice(KINDS if version > 1 else MASKED[:1])
    own = {"tables": {"fraction", "terms"}, "output": set(), "distance": {"mask", "layer"}}.get(kind, {"mask"})
    node.keys({"kind", *own, *({"shift"} if version > 1 else ())})
    shift = node["shift"].integer(0, MAX_SHIFT) if version > 1 else 0
    if kind in MASKED and outputs != n_inputs:
        raise SpecError(node.file, "layers", f"{outputs} outputs", f"{n_inputs} outputs of the last layer for {kind}")
    if kind == "output":
        if outputs != 1:
            raise SpecError(node.file, "layers", f"{outputs} outputs", "1 output of the last layer for this score")
        return Score(kind, np.ones(1, np.bool_), shift)
    if kind == "tables":
        terms = tuple(_read_term(term, outputs, last) for term in node["terms"])
        if not terms:
            raise node["terms"].fault("at least one term")
        return Score.of_tables(outputs, terms, node["fraction"].integer(-64, 64), shift)
    mask = integers(node["mask"], (outputs,), 0, 1).astype(np.bool_)
    if not mask.any():
        raise SpecError(node.file, f"{node.path}.mask", "all 0", "at least one scored "
                        + ("input" if kind in MASKED else "output"))  # fmt: skip
    if kind != "distance":
        return Score(kind, mask, shift)
    layer = node["layer"].choice(tuple(widths)[:-1])
    if widths[layer] != outputs:
        raise node["layer"].fault(f"a layer of {outputs} units, as the last one has (this one has {widths[layer]})")
    return Score(kind, mask, shift, layer)


def _read_term(node: Node, outputs: int, last: Fixed) -> Term:
    factors = []
    for child in node:
        child.keys({"output", "table"})
        if last.width > MAX_TABLE_BITS:
            raise SpecError(node.file, child.path, f"a table for codes of {last.width} bits",
                            f"outputs of at most {MAX_TABLE_BITS} bits")  # fmt: skip
        table = integers(child["table"], (1 << last.width,), 0, MAX_ENTRY)
        factors.append(Factor(child["output"].integer(0, outputs - 1), table))
    if not 1 <= len(factors) <= 2:
        raise SpecError(node.file, node.path, f"{len(factors)} factors", "one or two factors")
    return tuple(factors)


def integers(node: Node, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """An array of integers of a given shape, each in [low, high]."""
    try:
        array = np.array(node.value)
    except ValueError:
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise SpecError(node.file, node.path, f"{array.dtype} of shape {array.shape}", f"integers of shape {shape}")
    if array.min() < low or array.max() > high:
        expected = f"codes from {low} to {high} of its format"
        raise SpecError(node.file, node.path, f"{array.min()} to {array.max()}", expected)
    return array.astype(np.int64)


@dataclass(frozen=True)
class Scoring:
    """A score on the formats it is computed from. other: of what the outputs are held against (the inputs, an earlier
    layer), or None; last: of the last layer's outputs."""

    score: Score
    other: Fixed | None
    last: Fixed

    @property
    def aligned(self) -> tuple[int, int]:
        """Left shifts that bring `other` and the outputs to one fraction."""
        fine = max(self.other.fraction, self.last.fraction) if self.other else self.last.fraction
        return (fine - self.other.fraction if self.other else 0, fine - self.last.fraction)

    @property
    def fraction(self) -> int:
        """Fraction bits of hw_score."""
        kind, fine = self.score.kind, self.last.fraction + self.aligned[1]
        of_terms = {"masked_l1": fine, "output": fine, "tables": self.score.term_fraction}.get(kind, 2 * fine)
        return of_terms - self.score.shift

    @property
    def sum_max(self) -> int:
        """Largest sum of terms that the formats allow, before the shift."""
        score, last = self.score, self.last
        if score.kind == "output":
            return last.max_code - last.min_code
        if score.kind == "tables":
            most = [[int(factor.table.max()) for factor in term] for term in score.terms]
            return sum(term[0] * (term[1] if len(term) == 2 else 1) for term in most)
        up_other, up = self.aligned
        low, high = last.min_code << up, last.max_code << up
        if self.other:
            low, high = low - (self.other.max_code << up_other), high - (self.other.min_code << up_other)
        largest = max(high, -low)
        return int(score.mask.sum()) * (largest if score.kind == "masked_l1" else largest**2)

    @property
    def max(self) -> int:
        """Largest hw_score that the formats allow."""
        return self.sum_max >> self.score.shift

    def __call__(self, outputs: Integers, other: Integers | None, here: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        """hw_score int32 (n,) of output codes (n, outputs), the codes they are held against, same shape, and of a
        masked score the presence of each input's object, bool, same shape."""
        score, y = self.score, outputs.astype(np.int64)
        if score.kind == "output":
            total = y[:, 0] - self.last.min_code
        elif score.kind == "tables":
            total = np.zeros(len(y), np.int64)
            for term in score.terms:
                entries = [factor.table[y[:, factor.output] - self.last.min_code] for factor in term]
                total += np.prod(entries, axis=0)
        else:
            up_other, up = self.aligned
            terms = (y << up) * score.mask
            if other is not None:
                terms -= (other.astype(np.int64) << up_other) * score.mask
            if here is not None:
                terms *= here
            total = (np.abs(terms) if score.kind == "masked_l1" else terms**2).sum(axis=1)
        return (total >> score.shift).astype(np.int32)


def check_scoring(scoring: Scoring, node: Node) -> None:
    """Refuse a score that does not fit 31 bits, or of which the shift leaves nothing."""
    if scoring.max.bit_length() > SCORE_BITS:
        expected = f"formats whose score fits {SCORE_BITS} bits" + (", or a larger shift" if "shift" in node else "")
        raise SpecError(node.file, node.path, f"{scoring.max.bit_length()} bits", expected)
    if scoring.max < 1:
        raise SpecError(node.file, node.path, "always 0", "a smaller shift, or outputs that can differ")
