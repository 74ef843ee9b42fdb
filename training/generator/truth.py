"""Generator truth that the offline objects are matched to: heavy hadrons and prompt photons."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from training.generator.detector import expand, wrap
from training.generator.heavyflavour import HEAVY
from training.generator.tables import detector_settings

BOTTOM, CHARM, PHOTON = 5, 4, 22
_DECAYS = 90  # status codes above: made in the decay of a hadron or a tau


@dataclass
class Truth:
    """Ordered by event. Arrays (m,): event, code (BOTTOM, CHARM for a weakly decaying hadron, PHOTON for a photon of
    the hard process or the shower), pt [GeV], eta, phi [rad]."""

    event: np.ndarray
    code: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray

    def take(self, index: np.ndarray) -> Truth:
        return Truth(*(getattr(self, f.name)[index] for f in fields(self)))

    def of(self, events: np.ndarray) -> Truth:
        """The truth of a list of events (an event may come more than once), numbered by place in the list."""
        last = int(max(self.event.max(initial=-1), events.max(initial=-1))) + 1
        starts = np.searchsorted(self.event, np.arange(last + 1))
        owner, position = expand(starts[events + 1] - starts[events], starts[events])
        found = self.take(position)
        found.event = owner
        return found


def truth_of(arrays: Any) -> Truth:
    """Truth of an awkward array of events, as `generator.pythia.batches` yields it. Decayed hadrons count, too."""
    import awkward as ak

    settings = detector_settings()["offline"]
    particles = arrays.prt
    pdg = np.abs(ak.to_numpy(ak.flatten(particles.id)))
    status = ak.to_numpy(ak.flatten(particles.status))
    event = np.repeat(np.arange(len(arrays)), ak.to_numpy(ak.num(particles.id)))
    code = np.where(np.isin(pdg, [h for h in HEAVY if h > 500 and h // 1000 in (0, 5)]), BOTTOM, 0)
    code = np.where(np.isin(pdg, [h for h in HEAVY if h // 100 == 4 or h // 1000 == 4]), CHARM, code)
    code = np.where((pdg == PHOTON) & (status > 0) & (status < _DECAYS), PHOTON, code)
    index = np.flatnonzero(code)
    px, py, pz = (ak.to_numpy(ak.flatten(particles.p[c]))[index] for c in ("px", "py", "pz"))
    pt = np.maximum(np.hypot(px, py), 1e-9)
    truth = Truth(event[index], code[index], pt, np.arcsinh(pz / pt), np.arctan2(py, px))
    pt_min = np.where(truth.code == PHOTON, settings["photon"]["truth_pt_min"], settings["btag"]["hadron_pt_min"])
    return truth.take(np.flatnonzero(truth.pt > pt_min))


def nearest(
    event: np.ndarray, eta: np.ndarray, phi: np.ndarray, to: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """For each of m objects the nearest of others in the same event: its index (-1 if none) and the distance dR.

    to: event (rising), eta, phi of the others.
    """
    other_event, other_eta, other_phi = to
    start, stop = np.searchsorted(other_event, event, "left"), np.searchsorted(other_event, event, "right")
    owner, position = expand(stop - start, start)
    distance = np.hypot(eta[owner] - other_eta[position], wrap(phi[owner] - other_phi[position]))
    order = np.lexsort((distance, owner))
    owner, position, distance = owner[order], position[order], distance[order]
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, np.int64)
    index, smallest = np.full(len(event), -1), np.full(len(event), np.inf)
    index[owner[first]], smallest[owner[first]] = position[first], distance[first]
    return index, smallest
