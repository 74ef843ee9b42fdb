"""Samples made of generated events: integers, groups of parents, and one split for two samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ad40.errors import InputError
from ad40.events import open_events, write_adc2021
from ad40.objects import encode
from ad40.split import tenth_of
from training.datasets import load_background, load_signal
from training.sample import FILES, dense_parents, main

parents = arrays.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 9))


@given(parents, parents)
def test_dense_parents_keep_the_groups(known: np.ndarray, parent: np.ndarray) -> None:
    before, after = dense_parents(known), dense_parents(parent, known)
    both, numbers = np.concatenate([known, parent]), np.concatenate([before, after])
    assert ((both[:, None] == both) == (numbers[:, None] == numbers)).all()
    assert np.unique(numbers).tolist() == list(range(len(np.unique(both))))
    assert before.tolist() == dense_parents(parent=known).tolist()


def generated(path: Path, parent: np.ndarray, seed: int) -> np.ndarray:
    """A file as `ad40 generate` writes it, of random events; the events float32 (n, 19, 3)."""
    rng, n = np.random.default_rng(seed), len(parent)
    events = np.zeros((n, 19, 3), np.float32)
    events[:, 0, 0] = rng.uniform(1, 90, n)
    events[:, 5, 0], events[:, 5, 1] = rng.uniform(25, 60, n), rng.uniform(-2, 2, n)
    events[:, (0, 5), 2] = rng.uniform(-3, 3, (n, 2))
    process = {"code": 0, "cross_section_pb": 2.0, "filter_efficiency": 0.5}
    columns = {"process": np.zeros(n, np.uint8), "parent": parent}
    write_adc2021(path, events, columns, {"processes": {"W": process}})
    return events


def test_an_event_of_two_samples_falls_into_one_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    large = rng.integers(0, 300, 1000) + (3 << 40)
    small = rng.permutation(large)[:400]
    events = generated(tmp_path / "big_background.h5", large, 1)
    generated(tmp_path / "background.h5", small, 2)
    for name in FILES[1:]:
        for prefix in ("", "big_"):
            generated(tmp_path / f"{prefix}{name}.h5", np.arange(20), 3)
    main([str(tmp_path), str(tmp_path / "small")])
    after = ["--prefix", "big_", "--after", str(tmp_path / "background.h5")]
    main([str(tmp_path), str(tmp_path / "large"), *after])
    assert capsys.readouterr().out.count("events") == 10
    one, two = load_background(tmp_path / "small"), load_background(tmp_path / "large")
    assert (two.codes == encode(events).codes).all() and two.processes[0].filtered_pb == 1.0
    part = dict(zip(small.tolist(), one.tenth.tolist(), strict=True))
    common = np.isin(large, small)
    assert two.tenth[common].tolist() == [part[p] for p in large[common].tolist()]
    assert (tenth_of(dense_parents(large))[common] != two.tenth[common]).any()  # without --after it is another split
    assert len(load_signal(tmp_path / "large", "Ato4l")) == 20


def test_an_incomplete_folder_is_refused(tmp_path: Path) -> None:
    generated(tmp_path / "background.h5", np.arange(50), 1)
    with pytest.raises(InputError, match="Ato4l.h5"):
        main([str(tmp_path), str(tmp_path / "sample")])
    assert not (tmp_path / "sample").exists()
    for name in FILES[1:]:
        write_adc2021(tmp_path / f"{name}.h5", np.zeros((1, 19, 3), np.float32))
    with pytest.raises(InputError, match="column 'process'"):
        main([str(tmp_path), str(tmp_path / "sample")])
    with open_events(tmp_path / "sample" / "background.h5") as events:
        assert events.n == 50  # files are whole or absent
