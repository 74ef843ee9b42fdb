"""`python -m training.release MODEL_DIR ...`: pin the answers of a model in models/released.yaml.

The golden vectors are made again for the golden events of the folder and must equal those in it. A version that was
released before is refused when its answers are others: raise `version` in the model card and freeze again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ad40 import golden, released
from ad40.errors import Ad40Error, CheckError, InputError
from ad40.files import file_hash
from ad40.model import Model, read_model


def pin(model: Model) -> released.Release:
    """Add a model of the folder of released models to their list; nothing to do when it stands there. The entry.

    Raises `InputError` for a folder elsewhere, for a version that is not above the last one of this name, and for
    other answers under a released version; `CheckError` when the golden vectors do not come out.
    """
    network, folder = model.network, model.folder.resolve()
    if folder != released.FOLDER / network.name:
        raise InputError(model.folder, "folder", folder, f"{released.FOLDER / network.name}: models are released there")
    found = golden.check(model)
    if found.wrong:
        raise CheckError(found.sentence(folder / golden.FILE, "emulator"))
    files = {name: file_hash(folder / name) for name in released.FILES}
    entry = released.Release(network.name, network.version, network.hash, model.menu.hash, files)
    listing, earlier = released.FOLDER / released.LIST, released.releases()
    if entry in earlier:
        return entry
    last = max((_number(one.version, listing) for one in earlier if one.name == entry.name), default=())
    if _number(entry.version, folder / "network.json") <= last:
        raise InputError(folder / "network.json", "version", entry.version,
                         f"above {'.'.join(map(str, last))}: that one is released with other answers")  # fmt: skip
    released.write_releases(listing, (*earlier, entry))
    return entry


def _number(version: str, file: Path) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        raise InputError(file, "version", version, "numbers and dots, to tell which is newer")
    return tuple(int(part) for part in version.split("."))


def main(folders: list[str]) -> int:
    try:
        for folder in folders:
            entry = pin(read_model(Path(folder)))
            print(f"{entry.title}: network {entry.network_hash[:16]}, menu {entry.menu_hash[:16]}")
    except Ad40Error as error:
        print(f"release: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
