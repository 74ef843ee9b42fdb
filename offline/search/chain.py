"""The chain of stages: each leaves DIR/<stage>.json, and is done again only when what it used has changed.

A stage's key is the hash of its part of the analysis document, of its input files, and of what the stages before it
made. What it made is the hash of its result and of its files. So a change runs the stages that depend on it and no
other, an interrupted search goes on where it was, and a file that was changed or removed by hand is made again.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ad40 import __version__
from ad40.errors import Ad40Error, InputError, OutputError
from ad40.files import file_hash, read_json, sha256_of, write_json
from offline.search.analysis import Analysis


@dataclass
class Context:
    """What a stage works with: the analysis, the output folder, worker processes, and results of finished stages."""

    analysis: Analysis
    folder: Path
    jobs: int
    extra: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Place of an output file."""
        return self.folder / name


Work = Callable[[Context], tuple[dict[str, Any], list[Path]]]


@dataclass(frozen=True)
class Stage:
    """One step.

    after: stages whose output it reads. parts: keys of the analysis that it depends on. inputs: hashes of what it
    reads from outside. skip: why it is not done in this analysis, or None. work: does it; returns the result (JSON
    types) and the files it wrote in the folder.
    """

    name: str
    after: tuple[str, ...]
    parts: tuple[str, ...]
    work: Work
    skip: Callable[[Analysis], str | None] = lambda analysis: None
    inputs: Callable[[Context], Any] = lambda context: None

    def key(self, context: Context) -> str:
        """Hash of everything that decides the result."""
        before = {name: context.made.get(name) for name in self.after}
        used = context.analysis.part(*self.parts)
        return sha256_of([__version__, self.name, used, before, self.inputs(context)])


def run(stages: Sequence[Stage], context: Context, until: str) -> None:
    """Run the stages up to `until`, reusing what is there. Fills `context`."""
    names = [stage.name for stage in stages]
    wanted = stages[: names.index(until) + 1]
    with _alone(context.folder):
        for i, stage in enumerate(wanted, 1):
            label = f"stage {i}/{len(wanted)} {stage.name}"
            reason = stage.skip(context.analysis)
            if reason:
                context.skipped[stage.name] = reason
                _say(f"{label}: left out, {reason}")
                continue
            key = stage.key(context)
            document = _finished(context.path(f"{stage.name}.json"), key, context.folder)
            if document is None:
                _say(label)
                document = _do(stage, key, context)
                _say(f"{label}: done in {document['seconds']:.1f} s")
            else:
                _say(f"{label}: reused")
            context.results[stage.name] = document["result"]
            context.made[stage.name] = document["made"]
            context.seconds[stage.name] = document["seconds"]


def _do(stage: Stage, key: str, context: Context) -> dict[str, Any]:
    start = time.monotonic()
    result, files = stage.work(context)
    hashes = {str(path.relative_to(context.folder)): file_hash(path) for path in files}
    document = {
        "stage": stage.name,
        "ad40": __version__,
        "key": key,
        "made": sha256_of([result, hashes]),
        "seconds": time.monotonic() - start,
        "files": hashes,
        "result": result,
    }
    write_json(context.path(f"{stage.name}.json"), document)
    return document


def _finished(path: Path, key: str, folder: Path) -> dict[str, Any] | None:
    """The document of a stage that was done with this key and whose files are as it left them."""
    try:
        document = read_json(path)
        if document["key"] != key or document["made"] != sha256_of([document["result"], document["files"]]):
            return None
        if any(file_hash(folder / name) != value for name, value in document["files"].items()):
            return None
    except (Ad40Error, OSError, KeyError, TypeError, AttributeError):
        return None
    return dict(document)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second search out of the same folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise OutputError(folder, error.strerror or str(error)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(folder, "output folder", "in use", "one search at a time in a folder") from error
        yield


def _say(text: str) -> None:
    print(f"search: {text}", file=sys.stderr, flush=True)
