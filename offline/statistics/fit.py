"""Smooth backgrounds of mass spectra, fitted to binned counts by Poisson likelihood.

With the function f taken at the bin centre, mu = f(centre) * width, and ln f linear in its parameters
(`offline.statistics.functions`), the binned Poisson likelihood is convex: it has one minimum, and Newton's method
finds it in a few steps. `newton` does this for many histograms and refits every pseudo-experiment; `minuit` is the
same fit by iminuit, for errors, for f integrated over each bin, and as a check of the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from iminuit import Minuit
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from ad40.errors import Ad40Error
from offline.statistics import irls
from offline.statistics.functions import SQRT_S, Function, function

MAX_STEPS = 100
TOLERANCE = 1e-9
"""Newton stops when the predicted gain in the deviance falls below this."""

UNDETERMINED = 1e-6
"""A direction of the parameters that fewer entries than this measure is not determined."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Model:
    """A background function of k parameters on one set of B bins. Build it with `Model.on`.

    `basis` (B, k) spans the same functions as the design matrix, with orthonormal columns: the powers of ln x are
    almost parallel, and a fit in them would lose eight digits.
    """

    edges: Floats  # (B + 1,) [GeV]
    function: Function
    sqrt_s: float  # [GeV]
    basis: Floats
    triangle: Floats  # (k, k): design = basis @ triangle; parameters = solve(triangle, coefficients)
    offset: Floats  # (B,) ln of the bin widths
    point_basis: Floats  # (B, 5 points, k): the basis at the Gauss-Legendre points of each bin
    point_weights: Floats  # (5,), sum 1

    @classmethod
    def on(cls, edges: ArrayLike, function_name: str = "p5", sqrt_s: float = SQRT_S) -> Model:
        """Model on bins with these edges [GeV], which rise and lie between 0 and sqrt_s.

        Raises `Ad40Error` on other edges, fewer bins than parameters + 2, and functions that do not exist.
        """
        chosen, edges = function(function_name), np.asarray(edges, dtype=np.float64)
        if not (edges.ndim == 1 and np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
            raise Ad40Error("bin edges must be finite and rise from one to the next")
        if len(edges) and not (edges[0] > 0 and edges[-1] < sqrt_s):
            raise Ad40Error(f"bins from {edges[0]:g} to {edges[-1]:g} GeV; expected them between 0 and {sqrt_s:g} GeV")
        if len(edges) < chosen.n_parameters + 3:
            raise Ad40Error(
                f"a fit with {chosen.n_parameters} parameters needs at least {chosen.n_parameters + 2} bins, "
                f"not {max(len(edges) - 1, 0)}"
            )
        centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        basis, triangle = np.linalg.qr(chosen.design(centres / sqrt_s))
        nodes, weights = np.polynomial.legendre.leggauss(5)
        points = chosen.design((centres[:, None] + widths[:, None] / 2 * nodes) / sqrt_s) @ np.linalg.inv(triangle)
        return cls(edges, chosen, sqrt_s, basis, triangle, np.log(widths), points, weights / 2)

    @property
    def n_parameters(self) -> int:
        """Parameters k of the function."""
        return self.function.n_parameters

    def expected(self, coefficients: Floats) -> Floats:
        """Expected counts (.., B) of coefficients (.., k) in `basis`."""
        return np.exp(np.clip(coefficients @ self.basis.T + self.offset, -irls.LOG_LIMIT, irls.LOG_LIMIT))

    def parameters(self, coefficients: Floats) -> Floats:
        """Parameters (.., k), (ln p1, p2, ..), of coefficients (.., k) in `basis`."""
        return np.linalg.solve(self.triangle, np.asarray(coefficients)[..., None])[..., 0]

    def integrals(self, coefficients: Floats) -> Floats:
        """Expected counts (B,) with f integrated over each bin (five points), not taken at its centre."""
        return np.exp(self.point_basis @ coefficients) @ self.point_weights * np.diff(self.edges)


def deviance(counts: Floats, expected: Floats, mask: Mask | None = None) -> Floats:
    """Poisson deviance 2 sum(mu - n + n ln(n / mu)) over the bins (last axis), the ones in `mask` if given."""
    terms = _deviances(counts, expected)
    return 2.0 * np.sum(terms if mask is None else np.where(mask, terms, 0.0), axis=-1)


def pulls(counts: Floats, expected: Floats) -> Floats:
    """Signed root of each bin's deviance: close to standard normal also for small counts."""
    return np.sign(counts - expected) * np.sqrt(2.0 * np.maximum(_deviances(counts, expected), 0.0))


def _deviances(counts: Floats, expected: Floats) -> Floats:
    counts, expected = np.asarray(counts, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    with np.errstate(divide="ignore"):  # entries where none are expected: infinitely unlikely
        return expected - counts + xlogy(counts, np.divide(counts, np.where(counts > 0, expected, 1.0)))


@dataclass(frozen=True)
class NewtonFit:
    """Result of `newton`, for histograms (.., B): coefficients (.., k), expected (.., B), converged (..)."""

    coefficients: Floats
    expected: Floats
    converged: Mask


def newton(
    model: Model,
    counts: ArrayLike,
    mask: Mask | None = None,
    *,
    start: ArrayLike | None = None,
    threads: int = 1,
) -> NewtonFit:
    """Fit histograms (T, B) or (B,); bins outside `mask`, of the same shape or (B,), do not count.

    start: first guess (k,) or (T, k) in `Model.basis`; one is made from the counts otherwise. It does not change the
    minimum. threads: how many share the histograms; the answer does not depend on it.

    Newton steps on the convex likelihood, halved where one would not decrease it. `converged` is True where the
    deviance is within `TOLERANCE` of its infimum, and False where `MAX_STEPS` did not suffice or the mask leaves
    fewer bins than parameters. A histogram without entries, or with all of them in one bin, converges to an
    infimum that no finite parameters reach: `problem` tells those apart beforehand.

    Raises `Ad40Error` on counts that are negative or not finite, and on shapes that do not fit.
    """
    n = np.ascontiguousarray(np.atleast_2d(np.asarray(counts, dtype=np.float64)))
    size, bins = n.shape if n.ndim == 2 else (0, -1)
    if bins != len(model.offset):
        raise Ad40Error(f"histograms of shape {np.shape(counts)}; expected {len(model.offset)} bins in the last axis")
    used = np.ones((1, bins), bool) if mask is None else np.ascontiguousarray(np.atleast_2d(np.asarray(mask, bool)))
    if used.shape not in ((1, bins), n.shape):
        raise Ad40Error(f"a mask of shape {np.shape(mask)}; expected that of the histograms, {np.shape(counts)}")
    bad = ~((n >= 0) & (n < np.inf)) & used
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise Ad40Error(f"histogram {row} has {n[row, column]} entries in bin {column}; expected finite and >= 0")
    k = model.n_parameters
    first = np.empty((0, k)) if start is None else np.ascontiguousarray(np.atleast_2d(np.asarray(start, np.float64)))
    if first.shape not in ((0, k), (1, k), (size, k)):
        raise Ad40Error(f"a start of shape {np.shape(start)}; expected ({k},) or ({size}, {k})")

    coefficients, expected, converged = np.empty((size, k)), np.empty((size, bins)), np.empty(size, dtype=bool)
    basis = np.ascontiguousarray(model.basis.T)

    def work(rows: slice) -> None:
        irls.solve(
            basis, model.offset, n[rows], used if len(used) == 1 else used[rows],
            first if len(first) < 2 else first[rows], MAX_STEPS, TOLERANCE,
            coefficients[rows], expected[rows], converged[rows],
        )  # fmt: skip

    cuts = np.linspace(0, size, min(threads, max(size, 1)) + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(cuts)]
    if len(parts) == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(work, parts))
    shape = np.shape(counts)[:-1]
    return NewtonFit(coefficients.reshape(*shape, k), expected.reshape(*shape, bins), converged.reshape(shape))


def covariance(model: Model, fitted: NewtonFit, mask: Mask | None = None) -> Floats:
    """Covariance (.., k, k) of the coefficients in `Model.basis`: the inverse of the curvature at the minimum.

    mask: the one of the fit. Raises `Ad40Error` where the bins do not determine every parameter.
    """
    weight = fitted.expected if mask is None else np.where(mask, fitted.expected, 0.0)
    root = np.sqrt(weight)[..., None] * model.basis
    # through the triangle of a QR decomposition: half the digits of the curvature would be lost by forming it
    triangle = np.linalg.qr(root, mode="r")
    diagonal = np.abs(np.diagonal(triangle, axis1=-2, axis2=-1))
    # the columns of the basis have length 1: a square is the number of entries that measure a direction
    if not (np.isfinite(diagonal).all() and (diagonal**2 > UNDETERMINED).all()):
        raise Ad40Error(f"the entries do not determine all {model.n_parameters} parameters of {model.function.name}")
    inverse = np.linalg.inv(triangle)
    return inverse @ np.swapaxes(inverse, -1, -2)


def problem(model: Model, counts: ArrayLike) -> str | None:
    """Why one histogram (B,) cannot be fitted with this model, in words for a person; None if it can."""
    n = np.asarray(counts, dtype=np.float64)
    if not np.isfinite(n).all():
        return "entries that are not finite numbers"
    if (n < 0).any():
        return f"{np.count_nonzero(n < 0)} bins with negative entries (negative weights?)"
    filled = np.flatnonzero(n)
    if not len(filled):
        return "no entries"
    if len(filled) == 1:
        low, high = model.edges[filled[0] : filled[0] + 2]
        return f"all {n.sum():g} entries are in one bin, {low:g} to {high:g} GeV"
    if len(filled) <= model.n_parameters:
        return f"entries in {len(filled)} bins only, not more than the {model.n_parameters} parameters"
    return None


@dataclass(frozen=True)
class MinuitFit:
    """Result of `minuit` for one histogram: parameters (ln p1, p2, ..) (k,), their errors, expected counts (B,)."""

    parameters: Floats
    errors: Floats
    expected: Floats
    valid: bool


def minuit(model: Model, counts: ArrayLike, *, integrate: bool = False) -> MinuitFit:
    """The same fit by MIGRAD and HESSE. `integrate`: integrate f over each bin instead of taking its centre.

    MIGRAD works on the coefficients of `Model.basis`; parameters and errors are transformed linearly.
    """
    n = np.asarray(counts, dtype=np.float64)
    predict = model.integrals if integrate else model.expected

    def cost(coefficients: Floats) -> float:
        return float(deviance(n, predict(coefficients)))

    filled = np.maximum(n, irls.FLOOR)
    root = np.sqrt(filled)
    guess = np.linalg.lstsq(root[:, None] * model.basis, root * (np.log(filled) - model.offset), rcond=None)[0]
    fit = Minuit(cost, guess)
    fit.errordef = Minuit.LEAST_SQUARES  # the deviance is -2 ln L plus a constant
    fit.strategy, fit.tol = 1, 1e-4
    for _ in range(5):
        fit.migrad(ncall=20000)
        if fit.valid:
            break
    fit.hesse()
    best = np.array(fit.values)
    inverse = np.linalg.inv(model.triangle)
    unknown = np.full((model.n_parameters, model.n_parameters), np.nan)
    covariance = inverse @ np.array(fit.covariance) @ inverse.T if fit.covariance is not None else unknown
    return MinuitFit(inverse @ best, np.sqrt(np.diag(covariance)), predict(best), bool(fit.valid))
