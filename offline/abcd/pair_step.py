"""`ad40 abcd pair`: two trigger models for one board, their menu, cost and closure in integers."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ad40.errors import CheckError, InputError
from ad40.files import writable_folder
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.network import Network
from ad40.split import VALIDATION
from offline.abcd.close_step import CORNER, check_corner, judge
from offline.abcd.closure import cuts_of_corner
from offline.abcd.scorers import NONE, add_weights, read_scores
from offline.inputs import read

HELP = "two decorrelated trigger models: one menu over both, cost, and closure of their integers"
EPILOG = """example:
  ad40 train models/pairs/leptons.yaml --output build/abcd/leptons --sample training/benchmark
  ad40 train models/pairs/recoil.yaml --output build/abcd/recoil --sample training/benchmark
  ad40 abcd pair build/abcd/leptons build/abcd/recoil --background training/benchmark/background.h5 --output build/pair
  ad40 compile build/abcd/leptons build/abcd/recoil --menu build/pair/menu.yaml --output build/pair/firmware"""
MENU = "menu.yaml"
REST = "ABCD_Rest"
PRESCALE = 100.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the step."""
    parser.add_argument("models", nargs=2, metavar="MODEL", help="two models of the trigger, the second decorrelated")
    parser.add_argument("--background", type=Path, required=True, metavar="EVENTS.h5",
                        help="background; cuts come from its validation part, figures from its test part")  # fmt: skip
    parser.add_argument("--signals", type=Path, nargs="*", default=[], metavar="EVENTS.h5", help="signals, if any")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--corner", type=float, default=CORNER, metavar="EPS",
                        help="background efficiency of the corner of both cuts (default %(default)s)")  # fmt: skip
    parser.add_argument("--prescale", type=float, default=PRESCALE, metavar="P",
                        help="one of so many other events is kept, for region D (default %(default)g)")  # fmt: skip
    parser.add_argument("--no-cost", action="store_true", help="do not ask the compiler for LUTs and latency")
    add_weights(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the menu, then all that `ad40 abcd close` writes; return the summary."""
    check_corner(args.corner)
    if not 1 <= args.prescale <= 1e6 or round(100 * args.prescale) != 100 * args.prescale:
        raise InputError("command line", "--prescale", args.prescale, "1 to 1e6, at most two decimals")
    scores = read_scores(args.models)
    if not scores.networks:
        raise InputError("command line", "MODEL", " ".join(args.models), "two models of the trigger")
    validation = scores.score(read(args.background, VALIDATION))
    cuts = cuts_of_corner(validation, args.corner, 1.0)
    menu = menu_of(scores.networks, (int(cuts[0]), int(cuts[1])), args.prescale)
    costs = [] if args.no_cost else costs_of(args.models)
    writable_folder(args.output)
    write_menu(args.output / MENU, menu)
    pair: dict[str, Any] = {
        "menu": MENU, "menu_hash": menu.hash, "prescale": args.prescale, "network_hashes": scores.hash.split(),
        "seeds": [{"name": s.name, "about": f"score of {s.model} >= {s.threshold}, prescale {s.prescales[0]:g}"}
                  for s in menu.seeds],
        "costs": costs,
    }  # fmt: skip
    if costs:
        pair |= {"lut": sum(cost["lut"] for cost in costs), "latency_ns": max(cost["latency_ns"] for cost in costs)}
        print(f"{pair['lut']:,.0f} LUTs (estimate of networks and scores), {pair['latency_ns']:g} ns")
    return judge(scores, args.background, args.signals, args.output, args.corner, args.weights or NONE, {"pair": pair})


def menu_of(networks: Sequence[Network], cuts: tuple[int, int], prescale: float) -> Menu:
    """Seeds for the regions: each cut by itself (A, B and C), and one of `prescale` of all events (D among them)."""
    one, two = networks
    seeds = (Seed(REST, one.name, 0, (prescale,)), Seed(f"ABCD_{one.name}", one.name, cuts[0]),
             Seed(f"ABCD_{two.name}", two.name, cuts[1]))  # fmt: skip
    models = tuple(ModelRef(network.name, network.hash) for network in networks)
    return Menu(models, one.spec_hash, seeds)


def costs_of(models: Sequence[str]) -> list[dict[str, Any]]:
    """LUTs and latency of each model as `python -m firmware.cost` gives them. Raises `CheckError` when it fails."""
    command = [sys.executable, "-m", "firmware.cost", *map(str, models), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckError(f"the cost of the pair is not known: {last}; --no-cost does without")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    keys = ("name", "network_hash", "lut", "ff", "stages", "latency_cycles", "latency_ns", "fits", "reason")
    return [{key: one.get(key) for key in keys} for one in found]
