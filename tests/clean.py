"""Clean Python environments without an index: the standard library, numpy, h5py, PyYAML, pip, and nothing else.

A virtual environment sees no packages but its own. The three that the waist needs, and pip, are lent to it: a folder
with links to just these packages and their metadata, named by a .pth file. So pip finds the requirements satisfied,
and an import of anything else that is installed around the tests fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LENT = ("numpy", "h5py", "PyYAML", "pip")
_NOT_SOURCES = (".venv", ".git", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


def copy_of_the_checkout(target: Path) -> Path:
    """The sources without what was made from them: builds leave traces in the folder they run in."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*_NOT_SOURCES))
    return target


class Environment:
    """A clean virtual environment. `run` starts a command in it, from a folder of the caller."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.bin = folder / "bin"
        self.site = next((folder / "lib").glob("python3*/site-packages"))
        lent = folder / "lent"
        lent.mkdir()
        for name in LENT:
            files = distribution(name).files
            assert files, f"{name} has no list of files"
            for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
                (lent / top).symlink_to(distribution(name).locate_file(top))
        (self.site / "lent.pth").write_text(f"{lent}\n")

    def run(self, *command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, or of the system; offline for pip."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL"))}
        env |= {"PATH": f"{self.bin}:{env['PATH']}", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return subprocess.run(
            [str(word) for word in command], cwd=cwd, env=env | {"PYTHONNOUSERSITE": "1"} | variables,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


def build(hook: str, source: Path, target: Path) -> Path:
    """What a hook of the build backend (`build_wheel`, `build_sdist`, `build_editable`) makes of a source folder."""
    target.mkdir(parents=True, exist_ok=True)
    script = f"from setuptools import build_meta; print('made', build_meta.{hook}({str(target)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.rsplit("made ", 1)[1].strip()
