"""What frozen networks cost in firmware, in seconds each: `python -m firmware.cost MODEL_DIR... [--json]`.

The logic is that of `ad40 compile`, traced from network.json alone: no QKeras, no hls4ml, no simulation. LUTs and
stages are estimates of the compiler; with --synth yosys maps network, score and input stage as well. A network that
does not fit the budget is a row of the table with the reason, not an error.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ad40 import __version__, released, spec
from ad40.errors import Ad40Error, CheckError, SpecError
from ad40.files import write_json
from ad40.menu import Menu, ModelRef, Seed
from ad40.model import Trigger
from ad40.network import Network, read_network
from ad40.spec import LatencySpec
from firmware import trace
from firmware.compile import write_sources
from firmware.design import Design, check_design
from firmware.placement import fewest_stages, place, total_ns
from firmware.synth import blocks, tools, yosys

RESOURCES = "resources.json"
EPILOG = """\
stages: the fewest clocks in which the least logic that fits the budget runs; latency: from the last input word to the
decision, with the clocks of the blocks around the network. fastest: the same for the logic with the fewest stages.
example: python -m firmware.cost models/ad40_v1 --synth"""


def variants(network: Network, latency: LatencySpec) -> list[dict[str, Any]]:
    """The network traced at each of the compiler's depths: logic, LUTs as the compiler counts them, fewest stages at
    this clock (None: an operation is longer than a clock), delay of all of it in ns."""
    steps, found = trace.steps_of(network), []
    for depth in trace.DEPTHS:
        logic = trace.trace_steps(steps, network, depth)[0]
        stages = fewest_stages(logic, latency.cycle_ns, latency.merged)
        row = {"logic": logic, "lut": round(logic.cost), "stages": stages, "logic_ns": round(total_ns(logic), 2)}
        found.append(row)
    return found


def _figures(variant: dict[str, Any], latency: LatencySpec) -> dict[str, Any]:
    """Stages, clocks and ns of a variant; None where no number of stages is enough."""
    stages = variant["stages"]
    cycles = None if stages is None else stages + sum(latency.stages.values())
    return {
        "lut": variant["lut"],
        "stages": stages,
        "latency_cycles": cycles,
        "latency_ns": None if cycles is None else round(cycles * latency.cycle_ns, 3),
    }


def _trigger(network: Network) -> Trigger:
    """The network under a menu of one seed: cost does not depend on the menu, and a folder may not have one yet."""
    seed = Seed("Cost", network.name, network.score_max, (1.0,))
    return Trigger((network,), Menu((ModelRef(network.name, network.hash),), spec.objects().hash, (seed,)))


def synthesise(network: Network, logic: Any, latency: LatencySpec, timeout_s: float) -> dict[str, Any]:
    """Figures of yosys for input stage, network and score: the block `algorithm`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipeline = trace.write_verilog(logic, latency, folder / "network" / network.name)
        sources = write_sources(Design(_trigger(network), (folder,), latency), folder, [pipeline])
        names = [source.relative_to(folder).as_posix() for source in sources]
        block = blocks.elaborate(folder, names, "algorithm", timeout_s)[0]
        return yosys.synthesise_block(folder, block, timeout_s)


def cost(folder: Path, latency: LatencySpec, synth: bool = False, timeout_s: float = 600) -> dict[str, Any]:
    """The figures of one model folder. The keys with `_synth` are None unless asked for."""
    network = read_network(folder / "network.json")
    row: dict[str, Any] = {"name": network.name, "folder": str(folder), "network_hash": network.hash,
                           "clock_ns": round(latency.cycle_ns, 4), "configuration": latency.name}  # fmt: skip
    found = variants(network, latency)
    possible = [v for v in found if v["stages"] is not None]
    fitting = [v for v in possible if v["stages"] <= latency.network_stages_max]
    fastest = min(possible, key=lambda v: (v["stages"], v["lut"])) if possible else found[0]
    chosen = min(fitting, key=lambda v: (v["lut"], v["stages"])) if fitting else fastest
    reason = ""
    try:
        check_design(_trigger(network), latency, [folder / "network.json"], folder / "menu.yaml")
    except SpecError as error:
        reason = str(error)
    if chosen["stages"] is None:
        reason = f"one operation of the network takes longer than a clock of {latency.cycle_ns:.2f} ns"
    elif not fitting:
        reason = (f"the network needs {chosen['stages']} stages of {latency.cycle_ns:.2f} ns, and {latency.budget_ns:g}"
                  f" ns leave {latency.network_stages_max}")  # fmt: skip
    row |= _figures(chosen, latency) | {"logic_ns": chosen["logic_ns"], "ff": None, "stage_ns": None, "dsp": 0}
    if chosen["stages"] is not None:
        row["ff"] = trace.register_bits(chosen["logic"], chosen["stages"])
        row["stage_ns"] = round(place(chosen["logic"], chosen["stages"], latency.merged)[1], 3)
    row |= {"fastest": _figures(fastest, latency), "fits": not reason, "reason": reason}
    row |= dict.fromkeys(("lut_synth", "ff_synth", "path_ns_synth"))
    if synth and chosen["stages"] is not None:
        needed = row["latency_cycles"] * latency.cycle_ns  # exactly the stages of this row, over the budget or not
        figures = synthesise(network, chosen["logic"], replace(latency, budget_ns=needed), timeout_s)
        row |= {"lut_synth": figures["lut"], "ff_synth": figures["ff"], "path_ns_synth": figures["path_ns"]}
        row |= {"dsp": figures["dsp"], "synth_tool": figures["tool"]}
    return row


def _when(latency: LatencySpec) -> dict[str, Any]:
    """What belongs to a figure that is kept."""
    return {"budget_ns": latency.budget_ns, "latency_hash": latency.hash, "date": datetime.date.today().isoformat(),
            "version": __version__}  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for a terminal."""
    lines = [f"{'model':<28}{'LUT':>8}{'synth':>8}{'FF':>8}{'stages':>8}{'clocks':>8}{'ns':>8}{'DSP':>5}  fits"]
    for row in rows:
        cells = [row[name] for name in ("lut", "lut_synth", "ff", "stages", "latency_cycles", "latency_ns")]
        text = "".join(f"{'' if c is None else f'{c:,.1f}' if isinstance(c, float) else f'{c:,}':>8}" for c in cells)
        lines.append(f"{row['name']:<28}{text}{row['dsp']:>5}  {'yes' if row['fits'] else row['reason']}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware.cost", description=(__doc__ or "").split("\n")[0], epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("models", nargs="+", metavar="MODEL_DIR", help="folder with a network.json, or a released name")
    parser.add_argument("--clock", metavar="NAME", help="configuration of ad40/spec/latency.yaml (default: its own)")
    parser.add_argument("--budget", type=float, metavar="NS", help="smaller budget than that of the configuration")
    parser.add_argument("--synth", action="store_true", help="map input stage, network and score with yosys, too")
    text = "write what is printed into each folder, too, as resources.json"
    parser.add_argument("--save", action="store_true", help=text)
    parser.add_argument("--timeout", type=int, default=600, metavar="S", help="seconds for yosys (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one for each model")
    args = parser.parse_args(arguments)
    try:
        latency = spec.latency(args.clock)
        latency = latency if args.budget is None else latency.within(args.budget)
        rows = []
        for model in args.models:
            try:
                rows.append(cost(released.folder(model), latency, args.synth, args.timeout))
                if args.save:
                    kept = {name: value for name, value in rows[-1].items() if name != "folder"} | _when(latency)
                    write_json(Path(rows[-1]["folder"]) / RESOURCES, kept)
            except tools.TimeoutReached as reached:
                raise CheckError(f"{model}: {reached}; --timeout S gives it longer") from reached
    except Ad40Error as error:
        print(f"firmware.cost: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
