"""Isolated leptons from heavy flavour, efficiently.

Weakly decaying b and c hadrons leave the generator undecayed. Their decays are drawn from a library of decays at
rest and boosted, many times per event (oversampling). Copies of one event are correlated: they share a parent
number, and training and test samples must be split by it. Leptons that do not come from such hadrons (Dalitz
pairs, quarkonia) are not selected on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from training.generator.detector import Particles, expand, wrap
from training.generator.pythia import charges, make_pythia

HEAVY = (411, 421, 431, 4122, 4132, 4232, 4332, 511, 521, 531, 541, 5122, 5132, 5232, 5332)
UNDECAYED = [f"{code}:mayDecay = off" for code in HEAVY]
_SELF_CONJUGATE = (22, 111, 130, 310, 221, 331, 443)
LIBRARY_DECAYS = 20_000  # of each hadron


@dataclass
class Library:
    """Decays at rest. starts (species, decays + 1) into the particle arrays; the lepton arrays hold e and mu only."""

    pdg: np.ndarray
    charge: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    e: np.ndarray
    starts: np.ndarray

    def __post_init__(self) -> None:
        self.decays = self.starts.shape[1] - 1
        self.leptons = np.flatnonzero(np.isin(np.abs(self.pdg), (11, 13)))
        self.lepton_starts = np.searchsorted(self.leptons, self.starts)

    @staticmethod
    def load(file: Path) -> Library:
        with np.load(file) as data:
            return Library(*(data[f.name] for f in fields(Library)))


def build_library(seed: int, decays: int = LIBRARY_DECAYS) -> Library:
    """Let Pythia decay each hadron of HEAVY at rest, with all its descendants."""
    pythia = make_pythia(["ProcessLevel:all = off"], seed)
    rows: list[tuple[int, float, float, float, float]] = []
    starts = np.zeros((len(HEAVY), decays + 1), np.int64)
    event = pythia.event
    for species, code in enumerate(HEAVY):
        mass = pythia.particleData.m0(code)
        starts[species, 0] = len(rows)
        for decay in range(decays):
            event.reset()
            event.append(code, 1, 0, 0, 0.0, 0.0, 0.0, mass, mass)
            pythia.next()
            for i in range(2, event.size()):
                particle = event[i]
                if particle.status() > 0:
                    rows.append((particle.id(), particle.px(), particle.py(), particle.pz(), particle.e()))
            starts[species, decay + 1] = len(rows)
    table = np.array(rows)
    pdg = table[:, 0].astype(np.int64)
    return Library(pdg, charges(pythia, pdg), *np.ascontiguousarray(table[:, 1:].T), starts)


def _boost(
    px: np.ndarray, py: np.ndarray, pz: np.ndarray, e: np.ndarray, parent: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Momenta in the rest frame of `parent` (px, py, pz, e, one for each) seen from the laboratory."""
    qx, qy, qz, energy = parent
    mass = np.sqrt(np.maximum(energy**2 - qx**2 - qy**2 - qz**2, 1e-6))
    dot = qx * px + qy * py + qz * pz
    along = (dot / (energy + mass) + e) / mass
    return px + qx * along, py + qy * along, pz + qz * along, (energy * e + dot) / mass


def oversample(
    particles: Particles,
    n: int,
    copies: int,
    library: Library,
    pt_min: float,
    abs_eta_max: float,
    isolation_max: float,
    rng: np.random.Generator,
) -> tuple[Particles, np.ndarray]:
    """Decay the heavy hadrons of each event `copies` times; keep copies with a lepton from them.

    The lepton needs pt > pt_min [GeV], |eta| < abs_eta_max and generator-level isolation (cone 0.3) below
    isolation_max, looser than the filter after the detector. Returns the particles of the kept copies, ordered,
    and the event number (k,) each copy came from.
    """
    species_of = np.full(max(HEAVY) + 1, -1)
    species_of[list(HEAVY)] = np.arange(len(HEAVY))
    absolute = np.abs(particles.pdg)
    species = np.where(absolute <= max(HEAVY), species_of[np.minimum(absolute, max(HEAVY))], -1)
    heavy = np.flatnonzero(species >= 0)
    hard = heavy[np.hypot(particles.px[heavy], particles.py[heavy]) > pt_min]

    # draw the decays of hard hadrons in every copy, look at their leptons only
    hadron = np.repeat(hard, copies)
    copy = np.tile(np.arange(copies), len(hard))
    decay = rng.integers(library.decays, size=len(hadron))
    first = library.lepton_starts[species[hadron], decay]
    owner, position = expand(library.lepton_starts[species[hadron], decay + 1] - first, first)
    lepton = library.leptons[position]
    parent = tuple(x[hadron[owner]] for x in (particles.px, particles.py, particles.pz, particles.e))
    px, py, pz, _ = _boost(library.px[lepton], library.py[lepton], library.pz[lepton], library.e[lepton], parent)
    pt = np.hypot(px, py)
    good = np.flatnonzero((pt > pt_min) & (np.abs(np.arcsinh(pz / np.maximum(pt, 1e-9))) < abs_eta_max))
    key_all = particles.event[hadron].astype(np.int64) * copies + copy
    keys = np.unique(key_all[owner[good]])
    if len(keys) == 0:
        return particles.take(np.zeros(0, np.int64)), np.zeros(0, np.int64)
    source = keys // copies

    # decays of all heavy hadrons of the chosen copies: those drawn above, and new ones for the soft hadrons
    chosen = np.isin(key_all, keys)
    soft = np.setdiff1d(heavy, hard)
    soft_starts = np.searchsorted(particles.event[soft], np.arange(n + 1))
    soft_owner, soft_position = expand(soft_starts[source + 1] - soft_starts[source], soft_starts[source])
    all_hadrons = np.r_[hadron[chosen], soft[soft_position]]
    all_copies = np.r_[np.searchsorted(keys, key_all[chosen]), soft_owner]
    all_decays = np.r_[decay[chosen], rng.integers(library.decays, size=len(soft_position))]
    first = library.starts[species[all_hadrons], all_decays]
    owner, position = expand(library.starts[species[all_hadrons], all_decays + 1] - first, first)
    parent = tuple(x[all_hadrons[owner]] for x in (particles.px, particles.py, particles.pz, particles.e))
    momentum = _boost(library.px[position], library.py[position], library.pz[position], library.e[position], parent)
    sign = np.where(particles.pdg[all_hadrons[owner]] < 0, -1, 1)
    pdg = library.pdg[position]
    pdg = np.where(np.isin(pdg, _SELF_CONJUGATE), pdg, sign * pdg)
    products = Particles(all_copies[owner], pdg, sign * library.charge[position], *momentum)

    rest = np.flatnonzero(species < 0)
    rest_starts = np.searchsorted(particles.event[rest], np.arange(n + 1))
    owner, position = expand(rest_starts[source + 1] - rest_starts[source], rest_starts[source])
    others = particles.take(rest[position])
    others.event = owner
    joined = Particles(
        *(np.concatenate([getattr(products, f.name), getattr(others, f.name)]) for f in fields(Particles))
    )
    from_heavy = np.r_[np.ones(len(products.event), bool), np.zeros(len(others.event), bool)]

    isolated = _isolated_copies(joined, from_heavy, len(keys), pt_min, abs_eta_max, isolation_max)
    number = np.full(len(keys), -1)
    number[isolated] = np.arange(len(isolated))
    order = np.argsort(joined.event, kind="stable")
    joined = joined.take(order[number[joined.event[order]] >= 0])
    joined.event = number[joined.event]
    return joined, source[isolated]


def _isolated_copies(
    p: Particles, from_heavy: np.ndarray, n: int, pt_min: float, abs_eta_max: float, isolation_max: float
) -> np.ndarray:
    """Copies with a heavy-flavour lepton whose generator-level isolation is below isolation_max."""
    pt = np.hypot(p.px, p.py)
    eta, phi = np.arcsinh(p.pz / np.maximum(pt, 1e-9)), np.arctan2(p.py, p.px)
    pdg = np.abs(p.pdg)
    lepton = np.flatnonzero(from_heavy & np.isin(pdg, (11, 13)) & (pt > pt_min) & (np.abs(eta) < abs_eta_max))
    rest = np.flatnonzero(~np.isin(pdg, (11, 12, 13, 14, 16)) & (pt > 1.0))
    rest = rest[np.argsort(p.event[rest], kind="stable")]
    starts = np.searchsorted(p.event[rest], np.arange(n + 1))
    event = p.event[lepton]
    owner, position = expand(starts[event + 1] - starts[event], starts[event])
    other = rest[position]
    close = (eta[other] - eta[lepton[owner]]) ** 2 + wrap(phi[other] - phi[lepton[owner]]) ** 2 < 0.09
    total = np.bincount(owner[close], pt[other[close]], len(lepton))
    return np.unique(event[total / pt[lepton] < isolation_max])
