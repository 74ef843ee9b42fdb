"""The analysis: what one YAML document says that `ad40 search` does, as frozen dataclasses.

`offline.search.document.read` makes it. `Analysis.part` is what one stage depends on: a stage runs again when its
part, or what it reads, has changed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ad40.files import sha256_of
from offline.autoencoder.initialisations import Settings
from offline.objects.nanoaod import Options
from offline.objects.selection import Cuts
from offline.regions import ALL, name_of

SHIPPED = Path(__file__).parents[1] / "analyses"


@dataclass(frozen=True)
class Signal:
    """A simulated signal: what the anomaly regions keep of it, and how much they improve it.

    cross_section_pb: None = the one its files say. spectrum: where its resonance is; the improvement is that in the
    window of its mass there. Without it all events are compared. stream: only the events of this one.
    """

    name: str
    label: str
    files: tuple[Path, ...]
    cross_section_pb: float | None
    spectrum: str | None
    stream: str | None


@dataclass(frozen=True)
class SpectraPlan:
    """names of the masses; bins: which resolution the bins follow, over bin_range [GeV]; fit_range [GeV]: no bin
    outside of it is fitted; floors [GeV]: a known peak that the search starts above; falling_from [GeV]: where a
    spectrum whose turn-on is known falls smoothly, and its fit starts; spectra with fewer than min_entries in the fit
    range are left out."""

    names: tuple[str, ...]
    bins: str
    bin_range: tuple[float, float]
    fit_range: tuple[float, float] | None
    floors: tuple[tuple[str, float], ...]
    min_entries: int
    falling_from: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Score:
    """Where the anomaly score comes from: exactly one of an autoencoder to train, a column of the events, score files
    (sample, file) for "data" and each signal."""

    autoencoder: Settings | None
    column: str | None
    files: tuple[tuple[str, Path], ...] | None


@dataclass(frozen=True)
class Regions:
    """Anomaly regions by the cross-section they keep [pb], and the filter without a network: y* below this."""

    cross_sections_pb: tuple[float, ...]
    ystar_max: float | None


@dataclass(frozen=True)
class Fits:
    """functions: candidates, from simple to general. With several the order is chosen: a further parameter is taken
    when the F-test finds it needed with p < order_p. goodness_toys: pseudo-experiments for each goodness of fit."""

    functions: tuple[str, ...]
    order_p: float
    goodness_toys: int


@dataclass(frozen=True)
class HuntPlan:
    """Pseudo-experiments of the bump hunt, and the global significance from which a bump is claimed."""

    pseudo_experiments: int
    claim_sigma: float


@dataclass(frozen=True)
class LimitsPlan:
    """Gaussian signals: relative widths [%], mass points for each spectrum, how limits are computed
    (`offline.statistics.limits.METHODS`), and the spectra they are set in."""

    widths_percent: tuple[float, ...]
    masses: int
    method: str
    streams: tuple[str, ...]
    spectra: tuple[str, ...]
    regions: tuple[str, ...]


@dataclass(frozen=True)
class ScanPlan:
    """The smooth scan: thresholds that keep these cross-sections [pb], equally spaced in the logarithm."""

    low_pb: float
    high_pb: float
    steps: int
    pseudo_experiments: int
    streams: tuple[str, ...]
    spectra: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """The whole document. A part that is None is not done, and the report says so."""

    file: Path
    name: str
    title: str
    status: str  # stands on every figure, such as "Simulation"
    luminosity_fb: float | None  # None: what the sample is worth
    seed: int
    data: tuple[Path, ...]
    events: Path | None
    nanoaod: Options | None
    signals: tuple[Signal, ...]
    cuts: Cuts
    counts: tuple[tuple[str, int], ...]
    streams: tuple[str, ...]
    spectra: SpectraPlan
    score: Score | None
    regions: Regions | None
    fits: Fits
    hunt: HuntPlan
    limits: LimitsPlan | None
    scan: ScanPlan | None

    def part(self, *names: str) -> dict[str, Any]:
        """Some parts ("hunt", "spectra.names") as JSON types: what a stage depends on. Of a path only the name."""
        found = {}
        for name in names:
            value: Any = self
            for step in name.split("."):
                value = getattr(value, step) if value is not None else None
            found[name] = plain(value)
        return found

    @property
    def hash(self) -> str:
        """SHA-256 of everything in the document but the places of files."""
        return sha256_of(self.part(*(f.name for f in dataclasses.fields(self) if f.name != "file")))


def plain(value: Any) -> Any:
    """JSON types of dataclasses and tuples; a path is its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    return value.name if isinstance(value, Path) else value


def claim_p(sigma: float) -> float:
    """One-sided p-value of a number of standard deviations."""
    return 0.5 * math.erfc(sigma / math.sqrt(2))


def region_names(regions: Regions | None) -> tuple[str, ...]:
    """Names of the regions: "all", then one for each cross-section such as "10pb"."""
    return (ALL.name, *(name_of(value) for value in (regions.cross_sections_pb if regions else ())))
