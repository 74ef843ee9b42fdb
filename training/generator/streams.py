"""`--filter streams`: keep events that pass one of the streams of the searches.

The streams stand in `processes.yaml`. The same requirements, loosened, are asked earlier: of final-state particles
before the detector, and for some processes of partons while the shower runs, so that few events are made in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.generator.detector import Particles
from training.generator.reconstruction import cluster
from training.generator.tables import processes

_INVISIBLE = (12, 14, 16)
_NEW = 1_000_000  # stable particles beyond leave no energy: see training.generator.detector


def passes(objects: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool (n,): events of which at least one stream accepts the offline objects (arrays of ad40.offline_events)."""
    cut = processes()["stream_filter"]
    pt = {}
    for name in ("jet", "bjet", "muon", "electron", "photon"):
        data = objects[name]
        good = (data[..., 0] >= cut["pt_min"]) & (np.abs(data[..., 1]) <= cut["abs_eta_max"])
        pt[name] = np.where(good, data[..., 0], 0.0)
    return _accept(pt, objects["met"][:, 0], loose=False)


def _accept(pt: Mapping[str, np.ndarray], met: np.ndarray, loose: bool) -> np.ndarray:
    """pt: (n, slots) of each type, met (n,), GeV."""
    found = np.zeros(len(met), bool)
    for stream in processes()["stream_filter"]["streams"].values():
        factor = stream["loose"] if loose else 1.0
        passed = np.ones(len(met), bool)
        if "met" in stream:
            passed &= met > factor * stream["met"]
        if "pt" in stream:
            hardest = -np.sort(-np.concatenate([pt[name] for name in stream["types"]], axis=1), axis=1)
            passed &= (hardest[:, : len(stream["pt"])] > factor * np.array(stream["pt"], np.float32)).all(axis=1)
        found |= passed
    return found


def preselect(p: Particles, n: int) -> np.ndarray:
    """Numbers of the events whose final-state particles could pass: the streams with their loosened thresholds.

    Jets are made of all visible particles, leptons and photons need no isolation.
    """
    filter_ = processes()["stream_filter"]
    limit = filter_["loose_abs_eta"]
    pdg = np.abs(p.pdg)
    pt_all = np.hypot(p.px, p.py)
    invisible = np.isin(pdg, _INVISIBLE) | (pdg > _NEW)
    met = np.hypot(*(np.bincount(p.event[invisible], c[invisible], n) for c in (p.px, p.py)))
    near = np.abs(np.arcsinh(p.pz / np.maximum(pt_all, 1e-9))) < limit
    pt = {}
    for name, code in (("electron", 11), ("muon", 13), ("photon", 22)):
        index = np.flatnonzero((pdg == code) & near & (pt_all > 10.0))
        pt[name] = _hardest(p.event[index], pt_all[index], n)
    # jets only where the particles together could make them: clustering is the slow part
    jet_streams = [stream for stream in filter_["streams"].values() if "jet" in stream.get("types", ())]
    least = min(stream["loose"] * sum(stream["pt"]) for stream in jet_streams)
    wide = ~invisible & (np.abs(p.pz) < np.sinh(limit + 1.0) * pt_all)
    enough = np.bincount(p.event[wide], pt_all[wide], n) > least
    index = np.flatnonzero(wide & enough[p.event])
    event, px, py, pz, _ = cluster(
        p.event[index], p.px[index], p.py[index], p.pz[index], p.e[index], n, filter_["pt_min"]
    )
    jet_pt = np.hypot(px, py)
    inside = np.abs(np.arcsinh(pz / jet_pt)) < limit
    pt["jet"], pt["bjet"] = _hardest(event[inside], jet_pt[inside], n), np.zeros((n, 0))
    return np.flatnonzero(_accept(pt, met, loose=True))


def _hardest(event: np.ndarray, pt: np.ndarray, n: int, slots: int = 4) -> np.ndarray:
    """(n, slots) largest pt of each event, zeros where there are fewer."""
    order = np.lexsort((-pt, event))
    event, pt = event[order], pt[order]
    rank = np.arange(len(event)) - np.searchsorted(event, event, side="left")
    out = np.zeros((n, slots))
    out[event[rank < slots], rank[rank < slots]] = pt[rank < slots]
    return out


def make_stream_hook(cut: Mapping[str, Any] | None) -> Any:
    """A hook as of `training.generator.pythia.make_hook` that asks for hard partons: `parton_streams` of the YAML.

    Keys of `cut`, all in GeV. Any one of these keeps the event: `lepton`, pt of one e, mu or tau; `lepton_pair`, of
    two; `photon`; `invisible`, pt of the neutrinos together; `jet`, pt of one parton; `jets`, [hardest, fourth] parton.
    `scale`: the question about photons and partons is asked once, when the shower has come down to this pt.
    """
    from training.generator.pythia import make_hook

    plain = make_hook(None)
    if cut is None:
        return plain
    early = "scale" in cut

    class Hook(type(plain)):  # type: ignore[misc]
        def canVetoPT(self) -> bool:
            return early

        def scaleVetoPT(self) -> float:
            return float(cut["scale"])

        def doVetoPT(self, position: int, event: Any) -> bool:
            return not self.over and not _hard_partons(event, cut)

        def _fails(self, event: Any) -> bool:
            return not early and not self.over and not _hard_leptons(event, cut)

    return Hook()


def _hard_partons(event: Any, cut: Mapping[str, Any]) -> bool:
    pts: list[float] = []
    for i in range(3, event.size()):
        particle = event[i]
        if particle.status() > 0:
            code = particle.idAbs()
            if code == 22 and particle.pT() > cut["photon"]:
                return True
            if code <= 6 or code == 21:
                pts.append(particle.pT())
    pts = sorted([*pts, 0.0, 0.0, 0.0, 0.0], reverse=True)
    hardest, fourth = cut["jets"]
    return bool(pts[0] > cut["jet"] or (pts[0] > hardest and pts[3] > fourth))


def _hard_leptons(event: Any, cut: Mapping[str, Any]) -> bool:
    leptons, px, py = [0.0, 0.0], 0.0, 0.0
    for i in range(event.size() - 1, 2, -1):
        particle = event[i]
        if particle.status() > 0:
            code = particle.idAbs()
            if code in (11, 13, 15):
                leptons.append(particle.pT())
            elif code in _INVISIBLE:
                px, py = px + particle.px(), py + particle.py()
            elif code == 22 and particle.pT() > cut["photon"]:
                return True
    leptons.sort(reverse=True)
    hard = leptons[0] > cut["lepton"] or leptons[1] > cut["lepton_pair"]
    return bool(hard or px * px + py * py > cut["invisible"] ** 2)
