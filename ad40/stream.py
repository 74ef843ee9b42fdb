"""Events of a file through the emulator of a board, in bounded memory and on all cores, in the order of the file.

One thread reads (HDF5 and parquet decompress without holding the interpreter), others make codes and scores of the
blocks that were read. What comes out does not depend on the number of threads, and what must see the events in order
(prescale counters, trigger rules) is left to the caller.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import HashMismatch
from ad40.model import Trigger

BLOCK = 32768  # events read at a time; a few blocks are in memory at once


class Source(Protocol):
    """What the readers of event files have in common."""

    kind: str
    n: int
    columns: tuple[str, ...]
    saturated: dict[str, int]
    attributes: dict[str, Any]

    def blocks(self, size: int = ..., columns: Sequence[str] = ()) -> Iterator[tuple[int, Any, dict[str, Any]]]:
        """(first event, rows as read, columns of these events) over the file."""
        ...

    def decode(self, raw: Any, first: int = 0) -> NDArray[np.int32]:
        """Codes int32 (m, 19, 3) of rows as read."""
        ...


class Scored(NamedTuple):
    """Consecutive events. codes int32 (m, 19, 3), score int32 (m, models), columns: arrays (m,)."""

    first: int
    codes: NDArray[np.int32]
    score: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scored(source: Source, board: Trigger, columns: Sequence[str] = (), threads: int | None = None) -> Iterator[Scored]:
    """The events of a file with their scores, block by block. threads: default all cores; 1 stays in this thread."""
    threads = threads or cores()
    if board.menu.spec_hash != spec.objects().hash:  # a board that came from another machine
        raise HashMismatch("menu", "spec_hash", board.menu.spec_hash, f"{spec.objects().hash}, the scales in use")

    def work(first: int, raw: Any) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        codes = source.decode(raw, first)
        return codes, board.score(codes)

    blocks = source.blocks(BLOCK, columns)
    if threads == 1:
        for first, raw, extra in blocks:
            yield Scored(first, *work(first, raw), extra)
        return
    _ = board.emulators  # made once, before the threads ask for them
    waiting: deque[tuple[int, Future[tuple[NDArray[np.int32], NDArray[np.int32]]], dict[str, NDArray[Any]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for first, raw, extra in blocks:
                waiting.append((first, pool.submit(work, first, raw), extra))
                if len(waiting) > threads:
                    first, done, extra = waiting.popleft()
                    yield Scored(first, *done.result(), extra)
            while waiting:
                first, done, extra = waiting.popleft()
                yield Scored(first, *done.result(), extra)
        finally:
            for _, future, _ in waiting:
                future.cancel()
