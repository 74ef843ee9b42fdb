"""The single sources of truth, read into frozen dataclasses: objects.yaml, latency.yaml, links.yaml, menu.yaml.

Each loader takes another path for studies; without one it reads the file that ships in this folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ad40.errors import SpecError
from ad40.files import read_yaml, sha256_of
from ad40.schema import Node
from ad40.spec.hardware import Lane, LatencySpec, LinksSpec, latency_spec, links_spec

FOLDER = Path(__file__).parent
FEATURES = ("pt", "eta", "phi")
__all__ = [
    "FEATURES", "FOLDER", "EtaScale", "LadderSeed", "LadderSpec", "Lane", "LatencySpec", "LinksSpec", "ObjectType",
    "ObjectsSpec", "PhiScale", "PtScale", "event_words", "ladder", "latency", "links", "objects", "word_fields",
]  # fmt: skip


@dataclass(frozen=True)
class PtScale:
    """pt code = round(pt / lsb) + offset; lsb in GeV; code 0 = absent."""

    lsb: float
    bits: int
    low: int
    offset: int

    @property
    def max_code(self) -> int:
        return (1 << self.bits) - 1

    @property
    def max_value(self) -> float:
        """Largest pt that does not saturate, GeV."""
        return (self.max_code - self.offset) * self.lsb


@dataclass(frozen=True)
class EtaScale:
    """eta code = round(eta / lsb), two's complement."""

    lsb: float
    bits: int
    low: int

    @property
    def max_code(self) -> int:
        return (1 << (self.bits - 1)) - 1


@dataclass(frozen=True)
class PhiScale:
    """phi code = round(phi * steps / 2 pi) modulo steps; radians."""

    steps: int
    bits: int
    low: int

    @property
    def lsb(self) -> float:
        return 2 * math.pi / self.steps


@dataclass(frozen=True)
class ObjectType:
    """One kind of object: its slots among the 19, its word and its scales. eta is None for MET."""

    name: str
    count: int
    first_slot: int
    word_bits: int
    pt: PtScale
    eta: EtaScale | None
    phi: PhiScale

    @property
    def slots(self) -> slice:
        return slice(self.first_slot, self.first_slot + self.count)


@dataclass(frozen=True)
class ObjectsSpec:
    """spec/objects.yaml."""

    types: tuple[ObjectType, ...]
    hash: str

    @cached_property
    def slots(self) -> tuple[ObjectType, ...]:
        """The type of each slot."""
        return tuple(kind for kind in self.types for _ in range(kind.count))

    @cached_property
    def slot_names(self) -> tuple[str, ...]:
        """Names such as `met`, `jet[2]`."""
        return tuple(
            kind.name if kind.count == 1 else f"{kind.name}[{i}]" for kind in self.types for i in range(kind.count)
        )

    def __getitem__(self, name: str) -> ObjectType:
        return next(kind for kind in self.types if kind.name == name)


@dataclass(frozen=True)
class LadderSeed:
    """What a seed is meant to keep: the share of the lepton-filtered background, and its prescale in each column."""

    name: str
    background_efficiency: float
    prescales: tuple[float, ...]


@dataclass(frozen=True)
class LadderSpec:
    """spec/menu.yaml. luminosity in cm^-2 s^-1; columns: names of the prescale columns."""

    luminosity_cm2s: float
    columns: tuple[str, ...]
    seeds: tuple[LadderSeed, ...]
    hash: str


def _read(path: str | Path, required: set[str]) -> Node:
    node = Node(read_yaml(path), path)
    node.keys(required | {"version"})
    node["version"].integer(1, 1)
    return node


def word_fields(kind: ObjectType) -> list[tuple[str, int, int]]:
    """(name, low bit, bits) of each field of a word."""
    eta = [("eta", kind.eta.low, kind.eta.bits)] if kind.eta else []
    return [("pt", kind.pt.low, kind.pt.bits), *eta, ("phi", kind.phi.low, kind.phi.bits)]


def _object_type(node: Node, first_slot: int) -> ObjectType:
    node.keys({"name", "count", "word_bits", "pt", "phi"}, optional={"eta"})
    pt, phi = node["pt"], node["phi"]
    pt.keys({"lsb", "bits", "low", "offset"})
    phi.keys({"steps", "bits", "low"})
    eta = None
    if "eta" in node:
        node["eta"].keys({"lsb", "bits", "low"})
        eta = EtaScale(
            node["eta"]["lsb"].number(1e-6, 1.0),
            node["eta"]["bits"].integer(2, 16),
            node["eta"]["low"].integer(0, 62),
        )
    bits = phi["bits"].integer(1, 16)
    kind = ObjectType(
        name=node["name"].text(),
        count=node["count"].integer(1, 64),
        first_slot=first_slot,
        word_bits=node["word_bits"].integer(32, 64),
        pt=PtScale(
            pt["lsb"].number(1e-6, 1e3),
            pt["bits"].integer(2, 16),
            pt["low"].integer(0, 62),
            pt["offset"].integer(0, 1),
        ),
        eta=eta,
        phi=PhiScale(phi["steps"].integer(2, 1 << bits), bits, phi["low"].integer(0, 62)),
    )
    if kind.word_bits not in (32, 64):
        raise node["word_bits"].fault("32 or 64")
    used = 0
    for name, low, width in word_fields(kind):
        field = ((1 << width) - 1) << low
        if used & field:
            raise node[name]["low"].fault("bits that no other field of the word uses")
        if low + width > kind.word_bits:
            raise node[name]["low"].fault(f"a field inside the {kind.word_bits}-bit word")
        used |= field
    return kind


@lru_cache
def objects(path: str | Path = FOLDER / "objects.yaml") -> ObjectsSpec:
    """Read and validate the object scales."""
    node = _read(path, {"types"})
    types: list[ObjectType] = []
    for child in node["types"]:
        kind = _object_type(child, sum(t.count for t in types))
        if any(kind.name == t.name for t in types):
            raise child["name"].fault("a name used once")
        types.append(kind)
    if sum(t.count for t in types) != 19:
        raise SpecError(path, "types", f"{sum(t.count for t in types)} slots", "19 slots in all")
    return ObjectsSpec(tuple(types), sha256_of(node.value))


@lru_cache
def latency(name: str | None = None, path: str | Path = FOLDER / "latency.yaml") -> LatencySpec:
    """Read and validate one configuration of clock, budget, stages and depths; without a name the default one."""
    return latency_spec(Node(read_yaml(path), path), name)


@lru_cache
def links(path: str | Path = FOLDER / "links.yaml") -> LinksSpec:
    """Read and validate what the words on the links carry."""
    return links_spec(Node(read_yaml(path), path), event_words())


def event_words() -> tuple[str, ...]:
    """Names of the 32-bit words of an event: object 0 first, the lower half of a 64-bit word before the upper."""
    names: list[str] = []
    for name, kind in zip(objects().slot_names, objects().slots, strict=True):
        names += [name] if kind.word_bits == 32 else [f"{name}.low", f"{name}.high"]
    return tuple(names)


@lru_cache
def ladder(path: str | Path = FOLDER / "menu.yaml") -> LadderSpec:
    """Read and validate the ladder of seeds, loosest first."""
    node = _read(path, {"luminosity_cm2s", "columns", "seeds"})
    columns = tuple(child.text() for child in node["columns"])
    if not columns or len(set(columns)) != len(columns):
        raise node["columns"].fault("one or more names, each used once")
    seeds: list[LadderSeed] = []
    for child in node["seeds"]:
        child.keys({"name", "background_efficiency", "prescales"})
        seed = LadderSeed(
            child["name"].text(),
            child["background_efficiency"].number(1e-9, 1.0),
            tuple(entry.number(0.0, 42949672.0) for entry in child["prescales"]),
        )
        if any(seed.name == other.name for other in seeds):
            raise child["name"].fault("a name used once")
        if len(seed.prescales) != len(columns):
            raise child["prescales"].fault(f"one prescale for each of the {len(columns)} columns")
        if seeds and seed.background_efficiency >= seeds[-1].background_efficiency:
            raise child["background_efficiency"].fault("less than that of the seed before: loosest first")
        seeds.append(seed)
    if not 1 <= len(seeds) <= 32:
        raise SpecError(path, "seeds", f"{len(seeds)} seeds", "1 to 32 seeds")
    return LadderSpec(node["luminosity_cm2s"].number(1e28, 1e36), columns, tuple(seeds), sha256_of(node.value))
