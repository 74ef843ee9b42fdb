"""The command `ad40`. A verb's module is imported when the verb is used, so that the waist runs alone."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from ad40 import __version__
from ad40.errors import Ad40Error, CheckError, MissingTool
from ad40.files import write_json

# verb: (module, extra of the package that it needs, what it does)
VERBS = {
    "generate": ("training.generator.generate", "generate", "make Delphes-like, lepton-filtered collision events"),
    "train": ("training.train", "train", "train the autoencoder of a model card and freeze it to integers"),
    "evaluate": ("training.evaluate", "train", "AUC, TPR at FPR, trigger rates and plots of a model"),
    "explore": ("training.explore.run", "explore", "search the models around a card: figure against LUTs and latency"),
    "compare": ("training.compare.run", "train", "models, re-made designs, cuts and the limit: TPR, AUC, LUT, ns"),
    "robustness": ("training.robustness.run", "train", "what pileup, scales, dead regions and noise do; what fires"),
    "compile": (
        "firmware.compile",
        "firmware",
        "model folder to hls4ml project, Verilog and resource estimates",
    ),
    "emulate": ("ad40.emulate", "", "the integer score of every event of a file, or the outputs for a pattern file"),
    "synth": ("firmware.synthesis", "firmware", "LUTs, depth and clock of a compiled design; reports of Vivado"),
    "simulate": (
        "sim.simulate",
        "sim",
        "run the firmware on events in Verilator and hold it against the emulator",
    ),
    "prove": ("sim.prove", "sim", "prove properties that simulation cannot exhaust, with yosys and z3"),
    "mutate": ("sim.mutate", "sim", "plant faults into the firmware; some bench must notice each"),
    "verify": ("ad40.verify", "firmware", "golden vectors; QKeras, emulator, hls4ml, interpreter and RTL on events"),
    "library": ("ad40.library", "", "the emulator as C++: one shared library for each model, with a CMake package"),
    "trigger": ("ad40.trigger", "", "run the trigger over an event file, write a TriggerRecord"),
    "rates": ("ad40.rates", "", "scores, rates and overlap with the standard menu on recorded events"),
    "readout": ("ad40.readout", "", "readout packets of the board to the TriggerRecord that `ad40 trigger` writes"),
    "rmm": ("offline.rmm.make", "offline", "rapidity-mass matrices of events: an event table, and pictures of it"),
    "autoencoder": ("offline.autoencoder.train", "offline", "train the autoencoder of the search on an event table"),
    "score": ("offline.autoencoder.score", "offline", "anomaly score of events; acceptance of an anomaly region"),
    "reference": ("offline.references.verb", "offline", "anomaly models on the 57 inputs, as references and teachers"),
    "jets": ("offline.jets.verb", "offline", "jets of events, anomaly models on them, and searches with their scores"),
    "hlt": ("offline.hlt.verb", "offline", "a model in full precision behind the trigger: rates, decisions, latency"),
    "abcd": ("offline.abcd.verb", "offline", "two decorrelated scores, and the background of their common tail"),
    "cluster": ("offline.clusters.verb", "offline", "clusters of triggered events against simulation, a seed for one"),
    "search": ("offline.search.run", "offline", "resonances in a TriggerRecord, or a whole analysis: events to limits"),
    "calibrate": ("offline.statistics.calibrate", "offline", "coverage of the p-values of the bump hunt, its power"),
    "dqm": ("offline.dqm.verb", "offline", "data quality: every lumi section beside a reference, alarms, time to find"),
    "report": ("offline.report.write", "offline", "one HTML page of everything in a run folder"),
    "bench": ("firmware.bench", "firmware", "measure speeds, memory and agreement on this machine"),
    "info": ("ad40.info", "", "explain a TriggerRecord, an event file or a model; list the released models"),
}

JSON = "write a machine-readable summary"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ad40",
        description="Anomaly trigger for 40 MHz collisions. `ad40 VERB --help` explains each verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="verbs:\n"
        + "\n".join(f"  {verb:<11} {text}" for verb, (_, _, text) in VERBS.items())
        + "\n\nexit codes: 0 done, 1 a check failed, 2 bad input or usage",
    )
    parser.add_argument("--version", action="version", version=f"ad40 {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="what to do; see below")
    return parser


def load(module_name: str, extra: str) -> ModuleType:
    """The module of a verb. Raises `MissingTool` when its room or a package of its extra is not there."""
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == module_name.split(".")[0]:
            raise MissingTool(f"the room '{module_name}'", "run ad40 from a checkout of the project") from error
        raise MissingTool(f"the package '{error.name}'", f"`pip install 'ad40[{extra}]'`") from error


def _add_steps(parser: argparse.ArgumentParser, steps: dict[str, ModuleType]) -> None:
    """One subcommand for each step of a verb whose module has `STEPS`: modules like those of verbs, by name."""
    commands = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name, module in steps.items():
        step = commands.add_parser(
            name, help=module.HELP, description=module.HELP, epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(step)
        # after the step too; SUPPRESS keeps one that was given before it
        step.add_argument("--json", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=JSON)


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 a check failed, 2 bad input or usage."""
    argv = sys.argv[1:] if argv is None else argv
    verb = _parser().parse_args(argv[:1]).verb
    module_name, extra, text = VERBS[verb]
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # the threads here are over events: see ad40.stream
        os.environ.setdefault(name, "1")
    try:
        module = load(module_name, extra)
        parser = argparse.ArgumentParser(
            prog=f"ad40 {verb}",
            description=getattr(module, "HELP", text),
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        steps = {name: load(path, extra) for name, path in getattr(module, "STEPS", {}).items()}
        if steps:
            _add_steps(parser, steps)
        else:
            module.add_arguments(parser)
        parser.add_argument("--json", type=Path, metavar="FILE", help=JSON)
        args = parser.parse_args(argv[1:])
        summary = (steps[args.step] if steps else module).run(args)
        if args.json:
            write_json(args.json, summary)
        return 0
    except Ad40Error as error:
        if isinstance(error, CheckError) and error.summary is not None and args.json:
            write_json(args.json, error.summary)
        print(f"ad40 {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"ad40 {verb}: interrupted; finished parts are kept, a rerun goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
