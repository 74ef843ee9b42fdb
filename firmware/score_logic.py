"""The score as logic: the sums of `ad40.score` on variables of alkaid. Values are real numbers: code * 2^-fraction.

Squares and tables of at most 8 bits become lookups, in which a LUT of six inputs holds 64 entries. Yosys 0.70 maps a
square of 8 signed bits to 37 LUTs as a lookup, to 75 and a chain of carries as a multiplication, and to 38 and four
chains as gated sums; of 9 bits to 102, 118 and 48. Products are gated sums, which pipeline registers can cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.fixed import Fixed
from ad40.network import Network
from ad40.score import Term

LOOKUP_BITS = 8


def score_logic(network: Network, inputs: Any, present: Any, outputs: Any, other: Any) -> Any:
    """hw_score as one variable. inputs (57,), present (19,), outputs of the last layer, outputs of the earlier layer of
    a distance: arrays of alkaid's variables."""
    score, last = network.score, network.layers[-1].output
    scored = np.flatnonzero(score.mask)
    if score.kind in ("masked_l1", "masked_l2"):
        distance = np.abs(inputs[scored] - outputs[scored])
        gated = np.where(present[scored // objects.N_FEATURES], distance, 0)
        total = np.sum(gated if score.kind == "masked_l1" else _array(gated, [square(v) for v in np.asarray(gated)]))
    elif score.kind == "sum_squares":
        total = np.sum(_array(outputs, [square(v) for v in np.asarray(outputs)[scored]]))
    elif score.kind == "distance":
        total = np.sum(_array(outputs, [square(v) for v in np.asarray(outputs[scored] - other[scored])]))
    elif score.kind == "tables":
        lsb = 2.0**-score.term_fraction
        total = np.sum(_array(outputs, [_term(term, np.asarray(outputs), last, lsb) for term in score.terms]))
    else:
        total = np.asarray(outputs)[0] + -last.min_code * last.lsb
    if not score.shift:
        return total
    if total.low == total.high:  # of a network whose weights are all zero
        lsb = 2.0**-network.score_fraction
        return _constant(total, float(np.floor(total.low / lsb) * lsb))
    _, integer, fraction = total.kif
    return total.quantize(0, integer, min(fraction, network.score_fraction), "WRAP", "TRN")


def _array(like: Any, variables: list[Any]) -> Any:
    return type(like)(np.array(variables), like.solver_options, hwconf=like.hwconf)


def _constant(like: Any, value: float) -> Any:
    return type(like).from_const(value, hwconf=like.hwconf)


def _bits(v: Any) -> int:
    return int(sum(v.kif))


def _values(v: Any) -> NDArray[np.float64]:
    """Every value that a variable's range holds, in order."""
    count = round((float(v.high) - float(v.low)) / float(v.step)) + 1
    return float(v.low) + float(v.step) * np.arange(count)


def square(v: Any) -> Any:
    """v^2. The top bit t of what is too wide for a lookup is split off: (2^n t + r)^2 = r^2 + t (2^2n + 2^(n+1) r)."""
    if v.low == v.high:
        return _constant(v, float(v.low) ** 2)
    if _bits(v) <= LOOKUP_BITS:
        return v.lookup(_values(v) ** 2)
    if v.low < 0:
        return square(abs(v))
    _, integer, fraction = v.kif
    top = 2.0 ** (integer - 1)
    rest = v.quantize(0, integer - 1, fraction, "WRAP", "TRN")
    return square(rest) + v.msb_mux(rest * (2 * top) + top**2, 0.0)


def _term(term: Term, outputs: NDArray[np.object_], last: Fixed, lsb: float) -> Any:
    """The entry of a table, or the product of two; values are codes times `lsb`."""
    entries = []
    for factor in term:
        v = outputs[factor.output]
        codes = np.rint(_values(v) * 2.0**last.fraction).astype(np.int64)
        table = factor.table[codes - last.min_code].astype(np.float64)
        entries.append(_constant(v, table[0]) if v.low == v.high else v.lookup(table))
    return (product(*entries) if len(entries) == 2 else entries[0]) * lsb


def product(a: Any, b: Any) -> Any:
    """a * b of unsigned integers: a sum of the wider one, gated by each bit of the other. alkaid multiplies in one
    operation, which no pipeline register can cut."""
    if a.low == a.high or b.low == b.high:
        return a * b
    a, b = (b, a) if _bits(a) < _bits(b) else (a, b)
    _, integer, fraction = b.kif
    rows, rest = [], b
    for place in reversed(range(-fraction, integer)):
        rows.append(rest.msb_mux(a * 2.0**place, 0.0))
        rest = b.quantize(0, place, fraction, "WRAP", "TRN") if place > -fraction else rest
    return _sum(rows)


def _sum(rows: list[Any]) -> Any:
    """Sum in pairs."""
    while len(rows) > 1:
        rows = [rows[i] + rows[i + 1] if i + 1 < len(rows) else rows[i] for i in range(0, len(rows), 2)]
    return rows[0]
