"""The wheel of the project, and a clean environment in which it alone is installed."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.clean import Environment, build, copy_of_the_checkout


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    source = copy_of_the_checkout(tmp_path_factory.mktemp("checkout") / "ad40")
    return build("build_sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


@pytest.fixture(scope="session")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    return build("build_wheel", unpacked, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, numpy, h5py and PyYAML, by pip without an index."""
    folder = tmp_path_factory.mktemp("clean")
    environment = Environment(folder / "venv")
    done = environment.run("python", "-m", "pip", "install", wheel, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return environment
