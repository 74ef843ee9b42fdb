"""The spurious-signal test: what a background function mistakes for a signal.

A function that is not flexible enough bends away from the true background somewhere, and a signal fitted there makes
up for it. Signal and background are therefore fitted to a spectrum that has no signal and (almost) no fluctuations,
scaled to the data: a histogram of simulated background of high statistics, or another function fitted to the data.
The signal found is spurious. Against the signal's mass it is compared with sigma_S, the error that the same fit has on
data with their Poisson fluctuations.

Criterion: |S_spurious| < `limit` * sigma_S at every mass. Then a bias of the function adds less than limit^2 / 2 to
the relative error of a signal: 2 % at 0.2, 12 % at 0.5, the values that searches at the LHC commonly ask for. A
template from simulation fluctuates itself: by delta, which is propagated from its variances, and the criterion is
relaxed to |S_spurious| < limit * sigma_S + delta (one standard deviation of the template's own). A template that is
so small that delta exceeds limit * sigma_S tests nothing, which `too_small` says.

`Spurious.largest` is also the size of a systematic uncertainty (`spurious` of a limit) where the function is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.fit import Model
from offline.statistics.peak import fit_peak
from offline.statistics.signals import gaussian

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LIMIT = 0.5


@dataclass(frozen=True)
class Template:
    """A signal-free spectrum scaled to the data: expected counts (B,) and their variances (B,), 0 if exact."""

    expected: Floats
    variance: Floats
    name: str


def of_function(model: Model, counts: ArrayLike) -> Template:
    """The template of another function: `model` fitted to the data (B,). Its parameters' errors do not matter: any
    curve of this family near the data will do. Raises `Ad40Error` where the fit does not converge."""
    fitted = fit.newton(model, counts)
    if not bool(fitted.converged):
        raise Ad40Error(f"the fit of {model.function.name} for a template did not converge")
    return Template(fitted.expected, np.zeros_like(fitted.expected), model.function.name)


def of_histogram(sum_w: ArrayLike, sum_w2: ArrayLike, entries: float, name: str = "simulation") -> Template:
    """The template of simulated background: sums of weights and of squared weights per bin (B,), scaled to `entries`
    in all bins together. Raises `Ad40Error` on negative bins and on an empty histogram."""
    w, w2 = np.asarray(sum_w, dtype=np.float64), np.asarray(sum_w2, dtype=np.float64)
    if w.shape != w2.shape or not (np.isfinite(w).all() and np.isfinite(w2).all()):
        raise Ad40Error(f"template {name}: sums of weights of shape {w.shape} and {w2.shape}; expected finite, alike")
    if (w < 0).any() or not w.sum() > 0:
        raise Ad40Error(
            f"template {name}: {np.count_nonzero(w < 0)} negative bins, sum {w.sum():g}; expected none, > 0"
        )
    scale = entries / w.sum()
    return Template(w * scale, w2 * scale**2, name)


@dataclass(frozen=True)
class Spurious:
    """Result of `spurious` at masses (M,) [GeV], all in signal events: signal, error (sigma_S), delta (M,).

    converged (M,). A mass whose fit did not converge does not pass.
    """

    function: str
    template: str
    masses: Floats
    signal: Floats
    error: Floats
    delta: Floats
    converged: Flags
    limit: float

    @property
    def ratio(self) -> Floats:
        """S_spurious / sigma_S (M,)."""
        return self.signal / self.error

    @property
    def passed_at(self) -> Flags:
        """Whether the criterion is met at each mass (M,)."""
        return self.converged & (np.abs(self.signal) < self.limit * self.error + self.delta)

    @property
    def passed(self) -> bool:
        """Whether the criterion is met at every mass."""
        return bool(self.passed_at.all())

    @property
    def too_small(self) -> Flags:
        """(M,) where the template fluctuates more than the criterion allows the signal to be: a test of nothing."""
        return self.delta > self.limit * self.error

    @property
    def largest(self) -> float:
        """Largest |S_spurious| / sigma_S."""
        return float(np.max(np.abs(self.ratio)))


def spurious(
    model: Model,
    template: Template,
    masses: Sequence[float] | Floats,
    width: float,
    resolution: Callable[[float], float],
    *,
    limit: float = LIMIT,
) -> Spurious:
    """Spurious signal of `model` on a template, for Gaussian signals at `masses` [GeV].

    width: relative width of the signal (standard deviation / mass). resolution: of the mass, relative, at a mass.
    Raises `Ad40Error` where the template does not fit the bins or the background fit fails.
    """
    if template.expected.shape != model.offset.shape:
        raise Ad40Error(f"template of {template.expected.shape} bins; expected {model.offset.shape}")
    at = np.asarray(masses, dtype=np.float64)
    signal, error, delta = np.empty(len(at)), np.empty(len(at)), np.empty(len(at))
    converged = np.empty(len(at), dtype=bool)
    for i, mass in enumerate(at):
        peak = fit_peak(model, template.expected, gaussian(model.edges, float(mass), width, resolution(float(mass))))
        signal[i], error[i], converged[i] = peak.events[0], peak.error[0], peak.converged[0]
        delta[i] = np.sqrt(np.sum(peak.response[0] ** 2 * template.variance))
    return Spurious(model.function.name, template.name, at, signal, error, delta, converged, limit)
