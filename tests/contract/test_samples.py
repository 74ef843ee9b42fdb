"""The samples that ship: what they hold, and that both are split alike."""

import numpy as np
import pytest

from ad40 import defaults
from ad40.split import TEST, TRAIN, VALIDATION
from training.datasets import SIGNALS, Background, load_background, load_signal
from training.generator.tables import processes

SAMPLE, BENCHMARK = defaults.SAMPLE, defaults.SAMPLE.with_name("benchmark")


@pytest.fixture(scope="module")
def benchmark() -> Background:
    return load_background(BENCHMARK)


def test_the_benchmark_is_a_million_in_the_published_mix(benchmark: Background) -> None:
    n = len(benchmark.codes)
    assert n == 1_000_000
    for process in benchmark.processes:
        assert (benchmark.process == process.code).mean() == pytest.approx(processes()["mix"][process.name], abs=0.002)
    parts = [benchmark.rows(part) for part in (TRAIN, VALIDATION, TEST)]
    assert [round(len(rows) / n, 2) for rows in parts] == [0.5, 0.1, 0.4] and sum(map(len, parts)) == n
    families = [set(np.unique(benchmark.parent[rows]).tolist()) for rows in parts]
    assert all(families[i].isdisjoint(families[j]) for i in range(3) for j in range(i))


def test_an_event_of_both_samples_is_in_the_same_part(benchmark: Background) -> None:
    small = load_background(SAMPLE)
    part = {row.tobytes(): tenth for row, tenth in zip(small.codes, small.tenth.tolist(), strict=True)}
    found = [(part.get(row.tobytes()), tenth) for row, tenth in zip(benchmark.codes, benchmark.tenth, strict=True)]
    common = [pair for pair in found if pair[0] is not None]
    assert len(common) > 150_000
    assert all(one == other for one, other in common)


def test_signals_of_the_benchmark_hold_those_of_the_sample() -> None:
    for name in SIGNALS:
        small, large = load_signal(SAMPLE, name), load_signal(BENCHMARK, name)
        assert len(small) == 10_000 <= len(large) <= 50_000
        rows = {row.tobytes() for row in large}
        assert np.mean([row.tobytes() in rows for row in small]) > 0.9


def test_they_are_small() -> None:
    files = [*SAMPLE.glob("*.h5"), *BENCHMARK.glob("*.h5")]
    assert sum(file.stat().st_size for file in files) < 60e6
