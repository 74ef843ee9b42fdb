"""Classification without labels in dijets (CWoLa: arXiv 1708.02949, 1805.02664; ATLAS, PRL 125 (2020) 131801).

A signal region of the dijet mass against its two neighbours: a classifier that tells them apart by the jets can only
have learnt a signal, if the jets of background are alike in all three. Events are dealt into five folds; those of a
fold are scored by classifiers that learnt from three others and stopped by the fourth: no event is scored by a
classifier that saw it. Each of the four may be the one that stops, and the four classifiers are averaged.

Both classes have the same total weight, and so have the two sidebands: what changes steadily with the mass is equally
far on both sides of the signal region, and cannot be used. The masses of the jets of background grow with the dijet
mass, and their tails do not do so steadily: classifiers see masses over the dijet mass.

A score is brought to the same footing in all folds: s = -ln of the part of the fold's sideband events with at least
that answer. Cutting at s = -ln(eps) keeps the part eps of the sidebands, and a spectrum that no classifier shaped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets import classifier
from offline.jets.dijets import Dijets
from offline.jets.model import Settings

FIRST, RATIO, REGIONS = 1900.0, 1.2, 8
"""Edges of the published signal regions: 1.90 TeV, each 1.2 times the one before, to 8.17 TeV."""

LEAST = 50  # events of each class in every part that a classifier learns from

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CwolaSettings(Settings):
    """How to search. Efficiencies: of the sidebands, loosest first."""

    classifier: str = field(default="trees", metadata={"help": "trees or network", "choices": classifier.KINDS})
    folds: int = field(default=5, metadata={"help": "that events are dealt into", "least": 3, "most": 20})
    masses: str = field(default="relative", metadata={"help": "of jets: relative (over the dijet mass) or gev",
                                                      "choices": ("relative", "gev")})  # fmt: skip
    rotations: int = field(default=4, metadata={"help": "classifiers averaged for each fold", "least": 1})
    efficiencies: tuple[float, ...] = field(default=(0.1, 0.01), metadata={"help": "kept of the sidebands"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rotations < self.folds:
            raise InputError("settings", "rotations", self.rotations, f"1 to {self.folds - 1}, fewer than folds")
        if not self.efficiencies or any(not 0 < e < 1 for e in self.efficiencies):
            raise InputError("settings", "efficiencies", self.efficiencies, "parts between 0 and 1")


@dataclass(frozen=True)
class Window:
    """A signal region [low, high) and its sidebands [below, low) and [high, above), all GeV."""

    below: float
    low: float
    high: float
    above: float

    def __post_init__(self) -> None:
        if not 0 < self.below < self.low < self.high < self.above < np.inf:
            edges = [self.below, self.low, self.high, self.above]
            raise InputError("window", "edges", edges, "four masses above 0 GeV that rise")

    def signal(self, mass: Floats) -> NDArray[np.bool_]:
        """Events of the signal region."""
        return (mass >= self.low) & (mass < self.high)

    def sides(self, mass: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Events of the lower and of the upper sideband."""
        return (mass >= self.below) & (mass < self.low), (mass >= self.high) & (mass < self.above)


def published_windows() -> list[Window]:
    """The signal regions of the published search; the neighbours of each, as wide by the same ratio, are its sidebands.

    >>> [round(w.low) for w in published_windows()]
    [1900, 2280, 2736, 3283, 3940, 4728, 5673, 6808]
    """
    edges = FIRST * RATIO ** np.arange(-1, REGIONS + 2)
    return [Window(*(float(e) for e in edges[i : i + 4])) for i in range(REGIONS)]


def folds_of(event: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold (n,) of events, by a hash of their number and the seed: the same in whatever selection."""
    start = np.uint64(seed * 0xD1B54A32D192ED03 % 2**64)
    x = event.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) % np.uint64(folds)).astype(np.int64)


def weights(mass: Floats, window: Window) -> Floats:
    """Weights (n,): signal region 1/2, each sideband 1/4 of the total; 0 elsewhere. Mean over those used is 1."""
    low, high = window.sides(mass)
    out = np.zeros(len(mass))
    for part, share in ((window.signal(mass), 0.5), (low, 0.25), (high, 0.25)):
        out[part] = share / max(int(part.sum()), 1)
    return out * np.count_nonzero(out)


def score(
    events: Dijets, window: Window, settings: CwolaSettings, tick: Callable[[], object] = lambda: None
) -> Floats:  # fmt: skip
    """The score of all events (n,), see the module: -ln of the part of the sidebands that is as signal-like.

    Raises `InputError` when a region holds too few events to learn from.
    """
    mass, x = events.mass, relative(events) if settings.masses == "relative" else events.x
    fold = folds_of(events.event, settings.folds, settings.seed)
    signal, (low, high) = window.signal(mass), window.sides(mass)
    for name, part in (("signal region", signal), ("lower sideband", low), ("upper sideband", high)):
        least = int(np.bincount(fold[part], minlength=settings.folds).min())
        if least < LEAST:
            text = f"{window.low:.0f} to {window.high:.0f} GeV"
            raise InputError("CWoLa", f"events of a fold in the {name} of {text}", least, f"at least {LEAST}")
    used = signal | low | high
    out = np.empty(len(mass))
    for test in range(settings.folds):
        mine = fold == test
        answer = np.zeros(int(mine.sum()))
        for rotation in range(settings.rotations):
            stop = (test + 1 + rotation) % settings.folds
            train, held = used & (fold != test) & (fold != stop), used & (fold == stop)
            model = classifier.train(
                settings.classifier, x[train], signal[train], weights(mass[train], window), x[held], signal[held],
                weights(mass[held], window), settings.seed + 1000 * test + rotation,
            )  # fmt: skip
            answer += model(x[mine]) / settings.rotations
            tick()
        sides = (low | high)[mine]
        out[mine] = footing(answer, answer[sides], weights(mass[mine], window)[sides])
    return out


def relative(events: Dijets) -> Floats:
    """Features (n, f) with the masses among them over the dijet mass."""
    masses = np.array([name.startswith("m") for name in events.names], bool)
    return np.where(masses, events.x / events.mass[:, None], events.x)


def footing(answer: Floats, reference: Floats, weight: Floats) -> Floats:
    """-ln of the weighted part of a reference with at least that answer. Beyond the largest of the reference the part
    falls on, by the distance in units of the reference's spread: answers there keep their order."""
    order = np.argsort(reference, kind="stable")
    ordered = reference[order]
    above = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0) / weight.sum()
    n = len(ordered)
    part = above[np.searchsorted(ordered, answer, side="left")]
    spread = float(np.subtract(*np.quantile(ordered, (0.84, 0.16)))) / 2 or 1.0
    beyond = np.maximum(answer - ordered[-1], 0.0) / spread
    return np.asarray(-np.log(np.maximum(part, 0.5 / n)) + np.where(part > 0, 0.0, np.log1p(beyond)))
