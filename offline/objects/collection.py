"""Objects: the jets, b-jets, muons, electrons, photons and missing pt of many events, from whatever file.

Every search reads this and nothing else. Each list is in order of pt and padded with zeros; light jets and b-jets are
disjoint lists, as in the rapidity-mass matrix (arXiv:1805.11650).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import offline_events
from ad40.errors import InputError

TYPES = ("jet", "bjet", "muon", "electron", "photon")
"""Types of objects, in the order of the matrix."""

SHORT = {"jet": "j", "bjet": "b", "muon": "mu", "electron": "e", "photon": "gamma"}
"""Names of the types in cells and spectra; the missing pt is MET."""

COUNTS: dict[str, int] = dict(offline_events.COUNTS)
"""Slots of each type by default: those of the offline event file and of the published 36 x 36 matrix."""

PT, ETA, PHI, MASS = range(4)
FEATURES = ("pt", "eta", "phi", "mass")

MUON_MASS = 0.1056584
"""GeV (PDG)."""
ELECTRON_MASS = 0.00051100
"""GeV (PDG)."""

COLUMNS: dict[str, type[np.generic]] = {
    "run": np.uint32,
    "lumi": np.uint32,
    "event": np.int64,
    "weight": np.float32,
    "pileup": np.float32,
}
"""Columns that every collection has. pileup: number of collisions overlaid, NaN where the file does not say."""

MAX_ETA = 20.0
"""No particle of measurable pt is farther forward: at 7 TeV this would be a pt of 30 keV."""

MAX_PHI = 1e4
"""rad; beyond it a number is no angle (as in `ad40.objects`)."""

MASS_ROUNDING = 1e-3
"""A negative mass up to this part of the momentum (and 0.1 GeV) is a rounded zero: E^2 - p^2 in float32."""

Array = NDArray[np.float32]


def checked_counts(counts: Mapping[str, int] | None) -> dict[str, int]:
    """Slots of all types: `COUNTS` by default; a type left out of `counts` has none. `InputError` on an unknown type or
    a number outside 0 to 100."""
    given = COUNTS if counts is None else counts
    unknown = set(given) - set(TYPES)
    if unknown:
        raise InputError("counts", "type", sorted(unknown)[0], "one of " + ", ".join(TYPES))
    full = {name: given.get(name, 0) for name in TYPES}
    for name, number in full.items():
        if not isinstance(number, int) or not 0 <= number <= 100:
            raise InputError("counts", name, number, "a whole number from 0 to 100")
    return full


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of n events.

    jet, bjet, muon, electron, photon: float32 (n, slots, 4), columns pt [GeV], eta, phi [rad], mass [GeV]; pt falls
    along the slots, an absent object is all zeros. met: float32 (n, 2) pt [GeV], phi. columns: one value per event,
    arrays (n,), those of `COLUMNS` always, any other passed through from the file (hw_score, process, parent, ...).
    saturated: for types whose pt can only be a lower bound (hardware objects), bool (n, slots) where it is one.
    """

    jet: Array
    bjet: Array
    muon: Array
    electron: Array
    photon: Array
    met: Array
    columns: dict[str, NDArray[Any]]
    saturated: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.met)
        shapes = {name: self[name].shape for name in TYPES}
        wrong = [name for name, shape in shapes.items() if len(shape) != 3 or shape[0] != n or shape[2] != 4]
        wrong += [name for name, flags in self.saturated.items() if flags.shape != shapes[name][:2]]
        wrong += [name for name, column in self.columns.items() if column.shape != (n,)]
        wrong += [name for name in COLUMNS if name not in self.columns]
        if wrong or self.met.shape != (n, 2):
            raise ValueError(f"objects of {n} events do not fit together: {', '.join(wrong) or 'met'}")

    def __len__(self) -> int:
        return len(self.met)

    def __getitem__(self, name: str) -> Array:
        """The list of one type, float32 (n, slots, 4)."""
        if name not in TYPES:
            raise KeyError(name)
        array: Array = getattr(self, name)
        return array

    @property
    def counts(self) -> dict[str, int]:
        """Slots of each type."""
        return {name: self[name].shape[1] for name in TYPES}

    def number(self, name: str) -> NDArray[np.int64]:
        """How many objects of a type each event has, int64 (n,); at most the slots."""
        return (self[name][..., PT] > 0).sum(axis=1, dtype=np.int64)

    def take(self, rows: NDArray[Any] | slice) -> Objects:
        """The events of a mask, of indices, or of a slice."""
        return Objects(
            **{name: self[name][rows] for name in TYPES},
            met=self.met[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            saturated={name: flags[rows] for name, flags in self.saturated.items()},
        )

    def resized(self, counts: Mapping[str, int]) -> Objects:
        """With these slots: the softest objects are dropped, or empty slots added."""
        if dict(counts) == self.counts:
            return self
        lists: dict[str, Any] = {name: _resize(self[name], counts[name]) for name in TYPES}
        return replace(self, **lists, saturated={k: _resize(v, counts[k]) for k, v in self.saturated.items()})

    @staticmethod
    def concatenate(parts: Sequence[Objects]) -> Objects:
        """Events one after the other. Columns that not all parts have are left out."""
        common = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
        flagged = {name for part in parts for name in part.saturated}
        none = {name: [np.zeros(part[name].shape[:2], np.bool_) for part in parts] for name in flagged}
        return Objects(
            **{name: np.concatenate([part[name] for part in parts]) for name in TYPES},
            met=np.concatenate([part.met for part in parts]),
            columns={name: np.concatenate([part.columns[name] for part in parts]) for name in common},
            saturated={
                name: np.concatenate([p.saturated.get(name, zero) for p, zero in zip(parts, none[name], strict=True)])
                for name in flagged
            },
        )


def _resize(array: NDArray[Any], slots: int) -> NDArray[Any]:
    if array.shape[1] >= slots:
        return np.ascontiguousarray(array[:, :slots])
    empty = np.zeros((len(array), slots - array.shape[1], *array.shape[2:]), array.dtype)
    return np.concatenate([array, empty], axis=1)


def columns_of(n: int, first: int = 0, **known: Any) -> dict[str, NDArray[Any]]:
    """The columns of n events: those known, and for the rest of `COLUMNS` run 1, lumi section 1, event = row (of the
    first event `first`), weight 1, pileup NaN."""
    default: dict[str, Any] = {"run": 1, "lumi": 1, "event": np.arange(first, first + n), "weight": 1, "pileup": np.nan}
    full = {name: np.empty(n, kind) for name, kind in COLUMNS.items()}
    for name, column in full.items():
        column[:] = known.get(name, default[name])
    return full | {name: np.asarray(value) for name, value in known.items() if name not in COLUMNS}


def pad(number: NDArray[np.integer], flat: NDArray[Any], slots: int) -> NDArray[Any]:
    """Lists of different lengths as one array: number (n,) rows of flat (sum of number, ...) belong to each event.
    Returns (n, slots, ...) with zeros behind them; what has no slot is dropped."""
    event = np.repeat(np.arange(len(number)), number)
    rank = np.arange(len(flat)) - np.repeat(np.cumsum(number) - number, number)
    fits = rank < slots
    out = np.zeros((len(number), slots, *flat.shape[1:]), flat.dtype)
    out[event[fits], rank[fits]] = flat[fits]
    return out


def close_up(here: NDArray[np.bool_], *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Keep the objects `here` (n, slots) of arrays (n, slots, ...) and move them up over the others, in their order.
    What is not kept becomes zeros."""
    out = tuple(np.where(here.reshape(here.shape + (1,) * (a.ndim - 2)), a, a.dtype.type(0)) for a in arrays)
    rows = np.flatnonzero((here[:, 1:] & ~here[:, :-1]).any(axis=1))
    if len(rows):
        order = np.argsort(~here[rows], axis=1, kind="stable")
        for a in out:
            a[rows] = np.take_along_axis(a[rows], order.reshape(order.shape + (1,) * (a.ndim - 2)), axis=1)
    return out


def ordered(found: Objects) -> Objects:
    """With every list in order of falling pt, ties as they were, and objects without pt all zeros."""
    lists: dict[str, Any] = {}
    saturated = dict(found.saturated)
    for name in TYPES:
        x, pt = found[name], found[name][..., PT]
        lists[name] = x if not x[pt == 0].any() else np.where(pt[..., None] > 0, x, np.float32(0))
        rows = np.flatnonzero((pt[:, 1:] > pt[:, :-1]).any(axis=1))
        if len(rows):
            order = np.argsort(-pt[rows], axis=1, kind="stable")
            lists[name] = lists[name].copy()
            lists[name][rows] = np.take_along_axis(lists[name][rows], order[..., None], axis=1)
            if name in saturated:
                saturated[name] = saturated[name].copy()
                saturated[name][rows] = np.take_along_axis(saturated[name][rows], order, axis=1)
    return replace(found, **lists, saturated=saturated)


def check(found: Objects, file: str, first: int = 0) -> Objects:
    """Refuse what no detector delivers, and return the objects with masses rounded below zero set to zero.

    first: row in `file` of the first event. Raises `InputError` naming file, event, object and value on NaN,
    infinities, negative pt, abs(eta) > `MAX_ETA`, abs(phi) > `MAX_PHI`, negative mass, or a weight that is not finite.
    """
    lists: dict[str, Any] = {name: _check_list(found[name], name, file, first) for name in TYPES}
    met = found.met
    for bad, k, expected in (
        (~np.isfinite(met), None, "a finite number"),
        (met[:, :1] < 0, 0, "pt >= 0 GeV"),
        (np.abs(met[:, 1:]) > MAX_PHI, 1, f"an angle of at most {MAX_PHI:g} rad"),
    ):
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            column = column if k is None else k
            raise InputError(file, f"event {first + row}, met.{('pt', 'phi')[column]}", met[row, column], expected)
    weight = found.columns["weight"]
    if not np.isfinite(weight).all():
        row = int(np.flatnonzero(~np.isfinite(weight))[0])
        raise InputError(file, f"event {first + row}, weight", weight[row], "a finite number")
    return replace(found, **lists)


def _check_list(x: Array, name: str, file: str, first: int) -> Array:
    """Objects (n, slots, 4) of one type as `check` says."""
    if x.size == 0:
        return x
    checks: Iterable[tuple[NDArray[np.bool_], int, str]]
    # The ends decide (NaN fails every comparison); places are looked for only when there is something to report
    low, high = x.min(axis=(0, 1)), x.max(axis=(0, 1))
    limit = np.array([np.inf, MAX_ETA, MAX_PHI, np.inf])
    if (low >= (0, -MAX_ETA, -MAX_PHI, 0)).all() and (high <= limit).all() and np.isfinite(high).all():
        return x
    rounded = np.maximum(0.1, MASS_ROUNDING * x[..., PT] * np.cosh(np.minimum(np.abs(x[..., ETA]), MAX_ETA)))
    checks = (
        (~np.isfinite(x), -1, "a finite number"),
        (x[..., PT] < 0, PT, "pt >= 0 GeV"),
        (np.abs(x[..., ETA]) > MAX_ETA, ETA, f"abs(eta) <= {MAX_ETA:g}"),
        (np.abs(x[..., PHI]) > MAX_PHI, PHI, f"an angle of at most {MAX_PHI:g} rad"),
        (x[..., MASS] < -rounded, MASS, "mass >= 0 GeV"),
    )
    for bad, feature, expected in checks:
        if bad.any():
            row, slot, *rest = (int(i) for i in np.argwhere(bad)[0])
            feature = rest[0] if rest else feature
            where = f"event {first + row}, {name}[{slot}].{FEATURES[feature]}"
            raise InputError(file, where, x[row, slot, feature], f"{expected} ({int(bad.sum())} such values)")
    out = x.copy()
    np.maximum(out[..., MASS], 0, out=out[..., MASS])
    return out
