"""Layers as logic: quantisers, products and activations on variables of alkaid, in real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import CheckError
from ad40.fixed import Fixed


def _constant(x: Any) -> NDArray[np.bool_]:
    """Which elements do not depend on any input: neurons whose weights are all zero."""
    return np.array([v.low == v.high for v in np.asarray(x)], np.bool_)


def quantise(v: Any, fmt: Fixed, from_least: bool = False) -> Any:
    """One variable of alkaid in another format. from_least: the result ends with adding the least value of the format,
    for a score that subtracts it.

    Half to even, which the layers use, is made here: alkaid 0.8.2 rounds constants, narrow ranges and variables whose
    values are all ties wrongly, and takes two adders more. What saturates is brought to an unsigned range,
    u = v - least, and t = u + half says all: its sign what is below, its bits from 2^n on what is above, and at a tie,
    when no bit after the point is set, the last bit of the result is 0. Half and least value join the constant that v
    ends with, and the least value that is added in the end joins the biases that follow.
    """
    low, high = (float(x) for x in fmt.dequantise(fmt.quantise([v.low, v.high])))
    narrow = v.high - v.low < (1 << fmt.width) * fmt.lsb - fmt.lsb
    if low == high and (fmt.overflow == "SAT" or narrow):
        return type(v).from_const(low, v.hwconf)
    if fmt.rounding != "RND_CONV" or fmt.fraction >= v.kif[2]:
        return v.quantize(fmt.signed, fmt.integer, fmt.fraction, fmt.overflow, fmt.rounding)
    half, least = fmt.lsb / 2, fmt.min_code * fmt.lsb
    clips = fmt.overflow == "SAT" and (v.low < least - half or v.high > fmt.max_code * fmt.lsb + half)
    if (clips or from_least) and fmt.min_code % 2 == 0:  # an odd one would change which neighbour is even
        return _round_and_clip(v + (half - least), fmt.integer + fmt.signed, fmt.fraction) + least
    if clips:
        v = v.max_of(least).min_of(fmt.max_code * fmt.lsb)
    return _half_to_even(v + half, fmt.fraction).quantize(fmt.signed, fmt.integer, fmt.fraction, "WRAP", "TRN")


def _bits(v: Any, high: int, low: int) -> Any:
    """The bits of weight 2^low to 2^(high - 1) as an unsigned number: wiring."""
    return v.quantize(0, high, -low, "WRAP", "TRN")


def _last_bit(t: Any, fraction: int) -> Any:
    """The bit 2^-fraction of a rounded value whose half is already added: 0 at a tie."""
    if t.kif[2] <= fraction:  # every value is one
        return None
    return _bits(t, 1 - fraction, -fraction) & (_bits(t, -fraction, -t.kif[2]).unary_bit_op("any") * 2.0**-fraction)


def _half_to_even(t: Any, fraction: int) -> Any:
    """t = v + half of the last place, rounded."""
    signed, integer, _ = t.kif
    upper, last = t.quantize(signed, max(integer, 1 - fraction), fraction - 1, "WRAP", "TRN"), _last_bit(t, fraction)
    return upper if last is None else upper | last


def _round_and_clip(t: Any, integer: int, fraction: int) -> Any:
    """The same, clipped to [0, 2^integer)."""
    lsb = 2.0**-fraction
    u, last = _bits(t, integer, 1 - fraction), _last_bit(t, fraction)
    u = u if last is None else u | last
    if t.high >= 2.0**integer:
        above = _bits(t, t.kif[1], integer).unary_bit_op("any")
        u = (u | -above * lsb).quantize(0, integer, fraction, "WRAP", "TRN")
    return t.msb_mux(0.0, u) if t.low < 0 else u


def quantise_all(x: Any, fmt: Fixed, from_least: bool = False) -> Any:
    values = np.array([quantise(v, fmt, from_least) for v in np.asarray(x)])
    return type(x)(values, x.solver_options, hwconf=x.hwconf)


def _without_sum(v: Any) -> tuple[Any, float]:
    """A variable that ends with adding a constant: what it is added to, and the constant; itself and 0 otherwise."""
    if v.opr == "cadd" and v._from[0]._factor == v._factor:
        return v._from[0], float(v.low - v._from[0].low)
    return v, 0.0


def dense(x: Any, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Any:
    """x @ weight + bias. What is constant in the inputs joins the bias: alkaid's matrix product wants variables."""
    constant = _constant(x)
    values = np.array([v.low for v in np.asarray(x)[constant]], np.float64)
    pairs = [_without_sum(v) for v in np.asarray(x)[~constant]]
    sums = np.array([added for _, added in pairs], np.float64)
    variables = type(x)(np.array([v for v, _ in pairs], object), x.solver_options, hwconf=x.hwconf)
    return variables @ weight[~constant] + (bias + values @ weight[constant] + sums @ weight[~constant])


def activation(x: Any, kind: str, slope: float = 0.0, after: Fixed | None = None) -> Any:
    """relu, leaky_relu (what is negative times `slope`) or linear. after: the format that the result is rounded to; an
    unsigned one that saturates makes a relu by itself."""
    if kind == "relu" and after is not None and not after.signed and after.overflow == "SAT":
        return x
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "leaky_relu":
        values = [v if v.low >= 0 else v * slope if v.high <= 0 else v.msb_mux(v * slope, v) for v in np.asarray(x)]
        return type(x)(np.array(values), x.solver_options, hwconf=x.hwconf)
    if kind != "linear":
        raise CheckError(f"activation {kind}; expected relu, leaky_relu or linear")
    return x
