"""The sample: split by parent, refusals, and the corruptions that select a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40.errors import InputError
from ad40.events import write_hw_sample
from ad40.objects import check_codes, present
from ad40.split import TEST, TRAIN, VALIDATION, tenth_of
from training.datasets import load_background, load_signal, signal_names
from training.freeze import edge_events
from training.teach.corruptions import CORRUPTIONS, corrupt

PROCESSES = {
    "W": {"code": 1, "cross_section_pb": 60000.0, "filter_efficiency": 0.2},
    "QCD": {"code": 4, "cross_section_pb": 1e8, "filter_efficiency": 1e-5},
}


def codes_of(n: int, seed: int = 0) -> np.ndarray:
    """Valid random codes: leptons, jets and MET, each type in order of pt and without holes."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((n, 19, 3), np.int32)
    for first, count, most in ((0, 1, 500), (1, 4, 200), (5, 4, 200), (9, 10, 900)):
        pt = np.sort(rng.integers(2, most, (n, count)), axis=1)[:, ::-1]
        codes[:, first : first + count, 0] = np.where(np.arange(count) < rng.integers(0, count + 1, (n, 1)), pt, 0)
    codes[..., 1] = rng.integers(-60, 60, (n, 19)) * (np.arange(19) > 0)
    codes[..., 2] = rng.integers(0, 144, (n, 19))
    return codes * present(codes)[..., None]


def write_background(folder, n=400, processes=PROCESSES, **columns):
    rng = np.random.default_rng(1)
    extra = {"process": rng.choice([1, 4], n).astype(np.uint8), "parent": np.arange(n) // 4} | columns
    extra = {name: column for name, column in extra.items() if column is not None}
    attributes = {} if processes is None else {"processes": processes}
    write_hw_sample(folder / "background.h5", codes_of(n), extra, attributes)


def refused(folder, field: str, expected: str):
    with pytest.raises(InputError) as caught:
        load_background(folder)
    assert caught.value.file.endswith("background.h5")
    assert field in caught.value.field
    assert expected in caught.value.expected


def test_split_by_parent(tmp_path):
    write_background(tmp_path, 8000)
    sample = load_background(tmp_path)
    parts = [sample.rows(part) for part in (TRAIN, VALIDATION, TEST)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(8000)), "every event in exactly one part"
    shares = [len(rows) / 8000 for rows in parts]
    assert np.allclose(shares, (0.5, 0.1, 0.4), atol=0.03)
    families = [set(sample.parent[rows]) for rows in parts]
    assert not (families[0] & families[1] or families[0] & families[2] or families[1] & families[2])


def test_split_does_not_depend_on_the_length_of_the_file(tmp_path):
    write_background(tmp_path, 800)
    whole, first = load_background(tmp_path), load_background(tmp_path, 400)
    assert np.array_equal(first.rows(TEST), [row for row in whole.rows(TEST) if row < 400])
    assert whole.fingerprint != first.fingerprint


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_tenth_is_a_function_of_the_parent_alone(parents):
    tenths = tenth_of(np.array(parents))
    assert tenths.max() <= 9
    assert all(tenth_of(np.array([p]))[0] == t for p, t in zip(parents, tenths, strict=True))


def test_processes_carry_their_cross_sections(tmp_path):
    write_background(tmp_path)
    processes = {p.name: p for p in load_background(tmp_path).processes}
    assert processes["W"].filtered_pb == pytest.approx(12000.0)
    assert processes["QCD"].code == 4


def test_signals_in_the_folder(tmp_path):
    for name in ("leptoquark", "Ato4l"):
        write_hw_sample(tmp_path / f"{name}.h5", codes_of(7))
    assert signal_names(tmp_path) == ("Ato4l", "leptoquark")
    assert load_signal(tmp_path, "Ato4l").shape == (7, 19, 3)


def test_missing_sample_is_refused(tmp_path):
    refused(tmp_path, "file", "ad40 generate")


def test_missing_signals_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"signals is none; expected at least one of Ato4l.h5"):
        signal_names(tmp_path)


def test_empty_signal_is_refused(tmp_path):
    write_hw_sample(tmp_path / "Ato4l.h5", codes_of(0))
    with pytest.raises(InputError, match="at least one event"):
        load_signal(tmp_path, "Ato4l")


@pytest.mark.parametrize("column", ["process", "parent"])
def test_missing_column_is_refused(tmp_path, column):
    write_background(tmp_path, **{column: None})
    refused(tmp_path, column, "one entry per event")


def test_missing_cross_sections_are_refused(tmp_path):
    write_background(tmp_path, processes=None)
    refused(tmp_path, "processes", "cross-section and filter efficiency")


def test_incomplete_cross_sections_are_refused(tmp_path):
    write_background(tmp_path, processes={**PROCESSES, "W": {"code": 1, "cross_section_pb": 6e4}})
    refused(tmp_path, "processes.W.filter_efficiency", "a number")


def test_process_without_description_is_refused(tmp_path):
    write_background(tmp_path, process=np.full(400, 7, np.uint8))
    refused(tmp_path, "process", "one of [1, 4]")


def test_sample_too_small_for_the_split_is_refused(tmp_path):
    write_background(tmp_path, 4)
    refused(tmp_path, "events", "part of the split is not empty")


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(sorted(CORRUPTIONS)), st.integers(0, 1000))
def test_corrupted_events_are_valid_events(name, seed):
    clean = codes_of(50, seed)
    bad = corrupt(clean, name, seed)
    check_codes(bad)
    assert not np.array_equal(bad, clean)
    assert np.array_equal(bad, corrupt(clean, name, seed)), "reproducible from its seed"
    for slots in (slice(1, 5), slice(5, 9), slice(9, 19)):
        assert (np.diff(bad[:, slots, 0], axis=1) <= 0).all(), "ordered in pt, no holes"
    assert (bad[~present(bad)] == 0).all()


def test_corruptions_do_what_they_say():
    clean = codes_of(200, 5)
    leptons, jets = slice(1, 9), slice(9, 19)
    more = present(corrupt(clean, "extra leptons"))[:, leptons].sum() - present(clean)[:, leptons].sum()
    assert more > 0
    assert np.array_equal(corrupt(clean, "extra leptons")[:, jets], clean[:, jets])
    assert np.array_equal(corrupt(clean, "MET x 2")[:, 0, 0], 2 * clean[:, 0, 0])
    assert np.array_equal(corrupt(clean, "swapped objects")[:, leptons], clean[:, leptons])
    assert (corrupt(clean, "pT x 1.5")[..., 0] >= clean[..., 0]).all()


def test_corruptions_survive_the_edges():
    from ad40 import spec

    edges = edge_events(spec.objects(), np.random.default_rng(0))
    for name in ("MET x 2", "pT x 1.5"):
        check_codes(corrupt(edges, name))
