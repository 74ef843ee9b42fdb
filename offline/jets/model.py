"""Anomaly models on jets: what they have in common.

A model learns from jets with `fit`, gives each jet a number with `score` (larger = more anomalous) and lives in a
folder: `jetmodel.yaml`, its card (what it is, its settings, what it was trained on, how training went, what it cost),
and `weights.h5`, its numbers. What a fit gives follows from the jets, the settings and the seed among them, and from
nothing else. Models never look at labels, except the supervised one, which is no search but their upper bound.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ad40 import __version__, hdf5
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.files import read_yaml, sha256_of, writable_folder, write_yaml
from ad40.schema import Node
from offline.jets.jets import Jets

VERSION = 1
DOCUMENT = "jetmodel.yaml"
WEIGHTS = "weights.h5"

MODELS = {
    "mass": "offline.jets.cuts:Mass",
    "tau21": "offline.jets.cuts:Tau21",
    "forest": "offline.jets.forest:IsolationForest",
    "dense": "offline.jets.dense:DenseAutoencoder",
    "vrnn": "offline.jets.vrnn:VRNN",
    "egat": "offline.jets.svdd:EgatSVDD",
    "transformer": "offline.jets.transformer:TransformerAutoencoder",
    "supervised": "offline.jets.supervised:Supervised",
}
"""Every model by name. A module is imported when its model is asked for."""

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


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


class JetModel(ABC):
    """An anomaly model. `kind`: its name in `MODELS`. `needs`: "constituents", "features" or "labels".

    history: one row of numbers for each epoch, or none. cost: seconds of the fit, and jets.
    """

    kind: ClassVar[str]
    settings_type: ClassVar[type[Settings]] = Settings
    about: ClassVar[str]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.settings_type()
        if type(self.settings) is not self.settings_type:
            expected = self.settings_type.__name__
            raise InputError(self.kind, "settings", type(self.settings).__name__, expected)
        self.fitted = False
        self.history: list[dict[str, float]] = []
        self.training: dict[str, Any] = {}

    def fit(self, jets: Jets) -> None:
        """Learn from jets. Raises `InputError` on jets that the model cannot learn from."""
        if not len(jets):
            raise InputError(self.kind, "jets", 0, "jets to learn from")
        start, processor = time.perf_counter(), time.process_time()
        self.history = []
        self._fit(jets)
        self.fitted = True
        self.training = {"jets": len(jets), "events": len(np.unique(jets.event)), "jets_sha256": content_hash(jets),
                         "seconds": round(time.perf_counter() - start, 3),
                         "cpu_seconds": round(time.process_time() - processor, 3)}  # fmt: skip

    def score(self, jets: Jets) -> Floats:
        """The anomaly score of each jet, larger = more anomalous. float32 (n,), finite.

        Raises `InputError` before `fit` and on jets without what the model reads.
        """
        if not self.fitted:
            raise InputError(self.kind, "model", "not fitted", "fit or load before score")
        if not len(jets):
            return np.zeros(0, np.float32)
        score = np.asarray(self._score(jets), np.float32)
        if not np.isfinite(score).all():
            row = int(np.flatnonzero(~np.isfinite(score))[0])
            raise InputError(self.kind, f"score of jet {row}", score[row], "a finite number")
        return score

    @abstractmethod
    def _fit(self, jets: Jets) -> None: ...

    @abstractmethod
    def _score(self, jets: Jets) -> NDArray[np.floating]: ...

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
        return sha256_of([self.kind, _plain(asdict(self.settings)), state_hash(self.state())])

    def card(self) -> dict[str, Any]:
        """What a person wants to know of the model; `about_data` of `save` is added there."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "about": self.about,
            "hash": self.hash,
            "settings": _plain(asdict(self.settings)),
            "parameters": self.parameters,
            "training": self.training,
            "history": self.history,
            "software": {"ad40": __version__, "numpy": version("numpy")} | self.software(),
        }

    def software(self) -> dict[str, str]:
        """Versions of the libraries that the result depends on."""
        return {}


def create(kind: str, **settings: Any) -> JetModel:
    """A new model by its name. Raises `InputError` on a name or a setting that does not exist."""
    chosen = model_class(kind)
    known = {f.name for f in fields(chosen.settings_type)}
    for name in settings:
        if name not in known:
            raise InputError(kind, "settings", name, "one of " + ", ".join(sorted(known)))
    return chosen(chosen.settings_type(**settings))


def model_class(kind: str) -> type[JetModel]:
    """The class of a model by its name."""
    if kind not in MODELS:
        raise InputError("model", "kind", repr(kind), "one of " + ", ".join(MODELS))
    module, name = MODELS[kind].split(":")
    found: type[JetModel] = getattr(import_module(module), name)
    return found


def save(model: JetModel, folder: str | Path, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
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
    write_yaml(folder / DOCUMENT, _plain(card))
    return card


def read_card(folder: str | Path) -> dict[str, Any]:
    """The card of a folder. Raises `InputError` when there is none, `SpecError` when it is malformed."""
    path = Path(folder) / DOCUMENT
    if not path.is_file():
        raise InputError(folder, DOCUMENT, "missing", "a folder written by `ad40 jets train`")
    node = Node(read_yaml(path), path)
    node.keys({"version", "kind", "about", "hash", "settings", "parameters", "training", "history", "software"})
    node["version"].integer(VERSION, VERSION)
    node["kind"].choice(tuple(MODELS))
    if not isinstance(node["settings"].value, dict):
        raise node["settings"].fault("a mapping")
    return dict(node.value)


def load(folder: str | Path) -> JetModel:
    """The model of a folder. Raises `HashMismatch` when its numbers or settings are not those of its card."""
    folder = Path(folder)
    card = read_card(folder)
    chosen = model_class(card["kind"])
    known = {f.name: f for f in fields(chosen.settings_type)}
    if set(card["settings"]) != set(known):
        raise SpecError(folder / DOCUMENT, "settings", sorted(card["settings"]), "the keys " + ", ".join(known))
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in card["settings"].items()}
    model = chosen(chosen.settings_type(**given))
    path = folder / WEIGHTS
    with hdf5.open_file(path) as file:
        state = {name: np.asarray(file[name]) for name in file}
    try:
        model.restore(state)
    except (KeyError, ValueError) as error:
        raise InputError(path, "weights", f"of other names or shapes ({error})", f"those of {card['kind']}") from error
    model.fitted, model.history, model.training = True, card["history"], card["training"]
    if model.hash != card["hash"]:
        raise HashMismatch(path, "hash", model.hash[:12], f"{card['hash'][:12]}, as the card says: damaged or changed")
    return model


def state_hash(state: Arrays) -> str:
    """SHA-256 of names, shapes and values."""
    digest = sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def content_hash(jets: Jets) -> str:
    """SHA-256 of everything that a model may read of jets."""
    digest = sha256()
    for array in (jets.offsets, jets.constituents, jets.jet, jets.event, jets.label):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def split(jets: Jets, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and for validation, `share` of the events; both jets of an event are on one side.

    Raises `InputError` when one side would be empty.
    """
    events, of = np.unique(jets.event, return_inverse=True)
    order = np.random.default_rng([seed, 1]).permutation(len(events))
    held = np.zeros(len(events), bool)
    held[order[: max(round(share * len(events)), 1)]] = True
    if held.all():
        raise InputError("jets", "events", len(events), "at least 2: some to learn from, some to know when to stop")
    return np.flatnonzero(~held[of]), np.flatnonzero(held[of])


def with_constituents(jets: Jets, least: int = 1) -> Jets:
    """The same jets when each has constituents; a model that reads them cannot do without. Raises `InputError`."""
    few = jets.counts < least
    if few.any():
        row = int(np.flatnonzero(few)[0])
        raise InputError("jets", f"constituents of jet {row}", int(jets.counts[row]), f"at least {least}")
    return jets


def _plain(value: Any) -> Any:
    """Numbers of numpy and tuples as YAML and JSON know them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
