"""`ad40 emulate`: what the board computes: the integer scores of an event file, or the outputs for a pattern file."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, expect, hdf5, objects, patterns, record, spec, ugt, workers
from ad40.differences import Differences
from ad40.errors import CheckError, InputError
from ad40.events import open_events
from ad40.menu import Decision, MenuState, seed_bits
from ad40.model import Trigger, read_trigger
from ad40.progress import Progress
from ad40.stream import scored

HELP = "write the integer score and the seed bits of every event, or the outputs that a pattern file must give"
EPILOG = """\
With EVENTS, OUTPUT is HDF5 with hw_score (int32; of further models hw_score_<name>), seeds_before and seeds_after
(bit masks), a row for each event. --inputs writes the same events as patterns for the input lanes too. Of several
files each is a run of its own, with its scores in OUTPUT/<folder>/<name>.h5 (docs/scale.md).
With --patterns, OUTPUT is a pattern file: of EMP and APx files the output lane; of vectors of the global trigger the
same vectors with algorithm bits (seeds before prescale) and final OR (the request) replaced. Names that end in .gz
are compressed.
--expect holds every bit of such an OUTPUT, made before, against what comes out now; the exit code is 1 and the orbit,
BX, word and field are named where one differs.
examples: ad40 emulate events.h5 --model ad40_v1 --output scores.h5 --inputs lanes.txt
          ad40 emulate ZB_run398183/*.parquet --output build/scores --workers 8
          ad40 emulate --patterns lanes.txt --model ad40_v1 --output expected.txt
          ad40 emulate --patterns lanes.txt --model ad40_v1 --expect expected.txt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", type=Path, nargs="*", metavar="EVENTS",
                        help="ADC2021, hardware sample or parquet of the CMS Level-1 data set")  # fmt: skip
    parser.add_argument("--patterns", type=Path, metavar="FILE", help="EMPv2, APx or global trigger vectors instead")
    defaults.add_board_options(parser)
    parser.add_argument("--output", type=Path, metavar="OUTPUT", help="what to write; see below")
    parser.add_argument("--expect", type=Path, metavar="EXPECTED", help="fail unless this is what comes out; see below")
    parser.add_argument("--format", choices=patterns.FORMATS, dest="form",
                        help="format of the patterns to write (default that of --patterns, else emp)")  # fmt: skip
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="with EVENTS.h5: write them as patterns too")
    parser.add_argument("--clock", metavar="NAME",
                        help="configuration of spec/latency.yaml for lanes written from events or vectors")  # fmt: skip
    workers.add_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if bool(args.events) == bool(args.patterns):
        found = "both" if args.events else "neither"
        raise InputError("command line", "EVENTS and --patterns", found, "one of the two")
    if args.output is None and args.expect is None:
        raise InputError("command line", "--output and --expect", "neither", "at least one of the two")
    latency, board = spec.latency(args.clock), read_trigger(args.model, args.menu)
    if args.patterns is None:
        if args.form and not args.inputs:
            raise InputError("command line", "--format", args.form, "--inputs with it: the scores are HDF5")
        if len(args.events) > 1 or args.cluster:
            return _many(args, board)
        summary, differences = _events(args.events[0], args.output, board, args, latency)
        _show(summary)
        return _compared(args.expect, differences, summary) if differences is not None else summary
    if args.inputs:
        raise InputError("command line", "--inputs", args.inputs, "EVENTS with it")
    return _patterns(args, board, latency)


def _job(file: Path, output: Path, board: Trigger) -> dict[str, Any]:
    """One file of several, on one thread: the parallel work is that of the files."""
    return _events(file, output, board, threads=1)[0]


def _many(args: argparse.Namespace, board: Trigger) -> dict[str, Any]:
    """The scores of each file, below the output folder."""
    for option in ("inputs", "expect"):
        if getattr(args, option):
            raise InputError("command line", f"--{option}", getattr(args, option), "one file of events with it")
    if args.output.exists() and not args.output.is_dir():
        raise InputError(args.output, "output", "a file", "a folder, for several files of events")
    files = workers.ordered(args.events)
    jobs = [workers.Job(_job, file, workers.output_of(file, args.output), {"board": board}) for file in files]
    done, failures = workers.run_all(jobs, args.cluster, args.workers, args.retries)
    for _, summary in done:
        _show(summary)
    parts = [{"file": str(file), **summary} for file, summary in done]
    return workers.conclude({"files": parts, "events": sum(part["events"] for part in parts)}, failures)


def _events(
    events: Path,
    output: Path | None,
    board: Trigger,
    args: argparse.Namespace | None = None,
    latency: spec.LatencySpec | None = None,
    threads: int | None = None,
) -> tuple[dict[str, Any], Differences | None]:
    """Scores of a file; with the arguments --inputs and --expect of `args` also patterns and differences."""
    expected_path, inputs = (args.expect, args.inputs) if args else (None, None)
    state, names = MenuState(board.menu), record.score_columns(board)
    counts = _Counts(board)
    words: list[NDArray[np.uint64]] = []
    with open_events(events) as source, ExitStack() as stack:
        expected = stack.enter_context(expect.open_scores(expected_path, board, source.n)) if expected_path else None
        file = stack.enter_context(hdf5.create(output)) if output else None
        bar = stack.enter_context(Progress(source.n, "emulate"))
        if file is not None:
            for name, kind in expect.score_kinds(board).items():
                file.create_dataset(name, (source.n,), kind)
            file.attrs.update(expect.score_attributes(board))
        for start, codes, score, _ in scored(source, board, threads=threads):
            rows = slice(start, start + len(codes))
            decision = state.decide(score)
            counts.add(score, decision)
            columns: dict[str, NDArray[np.integer]] = dict(zip(names, score.T, strict=True))
            columns["seeds_before"] = seed_bits(decision.seeds_before)
            columns["seeds_after"] = seed_bits(decision.seeds_after)
            if file is not None:
                for name, column in columns.items():
                    file[name][rows] = column
            if expected is not None:
                expected.compare(start, columns)
            if inputs:
                words.append(objects.pack(codes))
            bar.update(len(codes))
        if args and latency and inputs:  # inside, so that a fault here leaves neither file
            together = np.concatenate(words) if words else np.zeros((0, objects.N_OBJECTS), np.uint64)
            _write_inputs(args, together, latency)
    return counts.summary(output), expected.differences if expected is not None else None


def _compared(path: Path, differences: Differences, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with the comparison; `CheckError` when something differs."""
    summary = summary | {"expected": str(path)} | differences.summary()
    if differences.wrong:
        raise CheckError(differences.sentence(path, "emulator"), summary)
    print(f"  every bit as in {path}")
    return summary


def _write_inputs(args: argparse.Namespace, words: NDArray[np.uint64], latency: spec.LatencySpec) -> None:
    if args.form == "ugt":
        patterns.write(args.inputs, ugt.from_words(words))
    else:
        patterns.write(args.inputs, patterns.from_words(words, latency), args.form)


def _patterns(args: argparse.Namespace, board: Trigger, latency: spec.LatencySpec) -> dict[str, Any]:
    form, given = patterns.read_any(args.patterns)
    expected_form, expected = patterns.read_any(args.expect) if args.expect else (form, None)
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

    def answer(to: str) -> patterns.Pattern | ugt.Vectors:
        if to == "ugt":
            vectors = given if isinstance(given, ugt.Vectors) else ugt.from_words(words)
            return ugt.with_decision(vectors, decision)
        return patterns.from_decisions(decision, score, latency, bad, name if to == "emp" else "")

    if args.output:
        to = args.form or form
        patterns.write(args.output, answer(to), to)
    counts = _Counts(board)
    counts.add(score, decision)
    summary = counts.summary(args.output)
    _show(summary)
    summary |= {"patterns": str(args.patterns), "format": form, "bad": int(bad.sum())}
    if faults is not None:
        lanes = [lane.name for lane in spec.links().lanes]
        summary["frame_faults"] = {
            fault: dict(zip(lanes, (faults == code).sum(axis=0).tolist(), strict=True))
            for fault, code in patterns.FAULTS.items()
        }
        if bad.any():
            print(f"  {int(bad.sum()):,} bunch crossings with a fault on the links")
    if expected is not None:
        wanted = answer(expected_form)
        found = expect.compare_patterns(args.expect, expected, wanted, board, latency.clocks_per_bx)
        return _compared(args.expect, found, summary)
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

    def summary(self, output: Path | None) -> dict[str, Any]:
        """The figures."""
        networks = self._board.networks
        models = [
            {"name": network.name, "hash": network.hash, "hw_score_range": self._spans[i] if self._spans else None}
            for i, network in enumerate(networks)
        ]
        rows = zip(self._board.menu.seeds, self._before.tolist(), self._after.tolist(), strict=True)
        seeds = [{"name": seed.name, "before": before, "after": after} for seed, before, after in rows]
        return {"events": self._n, "models": models, "menu_hash": self._board.menu.hash, "seeds": seeds,
                "requests": self._requests, "l1a": self._l1a, "output": str(output) if output else None}  # fmt: skip


def _show(summary: dict[str, Any]) -> None:
    """Print the figures."""
    output = summary["output"]
    print(f"{summary['events']:,} scores{f' in {output}' if output else ''}, {summary['l1a']:,} accepted")
    for model in summary["models"]:
        if model["hw_score_range"]:
            print(f"  {model['name']}: scores from {model['hw_score_range'][0]} to {model['hw_score_range'][1]}")
