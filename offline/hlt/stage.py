"""The high-level stage as a folder: `hlt.yaml`, its menu, beside `model.onnx`; and what it decides.

The menu carries hashes of the model and of the trigger menu that its threshold was set behind, and is refused beside
others. An event is accepted when its score reaches the threshold. Besides, one of `pass_through` events is taken
whatever its score: which ones follows from a hash of run and event number, so that it depends neither on the order of
the events nor on which process reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.files import atomic_path, read_yaml, sha256_of, writable_folder, write_yaml
from ad40.metrics import Interval, efficiency, threshold_at_fpr, threshold_interval
from ad40.schema import Node
from ad40.split import hashed
from offline.hlt.model import Scorer, load

VERSION = 1
DOCUMENT, MODEL = "hlt.yaml", "model.onnx"
MOST = 2**32  # pass-through: one of so many, at most

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class HltMenu:
    """What the stage accepts. threshold: a float32; pass_through: one of so many, 0 for none; seed: of its draw.

    model: name and sha256; trigger: hash of the menu before it (`menu_hash`) and its models; calibration: sample,
    rates in kHz and how many events said so, as `calibrate` gives them.
    """

    name: str
    model: dict[str, str]
    trigger: dict[str, Any]
    threshold: float
    pass_through: int
    seed: int
    spec_hash: str
    calibration: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The document, without its hash."""
        return {
            "version": VERSION, "name": self.name, "spec_hash": self.spec_hash, "model": self.model,
            "trigger": self.trigger, "threshold": self.threshold, "pass_through": self.pass_through,
            "seed": self.seed, "calibration": self.calibration,
        }  # fmt: skip

    @property
    def hash(self) -> str:
        """SHA-256 of what decides: all but the calibration. 64 hex digits."""
        return sha256_of({name: value for name, value in self.to_dict().items() if name != "calibration"})

    def decide(self, score: NDArray[np.float32], run: NDArray[Any], event: NDArray[Any]) -> tuple[Bools, Bools]:
        """(accepted by score, taken whatever the score), bool (n,) each, of score, run and event (n,)."""
        return score >= np.float32(self.threshold), drawn(run, event, self.pass_through, self.seed)

    def about(self) -> dict[str, Any]:
        """What stands in a record that the stage has read (`ad40.hlt.ABOUT`)."""
        return {"name": self.name, "menu_hash": self.hash, "model": self.model, "threshold": self.threshold,
                "pass_through": self.pass_through, "seed": self.seed}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Stage:
    """A folder that was read: menu and model."""

    folder: Path
    menu: HltMenu
    scorer: Scorer

    def check(self, path: Path, attributes: Mapping[str, Any]) -> None:
        """Refuse a record of another trigger: the threshold was not set behind it. Raises `HashMismatch`."""
        here, there = attributes["menu_hash"], self.menu.trigger["menu_hash"]
        if here != there:
            raise HashMismatch(path, "menu_hash", here, f"{there}, the trigger that {self.folder} was made for")


def drawn(run: NDArray[Any], event: NDArray[Any], one_of: int, seed: int) -> Bools:
    """Which events are taken whatever their score: bool (n,), one of `one_of` on average, none for 0."""
    if not one_of:
        return np.zeros(len(event), np.bool_)
    salt = hashed(np.asarray(run, np.uint64) + (np.uint64(seed) << np.uint64(32)))
    return np.asarray(hashed(np.asarray(event, np.uint64) ^ salt) % np.uint64(one_of) == 0)


def share(rate: float, l1_rate: float, pass_through: int) -> float:
    """Share of the events that the threshold may accept: with the pass-through, `rate` of `l1_rate` [kHz] is kept.

    Raises `InputError` where there is no such share.
    """
    if not 0 < rate < l1_rate:
        raise InputError("command line", "--rate", rate, f"above 0, below the {l1_rate:g} kHz that come in")
    if not (pass_through == 0 or 2 <= pass_through < MOST):
        raise InputError("command line", "--pass-through", pass_through, f"0, or 2 to {MOST - 1}")
    drawn_share = 1 / pass_through if pass_through else 0.0
    found = (rate / l1_rate - drawn_share) / (1 - drawn_share)
    if found <= 0:
        expected = f"0, or above {l1_rate / rate:g}: such a pass-through alone takes the rate"
        raise InputError("command line", "--pass-through", pass_through, expected)
    return found


def calibrate(
    score: NDArray[np.float32], parent: NDArray[np.int64], l1_rate: float, rate: float, pass_through: int
) -> tuple[float, dict[str, Any]]:
    """The threshold on scores (n,) of events that the trigger accepted, and how well it is known.

    rate, l1_rate: what is kept and what comes in [kHz]. parent: families of events. The document: rates [low, value,
    high], 68 %, and the thresholds between which the right one lies, None where the sample sets no bound.
    Raises `InputError` when fewer than one event would pass.
    """
    wanted = share(rate, l1_rate, pass_through)
    if wanted * len(score) < 1:
        expected = f"at least {int(np.ceil(1 / wanted))}, for one to pass"
        raise InputError("command line", "events to set the threshold with", len(score), expected)
    low, _, high = threshold_interval(score, wanted, parent)
    cut = threshold_at_fpr(score, wanted)
    threshold = np.float32(cut)
    if float(threshold) < cut:  # just above the largest score, with equal scores at the top
        threshold = np.nextafter(threshold, np.float32(np.inf))
    accepted: Interval = efficiency(score >= threshold, parent)
    kept = [l1_rate * with_drawn(value, pass_through) for value in accepted]
    return float(threshold), {
        "l1_rate_khz": l1_rate, "rate_khz": rate, "events": len(score), "families": len(np.unique(parent)),
        "passed": int((score >= threshold).sum()), "share": list(accepted), "expected_rate_khz": kept,
        "threshold": [float(value) if np.isfinite(value) else None for value in (low, threshold, high)],
    }  # fmt: skip


def with_drawn(accepted: float, pass_through: int) -> float:
    """Share that is kept when the share `accepted` reaches the threshold."""
    return accepted + (1 - accepted) / pass_through if pass_through else accepted


def write(folder: str | Path, menu: HltMenu, scorer: Scorer) -> None:
    """Write the folder: the menu, and the model as it was read."""
    folder = Path(folder)
    writable_folder(folder)
    content = scorer.path.read_bytes()
    with atomic_path(folder / MODEL) as temporary:
        temporary.write_bytes(content)
    write_yaml(folder / DOCUMENT, menu.to_dict() | {"hash": menu.hash})


def read(folder: str | Path) -> Stage:
    """Read the folder. Raises `SpecError` on a malformed menu, `HashMismatch` when menu or model were changed."""
    folder = Path(folder)
    if not (folder / DOCUMENT).is_file():
        raise InputError(folder, DOCUMENT, "missing", "a folder written by `ad40 hlt menu`")
    menu = _menu(folder / DOCUMENT)
    scorer = load(folder / MODEL)
    for name, here, there in (
        ("sha256", scorer.sha256, menu.model["sha256"]),
        ("hash of the object scales", spec.objects().hash, menu.spec_hash),
    ):
        if here != there:
            raise HashMismatch(folder / MODEL, name, here, f"{there}, as {DOCUMENT} says")
    return Stage(folder, menu, scorer)


def _menu(path: Path) -> HltMenu:
    node = Node(read_yaml(path), path)
    keys = {"version", "name", "spec_hash", "model", "trigger", "threshold", "pass_through", "seed", "calibration"}
    node.keys(keys | {"hash"})
    node["version"].integer(VERSION, VERSION)
    node["model"].keys({"name", "sha256"})
    node["trigger"].keys({"menu_hash", "models"})
    threshold = node["threshold"].number(-3e38, 3e38)
    if float(np.float32(threshold)) != threshold:
        raise node["threshold"].fault("a number that float32 can hold")
    one_of = node["pass_through"].integer(0, MOST - 1)
    if one_of == 1:
        raise node["pass_through"].fault("0, or at least 2")
    menu = HltMenu(
        node["name"].text(),
        {name: node["model"][name].text() for name in ("name", "sha256")},
        {"menu_hash": node["trigger"]["menu_hash"].text(),
         "models": [one.text() for one in node["trigger"]["models"]]},
        threshold, one_of, node["seed"].integer(0, MOST - 1), node["spec_hash"].text(), node["calibration"].value,
    )  # fmt: skip
    if node["hash"].text() != menu.hash:
        raise SpecError(path, "hash", node["hash"].text(), f"{menu.hash}; the menu was changed")
    return menu
