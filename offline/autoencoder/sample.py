"""The events that an autoencoder is trained on: chosen by what they are, not by where they stand in a file.

Each event has an identity: run, lumi section and event number, or, where events of generated samples share a
collision, the number of that collision (column `parent`), so that the copies of one stay together. A hash of seed and
identity is a number between 0 and 1; the events whose number is below the fraction are the sample. Any order or
selection of the files gives the same choice, and the numbers of two seeds are independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError

if TYPE_CHECKING:
    from offline.table import Table

BLOCK = 4096  # events whose cells are in memory at a time
SMALLEST = 20  # events, to train on anything
TRAINING_SHARE = 0.7  # of the sample; the rest decides when to stop, and which initialisation is kept

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]


def _mixed(x: Words) -> Words:
    """The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): any change of x changes every bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def identity_columns(table: Table) -> tuple[str, ...]:
    """The columns that say which event it is."""
    return ("parent",) if "parent" in table.columns else ("run", "lumi", "event")


def numbers(table: Table, seed: int) -> Words:
    """The hash of every event, uint64 (n,): uniform over all values, equal for events of equal identity."""
    mixed = _mixed(np.full(table.n, seed, np.uint64))
    for name in identity_columns(table):
        mixed = _mixed(mixed ^ table.column(name).astype(np.int64).view(np.uint64))
    return mixed


def chosen(number: Words, fraction: float) -> NDArray[np.bool_]:
    """The events of the sample, bool (n,), from their `numbers`."""
    return number < np.uint64(min(int(fraction * 2.0**64), 2**64 - 1))


@dataclass(frozen=True)
class Sample:
    """Cells of the chosen events, only those that are not 0, in the order of their numbers; 7 : 3 of them are for
    training and for validation. indptr int64 (n + 1,), cells int32 (column in 0..inputs-1), values float32."""

    inputs: int
    indptr: NDArray[np.int64]
    cells: NDArray[np.int32]
    values: Floats
    digest: str

    @property
    def n(self) -> int:
        return len(self.indptr) - 1

    @property
    def training(self) -> int:
        """How many of the events, the first ones, are for training."""
        return round(TRAINING_SHARE * self.n)

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """Cells float32 (m, inputs) of some events."""
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        event = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        at = np.arange(len(event)) + np.repeat(self.indptr[rows] - before, lengths)
        out = np.zeros((len(rows), self.inputs), np.float32)
        out[event, self.cells[at]] = self.values[at]
        return out


def read_sample(table: Table, fraction: float, seed: int) -> Sample:
    """The sample of a table. Raises `InputError` when it is too small to train on."""
    number = numbers(table, seed)
    rows = np.flatnonzero(chosen(number, fraction))
    if len(rows) < SMALLEST:
        expected = f"at least {SMALLEST}; a larger fraction or table"
        raise InputError(table.path, f"training sample, {fraction:g} of {table.n:,} events", len(rows), expected)
    inputs = table.layout.inputs
    lengths, cells, values = [], [], []
    for start in range(0, table.n, BLOCK):
        here = rows[(rows >= start) & (rows < start + BLOCK)]
        if len(here):
            dense = table.rmm(start, min(start + BLOCK, table.n), cells=inputs)[here - start]
            event, cell = np.nonzero(dense)
            lengths.append(np.bincount(event, minlength=len(here)))
            cells.append(cell.astype(np.int32))
            values.append(dense[event, cell])
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    unordered = Sample(len(inputs), indptr, np.concatenate(cells), np.concatenate(values), "")
    return _ordered(unordered, number[rows])


def _ordered(sample: Sample, number: Words) -> Sample:
    """Events in the order of their numbers, so that neither training nor validation depends on the file's order.

    Events that share a number (copies of one collision) are ordered by their content, and stay on one side of the
    7 : 3 split as far as the rounding goes.
    """
    event = np.repeat(np.arange(sample.n), np.diff(sample.indptr))
    content = np.bincount(event, sample.values, minlength=sample.n)
    order = np.lexsort((content, number))
    lengths = np.diff(sample.indptr)[order]
    at = np.repeat(sample.indptr[:-1][order] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    cells, values = sample.cells[at], sample.values[at]
    digest = sha256()
    for array in (np.sort(number), indptr, cells, values):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Sample(sample.inputs, indptr, cells, values, digest.hexdigest())


def sources(attributes: dict[str, Any]) -> set[str]:
    """SHA-256 of the files that a table was made from."""
    return {str(source["sha256"]) for source in attributes["sources"]}
