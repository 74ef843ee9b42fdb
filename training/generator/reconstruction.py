"""Energy flow of an event -> leptons, jets, MET and the lepton filter.

Numbers come from `detector.yaml`, as in `training.generator.detector`. Everything is vectorised over a batch of events.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from training.generator.detector import (
    ELECTRON,
    HADRON,
    MUON,
    NEUTRAL,
    PHOTON,
    Hits,
    energy_flow,
    expand,
    table_row,
    wrap,
)
from training.generator.tables import detector_settings


def _by_two_edges(
    rows: list[list[float]], first: np.ndarray, second_edges: list[float], second: np.ndarray
) -> np.ndarray:
    """Value of a table whose rows start with an upper edge of `first`; 0 beyond the edges."""
    table = np.array(rows)
    values = np.zeros((len(table) + 1, len(second_edges) + 1))
    values[:-1, :-1] = table[:, 1:]
    return values[table_row(table[:, 0], first), table_row(np.array(second_edges), second)]


def _lepton_efficiency(kind: int, pt: np.ndarray, a: np.ndarray) -> np.ndarray:
    s = detector_settings()
    if kind == ELECTRON:
        table = s["electron"]["efficiency"]
        return _by_two_edges(table["rows"], pt, table["abs_eta"], a)
    efficiency = _by_two_edges(s["muon"]["efficiency"], a, [10.0, 20.0, 40.0, np.inf], pt)
    return np.where(pt <= 5, (a <= 2.8) * 1.0, efficiency)


@dataclass
class Flow:
    """Energy flow of a batch, ordered by event: tracks of the primary vertex and neutral towers. Arrays (m,).

    kind: of a track, or PHOTON for a neutral tower of the ECAL, NEUTRAL for one of the HCAL.
    """

    event: np.ndarray
    kind: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    e: np.ndarray

    def take(self, index: np.ndarray) -> Flow:
        return Flow(*(getattr(self, f.name)[index] for f in fields(self)))


def flow_and_met(hits: Hits, vertex_z: np.ndarray, rng: np.random.Generator) -> tuple[Flow, np.ndarray]:
    """Both calorimeters, then removal of the tracks of other vertices.

    Returns the flow and MET (n, 2) [GeV] as x and y of minus the sum over the flow before that removal.
    """
    s, n = detector_settings(), len(vertex_z)
    tracked = hits.kind != NEUTRAL
    em = energy_flow(s["ecal"], hits, hits.ecal, tracked & (hits.ecal > 0), rng)
    hits.e = hits.e * em[4]
    had = energy_flow(s["hcal"], hits, hits.hcal, tracked & (hits.hcal > 0), rng)
    hits.e = hits.e * had[4]
    track_pt = hits.pt * em[4] * had[4]

    def sums(event: np.ndarray, pt: np.ndarray, phi: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(event, pt * f(phi), n) for f in (np.cos, np.sin)], axis=1)

    t = np.flatnonzero(tracked)
    met = -(sums(hits.event[t], track_pt[t], hits.phi[t]) + sums(em[0], em[1], em[3]) + sums(had[0], had[1], had[3]))
    t = t[np.abs(hits.z[t] - vertex_z[hits.event[t]]) <= s["vertex"]["track_window"]]
    event = np.concatenate([hits.event[t], em[0], had[0]])
    order = np.argsort(event, kind="stable")
    neutral = np.repeat(np.array([PHOTON, NEUTRAL], np.int8), (len(em[0]), len(had[0])))
    pt = np.concatenate([track_pt[t], em[1], had[1]])
    eta = np.concatenate([hits.eta[t], em[2], had[2]])
    e = np.concatenate([hits.e[t], em[1] * np.cosh(em[2]), had[1] * np.cosh(had[2])])
    phi = np.concatenate([hits.phi[t], em[3], had[3]])
    kind = np.concatenate([hits.kind[t], neutral])
    return Flow(*(x[order] for x in (event, kind, pt, eta, phi, e))), met


def _no_lepton(flow: Flow) -> np.ndarray:
    return np.asarray((flow.kind == NEUTRAL) | (flow.kind == PHOTON) | (flow.kind == HADRON))


def isolation(flow: Flow, leptons: np.ndarray, n: int) -> np.ndarray:
    """(sum of pt of the flow without e, mu and itself in the cone) / pt for flow entries `leptons` or photons."""
    cut = detector_settings()["isolation"]
    rest = np.flatnonzero(_no_lepton(flow) & (flow.pt > cut["object_pt_min"]))
    starts = np.searchsorted(flow.event[rest], np.arange(n + 1))
    event = flow.event[leptons]
    owner, position = expand(starts[event + 1] - starts[event], starts[event])
    other, lepton = rest[position], leptons[owner]
    close = (flow.eta[other] - flow.eta[lepton]) ** 2 + wrap(flow.phi[other] - flow.phi[lepton]) ** 2 < cut["cone"] ** 2
    close &= other != lepton
    total = np.bincount(owner[close], flow.pt[other[close]], len(leptons))
    return np.asarray(total / flow.pt[leptons])


def pileup_density(flow: Flow, n: int) -> np.ndarray:
    """(n, ranges) median pt per area [GeV] of the tiles of each |eta| range of the detector file."""
    cut = detector_settings()["jet"]["pileup_density"]
    size, in_phi = cut["tile_eta"], cut["tiles_phi"]
    half = round(max(high for _, high in cut["abs_eta"]) / size)
    ieta = np.floor(flow.eta / size).astype(np.int64) + half
    iphi = np.floor((flow.phi + np.pi) * in_phi / (2 * np.pi)).astype(np.int64) % in_phi
    inside = (ieta >= 0) & (ieta < 2 * half)
    tile = (flow.event * 2 * half + ieta) * in_phi + iphi
    total = np.bincount(tile[inside], flow.pt[inside], n * 2 * half * in_phi).reshape(n, 2 * half, in_phi)
    centre = np.abs((np.arange(2 * half) - half + 0.5) * size)
    inner = [(centre > low) & (centre < high) for low, high in cut["abs_eta"]]
    ranges = [np.median(total[:, rows].reshape(n, rows.sum() * in_phi), axis=1) for rows in inner]
    return np.stack(ranges, axis=1) / (size * 2 * np.pi / in_phi)


@dataclass
class Jets:
    """Jets of a batch, ordered by event. Arrays (m,): event, pt [GeV], eta, phi [rad], mass [GeV]."""

    event: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray


def cluster(
    event: np.ndarray,
    px: np.ndarray,
    py: np.ndarray,
    pz: np.ndarray,
    e: np.ndarray,
    n: int,
    pt_min: float,
    radius: float | None = None,
) -> tuple[np.ndarray, ...]:
    """Anti-kt jets of `n` events of particles ordered by event: event, px, py, pz, E of each jet. radius: by default
    that of the detector's jets."""
    import awkward as ak
    import fastjet

    counts = np.bincount(event, minlength=n)
    particles = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": e}, with_name="Momentum4D"), counts)
    radius = detector_settings()["jet"]["radius"] if radius is None else radius
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    jets = fastjet.ClusterSequence(particles, definition).inclusive_jets(min_pt=pt_min)
    of_jet = np.repeat(np.arange(n), ak.to_numpy(ak.num(jets.px)))
    return of_jet, *(ak.to_numpy(ak.flatten(jets[c])) for c in ("px", "py", "pz", "E"))


def find_jets(flow: Flow, n: int) -> Jets:
    """Anti-kt jets of the flow, less the pileup density times their area; the mass shrinks with the pt."""
    jet = detector_settings()["jet"]
    if n == 0:
        return Jets(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))
    if not jet["include_leptons"]:
        flow = flow.take(_no_lepton(flow))
    momenta = flow.pt * np.cos(flow.phi), flow.pt * np.sin(flow.phi), flow.pt * np.sinh(flow.eta)
    energy = np.maximum(flow.e, flow.pt * np.cosh(flow.eta))
    event, px, py, pz, e = cluster(flow.event, *momenta, energy, n, jet["pt_min"])
    raw_pt = np.hypot(px, py)
    eta = np.arcsinh(pz / raw_pt)
    edges = np.array([high for _, high in jet["pileup_density"]["abs_eta"]])
    rho = pileup_density(flow, n)[event, np.minimum(table_row(edges, np.abs(eta)), len(edges) - 1)]
    pt = raw_pt - rho * np.pi * jet["radius"] ** 2
    mass = np.sqrt(np.maximum(e**2 - raw_pt**2 - pz**2, 0.0)) * pt / raw_pt
    keep = (np.abs(eta) < jet["abs_eta_max"]) & (pt > jet["pt_min"])
    return Jets(event[keep], pt[keep], eta[keep], np.arctan2(py, px)[keep], mass[keep])


def fill(out: np.ndarray, first: int, slots: int, event: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Put the hardest `slots` objects of each event into out[:, first:first+slots]; values (m, k), pt first.

    Returns the rows of `values` that found a place, in the order of out.
    """
    order = np.lexsort((-values[:, 0], event))
    event, values = event[order], values[order]
    rank = np.arange(len(event)) - np.searchsorted(event, event, side="left")
    keep = rank < slots
    out[event[keep], first + rank[keep]] = values[keep]
    return np.asarray(order[keep])


@dataclass
class Seen:
    """What the detector saw of n events: energy flow, MET (n, 2) x and y [GeV], and for ELECTRON and MUON the flow
    entries that were identified, at any |eta| of the efficiency tables."""

    n: int
    flow: Flow
    met: np.ndarray
    leptons: dict[int, np.ndarray]

    def keep(self, events: np.ndarray) -> Seen:
        """Events of the given rising numbers only, renumbered from 0."""
        number = np.full(self.n, -1)
        number[events] = np.arange(len(events))
        entries = np.flatnonzero(number[self.flow.event] >= 0)
        place = np.full(len(self.flow.event), -1)
        place[entries] = np.arange(len(entries))
        flow = self.flow.take(entries)
        flow.event = number[flow.event]
        leptons = {kind: place[index][place[index] >= 0] for kind, index in self.leptons.items()}
        return Seen(len(events), flow, self.met[events], leptons)


def see(hits: Hits, vertex_z: np.ndarray, rng: np.random.Generator) -> Seen:
    """Calorimeters, vertices and lepton identification for hits of hard collision and pileup, ordered by event.

    vertex_z: (n,) primary vertices [m].
    """
    s = detector_settings()
    flow, met = flow_and_met(hits, vertex_z, rng)
    leptons: dict[int, np.ndarray] = {}
    for kind, name in ((ELECTRON, "electron"), (MUON, "muon")):
        index = np.flatnonzero((flow.kind == kind) & (flow.pt > s[name]["pt_min"]))
        leptons[kind] = index[
            rng.random(len(index)) < _lepton_efficiency(kind, flow.pt[index], np.abs(flow.eta[index]))
        ]
    return Seen(len(vertex_z), flow, met, leptons)


def _trigger_leptons(seen: Seen) -> dict[int, np.ndarray]:
    """Leptons inside the acceptance of the trigger."""
    s = detector_settings()
    limits = {ELECTRON: s["electron"]["abs_eta_max"], MUON: s["muon"]["abs_eta_max"]}
    return {kind: index[np.abs(seen.flow.eta[index]) < limits[kind]] for kind, index in seen.leptons.items()}


def lepton_filter(seen: Seen, pt_min: float, isolation_max: float) -> tuple[np.ndarray, int]:
    """Numbers (k,) of the events with an e or mu above pt_min [GeV] with relative isolation below the maximum, and how
    many events have one before isolation."""
    leptons = np.concatenate(list(_trigger_leptons(seen).values()))
    leptons = leptons[seen.flow.pt[leptons] > pt_min]
    isolated = leptons[isolation(seen.flow, leptons, seen.n) < isolation_max]
    return np.unique(seen.flow.event[isolated]), len(np.unique(seen.flow.event[leptons]))


def trigger_objects(seen: Seen, jets: Jets) -> np.ndarray:
    """(n, 19, 3) float32 pt [GeV], eta, phi [rad]: MET, 4 electrons, 4 muons, 10 jets, by pt, absent = zeros."""
    flow = seen.flow
    out = np.zeros((seen.n, 19, 3), np.float32)
    out[:, 0, 0] = np.hypot(seen.met[:, 0], seen.met[:, 1])
    out[:, 0, 2] = np.arctan2(seen.met[:, 1], seen.met[:, 0])
    leptons = _trigger_leptons(seen)
    for kind, first in ((ELECTRON, 1), (MUON, 5)):
        index = leptons[kind]
        fill(out, first, 4, flow.event[index], np.stack([flow.pt, flow.eta, flow.phi], axis=1)[index])
    fill(out, 9, 10, jets.event, np.stack([jets.pt, jets.eta, jets.phi], axis=1))
    return out
