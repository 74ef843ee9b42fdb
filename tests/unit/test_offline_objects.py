"""Collections of objects, cuts, streams and the cut flow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40.errors import InputError
from offline.objects.collection import (
    COUNTS,
    TYPES,
    Objects,
    check,
    checked_counts,
    close_up,
    columns_of,
    ordered,
    pad,
)
from offline.objects.selection import SEVEN, STREAMS, CutFlow, Cuts, apply, lepton_jets, select
from tests.offline_objects import by_hand, random_objects


def same(a: Objects, b: Objects) -> None:
    for name in TYPES:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    np.testing.assert_array_equal(a.met, b.met)
    assert set(a.columns) == set(b.columns)
    for name in a.columns:
        np.testing.assert_array_equal(a.columns[name], b.columns[name], err_msg=name)
    assert set(a.saturated) == set(b.saturated)
    for name in a.saturated:
        np.testing.assert_array_equal(a.saturated[name], b.saturated[name], err_msg=name)


# --- collections


def test_take_and_concatenate_are_inverse() -> None:
    found = random_objects(100)
    found = replace(found, saturated={"jet": found.jet[..., 0] > 200})
    same(Objects.concatenate([found.take(slice(0, 30)), found.take(np.arange(30, 100))]), found)
    half = found.columns["event"] % 2 == 0
    assert (found.take(half).columns["event"] == np.arange(0, 100, 2)).all()


def test_concatenate_keeps_common_columns_and_flags_of_either() -> None:
    a, b = random_objects(3), random_objects(4, seed=2)
    del b.columns["process"]
    b = replace(b, saturated={"muon": np.ones((4, 5), np.bool_)})
    both = Objects.concatenate([a, b])
    assert "process" not in both.columns and len(both) == 7
    assert both.saturated["muon"].tolist() == [[False] * 5] * 3 + [[True] * 5] * 4


def test_resized_drops_the_softest_and_adds_empty_slots() -> None:
    found = random_objects(50)
    small = found.resized({**COUNTS, "jet": 3, "photon": 7})
    np.testing.assert_array_equal(small.jet, found.jet[:, :3])
    np.testing.assert_array_equal(small.photon[:, :5], found.photon)
    assert (small.photon[:, 5:] == 0).all() and small.counts["photon"] == 7
    assert found.resized(COUNTS) is found


def test_shapes_that_do_not_fit_are_refused() -> None:
    found = random_objects(3)
    with pytest.raises(ValueError, match="muon"):
        replace(found, muon=found.muon[:2])
    with pytest.raises(ValueError, match="pileup"):
        replace(found, columns={k: v for k, v in found.columns.items() if k != "pileup"})


def test_counts_are_checked() -> None:
    assert checked_counts(None) == COUNTS
    assert checked_counts({"jet": 4})["muon"] == 0
    for bad, value in (({"tau": 1}, "tau"), ({"jet": -1}, "-1"), ({"jet": 2.5}, "2.5"), ({"jet": 101}, "101")):
        with pytest.raises(InputError, match=value):
            checked_counts(bad)  # type: ignore[arg-type]


def test_columns_have_their_types_and_defaults() -> None:
    columns = columns_of(3, 10, weight=np.array([1, 2, 3]), hw_score=np.array([7, 8, 9], np.int32))
    assert {name: columns[name].dtype.name for name in ("run", "lumi", "event", "weight", "pileup")} == {
        "run": "uint32", "lumi": "uint32", "event": "int64", "weight": "float32", "pileup": "float32",
    }  # fmt: skip
    assert columns["event"].tolist() == [10, 11, 12] and np.isnan(columns["pileup"]).all()
    assert columns["hw_score"].dtype == np.int32 and columns["weight"].tolist() == [1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=12), st.integers(0, 5))
def test_padding_is_that_of_a_loop(numbers: list[int], slots: int) -> None:
    flat = np.arange(1, sum(numbers) + 1)
    out = pad(np.array(numbers, np.int64), flat, slots)
    rest = list(flat)
    for row, number in enumerate(numbers):
        mine, rest = rest[:number], rest[number:]
        assert out[row].tolist() == (mine + [0] * slots)[:slots]


def test_closing_up_keeps_the_order() -> None:
    x = np.arange(1, 13).reshape(3, 4)
    here = np.array([[1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], np.bool_)
    (out,) = close_up(here, x)
    assert out.tolist() == [[1, 3, 4, 0], [8, 0, 0, 0], [9, 10, 11, 12]]


def test_ordering_takes_flags_along_and_clears_what_has_no_pt() -> None:
    found = by_hand({"muon": [(10, 1), (0, 2), (30, 3)]}, {"muon": [(5, 1), (4, 1)]})
    flags = np.zeros((2, 5), np.bool_)
    flags[0, 2] = True
    out = ordered(replace(found, saturated={"muon": flags}))
    assert out.muon[0, :, :2].tolist() == [[30, 3], [10, 1], [0, 0], [0, 0], [0, 0]]
    assert out.saturated["muon"][0].tolist() == [True, False, False, False, False]
    np.testing.assert_array_equal(out.muon[1], found.muon[1])
    assert found.muon[0, 0, 0] == 10  # the argument is left alone


# --- what no detector delivers


@pytest.mark.parametrize(
    ("kind", "feature", "value", "message"),
    [
        ("jet", 0, np.nan, r"event 102, jet\[1\].pt is nan; expected a finite number"),
        ("jet", 0, -3, r"event 102, jet\[1\].pt is -3.0; expected pt >= 0"),
        ("photon", 1, 40, r"event 102, photon\[1\].eta is 40.0"),
        ("electron", 2, np.inf, r"event 102, electron\[1\].phi is inf"),
        ("muon", 2, -2e4, r"event 102, muon\[1\].phi is -20000"),
        ("bjet", 3, -20, r"event 102, bjet\[1\].mass is -20.0; expected mass >= 0"),
        ("met", 0, -1, r"event 102, met.pt is -1.0"),
        ("met", 1, np.nan, r"event 102, met.phi is nan"),
        ("weight", 0, np.inf, r"event 102, weight is inf"),
    ],
)
def test_impossible_values_are_named(kind: str, feature: int, value: float, message: str) -> None:
    found = by_hand(*[{name: [(50, 1, 1, 1)] * 2 for name in TYPES}] * 4)
    if kind == "weight":
        found.columns["weight"][2] = value
    elif kind == "met":
        found.met[2, feature] = value
    else:
        found[kind][2, 1, feature] = value
    with pytest.raises(InputError, match="file.h5: " + message):
        check(found, "file.h5", first=100)


def test_a_mass_rounded_below_zero_is_zero() -> None:
    found = check(by_hand({"jet": [(900, 2, 0, -0.5), (30, 0, 0, 4)]}), "f")
    assert found.jet[0, :2, 3].tolist() == [0, 4]


# --- cuts


def test_cuts_by_hand() -> None:
    event = {
        "jet": [(900, 3.0), (100, 1.0), (30, 2.4), (29.9, 0)],
        "bjet": [(50, -2.5), (40, -2.4)],
        "photon": [(31, 0)],
        "met": [(29, 1)],
    }
    out = apply(by_hand(event, {"met": [(31, 1)]}), Cuts())
    assert out.jet[0, :3, 0].tolist() == [100, 30, 0]
    assert out.bjet[0, :2, 0].tolist() == [40, 0]
    assert out.number("photon").tolist() == [1, 0]
    assert out.met.tolist() == [[0, 0], [31, 1]]


def test_cuts_are_those_of_a_loop_and_change_nothing_twice() -> None:
    found = random_objects(300)
    cuts = Cuts(pt_min=25, eta_max=2.0, met_min=40)
    out = apply(found, cuts)
    for name in TYPES:
        for row in range(len(found)):
            kept = [o for o in found[name][row] if o[0] >= 25 and abs(o[1]) <= 2.0]
            assert out.number(name)[row] == len(kept)
            np.testing.assert_array_equal(out[name][row, : len(kept)], np.reshape(kept, (-1, 4)))
            assert (out[name][row, len(kept) :] == 0).all()
    same(apply(out, cuts), out)


def test_bad_cuts_are_refused() -> None:
    for bad in ({"pt_min": -1.0}, {"eta_max": float("nan")}, {"met_min": "30"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            Cuts(**bad)  # type: ignore[arg-type]


def test_saturated_flags_follow_their_objects() -> None:
    found = by_hand({"jet": [(900, 3.0), (800, 1.0), (700, 0.0)]})
    flags = np.array([[False, True] + [False] * 8])
    out = apply(replace(found, saturated={"jet": flags}), Cuts())
    assert out.jet[0, :2, 0].tolist() == [800, 700] and out.saturated["jet"][0, :2].tolist() == [True, False]


def test_jets_that_are_leptons() -> None:
    events = (
        {"electron": [(50, 0.5, 1.0)], "jet": [(55, 0.5, 1.02), (40, -1.0, -2.0)]},  # the electron itself
        {"muon": [(30, 0.5, 3.1)], "jet": [(100, 0.5, -3.1)]},  # a soft muon in a jet, across the seam of phi
        {"muon": [(60, 0.5, 3.1)], "bjet": [(100, 0.5, -3.1)]},  # a hard one
        {"photon": [(50, 0.5, 1.0)], "jet": [(55, 0.5, 1.39), (54, 0.5, 1.41)]},  # inside and outside of the radius
    )
    found = by_hand(*events)
    flags = lepton_jets(found)
    assert np.argwhere(flags["jet"]).tolist() == [[0, 0], [3, 0]]
    assert np.argwhere(flags["bjet"]).tolist() == [[2, 0]]
    out = apply(found, Cuts(remove_jets_that_are_leptons=True))
    assert out.number("jet").tolist() == [1, 1, 0, 1] and out.jet[0, 0, 0] == 40
    assert apply(found, Cuts()).number("jet").tolist() == [2, 1, 0, 2]


# --- streams


@pytest.mark.parametrize(
    ("stream", "passes", "fails"),
    [
        ("met", {"met": [(200.5, 0)]}, {"met": [(200, 0)]}),
        ("1l", {"electron": [(61, 0)]}, {"muon": [(60, 0)], "photon": [(500, 0)]}),
        ("1l", {"muon": [(61, 0)]}, {"electron": [(59, 0)]}),
        ("lepton", {"muon": [(61, 0)]}, {"electron": [(60, 0)]}),
        ("2l", {"electron": [(31, 0)], "muon": [(31, 0)]}, {"muon": [(100, 0), (30, 0)]}),
        ("2l", {"muon": [(31, 0), (31, 1)]}, {"electron": [(100, 0)]}),
        ("photon", {"photon": [(151, 0)]}, {"photon": [(150, 0)], "electron": [(300, 0)]}),
        ("2photon", {"photon": [(50, 0), (31, 0)]}, {"photon": [(500, 0)]}),
        ("jet", {"bjet": [(501, 0)]}, {"jet": [(500, 0)], "bjet": [(400, 0)]}),
        (
            "4jet",
            {"jet": [(150, 0), (101, 0)], "bjet": [(201, 0), (101, 1)]},
            {"jet": [(150, 0), (101, 0)], "bjet": [(199, 0), (101, 1)]},
        ),
        ("4jet", {"jet": [(201, 0), (101, 0), (101, 1), (101, 2)]}, {"jet": [(900, 0), (101, 0), (101, 1), (100, 2)]}),
    ],
)
def test_streams_by_hand(stream: str, passes: dict, fails: dict) -> None:
    assert select(by_hand(passes, fails), [stream])[:, 0].tolist() == [True, False]
    assert select(by_hand(passes, fails), ["any"]).all()


def test_streams_are_those_of_a_loop() -> None:
    found = apply(random_objects(2000), Cuts())
    passed = select(found, list(STREAMS))
    assert (passed[:, :7].sum(axis=0) > 20).all() and (~passed[:, :7]).sum(axis=0).min() > 20
    for row in range(len(found)):
        jets = sorted([*found.jet[row, :, 0], *found.bjet[row, :, 0]], reverse=True)
        leptons = sorted([*found.muon[row, :, 0], *found.electron[row, :, 0]], reverse=True)
        photons = found.photon[row, :, 0]
        expected = [
            found.met[row, 0] > 200,
            leptons[0] > 60,
            leptons[1] > 30,
            photons[0] > 150,
            photons[1] > 30,
            jets[0] > 500,
            jets[0] > 200 and jets[3] > 100,
            True,
            leptons[0] > 60,
        ]
        assert passed[row].tolist() == [bool(e) for e in expected]


def test_a_layout_without_the_objects_passes_nothing() -> None:
    none = random_objects(20).resized({"jet": 3, "bjet": 0, "muon": 0, "electron": 0, "photon": 1})
    assert not select(none, ["1l", "2l", "2photon", "4jet"]).any()


def test_unknown_streams_are_refused() -> None:
    for names, value in ((["met", "tau"], "tau"), (["met", "met"], "met")):
        with pytest.raises(InputError, match=f"is {value}; expected each once"):
            select(random_objects(2), names)


def test_the_cut_flow_adds_up_over_blocks() -> None:
    found = apply(random_objects(500), Cuts())
    names = (*SEVEN, "lepton")
    whole, parts = CutFlow(names), CutFlow(names)
    whole.add(found, select(found, names))
    for start in range(0, 500, 120):
        block = found.take(slice(start, start + 120))
        parts.add(block, select(block, names))
    rows = {name: (events, weight) for name, events, weight in whole.rows}
    passed, weight = select(found, names), found.columns["weight"].astype(float)
    assert list(rows) == ["read", *(f"stream {name}" for name in names), "kept"]
    assert rows["read"] == (500, pytest.approx(weight.sum()))
    assert rows["stream 2l"] == (passed[:, 2].sum(), pytest.approx(weight[passed[:, 2]].sum()))
    assert rows["kept"] == (passed.any(axis=1).sum(), pytest.approx(weight[passed.any(axis=1)].sum()))
    for (name, events, total), (other, same_events, same_total) in zip(whole.rows, parts.rows, strict=True):
        assert (name, events) == (other, same_events) and total == pytest.approx(same_total)
