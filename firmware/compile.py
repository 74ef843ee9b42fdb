"""`ad40 compile`: model folders -> hls4ml projects, C++ emulations, Verilog, registers, scripts, estimates."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ad40 import defaults, spec
from ad40.files import file_hash, read_json, writable_folder, write_json
from ad40.menu import write_menu
from ad40.network import write_network
from ad40.progress import Progress
from firmware import compile_network, generate, synth, trace
from firmware.design import Design, read_design
from firmware.registers import write_registers
from firmware.synth import yosys

HELP = "compile model folders into firmware: hls4ml projects, pipelined Verilog, registers, scripts, resource estimates"
EPILOG = """\
Several models stand side by side in one design and need a menu over all of their scores (--menu).
example: ad40 compile models/ad40_v1 --output build/firmware
Then: ad40 simulate build/firmware --events training/sample/background.h5; ad40 synth build/firmware"""

MANIFEST = "firmware.json"
FORMAT_VERSION = 2
TOP = "ad40_top"
RTL = Path(__file__).parent / "rtl"
# In order of compilation: below the networks and above them
BELOW = ("delay", "unpack", "normalise")
ABOVE = (
    *("threshold", "prescale", "bx_mask", "rules", "counter", "menu", "ad40_core"),
    *("links", "memory", "fifo", "crc32", "widen", "packetiser", "readout", "link_out", "ad40_stream", "ad40_top"),
)
HAND_WRITTEN = (*BELOW, *ABOVE)


def write_sources(design: Design, folder: Path, pipelines: Sequence[trace.Pipeline]) -> list[Path]:
    """Write generated and hand-written SystemVerilog into `folder`/rtl; all sources in order of compilation."""
    rtl, networks = folder / "rtl", design.trigger.networks
    rtl.mkdir(parents=True, exist_ok=True)
    for stale in rtl.glob("*.sv"):  # of an earlier compilation with more networks
        stale.unlink()
    stages = pipelines[0].stages
    texts = {"ad40_pkg": generate.package(design.trigger, design.latency, stages)}
    for k, (network, pipeline) in enumerate(zip(networks, pipelines, strict=True)):
        texts[f"network_{k}"] = generate.network_module(network, pipeline.inputs, pipeline.score, stages, k)
    texts["algorithm"] = generate.algorithm(networks, stages)
    for name, text in texts.items():
        (rtl / f"{name}.sv").write_text(text, encoding="utf-8")
    for name in HAND_WRITTEN:
        shutil.copyfile(RTL / f"{name}.sv", rtl / f"{name}.sv")
    registers = [path for path in write_registers(folder, design.registers) if path.suffix == ".sv"]
    compiled: dict[str, Path] = {}  # alkaid's library is the same beside every network: the first is taken
    for source in (source for pipeline in pipelines for source in pipeline.sources):
        compiled.setdefault(source.name, source)
    generated = [rtl / f"{name}.sv" for name in texts]
    below, above = ([rtl / f"{name}.sv" for name in names] for names in (BELOW, ABOVE))
    return [generated[0], *below, *compiled.values(), *generated[1:], *registers, *above]


def _remove_other_models(folder: Path, design: Design) -> None:
    """Remove what an earlier compilation into this folder left of models that the design does not hold."""
    if not (folder / MANIFEST).exists():
        return
    kept = {network.name for network in design.trigger.networks}
    for model in read_json(folder / MANIFEST).get("models", []):
        if model["name"] not in kept:
            for kind in ("hls", "network", "interpreter"):
                shutil.rmtree(folder / kind / model["name"], ignore_errors=True)
            (folder / model["network"]).unlink(missing_ok=True)


def compile_design(design: Design, folder: Path, bar: Progress) -> dict[str, Any]:
    """Compile into `folder` and write its manifest last; the manifest. Three steps of `bar` for each network."""
    trigger, latency = design.trigger, design.latency
    writable_folder(folder)
    _remove_other_models(folder, design)
    (folder / MANIFEST).unlink(missing_ok=True)  # an interrupted compilation must not look finished
    models, pipelines = [], []
    for k, (network, model_folder) in enumerate(zip(trigger.networks, design.folders, strict=True)):
        name = network.name
        graph = compile_network.convert(model_folder, network, latency, folder / "hls" / name)
        bar.update(1)
        interpreter = trace.trace(compile_network.steps(graph), network, latency)
        pipelines.append(trace.write_verilog(interpreter.score, latency, folder / "network" / name, k))
        interpreter.save(folder / "interpreter" / name)
        bar.update(1)
        library = compile_network.compile_emulation(graph, folder / "hls" / name)
        bar.update(1)
        write_network(folder / "networks" / f"{name}.json", network)
        models.append(
            {
                "name": name,
                "version": network.version,
                "network_hash": network.hash,
                "network": f"networks/{name}.json",
                "interpreter": f"interpreter/{name}",
                "hls": f"hls/{name}",
                "hls_library": str(library.resolve().relative_to(folder.resolve())),
                "pipeline": pipelines[-1].describe(),
                "layers": compile_network.describe(graph),
            }
        )
    sources = write_sources(design, folder, pipelines)
    synth.write_scripts(folder, [s.relative_to(folder) for s in sources], latency)
    write_menu(folder / "menu.yaml", trigger.menu)
    manifest = {
        "format_version": FORMAT_VERSION,
        "models": models,
        "menu": "menu.yaml",
        "menu_hash": trigger.menu.hash,
        "spec_hash": trigger.menu.spec_hash,
        "links_hash": spec.links().hash,
        "registers_hash": design.registers.hash,
        "latency": latency.name,
        "latency_hash": latency.hash,
        "budget_ns": latency.budget_ns,
        "design_id": trigger.design_id,
        "top": TOP,
        "part": latency.part,
        "clock_mhz": latency.clock_mhz,
        "constants": generate.describe(generate.constants(trigger, latency, pipelines[0].stages)),
        "sources": {s.relative_to(folder).as_posix(): file_hash(s) for s in sources},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def compile_if_missing(design: Design, folder: Path) -> None:
    """Compile into a folder that does not exist yet; one that does is left to be held against the models."""
    if not folder.exists():
        with Progress(3 * len(design.folders), f"compile {design.name}", "steps") as bar:
            compile_design(design, folder, bar)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults.add_models(parser)
    text = "configuration of ad40/spec/latency.yaml: clock of the links, part, budget (default: the one it names)"
    parser.add_argument("--clock", metavar="NAME", help=text)
    text = "smaller budget from the last input word to the decision: fewer and longer stages of the network"
    parser.add_argument("--budget", type=float, metavar="NS", help=text)
    parser.add_argument(
        "--output", type=Path, default=defaults.FIRMWARE, metavar="FW_DIR", help="folder to write (default %(default)s)"
    )
    parser.add_argument("--synth", action="store_true", help="estimate resources of the whole with yosys (minutes)")
    parser.add_argument(
        "--synth-timeout", type=int, default=600, metavar="S", help="give up the synthesis after S seconds"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    design = read_design(args.models, args.menu, args.clock, args.budget)
    latency = design.latency
    with Progress(3 * len(design.folders), f"compile {design.name}", "steps") as bar:
        manifest = compile_design(design, args.output, bar)
    pipelines = [model["pipeline"] for model in manifest["models"]]
    total, stages = manifest["constants"]["latency"], pipelines[0]["stages"]
    stage_ns = max(pipeline["stage_ns"] for pipeline in pipelines)
    estimates = [
        {
            "lut": round(sum(pipeline["luts"] for pipeline in pipelines)),
            "ff": sum(pipeline["register_bits"] for pipeline in pipelines),
            "dsp": 0,
            "bram": 0,
            "tool": "alkaid (estimate, networks and scores only)",
        }
    ]
    if args.synth:
        print("yosys: synthesis of the whole top; this takes a minute or more", flush=True)
        estimates.insert(0, yosys.synthesise(args.output, list(manifest["sources"]), args.synth_timeout))
    print(f"{design.name}: {stages} network stages, {total} clocks = {total * latency.cycle_ns:.2f} ns "
          f"of {latency.budget_ns:g} ns at {latency.clock_mhz:g} MHz ({latency.name})")  # fmt: skip
    for model, pipeline in zip(manifest["models"], pipelines, strict=True):
        print(f"  {model['name']}: slowest network stage {pipeline['stage_ns']:.2f} ns of {latency.cycle_ns:.2f} ns "
              f"({pipeline['tool']})")  # fmt: skip
    for e in estimates:
        if e["lut"] is None:
            print(f"  {e['tool']}: {e['note']}")
        else:
            print(f"  {e['lut']:,} LUT  {e['ff']:,} FF  {e['dsp']} DSP  {e['bram']} BRAM   {e['tool']}")
    return {
        "models": [
            {name: model[name] for name in ("name", "version", "pipeline", "layers")} for model in manifest["models"]
        ],
        "resources": next(e for e in estimates if e["lut"] is not None),
        "all_resources": estimates,
        "stages": stages,
        "estimate_ns": total * latency.cycle_ns,
        "stage_ns": stage_ns,
        "latency_clocks": total,
        "latency": latency.name,
        "clock_mhz": latency.clock_mhz,
        "part": latency.part,
        "firmware": str(args.output),
    }
