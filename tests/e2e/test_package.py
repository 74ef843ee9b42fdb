"""The package as others get it: wheel and source distribution, installed without an index, used from anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import __version__, released
from ad40.events import write_hw_sample
from tests.clean import ROOT, Environment, build

WAIST = {"ad40", "numpy", "h5py", "yaml", "_yaml"}  # _yaml: the C half of yaml
LOADED = (
    "import sys\n"
    "code = None\n"
    "try:\n"
    "    from ad40.cli import main\n"
    "    code = main(sys.argv[1:])\n"
    "except SystemExit as end:\n"
    "    code = end.code\n"
    "names = {name.split('.')[0] for name in sys.modules}\n"
    "print('loaded', code, *sorted(names - set(sys.stdlib_module_names) - {'__main__', '__mp_main__'}), file=sys.stderr)\n"
)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory, codes: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.h5"
    write_hw_sample(path, codes[:3564])
    return path


def loaded(installed: Environment, cwd: Path, *arguments: object) -> tuple[int, set[str]]:
    """Exit code of a verb and the top-level modules it loaded that are not of the standard library."""
    done = installed.run("python", "-c", LOADED, *arguments, cwd=cwd)
    words = next(line for line in done.stderr.splitlines() if line.startswith("loaded")).split()
    return int(words[1]), {name for name in words[2:] if "cython" not in name}  # what Cython leaves behind


def test_the_wheel_is_the_waist_and_the_released_models(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(f"ad40-{__version__}.dist-info/METADATA").decode())
        for release in released.names():
            for file in released.FILES:
                packed = archive.read(f"ad40/released/{release}/{file}")
                assert packed == (ROOT / "models" / release / file).read_bytes()
    assert {name.split("/")[0] for name in names} == {"ad40", f"ad40-{__version__}.dist-info"}
    inside = {name.removeprefix("ad40/released/") for name in names if name.startswith("ad40/released/")}
    assert inside == {released.LIST, *(f"{name}/{file}" for name in released.names() for file in released.FILES)}
    files = (path for path in (ROOT / "ad40").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.relative_to(ROOT).as_posix() for path in files} - set(names) == {"ad40/README.md"}
    needed = [value for value in metadata.get_all("Requires-Dist") or [] if "extra ==" not in value]
    assert sorted(value.split(">")[0] for value in needed) == ["h5py", "numpy", "pyyaml"]
    assert wheel.stat().st_size < 1_000_000


def test_the_source_distribution_is_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """What it holds makes the same wheel as the checkout does (`wheel` was built from it), and passes tests."""
    for folder in ("ad40", "models", "training", "firmware", "sim", "offline", "tests", "docs"):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        lost = [str(path) for path in files if not (unpacked / path.relative_to(ROOT)).is_file()]
        assert not lost
    assert all((unpacked / name).is_file() for name in ("Makefile", "LICENSE", "README.md", "requirements.lock"))
    chosen = [f"tests/{name}.py" for name in ("unit/test_emulator", "unit/test_network")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout


def test_nothing_else_is_installed(installed: Environment, tmp_path: Path) -> None:
    script = "from importlib.metadata import distributions\nprint(*sorted(d.name for d in distributions()))"
    names = installed.run("python", "-c", script, cwd=tmp_path).stdout.split()
    assert [name.lower() for name in names] == ["pyyaml", "ad40", "h5py", "numpy", "pip"]
    for name in ("tensorflow", "scipy", "pytest", "setuptools", "models", "training", "firmware", "offline"):
        done = installed.run("python", "-c", f"import {name}", cwd=tmp_path)
        assert "ModuleNotFoundError" in done.stderr, f"{name} can be imported in the clean environment"


def test_every_verb_of_the_waist(installed: Environment, events: Path, tmp_path: Path) -> None:
    def ad40(*arguments: object) -> str:
        done = installed.run("ad40", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ad40("--version").split() == ["ad40", __version__]
    assert "golden events equal, released" in ad40("verify", "--golden", "--json", "golden.json")
    summary = json.loads((tmp_path / "golden.json").read_text())
    assert summary["mismatches"] == 0 and [row["name"] for row in summary["models"]] == list(released.names())
    assert "ad40_v1 1.0" in ad40("info") and "57-3-16-57" in ad40("info", "ad40_v1")
    ad40("emulate", events, "--model", "ad40_v1", "--output", "scores.h5", "--inputs", "lanes.txt.gz")
    ad40("emulate", "--patterns", "lanes.txt.gz", "--output", "expected.apx", "--format", "apx")
    assert "every bit" in ad40("emulate", "--patterns", "lanes.txt.gz", "--expect", "expected.apx")
    assert "every bit" in ad40("emulate", events, "--expect", "scores.h5")
    ad40("trigger", events, "--output", "kept.h5")
    assert "TriggerRecord" in ad40("info", "kept.h5")
    with h5py.File(tmp_path / "scores.h5") as file, h5py.File(tmp_path / "kept.h5") as kept:
        rows = np.flatnonzero(file["seeds_after"][()])
        assert np.array_equal(kept["event"][()], rows) and 0 < len(rows) < 3564
        assert np.array_equal(kept["hw_score"][()], file["hw_score"][()][rows])


def test_three_packages_are_loaded_and_no_more(installed: Environment, events: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--version"],
        ["emulate", "--help"],
        ["emulate", events, "--output", "scores.h5"],
        ["trigger", events, "--output", "kept.h5"],
        ["verify", "--golden"],
        ["readout", "--help"],
        ["info"],
    ):
        code, names = loaded(installed, tmp_path, *arguments)
        assert code == 0 and names <= WAIST, names


def test_importing_ad40_loads_nothing(installed: Environment, tmp_path: Path) -> None:
    script = "import sys; before = set(sys.modules); import ad40; print(*sorted(set(sys.modules) - before))"
    assert installed.run("python", "-c", script, cwd=tmp_path).stdout.split() == ["ad40"]


def test_verbs_of_the_rooms_say_where_they_are(installed: Environment, tmp_path: Path) -> None:
    for verb in ("train", "compile", "simulate", "search", "generate"):
        done = installed.run("ad40", verb, "--help", cwd=tmp_path)
        assert done.returncode == 2 and "run ad40 from a checkout of the project" in done.stderr
    done = installed.run("ad40", "verify", cwd=tmp_path)
    assert done.returncode == 2 and "'firmware.verify' is not installed" in done.stderr


def test_a_folder_in_the_way_changes_nothing(installed: Environment, tmp_path: Path) -> None:
    """A name is the released model from any folder; a path is a path."""
    (tmp_path / "ad40_v1").mkdir()
    (tmp_path / "models" / "ad40_v1").mkdir(parents=True)
    assert installed.run("ad40", "verify", "--golden", "ad40_v1", cwd=tmp_path).returncode == 0
    done = installed.run("ad40", "verify", "--golden", "./ad40_v1", cwd=tmp_path)
    assert done.returncode == 2 and "ad40_v1/network.json" in done.stderr
    done = installed.run("ad40", "emulate", "events.h5", "--model", "ad40_v9", "--output", "s.h5", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a model folder, or the name of a released model: ad40_v1" in done.stderr


def test_an_editable_install_has_the_rooms(unpacked: Path, tmp_path: Path) -> None:
    """`make setup` installs the checkout in place: the rooms run from there, and models are those of models/."""
    environment = Environment(tmp_path / "venv")
    wheel = build("build_editable", unpacked, tmp_path / "wheels")
    assert environment.run("python", "-m", "pip", "install", wheel, cwd=tmp_path).returncode == 0
    script = "import ad40.released, models.card, training.freeze, offline.objects.spectra; print(ad40.released.FOLDER)"
    done = environment.run("python", "-c", script, cwd=tmp_path)
    assert done.stdout.strip() == str((unpacked / "models").resolve()), done.stderr
    assert environment.run("ad40", "verify", "--golden", cwd=tmp_path).returncode == 0
