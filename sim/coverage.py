"""Functional coverage: named bins that stimulus must reach, counted by every bench and merged into one table.

A bin is `group: name`. Bins are declared from what the design holds (seeds, lanes, counters), so that a larger menu
needs no new list; a bin that nobody declared cannot be hit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ad40.errors import Ad40Error
from ad40.files import read_json, write_json

PER_SEED = (
    "fired", "did not fire", "passed its prescale", "was prescaled away", "was masked", "vetoed an event",
    "was kept out by the BX mask", "was switched off by factor 0",
    "at threshold - 1", "at threshold", "at threshold + 1",
)  # fmt: skip
LINK_CLASSES = ("corrupted", "late", "missing")
PER_LANE = (*LINK_CLASSES, "unaligned", "aligned again at the next orbit", "disabled", "disabled, with errors on it",
            "noise in unused bits")  # fmt: skip
LINKS = (
    "first alignment", "resync in the middle of a frame", "resync at the end of a frame", "all lanes bad",
    "good frame right after a bad one", "orbit follows orbit without a gap",
)  # fmt: skip
DECISION = (
    "accepted", "not accepted", "lost to a rule", "lost to busy", "busy", "bad event", "vetoed", "two in a row",
    "column switched at a lumi section", "update taken at an orbit start", "update taken at once",
    "update request at the last BX of an orbit", "prescale reset", "BX 0", "last BX of the orbit",
)  # fmt: skip
PER_RULE = ("refused an event", "let one pass at its last BX")
READOUT = (
    "packet", "event of no object", "full event", "flag: overflow", "flag: link error", "flag: external L1A",
    "output held back", "output never held back", "derandomiser full", "output idle", "packets back to back",
)  # fmt: skip
STREAM = ("back to back", "gaps", "held back", "held back with the pipeline full")


class Coverage:
    """Counts of declared bins.

    >>> cover = Coverage({"seed": ("fired",)}); cover.hit("seed", "fired", 3); cover.missing()
    []
    """

    def __init__(self, groups: Mapping[str, Iterable[str]]) -> None:
        self.counts: dict[str, dict[str, int]] = {group: dict.fromkeys(names, 0) for group, names in groups.items()}

    def hit(self, group: str, name: str, count: int = 1) -> None:
        """Count a bin; `count` may be a sum that is 0."""
        if name not in self.counts.get(group, {}):
            raise Ad40Error(f"coverage has no bin '{group}: {name}'")
        self.counts[group][name] += int(count)

    def merge(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add the counts of another bench: its `counts`, as `to_dict` gives them or a file held them."""
        for group, names in counts.items():
            for name, count in names.items():
                self.hit(group, name, count)

    def missing(self) -> list[str]:
        """Bins that nothing reached."""
        return [f"{group}: {name}" for group, names in self.counts.items() for name, n in names.items() if not n]

    def to_dict(self) -> dict[str, dict[str, int]]:
        return {group: dict(names) for group, names in self.counts.items()}

    def table(self) -> str:
        """One line per group: bins reached of bins declared, the rarest of them, and what is at zero."""
        lines = [f"{'coverage':<34}{'bins':>9}   rarest"]
        for group, names in self.counts.items():
            reached = {name: n for name, n in names.items() if n}
            rarest = min(reached, key=lambda name: reached[name], default="")
            text = f"{rarest} ({reached[rarest]:,})" if reached else "-"
            lines.append(f"  {group:<32}{len(reached):>4}/{len(names):<4}   {text}")
        lines += [f"  at zero: {name}" for name in self.missing()]
        return "\n".join(lines)


def declare(seeds: Sequence[str], lanes: Sequence[str], counters: Sequence[str]) -> Coverage:
    """Every bin of a design with these seeds, lanes and counters (one name per counter, such as `cnt_late[jet0]`)."""
    groups: dict[str, Iterable[str]] = {f"seed {name}": PER_SEED for name in seeds}
    groups |= {f"lane {name}": PER_LANE for name in lanes}
    groups |= {"links": LINKS, "decision": DECISION, "readout": READOUT, "stream": STREAM}
    groups |= {f"rule {i}": PER_RULE for i in range(1, 5)}
    groups |= {"counter counted": counters, "counter wrapped": counters}
    return Coverage(groups)


def write(path: Path, coverage: Coverage) -> None:
    """Leave the counts of one bench beside its results, for `Coverage.merge(read(path))`."""
    write_json(path, coverage.to_dict())


def read(path: Path) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = read_json(path)
    return counts
