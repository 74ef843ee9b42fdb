"""Released models: found by name from any folder, and held against the hashes pinned when they were released.

`released.yaml` lists every release there ever was, oldest first: name, version, hashes of network and menu, and the
SHA-256 of the files that give its answers. Entries are added by `python -m training.release` and never changed; the
last one of a name is what its folder holds. In a checkout the folders are those of `models/`; an installed package
carries the files of the list.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash, read_yaml, write_yaml
from ad40.schema import Node

FILES = ("network.json", "menu.yaml", "golden.npz")
LIST = "released.yaml"
_PACKAGE = Path(__file__).resolve().parent
FOLDER = _PACKAGE / "released" if (_PACKAGE / "released").is_dir() else _PACKAGE.parent / "models"


@dataclass(frozen=True)
class Release:
    """A model as it was released. files: name -> SHA-256 of its bytes, for each of `FILES`."""

    name: str
    version: str
    network_hash: str
    menu_hash: str
    files: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def releases() -> tuple[Release, ...]:
    """Every release, oldest first."""
    return read_releases(FOLDER / LIST)


@lru_cache
def read_releases(path: Path) -> tuple[Release, ...]:
    """The releases of a list. Raises `SpecError` when it is malformed."""
    node = Node(read_yaml(path), path)
    node.keys({"releases"})
    found: list[Release] = []
    for child in node["releases"]:
        child.keys({"name", "version", "network_hash", "menu_hash", "files"})
        child["files"].keys(set(FILES))
        texts = {key: child[key].text() for key in ("name", "version", "network_hash", "menu_hash")}
        release = Release(files={name: child["files"][name].text() for name in FILES}, **texts)
        if any((one.name, one.version) == (release.name, release.version) for one in found):
            raise child["version"].fault("a version released once")
        found.append(release)
    return tuple(found)


def write_releases(path: Path, found: tuple[Release, ...]) -> None:
    """Write the list, whole or not at all."""
    rows: list[dict[str, Any]] = [asdict(release) for release in found]
    write_yaml(path, {"releases": rows})
    read_releases.cache_clear()


def names() -> tuple[str, ...]:
    """Names of the released models."""
    return tuple(dict.fromkeys(release.name for release in releases()))


def find(name: str, version: str) -> Release | None:
    """The release of this name and version, if there is one."""
    return next((one for one in releases() if (one.name, one.version) == (name, version)), None)


def folder(model: str | Path) -> Path:
    """The folder of a model: a `str` that is the name of a released model means that model, wherever one stands;
    anything else is a path. So "ad40_v1" is the released model and "./ad40_v1" a folder here.
    """
    if isinstance(model, str) and model in names():
        return FOLDER / model
    return Path(model)


def no_folder(path: Path) -> InputError:
    """The error for a model that is not there."""
    return InputError(path, "model", "not a folder",
                      f"a model folder, or the name of a released model: {', '.join(names())}")  # fmt: skip


def check(path: Path, name: str, version: str) -> None:
    """Refuse a released model whose files are not those that were released; folders elsewhere are no releases.

    A version that is not in the list yet may stand in a checkout. Raises `HashMismatch` with the file.
    """
    release = find(name, version)
    if release is None or path.resolve() != FOLDER / name:
        return
    for file, wanted in release.files.items():
        if not (path / file).is_file():
            raise InputError(path / file, "file", "missing", f"that of the released {release.title}")
        found = file_hash(path / file)
        if found != wanted:
            raise HashMismatch(path / file, "SHA-256", found, f"{wanted}, that of the released {release.title}")


def check_content(path: Path, name: str, version: str, network_hash: str, menu_hash: str) -> Release | None:
    """The release that a model folder anywhere claims to be, if its name and version are those of one.

    Raises `HashMismatch` when its answers are others.
    """
    release = find(name, version)
    if release is not None:
        for file, found, wanted in (
            ("network.json", network_hash, release.network_hash),
            ("menu.yaml", menu_hash, release.menu_hash),
        ):
            if found != wanted:
                raise HashMismatch(path / file, "hash of the content", found,
                                   f"{wanted}, that of the released {release.title}: "
                                   "other answers need another version")  # fmt: skip
    return release
