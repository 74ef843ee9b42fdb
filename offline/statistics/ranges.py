"""Where a spectrum is fitted and scanned: past the turn-on, up to where no more events are to be expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.bumphunt import FLANK, WIDTHS
from offline.statistics.functions import SQRT_S

Floats = NDArray[np.float64]

START_FRACTION = 0.5
"""The fit starts where the smoothed density has fallen to this part of its maximum: past the turn-on."""

MAX_ROUNDS, CLOSE = 200, 0.01
"""`less_biased` ends when no bin changes by more than this part of its Poisson error."""

EXPECTED_BEYOND = 1e-3
"""The fit ends where it expects fewer events than this in all further bins together. Ending at the last filled bin
would make that bin special in the data and not in the pseudo-experiments."""


@dataclass(frozen=True)
class Axis:
    """One mass: bin edges (B + 1,) [GeV], and the range that may be fitted.

    `floor` keeps a known peak out of the search: no bin that begins below it is fitted or scanned. `ceiling`: no bin
    that ends above it is. turn_on False: the spectrum falls from its floor on, and the fit starts there.
    """

    name: str
    edges: Floats
    floor: float = 0.0
    ceiling: float = np.inf
    label: str = ""
    turn_on: bool = True


@dataclass(frozen=True)
class Settings:
    """How spectra are prepared and scanned.

    function: the background function (`offline.statistics.functions`). functions: another one for single spectra,
    by (stream, mass, region). min_entries: fewer in the fit range and a spectrum is skipped. widths: of the windows
    [bins]; those too wide to leave enough bins around them are not used.
    """

    function: str = "p5"
    functions: tuple[tuple[tuple[str, str, str], str], ...] = ()
    sqrt_s: float = SQRT_S
    min_entries: int = 50
    widths: tuple[int, ...] = WIDTHS

    def function_of(self, stream: str, mass: str, region: str) -> str:
        """The background function of one spectrum."""
        return dict(self.functions).get((stream, mass, region), self.function)


class Unfit(Exception):
    """A spectrum that is not searched: the cause in a few words, which can be counted, and the reason with numbers."""

    def __init__(self, cause: str, reason: str | None = None) -> None:
        self.cause, self.reason = cause, reason or cause
        super().__init__(self.reason)


def first_bin(counts: Floats, edges: Floats, floor: float) -> int:
    """First bin of the fit, by a rule that does not look for an excess; len(counts) if there is none.

    The density is smoothed over three bins. The fit starts at the first bin after its maximum at which it is below
    `START_FRACTION` of the maximum, or at `floor` [GeV] if that is higher. The maximum of a spectrum holds most of
    its entries: an excess large enough to move it would not need a search.
    """
    density = counts / np.diff(edges)
    smooth = np.convolve(np.pad(density, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    peak = int(np.argmax(smooth))
    below = np.flatnonzero(smooth[peak:] < START_FRACTION * smooth[peak])
    start = peak + int(below[0]) if len(below) else len(counts)
    return min(max(start, int(np.searchsorted(edges, floor))), len(counts))


def usable_widths(n_bins: int, n_parameters: int, widths: tuple[int, ...]) -> tuple[int, ...]:
    """Window widths [bins] that leave more bins than parameters outside of the window and its flanks."""
    return tuple(w for w in widths if w + 2 * max(w, FLANK) < n_bins - n_parameters)


def less_biased(model: fit.Model, counts: Floats, fitted: fit.NewtonFit) -> fit.NewtonFit:
    """The background to throw pseudo-experiments from: the fit of counts (B,) with less of the bias of its tail.

    Where few events are expected the likelihood follows the last of them, and the fit falls off too early more often
    than too late. Pseudo-experiments of it would have emptier tails than the data: fewer places for an excess, and
    p-values that are too small (p5 and 1,000 entries: on average 0.45 instead of 0.5). A sixth of the leverage of each
    bin, added to its count, is the correction that makes the estimate of a single Poisson mean median-unbiased (Kenne
    Pagui, Salvan, Sartori, Biometrika 104 (2017) 923; a half would take the bias from its logarithm: Firth, Biometrika
    80 (1993) 27). Over all bins that is a sixth of an event for each parameter. That it is enough for the p-values
    is measured by `ad40 calibrate`, with nothing, 0.3 and a half in its place too: they are too small and too large.
    """
    for _ in range(MAX_ROUNDS):
        orthonormal, _ = np.linalg.qr(np.sqrt(fitted.expected)[:, None] * model.basis)
        leverage = np.sum(orthonormal**2, axis=1)
        before, fitted = fitted, fit.newton(model, counts + leverage / 6, start=fitted.coefficients)
        if not bool(fitted.converged):
            break
        if np.max(np.abs(fitted.expected - before.expected) / np.sqrt(before.expected)) < CLOSE:
            return fitted
    raise Unfit("the background fit did not converge")


def fit_in_range(counts: Floats, axis: Axis, name: str, settings: Settings) -> tuple[int, fit.Model, fit.NewtonFit]:
    """First bin, model and background fit of one spectrum, from its counts (B,) over all bins of the axis.

    Raises `Unfit` on a spectrum that cannot be fitted.
    """
    edges = np.asarray(axis.edges, dtype=np.float64)
    filled = np.flatnonzero(counts)
    if not len(filled):
        raise Unfit("no entries")
    if len(filled) == 1:
        low, high = edges[filled[0] : filled[0] + 2]
        reason = f"all {counts.sum():.0f} entries are in one bin, {low:g} to {high:g} GeV"
        raise Unfit("all entries in one bin", reason)
    start = first_bin(counts, edges, axis.floor) if axis.turn_on else int(np.searchsorted(edges, axis.floor))
    top = int(np.searchsorted(edges, min(axis.ceiling, np.nextafter(settings.sqrt_s, 0)), side="right")) - 1
    entries = int(counts[start : max(top, start)].sum())
    if entries < settings.min_entries:
        raise Unfit("few entries", f"{entries} entries in the fit range, fewer than {settings.min_entries}")
    fitted: fit.NewtonFit | None = None
    while True:  # twice: over all bins, then without those where nothing is expected
        try:
            model = fit.Model.on(edges[start : top + 1], name, settings.sqrt_s)
        except Ad40Error as error:
            raise Unfit("few bins", str(error)) from error
        inside = counts[start:top]
        reason = fit.problem(model, inside)
        if reason is not None:
            raise Unfit("few filled bins", f"in the fit range {reason}")
        before, fitted = fitted, fit.newton(model, inside)
        if not bool(fitted.converged):
            raise Unfit("the background fit did not converge")
        if before is not None:
            break
        beyond = np.cumsum(less_biased(model, inside, fitted).expected[::-1])[::-1]
        top = start + max(int(np.count_nonzero(beyond >= EXPECTED_BEYOND)), int(np.flatnonzero(inside)[-1]) + 1)
    if not usable_widths(top - start, model.n_parameters, settings.widths):
        raise Unfit("few bins", f"{top - start} bins in the fit range are too few for a window and the bins around it")
    return start, model, fitted
