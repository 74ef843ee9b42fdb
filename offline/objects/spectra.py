"""Invariant masses of two, three or more objects, and the bins of their spectra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import InputError
from offline.objects.collection import ETA, MASS, PHI, PT, SHORT, Objects

Z_FLOOR = 120.0
"""GeV. The Z peak (91.2 GeV) is not a discovery: start above it."""

_TYPE_OF = {short: name for name, short in SHORT.items()}
_TOKEN = re.compile("|".join(sorted(_TYPE_OF, key=len, reverse=True)))


@dataclass(frozen=True)
class Spectrum:
    """One mass spectrum: of the objects (type, rank), rank 0 has the largest pt of its type.

    `floor` [GeV] keeps a known peak out of the search: no bin below it is fitted or scanned.
    """

    name: str
    label: str
    members: tuple[tuple[str, int], ...]
    floor: float = 0.0


def spectrum(name: str, floor: float | None = None) -> Spectrum:
    """The spectrum of a name: the short names of two or more objects, as in "jmu", "bgamma" or "jjmumu".

    Members of the same type are the hardest, the second hardest, ... of it. floor: by default `Z_FLOOR` for ee and
    mumu, else 0. Raises `InputError` on a name that says no such thing.
    """
    tokens = _TOKEN.findall(name)
    if "".join(tokens) != name or len(tokens) < 2:
        expected = "two or more of " + ", ".join(_TYPE_OF) + " in one word, such as jmu or jjmu"
        raise InputError("spectra", "name", name, expected)
    members = tuple((_TYPE_OF[token], tokens[:k].count(token)) for k, token in enumerate(tokens))
    label = "m(" + ",".join(f"{SHORT[kind]}{rank + 1}" for kind, rank in members) + ")"
    if floor is None:
        floor = Z_FLOOR if name in ("ee", "mumu") else 0.0
    return Spectrum(name, label, members, floor)


JET_X = tuple(spectrum(name) for name in ("jj", "jb", "jmu", "je", "jgamma", "bb", "bmu", "be", "bgamma"))
"""The nine masses of the jet+X search (PRL 132 (2024) 081801)."""

TRIGGER = (
    spectrum("jj"),
    spectrum("je", Z_FLOOR),
    spectrum("jmu", Z_FLOOR),
    spectrum("ee"),
    spectrum("mumu"),
    spectrum("emu"),
)
"""The masses of hardware objects: e is an e/gamma object. The Z also appears in m(jet, lepton), where the second
lepton failed its identification and is a jet only."""


def _members(objects: Objects, wanted: Spectrum) -> list[NDArray[np.float32]] | None:
    """The objects (n, 4) of a spectrum, None when there is no slot for one of them."""
    if any(rank >= objects.counts[kind] for kind, rank in wanted.members):
        return None
    return [objects[kind][:, rank] for kind, rank in wanted.members]


def _present(members: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    present: NDArray[np.bool_] = np.logical_and.reduce([member[:, PT] > 0 for member in members])
    return present


def saturated(objects: Objects, wanted: Spectrum) -> NDArray[np.bool_]:
    """Events whose mass is only a lower bound, because the pt of a member saturated in hardware: bool (n,)."""
    members = _members(objects, wanted)
    full = np.zeros(len(objects), np.bool_)
    if members is None:
        return full
    for kind, rank in wanted.members:
        if kind in objects.saturated:
            full |= objects.saturated[kind][:, rank]
    return full & _present(members)


def masses(objects: Objects, wanted: Spectrum) -> NDArray[np.float64]:
    """Invariant masses (n,) [GeV] of one spectrum; NaN where a member is absent or its pt saturated."""
    out = np.full(len(objects), np.nan)
    members = _members(objects, wanted)
    if members is not None:
        rows = np.flatnonzero(_present(members) & ~saturated(objects, wanted))
        out[rows] = invariant_mass([member[rows] for member in members])
    return out


def invariant_mass(members: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Mass (n,) [GeV] of the sum of objects, each (n, 4) of pt [GeV], eta, phi [rad], mass [GeV].

    m^2 = sum of m_i^2 + 2 sum of (E_i E_j - p_i p_j) over pairs, where

        E_i E_j - p_i.p_j = (m_i^2 E_j^2 + m_j^2 |p_i|^2) / (E_i E_j + |p_i||p_j|)
                          + 2 pt_i pt_j (sinh^2(d_eta / 2) + sin^2(d_phi / 2)):

    no term is negative, so that collinear objects lose no digits (a difference of four-vectors would).
    """
    x = [np.asarray(member, np.float64) for member in members]
    momentum = [a[:, PT] * np.cosh(a[:, ETA]) for a in x]
    mass2 = [a[:, MASS] ** 2 for a in x]
    energy = [np.sqrt(p * p + m2) for p, m2 in zip(momentum, mass2, strict=True)]
    total: NDArray[np.float64] = np.sum(mass2, axis=0)
    for j in range(len(x)):
        for i in range(j):
            ee, pp = energy[i] * energy[j], momentum[i] * momentum[j]
            massive = (mass2[i] * energy[j] ** 2 + mass2[j] * momentum[i] ** 2) / (ee + pp)
            angle = np.sinh((x[i][:, ETA] - x[j][:, ETA]) / 2) ** 2 + np.sin((x[i][:, PHI] - x[j][:, PHI]) / 2) ** 2
            total += 2 * massive + 4 * x[i][:, PT] * x[j][:, PT] * angle
    return np.sqrt(total)


def ystar(objects: Objects) -> NDArray[np.float64]:
    """y* = abs(eta1 - eta2) / 2 (n,) of the two jets of largest pt, b-tagged or not; NaN with fewer than two."""
    two = np.concatenate([objects.jet[:, :2], objects.bjet[:, :2]], axis=1)
    if two.shape[1] < 2:
        return np.full(len(objects), np.nan)
    order = np.argsort(-two[..., PT], axis=1, kind="stable")[:, :2]
    first = np.take_along_axis(two, order[..., None], axis=1).astype(np.float64)
    return np.where(first[:, 1, PT] > 0, np.abs(first[:, 0, ETA] - first[:, 1, ETA]) / 2, np.nan)


RESOLUTION = {"jet": (0.75, 0.04), "bjet": (0.75, 0.04), "muon": (0.0, 0.010), "electron": (0.0, 0.028),
              "photon": (0.0, 0.028)}  # fmt: skip
"""(S, C) of sigma(pt)/pt = sqrt(S^2/pt + C^2), central, for the detector of `ad40 generate`: electron, photon and
muon from the CMS Phase-II card, jet 12 % at 40 GeV with pileup 20. Only the widths of the mass bins depend on it."""

_HARDWARE = {"jet": "jet", "muon": "muon", "electron": "egamma"}

# fmt: off
PUBLISHED = (
    35, 44, 54, 64, 75, 87, 99, 112, 125, 138, 151, 164, 177, 190, 203, 216, 229, 243, 257, 272, 287, 303, 319,
    335, 352, 369, 387, 405, 424, 443, 462, 482, 502, 523, 544, 566, 588, 611, 634, 657, 681, 705, 730, 755,
    781, 807, 834, 861, 889, 917, 946, 976, 1006, 1037, 1068, 1100, 1133, 1166, 1200, 1234, 1269, 1305, 1341,
    1378, 1416, 1454, 1493, 1533, 1573, 1614, 1656, 1698, 1741, 1785, 1830, 1875, 1921, 1968, 2016, 2065, 2114,
    2164, 2215, 2267, 2320, 2374, 2429, 2485, 2542, 2600, 2659, 2719, 2780, 2842, 2905, 2969, 3034, 3100, 3167,
    3235, 3305, 3376, 3448, 3521, 3596, 3672, 3749, 3827, 3907, 3988, 4070, 4154, 4239, 4326, 4414, 4504, 4595,
    4688, 4782, 4878, 4975, 5074, 5175, 5277, 5381, 5487, 5595, 5705, 5817, 5931, 6047, 6165, 6285, 6407, 6531,
    6658, 6787, 6918, 7052, 7188, 7326, 7467, 7610, 7756, 7904, 8055, 8208, 8364, 8523, 8685, 8850, 9019, 9191,
    9366, 9544, 9726, 9911, 10100, 10292, 10488, 10688, 10892, 11100, 11312, 11528, 11748, 11972, 12200, 12432,
    12669, 12910, 13156,
)
# fmt: on
"""Edges [GeV] of the ATLAS jet+X search (PRL 132 (2024) 081801) and of the dijet searches before it.

No formula gives them: widths of 6.60 + 0.355 sqrt(m) + 0.01245 m + 2.35e-7 m^2 GeV, the best of four terms, are right
in 72 % of the 171 bins after rounding and off by up to 1.6 GeV. A bin is 13 % wide at 100 GeV, 3 % at 1 TeV and 1.9 %
above 8 TeV: the resolution of a dijet mass."""

RESOLUTIONS = ("offline", "trigger", "published")


def mass_resolution(mass: float, wanted: Spectrum, hardware: bool = False) -> float:
    """Mass resolution [GeV] of n central objects with pt = m/n each: detector, and the pt and eta steps of hardware.

    Each pt then moves the mass by 1/n of its relative change (exactly 1/2 for a pair).
    """
    pt = mass / len(wanted.members)
    variance = 0.0
    for name, _ in wanted.members:
        stochastic, constant = RESOLUTION[name]
        variance += stochastic**2 / pt + constant**2
        if hardware:
            if name not in _HARDWARE:
                raise InputError(
                    "spectra", "name", wanted.name, "of jets, muons and electrons: hardware has no " + name
                )
            kind = spec.objects()[_HARDWARE[name]]
            variance += (kind.pt.lsb / pt) ** 2 / 12
            if kind.eta is not None:
                # dm/m = tanh(d_eta / 2) / 2 per unit of eta beyond the pt term's 1/2; taken at d_eta = 1
                variance += (np.tanh(0.5) * kind.eta.lsb) ** 2 / 12
    return mass / len(wanted.members) * float(np.sqrt(variance))


def bin_edges(
    wanted: Spectrum, low: float = 20.0, high: float = 8000.0, resolution: str = "offline"
) -> NDArray[np.float64]:
    """Bin edges [GeV], whole GeV, every bin one resolution wide: narrower bins would only share the same excess.

    resolution: "offline" or "trigger" (with the steps of hardware) from `low` to at least `high`; "published" takes
    the edges of `PUBLISHED` inside [low, high], for any spectrum.
    """
    if resolution not in RESOLUTIONS:
        raise InputError("bins", "resolution", resolution, "one of " + ", ".join(RESOLUTIONS))
    if not 1 <= low < high <= 1e6:
        raise InputError("bins", "range", f"{low} to {high}", "1 <= low < high <= 1,000,000 GeV")
    if resolution == "published":
        inside = np.array([edge for edge in PUBLISHED if low <= edge <= high], np.float64)
        if len(inside) < 2:
            raise InputError("bins", "range", f"{low} to {high}", "one with two of the published edges, 35 to 13156")
        return inside
    edges = [round(low)]
    while edges[-1] < high:
        edges.append(edges[-1] + max(1, round(mass_resolution(edges[-1], wanted, resolution == "trigger"))))
    return np.array(edges, dtype=np.float64)
