"""Smooth backgrounds of mass spectra: the dijet function p5, fitted to binned counts by Poisson likelihood.

    f(x) = p1 (1 - x)^p2 x^(p3 + p4 ln x + p5 ln^2 x),   x = m / sqrt(s)

(the family of the ATLAS and CMS dijet searches). ln f is linear in (ln p1, p2, .., p5), so with f taken at the bin
centre, mu = f(centre) * width, the binned Poisson likelihood is convex: it has one minimum, and Newton's method
(iteratively reweighted least squares) finds it in a few steps. `newton` does this for many histograms at once and
refits every pseudo-experiment; `minuit` is the same fit by iminuit, for the errors and as a check of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from iminuit import Minuit
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from ad40.errors import Ad40Error
from offline.masses import SQRT_S

N_PARAMETERS = 5
MAX_STEPS = 60
TOLERANCE = 1e-9
"""Newton stops when the predicted gain in the deviance falls below this."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """The p5 function on one set of bins.

    edges: (B + 1,) [GeV]. `basis` (B, 5) spans the same functions as the design matrix, with orthonormal columns:
    the powers of ln x are almost parallel, and the fit in them would lose eight digits.
    """

    edges: Floats
    basis: Floats
    triangle: Floats  # design = basis @ triangle; parameters = solve(triangle, coefficients)
    offset: Floats  # ln of the bin widths
    point_basis: Floats  # (B, 5 points, 5): the basis at the Gauss-Legendre points of each bin
    point_weights: Floats  # (5,), sum 1

    @classmethod
    def on(cls, edges: ArrayLike) -> Model:
        """Model on bins with these edges [GeV]. Raises `Ad40Error` on fewer bins than parameters + 2."""
        edges = np.asarray(edges, dtype=np.float64)
        if len(edges) < N_PARAMETERS + 3:
            raise Ad40Error(
                f"a fit with {N_PARAMETERS} parameters needs at least {N_PARAMETERS + 2} bins, not {len(edges) - 1}"
            )
        centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        basis, triangle = np.linalg.qr(design(centres))
        nodes, weights = np.polynomial.legendre.leggauss(5)
        points = design(centres[:, None] + widths[:, None] / 2 * nodes) @ np.linalg.inv(triangle)
        return cls(edges, basis, triangle, np.log(widths), points, weights / 2)

    def expected(self, coefficients: Floats) -> Floats:
        """Expected counts (.., B) of coefficients (.., 5) in `basis`."""
        return np.exp(np.clip(coefficients @ self.basis.T + self.offset, -700, 700))

    def parameters(self, coefficients: Floats) -> Floats:
        """(ln p1, p2, p3, p4, p5) of coefficients in `basis`, for one histogram."""
        return np.linalg.solve(self.triangle, coefficients)

    def integrals(self, coefficients: Floats) -> Floats:
        """Expected counts (B,) with f integrated over each bin (five points), not taken at its centre."""
        return np.exp(self.point_basis @ coefficients) @ self.point_weights * np.diff(self.edges)


def design(mass: Floats) -> Floats:
    """ln f = design @ (ln p1, p2, .., p5): (.., 5) for masses (..) [GeV]."""
    x = np.asarray(mass) / SQRT_S
    log = np.log(x)
    return np.stack([np.ones_like(x), np.log1p(-x), log, log**2, log**3], axis=-1)


def deviance(counts: Floats, expected: Floats, mask: NDArray | None = None) -> Floats:
    """Poisson deviance 2 sum(mu - n + n ln(n / mu)) over the bins (last axis), the ones in `mask` if given."""
    terms = expected - counts + xlogy(counts, counts / expected)
    return 2.0 * np.sum(terms if mask is None else terms * mask, axis=-1)


def pulls(counts: Floats, expected: Floats) -> Floats:
    """Signed root of each bin's deviance: close to standard normal also for small counts."""
    terms = expected - counts + xlogy(counts, counts / expected)
    return np.sign(counts - expected) * np.sqrt(2.0 * np.maximum(terms, 0.0))


@dataclass(frozen=True)
class NewtonFit:
    """Result of `newton`, for histograms (.., B): coefficients (.., 5), expected (.., B), converged (..)."""

    coefficients: Floats
    expected: Floats
    converged: NDArray[np.bool_]


def newton(model: Model, counts: ArrayLike, mask: NDArray[np.bool_] | None = None) -> NewtonFit:
    """Fit histograms (T, B) or (B,) all at once; bins outside `mask` (same shape) do not count.

    Newton steps on the convex likelihood, halved where one would increase it. `converged` is False where
    `MAX_STEPS` were not enough.
    """
    n = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    use = np.ones_like(n) if mask is None else np.atleast_2d(mask).astype(np.float64)
    q = model.basis
    theta = _start(model, n, use)
    value, mu = _objective(model, theta, n, use)
    converged = np.zeros(len(n), dtype=bool)
    for _ in range(MAX_STEPS):
        active = np.flatnonzero(~converged)
        if not len(active):
            break
        gradient = (use[active] * (mu[active] - n[active])) @ q
        step = _solve(_hessian(use[active] * mu[active], q), gradient)
        gain = np.sum(step * gradient, axis=1)
        length = np.ones(len(active))
        for _ in range(30):
            trial = theta[active] - length[:, None] * step
            new_value, new_mu = _objective(model, trial, n[active], use[active])
            worse = ~(new_value <= value[active] + TOLERANCE)
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        better = ~worse
        theta[active[better]], mu[active[better]] = trial[better], new_mu[better]
        value[active[better]] = new_value[better]
        converged[active] = gain < TOLERANCE
    shape = np.shape(counts)[:-1]
    return NewtonFit(theta.reshape(*shape, N_PARAMETERS), mu.reshape(*shape, n.shape[1]), converged.reshape(shape))


def _start(model: Model, n: Floats, use: Floats) -> Floats:
    """Least squares to the logarithm of histograms (T, B), weighted by the counts: a rough fit, (T, 5)."""
    filled = np.maximum(n, 0.25)
    weight = use * filled
    return _solve(_hessian(weight, model.basis), (weight * (np.log(filled) - model.offset)) @ model.basis)


def _objective(model: Model, theta: Floats, n: Floats, use: Floats) -> tuple[Floats, Floats]:
    mu = model.expected(theta)
    return deviance(n, mu, use), mu


def _hessian(weight: Floats, q: Floats) -> Floats:
    return np.einsum("tb,bi,bj->tij", weight, q, q, optimize=True)


def _solve(hessian: Floats, right: Floats) -> Floats:
    # the added diagonal is far below the curvature of any measured direction; it keeps empty ones solvable
    ridge = 1e-12 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] + 1e-300
    return np.linalg.solve(hessian + ridge * np.eye(N_PARAMETERS), right[..., None])[..., 0]


@dataclass(frozen=True)
class MinuitFit:
    """Result of `minuit` for one histogram: parameters (ln p1, p2, .., p5), their errors, expected counts (B,)."""

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

    fit = Minuit(cost, _start(model, n[None], np.ones((1, len(n))))[0])
    fit.errordef = Minuit.LEAST_SQUARES  # the deviance is -2 ln L plus a constant
    fit.strategy, fit.tol = 1, 1e-4
    for _ in range(5):
        fit.migrad(ncall=20000)
        if fit.valid:
            break
    fit.hesse()
    best = np.array(fit.values)
    inverse = np.linalg.inv(model.triangle)
    covariance = (
        inverse @ np.array(fit.covariance) @ inverse.T if fit.covariance is not None else np.full((5, 5), np.nan)
    )
    return MinuitFit(inverse @ best, np.sqrt(np.diag(covariance)), predict(best), bool(fit.valid))
