"""CMS NanoAOD as objects: tree `Events` with Jet_pt, Muon_eta, MET_phi, run, luminosityBlock, event, ...

NanoAOD keeps candidates. Which of them are objects is the analyst's choice, so the b-tag must be named (its thresholds
are published per data-taking year), and identification is asked for with `require`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import ELECTRON_MASS, MUON_MASS, Objects, columns_of
from offline.objects.rootfile import RootSource, join

_MASS = {"Muon": MUON_MASS, "Electron": ELECTRON_MASS, "Photon": 0.0}


@dataclass(frozen=True)
class Options:
    """How to read a NanoAOD file.

    btag: branch of jets, such as "Jet_btagDeepFlavB"; a jet at or above `btag_threshold` is a b-jet. met: branches
    MET_pt and MET_phi start with this ("PuppiMET", "PFMET" in newer files). require: branch -> least value, such as
    {"Jet_jetId": 2, "Muon_tightId": 1, "Photon_cutBased": 2}; objects below are left out. weight, pileup: branches of
    one number per event; by default genWeight and Pileup_nPU where the file has them. columns: further such branches
    to pass through.
    """

    btag: str
    btag_threshold: float
    met: str = "MET"
    require: Mapping[str, float] = field(default_factory=dict)
    weight: str | None = None
    pileup: str | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.btag, *self.require):
            if name.split("_")[0] not in ("Jet", *_MASS) or (name == self.btag and not name.startswith("Jet_")):
                expected = "a branch of jets" if name == self.btag else "a branch of Jet, Muon, Electron or Photon"
                raise InputError("NanoAOD options", "btag" if name == self.btag else "require", name, expected)
        for name, value in {"btag_threshold": self.btag_threshold, **self.require}.items():
            if not isinstance(value, int | float) or not np.isfinite(value):
                raise InputError("NanoAOD options", name, value, "a number")


class NanoAODSource(RootSource):
    """A NanoAOD file, MC or data."""

    kind = "nanoaod"
    tree_name = "Events"

    def __init__(
        self, path: str | Path, counts: Mapping[str, int] | None = None, options: Options | None = None
    ) -> None:
        if options is None:
            expected = "a branch and its threshold, such as Jet_btagDeepFlavB and that of the year"
            raise InputError(path, "option btag", "not given", expected)
        super().__init__(path, counts)
        self.options = options
        met = [f"{options.met}_{part}" for part in ("pt", "phi")]
        self._wanted = [*met, options.btag, *options.require, "run", "luminosityBlock", "event", "Jet_mass"]
        self._wanted += [f"{name}_{part}" for name in ("Jet", *_MASS) for part in ("pt", "eta", "phi")]
        self._columns = {"run": "run", "lumi": "luminosityBlock", "event": "event"}
        for name, given, usual in (("weight", options.weight, "genWeight"), ("pileup", options.pileup, "Pileup_nPU")):
            if given is not None or usual in self.branches:
                self._columns[name] = usual if given is None else given
        self._columns |= {name: name for name in options.columns}
        self._wanted += self._columns.values()
        with self.closed_on_error():
            self.require(self._wanted, "NanoAOD")
        self._more = {
            "btag": {"branch": options.btag, "threshold": options.btag_threshold},
            "met": options.met,
            "require": dict(options.require),
        }

    def _read(self, size: int) -> Iterator[Objects]:
        options = self.options
        for start, records in self.chunks(self._wanted, size):
            is_b = self.ragged(records, options.btag).values >= options.btag_threshold
            lists: dict[str, Any] = {
                "jet": self._list("Jet", records, start, ~is_b),
                "bjet": self._list("Jet", records, start, is_b),
                "muon": self._list("Muon", records, start),
                "electron": self._list("Electron", records, start),
                "photon": self._list("Photon", records, start),
            }
            met = [self.flat(records, f"{options.met}_{part}") for part in ("pt", "phi")]
            known = {name: self.flat(records, branch) for name, branch in self._columns.items()}
            columns = columns_of(len(records), start, **known)
            yield Objects(**lists, met=np.stack(met, axis=1).astype(np.float32), columns=columns)

    def _list(self, name: str, records: Any, start: int, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Objects of a collection float32 (n, largest number, 4): those of `keep` that pass what is required."""
        features = ("pt", "eta", "phi") if name in _MASS else ("pt", "eta", "phi", "mass")
        parts = [self.ragged(records, f"{name}_{feature}") for feature in features]
        for branch, least in self.options.require.items():
            if branch.startswith(f"{name}_"):
                found = self.ragged(records, branch)
                passed = found.values >= least
                keep = passed if keep is None else self._same(keep, passed, branch) & passed
        if keep is not None:
            keep = self._same(keep, parts[0].values, f"{name}_pt")
        return join(parts, self.path, start, _MASS.get(name), keep)

    def _same(self, keep: NDArray[np.bool_], other: NDArray[Any], name: str) -> NDArray[np.bool_]:
        """`keep`, when the other branch has as many values."""
        if len(keep) != len(other):
            raise InputError(self.path, name, f"{len(other)} values", f"{len(keep)} as in the branches beside it")
        return keep
