"""What came out of the device against what the emulator expects, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec

FIELDS = ("score", "before", "after", "l1a")
PORTS = {"score": "m_score", "before": "m_seeds_before", "after": "m_seeds_after", "l1a": "m_l1a"}


@dataclass(frozen=True, eq=False)
class Observed:
    """Decisions of the device. clock (m,): edge at which each was sampled; accepted (n,): edge at which each event
    went in, modulo 2^32."""

    clock: NDArray[np.int64]
    score: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    l1a: NDArray[np.int64]
    accepted: NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """One scenario. latency: clocks from input to decision, smallest and largest. interval: clocks from one decision
    to the next, the median. first: a sentence on the first mismatch, empty when there is none."""

    name: str
    events: int
    decisions: int
    dropped_by_reset: int
    accepted_by_trigger: int
    mismatches: int
    latency: tuple[int, int]
    interval: int
    first: str = ""

    @property
    def ok(self) -> bool:
        return self.mismatches == 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _lines(path: Path) -> list[str]:
    """The values of a $writememh file, without its comments and addresses."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith(("//", "@"))]


def read_words(path: Path, digits: Sequence[int]) -> NDArray[np.int64]:
    """A $writememh file: int64 (lines, fields), `digits` hexadecimal digits each from the left."""
    lines = _lines(path)
    ends = np.cumsum(digits)
    return np.array(
        [[int(line[e - d : e], 16) for e, d in zip(ends, digits, strict=True)] for line in lines], np.int64
    ).reshape(-1, len(digits))


def read_fields(path: Path, width: int, count: int, signed: bool) -> NDArray[np.int64]:
    """A $writememh file of packed fields, index 0 in the lowest bits: int64 (lines, count)."""
    rows = []
    for line in _lines(path):
        value = int(line, 16)
        rows.append([value >> (width * i) & ((1 << width) - 1) for i in range(count)])
    codes = np.array(rows, np.int64).reshape(-1, count)
    return codes - ((codes >> (width - 1)) << width) if signed else codes


def compare(
    name: str, expected: Any, observed: Observed, latency: int, place: str = "event", lines_per_place: int = 1
) -> Result:
    """Hold every decision against the emulator's. place: what a playback line is called in a message."""
    n_expected, n_observed = len(expected.line), len(observed.clock)
    n = min(n_expected, n_observed)
    wrong = np.zeros((len(FIELDS), n), bool)
    for i, field in enumerate(FIELDS):
        wrong[i] = getattr(expected, field)[:n] != getattr(observed, field)[:n]
    mismatched = wrong.any(axis=0)
    mismatches = int(mismatched.sum()) + abs(n_expected - n_observed)
    delays = np.zeros(0, np.int64)
    if expected.rejected == 0 and n == len(observed.accepted):
        delays = (observed.clock[:n] - observed.accepted[:n]) % (1 << 32)
    elif n:  # with resets: an event that came out went in exactly `latency` clocks before, or it did not go in
        went_in = np.isin((observed.clock - latency) % (1 << 32), observed.accepted)
        delays = np.full(n_observed, latency)[went_in]
        mismatches += int((~went_in).sum())
    first = ""
    if mismatched.any():
        k = int(np.flatnonzero(mismatched)[0])
        field = FIELDS[int(np.flatnonzero(wrong[:, k])[0])]
        first = (
            f"first at {place} {int(expected.line[k]) // lines_per_place}, {PORTS[field]} "
            f"{int(getattr(observed, field)[k])} vs {int(getattr(expected, field)[k])}"
        )
    elif n_expected != n_observed:
        first = f"{n_observed} decisions came out, {n_expected} were expected"
    elif mismatches:
        first = f"a decision did not come out {latency} clocks after its event"
    if mismatches:
        first = f"RTL != emulator: {mismatches}/{max(n_expected, n_observed)}; {first}"
    return Result(
        name=name,
        events=n_expected + expected.rejected,
        decisions=n_observed,
        dropped_by_reset=expected.rejected,
        accepted_by_trigger=int(np.sum(observed.l1a)),
        mismatches=mismatches,
        latency=(int(delays.min()), int(delays.max())) if len(delays) else (-1, -1),
        interval=int(np.median(np.diff(observed.clock))) if n_observed > 1 else 0,
        first=first,
    )


def first_difference(found: NDArray[np.integer], wanted: NDArray[np.integer], label: str) -> tuple[int, str]:
    """Number of events that differ in fields (n, 57), and the first of them such as `jet[2].hw_phi 144 vs 0`.

    label: how a field is written, with {slot} and {feature}.
    """
    wrong = found != wanted
    events = int(wrong.any(axis=1).sum())
    if not events:
        return 0, ""
    row, index = (int(i) for i in np.argwhere(wrong)[0])
    name = label.format(slot=spec.objects().slot_names[index // 3], feature=spec.FEATURES[index % 3])
    return events, f"event {row}, {name} {int(found[row, index])} vs {int(wanted[row, index])}"
