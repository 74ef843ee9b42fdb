"""Exclusive event classes: how many can be told apart, and how many of them a sample populates.

A class is the number of objects of each type, (N_MET, N_jet, N_bjet, N_electron, N_muon, N_tau, N_photon), where
N_MET is 1 when the missing transverse energy counts as an object. Which classes proton collisions can fill at some
luminosity is a set of limits on these numbers and their sums. S. V. Chekanov, Universe 10 (2024) 414
(arXiv:2311.09012) took them from Standard Model simulation; `LIMITS` has the two sets with which his totals come out;
where they differ from the printed ones they follow the paper's public code, chekanov/HEP-ANL-186383:

    no limits       888,022   2 to 20 objects of seven types: sum over r of C(r + 6, r), MET repeatable as the others
    "36/fb"           6,676   the printed limits, with N_lepton <= 5 and N_lepton + N_photon <= 5 instead of the printed
                              < 5, which gives 4,356; MET does not count in the limit on all objects
    "154/fb"         19,497   the printed limits (alone: 20,132), N_jet + N_bjet + N_photon <= 18, and 2 to 20 objects
                              with MET

Each class has two-body masses, one for each pair of types that it can form. Over the classes of "36/fb" these are
57,080 by `bodies`; the published 53,108 leaves out one object of every class (see `published_two_body`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.files import atomic_path
from offline.objects.collection import SHORT, Objects
from offline.table import Table

TYPES = ("MET", "jet", "bjet", "electron", "muon", "tau", "photon")
"""The numbers that make a class, in order."""

_SHORT = {"MET": "MET", **SHORT, "tau": "tau"}
_LEPTONS, _VISIBLE = ("electron", "muon", "tau"), TYPES[1:]

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """Which classes are possible.

    most: the largest number of each type. sums: (types, largest number of them together). objects: smallest and
    largest number of objects, MET counted.
    """

    most: tuple[int, int, int, int, int, int, int]
    sums: tuple[tuple[tuple[str, ...], int], ...]
    objects: tuple[int, int]

    def allow(self, classes: Classes) -> NDArray[np.bool_]:
        """Which classes (n, 7) are within the limits: bool (n,)."""
        total = classes.sum(axis=1)
        good: NDArray[np.bool_] = (
            (classes <= np.array(self.most)).all(axis=1) & (total >= self.objects[0]) & (total <= self.objects[1])
        )
        for types, most in self.sums:
            good &= classes[:, [TYPES.index(name) for name in types]].sum(axis=1) <= most
        return good

    def classes(self) -> Classes:
        """All possible classes, int (n, 7), in rising order."""
        grid = np.stack(np.meshgrid(*(np.arange(most + 1) for most in self.most), indexing="ij"), axis=-1)
        every = grid.reshape(-1, len(TYPES))
        return every[self.allow(every)]


LIMITS = MappingProxyType({
    "36/fb": Limits(
        most=(1, 6, 4, 3, 3, 3, 3),
        sums=((("jet", "bjet"), 9), (_LEPTONS, 5), ((*_LEPTONS, "photon"), 5), (_VISIBLE, 12)),
        objects=(2, 20),
    ),
    "154/fb": Limits(
        most=(1, 17, 8, 4, 4, 4, 4),
        sums=(
            (("jet", "bjet"), 18),
            (("jet", "photon"), 18),
            (("bjet", "photon"), 8),
            (("jet", *_LEPTONS), 18),
            (("bjet", *_LEPTONS), 8),
            (("jet", "bjet", "photon"), 18),
            (_LEPTONS, 5),
            ((*_LEPTONS, "photon"), 5),
            (_VISIBLE, 20),
        ),
        objects=(2, 20),
    ),
})  # fmt: skip


def unlimited(low: int = 2, high: int = 20, types: int = len(TYPES)) -> int:
    """Number of classes of low to high objects of any types, all repeatable: multisets, C(r + types - 1, r) each."""
    return sum(comb(r + types - 1, r) for r in range(low, high + 1))


def bodies(classes: Classes, k: int = 2) -> NDArray[np.int64]:
    """How many masses of k visible objects each class (n, 7) has, int (n,): choices of k types, objects of one type
    alike. The number is the coefficient of x^k in the product over types of (1 + x + ... + x^N)."""
    ways = np.zeros((len(classes), k + 1), np.int64)
    ways[:, 0] = 1
    for number in classes[:, 1:].T:
        new = np.zeros_like(ways)
        for taken in range(k + 1):
            new[:, taken:] += np.where((number >= taken)[:, None], ways[:, : k + 1 - taken], 0)
        ways = new
    return ways[:, k]


def published_two_body(classes: Classes) -> NDArray[np.int64]:
    """Two-body masses of each class (n, 7) as arXiv:2311.09012 counts them: of classes with at least 3 objects, after
    leaving out the first object in the order MET, b, e, j, mu, gamma, tau.

    The object left out is meant to be MET. In a class without MET it is a visible one, whose pairs are lost.
    """
    rest = classes.copy()
    left = np.ones(len(classes), np.bool_)
    for name in ("MET", "bjet", "electron", "jet", "muon", "photon", "tau"):
        column = rest[:, TYPES.index(name)]
        here = left & (column > 0)
        column[here] -= 1
        left &= ~here
    return np.where(classes.sum(axis=1) >= 3, bodies(rest), 0)


def name(numbers: NDArray[np.integer[Any]]) -> str:
    """A class in words: "MET+3j+b+mu"."""
    parts = [f"{n if n > 1 else ''}{_SHORT[kind]}" for kind, n in zip(TYPES, numbers.tolist(), strict=True) if n]
    return "+".join(parts) or "nothing"


def of_objects(objects: Objects) -> Classes:
    """The class of each event, int (n, 7). Objects beyond the slots are not counted; no detector here finds taus."""
    out = np.zeros((len(objects), len(TYPES)), np.int64)
    out[:, 0] = objects.met[:, 0] > 0
    for kind in SHORT:
        out[:, TYPES.index(kind)] = objects.number(kind)
    return out


def of_table(table: Table) -> Classes:
    """The class of each event of a table, int (n, 7)."""
    out = np.zeros((table.n, len(TYPES)), np.int64)
    out[:, 0] = table.column("met") > 0
    for kind in SHORT:
        out[:, TYPES.index(kind)] = table.column(f"n_{kind}")
    return out


@dataclass(frozen=True)
class Occupancy:
    """The classes that a sample populates. classes int (k, 7), most events first; events int (k,); weight (k,): sum
    of weights."""

    classes: Classes
    events: NDArray[np.int64]
    weight: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """The figures beside what is possible, as JSON types.

        `possible_here` has only types of objects that the sample has at all: a TriggerRecord has no b-jets, for one.
        """
        seen_types = self.classes.sum(axis=0) > 0
        limits = {}
        for title, limit in LIMITS.items():
            possible, inside = limit.classes(), limit.allow(self.classes)
            here = ~possible[:, ~seen_types].any(axis=1)
            limits[title] = {
                "possible": len(possible),
                "possible_here": int(here.sum()),
                "populated": int(inside.sum()),
                "populated_outside": int((~inside).sum()),
                "events_outside": int(self.events[~inside].sum()),
                "two_body_masses": int(bodies(possible).sum()),
                "two_body_masses_populated": int(bodies(self.classes[inside]).sum()),
            }
        return {
            "classes": len(self.classes),
            "events": int(self.events.sum()),
            "classes_of_one_event": int((self.events == 1).sum()),
            "types": [kind for kind, seen in zip(TYPES, seen_types, strict=True) if seen],
            "unlimited": unlimited(),
            "limits": limits,
            "most_populated": [
                {"class": name(row), "events": int(n)} for row, n in zip(self.classes[:20], self.events, strict=False)
            ],
        }

    def write(self, path: str | Path) -> None:
        """A CSV file, one line for each class: its name, its numbers, events, sum of weights, and which limits
        allow it."""
        allowed = [limit.allow(self.classes) for limit in LIMITS.values()]
        lines = [",".join(("class", *TYPES, "events", "sum of weights", *(f"possible in {title}" for title in LIMITS)))]
        for k, row in enumerate(self.classes):
            flags = (str(int(flag[k])) for flag in allowed)
            numbers = (*map(str, row.tolist()), str(self.events[k]), f"{self.weight[k]:.7g}")
            lines.append(",".join((name(row), *numbers, *flags)))
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def occupancy(classes: Classes, weight: NDArray[np.floating[Any]] | None = None) -> Occupancy:
    """Count events by class. classes: of each event (n, 7); weight: (n,), 1 by default."""
    weight = np.ones(len(classes)) if weight is None else weight
    base = int(classes.max(initial=0)) + 1
    keys = classes @ (base ** np.arange(len(TYPES) - 1, -1, -1, dtype=np.int64))
    _, first, place, events = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    total = np.bincount(place, weights=weight, minlength=len(first)).astype(np.float64)
    order = np.argsort(-events, kind="stable")
    return Occupancy(classes[first][order], events[order], total[order])
