"""Fixed point: the two ways in agree, with each other and with arithmetic on fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad40.errors import SpecError
from ad40.fixed import OVERFLOW, ROUNDING, Fixed

formats = st.builds(
    Fixed,
    signed=st.booleans(),
    integer=st.integers(-2, 8),
    fraction=st.integers(3, 10),
    rounding=st.sampled_from(ROUNDING),
    overflow=st.sampled_from(OVERFLOW),
)


def reference(fixed: Fixed, value: Fraction) -> int:
    """Quantisation by its definition, on exact rationals."""
    scaled = value * 2**fixed.fraction
    floor = math.floor(scaled)
    rest = scaled - floor
    up = {
        "TRN": False,
        "RND": rest >= Fraction(1, 2),
        "RND_CONV": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1),
    }
    code = floor + up[fixed.rounding]
    if fixed.overflow == "SAT":
        return min(max(code, fixed.min_code), fixed.max_code)
    return (code - fixed.min_code) % 2**fixed.width + fixed.min_code


@given(fixed=formats, code=st.integers(-(2**24), 2**24), fraction=st.integers(0, 16))
def test_codes_and_values_follow_the_definition(fixed: Fixed, code: int, fraction: int) -> None:
    expected = reference(fixed, Fraction(code, 2**fraction))
    assert fixed.quantise_codes([code], fraction).tolist() == [expected]
    assert fixed.quantise([code / 2**fraction]).tolist() == [expected]


@given(fixed=formats)
def test_every_code_comes_back(fixed: Fixed) -> None:
    codes = np.unique(np.linspace(fixed.min_code, fixed.max_code, 200).astype(np.int64))
    assert np.array_equal(fixed.quantise(fixed.dequantise(codes)), codes)


def test_saturation_of_values_beyond_any_integer() -> None:
    assert Fixed(True, 2, 5).quantise([1e300, -1e300]).tolist() == [127, -128]


@given(fixed=formats)
def test_document_round_trip(fixed: Fixed) -> None:
    assert Fixed.from_dict(fixed.to_dict(), "card.yaml", "weight") == fixed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signed": 1}, "weight.signed is 1; expected true or false"),
        ({"rounding": "UP"}, "weight.rounding is 'UP'; expected one of TRN, RND, RND_CONV"),
        ({"bits": 8}, "weight.bits is an unknown key"),
        ({"integer": 60, "fraction": 60}, "weight is 121 bits; expected a width of 1 to 62 bits"),
        ({"fraction": None}, "weight.fraction is None; expected an integer"),
    ],
)
def test_a_bad_format_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match="card.yaml") as error:
        Fixed.from_dict(Fixed(True, 2, 5).to_dict() | change, "card.yaml", "weight")
    assert message in str(error.value)
