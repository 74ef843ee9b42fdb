"""The search over several spectra: choose ranges, fit, scan, and put numbers on the largest excess.

`hunt` is the whole statistical procedure on plain arrays of masses; `offline.search.run` feeds it from record files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.masses import Spectrum, bin_edges
from offline.statistics import bumphunt, fit
from offline.statistics.bumphunt import Scan
from offline.statistics.rake import rake

Floats = NDArray[np.float64]

START_FRACTION = 0.5
"""The fit starts where the smoothed density has fallen to this part of its maximum: past the turn-on."""

MIN_ENTRIES = 200
"""Fewer entries in the fit range than this and the spectrum is skipped: five parameters would follow the noise."""

MIN_BINS = 12
"""Fewer bins in the fit range than this and the spectrum is skipped."""

MIN_SIDEBAND_P = 0.003
"""A spectrum whose bins away from the best window fit worse than this is not described by the background function,
and an excess in it is not claimed. Not stricter: the far tails of a large signal are away from the window too."""

CHUNK = 100


@dataclass
class Entries:
    """A filled spectrum: all its bins, and how many entries are in the fit range."""

    spectrum: Spectrum
    all_edges: Floats
    all_counts: Floats
    entries: int


@dataclass
class Skipped(Entries):
    """A spectrum that was not searched, and why."""

    reason: str


@dataclass
class Scanned(Entries):
    """What the search found in one spectrum. `counts` is over the B bins of the fit range."""

    model: fit.Model
    counts: Floats
    background: fit.NewtonFit
    best: Scan
    gof_p: float = 1.0
    sideband_p: float = 1.0
    global_p: float = 1.0
    not_converged: int = 0

    @property
    def window(self) -> tuple[float, float]:
        """Lower and upper mass [GeV] of the best window."""
        return float(self.model.edges[int(self.best.low)]), float(self.model.edges[int(self.best.high)])

    @property
    def described(self) -> bool:
        """Whether the background function describes the spectrum outside the best window."""
        return self.sideband_p >= MIN_SIDEBAND_P

    def place(self, mass: Floats) -> NDArray[np.int64]:
        """Bin of the fit range that each mass is in, -1 for none."""
        edges = self.model.edges
        inside = (mass >= edges[0]) & (mass < edges[-1])
        return np.where(inside, np.searchsorted(edges, mass, side="right") - 1, -1)


@dataclass
class Hunt:
    """The search: results per spectrum, and the global p-value over all of them."""

    results: list[Scanned | Skipped]
    pseudo_experiments: int
    global_p: float  # of the largest excess among spectra whose sidebands are described; 1 if there is none
    leading: Scanned | None
    shared: float  # Sampler.shared

    @property
    def scanned(self) -> list[Scanned]:
        """The spectra that were fitted and scanned."""
        return [r for r in self.results if isinstance(r, Scanned)]


def fit_range(counts: Floats, edges: Floats, floor: float) -> tuple[int, int]:
    """First bin and the bin after the last of the fit, by a rule that does not look for an excess.

    The density is smoothed over three bins. The fit starts at the first bin after its maximum at which it is below
    `START_FRACTION` of the maximum, or at `floor` [GeV] if that is higher, and ends with the last filled bin.
    The maximum of a spectrum holds most of its entries: an excess large enough to move it would not need a search.
    """
    filled = np.flatnonzero(counts)
    if not len(filled):
        return 0, 0
    density = counts / np.diff(edges)
    smooth = np.convolve(np.pad(density, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    peak = int(np.argmax(smooth))
    below = np.flatnonzero(smooth[peak:] < START_FRACTION * smooth[peak])
    start = peak + int(below[0]) if len(below) else len(counts)
    start = max(start, int(np.searchsorted(edges, floor)))
    stop = int(filled[-1]) + 1
    return (start, stop) if start < stop else (stop, stop)


def _prepare(spectrum: Spectrum, mass: Floats) -> Scanned | Skipped:
    edges = bin_edges(spectrum)
    counts = np.histogram(mass[np.isfinite(mass)], edges)[0].astype(np.float64)
    start, stop = fit_range(counts, edges, spectrum.floor)
    inside = counts[start:stop]
    filled = spectrum, edges, counts, int(inside.sum())
    if inside.sum() < MIN_ENTRIES:
        return Skipped(*filled, f"{int(inside.sum())} entries in the fit range, fewer than {MIN_ENTRIES}")
    if stop - start < MIN_BINS:
        return Skipped(*filled, f"{stop - start} bins in the fit range, fewer than {MIN_BINS}")
    model = fit.Model.on(edges[start : stop + 1])
    background = fit.newton(model, inside)
    if not bool(background.converged):
        return Skipped(*filled, "the background fit did not converge")
    return Scanned(*filled, model, inside, background, bumphunt.scan(inside, background.expected))


def _sideband_deviance(model: fit.Model, counts: Floats, best: Scan) -> tuple[Floats, NDArray[np.bool_]]:
    """Deviance outside the best window after a refit without it, (..), and whether that fit converged."""
    mask = bumphunt.outside(best, counts.shape[-1])
    refit = fit.newton(model, counts, mask)
    return fit.deviance(counts, refit.expected, mask), refit.converged


def hunt(
    masses: dict[Spectrum, Floats],
    pseudo_experiments: int,
    random: np.random.Generator,
    progress: Callable[[int], None] = lambda n: None,
) -> Hunt:
    """Search all spectra of the same events.

    masses: spectrum -> (E,) masses [GeV], NaN where an event has none; the same E events in every spectrum.
    pseudo_experiments: how many, each of which refits every background.
    progress is called with the number of pseudo-experiments just finished.
    """
    results = [_prepare(spectrum, mass) for spectrum, mass in masses.items()]
    scanned = [r for r in results if isinstance(r, Scanned)]
    if not scanned:
        return Hunt(results, pseudo_experiments, 1.0, None, 1.0)
    bins = np.stack([r.place(masses[r.spectrum]) for r in scanned], axis=1)
    sampler = rake(bins, [r.background.expected for r in scanned])

    n, shape = pseudo_experiments, (pseudo_experiments, len(scanned))
    t, total, side = np.empty(shape), np.empty(shape), np.empty(shape)
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        rows = slice(start, start + size)
        for s, (r, counts) in enumerate(zip(scanned, sampler.draw(size, random), strict=True)):
            refit = fit.newton(r.model, counts)
            best = bumphunt.scan(counts, refit.expected)
            # what did not converge counts as more extreme than the data: never in favour of a discovery
            t[rows, s] = np.where(refit.converged, best.t, np.inf)
            total[rows, s] = np.where(refit.converged, fit.deviance(counts, refit.expected), np.inf)
            side[rows, s], converged = _sideband_deviance(r.model, counts, best)
            r.not_converged += int(np.count_nonzero(~refit.converged | ~converged))
        progress(size)
    for s, r in enumerate(scanned):
        r.global_p = bumphunt.global_p(float(r.best.t), t[:, s])
        r.gof_p = bumphunt.global_p(float(fit.deviance(r.counts, r.background.expected)), total[:, s])
        r.sideband_p = bumphunt.global_p(float(_sideband_deviance(r.model, r.counts, r.best)[0]), side[:, s])
    leading = max((r for r in scanned if r.described), key=lambda r: float(r.best.t), default=None)
    # all scanned spectra stay in the trials, also those not described: dropping them would make p smaller
    overall = bumphunt.global_p(float(leading.best.t), t.max(axis=1)) if leading else 1.0
    return Hunt(results, pseudo_experiments, overall, leading, sampler.shared)
