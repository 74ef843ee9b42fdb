"""The bump fit of a signal region: what the spectrum outside of it expects inside.

A smooth function is fitted to the dijet spectrum without the bins of the signal region (`offline.statistics.fit`, the
binned Poisson likelihood), of the order that the likelihood ratio chooses on the same bins. N events observed stand
against b expected with the error sigma of the fit; `offline.statistics.onoff` says how significant that is.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from ad40.errors import Ad40Error
from offline.jets.cwola import Window
from offline.statistics import fit, order
from offline.statistics.functions import SQRT_S
from offline.statistics.onoff import significance
from offline.statistics.ranges import first_bin

RESOLUTION = 0.03
"""Width of a bin over its mass: about the resolution of the mass of two large jets."""

FUNCTIONS = ("p2", "p3", "p4")
"""A larger function bends into the gap of the signal region as it likes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bump:
    """The signal region of one spectrum: events observed, expected and the error of that, significance z (negative
    for a deficit) and its local p; function: chosen; sideband_p: of the fit outside. edges, counts, background:
    (B + 1,), (B,), (B,) of the bins of the fit."""

    observed: int
    expected: float
    error: float
    z: float
    p: float
    function: str
    sideband_p: float
    edges: Floats
    counts: Floats
    background: Floats

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}


def bins(window: Window, low: float, high: float, resolution: float = RESOLUTION) -> Floats:
    """Edges from below `low` to above `high` [GeV], each about `resolution` of its mass wide, two of which are those
    of the signal region."""
    steps = max(round(math.log(window.high / window.low) / resolution), 1)
    ratio = (window.high / window.low) ** (1 / steps)
    before = math.ceil(math.log(window.low / low) / math.log(ratio)) if low < window.low else 0
    after = math.ceil(math.log(high / window.high) / math.log(ratio)) if high > window.high else 0
    edges = window.low * ratio ** np.arange(-before, steps + after + 1)
    return np.asarray(edges[edges < SQRT_S])


def fit_range(mass: Floats, window: Window, begin: float | None = None) -> Floats:
    """Edges of the bins of the fit for all events of a selection: past the turn-on, up to the heaviest event.

    begin: where the spectrum is known to fall smoothly [GeV], if it is; without it the fit starts where the density has
    fallen to half of its maximum (`offline.statistics.ranges.first_bin`). Made once, from the events before any cut on
    a score, so that all cuts are fitted in the same bins.
    Raises `Ad40Error` when the lower sideband lies in the turn-on.
    """
    if len(mass) < 2:
        raise Ad40Error(f"{len(mass)} events are too few for a spectrum")
    edges = bins(window, max(float(mass.min()), 1.0), float(mass.max()))
    counts = np.histogram(mass, edges)[0].astype(np.float64)
    start = first_bin(counts, edges, 0.0) if begin is None else int(np.searchsorted(edges, begin))
    if edges[min(start, len(edges) - 1)] > window.low * (window.below / window.low) ** 0.5:
        raise Ad40Error(f"the spectrum falls from {edges[min(start, len(edges) - 1)]:.0f} GeV on only; a signal region "
                        f"from {window.low:.0f} GeV has no sideband below it there")  # fmt: skip
    return edges[start:]


def bump(mass: Floats, edges: Floats, window: Window) -> Bump:
    """Fit the events (n,) [GeV] of a cut in the bins of `fit_range`. Raises `Ad40Error` where no function fits."""
    counts = np.histogram(mass, edges)[0].astype(np.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    inside = (centres > window.low) & (centres < window.high)
    outside = ~inside
    chosen = order.choose(edges, counts, FUNCTIONS, test="likelihood", mask=outside).name
    model = fit.Model.on(edges, chosen)
    fitted = fit.newton(model, counts, outside)
    slope = fitted.expected[inside] @ model.basis[inside]  # of the sum over the region, in the coefficients
    variance = float(slope @ fit.covariance(model, fitted, outside) @ slope)
    observed, expected = int(counts[inside].sum()), float(fitted.expected[inside].sum())
    z = significance(observed, expected, math.sqrt(variance))
    degrees = max(int((fitted.expected[outside] >= order.EXPECTED).sum()) - model.n_parameters, 1)
    deviance = float(fit.deviance(counts, fitted.expected, outside))
    return Bump(observed, expected, math.sqrt(variance), z, float(norm.sf(z)), chosen,
                float(chi2.sf(deviance, degrees)), edges, counts, fitted.expected)  # fmt: skip
