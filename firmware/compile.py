"""`ad40 compile`: model folder -> hls4ml project, C++ emulation, Verilog, scripts, resource estimates."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ad40 import defaults, spec
from ad40.files import file_hash, writable_folder, write_json
from ad40.menu import write_menu
from ad40.model import Model, read_model
from ad40.network import write_network
from ad40.progress import Progress
from firmware import compile_network, generate, synth
from firmware.synth import yosys

HELP = "compile a model folder into firmware: hls4ml project, pipelined Verilog, scripts, resource estimates"
EPILOG = """\
example: ad40 compile models/ad40_v1 --output build/firmware --synth
Then: ad40 simulate build/firmware --events training/sample/background.h5"""

MANIFEST = "firmware.json"
RTL = Path(__file__).parent / "rtl"
HAND_WRITTEN = ("delay", "unpack", "normalise", "threshold", "prescale", "ad40_top")


def write_sources(model: Model, folder: Path, pipeline: compile_network.Pipeline) -> list[Path]:
    """Write generated and hand-written SystemVerilog into `folder`/rtl; all sources in order of compilation."""
    rtl = folder / "rtl"
    rtl.mkdir(parents=True, exist_ok=True)
    objects, latency = spec.objects(), spec.latency()
    package = generate.package(model.network, model.menu, objects, latency, pipeline.stages)
    (rtl / "ad40_pkg.sv").write_text(package, encoding="utf-8")
    network = generate.network_module(model.network, pipeline.inputs, pipeline.score, pipeline.stages)
    (rtl / "network.sv").write_text(network, encoding="utf-8")
    for name in HAND_WRITTEN:
        shutil.copyfile(RTL / f"{name}.sv", rtl / f"{name}.sv")
    own = [rtl / f"{name}.sv" for name in ("ad40_pkg", *HAND_WRITTEN[:-1], "network", HAND_WRITTEN[-1])]
    return [own[0], *pipeline.sources, *own[1:]]


def compile_model(model: Model, folder: Path, bar: Progress) -> dict[str, Any]:
    """Compile into `folder` and write its manifest last; the manifest."""
    latency = spec.latency()
    writable_folder(folder)
    (folder / MANIFEST).unlink(missing_ok=True)  # an interrupted compilation must not look finished
    graph = compile_network.convert(model.folder, model.network, latency, folder / "hls")
    bar.update(1)
    interpreter = compile_network.trace(graph, model.network, latency)
    pipeline = compile_network.write_verilog(interpreter.score, latency, folder / "network")
    interpreter.save(folder / "interpreter")
    bar.update(1)
    sources = write_sources(model, folder, pipeline)
    constants = generate.constants(model.network, model.menu, spec.objects(), latency, pipeline.stages)
    synth.write_scripts(folder, [s.relative_to(folder) for s in sources], latency)
    library = compile_network.compile_emulation(graph, folder / "hls")
    bar.update(1)
    write_network(folder / "network.json", model.network)
    write_menu(folder / "menu.yaml", model.menu)
    manifest = {
        "format_version": 1,
        "model": model.network.name,
        "model_version": model.network.version,
        "network_hash": model.network.hash,
        "menu_hash": model.menu.hash,
        "spec_hash": spec.objects().hash,
        "latency_hash": latency.hash,
        "top": "ad40_top",
        "part": latency.part,
        "clock_mhz": latency.clock_mhz,
        "constants": asdict(constants),
        "pipeline": {
            "stages": pipeline.stages,
            "stage_ns": pipeline.stage_ns,
            "logic_ns": pipeline.logic_ns,
            "register_bits": pipeline.register_bits,
            "luts": pipeline.luts,
            "tool": "alkaid (estimate)",
        },
        "layers": compile_network.describe(graph),
        "hls_library": str(library.resolve().relative_to(folder.resolve())),
        "sources": {str(s.relative_to(folder)): file_hash(s) for s in sources},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """--firmware and --sample, for the verbs that run what was compiled on events."""
    text = "its firmware, compiled now if the folder does not exist (default %(default)s)"
    parser.add_argument("--firmware", type=Path, default=defaults.FIRMWARE, metavar="FW_DIR", help=text)
    text = "event file (default %(default)s)"
    parser.add_argument("--sample", type=Path, default=defaults.BACKGROUND, metavar="FILE", help=text)


def compile_if_missing(model: Model, folder: Path) -> None:
    """Compile into a folder that does not exist yet; one that does is left to be held against the model."""
    if not folder.exists():
        with Progress(3, f"compile {model.network.name}", "steps") as bar:
            compile_model(model, folder, bar)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults.add_model_folder(parser)
    parser.add_argument(
        "--output", type=Path, default=defaults.FIRMWARE, metavar="FW_DIR", help="folder to write (default %(default)s)"
    )
    parser.add_argument("--synth", action="store_true", help="estimate resources with yosys (minutes)")
    parser.add_argument(
        "--synth-timeout", type=int, default=600, metavar="S", help="give up the synthesis after S seconds"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    model = read_model(args.model)
    latency = spec.latency()
    with Progress(3, f"compile {model.network.name}", "steps") as bar:
        manifest = compile_model(model, args.output, bar)
    pipeline, total = manifest["pipeline"], manifest["constants"]["latency"]
    estimates = [
        {
            "lut": round(pipeline["luts"]),
            "ff": pipeline["register_bits"],
            "dsp": 0,
            "bram": 0,
            "tool": "alkaid (estimate, network and score only)",
        }
    ]
    if args.synth:
        print("yosys: synthesis of the whole top; this takes a minute or more", flush=True)
        estimates.insert(0, yosys.synthesise(args.output, list(manifest["sources"]), args.synth_timeout))
    resources = next(e for e in estimates if e["lut"] is not None)
    print(f"{model.network.name}: {pipeline['stages']} network stages, {total} clocks = "
          f"{total * latency.cycle_ns:.2f} ns of {latency.budget_ns:g} ns at {latency.clock_mhz:g} MHz")  # fmt: skip
    print(f"slowest network stage {pipeline['stage_ns']:.2f} ns of {latency.cycle_ns:.2f} ns ({pipeline['tool']})")
    for e in estimates:
        if e["lut"] is None:
            print(f"  {e['tool']}: {e['note']}")
        else:
            print(f"  {e['lut']:,} LUT  {e['ff']:,} FF  {e['dsp']} DSP  {e['bram']} BRAM   {e['tool']}")
    return {
        "model": model.network.name,
        "resources": resources,
        "all_resources": estimates,
        "stages": pipeline["stages"],
        "estimate_ns": total * latency.cycle_ns,
        "stage_ns": pipeline["stage_ns"],
        "latency_clocks": total,
        "clock_mhz": latency.clock_mhz,
        "part": latency.part,
        "layers": manifest["layers"],
        "firmware": str(args.output),
    }
