"""The menu: from hw_score to seed bits, prescales and the Level-1 accept.

A menu belongs to one network: it carries that network's hash and is refused beside another.
Prescales follow the rule of the CMS global trigger: a factor has two decimals and is held as an integer times
100; a counter adds 100 for each firing, and when it reaches the factor the firing passes and the factor is
subtracted. After k firings exactly floor(100 k / factor) have passed. Factor 0 passes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import HashMismatch, SpecError
from ad40.files import read_yaml, sha256_of, write_yaml
from ad40.network import Network
from ad40.schema import Node

PRESCALE_UNIT = 100
PRESCALE_BITS = 32


@dataclass(frozen=True)
class Seed:
    """Fires when hw_score >= threshold; one of `prescale` firings passes."""

    name: str
    threshold: int
    prescale: float = 1.0

    @property
    def factor(self) -> int:
        """The prescale as hardware holds it: times 100."""
        return round(self.prescale * PRESCALE_UNIT)


@dataclass(frozen=True)
class Menu:
    """Seeds with integer thresholds for one network, loosest first."""

    model: str
    network_hash: str
    spec_hash: str
    seeds: tuple[Seed, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the document."""
        return sha256_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The document form."""
        return {
            "version": 1,
            "model": self.model,
            "network_hash": self.network_hash,
            "spec_hash": self.spec_hash,
            "seeds": [{"name": s.name, "threshold": s.threshold, "prescale": float(s.prescale)} for s in self.seeds],
        }


@dataclass(frozen=True)
class Decision:
    """Seed bits before and after prescale, bool (n, seeds), and the accept, bool (n,): any seed after prescale."""

    seeds_before: NDArray[np.bool_]
    seeds_after: NDArray[np.bool_]
    l1a: NDArray[np.bool_]


class MenuState:
    """A menu at work: prescale counters go on from chunk to chunk, from zero at the start of a run."""

    def __init__(self, menu: Menu) -> None:
        self.menu = menu
        self._thresholds = np.array([seed.threshold for seed in menu.seeds], np.int32)
        self._counters = [0] * len(menu.seeds)

    def decide(self, hw_score: NDArray[np.integer]) -> Decision:
        """Decide the next events, hw_score (n,), in order."""
        before = np.greater_equal(hw_score[:, None], self._thresholds)
        after = np.zeros_like(before)
        for i, seed in enumerate(self.menu.seeds):
            if seed.factor == 0:
                continue
            fired = np.flatnonzero(before[:, i])
            total = self._counters[i] + PRESCALE_UNIT * np.arange(1, len(fired) + 1, dtype=np.int64)
            passed = total // seed.factor
            previous = (total - PRESCALE_UNIT) // seed.factor
            after[fired[passed > previous], i] = True
            if len(fired):
                self._counters[i] = int(total[-1] % seed.factor)
        return Decision(before, after, after.any(axis=1))


def seed_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Seed bits bool (n, seeds) as one mask per event, seed 0 in bit 0."""
    weights = np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32)
    masks: NDArray[np.uint32] = (bits * weights).sum(axis=1, dtype=np.uint32)
    return masks


def write_menu(path: str | Path, menu: Menu) -> None:
    """Write the menu as YAML, whole or not at all."""
    write_yaml(path, menu.to_dict() | {"hash": menu.hash})


def read_menu(path: str | Path, network: Network) -> Menu:
    """Read and validate a menu for `network`; `HashMismatch` when it was made for another."""
    node = Node(read_yaml(path), path)
    node.keys({"version", "model", "network_hash", "spec_hash", "seeds"}, optional={"hash"})
    node["version"].integer(1, 1)
    seeds: list[Seed] = []
    for child in node["seeds"]:
        child.keys({"name", "threshold", "prescale"})
        prescale = child["prescale"].number(0, (2**PRESCALE_BITS - 1) / PRESCALE_UNIT)
        if 0 < prescale < 1 or abs(prescale * PRESCALE_UNIT - round(prescale * PRESCALE_UNIT)) > 1e-6:
            raise child["prescale"].fault("0, or 1 and above with at most two decimals")
        # one above the largest score switches a seed off, as trigger groups do
        seed = Seed(child["name"].text(), child["threshold"].integer(0, network.score_max + 1), prescale)
        if any(seed.name == other.name for other in seeds):
            raise child["name"].fault("a name used once")
        if seeds and seed.threshold < seeds[-1].threshold:
            raise child["threshold"].fault(f"at least {seeds[-1].threshold}, that of the seed before: loosest first")
        seeds.append(seed)
    if not 1 <= len(seeds) <= 32:
        raise SpecError(path, "seeds", f"{len(seeds)} seeds", "1 to 32 seeds")
    menu = Menu(node["model"].text(), node["network_hash"].text(), node["spec_hash"].text(), tuple(seeds))
    if menu.network_hash != network.hash:
        raise HashMismatch(path, "network_hash", menu.network_hash, f"{network.hash}, the network '{network.name}'")
    if menu.spec_hash != network.spec_hash:
        raise HashMismatch(path, "spec_hash", menu.spec_hash, f"{network.spec_hash}, that of the network")
    if "hash" in node and node["hash"].value != menu.hash:
        raise HashMismatch(path, "hash of the content", menu.hash, f"the recorded {node['hash'].value}")
    return menu
