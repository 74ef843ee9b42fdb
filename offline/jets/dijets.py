"""Events as pairs of their two leading jets: the invariant mass and what a classifier may know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from offline.jets.jets import Jets

SETS = {
    "masses": ("m1", "m2"),
    "five": ("m_light", "m_difference", "tau21_light", "tau21_heavy", "tau32_heavy"),
    "four": ("m_light", "m_difference", "tau21_light", "tau21_heavy"),
}
"""Features: the two jet masses, as in the dijet search by weak supervision (PRL 125 (2020) 131801); the usual ones of
the LHC Olympics: lighter mass, difference of the masses [GeV], tau21 of both, and tau32 of the heavier jet."""

LEADING_PT, SECOND_PT, MAX_DY = 500.0, 200.0, 1.2
"""Selection of that search: pt of the jets [GeV], abs of the difference of their rapidities."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dijets:
    """k events. mass: float64 (k,) [GeV], x: float64 (k, f) features, names: of these, event int64 (k,), label int8
    (k,), jets int64 (k, 2): rows of the jets."""

    mass: Floats
    x: Floats
    names: tuple[str, ...]
    event: NDArray[np.int64]
    label: NDArray[np.int8]
    jets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.mass)

    def take(self, rows: NDArray[Any]) -> Dijets:
        """Some of the events."""
        arrays = (getattr(self, name)[rows] for name in ("mass", "x", "event", "label", "jets"))
        mass, x, event, label, jets = arrays
        return Dijets(mass, x, self.names, event, label, jets)


def dijets(
    jets: Jets,
    names: Sequence[str] = SETS["masses"],
    leading_pt: float = LEADING_PT,
    second_pt: float = SECOND_PT,
    max_dy: float = MAX_DY,
) -> Dijets:
    """The events with two jets that pass the selection. Raises `InputError` on names that do not exist, features that
    are not known, and when no event passes."""
    pairs = jets.pairs()
    p = jets.four_momenta()
    rapidity = np.arctanh(np.clip(p[:, 2] / np.maximum(p[:, 3], 1e-12), -1 + 1e-15, 1 - 1e-15))
    pt = jets.column("pt")[pairs]
    good = (pt[:, 0] >= leading_pt) & (pt[:, 1] >= second_pt)
    good &= np.abs(np.diff(rapidity[pairs], axis=1)[:, 0]) < max_dy
    if not good.any():
        expected = f"some with pt above {leading_pt:g} and {second_pt:g} GeV and abs(dy) below {max_dy:g}"
        raise InputError("dijets", "events", f"0 of {len(pairs)} pairs", expected)
    pairs = pairs[good]
    total = p[pairs].sum(axis=1)
    mass = np.sqrt(np.maximum(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1), 0.0))
    columns = [_feature(jets, pairs, name) for name in names]
    x = np.stack(columns, axis=1) if columns else np.zeros((len(pairs), 0))
    return Dijets(mass, x, tuple(names), jets.event[pairs[:, 0]], jets.label[pairs[:, 0]], pairs)


def _feature(jets: Jets, pairs: NDArray[np.int64], name: str) -> Floats:
    masses = jets.column("mass")[pairs].astype(np.float64)
    heavy = np.argmax(masses, axis=1)
    rows = np.arange(len(pairs))
    if name in ("m1", "m2"):
        return masses[:, int(name[1]) - 1]
    if name == "m_light":
        return masses.min(axis=1)
    if name == "m_difference":
        return masses.max(axis=1) - masses.min(axis=1)
    kind, _, which = name.partition("_")
    if kind not in ("tau21", "tau32") or which not in ("light", "heavy"):
        raise InputError("dijets", "feature", repr(name), "m1, m2, m_light, m_difference, tau21_light, tau32_heavy, ..")
    column = jets.ratio(int(kind[3]), int(kind[4]))[pairs].astype(np.float64)
    chosen = column[rows, heavy if which == "heavy" else 1 - heavy]
    if not np.isfinite(chosen).all():
        row = int(np.flatnonzero(~np.isfinite(chosen))[0])
        raise InputError("dijets", f"{name} of event {jets.event[pairs[row, 0]]}", "not known", "a number")
    return np.asarray(chosen)
