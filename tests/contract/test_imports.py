"""Who may import whom. An arrow that the house does not have fails here, and the message says which rule."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "ad40": set(),
    "models": {"ad40"},
    "training": {"ad40", "models"},
    "firmware": {"ad40", "models"},
    "sim": {"ad40"},
    "offline": {"ad40"},
}
WAIST_PACKAGES = {"numpy", "h5py", "yaml"}
# imported when such a file is opened, or a cluster is asked for; named where it is missing
OPTIONAL = {
    "l1data.py": {"pyarrow"},
    "workers.py": {"dask", "distributed"},
    "bench_files.py": {"distributed"},
    "dataframe.py": {"hdf5plugin"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, top-level module) of every import in a file, inside functions too."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import path = file path; write it absolutely"
            found.append((node.lineno, (node.module or "").split(".")[0]))
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room}/ holds no module"
    for path in files:
        for line, name in imports(path):
            if name in MAY_IMPORT and name != room:
                allowed = MAY_IMPORT[room]
                rule = f"{room} may import only {', '.join(sorted(allowed)) or 'no room'}"
                assert name in allowed, f"{path.relative_to(ROOT)}:{line} imports {name}; rule: {rule}"


# folder of training: the other folders of it whose modules it may import
TRAINING = {
    "generator": set(),
    "checks": {"generator"},
    "teach": {"generator"},
    "explore": {"teach"},
    "compare": {"teach"},
    "robustness": {"generator", "compare"},
}


def test_folders_of_training() -> None:
    found = {path.name for path in (ROOT / "training").iterdir() if (path / "__init__.py").is_file()}
    assert found == set(TRAINING)
    for folder, allowed in TRAINING.items():
        for path in sorted((ROOT / "training" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("training."):
                    other = str(node.module).split(".")[1]
                    known = other == folder or other not in TRAINING or other in allowed
                    rule = f"training/{folder} may import of {', '.join(sorted(allowed)) or 'no other folder'}"
                    assert known, f"{path.relative_to(ROOT)}:{node.lineno} imports training.{other}; rule: {rule}"


def test_the_waist_needs_three_packages() -> None:
    for path in sorted((ROOT / "ad40").rglob("*.py")):
        for line, name in imports(path):
            known = name in WAIST_PACKAGES | {"ad40", "__future__"} or name in sys.stdlib_module_names
            known |= name in OPTIONAL.get(path.name, set())
            assert known, f"{path.relative_to(ROOT)}:{line} imports {name}; rule: ad40 needs numpy, h5py and yaml only"


def test_one_importer_of_the_compilers() -> None:
    importer = {"hls4ml": "firmware/compile_network.py", "alkaid": "firmware/trace.py"}
    for room in MAY_IMPORT:
        for path in (ROOT / room).rglob("*.py"):
            for line, name in imports(path):
                place = path.relative_to(ROOT).as_posix()
                if name in importer:
                    assert place == importer[name], f"{place}:{line} imports {name}; rule: only {importer[name]} does"


def test_a_broken_rule_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import numpy\ndef f():\n    from training.train import run\n")
    assert imports(bad) == [(1, "numpy"), (3, "training")]
