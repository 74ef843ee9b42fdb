"""A file watched: the trend of every lumi section, and alarms joined to episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from offline.dqm.lumi import Counts
from offline.dqm.monitor import Alarm, Monitor, tests
from offline.dqm.reference import SCALES, Reference

HOLD = 10  # lumi sections without an alarm that end an episode


@dataclass
class Episode:
    """Alarms that follow each other. since, raised, last: indices of sections: where the fault seems to begin, the
    first alarm, the last one. sums: counts of the sections from the first alarm to the last."""

    since: int
    raised: int
    last: int
    sections: int
    worst: dict[str, Alarm]
    sums: Counts
    pending: list[Counts] = field(default_factory=list)

    def document(self, names: list[tuple[int, int]]) -> dict[str, Any]:
        """As it is written; names: (run, lumi) of each section."""
        found = sorted(self.worst.values(), key=lambda a: -a.value / a.threshold)
        return {
            **{name: dict(zip(("run", "lumi"), names[i], strict=True))
               for name, i in (("since", self.since), ("raised", self.raised), ("last", self.last))},
            "sections_with_alarm": self.sections, "what": found[0].what,
            "alarms": [{"test": a.test, "value": a.value, "threshold": a.threshold, "what": a.what, **a.detail}
                       for a in found],
        }  # fmt: skip


@dataclass
class Watched:
    """What was seen. names: (run, lumi) of each section; values: test -> value; scales: name -> (percent, uncertainty);
    score: mean bin of the score; total: counts of all sections."""

    names: list[tuple[int, int]]
    events: list[int]
    values: dict[str, list[float | None]]
    scales: dict[str, list[tuple[float, float]]]
    z: dict[str, list[float]]
    subjects: dict[str, list[str]]
    episodes: list[Episode]
    skipped: list[tuple[int, int, int]]
    total: Counts | None


def watch(reference: Reference, sections: Iterable[tuple[int, int, Counts]], least: int) -> Watched:
    """Every section of at least so many events through the monitor; smaller ones are noted."""
    monitor, names = Monitor(reference), tests(reference)
    seen = Watched([], [], {n: [] for n in names}, {n: [] for n in SCALES}, {n: [] for n in reference.names},
                   {n: [] for n in names}, [], [], None)  # fmt: skip
    for run, lumi, counts in sections:
        if counts.events < least:
            seen.skipped.append((run, lumi, counts.events))
            continue
        verdict, at = monitor.step(counts), len(seen.names)
        seen.names.append((run, lumi))
        seen.events.append(counts.events)
        seen.total = counts if seen.total is None else seen.total + counts
        for name in names:
            seen.values[name].append(verdict.values.get(name))
            seen.subjects[name].append(verdict.subjects.get(name, ""))
        for name in SCALES:
            seen.scales[name].append(verdict.scales[name])
        for name, value in verdict.z.items():
            seen.z[name].append(value)
        _join(seen.episodes, at, verdict.alarms, counts)
    return seen


def _join(episodes: list[Episode], at: int, alarms: list[Alarm], counts: Counts) -> None:
    """Add the alarms of a section to the episode under way, or begin one."""
    current = episodes[-1] if episodes and at - episodes[-1].last <= HOLD else None
    if not alarms:
        if current is not None:
            current.pending.append(counts)
        return
    if current is None:
        strongest = max(alarms, key=lambda a: a.value / a.threshold)
        since = max(at - strongest.back + 1, episodes[-1].last + 1 if episodes else 0)
        for old in episodes:
            old.pending.clear()
        episodes.append(Episode(since, at, at, 1, {a.test: a for a in alarms}, counts))
        return
    for between in (*current.pending, counts):
        current.sums = current.sums + between
    current.pending.clear()
    current.last, current.sections = at, current.sections + 1
    for alarm in alarms:
        known = current.worst.get(alarm.test)
        if known is None or alarm.value > known.value:
            current.worst[alarm.test] = alarm
