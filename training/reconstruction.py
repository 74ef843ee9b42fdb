"""Energy flow of an event -> leptons, jets and MET, with the lepton filter.

Numbers come from `detector.yaml`, as in `training.detector`. Everything is vectorised over a batch of events.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from training.detector import (
    ELECTRON,
    HADRON,
    MUON,
    NEUTRAL,
    Hits,
    energy_flow,
    expand,
    table_row,
    wrap,
)
from training.tables import detector_settings


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
    """Energy flow of a batch, ordered by event: tracks of the primary vertex and neutral towers. Arrays (m,)."""

    event: np.ndarray
    kind: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    e: np.ndarray


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
    neutral = np.zeros(len(em[0]) + len(had[0]), np.int8)
    pt = np.concatenate([track_pt[t], em[1], had[1]])
    eta = np.concatenate([hits.eta[t], em[2], had[2]])
    e = np.concatenate([hits.e[t], em[1] * np.cosh(em[2]), had[1] * np.cosh(had[2])])
    phi = np.concatenate([hits.phi[t], em[3], had[3]])
    kind = np.concatenate([hits.kind[t], neutral])
    return Flow(*(x[order] for x in (event, kind, pt, eta, phi, e))), met


def isolation(flow: Flow, leptons: np.ndarray, n: int) -> np.ndarray:
    """(sum of pt of the flow without e and mu in the cone) / pt for flow entries `leptons`."""
    cut = detector_settings()["isolation"]
    rest = np.flatnonzero(((flow.kind == NEUTRAL) | (flow.kind == HADRON)) & (flow.pt > cut["object_pt_min"]))
    starts = np.searchsorted(flow.event[rest], np.arange(n + 1))
    event = flow.event[leptons]
    owner, position = expand(starts[event + 1] - starts[event], starts[event])
    other, lepton = rest[position], leptons[owner]
    close = (flow.eta[other] - flow.eta[lepton]) ** 2 + wrap(flow.phi[other] - flow.phi[lepton]) ** 2 < cut["cone"] ** 2
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
    ranges = [
        np.median(total[:, (centre > low) & (centre < high)].reshape(n, -1), axis=1) for low, high in cut["abs_eta"]
    ]
    return np.stack(ranges, axis=1) / (size * 2 * np.pi / in_phi)


def _jets(flow: Flow, n: int) -> tuple[np.ndarray, ...]:
    """Anti-kt jets (event, pt, eta, phi) of the flow, less the pileup density times their area."""
    import awkward as ak
    import fastjet

    jet = detector_settings()["jet"]
    if not jet["include_leptons"]:
        keep = (flow.kind == NEUTRAL) | (flow.kind == HADRON)
        flow = Flow(*(getattr(flow, f.name)[keep] for f in fields(Flow)))
    counts = np.bincount(flow.event, minlength=n)
    record = {
        "px": flow.pt * np.cos(flow.phi),
        "py": flow.pt * np.sin(flow.phi),
        "pz": flow.pt * np.sinh(flow.eta),
        "E": np.maximum(flow.e, flow.pt * np.cosh(flow.eta)),
    }
    particles = ak.unflatten(ak.zip(record, with_name="Momentum4D"), counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, jet["radius"])
    jets = fastjet.ClusterSequence(particles, definition).inclusive_jets(min_pt=jet["pt_min"])
    event = np.repeat(np.arange(n), ak.to_numpy(ak.num(jets.px)))
    px, py, pz = (ak.to_numpy(ak.flatten(jets[c])) for c in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / pt)
    edges = np.array([high for _, high in jet["pileup_density"]["abs_eta"]])
    rho = pileup_density(flow, n)[event, np.minimum(table_row(edges, np.abs(eta)), len(edges) - 1)]
    pt = pt - rho * np.pi * jet["radius"] ** 2
    keep = (np.abs(eta) < jet["abs_eta_max"]) & (pt > jet["pt_min"])
    return event[keep], pt[keep], eta[keep], np.arctan2(py, px)[keep]


def _fill(out: np.ndarray, first: int, slots: int, event: np.ndarray, values: np.ndarray) -> None:
    """Put the hardest `slots` objects of each event into out[:, first:first+slots]; values (m, 3)."""
    order = np.lexsort((-values[:, 0], event))
    event, values = event[order], values[order]
    rank = np.arange(len(event)) - np.searchsorted(event, event, side="left")
    keep = rank < slots
    out[event[keep], first + rank[keep]] = values[keep]


def reconstruct(
    hits: Hits, vertex_z: np.ndarray, rng: np.random.Generator, pt_min: float, isolation_max: float
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Hits of a batch -> events that pass the lepton filter.

    Args:
        hits: of hard collision and pileup, ordered by event.
        vertex_z: (n,) primary vertices [m].
        pt_min, isolation_max: the filter, an e or mu above pt_min [GeV] with relative isolation below the maximum.

    Returns:
        passed (k,) int64 event numbers; events (k, 19, 3) float32 pt [GeV], eta, phi [rad]: MET, 4 electrons,
        4 muons, 10 jets, ordered by pt, absent = zeros; counts of events before and after isolation.
    """
    s, n = detector_settings(), len(vertex_z)
    flow, met = flow_and_met(hits, vertex_z, rng)
    chosen: dict[int, np.ndarray] = {}
    for kind, name in ((ELECTRON, "electron"), (MUON, "muon")):
        index = np.flatnonzero((flow.kind == kind) & (flow.pt > s[name]["pt_min"]))
        found = rng.random(len(index)) < _lepton_efficiency(kind, flow.pt[index], np.abs(flow.eta[index]))
        chosen[kind] = index[found & (np.abs(flow.eta[index]) < s[name]["abs_eta_max"])]
    leptons = np.concatenate(list(chosen.values()))
    leptons = leptons[flow.pt[leptons] > pt_min]
    isolated = leptons[isolation(flow, leptons, n) < isolation_max]
    passed = np.unique(flow.event[isolated])
    number = np.full(n, -1)
    number[passed] = np.arange(len(passed))

    out = np.zeros((len(passed), 19, 3), np.float32)
    out[:, 0, 0] = np.hypot(met[passed, 0], met[passed, 1])
    out[:, 0, 2] = np.arctan2(met[passed, 1], met[passed, 0])
    for kind, first in ((ELECTRON, 1), (MUON, 5)):
        index = chosen[kind][number[flow.event[chosen[kind]]] >= 0]
        _fill(out, first, 4, number[flow.event[index]], np.stack([flow.pt, flow.eta, flow.phi], axis=1)[index])
    kept = Flow(*(getattr(flow, f.name)[number[flow.event] >= 0] for f in fields(Flow)))
    kept.event = number[kept.event]
    if len(passed):
        event, pt, eta, phi = _jets(kept, len(passed))
        _fill(out, 9, 10, event, np.stack([pt, eta, phi], axis=1))
    return passed, out, {"lepton": len(np.unique(flow.event[leptons])), "isolated": len(passed)}
