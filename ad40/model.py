"""A released or freshly trained model as the emulator needs it: the frozen network and its menu."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ad40.errors import InputError
from ad40.menu import Menu, read_menu
from ad40.network import Network, read_network


@dataclass(frozen=True, eq=False)
class Model:
    """A model folder: its network and the menu made for it."""

    folder: Path
    network: Network
    menu: Menu


def read_model(folder: str | Path) -> Model:
    """Read `network.json` and `menu.yaml` of a model folder and hold them against each other."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "model", "not a folder", "a model folder with network.json and menu.yaml")
    network = read_network(folder / "network.json")
    return Model(folder, network, read_menu(folder / "menu.yaml", network))
