"""Golden vectors: events and everything the emulator makes of them, kept in `golden.npz` of a model folder.

The events are consecutive bunch crossings from BX 0 of orbit 0, so that prescales, masks and rules count too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.differences import Column, Differences, seed_fields
from ad40.emulator import Emulator
from ad40.errors import HashMismatch, InputError
from ad40.files import atomic_path, sha256_of
from ad40.menu import MenuState, seed_bits
from ad40.model import Model

FILE = "golden.npz"
CODES = "codes"  # int16 (n, 19, 3)
# dtype and dimensions of each answer; inputs and outputs are as wide as those of the network
ANSWERS: dict[str, tuple[type[np.generic], int]] = {
    "inputs": (np.int64, 2),
    "outputs": (np.int64, 2),
    "hw_score": (np.int32, 1),
    "seeds_before": (np.uint32, 1),
    "seeds_after": (np.uint32, 1),
    "l1a": (np.uint8, 1),
}
_HASHES = ("network_hash", "menu_hash", "hash")


@dataclass(frozen=True, eq=False)
class Golden:
    """codes int16 (n, 19, 3); answers: arrays of `ANSWERS`; the hashes of the network and menu that gave them."""

    codes: NDArray[np.int16]
    answers: dict[str, NDArray[Any]]
    network_hash: str
    menu_hash: str

    @property
    def hash(self) -> str:
        """SHA-256 of the content."""
        arrays = {CODES: self.codes, **{name: self.answers[name] for name in ANSWERS}}
        return sha256_of([self.network_hash, self.menu_hash, {name: a.tolist() for name, a in arrays.items()}])


def emulate(model: Model, codes: NDArray[np.integer]) -> Golden:
    """What a model answers on codes (n, 19, 3)."""
    emulator = Emulator(model.network)
    score = emulator.score(codes)
    inputs = emulator.inputs(codes)
    decision = MenuState(model.menu).decide(score)
    arrays: dict[str, NDArray[Any]] = {
        "inputs": inputs,
        "outputs": emulator.outputs(inputs),
        "hw_score": score,
        "seeds_before": seed_bits(decision.seeds_before),
        "seeds_after": seed_bits(decision.seeds_after),
        "l1a": decision.l1a,
    }
    answers = {name: arrays[name].astype(kind) for name, (kind, _) in ANSWERS.items()}
    return Golden(codes.astype(np.int16), answers, model.network.hash, model.menu.hash)


def write(path: str | Path, golden: Golden) -> None:
    """Write golden vectors, whole or not at all."""
    arrays: dict[str, Any] = {CODES: golden.codes, **golden.answers}
    arrays |= {name: getattr(golden, name) for name in _HASHES}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read(path: str | Path) -> Golden:
    """Read golden vectors. Raises `InputError`, or `HashMismatch` when the content was changed."""
    wanted = {CODES, *ANSWERS, *_HASHES}
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive ends in any of a dozen exceptions of zip, deflate and numpy
        reason = str(error) or type(error).__name__
        raise InputError(path, "file", f"unreadable ({reason})", "golden vectors of a model") from error
    if set(arrays) != wanted:
        raise InputError(path, "arrays", ", ".join(sorted(arrays)) or "none", ", ".join(sorted(wanted)))
    n = len(arrays[CODES]) if arrays[CODES].ndim else 0
    shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        CODES: (np.int16, (n, objects.N_OBJECTS, objects.N_FEATURES))
    }
    for name, (kind, dimensions) in ANSWERS.items():
        width = arrays[name].shape[1:2] or (1,)  # `check` holds it against the network
        shapes[name] = (kind, (n, *width) if dimensions == 2 else (n,))
    for name, (kind, shape) in shapes.items():
        array = arrays[name]
        if array.dtype != kind or array.shape != shape:
            raise InputError(path, name, f"{array.dtype} {array.shape}", f"{np.dtype(kind)} {shape}")
    objects.check_codes(arrays[CODES], str(path))
    answers = {name: arrays[name] for name in ANSWERS}
    golden = Golden(arrays[CODES], answers, str(arrays["network_hash"]), str(arrays["menu_hash"]))
    if golden.hash != str(arrays["hash"]):
        raise HashMismatch(path, "hash of the content", golden.hash, f"the recorded {arrays['hash']}")
    return golden


def check(model: Model) -> Differences:
    """Run the golden events of a model folder again and compare every answer.

    Raises `HashMismatch` when they were made by another network or menu.
    """
    path = model.folder / FILE
    golden = read(path)
    for name, here in (("network_hash", model.network.hash), ("menu_hash", model.menu.hash)):
        if getattr(golden, name) != here:
            raise HashMismatch(path, name, getattr(golden, name), f"{here}, that of the model folder")
    now = emulate(model, golden.codes)
    for name in ("inputs", "outputs"):
        if golden.answers[name].shape != now.answers[name].shape:
            raise InputError(path, name, golden.answers[name].shape, f"{now.answers[name].shape}, of the network")
    seeds = seed_fields([seed.name for seed in model.menu.seeds])
    names = {"inputs": model.network.input_names, "outputs": model.network.output_names}
    columns: list[Column] = []
    for name in ANSWERS:
        if name in names:
            columns += [Column(f"{name.removesuffix('s')} {value}") for value in names[name]]
        else:
            columns.append(Column(name, seeds if name.startswith("seeds") else None))
    found = Differences()
    found.compare(0, columns, _table(golden), _table(now))
    return found


def _table(golden: Golden) -> NDArray[np.int64]:
    """All answers side by side, int64 (n, columns)."""
    n = len(golden.codes)
    return np.concatenate([golden.answers[name].reshape(n, -1).astype(np.int64) for name in ANSWERS], axis=1)
