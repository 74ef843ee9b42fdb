"""Pseudo-experiments of many spectra at once: each exactly Poisson of its background, all correlated as the data are.

One event enters the spectra of several masses, streams and nested anomaly regions, so a fluctuation in one comes with
one in others. Spectra thrown independently would overstate how many places there were to look, and toys that share
nothing cannot tell how often the most extreme of a thousand nested spectra is extreme.

How a toy is made:

1. *Event bootstrap.* Each event of the data occurs Poisson(1) times (m events in the same bins of the same spectra
   together Poisson(m) times). A bin with n events of the data then holds k ~ Poisson(n), bins of one spectrum are
   independent, and two bins of different spectra have the correlation n_shared / sqrt(n_a n_b): the estimate from the
   data of what it truly is.
2. *Probability-integral transform.* k is made uniform, u = P(Poisson(n) < k) + v P(Poisson(n) = k) with v uniform in
   (0, 1), and u is made the count: the smallest c with P(Poisson(b) <= c) >= u. As the law of k is known exactly, so
   is that of c: Poisson(b), b the fitted background of the bin, whatever n is. An excess in the data does not reach
   the toys. The map is monotone and keeps the correlation, up to the discreteness of small counts. v belongs to the
   first event of the bin: two bins of the same events use the same v, two bins that share a part of their events do
   so with the chance of that part (MinHash; Broder 1997).
3. *Empty bins.* Where the data have no event there is nothing to resample. If the next looser region has the bin,
   the count comes from its count c there by thinning, Binomial(c, b / b_looser), or by adding Poisson(b - b_looser)
   where the fits cross: both are exactly Poisson(b), with the covariance min(b, b_looser) that nested regions truly
   have. Otherwise the bin is thrown by itself. Either way by random numbers that belong to the first event of the
   nearest filled bin below, so that streams that share their events there fluctuate together here. Correlations that
   are lost make the toys more independent and the global p-value larger, not smaller.

Why not event weights raked to the backgrounds (iterative proportional fitting), as this project did before: hundreds
of nested spectra, each with its own fit, ask for contradictory weights of the same few events. The iteration does not
converge, what it leaves must be thrown independently, and a signal in the data must be weighted away event by event.

All random numbers are functions of (seed, number of the toy, event or bin): toy k is the same whoever makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error
from offline.statistics.poisson import key_of, quantile, subkey, table, uniform

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WEIGHT, _TIE, _ALONE = 0, 1, 2  # purposes of random numbers
_MANY = 1 << 16  # more than there are bins or regions


@dataclass(frozen=True)
class Shared:
    """Where each of E events enters. One spectrum is one stream, mass and region.

    bins: int16 (E, M), the bin of the event in each mass, -1 for none. streams: uint32 (E,), bit k for stream k.
    level: int16 (E,), how many of the nested regions, loosest first, hold the event.
    """

    bins: NDArray[np.int16]
    streams: NDArray[np.uint32]
    level: NDArray[np.int16]

    def __post_init__(self) -> None:
        n = len(self.bins)
        if self.bins.ndim != 2 or self.streams.shape != (n,) or self.level.shape != (n,):
            raise Ad40Error(
                f"shapes {self.bins.shape}, {self.streams.shape}, {self.level.shape}; expected (E, M), (E,), (E,)"
            )

    def counts(self, stream: int, mass: int, regions: int, n_bins: int) -> Ints:
        """Histograms (regions, n_bins) of one stream and mass, each region with the events of all tighter ones."""
        found = self.members(stream, mass) & (self.level > 0)
        place = (np.minimum(self.level[found], regions).astype(np.int64) - 1) * n_bins + self.bins[found, mass]
        exact = np.bincount(place, minlength=regions * n_bins).reshape(regions, n_bins)
        return exact[::-1].cumsum(axis=0)[::-1]

    def members(self, stream: int, mass: int) -> NDArray[np.bool_]:
        """Which events (E,) of a stream have the mass, in any region."""
        return (self.bins[:, mass] >= 0) & ((self.streams >> np.uint32(stream)) & np.uint32(1)).astype(bool)


def share(
    masses: ArrayLike,
    edges: Sequence[Floats],
    streams: ArrayLike | None = None,
    score: ArrayLike | None = None,
    thresholds: ArrayLike = (),
) -> Shared:
    """Bins, streams and regions of events.

    masses: (E, M) [GeV], NaN where the event has none. edges: of each mass. streams: (E,) bit masks; without them
    all events are in stream 0. score: (E,), thresholds: (R,) rising: region r holds score >= thresholds[r]; without
    them all events are in one region. An event whose score is not a number is in no region.
    """
    x = np.asarray(masses, dtype=np.float64)
    limits = np.asarray(thresholds, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != len(edges):
        raise Ad40Error(
            f"masses of shape {x.shape}; expected (events, {len(edges)}), one column for each list of edges"
        )
    if (np.diff(limits) < 0).any() or np.isnan(limits).any():
        raise Ad40Error(f"thresholds {limits.tolist()}; expected them to rise, loosest region first")
    bins = np.full(x.shape, -1, dtype=np.int16)
    for m, e in enumerate(edges):
        inside = (x[:, m] >= e[0]) & (x[:, m] < e[-1])  # False for NaN
        bins[inside, m] = np.searchsorted(e, x[inside, m], side="right") - 1
    level = np.ones(len(x), dtype=np.int16)
    if score is not None:
        value = np.asarray(score, dtype=np.float64)
        level = np.where(np.isnan(value), 0, np.searchsorted(limits, value, side="right")).astype(np.int16)
    bits = np.ones(len(x), dtype=np.uint32) if streams is None else np.asarray(streams).astype(np.uint32)
    return Shared(bins, bits, level)


@dataclass(frozen=True)
class Background:
    """One spectrum to throw: expected counts (B,), above 0, of the bins from `start` on of a stream, mass, region."""

    stream: int
    mass: int
    region: int
    start: int
    expected: Floats


@dataclass(frozen=True)
class Events:
    """The events of the data as the bootstrap wants them: those in the same cells are one, that occurs several times.

    first: (K + 1,), cells: (first[-1],): the cells of kind k of event are cells[first[k] : first[k + 1]].
    event: (K,) the first event of the kind. law: (K,) index of the kind's number of events in the tables.
    start, low: (N + 1,), (N,): for each number its cumulative Poisson law in `laws`, and the count where that begins.
    """

    first: Ints
    cells: NDArray[np.int32]
    event: Ints
    law: Ints
    start: Ints
    low: Ints
    laws: Floats

    @classmethod
    def of(cls, events: Ints, cells: Ints) -> Events:
        """From pairs (event, cell), each pair once, the cells of an event in the same order as those of any other."""
        by_event = np.argsort(events, kind="stable")
        cells = cells[by_event]
        found, begin, size = np.unique(events[by_event], return_index=True, return_counts=True)
        # two sets of cells are the same when the sums of their cells' random 64-bit numbers are
        numbers = np.random.default_rng(0).integers(2**64, size=int(cells.max(initial=0)) + 1, dtype=np.uint64)
        names = np.add.reduceat(numbers[cells], begin) if len(found) else np.empty(0, np.uint64)
        _, kind, times = np.unique(names, return_index=True, return_counts=True)
        in_order = np.argsort(kind)
        kind, times = kind[in_order], times[in_order]
        first = np.concatenate([[0], np.cumsum(size[kind])]).astype(np.int64)
        places = np.arange(first[-1]) + np.repeat(begin[kind] - first[:-1], size[kind])
        values, law = np.unique(times, return_inverse=True)
        tables = [table(float(value)) for value in values]
        start = np.concatenate([[0], np.cumsum([len(t) for _, t in tables])]).astype(np.int64)
        laws = np.concatenate([np.empty(0), *(t for _, t in tables)])
        low = np.array([low for low, _ in tables], dtype=np.int64)
        return cls(first, cells[places].astype(np.int32), found[kind], law.astype(np.int64), start, low, laws)


@dataclass(frozen=True)
class Sampler:
    """Draws toys of all spectra together. Build it with `Sampler.of`.

    Cells are (stream, mass), region, bin; `above` (C,) is the cell of the next tighter region, -1 for none. Places are
    the bins of all spectra one after the other; for each place (P,): `cell`, the events of the data `n`, the
    background `b`, `owner`, the first event of the bin or of the nearest filled one below (-1 for none), `looser`, the
    place of the same bin in the next looser region or -1, and `name`, a number of mass, region and bin.
    `order`: places, loosest first. sizes: bins of each spectrum.
    """

    events: Events
    above: NDArray[np.int32]
    cell: Ints
    n: Ints
    b: Floats
    owner: Ints
    looser: Ints
    name: Ints
    order: Ints
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, shared: Shared, wanted: Sequence[Background]) -> Sampler:
        """Prepare to throw these spectra. Each may be given once."""
        keys = [(w.stream, w.mass, w.region) for w in wanted]
        if len(set(keys)) < len(keys):
            raise Ad40Error("a spectrum is listed twice")
        sizes = tuple(len(w.expected) for w in wanted)
        begin = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        cell, n, owner, looser, name = (np.full(begin[-1], -1, dtype=np.int64) for _ in range(5))
        above, pairs = [np.empty(0, np.int32)], [np.empty((2, 0), np.int64)]
        base = 0
        for stream, mass in sorted({key[:2] for key in keys}):
            group = sorted((w.region, i) for i, w in enumerate(wanted) if keys[i][:2] == (stream, mass))
            low = min(wanted[i].start for _, i in group)
            width = max(wanted[i].start + sizes[i] for _, i in group) - low
            size = len(group) * width
            # the regions between two wanted ones are one step: an event is in the tightest wanted region that it is in
            step = np.searchsorted([region for region, _ in group], shared.level - 1, side="right") - 1
            bins = shared.bins[:, mass].astype(np.int64) - low
            inside = np.flatnonzero(shared.members(stream, mass) & (step >= 0) & (bins >= 0) & (bins < width))
            places = step[inside] * width + bins[inside]
            pairs.append(np.stack([inside, base + places]))
            tighter = np.arange(base + width, base + width + size, dtype=np.int32)
            tighter[size - width :] = -1
            above.append(tighter)
            lowest = np.full(size, len(bins), dtype=np.int64)
            np.minimum.at(lowest, places, inside)
            lowest = np.minimum.accumulate(lowest.reshape(-1, width)[::-1], axis=0)[::-1]
            total = np.bincount(places, minlength=size).reshape(-1, width)[::-1].cumsum(axis=0)[::-1]
            for rank, (region, i) in enumerate(group):
                offset = wanted[i].start - low
                columns, at = np.arange(offset, offset + sizes[i]), slice(begin[i], begin[i + 1])
                cell[at], n[at] = base + rank * width + columns, total[rank, columns]
                nearest = np.maximum.accumulate(np.where(total[rank] > 0, np.arange(width), -1))[columns]
                owner[at] = np.where(nearest >= 0, lowest[rank, nearest], -1)
                name[at] = ((mass * _MANY + region) * _MANY) + low + columns
                if rank:
                    j = group[rank - 1][1]
                    there = columns - (wanted[j].start - low)
                    looser[at] = np.where((there >= 0) & (there < sizes[j]), begin[j] + there, -1)
            base += size
        by_region = sorted(range(len(keys)), key=lambda i: keys[i][2])
        order = np.concatenate([np.empty(0, np.int64), *(np.arange(begin[i], begin[i + 1]) for i in by_region)])
        b = np.concatenate([np.empty(0), *(np.asarray(w.expected, dtype=np.float64) for w in wanted)])
        events = Events.of(*np.concatenate(pairs, axis=1))
        return cls(events, np.concatenate(above), cell, n, b, owner, looser, name, order, sizes)

    @property
    def shared(self) -> float:
        """Part of the expected counts in bins that have events of the data, so that their correlations are kept."""
        return float(self.b[self.n > 0].sum() / self.b.sum()) if len(self.b) else 1.0

    def draw(self, first: int, n: int, seed: int) -> list[NDArray[np.int32]]:
        """Toys first .. first + n - 1 of a seed: for each spectrum the counts (n, B)."""
        counts = np.zeros((n, len(self.above)), dtype=np.int32)
        e = self.events
        _bootstrap(e.first, e.cells, e.event, e.law, e.start, e.low, e.laws, self.above, first, seed, counts)
        thrown = np.empty((len(self.cell), n), dtype=np.int32)
        _throw(
            counts.T.copy(), self.cell, self.n, self.b, self.owner, self.looser, self.name, self.order,
            first, seed, thrown,
        )  # fmt: skip
        ends = np.cumsum(self.sizes)
        return [np.ascontiguousarray(thrown[end - size : end].T) for size, end in zip(self.sizes, ends, strict=True)]


@numba.njit(nogil=True, cache=True)
def _bootstrap(
    first: Ints,
    cells: NDArray[np.int32],
    event: Ints,
    law: Ints,
    start: Ints,
    low: Ints,
    laws: Floats,
    above: NDArray[np.int32],
    toy: int,
    seed: int,
    counts: NDArray[np.int32],
) -> None:
    """Step 1: counts (T, C) of each cell, each with the tighter regions in it."""
    for t in range(counts.shape[0]):
        key, row = key_of(seed, _WEIGHT, toy + t), counts[t]
        for k in range(len(event)):
            i = law[k]
            u, times = uniform(key, event[k]), 0
            if start[i + 1] - start[i] < 40:  # few events: the answer is near the beginning of the table
                while u > laws[start[i] + times]:
                    times += 1
            else:
                times = quantile(u, low[i], laws[start[i] : start[i + 1]])
            if times:
                for c in range(first[k], first[k + 1]):
                    row[cells[c]] += times
        for c in range(len(above) - 1, -1, -1):
            if above[c] >= 0:
                row[c] += row[above[c]]


@numba.njit(nogil=True, cache=True)
def _throw(
    counts: NDArray[np.int32],
    cell: Ints,
    n: Ints,
    b: Floats,
    owner: Ints,
    looser: Ints,
    name: Ints,
    order: Ints,
    toy: int,
    seed: int,
    thrown: NDArray[np.int32],
) -> None:
    """Steps 2 and 3: bootstrap counts (C, T) to Poisson(b) counts (P, T)."""
    n_toys = counts.shape[1]
    tie, alone = np.empty(n_toys, dtype=np.uint64), np.empty(n_toys, dtype=np.uint64)
    for t in range(n_toys):
        tie[t], alone[t] = key_of(seed, _TIE, toy + t), key_of(seed, _ALONE, toy + t)
    for p in order:
        near = looser[p]
        if n[p] > 0:
            from_first, from_table = table(float(n[p]))
            to_first, to_table = table(b[p])
            for t in range(n_toys):
                k = counts[cell[p], t] - from_first
                below = from_table[min(k, len(from_table)) - 1] if k > 0 else 0.0
                upto = from_table[k] if 0 <= k < len(from_table) else (1.0 if k >= 0 else 0.0)
                thrown[p, t] = quantile(below + uniform(tie[t], owner[p]) * (upto - below), to_first, to_table)
        elif near >= 0 and b[near] >= b[p]:
            part = b[p] / b[near]
            for t in range(n_toys):
                key, kept = subkey(alone[t], name[p], owner[p]), 0
                for i in range(thrown[near, t]):
                    kept += uniform(key, i) < part
                thrown[p, t] = kept
        else:
            to_first, to_table = table(b[p] - b[near] if near >= 0 else b[p])
            for t in range(n_toys):
                more = quantile(uniform(subkey(alone[t], name[p], owner[p]), 0), to_first, to_table)
                thrown[p, t] = more + (thrown[near, t] if near >= 0 else 0)
