"""Triggered events with weights: what a seed keeps of files, and pseudo-data drawn from them.

Events of one hard process (`parent`) are correlated: one of each is kept, with a weight that stands for all of them.
Weights are the cross-section of an event of its process, where the file says it (`event_cross_section_pb`), else 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.model import Model
from offline.inputs import ALL, Inputs, read

Floats = NDArray[np.float64]
BLOCK = 65536


@dataclass(frozen=True)
class Threshold:
    """A seed before its prescale: events with at least this integer score of a model."""

    model: Model
    name: str
    value: int

    def keeps(self, codes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether events fire the seed, codes (n, 19, 3): bool (n,)."""
        found = np.empty(len(codes), np.bool_)
        for start in range(0, len(codes), BLOCK):
            found[start : start + BLOCK] = (
                self.model.trigger.emulators[0].score(codes[start : start + BLOCK]) >= self.value
            )
        return found


def threshold(model: Model, name: str | None = None) -> Threshold:
    """A seed of the menu of a model by name, by default the loosest. Raises `InputError` for one that is not there."""
    seeds = model.menu.seeds
    if name is None:
        seed = min(seeds, key=lambda one: one.threshold)
    else:
        found = [one for one in seeds if one.name == name]
        if not found:
            raise InputError(model.folder / "menu.yaml", "seed", name, "one of " + ", ".join(s.name for s in seeds))
        seed = found[0]
    return Threshold(model, seed.name, seed.threshold)


@dataclass(frozen=True, eq=False)
class Sample:
    """n independent triggered events. weight float64 (n,): of each, any unit; label uint8 (n,): 0, or the number of the
    signal that it is of (truth, of injected events alone)."""

    events: Inputs
    weight: Floats
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.events)

    def part(self, rows: NDArray[np.integer]) -> Sample:
        """The events of these rows."""
        return Sample(self.events.take(rows), self.weight[rows], self.label[rows])


def triggered(
    path: Path, seed: Threshold | None, part: str = ALL, limit: int | None = None, weighted: bool = True
) -> Sample:
    """Events of a part of a file that fire a seed (all, without one), one of each parent, with weights.

    weighted: else every event that is kept counts 1, in the composition that the file has. Raises `InputError` when
    nothing is left.
    """
    events = read(path, part, limit)
    if seed is not None:
        events = events.take(seed.keeps(events.codes))
    if not len(events):
        raise InputError(path, f"events that fire {seed.name if seed else 'no seed'}", 0, "some")
    _, first, number = np.unique(events.parent, return_index=True, return_counts=True)
    order = np.argsort(first)
    events, siblings = events.take(first[order]), number[order]
    weight = np.ones(len(events))
    if weighted:
        per_event = np.ones(256)
        for code, about in events.processes.items():
            per_event[code] = float(about.get("event_cross_section_pb", 1.0))
        weight = per_event[events.process] * siblings
    return Sample(events, weight, np.zeros(len(events), np.uint8))


def parts(path: Path, seed: Threshold | None, names: tuple[str, ...], weighted: bool = True) -> Sample:
    """As `triggered`, of several parts together."""
    return joined([triggered(path, seed, name, None, weighted) for name in names])


def joined(samples: list[Sample]) -> Sample:
    """Samples one after another; the table of processes is that of the first."""
    first = samples[0].events
    arrays = [np.concatenate([getattr(s.events, name) for s in samples])
              for name in ("codes", "row", "parent", "process")]  # fmt: skip
    events = Inputs(*arrays, first.processes, first.source)
    return Sample(events, np.concatenate([s.weight for s in samples]), np.concatenate([s.label for s in samples]))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A pseudo-experiment over the n events of a sample: copies in data and in simulation, int64 (n,) each, and the
    weight of one copy in simulation, float64 (n,)."""

    data: NDArray[np.int64]
    simulation: NDArray[np.int64]
    weight: Floats


def draw(
    sample: Sample, events: float, ratio: float, random: np.random.Generator, signal: NDArray[np.int64] | None = None
) -> Drawn:
    """Pseudo-data and simulation drawn from the events of a sample with replacement: independent of each other, both of
    the distribution that the sample is. `events` are expected in data, `ratio` times as many in simulation, drawn as
    often as the file has them and then weighted. signal (n,): copies of signal events in data besides; events with a
    label are drawn in neither.
    """
    known = sample.label == 0
    mean = np.where(known, sample.weight, 0.0) * (events / sample.weight[known].sum())
    simulated = np.where(known, events * ratio / np.count_nonzero(known), 0.0)
    data = random.poisson(mean)
    weight = np.divide(mean, simulated, out=np.zeros_like(mean), where=simulated > 0)
    return Drawn(data + (0 if signal is None else signal), random.poisson(simulated), weight)


def split(sample: Sample, share: float, random: np.random.Generator) -> Drawn:
    """Pseudo-data and simulation without repetition: each event is data with a probability in proportion to its weight,
    `share` for the heaviest, else simulation, with the weight p / (1 - p). Counts of both are independent where that of
    the sample varies as Poisson's."""
    p = np.where(sample.label == 0, share * sample.weight / sample.weight[sample.label == 0].max(), 0.0)
    data = (random.random(len(p)) < p).astype(np.int64)
    return Drawn(data, np.where(sample.label == 0, 1 - data, 0), p / (1 - p))


def injected(sample: Sample, number: int, events: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Copies (n,) of the signal with this label: Poisson around `events`, drawn with replacement."""
    here = sample.label == number
    return random.poisson(np.where(here, events / max(np.count_nonzero(here), 1), 0.0))
