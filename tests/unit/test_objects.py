"""Events <-> HwEvents <-> words: the properties the issue asks for, by hypothesis and on whole ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ad40 import objects, spec
from ad40.errors import InputError
from tests.conftest import random_events

SLOTS = spec.objects().slots
slots = st.integers(0, 18)


def one(slot: int, pt: float, eta: float = 0.0, phi: float = 0.0) -> np.ndarray:
    """One event with one object."""
    event = np.zeros((1, 19, 3), np.float32)
    event[0, slot] = pt, eta if SLOTS[slot].eta else 0.0, phi
    return event


@given(slot=slots, pt=st.floats(0.25, 1.0), eta=st.floats(-1, 1), phi=st.floats(-np.pi, np.pi))
def test_decode_of_encode_within_half_a_step(slot: int, pt: float, eta: float, phi: float) -> None:
    kind = SLOTS[slot]
    event = one(slot, pt * kind.pt.max_value, eta * (kind.eta.max_code * kind.eta.lsb if kind.eta else 0), phi)
    if event[0, slot, 0] < kind.pt.lsb / 2:
        return  # below the range: lifted to the first code
    back = objects.decode(objects.encode(event).codes)[0, slot]
    original = event[0, slot]
    slack = 1 + 1e-4  # float32 of the value itself
    assert abs(back[0] - original[0]) <= kind.pt.lsb / 2 * slack
    if kind.eta:
        assert abs(back[1] - original[1]) <= kind.eta.lsb / 2 * slack
    turn = (back[2] - original[2] + np.pi) % (2 * np.pi) - np.pi
    assert abs(turn) <= kind.phi.lsb / 2 * slack + 1e-6
    assert -np.pi - 1e-6 <= back[2] < np.pi


@st.composite
def hardware(draw: st.DrawFn) -> np.ndarray:
    """Any codes that words can hold."""
    n = draw(st.integers(1, 4))
    share = draw(arrays(np.float64, (n, 19, 3), elements=st.floats(0, 1)))
    t = objects._tables()
    return (t.low + np.rint(share * (t.high - t.low))).astype(np.int32)


@given(codes=hardware())
def test_unpack_of_pack(codes: np.ndarray) -> None:
    words = objects.pack(codes)
    assert np.array_equal(objects.unpack(words), codes)
    assert np.array_equal(objects.pack(objects.unpack(words)), words)


@given(words=arrays(np.uint64, (2, 19), elements=st.integers(0, 2**64 - 1)))
def test_other_fields_of_a_word_are_ignored(words: np.ndarray) -> None:
    again = objects.pack(objects.unpack(words))
    assert np.array_equal(objects.unpack(again), objects.unpack(words))
    assert not (again & ~words).any()


@given(slot=slots, a=st.floats(0, 4000, width=32), b=st.floats(0, 4000, width=32))
def test_monotone_in_pt(slot: int, a: float, b: float) -> None:
    codes = objects.encode(np.concatenate([one(slot, min(a, b)), one(slot, max(a, b))])).codes
    assert codes[0, slot, 0] <= codes[1, slot, 0]


def test_bit_fields_of_the_global_trigger() -> None:
    """Word layouts as the firmware package of the CMS global trigger has them, written out here once more."""
    event = np.zeros((1, 19, 3), np.float32)
    event[0, 0] = 100.0, 0, np.pi / 2  # MET: Et 200, phi 36
    event[0, 1] = 20.0, -0.0435 * 3, 2 * np.pi / 144 * 5  # e/gamma: Et 40, eta -3, phi 5
    event[0, 5] = 10.0, 0.010875 * 7, -2 * np.pi / 576  # muon: pt 21, eta 7, phi 575
    event[0, 9] = 50.0, -0.0435, 0.0  # jet: Et 100, eta -1, phi 0
    words = objects.pack(objects.encode(event).codes)[0]
    assert words[0] == 200 | 36 << 12
    assert words[1] == 40 | (256 - 3) << 9 | 5 << 17
    assert words[5] == 575 | 21 << 10 | 7 << 23
    assert words[9] == 100 | 255 << 11
    assert not words[[2, 3, 4, 6, 7, 8]].any() and not words[10:].any()


def test_saturation_is_counted_and_phi_wraps() -> None:
    event = np.concatenate([one(5, 1e4, 3.0, 3 * np.pi), one(9, 5000.0, -5.7, -np.pi), one(0, 3000.0, 0, np.pi)])
    hw = objects.encode(event)
    assert hw.codes[0, 5].tolist() == [511, 255, 288]
    assert hw.codes[1, 9].tolist() == [2047, -128, 72]
    assert hw.codes[2, 0].tolist() == [4095, 0, 72]
    assert hw.saturated == {
        "met.pt": 1, "egamma.pt": 0, "egamma.eta": 0, "muon.pt": 1, "muon.eta": 1, "jet.pt": 1, "jet.eta": 1,
    }  # fmt: skip


def test_the_last_half_step_before_a_whole_turn_wraps_to_zero() -> None:
    step = 2 * np.pi / 144
    assert objects.encode(one(9, 50.0, 0, 2 * np.pi - 0.4 * step)).codes[0, 9, 2] == 0
    assert objects.encode(one(9, 50.0, 0, -0.6 * step)).codes[0, 9, 2] == 143


def test_phi_of_many_turns() -> None:
    turns = np.arange(-1000, 1001)
    for slot, steps in ((9, 144), (5, 576)):
        event = np.repeat(one(slot, 50.0), len(turns), axis=0)
        event[:, slot, 2] = (turns * 7 % steps) * (2 * np.pi / steps)
        assert np.array_equal(objects.encode(event).codes[:, slot, 2], turns * 7 % steps)


def test_absent_is_not_zero_pt() -> None:
    for slot in range(19):
        assert not objects.encode(one(slot, 0.0, 1.0, 1.0)).codes.any()
        assert objects.present(objects.encode(one(slot, 1e-3)).codes)[0, slot]
    muon = np.zeros((1, 19, 3), np.int32)
    muon[0, 5] = 1, 4, 9  # a muon of 0 GeV on the link
    assert objects.present(muon)[0, 5]
    assert objects.decode(muon)[0, 5, 0] == 0


def test_encode_is_idempotent_and_blocks_do_not_matter() -> None:
    events = random_events(1000)
    codes = objects.encode(events).codes
    assert np.array_equal(objects.encode(objects.decode(codes)).codes, codes)
    assert np.array_equal(np.concatenate([objects.encode(e[None]).codes for e in events[:300]]), codes[:300])


@settings(max_examples=20)
@given(bad=st.sampled_from([np.nan, np.inf, -np.inf, -1.0]), row=st.integers(0, 4), slot=slots)
def test_bad_values_are_named(bad: float, row: int, slot: int) -> None:
    events = np.zeros((5, 19, 3), np.float32)
    events[row, slot, 0] = bad
    with pytest.raises(InputError) as error:
        objects.encode(events)
    assert f"event {row}, {spec.objects().slot_names[slot]}.pt is {bad}" in str(error.value)


def test_codes_outside_their_field_are_named() -> None:
    codes = np.zeros((2, 19, 3), np.int32)
    codes[1, 11, 2] = 144
    with pytest.raises(InputError, match=r"event 1, jet\[2\].hw_phi is 144; expected 0 to 143"):
        objects.check_codes(codes)


@pytest.mark.parametrize("phi", [3e38, -1e30, 1e12])
def test_an_angle_that_is_none_is_refused(phi: float) -> None:
    events = np.concatenate([one(9, 50.0), one(11, 50.0, 0, phi)])
    with pytest.raises(InputError, match=r"event 1, jet\[2\].phi is .*; expected an angle of at most 10000 rad"):
        objects.encode(events)
