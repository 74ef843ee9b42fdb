"""What came out of the device against what is expected, and where they part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.menu import seed_bits
from sim.expect import Expected

# columns of a decision: name of the port, and whether the scores of all models stand behind it
PORTS = ("m_bx", "m_orbit", "m_error", "m_busy", "m_scores", "m_seeds_before", "m_seeds_after", "m_request", "m_l1a")


@dataclass(frozen=True, eq=False)
class Observed:
    """Decisions of the device. line (m,): at which each was sampled, modulo 2^32; columns: port -> (m,), m_scores
    (m, models)."""

    line: NDArray[np.int64]
    columns: dict[str, NDArray[np.int64]]


@dataclass
class Result:
    """One run. latency: clocks from the last input word to the decision, smallest and largest. interval: clocks from
    one decision to the next, the median. first: a sentence on the first mismatch, empty when there is none."""

    name: str
    events: int
    decisions: int
    dropped_by_reset: int
    accepted_by_trigger: int
    mismatches: int
    latency: tuple[int, int]
    interval: int
    first: str = ""
    seconds: float = 0.0
    clocks: int = 0
    where: str = ""
    faults: list[str] = field(default_factory=list)  # what else is wrong: counters, packets, the output lane

    @property
    def ok(self) -> bool:
        return not (self.mismatches or self.where or self.faults)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_hex(path: Path, words: int) -> NDArray[np.int64]:
    """A recorder's file: int64 (lines, 32-bit words from the left)."""
    data = bytes.fromhex(path.read_text())
    return np.frombuffer(data, ">u4").reshape(-1, words).astype(np.int64)


def read_decisions(path: Path, models: int) -> Observed:
    """The decisions that a bench recorded."""
    table = read_hex(path, 5 + models)
    flags = table[:, 2] & 0xFFFF
    columns = {
        "m_bx": table[:, 2] >> 16,
        "m_orbit": table[:, 1],
        "m_seeds_before": table[:, 3],
        "m_seeds_after": table[:, 4],
    }
    columns |= {name: flags >> i & 1 for i, name in enumerate(("m_l1a", "m_request", "m_error", "m_busy"))}
    return Observed(table[:, 0], columns | {"m_scores": table[:, 5:]})


def read_fields(path: Path, width: int, count: int, signed: bool) -> NDArray[np.int64]:
    """Packed fields, index 0 in the lowest bits, one hexadecimal number a line: int64 (lines, count)."""
    rows = []
    for line in path.read_text().split():
        value = int(line, 16)
        rows.append([value >> (width * i) & ((1 << width) - 1) for i in range(count)])
    codes = np.array(rows, np.int64).reshape(-1, count)
    return codes - ((codes >> (width - 1)) << width) if signed else codes


def expected_columns(expected: Expected) -> dict[str, NDArray[np.int64]]:
    """The columns that `expected` must give."""
    decided = expected.decided
    columns = {
        "m_bx": expected.bx,
        "m_orbit": expected.orbit,
        "m_error": expected.bad,
        "m_busy": expected.busy,
        "m_scores": expected.scores,
        "m_seeds_before": seed_bits(decided.before),
        "m_seeds_after": seed_bits(decided.after),
        "m_request": decided.request,
        "m_l1a": decided.l1a,
    }
    return {name: np.asarray(column).astype(np.int64) for name, column in columns.items()}


def compare(name: str, expected: Expected, observed: Observed, latency: int, place: str = "event") -> Result:
    """Hold every decision against the expected one. place: what a slot is called in a message."""
    wanted = expected_columns(expected)
    n_expected, n_observed = len(expected.line), len(observed.line)
    n = min(n_expected, n_observed)
    wrong = np.zeros((len(PORTS), n), np.bool_)
    for i, port in enumerate(PORTS):
        differs = wanted[port][:n] != observed.columns[port][:n]
        wrong[i] = differs.any(axis=1) if differs.ndim > 1 else differs
    delays = (observed.line[:n] - expected.line[:n]) % (1 << 32)
    late = delays != latency
    mismatched = wrong.any(axis=0) | late
    mismatches = int(mismatched.sum()) + abs(n_expected - n_observed)
    first = ""
    if mismatched.any():
        k = int(np.flatnonzero(mismatched)[0])
        where = f"orbit {int(expected.orbit[k])} BX {int(expected.bx[k])}" if place == "BX" else f"{place} {k}"
        if wrong[:, k].any():
            port = PORTS[int(np.flatnonzero(wrong[:, k])[0])]
            found, want = observed.columns[port][k], wanted[port][k]
            model = 0
            if port == "m_scores":
                model = int(np.flatnonzero(found != want)[0])
                found, want = found[model], want[model]
            label = {"m_scores": f"m_score[{model}]"}.get(port, port)
            first = f"first at {where}, {label} {int(found)} vs {int(want)}"
        else:
            first = f"first at {where}, decision after {int(delays[k])} clocks, {latency} expected"
    elif n_expected != n_observed:
        first = f"{n_observed} decisions came out, {n_expected} were expected"
    if mismatches:
        first = f"RTL != emulator: {mismatches}/{max(n_expected, n_observed)}; {first}"
    return Result(
        name=name,
        events=n_expected + expected.rejected,
        decisions=n_observed,
        dropped_by_reset=expected.rejected,
        accepted_by_trigger=int(observed.columns["m_l1a"].sum()),
        mismatches=mismatches,
        latency=(int(delays.min()), int(delays.max())) if len(delays) else (-1, -1),
        interval=int(np.median(np.diff(observed.line))) if n_observed > 1 else 0,
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


def compare_counters(found: dict[str, list[int]], wanted: dict[str, list[int]], bits: int) -> list[str]:
    """Sentences on counters that differ; wanted: not wrapped."""
    faults = []
    for name, values in wanted.items():
        for i, value in enumerate(values):
            modulo, seen = value & ((1 << bits) - 1), found[name][i]
            if seen != modulo:
                entry = f"{name}[{i}]" if len(values) > 1 else name
                wraps = f" ({value:,} counted, {bits} bits)" if modulo != value else ""
                faults.append(f"RTL != emulator: {entry} {seen} vs {modulo}{wraps}")
    return faults
