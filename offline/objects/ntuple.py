"""Slim ROOT ntuples of ADFilter (arXiv:2409.03065) as objects.

Tree `Ntuple` with vectors JET_pt, bJET_pt, MU_pt, EL_pt, PH_pt, ... and MET_met, MET_phi, Evt_Weight; histogram `meta`
with sqrt(s) [GeV] in bin 1 and, in newer files, the cross-section [pb] in bin 2. Masses of jets come from the file;
muons and electrons have theirs, photons none. The first entry of MET and of the weights counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.objects.collection import ELECTRON_MASS, MUON_MASS, Objects, columns_of
from offline.objects.rootfile import RootSource, join
from offline.objects.source import unreadable

PREFIX = {"jet": "JET", "bjet": "bJET", "muon": "MU", "electron": "EL", "photon": "PH"}
_MASS = {"muon": MUON_MASS, "electron": ELECTRON_MASS, "photon": 0.0}
_VECTOR_HEADER = 10  # bytes before the values of a std::vector in a branch that is not split


class NtupleSource(RootSource):
    """A slim ntuple. n, sqrt_s and cross_section_pb are those of the file."""

    kind = "ntuple"
    tree_name = "Ntuple"

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(path, counts)
        self._wanted = ["MET_met", "MET_phi", "Evt_Weight"]
        for name, prefix in PREFIX.items():
            parts = ("pt", "eta", "phi") if name in _MASS else ("pt", "eta", "phi", "mass")
            self._wanted += [f"{prefix}_{part}" for part in parts]
        with self.closed_on_error():
            self.require(self._wanted, "a slim ntuple of ADFilter")
            self._read_meta()
        self._wanted += [f"{prefix}_n" for prefix in PREFIX.values() if f"{prefix}_n" in self.branches]

    def _read_meta(self) -> None:
        with unreadable(self.path, "histogram meta", self.errors, "sqrt(s) in its bin 1"):
            if "meta" not in self._root:
                raise InputError(self.path, "histogram meta", "missing", "one with sqrt(s) [GeV] in bin 1")
            values = self._root["meta"].values()
        if not (len(values) and np.isfinite(values[0]) and values[0] > 0):
            raise InputError(self.path, "meta, bin 1", values[0] if len(values) else "missing", "sqrt(s) > 0 GeV")
        self.sqrt_s = float(values[0])
        if len(values) > 1 and np.isfinite(values[1]) and values[1] > 0:
            self.cross_section_pb = float(values[1])

    def interpretation(self, branch: Any) -> Any:
        """Vectors of Double32_t are float32 on disk; uproot does not know them outside of a class."""
        if "Double32_t" not in str(branch.interpretation):
            return super().interpretation(branch)
        import uproot

        return uproot.AsJagged(uproot.AsDtype(">f4"), header_bytes=_VECTOR_HEADER)

    def _read(self, size: int) -> Iterator[Objects]:
        for start, records in self.chunks(self._wanted, size):
            lists: dict[str, Any] = {name: self._list(name, records, start) for name in PREFIX}
            met = [self._first(name, records, start) for name in ("MET_met", "MET_phi")]
            columns = columns_of(len(records), start, weight=self._first("Evt_Weight", records, start))
            yield Objects(**lists, met=np.stack(met, axis=1).astype(np.float32), columns=columns)

    def _list(self, name: str, records: Any, start: int) -> NDArray[np.float32]:
        """The objects of one type, float32 (n, largest number, 4)."""
        prefix = PREFIX[name]
        features = ("pt", "eta", "phi") if name in _MASS else ("pt", "eta", "phi", "mass")
        parts = [self.ragged(records, f"{prefix}_{feature}") for feature in features]
        number = f"{prefix}_n"
        if number in self._wanted:
            counts = self.flat(records, number)
            wrong = np.flatnonzero(counts != parts[0].number)
            if len(wrong):
                row = int(wrong[0])
                expected = f"{parts[0].number[row]}, the length of {prefix}_pt"
                raise InputError(self.path, f"event {start + row}, {number}", counts[row], expected)
        return join(parts, self.path, start, _MASS.get(name))

    def _first(self, name: str, records: Any, start: int) -> NDArray[Any]:
        """The first entry of a vector (n,); an empty one is an error."""
        found = self.ragged(records, name)
        empty = np.flatnonzero(found.number == 0)
        if len(empty):
            raise InputError(self.path, f"event {start + int(empty[0])}, {name}", "empty", "one value")
        values: NDArray[Any] = found.values[np.cumsum(found.number) - found.number]
        return values
