"""Anomaly models: what they have in common, whatever they read.

A model learns with `fit`, gives each entry (a jet, an event) a number with `score` (larger = more anomalous) and lives
in a folder: a card in YAML (what it is, its settings, what it was trained on, how training went, what it cost), and
`weights.h5`, its numbers. What a fit gives follows from the data, the settings and the seed among them, and from
nothing else. The models of one kind of data are a `Family`: it knows their names, and reads their folders.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.files import read_yaml, sha256_of, writable_folder, write_yaml
from ad40.schema import Node

VERSION = 1
WEIGHTS = "weights.h5"

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Data = TypeVar("Data", bound=Sized)


@dataclass(frozen=True)
class Settings:
    """What every model has. Raises `InputError` on values out of range."""

    seed: int = field(default=40, metadata={"help": "of all random numbers", "least": 0})

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least, most = getattr(self, f.name), f.metadata.get("least"), f.metadata.get("most", np.inf)
            choices = f.metadata.get("choices")
            if choices is not None and value not in choices:
                raise InputError("settings", f.name, repr(value), "one of " + ", ".join(map(str, choices)))
            if least is None:
                continue
            whole = type(f.default) is int
            right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            above = right and (value > least if f.metadata.get("above") else value >= least)
            if not (right and above and value <= most and np.isfinite(value)):
                low = f"{'above' if f.metadata.get('above') else 'from'} {least:g}"
                high = f", at most {most:g}" if np.isfinite(most) else ""
                raise InputError("settings", f.name, value, f"a {'whole ' if whole else ''}number {low}{high}")


class Model(ABC, Generic[Data]):
    """An anomaly model of data with n entries. `kind`: its name in its family. `entry`: what it scores, a noun.

    history: one row of numbers for each epoch, or none. training: cost of the fit, and what `learnt` says of the data.
    """

    kind: ClassVar[str]
    settings_type: ClassVar[type[Settings]] = Settings
    about: ClassVar[str]
    entry: ClassVar[str]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.settings_type()
        if type(self.settings) is not self.settings_type:
            expected = self.settings_type.__name__
            raise InputError(self.kind, "settings", type(self.settings).__name__, expected)
        self.fitted = False
        self.history: list[dict[str, float]] = []
        self.training: dict[str, Any] = {}

    def fit(self, data: Data) -> None:
        """Learn. Raises `InputError` on data that the model cannot learn from."""
        if not len(data):
            raise InputError(self.kind, f"{self.entry}s", 0, f"{self.entry}s to learn from")
        start, processor = time.perf_counter(), time.process_time()
        self.history = []
        self._fit(data)
        self.fitted = True
        self.training = self.learnt(data) | {"seconds": round(time.perf_counter() - start, 3),
                                             "cpu_seconds": round(time.process_time() - processor, 3)}  # fmt: skip

    def score(self, data: Data) -> Floats:
        """The anomaly score of each entry, larger = more anomalous. float32 (n,), finite.

        Raises `InputError` before `fit` and on data without what the model reads.
        """
        if not self.fitted:
            raise InputError(self.kind, "model", "not fitted", "fit or load before score")
        if not len(data):
            return np.zeros(0, np.float32)
        score = np.asarray(self._score(data), np.float32)
        if not np.isfinite(score).all():
            row = int(np.flatnonzero(~np.isfinite(score))[0])
            raise InputError(self.kind, f"score of {self.entry} {row}", score[row], "a finite number")
        return score

    @abstractmethod
    def learnt(self, data: Data) -> dict[str, Any]:
        """What the card says of the data: how many, and their hash."""

    @abstractmethod
    def _fit(self, data: Data) -> None: ...

    @abstractmethod
    def _score(self, data: Data) -> NDArray[np.floating]: ...

    @abstractmethod
    def state(self) -> Arrays:
        """All numbers that `score` depends on, besides the settings."""

    @abstractmethod
    def restore(self, state: Arrays) -> None:
        """Take the numbers of `state`. Raises `KeyError` or `ValueError` when they are not of this model."""

    @property
    def parameters(self) -> int:
        """Numbers learnt."""
        return sum(int(np.size(array)) for array in self.state().values())

    @property
    def hash(self) -> str:
        """Of kind, settings and all numbers. 64 hex digits."""
        return sha256_of([self.kind, plain(asdict(self.settings)), state_hash(self.state())])

    def card(self) -> dict[str, Any]:
        """What a person wants to know of the model; `about_data` of `save` is added there."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "about": self.about,
            "hash": self.hash,
            "settings": plain(asdict(self.settings)),
            "parameters": self.parameters,
            "training": self.training,
            "history": self.history,
            "software": {"ad40": __version__, "numpy": version("numpy")} | self.software(),
        }

    def software(self) -> dict[str, str]:
        """Versions of the libraries that the result depends on."""
        return {}


@dataclass(frozen=True)
class Family:
    """The models of a kind of data. models: "module:class" by name; a module is imported when its model is asked for.
    document: name of the card in a folder. maker: the command that writes one."""

    models: Mapping[str, str]
    document: str
    maker: str

    def create(self, kind: str, **settings: Any) -> Any:
        """A new model by its name. Raises `InputError` on a name or a setting that does not exist."""
        chosen = self.model_class(kind)
        known = {f.name for f in fields(chosen.settings_type)}
        for name in settings:
            if name not in known:
                raise InputError(kind, "settings", name, "one of " + ", ".join(sorted(known)))
        return chosen(chosen.settings_type(**settings))

    def model_class(self, kind: str) -> Any:
        """The class of a model by its name."""
        if kind not in self.models:
            raise InputError("model", "kind", repr(kind), "one of " + ", ".join(self.models))
        module, name = self.models[kind].split(":")
        return getattr(import_module(module), name)

    def save(self, model: Model[Any], folder: str | Path, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write the folder of a fitted model; returns its card. data: what else to say about the training sample."""
        if not model.fitted:
            raise InputError(folder, "model", "not fitted", "a model that has learnt")
        folder = Path(folder)
        writable_folder(folder)
        card = model.card()
        card["training"] = card["training"] | dict(data or {})
        with hdf5.create(folder / WEIGHTS) as file:
            for name, array in model.state().items():
                file.create_dataset(name, data=array)
        write_yaml(folder / self.document, plain(card))
        return card

    def read_card(self, folder: str | Path) -> dict[str, Any]:
        """The card of a folder. Raises `InputError` when there is none, `SpecError` when it is malformed."""
        path = Path(folder) / self.document
        if not path.is_file():
            raise InputError(folder, self.document, "missing", f"a folder written by `{self.maker}`")
        node = Node(read_yaml(path), path)
        node.keys({"version", "kind", "about", "hash", "settings", "parameters", "training", "history", "software"})
        node["version"].integer(VERSION, VERSION)
        node["kind"].choice(tuple(self.models))
        if not isinstance(node["settings"].value, dict):
            raise node["settings"].fault("a mapping")
        return dict(node.value)

    def load(self, folder: str | Path) -> Any:
        """The model of a folder. Raises `HashMismatch` when its numbers or settings are not those of its card."""
        folder = Path(folder)
        card = self.read_card(folder)
        chosen = self.model_class(card["kind"])
        known = {f.name: f for f in fields(chosen.settings_type)}
        if set(card["settings"]) != set(known):
            expected = "the keys " + ", ".join(known)
            raise SpecError(folder / self.document, "settings", sorted(card["settings"]), expected)
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in card["settings"].items()}
        model = chosen(chosen.settings_type(**given))
        path = folder / WEIGHTS
        with hdf5.open_file(path) as file:
            state = {name: np.asarray(file[name]) for name in file}
        try:
            model.restore(state)
        except (KeyError, ValueError) as error:
            expected = f"those of {card['kind']}"
            raise InputError(path, "weights", f"of other names or shapes ({error})", expected) from error
        model.fitted, model.history, model.training = True, card["history"], card["training"]
        if model.hash != card["hash"]:
            expected = f"{card['hash'][:12]}, as the card says: damaged or changed"
            raise HashMismatch(path, "hash", model.hash[:12], expected)
        return model


def state_hash(state: Arrays) -> str:
    """SHA-256 of names, shapes and values."""
    digest = sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Numbers of numpy and tuples as YAML and JSON know them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def parse_settings(kind: Any, texts: Sequence[str], without: Sequence[str] = ()) -> dict[str, Any]:
    """NAME=VALUE as the type of the setting of a dataclass, those `without` left out. Raises `InputError` with what
    there is."""
    known = {f.name: f for f in fields(kind) if f.name not in without}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise InputError("command line", "--set", repr(text), "NAME=VALUE, NAME one of " + ", ".join(known))
        default = known[name].default
        try:
            if isinstance(default, tuple):
                of = type(default[0])
                found[name] = tuple(of(v) for v in value.split(",") if v or of is not str)
            else:
                found[name] = type(default)(value)
        except ValueError as error:
            raise InputError("command line", f"--set {name}", repr(value), f"a {type(default).__name__}") from error
    return found


def explain(kind: type[Settings]) -> dict[str, Any]:
    """Print the settings of a model; their defaults."""
    defaults = {f.name: f.default for f in fields(kind)}
    for f in fields(kind):
        value = ",".join(f.default) if isinstance(f.default, tuple) else f.default
        print(f"{f.name:<14} {f.metadata.get('help', '')} (default {value})")
    return defaults
