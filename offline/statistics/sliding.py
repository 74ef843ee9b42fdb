"""Sliding-window background: for each bin a fit of the bins around it, for spectra too long for one function.

A function of few parameters describes any smooth spectrum over a short range. So the background of bin b is that of
a fit to the window of bins within `half_width` of it; the bins of all windows together are the background of the
spectrum (the sliding-window fits, "SWiFT", of the ATLAS dijet search, arXiv:1703.09127). The first and the last
window serve all bins up to the ends of the spectrum.

A bump in a window pulls the fit up and hides part of itself. The bins around b in which a signal at b would be, its
own signal region, are therefore treated apart, in one of three ways:

* `signal="include"`: they are fitted like all others. Largest precision; a bump is hidden in part.
* `signal="leave out"`: the bins within `region` of b are not fitted, and the background is interpolated.
* `signal="fit"`: a Gaussian signal at b, of the standard deviation `sigma`, is fitted with the background and
  subtracted; its size is >= 0, so that without a signal the background comes out low by a fraction of its error.

Bins so near to an end that their region is at the edge of the window are extrapolated: `inside` is False there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.fit import Model
from offline.statistics.functions import SQRT_S, function
from offline.statistics.peak import fit_peak
from offline.statistics.signals import gaussian

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TREATMENTS = ("include", "leave out", "fit")


@dataclass(frozen=True)
class Windows:
    """How a spectrum is fitted piece by piece. Build it with `Windows.on`, use it with `slide`.

    edges: (B + 1,) [GeV]. first: (B,) first bin of each bin's window; size: bins in a window. function, signal,
    region [bins], sigma (mass [GeV] -> standard deviation [GeV]): as in the module's text.
    """

    edges: Floats
    first: NDArray[np.int64]
    size: int
    function: str
    signal: str
    region: int
    sigma: Callable[[float], float] | None
    sqrt_s: float

    @classmethod
    def on(
        cls,
        edges: ArrayLike,
        half_width: int,
        function_name: str = "p3",
        *,
        signal: str = "leave out",
        region: int = 2,
        sigma: Callable[[float], float] | None = None,
        sqrt_s: float = SQRT_S,
    ) -> Windows:
        """Windows of 2 half_width + 1 bins. Raises `Ad40Error` where a window holds too few bins for the function."""
        edges, k = np.asarray(edges, dtype=np.float64), function(function_name).n_parameters
        bins, size = len(edges) - 1, 2 * half_width + 1
        if signal not in TREATMENTS:
            raise Ad40Error(f"there is no treatment {signal!r} of the signal; expected one of {', '.join(TREATMENTS)}")
        if signal == "fit" and sigma is None:
            raise Ad40Error("to fit a signal in each window its standard deviation (sigma) is needed")
        left = size - (2 * region + 1 if signal == "leave out" else 1 if signal == "fit" else 0)
        if region < 0 or left < k + 2:
            raise Ad40Error(
                f"windows of {size} bins leave {left} for the {k} parameters of {function_name}; "
                f"expected at least {k + 2}"
            )
        if bins < size:
            raise Ad40Error(f"windows of {size} bins on a spectrum of {bins}; expected a longer spectrum")
        first = np.clip(np.arange(bins) - half_width, 0, bins - size)
        return cls(edges, first, size, function_name, signal, region, sigma, sqrt_s)

    @property
    def inside(self) -> Flags:
        """(B,) whether a bin has bins of its window on both sides of its signal region."""
        place = np.arange(len(self.first)) - self.first
        reach = self.region if self.signal != "include" else 0
        return (place - reach > 0) & (place + reach < self.size - 1)


@dataclass(frozen=True)
class Sliding:
    """Background of histograms (.., B), bin by bin: expected (.., B) and whether that bin's fit converged (.., B)."""

    expected: Floats
    converged: Flags


def slide(windows: Windows, counts: ArrayLike) -> Sliding:
    """Fit every window of histograms (T, B) or (B,).

    Where the window of a bin has no entries the background is 0 and has not converged.
    """
    n = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    if n.shape[1] != len(windows.first):
        raise Ad40Error(f"histograms of shape {np.shape(counts)}; expected {len(windows.first)} bins in the last axis")
    expected, converged = np.zeros_like(n), np.zeros(n.shape, dtype=bool)
    model, last = None, -1
    for b, first in enumerate(windows.first):
        part = slice(first, first + windows.size)
        if model is None or first != last:
            model = Model.on(windows.edges[first : first + windows.size + 1], windows.function, windows.sqrt_s)
            last = first
        rows = n[:, part].any(axis=1)
        if rows.any():
            place = b - first
            expected[rows, b], converged[rows, b] = _one(windows, model, n[rows, part], place)
    return Sliding(expected.reshape(np.shape(counts)), converged.reshape(np.shape(counts)))


def _one(windows: Windows, model: Model, n: Floats, place: int) -> tuple[Floats, Flags]:
    """Background of the bin at `place` of one window, and whether the fits converged, both (T,)."""
    if windows.signal == "fit":
        assert windows.sigma is not None
        mass = float(model.edges[place : place + 2].mean())
        signal = gaussian(model.edges, mass, 0.0, windows.sigma(mass) / mass)
        try:
            peak = fit_peak(model, n, signal, positive=True)
        except Ad40Error:  # too few entries in all of them together
            return np.zeros(len(n)), np.zeros(len(n), dtype=bool)
        return peak.background[:, place], peak.converged
    mask = None
    if windows.signal == "leave out":
        mask = np.abs(np.arange(windows.size) - place) > windows.region
    fitted = fit.newton(model, n, mask)
    return fitted.expected[:, place], fitted.converged


def goodness(windows: Windows, counts: ArrayLike, pseudo_experiments: int, random: np.random.Generator) -> float:
    """p of one histogram (B,): how often pseudo-experiments, thrown from the sliding background and fitted like the
    data, have a larger deviance in the bins `inside`. (S + 1) / (n + 1)."""
    n = np.asarray(counts, dtype=np.float64)
    data = slide(windows, n)
    toys = random.poisson(data.expected, size=(pseudo_experiments, len(n))).astype(np.float64)
    refit = slide(windows, toys)

    def misfit(found: Sliding, n: Floats) -> Floats:
        return fit.deviance(n, np.where(found.converged, found.expected, n), windows.inside)

    return float((np.count_nonzero(misfit(refit, toys) >= misfit(data, n)) + 1) / (pseudo_experiments + 1))


def widest(
    candidates: Sequence[Windows],
    counts: ArrayLike,
    random: np.random.Generator,
    *,
    pseudo_experiments: int = 200,
    least_p: float = 0.05,
) -> Windows:
    """The candidate with the widest windows, of those whose goodness is at least `least_p`: wide windows hide less of
    a signal and fluctuate less. Raises `Ad40Error` if none describes the spectrum."""
    tried = []
    for windows in sorted(candidates, key=lambda windows: -windows.size):
        p = goodness(windows, counts, pseudo_experiments, random)
        if p >= least_p:
            return windows
        tried.append(f"{windows.size} bins: p = {p:.3g}")
    raise Ad40Error(f"no sliding window describes the spectrum ({', '.join(tried)}; expected p >= {least_p:g})")
