"""The menu: from hw_score to seed bits, prescales and the Level-1 accept.

A menu belongs to its networks: it carries their hashes and is refused beside others. For every bunch crossing (a
slot), in the order of the CMS global trigger:

* a seed fires when the score of its model reaches its threshold, in the bunch crossings it is allowed in;
* prescale: a factor has two decimals and is held as an integer times 100; a counter adds 100 for each firing, and
  when it reaches the factor the firing passes and the factor is subtracted. After k firings exactly
  floor(100 k / factor) have passed. Factor 0 passes nothing. A change of the prescale column restarts the counters;
* an enabled seed that passes requests an accept, unless a veto seed passes too;
* trigger rules: at most so many accepts in so many consecutive slots. A readout that is busy takes the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import HashMismatch, SpecError
from ad40.files import read_yaml, sha256_of, write_yaml
from ad40.network import Network
from ad40.schema import Node

PRESCALE_UNIT = 100
PRESCALE_BITS = 32
MAX_SEEDS = 32
MAX_RULES = 4  # at most 1, 2, 3, 4 accepts in so many slots
MAX_RULE_BX = 4095


@dataclass(frozen=True)
class Seed:
    """Fires when the score of `model` >= threshold; one of `prescales[column]` firings passes.

    enabled: requests an accept when it passes. veto: forbids one when it passes. bx: first and last bunch crossing
    of the ranges it may fire in; empty: all of the orbit.
    """

    name: str
    model: str
    threshold: int
    prescales: tuple[float, ...] = (1.0,)
    enabled: bool = True
    veto: bool = False
    bx: tuple[tuple[int, int], ...] = ()

    @property
    def factors(self) -> tuple[int, ...]:
        """The prescales as hardware holds them: times 100."""
        return tuple(round(prescale * PRESCALE_UNIT) for prescale in self.prescales)


@dataclass(frozen=True)
class ModelRef:
    """A model of the menu: the order in the menu is that of the scores."""

    name: str
    network_hash: str


@dataclass(frozen=True)
class Rule:
    """At most `l1a` accepts in any `bx` consecutive slots."""

    l1a: int
    bx: int


@dataclass(frozen=True)
class Menu:
    """Seeds with integer thresholds, loosest first for each model; seed i is bit i."""

    models: tuple[ModelRef, ...]
    spec_hash: str
    seeds: tuple[Seed, ...]
    columns: tuple[str, ...] = ("nominal",)
    rules: tuple[Rule, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the document."""
        return sha256_of(self.to_dict())

    @cached_property
    def seed_models(self) -> tuple[int, ...]:
        """For each seed the index of its model."""
        names = [model.name for model in self.models]
        return tuple(names.index(seed.model) for seed in self.seeds)

    @cached_property
    def rule_windows(self) -> tuple[int, ...]:
        """For 1, 2, 3, 4 accepts the slots of their rule; 0 where there is none."""
        windows = {rule.l1a: rule.bx for rule in self.rules}
        return tuple(windows.get(l1a, 0) for l1a in range(1, MAX_RULES + 1))

    @cached_property
    def bx_mask(self) -> NDArray[np.bool_]:
        """Where each seed may fire, bool (bunch crossings of an orbit, seeds)."""
        mask = np.zeros((spec.latency().orbit_bx, len(self.seeds)), np.bool_)
        for i, seed in enumerate(self.seeds):
            for first, last in seed.bx or ((0, len(mask) - 1),):
                mask[first : last + 1, i] = True
        return mask

    @cached_property
    def _thresholds(self) -> NDArray[np.int32]:
        return np.array([seed.threshold for seed in self.seeds], np.int32)

    def fired(self, hw_score: NDArray[np.integer], bx: NDArray[np.integer] | None) -> NDArray[np.bool_]:
        """Which seeds fire, before prescale: bool (n, seeds), of hw_score (n,) of the only model or (n, models).

        bx: bunch crossing of each event, counted modulo the orbit; None where it is unknown: then ranges of bunch
        crossings do not apply.
        """
        scores = hw_score if hw_score.ndim == 2 else hw_score[:, None]
        scores = scores[:, list(self.seed_models)] if scores.shape[1] > 1 else scores
        fired: NDArray[np.bool_] = np.greater_equal(scores, self._thresholds)
        if bx is not None and any(seed.bx for seed in self.seeds):
            fired &= self.bx_mask[bx % len(self.bx_mask)]
        return fired

    def column(self, name: str) -> int:
        """Index of a prescale column. Raises `SpecError` for a name that is not one."""
        if name not in self.columns:
            raise SpecError("menu", "column", name, "one of " + ", ".join(self.columns))
        return self.columns.index(name)

    def to_dict(self) -> dict[str, Any]:
        """The document form; what is as usual is left out."""
        seeds: list[dict[str, Any]] = []
        for bit, s in enumerate(self.seeds):
            row: dict[str, Any] = {"bit": bit, "name": s.name, "model": s.model, "threshold": s.threshold}
            row["prescales"] = [float(prescale) for prescale in s.prescales]
            row |= {} if s.enabled else {"enabled": False}
            row |= {"veto": True} if s.veto else {}
            row |= {"bx": [list(pair) for pair in s.bx]} if s.bx else {}
            seeds.append(row)
        return {
            "version": 2,
            "spec_hash": self.spec_hash,
            "models": [{"name": m.name, "network_hash": m.network_hash} for m in self.models],
            "columns": list(self.columns),
            "seeds": seeds,
            "rules": [{"l1a": rule.l1a, "bx": rule.bx} for rule in self.rules],
        }


@dataclass(frozen=True)
class Decision:
    """Of n slots: seed bits before and after prescale, bool (n, seeds); request, bool (n,): seeds and vetoes ask for
    an accept; l1a, bool (n,): the accept, after rules and busy."""

    seeds_before: NDArray[np.bool_]
    seeds_after: NDArray[np.bool_]
    request: NDArray[np.bool_]
    l1a: NDArray[np.bool_]


class MenuState:
    """A menu at work, slot by slot from bunch crossing 0 of orbit 0: prescale counters and rules go on from call to
    call. schedule: lumi section (from 1) -> prescale column in force from its first slot."""

    def __init__(self, menu: Menu, column: int = 0, schedule: Mapping[int, int] | None = None) -> None:
        self.menu = menu
        latency = spec.latency()
        per_lumi = latency.orbit_bx << latency.lumi_orbits_log2
        self._switches = deque(sorted(((lumi - 1) * per_lumi, to) for lumi, to in (schedule or {}).items()))
        self._enabled = np.array([seed.enabled for seed in menu.seeds])
        self._veto = np.array([seed.veto for seed in menu.seeds])
        self._windows = [(i, window) for i, window in enumerate(menu.rule_windows) if window]
        self._accepts: deque[int] = deque(maxlen=MAX_RULES)  # slots of the last accepts, the latest first
        self._slot = 0
        self.switch(column)

    def switch(self, column: int) -> None:
        """Another prescale column from the next slot on; all counters restart."""
        self._factors = [seed.factors[column] for seed in self.menu.seeds]
        self._counters = [0] * len(self.menu.seeds)

    def decide(
        self,
        hw_score: NDArray[np.integer],
        bad: NDArray[np.bool_] | None = None,
        busy: NDArray[np.bool_] | None = None,
    ) -> Decision:
        """Decide the next slots, hw_score (n,) of the only model or (n, models).

        bad (n,): slots with a fault on the links, in which no seed fires. busy (n,): slots in which the readout
        takes no accept.
        """
        before = self.menu.fired(hw_score, self._slot + np.arange(len(hw_score)))
        if bad is not None:
            before &= ~bad[:, None]
        after = np.zeros_like(before)
        start = 0
        while self._switches and self._switches[0][0] < self._slot + len(before):
            at, column = self._switches.popleft()
            stop = max(at - self._slot, start)
            self._prescale(before[start:stop], after[start:stop])
            self.switch(column)
            start = stop
        self._prescale(before[start:], after[start:])
        request = (after & self._enabled).any(axis=1)
        if self._veto.any():
            request &= ~(after & self._veto).any(axis=1)
        l1a = request.copy() if busy is None else request & ~busy
        if self._windows:
            self._apply_rules(l1a)
        self._slot += len(before)
        return Decision(before, after, request, l1a)

    def _prescale(self, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
        for i, factor in enumerate(self._factors):
            if factor == 0:
                continue
            fired = np.flatnonzero(before[:, i])
            total = self._counters[i] + PRESCALE_UNIT * np.arange(1, len(fired) + 1, dtype=np.int64)
            passed = total // factor
            previous = (total - PRESCALE_UNIT) // factor
            after[fired[passed > previous], i] = True
            if len(fired):
                self._counters[i] = int(total[-1] % factor)

    def _apply_rules(self, l1a: NDArray[np.bool_]) -> None:
        """Take away the accepts that a rule forbids, in place."""
        accepts = self._accepts
        for row in np.flatnonzero(l1a).tolist():
            slot = self._slot + row
            if all(len(accepts) <= i or slot - accepts[i] >= window for i, window in self._windows):
                accepts.appendleft(slot)
            else:
                l1a[row] = False


def seed_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Seed bits bool (n, seeds) as one mask per event, seed 0 in bit 0."""
    weights = np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32)
    masks: NDArray[np.uint32] = (bits * weights).sum(axis=1, dtype=np.uint32)
    return masks


def combine(menus: Sequence[Menu]) -> Menu:
    """One menu of several models side by side: the seeds of the first, then those of the second, and so on.

    Raises `SpecError` when names of models or seeds collide, or when columns, rules or scales differ.
    """
    first = menus[0]
    for menu in menus[1:]:
        for name in ("spec_hash", "columns", "rules"):
            if getattr(menu, name) != getattr(first, name):
                raise SpecError("menu", f"{name} of {menu.models[0].name}", getattr(menu, name),
                                f"{getattr(first, name)}, as of {first.models[0].name}")  # fmt: skip
    models = tuple(model for menu in menus for model in menu.models)
    seeds = tuple(seed for menu in menus for seed in menu.seeds)
    for label, names in (("models", [m.name for m in models]), ("seeds", [s.name for s in seeds])):
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise SpecError("menu", label, f"'{twice}' twice", "names used once; write a menu for these models")
    if len(seeds) > MAX_SEEDS:
        raise SpecError("menu", "seeds", f"{len(seeds)} seeds", f"at most {MAX_SEEDS}")
    return Menu(models, first.spec_hash, seeds, first.columns, first.rules)


def write_menu(path: str | Path, menu: Menu) -> None:
    """Write the menu as YAML, whole or not at all."""
    write_yaml(path, menu.to_dict() | {"hash": menu.hash})


def read_menu(path: str | Path, networks: Sequence[Network]) -> Menu:
    """Read and validate a menu for `networks`; `HashMismatch` when it was made for others."""
    node = Node(read_yaml(path), path)
    node.keys({"version", "spec_hash", "models", "columns", "seeds", "rules"}, optional={"hash"})
    node["version"].integer(2, 2)
    models = []
    for child in node["models"]:
        child.keys({"name", "network_hash"})
        models.append(ModelRef(child["name"].text(), child["network_hash"].text()))
    if [model.name for model in models] != [network.name for network in networks]:
        raise node["models"].fault("the models " + ", ".join(network.name for network in networks))
    columns = tuple(child.text() for child in node["columns"])
    if not columns or len(set(columns)) != len(columns):
        raise node["columns"].fault("one or more names, each used once")
    by_name = {network.name: network for network in networks}
    menu = Menu(tuple(models), node["spec_hash"].text(), _seeds(node, columns, by_name), columns, _rules(node["rules"]))
    for i, (model, network) in enumerate(zip(models, networks, strict=True)):
        if model.network_hash != network.hash:
            raise HashMismatch(path, f"models[{i}].network_hash", model.network_hash,
                               f"{network.hash}, the network '{network.name}'")  # fmt: skip
        if menu.spec_hash != network.spec_hash:
            raise HashMismatch(path, "spec_hash", menu.spec_hash, f"{network.spec_hash}, that of the network")
    if "hash" in node and node["hash"].value != menu.hash:
        raise HashMismatch(path, "hash of the content", menu.hash, f"the recorded {node['hash'].value}")
    return menu


def _seeds(node: Node, columns: tuple[str, ...], networks: Mapping[str, Network]) -> tuple[Seed, ...]:
    last_bx = spec.latency().orbit_bx - 1
    seeds: list[Seed] = []
    for child in node["seeds"]:
        child.keys({"bit", "name", "model", "threshold", "prescales"}, optional={"enabled", "veto", "bx"})
        if child["bit"].integer(0, MAX_SEEDS - 1) != len(seeds):
            raise child["bit"].fault(f"{len(seeds)}: bits count up from 0 without gaps")
        prescales = tuple(_prescale(entry) for entry in child["prescales"])
        if len(prescales) != len(columns):
            raise child["prescales"].fault(f"one prescale for each column: {', '.join(columns)}")
        ranges: list[tuple[int, int]] = []
        for pair in list(child["bx"]) if "bx" in child else []:
            ends = [entry.integer(0, last_bx) for entry in pair]
            if len(ends) != 2 or ends[0] > ends[1]:
                raise pair.fault("[first, last] bunch crossing")
            ranges.append((ends[0], ends[1]))
        model = child["model"].choice(tuple(networks))
        seed = Seed(
            name=child["name"].text(),
            model=model,
            # one above the largest score switches a seed off, as trigger groups do
            threshold=child["threshold"].integer(0, networks[model].score_max + 1),
            prescales=prescales,
            enabled=child["enabled"].boolean() if "enabled" in child else True,
            veto=child["veto"].boolean() if "veto" in child else False,
            bx=tuple(ranges),
        )
        if any(seed.name == other.name for other in seeds):
            raise child["name"].fault("a name used once")
        before = [other.threshold for other in seeds if other.model == model]
        if before and seed.threshold < before[-1]:
            raise child["threshold"].fault(f"at least {before[-1]}, that of the seed before: loosest first")
        seeds.append(seed)
    if not seeds:
        raise SpecError(node.file, "seeds", "0 seeds", f"1 to {MAX_SEEDS} seeds")
    return tuple(seeds)


def _prescale(node: Node) -> float:
    prescale = node.number(0, (2**PRESCALE_BITS - 1) / PRESCALE_UNIT)
    if 0 < prescale < 1 or abs(prescale * PRESCALE_UNIT - round(prescale * PRESCALE_UNIT)) > 1e-6:
        raise node.fault("0, or 1 and above with at most two decimals")
    return prescale


def _rules(node: Node) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for child in node:
        child.keys({"l1a", "bx"})
        rule = Rule(child["l1a"].integer(1, MAX_RULES), child["bx"].integer(1, MAX_RULE_BX))
        if rules and (rule.l1a <= rules[-1].l1a or rule.bx <= rules[-1].bx):
            raise child.fault("more accepts in more bunch crossings than the rule before")
        rules.append(rule)
    return tuple(rules)
