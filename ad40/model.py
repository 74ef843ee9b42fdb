"""Released or freshly trained models as the emulator needs them: the frozen networks and their menu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import released
from ad40.emulator import Emulator
from ad40.files import sha256_of
from ad40.menu import Menu, combine, read_menu
from ad40.network import Network, read_network


@dataclass(frozen=True, eq=False)
class Trigger:
    """What a board holds: one or several networks side by side, and the menu over their scores."""

    networks: tuple[Network, ...]
    menu: Menu

    @cached_property
    def emulators(self) -> tuple[Emulator, ...]:
        return tuple(Emulator(network) for network in self.networks)

    def score(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Integer scores int32 (n, models) of events int32 (n, 19, 3)."""
        return np.stack([emulator.score(codes) for emulator in self.emulators], axis=1)

    @cached_property
    def design_id(self) -> int:
        """32 bits that stand in every readout packet: the first of the hash of scales, menu and networks."""
        hashes = [self.menu.spec_hash, self.menu.hash, *(network.hash for network in self.networks)]
        return int(sha256_of(hashes)[:8], 16)


@dataclass(frozen=True, eq=False)
class Model:
    """A model folder: its network and the menu made for it."""

    folder: Path
    network: Network
    menu: Menu

    @cached_property
    def trigger(self) -> Trigger:
        """The model as the only one of a board."""
        return Trigger((self.network,), self.menu)


def read_model(model: str | Path) -> Model:
    """Read `network.json` and `menu.yaml` of a model folder and hold them against each other.

    model: a folder, or as `str` the name of a released model. Raises `HashMismatch` when a file was changed.
    """
    folder = released.folder(model)
    if not folder.is_dir():
        raise released.no_folder(folder)
    network = read_network(folder / "network.json")
    menu = read_menu(folder / "menu.yaml", (network,))
    released.check(folder, network.name, network.version)
    return Model(folder, network, menu)


def read_trigger(folders: Sequence[str | Path], menu: str | Path | None = None) -> Trigger:
    """Models side by side. Without a `menu` of their own their menus are put one after the other."""
    models = [read_model(folder) for folder in folders]
    networks = tuple(model.network for model in models)
    return Trigger(networks, combine([model.menu for model in models]) if menu is None else read_menu(menu, networks))
