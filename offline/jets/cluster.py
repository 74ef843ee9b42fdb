"""From the particles of events to large-radius jets: anti-kt by FastJet, many events in one call."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError, MissingTool
from offline.jets.jets import COLUMNS, Jets, empty, starts_of
from offline.jets.lhco import Events
from offline.jets.substructure import Grooming, substructure


@dataclass(frozen=True)
class Clustering:
    """Settings. pt_min: of a jet [GeV]; eta_max: of its axis; jets: how many of an event are kept, the hardest first.
    Raises `InputError` on values out of range."""

    pt_min: float = 20.0
    eta_max: float = 2.5
    jets: int = 2
    grooming: Grooming = field(default_factory=Grooming)

    def __post_init__(self) -> None:
        for name, low, high in (("pt_min", 0.1, 1e5), ("eta_max", 0.1, 20), ("jets", 1, 127)):
            if not low <= getattr(self, name) <= high:
                raise InputError("clustering", name, getattr(self, name), f"{low:g} to {high:g}")

    @property
    def document(self) -> dict[str, Any]:
        """As written to files."""
        return {"algorithm": "anti-kt", **asdict(self)}


def require() -> Any:
    """The module fastjet. Raises `MissingTool`."""
    try:
        import fastjet
    except ImportError as error:
        raise MissingTool("the package 'fastjet'", "`pip install 'ad40[offline]'` clusters jets") from error
    return fastjet


def cluster(events: Events, clustering: Clustering | None = None, structure: bool = True) -> Jets:
    """Jets of n events with their constituents, groomed masses and N-subjettiness; without `structure` the latter are
    not known (NaN).

    Particles are massless; a jet's mass comes from their sum. An event without particles, or without a jet above
    pt_min within eta_max, has none. Raises `MissingTool` without FastJet.
    """
    c = clustering or Clustering()
    fastjet = require()
    import awkward as ak

    if not len(events.particles):
        return empty()
    pt, eta, phi = events.particles.T.astype(np.float64)
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    # an event without particles is left out: nothing to cluster
    full = np.flatnonzero(np.diff(events.offsets))
    fields = {name: p4[:, i] for i, name in enumerate(("px", "py", "pz", "E"))}
    array = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), np.diff(events.offsets)[full])
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, c.grooming.radius)
    index = fastjet.ClusterSequence(array, definition).constituent_index(min_pt=c.pt_min)

    per_event = ak.to_numpy(ak.num(index, axis=1))
    counts = ak.to_numpy(ak.flatten(ak.num(index, axis=2)))
    local = ak.to_numpy(ak.flatten(index, axis=None)).astype(np.int64)
    event = np.repeat(full, per_event)
    rows = local + np.repeat(events.offsets[:-1][event], counts)
    return _ordered(events, p4, event, counts, rows, c, structure)


def _ordered(
    events: Events, p4: NDArray[np.float64], event: NDArray[np.int64], counts: NDArray[np.int64],
    rows: NDArray[np.int64], c: Clustering, structure: bool,
) -> Jets:  # fmt: skip
    """Jets in order of event and pt, the hardest of each, constituents in order of pt. rows: particles of the jets,
    one jet after another; event, counts: of each jet."""
    starts = starts_of(counts)
    total = np.add.reduceat(p4[rows], starts[:-1], axis=0) if len(counts) else np.zeros((0, 4))
    px, py, pz, energy = total.T
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    chosen = np.flatnonzero((np.abs(eta) < c.eta_max) & (pt >= c.pt_min))
    chosen = chosen[np.lexsort((-pt[chosen], event[chosen]))]
    which = np.arange(len(chosen)) - np.searchsorted(event[chosen], event[chosen], side="left")
    chosen, which = chosen[which < c.jets], which[which < c.jets]

    offsets = starts_of(counts[chosen])
    owner = np.repeat(np.arange(len(chosen)), counts[chosen])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts[chosen]) + starts[:-1][chosen][owner]
    particles = events.particles[rows[place]]
    particles = particles[np.lexsort((-particles[:, 0], owner))]

    table = np.zeros((len(chosen), len(COLUMNS)), np.float32)
    mass2 = (energy - pz) * (energy + pz) - pt**2
    for k, column in enumerate((pt, eta, np.arctan2(py, px), np.sqrt(np.maximum(mass2, 0)))):
        table[:, k] = column[chosen]
    table[counts[chosen] == 1, 3] = 0  # one massless particle: what is left is rounding
    table[:, 4:] = substructure(offsets, particles, c.grooming) if structure else np.nan
    number = event[chosen]
    return Jets(offsets, particles, table, number + events.first, which.astype(np.int8), events.label[number])
