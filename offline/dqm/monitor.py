"""Lumi sections against the reference, one after the other: six tests, and alarms that say what, where, since when.

shape, recent shape   Hotelling's T^2 of each histogram, of the section and of the last few together, with the
                      covariance of events in the reference: objects of an event and events of a parent are correlated.
                      The least p-value of all histograms is the test.
map, recent map       the window of the maps of objects that differs most (`offline.dqm.scan`).
drift K               two-sided CUSUM (Page, Biometrika 41 (1954) 100) of means in standard deviations z of a section,
                      S = max(0, S +- z - k): score, numbers of objects, and energy scales fitted to the bins of pt
                      with their covariance. The allowance k is K and two standard deviations of what the reference is
                      off by itself, which is no drift. The largest is the test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import gammaincc

from offline.dqm.lumi import Counts
from offline.dqm.reference import Floats, Reference
from offline.dqm.scan import Found, Scan

SHAPE, RECENT_SHAPE, MAP, RECENT_MAP = "shape", "recent shape", "map", "recent map"
LASTING = 2.0  # standard deviations of the reference that are added to the allowance of a CUSUM
LARGEST = 300.0  # of -log10 p, beyond which doubles end


def drift(allowance: float) -> str:
    """Name of the drift test with an allowance."""
    return f"drift {allowance:g}"


def tests(reference: Reference) -> tuple[str, ...]:
    """Names of all tests."""
    return (SHAPE, RECENT_SHAPE, MAP, RECENT_MAP, *(drift(k) for k in reference.quantities.settings.scan.cusum))


@dataclass(frozen=True)
class Alarm:
    """A test at or above its threshold. what: in words. back: lumi sections since it began, 1: in this one. detail:
    histogram, mean or window and numbers."""

    test: str
    value: float
    threshold: float
    what: str
    back: int
    detail: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Of one lumi section: value and subject of each test, z of each mean, energy scales [%] with uncertainties, and
    alarms."""

    values: dict[str, float]
    subjects: dict[str, str]
    z: dict[str, float]
    scales: dict[str, tuple[float, float]]
    alarms: list[Alarm] = field(default_factory=list)


class Monitor:
    """Tests at work. After an alarm they begin anew, so that a fault that stays is found again and again."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._scan = Scan(reference.quantities, reference.cells)
        self._white: dict[tuple[float, int], list[tuple[str, slice, Floats]]] = {}
        self._settings = reference.quantities.settings.scan
        w, c, d = reference.directions, reference.covariance, reference.pair_covariance
        self._own = np.einsum("ki,ij,kj->k", w, c, w)
        self._pair = np.einsum("ki,ij,kj->k", w, d, w)
        self.reset()

    def reset(self) -> None:
        """Forget all sections before."""
        self._recent: deque[Counts] = deque(maxlen=self._settings.recent)
        shape = (len(self._settings.cusum), 2, len(self.reference.names))
        self._sums, self._lengths = np.zeros(shape), np.zeros(shape, np.int64)

    def step(self, counts: Counts) -> Verdict:
        """The next lumi section, of one event at least."""
        self._recent.append(counts)
        several = len(self._recent) > 1
        together = _total(list(self._recent))
        found: dict[str, tuple[float, str, dict[str, Any], int]] = {}
        for name, these in ((SHAPE, counts), (RECENT_SHAPE, together)):
            if several or name == SHAPE:
                value, histogram = self._shape(these)
                found[name] = value, histogram, {"histogram": histogram}, 1
        windows: dict[str, Found] = {}
        for name, these in ((MAP, counts), (RECENT_MAP, together)):
            if several or name == MAP:
                windows[name] = window = self._scan(these.cells)
                found[name] = window.value, self._describe(window), self._window(window), 1
        z, scales, lasting = self._means(counts)
        for i, k in enumerate(self._settings.cusum):
            found[drift(k)] = self._cusum(i, k + LASTING * lasting, z, scales)
        alarms = []
        for name, (value, what, detail, back) in found.items():
            threshold = self.reference.thresholds.get(name, np.inf)
            if value >= threshold:
                if name == RECENT_SHAPE:
                    back = self._since(lambda these, what=what: self._shape(these, what)[0])
                elif name == RECENT_MAP:
                    back = self._since(lambda these, window=windows[name]: self._scan.again(window, these.cells))
                alarms.append(Alarm(name, value, threshold, what, back, detail))
        if alarms:
            self.reset()
        return Verdict(
            {name: one[0] for name, one in found.items()}, {name: one[1] for name, one in found.items()},
            dict(zip(self.reference.names, z.tolist(), strict=True)), scales, alarms,
        )  # fmt: skip

    def _since(self, value: Callable[[Counts], float]) -> int:
        """Of how many of the last sections together a value is largest."""
        last = list(self._recent)
        return max(range(1, len(last) + 1), key=lambda k: value(_total(last[-k:])))

    def _shape(self, counts: Counts, only: str | None = None) -> tuple[float, str]:
        """The largest -log10 p of the histograms, or of one of them, and which it is."""
        off = counts.vector / counts.events - self.reference.mean
        own, pair = self.reference.variance_factors(counts.events, counts.pairs)
        whitened = [one for one in self._whitened(pair / own, counts.events) if only in (None, one[0])]
        squares = [float(x @ x) / own for x in (white @ off[columns] for _, columns, white in whitened)]
        p = gammaincc([len(white) / 2 for _, _, white in whitened], np.array(squares) / 2)  # of chi squared
        value = np.minimum(-np.log10(np.maximum(p, 10.0**-LARGEST)), LARGEST)
        # p-values too small for doubles: the largest square
        at = int(np.argmax(value)) if value.max() < LARGEST else int(np.argmax(squares))
        return float(value[at]), whitened[at][0]

    def _whitened(self, ratio: float, events: int) -> list[tuple[str, slice, Floats]]:
        """For each histogram the matrix that makes its bins independent with variance 1 (for a factor `own` of 1).

        It depends on the pairs little, and on the number of events by what is filled enough: both in coarse steps.
        """
        key = (round(ratio, 2), int(np.log2(events)))
        if key not in self._white:
            r, result = self.reference, []
            matrix = r.covariance + key[0] * r.pair_covariance
            # a variance of less is that of bins that a few events fill, or of bins whose sum never changes
            least = self._settings.least_expected / (2.0 ** key[1] * 1.4)
            for one in r.quantities.histograms:
                values, vectors = np.linalg.eigh(matrix[one.columns, one.columns])
                kept = values > least
                if kept.any():
                    result.append((one.name, one.columns, (vectors[:, kept] / np.sqrt(values[kept])).T))
            if not result:  # a handful of events: nothing can be compared
                one = r.quantities.histograms[0]
                result.append((one.name, one.columns, np.zeros((1, one.stop - one.start))))
            self._white[key] = result
        return self._white[key]

    def _means(self, counts: Counts) -> tuple[Floats, dict[str, tuple[float, float]], Floats]:
        """z of each mean, the energy scales [%] with their uncertainties, and the part of each standard deviation that
        is the reference's own: the same in every section."""
        r = self.reference
        own, pair = r.variance_factors(counts.events, counts.pairs)
        shift = r.directions @ (counts.vector / counts.events - r.mean)
        sigma = np.sqrt(np.maximum(own * self._own + pair * self._pair, 1e-300))
        scales = {name: (float(shift[i]), float(sigma[i])) for i, name in enumerate(r.names) if r.responses[i]}
        own, pair = 1 / r.events, r.pairs / r.events**2
        lasting = np.sqrt(np.maximum(own * self._own + pair * self._pair, 0)) / sigma
        return shift / sigma, scales, lasting

    def _cusum(
        self, i: int, allowance: Floats, z: Floats, scales: dict[str, tuple[float, float]]
    ) -> tuple[float, str, dict[str, Any], int]:
        sums, lengths = self._sums[i], self._lengths[i]
        sums[0], sums[1] = np.maximum(sums[0] + z - allowance, 0), np.maximum(sums[1] - z - allowance, 0)
        lengths[...] = np.where(sums > 0, lengths + 1, 0)
        sign, at = (int(v) for v in np.unravel_index(int(np.argmax(sums)), sums.shape))
        name = self.reference.names[at]
        detail: dict[str, Any] = {"mean": name, "z": float(z[at])}
        if name in scales:
            detail["scale_percent"] = list(scales[name])
        word = ("up", "down")[sign]
        return float(sums[sign, at]), f"{name} drifts {word}", detail, max(int(lengths[sign, at]), 1)

    def _window(self, found: Found) -> dict[str, Any]:
        one = next(m for m in self.reference.quantities.maps if m.kind == found.kind)
        return {"kind": found.kind, **one.where(found.row, found.column, found.height, found.width),
                "observed": found.observed, "expected": round(found.expected, 2)}  # fmt: skip

    def _describe(self, found: Found) -> str:
        if found.value == 0:
            return "nothing"
        w = self._window(found)
        (a, b), (c, d) = w["eta"], w["phi"]
        return (f"{found.kind} {'hot' if found.hot else 'cold'} at eta {a:.2f} to {b:.2f}, phi {c:.2f} to {d:.2f}: "
                f"{found.observed} seen, {found.expected:.1f} expected")  # fmt: skip


def _total(parts: list[Counts]) -> Counts:
    total = parts[0]
    for one in parts[1:]:
        total = total + one
    return total
