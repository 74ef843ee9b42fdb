"""Benches of single blocks: which sources, parameters and simulators each takes, and how to run one on any folder of
sources. A bench is `sim/cocotb_<block>.py`; it reports tests, failures and the coverage bins that it reached."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ad40.errors import MissingTool
from ad40.files import read_json
from sim import runner
from sim.package import overwrite, package_constants

BOTH = ("verilator", "icarus")
VERILATOR = ("verilator",)


@dataclass(frozen=True)
class Block:
    """sources: below the folder, the block itself last. variants: parameter sets that the bench must pass with.
    package: the block takes its sizes from ad40_pkg; the constants to overwrite in a copy of it, so that orbits and
    memories are short enough to be gone through."""

    sources: tuple[str, ...]
    variants: tuple[Mapping[str, int], ...] = ({},)
    simulators: tuple[str, ...] = BOTH
    package: Mapping[str, int] | None = None


def _fields(*values: int, width: int = 32) -> int:
    """Values packed into one parameter, index 0 in the lowest bits."""
    return sum((value & ((1 << width) - 1)) << (width * i) for i, value in enumerate(values))


def _tables(signed: bool) -> dict[str, int]:
    """Offsets and shifts of a normalise stage: every sign of both, in changing pairs."""
    offsets = [(0, 72, -128, 5, 288, -3, 17, 100, -1000, 1, 0)[i % 11] for i in range(57)]
    shifts = [(2, 0, 3, -1, 4, 6, 1, -2, 5, 2)[i % 10] for i in range(57)]
    return {"X_SIGNED": int(signed), "N_OBJECTS": 19, "CODE_BITS": 12, "X_BITS": 8, "WORK_BITS": 16,
            "OFFSET": _fields(*offsets), "SHIFT": _fields(*shifts)}  # fmt: skip


BLOCKS: dict[str, Block] = {
    "prescale": Block(("prescale",), ({"FACTOR_BITS": 20},)),
    "threshold": Block(
        ("threshold",),
        ({"N_SEEDS": 5, "N_MODELS": 3, "SCORE_BITS": 6, "THRESHOLD_BITS": 7, "SEED_MODEL": _fields(1, 0, 2, 2, 0)},),
    ),
    "rules": Block(("rules",), ({"N_RULES": 4, "WINDOW_BITS": 4},)),
    "counter": Block(("counter",), ({"BITS": 4},)),
    "crc32": Block(("crc32",)),
    "fifo": Block(("memory", "fifo"), ({"WIDTH": 9, "DEPTH": 8}, {"WIDTH": 33, "DEPTH": 2})),
    "bx_mask": Block(
        ("bx_mask",),
        ({"N_SEEDS": 3, "ORBIT_BX": 20, "BX_BITS": 5, "N_RUNS": 4, "FIRST": _fields(0, 1, 6, 18),
          "LAST": _fields(0, 5, 17, 19), "ROW": _fields(7, 2, 4, 1, width=3)},),
    ),
    "normalise": Block(
        ("delay", "normalise"), (_tables(signed=False) | {"STAGES": 1}, _tables(signed=True) | {"STAGES": 3})
    ),
    "unpack": Block(("unpack",), package={}),
    "registers": Block(("registers",), package={}),
    "links": Block(("counter", "links"), ({"ORBIT_BX": 5, "COUNTER_BITS": 4},), package={}),
    "readout": Block(
        ("counter", "crc32", "memory", "fifo", "packetiser", "readout"),
        ({"L1A_LATENCY_BX": 5, "RING_DEPTH": 8, "SLOTS_IN_FLIGHT": 2, "DERANDOMISER_DEPTH": 4, "COUNTER_BITS": 4},),
        package={},
    ),
    "menu": Block(
        ("delay", "threshold", "prescale", "bx_mask", "rules", "counter", "menu"), ({"COUNTER_BITS": 4},), package={}
    ),
    "link_out": Block(
        ("link_out",), ({}, {"CLOCKS_PER_BX": 9, "N_MODELS": 3, "SCORE_BITS": 11, "N_SEEDS": 32}), package={}
    ),
}  # fmt: skip


@dataclass
class Report:
    """Outcome of one bench on one simulator. coverage: bins as sim/coverage.py counts them."""

    block: str
    simulator: str
    seed: int
    tests: int = 0
    failures: int = 0
    seconds: float = 0.0
    coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)


def run_block(name: str, sources: Path, simulator: str, out: Path, seed: int = 40) -> dict[str, Any]:
    """Build and run the bench of a block on the sources in a folder: those of `ad40 compile`, or a copy with a fault.

    out: folder for builds, logs and coverage; what is built there already is used again. seed: of all stimulus.
    Returns the fields of `Report`. Raises `MissingTool` without the simulator and `CheckError` when it does not
    build. A bench that fails is reported, not raised.
    """
    block = BLOCKS[name]
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise MissingTool("iverilog", "install Icarus Verilog with the package manager of your system")
    began = time.monotonic()
    report = Report(name, simulator, seed)
    for number, parameters in enumerate(block.variants):
        folder = out / f"{name}_{simulator}_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [sources / f"{source}.sv" for source in block.sources]
        constants: dict[str, int] = {}
        if block.package is not None:
            path = sources / "ad40_pkg.sv"
            text = overwrite(path.read_text(encoding="utf-8"), block.package, path)
            constants = package_constants(text)
            files.insert(0, folder / "ad40_pkg.sv")
            if not files[0].exists() or files[0].read_text(encoding="utf-8") != text:
                files[0].write_text(text, encoding="utf-8")
        bench = runner.build(files, name, folder / "build", public=True, parameters=parameters, simulator=simulator,
                             runtime=out / "runtime")  # fmt: skip
        coverage = folder / "coverage.json"
        coverage.unlink(missing_ok=True)
        environment = {
            "AD40_SEED": str(seed),
            "AD40_PARAMETERS": json.dumps(parameters),
            "AD40_PACKAGE": json.dumps(constants),
            "AD40_COVERAGE": str(coverage.resolve()),
        }
        tests, failures = runner.run(bench, name, f"sim.cocotb_{name}", folder / "run", environment=environment)
        report.tests += tests
        report.failures += failures
        report.logs.append(str(folder / "run" / "simulation.log"))
        if coverage.exists():
            for group, bins in read_json(coverage).items():
                kept = report.coverage.setdefault(group, {})
                for bin_name, count in bins.items():
                    kept[bin_name] = kept.get(bin_name, 0) + count
    report.seconds = round(time.monotonic() - began, 2)
    return vars(report)
