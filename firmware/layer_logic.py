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


def quantise(v: Any, fmt: Fixed) -> Any:
    """One variable of alkaid in another format.

    alkaid 0.8.2 rounds half to even wrongly in two cases, which are taken from it here: when only one value comes out
    (constants, narrow ranges), and for variables all of whose values are ties (an odd half added to multiples of a
    coarser step, as pruned neurons with a bias make). Of two neighbours, the even one of a tie v is v + half without
    its last bit.
    """
    low, high = (float(x) for x in fmt.dequantise(fmt.quantise([v.low, v.high])))
    if low == high and v.high - v.low < (1 << fmt.width) * fmt.lsb - fmt.lsb:
        return type(v).from_const(low, v.hwconf)
    if fmt.rounding == "RND_CONV" and fmt.fraction < v.kif[2]:
        if fmt.overflow == "SAT":
            v = v.max_of(fmt.min_code * fmt.lsb).min_of(fmt.max_code * fmt.lsb)
        up = v + fmt.lsb / 2
        if up.kif[2] < v.kif[2]:
            return up.quantize(fmt.signed, fmt.integer, fmt.fraction - 1, "WRAP", "TRN")
    return v.quantize(fmt.signed, fmt.integer, fmt.fraction, fmt.overflow, fmt.rounding)


def quantise_all(x: Any, fmt: Fixed) -> Any:
    values = np.array([quantise(v, fmt) for v in np.asarray(x)])
    return type(x)(values, x.solver_options, hwconf=x.hwconf)


def dense(x: Any, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Any:
    """x @ weight + bias. Constant inputs join the bias: alkaid's matrix product wants variables."""
    constant = _constant(x)
    values = np.array([v.low for v in np.asarray(x)[constant]], np.float64)
    return x[~constant] @ weight[~constant] + (bias + values @ weight[constant])


def activation(x: Any, kind: str, slope: float = 0.0) -> Any:
    """relu, leaky_relu (what is negative times `slope`) or linear."""
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "leaky_relu":
        values = [v if v.low >= 0 else v * slope if v.high <= 0 else v.msb_mux(v * slope, v) for v in np.asarray(x)]
        return type(x)(np.array(values), x.solver_options, hwconf=x.hwconf)
    if kind != "linear":
        raise CheckError(f"activation {kind}; expected relu, leaky_relu or linear")
    return x
