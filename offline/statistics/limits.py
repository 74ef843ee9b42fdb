"""Upper limits on the number of signal events in a mass spectrum, by CLs.

What to use when: `scan` for many masses and widths of one spectrum, `upper_limit` for one signal of any shape. Both
use the same likelihood, the background function of the fit refitted with the signal, by one of three methods:

* "asymptotic": the formulae of arXiv:1007.1727 with a Newton fit; about a millisecond for each limit;
* "pyhf": the same likelihood as a HistFactory document, evaluated by pyhf; seconds. `offline.statistics.workspace`
  writes the document for others to read;
* "toys": distributions of the test statistic from pseudo-experiments; seconds. Needed where fewer than `FEW` events of
  background are expected under the signal.
* "auto": "toys" there, "asymptotic" elsewhere.

The background parameters are free: the spectrum that is searched is the only measurement of them. To constrain them
to the result and covariance of the fit without signal (`constrained`) would use the same entries twice, and with a
background that has already swallowed part of the signal: such limits are too strong.

Limits count all events of the signal, those outside the spectrum too: `Limit.inside` is the part that is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error
from offline.statistics import asymptotic, fit, signals, toy_limits
from offline.statistics.asymptotic import LimitError
from offline.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]

METHODS = ("asymptotic", "pyhf", "toys", "auto")
CONFIDENCE = 0.95

MIN_INSIDE = 0.5
"""At least this part of the signal must be inside the spectrum: a tail alone looks like background."""

FEW = 10.0
"""Events of background under the signal below which the asymptotic formulae are not good enough. Observed and median
limits are right within 2 % down to there, the one at -2 sigma is 10 to 15 % too low; with one event of background that
is too low by half (`python -m offline.statistics.compare_limits`)."""


@dataclass(frozen=True)
class Background:
    """A background fitted without signal: expected counts nominal (B,), and how the logarithm of each moves with one
    standard deviation of each eigenvector of the fit's covariance, directions (B, k)."""

    nominal: Floats
    directions: Floats

    @classmethod
    def fitted(cls, model: fit.Model, counts: ArrayLike) -> Background:
        """Fit counts (B,). Raises `LimitError` on a histogram that cannot be fitted, with the reason."""
        n = np.asarray(counts, dtype=np.float64)
        if n.shape != model.offset.shape:
            raise LimitError(f"{n.shape} counts for {len(model.offset)} bins; expected as many")
        reason = fit.problem(model, n)
        if reason is not None:
            raise LimitError(f"no limit: {reason}")
        result = fit.newton(model, n)
        if not result.converged:
            raise LimitError("no limit: the fit of the background alone did not converge")
        return cls.of(model, result)

    @classmethod
    def of(cls, model: fit.Model, result: fit.NewtonFit) -> Background:
        """From a fit of one histogram. Raises `LimitError` where it does not determine all parameters."""
        try:
            values, vectors = np.linalg.eigh(fit.covariance(model, result))
        except Ad40Error as error:
            raise LimitError(f"no limit: {error}") from error
        return cls(result.expected, model.basis @ (vectors * np.sqrt(np.maximum(values, 0.0))))

    def with_signal(
        self, signal: ArrayLike, *, spurious: float = 0.0, scale_error: float = 0.0, constrained: bool = False
    ) -> Likelihood:
        """The likelihood of a signal (B,) on this background; the other arguments as in `upper_limit`."""
        g = np.ascontiguousarray(signal, dtype=np.float64)
        if g.shape != self.nominal.shape:
            raise LimitError(f"{g.shape} fractions of signal for {len(self.nominal)} bins; expected as many")
        if not np.isfinite(g).all() or (g < 0).any() or g.sum() > 1 + 1e-9:
            raise LimitError("fractions of a signal must be 0 or more and add up to at most 1")
        for name, number in (("spurious", spurious), ("scale_error", scale_error)):
            if not (np.isfinite(number) and number >= 0):
                raise LimitError(f"{name} is {number}; expected 0 or more")
        if g.sum() < MIN_INSIDE:
            raise LimitError(
                f"only {g.sum():.1%} of the signal is inside the spectrum; expected at least {MIN_INSIDE:.0%}"
            )
        prior = np.full(self.directions.shape[1], 1.0 if constrained else 0.0)
        directions = np.ascontiguousarray(self.directions)
        return Likelihood(self.nominal, directions, g, prior, float(spurious), float(np.log1p(scale_error)))

    def under(self, signal: Floats) -> float:
        """Expected background under a signal (B,): entries of each bin times the signal there, 1 in its peak."""
        g = np.asarray(signal, dtype=np.float64)
        return float(np.sum(self.nominal * g) / np.max(g))


@dataclass(frozen=True)
class Limit:
    """observed: upper limit on the number of signal events. expected: (5,) of them, for a background at -2, -1, 0, 1, 2
    standard deviations. fitted: best number of signal events, >= 0. significance: of it, sqrt(q0), in standard
    deviations, local. inside: part of the signal in the spectrum. background: events under the signal
    (`Background.under`). method: "asymptotic", "pyhf" or "toys"; error: relative, of "toys"."""

    observed: float
    expected: Floats
    fitted: float
    significance: float
    inside: float
    background: float
    confidence: float
    method: str
    error: float = 0.0


def upper_limit(
    model: fit.Model,
    counts: ArrayLike,
    signal: ArrayLike,
    *,
    method: str = "asymptotic",
    confidence: float = CONFIDENCE,
    spurious: float = 0.0,
    scale_error: float = 0.0,
    constrained: bool = False,
    toys: int = 1000,
    seed: int = 40,
    background: Background | None = None,
) -> Limit:
    """Observed and expected upper limits on the events of a signal.

    counts: (B,) entries. signal: (B,) fraction of the signal's events in each bin (`offline.statistics.signals`).
    method: one of `METHODS`. spurious: events that a wrong background function may fake or hide, as one standard
    deviation (`offline.statistics.spurious`). scale_error: relative error of luminosity times efficiency, log-normal.
    constrained: see the module; for comparison only. toys, seed: of the methods that throw. background: the fit of
    these counts where it has been made already. Raises `LimitError` with the reason where there is no limit.
    """
    if method not in METHODS:
        raise Ad40Error(f"there is no method {method!r}; expected one of {', '.join(METHODS)}")
    if not 0.5 < confidence < 1:
        raise Ad40Error(f"confidence is {confidence}; expected between 0.5 and 1")
    n = np.ascontiguousarray(counts, dtype=np.float64)
    background = Background.fitted(model, n) if background is None else background
    likelihood = background.with_signal(signal, spurious=spurious, scale_error=scale_error, constrained=constrained)
    fast = asymptotic.upper_limit(likelihood, n, level=confidence)
    under = background.under(likelihood.signal)
    observed, expected, error = fast.observed, fast.expected, 0.0
    if method == "auto":
        method = "toys" if under < FEW else "asymptotic"
    if method == "toys":
        thrown = toy_limits.upper_limit(
            likelihood, n, np.array([observed, *expected]), level=confidence, toys=toys, seed=seed
        )
        observed, expected, error = thrown.observed, thrown.expected, thrown.error
    elif method == "pyhf":
        from offline.statistics import workspace

        observed, expected = workspace.upper_limit(likelihood, n, unit=float(expected[2]), level=confidence)
    inside = 1.0 - signals.outside(likelihood.signal)
    return Limit(observed, expected, fast.fitted, float(np.sqrt(fast.q0)), inside, under, confidence, method, error)


@dataclass(frozen=True)
class Point:
    """One signal of a scan: mass [GeV], relative width, and its limit, or the reason why there is none."""

    mass: float
    width: float
    limit: Limit | None
    reason: str = ""


def scan(
    model: fit.Model,
    counts: ArrayLike,
    masses: Sequence[float] | Floats,
    widths: Sequence[float] = signals.WIDTHS,
    *,
    resolution: float | Callable[[float], float],
    spurious: float | Callable[[float, float], float] = 0.0,
    **options: Any,
) -> list[Point]:
    """Limits on Gaussian signals of each width at each mass, in the order of widths, then masses.

    counts: (B,). masses [GeV]. widths: relative. resolution: relative resolution of the mass, or a function of the
    mass [GeV] that gives it. spurious: events, or a function of mass and width. options: of `upper_limit`.
    A point without a limit says why and stops no other.
    """
    n = np.asarray(counts, dtype=np.float64)
    background, reason = None, ""
    try:
        background = Background.fitted(model, n)
    except Ad40Error as error:
        reason = str(error)
    points = []
    for width in widths:
        for mass in masses:
            if background is None:
                points.append(Point(float(mass), float(width), None, reason))
                continue
            try:
                relative = resolution(mass) if callable(resolution) else resolution
                faked = spurious(mass, width) if callable(spurious) else spurious
                shape = signals.gaussian(model.edges, mass, width, relative)
                limit = upper_limit(model, n, shape, spurious=faked, background=background, **options)
                points.append(Point(float(mass), float(width), limit))
            except LimitError as error:
                points.append(Point(float(mass), float(width), None, str(error)))
    return points


def cross_section_pb(events: ArrayLike, luminosity_fb: float, efficiency: float = 1.0) -> Floats:
    """Cross-section [pb] of a number of events: events / (1000 * luminosity [1/fb] * efficiency).

    With efficiency 1 it is cross-section x branching fraction x acceptance x efficiency, what a limit on events says
    about any model; with the part of a model's events that is selected, it is the model's cross-section.
    Raises `Ad40Error` on a luminosity not above 0 and an efficiency outside 0 to 1.
    """
    if not luminosity_fb > 0:
        raise Ad40Error(f"luminosity is {luminosity_fb} /fb; expected above 0")
    if not 0 < efficiency <= 1:
        raise Ad40Error(f"efficiency is {efficiency}; expected above 0 and at most 1")
    return np.asarray(events, dtype=np.float64) / (1000.0 * luminosity_fb * efficiency)
