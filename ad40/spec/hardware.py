"""latency.yaml and links.yaml: clocks, budgets, depths, and what each word on the links carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ad40.errors import SpecError
from ad40.files import sha256_of
from ad40.schema import Node

UNUSED = "-"


@dataclass(frozen=True)
class LatencySpec:
    """One configuration of spec/latency.yaml. Times in ns, stages in clocks.

    orbit_hz: revolutions per second; readout: latency_bx, ring and derandomiser in bunch crossings and events;
    resources: lut, dsp, bram at most.
    """

    name: str
    part: str
    clock_mhz: float
    clocks_per_bx: int
    budget_ns: float
    orbit_bx: int
    orbit_hz: float
    lumi_orbits_log2: int
    stages: dict[str, int]
    readout: dict[str, int]
    resources: dict[str, int]
    hash: str

    @property
    def cycle_ns(self) -> float:
        return 1000.0 / self.clock_mhz

    @property
    def budget_cycles(self) -> int:
        """Whole clocks that fit into the budget."""
        return int(self.budget_ns * self.clock_mhz / 1000.0 + 1e-9)

    @property
    def merged(self) -> bool:
        """No register stands between the input stage and the network."""
        return self.stages["normalise"] == 0

    @property
    def network_stages_max(self) -> int:
        """Clocks that the hand-written blocks leave for the network and the score."""
        return self.budget_cycles - sum(self.stages.values())

    def within(self, budget_ns: float) -> LatencySpec:
        """The same configuration with a smaller budget. Raises `SpecError` for a larger one, or one without a clock for
        the network."""
        if budget_ns == self.budget_ns:
            return self
        least = (sum(self.stages.values()) + 1) * self.cycle_ns
        if not least * (1 - 1e-9) <= budget_ns < self.budget_ns:
            expected = f"{least:.2f} to {self.budget_ns:g} ns in the configuration {self.name}"
            raise SpecError("command line", "budget", f"{budget_ns:g} ns", expected)
        return replace(self, budget_ns=budget_ns, hash=sha256_of([self.hash, budget_ns]))


@dataclass(frozen=True)
class Lane:
    """One link: what each payload word of a frame carries, `muon[0].low`, `jet[3]` or `-`."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class LinksSpec:
    """spec/links.yaml. positions: (lane, payload word) of each 32-bit word of an event, object 0 first, the lower
    half of a 64-bit word before the upper."""

    lanes: tuple[Lane, ...]
    positions: tuple[tuple[int, int], ...]
    hash: str

    @property
    def payload_words(self) -> int:
        """Words of each lane and bunch crossing that carry objects."""
        return len(self.lanes[0].words)


def latency_spec(document: Node, name: str | None) -> LatencySpec:
    """The configuration `name`, or the default one, of a latency document."""
    orbit = {"orbit_bx", "orbit_hz", "lumi_orbits_log2"}
    document.keys({"version", "default", "configurations", *orbit, "readout", "resources"})
    document["version"].integer(2, 2)
    names = tuple(key for key, _ in document["configurations"].items())
    if name is None:
        name = document["default"].choice(names)
    elif name not in names:
        raise SpecError("command line", "latency configuration", name, f"one of {', '.join(names)} ({document.file})")
    node = document["configurations"][name]
    node.keys({"part", "clock_mhz", "clocks_per_bx", "budget_ns", "stages"})
    node["stages"].keys({"normalise", "decision"})
    readout, resources = document["readout"], document["resources"]
    readout.keys({"latency_bx", "ring", "derandomiser"})
    resources.keys({"lut", "dsp", "bram"})
    spec = LatencySpec(
        name=name,
        part=node["part"].text(),
        clock_mhz=node["clock_mhz"].number(200, 400),
        clocks_per_bx=node["clocks_per_bx"].integer(1, 64),
        budget_ns=node["budget_ns"].number(1, 12500),
        orbit_bx=document["orbit_bx"].integer(1, 3564),
        orbit_hz=document["orbit_hz"].number(1, 1e6),
        lumi_orbits_log2=document["lumi_orbits_log2"].integer(0, 31),
        stages={key: child.integer(2 if key == "decision" else 0, 8) for key, child in node["stages"].items()},
        readout={key: child.integer(1, 4096) for key, child in readout.items()},
        resources={key: child.integer(0, 10_000_000) for key, child in resources.items()},
        hash=sha256_of([document.value["orbit_bx"], document.value["lumi_orbits_log2"], readout.value, node.value]),
    )
    if abs(spec.clock_mhz / spec.clocks_per_bx - 40.0) > 0.5:
        raise node["clocks_per_bx"].fault(f"clock_mhz / 40 = {spec.clock_mhz / 40:g}: bunches cross at 40 MHz")
    if spec.network_stages_max < 1:
        raise node["budget_ns"].fault(
            f"more than the {sum(spec.stages.values())} clocks of the stages, {spec.cycle_ns:.2f} ns each"
        )
    ring = spec.readout["ring"]
    if ring & (ring - 1) or ring <= spec.readout["latency_bx"]:
        raise readout["ring"].fault(f"a power of two above latency_bx = {spec.readout['latency_bx']}")
    derandomiser = spec.readout["derandomiser"]
    if derandomiser & (derandomiser - 1) or derandomiser < 2:
        raise readout["derandomiser"].fault("a power of two, at least 2")
    return spec


def links_spec(document: Node, event_words: Sequence[str]) -> LinksSpec:
    """The lanes of a links document, which must carry each of `event_words` (names of 32-bit words) once."""
    document.keys({"version", "lanes"})
    document["version"].integer(1, 1)
    lanes: list[Lane] = []
    where: dict[str, tuple[int, int]] = {}
    for number, child in enumerate(document["lanes"]):
        child.keys({"name", "words"})
        words = tuple(word.text() for word in child["words"])
        if any(lane.name == child["name"].text() for lane in lanes):
            raise child["name"].fault("a name used once")
        if not words or (lanes and len(words) != len(lanes[0].words)):
            raise child["words"].fault("as many words as the other lanes")
        for index, word in enumerate(words):
            if word == UNUSED:
                continue
            if word not in event_words:
                raise child["words"][index].fault(f"'{UNUSED}' or one of {', '.join(event_words)}")
            if word in where:
                raise child["words"][index].fault("a word that no other place carries")
            where[word] = (number, index)
        lanes.append(Lane(child["name"].text(), words))
    missing = [word for word in event_words if word not in where]
    if missing:
        raise SpecError(document.file, "lanes", f"without {missing[0]}", "a place for every word of an event")
    return LinksSpec(tuple(lanes), tuple(where[word] for word in event_words), sha256_of(document.value))
