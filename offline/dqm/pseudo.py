"""Lumi sections made of events of a file, without faults and with them: thresholds, false alarms, time to detection.

A section holds a Poisson number of events, each drawn from all events of the file. Sections made so are independent
given the file, in which events of one parent are correlated: the reference and the file differ by what both fluctuate,
as two good runs do, and the tests know the part of the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from ad40.metrics import wilson
from ad40.model import Model
from ad40.progress import Progress
from offline.dqm import faults
from offline.dqm.lumi import Counts, count
from offline.dqm.monitor import Monitor, tests
from offline.dqm.quantities import Cells, Quantities, Vectors
from offline.dqm.reference import Reference

WARM = 5  # sections without a fault before each trial
LONGEST = 30  # sections after which a fault counts as not found
TAIL = 0.02  # share of the largest values from which the tail is continued


@dataclass(frozen=True, eq=False)
class Pool:
    """Events to draw from, with what is monitored of them."""

    codes: NDArray[np.int32]
    score: NDArray[np.int64]
    quantities: Quantities
    vectors: Vectors = field(init=False)
    occupancy: Cells = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", self.quantities.vectors(self.codes, self.score))
        object.__setattr__(self, "occupancy", self.quantities.occupancy(self.codes))

    def section(self, rng: np.random.Generator, mean: float) -> Counts:
        """A lumi section without faults."""
        rows = self._rows(rng, mean)
        return count(self.vectors[rows], self.occupancy[rows], self.quantities.cells)

    def faulty(
        self, rng: np.random.Generator, mean: float, fault: faults.Fault, model: Model, lepton_pt: float | None
    ) -> Counts:
        """A lumi section with a fault: its events scored again, those that leave the stream left out."""
        codes = fault.apply(self.codes[self._rows(rng, mean)], rng)
        codes = codes[faults.in_stream(codes, lepton_pt)]
        score = model.trigger.score(codes)[:, 0]
        return count(self.quantities.vectors(codes, score), self.quantities.occupancy(codes), self.quantities.cells)

    def _rows(self, rng: np.random.Generator, mean: float) -> NDArray[np.int64]:
        return rng.integers(0, len(self.codes), max(int(rng.poisson(mean)), 1))


def values(reference: Reference, pool: Pool, mean: float, sections: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Every test on consecutive sections without faults, no alarm raised: (sections,) of each."""
    monitor, rng = Monitor(replace(reference, thresholds={})), np.random.default_rng([seed, 1])
    found = {name: np.zeros(sections) for name in tests(reference)}
    with Progress(sections, "thresholds", "lumi sections") as progress:
        for i in range(sections):
            for name, value in monitor.step(pool.section(rng, mean)).values.items():
                found[name][i] = value
            progress.update()
    return found


def thresholds(found: dict[str, NDArray[np.float64]], rate: float) -> dict[str, float]:
    """Where each test is exceeded in so many of the sections that all together make `rate` alarms per section.

    The largest values of each are continued by an exponential, the tail that likelihood ratios and CUSUMs have
    (peaks over threshold).
    """
    each, result = rate / len(found), {}
    for name, value in found.items():
        start = float(np.quantile(value, 1 - TAIL))
        over = value[value > start] - start
        slope = float(over.mean()) if len(over) else 0.0
        result[name] = start + slope * float(np.log(max(len(over), 1) / len(value) / each))
    return result


def false_alarms(reference: Reference, pool: Pool, mean: float, sections: int, seed: int) -> dict[str, Any]:
    """Alarms in sections without faults. Sections in which several tests fire count once."""
    monitor, rng = Monitor(reference), np.random.default_rng([seed, 2])
    by_test = dict.fromkeys(tests(reference), 0)
    alarms = 0
    first: list[dict[str, Any]] = []
    with Progress(sections, "false alarms", "lumi sections") as progress:
        for i in range(sections):
            raised = monitor.step(pool.section(rng, mean)).alarms
            alarms += bool(raised)
            if raised and len(first) < 10:
                first.append({"section": i, "what": raised[0].what, "test": raised[0].test})
            for one in raised:
                by_test[one.test] += 1
            progress.update()
    return {"sections": sections, "alarms": alarms, "rate": list(wilson(alarms, sections)),
            "upper_95": float(chi2.ppf(0.95, 2 * (alarms + 1)) / 2 / sections), "by_test": by_test,
            "first": first}  # fmt: skip


def trials(
    reference: Reference, pool: Pool, mean: float, name: str, size: float | None, count_: int, model: Model, seed: int,
    **chosen: Any,
) -> dict[str, Any]:  # fmt: skip
    """Time to detection of a fault, in lumi sections, 1: the first that has it. Each trial draws its own place."""
    times, first, tries = [], [], []
    monitor = Monitor(reference)
    for i in range(count_):
        rng = np.random.default_rng([seed, 3, faults.NAMES.index(name), round(1e6 * (size or 0)) % (1 << 32), i])
        signed = size if size is None or name != "energy scale" else size * float(rng.choice((-1, 1)))
        fault = faults.make(name, rng, signed, **chosen)
        monitor.reset()
        for _ in range(WARM):
            monitor.step(pool.section(rng, mean))
        time, raised = LONGEST + 1, []
        for k in range(1, LONGEST + 1):
            raised = monitor.step(pool.faulty(rng, mean, fault, model, reference.about["lepton_pt"])).alarms
            if raised:
                time = k
                break
        times.append(time)
        first.append(max(raised, key=lambda a: a.value / a.threshold).test if raised else "none")
        tries.append({**fault.about, "sections": times[-1], "what": raised[0].what if raised else ""})
    return {"fault": name, "size": faults.SIZES[name] if size is None else size, "trials": count_,
            "sections": times, **summary(times), "first_test": _counted(first), "tries": tries}  # fmt: skip


def summary(times: Sequence[int], within: int = 5) -> dict[str, Any]:
    """Median, 90 % and largest of times to detection, and the share within so many lumi sections with its interval."""
    t = np.asarray(times)
    soon = int((t <= within).sum())
    return {"median": float(np.median(t)), "ninety_percent": float(np.quantile(t, 0.9, method="higher")),
            "largest": int(t.max()), "within_5": list(wilson(soon, len(t)))}  # fmt: skip


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}
