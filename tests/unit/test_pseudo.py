"""Pseudo-experiments of many spectra: exact Poisson marginals, the correlations of a known source, one answer."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ad40.errors import Ad40Error
from offline.statistics import poisson
from offline.statistics.pseudo import Background, Sampler, Shared, share
from offline.statistics.world import World

WORLD = World(events=4000)
BINS = len(WORLD.edges) - 1


def everything(shared: Shared, world: World, expected: np.ndarray) -> Sampler:
    """All spectra of a world, over all bins, with expected counts (streams, masses, regions, bins)."""
    shape = world.streams, world.masses, len(world.keep)
    return Sampler.of(shared, [Background(s, m, r, 0, expected[s, m, r]) for s, m, r in np.ndindex(*shape)])


def truth() -> np.ndarray:
    """Expected counts (streams, masses, regions, bins): the source is the same for all masses."""
    parts = np.array([1.0, WORLD.stream])[:, None, None, None] * np.array(WORLD.keep)[:, None]
    many = World(events=400_000).throw(np.random.default_rng(1))
    shape = many.counts(0, 0, 3, BINS) / many.counts(0, 0, 3, BINS).sum(axis=1, keepdims=True)
    return np.maximum(parts * shape * WORLD.events * WORLD.present, 1e-4) * np.ones((2, WORLD.masses, 3, BINS))


def poisson_fit(counts: np.ndarray, mean: float) -> float:
    """p-value of counts (T,) as draws of Poisson(mean): chi-squared over groups of numbers."""
    edges = [0]
    for k in range(int(mean + 8 * mean**0.5 + 20)):  # groups of at least 20 expected
        if len(counts) * (stats.poisson.cdf(k, mean) - stats.poisson.cdf(edges[-1] - 1, mean)) >= 20:
            edges.append(k + 1)
    below = np.append(stats.poisson.cdf(np.array(edges[:-1]) - 1, mean), [stats.poisson.cdf(edges[-1] - 1, mean), 1.0])
    expected = np.diff(below) * len(counts)
    found = np.histogram(counts, [*edges, np.inf])[0]
    if expected[-1] < 5:
        expected, found = np.append(expected[:-2], expected[-2:].sum()), np.append(found[:-2], found[-2:].sum())
    return float(stats.chisquare(found, expected).pvalue) if len(found) > 1 else 1.0


def test_every_bin_is_exactly_poisson_whatever_the_data_are() -> None:
    """Backgrounds far from the data, fits of nested regions that cross, empty bins: the law is that of the background."""
    rng = np.random.default_rng(2)
    bins = np.stack([rng.integers(0, 8, 600), rng.integers(-1, 8, 600)], axis=1).astype(np.int16)
    bins[bins[:, 0] == 7] = -1
    bins[:3, 0] = 6  # few events
    shared = Shared(bins, rng.integers(1, 4, 600).astype(np.uint32), rng.integers(1, 4, 600).astype(np.int16))
    means = np.array([120.0, 30.0, 7.5, 2.0, 0.6, 0.05, 5.0, 3.0])
    wanted = []
    for s, m, r in np.ndindex(2, 2, 3):
        factor = (1.0, 0.4, 0.9)[r]  # the third crosses the second
        wanted.append(Background(s, m, r, 0, means * factor * (1 + 0.1 * s + 0.2 * m)))
    n = 6000
    draws = Sampler.of(shared, wanted).draw(0, n, 3)
    p = [poisson_fit(c[:, k], b.expected[k]) for c, b in zip(draws, wanted, strict=True) for k in range(8)]
    assert min(p) > 1e-3 / len(p) and stats.kstest(np.array(p)[np.array(p) < 1], "uniform").pvalue > 1e-3
    for counts in draws:  # bins of one spectrum are independent
        off = np.corrcoef(counts.T)[np.triu_indices(8, 1)]
        assert np.abs(off).max() < 5 / np.sqrt(n)


def test_correlations_are_those_of_the_source() -> None:
    """Covariances of toys of several data sets against the true ones: the expected number of shared events."""
    rng, mean = np.random.default_rng(4), truth()
    n, sets = 600, 10
    draws = np.concatenate([
        np.stack(everything(WORLD.throw(rng), WORLD, mean).draw(0, n, k), axis=1) for k in range(sets)
    ]).reshape(n * sets, 2, WORLD.masses, 3, BINS).astype(np.float64)  # fmt: skip
    draws -= draws.mean(axis=0)

    def shared_part(one: tuple[int, ...], other: tuple[int, ...], low: float, high: float) -> float:
        """Covariance of equal bins with low <= b < high, summed, over the true one: that of the smaller spectrum."""
        use = (mean[other] >= low) & (mean[other] < high)
        found = (draws[(slice(None), *one)] * draws[(slice(None), *other)]).mean(axis=0)[use].sum()
        return float(found / mean[other][use].sum())

    loose, tight, stream, both = (0, 0, 0), (0, 0, 2), (1, 0, 0), (1, 0, 2)
    for one, other in ((loose, tight), ((0, 0, 1), tight), (stream, both)):  # nested regions: also without any event
        for low, high, error in ((10, 1e9, 0.08), (1, 10, 0.1), (0.1, 1, 0.15)):
            assert shared_part(one, other, low, high) == pytest.approx(1, abs=error), (one, other, low)
    assert shared_part(loose, stream, 10, 1e9) == pytest.approx(1, abs=0.08)
    assert shared_part(loose, stream, 1, 10) == pytest.approx(1, abs=0.2)
    assert 0.4 < shared_part(loose, stream, 0.1, 1) < 1.1  # streams that share their events, few of them: partly

    # two masses: blocks of bins, against the shared events of a large sample
    many = World(events=400_000).throw(np.random.default_rng(5))
    blocks = [range(0, 4), range(4, 8), range(8, 14), range(14, 22)]
    found, true = [], []
    for a, b in itertools.product(blocks, blocks):
        sums = [draws[:, 0, m, 0][:, list(block)].sum(axis=1) for m, block in ((0, a), (1, b))]
        found.append((sums[0] * sums[1]).mean())
        joint = np.isin(many.bins[:, 0], list(a)) & np.isin(many.bins[:, 1], list(b))
        true.append(np.count_nonzero(joint) / 100)
    assert np.sum(found) == pytest.approx(np.sum(true), rel=0.1)
    assert np.corrcoef(found, true)[0, 1] > 0.97


def test_an_excess_in_the_data_does_not_reach_the_toys() -> None:
    mean = truth()
    signal = WORLD.with_signal(400, 1200, 30)
    counts = everything(signal.throw(np.random.default_rng(6)), WORLD, mean).draw(0, 2000, 7)[0]
    error = np.sqrt(mean[0, 0, 0] / 2000)
    assert (np.abs(counts.mean(axis=0) - mean[0, 0, 0]) < 5 * error + 2e-3).all()


def test_a_toy_is_the_same_in_any_chunk_and_another_for_another_seed() -> None:
    sampler = everything(WORLD.throw(np.random.default_rng(8)), WORLD, truth())
    whole = sampler.draw(0, 20, 9)
    parts = [sampler.draw(first, n, 9) for first, n in ((0, 7), (7, 12), (19, 1))]
    for s, counts in enumerate(whole):
        np.testing.assert_array_equal(counts, np.concatenate([part[s] for part in parts]))
    assert not np.array_equal(whole[0], sampler.draw(0, 20, 10)[0])
    assert sampler.shared > 0.99


def test_any_choice_of_spectra_and_ranges() -> None:
    """Regions that are left out, ranges that differ, a stream without events, no spectra at all."""
    shared = WORLD.throw(np.random.default_rng(11))
    wanted = [
        Background(0, 0, 2, 5, np.full(20, 3.0)),
        Background(0, 0, 0, 10, np.full(40, 30.0)),
        Background(5, 1, 1, 0, np.full(4, 2.0)),
    ]
    sampler = Sampler.of(shared, wanted)
    draws = sampler.draw(0, 4000, 1)
    for counts, w in zip(draws, wanted, strict=True):
        np.testing.assert_allclose(counts.mean(axis=0), w.expected, rtol=0.08)
    exact = shared.counts(0, 0, 3, BINS)
    np.testing.assert_array_equal(sampler.n[:20], exact[2, 5:25])
    np.testing.assert_array_equal(sampler.n[20:60], exact[0, 10:50])
    assert np.corrcoef(draws[0][:, 5], draws[1][:, 0])[0, 1] > 0.1  # the same bin of nested regions
    assert Sampler.of(shared, []).draw(0, 3, 1) == []
    with pytest.raises(Ad40Error, match="twice"):
        Sampler.of(shared, [wanted[0], wanted[0]])


def test_sharing_out_events() -> None:
    edges = [np.array([100.0, 200, 300]), np.array([0.0, 50])]
    masses = np.array([[150.0, 49], [200, np.nan], [99.9, -1], [300, 50], [np.nan, np.inf]])
    shared = share(masses, edges, np.array([1, 2, 3, 1, 1]), np.array([0.5, 2, 9, np.nan, 1]), [1, 2])
    assert shared.bins.tolist() == [[0, 0], [1, -1], [-1, -1], [-1, -1], [-1, -1]]
    assert shared.level.tolist() == [0, 2, 2, 0, 1]
    assert shared.counts(1, 0, 2, 2).tolist() == [[0, 1], [0, 1]]
    with pytest.raises(Ad40Error, match="thresholds"):
        share(masses, edges, None, np.zeros(5), [2, 1])
    with pytest.raises(Ad40Error, match="masses of shape"):
        share(masses, edges[:1])
    with pytest.raises(Ad40Error, match="shapes"):
        Shared(shared.bins, shared.streams[:2], shared.level)


def test_random_numbers_are_uniform_and_tables_are_the_poisson_law() -> None:
    keys = [np.uint64(poisson.key_of(1, 2, toy)) for toy in range(50)]
    u = np.array([poisson.uniform(key, c) for key in keys for c in range(400)])
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03 and abs(np.corrcoef(u[:-400], u[400:])[0, 1]) < 0.03
    for b in (0.0, 1e-6, 0.3, 7.0, 400.0, 3e5):
        first, cumulative = poisson.table(b)
        np.testing.assert_allclose(cumulative, stats.poisson.cdf(first + np.arange(len(cumulative)), b), atol=1e-12)
        if b > 0:
            for q in (1e-6, 0.3, 0.5, 0.999999):
                assert poisson.quantile(q, first, cumulative) == stats.poisson.ppf(q, b)
