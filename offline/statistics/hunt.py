"""The hunt over all spectra of a sample: fit, scan, and pseudo-experiments that go through the same.

A spectrum is one mass in one trigger stream and one anomaly region. What it is skipped for is said; the rest goes on.
Pseudo-experiments are correlated between spectra as the data are (`offline.statistics.pseudo`), and each refits
every background. Global p-values are therefore right for any set of spectra: one, all of a region, one mass at all
thresholds, or everything (`Hunt.best`).

A pseudo-experiment whose fit fails counts as more extreme than any data, in all sets that hold its spectrum.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error
from offline.statistics import bumphunt, fit
from offline.statistics.bumphunt import Scan
from offline.statistics.pseudo import Background, Sampler, Shared
from offline.statistics.ranges import Axis, Settings, Unfit, fit_in_range, less_biased, usable_widths

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_SIDEBAND_P = 0.003
"""A spectrum whose bins away from the best window fit worse than this is not described by the background function,
and an excess in it is not claimed. Not stricter: the far tails of a large signal are away from the window too."""

MAX_FAILED = 0.01
"""A spectrum in which more than this part of the pseudo-experiments cannot be fitted is skipped."""

CHUNK = 100
"""Pseudo-experiments at a time."""


@dataclass(frozen=True)
class Entries:
    """One spectrum: stream, mass and region by name, and the counts (B,) of all bins of its axis."""

    stream: str
    axis: Axis
    region: str
    all_counts: Floats

    @property
    def key(self) -> tuple[str, str, str]:
        """(stream, mass, region)."""
        return self.stream, self.axis.name, self.region


@dataclass(frozen=True)
class Skipped(Entries):
    """A spectrum that was not searched: the cause in a few words, the reason with its numbers."""

    cause: str
    reason: str


@dataclass(frozen=True)
class Scanned(Entries):
    """What the hunt found in one spectrum. `counts` is over the B bins of the fit range, from bin `start` on.
    thrown: (B,) means of the pseudo-experiments (`ranges.less_biased`).

    `best.local_p` is that of the Poisson law for the fitted background. The other p-values come from the
    pseudo-experiments: `global_p` of the largest excess in this spectrum; `local_p_toys` of the pull in the same
    window, so that the uncertainty of the fit, its bias, and what it takes from an excess are in it; `gof_p` of the
    deviance of all bins; `sideband_p` of the bins away from the best window.
    """

    start: int
    model: fit.Model
    counts: Floats
    background: fit.NewtonFit
    thrown: Floats
    widths: tuple[int, ...]
    best: Scan
    total: float  # deviance of all bins
    sideband: float  # deviance of the bins away from the best window; infinite if they could not be fitted
    global_p: float = 1.0
    local_p_toys: float = 1.0
    gof_p: float = 1.0
    sideband_p: float = 1.0
    failed: int = 0  # pseudo-experiments that could not be fitted

    @property
    def entries(self) -> int:
        """Entries in the fit range."""
        return int(self.counts.sum())

    @property
    def window(self) -> tuple[float, float]:
        """Lower and upper mass [GeV] of the best window."""
        return float(self.model.edges[int(self.best.low)]), float(self.model.edges[int(self.best.high)])

    @property
    def described(self) -> bool:
        """Whether the background function describes the spectrum outside the best window."""
        return self.sideband_p >= MIN_SIDEBAND_P


@dataclass(frozen=True)
class Best:
    """The largest excess of a set of spectra: where, and its global p-value over the set.

    Only spectra that the background function describes can lead; all of the set are in the trials. `at_limit`: no
    pseudo-experiment was as extreme, and more of them could make p smaller.
    """

    p: float
    leading: Scanned | None
    at_limit: bool

    @property
    def z(self) -> float:
        """One-sided Gaussian significance of p."""
        return bumphunt.significance(self.p)


@dataclass(frozen=True)
class Toys:
    """Pseudo-experiments of H spectra: t (T, H), infinite where a fit failed; how many failed (H,); how many had a
    deviance, in all bins or away from their best window, or a pull in the window of the data, at least as large as
    the data (H,)."""

    t: Floats
    failed: Ints
    total: Ints
    sideband: Ints
    local: Ints

    @classmethod
    def join(cls, parts: Sequence[Toys]) -> Toys:
        """All pseudo-experiments of these, in this order."""
        sums = (np.sum([getattr(p, name) for p in parts], axis=0) for name in COUNTS)
        return cls(np.concatenate([p.t for p in parts]), *sums)


COUNTS = ("failed", "total", "sideband", "local")
"""Those of `Toys` that are numbers of pseudo-experiments."""


@dataclass(frozen=True)
class Prepared:
    """Fitted and scanned spectra, before the pseudo-experiments."""

    results: list[Scanned | Skipped]
    sampler: Sampler

    @property
    def scanned(self) -> list[Scanned]:
        """The spectra that take part."""
        return [r for r in self.results if isinstance(r, Scanned)]


@dataclass(frozen=True)
class Hunt:
    """The search: a result for every spectrum, and p-values over any of them.

    t: (toys, len(scanned)) of the pseudo-experiments. shared: `Sampler.shared`.
    """

    results: list[Scanned | Skipped]
    toys: int
    t: Floats
    shared: float
    scanned: list[Scanned] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scanned", [r for r in self.results if isinstance(r, Scanned)])

    @property
    def skipped(self) -> list[Skipped]:
        """The spectra that were not searched."""
        return [r for r in self.results if isinstance(r, Skipped)]

    def best(self, stream: str | None = None, mass: str | None = None, region: str | None = None) -> Best:
        """The largest excess and its global p-value over the spectra of a stream, mass, region; None is all of them."""
        wanted = stream, mass, region
        own = [i for i, r in enumerate(self.scanned) if all(w in (None, k) for w, k in zip(wanted, r.key, strict=True))]
        leading = max((self.scanned[i] for i in own if self.scanned[i].described), key=_t, default=None)
        if leading is None:
            return Best(1.0, None, False)
        p = bumphunt.global_p(_t(leading), self.t[:, own].max(axis=1))
        return Best(p, leading, p * (self.toys + 1) < 1.5)


def _t(result: Scanned) -> float:
    return float(result.best.t)


def prepare(
    shared: Shared,
    axes: Sequence[Axis],
    streams: Sequence[str] = ("any",),
    regions: Sequence[str] = ("all",),
    settings: Settings | None = None,
) -> Prepared:
    """Fit and scan every spectrum of a sample.

    axes: one for each mass of `shared`. streams: names of its bits, from bit 0 on. regions: names, loosest first.
    """
    if len(axes) != shared.bins.shape[1]:
        raise Ad40Error(f"{len(axes)} axes; expected {shared.bins.shape[1]}, one for each mass of the sample")
    settings = settings or Settings()
    results: list[Scanned | Skipped] = []
    wanted: list[Background] = []
    for s, stream in enumerate(streams):
        for m, axis in enumerate(axes):
            all_counts = shared.counts(s, m, len(regions), len(axis.edges) - 1).astype(np.float64)
            for r, region in enumerate(regions):
                try:
                    found = _search(Entries(stream, axis, region, all_counts[r]), settings)
                except Unfit as why:
                    results.append(Skipped(stream, axis, region, all_counts[r], why.cause, why.reason))
                    continue
                results.append(found)
                wanted.append(Background(s, m, r, found.start, found.thrown))
    return Prepared(results, Sampler.of(shared, wanted))


def _search(of: Entries, settings: Settings) -> Scanned:
    start, model, background = fit_in_range(of.all_counts, of.axis, settings.function_of(*of.key), settings)
    counts = of.all_counts[start : start + len(model.offset)]
    widths = usable_widths(len(counts), model.n_parameters, settings.widths)
    best = bumphunt.scan(counts, background.expected, widths)
    mask = bumphunt.outside(best, len(counts))
    side = fit.newton(model, counts, mask, start=background.coefficients)
    return Scanned(
        of.stream, of.axis, of.region, of.all_counts,
        start, model, counts, background, less_biased(model, counts, background).expected, widths, best,
        float(fit.deviance(counts, background.expected)),
        float(fit.deviance(counts, side.expected, mask)) if bool(side.converged) else np.inf,
    )  # fmt: skip


def throw(prepared: Prepared, first: int, n: int, seed: int, windows: Sequence[tuple[int, int]] | None = None) -> Toys:
    """Pseudo-experiments first .. first + n - 1 of a seed. Those of a number are the same in any call.

    windows: for each scanned spectrum the window [first bin, bin after the last) of the local p-value, instead of the
    best one of the data.
    """
    scanned = prepared.scanned
    t = np.empty((n, len(scanned)))
    failed, total, sideband, local = (np.zeros(len(scanned), dtype=np.int64) for _ in range(4))
    for s, (r, counts) in enumerate(zip(scanned, prepared.sampler.draw(first, n, seed), strict=True)):
        refit = fit.newton(r.model, counts, start=r.background.coefficients)
        best = bumphunt.scan(counts, refit.expected, r.widths)
        mask = bumphunt.outside(best, len(r.counts))
        side = fit.newton(r.model, counts, mask, start=refit.coefficients)
        good = refit.converged
        # what did not converge counts as more extreme than the data in t and in the window, and as better described
        # in the deviances: never in favour of a discovery
        t[:, s] = np.where(good, best.t, np.inf)
        failed[s] = np.count_nonzero(~good)
        total[s] = np.count_nonzero(good & (fit.deviance(counts, refit.expected) >= r.total))
        worse = fit.deviance(counts, side.expected, mask) >= r.sideband
        sideband[s] = np.count_nonzero(good & side.converged & worse)
        inside = slice(*windows[s]) if windows is not None else slice(int(r.best.low), int(r.best.high))
        observed, *thrown = (
            fit.pulls(n[..., inside].sum(axis=-1), b[..., inside].sum(axis=-1))
            for n, b in ((r.counts, r.background.expected), (counts, refit.expected))
        )
        local[s] = np.count_nonzero(~good | (thrown[0] >= observed))
    return Toys(t, failed, total, sideband, local)


def conclude(prepared: Prepared, toys: Toys) -> Hunt:
    """P-values of every spectrum. Spectra with too many failed fits are skipped now."""
    n = len(toys.t)
    kept: list[int] = []
    results = list(prepared.results)
    places = [i for i, r in enumerate(results) if isinstance(r, Scanned)]
    for s, (place, r) in enumerate(zip(places, prepared.scanned, strict=True)):
        failed = int(toys.failed[s])
        if failed > MAX_FAILED * n:
            reason = f"the background fit did not converge in {failed} of {n} pseudo-experiments"
            results[place] = Skipped(r.stream, r.axis, r.region, r.all_counts, "failed fits of toys", reason)
            continue
        kept.append(s)
        gof, sideband, local = ((int(k[s]) + 1) / (n + 1) for k in (toys.total, toys.sideband, toys.local))
        results[place] = replace(
            r, global_p=bumphunt.global_p(_t(r), toys.t[:, s]), local_p_toys=local, gof_p=gof, sideband_p=sideband,
            failed=failed,
        )  # fmt: skip
    return Hunt(results, n, toys.t[:, kept], prepared.sampler.shared)


def hunt(
    shared: Shared,
    axes: Sequence[Axis],
    streams: Sequence[str] = ("any",),
    regions: Sequence[str] = ("all",),
    settings: Settings | None = None,
    *,
    toys: int = 5000,
    seed: int = 40,
    threads: int | None = None,
    progress: Callable[[int], object] = lambda n: None,
) -> Hunt:
    """Search all spectra of a sample in this process; for more than that see `offline.statistics.scan`.

    toys: pseudo-experiments. threads: how many share them (default: cores); the answer does not depend on it.
    progress is called with the number of pseudo-experiments just finished.
    """
    prepared = prepare(shared, axes, streams, regions, settings)
    starts = range(0, toys, CHUNK)

    def part(first: int) -> Toys:
        return throw(prepared, first, min(CHUNK, toys - first), seed)

    parts: list[Toys] = []
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for done in pool.map(part, starts):
            parts.append(done)
            progress(len(done.t))
    return conclude(prepared, Toys.join(parts))
