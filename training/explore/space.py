"""What `ad40 explore` may change: a YAML that names places of a model card and the values that each may have.

A parameter either sets one or several places to the same value, or its choices name values for places that belong
together:

    keys:
      hidden units: {set: layers[decoder].units, choices: [8, 16, 24]}
      inputs:
        choices:
          pt: {input.connected: [egamma.pt, muon.pt, jet.pt]}
          pt and MET: {input.connected: [met.pt, egamma.pt, muon.pt, jet.pt]}

A place is written as errors name it, `layers[0].units`; in a list of things with names also `layers[decoder].units`.
A value of `null` leaves the key out. Numbers in ascending order are a scale, anything else is a set of words. Two
places are not of the card but of its firmware: `firmware.clock`, a configuration of latency.yaml (null: its default),
and `firmware.cut`, which of the compiler's pipelines counts: `smallest` (fewest LUTs; the default) or `fastest`.

Trial 0 is the base card: what it has becomes a choice where it is none. Every choice alone must give a valid card. A
place below one that another parameter sets (layers[decoder].units below layers) is left out where it does not exist.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ad40 import spec
from ad40.errors import Ad40Error, InputError, SpecError
from ad40.files import read_yaml, sha256_of
from ad40.schema import Node
from models.card import parse_card
from training.teach.selection import FAMILIES, MEAN

ROOT = Path(__file__).resolve().parents[2]  # of the checkout: where the base cards of a space stand
_PART = re.compile(r"([^.\[\]]+)|\[([^\[\]]+)\]")
_PLACE = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[[^\[\]]+\])*")
MAX_GENERATION = 1000
BASE = "base"  # label of what the base card has, where that is none of the choices
SMALLEST, FASTEST = "smallest", "fastest"
FIRMWARE: dict[str, Any] = {"clock": None, "cut": SMALLEST}  # the base of every card


@dataclass(frozen=True)
class Parameter:
    """One thing that varies. choices: for each label what it sets, value by place; numbers: whether the labels are a
    scale, so that neighbours resemble each other."""

    name: str
    labels: tuple[Any, ...]
    choices: tuple[dict[str, Any], ...]
    numbers: bool

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place for choice in self.choices for place in choice))


@dataclass(frozen=True)
class Space:
    """A base card and its parameters. generation: trials that are drawn together, from the results of the earlier ones.

    figure: what selects, families or corruptions (`training.teach.selection`). base, document: the YAML documents of
    card and space, as they were read.
    """

    base: dict[str, Any]
    figure: str
    generation: int
    parameters: tuple[Parameter, ...]
    document: dict[str, Any]

    @property
    def hash(self) -> str:
        return sha256_of([self.document, self.base])

    @property
    def size(self) -> int:
        """How many different cards there are."""
        total = 1
        for parameter in self.parameters:
            total *= len(parameter.labels)
        return total

    def labels(self, numbers: Mapping[str, int]) -> dict[str, Any]:
        """Labels of the choices, by parameter; numbers: which choice of each."""
        return {p.name: p.labels[numbers[p.name]] for p in self.parameters}

    def card(self, numbers: Mapping[str, int], trial: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The card document of a trial, the base card with the numbered choices under a name of its own, and how its
        cost is taken: `clock` and `cut`."""
        document = {**copy.deepcopy(self.base), "firmware": dict(FIRMWARE)}
        settings = [item for p in self.parameters for item in p.choices[numbers[p.name]].items()]
        settings.sort(key=lambda item: len(_PART.findall(item[0])))  # the whole before its parts
        for place, value in settings:
            with contextlib.suppress(KeyError):  # the choice of another parameter took that part away
                put(document, place, value)
        changed = ", ".join(f"{name} {label}" for name, label in self.labels(numbers).items())
        document["name"] = f"{self.base['name']}_t{trial}"
        document["description"] = f"Trial {trial} of `ad40 explore` around {self.base['name']}: {changed}."
        firmware = document.pop("firmware")
        return document, FIRMWARE | firmware

    def base_value(self, place: str) -> Any:
        """What the base card has at a place; None for no key. Raises KeyError for a place that it cannot have."""
        return get({**self.base, "firmware": FIRMWARE}, place)

    def base_numbers(self) -> dict[str, int]:
        """The choice of each parameter that leaves the base card as it is."""
        found = {}
        for parameter in self.parameters:
            for number, choice in enumerate(parameter.choices):
                if all(_same(self.base_value(place), value) for place, value in choice.items()):
                    found[parameter.name] = number
                    break
        return found


def _walk(document: Any, place: str) -> tuple[Any, str | int]:
    """What holds a place, and the key or index of the place in it. Raises KeyError where a part is missing."""
    parts = [match.group(1) or match.group(2) for match in _PART.finditer(place)]
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        key: str | int = part
        if isinstance(document, list):
            names = [item.get("name") if isinstance(item, dict) else None for item in document]
            key = names.index(part) if part in names else int(part) if part.isdigit() and int(part) < len(names) else -1
            if key == -1:
                raise KeyError(part)
        elif not isinstance(document, dict) or (not last and key not in document):
            raise KeyError(part)
        if last:
            return document, key
        document = document[key]
    raise KeyError(place)


def get(document: Any, place: str) -> Any:
    """The value at a place; None where the key is not there. Raises KeyError where it could not be."""
    holder, key = _walk(document, place)
    return holder[key] if isinstance(holder, list) else holder.get(key)


def put(document: Any, place: str, value: Any) -> None:
    """Set a place of a document to a copy of a value; None removes the key."""
    holder, key = _walk(document, place)
    if value is None and isinstance(holder, dict):
        holder.pop(key, None)
    else:
        holder[key] = copy.deepcopy(value)


def _same(found: Any, value: Any) -> bool:
    return found == value and isinstance(found, bool) == isinstance(value, bool)


def _places(node: Node) -> list[str]:
    places = [node.text()] if isinstance(node.value, str) else [item.text() for item in node]
    if not places or not all(_PLACE.fullmatch(place) for place in places):
        raise node.fault("a place in the card such as layers[decoder].units, or a list of places")
    return places


def _parameter(name: str, node: Node) -> Parameter:
    node.keys({"choices"}, optional={"set"})
    choices = node["choices"]
    if "set" in node:
        places = _places(node["set"])
        if isinstance(choices.value, list):
            labels = list(choices.value)
            values = list(choices.value)
            if not all(value is None or isinstance(value, bool | int | float | str) for value in labels):
                raise choices.fault("numbers and words; lists and mappings need a label: {label: value}")
        else:
            labels = [label for label, _ in choices.items()]
            values = [value.value for _, value in choices.items()]
        settings = [dict.fromkeys(places, value) for value in values]
    else:
        labels, settings = [], []
        for label, choice in choices.items():
            labels.append(label)
            settings.append({place: value.value for place, value in choice.items()})
            if not settings[-1] or not all(_PLACE.fullmatch(place) for place in settings[-1]):
                raise choice.fault("values by place in the card, such as {input.format.fraction: 5}")
    if len(labels) < 2 or any(_same(a, b) for i, a in enumerate(labels) for b in labels[:i]):
        raise choices.fault("at least two choices, all different")
    numbers = all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)
    return Parameter(name, tuple(labels), tuple(settings), numbers and labels == sorted(labels))


def _with_base(parameter: Parameter, space: Space) -> Parameter:
    """A parameter with what the base card has as one more choice, numbers in their order."""
    own = {place: space.base_value(place) for place in parameter.places}
    value = next(iter(own.values()))
    single = all(_same(other, value) for other in own.values()) and isinstance(value, bool | int | float | str)
    label = value if single and not any(_same(value, known) for known in parameter.labels) else BASE
    choices = [*zip(parameter.labels, parameter.choices, strict=True), (label, own)]
    numbers = parameter.numbers and isinstance(label, int | float)
    if numbers:
        choices.sort(key=lambda choice: choice[0])
    labels, settings = zip(*choices, strict=True)
    return Parameter(parameter.name, labels, settings, numbers)


def _check_firmware(node: Node, place: str, value: Any) -> None:
    if place == "firmware.clock":
        spec.latency(value)
    elif place != "firmware.cut" or value not in (SMALLEST, FASTEST):
        raise SpecError(node.file, f"{node.path}: {place}", value,
                        f"firmware.clock, or firmware.cut with {SMALLEST} or {FASTEST}")  # fmt: skip


def parse_space(document: Any, file: str | Path, base: Any, base_file: str | Path) -> Space:
    """Check a space against its base card; every choice alone must change the card at places that exist there.

    Raises `SpecError` with the place of the fault: of the space, or of the base card.
    """
    parse_card(base, base_file)
    node = Node(document, file)
    node.keys({"base", "figure", "generation", "keys"})
    parameters = tuple(_parameter(name, child) for name, child in node["keys"].items())
    if not parameters:
        raise node["keys"].fault("at least one parameter")
    space = Space(
        base,
        node["figure"].choice((FAMILIES, MEAN)),
        node["generation"].integer(1, MAX_GENERATION),
        parameters,
        document,
    )
    taken: dict[str, str] = {}
    for parameter in parameters:
        child = node["keys"][parameter.name]
        for place in parameter.places:
            if place in ("name", "version", "description"):
                raise SpecError(file, child.path, place, "a place that changes the network, its training or its cost")
            if taken.setdefault(place, parameter.name) != parameter.name:
                raise SpecError(file, child.path, f"{place}, as {taken[place]}", "a place in one parameter only")
            try:
                space.base_value(place)
            except KeyError as error:
                raise SpecError(file, f"{child.path}: {place}", f"without {error.args[0]} in the base card",
                                f"a place of {base_file}") from error  # fmt: skip
    missing = set(node["keys"].value) - set(space.base_numbers())
    space = replace(space, parameters=tuple(_with_base(p, space) if p.name in missing else p for p in parameters))
    for parameter in space.parameters:
        child = node["keys"][parameter.name]
        for number, choice in enumerate(parameter.choices):
            for place, value in choice.items():
                if place.startswith("firmware."):
                    _check_firmware(child, place, value)
            why = refusal(space.card(space.base_numbers() | {parameter.name: number}, 0)[0], "the card")
            if why:
                raise SpecError(file, f"{child.path}.choices", parameter.labels[number], f"a valid card: {why}")
    return space


def read_space(path: str | Path) -> Space:
    """Read a space; its `base` is a card, relative to the YAML or to the checkout."""
    document = read_yaml(path)
    node = Node(document, path)
    if not isinstance(document, dict) or "base" not in node:
        raise InputError(path, "base", "missing", "the path of a model card")
    name = node["base"].text()
    for file in (Path(path).parent / name, ROOT / name):
        if file.is_file():
            return parse_space(document, path, read_yaml(file), file)
    raise node["base"].fault("a model card, relative to this file or to the checkout")


def refusal(document: dict[str, Any], file: str | Path) -> str:
    """Why a card is not valid, in a sentence; empty if it is."""
    try:
        parse_card(document, file)
    except Ad40Error as error:
        return str(error)
    return ""
