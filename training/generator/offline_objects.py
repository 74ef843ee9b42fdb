"""Full-resolution objects of the searches from the same energy flow: isolated leptons and photons, b-tagged jets.

Numbers come from the section `offline` of `detector.yaml`. An electron or photon makes a jet as well; here each
energy counts once: see `overlap`. Random numbers are the caller's own, so that what the trigger sees of an event
does not depend on whether offline objects are made.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ad40.offline_events import COUNTS
from training.generator.detector import ELECTRON, MUON, PHOTON, table_row
from training.generator.reconstruction import Jets, Seen, fill, isolation, pileup_density
from training.generator.tables import detector_settings
from training.generator.truth import BOTTOM, CHARM, Truth, nearest
from training.generator.truth import PHOTON as PROMPT

MASSES = {"electron": 0.000510999, "muon": 0.105658, "photon": 0.0}  # GeV


def btag_probability(pt: np.ndarray, flavour: np.ndarray) -> np.ndarray:
    """Probability of the tag for jets of the given pt [GeV] and flavour (5, 4, other), inside its |eta| range."""
    tag = detector_settings()["offline"]["btag"]
    found = tag["light"]["constant"] + tag["light"]["slope"] * pt
    for code, name in ((BOTTOM, "b"), (CHARM, "c")):
        p = tag[name]
        curve = p["scale"] * np.tanh(p["rise"] * pt) / (1 + p["fall"] * pt)
        found = np.where(flavour == code, curve, found)
    return np.minimum(found, 1.0)


def flavour_of(jets: Jets, truth: Truth) -> np.ndarray:
    """5 for jets with a b hadron in the cone, else 4 with a c hadron, else 0. A hadron belongs to its nearest jet."""
    cone = detector_settings()["offline"]["btag"]["cone"]
    flavour = np.zeros(len(jets.event), np.uint8)
    for code in (CHARM, BOTTOM):
        hadron = truth.take(np.flatnonzero(truth.code == code))
        jet, distance = nearest(hadron.event, hadron.eta, hadron.phi, (jets.event, jets.eta, jets.phi))
        flavour[jet[distance < cone]] = code
    return flavour


def find(seen: Seen, jets: Jets, pileup: np.ndarray, truth: Truth, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All datasets of `ad40.offline_events` for the n events of `seen`, with the truth flavours of the jets.

    pileup: (n,) collisions overlaid. truth: of the same events.
    """
    s, n, flow = detector_settings()["offline"], seen.n, seen.flow
    objects = {
        "electron": _isolated(seen, seen.leptons[ELECTRON], s["electron"]),
        "muon": _isolated(seen, seen.leptons[MUON], s["muon"]),
    }
    objects["photon"] = _photons(seen, truth, objects, rng)
    energy = flow.pt.copy()
    photon = objects["photon"]
    energy[photon] *= np.maximum(1 + s["photon"]["resolution"] * rng.standard_normal(len(photon)), 0.0)
    jets, objects = overlap(seen, jets, objects)

    flavour = flavour_of(jets, truth)
    inside = np.abs(jets.eta) < s["btag"]["abs_eta_max"]
    tagged = (rng.random(len(flavour)) < btag_probability(jets.pt, flavour)) & inside
    out = {
        "met": np.stack([np.hypot(*seen.met.T), np.arctan2(seen.met[:, 1], seen.met[:, 0])], axis=1).astype(np.float32),
        "pileup": pileup.astype(np.float32),
    }
    rows = np.stack([jets.pt, jets.eta, jets.phi, jets.mass], axis=1)
    for name, chosen in (("jet", ~tagged), ("bjet", tagged)):
        index = np.flatnonzero(chosen & (jets.pt > s["jet"]["pt_min"]))
        out[name], out[name + "_flavour"] = _lists(n, COUNTS[name], jets.event[index], rows[index], flavour[index])
    for name, index in objects.items():
        rows = np.stack([energy, flow.eta, flow.phi, np.full(len(energy), MASSES[name])], axis=1)[index]
        out[name], _ = _lists(n, COUNTS[name], flow.event[index], rows, np.zeros(len(index), np.uint8))
    return out


def _lists(
    n: int, slots: int, event: np.ndarray, rows: np.ndarray, flavour: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n, slots, 4) float32 by pt, and (n, slots) uint8 of the flavours in the same places."""
    out = np.zeros((n, slots, 5), np.float32)
    fill(out, 0, slots, event, np.concatenate([rows, flavour[:, None]], axis=1))
    return out[..., :4].copy(), out[..., 4].astype(np.uint8)


def _isolated(seen: Seen, index: np.ndarray, cut: Mapping[str, float]) -> np.ndarray:
    """Those of the flow entries that pass pt, |eta| and isolation; the pileup density in the cone is subtracted."""
    flow, s = seen.flow, detector_settings()
    index = index[(flow.pt[index] > cut["pt_min"]) & (np.abs(flow.eta[index]) < cut["abs_eta_max"])]
    area = np.pi * s["isolation"]["cone"] ** 2
    pileup = pileup_density(flow, seen.n)[flow.event[index], 0] * area / flow.pt[index]
    return index[isolation(flow, index, seen.n) - pileup <= cut["isolation_max"]]


def _photons(seen: Seen, truth: Truth, leptons: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Isolated neutral ECAL towers, identified; not at a selected lepton. A tower at a prompt photon of the generator
    has the efficiency of photons, others (neutral pions, electrons without a track) that of fakes."""
    flow, s = seen.flow, detector_settings()["offline"]
    cut = s["photon"]
    index = np.flatnonzero(flow.kind == PHOTON)
    index = _isolated(seen, index[flow.pt[index] > cut["pt_min"]], cut)
    a = np.abs(flow.eta[index])
    table = np.array([*cut["efficiency"], [np.inf, 0.0]])
    prompt = truth.take(np.flatnonzero(truth.code == PROMPT))
    at, distance = nearest(flow.event[index], flow.eta[index], flow.phi[index], (prompt.event, prompt.eta, prompt.phi))
    same = (distance < cut["truth_cone"]) & (np.r_[prompt.pt, 0.0][at] > cut["truth_share"] * flow.pt[index])
    efficiency = np.where(same, table[table_row(table[:-1, 0], a), 1], cut["fake_efficiency"])
    index = index[rng.random(len(index)) < efficiency]
    other = np.sort(np.concatenate(list(leptons.values())))
    _, distance = nearest(
        flow.event[index], flow.eta[index], flow.phi[index], (flow.event[other], flow.eta[other], flow.phi[other])
    )
    return index[distance > s["overlap"]["cone"]]


def overlap(seen: Seen, jets: Jets, objects: Mapping[str, np.ndarray]) -> tuple[Jets, dict[str, np.ndarray]]:
    """Each energy once: jets that are an isolated object are removed (the object is inside the cone and carries the
    stated share of the jet's pt); then objects inside the cone of another jet above the stated pt."""
    cut, flow = detector_settings()["offline"]["overlap"], seen.flow
    index = np.sort(np.concatenate(list(objects.values())))
    is_object = np.zeros(len(jets.event), bool)
    jet_starts = np.searchsorted(jets.event, np.arange(seen.n + 1))
    for k in range(int(np.diff(jet_starts).max(initial=0))):  # the k-th jet of every event against all objects
        place = jet_starts[flow.event[index]] + k
        here = place < jet_starts[flow.event[index] + 1]
        i, j = index[here], place[here]
        near = _distance(flow.eta[i], flow.phi[i], jets.eta[j], jets.phi[j]) < cut["cone"]
        is_object[j[near & (flow.pt[i] > cut["share"] * jets.pt[j])]] = True
    rest = Jets(*(getattr(jets, name)[~is_object] for name in ("event", "pt", "eta", "phi", "mass")))
    hard = np.flatnonzero(rest.pt > cut["jet_pt_min"])
    kept = {}
    for name, chosen in objects.items():
        _, distance = nearest(
            flow.event[chosen], flow.eta[chosen], flow.phi[chosen], (rest.event[hard], rest.eta[hard], rest.phi[hard])
        )
        kept[name] = chosen[distance > cut["cone"]]
    return rest, kept


def _distance(eta1: np.ndarray, phi1: np.ndarray, eta2: np.ndarray, phi2: np.ndarray) -> np.ndarray:
    return np.hypot(eta1 - eta2, (phi1 - phi2 + np.pi) % (2 * np.pi) - np.pi)
