"""Which objects count, and which events a stream keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import ETA, PHI, PT, TYPES, Objects, close_up

JET_IS_LEPTON_DR = 0.4
"""A lepton within this distance of a jet may be what the jet was made of: the jet radius."""

JET_IS_LEPTON_PT = 0.5
"""... and is, when it carries at least this part of the jet's pt. Softer ones are leptons inside a real jet."""

_JETS, _LEPTONS, _PHOTONS = ("jet", "bjet"), ("muon", "electron"), ("photon",)


@dataclass(frozen=True)
class Cuts:
    """Which objects count; by default those of the jet+X search (PRL 132 (2024) 081801; ADFilter, arXiv:2409.03065).

    pt_min: GeV, at least, of every object. eta_max: abs(eta) at most. met_min: GeV; a smaller missing pt is set to 0.
    remove_jets_that_are_leptons: for samples whose detector removes no overlaps (TriggerRecords, `ad40 generate`),
    where an electron is a jet as well; see `lepton_jets`.
    """

    pt_min: float = 30.0
    eta_max: float = 2.4
    met_min: float = 30.0
    remove_jets_that_are_leptons: bool = False

    def __post_init__(self) -> None:
        for name in ("pt_min", "eta_max", "met_min"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and value >= 0):
                raise InputError("cuts", name, value, "a number >= 0")

    @property
    def document(self) -> dict[str, Any]:
        """For attributes of files."""
        return asdict(self)


def lepton_jets(objects: Objects) -> dict[str, NDArray[np.bool_]]:
    """Jets and b-jets that are leptons: bool (n, slots) of each.

    A jet is one when a muon, electron or photon inside `JET_IS_LEPTON_DR` carries `JET_IS_LEPTON_PT` of its pt: an
    e/gamma object of the trigger may be either, and a photon makes a jet as an electron does.
    """
    out = {}
    for jets in _JETS:
        out[jets] = np.zeros((len(objects), objects.counts[jets]), np.bool_)
        for name in (*_LEPTONS, *_PHOTONS):
            for k in range(objects.counts[name]):
                rows = np.flatnonzero(objects[name][:, k, PT] > 0)
                if not len(rows):
                    break  # in order of pt: no event has another one
                jet, lepton = objects[jets][rows].astype(np.float64), objects[name][rows, k, None].astype(np.float64)
                d_phi = np.abs(jet[..., PHI] - lepton[..., PHI]) % (2 * np.pi)
                d_phi = np.minimum(d_phi, 2 * np.pi - d_phi)
                near = (jet[..., ETA] - lepton[..., ETA]) ** 2 + d_phi**2 < JET_IS_LEPTON_DR**2
                hard = lepton[..., PT] >= JET_IS_LEPTON_PT * jet[..., PT]
                out[jets][rows] |= near & hard & (jet[..., PT] > 0)
    return out


def apply(objects: Objects, cuts: Cuts) -> Objects:
    """Objects that pass the cuts, lists closed up; a missing pt below `met_min` becomes zero. Events are kept."""
    removed = lepton_jets(objects) if cuts.remove_jets_that_are_leptons else {}
    lists: dict[str, Any] = {}
    saturated = dict(objects.saturated)
    for name in TYPES:
        x = objects[name]
        here = (x[..., PT] >= cuts.pt_min) & (x[..., PT] > 0) & (np.abs(x[..., ETA]) <= cuts.eta_max)
        if name in removed:
            here &= ~removed[name]
        if name in saturated:
            lists[name], saturated[name] = close_up(here, x, saturated[name])
        else:
            (lists[name],) = close_up(here, x)
    met = np.where(objects.met[:, :1] >= cuts.met_min, objects.met, np.float32(0))
    return replace(objects, **lists, met=met, saturated=saturated)


@dataclass(frozen=True)
class Stream:
    """A trigger stream: the k-th hardest object of `types` above pt[k] GeV for every k, missing pt above met GeV."""

    name: str
    description: str
    types: tuple[str, ...] = ()
    pt: tuple[float, ...] = ()
    met: float = 0.0

    def select(self, objects: Objects) -> NDArray[np.bool_]:
        """Which events pass, bool (n,)."""
        passed = np.ones(len(objects), np.bool_)
        if self.met > 0:
            passed &= objects.met[:, 0] > self.met
        if self.pt:
            hardest = np.concatenate([objects[name][:, : len(self.pt), PT] for name in self.types], axis=1)
            if hardest.shape[1] < len(self.pt):
                return np.zeros(len(objects), np.bool_)
            if len(self.types) > 1:
                hardest = -np.sort(-hardest, axis=1)
            passed &= (hardest[:, : len(self.pt)] > np.array(self.pt, np.float32)).all(axis=1)
        return passed


STREAMS = {
    stream.name: stream
    for stream in (
        Stream("met", "missing pt above 200 GeV", met=200.0),
        Stream("1l", "an electron or muon above 60 GeV", _LEPTONS, (60.0,)),
        Stream("2l", "two electrons or muons above 30 GeV", _LEPTONS, (30.0, 30.0)),
        Stream("photon", "a photon above 150 GeV", _PHOTONS, (150.0,)),
        Stream("2photon", "two photons above 30 GeV", _PHOTONS, (30.0, 30.0)),
        Stream("jet", "a jet or b-jet above 500 GeV", _JETS, (500.0,)),
        Stream("4jet", "four jets or b-jets above 200, 100, 100, 100 GeV", _JETS, (200.0, 100.0, 100.0, 100.0)),
        Stream("any", "every event"),
        Stream("lepton", "the preselection of PRL 132 (2024) 081801: that of 1l", _LEPTONS, (60.0,)),
    )
}
"""The seven streams of the Run-2+3 search, no requirement, and the preselection of the published one.

A jet trigger does not look for b quarks, so that b-jets count as jets in `jet` and `4jet`."""

SEVEN = ("met", "1l", "2l", "photon", "2photon", "jet", "4jet")
"""The streams of the Run-2+3 search."""


def checked_streams(names: Sequence[str]) -> tuple[str, ...]:
    """The names; `InputError` on one that is no stream or comes twice."""
    for k, name in enumerate(names):
        if name not in STREAMS or name in names[:k]:
            raise InputError("streams", f"name {k + 1}", name, "each once, of " + ", ".join(STREAMS))
    return tuple(names)


def select(objects: Objects, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which events pass each stream, bool (n, streams). Cut the objects with `apply` first."""
    columns = [STREAMS[name].select(objects) for name in checked_streams(names)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(objects), 0), np.bool_)


class CutFlow:
    """Events and sums of weights that are left, added up over blocks. The streams overlap: each counts from `read`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = ("read", *(f"stream {name}" for name in checked_streams(names)), "kept")
        self._events = np.zeros(len(self.names), np.int64)
        self._weights = np.zeros(len(self.names), np.float64)

    def add(self, objects: Objects, passed: NDArray[np.bool_]) -> None:
        """Add a block: all its events, and which passed each stream, bool (n, streams)."""
        weight = objects.columns["weight"].astype(np.float64)
        every = np.ones((len(passed), 1), np.bool_)
        table = np.concatenate([every, passed, passed.any(axis=1, keepdims=True)], axis=1)
        self._events += table.sum(axis=0)
        self._weights += weight @ table

    @property
    def rows(self) -> list[tuple[str, int, float]]:
        """(name, events, sum of weights): `read`, each stream, and `kept` by at least one."""
        return [(n, int(e), float(w)) for n, e, w in zip(self.names, self._events, self._weights, strict=True)]
