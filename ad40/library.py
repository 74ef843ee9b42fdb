"""`ad40 library`: the emulator of released models as C++ shared libraries, one for each, and their CMake package."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ad40 import __version__, released
from ad40.errors import Ad40Error, MissingTool, SpecError
from ad40.files import atomic_path, file_hash, writable_folder, write_json
from ad40.library_source import namespace, source, stem
from ad40.model import Model, read_model
from ad40.progress import Progress

HELP = "write the integer emulator of models as C++, one shared library for each"
EPILOG = """\
DIR gets a CMake project: include/ (loader, C interface), src/ (a source for each model), CMakeLists.txt. With --build
also lib/<name>_<version>.so, each with its .sha256, made by $CXX or g++. docs/cpp.md explains.
example: ad40 library models/ad40_v1 --output build/cpp --build"""

TEMPLATES = Path(__file__).parent / "cpp"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model folders or names of released models"
    parser.add_argument("models", type=released.folder, nargs="+", metavar="MODEL", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--build", action="store_true", help="compile the libraries into DIR/lib")
    parser.add_argument("--native", action="store_true", help="with --build: for machines like this one only")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.native and not args.build:
        raise SpecError("command line", "--native", "without --build", "--build with it")
    models = [read_model(folder) for folder in args.models]
    write_sources(models, args.output)
    built = build(models, args.output, native=args.native) if args.build else []
    for model in models:
        name = stem(model.network)
        print(f"{name}: {args.output / 'src' / name}.cpp, network {model.network.hash[:12]}")
    for path in built:
        print(f"  {path}  {path.stat().st_size:,} bytes")
    if not built:
        print("build them with --build, with CMake, or each with\n  " + " ".join(command(args.output, "NAME")))
    return {
        "output": str(args.output),
        "models": [_entry(model) for model in models],
        "libraries": [{"path": str(path), "sha256": file_hash(path)} for path in built],
    }


def _entry(model: Model) -> dict[str, str]:
    network = model.network
    return {
        "library": f"{stem(network)}.so",
        "namespace": namespace(network),
        "network_hash": network.hash,
        "menu_hash": model.menu.hash,
        "spec_hash": network.spec_hash,
    }


def write_sources(models: Sequence[Model], folder: Path) -> None:
    """Write the CMake project of `models`. Refuses, before anything is written, two models of one name and version,
    and networks that 64 bits do not hold."""
    texts: dict[str, str] = {}
    for model in models:
        name = stem(model.network)
        if name in texts:
            raise SpecError(model.folder / "network.json", "name and version", name, "names used once")
        texts[name] = source(model)
    files = {f"src/{name}.cpp": text for name, text in texts.items()}
    for path in ("bench.cpp", "ad40Config.cmake.in", *(f"include/ad40/{p.name}" for p in _headers())):
        files[path] = (TEMPLATES / path).read_text(encoding="utf-8")
    cmake = (TEMPLATES / "CMakeLists.txt.in").read_text(encoding="utf-8")
    files["CMakeLists.txt"] = cmake.format(version=__version__, models=" ".join(texts))
    writable_folder(folder)
    for path, text in files.items():
        with atomic_path(folder / path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(folder / "library.json", {"ad40": __version__, "models": [_entry(model) for model in models]})


def _headers() -> list[Path]:
    return sorted((TEMPLATES / "include" / "ad40").iterdir())


def compiler() -> str:
    """$CXX or g++. Raises `MissingTool`."""
    found = shutil.which(os.environ.get("CXX") or "g++")
    if found is None:
        raise MissingTool("a C++17 compiler", "install g++ or name one in CXX")
    return found


def command(folder: Path, name: str, output: Path | None = None, options: Sequence[str] = ("-O3",)) -> list[str]:
    """The command that compiles the library of a model from the project in `folder`."""
    include = folder / "include"
    return [
        os.environ.get("CXX") or "g++", "-std=c++17", "-fPIC", "-shared", "-fvisibility=hidden", *options,
        f"-I{include}", f"-Wl,--version-script={include / 'ad40' / 'exports.map'}",
        str(folder / "src" / f"{name}.cpp"), "-o", str(output or folder / "lib" / f"{name}.so"),
    ]  # fmt: skip


def build(models: Sequence[Model], folder: Path, native: bool = False) -> list[Path]:
    """Compile the libraries of the project in `folder` into its lib/, each with its checksum beside it."""
    compiler()
    options = ["-O3", *WARNINGS, *(["-march=native"] if native else [])]
    built: list[Path] = []
    with Progress(len(models), "compile", "libraries") as bar:
        for model in models:
            name = stem(model.network)
            library = folder / "lib" / f"{name}.so"
            with atomic_path(library) as temporary:
                _compile(command(folder, name, temporary, options))
            write_checksum(library)
            built.append(library)
            bar.update(1)
    return built


def _compile(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = "\n".join(done.stderr.strip().splitlines()[:5])
        raise Ad40Error(f"`{' '.join(arguments)}` failed with exit code {done.returncode}:\n{errors}")


def write_checksum(library: Path) -> None:
    """Write LIBRARY.sha256 in the format of sha256sum."""
    with atomic_path(library.with_name(library.name + ".sha256")) as temporary:
        temporary.write_text(f"{file_hash(library)}  {library.name}\n", encoding="ascii")
