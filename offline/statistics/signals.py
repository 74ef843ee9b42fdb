"""Signal shapes: the part of a signal's events expected in each bin of a mass spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from ad40.errors import Ad40Error

Floats = NDArray[np.float64]

WIDTHS = (0.0, 0.05, 0.10, 0.15)
"""Relative widths of the generic signals; 0 is a resonance narrower than the detector's resolution."""


def gaussian(edges: ArrayLike, mass: float, width: float, resolution: float) -> Floats:
    """Fractions (B,) of a Gaussian signal in bins with these edges (B + 1,) [GeV].

    mass: mean [GeV], > 0. width: relative width (standard deviation / mass) of the signal itself, >= 0.
    resolution: relative resolution of the mass measured there, >= 0; both are Gaussian, so their convolution has the
    standard deviation mass * sqrt(width^2 + resolution^2). Fractions are differences of the error function; what is
    missing to a sum of 1 is outside the edges (`outside`). Raises `Ad40Error` on values out of range.
    """
    edges = _edges(edges)
    for name, number, least in (
        ("mass", mass, "above 0"),
        ("width", width, "0 or more"),
        ("resolution", resolution, "0 or more"),
    ):
        if not np.isfinite(number) or number < 0 or (number == 0 and least == "above 0"):
            raise Ad40Error(f"signal at {mass} GeV: {name} is {number}; expected {least}")
    sigma = mass * np.hypot(width, resolution)
    if sigma == 0:
        raise Ad40Error(f"signal at {mass:g} GeV: width and resolution are both 0; expected at least one above 0")
    z = (edges - mass) / sigma
    # from the nearer tail, so that small fractions far from the peak keep their digits
    return np.where(z[1:] <= 0, ndtr(z[1:]) - ndtr(z[:-1]), ndtr(-z[:-1]) - ndtr(-z[1:]))


@dataclass(frozen=True)
class Simulated:
    """Shape of simulated signal events: fractions (B,) of all their weight, and the number of unweighted events of
    the same statistical power, (sum w)^2 / sum w^2."""

    fractions: Floats
    effective_events: float


def simulated(edges: ArrayLike, masses: ArrayLike, weights: ArrayLike | None = None) -> Simulated:
    """Shape of a signal from simulated events.

    masses: (n,) [GeV]; NaN or outside the edges counts as signal outside the spectrum. weights: (n,), default 1.
    Raises `Ad40Error` without events, on weights that are not finite or sum to 0 or less, and on a bin of negative
    content (too few events with negative weights).
    """
    edges, m = _edges(edges), np.asarray(masses, dtype=np.float64).ravel()
    w = np.ones(len(m)) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if len(m) == 0:
        raise Ad40Error("simulated signal: no events; expected at least one")
    if len(w) != len(m):
        raise Ad40Error(f"simulated signal: {len(w)} weights for {len(m)} masses; expected as many")
    if not np.isfinite(w).all():
        raise Ad40Error(
            f"simulated signal: weight of event {np.flatnonzero(~np.isfinite(w))[0]} is not a finite number"
        )
    if not w.sum() > 0:
        raise Ad40Error(f"simulated signal: sum of weights is {w.sum():g}; expected above 0")
    filled = np.histogram(m[np.isfinite(m)], edges, weights=w[np.isfinite(m)])[0]
    if (filled < 0).any():
        b = int(np.flatnonzero(filled < 0)[0])
        raise Ad40Error(
            f"simulated signal: bin {edges[b]:g}-{edges[b + 1]:g} GeV holds {filled[b]:g}; expected 0 or more "
            "(too few events for their negative weights)"
        )
    return Simulated(filled / w.sum(), float(w.sum() ** 2 / np.sum(w**2)))


def outside(fractions: ArrayLike) -> float:
    """Part of the signal outside the spectrum, 0 to 1."""
    return float(min(max(1.0 - np.sum(fractions), 0.0), 1.0))


def _edges(edges: ArrayLike) -> Floats:
    edges = np.asarray(edges, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise Ad40Error("edges of a spectrum must be finite and rise from bin to bin")
    return edges
