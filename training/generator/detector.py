"""Parameterised detector: generator particles -> hits -> calorimeter towers and corrected tracks.

Numbers come from `detector.yaml` (public CMS Phase-II Delphes card, its formulas restated). Everything is
vectorised over a batch of events. Approximations: every particle starts on the beam line at the z of its
collision, so displaced decays are not followed; forward cells are squares of 0.175 x 10 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from training.generator.tables import detector_settings

NEUTRAL, HADRON, ELECTRON, MUON, PHOTON = 0, 1, 2, 3, 4  # PHOTON: a neutral tower of the ECAL, in the energy flow only
_INVISIBLE = (12, 14, 16, 18)
_K0_SHORT, _LAMBDA, _PHOTON, _PI0, _K0_LONG = 310, 3122, 22, 111, 130


@dataclass
class Particles:
    """Final-state particles of a batch, ordered by event. All arrays (m,): momenta and energies in GeV."""

    event: np.ndarray  # int64, 0 .. n-1, rising
    pdg: np.ndarray  # int64
    charge: np.ndarray  # float, in units of e
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    e: np.ndarray

    def take(self, index: np.ndarray) -> Particles:
        return Particles(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass
class Hits:
    """What particles leave in the detector, ordered by event. All arrays (m,), energies in GeV.

    kind 0 has no track. pt, eta, phi, e: the smeared track at the vertex; resolution: relative, of its energy.
    cell_eta, cell_phi: where the particle enters the calorimeter; ecal, hcal: energies before smearing.
    z: vertex position [m].
    """

    event: np.ndarray
    kind: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    e: np.ndarray
    resolution: np.ndarray
    cell_eta: np.ndarray
    cell_phi: np.ndarray
    ecal: np.ndarray
    hcal: np.ndarray
    z: np.ndarray

    def take(self, index: np.ndarray) -> Hits:
        return Hits(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def concatenate(parts: list[Hits]) -> Hits:
        """Join several sets and restore the order by event."""
        event = np.concatenate([p.event for p in parts])
        order = np.argsort(event, kind="stable")
        return Hits(*(np.concatenate([getattr(p, f.name) for p in parts])[order] for f in fields(Hits)))


def wrap(phi: np.ndarray) -> np.ndarray:
    """An angle [rad] brought into [-pi, pi)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


def _log_normal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-normal draws with the given mean and width; zero where the mean is not positive."""
    safe = np.where(mean > 0, mean, 1.0)
    b2 = np.log1p((sigma / safe) ** 2)
    return np.where(mean > 0, np.exp(np.log(safe) - b2 / 2 + np.sqrt(b2) * rng.standard_normal(len(mean))), 0.0)


def expand(counts: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of several ranges one after another: owner and position of each element."""
    owner = np.repeat(np.arange(len(counts)), counts)
    offset = np.cumsum(counts) - counts
    return owner, np.arange(counts.sum()) - offset[owner] + starts[owner]


def table_row(edges: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Row of a table of upper edges; len(edges) beyond the last one."""
    return np.searchsorted(edges, value, side="left")


def _propagate(p: Particles, z0: np.ndarray, pt: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """eta and phi where a helix from (0, 0, z0) leaves the tracker volume."""
    s = detector_settings()["solenoid"]
    radius, half_length = s["radius"], s["half_length"]
    slope = p.pz / pt
    curved = np.abs(p.charge) > 0
    bend = np.where(curved, pt / (0.299792458 * s["field_tesla"] * np.where(curved, np.abs(p.charge), 1.0)), 1e9)
    ratio = radius / (2 * bend)
    turn = np.where(ratio < 1, 2 * np.arcsin(np.minimum(ratio, 1.0)), np.inf)  # loopers never reach the radius
    with np.errstate(divide="ignore", invalid="ignore"):
        turn_at_end = (np.sign(slope) * half_length - z0) / (slope * bend)
    turn = np.minimum(turn, np.where(slope == 0, np.inf, turn_at_end))
    turn = np.where(np.isfinite(turn), turn, 0.0)
    z = z0 + slope * bend * turn
    r = np.maximum(np.abs(2 * bend * np.sin(turn / 2)), 1e-6)
    # after more than half a turn the chord points backwards: sin(turn/2) changes sign
    flip = np.where(np.sin(turn / 2) < 0, np.pi, 0.0)
    return np.arcsinh(z / r), wrap(phi - np.sign(p.charge) * turn / 2 + flip)


def _tracking_efficiency(kind: np.ndarray, pt: np.ndarray, a: np.ndarray) -> np.ndarray:
    s = detector_settings()
    efficiency = np.zeros(len(pt))
    for code, name in ((HADRON, "hadron"), (ELECTRON, "electron"), (MUON, "muon")):
        table = np.array(s["tracking_efficiency"][name] + [[np.inf, 0, 0, 0, 0]])
        row = table[table_row(table[:-1, 0], a)]
        value = np.where(pt <= 1, row[:, 1] * pt, np.where(pt <= 10, row[:, 2] + row[:, 3] * pt, row[:, 4]))
        efficiency = np.where(kind == code, value, efficiency)
    return np.where(pt > s["tracking_pt_min"], efficiency, 0.0)


def _track_resolution(kind: np.ndarray, pt: np.ndarray, a: np.ndarray) -> np.ndarray:
    s = detector_settings()
    table = np.array(s["hadron_pt_resolution"])
    low, mid, high = table[np.minimum(table_row(table[:, 0], a), len(table) - 1), 1:].T
    resolution = np.where(
        pt <= 10, low + (mid - low) * (np.maximum(pt, 1) - 1) / 9, mid + (high - mid) * (np.minimum(pt, 100) - 10) / 90
    )
    resolution = np.where(pt > 100, high * pt / 100, resolution)
    table = np.array(s["electron_energy_resolution"])
    resolution = np.where(kind == ELECTRON, table[np.minimum(table_row(table[:, 0], a), len(table) - 1), 1], resolution)
    table = np.array(s["muon_pt_resolution"])
    muon = table[np.minimum(table_row(table[:, 0], a), len(table) - 1), 1 + table_row(np.array([10, 20, 40]), pt)]
    resolution = np.where((kind == MUON) & (a < table[-1, 0]) & (pt > 5), muon, resolution)
    return np.minimum(resolution, 1.0)


def make_hits(p: Particles, vertex_z: np.ndarray, rng: np.random.Generator) -> Hits:
    """Propagate, decide which tracks are found, smear them and share the energy between the calorimeters.

    vertex_z: (n,) position of each event's collision along the beam [m].
    """
    s = detector_settings()
    visible = ~np.isin(np.abs(p.pdg), _INVISIBLE)
    p = p.take(np.flatnonzero(visible & (p.px**2 + p.py**2 > 1e-6)))
    pdg = np.abs(p.pdg)
    pt, phi = np.hypot(p.px, p.py), np.arctan2(p.py, p.px)
    eta = np.arcsinh(p.pz / pt)
    z = vertex_z[p.event]
    cell_eta, cell_phi = _propagate(p, z, pt, phi)
    a = np.abs(cell_eta)

    kind = np.where(p.charge == 0, NEUTRAL, HADRON)
    kind[pdg == 11], kind[pdg == 13] = ELECTRON, MUON
    resolution = _track_resolution(kind, pt, a)
    found = rng.random(len(pt)) < _tracking_efficiency(kind, pt, a)
    smeared_pt = _log_normal(pt, resolution * pt, rng)
    gaussian = np.maximum(1 + resolution * rng.standard_normal(len(pt)), 1e-3)
    smeared_pt = np.where(kind == ELECTRON, pt * gaussian, smeared_pt)

    electromagnetic = (pdg == 11) | (pdg == _PHOTON) | (pdg == _PI0)
    strange = (pdg == _K0_SHORT) | (pdg == _LAMBDA)
    share = np.where(electromagnetic, 1.0, np.where(strange, s["strange_ecal_share"], 0.0))
    silent = (pdg == 13) | (pdg > 1_000_000)  # muons and new neutral particles leave no energy
    scale = smeared_pt / pt
    mass2 = np.maximum(p.e**2 - pt**2 - p.pz**2, 0)
    track_e = np.sqrt((pt**2 + p.pz**2) * scale**2 + mass2)
    hits = Hits(
        event=p.event,
        kind=np.where(found, kind, NEUTRAL).astype(np.int8),
        pt=smeared_pt,
        eta=eta,
        phi=phi,
        e=track_e,
        resolution=resolution,
        cell_eta=cell_eta,
        cell_phi=cell_phi,
        ecal=np.where(silent, 0.0, share * p.e),
        hcal=np.where(silent, 0.0, (1 - share) * p.e),
        z=z,
    )
    useful = (a < 5) & ((hits.kind != NEUTRAL) | ~silent)
    return hits.take(np.flatnonzero(useful))


def _cells(part: dict[str, Any], eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Cell number of each position; the number alone gives side, region, eta and phi index."""
    a = np.abs(eta)
    edges = np.array([c[0] for c in part["cells"]])
    starts = np.r_[0.0, edges[:-1]]
    sizes, in_phi = np.array([c[1] for c in part["cells"]]), np.array([c[2] for c in part["cells"]])
    region = np.minimum(table_row(edges, a), len(edges) - 1)
    ieta = np.floor((a - starts[region]) / sizes[region]).astype(np.int64)
    iphi = (np.floor((phi + np.pi) * in_phi[region] / (2 * np.pi))).astype(np.int64) % in_phi[region]
    return (((eta < 0) * 4 + region) * 512 + ieta) * 512 + iphi


def _cell_bounds(part: dict[str, Any], cell: np.ndarray) -> tuple[np.ndarray, ...]:
    """Side (+-1), lowest |eta|, eta size, lowest phi, phi size of cells."""
    edges = np.array([c[0] for c in part["cells"]])
    starts = np.r_[0.0, edges[:-1]]
    sizes, in_phi = np.array([c[1] for c in part["cells"]]), np.array([c[2] for c in part["cells"]])
    iphi, ieta, code = cell % 512, (cell // 512) % 512, cell // (512 * 512)
    region, side = code % 4, np.where(code // 4, -1.0, 1.0)
    width = 2 * np.pi / in_phi[region]
    return side, starts[region] + ieta * sizes[region], sizes[region], iphi * width - np.pi, width


def _calorimeter_sigma(part: dict[str, Any], a: np.ndarray, e: np.ndarray) -> np.ndarray:
    table = np.array(part["resolution"])
    _, k, b, c = table[np.minimum(table_row(table[:, 0], a), len(table) - 1)].T
    return np.sqrt((k * e) ** 2 + b**2 * e + c**2)


def energy_flow(
    part: dict[str, Any], hits: Hits, energy: np.ndarray, owns: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One calorimeter: smear towers, subtract tracks, return neutral towers and the factors of the tracks.

    energy (m,): deposits before smearing. owns (m,) bool: hits whose track points at the deposit.
    Returns event, pt, eta, phi of the neutral towers and factor (m,) for the tracks' energies.
    """
    factor = np.ones(len(energy))
    index = np.flatnonzero(energy > 0)
    key = hits.event[index] * 8 * 512 * 512 + _cells(part, hits.cell_eta[index], hits.cell_phi[index])
    order = np.argsort(key, kind="stable")
    index, key = index[order], key[order]
    if len(key) == 0:
        empty = np.zeros(0)
        return np.zeros(0, np.int64), empty, empty, empty, factor
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    tower = np.cumsum(np.r_[False, key[1:] != key[:-1]])
    side, low_a, size_eta, low_phi, size_phi = _cell_bounds(part, key[first] % (8 * 512 * 512))
    a = low_a + size_eta / 2
    true = np.add.reduceat(energy[index], first)
    seen = _log_normal(true, _calorimeter_sigma(part, a, true), rng)
    sigma = _calorimeter_sigma(part, a, seen)
    low = (seen < part["energy_min"]) | (seen < part["significance_min"] * sigma)
    seen[low] = 0.0
    sigma[low] = _calorimeter_sigma(part, a[low], seen[low])
    own = owns[index]
    track = np.add.reduceat(np.where(own, hits.e[index], 0.0), first)
    track_var = np.add.reduceat(np.where(own, (hits.resolution[index] * hits.e[index]) ** 2, 0.0), first)

    excess = np.maximum(seen - track, 0.0)
    neutral = (excess > part["energy_min"]) & (excess > part["significance_min"] * np.sqrt(track_var + sigma**2))
    weight_track = np.divide(1.0, track_var, out=np.zeros_like(track), where=track_var > 0)
    weight_seen = np.divide(1.0, sigma**2, out=np.zeros_like(track), where=sigma > 0)
    total = weight_track + weight_seen
    best = np.divide(weight_track * track + weight_seen * seen, total, out=track.copy(), where=total > 0)
    scale = np.where(neutral | (track <= 0), 1.0, np.divide(best, track, out=np.ones_like(track), where=track > 0))
    factor[index] = np.where(own, scale[tower], 1.0)

    eta = side * (low_a + size_eta * rng.random(len(a)))
    phi = low_phi + size_phi * rng.random(len(a))
    keep = np.flatnonzero(neutral)
    return hits.event[index[first]][keep], excess[keep] / np.cosh(eta[keep]), eta[keep], phi[keep], factor
