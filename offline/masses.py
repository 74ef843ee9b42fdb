"""Invariant masses of pairs of trigger objects.

The objects are the hardware objects of a `TriggerRecord`, decoded by `ad40.objects.decode`: pt [GeV], eta,
phi [rad], without a mass. A pair's mass is therefore the massless one,

    m^2 = 2 pt1 pt2 (cosh(eta1 - eta2) - cos(phi1 - phi2)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec

SQRT_S = 13000.0
"""Centre-of-mass energy of the collisions [GeV]."""

JET_IS_LEPTON_DR = 0.4
"""A lepton within this distance of a jet may be what the jet was made of: the jet radius."""

JET_IS_LEPTON_PT = 0.5
"""... and is, when it carries at least this part of the jet's pt. Softer ones are leptons inside a real jet."""

RESOLUTION = {"jet": (0.75, 0.04), "egamma": (0.0, 0.028), "muon": (0.0, 0.010)}
"""(S, C) of sigma(pt)/pt = sqrt(S^2/pt + C^2), central, for the detector of `ad40 generate`: egamma and muon from
the CMS Phase-II card, jet 12 % at 40 GeV with pileup 20. Only the widths of the mass bins depend on it."""


@dataclass(frozen=True)
class Spectrum:
    """One mass spectrum: the pair (type, rank) + (type, rank); rank 0 is the object with the largest pt.

    `floor` [GeV] keeps a known peak out of the search: no bin below it is fitted or scanned.
    """

    name: str
    label: str
    first: tuple[str, int]
    second: tuple[str, int]
    floor: float = 0.0


Z_FLOOR = 120.0
"""The Z peak (91.2 GeV) is not a discovery: start above it. It also appears in m(jet, lepton), where the second
lepton failed its identification and is a jet only."""

SPECTRA = (
    Spectrum("jj", "m(j1,j2)", ("jet", 0), ("jet", 1)),
    Spectrum("je", "m(j1,e1)", ("jet", 0), ("egamma", 0), floor=Z_FLOOR),
    Spectrum("jmu", "m(j1,mu1)", ("jet", 0), ("muon", 0), floor=Z_FLOOR),
    Spectrum("ee", "m(e1,e2)", ("egamma", 0), ("egamma", 1), floor=Z_FLOOR),
    Spectrum("mumu", "m(mu1,mu2)", ("muon", 0), ("muon", 1), floor=Z_FLOOR),
    Spectrum("emu", "m(e1,mu1)", ("egamma", 0), ("muon", 0)),
)
"""The default set. e is a hardware e/gamma object: the trigger does not tell an electron from a photon."""


def pair_mass(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mass [GeV] of massless pairs; both arguments are (..., 3) of pt [GeV], eta, phi [rad].

    Written with half angles, so that a collinear pair loses no digits (cosh - cos would cancel).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    d_eta, d_phi = a[..., 1] - b[..., 1], a[..., 2] - b[..., 2]
    return 2.0 * np.sqrt(a[..., 0] * b[..., 0] * (np.sinh(d_eta / 2) ** 2 + np.sin(d_phi / 2) ** 2))


@dataclass(frozen=True)
class Objects:
    """Events for the search: decoded objects, and which of them may enter a pair.

    events: float64 (n, 19, 3) pt [GeV], eta, phi; usable: bool (n, 19); saturated: bool (n, 19).
    """

    events: NDArray[np.float64]
    usable: NDArray[np.bool_]
    saturated: NDArray[np.bool_]

    @classmethod
    def from_codes(cls, codes: NDArray[np.integer]) -> Objects:
        """Decode hardware codes (n, 19, 3) and remove the jets that are leptons.

        The detector does no overlap removal, so that an electron is also a jet. A jet with a lepton inside
        `JET_IS_LEPTON_DR` that carries `JET_IS_LEPTON_PT` of its pt is not usable.
        """
        events = objects.decode(codes).astype(np.float64)
        present = objects.present(codes)
        slots = spec.objects().slots
        full = np.array([slot.pt.max_code for slot in slots])
        saturated = np.asarray(codes)[..., 0] >= full
        is_jet = np.array([slot.name == "jet" for slot in slots])
        usable = present.copy()
        for lepton in np.flatnonzero([slot.name in ("egamma", "muon") for slot in slots]):
            d_eta = events[:, is_jet, 1] - events[:, lepton, None, 1]
            d_phi = np.abs(events[:, is_jet, 2] - events[:, lepton, None, 2])
            d_phi = np.minimum(d_phi, 2 * np.pi - d_phi)
            near = d_eta**2 + d_phi**2 < JET_IS_LEPTON_DR**2
            hard = events[:, lepton, None, 0] >= JET_IS_LEPTON_PT * events[:, is_jet, 0]
            usable[:, is_jet] &= ~(near & hard & present[:, lepton, None])
        return cls(events, usable, saturated)

    def pick(self, name: str, rank: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """The usable object of one type at a place in the pt order: objects (n, 3), exists (n,), saturated (n,)."""
        slots = np.flatnonzero([slot.name == name for slot in spec.objects().slots])
        pt = np.where(self.usable[:, slots], self.events[:, slots, 0], -1.0)
        chosen = slots[np.argsort(-pt, axis=1, kind="stable")[:, rank]]  # codes of CMS muons are not sorted
        rows = np.arange(len(self.events))
        return self.events[rows, chosen], self.usable[rows, chosen], self.saturated[rows, chosen]


def masses(found: Objects, spectrum: Spectrum) -> tuple[NDArray[np.float64], int]:
    """Masses (n,) [GeV] of one spectrum, NaN where the pair is not there, and the number of saturated pairs.

    A pair with a saturated pt has no mass, only a lower bound: it is left out and counted.
    """
    a, has_a, full_a = found.pick(*spectrum.first)
    b, has_b, full_b = found.pick(*spectrum.second)
    both = has_a & has_b
    full = both & (full_a | full_b)
    return np.where(both & ~full, pair_mass(a, b), np.nan), int(full.sum())


def resolution(mass: float, spectrum: Spectrum) -> float:
    """Mass resolution [GeV] of a central pair with pt = m/2 each: detector, and the hardware's pt and eta steps."""
    pt = mass / 2
    relative = 0.0
    for name, _ in (spectrum.first, spectrum.second):
        kind = next(slot for slot in spec.objects().slots if slot.name == name)
        stochastic, constant = RESOLUTION[name]
        relative += stochastic**2 / pt + constant**2 + (kind.pt.lsb / pt) ** 2 / 12
        if kind.eta is not None:
            # dm/m = tanh(d_eta / 2) / 2 per unit of eta beyond the pt term's 1/2; taken at d_eta = 1
            relative += (np.tanh(0.5) * kind.eta.lsb) ** 2 / 12
    return 0.5 * mass * float(np.sqrt(relative))


def bin_edges(spectrum: Spectrum, low: float = 20.0, high: float = 8000.0) -> NDArray[np.float64]:
    """Bin edges [GeV], whole GeV, every bin one resolution wide: narrower bins would only share the same excess."""
    edges = [round(low)]
    while edges[-1] < high:
        edges.append(edges[-1] + max(1, round(resolution(edges[-1], spectrum))))
    return np.array(edges, dtype=np.float64)
