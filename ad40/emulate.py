"""`ad40 emulate`: what the board computes: the integer scores of an event file, or the outputs for a pattern file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, hdf5, objects, patterns, record, spec, ugt
from ad40.errors import InputError
from ad40.events import open_events
from ad40.menu import Decision, MenuState, seed_bits
from ad40.model import Trigger, read_trigger
from ad40.progress import Progress
from ad40.trigger import CHUNK

HELP = "write the integer score and the seed bits of every event, or the outputs that a pattern file must give"
EPILOG = """\
With EVENTS.h5, OUTPUT is HDF5 with hw_score (int32; of further models hw_score_<name>), seeds_before and seeds_after
(bit masks), a row for each event. --inputs writes the same events as patterns for the input lanes too.
With --patterns, OUTPUT is a pattern file: of EMP and APx files the output lane; of vectors of the global trigger the
same vectors with algorithm bits (seeds before prescale) and final OR (the request) replaced. Names that end in .gz
are compressed.
examples: ad40 emulate events.h5 --model models/ad40_v1 --output scores.h5 --inputs lanes.txt
          ad40 emulate --patterns lanes.txt --model models/ad40_v1 --output expected.txt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", type=Path, nargs="?", metavar="EVENTS.h5", help="ADC2021 or hardware sample")
    parser.add_argument("--patterns", type=Path, metavar="FILE", help="EMPv2, APx or global trigger vectors instead")
    defaults.add_board_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="OUTPUT", help="what to write; see below")
    parser.add_argument("--format", choices=patterns.FORMATS, dest="form",
                        help="format of the patterns to write (default that of --patterns, else emp)")  # fmt: skip
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="with EVENTS.h5: write them as patterns too")
    parser.add_argument("--clock", metavar="NAME",
                        help="configuration of spec/latency.yaml for lanes written from events or vectors")  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    if (args.events is None) == (args.patterns is None):
        found = "neither" if args.events is None else "both"
        raise InputError("command line", "EVENTS.h5 and --patterns", found, "one of the two")
    latency, board = spec.latency(args.clock), read_trigger(args.model, args.menu)
    if args.patterns is None:
        if args.form and not args.inputs:
            raise InputError("command line", "--format", args.form, "--inputs with it: the scores are HDF5")
        return _events(args, board, latency)
    if args.inputs:
        raise InputError("command line", "--inputs", args.inputs, "EVENTS.h5 with it")
    return _patterns(args, board, latency)


def _events(args: argparse.Namespace, board: Trigger, latency: spec.LatencySpec) -> dict[str, Any]:
    state, names = MenuState(board.menu), record.score_columns(board)
    counts = _Counts(board)
    words: list[NDArray[np.uint64]] = []
    with open_events(args.events) as source, hdf5.create(args.output) as file, Progress(source.n, "emulate") as bar:
        columns = dict.fromkeys(names, np.int32) | {"seeds_before": np.uint32, "seeds_after": np.uint32}
        for name, kind in columns.items():
            file.create_dataset(name, (source.n,), kind)
        for start, codes in source.chunks(CHUNK):
            rows = slice(start, start + len(codes))
            score = board.score(codes)
            decision = state.decide(score)
            counts.add(score, decision)
            for name, column in zip(names, score.T, strict=True):
                file[name][rows] = column
            file["seeds_before"][rows] = seed_bits(decision.seeds_before)
            file["seeds_after"][rows] = seed_bits(decision.seeds_after)
            if args.inputs:
                words.append(objects.pack(codes))
            bar.update(len(codes))
        file.attrs.update(
            spec_hash=board.menu.spec_hash, menu_hash=board.menu.hash,
            model_hashes=[network.hash for network in board.networks],
            score_fractions=[network.score_fraction for network in board.networks],
            seeds=[seed.name for seed in board.menu.seeds],
        )  # fmt: skip
        if args.inputs:  # inside, so that a fault here leaves neither file
            together = np.concatenate(words) if words else np.zeros((0, objects.N_OBJECTS), np.uint64)
            _write_inputs(args, together, latency)
    return counts.report(args.output)


def _write_inputs(args: argparse.Namespace, words: NDArray[np.uint64], latency: spec.LatencySpec) -> None:
    if args.form == "ugt":
        patterns.write(args.inputs, ugt.from_words(words))
    else:
        patterns.write(args.inputs, patterns.from_words(words, latency), args.form)


def _patterns(args: argparse.Namespace, board: Trigger, latency: spec.LatencySpec) -> dict[str, Any]:
    form, given = patterns.read_any(args.patterns)
    to = args.form or form
    faults: NDArray[np.uint8] | None = None
    if isinstance(given, ugt.Vectors):
        words, bad, name = ugt.to_words(given), np.zeros(len(given), np.bool_), "ad40"
    else:
        received = patterns.receive(given, str(args.patterns))
        words, bad, name, faults = received.words, received.bad, given.board, received.faults
        if args.clock and received.clocks_per_bx != latency.clocks_per_bx:
            raise InputError(args.patterns, "clocks per BX", received.clocks_per_bx,
                             f"{latency.clocks_per_bx}, those of {args.clock}")  # fmt: skip
        latency = replace(latency, clocks_per_bx=received.clocks_per_bx)
    with Progress(len(words), "emulate", "bunch crossings") as bar:
        score = board.score(objects.unpack(words))
        bar.update(len(words))
    decision = MenuState(board.menu).decide(score, bad)
    if to == "ugt":
        vectors = given if isinstance(given, ugt.Vectors) else ugt.from_words(words)
        patterns.write(args.output, ugt.with_decision(vectors, decision))
    else:
        patterns.write(args.output, patterns.from_decisions(decision, score, latency, bad, name), to)
    counts = _Counts(board)
    counts.add(score, decision)
    summary = counts.report(args.output) | {"patterns": str(args.patterns), "format": form, "bad": int(bad.sum())}
    if faults is not None:
        lanes = [lane.name for lane in spec.links().lanes]
        summary["frame_faults"] = {
            fault: dict(zip(lanes, (faults == code).sum(axis=0).tolist(), strict=True))
            for fault, code in patterns.FAULTS.items()
        }
        if bad.any():
            print(f"  {int(bad.sum()):,} bunch crossings with a fault on the links")
    return summary


class _Counts:
    """Ranges of scores and firings of seeds, over chunks."""

    def __init__(self, board: Trigger) -> None:
        self._board = board
        self._n = self._requests = self._l1a = 0
        self._spans: list[list[int]] | None = None
        self._before = np.zeros(len(board.menu.seeds), np.int64)
        self._after = np.zeros(len(board.menu.seeds), np.int64)

    def add(self, score: NDArray[np.int32], decision: Decision) -> None:
        low, high = score.min(axis=0).tolist(), score.max(axis=0).tolist()
        for span, a, b in zip(self._spans or [], low, high, strict=False):
            span[:] = [min(span[0], a), max(span[1], b)]
        self._spans = self._spans or [[a, b] for a, b in zip(low, high, strict=True)]
        self._n += len(score)
        self._before += decision.seeds_before.sum(axis=0)
        self._after += decision.seeds_after.sum(axis=0)
        self._requests += int(decision.request.sum())
        self._l1a += int(decision.l1a.sum())

    def report(self, output: Path) -> dict[str, Any]:
        """Print the figures and return them."""
        networks = self._board.networks
        print(f"{self._n:,} scores in {output}, {self._l1a:,} accepted")
        for network, span in zip(networks, self._spans or [], strict=False):
            print(f"  {network.name}: scores from {span[0]} to {span[1]}")
        models = [
            {"name": network.name, "hash": network.hash, "hw_score_range": self._spans[i] if self._spans else None}
            for i, network in enumerate(networks)
        ]
        rows = zip(self._board.menu.seeds, self._before.tolist(), self._after.tolist(), strict=True)
        seeds = [{"name": seed.name, "before": before, "after": after} for seed, before, after in rows]
        return {"events": self._n, "models": models, "menu_hash": self._board.menu.hash, "seeds": seeds,
                "requests": self._requests, "l1a": self._l1a, "output": str(output)}  # fmt: skip
