"""Files of the LHC Olympics 2020 (arXiv 2101.08320), and those that have the same layout.

* events: `events_anomalydetection.h5` and the black boxes, a data frame of 700 x (pt [GeV], eta, phi) filled up with
  zeros, in the R&D set followed by a label (1 signal, 0 background); 2,101 or 2,100 columns. `ad40 generate lhco`
  writes such files. They are read in pieces: whole, the R&D set takes 18 GB.
* features: `events_anomalydetection_v2.features.h5`, a data frame with pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1,
  the same of j2, and label where it is known.
* clustered: jets with their constituents as published with arXiv 2105.09274, datasets `constituents` (events, jets,
  1 + particles, 4) of pt, eta, phi, mass with the jet itself first, and `hlvs`.

NaN, infinities, negative pt, labels other than 0 and 1 and wrong numbers of columns are refused with the place. An
event without particles has no jets; it is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.dataframe import Frame
from ad40.errors import InputError
from ad40.files import file_hash
from ad40.lhco import COLUMNS as FEATURES_OF_EVENTS
from ad40.lhco import FEATURES, LABEL, STAND_IN
from offline.jets.jets import COLUMNS, SIGNAL, UNKNOWN, Jets, starts_of
from offline.jets.substructure import Grooming, substructure

KINDS = ("events", "features", "clustered")
MAX_ETA = 20.0
MAX_PHI = 4.0  # rad: the public files have (-pi, pi], rounded to float32
_ROUNDING = 1e-3  # of the momentum: a negative mass up to it is a rounded zero

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Events:
    """n events of m particles: offsets int64 (n + 1,), particles float32 (m, 3) pt, eta, phi, label int8 (n,) or -1,
    first: number of the first event in its file."""

    offsets: NDArray[np.int64]
    particles: Floats
    label: NDArray[np.int8]
    first: int = 0

    def __len__(self) -> int:
        return len(self.label)


class Source:
    """An open file. n: events. kind: one of `KINDS`. labelled: whether it knows signal from background. stand_in: True
    when this project made the events, None when the file does not say."""

    kind = ""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.n = 0
        self.labelled = False
        self.stand_in: bool | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """file, sha256, kind, events, labelled, stand_in. The hash is taken when asked for."""
        sha256 = file_hash(self.path)
        about = {"events": self.n, "labelled": self.labelled, "stand_in": self.stand_in}
        return {"file": self.path.name, "sha256": sha256, "kind": self.kind, **about}

    def need_labels(self) -> None:
        """Raises `InputError` for a file without labels."""
        if not self.labelled:
            raise InputError(self.path, "label", "missing", "a file with labels (this one has none, as a black box)")

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EventsFile(Source):
    """Events with all their particles. slots: particles an event can have in this file."""

    kind = "events"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._frame = Frame(path)
        columns = len(self._frame.columns)
        self.n, self.labelled = self._frame.n, columns % 3 == 1
        self.slots = columns // 3
        self.stand_in = True if self._frame.attribute(STAND_IN) is not None else None
        if columns not in (FEATURES_OF_EVENTS, FEATURES_OF_EVENTS + 1):
            self.close()
            expected = f"{FEATURES_OF_EVENTS} (700 x pt, eta, phi), or one more with the label"
            raise InputError(path, "number of columns", columns, expected)

    def read(self, start: int, stop: int) -> Events:
        """Events start to stop - 1. Raises `InputError` naming the event with an impossible value."""
        rows = self._frame.read(start, stop)
        x = rows[:, : 3 * self.slots].reshape(len(rows), self.slots, 3)
        faults = (
            (~np.isfinite(x).all(axis=2), "finite pt, eta, phi"),
            (x[..., 0] < 0, "pt >= 0 GeV"),
            (np.abs(x[..., 1]) > MAX_ETA, f"abs(eta) <= {MAX_ETA:g}"),
            (np.abs(x[..., 2]) > MAX_PHI, "phi within -pi to pi"),
        )
        for wrong, expected in faults:
            if wrong.any():
                row, slot = (int(i) for i in np.argwhere(wrong)[0])
                what = f"{expected} ({int(wrong.sum())} such particles in events {start} to {start + len(x) - 1})"
                raise InputError(self.path, f"event {start + row}, particle {slot}", x[row, slot].tolist(), what)
        label = np.full(len(rows), UNKNOWN, np.int8)
        if self.labelled:
            label = _labels(self.path, rows[:, -1], start)
        present = x[..., 0] > 0
        return Events(starts_of(present.sum(axis=1)), x[present].astype(np.float32), label, start)

    def blocks(self, size: int = 2000) -> Iterator[Events]:
        """All events in order, about `size` at a time (about 20 kB each while they are read)."""
        step = max(1, round(size / self._frame.rows)) * self._frame.rows
        for start in range(0, self.n, step):
            yield self.read(start, min(start + step, self.n))

    def close(self) -> None:
        self._frame.close()


def _labels(path: Path, column: NDArray[Any], start: int) -> NDArray[np.int8]:
    wrong = ~np.isin(column, (0, 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(path, f"event {start + row}, label", column[row], "0 (background) or 1 (signal)")
    return column.astype(np.int8)


class FeaturesFile(Source):
    """Two jets of each event without their constituents."""

    kind = "features"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._frame = Frame(path)
        self.n, self.labelled = self._frame.n, LABEL in self._frame.columns
        self.stand_in = True if self._frame.attribute(STAND_IN) is not None else None

    def read(self, start: int = 0, stop: int | None = None) -> Jets:
        """Jets of the events start to stop - 1, in order of pt. A jet without momentum is none; tau below 0 or NaN is
        not known; the other groomed masses are not, either."""
        stop = self.n if stop is None else stop
        names = [f"{name}j{k}" for k in (1, 2) for name in FEATURES]
        x = self._frame.read(start, stop, names).reshape(-1, 2, len(FEATURES)).astype(np.float64)
        px, py, pz, mass = np.moveaxis(x[..., :4], 2, 0)
        momentum = np.sqrt(px**2 + py**2 + pz**2)
        faults = (
            (~np.isfinite(x[..., :4]).all(axis=2), "finite momenta and mass"),
            (mass < -np.maximum(0.1, _ROUNDING * momentum), "mass >= 0 GeV"),
            ((momentum > 0) & (np.hypot(px, py) <= 0), "pt > 0 GeV"),
        )
        for wrong, expected in faults:
            if wrong.any():
                row, k = (int(i) for i in np.argwhere(wrong)[0])
                raise InputError(self.path, f"event {start + row}, jet {k + 1}", x[row, k, :4].tolist(), expected)
        pt = np.hypot(px, py)
        label = np.full(len(x), UNKNOWN, np.int8)
        if self.labelled:
            label = _labels(self.path, self._frame.read(start, stop, [LABEL])[:, 0], start)
        table = np.full((len(x), 2, len(COLUMNS)), np.nan, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            kinematics = [pt, np.arcsinh(pz / pt), np.arctan2(py, px), np.maximum(mass, 0)]
        table[..., :4] = np.stack(kinematics, axis=2)
        tau = x[..., 4:]
        with np.errstate(invalid="ignore"):
            table[..., 4:7] = np.where(np.isfinite(tau) & (tau >= 0), tau, np.nan)
        order = np.argsort(-pt, axis=1, kind="stable")
        table = np.take_along_axis(table, order[..., None], axis=1)
        event, which = np.nonzero(table[..., 0] > 0)
        none = np.zeros((0, 3), np.float32)
        jets = table[event, which], event + start, which.astype(np.int8), label[event]
        return Jets(np.zeros(len(event) + 1, np.int64), none, *jets)

    def close(self) -> None:
        self._frame.close()


class ClusteredFile(Source):
    """Jets with up to 80 constituents each, as the authors of arXiv 2105.09274 clustered them (R = 1.0)."""

    kind = "clustered"

    def __init__(self, path: str | Path, label: int = UNKNOWN) -> None:
        super().__init__(path)
        self._file = hdf5.open_file(path)
        self._label = label
        self.labelled = label != UNKNOWN
        shape = self._file["constituents"].shape if "constituents" in self._file else ()
        if len(shape) != 4 or shape[3] != 4 or shape[2] < 2:
            self.close()
            raise InputError(path, "constituents", f"of shape {shape}", "(events, jets, 1 + particles, 4)")
        self.n = shape[0]

    def read(self, start: int = 0, stop: int | None = None, grooming: Grooming | None = None) -> Jets:
        """Jets of the events start to stop - 1. Substructure is computed from the constituents, of which the file
        keeps the 80 hardest; it agrees with the `hlvs` of jets that have fewer."""
        stop = self.n if stop is None else stop
        x = self._file["constituents"][start:stop]
        wrong = ~np.isfinite(x).all(axis=(2, 3)) | (x[..., 0] < 0).any(axis=2)
        if wrong.any():
            row, k = (int(i) for i in np.argwhere(wrong)[0])
            raise InputError(self.path, f"event {start + row}, jet {k}", "impossible", "finite numbers, pt >= 0 GeV")
        event, which = np.nonzero(x[:, :, 0, 0] > 0)
        particles = x[event, which, 1:, :3]
        present = particles[..., 0] > 0
        offsets, constituents = starts_of(present.sum(axis=1)), particles[present].astype(np.float32)
        table = np.zeros((len(event), len(COLUMNS)), np.float32)
        table[:, :4] = x[event, which, 0]
        table[:, 3] = np.maximum(table[:, 3], 0)
        table[:, 4:] = substructure(offsets, constituents, grooming)
        label = np.full(len(event), self._label, np.int8)
        return Jets(offsets, constituents, table, event + start, which.astype(np.int8), label)

    def close(self) -> None:
        self._file.close()


def kind_of(path: str | Path) -> str:
    """One of `KINDS`, by what the file holds. Raises `InputError` for anything else."""
    with hdf5.open_file(path) as file:
        if "constituents" in file and "hlvs" in file:
            return "clustered"
    with Frame(path) as frame:
        return "features" if f"{FEATURES[0]}j1" in frame.columns else "events"


def open_source(path: str | Path, label: int = UNKNOWN) -> EventsFile | FeaturesFile | ClusteredFile:
    """Open a file of any of the `KINDS`. label: of all events of a clustered file, which has none of its own.

    Raises `InputError` for another file, a wrong number of columns, or a label given for a file with its own.
    """
    if label not in (UNKNOWN, 0, SIGNAL):
        raise InputError("command line", "label", label, "0 (background) or 1 (signal)")
    kind = kind_of(path)
    if kind == "clustered":
        return ClusteredFile(path, label)
    if label != UNKNOWN:
        raise InputError(path, "label", f"{label} asked for", "none: only clustered files take one for all events")
    return EventsFile(path) if kind == "events" else FeaturesFile(path)
