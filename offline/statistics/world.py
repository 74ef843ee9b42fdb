"""Events with known spectra and known correlations, to test searches on.

Several masses, streams and nested anomaly regions share events through a Gaussian copula: standard normal numbers of
an event, correlated with each other, are made masses by the quantiles of a dijet function and a score by its
thresholds. The data sets that it throws are independent, so the truth is whatever many of them show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from offline.statistics.pseudo import Shared, share
from offline.statistics.ranges import Axis

Floats = NDArray[np.float64]

LOW, HIGH, SQRT_S = 300.0, 9000.0, 13000.0


@dataclass(frozen=True)
class Signal:
    """A narrow resonance: mean number of events, mass [GeV] and width (Gaussian sigma) [GeV], in mass 0 of stream 0
    and in all regions; its other masses are those of the background."""

    events: float
    mass: float
    width: float


@dataclass(frozen=True)
class World:
    """A source of data sets.

    events: mean number; each data set has a Poisson number of them. resolution: width of a bin relative to its mass.
    power, tail: masses follow x^-power (1 - x)^tail, x = m / 13 TeV, from 300 GeV on. present: chance that an event
    has a mass. stream: chance that it is in each stream beyond the first, which holds all. keep: part of the events
    in each region, loosest first. correlation: of any two masses; score_correlation: of the score with each mass.
    """

    events: float = 10_000
    masses: int = 3
    streams: int = 2
    keep: tuple[float, ...] = (1.0, 0.4, 0.15)
    resolution: float = 0.055
    power: float = 5.0
    tail: float = 10.0
    present: float = 0.7
    stream: float = 0.5
    correlation: float = 0.5
    score_correlation: float = 0.2
    signal: Signal | None = None

    @cached_property
    def edges(self) -> Floats:
        """Bin edges [GeV], whole GeV."""
        edges = [LOW]
        while edges[-1] * (1 + self.resolution) < HIGH:
            edges.append(round(edges[-1] * (1 + self.resolution)))
        return np.array(edges, dtype=np.float64)

    @property
    def axes(self) -> list[Axis]:
        """One axis for each mass."""
        return [Axis(f"m{i}", self.edges) for i in range(self.masses)]

    @property
    def stream_names(self) -> list[str]:
        """Names of the streams."""
        return [f"stream{i}" for i in range(self.streams)]

    @property
    def region_names(self) -> list[str]:
        """Names of the regions, loosest first."""
        return [f"keep {part:g}" for part in self.keep]

    @cached_property
    def _quantiles(self) -> tuple[Floats, Floats]:
        """Masses [GeV], and the part of the background below each."""
        mass = np.geomspace(LOW, HIGH, 20_000)
        x = mass / SQRT_S
        density = x**-self.power * (1 - x) ** self.tail
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(mass))])
        return mass, below / below[-1]

    def expected(self) -> Floats:
        """Expected counts of mass 0 in stream 0 and the loosest region, without signal."""
        mass, below = self._quantiles
        return self.events * self.keep[0] * self.present * np.diff(np.interp(self.edges, mass, below))

    def throw(self, rng: np.random.Generator) -> Shared:
        """One data set."""
        n = int(rng.poisson(self.events))
        extra = int(rng.poisson(self.signal.events)) if self.signal else 0
        size = n + extra
        # score first: a common factor makes any two masses equally correlated, another ties them to the score
        score, common = rng.standard_normal((2, size))
        own = rng.standard_normal((size, self.masses))
        to_score = self.score_correlation
        to_common = np.sqrt(self.correlation - to_score**2)
        z = to_score * score[:, None] + to_common * common[:, None] + np.sqrt(1 - self.correlation) * own
        mass, below = self._quantiles
        masses = np.interp(ndtr(z), below, mass)
        masses[rng.random(masses.shape) >= self.present] = np.nan
        bits = np.ones(size, dtype=np.uint32)
        for k in range(1, self.streams):
            bits |= (rng.random(size) < self.stream).astype(np.uint32) << np.uint32(k)
        if self.signal and extra:
            masses[n:, 0] = rng.normal(self.signal.mass, self.signal.width, extra)
            score[n:] = np.inf
            bits[n:] = 1
        return share(masses, [self.edges] * self.masses, bits, score, ndtri(1 - np.array(self.keep)))

    def with_signal(self, events: float, mass: float, width: float) -> World:
        """The same with a signal."""
        return replace(self, signal=Signal(events, mass, width))
