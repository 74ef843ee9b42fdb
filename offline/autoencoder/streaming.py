"""Events through a trained network, block by block in bounded memory and on several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ad40 import hdf5
from ad40.progress import Progress
from offline import scores
from offline import table as event_table
from offline.autoencoder.model import Trained
from offline.autoencoder.networks import Scorer
from offline.objects.read import open_objects
from offline.objects.selection import Cuts
from offline.rmm import matrix
from offline.rmm.layout import Layout
from offline.table import Table

_READ = 8192  # events read at a time
_SCORED = 1024  # events in the network at a time: what fits a cache


def write_table(path: Path, files: Sequence[Path], trained: Trained, events: Path | None = None) -> None:
    """The event table of event files, with the selection that the network was trained with."""
    inputs = trained.inputs
    with ExitStack() as stack:
        sources = [stack.enter_context(open_objects(f, events=events, counts=inputs["counts"])) for f in files]
        event_table.write(path, sources, streams=inputs["streams"], spectra=inputs["spectra"],
                          layout=trained.layout, cuts=Cuts(**inputs["cuts"]))  # fmt: skip


def score_table(table: Table, trained: Trained, output: Path, threads: int = 1, keep: bool = False) -> None:
    """Write the score file of a table in bounded memory. keep: with all of the table but the matrices in it."""

    def also(file: h5py.File) -> None:
        if keep:
            with hdf5.open_file(table.path) as source:
                file.attrs[event_table.ATTRIBUTE] = source.attrs[event_table.ATTRIBUTE]
                for name in ("masses", "streams", "columns"):
                    source.copy(name, file)

    pieces = score_blocks(table, trained.scorer, threads)
    scores.write(output, table, pieces, trained.trained_on(table), model=trained.name, hash=trained.hash, also=also)


def score_blocks(table: Table, scorer: Scorer, threads: int = 1) -> Iterator[NDArray[np.float32]]:
    """Scores of the events of a table in their order, piece by piece; a few blocks are in memory at once."""
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    with Progress(table.n, "score") as progress, ThreadPoolExecutor(threads) as pool:

        def first() -> NDArray[np.float32]:
            piece = waiting.popleft().result()
            progress.update(len(piece))
            return piece

        try:
            for start, stop in table.blocks(_READ):
                waiting.append(pool.submit(_score, scorer, table.sparse(start, stop), table.layout))
                if len(waiting) > threads:
                    yield first()
            while waiting:
                yield first()
        finally:
            for future in waiting:
                future.cancel()


def _score(scorer: Scorer, rows: matrix.Sparse, layout: Layout) -> NDArray[np.float32]:
    out = np.empty(len(rows.indptr) - 1, np.float32)
    for start in range(0, len(out), _SCORED):
        indptr = rows.indptr[start : start + _SCORED + 1]
        cells = slice(int(indptr[0]), int(indptr[-1]))
        piece = matrix.Sparse(indptr - indptr[0], rows.indices[cells], rows.values[cells])
        out[start : start + _SCORED] = scorer.score(matrix.dense(piece, layout, layout.inputs))
    return out
